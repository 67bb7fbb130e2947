/* volume_match.h - which PersistentVolume suits a PersistentVolumeClaim (Kubernetes: "Persistent
 * Volumes", Binding). Pure. */
#pragma once

#include "lib/object/object.h"
#include "lib/object/selector.h"

#define ANNOTATION_BIND_COMPLETED "pv.kubernetes.io/bind-completed"
#define ANNOTATION_BOUND_BY_CONTROLLER "pv.kubernetes.io/bound-by-controller"
#define ANNOTATION_PROVISIONED_BY "pv.kubernetes.io/provisioned-by"
#define ANNOTATION_PROVISIONER "volume.kubernetes.io/storage-provisioner"
#define ANNOTATION_PROVISIONER_BETA "volume.beta.kubernetes.io/storage-provisioner"
#define ANNOTATION_SELECTED_NODE "volume.kubernetes.io/selected-node"
/* The claim's disk is a copy of another: node/disk/fill.h. */
#define ANNOTATION_DISK_FROM "hanok.io/disk-from-content"
#define ANNOTATION_CLASS_BETA "volume.beta.kubernetes.io/storage-class"

/* The class that a claim or a volume names; "" = none. */
const char *volume_class(const struct json *doc);
const char *volume_annotation(const struct json *doc, const char *name); /* NULL = absent */

struct volume_wish {
	const struct object *claim;
	const struct json *doc;	  /* of it */
	struct selector selector; /* spec.selector; everything when it has none */
	/* The node that the first pod goes to: only volumes that it reaches; NULL = any. */
	const struct object *node;
};
void volume_wish_read(struct arena *a, const struct object *claim, struct volume_wish *ret);

/* What keeps the volume from the claim, in words for an event; NULL = it would do. Says nothing of
 * who has it. */
const char *volume_unfit(struct arena *a, const struct volume_wish *w, const struct object *volume,
	const struct json *doc);
enum volume_owner { VOLUME_FREE, VOLUME_OURS, VOLUME_OTHERS };
/* Whose the volume is by its claimRef. A reference without uid was set by hand, for a claim of that
 * name. */
enum volume_owner volume_owner_of(const struct object *claim, const struct json *doc);
/* The volume that is kept for the claim, else the smallest one that suits; NULL = none. reserved:
 * only one that is kept for it. */
struct object *volume_find(struct arena *a, const struct volume_wish *w, struct object **volumes,
	size_t count, bool reserved);
