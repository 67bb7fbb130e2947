/* pod_refs.h - the ConfigMaps and Secrets that a pod refers to (volumes, environment, image pull
 * secrets), fetched from the API when they are needed, so that the agent keeps no secret longer
 * than a step takes, and none of pods that are not its own. */
#pragma once

#include "node/node.h"

struct pod_refs; /* what was found; absent objects are simply not in it */
const struct json *pod_refs_config_map(const struct pod_refs *r, const char *name);
const struct json *pod_refs_secret(const struct pod_refs *r, const char *name);
void pod_refs_destroy(struct pod_refs *r); /* NULL allowed */

/* True when the container's environment or the pod's volumes or pull secrets need anything. */
bool pod_refs_needed(const struct json *pod);

/* Fetches all of them. done is called later, once: r (the receiver's now), or NULL and the reason
 * when the API could not be asked. */
struct pod_refs_fetch;
typedef void pod_refs_done(void *user, struct pod_refs *r, const struct err *err);
struct pod_refs_fetch *pod_refs_fetch(
	struct node *n, const struct json *pod, pod_refs_done *done, void *user);
void pod_refs_fetch_cancel(struct pod_refs_fetch *f); /* NULL allowed */
