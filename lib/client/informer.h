/* informer.h - a local view of one kind, kept by list and watch, and the work queue that goes with
 * it.
 *
 * Level-triggered: handlers may be called with the same state again; after a broken watch the
 * informer lists anew and reports what changed meanwhile. Objects are shared and immutable. */
#pragma once

#include "lib/client/client.h"

struct informer;
struct informer_handler {
	/* old NULL = new; new NULL = gone (old is the last known state). May be NULL. */
	void (*changed)(void *user, const struct object *old, const struct object *new);
	void (*synced)(void *user); /* the first list is in and was reported; may be NULL */
};
struct informer *informer_create(struct client *c, const struct kind *k, const char *namespace,
	const char *label_selector, const char *field_selector);
/* Several may be added before start. */
void informer_add_handler(struct informer *i, const struct informer_handler *h, void *user);
/* What is kept, and told, in place of an object as it came: for those that need little of many.
 * Returns a new reference; namespace, name, uid, labels and revision must be the object's. Before
 * start. */
void informer_set_keep(struct informer *i, struct object *(*keep)(struct object *o));
/* Index by any of kind->selectable_fields, an owner's uid ("owner"), or "namespace". */
void informer_add_index(struct informer *i, const char *index);
void informer_start(struct informer *i);
void informer_destroy(struct informer *i);
bool informer_synced(const struct informer *i);
/* When asked last, the server had no such kind, or not for us (404, 403). */
bool informer_absent(const struct informer *i);
/* Everything up to this revision has been reported: what the caller wrote at or before it is seen.
 */
uint64_t informer_revision(const struct informer *i);
struct object *informer_get(
	const struct informer *i, const char *ns, const char *name); /* borrowed */
size_t informer_list(const struct informer *i, const char *ns /* NULL = all */, struct arena *a,
	struct object ***ret); /* ordered by namespace and name; borrowed */
size_t informer_by_index(const struct informer *i, const char *index, const char *value,
	struct arena *a, struct object ***ret);
const struct kind *informer_kind(const struct informer *i);

/* Shares informers among controllers of one process: one informer a kind. */
struct informers;
struct informers *informers_create(struct client *c);
struct informer *informers_get(struct informers *f, const char *group, const char *version,
	const char *kind); /* created at first use; aborts on an unknown kind */
/* Calls back once, when the first lists of all informers are in and were reported. Before start. */
void informers_on_synced(struct informers *f, void (*synced)(void *user), void *user);
void informers_start(struct informers *f);
bool informers_synced(const struct informers *f);
void informers_destroy(struct informers *f);
