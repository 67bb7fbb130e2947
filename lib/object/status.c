#include "lib/object/status.h"

#include "lib/base/table.h"

/* The longest text of values and messages that a Status repeats: bodies may be 3 MiB. */
#define SHOWN_BYTES_MAX 4096

/* As Go's %q writes a string. */
static void add_quoted(struct buf *out, const char *s, size_t size)
{
	size_t shown = MIN(size, (size_t)SHOWN_BYTES_MAX);

	while (shown < size && shown > 0 && ((unsigned char)s[shown] & 0xc0) == 0x80)
		shown--; /* not within a character */
	buf_add_char(out, '"');
	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '\n')
			buf_add_str(out, "\\n");
		else if (c == '\t')
			buf_add_str(out, "\\t");
		else if (c == '\r')
			buf_add_str(out, "\\r");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else
			buf_add_char(out, (char)c);
	}
	buf_add_char(out, '"');
}

static bool all_strings(const struct json *v)
{
	JSON_FOR_EACH_ITEM(it, v)
		if (it->type != JSON_STRING)
			return false;
	JSON_FOR_EACH_MEMBER(m, v)
		if (m->value->type != JSON_STRING)
			return false;
	return true;
}

static int member_compare(const void *a, const void *b)
{
	const struct json_member *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void add_string_map(struct arena *a, struct buf *out, const struct json *v)
{
	size_t count = json_count(v);
	struct json_member *sorted = arena_alloc(a, MAX(count, 1) * sizeof(*sorted));

	memcpy(sorted, v->members, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), member_compare);
	buf_add_str(out, "map[string]string{");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_str(out, ", ");
		add_quoted(out, sorted[i].name, sorted[i].name_size);
		buf_add_char(out, ':');
		add_quoted(out, sorted[i].value->s, sorted[i].value->count);
	}
	buf_add_char(out, '}');
}

/* The text would be longer than *left bytes; found without writing it. */
static bool is_longer(const struct json *v, size_t *left)
{
	size_t own = v->type == JSON_STRING ? v->count : 1;
	if (own > *left)
		return true;
	*left -= own;
	if (v->type == JSON_ARRAY)
		for (uint32_t i = 0; i < v->count; i++)
			if (is_longer(v->items[i], left))
				return true;
	if (v->type == JSON_OBJECT)
		for (uint32_t i = 0; i < v->count; i++)
			if (v->members[i].name_size > *left || is_longer(v->members[i].value, left))
				return true;
	return false;
}

/* As Go's %#v writes simple values; others as JSON. */
static void add_value(struct arena *a, struct buf *out, const struct json *v)
{
	size_t before = out->size;

	switch (v->type) {
	case JSON_NULL:
		buf_add_str(out, "null");
		return;
	case JSON_STRING:
		add_quoted(out, v->s, v->count);
		return;
	case JSON_ARRAY:
		if (!all_strings(v))
			break;
		buf_add_str(out, "[]string{");
		for (size_t i = 0; i < v->count && out->size - before < SHOWN_BYTES_MAX; i++) {
			if (i > 0)
				buf_add_str(out, ", ");
			add_quoted(out, v->items[i]->s, v->items[i]->count);
		}
		buf_add_char(out, '}');
		return;
	case JSON_OBJECT:
		if (v->count == 0 || v->count > 64 || !all_strings(v))
			break;
		add_string_map(a, out, v);
		return;
	case JSON_BOOL:
	case JSON_INT:
	case JSON_DOUBLE:
		break;
	}
	size_t left = SHOWN_BYTES_MAX;
	bool longer = is_longer(v, &left);
	if (!longer)
		json_write(out, v);
	if (longer || out->size - before > SHOWN_BYTES_MAX) {
		out->size = before;
		buf_add_str(out, v->type == JSON_ARRAY ? "[...]" : "{...}");
	}
}

void field_error_v(struct field_errors *e, enum field_error_type type, const char *field,
	const struct json *value, const char *detail_fmt, va_list ap)
{
	static const struct {
		const char *reason, *text;
		bool shows_value;
	} types[] = {
		[FIELD_REQUIRED] = {"FieldValueRequired", "Required value", false},
		[FIELD_INVALID] = {"FieldValueInvalid", "Invalid value", true},
		[FIELD_NOT_SUPPORTED] = {"FieldValueNotSupported", "Unsupported value", true},
		[FIELD_DUPLICATE] = {"FieldValueDuplicate", "Duplicate value", true},
		[FIELD_FORBIDDEN] = {"FieldValueForbidden", "Forbidden", false},
		[FIELD_TOO_LONG] = {"FieldValueTooLong", "Too long", false},
		[FIELD_TOO_MANY] = {"FieldValueTooMany", "Too many", true},
		[FIELD_NOT_FOUND] = {"FieldValueNotFound", "Not found", true},
		[FIELD_TYPE_INVALID] = {"FieldValueTypeInvalid", "Invalid value", true},
	};
	_cleanup_(buf_finish) struct buf message = BUF_INIT;
	struct arena *a = e->arena;

	if (json_count(e->causes) >= FIELD_ERRORS_MAX)
		return;
	struct json *cause = json_new_object(a);
	buf_add_str(&message, types[type].text);
	if (value && types[type].shows_value) {
		buf_add_str(&message, ": ");
		add_value(a, &message, value);
	}
	if (detail_fmt && detail_fmt[0]) {
		buf_add_str(&message, ": ");
		buf_vprintf(&message, detail_fmt, ap);
	}
	json_set_str(a, cause, "reason", types[type].reason);
	json_set(a, cause, "message", json_new_string_n(a, message.data, message.size));
	json_set_str(a, cause, "field", field);
	if (!e->causes)
		e->causes = json_new_array(a);
	json_push(a, e->causes, cause);
}

void field_error(struct field_errors *e, enum field_error_type type, const char *field,
	const struct json *value, const char *detail_fmt, ...)
{
	va_list ap;

	va_start(ap, detail_fmt);
	field_error_v(e, type, field, value, detail_fmt, ap);
	va_end(ap);
}

size_t field_error_count(const struct field_errors *e)
{
	return json_count(e->causes);
}

static struct json *new_status(struct arena *a, const char *outcome)
{
	struct json *doc = json_new_object(a);

	json_set_str(a, doc, "kind", "Status");
	json_set_str(a, doc, "apiVersion", "v1");
	json_set(a, doc, "metadata", json_new_object(a));
	json_set_str(a, doc, "status", outcome);
	return doc;
}

static int fill(struct arena *a, struct status *st, int code, const char *reason,
	const char *message, struct json *details)
{
	struct json *doc = new_status(a, "Failure");

	json_set_str(a, doc, "message", message);
	if (reason && reason[0])
		json_set_str(a, doc, "reason", reason);
	if (details)
		json_set(a, doc, "details", details);
	json_set_int(a, doc, "code", code);
	st->code = code;
	st->doc = doc;
	return -EREMOTEIO;
}

/* A printf of any length into the arena. */
static char *format(struct arena *, const char *, va_list) _printf_(2, 0);

static char *format(struct arena *a, const char *fmt, va_list ap)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	buf_vprintf(&text, fmt, ap);
	return arena_memdup(a, text.data ? text.data : "", text.size);
}

int status_set(
	struct arena *a, struct status *st, int code, const char *reason, const char *fmt, ...)
{
	const char *message;
	va_list ap;

	va_start(ap, fmt);
	message = format(a, fmt, ap);
	va_end(ap);
	return fill(a, st, code, reason, message, NULL);
}

int status_bad_request(struct arena *a, struct status *st, const char *fmt, ...)
{
	const char *message;
	va_list ap;

	va_start(ap, fmt);
	message = format(a, fmt, ap);
	va_end(ap);
	return fill(a, st, 400, "BadRequest", message, NULL);
}

int status_internal(struct arena *a, struct status *st, const char *fmt, ...)
{
	const char *message;
	va_list ap;

	va_start(ap, fmt);
	message = arena_printf(a, "Internal error occurred: %s", format(a, fmt, ap));
	va_end(ap);
	return fill(a, st, 500, "InternalError", message, NULL);
}

static struct json *new_details(
	struct arena *a, const char *name, const char *group, const char *kind)
{
	struct json *details = json_new_object(a);

	if (name && name[0])
		json_set_str(a, details, "name", name);
	if (group && group[0])
		json_set_str(a, details, "group", group);
	if (kind && kind[0])
		json_set_str(a, details, "kind", kind);
	return details;
}

static struct json *resource_details(struct arena *a, const struct kind *k, const char *name)
{
	return new_details(a, name, k->group, k->plural);
}

int status_not_found(struct arena *a, struct status *st, const struct kind *k, const char *name)
{
	if (!k)
		return fill(a, st, 404, "NotFound",
			"the server could not find the requested resource", json_new_object(a));
	return fill(a, st, 404, "NotFound",
		arena_printf(a, "%s \"%s\" not found", k->resource, name),
		resource_details(a, k, name));
}

int status_already_exists(
	struct arena *a, struct status *st, const struct kind *k, const char *name)
{
	return fill(a, st, 409, "AlreadyExists",
		arena_printf(a, "%s \"%s\" already exists", k->resource, name),
		resource_details(a, k, name));
}

int status_conflict(struct arena *a, struct status *st, const struct kind *k, const char *name,
	const char *detail)
{
	if (!detail)
		detail = "the object has been modified; please apply your changes to the latest "
			 "version "
			 "and try again";
	return fill(a, st, 409, "Conflict",
		arena_printf(a, "Operation cannot be fulfilled on %s \"%s\": %s", k->resource, name,
			detail),
		resource_details(a, k, name));
}

int status_forbidden(struct arena *a, struct status *st, const struct kind *k, const char *name,
	const char *detail)
{
	const char *message;

	if (!k)
		message = arena_printf(a, "forbidden: %s", detail);
	else if (!name || !name[0])
		message = arena_printf(a, "%s is forbidden: %s", k->resource, detail);
	else
		message = arena_printf(a, "%s \"%s\" is forbidden: %s", k->resource, name, detail);
	return fill(a, st, 403, "Forbidden", message,
		k ? resource_details(a, k, name) : json_new_object(a));
}

/* One text of all errors; the same error twice is told once, as upstream's aggregate has it. */
static void add_causes(struct buf *out, const struct json *causes)
{
	_cleanup_(table_finish) struct table told = TABLE_INIT;
	_cleanup_(buf_finish) struct buf all = BUF_INIT;
	_cleanup_(buf_finish) struct buf one = BUF_INIT;

	JSON_FOR_EACH_ITEM(cause, causes) {
		buf_clear(&one);
		buf_printf(&one, "%s: %s", json_str_or(json_get(cause, "field"), ""),
			json_str_or(json_get(cause, "message"), ""));
		if (table_set(&told, one.data, cause))
			continue;
		if (all.size > 0)
			buf_add_str(&all, ", ");
		buf_add(&all, one.data, one.size);
	}
	if (told.count > 1)
		buf_add_char(out, '[');
	if (all.size > 0)
		buf_add(out, all.data, all.size);
	if (told.count > 1)
		buf_add_char(out, ']');
}

int status_invalid(struct arena *a, struct status *st, const struct kind *k, const char *name,
	const struct field_errors *errors)
{
	_cleanup_(buf_finish) struct buf message = BUF_INIT;
	const char *group = k ? k->group : "", *kind = k ? k->kind : "";
	struct json *details = new_details(a, name, group, kind);

	buf_printf(&message, "%s%s%s \"%s\" is invalid: ", kind, group[0] ? "." : "", group,
		name ? name : "");
	add_causes(&message, errors->causes);
	json_set(a, details, "causes", errors->causes ? errors->causes : json_new_array(a));
	return fill(a, st, 422, "Invalid", arena_memdup(a, message.data, message.size), details);
}

int status_from_err(struct arena *a, struct status *st, const struct err *err)
{
	if (err->code == -E2BIG)
		return fill(a, st, 413, "RequestEntityTooLarge",
			arena_printf(a, "Request entity too large: %s", err->msg), NULL);
	return status_internal(a, st, "%s", err->msg);
}

void status_detail(struct arena *a, struct status *st, const char *key, struct json *value)
{
	struct json *code = json_get(st->doc, "code");
	struct json *details = json_get(st->doc, "details");

	if (!details) {
		/* details stand before code */
		details = json_new_object(a);
		json_remove(st->doc, "code");
		json_set(a, st->doc, "details", details);
		if (code)
			json_set(a, st->doc, "code", code);
	}
	json_set(a, details, key, value);
}

struct json *status_success(
	struct arena *a, const struct kind *k, const char *name, const char *uid)
{
	struct json *doc = new_status(a, "Success");
	struct json *details = resource_details(a, k, name);

	if (uid && uid[0])
		json_set_str(a, details, "uid", uid);
	json_set(a, doc, "details", details);
	return doc;
}
