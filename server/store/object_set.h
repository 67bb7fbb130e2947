/* object_set.h - objects ordered by namespace and name: a B-tree of two levels (leaves of up to
 * 128, one sorted row of leaves), which keeps 150,000 objects within two short binary searches.
 * Holds references. */
#pragma once

#include "lib/object/object.h"

struct object_leaf;

struct object_set {
	struct object_leaf **leaves; /* in order, none empty */
	size_t leaf_count, leaf_room;
	size_t count; /* objects in all */
	size_t bytes; /* of their JSON */
};

#define OBJECT_SET_INIT ((struct object_set){0})

void object_set_finish(struct object_set *s);
struct object *object_set_get(const struct object_set *s, const char *namespace, const char *name);
/* Takes the place of an object with the same namespace and name, if any. */
void object_set_put(struct object_set *s, struct object *o);
/* False when it was not there. */
bool object_set_remove(struct object_set *s, const char *namespace, const char *name);

/* A place in the order; valid until the set changes. */
struct object_set_iter {
	const struct object_set *set;
	size_t leaf, at;
};
/* The first object behind (namespace, name), which need not be there. ("", "") = the first of all.
 */
struct object_set_iter object_set_after(
	const struct object_set *s, const char *namespace, const char *name);
struct object *object_set_next(struct object_set_iter *it); /* NULL at the end */
