/* snapshots_internal.h - what the files of this folder share. */
#pragma once

#include "lib/client/wakeup.h"
#include "node/disk/disks.h"
#include "node/disk/layers.h"
#include "node/vm/snapshot/snapshots.h"
#include "node/vm/vm_internal.h"
#include "node/volume/file_work.h"

#define SNAPSHOT_VOLUMES_MAX VM_DISKS_MAX

struct merges;

struct vm_snapshots {
	struct vm_manager *m;
	struct node *n;
	const struct kind *kind;
	struct informer *contents;
	char *directory;	/* DATA/local/.snapshots */
	struct table takes;	/* content's uid -> struct take */
	struct table thawed;	/* worker's uid: nothing is left frozen there by an earlier agent */
	struct wakeup *look;	/* takes that can go on, and what has gone */
	struct file_job *sweep; /* of directories without a content */
	bool sweep_again;
	struct list exports; /* export.c: under way */
	unsigned export_count;
	struct table dumps; /* worker's uid -> struct dump */
	struct merges *merges;
};

/* ---- who uses a disk ---- */
enum disk_use {
	DISK_FREE, /* nobody writes it, and who is about to open it can be held off */
	DISK_LIVE, /* *ret_worker runs with it */
	DISK_BUSY, /* in between: soon it is one or the other */
};
/* claims: of the namespace. */
enum disk_use disks_use(struct vm_snapshots *s, const char *ns, const char *const *claims,
	size_t count, struct vm_worker **ret_worker);

/* ---- snapshots.c ---- */
void sweep_soon(struct vm_snapshots *s); /* something is there that no content claims */

/* ---- take.c: a content that is being taken ---- */
struct take;
void take_start(struct vm_snapshots *s, struct object *content);
void take_cancel(struct take *t);  /* its content has gone. NULL allowed */
void take_destroy(struct take *t); /* the agent stops */
void take_look(struct take *t);	   /* something changed that it may wait for */

/* ---- thaw.c: guests whose file systems stand still ---- */
/* Before they are frozen: noted in the VMI's directory until they are thawed, also by the next
 * agent.
 */
void freeze_remember(struct vm_snapshots *s, const struct vm_worker *w);
/* Nobody waits for it; tried again when the guest agent does not answer. */
void thaw_now(struct vm_snapshots *s, struct vm_worker *w);
/* Once for each guest that runs when this agent finds it. */
void thaw_if_left(struct vm_snapshots *s, struct vm_worker *w);

/* ---- dump.c ---- */
struct dump;
void dump_follow(struct vm_snapshots *s, struct vm_worker *w); /* with each step */
void dump_destroy(struct dump *d);

/* ---- export.c ---- */
void exports_end(struct vm_snapshots *s); /* the agent stops: whoever reads is cut off */
void exports_sweep(const char *data_dir); /* what an agent that was killed left */

/* ---- merge.c ---- */
struct merges *merges_create(struct vm_snapshots *s);
void merges_destroy(struct merges *g);
void merges_soon(struct merges *g);  /* something may have become one disk's alone */
void merges_later(struct merges *g); /* ... or will, within seconds */
