#include "cli/image/recipe.h"

#include <stdio.h>

#include "lib/base/file.h"
#include "lib/object/quantity.h"

#define FILE_MAX_BYTES (256u << 20)

struct parser {
	struct recipe *r;
	const char *directory;
	struct err *err;
};

static int refuse(struct parser *p, const char *field, const char *why)
{
	return err_set(p->err, -EINVAL, "recipe: %s: %s", field, why);
}

/* Words that become arguments and lines of a script: no blanks, quotes, line ends, leading dash. */
static bool is_word(const char *s)
{
	if (!s || !*s || *s == '-')
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= '0' && *s <= '9') || strchr(".:+-_~/=", *s)))
			return false;
	return true;
}

static bool is_path(const char *s)
{
	if (!s || *s != '/' || strlen(s) > 4000 || strchr(s, '\n'))
		return false;
	struct str rest = str_from(s), part;
	while (str_split(&rest, '/', &part))
		if (str_eq(part, "..") || str_eq(part, "."))
			return false;
	return true;
}

static int text_of(
	struct parser *p, const struct json *at, const char *field, bool word, const char **ret)
{
	const struct json *v = json_get(at, field);
	if (!v || json_is(v, JSON_NULL))
		return 0;
	if (!json_is(v, JSON_STRING))
		return refuse(p, field, "must be a string");
	if (word && !is_word(json_str(v)))
		return refuse(p, field, "has a character that can't be there");
	*ret = json_str(v);
	return 0;
}

/* A list of strings; or one string. */
static int list_of(struct parser *p, const struct json *at, const char *field, const char ***ret,
	size_t *ret_count)
{
	const struct json *v = json_get(at, field);
	if (!v || json_is(v, JSON_NULL))
		return 0;
	if (!json_is(v, JSON_ARRAY))
		return refuse(p, field, "must be a list of strings");
	*ret = arena_zalloc(&p->r->arena, (json_count(v) + 1) * sizeof(**ret));
	JSON_FOR_EACH_ITEM(it, v) {
		if (!json_is(it, JSON_STRING))
			return refuse(p, field, "must be a list of strings");
		(*ret)[(*ret_count)++] = json_str(it);
	}
	return 0;
}

static int words_of(struct parser *p, const struct json *at, const char *field, const char **ret)
{
	const char **list = NULL;
	size_t count = 0;
	int r = list_of(p, at, field, &list, &count);
	struct buf text = BUF_INIT;
	for (size_t i = 0; i < count && r == 0; i++) {
		if (!is_word(list[i]))
			r = refuse(
				p, field, arena_printf(&p->r->arena, "'%s' is no name", list[i]));
		buf_printf(&text, "%s%s", i ? "," : "", list[i]);
	}
	if (r == 0 && text.size)
		*ret = arena_strdup(&p->r->arena, text.data);
	buf_finish(&text);
	return r;
}

static int parse_file(struct parser *p, const struct json *it, struct recipe_file *f)
{
	const char *content = NULL, *source = NULL;
	f->mode = "0644";
	f->owner = "root:root";
	int r = text_of(p, it, "path", false, &f->path);
	if (r == 0)
		r = text_of(p, it, "content", false, &content);
	if (r == 0)
		r = text_of(p, it, "source", false, &source);
	if (r == 0)
		r = text_of(p, it, "mode", true, &f->mode);
	if (r == 0)
		r = text_of(p, it, "owner", true, &f->owner);
	if (r < 0)
		return r;
	if (!is_path(f->path))
		return refuse(p, "files.path", "must be an absolute path without '..'");
	if (!content == !source)
		return refuse(p, f->path, "either content or source must be given");
	if (content) {
		const struct json *c = json_get(it, "content");
		f->content = (struct str){content, c->count};
		return 0;
	}
	const char *path =
		*source == '/' ? source : arena_printf(&p->r->arena, "%s/%s", p->directory, source);
	return file_load(&p->r->arena, path, FILE_MAX_BYTES, &f->content, p->err);
}

static int parse_user(struct parser *p, const struct json *it, struct recipe_user *u)
{
	u->shell = "/bin/bash";
	int r = text_of(p, it, "name", true, &u->name);
	if (r == 0 && (!u->name || strchr(u->name, '/') || strchr(u->name, ':')))
		r = refuse(p, "users.name", "must be a user's name");
	if (r == 0)
		r = text_of(p, it, "password", false, &u->password);
	if (r == 0 && u->password && strchr(u->password, '\n'))
		r = refuse(p, "users.password", "must be one line");
	if (r == 0)
		r = text_of(p, it, "shell", true, &u->shell);
	if (r == 0)
		r = words_of(p, it, "groups", &u->groups);
	if (r == 0)
		r = list_of(p, it, "sshKeys", &u->keys, &u->key_count);
	for (size_t i = 0; i < u->key_count && r == 0; i++)
		if (strchr(u->keys[i], '\n'))
			r = refuse(p, "users.sshKeys", "a key must be one line");
	return r;
}

static int parse_disk(struct parser *p, const struct json *disk)
{
	struct recipe *r = p->r;
	const char *size = NULL, *firmware = "both";
	int e = text_of(p, disk, "size", true, &size);
	if (e == 0)
		e = text_of(p, disk, "firmware", true, &firmware);
	if (e == 0)
		e = text_of(p, disk, "kernel", true, &r->kernel);
	if (e == 0)
		e = text_of(p, disk, "kernelArguments", false, &r->kernel_arguments);
	if (e < 0)
		return e;
	for (const char *c = r->kernel_arguments; *c; c++)
		if ((unsigned char)*c < ' ' || strchr("'\"\\{};$#", *c))
			return refuse(
				p, "disk.kernelArguments", "has a character that can't be there");
	r->bios = streq(firmware, "bios") || streq(firmware, "both");
	r->efi = streq(firmware, "efi") || streq(firmware, "both");
	if (!r->bios && !r->efi)
		return refuse(p, "disk.firmware", "must be bios, efi or both");
	struct quantity q;
	int64_t bytes = 0;
	if (size && quantity_parse(size, &q) == 0)
		bytes = quantity_value(q);
	if (size && (bytes < 64 << 20 || bytes > (int64_t)1 << 44))
		return refuse(p, "disk.size", "must be a quantity from 64Mi to 16Ti");
	r->size_bytes = (uint64_t)bytes;
	return 0;
}

static int check_names(struct parser *p, const struct json *at, const char *const *known,
	size_t count, const char *where)
{
	JSON_FOR_EACH_MEMBER(m, at) {
		bool found = false;
		for (size_t i = 0; i < count; i++)
			found = found || streq(known[i], m->name);
		if (!found)
			return refuse(p, where,
				arena_printf(&p->r->arena, "unknown field '%s'", m->name));
	}
	return 0;
}

static int parse_lists(struct parser *p)
{
	struct recipe *r = p->r;
	static const char *const file_fields[] = {"path", "content", "source", "mode", "owner"};
	static const char *const user_fields[] = {"name", "password", "shell", "groups", "sshKeys"};
	const struct json *files = json_get(r->doc, "files"), *users = json_get(r->doc, "users");
	r->files = arena_zalloc(&r->arena, (json_count(files) + 1) * sizeof(*r->files));
	r->users = arena_zalloc(&r->arena, (json_count(users) + 1) * sizeof(*r->users));
	JSON_FOR_EACH_ITEM(it, files) {
		int e = check_names(p, it, file_fields, ARRAY_LEN(file_fields), "files");
		if (e == 0)
			e = parse_file(p, it, &r->files[r->file_count++]);
		if (e < 0)
			return e;
	}
	JSON_FOR_EACH_ITEM(it, users) {
		int e = check_names(p, it, user_fields, ARRAY_LEN(user_fields), "users");
		if (e == 0)
			e = parse_user(p, it, &r->users[r->user_count++]);
		if (e < 0)
			return e;
	}
	int e = list_of(p, r->doc, "run", &r->run, &r->run_count);
	return e == 0 ? list_of(p, r->doc, "firstBoot", &r->first_boot, &r->first_boot_count) : e;
}

static int parse(struct parser *p)
{
	static const char *const fields[] = {"suite", "variant", "mirror", "packages", "hostname",
		"timezone", "users", "files", "run", "firstBoot", "disk", "image", "documentation"};
	static const char *const disk_fields[] = {"size", "firmware", "kernel", "kernelArguments"};
	struct recipe *r = p->r;
	if (!json_is(r->doc, JSON_OBJECT))
		return refuse(p, "it", "must be a mapping");
	int e = check_names(p, r->doc, fields, ARRAY_LEN(fields), "it");
	if (e == 0)
		e = check_names(
			p, json_get(r->doc, "disk"), disk_fields, ARRAY_LEN(disk_fields), "disk");
	r->variant = "minbase";
	r->kernel_arguments = "console=tty0 console=ttyS0,115200 net.ifnames=0";
	r->bios = r->efi = true;
	if (e == 0)
		e = text_of(p, r->doc, "suite", true, &r->suite);
	if (e == 0 && !r->suite)
		e = refuse(p, "suite", "is missing (bookworm)");
	if (e == 0)
		e = text_of(p, r->doc, "variant", true, &r->variant);
	if (e == 0)
		e = text_of(p, r->doc, "mirror", true, &r->mirror);
	if (e == 0)
		e = text_of(p, r->doc, "hostname", true, &r->hostname);
	if (e == 0)
		e = text_of(p, r->doc, "timezone", true, &r->timezone);
	if (e == 0 && r->timezone && (r->timezone[0] == '/' || strstr(r->timezone, "..")))
		e = refuse(p, "timezone", "must be a name as Europe/Berlin");
	if (e == 0)
		e = words_of(p, r->doc, "packages", &r->packages);
	if (e == 0 && json_get(r->doc, "disk"))
		e = parse_disk(p, json_get(r->doc, "disk"));
	if (e == 0)
		e = parse_lists(p);
	r->documentation = json_bool_or(json_get(r->doc, "documentation"), false);
	r->config = json_get(r->doc, "image");
	if (!r->config)
		r->config = json_new_object(&r->arena);
	if (e == 0 && !json_is(r->config, JSON_OBJECT))
		e = refuse(
			p, "image", "must be a mapping: an OCI image's config (Cmd, Env, Labels)");
	return e;
}

int recipe_parse(
	const char *text, size_t size, const char *directory, struct recipe *ret, struct err *err)
{
	*ret = (struct recipe){.arena = ARENA_INIT};
	struct parser p = {ret, directory, err};
	int r = yaml_parse(&ret->arena, text, size, NULL, &ret->doc, err);
	if (r == 0)
		r = parse(&p);
	if (r < 0)
		recipe_finish(ret);
	return r;
}

int recipe_load(const char *path, struct recipe *ret, struct err *err)
{
	struct arena a = ARENA_INIT;
	struct str text;
	int r = file_load(&a, path, 3 << 20, &text, err);
	const char *slash = strrchr(path, '/');
	if (r == 0)
		r = recipe_parse(text.p, text.size,
			slash ? arena_printf(&a, "%.*s", (int)MAX(slash - path, 1), path) : ".",
			ret, err);
	if (r < 0)
		err_context(err, r, "'%s'", path);
	arena_finish(&a);
	return r;
}

void recipe_finish(struct recipe *r)
{
	arena_finish(&r->arena);
}

/* 'text' for sh, with the quotes. */
static const char *quoted(struct arena *a, const char *text)
{
	struct buf b = BUF_INIT;
	buf_add_char(&b, '\'');
	for (; *text; text++)
		if (*text == '\'')
			buf_add_str(&b, "'\\''");
		else
			buf_add_char(&b, *text);
	buf_add_char(&b, '\'');
	const char *s = arena_strdup(a, b.data);
	buf_finish(&b);
	return s;
}

static void script_user(struct buf *b, struct arena *a, const struct recipe_user *u)
{
	bool root = streq(u->name, "root");
	const char *home = root ? "/root" : arena_printf(a, "/home/%s", u->name);
	if (!root)
		buf_printf(b, "chroot \"$root\" useradd -m -s %s %s%s %s\n", u->shell,
			u->groups ? "-G " : "", u->groups ? u->groups : "", u->name);
	if (u->password)
		buf_printf(b, "printf '%%s\\n' %s | chroot \"$root\" chpasswd %s\n",
			quoted(a, arena_printf(a, "%s:%s", u->name, u->password)),
			u->password[0] == '$' ? "-e" : "");
	if (!u->key_count)
		return;
	buf_printf(b, "mkdir -p -m 700 \"$root%s/.ssh\"\n", home);
	for (size_t i = 0; i < u->key_count; i++)
		buf_printf(b, "printf '%%s\\n' %s >>\"$root%s/.ssh/authorized_keys\"\n",
			quoted(a, u->keys[i]), home);
	buf_printf(b,
		"chmod 600 \"$root%s/.ssh/authorized_keys\"\nchroot \"$root\" chown -R %s: "
		"%s/.ssh\n",
		home, u->name, home);
}

/* Commands of the first boot run once, after the network is there, by a unit that then forgets
 * itself. */
static void script_first_boot(struct buf *b, struct arena *a, const struct recipe *r)
{
	if (!r->first_boot_count)
		return;
	buf_add_str(b, "mkdir -p \"$root/usr/lib/hanok\"\n"
		       "{ echo '#!/bin/sh'; ");
	for (size_t i = 0; i < r->first_boot_count; i++)
		buf_printf(b, "printf '%%s\\n' %s; ", quoted(a, r->first_boot[i]));
	buf_add_str(b, "} >\"$root/usr/lib/hanok/first-boot\"\n"
		       "chmod 755 \"$root/usr/lib/hanok/first-boot\"\n"
		       "cat >\"$root/etc/systemd/system/hanok-first-boot.service\" <<'END'\n"
		       "[Unit]\nDescription=Commands of the first boot\n"
		       "ConditionPathExists=!/var/lib/hanok-first-boot-done\n"
		       "Wants=network-online.target\nAfter=network-online.target\n"
		       "[Service]\nType=oneshot\nExecStart=/usr/lib/hanok/first-boot\n"
		       "ExecStartPost=/bin/touch /var/lib/hanok-first-boot-done\n"
		       "[Install]\nWantedBy=multi-user.target\nEND\n"
		       "mkdir -p \"$root/etc/systemd/system/multi-user.target.wants\"\n"
		       "ln -sf /etc/systemd/system/hanok-first-boot.service "
		       "\"$root/etc/systemd/system/multi-user.target.wants/\"\n");
}

char *recipe_script(const struct recipe *r, struct arena *a, const char *directory)
{
	struct buf b = BUF_INIT;
	buf_add_str(&b, "#!/bin/sh\nset -e\nroot=$1\n");
	if (r->hostname)
		buf_printf(&b,
			"echo %s >\"$root/etc/hostname\"\n"
			"printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n::1 localhost\\n' "
			">\"$root/etc/hosts\"\n",
			r->hostname, r->hostname);
	if (r->timezone)
		buf_printf(&b,
			"ln -sf /usr/share/zoneinfo/%s \"$root/etc/localtime\"\n"
			"echo %s >\"$root/etc/timezone\"\n",
			r->timezone, r->timezone);
	for (size_t i = 0; i < r->user_count; i++)
		script_user(&b, a, &r->users[i]);
	for (size_t i = 0; i < r->file_count; i++) {
		const struct recipe_file *f = &r->files[i];
		/* By the image's own shell: a link of the image, as /var/run, must not lead to
		 * what the host has there. */
		buf_printf(&b,
			"chroot \"$root\" /bin/sh -ec 'mkdir -p \"${1%%/*}/\"; rm -f \"$1\"; umask "
			"077; cat >\"$1\"; chown %s \"$1\"; chmod %s \"$1\"' sh %s <%s/%zu\n",
			f->owner, f->mode, quoted(a, f->path), quoted(a, directory), i);
	}
	for (size_t i = 0; i < r->run_count; i++)
		buf_printf(&b, "chroot \"$root\" /bin/sh -ec %s\n", quoted(a, r->run[i]));
	script_first_boot(&b, a, r);
	/* What must differ from guest to guest is made by the guest. */
	buf_add_str(&b, "[ ! -e \"$root/etc/machine-id\" ] || : >\"$root/etc/machine-id\"\n"
			"rm -f \"$root/var/lib/dbus/machine-id\" \"$root\"/etc/ssh/ssh_host_*\n"
			"if [ -e \"$root/usr/sbin/sshd\" ]; then\n"
			"mkdir -p \"$root/etc/systemd/system/ssh.service.d\"\n"
			"printf '[Service]\\nExecStartPre=\\nExecStartPre=/usr/bin/ssh-keygen -A\\n"
			"ExecStartPre=/usr/sbin/sshd -t\\n' "
			">\"$root/etc/systemd/system/ssh.service.d/host-keys.conf\"\nfi\n");
	if (r->kernel)
		buf_add_str(&b, "echo 'LABEL=hanok-root / ext4 errors=remount-ro 0 1' "
				">\"$root/etc/fstab\"\n");
	buf_add_str(&b, "rm -rf \"$root\"/var/cache/apt/*.bin \"$root\"/var/lib/apt/lists/*\n");
	char *text = arena_strdup(a, b.data);
	buf_finish(&b);
	return text;
}

char *recipe_canonical(const struct recipe *r, struct arena *a)
{
	struct buf b = BUF_INIT;
	json_write(&b, r->doc);
	for (size_t i = 0; i < r->file_count; i++)
		buf_printf(&b, "\n%s %016llx %zu", r->files[i].path,
			(unsigned long long)fnv1a_64(
				r->files[i].content.p, r->files[i].content.size),
			r->files[i].content.size);
	char *text = arena_strdup(a, b.data);
	buf_finish(&b);
	return text;
}
