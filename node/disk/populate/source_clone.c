/* source_clone.c - spec.source.pvc and spec.source.snapshot: the claim was filled before it was
 * bound (node/disk/fill.h), as the server asked for in it. What comes here is left to be told. */
#include "node/disk/populate/sources.h"

static void start(struct populate_job *j)
{
	struct err err = ERR_INIT;

	err_set(&err, -ENOENT,
		"PVC %s/%s was bound without the disk of its source: delete the DataVolume, and "
		"make it anew",
		j->namespace, j->name);
	populate_fail(j, &err);
}

const struct populate_source source_claim = {
	.field = "pvc",
	.scheduled = "CloneScheduled",
	.running = "CloneInProgress",
	.word = "Clone",
	.start = start,
};

const struct populate_source source_snapshot = {
	.field = "snapshot",
	.scheduled = "CloneScheduled",
	.running = "CloneFromSnapshotSourceInProgress",
	.word = "Clone",
	.start = start,
};
