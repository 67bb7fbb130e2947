/* disks_internal.h - what the files of node/disk share. Nobody else includes this. */
#pragma once

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "node/disk/disks.h"

struct disks {
	struct node *n;
	char *directory;	    /* of the node's own provisioner */
	struct list opened;	    /* struct claim_disk */
	struct table held;	    /* directory -> how often, as a pointer's value */
	struct disks_guests guests; /* in_use NULL = there are none yet */
};

/* claim_disk.c. ns NULL = all that wait. */
void claim_disks_look(struct disks *d, const char *ns, const char *claim);
