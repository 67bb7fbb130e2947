/* pod_refs.h - the ConfigMaps, Secrets, claims with their volumes, and service account tokens that
 * a pod refers to (volumes, environment, image pull secrets), fetched from the API when they are
 * needed, so that the agent keeps no secret longer than a step takes (tokens: as long as they are
 * good), and none of pods that are not its own. */
#pragma once

#include "node/node.h"
#include "node/pod/pod_tokens.h"

struct pod_refs; /* what was found; absent objects are simply not in it */
const struct json *pod_refs_config_map(const struct pod_refs *r, const char *name);
const struct json *pod_refs_secret(const struct pod_refs *r, const char *name);
/* The PersistentVolume that a claim is bound to; -ENOENT and why, when there is none. owner: the
 * UID of the pod that the claim must have been made for, NULL = it is anybody's. */
int pod_refs_claim(const struct pod_refs *r, const char *claim, const char *owner,
	const struct json **ret_volume, struct err *err) _must_check_;
/* Why an object ("configmaps", "secrets", ...; tokens by pod_tokens_key()) could not be had; 0 when
 * it was, or is not there. */
int pod_refs_problem(const struct pod_refs *r, const char *resource, const char *name,
	struct err *err) _must_check_;
/* Of an object that was fetched; 0 when it was not there. */
uint64_t pod_refs_revision(
	const struct pod_refs *r, const char *resource, const char *name, bool *ret_immutable);
/* For a projected serviceAccountToken source. */
const char *pod_refs_token(const struct pod_refs *r, const struct json *source);
void pod_refs_destroy(struct pod_refs *r); /* NULL allowed */

/* What refers to them. */
enum {
	POD_REFS_VOLUMES = 1,
	POD_REFS_ENV = 2,
	POD_REFS_PULL = 4,
	POD_REFS_CLAIMS = 8, /* for ref_watch.h: those of volumes are meant, too */
};
/* Each object that these parts refer to, maybe more than once: "configmaps", "secrets",
 * "persistentvolumeclaims"; "tokens" with a key of pod_tokens.h. */
typedef void pod_refs_visit(void *user, const char *resource, const char *name);
void pod_refs_each(const struct json *pod, unsigned parts, pod_refs_visit *each, void *user);
/* True when these parts of the pod need anything. */
bool pod_refs_needed(const struct json *pod, unsigned parts);

/* Fetches all that these parts need; tokens only when they are due: those that are good still are
 * in `tokens`, where new ones go. It must outlive the fetch. done is called later, once: r (the
 * receiver's now), or NULL and the reason when the API could not be asked. For volumes alone there
 * is always an r: pod_refs_problem() has the reasons, each volume its own. */
struct pod_refs_fetch;
typedef void pod_refs_done(void *user, struct pod_refs *r, const struct err *err);
struct pod_refs_fetch *pod_refs_fetch(struct node *n, const struct json *pod, unsigned parts,
	struct pod_tokens *tokens, pod_refs_done *done, void *user);
void pod_refs_fetch_cancel(struct pod_refs_fetch *f); /* NULL allowed */
