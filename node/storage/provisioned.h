/* provisioned.h - PersistentVolumes that a provisioner of this agent makes for claims, and takes
 * away. */
#pragma once

#include "node/node.h"

#define PROVISIONED_BY "pv.kubernetes.io/provisioned-by"

/* The volume `name` for the claim, in the arena: what claim and class say of it, and that it is the
 * claim's. Where it is (spec.local, spec.nfs), is the caller's to add. doc: the claim's. */
struct json *provisioned_volume(struct arena *a, const struct object *claim, const struct json *doc,
	const struct json *class, const char *provisioner, const char *name);
/* Deletes it only as it was seen: 409 when it has changed meanwhile. */
struct client_call *provisioned_delete(struct client *c, const struct kind *kind, const char *name,
	const char *uid, uint64_t revision, client_done *done, void *user);
/* spec.resources.requests.storage */
int64_t provisioned_wanted_bytes(const struct json *claim);
const char *provisioned_annotation(const struct json *doc, const char *name); /* NULL = absent */
/* A claim's class, when it is of that provisioner; NULL. */
const struct json *provisioned_class(struct informer *classes, struct arena *a,
	const struct json *claim, const char *provisioner);
