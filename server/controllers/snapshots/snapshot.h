/* snapshot.h - what the files of the snapshot loop share.
 *
 *   VirtualMachineSnapshot                       VirtualMachineSnapshotContent
 *   (no status) -> InProgress: machine locked -> made, with the machine and its claims
 *                     |                          its node's agent takes it, says readyToUse
 *   Succeeded <-------+------------------------- creationTime is there
 *   Failed    <- failureDeadline is over: what is not ready goes
 *
 * Locked: the machine's status.snapshotInProgress names the snapshot, and a finalizer keeps it. */
#pragma once

#include "server/controllers/snapshots/parts.h"

struct snapshots {
	struct loop *loop;
	struct client *client;
	struct informer *snapshots, *contents, *machines, *instances, *claims, *classes,
		*data_volumes;
};

struct snapshot_pass {
	struct snapshots *c;
	struct object *o;
	struct json *doc;
	struct object *content; /* NULL = none */
	struct json *content_doc;
	struct object *vm; /* NULL = gone, or another one by now */
	struct json *vm_doc;
	struct json *instance_doc; /* of the machine, runs or is on its way; NULL = none */
	bool terminating;	   /* deleted, or too late */
	bool locked;
	const char *lock_message;
	const char *error; /* of the machine's claims; NULL = none */
};

/* snapshot_source.c */
/* Writes the next step to the lock; false when nothing was to be done. */
bool snapshot_lock(struct sync *s, struct snapshot_pass *p);
bool snapshot_unlock(struct sync *s, struct snapshot_pass *p);
void snapshot_create_content(struct sync *s, struct snapshot_pass *p);

/* snapshot_status.c: what the status should be, by members (sync_status). */
struct json *snapshot_status(struct arena *a, const struct snapshot_pass *p, int64_t now_ns);
/* When it is given up; 0 = never. Wall time. */
int64_t snapshot_deadline_ns(const struct json *doc);
