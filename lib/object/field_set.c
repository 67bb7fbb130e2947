#include "lib/object/field_set.h"

#include <ctype.h>
#include <stdio.h>

/* Paths of outside sets may be as deep as documents. */
#define DEPTH_MAX 256
#define NAME_SHOWN_MAX 1024 /* bytes: of a field in the text of a path */

static const struct json leaf = {.type = JSON_OBJECT};

const struct json *field_node_leaf(void)
{
	return &leaf;
}

bool field_node_is_member(const struct json *node)
{
	return node->count == 0 || field_node_first(node) == 1;
}

/* ---- order ---- */

static int bytes_compare(const char *x, size_t x_size, const char *y, size_t y_size)
{
	int c = memcmp(x, y, MIN(x_size, y_size));

	return c ? c : (x_size > y_size) - (x_size < y_size);
}

static bool is_number_byte(char c)
{
	return isdigit((unsigned char)c) || c == '-' || c == '.' || c == '+' || c == 'e' ||
	       c == 'E';
}

static double number_at(const char *s, size_t size)
{
	char room[40];
	size_t n = 0;

	while (n < size && n < sizeof(room) - 1 && is_number_byte(s[n])) {
		room[n] = s[n];
		n++;
	}
	room[n] = '\0';
	return strtod(room, NULL);
}

/* Two JSON texts of the same shape: as bytes, but numbers by their value. */
static int values_compare(const char *x, size_t x_size, const char *y, size_t y_size)
{
	size_t size = MIN(x_size, y_size), at = 0, start;
	bool quoted = false;

	while (at < size && x[at] == y[at]) {
		if (x[at] == '"' && (at == 0 || x[at - 1] != '\\'))
			quoted = !quoted;
		at++;
	}
	if (!quoted) {
		double dx, dy;

		for (start = at; start > 0 && is_number_byte(x[start - 1]); start--)
			;
		if (start < size && is_number_byte(x[start]) && is_number_byte(y[start])) {
			dx = number_at(x + start, x_size - start);
			dy = number_at(y + start, y_size - start);
			if (dx != dy)
				return dx < dy ? -1 : 1;
		}
	}
	return bytes_compare(x + at, x_size - at, y + at, y_size - at);
}

/* 'f' < 'k' < 'v' < 'i' */
static int kind_rank(char c)
{
	return c == 'f' ? 0 : c == 'k' ? 1 : c == 'v' ? 2 : 3;
}

int field_step_compare(const char *x, size_t x_size, const char *y, size_t y_size)
{
	if (x_size < 2 || y_size < 2)
		return (x_size > y_size) - (x_size < y_size); /* "." comes first */
	if (x[0] != y[0])
		return kind_rank(x[0]) - kind_rank(y[0]);
	if (x[0] == 'f')
		return bytes_compare(x + 2, x_size - 2, y + 2, y_size - 2);
	return values_compare(x + 2, x_size - 2, y + 2, y_size - 2);
}

static int member_compare(const void *x, const void *y)
{
	const struct json_member *m = x, *n = y;

	return field_step_compare(m->name, m->name_size, n->name, n->name_size);
}

/* ---- building ---- */

struct json *field_node_begin(struct arena *a, size_t count, bool member)
{
	struct json *node = json_new_object_room(a, count + member);

	if (member)
		json_add_n(a, node, ".", 1, (struct json *)&leaf);
	return node;
}

static void sort_members(struct json *node)
{
	struct json_member *m = node->members;

	if (node->count > 24) {
		qsort(m, node->count, sizeof(*m), member_compare);
		return;
	}
	for (uint32_t i = 1; i < node->count; i++) {
		struct json_member moved = m[i];
		uint32_t at = i;

		for (; at > 0 && member_compare(&m[at - 1], &moved) > 0; at--)
			m[at] = m[at - 1];
		m[at] = moved;
	}
}

const struct json *field_node_end(struct json *node)
{
	if (node->count == 0)
		return NULL;
	if (node->count == 1 && node->members[0].name_size == 1)
		return &leaf;
	for (uint32_t i = 1; i < node->count; i++) {
		if (member_compare(&node->members[i - 1], &node->members[i]) < 0)
			continue;
		sort_members(node);
		json_reindex(node);
		break;
	}
	return node;
}

const struct json *field_node_end_list(struct json *node)
{
	const struct json *sorted = field_node_end(node);
	uint32_t kept = 0;

	if (sorted != node)
		return sorted;
	for (uint32_t i = 0; i < node->count; i++) {
		struct json_member *m = &node->members[i];

		if (kept > 0 && member_compare(&node->members[kept - 1], m) == 0)
			node->members[kept - 1].value = (struct json *)&leaf;
		else
			node->members[kept++] = *m;
	}
	if (kept < node->count) {
		node->count = kept;
		json_reindex(node);
	}
	return node;
}

static void add(
	struct arena *a, struct json *node, const struct json_member *m, const struct json *value)
{
	if (value)
		json_add_n(a, node, m->name, m->name_size, (struct json *)value);
}

/* What lies below a step of the other set, or NULL. */
static const struct json *find(const struct json *node, const struct json_member *m)
{
	return json_get_n(node, m->name, m->name_size);
}

/* ---- operations ----
 *
 * Each comes as a function of nodes, which are members or not, and of sets, which are neither. */

static const struct json *node_difference(
	struct arena *a, const struct json *x, const struct json *y, bool x_member, bool y_member)
{
	bool member = x_member && !y_member;
	uint32_t first = field_node_first(x);
	struct json *out = NULL;

	if (member != x_member)
		out = field_node_begin(a, x->count, member);
	for (uint32_t i = first; i < x->count; i++) {
		const struct json_member *m = &x->members[i];
		const struct json *other = find(y, m), *rest = m->value;

		if (other)
			rest = node_difference(a, m->value, other, field_node_is_member(m->value),
				field_node_is_member(other));
		if (!out && rest != m->value) {
			out = field_node_begin(a, x->count, member);
			for (uint32_t j = first; j < i; j++)
				add(a, out, &x->members[j], x->members[j].value);
		}
		if (out)
			add(a, out, m, rest);
	}
	return out ? field_node_end(out) : x;
}

const struct json *field_set_difference(struct arena *a, const struct json *x, const struct json *y)
{
	return x && y ? node_difference(a, x, y, false, false) : x;
}

static const struct json *node_intersection(
	struct arena *a, const struct json *x, const struct json *y, bool x_member, bool y_member)
{
	const struct json *small = x->count <= y->count ? x : y, *big = small == x ? y : x;
	struct json *out = NULL;

	if (x_member && y_member)
		out = field_node_begin(a, small->count, true);
	for (uint32_t i = field_node_first(small); i < small->count; i++) {
		const struct json_member *m = &small->members[i];
		const struct json *other = find(big, m), *both;

		if (!other)
			continue;
		both = node_intersection(a, m->value, other, field_node_is_member(m->value),
			field_node_is_member(other));
		if (both && !out)
			out = field_node_begin(a, small->count, false);
		if (both)
			add(a, out, m, both);
	}
	return out ? field_node_end(out) : NULL;
}

const struct json *field_set_intersection(
	struct arena *a, const struct json *x, const struct json *y)
{
	return x && y ? node_intersection(a, x, y, false, false) : NULL;
}

static bool node_contains(const struct json *x, const struct json *y, bool x_member, bool y_member)
{
	if (y_member && !x_member)
		return false;
	for (uint32_t i = field_node_first(y); i < y->count; i++) {
		const struct json_member *m = &y->members[i];
		const struct json *other = find(x, m);

		if (!other || !node_contains(other, m->value, field_node_is_member(other),
				      field_node_is_member(m->value)))
			return false;
	}
	return true;
}

static const struct json *node_union(
	struct arena *a, const struct json *x, const struct json *y, bool x_member, bool y_member)
{
	uint32_t i = field_node_first(x), j = field_node_first(y);
	struct json *out;

	if (node_contains(x, y, x_member, y_member))
		return x;
	out = field_node_begin(a, x->count + y->count, x_member || y_member);
	while (i < x->count || j < y->count) {
		const struct json_member *m = i < x->count ? &x->members[i] : NULL;
		const struct json_member *n = j < y->count ? &y->members[j] : NULL;
		int c = !m ? 1 : !n ? -1 : member_compare(m, n);

		if (c < 0)
			add(a, out, m, m->value);
		else if (c > 0)
			add(a, out, n, n->value);
		else
			add(a, out, m,
				node_union(a, m->value, n->value, field_node_is_member(m->value),
					field_node_is_member(n->value)));
		i += c <= 0;
		j += c >= 0;
	}
	return field_node_end(out);
}

const struct json *field_set_union(struct arena *a, const struct json *x, const struct json *y)
{
	if (!x || !y)
		return x ? x : y;
	return node_union(a, x, y, false, false);
}

const struct json *field_set_union_all(struct arena *a, const struct json **sets, size_t count)
{
	for (size_t step = 1; step < count; step *= 2)
		for (size_t i = 0; i + step < count; i += step * 2)
			sets[i] = field_set_union(a, sets[i], sets[i + step]);
	return count ? sets[0] : NULL;
}

bool field_set_equal(const struct json *x, const struct json *y)
{
	if (x == y)
		return true;
	if (!x || !y || x->count != y->count)
		return false;
	for (uint32_t i = 0; i < x->count; i++) {
		const struct json_member *m = &x->members[i], *n = &y->members[i];

		if (m->name_size != n->name_size || memcmp(m->name, n->name, m->name_size) != 0 ||
			!field_set_equal(m->value, n->value))
			return false;
	}
	return true;
}

const struct json *field_set_path(struct arena *a, const char *dotted)
{
	const struct json *node = &leaf;
	size_t end = strlen(dotted);

	while (end > 0) {
		size_t start = end;
		struct json *up = field_node_begin(a, 1, false);

		while (start > 0 && dotted[start - 1] != '.')
			start--;
		json_add_n(a, up, arena_printf(a, "f:%.*s", (int)(end - start), dotted + start),
			end - start + 2, (struct json *)node);
		node = up;
		end = start > 0 ? start - 1 : 0;
	}
	return node == &leaf ? NULL : node;
}

/* ---- from outside ---- */

static int key_compare(const void *x, const void *y)
{
	const struct json_member *m = x, *n = y;

	return bytes_compare(m->name, m->name_size, n->name, n->name_size);
}

static bool is_scalar(const struct json *v)
{
	return v->type != JSON_OBJECT && v->type != JSON_ARRAY;
}

static int read_index(struct str text)
{
	int64_t i;

	return parse_i64(text, &i) == 0 && i >= 0 && i <= INT32_MAX ? 0 : -EINVAL;
}

/* The step in its one form: keys in order, no blanks. */
static int read_step(struct arena *a, const struct json_member *m, struct str *ret, struct err *err)
{
	struct json *v;
	const char *text;

	*ret = (struct str){m->name, m->name_size};
	if (m->name_size < 2 || m->name[1] != ':')
		return err_set(err, -EINVAL, "missing colon in the path element '%.256s'", m->name);
	if (m->name[0] == 'f')
		return 0;
	if (m->name[0] == 'i' &&
		read_index((struct str){m->name + 2, (size_t)m->name_size - 2}) == 0)
		return 0;
	if ((m->name[0] != 'k' && m->name[0] != 'v') ||
		json_parse(a, m->name + 2, m->name_size - 2, NULL, &v, NULL) < 0)
		return err_set(err, -EINVAL, "the path element '%.256s' can't be read", m->name);
	if (m->name[0] == 'k') {
		bool sorted = true;

		if (v->type != JSON_OBJECT)
			return err_set(
				err, -EINVAL, "the path element '%.256s' has no keys", m->name);
		for (uint32_t i = 0; i < v->count; i++) {
			if (!is_scalar(v->members[i].value))
				return err_set(err, -EINVAL,
					"the path element '%.256s' has a key that is no scalar",
					m->name);
			sorted = sorted &&
				 (i == 0 || key_compare(&v->members[i - 1], &v->members[i]) < 0);
		}
		if (!sorted) {
			qsort(v->members, v->count, sizeof(*v->members), key_compare);
			json_reindex(v);
		}
	}
	text = json_text(a, v);
	ret->p = arena_printf(a, "%c:%s", m->name[0], text);
	ret->size = strlen(text) + 2;
	return 0;
}

static int read_node(struct arena *a, const struct json *in, unsigned depth,
	const struct json **ret, struct err *err)
{
	struct json *out;
	bool member = false;
	int r;

	if (in->type != JSON_OBJECT)
		return err_set(err, -EINVAL, "a set of fields must be an object");
	if (depth > DEPTH_MAX)
		return err_set(err, -EINVAL, "a set of fields is too deep");
	JSON_FOR_EACH_MEMBER(m, in)
		member |= m->name_size == 1 && m->name[0] == '.';
	if (in->count == 0 && depth > 0)
		member = true;
	out = field_node_begin(a, in->count, member && depth > 0);
	JSON_FOR_EACH_MEMBER(m, in) {
		const struct json *below = NULL, *twin;
		struct str step;

		if (m->name_size == 1 && m->name[0] == '.')
			continue;
		r = read_step(a, m, &step, err);
		if (r < 0)
			return r;
		r = read_node(a, m->value, depth + 1, &below, err);
		if (r < 0)
			return r;
		/* Two spellings of one step. */
		twin = json_get_n(out, step.p, step.size);
		if (twin)
			json_set_n(a, out, step.p, step.size,
				(struct json *)node_union(a, twin, below,
					field_node_is_member(twin), field_node_is_member(below)));
		else if (below)
			json_add_n(a, out, step.p, step.size, (struct json *)below);
	}
	*ret = field_node_end(out);
	return 0;
}

int field_set_read(
	struct arena *a, const struct json *fields, const struct json **ret, struct err *err)
{
	return read_node(a, fields, 0, ret, err);
}

/* ---- words ---- */

static void value_text(struct buf *out, const struct json *v)
{
	json_write(out, v);
}

void field_step_text(struct buf *out, const char *step, size_t size)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *v;
	bool comma = false;

	if (step[0] == 'f') {
		buf_add_char(out, '.');
		buf_add(out, step + 2, utf8_cut(step + 2, size - 2, NAME_SHOWN_MAX));
		return;
	}
	buf_add_char(out, '[');
	if (step[0] == 'i' || json_parse(&a, step + 2, size - 2, NULL, &v, NULL) < 0) {
		buf_add(out, step + 2, size - 2);
	} else if (step[0] == 'v') {
		buf_add_char(out, '=');
		value_text(out, v);
	} else {
		JSON_FOR_EACH_MEMBER(m, v) {
			if (comma)
				buf_add_char(out, ',');
			comma = true;
			buf_add(out, m->name, m->name_size);
			buf_add_char(out, '=');
			value_text(out, m->value);
		}
	}
	buf_add_char(out, ']');
}

static void each_below(const struct json *node, struct buf *path,
	void (*each)(void *user, const char *path), void *user)
{
	size_t size = path->size;

	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = field_node_first(node); i < node->count; i++) {
			const struct json_member *m = &node->members[i];
			const struct json *below = m->value;

			/* The members of a level, then what lies below each of its steps. */
			if (pass == 0 ? !field_node_is_member(below)
				      : below->count == field_node_first(below))
				continue;
			field_step_text(path, m->name, m->name_size);
			if (pass == 0)
				each(user, path->data);
			else
				each_below(below, path, each, user);
			path->size = size;
			path->data[size] = '\0';
		}
	}
}

void field_set_each(const struct json *set, void (*each)(void *user, const char *path), void *user)
{
	_cleanup_(buf_finish) struct buf path = BUF_INIT;

	buf_reserve(&path, 64);
	if (set)
		each_below(set, &path, each, user);
}
