/* disk_usage.c - see disk_usage.h. */
#include "node/stats/disk_usage.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "node/pod/pod_config.h"
#include "node/stats/disk_counts.h"

enum {
	SLOW_MS = 3000,	  /* who takes longer is not waited for */
	COST_FACTOR = 50, /* and takes at most a fiftieth of the time */
};

/* ---- one pod ---- */

static bool is_ephemeral(const struct json *volume)
{
	const struct json *empty = json_get(volume, "emptyDir");

	if (empty)
		return !*json_str_or(json_get(empty, "medium"), "");
	return json_get(volume, "configMap") != NULL;
}

/* Others are files of somebody else: hostPath, images. */
static bool is_counted(const struct json *volume)
{
	static const char *const kinds[] = {"emptyDir", "configMap", "secret", "projected",
		"downwardAPI", "persistentVolumeClaim", "ephemeral"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (json_get(volume, kinds[i]))
			return true;
	}
	return false;
}

static char *claim_of(const struct json *pod, const struct json *volume)
{
	const char *claim = json_path_str(volume, "persistentVolumeClaim.claimName");

	if (claim)
		return xstrdup(claim);
	if (!json_get(volume, "ephemeral"))
		return NULL;
	return xasprintf("%s-%s", json_str_or(json_path(pod, "metadata.name"), ""),
		json_str_or(json_get(volume, "name"), ""));
}

struct pod_disk *pod_disk_make(const struct json *pod, const char *dir)
{
	struct pod_disk *d = xcalloc(1, sizeof(*d));
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *volumes = json_path(pod, "spec.volumes");
	size_t containers = pod_container_count(pod);

	d->uid = xstrdup(json_str_or(json_path(pod, "metadata.uid"), ""));
	d->ns = xstrdup(json_str_or(json_path(pod, "metadata.namespace"), ""));
	d->name = xstrdup(json_str_or(json_path(pod, "metadata.name"), ""));
	d->dir = xstrdup(dir);
	d->volumes = xcalloc(json_count(volumes) + 1, sizeof(*d->volumes));
	JSON_FOR_EACH_ITEM(v, volumes) {
		const char *name = json_str_or(json_get(v, "name"), "");
		if (!is_counted(v) || strchr(name, '/'))
			continue;
		d->volumes[d->volume_count++] = (struct volume_disk){
			.name = xstrdup(name),
			.path = xasprintf("%s/volumes/%s", dir, name),
			.claim = claim_of(pod, v),
			.ephemeral = is_ephemeral(v),
		};
	}
	d->logs = xcalloc(containers + 1, sizeof(*d->logs));
	for (size_t i = 0; i < containers; i++)
		d->logs[d->log_count++].container =
			xstrdup(json_str_or(json_get(pod_container_doc(pod, i), "name"), ""));
	return d;
}

void pod_disk_destroy(struct pod_disk *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->volume_count; i++) {
		free(d->volumes[i].name);
		free(d->volumes[i].path);
		free(d->volumes[i].claim);
	}
	for (size_t i = 0; i < d->log_count; i++)
		free(d->logs[i].container);
	free(d->volumes);
	free(d->logs);
	free(d->uid);
	free(d->ns);
	free(d->name);
	free(d->dir);
	free(d);
}

void pod_disk_count_own(struct pod_disk *d, const _Atomic bool *stop)
{
	_cleanup_(free_p) char *messages = xasprintf("%s/containers", d->dir);
	_cleanup_(free_p) char *hosts = xasprintf("%s/etc-hosts", d->dir);
	struct stat st;

	disk_usage_walk(messages, stop, &d->own_bytes, &d->own_inodes);
	if (lstat(hosts, &st) == 0) {
		d->own_bytes += (uint64_t)st.st_blocks * 512;
		d->own_inodes++;
	}
}

uint64_t pod_disk_bytes(const struct pod_disk *d)
{
	uint64_t sum = d->own_bytes;

	for (size_t i = 0; i < d->volume_count; i++)
		sum += d->volumes[i].ephemeral ? d->volumes[i].used_bytes : 0;
	for (size_t i = 0; i < d->log_count; i++)
		sum += d->logs[i].used_bytes;
	return sum;
}

uint64_t pod_disk_inodes(const struct pod_disk *d)
{
	uint64_t sum = d->own_inodes;

	for (size_t i = 0; i < d->volume_count; i++)
		sum += d->volumes[i].ephemeral ? d->volumes[i].used_inodes : 0;
	for (size_t i = 0; i < d->log_count; i++)
		sum += d->logs[i].used_inodes;
	return sum;
}

/* ---- a round ---- */

struct waiter {
	bool (*only)(const struct json *pod);
	void (*done)(void *user);
	void *user;
};

struct disk_usage {
	struct node *n;
	struct table pods; /* uid -> struct pod_disk */
	struct disk_counts *counts;
	VEC(struct waiter) waiters;
	bool running;			      /* a round */
	bool (*only)(const struct json *pod); /* it counts these; NULL = all */
	unsigned number;		      /* of the round */
	int64_t began_ns, cost_ns, counted_ns;
};

static void count_volume(struct volume_disk *v, const _Atomic bool *stop)
{
	struct statvfs fs;

	if (statvfs(v->path, &fs) == 0) {
		v->capacity_bytes = fs.f_blocks * fs.f_frsize;
		v->available_bytes = fs.f_bavail * fs.f_frsize;
		v->inodes = fs.f_files;
		v->inodes_free = fs.f_ffree;
		/* A claim may be large, and is no concern of eviction: its file system says. */
		if (v->claim) {
			v->used_bytes = (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
			v->used_inodes = fs.f_files - MIN(fs.f_ffree, fs.f_files);
			return;
		}
	}
	if (!v->claim)
		disk_usage_walk(v->path, stop, &v->used_bytes, &v->used_inodes);
}

/* On a thread. */
static void count_pod(struct pod_disk *d, const char *log_dir, const _Atomic bool *stop)
{
	pod_disk_count_own(d, stop);
	for (size_t i = 0; i < d->volume_count; i++)
		count_volume(&d->volumes[i], stop);
	for (size_t i = 0; i < d->log_count; i++) {
		struct log_disk *l = &d->logs[i];
		_cleanup_(free_p) char *dir = xasprintf("%s/%s", log_dir, l->container);
		disk_usage_walk(dir, stop, &l->used_bytes, &l->used_inodes);
	}
}

static void forget_gone(struct disk_usage *d)
{
	VEC(char *) gone = {0};

	for (struct table_iter i = table_iterate(&d->pods); table_next(&i);) {
		if (((struct pod_disk *)i.value)->round != d->number)
			VEC_PUSH(&gone, xstrdup(i.key));
	}
	for (size_t i = 0; i < gone.count; i++) {
		pod_disk_destroy(table_remove(&d->pods, gone.items[i]));
		free(gone.items[i]);
	}
	VEC_FINISH(&gone);
}

static void start(struct disk_usage *d, bool (*only)(const struct json *pod));

/* Those who wanted what has been counted; the others' count begins. */
static void tell(struct disk_usage *d, bool (*only)(const struct json *pod))
{
	struct waiter *waiters = d->waiters.items;
	size_t count = d->waiters.count;

	d->waiters.items = NULL;
	d->waiters.count = d->waiters.room = 0;
	for (size_t i = 0; i < count; i++) {
		if (only && waiters[i].only != only)
			VEC_PUSH(&d->waiters, waiters[i]);
	}
	if (d->waiters.count > 0)
		start(d, d->waiters.items[0].only);
	for (size_t i = 0; i < count; i++) {
		if (!only || waiters[i].only == only)
			waiters[i].done(waiters[i].user);
	}
	free(waiters);
}

static void on_counted(void *user, struct pod_disk *p)
{
	struct disk_usage *d = user;

	p->round = d->number;
	p->time_ns = d->n->clock->wall_ns(d->n->clock);
	pod_disk_destroy(table_set(&d->pods, p->uid, p));
}

static void on_over(void *user)
{
	struct disk_usage *d = user;
	int64_t now = d->n->clock->mono_ns(d->n->clock);

	d->running = false;
	d->cost_ns = now - d->began_ns;
	if (!d->only)
		d->counted_ns = now;
	forget_gone(d);
	tell(d, d->only);
}

/* What took long the last time is not walked over again at once. */
static bool rests(const struct disk_usage *d, const struct pod_disk *p)
{
	int64_t age_ns = d->n->clock->wall_ns(d->n->clock) - p->time_ns;

	return p->cost_ns > SLOW_MS * NS_PER_MS && age_ns >= 0 && age_ns / COST_FACTOR < p->cost_ns;
}

static void add_pod(void *user, const struct pod_here *here)
{
	struct disk_usage *d = user;
	struct pod_disk *known = table_get(&d->pods, here->uid);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = object_doc(here->object, &a);

	/* Whether this round counts it or not, it is not gone. */
	if (known)
		known->round = d->number;
	if (d->only && (here->ended || !d->only(pod)))
		return;
	if (!known || !rests(d, known))
		disk_counts_add(d->counts, pod_disk_make(pod, here->dir), pod_log_dir(&a, pod));
}

static void start(struct disk_usage *d, bool (*only)(const struct json *pod))
{
	d->only = only;
	d->began_ns = d->n->clock->mono_ns(d->n->clock);
	d->number++;
	d->running = true;
	pod_manager_walk(d->n->pods, add_pod, d);
	disk_counts_await(d->counts, on_over);
}

void disk_usage_count(struct disk_usage *d, bool (*only)(const struct json *pod),
	void (*done)(void *user), void *user)
{
	struct waiter w = {only, done, user};

	VEC_PUSH(&d->waiters, w);
	if (!d->running)
		start(d, only);
}

const struct pod_disk *disk_usage_of(const struct disk_usage *d, const char *uid)
{
	return table_get(&d->pods, uid);
}

int64_t disk_usage_cost_ns(const struct disk_usage *d)
{
	return d->cost_ns;
}

int64_t disk_usage_counted_ns(const struct disk_usage *d)
{
	return d->counted_ns;
}

struct disk_usage *disk_usage_create(struct node *n)
{
	struct disk_usage *d = xcalloc(1, sizeof(*d));

	d->n = n;
	d->pods = TABLE_INIT;
	d->counts = disk_counts_create(n->loop, SLOW_MS, count_pod, on_counted, d);
	return d;
}

void disk_usage_destroy(struct disk_usage *d)
{
	if (!d)
		return;
	disk_counts_destroy(d->counts);
	for (struct table_iter i = table_iterate(&d->pods); table_next(&i);)
		pod_disk_destroy(i.value);
	table_finish(&d->pods);
	VEC_FINISH(&d->waiters);
	free(d);
}
