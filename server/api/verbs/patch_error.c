#include "server/api/verbs/patch_error.h"

#define SHOWN_MAX 16384 /* of the value; upstream shows all of it */

static int by_name(const void *a, const void *b)
{
	const struct json_member *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

/* As Go prints a decoded value: map[data:map[a:1]]. */
static void add_go_value(struct arena *a, struct buf *out, const struct json *v)
{
	if (out->size > SHOWN_MAX)
		return;
	if (json_is(v, JSON_OBJECT)) {
		size_t count = json_count(v);
		const struct json_member **members = arena_alloc(a, (count + 1) * sizeof(*members));
		for (size_t i = 0; i < count; i++)
			members[i] = &json_members(v)[i];
		qsort(members, count, sizeof(*members), by_name);
		buf_add_str(out, "map[");
		for (size_t i = 0; i < count; i++) {
			buf_printf(out, "%s%s:", i ? " " : "", members[i]->name);
			add_go_value(a, out, members[i]->value);
		}
		buf_add_str(out, "]");
	} else if (json_is(v, JSON_ARRAY)) {
		bool first = true;
		buf_add_str(out, "[");
		JSON_FOR_EACH_ITEM(item, v) {
			if (!first)
				buf_add_str(out, " ");
			first = false;
			add_go_value(a, out, item);
		}
		buf_add_str(out, "]");
	} else if (json_is(v, JSON_STRING)) {
		buf_add_str(out, json_str_or(v, ""));
	} else if (json_is(v, JSON_NULL)) {
		buf_add_str(out, "<nil>");
	} else {
		json_write(out, v);
	}
}

static const char *go_type(struct str json_type)
{
	static const char *const types[][2] = {{"number", "int64"}, {"bool", "bool"},
		{"object", "map[string]interface {}"}, {"array", "[]interface {}"},
		{"string", "string"}};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(json_type, types[i][0]))
			return types[i][1];
	return "float64"; /* "number 1.5" */
}

/* Strategic merge patches are converted without JSON in between, and that has words of its own. */
static const char *conversion_text(struct arena *a, const char *detail)
{
	static const char head[] = "json: cannot unmarshal ", middle[] = " into Go ",
			  tail[] = " of type ";
	const char *into = strstr(detail, middle), *type = strstr(detail, tail);
	if (!str_has_prefix(detail, head) || !into || !type)
		return detail;
	const char *have = detail + sizeof(head) - 1;
	const char *from = go_type((struct str){have, (size_t)(into - have)});
	const char *to = type + sizeof(tail) - 1;
	if (str_has_prefix(to, "[]"))
		return arena_printf(a, "cannot restore slice from %s", from);
	if (str_has_prefix(to, "map["))
		return arena_printf(a, "cannot restore map from %s", from);
	if (strchr(to, '.'))
		return arena_printf(a, "cannot restore struct from: %s", from);
	return arena_printf(a, "cannot convert %s to %s", from, to);
}

int patch_refused(struct api_request *req, const struct json *shown, bool strategic)
{
	static const char separator[] = " cannot be handled as a ";
	const char *message = json_str_or(json_get(req->st.doc, "message"), "");
	const char *detail = strstr(message, separator);
	detail = detail ? strstr(detail, ": ") : NULL;
	if (req->st.code != 400 || !detail)
		return -EREMOTEIO; /* of another kind: it stays as it is */
	detail += 2;
	_cleanup_(buf_finish) struct buf value = BUF_INIT;
	if (strategic)
		add_go_value(req->arena, &value, shown);
	else
		json_write(&value, shown);
	if (value.size > SHOWN_MAX) {
		value.size = SHOWN_MAX;
		while (value.size && ((unsigned char)value.data[value.size] & 0xc0) == 0x80)
			value.size--;
		buf_add_str(&value, "...");
	}
	struct field_errors errors = {.arena = req->arena};
	field_error(&errors, FIELD_INVALID, "patch",
		json_new_string_n(req->arena, value.data, value.size), "%s",
		strategic ? conversion_text(req->arena, detail) : detail);
	req->st = (struct status){0};
	return status_invalid(req->arena, &req->st, NULL, "", &errors);
}
