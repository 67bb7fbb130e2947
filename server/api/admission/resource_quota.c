/* ResourceQuota: what a namespace may use in all. The accounts (server/quota/quota.h) follow the
 * cache, event by event; writes that are admitted are reserved in them until they are settled, so
 * that many at once never exceed a quota together, and a failed one leaves nothing behind.
 *
 * Kept in memory and exact at any time: status.used of the objects, which a control loop writes, is
 * for people to read (docs/decisions, "Quotas are accounted for in memory"). */
#include "server/api/admission/admission_internal.h"
#include "server/quota/quota.h"

/* The quotas of one namespace. */
struct space {
	struct table quotas; /* name -> struct quota */
	struct list charges; /* struct quota_charge: writes on their way */
};

/* One kind that some quota counts. */
struct tracker {
	const struct kind *kind; /* a storage */
	struct cache_watcher *watcher;
	struct tracker *next;
};

struct quota_book {
	struct api *api;
	const struct kind *kind; /* ResourceQuota */
	struct cache_watcher *watcher;
	struct table spaces; /* namespace -> struct space */
	struct tracker *trackers;
	bool closed, syncing;
};

/* In the request's arena. */
struct quota_charge {
	struct list link;
	const struct kind *kind;
	const char *namespace, *name;
	const struct json *doc;
};

static void book_sync(struct quota_book *book);

static void on_notify(void *user)
{
	book_sync(user);
}

static struct cache_watcher *watch(struct quota_book *book, const struct kind *k)
{
	struct cache_watcher *w = NULL;
	int r = cache_watch(book->api->cache,
		&(struct cache_watch_options){.kind = k, .since = cache_revision(book->api->cache)},
		on_notify, book, &w);
	return r < 0 ? NULL : w;
}

/* Every object of the kind in the namespace, as it is now. */
static void scan(
	struct quota_book *book, const char *namespace, struct quota *q, const struct kind *k)
{
	struct arena a = ARENA_INIT;
	struct cache_page page;
	cache_list(book->api->cache, &(struct cache_query){.kind = k, .namespace = namespace}, &a,
		&page);
	quota_scan_begin(q, k);
	for (size_t i = 0; i < page.count; i++) {
		struct arena scratch = ARENA_INIT;
		quota_observe(q, k, page.items[i]->name, object_doc(page.items[i], &scratch));
		arena_finish(&scratch);
	}
	quota_scan_end(q, k);
	arena_finish(&a);
}

static void scan_all(struct quota_book *book, const struct kind *k)
{
	for (struct table_iter s = table_iterate(&book->spaces); table_next(&s);)
		for (struct table_iter q = table_iterate(&((struct space *)s.value)->quotas);
			table_next(&q);)
			if (quota_covers(q.value, k))
				scan(book, s.key, q.value, k);
}

static void space_drop(struct quota_book *book, const char *namespace)
{
	struct space *s = table_get(&book->spaces, namespace);
	if (!s || s->quotas.count || !list_empty(&s->charges))
		return;
	table_remove(&book->spaces, namespace);
	table_finish(&s->quotas);
	free(s);
}

static void quota_gone(struct quota_book *book, const char *namespace, const char *name)
{
	struct space *s = table_get(&book->spaces, namespace);
	if (!s)
		return;
	quota_destroy(table_remove(&s->quotas, name));
	space_drop(book, namespace);
}

static void quota_seen(struct quota_book *book, const struct object *o)
{
	struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(o, &a);
	struct space *s = table_get(&book->spaces, o->namespace);
	struct quota *have = s ? table_get(&s->quotas, o->name) : NULL;
	if (!have || quota_differs(have, doc)) {
		if (!s) {
			s = xcalloc(1, sizeof(*s));
			list_init(&s->charges);
			table_set(&book->spaces, o->namespace, s);
		}
		struct quota *q = quota_create(doc);
		quota_destroy(table_set(&s->quotas, o->name, q));
		for (struct tracker *t = book->trackers; t; t = t->next)
			if (quota_covers(q, t->kind))
				scan(book, o->namespace, q, t->kind);
		LIST_FOR_EACH(c, &s->charges, struct quota_charge, link)
			quota_reserve(q, c->kind, c->name, c->doc);
	}
	arena_finish(&a);
}

/* From nothing, or after events were missed: what is there, and what is not any more. */
static void load_quotas(struct quota_book *book)
{
	struct arena a = ARENA_INIT;
	struct cache_page page;
	cache_watch_close(book->watcher);
	book->watcher = watch(book, book->kind);
	cache_list(book->api->cache, &(struct cache_query){.kind = book->kind}, &a, &page);
	for (struct table_iter s = table_iterate(&book->spaces); table_next(&s);) {
		struct space *space = s.value;
		for (struct table_iter q = table_iterate(&space->quotas); table_next(&q);)
			if (!cache_get(book->api->cache, book->kind, s.key, q.key))
				quota_destroy(table_remove(&space->quotas, q.key));
		space_drop(book, s.key);
	}
	for (size_t i = 0; i < page.count; i++)
		quota_seen(book, page.items[i]);
	arena_finish(&a);
}

static void tracker_sync(struct quota_book *book, struct tracker *t)
{
	struct cache_event e;
	int r = t->watcher ? 0 : -ESTALE;
	while (r == 0 && (r = cache_watch_next(t->watcher, &e)) > 0) {
		struct space *s = table_get(&book->spaces, e.object->namespace);
		r = 0;
		if (!s)
			continue;
		struct arena a = ARENA_INIT;
		const struct json *doc = e.type == CACHE_DELETED ? NULL : object_doc(e.object, &a);
		for (struct table_iter q = table_iterate(&s->quotas); table_next(&q);)
			quota_observe(q.value, t->kind, e.object->name, doc);
		arena_finish(&a);
	}
	if (r < 0) {
		cache_watch_close(t->watcher);
		t->watcher = watch(book, t->kind);
		scan_all(book, t->kind);
	}
}

static void trackers_close(struct quota_book *book)
{
	while (book->trackers) {
		struct tracker *t = book->trackers;
		book->trackers = t->next;
		cache_watch_close(t->watcher);
		free(t);
	}
}

/* Brings the accounts up to what the cache shows. */
static void book_sync(struct quota_book *book)
{
	struct cache_event e;
	int r = book->watcher ? 0 : -ESTALE;
	if (book->closed || !book->kind || book->syncing)
		return;
	book->syncing = true;
	while (r == 0 && (r = cache_watch_next(book->watcher, &e)) > 0) {
		r = 0;
		if (e.type == CACHE_DELETED)
			quota_gone(book, e.object->namespace, e.object->name);
		else
			quota_seen(book, e.object);
	}
	if (r < 0)
		load_quotas(book);
	if (book->spaces.count == 0)
		trackers_close(book);
	for (struct tracker *t = book->trackers; t; t = t->next)
		tracker_sync(book, t);
	book->syncing = false;
}

/* The first object of a kind that a quota counts. */
static void track(struct quota_book *book, const struct kind *k)
{
	if (book->closed)
		return; /* the cache is about to go */
	for (struct tracker *t = book->trackers; t; t = t->next)
		if (t->kind == k->storage)
			return;
	struct tracker *t = xcalloc(1, sizeof(*t));
	t->kind = k->storage;
	t->next = book->trackers;
	book->trackers = t;
	tracker_sync(book, t);
}

struct quota_book *quota_book_create(struct api *api)
{
	struct quota_book *book = xcalloc(1, sizeof(*book));
	book->api = api;
	book->kind = kind_by_resource(api->kinds, "", "v1", "resourcequotas");
	return book;
}

/* Before the cache is closed. Accounts are frozen from then on. */
void quota_book_close(struct quota_book *book)
{
	book->closed = true;
	cache_watch_close(TAKE_PTR(book->watcher));
	trackers_close(book);
}

void quota_book_destroy(struct quota_book *book)
{
	for (struct table_iter s = table_iterate(&book->spaces); table_next(&s);) {
		struct space *space = s.value;
		for (struct table_iter q = table_iterate(&space->quotas); table_next(&q);)
			quota_destroy(q.value);
		table_finish(&space->quotas);
		free(space);
	}
	table_finish(&book->spaces);
	free(book);
}

/* Creations count; of updates those that can ask for more. */
static bool handles(const struct admission_review *r)
{
	const struct admission_kinds *kinds = &admission_of(r)->kinds;
	if (r->operation == ADMISSION_CREATE)
		return true;
	if (admission_is_pod(r))
		return streq(r->part, "resize");
	return !*r->part && (r->kind == kinds->services || r->kind == kinds->claims);
}

static int validate(const struct admission_review *r)
{
	struct quota_book *book = admission_of(r)->quotas;
	struct arena *a = r->req->arena;
	if (!*r->namespace || !book->kind || cache_count(book->api->cache, book->kind) == 0 ||
		!handles(r))
		return 0;
	book_sync(book);
	struct space *s = table_get(&book->spaces, r->namespace);
	if (!s || !s->quotas.count)
		return 0;
	bool covered = false;
	for (struct table_iter q = table_iterate(&s->quotas); table_next(&q);) {
		if (!quota_covers(q.value, r->kind))
			continue;
		if (!covered)
			track(book, r->kind);
		covered = true;
		const char *why = quota_refuses(q.value, a, r->kind, r->name, r->doc);
		if (why)
			return admission_forbid(r, "%s", why);
	}
	if (!covered || r->req->dry_run)
		return 0;
	struct quota_charge *c = ARENA_NEW(a, struct quota_charge);
	*c = (struct quota_charge){
		.kind = r->kind, .namespace = r->namespace, .name = r->name, .doc = r->doc};
	for (struct table_iter q = table_iterate(&s->quotas); table_next(&q);)
		quota_reserve(q.value, r->kind, r->name, r->doc);
	list_append(&s->charges, &c->link);
	r->req->charge = c;
	return 0;
}

void admission_settle(struct api_request *req)
{
	struct quota_charge *c = TAKE_PTR(req->charge);
	if (!c)
		return;
	struct quota_book *book = req->api->admission->quotas;
	list_remove(&c->link);
	/* What was written is in the cache by now: it is counted before it is no longer reserved.
	 */
	book_sync(book);
	struct space *s = table_get(&book->spaces, c->namespace);
	if (!s)
		return;
	for (struct table_iter q = table_iterate(&s->quotas); table_next(&q);)
		quota_release(q.value, c->kind, c->name);
	space_drop(book, c->namespace);
}

const struct admission_plugin admission_resource_quota = {
	.name = "ResourceQuota",
	.validate = validate,
};
