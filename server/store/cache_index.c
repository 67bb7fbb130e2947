/* cache_index.c - answers "pods of this node" and "pods with this label" without a walk over all.
 */
#include "server/store/cache_private.h"

static const struct object_set empty_set;

static const char *indexed_value(const struct cache_index *index, const struct object *o)
{
	return index->by_label ? object_label(o, index->key) : object_field(o, index->key);
}

static void index_add(struct cache_index *index, struct object *o)
{
	const char *value = indexed_value(index, o);
	if (!value)
		return;
	struct object_set *set = table_get(&index->values, value);
	if (!set) {
		set = xcalloc(1, sizeof(*set));
		table_set(&index->values, value, set);
	}
	object_set_put(set, o);
}

static void index_remove(struct cache_index *index, const struct object *o)
{
	const char *value = indexed_value(index, o);
	struct object_set *set = value ? table_get(&index->values, value) : NULL;
	if (!set)
		return;
	object_set_remove(set, o->namespace, o->name);
	if (set->count == 0) {
		table_remove(&index->values, value);
		object_set_finish(set);
		free(set);
	}
}

static void index_finish(struct cache_index *index)
{
	struct table_iter it = table_iterate(&index->values);
	while (table_next(&it)) {
		struct object_set *set = it.value;
		object_set_finish(set);
		free(set);
	}
	table_finish(&index->values);
	free(index->key);
}

static struct cache_index *index_get(
	struct cache *c, struct kind_cache *kc, bool by_label, const char *key)
{
	size_t oldest = 0;
	for (size_t i = 0; i < kc->indexes.count; i++) {
		struct cache_index *index = &kc->indexes.items[i];
		if (index->by_label == by_label && streq(index->key, key))
			return index;
		if (index->used < kc->indexes.items[oldest].used)
			oldest = i;
	}
	if (kc->indexes.count == CACHE_INDEX_MAX) {
		index_finish(&kc->indexes.items[oldest]);
		VEC_REMOVE(&kc->indexes, oldest);
	}
	struct cache_index fresh = {.by_label = by_label, .key = xstrdup(key)};
	VEC_PUSH(&kc->indexes, fresh);
	struct cache_index *index = &kc->indexes.items[kc->indexes.count - 1];
	struct object_set_iter it = object_set_after(&kc->objects, "", "");
	for (struct object *o; (o = object_set_next(&it)) != NULL;)
		index_add(index, o);
	return index;
}

/* Name and namespace have the main order; everything else that must equal one value is indexed. */
static const struct requirement *indexable(const struct selector *s, bool fields)
{
	for (size_t i = 0; s && !s->nothing && i < s->count; i++) {
		const struct requirement *r = &s->items[i];
		bool one_value = r->op == SEL_EQ || (r->op == SEL_IN && r->value_count == 1);
		if (one_value && r->value_count == 1 &&
			!(fields && str_has_prefix(r->key, "metadata.")))
			return r;
	}
	return NULL;
}

const struct object_set *cache_index_find(struct cache *c, struct kind_cache *kc,
	const struct selector *labels, const struct selector *fields)
{
	/* Below this a walk is as fast as the look-up, and most kinds never grow beyond it. */
	const size_t worth_it = 64;
	if (kc->objects.count < worth_it)
		return NULL;
	bool by_label = false;
	const struct requirement *r = indexable(fields, true);
	if (!r) {
		r = indexable(labels, false);
		by_label = true;
	}
	if (!r)
		return NULL;
	struct cache_index *index = index_get(c, kc, by_label, r->key);
	index->used = ++c->query_count;
	const struct object_set *set = table_get(&index->values, r->values[0]);
	return set ? set : &empty_set;
}

void cache_index_update(struct kind_cache *kc, struct object *before, struct object *after)
{
	for (size_t i = 0; i < kc->indexes.count; i++) {
		struct cache_index *index = &kc->indexes.items[i];
		const char *old_value = before ? indexed_value(index, before) : NULL;
		const char *new_value = after ? indexed_value(index, after) : NULL;
		if (before && !streq(old_value, new_value))
			index_remove(index, before);
		if (after)
			index_add(index, after);
	}
}

void cache_index_finish(struct kind_cache *kc)
{
	for (size_t i = 0; i < kc->indexes.count; i++)
		index_finish(&kc->indexes.items[i]);
	VEC_FINISH(&kc->indexes);
}
