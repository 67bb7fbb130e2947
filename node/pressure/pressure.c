/* pressure.c - see pressure.h.
 *
 *            disk is short              still short
 *   WATCHING --------------> RECLAIMING ------------> MEASURING
 *    ^ ^ ^ |                   | enough                ^  |  | a pod was told to go
 *    | | | +-------------------|-----------------------+  |  v
 *    | | +---------------------+     memory, processes    | SETTLING
 *    | +--------------------------------------------------+  |
 *    |                                nobody to evict        |
 *    +-------------------------------------------------------+
 *                         it has stopped, or 30 s
 */
#include "node/config/config_parts.h"
#include "node/metrics/node_metrics.h"
#include "node/pressure/pressure.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/sm.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/pod/pod_config.h"
#include "node/pod/pod_manager.h"
#include "node/pod/pod_resources.h"
#include "node/pressure/image_gc.h"
#include "node/pressure/local_watch.h"
#include "node/pressure/signals.h"
#include "node/pressure/stall.h"
#include "node/stats/cgroup_usage.h"
#include "node/stats/stats.h"
#include "node/vm/vm_manager.h"

enum {
	LOOK_MS = 10000,
	LOOK_MIN_MS = 1000,   /* however often the kernel tells of stalls */
	SETTLE_LOOK_MS = 500, /* whether the evicted pod has stopped */
	SETTLE_MAX_S = 30,
	EVENTS_SOON_MS = 1000, /* the Node object is not known yet */
	COUNT_MAX_MS = 60000,  /* a file system that hangs must not keep all pods where they are */
};

enum { WATCHING, RECLAIMING, MEASURING, SETTLING };

static const struct sm_state states[] = {
	[WATCHING] = {"watching", SM_ALLOW(RECLAIMING) | SM_ALLOW(MEASURING), false},
	[RECLAIMING] = {"reclaiming", SM_ALLOW(WATCHING) | SM_ALLOW(MEASURING), false},
	[MEASURING] = {"measuring", SM_ALLOW(WATCHING) | SM_ALLOW(SETTLING), false},
	[SETTLING] = {"settling", SM_ALLOW(WATCHING), false},
};
static const struct sm_class state_class = {
	.name = "pressure",
	.states = states,
	.state_count = ARRAY_LEN(states),
};

struct pressure {
	struct node *n;
	struct host_signals host;
	struct signal_source *source;
	struct pressure_state state;
	struct pressure_due due; /* of the latest look */
	bool images_apart;	 /* the same */
	struct local_watch *local;
	struct image_gc *images;
	struct stall *stall;	     /* NULL: the kernel does not tell */
	struct cgroup_finder groups; /* of containers, for their processes */
	int64_t looked_ns;
	struct sm sm;
	struct wakeup *look;
	struct grpc_call *image_fs;
	bool told[PRESSURE_COUNT]; /* an event has said how it is */
	bool told_value[PRESSURE_COUNT];
	bool counting;	   /* of what pods have on the disk; also when nobody waits any more */
	bool awaits_count; /* MEASURING */
	char *leaving_uid; /* SETTLING: the pod that goes */
	int64_t leaving_ns;
};

static int64_t mono(const struct pressure *p)
{
	return p->n->clock->mono_ns(p->n->clock);
}

/* ---- conditions and events ---- */

static void node_event(struct pressure *p, const char *type, const char *reason, const char *text)
{
	if (p->n->object)
		client_event(p->n->client, p->n->object, NULL, type, reason, "%s", text);
}

/* At the start all of it, as a kubelet does, then what is new. True when all has been said. */
static bool tell_conditions(struct pressure *p)
{
	static const char *const reasons[PRESSURE_COUNT][2] = {
		[PRESSURE_MEMORY] = {"NodeHasSufficientMemory", "NodeHasInsufficientMemory"},
		[PRESSURE_DISK] = {"NodeHasNoDiskPressure", "NodeHasDiskPressure"},
		[PRESSURE_PID] = {"NodeHasSufficientPID", "NodeHasInsufficientPID"},
	};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf report = BUF_INIT;

	for (enum pressure_condition c = 0; c < PRESSURE_COUNT; c++) {
		if (p->state.condition[c])
			buf_printf(&report, "%s ", pressure_condition_name(c));
	}
	/* Makes the status go out soon when it differs. */
	node_report(p->n, "pressure", true, "", report.size ? report.data : "");
	if (!p->n->object)
		return false;
	for (enum pressure_condition c = 0; c < PRESSURE_COUNT; c++) {
		bool holds = p->state.condition[c];
		if (!p->told[c] || holds != p->told_value[c])
			node_event(p, "Normal", reasons[c][holds],
				arena_printf(&a, "Node %s status is now: %s", p->n->name,
					reasons[c][holds]));
		p->told[c] = true;
		p->told_value[c] = holds;
	}
	return true;
}

bool pressure_holds(const struct pressure *p, enum pressure_condition c)
{
	return p && p->state.condition[c];
}

bool pressure_images_apart(const struct pressure *p)
{
	return p && p->images_apart;
}

static bool admits(void *user, struct arena *a, const struct json *pod, const char **ret_reason,
	const char **ret_message)
{
	const struct pressure *p = user;

	*ret_reason = "Evicted";
	return pressure_admits(a, p->state.condition, pod, ret_message);
}

/* ---- observing ---- */

static void observe(struct pressure *p)
{
	struct signals now;

	p->looked_ns = mono(p);
	p->source->read(p->source, &now);
	pressure_observe(p->n->config, &p->state, &now, mono(p), &p->due);
	p->images_apart = now.image_fs_apart;
}

static void on_image_fs(void *user, const struct grpc_result *r)
{
	struct pressure *p = user;
	const Cri__ImageFsInfoResponse *info = r->response;

	p->image_fs = NULL;
	if (grpc_ok(r) && info->n_image_filesystems > 0 && info->image_filesystems[0]->fs_id)
		host_signals_images_at(&p->host, info->image_filesystems[0]->fs_id->mountpoint);
}

/* ---- evicting ---- */

struct candidates {
	struct pressure *p;
	const struct usage *usage;
	enum pressure_resource resource;
	struct arena arena;
	VEC(struct pod_load) pods;
};

/* With images apart, the file system that is short decides what counts of a pod. */
static bool layers_count(const struct pressure *p)
{
	return !p->images_apart || p->due.signal == SIGNAL_IMAGEFS_AVAILABLE ||
	       p->due.signal == SIGNAL_IMAGEFS_INODES_FREE;
}

static bool volumes_count(const struct pressure *p)
{
	return !p->images_apart || p->due.signal == SIGNAL_NODEFS_AVAILABLE ||
	       p->due.signal == SIGNAL_NODEFS_INODES_FREE;
}

static int64_t processes_of(struct pressure *p, const struct container_usage *c)
{
	const char *path = c->id ? cgroup_finder_path(&p->groups, c->id, mono(p)) : NULL;
	struct cgroup_usage u;

	return path && cgroup_usage_read(&p->groups, path, false, &u) ? (int64_t)u.tasks : 0;
}

static void add_usage(struct candidates *all, struct pod_load *load)
{
	const struct usage *u = all->usage;
	const struct pod_disk *disk = disk_usage_of(node_stats_disks(all->p->n->stats), load->uid);

	for (size_t i = 0; i < u->container_count; i++) {
		const struct container_usage *c = &u->containers[i];
		if (!streq(c->uid, load->uid))
			continue;
		load->known = true;
		load->usage[RES_MEMORY] += (int64_t)c->working_set_bytes;
		if (all->resource == RES_PIDS)
			load->usage[RES_PIDS] += processes_of(all->p, c);
		if (layers_count(all->p)) {
			load->usage[RES_STORAGE] += (int64_t)c->layer_bytes;
			load->usage[RES_INODES] += (int64_t)c->layer_inodes;
		}
	}
	if (disk && volumes_count(all->p)) {
		load->usage[RES_STORAGE] += (int64_t)pod_disk_bytes(disk);
		load->usage[RES_INODES] += (int64_t)pod_disk_inodes(disk);
	}
}

static void add_candidate(void *user, const struct pod_here *here)
{
	struct candidates *all = user;

	if (here->ended || here->stopped)
		return;
	const struct json *pod = object_doc(here->object, &all->arena);
	struct pod_load load = {
		.uid = arena_strdup(&all->arena, here->uid),
		.pod = pod,
		.priority = json_path_int(pod, "spec.priority", 0),
		.critical = pod_is_critical(pod),
		.request =
			{
				[RES_MEMORY] = pod_request(pod, "memory"),
				[RES_STORAGE] = pod_request(pod, "ephemeral-storage"),
			},
	};
	add_usage(all, &load);
	VEC_PUSH(&all->pods, load);
}

static int64_t container_amount(const struct candidates *all, const struct container_usage *c)
{
	const struct pod_disk *disk = disk_usage_of(node_stats_disks(all->p->n->stats), c->uid);
	uint64_t sum = c->layer_bytes;

	if (all->resource == RES_MEMORY)
		return (int64_t)c->working_set_bytes;
	for (size_t i = 0; disk && i < disk->log_count; i++)
		sum += streq(disk->logs[i].container, c->container) ? disk->logs[i].used_bytes : 0;
	return (int64_t)sum;
}

static const char *message_for(struct candidates *all, const struct pod_load *load)
{
	VEC(struct container_load) list = {0};

	/* Of inodes and processes containers are not told apart. */
	for (size_t i = 0; i < all->usage->container_count && all->resource <= RES_STORAGE; i++) {
		const struct container_usage *c = &all->usage->containers[i];
		if (streq(c->uid, load->uid))
			VEC_PUSH(&list,
				((struct container_load){c->container, container_amount(all, c)}));
	}
	const char *text =
		pressure_message(&all->arena, &all->p->due, load->pod, list.items, list.count);
	VEC_FINISH(&list);
	return text;
}

static bool evict(struct candidates *all, const struct pod_load *load)
{
	struct pressure *p = all->p;
	const char *message = message_for(all, load);
	struct pod_end end = {
		.reason = "Evicted",
		.message = message,
		.event = "Evicted",
		.disruption = message,
		.grace_s = pressure_grace_s(p->n->config, p->due.hard, load->pod),
	};

	if (load->critical || !pod_manager_end(p->n->pods, load->uid, &end))
		return false;
	metric_add(&metric_evictions, 1, node_signal_name(p->due.signal));
	log_warn("pod evicted", "namespace", json_path_str(load->pod, "metadata.namespace"), "pod",
		json_path_str(load->pod, "metadata.name"), "reason", message, NULL);
	free(p->leaving_uid);
	p->leaving_uid = xstrdup(load->uid);
	p->leaving_ns = mono(p);
	return true;
}

static void watch_again(struct pressure *p)
{
	sm_move(&p->sm, WATCHING, mono(p));
	wakeup_in(p->look, LOOK_MS);
}

static void on_usage(void *user, const struct usage *u)
{
	struct pressure *p = user;
	struct candidates all = {.p = p, .usage = u, .arena = ARENA_INIT};
	bool evicted = false;

	if (!u)
		return; /* the agent is stopping */
	/* What was short may be there again by now. */
	observe(p);
	if (!p->due.any) {
		watch_again(p);
		return;
	}
	all.resource = pressure_resource_of(p->due.signal);
	pod_manager_walk(p->n->pods, add_candidate, &all);
	pressure_rank(all.pods.items, all.pods.count, all.resource);
	for (size_t i = 0; i < all.pods.count && !evicted; i++)
		evicted = evict(&all, &all.pods.items[i]);
	VEC_FINISH(&all.pods);
	arena_finish(&all.arena);
	if (evicted) {
		sm_move(&p->sm, SETTLING, mono(p));
		wakeup_in(p->look, SETTLE_LOOK_MS);
		return;
	}
	log_warn("eviction manager: unable to evict any pods from the node", "resource",
		pressure_resource_name(all.resource), NULL);
	watch_again(p);
}

static void on_disks(void *user)
{
	struct pressure *p = user;

	p->counting = false;
	if (!p->awaits_count)
		return;
	p->awaits_count = false;
	wakeup_cancel(p->look);
	node_stats_get(p->n->stats, on_usage, p);
}

/* What was counted the last time has to do. */
static void count_is_late(struct pressure *p)
{
	if (!p->awaits_count)
		return;
	p->awaits_count = false;
	log_warn("counting what pods have on the disk takes long: a file system may not answer",
		"node", p->n->name, NULL);
	node_stats_get(p->n->stats, on_usage, p);
}

/* What each pod uses: of the disk only when that is what is short, for it takes long. */
static void measure(struct pressure *p)
{
	sm_move(&p->sm, MEASURING, mono(p));
	if (pressure_of_signal(p->due.signal) != PRESSURE_DISK || p->counting) {
		node_stats_get(p->n->stats, on_usage, p);
		return;
	}
	p->counting = p->awaits_count = true;
	wakeup_in(p->look, COUNT_MAX_MS);
	disk_usage_count(node_stats_disks(p->n->stats), NULL, on_disks, p);
}

/* ---- what nobody uses goes first ---- */

static void on_images_freed(void *user)
{
	struct pressure *p = user;

	observe(p);
	if (p->due.any)
		measure(p);
	else
		watch_again(p);
}

static void on_finished_cleared(void *user)
{
	struct pressure *p = user;

	image_gc_free_unused(p->images, on_images_freed, p);
}

/* What pods leave behind, cached disks, images. On a file system of their own images help only
 * when that is what is short. */
static void reclaim(struct pressure *p)
{
	sm_move(&p->sm, RECLAIMING, mono(p));
	if (volumes_count(p))
		vm_manager_free_disks(p->n->vms);
	if (layers_count(p))
		pod_manager_clear_finished(p->n->pods, on_finished_cleared, p);
	else
		on_images_freed(p);
}

struct seek {
	const char *uid;
	bool stopped;
};

static void seek_pod(void *user, const struct pod_here *here)
{
	struct seek *s = user;

	if (streq(here->uid, s->uid))
		s->stopped = here->stopped;
}

static bool settled(struct pressure *p)
{
	struct seek s = {p->leaving_uid, true};

	pod_manager_walk(p->n->pods, seek_pod, &s);
	return s.stopped || mono(p) - p->leaving_ns >= SETTLE_MAX_S * NS_PER_S;
}

static void on_look(void *user)
{
	struct pressure *p = user;

	if (p->sm.state == MEASURING) {
		count_is_late(p);
		return;
	}
	if (p->sm.state == SETTLING) {
		if (!settled(p)) {
			wakeup_in(p->look, SETTLE_LOOK_MS);
			return;
		}
		sm_move(&p->sm, WATCHING, mono(p));
	}
	if (!p->host.image_dir && !p->image_fs)
		p->image_fs = cri_image_fs_info(pod_manager_cri(p->n->pods), on_image_fs, p);
	observe(p);
	bool told = tell_conditions(p);
	if (!p->due.any) {
		wakeup_in(p->look, told ? LOOK_MS : EVENTS_SOON_MS);
		return;
	}
	_cleanup_(free_p) char *text = xasprintf("Attempting to reclaim %s",
		pressure_resource_name(pressure_resource_of(p->due.signal)));
	node_event(p, "Warning", "EvictionThresholdMet", text);
	if (pressure_of_signal(p->due.signal) == PRESSURE_DISK)
		reclaim(p);
	else
		measure(p);
}

static void on_stall(void *user)
{
	struct pressure *p = user;

	if (p->sm.state == WATCHING && mono(p) - p->looked_ns >= LOOK_MIN_MS * NS_PER_MS)
		wakeup_in(p->look, 0);
}

/* ---- life ---- */

struct pressure *pressure_create(struct node *n)
{
	struct pressure *p = xcalloc(1, sizeof(*p));

	p->n = n;
	host_signals_init(&p->host, n->data_dir, POD_LOG_ROOT);
	p->source = &p->host.source;
	node_stats_memory_by(n->stats, host_memory_available);
	sm_init(&p->sm, &state_class, p, n->name, WATCHING, mono(p));
	p->look = wakeup_create(n->loop, n->clock, on_look, p);
	p->local = local_watch_create(n);
	p->images = image_gc_create(n);
	p->stall = stall_create(n->loop, on_stall, p);
	cgroup_finder_init(&p->groups, "/sys/fs/cgroup");
	pod_manager_add_check(n->pods, admits, p);
	/* Conditions are right from the first status on. */
	observe(p);
	wakeup_in(p->look, EVENTS_SOON_MS);
	return p;
}

void pressure_destroy(struct pressure *p)
{
	if (!p)
		return;
	grpc_call_cancel(p->image_fs);
	local_watch_destroy(p->local);
	image_gc_destroy(p->images);
	stall_destroy(p->stall);
	cgroup_finder_finish(&p->groups);
	wakeup_destroy(p->look);
	host_signals_finish(&p->host);
	free(p->leaving_uid);
	free(p);
}
