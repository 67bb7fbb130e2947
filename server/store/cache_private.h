/* cache_private.h - what cache.c (objects, writes), cache_index.c, cache_history.c and
 * cache_watch.c share. */
#pragma once

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "server/store/cache.h"
#include "server/store/event_ring.h"
#include "server/store/object_set.h"

/* Objects by the value of one field or label. Made at the first query that asks for it, kept up to
 * date from then on. */
struct cache_index {
	bool by_label;
	char *key;	     /* "spec.nodeName", "app" */
	struct table values; /* value -> struct object_set * */
	uint64_t used;	     /* query counter of the last use, for dropping the least used */
};

#define CACHE_INDEX_MAX 8 /* per kind: each costs memory and time on every write */

/* What differs from the present objects at a revision: see cache_history.c. */
struct cache_history {
	uint64_t revision;
	uint64_t sequence;	      /* of the first event that is not in it yet */
	struct object_set exceptions; /* those of a later revision were not there */
	uint64_t used;		      /* query counter of the last use */
};

#define CACHE_HISTORY_MAX 4 /* per kind: lists that are being paged through at the same time */

struct kind_cache {
	const struct kind *kind;
	struct object_set objects;
	struct event_ring ring;
	struct list watchers; /* struct cache_watcher */
	VEC(struct cache_index) indexes;
	VEC(struct cache_history) histories;
	bool dirty; /* events since watchers were last notified */
	size_t writes_in_flight;
	uint32_t generation; /* changes of the (custom) kind */
};

/* A row whose kind is not known, now or any more. */
struct unknown_row {
	char *key;
	struct blob *value; /* in any form of the object */
	uint64_t revision;
};

/* One cache_write on its way:
 *
 *     waiting (behind another write of the same key) -> decided -> committing -> done
 */
struct write {
	struct list link; /* in the list of its key */
	struct cache *cache;
	struct kind_cache *kc;
	char *namespace, *name, *key;
	cache_decide *decide;
	cache_done *done;
	void *user;
	struct blob
		*stored; /* what is being committed; NULL for a removal that keeps the last state */
	struct object *before;
	uint32_t generation; /* of kc, when it was decided */
	bool removing;
};

struct cache {
	uv_loop_t *loop;
	const struct kind_registry *kinds;
	struct store *store;
	struct clock *clock;
	struct kind_cache **by_slot; /* indexed by kind->slot; NULL where no resource is */
	size_t slot_count;
	VEC(struct unknown_row) unknown;
	uint64_t revision;
	uint64_t query_count;
	int64_t histories_spent; /* events gone through for histories, less what time has forgiven
				  */
	int64_t histories_at_ns; /* when it last was */
	struct table pending;	 /* store key -> struct list of writes, the first is under way */
	size_t writes_in_flight;
	uv_check_t notifier; /* runs after the poll phase in which something changed */
	bool notifying;
	uv_timer_t gather;   /* the same, when many watch and events come fast */
	int64_t notified_ns; /* when watchers were last notified, and... */
	size_t notified;     /* ...how many */
	uv_async_t kick;     /* makes the loop go through its poll phase once more */
	uv_timer_t trimmer;  /* lets go of old events while nothing happens */
	unsigned handles_open;
	bool closing;
	void (*closed)(void *user);
	void *closed_user;
};

char *cache_store_key(const struct kind *k, const char *namespace, const char *name);

/* cache_kinds.c: resources that come, change and go while the cache is open. */
struct kind_cache *cache_add_slot(struct cache *c, const struct kind *storage);
void cache_add_unknown(struct cache *c, const char *key, struct blob *value, uint64_t revision);
void cache_finish_unknown(struct cache *c);

struct kind_cache *cache_kind(const struct cache *c, const struct kind *k);

/* cache_index.c: the set that holds (at least) all objects that can match, or NULL when no
 * requirement of the selectors can be answered by an index. An absent value gives an empty set. */
const struct object_set *cache_index_find(struct cache *c, struct kind_cache *kc,
	const struct selector *labels, const struct selector *fields);
void cache_index_update(struct kind_cache *kc, struct object *before, struct object *after);
void cache_index_finish(struct kind_cache *kc);

/* cache_history.c: the exceptions as of the revision. -ESTALE when its events are not all held,
 * -EAGAIN when too many others were asked for just now. */
int cache_history_find(struct cache *c, struct kind_cache *kc, uint64_t revision,
	const struct object_set **ret) _must_check_;
void cache_history_trim(struct kind_cache *kc); /* lets go of what the ring let go of */
void cache_history_finish(struct kind_cache *kc);
/* Walks the present objects, or with exceptions those of the revision, behind (namespace, name). */
struct cache_walk {
	uint64_t revision;
	struct object_set_iter live, past;
	struct object *next_live, *next_past;
};
struct cache_walk cache_walk_start(const struct object_set *live,
	const struct object_set *exceptions, uint64_t revision, const char *namespace,
	const char *name);
struct object *cache_walk_next(struct cache_walk *w); /* NULL at the end */

/* cache_watch.c */
void cache_watch_mark(struct cache *c, struct kind_cache *kc);
void cache_watch_notify_all(struct cache *c);
