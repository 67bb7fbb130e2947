/* vm_freeze.h - freezing and thawing the file systems of a guest through its agent.
 *
 *          freeze                 frozen
 *   THAWED -------> FREEZING --------------> FROZEN
 *      ^               |  failed               |  thaw, or its time is over
 *      |               v                       v
 *      +---------- THAWING <-------------------+
 *
 * A guest whose file systems stay frozen is as good as dead: when a freeze has a limit of time, it
 * is written into the VMI's directory before the guest is frozen, and whoever runs this node then -
 * a later agent, too - thaws it when the time is over, again and again until it is done. Without a
 * limit that holds until the guest has said that it is frozen, and when it has not. */
#pragma once

#include "node/vm/guest_agent/guest_agent.h"

struct vm_freeze;
struct vm_freeze_options {
	uv_loop_t *loop;
	struct clock *clock;
	struct guest_agent *agent; /* outlives it */
	const char *path;	   /* of the file that keeps the time of the thaw */
	const char *label;	   /* for the log; copied */
};
/* A time that an earlier agent kept is taken up. */
struct vm_freeze *vm_freeze_create(const struct vm_freeze_options *o);
void vm_freeze_destroy(struct vm_freeze *f); /* who waits is told -ECANCELED; NULL allowed */

typedef void vm_freeze_done(void *user, const struct err *err); /* err NULL: it is so */
/* Both are answered later, once; -EBUSY while another is under way. Freezing what is frozen and
 * thawing what is not succeed. thaw_after_ns 0 = no limit. */
void vm_freeze_freeze(struct vm_freeze *f, int64_t thaw_after_ns, vm_freeze_done *done, void *user);
void vm_freeze_thaw(struct vm_freeze *f, vm_freeze_done *done, void *user);
