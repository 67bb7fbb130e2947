/* json_seen.h - which values have been seen: finds what comes twice in lists of clients, however
 * long they are. Few values are compared one by one, many are found by a keyed hash. */
#pragma once

#include "lib/json/json.h"

#define JSON_SEEN_FEW 16

/* Starts as {.arena = a, .by = {"name"}}. Values must stay where and as they are. */
struct json_seen {
	struct arena *arena;
	const char *by[4]; /* the members of a value that count; none: the whole value */
	size_t count, room;
	const struct json *few[JSON_SEEN_FEW]; /* all there are, while room is 0 */
	const struct json **slots;	       /* open addressing, room is a power of two */
};

/* The first equal value that was put in before, NULL when there is none; then `v` is in. Values are
 * equal as json_equal has it, a member that is absent equals one that is absent. */
const struct json *json_seen_put(struct json_seen *s, const struct json *v);
/* The value that was put in with such a member, where one member counts; without members an equal
 * one. */
const struct json *json_seen_find(const struct json_seen *s, const struct json *member);
/* All items of a list put in. */
struct json_seen json_seen_of(struct arena *a, const struct json *list, const char *member);
