/* DaemonSet: finds the revisions, then makes and deletes pods node by node as daemon_set_plan.h
 * says, and writes the status. */
#include <inttypes.h>

#include "lib/base/table.h"
#include "server/controllers/controller.h"
#include "server/controllers/expectations.h"
#include "server/controllers/meta.h"
#include "server/controllers/nodes/node_fit.h"
#include "server/controllers/workloads/daemon_set_plan.h"
#include "server/controllers/workloads/daemon_set_pods.h"
#include "server/controllers/workloads/revisions.h"

#define COMPONENT "daemonset-controller"
#define BURST 250 /* pods created and deleted in one sync, each */
#define BACK_OFF_MIN_NS NS_PER_S
#define BACK_OFF_MAX_NS (15 * 60 * NS_PER_S)
#define BACK_OFF_SWEEP_NS (60 * NS_PER_S)

struct daemon_sets {
	struct loop *loop;
	struct client *client;
	struct informer *sets, *pods, *nodes, *revisions;
	struct pod_views *views;
	struct expectations *expectations;
	struct table taints;	/* of nodes that have some, by name: struct tainted */
	struct table back_offs; /* of failed pods, by set's uid and node: struct back_off */
	int64_t swept_ns;
};

struct tainted {
	struct arena arena;
	const struct json *taints;
};

struct back_off {
	int64_t wait_ns, since_ns; /* monotonic */
};

struct pass {
	struct daemon_sets *c;
	struct object *object;
	struct json *doc, *spec; /* spec: of the pods */
	struct revisions revisions;
	const char *hash; /* of the present revision */
	struct claim claim;
	bool may_act; /* the cache has what was written before */
	bool rolling;
	struct daemon_node *nodes;
	size_t node_count;
	struct daemon_action *actions;
	size_t action_count, acted, batch;
};

/* Failed pods are not made anew faster and faster: an agent may refuse each. */

static char *back_off_key(struct arena *a, const struct object *set, const char *node)
{
	return arena_printf(a, "%s/%s", set->uid, node);
}

static int64_t back_off_left_ns(struct sync *s, struct pass *p, const char *node)
{
	const struct back_off *b =
		table_get(&p->c->back_offs, back_off_key(&s->arena, p->object, node));
	return b ? b->since_ns + b->wait_ns - loop_mono_ns(s->loop) : 0;
}

static void back_off_more(struct sync *s, struct pass *p, const char *node)
{
	char *key = back_off_key(&s->arena, p->object, node);
	int64_t now_ns = loop_mono_ns(s->loop);
	struct back_off *b = table_get(&p->c->back_offs, key);
	if (!b) {
		b = xcalloc(1, sizeof(*b));
		table_set(&p->c->back_offs, key, b);
	}
	bool quiet = !b->wait_ns || now_ns - b->since_ns > 2 * BACK_OFF_MAX_NS;
	b->wait_ns = quiet ? BACK_OFF_MIN_NS : MIN(b->wait_ns * 2, BACK_OFF_MAX_NS);
	b->since_ns = now_ns;
}

static void back_off_sweep(struct daemon_sets *c, int64_t now_ns)
{
	if (now_ns - c->swept_ns < BACK_OFF_SWEEP_NS)
		return;
	c->swept_ns = now_ns;
	struct table_iter it = table_iterate(&c->back_offs);
	while (table_next(&it))
		if (now_ns - ((struct back_off *)it.value)->since_ns > 2 * BACK_OFF_MAX_NS)
			free(table_remove(&c->back_offs, it.key));
}

/* Status and history. */

static bool in_use(void *user, const struct revision *r)
{
	const struct pass *p = user;
	if (streq(r->hash, p->hash))
		return true;
	for (size_t n = 0; n < p->claim.count; n++)
		if (streq(object_label(p->claim.mine[n], REVISION_LABEL), r->hash))
			return true;
	return false;
}

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct daemon_counts c = daemon_count(p->nodes, p->node_count);
	struct json *status = json_new_object(a);
	/* A generation is observed when its pods are, not while they are on their way. */
	if (p->may_act)
		json_set_int(a, status, "observedGeneration",
			json_path_int(p->doc, "metadata.generation", 0));
	json_set_int(a, status, "currentNumberScheduled", c.current);
	json_set_int(a, status, "desiredNumberScheduled", c.desired);
	json_set_int(a, status, "numberMisscheduled", c.misscheduled);
	json_set_int(a, status, "numberReady", c.ready);
	json_set(a, status, "numberAvailable", count_or_null(a, c.available));
	json_set(a, status, "numberUnavailable", count_or_null(a, c.desired - c.available));
	json_set(a, status, "updatedNumberScheduled", count_or_null(a, c.updated));
	if (p->revisions.collisions)
		json_set_int(a, status, "collisionCount", p->revisions.collisions);
	sync_status(s, p->object, p->doc, status, NULL, NULL);

	struct revisions *r = &p->revisions;
	size_t surplus = revisions_surplus(r->items, r->count,
		json_path_int(p->doc, "spec.revisionHistoryLimit", 10), in_use, p);
	for (size_t n = 0; n < surplus; n++)
		sync_delete(s, r->items[n].object, -1, NULL, NULL, NULL);
}

/* Creating and deleting, in batches of 1, 2, 4, ..., so that what fails for one (a quota) is not
 * tried for all. */

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct object *pod;
	if (client_ok(r)) {
		if (object_from_bytes(
			    informer_kind(p->c->pods), r->body, r->body_size, &pod, NULL) < 0)
			return;
		expectations_created(p->c->expectations, s->key, pod->revision);
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Normal",
			"SuccessfulCreate", "Created pod: %s", pod->name);
		object_unref(pod);
		return;
	}
	p->action_count = p->acted;
	if (sync_namespace_terminating(r))
		return;
	s->failed = true;
	client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning", "FailedCreate",
		"Error creating: %s", r->message);
}

static void on_deleted(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct object *pod = user;
	if (client_ok(r) || r->code == 404)
		expectations_deleted(p->c->expectations, s->key, pod);
	if (client_ok(r)) {
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Normal",
			"SuccessfulDelete", "Deleted pod: %s", pod->name);
	} else if (r->code != 404) {
		s->failed = true;
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning", "FailedDelete",
			"Error deleting: %s", r->message);
	}
}

static void remove_pod(struct sync *s, const struct daemon_action *action)
{
	struct pass *p = s->state;
	const struct object *pod = action->pod;
	const char *node = action->node->name;
	if (action->why == DAEMON_FAILED) {
		back_off_more(s, p, node);
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning",
			"FailedDaemonPod",
			"Found failed daemon pod %s/%s on node %s, will try to kill it",
			pod->namespace, pod->name, node);
	} else if (action->why == DAEMON_SUCCEEDED) {
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Normal",
			"SucceededDaemonPod",
			"Found succeeded daemon pod %s/%s on node %s, will try to delete it",
			pod->namespace, pod->name, node);
	}
	sync_delete(s, pod, -1, NULL, on_deleted, action->pod);
}

static void act(struct sync *s)
{
	struct pass *p = s->state;
	size_t end = MIN(p->acted + p->batch, p->action_count);
	if (p->acted == end) {
		write_status(s);
		return;
	}
	s->next = act;
	p->batch *= 2;
	for (; p->acted < end; p->acted++) {
		const struct daemon_action *action = &p->actions[p->acted];
		if (action->what == DAEMON_DELETE)
			remove_pod(s, action);
		else
			sync_create(s, informer_kind(p->c->pods), p->object->namespace,
				daemon_new_pod(&s->arena, p->object, p->doc, p->spec, p->hash,
					action->node->name),
				on_created, NULL);
	}
}

/* Reading. */

struct placed {
	const char *node; /* "" = none that could be told */
	struct daemon_pod pod;
};

static int by_node(const void *pa, const void *pb)
{
	return strcmp(((const struct placed *)pa)->node, ((const struct placed *)pb)->node);
}

/* The set's pods by their nodes' names. */
static struct placed *read_pods(struct sync *s, struct pass *p)
{
	struct arena *a = &s->arena;
	int64_t now_ns = loop_wall_ns(s->loop),
		min_ready_s = json_path_int(p->doc, "spec.minReadySeconds", 0);
	struct placed *all = arena_alloc(a, (p->claim.count + 1) * sizeof(*all));
	for (size_t n = 0; n < p->claim.count; n++) {
		struct object *pod = p->claim.mine[n];
		const struct pod_view *v = pod_view(p->c->views, pod);
		const char *node = v->node[0] ? arena_strdup(a, v->node) : daemon_target(a, pod);
		int64_t wait_ms;
		all[n] = (struct placed){
			.node = node ? node : "",
			.pod =
				{
					.object = pod,
					.failed = v->failed,
					.succeeded = v->terminal && !v->failed,
					.deleting = pod->deleting,
					.scheduled = v->node[0] != '\0',
					.ready = v->ready,
					.available = pod_view_available(
						v, min_ready_s, now_ns, &wait_ms),
					.updated =
						streq(object_label(pod, REVISION_LABEL), p->hash),
					.created_ns = v->created_ns,
				},
		};
		if (wait_ms >= 0)
			sync_again(s, wait_ms);
	}
	if (p->claim.count > 1)
		qsort(all, p->claim.count, sizeof(*all), by_node);
	return all;
}

static void take_pods(
	struct arena *a, struct daemon_node *node, const struct placed *pods, size_t count)
{
	node->pods = arena_alloc(a, (count + 1) * sizeof(*node->pods));
	node->count = count;
	for (size_t n = 0; n < count; n++)
		node->pods[n] = pods[n].pod;
}

static size_t run_of(const struct placed *pods, size_t count)
{
	size_t n = 1;
	while (n < count && streq(pods[n].node, pods[0].node))
		n++;
	return n;
}

/* Nodes come in the order of their names, as the pods do. */
static void read_nodes(struct sync *s, struct pass *p)
{
	struct arena *a = &s->arena;
	struct node_fit fit = node_fit_of(a, p->spec);
	struct placed *pods = read_pods(s, p);
	struct object **all;
	size_t count = informer_list(p->c->nodes, NULL, a, &all), at = 0;
	p->nodes = arena_zalloc(a, (count + p->claim.count + 1) * sizeof(*p->nodes));
	for (size_t n = 0; n < count; n++) {
		const struct object *node = sync_hold(s, all[n]);
		while (at < p->claim.count && strcmp(pods[at].node, node->name) < 0) {
			struct daemon_node *gone = &p->nodes[p->node_count++];
			size_t run = run_of(pods + at, p->claim.count - at);
			gone->name = pods[at].node;
			take_pods(a, gone, pods + at, run);
			at += run;
		}
		const struct tainted *t = table_get(&p->c->taints, node->name);
		const struct json *taints = t ? t->taints : NULL;
		bool fits = node_fit_matches(&fit, node);
		struct daemon_node *d = &p->nodes[p->node_count++];
		*d = (struct daemon_node){
			.name = node->name,
			.exists = true,
			.should_run = fits && node_fit_tolerates(&fit, taints, false),
			.may_stay = fits && node_fit_tolerates(&fit, taints, true),
		};
		if (at < p->claim.count && streq(pods[at].node, node->name)) {
			size_t run = run_of(pods + at, p->claim.count - at);
			take_pods(a, d, pods + at, run);
			at += run;
		}
		bool failed = false;
		for (size_t m = 0; m < d->count; m++)
			failed |= d->pods[m].failed && !d->pods[m].deleting;
		int64_t left_ns = failed ? back_off_left_ns(s, p, d->name) : 0;
		d->backs_off = left_ns > 0;
		if (d->backs_off)
			sync_again(s, left_ns / NS_PER_MS + 1);
	}
	while (at < p->claim.count) {
		struct daemon_node *gone = &p->nodes[p->node_count++];
		size_t run = run_of(pods + at, p->claim.count - at);
		gone->name = pods[at].node;
		take_pods(a, gone, pods + at, run);
		at += run;
	}
}

/* So many of each sort in one sync; the rest follows when these are seen. */
static void limit_burst(struct pass *p)
{
	size_t kept = 0, sorts[2] = {0};
	for (size_t n = 0; n < p->action_count; n++)
		if (sorts[p->actions[n].what]++ < BURST)
			p->actions[kept++] = p->actions[n];
	p->action_count = kept;
}

static void with_revisions(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	p->hash = p->revisions.update->hash;
	p->spec = daemon_pod_spec(a, p->doc);
	read_nodes(s, p);
	const struct json *rolling = json_path(p->doc, "spec.updateStrategy.rollingUpdate");
	struct daemon_counts counts = daemon_count(p->nodes, p->node_count);
	struct daemon_limits limits = daemon_limits(
		counts.desired, json_get(rolling, "maxSurge"), json_get(rolling, "maxUnavailable"));
	bool surge = p->rolling && limits.surge > 0;
	p->action_count = daemon_manage(a, p->nodes, p->node_count, surge, &p->actions);
	if (!p->action_count && p->rolling)
		p->action_count = daemon_roll(a, p->nodes, p->node_count, &limits, &p->actions);
	if (!p->may_act)
		p->action_count = 0;
	limit_burst(p);
	p->batch = 1;
	act(s);
}

static void reconcile(struct sync *s)
{
	struct daemon_sets *c = s->self;
	struct object *o = informer_get(c->sets, s->ns, s->name);
	back_off_sweep(c, loop_mono_ns(s->loop));
	if (!o) {
		expectations_forget(c->expectations, s->key);
		return;
	}
	struct pass *p = ARENA_NEW(&s->arena, struct pass);
	struct selector selector;
	s->state = p;
	p->c = c;
	p->object = sync_hold(s, o);
	p->doc = object_doc(o, &s->arena);
	if (!claim_selector(&s->arena, o, &selector)) {
		client_event_as(c->client, COMPONENT, o, NULL, "Warning", "SelectingAll",
			"This daemon set is selecting all pods. A non-empty selector is required.");
		return;
	}
	if (o->deleting)
		return;
	p->rolling = !streq(json_path_str(p->doc, "spec.updateStrategy.type"), "OnDelete");
	p->may_act = expectations_met(c->expectations, s->key);
	p->claim = claim_children(s, o, &selector, c->pods);
	if (p->claim.changing)
		return;
	for (size_t n = 0; n < p->claim.count; n++)
		sync_hold(s, p->claim.mine[n]);
	p->revisions = (struct revisions){
		.owner = p->object,
		.doc = p->doc,
		.informer = c->revisions,
		.hash_label = REVISION_LABEL,
		.collisions = json_path_int(p->doc, "status.collisionCount", 0),
		.then = with_revisions,
	};
	revisions_sync(s, &p->revisions, &selector);
}

/* What runs a key. */

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct daemon_sets *c = user;
	claim_tell(c->loop, c->sets, old, new);
}

static void on_set(void *user, const struct object *old, const struct object *new)
{
	struct daemon_sets *c = user;
	loop_add_object(c->loop, new ? new : old);
}

static void tainted_free(struct tainted *t)
{
	if (!t)
		return;
	arena_finish(&t->arena);
	free(t);
}

static bool same_labels(const struct object *a, const struct object *b)
{
	return object_labels_equal(a->labels, a->label_count, b->labels, b->label_count);
}

/* Remembers the taints; true when they are others than before. */
static bool learn_taints(struct daemon_sets *c, const struct object *node, bool gone)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *taints = gone ? NULL : json_path(object_doc(node, &a), "spec.taints");
	struct tainted *old = table_get(&c->taints, node->name);
	if (!json_count(taints))
		taints = NULL;
	if (old ? json_equal(old->taints, taints) : !taints)
		return false;
	tainted_free(table_remove(&c->taints, node->name));
	if (!taints)
		return true;
	struct tainted *t = xcalloc(1, sizeof(*t));
	t->taints = json_copy(&t->arena, taints);
	table_set(&c->taints, node->name, t);
	return true;
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct daemon_sets *c = user;
	bool taints = learn_taints(c, new ? new : old, !new);
	if (old && new && !taints && same_labels(old, new))
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(c->sets, NULL, &a, &all);
	for (size_t n = 0; n < count; n++)
		loop_add_object(c->loop, all[n]);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler pod_handler = {.changed = on_pod},
					     set_handler = {.changed = on_set},
					     node_handler = {.changed = on_node};
	struct daemon_sets *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 2, reconcile, c);
	c->sets = shared_informer(sh, "apps", "v1", "DaemonSet");
	c->revisions = shared_informer(sh, "apps", "v1", "ControllerRevision");
	c->nodes = shared_informer(sh, "", "v1", "Node");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	c->views = shared_pod_views(sh);
	c->expectations = expectations_create(c->pods, sh->client->clock);
	informer_add_index(c->pods, "namespace");
	informer_add_index(c->revisions, "namespace");
	informer_add_index(c->sets, "namespace");
	informer_add_handler(c->sets, &set_handler, c);
	informer_add_handler(c->revisions, &pod_handler, c);
	informer_add_handler(c->nodes, &node_handler, c);
	informer_add_handler(c->pods, &pod_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct daemon_sets *)self)->loop);
}

static void destroy(void *self)
{
	struct daemon_sets *c = self;
	loop_destroy(c->loop);
	expectations_destroy(c->expectations);
	struct table_iter it = table_iterate(&c->taints);
	while (table_next(&it))
		tainted_free(it.value);
	table_finish(&c->taints);
	it = table_iterate(&c->back_offs);
	while (table_next(&it))
		free(it.value);
	table_finish(&c->back_offs);
	free(c);
}

const struct controller_class daemon_set_controller = {"daemonset", create, start, destroy};
