/* volume_metrics.c - kubelet_volume_stats_*: claims that pods of this node have mounted. */
#include "node/metrics/metrics.h"
#include "node/stats/disk_usage.h"
#include "node/stats/stats.h"

static const struct {
	const char *name, *help;
	size_t offset;
} figures[] = {
	{"kubelet_volume_stats_available_bytes", "[ALPHA] Bytes that are free in the volume",
		offsetof(struct volume_disk, available_bytes)},
	{"kubelet_volume_stats_capacity_bytes", "[ALPHA] Bytes that the volume holds",
		offsetof(struct volume_disk, capacity_bytes)},
	{"kubelet_volume_stats_inodes", "[ALPHA] Inodes that the volume has",
		offsetof(struct volume_disk, inodes)},
	{"kubelet_volume_stats_inodes_free", "[ALPHA] Inodes that are free in the volume",
		offsetof(struct volume_disk, inodes_free)},
	{"kubelet_volume_stats_inodes_used", "[ALPHA] Inodes that are used in the volume",
		offsetof(struct volume_disk, used_inodes)},
	{"kubelet_volume_stats_used_bytes", "[ALPHA] Bytes that are used in the volume",
		offsetof(struct volume_disk, used_bytes)},
};

struct writing {
	const struct disk_usage *disks;
	struct buf *out;
	size_t figure;
	struct table seen; /* a claim of several pods is told once */
};

static void write_pod(void *user, const struct pod_here *p)
{
	struct writing *w = user;
	const struct pod_disk *d = disk_usage_of(w->disks, p->uid);

	for (size_t i = 0; d && d->time_ns && i < d->volume_count; i++) {
		const struct volume_disk *v = &d->volumes[i];
		uint64_t value;
		if (!v->claim)
			continue;
		_cleanup_(free_p) char *labels =
			xasprintf("namespace=\"%s\",persistentvolumeclaim=\"%s\"", d->ns, v->claim);
		if (table_set(&w->seen, labels, w))
			continue;
		memcpy(&value, (const char *)v + figures[w->figure].offset, sizeof(value));
		buf_printf(w->out, "%s{%s} ", figures[w->figure].name, labels);
		metric_number(w->out, (double)value);
		buf_add_char(w->out, '\n');
	}
}

void volume_metrics_write(struct node_stats *s, struct pod_manager *pods, struct buf *out)
{
	for (size_t f = 0; f < ARRAY_LEN(figures); f++) {
		struct writing w = {.disks = node_stats_disks(s), .out = out, .figure = f};
		w.seen = TABLE_INIT;
		metric_head(out, figures[f].name, "gauge", figures[f].help);
		pod_manager_walk(pods, write_pod, &w);
		table_finish(&w.seen);
	}
}
