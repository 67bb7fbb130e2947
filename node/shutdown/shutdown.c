/* shutdown.c - see shutdown.h. */
#include "node/shutdown/shutdown.h"

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/pod/pod_manager.h"
#include "node/shutdown/logind.h"
#include "node/shutdown/shutdown_core.h"
#include "node/vm/vm_manager.h"

#define LOGIND_DROP_IN "/etc/systemd/logind.conf.d/99-hanok-node.conf"
#define ENDED_REASON "Terminated"
#define ENDED_TEXT "Pod was terminated in response to imminent node shutdown."

enum { LOOK_MS = 500 }; /* whether all of a group has stopped */

struct node_shutdown {
	struct node *n;
	struct shutdown_group groups[SHUTDOWN_GROUPS_MAX];
	size_t group_count;
	struct shutdown_core core;
	struct logind *logind;
	struct wakeup *look;
	bool said; /* why there is no lock: once */
};

static int64_t mono(const struct node_shutdown *s)
{
	return s->n->clock->mono_ns(s->n->clock);
}

/* ---- pods ---- */

struct turn {
	struct node_shutdown *s;
	struct arena arena;
	bool left;
	VEC(struct turn_pod {
		const char *uid;
		int64_t grace_s;
	})
	pods; /* of the present group */
};

static void look_at(void *user, const struct pod_here *here)
{
	struct turn *t = user;
	struct node_shutdown *s = t->s;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (here->stopped)
		return;
	const struct json *pod = object_doc(here->object, &a);
	size_t group = shutdown_group_of(
		s->groups, s->group_count, json_path_int(pod, "spec.priority", 0));
	if (group > s->core.at)
		return;
	t->left = true;
	int64_t own = json_path_int(pod, "spec.terminationGracePeriodSeconds", 30);
	if (!here->ended)
		VEC_PUSH(&t->pods, ((struct turn_pod){arena_strdup(&t->arena, here->uid),
					   MIN(MAX(own, 0), s->groups[group].grace_s)}));
}

static void end_pods(struct turn *t)
{
	for (size_t i = 0; i < t->pods.count; i++) {
		struct pod_end end = {
			.reason = ENDED_REASON,
			.message = ENDED_TEXT,
			.disruption = ENDED_TEXT,
			.grace_s = t->pods.items[i].grace_s,
		};
		pod_manager_end(t->s->n->pods, t->pods.items[i].uid, &end);
	}
}

static bool admits(void *user, struct arena *a, const struct json *pod, const char **ret_reason,
	const char **ret_message)
{
	const struct node_shutdown *s = user;

	*ret_reason = "NodeShutdown";
	*ret_message = "Pod was rejected as the node is shutting down.";
	return s->core.sm.state == SHUTDOWN_HOLDING;
}

/* ---- steps ---- */

static void step(void *user)
{
	struct node_shutdown *s = user;

	for (;;) {
		struct turn t = {.s = s, .arena = ARENA_INIT};
		pod_manager_walk(s->n->pods, look_at, &t);
		/* Virtual machines have the time of all groups. */
		if (s->core.at + 1 == s->group_count)
			t.left = t.left || vm_manager_any_runs(s->n->vms);
		struct shutdown_step next = shutdown_core_next(&s->core, t.left, mono(s));
		/* The group may be another one now: its pods are looked up by the next turn. */
		if (next.action == SHUTDOWN_END_GROUP) {
			t.pods.count = 0;
			pod_manager_walk(s->n->pods, look_at, &t);
			end_pods(&t);
		}
		VEC_FINISH(&t.pods);
		arena_finish(&t.arena);
		if (next.action == SHUTDOWN_LET_GO) {
			log_info("all is ended: the host may go down", "node", s->n->name, NULL);
			logind_let_go(s->logind);
			return;
		}
		if (next.action == SHUTDOWN_WAIT) {
			if (next.wake_ns != INT64_MAX)
				wakeup_in(s->look, LOOK_MS);
			return;
		}
	}
}

static void on_prepare(void *user, bool going_down)
{
	struct node_shutdown *s = user;
	int64_t total = shutdown_total_s(s->groups, s->group_count);

	log_warn(going_down ? "the host is about to go down" : "the host stays up after all",
		"node", s->n->name, NULL);
	shutdown_core_prepare(&s->core, going_down, mono(s));
	vm_manager_host_ends(s->n->vms, going_down, total);
	node_report(s->n, "shutdown", !going_down, "", going_down ? "node is shutting down" : "");
	if (going_down && s->n->object)
		client_event(s->n->client, s->n->object, NULL, "Normal", "Shutdown",
			"Shutdown manager detected shutdown event");
	if (!going_down) {
		logind_hold(s->logind);
		pod_manager_again(s->n->pods, ENDED_REASON);
	}
	wakeup_in(s->look, 0);
}

static void on_state(void *user, bool ready, int64_t delay_s, const struct err *err)
{
	struct node_shutdown *s = user;
	int64_t total = shutdown_total_s(s->groups, s->group_count);
	char allowed[24], wanted[24];

	if (!ready) {
		if (!s->said)
			log_warn("graceful shutdown of the node is not available on this host",
				"because", err->msg, NULL);
		s->said = true;
		return;
	}
	s->said = false;
	if (delay_s < total)
		log_warn("logind holds a shutdown up for less than shutdownGracePeriod",
			"InhibitDelayMaxSec", log_i64(allowed, delay_s), "wanted",
			log_i64(wanted, total), NULL);
	else
		log_info("graceful shutdown of the node is ready", "seconds",
			log_i64(wanted, total), NULL);
}

struct node_shutdown *node_shutdown_create(struct node *n)
{
	static const struct logind_handler handler = {.prepare = on_prepare, .state = on_state};
	struct node_shutdown *s = xcalloc(1, sizeof(*s));

	s->n = n;
	s->group_count = shutdown_groups(n->config, s->groups);
	if (s->group_count == 0) {
		free(s);
		return NULL;
	}
	shutdown_core_init(&s->core, s->groups, s->group_count, mono(s));
	s->look = wakeup_create(n->loop, n->clock, step, s);
	pod_manager_add_check(n->pods, admits, s);
	s->logind = logind_create(n->loop, n->clock, shutdown_total_s(s->groups, s->group_count),
		LOGIND_DROP_IN, &handler, s);
	return s;
}

void node_shutdown_destroy(struct node_shutdown *s)
{
	if (!s)
		return;
	logind_destroy(s->logind);
	wakeup_destroy(s->look);
	free(s);
}
