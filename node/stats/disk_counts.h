/* disk_counts.h - counts of what pods have on the disk that are under way: each a job of its own,
 * on threads that do nothing else, so that a pod whose file system does not answer holds up nobody,
 * and pods' starts do not wait for counts.
 *
 * A round is over when all that was added for it has been counted, but for what has been at it for
 * longer than slow_ms: that comes when it comes. */
#pragma once

#include "node/stats/disk_usage.h"

/* On a thread; ends early when *stop becomes true. */
typedef void disk_walk(struct pod_disk *d, const char *log_dir, const _Atomic bool *stop);
/* Takes d, with its cost_ns. */
typedef void disk_counted(void *user, struct pod_disk *d);

struct disk_counts;
struct disk_counts *disk_counts_create(
	uv_loop_t *loop, unsigned slow_ms, disk_walk *walk, disk_counted *counted, void *user);
/* Who hangs is left behind. NULL allowed. */
void disk_counts_destroy(struct disk_counts *c);
/* For the next round; takes d. Nothing happens when that pod's count is still under way. */
void disk_counts_add(struct disk_counts *c, struct pod_disk *d, const char *log_dir);
/* Calls back once, later, when the round is over; one round at a time. */
void disk_counts_await(struct disk_counts *c, void (*over)(void *user));
