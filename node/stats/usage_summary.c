/* usage_summary.c - /stats/summary: the figures as the Summary document of Kubernetes' stats API.
 */
#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "node/stats/disk_usage.h"
#include "node/stats/usage.h"

static void set_number(struct arena *a, struct json *o, const char *name, uint64_t value)
{
	json_set(a, o, name, json_new_int(a, (int64_t)MIN(value, (uint64_t)INT64_MAX)));
}

static void set_time(struct arena *a, struct json *o, const char *name, int64_t ns)
{
	char text[TIME_RFC3339_ROOM];

	time_format_rfc3339(ns, text);
	json_set(a, o, name, json_new_string(a, text));
}

static struct json *timed(struct arena *a, int64_t time_ns)
{
	struct json *o = json_new_object(a);

	set_time(a, o, "time", time_ns);
	return o;
}

static struct json *cpu(struct arena *a, int64_t time_ns, uint64_t nano_cores, uint64_t total_ns)
{
	struct json *o = timed(a, time_ns);

	if (nano_cores != USAGE_UNKNOWN)
		set_number(a, o, "usageNanoCores", nano_cores);
	set_number(a, o, "usageCoreNanoSeconds", total_ns);
	return o;
}

static struct json *memory(
	struct arena *a, int64_t time_ns, uint64_t usage, uint64_t working_set, uint64_t resident)
{
	struct json *o = timed(a, time_ns);

	if (usage)
		set_number(a, o, "usageBytes", usage);
	set_number(a, o, "workingSetBytes", working_set);
	if (resident)
		set_number(a, o, "rssBytes", resident);
	return o;
}

static struct json *swap(struct arena *a, int64_t time_ns, const struct usage *u, uint64_t used)
{
	const struct host_usage *h = &u->host;
	struct json *o = timed(a, time_ns);

	set_number(a, o, "swapAvailableBytes", h->swap_bytes - h->swap_used_bytes);
	set_number(a, o, "swapUsageBytes", used);
	return o;
}

static struct json *file_system(struct arena *a, int64_t time_ns, const struct file_system_usage *f)
{
	struct json *o = timed(a, time_ns);

	set_number(a, o, "availableBytes", f->available_bytes);
	set_number(a, o, "capacityBytes", f->capacity_bytes);
	set_number(a, o, "usedBytes", f->used_bytes);
	if (f->inodes) {
		set_number(a, o, "inodesFree", f->inodes_free);
		set_number(a, o, "inodes", f->inodes);
		set_number(a, o, "inodesUsed", f->inodes - MIN(f->inodes_free, f->inodes));
	}
	return o;
}

static struct json *of_node(struct arena *a, const struct usage *u)
{
	const struct host_usage *h = &u->host;
	struct json *o = json_new_object(a), *runtime = json_new_object(a);

	json_set(a, o, "nodeName", json_new_string(a, u->node));
	set_time(a, o, "startTime", h->booted_ns);
	json_set(a, o, "cpu", cpu(a, h->time_ns, u->host_nano_cores, h->cpu_ns));
	struct json *m =
		memory(a, h->time_ns, h->usage_bytes, h->working_set_bytes, h->resident_bytes);
	set_number(a, m, "availableBytes", h->available_bytes);
	set_number(a, m, "pageFaults", h->page_faults);
	set_number(a, m, "majorPageFaults", h->major_page_faults);
	json_set(a, o, "memory", m);
	json_set(a, o, "swap", swap(a, h->time_ns, u, h->swap_used_bytes));
	json_set(a, o, "fs", file_system(a, h->time_ns, &h->data));
	json_set(a, runtime, "imageFs", file_system(a, h->time_ns, &h->data));
	json_set(a, o, "runtime", runtime);
	return o;
}

static struct file_system_usage with_used(const struct file_system_usage *fs, uint64_t bytes)
{
	struct file_system_usage r = *fs;

	r.used_bytes = bytes;
	return r;
}

static struct json *of_volume(
	struct arena *a, const struct pod_disk *d, const struct volume_disk *v)
{
	struct file_system_usage fs = {
		v->capacity_bytes, v->available_bytes, v->used_bytes, v->inodes, v->inodes_free};
	struct json *o = file_system(a, d->time_ns, &fs);

	set_number(a, o, "inodesUsed", v->used_inodes);
	json_set(a, o, "name", json_new_string(a, v->name));
	if (v->claim) {
		json_path_set(a, o, "pvcRef.name", json_new_string(a, v->claim));
		json_path_set(a, o, "pvcRef.namespace", json_new_string(a, d->ns));
	}
	return o;
}

/* Volumes, and everything local that goes with the pod. */
static void set_disks(struct arena *a, struct json *o, const struct usage *u,
	const struct pod_disk *d, uint64_t layer_bytes, uint64_t layer_inodes)
{
	struct file_system_usage fs = with_used(&u->host.data, pod_disk_bytes(d) + layer_bytes);
	struct json *list = json_new_array(a), *sum = file_system(a, d->time_ns, &fs);

	for (size_t i = 0; i < d->volume_count; i++)
		json_push(a, list, of_volume(a, d, &d->volumes[i]));
	if (d->volume_count > 0)
		json_set(a, o, "volume", list);
	set_number(a, sum, "inodesUsed", pod_disk_inodes(d) + layer_inodes);
	json_set(a, o, "ephemeral-storage", sum);
}

static struct json *of_container(struct arena *a, const struct usage *u,
	const struct container_usage *c, const struct pod_disk *d)
{
	struct json *o = json_new_object(a), *root;
	struct file_system_usage fs = u->host.data;

	json_set(a, o, "name", json_new_string(a, c->container));
	json_set(a, o, "cpu", cpu(a, c->time_ns, c->nano_cores, c->cpu_ns));
	json_set(a, o, "memory",
		memory(a, c->time_ns, c->usage_bytes, c->working_set_bytes, c->resident_bytes));
	json_set(a, o, "swap", swap(a, c->time_ns, u, c->swap_bytes));
	fs.used_bytes = c->layer_bytes;
	root = file_system(a, c->time_ns, &fs);
	set_number(a, root, "inodesUsed", c->layer_inodes);
	json_set(a, o, "rootfs", root);
	for (size_t i = 0; d && i < d->log_count; i++) {
		if (!streq(d->logs[i].container, c->container))
			continue;
		fs = with_used(&u->host.data, d->logs[i].used_bytes);
		struct json *logs = file_system(a, d->time_ns, &fs);
		set_number(a, logs, "inodesUsed", d->logs[i].used_inodes);
		json_set(a, o, "logs", logs);
	}
	return o;
}

static struct json *of_pod(
	struct arena *a, const struct usage *u, const struct container_usage *c, size_t count)
{
	struct json *o = json_new_object(a), *ref = json_new_object(a), *list = json_new_array(a);
	uint64_t cores = 0, cpu_ns = 0, usage = 0, working_set = 0, resident = 0;
	uint64_t layers = 0, inodes = 0, swapped = 0;
	const struct pod_disk *d = u->disk_of ? u->disk_of(u->disks, c->uid) : NULL;

	json_set(a, ref, "name", json_new_string(a, c->pod));
	json_set(a, ref, "namespace", json_new_string(a, c->ns));
	json_set(a, ref, "uid", json_new_string(a, c->uid));
	json_set(a, o, "podRef", ref);
	for (size_t i = 0; i < count; i++) {
		json_push(a, list, of_container(a, u, &c[i], d));
		cores = cores == USAGE_UNKNOWN || c[i].nano_cores == USAGE_UNKNOWN
				? USAGE_UNKNOWN
				: cores + c[i].nano_cores;
		cpu_ns += c[i].cpu_ns;
		usage += c[i].usage_bytes;
		working_set += c[i].working_set_bytes;
		resident += c[i].resident_bytes;
		swapped += c[i].swap_bytes;
		layers += c[i].layer_bytes;
		inodes += c[i].layer_inodes;
	}
	json_set(a, o, "containers", list);
	json_set(a, o, "cpu", cpu(a, c->time_ns, cores, cpu_ns));
	json_set(a, o, "memory", memory(a, c->time_ns, usage, working_set, resident));
	json_set(a, o, "swap", swap(a, c->time_ns, u, swapped));
	if (d)
		set_disks(a, o, u, d, layers, inodes);
	return o;
}

void usage_write_summary(const struct usage *u, struct buf *out)
{
	struct arena a = ARENA_INIT;
	struct json *doc = json_new_object(&a), *pods = json_new_array(&a);

	json_set(&a, doc, "node", of_node(&a, u));
	for (size_t i = 0, end; i < u->container_count; i = end) {
		end = i;
		while (end < u->container_count &&
			streq(u->containers[end].uid, u->containers[i].uid))
			end++;
		json_push(&a, pods, of_pod(&a, u, &u->containers[i], end - i));
	}
	json_set(&a, doc, "pods", pods);
	json_write(out, doc);
	buf_add_char(out, '\n');
	arena_finish(&a);
}
