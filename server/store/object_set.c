#include "server/store/object_set.h"

#define LEAF_MAX 128
#define LEAF_FIRST_ROOM 4 /* an index has a set for each value, most of them of one object */

struct object_leaf {
	uint32_t count, room;
	struct object *items[];
};

static int compare(const struct object *o, const char *namespace, const char *name)
{
	int c = strcmp(o->namespace, namespace);
	return c != 0 ? c : strcmp(o->name, name);
}

void object_set_finish(struct object_set *s)
{
	for (size_t i = 0; i < s->leaf_count; i++) {
		for (size_t j = 0; j < s->leaves[i]->count; j++)
			object_unref(s->leaves[i]->items[j]);
		free(s->leaves[i]);
	}
	free(s->leaves);
	*s = OBJECT_SET_INIT;
}

/* The leaf that holds the key or would: the last one whose first object is not behind it. */
static size_t find_leaf(const struct object_set *s, const char *namespace, const char *name)
{
	size_t low = 0, high = s->leaf_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(s->leaves[middle]->items[0], namespace, name) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? low - 1 : 0;
}

/* Index in the leaf of the first object not before the key; *found when it is the key. */
static size_t find_in_leaf(
	const struct object_leaf *leaf, const char *namespace, const char *name, bool *found)
{
	size_t low = 0, high = leaf->count;
	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = compare(leaf->items[middle], namespace, name);
		if (c == 0) {
			*found = true;
			return middle;
		}
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct object *object_set_get(const struct object_set *s, const char *namespace, const char *name)
{
	if (s->leaf_count == 0)
		return NULL;
	const struct object_leaf *leaf = s->leaves[find_leaf(s, namespace, name)];
	bool found;
	size_t at = find_in_leaf(leaf, namespace, name, &found);
	return found ? leaf->items[at] : NULL;
}

static struct object_leaf *new_leaf(uint32_t room)
{
	struct object_leaf *leaf = xmalloc(sizeof(*leaf) + room * sizeof(leaf->items[0]));
	leaf->count = 0;
	leaf->room = room;
	return leaf;
}

/* The leaf, grown when it is full; one of LEAF_MAX is split instead. */
static struct object_leaf *grown_leaf(struct object_set *s, size_t at)
{
	struct object_leaf *leaf = s->leaves[at];
	if (leaf->count < leaf->room)
		return leaf;
	uint32_t room = MIN(leaf->room * 2, (uint32_t)LEAF_MAX);
	leaf = xrealloc(leaf, sizeof(*leaf) + room * sizeof(leaf->items[0]));
	leaf->room = room;
	s->leaves[at] = leaf;
	return leaf;
}

static void insert_leaf(struct object_set *s, size_t at, struct object_leaf *leaf)
{
	if (s->leaf_count == s->leaf_room) {
		s->leaf_room = s->leaf_room ? s->leaf_room * 2 : 4;
		s->leaves = xrealloc(s->leaves, s->leaf_room * sizeof(*s->leaves));
	}
	memmove(&s->leaves[at + 1], &s->leaves[at], (s->leaf_count - at) * sizeof(*s->leaves));
	s->leaves[at] = leaf;
	s->leaf_count++;
}

/* Halves a full leaf. Keys mostly come in order (loading, name suffixes under one prefix), where
 * halving at the end keeps leaves full. */
static void split_leaf(struct object_set *s, size_t at, bool append)
{
	struct object_leaf *left = s->leaves[at];
	struct object_leaf *right = new_leaf(LEAF_MAX);
	uint32_t keep = append ? LEAF_MAX - 1 : LEAF_MAX / 2;
	right->count = left->count - keep;
	memcpy(right->items, &left->items[keep], right->count * sizeof(right->items[0]));
	left->count = keep;
	insert_leaf(s, at + 1, right);
}

void object_set_put(struct object_set *s, struct object *o)
{
	s->bytes += o->bytes->size;
	if (s->leaf_count == 0) {
		struct object_leaf *first = new_leaf(LEAF_FIRST_ROOM);
		first->items[0] = object_ref(o);
		first->count = 1;
		insert_leaf(s, 0, first);
		s->count = 1;
		return;
	}
	size_t at_leaf = find_leaf(s, o->namespace, o->name);
	struct object_leaf *leaf = s->leaves[at_leaf];
	bool found;
	size_t at = find_in_leaf(leaf, o->namespace, o->name, &found);
	if (found) {
		struct object *old = leaf->items[at];
		leaf->items[at] = object_ref(o);
		s->bytes -= old->bytes->size;
		object_unref(old);
		return;
	}
	if (leaf->count == LEAF_MAX) {
		split_leaf(s, at_leaf, at == LEAF_MAX && at_leaf + 1 == s->leaf_count);
		if (at > leaf->count) {
			at -= leaf->count;
			at_leaf++;
		}
	}
	leaf = grown_leaf(s, at_leaf);
	memmove(&leaf->items[at + 1], &leaf->items[at],
		(leaf->count - at) * sizeof(leaf->items[0]));
	leaf->items[at] = object_ref(o);
	leaf->count++;
	s->count++;
}

bool object_set_remove(struct object_set *s, const char *namespace, const char *name)
{
	if (s->leaf_count == 0)
		return false;
	size_t at_leaf = find_leaf(s, namespace, name);
	struct object_leaf *leaf = s->leaves[at_leaf];
	bool found;
	size_t at = find_in_leaf(leaf, namespace, name, &found);
	if (!found)
		return false;
	s->bytes -= leaf->items[at]->bytes->size;
	object_unref(leaf->items[at]);
	leaf->count--;
	s->count--;
	memmove(&leaf->items[at], &leaf->items[at + 1],
		(leaf->count - at) * sizeof(leaf->items[0]));
	if (leaf->count == 0) {
		free(leaf);
		s->leaf_count--;
		memmove(&s->leaves[at_leaf], &s->leaves[at_leaf + 1],
			(s->leaf_count - at_leaf) * sizeof(*s->leaves));
	}
	return true;
}

struct object_set_iter object_set_after(
	const struct object_set *s, const char *namespace, const char *name)
{
	struct object_set_iter it = {.set = s};
	if (s->leaf_count == 0)
		return it;
	it.leaf = find_leaf(s, namespace, name);
	bool found;
	it.at = find_in_leaf(s->leaves[it.leaf], namespace, name, &found) + (found ? 1 : 0);
	return it;
}

struct object *object_set_next(struct object_set_iter *it)
{
	while (it->leaf < it->set->leaf_count) {
		const struct object_leaf *leaf = it->set->leaves[it->leaf];
		if (it->at < leaf->count)
			return leaf->items[it->at++];
		it->leaf++;
		it->at = 0;
	}
	return NULL;
}
