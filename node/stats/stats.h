/* stats.h - gathers what this node's guests use: containers from the runtime, virtual machines from
 * libvirt, the host from /proc. Only when somebody asks; questions that come while one is being
 * answered share its figures. */
#pragma once

#include "node/node.h"
#include "node/stats/disk_usage.h"
#include "node/stats/usage.h"

struct node_stats;
struct node_stats *node_stats_create(struct node *n);
/* How the node's memory is told: bytes that are available below a root of files, -1 = can't be. */
typedef int64_t node_memory_available(const char *root, int64_t *ret_capacity);
void node_stats_memory_by(struct node_stats *s, node_memory_available *available);
/* Ends what is under way: whoever waits is told NULL. NULL allowed. */
void node_stats_destroy(struct node_stats *s);

/* What pods use of the disk. */
struct disk_usage *node_stats_disks(struct node_stats *s);
/* Counting takes long: who reads the figures gets the latest ones and has new ones counted when
 * those are older than a minute. */
void node_stats_refresh_disks(struct node_stats *s);

/* Called once, later; the figures live until it returns. NULL: the agent is stopping. */
typedef void node_stats_done(void *user, const struct usage *u);
void node_stats_get(struct node_stats *s, node_stats_done *done, void *user);

/* kubelet_volume_stats_*, from the latest count of disks. */
void volume_metrics_write(struct node_stats *s, struct pod_manager *pods, struct buf *out);
