#include "server/scheduler/columns.h"

#define COLUMNS_MAX 128 /* kept beyond the pass that uses them */

static void column_destroy(struct column *c)
{
	for (size_t n = 0; n < c->domains.count; n++)
		free(c->domains.items[n].value);
	VEC_FINISH(&c->domains);
	VEC_FINISH(&c->free);
	table_finish(&c->by_value);
	free(c->at);
	free(c->key);
	free(c);
}

void columns_finish(struct snapshot *s)
{
	struct table_iter it = table_iterate(&s->columns);
	while (table_next(&it))
		column_destroy(it.value);
	table_finish(&s->columns);
}

void columns_grow(struct snapshot *s, uint32_t old_room, uint32_t room)
{
	struct table_iter it = table_iterate(&s->columns);
	while (table_next(&it)) {
		struct column *c = it.value;
		c->at = xrealloc(c->at, room * sizeof(*c->at));
		for (uint32_t n = old_room; n < room; n++)
			c->at[n] = -1;
	}
}

/* Labels are sorted by key. */
static const char *label_of(const struct node_state *n, const char *key)
{
	size_t low = 0, high = n->label_count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int r = strcmp(n->labels[mid].key, key);
		if (!r)
			return n->labels[mid].value;
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static void leave(struct column *c, uint32_t slot)
{
	if (c->at[slot] < 0)
		return;
	uint32_t number = (uint32_t)c->at[slot];
	struct domain *d = &c->domains.items[number];
	c->at[slot] = -1;
	if (--d->nodes > 0)
		return;
	table_remove(&c->by_value, d->value);
	free(d->value);
	d->value = NULL;
	VEC_PUSH(&c->free, number);
}

static void enter(struct column *c, uint32_t slot, const char *value)
{
	uintptr_t number = (uintptr_t)table_get(&c->by_value, value);
	if (!number) {
		if (c->free.count) {
			number = c->free.items[--c->free.count];
		} else {
			number = c->domains.count;
			VEC_PUSH(&c->domains, (struct domain){0});
		}
		c->domains.items[number] = (struct domain){.value = xstrdup(value)};
		table_set(&c->by_value, value, (void *)++number);
	}
	number--;
	c->domains.items[number].nodes++;
	c->at[slot] = (int32_t)number;
}

static void refresh(struct snapshot *s, struct column *c, uint32_t slot)
{
	const char *value = s->info[slot] ? label_of(&s->info[slot]->state, c->key) : NULL;
	if (value && c->at[slot] >= 0 && streq(c->domains.items[c->at[slot]].value, value))
		return;
	leave(c, slot);
	if (value)
		enter(c, slot, value);
}

void columns_node_changed(struct snapshot *s, uint32_t slot)
{
	struct table_iter it = table_iterate(&s->columns);
	while (table_next(&it))
		refresh(s, it.value, slot);
}

static void drop_oldest(struct snapshot *s)
{
	struct column *oldest = NULL;
	struct table_iter it = table_iterate(&s->columns);
	while (table_next(&it)) {
		struct column *c = it.value;
		if (c->last_used != s->pass && (!oldest || c->last_used < oldest->last_used))
			oldest = c;
	}
	if (!oldest)
		return;
	table_remove(&s->columns, oldest->key);
	column_destroy(oldest);
}

struct column *snapshot_column(struct snapshot *s, const char *label)
{
	struct column *c = table_get(&s->columns, label);
	if (c) {
		c->last_used = s->pass;
		return c;
	}
	if (s->columns.count >= COLUMNS_MAX)
		drop_oldest(s);
	c = xcalloc(1, sizeof(*c));
	c->key = xstrdup(label);
	c->last_used = s->pass;
	c->at = xmalloc(MAX(s->slot_room, 1u) * sizeof(*c->at));
	for (uint32_t n = 0; n < s->slot_room; n++)
		c->at[n] = -1;
	for (uint32_t n = 0; n < s->slot_count; n++)
		refresh(s, c, n);
	table_set(&s->columns, label, c);
	return c;
}

int32_t column_domain(const struct column *c, const char *value)
{
	return (int32_t)(uintptr_t)table_get(&c->by_value, value) - 1;
}
