/* revisions.h - the templates that a StatefulSet or DaemonSet has had, kept as ControllerRevisions:
 * `kubectl rollout history` shows them, `undo` applies their data as a patch. (Kubernetes:
 * "ControllerRevision v1 apps", "Performing a Rolling Update: rolling back".) */
#pragma once

#include "lib/object/selector.h"
#include "server/controllers/claim.h"

#define REVISION_LABEL "controller-revision-hash" /* of pods */

struct revision {
	struct object *object;
	struct json *doc;
	int64_t number;
	const char *name;
	const char *hash;	     /* the name behind the owner's */
	const struct json *template; /* of the pods; still with "$patch" */
};

/* Pure. */

/* The owner's template as a patch that puts it back: {"spec": {"template": {..., "$patch":
 * "replace"}}}. kubectl compares these bytes with what it makes of the owner itself, so that it can
 * say that a revision is the present one: members are in the order of their names, and
 * metadata.creationTimestamp is null. */
struct json *revision_data(struct arena *a, const struct json *owner);
/* Of the data and the count of collisions so far, in the alphabet of generated names. */
char *revision_hash(struct arena *a, const struct json *data, int64_t collisions);
/* "OWNER-HASH", of an owner's name that leaves room for the hash. */
char *revision_name(struct arena *a, const char *owner, const char *hash);
/* hash_label: the label of the revision that has the hash. */
struct json *revision_new(struct arena *a, const struct object *owner, const struct json *doc,
	const char *hash, const char *hash_label, const struct json *data, int64_t number);
/* Those over the limit, the oldest first, that no pod has and nobody needs; as many as `limit` of
 * such ones stay. `live` are names. Sorts `items`. Returns how many of its first are to go. */
size_t revisions_surplus(struct revision *items, size_t count, int64_t limit,
	bool (*live)(void *user, const struct revision *r), void *user);

/* A set's revisions in one sync. */
struct revisions {
	/* Given: */
	const struct object *owner;
	const struct json *doc;
	struct informer *informer;
	const char *hash_label;
	int64_t collisions; /* status.collisionCount; grows when a name was taken */
	sync_step *then;    /* `update` is there; not run when it can't be had now */
	/* Found: */
	struct revision *items; /* all, by number; room for one more */
	size_t count;
	struct revision *update; /* that of the present template, among the items */
	bool fresh;		 /* `update` was made or renumbered in this sync */
};
/* Finds the revision of the present template, takes an old one up again under the next number, or
 * makes it. False = not now: adoptions are under way, and their events run the key again. */
bool revisions_sync(struct sync *s, struct revisions *r, const struct selector *selector);
/* NULL = there is none of that name. */
struct revision *revisions_find(const struct revisions *r, const char *name);
