#include "server/scheduler/counters.h"

#include "lib/base/buf.h"
#include "server/scheduler/snapshot.h"

#define COUNTERS_BYTES (16u << 20) /* of counts, for those that are kept beyond a pass */
#define COUNTERS_MIN 64

/* ---- the index ---- */

#define BUCKET_ROOM 768 /* a namespace, a label's key and value are at most 63 + 317 + 63 bytes */

struct bucket {
	VEC(void *) entries;
};

static char *put(char *at, const char *end, const char *text)
{
	while (*text && at < end)
		*at++ = *text++;
	return at;
}

static void bucket_name(
	char room[BUCKET_ROOM], const char *ns, const char *label, const char *value)
{
	const char *end = room + BUCKET_ROOM - 1;
	char *at = put(put(room, end, ns), end, "\x01");
	at = put(put(put(at, end, label), end, "\x01"), end, value);
	*at = '\0';
}

/* A label that must have one value; NULL = there is none. */
static const struct requirement *needed_label(const struct pod_matcher *m)
{
	for (size_t n = 0; n < m->labels.count; n++) {
		const struct requirement *r = &m->labels.items[n];
		if ((r->op == SEL_EQ || r->op == SEL_IN) && r->value_count == 1)
			return r;
	}
	return NULL;
}

static void bucket_of(char room[BUCKET_ROOM], const struct pod_matcher *m)
{
	const char *ns = m->namespace_count == 1 && !m->by_namespace_labels ? m->namespaces[0] : "";
	const struct requirement *r = needed_label(m);
	bucket_name(room, ns, r ? r->key : "", r ? r->values[0] : "");
}

static void index_add(struct matcher_index *x, const struct pod_matcher *m, void *entry)
{
	char name[BUCKET_ROOM];
	bucket_of(name, m);
	struct bucket *b = table_get(&x->buckets, name);
	if (!b) {
		b = xcalloc(1, sizeof(*b));
		table_set(&x->buckets, name, b);
	}
	VEC_PUSH(&b->entries, entry);
	x->count++;
}

static void index_remove(struct matcher_index *x, const struct pod_matcher *m, void *entry)
{
	char name[BUCKET_ROOM];
	bucket_of(name, m);
	struct bucket *b = table_get(&x->buckets, name);
	for (size_t n = 0; n < b->entries.count; n++) {
		if (b->entries.items[n] != entry)
			continue;
		b->entries.items[n] = b->entries.items[--b->entries.count];
		x->count--;
		break;
	}
	if (b->entries.count)
		return;
	table_remove(&x->buckets, name);
	VEC_FINISH(&b->entries);
	free(b);
}

static void index_finish(struct matcher_index *x)
{
	struct table_iter it = table_iterate(&x->buckets);
	while (table_next(&it)) {
		struct bucket *b = it.value;
		VEC_FINISH(&b->entries);
		free(b);
	}
	table_finish(&x->buckets);
}

/* Entries that may match; the caller looks closer. */
static void index_each(struct matcher_index *x, const struct workload *w,
	void (*each)(void *user, void *entry), void *user)
{
	if (!x->count)
		return;
	const char *const namespaces[] = {w->ns, ""};
	for (size_t n = 0; n < ARRAY_LEN(namespaces); n++)
		for (size_t l = 0; l <= w->label_count; l++) {
			char name[BUCKET_ROOM];
			bucket_name(name, namespaces[n], l < w->label_count ? w->labels[l].key : "",
				l < w->label_count ? w->labels[l].value : "");
			const struct bucket *b = table_get(&x->buckets, name);
			for (size_t m = 0; b && m < b->entries.count; m++)
				each(user, b->entries.items[m]);
		}
}

static bool matches(struct snapshot *s, const struct pod_matcher *m, const struct workload *w)
{
	const struct pods_of_namespace *ns =
		m->by_namespace_labels ? snapshot_namespace(s, w->ns) : NULL;
	return pod_matcher_matches(m, w, ns ? ns->labels : NULL, ns ? ns->label_count : 0);
}

/* ---- counters ---- */

void counters_init(struct counters *c)
{
	*c = (struct counters){0};
}

static void counter_destroy(struct counter *c)
{
	arena_finish(&c->arena);
	free(c->count);
	free(c->key);
	free(c);
}

static void held_destroy(struct held_term *t)
{
	arena_finish(&t->arena);
	VEC_FINISH(&t->holders);
	free(t->key);
	free(t);
}

void counters_finish(struct counters *c)
{
	struct table_iter it = table_iterate(&c->by_key);
	while (table_next(&it))
		counter_destroy(it.value);
	it = table_iterate(&c->held);
	while (table_next(&it))
		held_destroy(it.value);
	table_finish(&c->by_key);
	table_finish(&c->held);
	index_finish(&c->index);
	index_finish(&c->held_index);
	pod_index_finish(&c->pods);
}

void counters_grow(struct snapshot *s, uint32_t old_room, uint32_t room)
{
	struct table_iter it = table_iterate(&s->counters.by_key);
	while (table_next(&it)) {
		struct counter *c = it.value;
		c->count = xrealloc(c->count, room * sizeof(*c->count));
		memset(c->count + old_room, 0, (room - old_room) * sizeof(*c->count));
	}
}

static void counter_drop(struct snapshot *s, struct counter *c)
{
	table_remove(&s->counters.by_key, c->key);
	index_remove(&s->counters.index, &c->matchers[0], c);
	counter_destroy(c);
}

void counters_namespace_changed(struct snapshot *s)
{
	struct table_iter it = table_iterate(&s->counters.by_key);
	while (table_next(&it)) {
		struct counter *c = it.value;
		bool stale = false;
		for (size_t n = 0; n < c->matcher_count; n++)
			stale |= c->matchers[n].by_namespace_labels;
		if (stale)
			counter_drop(s, c);
	}
}

static void drop_oldest(struct snapshot *s)
{
	size_t each = MAX(s->slot_room, 1u) * sizeof(int32_t);
	if (s->counters.by_key.count < MAX(COUNTERS_BYTES / each, (size_t)COUNTERS_MIN))
		return;
	struct counter *oldest = NULL;
	struct table_iter it = table_iterate(&s->counters.by_key);
	while (table_next(&it)) {
		struct counter *c = it.value;
		if (c->last_used != s->pass && (!oldest || c->last_used < oldest->last_used))
			oldest = c;
	}
	if (oldest)
		counter_drop(s, oldest);
}

static struct pod_matcher matcher_copy(struct arena *a, const struct pod_matcher *m)
{
	struct pod_matcher copy = *m;
	copy.key = arena_strdup(a, m->key);
	copy.namespaces = arena_alloc(a, (m->namespace_count + 1) * sizeof(*copy.namespaces));
	for (size_t n = 0; n < m->namespace_count; n++)
		copy.namespaces[n] = arena_strdup(a, m->namespaces[n]);
	copy.namespace_labels = selector_copy(a, &m->namespace_labels);
	copy.labels = selector_copy(a, &m->labels);
	return copy;
}

static bool counts(struct snapshot *s, const struct counter *c, const struct workload *w)
{
	for (size_t n = 0; n < c->matcher_count; n++)
		if (!matches(s, &c->matchers[n], w))
			return false;
	return true;
}

static void count_these(
	struct snapshot *s, struct counter *c, struct assigned *const *pods, size_t count)
{
	for (size_t n = 0; n < count; n++)
		if (!pods[n]->removed && counts(s, c, pods[n]->workload))
			c->count[pods[n]->slot]++;
}

static void count_namespace(struct snapshot *s, struct counter *c, const char *name)
{
	const struct requirement *needed = needed_label(&c->matchers[0]);
	if (needed) {
		const struct pod_list *list =
			pod_index_get(s, name, needed->key, needed->values[0]);
		if (list)
			count_these(s, c, list->pods.items, list->pods.count);
		return;
	}
	const struct pods_of_namespace *ns = snapshot_namespace(s, name);
	if (ns)
		count_these(s, c, ns->pods.items, ns->pods.count);
}

static void count_all(struct snapshot *s, struct counter *c)
{
	const struct pod_matcher *first = &c->matchers[0];
	if (first->by_namespace_labels) {
		struct table_iter it = table_iterate(&s->namespaces);
		while (table_next(&it))
			count_namespace(s, c, it.key);
		return;
	}
	for (size_t n = 0; n < first->namespace_count; n++) {
		bool again = false; /* a namespace that is named twice counts once */
		for (size_t m = 0; m < n; m++)
			again |= streq(first->namespaces[m], first->namespaces[n]);
		if (!again)
			count_namespace(s, c, first->namespaces[n]);
	}
}

const struct counter *counters_get(
	struct snapshot *s, const struct pod_matcher *const *matchers, size_t count)
{
	_cleanup_(buf_finish) struct buf joined = BUF_INIT;
	const char *key = matchers[0]->key;
	if (count > 1) {
		for (size_t n = 0; n < count; n++)
			buf_printf(&joined, "%s\x06", matchers[n]->key);
		key = joined.data;
	}
	struct counter *c = table_get(&s->counters.by_key, key);
	if (c) {
		c->last_used = s->pass;
		return c;
	}
	drop_oldest(s);
	c = xcalloc(1, sizeof(*c));
	c->arena.first_size = 512;
	c->key = xstrdup(key);
	c->last_used = s->pass;
	c->matchers = arena_alloc(&c->arena, count * sizeof(*c->matchers));
	c->matcher_count = count;
	for (size_t n = 0; n < count; n++)
		c->matchers[n] = matcher_copy(&c->arena, matchers[n]);
	c->count = xcalloc(MAX(s->slot_room, 1u), sizeof(*c->count));
	count_all(s, c);
	table_set(&s->counters.by_key, key, c);
	index_add(&s->counters.index, &c->matchers[0], c);
	return c;
}

/* ---- held terms ---- */

static size_t held_terms(const struct workload *w)
{
	return w->anti_affinity_count + w->affinity_count + w->preferred_pods_count;
}

static const struct pod_term *nth_term(const struct workload *w, size_t n, enum held_kind *ret_kind)
{
	*ret_kind = HELD_ANTI;
	if (n < w->anti_affinity_count)
		return &w->anti_affinity[n];
	n -= w->anti_affinity_count;
	*ret_kind = HELD_AFFINITY;
	if (n < w->affinity_count)
		return &w->affinity[n];
	*ret_kind = HELD_PREFERRED;
	return &w->preferred_pods[n - w->affinity_count];
}

static struct held_term *held_of(
	struct counters *c, const struct pod_term *term, enum held_kind kind)
{
	_cleanup_(free_p) char *key = xasprintf("%d\x07%s", (int)kind, term->key);
	struct held_term *t = table_get(&c->held, key);
	if (t)
		return t;
	t = xcalloc(1, sizeof(*t));
	t->arena.first_size = 512;
	t->kind = kind;
	t->term = *term;
	t->term.pods = matcher_copy(&t->arena, &term->pods);
	t->term.topology_key = arena_strdup(&t->arena, term->topology_key);
	t->term.key = arena_strdup(&t->arena, term->key);
	t->key = TAKE_PTR(key);
	table_set(&c->held, t->key, t);
	index_add(&c->held_index, &t->term.pods, t);
	c->held_count[kind]++;
	return t;
}

static void hold_terms(struct counters *c, struct assigned *as)
{
	const struct workload *w = as->workload;
	size_t count = held_terms(w);
	if (!count)
		return;
	if (!as->held)
		as->held = xcalloc(count, sizeof(*as->held));
	for (size_t n = 0; n < count; n++) {
		enum held_kind kind;
		const struct pod_term *term = nth_term(w, n, &kind);
		struct held_term *t = held_of(c, term, kind);
		as->held[n] = (struct held_entry){t, (uint32_t)t->holders.count};
		VEC_PUSH(&t->holders, ((struct holder){as->slot, as, (uint32_t)n}));
	}
}

static void release_terms(struct counters *c, struct assigned *as)
{
	for (size_t n = 0; as->held && n < held_terms(as->workload); n++) {
		struct held_term *t = as->held[n].term;
		struct holder last = t->holders.items[--t->holders.count];
		t->holders.items[as->held[n].at] = last;
		last.assigned->held[last.nth].at = as->held[n].at;
		as->held[n].term = NULL;
		if (t->holders.count)
			continue;
		c->held_count[t->kind]--;
		table_remove(&c->held, t->key);
		index_remove(&c->held_index, &t->term.pods, t);
		held_destroy(t);
	}
}

struct count_one {
	struct snapshot *s;
	const struct assigned *as;
	int sign;
};

static void count_one(void *user, void *entry)
{
	const struct count_one *one = user;
	struct counter *c = entry;
	if (counts(one->s, c, one->as->workload))
		c->count[one->as->slot] += one->sign;
}

void counters_account(struct snapshot *s, struct assigned *as, int sign)
{
	struct count_one one = {s, as, sign};
	index_each(&s->counters.index, as->workload, count_one, &one);
	pod_index_account(&s->counters.pods, as, sign);
	if (sign > 0)
		hold_terms(&s->counters, as);
	else
		release_terms(&s->counters, as);
}

struct each_held {
	struct snapshot *s;
	const struct workload *w;
	void (*each)(void *user, struct held_term *t);
	void *user;
};

static void meet_held(void *user, void *entry)
{
	const struct each_held *e = user;
	struct held_term *t = entry;
	if (matches(e->s, &t->term.pods, e->w))
		e->each(e->user, t);
}

void counters_each_held(struct snapshot *s, const struct workload *w,
	void (*each)(void *user, struct held_term *t), void *user)
{
	struct each_held e = {s, w, each, user};
	index_each(&s->counters.held_index, w, meet_held, &e);
}
