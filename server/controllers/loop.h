/* loop.h - what every control loop stands on: a work queue, and a "sync" for each key under way.
 *
 * reconcile(s) looks at caches, decides, and issues writes through sync_*(). The sync ends when
 * reconcile has returned and all its writes are answered; with s->next set, that step runs first
 * (and may issue more). A sync that failed is run again after its back-off; a key is never run
 * twice at the same time. Memory of a sync is its arena. */
#pragma once

#include "lib/base/list.h"
#include "lib/base/vec.h"
#include "lib/client/client.h"
#include "lib/client/informer.h"
#include "lib/client/workqueue.h"

struct loop;
struct sync;
typedef void sync_step(struct sync *s);
typedef void sync_done(struct sync *s, const struct client_result *r, void *user);

struct sync {
	struct loop *loop;
	void *self; /* the loop's owner */
	struct arena arena;
	const char *key, *ns, *name; /* "ns/name", or "name" with ns "" */
	sync_step *next;	     /* runs when all writes so far are answered */
	void *state;		     /* of the reconcile, for next steps and callbacks */
	int64_t again_ms;	     /* run again after this time; < 0 = no need */
	bool failed;		     /* run again with back-off */
	/* inside loop.c */
	struct list link, calls;
	unsigned pending;
	int64_t busy_ns; /* in its steps */
	VEC(struct object *) held;
};

struct loop *loop_create(
	struct client *c, const char *name, unsigned workers, sync_step *reconcile, void *self);
void loop_start(struct loop *l);
void loop_destroy(struct loop *l); /* cancels what is under way; NULL allowed */
struct client *loop_client(struct loop *l);
const char *loop_name(const struct loop *l);
int64_t loop_wall_ns(struct loop *l);
int64_t loop_mono_ns(struct loop *l);

void loop_add(struct loop *l, const char *ns, const char *name); /* ns "" for cluster-scoped */
void loop_add_object(struct loop *l, const struct object *o);
void loop_add_after(struct loop *l, const char *ns, const char *name, int64_t delay_ms);

/* Keeps an object for the life of the sync: what a later step or callback still looks at. Returns
 * it. */
struct object *sync_hold(struct sync *s, const struct object *o);

/* Writes. With done NULL a failure fails the sync, but for "not found" of deletions and patches and
 * for refusals because the namespace is going away: the object is gone, or going, and that is an
 * event of its own. */
void sync_get(struct sync *s, const struct kind *k, const char *ns, const char *name,
	sync_done *done, void *user);
void sync_create(struct sync *s, const struct kind *k, const char *ns, const struct json *doc,
	sync_done *done, void *user);
void sync_update(struct sync *s, const struct kind *k, const char *ns, const char *name,
	const char *sub, const struct json *doc, sync_done *done, void *user);
/* A JSON merge patch that applies only to the revision of `o`: it adds metadata.resourceVersion and
 * metadata.uid to the patch. */
void sync_patch(struct sync *s, const struct object *o, const char *sub, struct json *patch,
	sync_done *done, void *user);
/* Patches the status by the members of `wanted` that differ from those in `doc`'s status (JSON null
 * = absent). Does nothing and returns false when all agree. */
bool sync_status(struct sync *s, const struct object *o, const struct json *doc,
	const struct json *wanted, sync_done *done, void *user);
/* Only the object that was seen: by its uid. grace_s < 0 = the object's own. */
void sync_delete(struct sync *s, const struct object *o, int grace_s, const char *policy,
	sync_done *done, void *user);
void sync_request(struct sync *s, const struct client_request *req, sync_done *done, void *user);

/* The default handling of a failure, for callbacks that handle only some. */
void sync_check(struct sync *s, const struct client_result *r);
bool sync_namespace_terminating(const struct client_result *r);
void sync_again(struct sync *s, int64_t delay_ms); /* the earliest of several wins */
