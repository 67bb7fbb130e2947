/* parts.h - what the loops about snapshots, restores and clones of virtual machines share: names
 * that clients and the node agent know, and small changes of documents. (KubeVirt: "Snapshot
 * Restore API", "Clone API".) */
#pragma once

#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

/* Upstream's names. */
/* On a claim, KubeVirt's name: it holds a memory dump, in this file, and no disk. */
#define MEMORY_DUMP_ANNOTATION "kubevirt.io/memory-dump"
#define SNAPSHOT_FINALIZER "snapshot.kubevirt.io/vmsnapshot-protection"
#define CONTENT_FINALIZER "snapshot.kubevirt.io/vmsnapshotcontent-protection"
#define SOURCE_FINALIZER "snapshot.kubevirt.io/snapshot-source-protection"
#define RESTORE_FINALIZER "snapshot.kubevirt.io/vmrestore-protection"
#define RESTORE_NAME_ANNOTATION "restore.kubevirt.io/name"
#define LAST_RESTORE_ANNOTATION "restore.kubevirt.io/lastRestoreUID"
#define RESTORE_SOURCE_LABEL "restore.kubevirt.io/source-vm-name"
#define RESTORE_SOURCE_NAMESPACE_LABEL "restore.kubevirt.io/source-vm-namespace"
#define POPULATED_FOR_ANNOTATION "cdi.kubevirt.io/storage.populatedFor"
#define PREPOPULATED_ANNOTATION "cdi.kubevirt.io/storage.prePopulated"
#define SELECTED_NODE_ANNOTATION "volume.kubernetes.io/selected-node"
#define PROVISIONER_ANNOTATION "volume.kubernetes.io/storage-provisioner"
#define LOCAL_PROVISIONER "hanok.io/local"

/* Ours. Of a content: which node's agent takes it. */
#define NODE_LABEL "hanok.io/node"
/* Of a snapshot, and its content: with what is in the guest's memory. */
#define MEMORY_ANNOTATION "hanok.io/snapshot-memory"
/* Of a snapshot: the one that the machine was at when it was taken; of a machine: the last one that
 * was taken or gone back to. */
#define PARENT_ANNOTATION "hanok.io/parent-snapshot"
#define CURRENT_ANNOTATION "hanok.io/current-snapshot"
/* Of a claim: its disk is what a content of the same namespace has of one volume. */
#define DISK_CONTENT_ANNOTATION "hanok.io/disk-from-content"
#define DISK_VOLUME_ANNOTATION "hanok.io/disk-from-volume"
/* Of a claim: with the memory that the snapshot has; the machine goes on there at its next start.
 */
#define DISK_MEMORY_ANNOTATION "hanok.io/disk-with-memory"
/* Of a claim, a restore or a clone: "linked" (default) or "full". */
#define DISK_MODE_ANNOTATION "hanok.io/disk-clone-mode"

/* Adds or takes away a finalizer; false: it is as wanted, nothing was written. */
bool finalizer_set(struct sync *s, struct object *o, const struct json *doc, const char *finalizer,
	bool wanted);
/* Upstream's form: all is said by the reason. */
struct json *reason_condition(struct arena *a, const struct json *conditions, const char *type,
	const char *status, const char *reason, int64_t now_ns);
const char *annotation_of(const struct json *doc, const char *name); /* NULL = absent */
/* A patch of one annotation; value NULL removes it. */
void annotation_patch(struct arena *a, struct json *patch, const char *name, const char *value);

/* Wall time, so long (of a user's own choice) after a timestamp; INT64_MAX = later than can be
 * said. */
int64_t time_after(const struct json *since, int64_t wait_ns);

/* The claim that a volume of a machine has its disk in; NULL = it is of another kind. */
const char *volume_claim(const struct json *volume);
bool vm_is_memory_dump(const struct json *volume);
/* Of the template. */
const struct json *vm_volumes(const struct json *vm);

/* Nothing fills it any more, or did not succeed. */
bool claim_is_populated(
	struct arena *a, struct informer *data_volumes, const char *ns, const struct json *claim);

/* Why the guest's memory would be of no use beside a snapshot of this machine's claims (a disk that
 * it writes and that is in no snapshot); NULL = it is kept. In the arena. */
const char *vm_memory_useless(struct arena *a, const struct json *vm);

/* What is known of a snapshot. */
bool snapshot_ready(const struct json *doc);
bool snapshot_ended(const struct json *doc); /* Succeeded or Failed */
/* "vmsnapshot-content-UID", or what its status says. In the arena. */
const char *snapshot_content_name(
	struct arena *a, const struct object *snapshot, const struct json *doc);
