#include "lib/object/patch.h"

#define OPERATIONS_MAX 10000
#define COPY_BYTES_MAX (3u << 20)
/* Array items shifted and values looked at in all: bounds the work of a hostile patch. */
#define WORK_MAX 50000000u
/* Values may not nest deeper than this, or nobody could read the result. */
#define DEPTH_MAX 256

struct applier {
	struct arena *arena;
	struct json *doc;
	size_t copied_bytes;
	size_t work;
	struct status *st;
};

static int does_not_apply(struct applier *p)
{
	return status_set(p->arena, p->st, 422, "Invalid",
		"the server rejected our request due to an error in our request");
}

static int too_much(struct applier *p)
{
	return status_set(p->arena, p->st, 413, "RequestEntityTooLarge",
		"Request entity too large: the JSON patch does too much or nests too deeply");
}

/* ---- JSON pointers (RFC 6901) ---- */

/* The next reference token, unescaped. False at the end or when the pointer is bad. */
static bool next_token(struct applier *p, const char **at, struct str *ret)
{
	const char *s = *at;
	char *out;
	size_t n = 0;

	if (*s != '/')
		return false;
	s++;
	out = arena_alloc(p->arena, strcspn(s, "/") + 1);
	for (; *s && *s != '/'; s++) {
		if (*s == '~' && s[1] == '0')
			out[n++] = '~', s++;
		else if (*s == '~' && s[1] == '1')
			out[n++] = '/', s++;
		else if (*s == '~')
			return false;
		else
			out[n++] = *s;
	}
	out[n] = '\0';
	*at = s;
	*ret = (struct str){out, n};
	return true;
}

static bool array_index(struct str token, size_t limit, size_t *ret)
{
	uint64_t n;

	if (token.size > 1 && token.p[0] == '0')
		return false;
	if (parse_u64(token, &n) < 0 || n > limit)
		return false;
	*ret = (size_t)n;
	return true;
}

static struct json *child(struct json *v, struct str token)
{
	size_t i;

	if (v->type == JSON_OBJECT)
		return json_get_n(v, token.p, token.size);
	if (v->type == JSON_ARRAY && v->count > 0 && array_index(token, v->count - 1, &i))
		return v->items[i];
	return NULL;
}

/* The container that the last token of the pointer names something in; NULL when there is none. */
static struct json *find_parent(struct applier *p, const char *pointer, struct str *ret_last)
{
	struct json *v = p->doc;
	struct str token;

	if (!next_token(p, &pointer, &token))
		return NULL;
	while (*pointer) {
		v = child(v, token);
		if (!v || !next_token(p, &pointer, &token))
			return NULL;
	}
	*ret_last = token;
	return v->type == JSON_OBJECT || v->type == JSON_ARRAY ? v : NULL;
}

static struct json *find(struct applier *p, const char *pointer)
{
	struct json *parent;
	struct str last;

	if (!*pointer)
		return p->doc;
	parent = find_parent(p, pointer, &last);
	return parent ? child(parent, last) : NULL;
}

/* ---- operations ---- */

static bool fits_depth(struct applier *p, const struct json *v, size_t depth)
{
	if (depth > DEPTH_MAX || ++p->work > WORK_MAX)
		return false;
	JSON_FOR_EACH_ITEM(it, v)
		if (!fits_depth(p, it, depth + 1))
			return false;
	JSON_FOR_EACH_MEMBER(m, v)
		if (!fits_depth(p, m->value, depth + 1))
			return false;
	return true;
}

static size_t token_count(const char *pointer)
{
	size_t n = 0;

	for (; *pointer; pointer++)
		n += *pointer == '/';
	return n;
}

static int add(struct applier *p, const char *pointer, struct json *value)
{
	struct json *parent;
	struct str last;
	size_t i;

	if (!fits_depth(p, value, token_count(pointer)))
		return too_much(p);
	if (!*pointer) {
		p->doc = value;
		return 0;
	}
	parent = find_parent(p, pointer, &last);
	if (!parent)
		return does_not_apply(p);
	if (parent->type == JSON_OBJECT) {
		json_set_n(p->arena, parent, last.p, last.size, value);
		return 0;
	}
	if (str_eq(last, "-"))
		i = parent->count;
	else if (!array_index(last, parent->count, &i))
		return does_not_apply(p);
	p->work += parent->count - i;
	if (p->work > WORK_MAX)
		return too_much(p);
	json_insert(p->arena, parent, i, value);
	return 0;
}

static int take_out(struct applier *p, const char *pointer, struct json **ret)
{
	struct json *parent, *v;
	struct str last;
	size_t i;

	parent = *pointer ? find_parent(p, pointer, &last) : NULL;
	v = parent ? child(parent, last) : NULL;
	if (!v)
		return does_not_apply(p);
	p->work += parent->count;
	if (p->work > WORK_MAX)
		return too_much(p);
	if (parent->type == JSON_OBJECT)
		json_remove(parent, last.p);
	else if (array_index(last, parent->count, &i))
		json_remove_at(parent, i);
	*ret = v;
	return 0;
}

static int replace(struct applier *p, const char *pointer, struct json *value)
{
	struct json *at = find(p, pointer);

	if (!at)
		return does_not_apply(p);
	if (!fits_depth(p, value, token_count(pointer)))
		return too_much(p);
	if (at == p->doc)
		p->doc = value;
	else
		*at = *value;
	return 0;
}

static int copy(struct applier *p, const char *from, const char *to)
{
	struct json *v = find(p, from);
	size_t before = p->arena->used_bytes;

	if (!v)
		return does_not_apply(p);
	v = json_copy(p->arena, v);
	p->copied_bytes += p->arena->used_bytes - before;
	if (p->copied_bytes > 8 * (size_t)COPY_BYTES_MAX)
		return too_much(p);
	return add(p, to, v);
}

static int move(struct applier *p, const char *from, const char *to)
{
	size_t size = strlen(from);
	struct json *v;
	int r;

	if (streq(from, to))
		return find(p, from) ? 0 : does_not_apply(p);
	/* Nothing can be moved into itself. */
	if (str_has_prefix(to, from) && to[size] == '/')
		return does_not_apply(p);
	r = take_out(p, from, &v);
	return r < 0 ? r : add(p, to, v);
}

static int test(struct applier *p, const char *pointer, const struct json *value)
{
	const struct json *v = find(p, pointer);

	if (v ? json_equal(v, value) : value->type == JSON_NULL)
		return 0;
	return does_not_apply(p);
}

static int apply(struct applier *p, const struct json *operation)
{
	const char *op = json_str_or(json_get(operation, "op"), "");
	const char *path = json_str(json_get(operation, "path"));
	const char *from = json_str(json_get(operation, "from"));
	struct json *value = json_get(operation, "value"), *ignored;

	if (!path || (*path && *path != '/'))
		return does_not_apply(p);
	if (streq(op, "remove"))
		return take_out(p, path, &ignored);
	if (streq(op, "move") || streq(op, "copy")) {
		if (!from)
			return does_not_apply(p);
		return streq(op, "move") ? move(p, from, path) : copy(p, from, path);
	}
	/* "value" may be left out, which means null. */
	value = value ? json_copy(p->arena, value) : json_new_null(p->arena);
	if (streq(op, "add"))
		return add(p, path, value);
	if (streq(op, "replace"))
		return replace(p, path, value);
	if (streq(op, "test"))
		return test(p, path, value);
	return does_not_apply(p);
}

int patch_json(struct arena *a, const struct json *target, const struct json *patch,
	struct json **ret, struct status *st)
{
	struct applier p = {.arena = a, .st = st};
	int r;

	if (!json_is(patch, JSON_ARRAY))
		return status_bad_request(a, st,
			"json: cannot unmarshal %s into Go value of type jsonpatch.Patch",
			json_is(patch, JSON_OBJECT) ? "object" : "value");
	if (patch->count > OPERATIONS_MAX)
		return status_set(a, st, 413, "RequestEntityTooLarge",
			"Request entity too large: The allowed maximum operations in a JSON patch "
			"is %d, got %u",
			OPERATIONS_MAX, patch->count);
	JSON_FOR_EACH_ITEM(operation, patch)
		if (operation->type != JSON_OBJECT)
			return status_bad_request(a, st,
				"json: cannot unmarshal value into Go value of type "
				"jsonpatch.Operation");
	p.doc = json_copy(a, target);
	JSON_FOR_EACH_ITEM(operation, patch) {
		r = apply(&p, operation);
		if (r < 0)
			return r;
	}
	*ret = p.doc;
	return 0;
}
