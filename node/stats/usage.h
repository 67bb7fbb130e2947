/* usage.h - what a node's containers, virtual machines and the host itself use at one moment, and
 * the two documents that monitoring reads it from. Pure: figures in, text out.
 *
 * Memory "in use" is the working set, as Kubernetes counts it: what is charged, less the file pages
 * that the kernel would drop first. For virtual machines it is what their QEMU has resident. */
#pragma once

#include "lib/base/buf.h"
#include "node/vm/vm_usage.h"

struct file_system_usage {
	uint64_t capacity_bytes, available_bytes, used_bytes;
	uint64_t inodes, inodes_free; /* 0 inodes = it has no fixed number */
};

struct host_usage {
	int64_t time_ns, booted_ns; /* wall clock */
	uint64_t cpu_ns;	    /* of all CPUs since boot */
	uint64_t memory_bytes;	    /* there are */
	uint64_t available_bytes, usage_bytes, working_set_bytes, resident_bytes;
	uint64_t page_faults, major_page_faults;
	uint64_t swap_bytes, swap_used_bytes; /* there are; 0 = no swap */
	struct file_system_usage data;	      /* that the agent's directory is on */
};

struct container_usage {
	const char *id; /* of the runtime; NULL = not known */
	const char *ns, *pod, *uid, *container;
	int64_t time_ns; /* of the CPU figure */
	uint64_t cpu_ns;
	uint64_t working_set_bytes, usage_bytes, resident_bytes;
	uint64_t swap_bytes;		    /* that lie in swap */
	uint64_t layer_bytes, layer_inodes; /* what it wrote over its image */
	int64_t started_ns;		    /* wall clock; 0 = not known */
	uint64_t nano_cores; /* CPU used of late, in billionths of a CPU; USAGE_UNKNOWN at first */
};

struct machine_usage {
	struct vm_usage vm;
	int64_t time_ns;
	uint64_t nano_cores;
};
#define USAGE_UNKNOWN UINT64_MAX

struct pod_disk; /* node/stats/disk_usage.h */

struct usage {
	const char *node;
	struct host_usage host;
	uint64_t host_nano_cores;
	struct container_usage *containers; /* by namespace, pod, container */
	size_t container_count;
	struct machine_usage *machines; /* by namespace, name */
	size_t machine_count;
	/* What a pod uses of the disk as last counted; NULL = not known. */
	const struct pod_disk *(*disk_of)(void *disks, const char *uid);
	void *disks;
	unsigned failures; /* parts (runtime, libvirt) that gave no figures */
};

/* From the text of /proc/stat, /proc/meminfo and /proc/vmstat (proc(5)); what is missing is 0.
 * ticks_per_s is sysconf(_SC_CLK_TCK). */
void host_usage_parse(const char *stat, const char *meminfo, const char *vmstat,
	int64_t ticks_per_s, struct host_usage *ret);
/* The host as it is now. */
void host_usage_read(const char *data_dir, int64_t wall_ns, struct host_usage *ret);

/* /metrics/resource: Prometheus text, names of Kubernetes' resource metrics; guests under the names
 * that KubeVirt has for them. */
void usage_write_metrics(const struct usage *u, struct buf *out);
/* /stats/summary: Summary of k8s.io/kubelet stats v1alpha1. */
void usage_write_summary(const struct usage *u, struct buf *out);
