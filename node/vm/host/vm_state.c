#include "node/vm/host/vm_state.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "node/vm/image/image_files.h"
#include "node/vm/libvirt/libvirt_proto.h"

struct vm_states {
	uv_loop_t *loop;
	struct client *client;
	const struct kind *kind;
	char *directory, *tpm_directory;
	struct table owners; /* uid -> struct owner */
};

/* A VirtualMachine that has something here. */
struct owner {
	struct vm_states *v;
	char uid[40];
	char *ns, *name;
	struct informer *watch;
	uv_timer_t end; /* forgets it from the loop: a watch can't end itself */
};

static void freed(uv_handle_t *t)
{
	struct owner *o = t->data;

	free(o->ns);
	free(o->name);
	free(o);
}

static void forget(struct owner *o)
{
	table_remove(&o->v->owners, o->uid);
	informer_destroy(o->watch);
	uv_close((uv_handle_t *)&o->end, freed);
}

static void on_end(uv_timer_t *t)
{
	forget(t->data);
}

static bool uuid_ok(const char *text)
{
	uint8_t bytes[LIBVIRT_UUID_BYTES];

	return libvirt_uuid_parse(text, bytes) == 0;
}

/* The UUID that the TPM's memory goes by; "" = there is none. */
static void tpm_uuid(const struct vm_states *v, const char *uid, char ret[37])
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s/tpm", v->directory, uid);

	if (files_read(path, ret, 37) != 36 || !uuid_ok(ret))
		ret[0] = '\0';
}

static void remove_state(struct owner *o)
{
	struct vm_states *v = o->v;
	_cleanup_(free_p) char *path = xasprintf("%s/%s", v->directory, o->uid);
	char uuid[37];

	tpm_uuid(v, o->uid, uuid);
	if (*uuid) {
		_cleanup_(free_p) char *tpm = xasprintf("%s/%s", v->tpm_directory, uuid);
		files_remove_tree(tpm);
	}
	files_remove_tree(path);
	log_info("removed what a virtual machine kept", "vm", o->name, "namespace", o->ns, NULL);
}

/* Its instance may be there a little longer, with the domain; the files that it has open stay its
 * own, and an instance is never started again. */
static void look(struct owner *o)
{
	struct object *now = informer_get(o->watch, o->ns, o->name);

	if (!informer_synced(o->watch) || (now && streq(now->uid, o->uid)))
		return;
	remove_state(o);
	uv_timer_start(&o->end, on_end, 0, 0);
}

static void changed(void *user, const struct object *old, const struct object *new)
{
	look(user);
}

static void synced(void *user)
{
	look(user);
}

static void watch(struct vm_states *v, const char *uid, const char *ns, const char *name)
{
	static const struct informer_handler on = {.changed = changed, .synced = synced};
	struct owner *o;
	char selector[320];

	if (table_get(&v->owners, uid) || !v->kind)
		return;
	o = xcalloc(1, sizeof(*o));
	*o = (struct owner){.v = v, .ns = xstrdup(ns), .name = xstrdup(name)};
	snprintf(o->uid, sizeof(o->uid), "%s", uid);
	snprintf(selector, sizeof(selector), "metadata.name=%s", name);
	o->watch = informer_create(v->client, v->kind, ns, NULL, selector);
	uv_timer_init(v->loop, &o->end);
	o->end.data = o;
	informer_add_handler(o->watch, &on, o);
	informer_start(o->watch);
	table_set(&v->owners, uid, o);
}

static void watch_all(struct vm_states *v)
{
	DIR *dir = opendir(v->directory);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		_cleanup_(free_p) char *path = xasprintf("%s/%s/owner", v->directory, e->d_name);
		char text[512], *name;

		if (!uuid_ok(e->d_name) || files_read(path, text, sizeof(text)) <= 0)
			continue;
		text[strcspn(text, "\n")] = '\0';
		name = strchr(text, ' ');
		if (!name)
			continue;
		*name++ = '\0';
		watch(v, e->d_name, text, name);
	}
	if (dir)
		closedir(dir);
}

struct vm_states *vm_states_create(uv_loop_t *loop, struct client *c, const struct kind *machines,
	const char *directory, const char *tpm_directory)
{
	struct vm_states *v = xcalloc(1, sizeof(*v));

	v->loop = loop;
	v->client = c;
	v->kind = machines;
	v->directory = xstrdup(directory);
	v->tpm_directory = xstrdup(tpm_directory);
	watch_all(v);
	return v;
}

void vm_states_destroy(struct vm_states *v)
{
	if (!v)
		return;
	for (struct table_iter i = table_iterate(&v->owners); table_next(&i);)
		forget(i.value);
	table_finish(&v->owners);
	free(v->directory);
	free(v->tpm_directory);
	free(v);
}

static const struct json *owner_of(const struct vm_spec *s)
{
	JSON_FOR_EACH_ITEM(it, json_path(s->object, "metadata.ownerReferences"))
		if (json_bool_or(json_get(it, "controller"), false) &&
			streq(json_str(json_get(it, "kind")), "VirtualMachine"))
			return it;
	return NULL;
}

/* Who asks for the UUID of another machine's domain would have that one's memory removed. */
static int check_tpm_owner(
	const struct vm_states *v, const struct vm_spec *s, const char *uid, struct err *err)
{
	DIR *dir = opendir(v->directory);
	int r = 0;

	for (struct dirent *e; r == 0 && dir && (e = readdir(dir));) {
		char uuid[37];

		if (!uuid_ok(e->d_name) || streq(e->d_name, uid))
			continue;
		tpm_uuid(v, e->d_name, uuid);
		if (streq(uuid, s->uuid))
			r = err_set(err, -EEXIST,
				"spec.domain.firmware.uuid: %s is that of another machine of this "
				"node, whose TPM goes by it",
				s->uuid);
	}
	if (dir)
		closedir(dir);
	return r;
}

/* Under the name that libvirt will look for: another instance may have another UUID. What is there
 * by that name without belonging to any machine is left over of one that is gone. */
static int place_tpm(struct vm_states *v, const struct vm_spec *s, const char *uid, struct err *err)
{
	_cleanup_(free_p) char *want = xasprintf("%s/%s", v->tpm_directory, s->uuid);
	_cleanup_(free_p) char *record = xasprintf("%s/%s/tpm", v->directory, uid);
	char had[37];

	tpm_uuid(v, uid, had);
	if (streq(had, s->uuid))
		return 0;
	int r = check_tpm_owner(v, s, uid, err);
	if (r < 0)
		return r;
	files_remove_tree(want);
	if (*had) {
		_cleanup_(free_p) char *from = xasprintf("%s/%s", v->tpm_directory, had);

		if (rename(from, want) < 0 && errno != ENOENT)
			return err_errno(err, -errno, "rename %s to %s", from, want);
	}
	return files_write(record, s->uuid, strlen(s->uuid), 0600, err);
}

/* An instance says itself who owns it: what is there already is its owner's alone. */
static int check_owner(const char *path, const char *text, struct err *err)
{
	char there[512];

	if (files_read(path, there, sizeof(there)) <= 0 || streq(there, text))
		return 0;
	return err_set(err, -EPERM,
		"metadata.ownerReferences: what that VirtualMachine keeps on this node belongs to "
		"another one");
}

int vm_states_place(struct vm_states *v, const struct vm_spec *s, struct arena *a, const char **ret,
	struct err *err)
{
	const struct json *owner = owner_of(s);
	const char *uid = json_str(json_get(owner, "uid")),
		   *name = json_str(json_get(owner, "name"));
	_cleanup_(free_p) char *text = NULL;
	const char *directory, *path;
	int r;

	*ret = NULL;
	if (!uid || !name || !uuid_ok(uid) || strpbrk(name, " \n,") || strlen(name) > 253)
		return 0;
	directory = arena_printf(a, "%s/%s", v->directory, uid);
	path = arena_printf(a, "%s/owner", directory);
	text = xasprintf("%s %s\n", s->namespace, name);
	/* QEMU's user must get through to its file. */
	if ((mkdir(v->directory, 0711) < 0 && errno != EEXIST) ||
		(mkdir(directory, 0711) < 0 && errno != EEXIST))
		return err_errno(err, -errno, "make %s", directory);
	r = check_owner(path, text, err);
	if (r == 0)
		r = files_write(path, text, strlen(text), 0600, err);
	if (r == 0 && s->firmware.tpm_persistent)
		r = place_tpm(v, s, uid, err);
	if (r < 0)
		return r;
	watch(v, uid, s->namespace, name);
	*ret = directory;
	return 0;
}
