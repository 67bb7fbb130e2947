/* guest.c - what is asked of, and done in, the guest by its agent. */
#include <stdio.h>

#include "cli/virt/virt.h"
#include "lib/base/file.h"

static int instance(struct virt *v, struct virt_target *t, struct err *err)
{
	int r = virt_target(v, v->args[0], t, err);
	t->resource = "virtualmachineinstances";
	return r;
}

static int show(struct virt *v, const char *sub, struct json **ret, struct err *err)
{
	struct virt_target t;
	int r = instance(v, &t, err);
	if (r == 0)
		r = virt_get(v, virt_sub_path(v, &t, sub), ret, err);
	return r < 0 ? err_context(err, r, "%s of virtual machine '%s'", sub, v->args[0]) : 0;
}

static void print_json(const struct json *doc)
{
	struct buf text = BUF_INIT;
	json_write_pretty(&text, doc);
	printf("%s\n", text.data ? text.data : "");
	buf_finish(&text);
}

/* As virtctl: the answer itself. */
static int print(struct virt *v, const char *sub, struct err *err)
{
	struct json *doc;
	int r = show(v, sub, &doc, err);
	if (r == 0)
		print_json(doc);
	return r;
}

static int guestosinfo(struct virt *v, struct err *err)
{
	return print(v, "guestosinfo", err);
}

static int userlist(struct virt *v, struct err *err)
{
	return print(v, "userlist", err);
}

static int fslist(struct virt *v, struct err *err)
{
	return print(v, "filesystemlist", err);
}

static int put(struct virt *v, const char *sub, const struct json *body, struct json **ret,
	struct err *err)
{
	struct virt_target t;
	int r = instance(v, &t, err);
	if (r == 0)
		r = virt_send(v, "PUT", virt_sub_path(v, &t, sub), NULL,
			body ? body : json_new_object(&v->arena), ret, err);
	return r < 0 ? err_context(err, r, "%s virtual machine '%s'", sub, v->args[0]) : 0;
}

static int freeze(struct virt *v, struct err *err)
{
	int64_t seconds = 300;
	int r = virt_number(v, "unfreeze-timeout", 1, 3600, &seconds, err);
	struct json *body = json_new_object(&v->arena);
	json_set_str(&v->arena, body, "unfreezeTimeout",
		arena_printf(&v->arena, "%llds", (long long)seconds));
	if (r == 0)
		r = put(v, "freeze", body, NULL, err);
	if (r == 0)
		printf("virtual machine %s: its file systems are frozen\n", v->args[0]);
	return r;
}

static int unfreeze(struct virt *v, struct err *err)
{
	int r = put(v, "unfreeze", NULL, NULL, err);
	if (r == 0)
		printf("virtual machine %s: its file systems are thawed\n", v->args[0]);
	return r;
}

/* As it came, also where it is no text. */
static void put_output(struct virt *v, const struct json *answer, const char *name, FILE *to)
{
	struct arena *a = &v->arena;
	const struct json *text = json_get(answer, name);
	const struct json *bytes = json_get(answer, arena_printf(a, "%sBase64", name));
	char *p;
	size_t size;
	if (json_is(bytes, JSON_STRING) &&
		base64_decode(a, (struct str){bytes->s, bytes->count}, &p, &size) == 0)
		fwrite(p, 1, size, to);
	else if (json_is(text, JSON_STRING))
		fwrite(text->s, 1, text->count, to);
	fflush(to);
	if (json_path_bool(answer, arena_printf(a, "%sTruncated", name), false))
		fprintf(stderr, "hanok virt exec: %s was too long for the guest agent: it is cut\n",
			name);
}

/* exec NAME -- COMMAND ARG...: standard output and error as the guest's, its exit code in words. */
static int vm_exec(struct virt *v, struct err *err)
{
	int64_t seconds = 30;
	int r = virt_number(v, "timeout", 1, 3600, &seconds, err);
	if (r < 0)
		return r;
	struct arena *a = &v->arena;
	struct json *body = json_new_object(a), *command = json_array_at(a, body, "command"),
		    *answer = NULL;
	for (unsigned i = 1; i < v->arg_count; i++)
		json_push(a, command, json_new_string(a, v->args[i]));
	json_set_int(a, body, "timeoutSeconds", seconds);
	v->answer_s = (unsigned)seconds + 195; /* a slow guest's agent, too */
	r = put(v, "exec", body, &answer, err);
	if (r < 0)
		return r;
	put_output(v, answer, "stdout", stdout);
	put_output(v, answer, "stderr", stderr);
	if (json_get(answer, "signal"))
		return err_set(err, -EREMOTEIO, "the command was ended by signal %lld",
			(long long)json_int_or(json_get(answer, "signal"), 0));
	int64_t code = json_int_or(json_get(answer, "exitCode"), -1);
	return code == 0 ? 0
			 : err_set(err, -EREMOTEIO, "the command ended with exit code %lld",
				   (long long)code);
}

/* Credentials go into a Secret that the machine's accessCredentials name: what virtctl credentials
 * does. The agent hands them to the guest. */
static const struct json *find_credential(
	const struct json *vm, const char *what, const char *wanted_secret)
{
	JSON_FOR_EACH_ITEM(it, json_path(vm, "spec.template.spec.accessCredentials")) {
		const struct json *agent =
			json_path(json_get(it, what), "propagationMethod.qemuGuestAgent");
		const char *secret = json_path_str(json_get(it, what), "source.secret.secretName");
		if (agent && secret && (!wanted_secret || streq(secret, wanted_secret)))
			return it;
	}
	return NULL;
}

static int credential_secret(struct virt *v, const struct virt_target *t, const char *what,
	const char **ret, struct json **ret_vm, struct err *err)
{
	int r = virt_get(v,
		virt_path(v, "kubevirt.io/v1", t->namespace, "virtualmachines", t->name, NULL),
		ret_vm, err);
	if (r < 0)
		return r;
	const char *wanted = virt_value(v, "secret");
	const struct json *it = find_credential(*ret_vm, what, wanted);
	*ret = it ? json_path_str(json_get(it, what), "source.secret.secretName") : NULL;
	if (!*ret && wanted && !virt_has(v, "create-secret") && !virt_has(v, "update-secret"))
		return err_set(err, -ENOENT,
			"the virtual machine has no %s in accessCredentials from secret '%s' by "
			"the guest agent",
			what, wanted);
	return 0;
}

struct credential {
	const char *what, *secret, *user;
};

static int add_credential(struct virt *v, struct json *vm, void *user, struct err *err)
{
	const struct credential *c = user;
	struct arena *a = &v->arena;
	struct json *spec = json_object_at(
		a, json_object_at(a, json_object_at(a, vm, "spec"), "template"), "spec");
	struct json *item = json_new_object(a), *body = json_object_at(a, item, c->what), *agent;
	json_path_set(a, body, "source.secret.secretName", json_new_string(a, c->secret));
	agent = json_object_at(a, json_object_at(a, body, "propagationMethod"), "qemuGuestAgent");
	if (streq(c->what, "sshPublicKey"))
		json_push(a, json_array_at(a, agent, "users"), json_new_string(a, c->user));
	json_push(a, json_array_at(a, spec, "accessCredentials"), item);
	return 0;
}

/* Makes the secret and its place in the VM where they are not there. *ret_new: the machine was
 * changed, and its instance, which is there, takes no notice. */
static int ensure_secret(struct virt *v, const struct virt_target *t, const char *what,
	const char *user, const char **ret, bool *ret_new, struct err *err)
{
	struct json *vm;
	struct arena *a = &v->arena;
	int r = credential_secret(v, t, what, ret, &vm, err);
	*ret_new = false;
	if (r < 0 || *ret)
		return r;
	*ret_new = json_path_bool(vm, "status.created", false);
	struct json *secret = json_new_object(a);
	const char *name =
		virt_value(v, "secret")
			?: arena_printf(a, "%s-%s", t->name,
				   streq(what, "userPassword") ? "passwords" : "ssh-keys");
	json_set_str(a, secret, "apiVersion", "v1");
	json_set_str(a, secret, "kind", "Secret");
	json_path_set(a, secret, "metadata.name", json_new_string(a, name));
	struct json *owner = json_new_object(a);
	json_set_str(a, owner, "apiVersion", "kubevirt.io/v1");
	json_set_str(a, owner, "kind", "VirtualMachine");
	json_set_str(a, owner, "name", t->name);
	json_set_str(a, owner, "uid", json_path_str(vm, "metadata.uid") ?: "");
	json_push(a, json_array_at(a, json_get(secret, "metadata"), "ownerReferences"), owner);
	r = virt_send(v, "POST", virt_path(v, "v1", t->namespace, "secrets", NULL, NULL), NULL,
		secret, NULL, err);
	if (r < 0 && r != -EEXIST)
		return r;
	struct credential c = {what, name, user};
	*ret = name;
	return virt_update(v,
		virt_path(v, "kubevirt.io/v1", t->namespace, "virtualmachines", t->name, NULL),
		add_credential, &c, err);
}

static int set_secret_key(struct virt *v, const struct virt_target *t, const char *secret,
	const char *key, const char *value, struct err *err)
{
	struct arena *a = &v->arena;
	struct json *patch = json_new_object(a), *data = json_object_at(a, patch, "data");
	json_set(a, data, key,
		value ? json_new_string(a, base64_encode(a, value, strlen(value)))
		      : json_new_null(a));
	return virt_send(v, "PATCH", virt_path(v, "v1", t->namespace, "secrets", secret, NULL),
		VIRT_MERGE_PATCH, patch, NULL, err);
}

#define AT_NEXT_START "; the guest gets it when the machine is restarted"

static int set_password(struct virt *v, struct err *err)
{
	const char *user = virt_value(v, "user"), *password = virt_value(v, "password"), *secret;
	bool is_new = false;
	struct virt_target t;
	if (!user || !password)
		return virt_misuse(v, err, "--user and --password are needed");
	int r = virt_target(v, v->args[0], &t, err);
	if (r == 0)
		r = ensure_secret(v, &t, "userPassword", user, &secret, &is_new, err);
	if (r == 0)
		r = set_secret_key(v, &t, secret, user, password, err);
	if (r < 0)
		return err_context(
			err, r, "password of '%s' in virtual machine '%s'", user, t.name);
	virt_say(&t, arena_printf(&v->arena, "password of %s is in secret %s%s", user, secret,
			     is_new ? AT_NEXT_START : ""));
	return 0;
}

/* The key's text: --value, or a file. */
static int key_text(struct virt *v, const char **ret, struct err *err)
{
	const char *file = virt_value(v, "file");
	struct str text;
	*ret = virt_value(v, "value");
	if (!*ret && !file)
		return virt_misuse(v, err, "--file or --value is needed: an ssh public key");
	if (*ret)
		return 0;
	int r = file_load(&v->arena, file, 64 << 10, &text, err);
	if (r < 0)
		return r;
	while (text.size && strchr("\r\n ", text.p[text.size - 1]))
		text.size--;
	*ret = arena_printf(&v->arena, STR_FMT, STR_ARG(text));
	return 0;
}

static int add_ssh_key(struct virt *v, struct err *err)
{
	const char *user = virt_value(v, "user"), *key, *secret;
	bool is_new = false;
	struct virt_target t;
	if (!user)
		return virt_misuse(v, err, "--user is needed");
	int r = virt_target(v, v->args[0], &t, err);
	if (r == 0)
		r = key_text(v, &key, err);
	if (r == 0)
		r = ensure_secret(v, &t, "sshPublicKey", user, &secret, &is_new, err);
	if (r == 0)
		r = set_secret_key(v, &t, secret,
			arena_printf(&v->arena, "key-%08x", fnv1a_32(key, strlen(key))), key, err);
	if (r < 0)
		return err_context(err, r, "ssh key for virtual machine '%s'", v->args[0]);
	virt_say(&t, arena_printf(&v->arena, "the key for %s is in secret %s%s", user, secret,
			     is_new ? AT_NEXT_START : ""));
	return 0;
}

static int remove_ssh_key(struct virt *v, struct err *err)
{
	const char *key, *secret;
	struct virt_target t;
	struct json *vm, *found;
	int r = virt_target(v, v->args[0], &t, err);
	if (r == 0)
		r = key_text(v, &key, err);
	if (r == 0)
		r = credential_secret(v, &t, "sshPublicKey", &secret, &vm, err);
	if (r < 0)
		return r;
	if (!secret)
		return err_set(err, -ENOENT,
			"virtual machine '%s' has no ssh keys by the guest agent", t.name);
	r = virt_get(v, virt_path(v, "v1", t.namespace, "secrets", secret, NULL), &found, err);
	if (r < 0)
		return r;
	const char *coded = base64_encode(&v->arena, key, strlen(key));
	bool removed = false;
	JSON_FOR_EACH_MEMBER(m, json_get(found, "data")) {
		if (r == 0 && streq(json_str_or(m->value, ""), coded)) {
			r = set_secret_key(v, &t, secret, m->name, NULL, err);
			removed = true;
		}
	}
	if (r < 0)
		return r;
	if (!removed)
		return err_set(err, -ENOENT, "secret '%s' does not hold that key", secret);
	virt_say(&t, arena_printf(&v->arena, "the key is out of secret %s", secret));
	return 0;
}

/* virtctl's form: credentials VERB NAME. */
static int credentials(struct virt *v, struct err *err)
{
	static const struct {
		const char *word;
		int (*run)(struct virt *v, struct err *err);
	} verbs[] = {{"set-password", set_password}, {"password", set_password},
		{"add-ssh-key", add_ssh_key}, {"remove-ssh-key", remove_ssh_key}};
	const char *word = v->args[0];
	v->args++;
	v->arg_count--;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (streq(word, verbs[i].word))
			return verbs[i].run(v, err);
	return virt_misuse(v, err, "credentials: set-password, add-ssh-key or remove-ssh-key");
}

static const struct virt_flag freeze_flags[] = {
	{"unfreeze-timeout", 0, "SECONDS", "thawed by itself after that; default 300"}, {0}};
static const struct virt_flag exec_flags[] = {
	{"timeout", 0, "SECONDS", "for the command; default 30"}, {0}};
static const struct virt_flag credential_flags[] = {
	{"user", 0, "USER", "in the guest"},
	{"password", 0, "PASSWORD", "set-password: the new one"},
	{"file", 'f', "FILE", "the ssh public key"},
	{"value", 0, "KEY", "the ssh public key itself"},
	{"secret", 0, "NAME", "where it is kept; default: the one that the machine names"},
	{"create-secret", 0, NULL, "as virtctl has it: a secret is made where none is"},
	{"update-secret", 0, NULL, "the same"},
	{"force", 0, NULL, "the same"},
	{0},
};

const struct virt_verb virt_guest_verbs[] = {
	{"guestosinfo", "NAME", 1, 1, "what the guest agent says of the system", guestosinfo, NULL,
		false},
	{"userlist", "NAME", 1, 1, "who is logged in", userlist, NULL, false},
	{"fslist", "NAME", 1, 1, "its file systems", fslist, NULL, false},
	{"exec", "NAME -- COMMAND [ARGUMENT...]", 2, VIRT_ANY, "run a command in the guest",
		vm_exec, exec_flags, false},
	{"freeze", "NAME", 1, 1, "let its file systems stand still, complete on disk", freeze,
		freeze_flags, false},
	{"unfreeze|thaw", "NAME", 1, 1, "let them go on", unfreeze, NULL, false},
	{"set-password|password", "NAME", 1, 1, "set a user's password", set_password,
		credential_flags, false},
	{"add-ssh-key", "NAME", 1, 1, "let a key in", add_ssh_key, credential_flags, false},
	{"remove-ssh-key", "NAME", 1, 1, "no longer", remove_ssh_key, credential_flags, false},
	{"credentials", "set-password|add-ssh-key|remove-ssh-key NAME", 2, 2,
		"the same, in virtctl's words", credentials, credential_flags, false},
	{0},
};
