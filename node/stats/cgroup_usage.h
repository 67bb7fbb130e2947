/* cgroup_usage.h - what a control group says of its processes, v1 and v2: what the runtime's own
 * statistics leave out. */
#pragma once

#include "lib/base/table.h"

struct cgroup_usage {
	uint64_t cache_bytes, resident_bytes, mapped_bytes, swap_bytes, peak_bytes;
	uint64_t limit_failures; /* times the limit was met */
	uint64_t oom_kills;
	uint64_t page_faults, major_page_faults;
	uint64_t inactive_bytes;		 /* pages of files that go first */
	uint64_t usage_bytes, working_set_bytes; /* the latter without the inactive */
	uint64_t cpu_ns, user_ns, system_ns;
	uint64_t periods, throttled_periods, throttled_ns; /* of the CPU quota */
	uint64_t tasks;
};

/* Texts of the kernel's files (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst); what
 * is not there stays 0. */
void cgroup_parse_memory_v1(const char *memory_stat, struct cgroup_usage *ret);
void cgroup_parse_memory_v2(
	const char *memory_stat, const char *memory_events, struct cgroup_usage *ret);
void cgroup_parse_cpu_v1(const char *cpu_stat, struct cgroup_usage *ret);
void cgroup_parse_cpu_v2(const char *cpu_stat, struct cgroup_usage *ret);

/* Finds the group of a container by the container's id in its directory's name, whatever the tree
 * above it is. The tree is walked when an id is not known, at most every 10 seconds. */
struct cgroup_finder {
	char *root;	    /* "/sys/fs/cgroup" */
	bool v2;	    /* one hierarchy for all controllers */
	struct table paths; /* id -> path below the hierarchy */
	int64_t walked_ns;  /* monotonic; 0 = never */
};
void cgroup_finder_init(struct cgroup_finder *f, const char *root);
void cgroup_finder_finish(struct cgroup_finder *f);
/* NULL when there is none. */
const char *cgroup_finder_path(struct cgroup_finder *f, const char *id, int64_t now_ns);
/* Of a group's memory what lies in swap. */
uint64_t cgroup_swap_read(const struct cgroup_finder *f, const char *path);
/* One of its processes; 0 = none. */
long cgroup_process(const struct cgroup_finder *f, const char *path);
/* False when its memory can't be read: it is gone. Each file costs the kernel some time, and a node
 * has hundreds of groups: how a limit of CPU held it back is read where there is one. */
bool cgroup_usage_read(const struct cgroup_finder *f, const char *path, bool cpu_limited,
	struct cgroup_usage *ret);

/* One line of /proc/PID/net/dev. */
struct interface_usage {
	char name[16];
	uint64_t received[4], sent[4]; /* bytes, packets, errors, dropped */
};
/* All but lo; how many there are, at most `room`. */
size_t interfaces_parse(const char *net_dev, struct interface_usage *ret, size_t room);
size_t interfaces_read(long pid, struct interface_usage *ret, size_t room);
