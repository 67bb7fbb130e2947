/* ref_watch.h - tells when a ConfigMap, Secret or claim that pods refer to comes or changes. Each
 * is watched by its name, once for all pods, and nothing of it is kept but its revision; immutable
 * ones are not watched. A watch is a connection, so that only the first REF_WATCHES_MAX have one:
 * the others are looked at every REF_POLL_MS. */
#pragma once

#include "node/node.h"
#include "node/pod/pod_refs.h"

enum { REF_WATCHES_MAX = 32, REF_POLL_MS = 5000 };

struct ref_watches;
/* changed: something that the pod refers to is newer than what it has seen. */
struct ref_watches *ref_watches_create(
	struct node *n, void (*changed)(void *user, const char *uid), void *user);
void ref_watches_destroy(struct ref_watches *w); /* NULL allowed */
/* From now on for what these parts of the pod refer to; what is watched for it stays so. */
void ref_watches_add(
	struct ref_watches *w, const char *uid, const struct json *pod, unsigned parts);
/* What the pod was given; true when there is something newer already. */
bool ref_watches_saw(struct ref_watches *w, const char *uid, const struct pod_refs *refs);
void ref_watches_drop(struct ref_watches *w, const char *uid);
