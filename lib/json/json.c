#include "lib/json/json_internal.h"
#include "lib/base/table.h"

#include <stdarg.h>
#include <stdio.h>

/* Constructors. */

static struct json *new_value(struct arena *a, enum json_type type)
{
	struct json *v = arena_alloc(a, sizeof(*v));

	*v = (struct json){.type = type};
	return v;
}

struct json *json_new_null(struct arena *a)
{
	return new_value(a, JSON_NULL);
}

struct json *json_new_bool(struct arena *a, bool b)
{
	struct json *v = new_value(a, JSON_BOOL);

	v->b = b;
	return v;
}

struct json *json_new_int(struct arena *a, int64_t i)
{
	struct json *v = new_value(a, JSON_INT);

	v->i = i;
	return v;
}

struct json *json_new_double(struct arena *a, double d)
{
	struct json *v = new_value(a, JSON_DOUBLE);

	v->d = d;
	return v;
}

static struct json *new_string_view(struct arena *a, const char *s, size_t size)
{
	struct json *v = new_value(a, JSON_STRING);

	if (size > UINT32_MAX)
		abort();
	v->s = s;
	v->count = (uint32_t)size;
	return v;
}

struct json *json_new_string_n(struct arena *a, const char *s, size_t size)
{
	return new_string_view(a, arena_memdup(a, s, size), size);
}

struct json *json_new_string(struct arena *a, const char *s)
{
	return s ? json_new_string_n(a, s, strlen(s)) : new_string_view(a, "", 0);
}

struct json *json_new_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return new_string_view(a, s, strlen(s));
}

struct json *json_new_array(struct arena *a)
{
	return new_value(a, JSON_ARRAY);
}

struct json *json_new_object(struct arena *a)
{
	return new_value(a, JSON_OBJECT);
}

struct json *json_new_object_room(struct arena *a, size_t room)
{
	struct json *v = json_new_object(a);

	if (room == 0)
		return v;
	if (room > JSON_COUNT_MAX)
		abort();
	v->members = arena_alloc(a, json_members_bytes(room));
	v->room = room & JSON_COUNT_MAX;
	if (room > JSON_INDEX_ROOM)
		json_index_build(v, NULL, NULL);
	return v;
}

/* The index of big objects. */

size_t json_index_slots(size_t room)
{
	size_t slots = JSON_INDEX_ROOM * 2;

	while (slots < room * 2)
		slots *= 2;
	return slots;
}

size_t json_members_bytes(size_t room)
{
	size_t bytes = room * sizeof(struct json_member);

	return room > JSON_INDEX_ROOM ? bytes + json_index_slots(room) * sizeof(uint32_t) : bytes;
}

static uint32_t *index_of(const struct json *object)
{
	return (uint32_t *)(void *)(object->members + object->room);
}

static bool same_name(const struct json_member *m, const char *name, size_t size)
{
	return m->name_size == size && (size == 0 || m->name[0] == name[0]) &&
	       memcmp(m->name, name, size) == 0;
}

/* The slot that holds `name`, or the free one where it belongs. */
static uint32_t *index_slot(const struct json *object, const char *name, size_t size)
{
	size_t mask = json_index_slots(object->room) - 1;
	uint32_t *index = index_of(object);
	size_t i = table_hash(name, size) & mask;

	while (index[i] && !same_name(&object->members[index[i] - 1], name, size))
		i = (i + 1) & mask;
	return &index[i];
}

void json_index_build(struct json *object,
	void (*on_same)(void *user, uint32_t first, uint32_t again), void *user)
{
	memset(index_of(object), 0, json_index_slots(object->room) * sizeof(uint32_t));
	for (uint32_t i = 0; i < object->count; i++) {
		const struct json_member *m = &object->members[i];
		uint32_t *slot = index_slot(object, m->name, m->name_size);

		if (*slot == 0)
			*slot = i + 1;
		else if (on_same)
			on_same(user, *slot - 1, i);
	}
}

void json_reindex(struct json *object)
{
	if (object->room > JSON_INDEX_ROOM)
		json_index_build(object, NULL, NULL);
}

int64_t json_find(const struct json *object, const char *name, size_t size)
{
	if (object->room > JSON_INDEX_ROOM) {
		uint32_t *slot = index_slot(object, name, size);

		return *slot ? (int64_t)*slot - 1 : -1;
	}
	for (uint32_t i = 0; i < object->count; i++)
		if (same_name(&object->members[i], name, size))
			return i;
	return -1;
}

/* Removes the member at `at` from the index and moves those behind it down by one. */
static void index_remove(struct json *object, uint32_t at)
{
	const struct json_member *m = &object->members[at];
	size_t slots = json_index_slots(object->room), mask = slots - 1;
	uint32_t *index = index_of(object);
	size_t hole = (size_t)(index_slot(object, m->name, m->name_size) - index);

	/* Closes the gap, so that no probe stops early. */
	index[hole] = 0;
	for (size_t i = (hole + 1) & mask; index[i]; i = (i + 1) & mask) {
		const struct json_member *other = &object->members[index[i] - 1];
		size_t home = table_hash(other->name, other->name_size) & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			index[hole] = index[i];
			index[i] = 0;
			hole = i;
		}
	}
	for (size_t i = 0; i < slots; i++)
		index[i] -= index[i] > at + 1;
}

/* Reading. */

struct json *json_get_n(const struct json *object, const char *name, size_t size)
{
	int64_t i;

	if (!object || object->type != JSON_OBJECT)
		return NULL;
	i = json_find(object, name, size);
	return i < 0 ? NULL : object->members[i].value;
}

struct json *json_at(const struct json *array, size_t i)
{
	if (!array || array->type != JSON_ARRAY || i >= array->count)
		return NULL;
	return array->items[i];
}

struct json *json_path(const struct json *v, const char *path)
{
	while (v && *path) {
		if (*path == '[') {
			struct str digits = {path + 1, strcspn(path + 1, "]")};
			uint64_t i;

			if (digits.p[digits.size] != ']' || parse_u64(digits, &i) < 0)
				return NULL;
			v = json_at(v, i);
			path = digits.p + digits.size + 1;
			if (*path == '.')
				path++;
		} else {
			size_t size = strcspn(path, ".[");

			v = json_get_n(v, path, size);
			path += size;
			if (*path == '.')
				path++;
		}
	}
	return (struct json *)v;
}

size_t json_count(const struct json *v)
{
	return v && (v->type == JSON_ARRAY || v->type == JSON_OBJECT) ? v->count : 0;
}

bool json_is(const struct json *v, enum json_type type)
{
	return v && v->type == type;
}

const char *json_str(const struct json *v)
{
	return json_str_or(v, NULL);
}

const char *json_str_or(const struct json *v, const char *fallback)
{
	return v && v->type == JSON_STRING ? v->s : fallback;
}

/* True when the double is a whole number in int64's range. */
static bool double_is_int(double d, int64_t *ret)
{
	if (!(d >= -0x1p63 && d < 0x1p63) || (double)(int64_t)d != d)
		return false;
	*ret = (int64_t)d;
	return true;
}

int64_t json_int_or(const struct json *v, int64_t fallback)
{
	int64_t i;

	if (v && v->type == JSON_INT)
		return v->i;
	if (v && v->type == JSON_DOUBLE && double_is_int(v->d, &i))
		return i;
	return fallback;
}

bool json_bool_or(const struct json *v, bool fallback)
{
	return v && v->type == JSON_BOOL ? v->b : fallback;
}

const char *json_path_str(const struct json *v, const char *path)
{
	return json_str(json_path(v, path));
}

int64_t json_path_int(const struct json *v, const char *path, int64_t fallback)
{
	return json_int_or(json_path(v, path), fallback);
}

bool json_path_bool(const struct json *v, const char *path, bool fallback)
{
	return json_bool_or(json_path(v, path), fallback);
}

struct json **json_items(const struct json *array)
{
	return array && array->type == JSON_ARRAY ? array->items : NULL;
}

struct json_member *json_members(const struct json *object)
{
	return object && object->type == JSON_OBJECT ? object->members : NULL;
}

/* Changing. */

static uint32_t grown_room(uint32_t room)
{
	if (room == JSON_COUNT_MAX)
		abort();
	return room ? MIN(room * 2, JSON_COUNT_MAX) : 4;
}

static void members_grow(struct arena *a, struct json *object)
{
	uint32_t room = grown_room(object->room);

	object->members = arena_grow(
		a, object->members, json_members_bytes(object->room), json_members_bytes(room));
	object->room = room & JSON_COUNT_MAX;
	if (room > JSON_INDEX_ROOM)
		json_index_build(object, NULL, NULL);
}

void json_set_n(
	struct arena *a, struct json *object, const char *name, size_t size, struct json *value)
{
	int64_t at;

	if (!object || object->type != JSON_OBJECT || !value || size > UINT32_MAX)
		abort();
	at = json_find(object, name, size);
	if (at >= 0)
		object->members[at].value = value;
	else
		json_add_n(a, object, arena_memdup(a, name, size), size, value);
}

void json_add_n(
	struct arena *a, struct json *object, const char *name, size_t size, struct json *value)
{
	if (object->count == object->room)
		members_grow(a, object);
	object->members[object->count++] =
		(struct json_member){.name = name, .name_size = (uint32_t)size, .value = value};
	if (object->room > JSON_INDEX_ROOM)
		*index_slot(object, name, size) = object->count;
}

void json_set(struct arena *a, struct json *object, const char *name, struct json *value)
{
	json_set_n(a, object, name, strlen(name), value);
}

void json_set_str(struct arena *a, struct json *object, const char *name, const char *value)
{
	json_set(a, object, name, json_new_string(a, value));
}

void json_set_int(struct arena *a, struct json *object, const char *name, int64_t value)
{
	json_set(a, object, name, json_new_int(a, value));
}

void json_set_bool(struct arena *a, struct json *object, const char *name, bool value)
{
	json_set(a, object, name, json_new_bool(a, value));
}

bool json_remove(struct json *object, const char *name)
{
	int64_t at;

	if (!object || object->type != JSON_OBJECT)
		return false;
	at = json_find(object, name, strlen(name));
	if (at < 0)
		return false;
	if (object->room > JSON_INDEX_ROOM)
		index_remove(object, (uint32_t)at);
	memmove(&object->members[at], &object->members[at + 1],
		(object->count - (size_t)at - 1) * sizeof(*object->members));
	object->count--;
	return true;
}

void json_push(struct arena *a, struct json *array, struct json *value)
{
	json_insert(a, array, array->count, value);
}

void json_insert(struct arena *a, struct json *array, size_t i, struct json *value)
{
	if (!array || array->type != JSON_ARRAY || !value || i > array->count)
		abort();
	if (array->count == array->room) {
		uint32_t room = grown_room(array->room);

		array->items = arena_grow(a, array->items, array->room * sizeof(*array->items),
			room * sizeof(*array->items));
		array->room = room & JSON_COUNT_MAX;
	}
	memmove(&array->items[i + 1], &array->items[i], (array->count - i) * sizeof(*array->items));
	array->items[i] = value;
	array->count++;
}

void json_remove_at(struct json *array, size_t i)
{
	if (!array || array->type != JSON_ARRAY || i >= array->count)
		return;
	memmove(&array->items[i], &array->items[i + 1],
		(array->count - i - 1) * sizeof(*array->items));
	array->count--;
}

static struct json *child_of_type(
	struct arena *a, struct json *object, const char *name, size_t size, enum json_type type)
{
	struct json *v = json_get_n(object, name, size);

	if (!v || v->type != type) {
		v = new_value(a, type);
		json_set_n(a, object, name, size, v);
	}
	return v;
}

struct json *json_object_at(struct arena *a, struct json *object, const char *name)
{
	return child_of_type(a, object, name, strlen(name), JSON_OBJECT);
}

struct json *json_array_at(struct arena *a, struct json *object, const char *name)
{
	return child_of_type(a, object, name, strlen(name), JSON_ARRAY);
}

void json_path_set(struct arena *a, struct json *object, const char *path, struct json *value)
{
	const char *dot;

	for (; (dot = strchr(path, '.')); path = dot + 1)
		object = child_of_type(a, object, path, (size_t)(dot - path), JSON_OBJECT);
	json_set(a, object, path, value);
}

/* Paths. */

void path_text_start(struct path_text *path)
{
	path->cut = false;
	path->at = path->room + sizeof(path->room) - 1;
	*path->at = '\0';
}

static void path_prepend(struct path_text *path, const char *s, size_t size)
{
	size_t part = MIN(size, (size_t)(path->at - path->room));

	path->cut |= part < size;
	path->at -= part;
	memcpy(path->at, s + (size - part), part);
}

void path_text_name(struct path_text *path, const char *name)
{
	if (*path->at && *path->at != '[')
		path_prepend(path, ".", 1);
	path_prepend(path, name, strlen(name));
}

void path_text_item(struct path_text *path, size_t i)
{
	char item[24];
	int n = snprintf(item, sizeof(item), "[%zu]", i);

	if (*path->at && *path->at != '[')
		path_prepend(path, ".", 1);
	path_prepend(path, item, (size_t)n);
}

const char *path_text_done(struct path_text *path)
{
	/* A cut must not leave half a character. */
	if (path->cut)
		while (((unsigned char)*path->at & 0xc0) == 0x80)
			path->at++;
	return path->at;
}

/* Whole documents. */

/* What a copy has in common with its original. */
struct copy {
	struct arena *arena;
	bool texts;
	const struct json *value; /* NULL = none */
};

static const char *copy_text(const struct copy *c, const char *s, size_t size)
{
	return c->texts ? s : arena_memdup(c->arena, s, size);
}

static void copy_into(const struct copy *c, struct json *to, const struct json *from)
{
	struct json *values;

	*to = *from;
	if (from->type == JSON_STRING) {
		to->s = copy_text(c, from->s, from->count);
	} else if (from->type == JSON_ARRAY) {
		to->room = from->count & JSON_COUNT_MAX;
		to->items = NULL;
		if (!from->count)
			return;
		to->items =
			arena_alloc(c->arena, from->count * (sizeof(*to->items) + sizeof(*values)));
		values = (struct json *)(void *)(to->items + to->room);
		for (uint32_t i = 0; i < from->count; i++) {
			copy_into(c, &values[i], from->items[i]);
			to->items[i] = &values[i];
		}
	} else if (from->type == JSON_OBJECT) {
		size_t bytes = json_members_bytes(from->count);

		to->room = from->count & JSON_COUNT_MAX;
		to->members = NULL;
		if (!from->count)
			return;
		to->members = arena_alloc(c->arena, bytes + from->count * sizeof(*values));
		values = (struct json *)(void *)((char *)to->members + bytes);
		for (uint32_t i = 0; i < from->count; i++) {
			const struct json_member *m = &from->members[i];

			bool shared = c->value == m->value;

			if (!shared)
				copy_into(c, &values[i], m->value);
			to->members[i] = (struct json_member){
				.name = copy_text(c, m->name, m->name_size),
				.name_size = m->name_size,
				.value = shared ? (struct json *)c->value : &values[i],
			};
		}
		if (to->room > JSON_INDEX_ROOM)
			json_index_build(to, NULL, NULL);
	}
}

struct json *json_copy(struct arena *a, const struct json *v)
{
	struct copy c = {.arena = a};
	struct json *copy;

	if (!v)
		return NULL;
	copy = arena_alloc(a, sizeof(*copy));
	copy_into(&c, copy, v);
	return copy;
}

struct json *json_copy_beside(struct arena *a, const struct json *v, const struct json *shared)
{
	struct copy c = {.arena = a, .texts = true, .value = shared};
	struct json *copy = arena_alloc(a, sizeof(*copy));

	copy_into(&c, copy, v);
	return copy;
}

static bool equal_objects(const struct json *a, const struct json *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct json_member *m = &a->members[i], *other = &b->members[i];
		/* Mostly both came from the same writer: the same order. */
		const struct json *v = same_name(other, m->name, m->name_size)
					       ? other->value
					       : json_get_n(b, m->name, m->name_size);

		if (!v || !json_equal(m->value, v))
			return false;
	}
	return true;
}

bool json_equal(const struct json *a, const struct json *b)
{
	int64_t whole;

	if (!a || !b)
		return a == b;
	if (a == b)
		return true;
	if (a->type == JSON_DOUBLE && b->type == JSON_INT)
		return double_is_int(a->d, &whole) && whole == b->i;
	if (a->type == JSON_INT && b->type == JSON_DOUBLE)
		return double_is_int(b->d, &whole) && whole == a->i;
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case JSON_NULL:
		return true;
	case JSON_BOOL:
		return a->b == b->b;
	case JSON_INT:
		return a->i == b->i;
	case JSON_DOUBLE:
		return a->d == b->d;
	case JSON_STRING:
		return a->count == b->count && memcmp(a->s, b->s, a->count) == 0;
	case JSON_ARRAY:
		if (a->count != b->count)
			return false;
		for (uint32_t i = 0; i < a->count; i++)
			if (!json_equal(a->items[i], b->items[i]))
				return false;
		return true;
	case JSON_OBJECT:
		return equal_objects(a, b);
	}
	return false;
}
