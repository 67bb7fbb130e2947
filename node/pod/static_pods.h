/* static_pods.h - pods from files of this node (config: static_pod_path), and their mirrors in the
 * API. The files alone say what runs: it starts without the API, a deletion there stops nothing,
 * and mirrors are made again when somebody deletes them.
 *
 *	files ---> wanted ---> worker           one at a time under a name: a changed file's new
 *	              `------> mirror pod       pod starts when the old one is gone
 *
 * A file that can't be read as a Pod changes nothing of what it said before. */
#pragma once

#include "node/pod/pod_internal.h"

struct static_pods;
/* Reads the files once, inside the call. */
struct static_pods *static_pods_create(struct pod_manager *m);
void static_pods_destroy(struct static_pods *s); /* NULL allowed */

/* For the manager: a pod of the API changed (new NULL = gone). True when it is a mirror, of which
 * no worker is to know. */
bool static_pods_take(struct static_pods *s, const struct object *old, const struct object *new);
/* All files have been read once: one that was written just now may be a pod that runs. */
bool static_pods_known(const struct static_pods *s);
/* The API's pods are all known. */
void static_pods_synced(struct static_pods *s);
/* A worker has ended. */
void static_pods_gone(struct static_pods *s, const char *uid);
