/* signals.h - reads what a node's eviction thresholds are about from the host. */
#pragma once

#include "node/pressure/pressure_decide.h"

/* Where observations come from; tests bring their own. */
struct signal_source {
	void (*read)(struct signal_source *s, struct signals *ret);
};

/* The host: memory by the control group or /proc/meminfo, file systems by statvfs, processes by
 * /proc/loadavg. The memory working set is what is charged less inactive pages of files. */
struct host_signals {
	struct signal_source source; /* first */
	char *data_dir, *log_dir;    /* both are nodefs: the one that has less left counts */
	char *image_dir;	     /* NULL until the runtime has said where its images are */
	const char *root;	     /* "" but in tests: what stands before /proc and /sys */
};
void host_signals_init(struct host_signals *h, const char *data_dir, const char *log_dir);
void host_signals_finish(struct host_signals *h);
void host_signals_images_at(struct host_signals *h, const char *directory);

/* Bytes of memory that are available, of a host's files below `root`: on cgroup v1 by the root
 * group's usage, else by meminfo. -1 = can't be told. */
int64_t host_memory_available(const char *root, int64_t *ret_capacity);
