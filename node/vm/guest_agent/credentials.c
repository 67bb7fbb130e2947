#include "node/vm/guest_agent/credentials.h"

#include <ctype.h>

#include "node/vm/guest_agent/agent_facts.h"

#define KEYS_MAX 256
#define VALUE_MAX_BYTES (64u << 10)

static const struct json *by_agent(const struct json *credential, const char *what)
{
	return json_path(json_get(credential, what), "propagationMethod.qemuGuestAgent");
}

static const char *secret_of(const struct json *credential, const char *what)
{
	return json_str(json_path(json_get(credential, what), "source.secret.secretName"));
}

bool credentials_wanted(const struct json *spec)
{
	JSON_FOR_EACH_ITEM(it, json_get(spec, "accessCredentials"))
		if (by_agent(it, "sshPublicKey") || by_agent(it, "userPassword"))
			return true;
	return false;
}

struct json *credentials_secrets(struct arena *a, const struct json *spec)
{
	static const char *const kinds[] = {"sshPublicKey", "userPassword"};
	struct json *doc = json_new_object(a);
	struct json *list = json_array_at(a, json_object_at(a, doc, "spec"), "imagePullSecrets");

	JSON_FOR_EACH_ITEM(it, json_get(spec, "accessCredentials"))
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			const char *name = secret_of(it, kinds[k]);
			struct json *one;
			bool known = false;

			if (!by_agent(it, kinds[k]) || !name)
				continue;
			JSON_FOR_EACH_ITEM(other, list)
				known |= streq(json_str(json_get(other, "name")), name);
			if (known)
				continue;
			one = json_new_object(a);
			json_set_str(a, one, "name", name);
			json_push(a, list, one);
		}
	return doc;
}

/* A user's name goes to programs in the guest. */
static bool user_ok(const char *s)
{
	size_t size = 0;

	for (; *s; s++, size++)
		if ((unsigned char)*s <= 0x20 || *s == 0x7f || strchr(":/\\", *s))
			return false;
	return size > 0 && size <= 256;
}

static int decode(struct arena *a, const char *secret, const struct json_member *m, char **ret,
	size_t *ret_size, struct err *err)
{
	if (!json_is(m->value, JSON_STRING) ||
		base64_decode(a, (struct str){m->value->s, m->value->count}, ret, ret_size) < 0)
		return err_set(err, -EINVAL, "secret '%s': '%s' is not base64", secret, m->name);
	if (*ret_size > VALUE_MAX_BYTES)
		return err_set(err, -E2BIG, "secret '%s': '%s' has more than %u bytes", secret,
			m->name, VALUE_MAX_BYTES);
	return 0;
}

static struct credential *of_user(struct arena *a, struct credential *all, int *count, bool keys,
	const char *user, struct err *err)
{
	struct json *arguments;

	for (int i = 0; i < *count; i++)
		if (all[i].keys == keys && streq(all[i].user, user))
			return &all[i];
	if (!user_ok(user)) {
		err_set(err, -EINVAL, "accessCredentials: '%s' is not the name of a user", user);
		return NULL;
	}
	if (*count == CREDENTIALS_MAX) {
		err_set(err, -E2BIG, "accessCredentials: more than %d users", CREDENTIALS_MAX);
		return NULL;
	}
	arguments = json_new_object(a);
	json_set_str(a, arguments, "username", user);
	all[*count] = (struct credential){.keys = keys,
		.user = arena_strdup(a, user),
		.command = keys ? "guest-ssh-add-authorized-keys" : "guest-set-user-password",
		.arguments = arguments};
	return &all[(*count)++];
}

/* Lines of authorized_keys; empty ones and comments are nothing. */
static int add_keys(struct arena *a, struct json *list, const char *text, struct err *err)
{
	struct str rest = str_from(text), line;

	while (str_split(&rest, '\n', &line)) {
		while (line.size && isspace((unsigned char)line.p[line.size - 1]))
			line.size--;
		while (line.size && isspace((unsigned char)*line.p))
			line = (struct str){line.p + 1, line.size - 1};
		if (!line.size || *line.p == '#')
			continue;
		if (json_count(list) == KEYS_MAX)
			return err_set(err, -E2BIG, "more than %d keys", KEYS_MAX);
		json_push(a, list, json_new_string_n(a, line.p, line.size));
	}
	return 0;
}

static int read_keys(struct arena *a, const struct json *credential, const char *name,
	const struct json *data, struct credential *all, int *count, struct err *err)
{
	const struct json *users = json_get(by_agent(credential, "sshPublicKey"), "users");

	JSON_FOR_EACH_ITEM(user, users) {
		struct credential *c = of_user(a, all, count, true, json_str_or(user, ""), err);
		struct json *arguments, *list;

		if (!c)
			return err ? err->code : -EINVAL;
		arguments = (struct json *)c->arguments;
		list = json_array_at(a, arguments, "keys");
		json_set_bool(a, arguments, "reset", true);
		JSON_FOR_EACH_MEMBER(m, data) {
			char *text;
			size_t size;
			int r = decode(a, name, m, &text, &size, err);

			if (r == 0 && (strlen(text) != size || !utf8_valid(text, size)))
				r = err_set(err, -EINVAL, "secret '%s': '%s' is not text", name,
					m->name);
			if (r == 0)
				r = add_keys(a, list, text, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int read_passwords(struct arena *a, const char *name, const struct json *data,
	struct credential *all, int *count, struct err *err)
{
	JSON_FOR_EACH_MEMBER(m, data) {
		struct credential *c;
		struct json *arguments;
		char *text;
		size_t size, from = 0;
		int r = decode(a, name, m, &text, &size, err);

		if (r < 0)
			return r;
		while (size > from && isspace((unsigned char)text[size - 1]))
			size--;
		while (from < size && isspace((unsigned char)text[from]))
			from++;
		if (from == size)
			continue;
		c = of_user(a, all, count, false, m->name, err);
		if (!c)
			return err ? err->code : -EINVAL;
		arguments = (struct json *)c->arguments;
		json_set_str(a, arguments, "password", base64_encode(a, text + from, size - from));
		json_set_bool(a, arguments, "crypted", false);
	}
	return 0;
}

int credentials_read(struct arena *a, const struct json *spec, credentials_secret *secret,
	void *user, struct credential ret[CREDENTIALS_MAX], struct err *err)
{
	struct err why = ERR_INIT;
	int count = 0, r = 0;

	JSON_FOR_EACH_ITEM(it, json_get(spec, "accessCredentials")) {
		const char *what = by_agent(it, "sshPublicKey")	  ? "sshPublicKey"
				   : by_agent(it, "userPassword") ? "userPassword"
								  : NULL;
		const char *name = what ? secret_of(it, what) : NULL;
		const struct json *value, *data;

		if (!name)
			continue;
		value = secret(user, name);
		data = json_get(value, "data");
		if (!value)
			r = err_set(&why, -ENOENT, "secret '%s' is not there", name);
		else if (streq(what, "sshPublicKey"))
			r = read_keys(a, it, name, data, ret, &count, &why);
		else
			r = read_passwords(a, name, data, ret, &count, &why);
		if (r < 0)
			return err_set(err, r, "%s", why.msg);
	}
	return count;
}

struct json *credentials_keys_program(
	struct arena *a, const struct credential *c, const char **ret_input)
{
	static const char script[] = "set -e; umask 077; cd; mkdir -p .ssh; chmod 700 .ssh; "
				     "cat >.ssh/.authorized_keys.new; "
				     "mv -f .ssh/.authorized_keys.new .ssh/authorized_keys";
	const char *const words[] = {"su", "-s", "/bin/sh", "-c", script, "--", c->user};
	_cleanup_(buf_finish) struct buf input = BUF_INIT;
	struct json *command = json_new_array(a);

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		json_push(a, command, json_new_string(a, words[i]));
	JSON_FOR_EACH_ITEM(key, json_get(c->arguments, "keys"))
		buf_printf(&input, "%s\n", json_str_or(key, ""));
	*ret_input = arena_memdup(a, input.data ? input.data : "", input.size);
	return command;
}

bool credentials_need_program(const struct json *info)
{
	return info && !agent_offers(info, "guest-ssh-add-authorized-keys") &&
	       agent_offers(info, "guest-exec") && agent_offers(info, "guest-exec-status");
}
