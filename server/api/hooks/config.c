/* config.c - ConfigMap, Secret, ServiceAccount. */
#include "server/api/auth/auth.h"
#include "server/api/hooks/hooks_internal.h"

#define DATA_MAX_BYTES (1u << 20)

static void check_unchanged(
	struct hook *h, const struct json *doc, const struct json *old, const char *const *fields)
{
	if (!json_path_bool(old, "immutable", false))
		return;
	if (!json_path_bool(doc, "immutable", false))
		field_error(h->errors, FIELD_FORBIDDEN, "immutable", NULL,
			"field is immutable when `immutable` is set");
	for (size_t i = 0; fields[i]; i++) {
		const struct json *now = json_get(doc, fields[i]), *was = json_get(old, fields[i]);
		if (json_count(now) == 0 && json_count(was) == 0)
			continue;
		if (!json_equal(now, was))
			field_error(h->errors, FIELD_FORBIDDEN, fields[i], NULL,
				"field is immutable when `immutable` is set");
	}
}

static size_t decoded_bytes(const struct json *text)
{
	const char *s = json_str_or(text, "");
	size_t size = strlen(s), pad = 0;
	while (pad < 2 && size > pad && s[size - 1 - pad] == '=')
		pad++;
	return size / 4 * 3 - MIN(pad, size / 4 * 3);
}

static void check_only_here(struct hook *h, const struct json *doc, const struct json_member *m,
	const char *here, const char *there)
{
	if (json_get_n(json_get(doc, there), m->name, m->name_size))
		field_error(h->errors, FIELD_INVALID,
			arena_printf(h->arena, "%s[%s]", here, m->name),
			json_new_string(h->arena, m->name), "duplicate of key present in %s",
			there);
}

static void config_map_validate(struct hook *h, const struct json *doc)
{
	size_t total = 0;
	JSON_FOR_EACH_MEMBER(m, json_get(doc, "data")) {
		total += json_is(m->value, JSON_STRING) ? m->value->count : 0;
		check_only_here(h, doc, m, "data", "binaryData");
	}
	JSON_FOR_EACH_MEMBER(m, json_get(doc, "binaryData")) {
		total += decoded_bytes(m->value);
		check_only_here(h, doc, m, "binaryData", "data");
	}
	if (total > DATA_MAX_BYTES)
		field_error(h->errors, FIELD_TOO_LONG, "[]", NULL, "may not be more than %u bytes",
			DATA_MAX_BYTES);
}

static void config_map_validate_update(
	struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const fields[] = {"data", "binaryData", NULL};
	check_unchanged(h, doc, old, fields);
}

static struct json *data_cell(const struct table_row *row, const char *column)
{
	if (!streq(column, "Data"))
		return NULL;
	return cell_text(row, "%zu",
		json_count(json_get(row->doc, "data")) +
			json_count(json_get(row->doc, "binaryData")));
}

const struct kind_hooks hooks_config_map = {
	.group = "",
	.kind = "ConfigMap",
	.validate = config_map_validate,
	.validate_update = config_map_validate_update,
	.cell = data_cell,
};

static void secret_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	const struct json *plain = json_get(doc, "stringData");
	JSON_FOR_EACH_MEMBER(m, plain) {
		const char *text = json_str_or(m->value, "");
		size_t size = json_is(m->value, JSON_STRING) ? m->value->count : 0;
		json_set_n(a, json_object_at(a, doc, "data"), m->name, m->name_size,
			json_new_string(a, base64_encode(a, text, size)));
	}
	json_remove(doc, "stringData");
	if (!*json_str_or(json_get(doc, "type"), ""))
		json_set_str(a, doc, "type", "Opaque");
}

static void need_key(struct hook *h, const struct json *doc, const char *key)
{
	if (!json_get(json_get(doc, "data"), key))
		field_error(h->errors, FIELD_REQUIRED, arena_printf(h->arena, "data[%s]", key),
			NULL, NULL);
}

/* A registry's credentials are JSON with an object in it. */
static void need_docker_config(struct hook *h, const struct json *doc, const char *key)
{
	need_key(h, doc, key);
	const char *text = json_str(json_get(json_get(doc, "data"), key));
	char *plain;
	size_t size;
	struct json *parsed;
	if (text && (base64_decode(h->arena, str_from(text), &plain, &size) < 0 ||
			    json_parse(h->arena, plain, size, NULL, &parsed, NULL) < 0))
		field_error(h->errors, FIELD_INVALID, arena_printf(h->arena, "data[%s]", key),
			json_new_string(h->arena, "<secret contents redacted>"), "invalid JSON");
}

static void secret_validate(struct hook *h, const struct json *doc)
{
	const char *type = json_str_or(json_get(doc, "type"), "");
	const struct json *data = json_get(doc, "data");
	size_t total = 0;
	JSON_FOR_EACH_MEMBER(m, data)
		total += decoded_bytes(m->value);
	if (total > DATA_MAX_BYTES)
		field_error(h->errors, FIELD_TOO_LONG, "data", NULL,
			"may not be more than %u bytes", DATA_MAX_BYTES);
	if (streq(type, "kubernetes.io/tls")) {
		need_key(h, doc, "tls.crt");
		need_key(h, doc, "tls.key");
	} else if (streq(type, "kubernetes.io/dockerconfigjson")) {
		need_docker_config(h, doc, ".dockerconfigjson");
	} else if (streq(type, "kubernetes.io/dockercfg")) {
		need_docker_config(h, doc, ".dockercfg");
	} else if (streq(type, "kubernetes.io/ssh-auth")) {
		if (!*json_str_or(json_get(data, "ssh-privatekey"), ""))
			field_error(h->errors, FIELD_REQUIRED, "data[ssh-privatekey]", NULL, NULL);
	} else if (streq(type, "kubernetes.io/basic-auth") && !json_get(data, "username") &&
		   !json_get(data, "password")) {
		need_key(h, doc, "username");
		need_key(h, doc, "password");
	} else if (streq(type, "kubernetes.io/service-account-token")) {
		const char *account = json_str(json_get(json_path(doc, "metadata.annotations"),
			"kubernetes.io/service-account.name"));
		if (!account || !*account)
			field_error(h->errors, FIELD_REQUIRED,
				"metadata.annotations[kubernetes.io/service-account.name]", NULL,
				NULL);
	}
}

static void secret_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const fields[] = {"data", NULL};
	check_unchanged(h, doc, old, fields);
	if (!json_equal(json_get(doc, "type"), json_get(old, "type")))
		field_immutable(h, "type", json_get(doc, "type"));
}

static int secret_prepare_create(struct hook *h, struct json *doc)
{
	token_secret_fill(h, doc);
	return 0;
}

static int secret_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	token_secret_fill(h, doc);
	return 0;
}

const struct kind_hooks hooks_secret = {
	.group = "",
	.kind = "Secret",
	.set_defaults = secret_defaults,
	.prepare_create = secret_prepare_create,
	.prepare_update = secret_prepare_update,
	.validate = secret_validate,
	.validate_update = secret_validate_update,
	.cell = data_cell,
};

static struct json *account_cell(const struct table_row *row, const char *column)
{
	return streq(column, "Secrets")
		       ? cell_text(row, "%zu", json_count(json_get(row->doc, "secrets")))
		       : NULL;
}

const struct kind_hooks hooks_service_account = {
	.group = "",
	.kind = "ServiceAccount",
	.cell = account_cell,
	.delete_returns_object = true,
};
