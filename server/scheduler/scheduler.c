#include "server/scheduler/scheduler_impl.h"

#include "lib/base/log.h"

#define TURN_NS (4 * NS_PER_MS) /* the loop has other things to do */
#define BINDING_MAX 2048	/* under way at a time */

int64_t scheduler_now(const struct scheduler *s)
{
	return s->client->clock->mono_ns(s->client->clock);
}

bool workload_is_pod(const struct workload *w)
{
	return w->object->kind->group[0] == '\0';
}

void scheduler_arm(struct scheduler *s)
{
	if (!s->synced)
		return;
	int64_t now_ns = scheduler_now(s), due_ns = queue_next_due(s->queue, now_ns);
	/* With as much under way as may be, the next answer goes on. */
	if (due_ns <= now_ns && s->binding >= BINDING_MAX)
		due_ns = INT64_MAX;
	due_ns = MIN(due_ns, scheduler_volume_deadline(s));
	if (s->announced < s->announcements.count)
		due_ns = MIN(due_ns, now_ns);
	if (due_ns == INT64_MAX)
		wakeup_cancel(s->wakeup);
	else
		wakeup_at(s->wakeup, due_ns);
}

static void refused(struct scheduler *s, struct queued *q, const struct placement *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *node = NULL, *message = p->message;
	struct workload *w = q->workload;
	if (s->core.snapshot.alive_count) {
		const char *why_not = scheduler_preempt(s, w, &a, &node);
		if (why_not)
			message = arena_printf(&a, "%s preemption: %s", message, why_not);
	}
	if (!node)
		snapshot_nominate(&s->core.snapshot, w, NULL);
	scheduler_refused(s, w, message, node);
}

/* Whether it is bound to the node that was chosen before is not known: it is asked again. */
static bool ask_again(struct scheduler *s, struct queued *q)
{
	struct assigned *as = snapshot_assigned(&s->core.snapshot, q->workload->uid);
	if (!as)
		return false;
	if (s->core.snapshot.rows[as->slot].alive) {
		scheduler_bind(s, q, s->core.snapshot.info[as->slot]->name);
		return true;
	}
	core_unassign(&s->core, q->workload->uid);
	return false;
}

static void try_one(struct scheduler *s, struct queued *q)
{
	if (ask_again(s, q))
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t from_ns = scheduler_now(s);
	default_spread_apply(s->default_spread, q->workload);
	struct placement p = core_place(&s->core, q->workload, &s->random, &a);
	int64_t took_ns = scheduler_now(s) - from_ns;
	durations_add(&s->metrics.algorithm, took_ns);
	if (!p.node) {
		s->metrics.attempts[ATTEMPT_UNSCHEDULABLE]++;
		durations_add(&s->metrics.attempt[ATTEMPT_UNSCHEDULABLE], took_ns);
		refused(s, q, &p);
		queue_unschedulable(s->queue, q, p.refused_by, scheduler_now(s));
		return;
	}
	if (!s->core.pass.volumes.unbound_count) {
		core_assign(&s->core, q->workload, p.node);
		scheduler_bind(s, q, p.node);
		return;
	}
	struct volume_choice *choices;
	size_t count = volume_choose(&s->core.pass, p.slot, &choices);
	core_assign(&s->core, q->workload, p.node);
	scheduler_bind_volumes(s, q, p.node, choices, count);
}

static void on_wakeup(void *user)
{
	struct scheduler *s = user;
	int64_t now_ns = scheduler_now(s), end_ns = now_ns + TURN_NS;
	queue_next_due(s->queue, now_ns);
	if (scheduler_volume_deadline(s) <= now_ns)
		scheduler_check_volume_waits(s);
	struct queued *q;
	while (s->binding < BINDING_MAX && (q = queue_pop(s->queue, now_ns))) {
		try_one(s, q);
		if (scheduler_now(s) > end_ns)
			break;
	}
	scheduler_announce(s, !queue_count(s->queue, QUEUE_ACTIVE));
	scheduler_arm(s);
}

/* ---- what may help those that wait ---- */

struct change {
	struct scheduler *s;
	unsigned node; /* bits of what opened on the node */
	uint32_t slot; /* of the node that it is about */
	const struct workload *gone, *placed;
};

#define REFUSED_BY_SPREAD (REFUSAL_BIT(REFUSED_SPREAD) | REFUSAL_BIT(REFUSED_SPREAD_LABEL))
#define REFUSED_FOR_ROOM                                                                           \
	(REFUSAL_BIT(REFUSED_RESOURCES) | REFUSAL_BIT(REFUSED_PORTS) |                             \
		REFUSAL_BIT(REFUSED_CLAIM_IN_USE) | REFUSAL_BIT(REFUSED_VOLUME_LIMIT))

static bool fits_there(struct change *c, const struct workload *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pass p;
	pass_begin_node(&p, &c->s->core.snapshot, w, &a);
	return !pass_check_node(&p, c->slot);
}

static bool matches(struct change *c, const struct pod_matcher *m, const struct workload *w)
{
	const struct pods_of_namespace *ns = snapshot_namespace(&c->s->core.snapshot, w->ns);
	return pod_matcher_matches(m, w, ns ? ns->labels : NULL, ns ? ns->label_count : 0);
}

static bool counted_by_spread(
	struct change *c, const struct workload *w, const struct workload *other)
{
	for (size_t n = 0; n < w->spread_count; n++)
		if (w->spreads[n].required && matches(c, &w->spreads[n].pods, other))
			return true;
	return false;
}

static bool meant_by(
	struct change *c, const struct pod_term *terms, size_t count, const struct workload *other)
{
	for (size_t n = 0; n < count; n++)
		if (matches(c, &terms[n].pods, other))
			return true;
	return false;
}

static bool helps(void *user, const struct queued *q)
{
	struct change *c = user;
	const struct workload *w = q->workload;
	uint32_t by = q->refused_by;
	if (!by)
		return true; /* nothing is known, so anything may help */
	if (c->node) {
		if (by & REFUSED_BY_SPREAD && c->node & (NODE_ADDED | NODE_LABELS | NODE_TAINTS))
			return true;
		return fits_there(c, w);
	}
	if (c->gone)
		return (by & REFUSED_FOR_ROOM && fits_there(c, w)) ||
		       (by & REFUSED_BY_SPREAD && counted_by_spread(c, w, c->gone)) ||
		       (by & REFUSAL_BIT(REFUSED_POD_ANTI_AFFINITY) &&
			       meant_by(c, w->anti_affinity, w->anti_affinity_count, c->gone)) ||
		       (by & REFUSAL_BIT(REFUSED_BY_OTHERS) &&
			       meant_by(
				       c, c->gone->anti_affinity, c->gone->anti_affinity_count, w));
	return (by & REFUSED_BY_SPREAD && counted_by_spread(c, w, c->placed)) ||
	       (by & REFUSAL_BIT(REFUSED_POD_AFFINITY) &&
		       meant_by(c, w->affinity, w->affinity_count, c->placed));
}

static void tell_waiting(struct scheduler *s, struct change c)
{
	if (!queue_count(s->queue, QUEUE_UNSCHEDULABLE))
		return;
	c.s = s;
	queue_move(s->queue, helps, &c, scheduler_now(s));
	scheduler_arm(s);
}

/* ---- what the caches say ---- */

static void placed(struct scheduler *s, struct workload *w, const char *node)
{
	core_assign(&s->core, w, node);
	tell_waiting(s, (struct change){.placed = w});
}

static void freed(struct scheduler *s, const char *uid)
{
	struct assigned *as = snapshot_assigned(&s->core.snapshot, uid);
	if (!as)
		return;
	struct workload *w = workload_ref(as->workload);
	uint32_t slot = as->slot;
	core_unassign(&s->core, uid);
	if (s->core.snapshot.info[slot])
		tell_waiting(s, (struct change){.gone = w, .slot = slot});
	workload_unref(w);
}

static bool is_final(const char *phase)
{
	return phase && (streq(phase, "Succeeded") || streq(phase, "Failed"));
}

static bool waits_for_us(const struct object *o, const struct json *doc)
{
	if (o->deleting ||
		!streq(json_str_or(json_path(doc, "spec.schedulerName"), DEFAULT_SCHEDULER),
			DEFAULT_SCHEDULER))
		return false;
	if (!o->kind->group[0])
		return true;
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	return !phase[0] || streq(phase, "Pending") || streq(phase, "Scheduling");
}

static bool same_labels(const struct object *a, const struct object *b)
{
	return object_labels_equal(a->labels, a->label_count, b->labels, b->label_count);
}

/* It waits no longer, for whatever reason. */
static void forget(struct scheduler *s, const char *uid)
{
	struct queued *q = queue_find(s->queue, uid);
	if (!q)
		return;
	snapshot_nominate(&s->core.snapshot, q->workload, NULL);
	scheduler_drop_volume_wait(s, uid);
	queue_remove(s->queue, uid);
}

/* Most events are about placed workloads whose requests do not change. */
static bool nothing_new(struct scheduler *s, const struct object *o, const char *node)
{
	struct assigned *as = snapshot_assigned(&s->core.snapshot, o->uid);
	if (!as || !streq(s->core.snapshot.info[as->slot]->name, node) ||
		!same_labels(as->workload->object, o))
		return false;
	workload_renew(as->workload, (struct object *)o);
	forget(s, o->uid);
	return true;
}

/* What was tried in vain is worth another try when its owner has changed what it asks for. */
static bool asks_differently(const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return !same_labels(old, new) || !json_equal(json_get(object_doc(old, &a), "spec"),
						 json_get(object_doc(new, &a), "spec"));
}

static void on_waiting(struct scheduler *s, const struct object *old, struct workload *w)
{
	const struct queued *q = queue_find(s->queue, w->uid);
	bool changed =
		old && q && q->sm.state == QUEUE_UNSCHEDULABLE && asks_differently(old, w->object);
	queue_add(s->queue, w, changed, scheduler_now(s));
	if (w->nominated)
		snapshot_nominate(&s->core.snapshot, w, w->nominated);
	scheduler_arm(s);
}

static void on_workload(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	const struct object *o = new ? new : old;
	bool pod = !o->kind->group[0];
	if (!new || is_final(object_field(o, "status.phase"))) {
		forget(s, o->uid);
		freed(s, o->uid);
		return;
	}
	const char *node = object_field(o, pod ? "spec.nodeName" : "status.nodeName");
	if (node && node[0] && nothing_new(s, o, node))
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct workload *w = workload_create((struct object *)o);
	if (node && node[0]) {
		forget(s, o->uid);
		placed(s, w, node);
	} else if (waits_for_us(o, object_doc(o, &a))) {
		on_waiting(s, old, w);
	} else {
		forget(s, o->uid);
	}
	workload_unref(w);
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	if (!new) {
		snapshot_node_remove(&s->core.snapshot, old->name);
		return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct node_state n;
	struct change c = {0};
	node_state_read(&a, new, &n);
	c.node = snapshot_node_set(&s->core.snapshot, &n, &c.slot);
	if (c.node)
		tell_waiting(s, c);
}

static void on_namespace(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	const struct object *o = new ? new : old;
	if (old && new &&same_labels(old, new))
		return;
	snapshot_namespace_set(&s->core.snapshot, o->name, new ? new->labels : NULL,
		new ? new->label_count : 0, new != NULL);
	if (old)
		queue_move(s->queue, NULL, NULL, scheduler_now(s));
	scheduler_arm(s);
}

/* ---- volumes ---- */

static bool waits_for_volumes(void *user, const struct queued *q)
{
	static const uint32_t by_volumes =
		REFUSAL_BIT(REFUSED_CLAIM_IN_USE) | REFUSAL_BIT(REFUSED_VOLUME_LIMIT) |
		REFUSAL_BIT(REFUSED_VOLUME_AFFINITY) | REFUSAL_BIT(REFUSED_VOLUME_GONE) |
		REFUSAL_BIT(REFUSED_NO_VOLUME) | REFUSAL_BIT(REFUSED_VOLUME_ZONE);
	return q->workload->claim_count && q->refused_by & by_volumes;
}

static void volumes_moved(struct scheduler *s)
{
	if (!list_empty(&s->volume_waits))
		scheduler_check_volume_waits(s);
	if (queue_count(s->queue, QUEUE_UNSCHEDULABLE))
		queue_move(s->queue, waits_for_volumes, NULL, scheduler_now(s));
	scheduler_arm(s);
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	volumes_claim_changed(&s->core.volumes, old, new);
	volumes_moved(s);
}

static void on_volume(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	volumes_volume_changed(&s->core.volumes, old, new);
	volumes_moved(s);
}

static void on_class(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	volumes_class_changed(&s->core.volumes, old, new);
	volumes_moved(s);
}

static void on_synced(void *user)
{
	struct scheduler *s = user;
	s->synced = true;
	log_info("scheduler runs", NULL);
	scheduler_arm(s);
}

struct scheduler *scheduler_create(struct client *c)
{
	static const struct informer_handler workload_handler = {.changed = on_workload},
					     node_handler = {.changed = on_node},
					     namespace_handler = {.changed = on_namespace},
					     claim_handler = {.changed = on_claim},
					     volume_handler = {.changed = on_volume},
					     class_handler = {.changed = on_class};
	struct scheduler *s = xcalloc(1, sizeof(*s));
	s->client = c;
	s->random = random_seeded(random_u64(client_random(c)));
	list_init(&s->calls);
	list_init(&s->volume_waits);
	core_init(&s->core);
	s->queue = queue_create();
	s->wakeup = wakeup_create(c->loop, c->clock, on_wakeup, s);
	s->informers = informers_create(c);
	s->nodes = informers_get(s->informers, "", "v1", "Node");
	s->pods = informers_get(s->informers, "", "v1", "Pod");
	s->instances = informers_get(s->informers, "kubevirt.io", "v1", "VirtualMachineInstance");
	s->namespaces = informers_get(s->informers, "", "v1", "Namespace");
	s->budgets = informers_get(s->informers, "policy", "v1", "PodDisruptionBudget");
	s->claims = informers_get(s->informers, "", "v1", "PersistentVolumeClaim");
	s->volumes = informers_get(s->informers, "", "v1", "PersistentVolume");
	s->classes = informers_get(s->informers, "storage.k8s.io", "v1", "StorageClass");
	informer_add_handler(s->claims, &claim_handler, s);
	informer_add_handler(s->volumes, &volume_handler, s);
	informer_add_handler(s->classes, &class_handler, s);
	informer_add_handler(s->nodes, &node_handler, s);
	informer_add_handler(s->pods, &workload_handler, s);
	informer_add_handler(s->instances, &workload_handler, s);
	informer_add_handler(s->namespaces, &namespace_handler, s);
	s->default_spread = default_spread_create(s->informers);
	informers_on_synced(s->informers, on_synced, s);
	informers_start(s->informers);
	return s;
}

void scheduler_write_metrics(void *user, struct buf *out)
{
	struct scheduler *s = user;
	struct pending_counts pending = {
		.active = queue_count(s->queue, QUEUE_ACTIVE),
		.backoff = queue_count(s->queue, QUEUE_BACKOFF),
		.unschedulable = queue_count(s->queue, QUEUE_UNSCHEDULABLE),
		.gated = queue_count(s->queue, QUEUE_GATED),
	};
	scheduler_metrics_write(&s->metrics, &pending, out);
}

void scheduler_destroy(struct scheduler *s)
{
	if (!s)
		return;
	scheduler_cancel_calls(s);
	scheduler_drop_volume_wait(s, NULL);
	informers_destroy(s->informers);
	default_spread_destroy(s->default_spread);
	wakeup_destroy(s->wakeup);
	queue_destroy(s->queue);
	core_finish(&s->core);
	free(s);
}
