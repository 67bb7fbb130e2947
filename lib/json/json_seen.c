#include "lib/json/json_seen.h"

#include "lib/base/table.h"

/* Equal values have equal hashes: members in any order, 1 as 1.0. */
static uint64_t hash_value(const struct json *v)
{
	uint64_t sum = 0;
	if (!v)
		return 1;
	switch (v->type) {
	case JSON_NULL:
		return 2;
	case JSON_BOOL:
		return v->b ? 3 : 4;
	case JSON_INT:
	case JSON_DOUBLE: {
		double d = v->type == JSON_INT ? (double)v->i : v->d;
		d = d == 0 ? 0 : d; /* -0 equals 0 */
		return table_hash(&d, sizeof(d));
	}
	case JSON_STRING:
		return table_hash(v->s, v->count);
	case JSON_ARRAY:
		for (uint32_t i = 0; i < v->count; i++) {
			uint64_t pair[] = {sum, hash_value(v->items[i])};
			sum = table_hash(pair, sizeof(pair));
		}
		return sum + 5;
	case JSON_OBJECT:
		for (uint32_t i = 0; i < v->count; i++) {
			const struct json_member *m = &v->members[i];
			uint64_t pair[] = {table_hash(m->name, m->name_size), hash_value(m->value)};
			sum += table_hash(pair, sizeof(pair));
		}
		return sum + 6;
	}
	return 0;
}

static uint64_t hash_of(const struct json_seen *s, const struct json *v)
{
	uint64_t sum = 0;
	if (!s->by[0])
		return hash_value(v);
	for (size_t i = 0; i < ARRAY_LEN(s->by) && s->by[i]; i++) {
		uint64_t pair[] = {sum, hash_value(json_get(v, s->by[i]))};
		sum = table_hash(pair, sizeof(pair));
	}
	return sum;
}

static bool same(const struct json_seen *s, const struct json *a, const struct json *b)
{
	if (!s->by[0])
		return json_equal(a, b);
	for (size_t i = 0; i < ARRAY_LEN(s->by) && s->by[i]; i++)
		if (!json_equal(json_get(a, s->by[i]), json_get(b, s->by[i])))
			return false;
	return true;
}

static size_t slot_of(const struct json_seen *s, const struct json *v)
{
	size_t at = hash_of(s, v) & (s->room - 1);
	while (s->slots[at] && !same(s, s->slots[at], v))
		at = (at + 1) & (s->room - 1);
	return at;
}

static void make_room(struct json_seen *s)
{
	const struct json **old = s->room ? s->slots : s->few;
	size_t count = s->room ? s->room : s->count;
	s->room = s->room ? s->room * 2 : JSON_SEEN_FEW * 4;
	s->slots = arena_zalloc(s->arena, s->room * sizeof(*s->slots));
	for (size_t i = 0; i < count; i++)
		if (old[i])
			s->slots[slot_of(s, old[i])] = old[i];
}

const struct json *json_seen_put(struct json_seen *s, const struct json *v)
{
	if (s->room == 0 && s->count < JSON_SEEN_FEW) {
		for (size_t i = 0; i < s->count; i++)
			if (same(s, s->few[i], v))
				return s->few[i];
		s->few[s->count++] = v;
		return NULL;
	}
	if (s->room == 0 || s->count * 2 >= s->room)
		make_room(s);
	size_t at = slot_of(s, v);
	if (s->slots[at])
		return s->slots[at];
	s->slots[at] = v;
	s->count++;
	return NULL;
}

const struct json *json_seen_find(const struct json_seen *s, const struct json *member)
{
	if (s->room == 0) {
		for (size_t i = 0; i < s->count; i++)
			if (json_equal(
				    s->by[0] ? json_get(s->few[i], s->by[0]) : s->few[i], member))
				return s->few[i];
		return NULL;
	}
	if (!s->by[0])
		return s->slots[slot_of(s, member)];
	uint64_t pair[] = {0, hash_value(member)};
	size_t at = table_hash(pair, sizeof(pair)) & (s->room - 1);
	while (s->slots[at] && !json_equal(json_get(s->slots[at], s->by[0]), member))
		at = (at + 1) & (s->room - 1);
	return s->slots[at];
}

struct json_seen json_seen_of(struct arena *a, const struct json *list, const char *member)
{
	struct json_seen s = {.arena = a, .by = {member}};
	JSON_FOR_EACH_ITEM(item, list)
		json_seen_put(&s, item);
	return s;
}
