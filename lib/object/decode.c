#include "lib/object/check_internal.h"
#include "lib/object/protobuf.h"

static const char scheme[] = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30";

struct decode {
	const struct kind_registry *registry;
	const struct kind *kind;
	struct arena *arena;
	const char *body;
	size_t size;
	struct json *duplicates; /* paths, NULL while none */
	struct status *st;
};

static void on_duplicate(void *user, const char *path)
{
	struct decode *d = user;

	if (!d->duplicates)
		d->duplicates = json_new_array(d->arena);
	if (json_count(d->duplicates) < 100)
		json_push(d->arena, d->duplicates, json_new_string(d->arena, path));
}

/* The beginning of the body for an error message: text when it is JSON, else hexadecimal. */
static const char *summary(struct decode *d)
{
	const size_t limit = 30;
	size_t shown = MIN(d->size, limit);
	const char *more = d->size > limit ? " ..." : "";

	if (d->size == 0)
		return "<empty>";
	if (d->body[0] == '{' && utf8_valid(d->body, shown))
		return arena_printf(d->arena, "%.*s%s", (int)shown, d->body, more);
	return arena_printf(d->arena, "%s%s", hex_encode(d->arena, d->body, shown), more);
}

static int refuse_body(struct decode *d, const char *form, const struct err *err)
{
	const char *msg = err->msg, *after;
	int64_t offset;

	/* Too deep is bad text, not too much of it. */
	if (err->code == -E2BIG && d->size > JSON_LIMITS_DEFAULT.size_bytes)
		return status_set(d->arena, d->st, 413, "RequestEntityTooLarge",
			"Request entity too large: %s", msg);
	/* A text that merely ends too soon has its own words in Go. */
	after = str_has_prefix(msg, "offset ") ? strchr(msg, ':') : NULL;
	if (after && parse_i64((struct str){msg + 7, (size_t)(after - msg - 7)}, &offset) == 0 &&
		(size_t)offset >= d->size)
		msg = "unexpected end of JSON input";
	return status_bad_request(d->arena, d->st,
		"the object provided is unrecognized (must be of type %s): couldn't get "
		"version/kind; %s "
		"parse error: %s (%s)",
		d->kind->kind, form, msg, summary(d));
}

static bool is_type(const char *content_type, const char *type)
{
	size_t size = strlen(type);

	return strncasecmp(content_type, type, size) == 0 &&
	       (content_type[size] == '\0' || content_type[size] == ';' ||
		       content_type[size] == ' ');
}

static int parse_body(struct decode *d, const char *content_type, struct json **ret)
{
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	struct err err = ERR_INIT;

	limits.on_duplicate = on_duplicate;
	limits.user = d;
	if (is_type(content_type, "application/json")) {
		if (json_parse(d->arena, d->body, d->size, &limits, ret, &err) < 0)
			return refuse_body(d, "json", &err);
	} else if (is_type(content_type, "application/yaml")) {
		if (yaml_parse(d->arena, d->body, d->size, &limits, ret, &err) < 0)
			return refuse_body(d, "yaml", &err);
	} else if (is_type(content_type, "application/vnd.kubernetes.protobuf")) {
		if (protobuf_decode(d->arena, d->body, d->size, ret, &err) < 0)
			return refuse_body(d, "protobuf", &err);
	} else {
		return status_set(d->arena, d->st, 415, "UnsupportedMediaType",
			"the body of the request was in an unknown format - accepted media types "
			"include: "
			"application/json, application/yaml, application/vnd.kubernetes.protobuf");
	}
	if (!json_is(*ret, JSON_OBJECT)) {
		err_set(&err, -EINVAL, "the body must be one object");
		return refuse_body(d, "json", &err);
	}
	return 0;
}

/* The first part of a group's name, as Go packages are called; "core" for the core group. */
static const char *package_of(struct decode *d, const char *group)
{
	return group[0] ? arena_printf(d->arena, "%.*s", (int)strcspn(group, "."), group) : "core";
}

/* Options may come as the kind of any group: clients write "v1" or "meta.k8s.io/v1" or their own.
 */
static bool is_meta_kind(const struct kind *k)
{
	return streq(k->group, "meta.k8s.io");
}

static int check_type_meta(struct decode *d, struct json *doc)
{
	const struct json *kind = json_get(doc, "kind"), *gv = json_get(doc, "apiVersion");
	const char *kind_text = json_str_or(kind, ""), *gv_text = json_str_or(gv, "");
	const struct kind *k = d->kind;
	char group[128], version[64];

	if ((kind && kind->type != JSON_STRING && kind->type != JSON_NULL) ||
		(gv && gv->type != JSON_STRING && gv->type != JSON_NULL)) {
		struct err err = ERR_INIT;

		err_set(&err, -EINVAL,
			"json: cannot unmarshal non-string into Go struct field .%s of type string",
			kind && kind->type != JSON_STRING ? "kind" : "apiVersion");
		return refuse_body(d, "json", &err);
	}
	if (!kind_text[0])
		json_set_str(d->arena, doc, "kind", k->kind);
	if (!gv_text[0])
		json_set_str(d->arena, doc, "apiVersion", k->gv);
	kind_text = kind_text[0] ? kind_text : k->kind;
	gv_text = gv_text[0] ? gv_text : k->gv;
	if (streq(kind_text, k->kind) && (streq(gv_text, k->gv) || is_meta_kind(k)))
		return 0;
	if (strlen(gv_text) >= 128 || strchr(gv_text, '/') != strrchr(gv_text, '/'))
		return status_bad_request(d->arena, d->st,
			"the object provided is unrecognized (must be of type %s): couldn't get "
			"version/kind; unexpected GroupVersion string: %.128s (%s)",
			k->kind, gv_text, summary(d));
	gv_split(gv_text, group, version);
	if (kind_by_name(d->registry, group, version, kind_text))
		return status_bad_request(d->arena, d->st,
			"%s in version \"%s\" cannot be handled as a %s: converting (%s.%s) to "
			"(%s.%s): "
			"unknown conversion",
			kind_text, version, k->kind, version, kind_text, package_of(d, k->group),
			k->kind);
	return status_bad_request(d->arena, d->st,
		"%.256s in version \"%s\" cannot be handled as a %s: no kind \"%.256s\" is "
		"registered for "
		"version \"%s\" in scheme \"%s\"",
		kind_text, version, k->kind, kind_text, gv_text, scheme);
}

int object_decode(const struct kind_registry *r, const struct kind *k, struct arena *a,
	const char *content_type, const char *body, size_t size,
	const struct decode_options *options, struct json **ret, struct status *st)
{
	struct field_errors errors = {.arena = a};
	struct decode d = {
		.registry = r,
		.kind = k,
		.arena = a,
		.body = body,
		.size = size,
		.st = st,
	};
	struct json *doc;
	int n;

	n = parse_body(&d, content_type, &doc);
	if (n < 0)
		return n;
	n = check_type_meta(&d, doc);
	if (n < 0)
		return n;
	n = object_check_with(k, a, doc, options, d.duplicates, &errors, st);
	if (n < 0)
		return n;
	if (field_error_count(&errors) > 0)
		return status_invalid(
			a, st, k, json_str_or(json_path(doc, "metadata.name"), ""), &errors);
	*ret = doc;
	return 0;
}
