/* local_watch.c - see local_watch.h. */
#include "node/pressure/local_watch.h"

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/pod/pod_manager.h"
#include "node/pressure/local_storage.h"
#include "node/pressure/pressure.h"
#include "node/stats/stats.h"

enum {
	LOOK_MS = 10000,
	COST_FACTOR = 50, /* counting takes at most a fiftieth of the time */
	GRACE_S = 1,
};

struct local_watch {
	struct node *n;
	struct wakeup *look;
	bool limited, layers; /* some pod has limits; of containers */
};

struct check {
	struct local_watch *l;
	const struct usage *usage; /* NULL = layers do not matter */
	struct arena arena;
	VEC(struct pod_excess {
		char *uid;
		const char *why;
	})
	found;
};

static void check_pod(void *user, const struct pod_here *here)
{
	struct check *c = user;
	const struct pod_disk *d = disk_usage_of(node_stats_disks(c->l->n->stats), here->uid);
	VEC(struct layer_disk) layers = {0};

	const struct json *pod = here->ended ? NULL : object_doc(here->object, &c->arena);
	if (!pod || !d || !local_storage_limited(pod))
		return;
	for (size_t i = 0; c->usage && i < c->usage->container_count; i++) {
		const struct container_usage *u = &c->usage->containers[i];
		if (streq(u->uid, here->uid))
			VEC_PUSH(&layers, ((struct layer_disk){u->container, u->layer_bytes}));
	}
	const char *why = local_storage_excess(&c->arena, pod, d, layers.items, layers.count);
	VEC_FINISH(&layers);
	if (why)
		VEC_PUSH(&c->found, ((struct pod_excess){arena_strdup(&c->arena, here->uid), why}));
}

static void check(struct local_watch *l, const struct usage *u)
{
	struct check c = {.l = l, .usage = u, .arena = ARENA_INIT};

	pod_manager_walk(l->n->pods, check_pod, &c);
	for (size_t i = 0; i < c.found.count; i++) {
		struct pod_end end = {
			.reason = "Evicted",
			.message = c.found.items[i].why,
			.event = "Evicted",
			.grace_s = GRACE_S,
		};
		if (pod_manager_end(l->n->pods, c.found.items[i].uid, &end))
			log_warn("pod evicted", "uid", c.found.items[i].uid, "reason",
				c.found.items[i].why, NULL);
	}
	VEC_FINISH(&c.found);
	arena_finish(&c.arena);
	int64_t cost_ms = disk_usage_cost_ns(node_stats_disks(l->n->stats)) / NS_PER_MS;
	wakeup_in(l->look, MAX((int64_t)LOOK_MS, cost_ms * COST_FACTOR));
}

static void on_usage(void *user, const struct usage *u)
{
	if (u) /* else the agent is stopping */
		check(user, u);
}

static void on_counted(void *user)
{
	struct local_watch *l = user;

	if (l->layers && !pressure_images_apart(l->n->pressure))
		node_stats_get(l->n->stats, on_usage, l);
	else
		check(l, NULL);
}

static void note_limits(void *user, const struct pod_here *here)
{
	struct local_watch *l = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (here->ended || (l->limited && l->layers))
		return;
	const struct json *pod = object_doc(here->object, &a);
	l->limited = l->limited || local_storage_limited(pod);
	l->layers = l->layers || local_storage_needs_layers(pod);
}

static void on_look(void *user)
{
	struct local_watch *l = user;

	l->limited = l->layers = false;
	pod_manager_walk(l->n->pods, note_limits, l);
	if (l->limited)
		disk_usage_count(
			node_stats_disks(l->n->stats), local_storage_limited, on_counted, l);
	else
		wakeup_in(l->look, LOOK_MS);
}

struct local_watch *local_watch_create(struct node *n)
{
	struct local_watch *l = xcalloc(1, sizeof(*l));

	l->n = n;
	l->look = wakeup_create(n->loop, n->clock, on_look, l);
	wakeup_in(l->look, LOOK_MS);
	return l;
}

void local_watch_destroy(struct local_watch *l)
{
	if (!l)
		return;
	wakeup_destroy(l->look);
	free(l);
}
