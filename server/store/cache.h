/* cache.h - all live objects in memory, over a store: reads, atomic writes, watches.
 *
 * Kinds that share a storage (lib/object/kind.h) share its objects: calls take any of them, objects
 * and stored forms are always of the storage.
 *
 * Objects are ordered by (kind, namespace, name). What can be read here is durable. Each kind keeps
 * its recent events; a watcher is a cursor into them, so a slow watcher costs nothing and is told
 * -ESTALE (410 Expired) when it fell off the end. */
#pragma once

#include "lib/base/clock.h"
#include "lib/object/object.h"
#include "lib/object/selector.h"
#include "server/store/store.h"

struct cache;

/* Takes the store over (closes it at the end). Kinds must all be registered. */
struct cache *cache_create(uv_loop_t *loop, const struct kind_registry *kinds, struct store *store,
	struct clock *clock);
/* Fills the cache from the store. Rows of unknown kinds are kept: in the store, and beside the
 * objects until their kind comes. */
int cache_load(struct cache *c, struct err *err) _must_check_;
/* Waits for writes on their way, refuses new ones (-ESHUTDOWN), closes the store, frees. Watchers
 * must be closed before. */
void cache_close(struct cache *c, void (*done)(void *user), void *user);

/* A custom kind (lib/object/custom.h) came or changed, and `storage` is what it is stored as now.
 * Its objects are made anew, as the kind shows them now, rows that waited for it become objects;
 * its watchers have fallen off (-ESTALE). */
void cache_kind_changed(struct cache *c, const struct kind *storage);
/* It is gone. What is left of its objects is kept as rows of an unknown kind. */
void cache_kind_removed(struct cache *c, const struct kind *storage);
/* True while a write of the resource is on its way to the store. */
bool cache_kind_busy(const struct cache *c, const struct kind *storage);
size_t cache_unknown_count(const struct cache *c);

uint64_t cache_revision(const struct cache *c); /* newest that readers can see */
/* Borrowed until the next turn of the loop; NULL when absent. namespace "" for cluster-scoped. */
struct object *cache_get(
	const struct cache *c, const struct kind *k, const char *namespace, const char *name);
size_t cache_count(const struct cache *c, const struct kind *k);
/* Another number after each change of an object of the kind: for what is derived from all of them.
 */
uint64_t cache_version(const struct cache *c, const struct kind *k);

struct cache_query {
	const struct kind *kind;
	const char *namespace;	       /* NULL or "" = all */
	const struct selector *labels; /* NULL = all */
	const struct selector *fields; /* NULL = all */
	const char *after_namespace,
		*after_name; /* continue behind this one; NULL = from the start */
	size_t limit;	     /* 0 = no limit */
};
struct cache_page {
	struct object **items; /* in the arena; borrowed objects (object_ref to keep) */
	size_t count;
	bool more;	    /* the limit cut the list: continue behind the last item */
	uint64_t remaining; /* exact when there are no selectors, else 0 */
	uint64_t revision;  /* the state of which it shows */
};
void cache_list(const struct cache *c, const struct cache_query *q, struct arena *a,
	struct cache_page *ret);
/* As it was at an earlier revision. -ESTALE when what happened since is no longer all kept (see
 * event_ring.h), -EAGAIN when lists of too many other revisions were asked for just now; a revision
 * of the future is the present. */
int cache_list_at(const struct cache *c, const struct cache_query *q, uint64_t revision,
	struct arena *a, struct cache_page *ret) _must_check_;

/* Atomic read-modify-write of one object. `decide` runs on the loop when no other write of that
 * object is under way (now, or later), sees the present object (NULL = absent), and says what to
 * do; nothing can come between. Then `done` is called once: r 0 with the object that resulted (for
 * a removal: its last state with the deletion's revision; for CACHE_NOTHING: what was there, may be
 * NULL), or the store's failure. `done` may be called from inside cache_write. */
enum cache_verdict { CACHE_NOTHING, CACHE_PUT, CACHE_REMOVE };
struct cache_change {
	enum cache_verdict verdict;
	struct blob *stored; /* CACHE_PUT: the new stored form. CACHE_REMOVE: the last state, or
				NULL to take the present one. The reference is taken over. */
};
typedef struct cache_change cache_decide(void *user, const struct object *present);
typedef void cache_done(void *user, int r, struct object *result, const struct err *err);
void cache_write(struct cache *c, const struct kind *k, const char *namespace, const char *name,
	cache_decide *decide, cache_done *done, void *user);

/* Watches. */
enum cache_event_type { CACHE_ADDED, CACHE_MODIFIED, CACHE_DELETED };
struct cache_event {
	enum cache_event_type
		type; /* as this watcher must see it (selectors: may start or stop matching) */
	struct object *object; /* borrowed until the next turn of the loop */
	uint64_t revision;
	struct blob *line; /* what it was written as to a watcher before, who sees the same event;
			    * borrowed, NULL = nobody has shared it */
};
struct cache_watch_options {
	const struct kind *kind;
	const char *namespace;	       /* NULL or "" = all */
	const struct selector *labels; /* copied; NULL = all */
	const struct selector *fields;
	uint64_t since; /* events after this revision */
};
struct cache_watcher;
/* -ESTALE when events after `since` are no longer all there. `notify` is called, at most once a
 * turn of the loop, when there may be something new; pull with cache_watch_next. */
int cache_watch(struct cache *c, const struct cache_watch_options *options,
	void (*notify)(void *user), void *user, struct cache_watcher **ret) _must_check_;
/* 1 = event in *ret, 0 = nothing now, -ESTALE = fell off, close. */
int cache_watch_next(struct cache_watcher *w, struct cache_event *ret) _must_check_;
/* What the event just taken is written as, for the other watchers; takes the reference. */
void cache_watch_share(struct cache_watcher *w, struct blob *line);
/* Everything up to this revision has been seen by this watcher (for bookmarks). */
uint64_t cache_watch_revision(const struct cache_watcher *w);
void cache_watch_close(struct cache_watcher *w); /* NULL allowed */
