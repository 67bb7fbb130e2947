#include "lib/client/informer.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/sm.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"

/*            start
 *   IDLE -------------> LISTING --list in--> WATCHING
 *                         ^ |                  | |
 *                         | | failed           | | ended, failed (after a while, from the
 *              410, or it | v                  | v  last revision)
 *              was a list +-BACKOFF <----------+-'
 *
 * From BACKOFF it goes on with a list when there is no revision to watch from, else with a watch.
 */
enum { IDLE, LISTING, WATCHING, BACKOFF };
static const struct sm_state states[] = {
	[IDLE] = {"idle", SM_ALLOW(LISTING), false},
	[LISTING] = {"listing", SM_ALLOW(WATCHING) | SM_ALLOW(BACKOFF), false},
	[WATCHING] = {"watching", SM_ALLOW(BACKOFF) | SM_ALLOW(LISTING) | SM_ALLOW(WATCHING),
		false},
	[BACKOFF] = {"back-off", SM_ALLOW(LISTING) | SM_ALLOW(WATCHING), false},
};
static const struct sm_class informer_sm = {"informer", states, ARRAY_LEN(states), NULL};

#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS 30000
/* Objects of a list that are taken in at a time: whoever else is served by this loop, such as the
 * API with a large store that has just started, is not held up by all of them. */
#define PART_MAX 256
/* A watch that lived this long was a healthy one: the next starts without delay. */
#define HEALTHY_WATCH_NS (5 * NS_PER_S)

struct entry {
	struct object *object;
	uint64_t seen; /* number of the list that last had it */
};

struct bucket {
	VEC(struct entry *) entries;
};

enum index_by { BY_NAMESPACE, BY_OWNER, BY_FIELD };
struct index {
	char *name;
	enum index_by by;
	struct table buckets; /* value -> bucket */
};

struct handler {
	struct informer_handler h;
	void *user;
};

struct informer {
	struct client *client;
	const struct kind *kind;
	char *namespace, *label_selector, *field_selector;
	struct sm sm;
	struct object *(*keep)(struct object *o); /* NULL = as it came */
	struct table entries;			  /* "ns/name" -> entry */
	VEC(struct index *) indexes;
	VEC(struct handler) handlers;
	bool synced, absent;
	uint64_t revision;	/* where to watch from; 0 = must list */
	uint64_t revision_seen; /* up to here everything was reported */
	uint64_t list_number;
	unsigned failures; /* in a row */
	struct client_call *list;
	/* Of a list that is in: what is still to be taken in, a part a turn of the loop. */
	struct object **rest;
	size_t rest_count, rest_at;
	uint64_t rest_revision;
	struct client_watch *watch;
	struct wakeup *wakeup;
};

static int64_t mono(const struct informer *i)
{
	return i->client->clock->mono_ns(i->client->clock);
}

static void go_list(struct informer *i);
static void go_watch(struct informer *i);
static void take_part(struct informer *i);

static void go_on(void *user)
{
	struct informer *i = user;
	if (i->rest)
		take_part(i);
	else if (i->revision)
		go_watch(i);
	else
		go_list(i);
}

static void back_off(struct informer *i, const char *why)
{
	unsigned shift = MIN(i->failures, 8u);
	int64_t ms = MIN((int64_t)BACKOFF_FIRST_MS << shift, BACKOFF_MAX_MS);
	ms = ms / 2 + (int64_t)random_below(client_random(i->client), (uint64_t)ms);
	if (i->failures == 3)
		log_warn("cannot follow a kind, still trying", "kind", i->kind->resource, "why",
			why, NULL);
	i->failures++;
	sm_move(&i->sm, BACKOFF, mono(i));
	wakeup_in(i->wakeup, ms);
}

/* Values of an index for an object: calls back for each. */
static void index_put(struct index *x, const char *value, struct entry *e)
{
	struct bucket *b = table_get(&x->buckets, value);
	if (!b) {
		b = xcalloc(1, sizeof(*b));
		table_set(&x->buckets, value, b);
	}
	VEC_PUSH(&b->entries, e);
}

static void index_drop(struct index *x, const char *value, struct entry *e)
{
	struct bucket *b = table_get(&x->buckets, value);
	if (!b)
		return;
	for (size_t n = b->entries.count; n-- > 0;) {
		if (b->entries.items[n] != e)
			continue;
		b->entries.items[n] = b->entries.items[--b->entries.count];
		break;
	}
	if (!b->entries.count) {
		table_remove(&x->buckets, value);
		VEC_FINISH(&b->entries);
		free(b);
	}
}

static const char *single_value(const struct index *x, const struct object *o)
{
	if (x->by == BY_NAMESPACE)
		return o->namespace;
	const char *v = object_field(o, x->name);
	return v ? v : "";
}

static bool owned_twice(const struct object *o, size_t n)
{
	for (size_t m = 0; m < n; m++)
		if (streq(o->owners[m].uid, o->owners[n].uid))
			return true;
	return false;
}

static void index_each_owner(struct index *x, const struct object *o, struct entry *e,
	void (*act)(struct index *, const char *, struct entry *))
{
	for (size_t n = 0; n < o->owner_count; n++)
		if (!owned_twice(o, n))
			act(x, o->owners[n].uid, e);
}

static bool same_owners(const struct object *a, const struct object *b)
{
	if (a->owner_count != b->owner_count)
		return false;
	for (size_t n = 0; n < a->owner_count; n++)
		if (!streq(a->owners[n].uid, b->owners[n].uid))
			return false;
	return true;
}

static void reindex(
	struct index *x, struct entry *e, const struct object *old, const struct object *new)
{
	if (x->by == BY_OWNER) {
		if (old && new &&same_owners(old, new))
			return;
		if (old)
			index_each_owner(x, old, e, index_drop);
		if (new)
			index_each_owner(x, new, e, index_put);
		return;
	}
	const char *was = old ? single_value(x, old) : NULL,
		   *is = new ? single_value(x, new) : NULL;
	if (streq(was, is))
		return;
	if (was)
		index_drop(x, was, e);
	if (is)
		index_put(x, is, e);
}

static void tell(struct informer *i, const struct object *old, const struct object *new)
{
	for (size_t n = 0; n < i->handlers.count; n++)
		if (i->handlers.items[n].h.changed)
			i->handlers.items[n].h.changed(i->handlers.items[n].user, old, new);
}

static char *entry_key(char *room, size_t size, const char *ns, const char *name)
{
	snprintf(room, size, "%s/%s", ns, name);
	return room;
}
#define KEY_ROOM 600 /* namespace and name are at most 253 bytes each */

/* Takes the new state in. Older than what is known, or the same: nothing happens. */
static void upsert(struct informer *i, struct object *o)
{
	char key[KEY_ROOM];
	struct entry *e =
		table_get(&i->entries, entry_key(key, sizeof(key), o->namespace, o->name));
	if (e && streq(e->object->uid, o->uid) && o->revision <= e->object->revision) {
		e->seen = i->list_number;
		return;
	}
	_cleanup_(object_unref_p) struct object *old = NULL;
	o = i->keep ? i->keep(o) : object_ref(o);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		table_set(&i->entries, key, e);
	} else {
		old = e->object;
	}
	e->object = o;
	e->seen = i->list_number;
	for (size_t n = 0; n < i->indexes.count; n++)
		reindex(i->indexes.items[n], e, old, o);
	/* Deleted and made again under the same name: two changes, not one. */
	if (old && !streq(old->uid, o->uid)) {
		tell(i, old, NULL);
		tell(i, NULL, o);
		return;
	}
	tell(i, old, o);
}

static void drop(struct informer *i, const char *key, const struct object *last)
{
	struct entry *e = table_remove(&i->entries, key);
	if (!e)
		return;
	_cleanup_(object_unref_p) struct object *old = e->object;
	for (size_t n = 0; n < i->indexes.count; n++)
		reindex(i->indexes.items[n], e, old, NULL);
	free(e);
	tell(i, last ? last : old, NULL);
}

static void drop_unseen(struct informer *i)
{
	VEC(char *) gone = {0};
	struct table_iter it = table_iterate(&i->entries);
	while (table_next(&it)) {
		struct entry *e = it.value;
		if (e->seen != i->list_number)
			VEC_PUSH(&gone, xstrdup(it.key));
	}
	for (size_t n = 0; n < gone.count; n++) {
		drop(i, gone.items[n], NULL);
		free(gone.items[n]);
	}
	VEC_FINISH(&gone);
}

static void forget_rest(struct informer *i)
{
	for (size_t n = i->rest_at; n < i->rest_count; n++)
		object_unref(i->rest[n]);
	free(i->rest);
	i->rest = NULL;
	i->rest_count = i->rest_at = 0;
}

static void list_taken(struct informer *i, uint64_t revision)
{
	drop_unseen(i);
	i->revision = i->revision_seen = revision;
	i->failures = 0;
	if (!i->synced) {
		i->synced = true;
		for (size_t n = 0; n < i->handlers.count; n++)
			if (i->handlers.items[n].h.synced)
				i->handlers.items[n].h.synced(i->handlers.items[n].user);
	}
	go_watch(i);
}

static void take_part(struct informer *i)
{
	size_t end = MIN(i->rest_at + PART_MAX, i->rest_count);
	while (i->rest_at < end) {
		struct object *o = i->rest[i->rest_at++];
		upsert(i, o);
		object_unref(o);
	}
	if (i->rest_at < i->rest_count) {
		wakeup_in(i->wakeup, 0);
		return;
	}
	forget_rest(i);
	list_taken(i, i->rest_revision);
}

static void on_list(void *user, const struct client_list_result *r)
{
	struct informer *i = user;
	i->list = NULL;
	i->absent = r->code == 404 || r->code == 403;
	if (r->code != 200) {
		back_off(i, r->message);
		return;
	}
	i->list_number++;
	if (r->count <= PART_MAX) {
		for (size_t n = 0; n < r->count; n++)
			upsert(i, r->items[n]);
		list_taken(i, r->revision);
		return;
	}
	i->rest = xcalloc(r->count, sizeof(struct object *));
	i->rest_count = r->count;
	i->rest_revision = r->revision;
	for (size_t n = 0; n < r->count; n++)
		i->rest[n] = object_ref(r->items[n]);
	take_part(i);
}

static void go_list(struct informer *i)
{
	sm_move(&i->sm, LISTING, mono(i));
	struct client_list_options o = {
		i->kind, i->namespace, i->label_selector, i->field_selector};
	i->list = i->client->ops->list(i->client, &o, on_list, i);
}

static void on_event(void *user, const struct client_event *e)
{
	struct informer *i = user;
	char key[KEY_ROOM];
	switch (e->type) {
	case CLIENT_ADDED:
	case CLIENT_MODIFIED:
		upsert(i, e->object);
		break;
	case CLIENT_DELETED: {
		entry_key(key, sizeof(key), e->object->namespace, e->object->name);
		struct entry *known = table_get(&i->entries, key);
		/* A late deletion of an earlier object of this name must not remove the new one. */
		if (known && streq(known->object->uid, e->object->uid))
			drop(i, key, e->object);
		break;
	}
	case CLIENT_BOOKMARK:
		break;
	case CLIENT_ERROR:
		i->revision = 0;
		log_debug("watch failed", "kind", i->kind->resource, "message", e->message, NULL);
		return;
	}
	if (e->revision > i->revision)
		i->revision = i->revision_seen = e->revision;
}

static void on_watch_ended(void *user)
{
	struct informer *i = user;
	i->watch = NULL;
	if (mono(i) - i->sm.since_ns >= HEALTHY_WATCH_NS) {
		i->failures = 0;
		go_on(i);
		return;
	}
	back_off(i, "watches end at once");
}

static void go_watch(struct informer *i)
{
	static const struct client_watch_handler handler = {on_event, on_watch_ended};
	sm_move(&i->sm, WATCHING, mono(i));
	struct client_watch_options o = {
		i->kind, i->namespace, i->label_selector, i->field_selector, i->revision};
	i->watch = i->client->ops->watch(i->client, &o, &handler, i);
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct informer *informer_create(struct client *c, const struct kind *k, const char *namespace,
	const char *label_selector, const char *field_selector)
{
	struct informer *i = xcalloc(1, sizeof(*i));
	i->client = c;
	i->kind = k;
	i->namespace = dup_or_null(namespace);
	i->label_selector = dup_or_null(label_selector);
	i->field_selector = dup_or_null(field_selector);
	i->wakeup = wakeup_create(c->loop, c->clock, go_on, i);
	sm_init(&i->sm, &informer_sm, i, k->resource, IDLE, mono(i));
	return i;
}

void informer_add_handler(struct informer *i, const struct informer_handler *h, void *user)
{
	VEC_PUSH(&i->handlers, ((struct handler){*h, user}));
}

void informer_set_keep(struct informer *i, struct object *(*keep)(struct object *o))
{
	i->keep = keep;
}

static struct index *find_index(const struct informer *i, const char *name)
{
	for (size_t n = 0; n < i->indexes.count; n++)
		if (streq(i->indexes.items[n]->name, name))
			return i->indexes.items[n];
	return NULL;
}

void informer_add_index(struct informer *i, const char *name)
{
	if (find_index(i, name))
		return;
	struct index *x = xcalloc(1, sizeof(*x));
	x->name = xstrdup(name);
	x->by = streq(name, "owner")	   ? BY_OWNER
		: streq(name, "namespace") ? BY_NAMESPACE
					   : BY_FIELD;
	VEC_PUSH(&i->indexes, x);
	struct table_iter it = table_iterate(&i->entries);
	while (table_next(&it)) {
		struct entry *e = it.value;
		reindex(x, e, NULL, e->object);
	}
}

void informer_start(struct informer *i)
{
	if (i->sm.state == IDLE)
		go_list(i);
}

static void index_free(struct index *x)
{
	struct table_iter it = table_iterate(&x->buckets);
	while (table_next(&it)) {
		struct bucket *b = it.value;
		VEC_FINISH(&b->entries);
		free(b);
	}
	table_finish(&x->buckets);
	free(x->name);
	free(x);
}

void informer_destroy(struct informer *i)
{
	if (!i)
		return;
	if (i->list)
		client_cancel(i->client, i->list);
	if (i->watch)
		i->client->ops->watch_close(i->client, i->watch);
	forget_rest(i);
	wakeup_destroy(i->wakeup);
	for (size_t n = 0; n < i->indexes.count; n++)
		index_free(i->indexes.items[n]);
	VEC_FINISH(&i->indexes);
	struct table_iter it = table_iterate(&i->entries);
	while (table_next(&it)) {
		struct entry *e = it.value;
		object_unref(e->object);
		free(e);
	}
	table_finish(&i->entries);
	VEC_FINISH(&i->handlers);
	free(i->namespace);
	free(i->label_selector);
	free(i->field_selector);
	free(i);
}

bool informer_synced(const struct informer *i)
{
	return i->synced;
}

bool informer_absent(const struct informer *i)
{
	return i->absent;
}

uint64_t informer_revision(const struct informer *i)
{
	return i->revision_seen;
}

struct object *informer_get(const struct informer *i, const char *ns, const char *name)
{
	char key[KEY_ROOM];
	struct entry *e = table_get(&i->entries, entry_key(key, sizeof(key), ns ? ns : "", name));
	return e ? e->object : NULL;
}

static int by_name(const void *pa, const void *pb)
{
	const struct object *a = *(struct object *const *)pa, *b = *(struct object *const *)pb;
	int r = strcmp(a->namespace, b->namespace);
	return r ? r : strcmp(a->name, b->name);
}

size_t informer_list(
	const struct informer *i, const char *ns, struct arena *a, struct object ***ret)
{
	if (ns && find_index(i, "namespace"))
		return informer_by_index(i, "namespace", ns, a, ret);
	struct object **all = arena_alloc(a, (i->entries.count + 1) * sizeof(*all));
	size_t count = 0;
	struct table_iter it = table_iterate(&i->entries);
	while (table_next(&it)) {
		struct object *o = ((struct entry *)it.value)->object;
		if (!ns || streq(ns, o->namespace))
			all[count++] = o;
	}
	if (count > 1)
		qsort(all, count, sizeof(*all), by_name);
	*ret = all;
	return count;
}

size_t informer_by_index(const struct informer *i, const char *name, const char *value,
	struct arena *a, struct object ***ret)
{
	struct index *x = find_index(i, name);
	struct bucket *b = x ? table_get(&x->buckets, value) : NULL;
	size_t count = b ? b->entries.count : 0;
	struct object **all = arena_alloc(a, (count + 1) * sizeof(*all));
	for (size_t n = 0; n < count; n++)
		all[n] = b->entries.items[n]->object;
	if (count > 1)
		qsort(all, count, sizeof(*all), by_name);
	*ret = all;
	return count;
}

const struct kind *informer_kind(const struct informer *i)
{
	return i->kind;
}
