/* disk_usage.h - how much disk the pods of this node use: volumes and logs, counted as du(1) does,
 * on threads, each pod for itself (disk_counts.h). A walk never leaves the file system it began on,
 * counts hard links once, and gives up at a number of files that no honest pod has. */
#pragma once

#include "node/pod/pod_manager.h"

/* One volume of a pod. */
struct volume_disk {
	char *name, *path;
	char *claim;	/* PersistentVolumeClaim; NULL = none */
	bool ephemeral; /* counts as the pod's local ephemeral storage */
	uint64_t used_bytes, used_inodes;
	uint64_t capacity_bytes, available_bytes, inodes, inodes_free; /* of its file system */
};
struct log_disk {
	char *container;
	uint64_t used_bytes, used_inodes;
};
struct pod_disk {
	char *uid, *ns, *name, *dir;
	int64_t time_ns; /* wall clock of the count; 0 = not counted yet */
	struct volume_disk *volumes;
	size_t volume_count;
	struct log_disk *logs;
	size_t log_count;
	uint64_t own_bytes, own_inodes; /* what the agent made for it and containers may write to:
					   etc-hosts, termination messages */
	unsigned round;
	int64_t cost_ns; /* how long the count took */
};
/* Volumes that count as ephemeral, and logs. */
uint64_t pod_disk_bytes(const struct pod_disk *d);
uint64_t pod_disk_inodes(const struct pod_disk *d);

struct disk_usage;
struct disk_usage *disk_usage_create(struct node *n);
void disk_usage_destroy(struct disk_usage *d); /* NULL allowed; whoever waits is not told */
/* Counts anew all pods, or those of which `only` says so, and calls back, later. Who asks for what
 * is being counted shares its figures. Pods whose file system does not answer in time are not
 * waited for and keep their old figures until it does. */
void disk_usage_count(struct disk_usage *d, bool (*only)(const struct json *pod),
	void (*done)(void *user), void *user);
/* The latest figures; NULL: never counted. */
const struct pod_disk *disk_usage_of(const struct disk_usage *d, const char *uid);
/* How long the last count took. */
int64_t disk_usage_cost_ns(const struct disk_usage *d);
/* When all pods were last counted, monotonic; 0 = never. */
int64_t disk_usage_counted_ns(const struct disk_usage *d);

/* The walk itself; adds to both. Ends early when *stop becomes true (stop may be NULL). */
void disk_usage_walk(const char *path, const _Atomic bool *stop, uint64_t *bytes, uint64_t *inodes);
/* Counts what containers write to in the pod's directory beside its volumes. */
void pod_disk_count_own(struct pod_disk *d, const _Atomic bool *stop);
/* Which volumes of a pod are looked at, without their figures. */
struct pod_disk *pod_disk_make(const struct json *pod, const char *dir);
void pod_disk_destroy(struct pod_disk *d);
