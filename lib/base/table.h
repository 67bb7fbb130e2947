/* table.h - hash table from strings to pointers, and list.h's sibling.
 *
 * Keys are copied. Iteration order is unspecified; removing the current entry while iterating is
 * allowed, adding is not. Values are the caller's. Hashing is SipHash-1-3 with a per-process random
 * key, since keys come from clients. */
#pragma once

#include "lib/base/util.h"

struct table_slot;
struct table {
	struct table_slot *slots; /* open addressing, room is a power of two */
	size_t room, count, dead;
};

#define TABLE_INIT ((struct table){0})

void table_finish(struct table *t);			 /* frees keys and slots, not values */
void *table_get(const struct table *t, const char *key); /* NULL when absent */
void *table_get_n(const struct table *t, const char *key, size_t size);
/* Sets and returns the previous value (NULL if none). value must not be NULL. */
void *table_set(struct table *t, const char *key, void *value);
void *table_remove(struct table *t, const char *key); /* returns the value or NULL */

/* The keyed hash itself, for other tables over outside data. Differs from process to process. */
uint64_t table_hash(const void *data, size_t size);

struct table_iter {
	const struct table *t;
	size_t at;
	const char *key; /* valid after table_next returned true */
	void *value;
};
struct table_iter table_iterate(const struct table *t);
bool table_next(struct table_iter *it);
