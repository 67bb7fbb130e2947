/* virtual_machine_volumes.h - the disks of a VirtualMachine that are objects of their own: data
 * volumes that its templates ask for are made, and how they and the claims stand is told. */
#pragma once

#include "server/controllers/loop.h"
#include "server/controllers/controller.h"

struct machine_volumes;

/* Who is waited for: a change of a data volume or claim wakes those machines of `loop`. */
struct machine_volumes *machine_volumes_create(struct shared *sh, struct loop *loop);
void machine_volumes_destroy(struct machine_volumes *v); /* NULL allowed */

/* How the volumes of a machine stand. Texts are in the arena. */
struct volumes_state {
	struct json *missing; /* data volume to be made first; NULL = none */
	bool ready;	      /* what the templates ask for is there, or comes with the instance */
	bool provisioning;    /* some data volume is being filled */
	bool unbound;	      /* some claim has no volume yet */
	const char *error;    /* why a data volume will not be; NULL = none does */
	const char *lost;     /* claim that is not there; NULL = none */
	size_t data_volumes, data_volumes_ready;
};
struct volumes_state machine_volumes_look(struct machine_volumes *v, struct arena *a,
	const struct object *vm, const struct json *doc);

/* status.volumeSnapshotStatuses: whether each volume can be kept in a snapshot. */
struct json *machine_volumes_snapshots(struct machine_volumes *v, struct arena *a,
	const struct object *vm, const struct json *doc);
const struct kind *machine_volumes_kind(const struct machine_volumes *v); /* DataVolume */
