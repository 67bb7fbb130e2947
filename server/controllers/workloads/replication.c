/* ReplicaSet and ReplicationController: one core, two kinds. */
#include "lib/base/log.h"
#include "server/controllers/claim.h"
#include "server/controllers/controller.h"
#include "server/controllers/expectations.h"
#include "server/controllers/meta.h"
#include "server/controllers/workloads/pod_template.h"
#include "server/controllers/workloads/replication_order.h"

#define BURST 500 /* pods created or deleted in one sync */

struct replication {
	struct loop *loop;
	struct client *client;
	struct informer *sets, *pods;
	struct pod_views *views;
	struct expectations *expectations;
};

/* One sync. Pods are created in batches of 1, 2, 4, ..., so that what fails for one (a quota) is
 * not tried five hundred times. */
struct pass {
	struct replication *r;
	struct object *set;
	struct json *doc;
	struct object **pods; /* the set's, not terminal */
	size_t pod_count;
	int64_t replicas;  /* wanted */
	int64_t to_create; /* still */
	int64_t batch;
	const char *failure_reason, *failure_message; /* of creating or deleting; NULL = none */
};

static struct json *owner_spec(const struct pass *p)
{
	return json_get(p->doc, "spec");
}

/* Status. */

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	int64_t now_ns = loop_wall_ns(s->loop),
		min_ready_s = json_int_or(json_get(owner_spec(p), "minReadySeconds"), 0);
	struct selector template_labels;
	selector_from_map(
		a, json_path(owner_spec(p), "template.metadata.labels"), &template_labels);
	int64_t active = 0, labeled = 0, ready = 0, available = 0;
	for (size_t n = 0; n < p->pod_count; n++) {
		const struct object *pod = p->pods[n];
		const struct pod_view *v = pod_view(p->r->views, pod);
		if (!v->active)
			continue;
		active++;
		if (selector_matches_labels(&template_labels, pod->labels, pod->label_count))
			labeled++;
		if (!v->ready)
			continue;
		ready++;
		int64_t wait_ms;
		if (pod_view_available(v, min_ready_s, now_ns, &wait_ms))
			available++;
		else if (wait_ms >= 0)
			sync_again(s, wait_ms);
	}
	struct json *status = json_new_object(a);
	json_set_int(a, status, "replicas", active);
	json_set(a, status, "fullyLabeledReplicas", count_or_null(a, labeled));
	json_set(a, status, "readyReplicas", count_or_null(a, ready));
	json_set(a, status, "availableReplicas", count_or_null(a, available));
	json_set_int(
		a, status, "observedGeneration", json_path_int(p->doc, "metadata.generation", 0));
	struct json *conditions = json_path(p->doc, "status.conditions");
	struct condition failure = {
		"ReplicaFailure", "True", p->failure_reason, p->failure_message, false};
	/* Messages name the pod, and its name is another at each try: the first one stays, else
	 * each try would change the set and so be followed by the next one at once. */
	const struct json *had = condition_find(conditions, "ReplicaFailure");
	if (p->failure_reason && streq(json_str_or(json_get(had, "reason"), ""), p->failure_reason))
		failure.message = json_str_or(json_get(had, "message"), "");
	struct json *wanted = p->failure_reason ? condition_set(a, conditions, &failure, now_ns)
						: condition_drop(a, conditions, "ReplicaFailure");
	json_set(a, status, "conditions", json_count(wanted) ? wanted : json_new_null(a));
	sync_status(s, p->set, p->doc, status, NULL, NULL);
}

/* Creating. */

static void on_created(struct sync *s, const struct client_result *res, void *user)
{
	struct pass *p = s->state;
	if (client_ok(res)) {
		const struct json *doc =
			expectations_created_by(p->r->expectations, s->key, &s->arena, res);
		client_event_as(p->r->client, loop_name(s->loop), p->set, NULL, "Normal",
			"SuccessfulCreate", "Created pod: %s",
			json_str_or(json_path(doc, "metadata.name"), ""));
		return;
	}
	p->to_create = 0;
	if (sync_namespace_terminating(res))
		return;
	s->failed = true;
	p->failure_reason = "FailedCreate";
	p->failure_message = arena_strdup(&s->arena, res->message);
	client_event_as(p->r->client, loop_name(s->loop), p->set, NULL, "Warning", "FailedCreate",
		"Error creating: %s", res->message);
}

static void create_batch(struct sync *s)
{
	struct pass *p = s->state;
	if (p->to_create <= 0) {
		write_status(s);
		return;
	}
	struct json *pod =
		pod_from_template(&s->arena, p->set, json_get(owner_spec(p), "template"));
	int64_t now = MIN(p->batch, p->to_create);
	p->to_create -= now;
	p->batch *= 2;
	for (int64_t n = 0; n < now; n++)
		sync_create(s, informer_kind(p->r->pods), p->set->namespace, pod, on_created, NULL);
	s->next = create_batch;
}

/* Deleting. */

static void on_deleted(struct sync *s, const struct client_result *res, void *user)
{
	struct pass *p = s->state;
	struct object *pod = user;
	if (client_ok(res)) {
		expectations_deleted(p->r->expectations, s->key, pod);
		client_event_as(p->r->client, loop_name(s->loop), p->set, NULL, "Normal",
			"SuccessfulDelete", "Deleted pod: %s", pod->name);
	} else if (res->code == 404) {
		expectations_deleted(p->r->expectations, s->key, pod);
	} else {
		s->failed = true;
		p->failure_reason = "FailedDelete";
		p->failure_message = arena_strdup(&s->arena, res->message);
		client_event_as(p->r->client, loop_name(s->loop), p->set, NULL, "Warning",
			"FailedDelete", "Error deleting: %s", res->message);
	}
}

/* The set that owns this one's siblings (its Deployment), or itself. */
static bool same_family(const struct object *a, const struct object *b)
{
	const struct object_owner *ca = object_controller(a), *cb = object_controller(b);
	return streq(a->uid, b->uid) || (ca && cb && streq(ca->uid, cb->uid));
}

/* Counts, for each pod, the active pods of the same family on its node: where more are, one is
 * missed least. */
static void count_neighbours(
	struct sync *s, struct pass *p, struct deletion_rank *ranks, size_t count)
{
	struct arena *a = &s->arena;
	struct object **sets;
	size_t set_count = informer_list(p->r->sets, p->set->namespace, a, &sets);
	for (size_t n = 0; n < set_count; n++) {
		if (!same_family(sets[n], p->set))
			continue;
		struct object **pods;
		size_t pod_count = informer_by_index(p->r->pods, "owner", sets[n]->uid, a, &pods);
		for (size_t m = 0; m < pod_count; m++) {
			const struct pod_view *v = pod_view(p->r->views, pods[m]);
			if (!v->active || !v->node[0])
				continue;
			for (size_t i = 0; i < count; i++)
				if (streq(ranks[i].pod->node, v->node))
					ranks[i].neighbours++;
		}
	}
}

static void delete_surplus(struct sync *s, struct pass *p, size_t active, size_t surplus)
{
	struct deletion_rank *ranks = arena_alloc(&s->arena, (active + 1) * sizeof(*ranks));
	size_t count = 0;
	for (size_t n = 0; n < p->pod_count; n++) {
		const struct pod_view *v = pod_view(p->r->views, p->pods[n]);
		if (v->active)
			ranks[count++] = (struct deletion_rank){.pod = v, .object = p->pods[n]};
	}
	if (surplus < count) {
		count_neighbours(s, p, ranks, count);
		deletion_order(ranks, count, loop_wall_ns(s->loop));
	}
	for (size_t n = 0; n < MIN(surplus, (size_t)BURST); n++)
		sync_delete(
			s, ranks[n].object, -1, NULL, on_deleted, sync_hold(s, ranks[n].object));
	s->next = write_status;
}

static void reconcile(struct sync *s)
{
	struct replication *r = s->self;
	struct arena *a = &s->arena;
	struct object *set = informer_get(r->sets, s->ns, s->name);
	if (!set) {
		expectations_forget(r->expectations, s->key);
		return;
	}
	struct pass *p = ARENA_NEW(a, struct pass);
	s->state = p;
	p->r = r;
	p->set = sync_hold(s, set);
	p->doc = object_doc(set, a);
	p->replicas = json_int_or(json_get(owner_spec(p), "replicas"), 1);
	struct selector selector;
	if (!claim_selector(a, set, &selector))
		return; /* validation keeps such selectors out */
	bool ready_to_act = expectations_met(r->expectations, s->key);
	struct claim claim = claim_children(s, set, &selector, r->pods);
	p->pods = claim.mine;
	p->pod_count = claim.count;
	int64_t active = 0;
	for (size_t n = 0; n < claim.count; n++) {
		sync_hold(s, claim.mine[n]);
		if (pod_view(r->views, claim.mine[n])->active)
			active++;
	}
	/* A condition of an earlier failure stays until pods could be created or deleted again. */
	struct json *failure =
		condition_find(json_path(p->doc, "status.conditions"), "ReplicaFailure");
	if (failure && active != p->replicas && (!ready_to_act || claim.changing)) {
		p->failure_reason = json_str_or(json_get(failure, "reason"), "");
		p->failure_message = json_str_or(json_get(failure, "message"), "");
	}
	if (!ready_to_act || claim.changing || set->deleting || active == p->replicas) {
		write_status(s);
		return;
	}
	if (active > p->replicas) {
		delete_surplus(s, p, (size_t)active, (size_t)(active - p->replicas));
		return;
	}
	p->to_create = MIN(p->replicas - active, BURST);
	p->batch = 1;
	create_batch(s);
}

/* Events: a pod tells its set; an orphan tells every set that might adopt it. */

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct replication *r = user;
	claim_tell(r->loop, r->sets, old, new);
}

static void on_set(void *user, const struct object *old, const struct object *new)
{
	struct replication *r = user;
	loop_add_object(r->loop, new ? new : old);
}

static struct replication *create(
	struct shared *sh, const char *group, const char *kind, const char *loop_label)
{
	static const struct informer_handler pod_handler = {.changed = on_pod},
					     set_handler = {.changed = on_set};
	struct replication *r = xcalloc(1, sizeof(*r));
	r->client = sh->client;
	r->loop = loop_create(sh->client, loop_label, 5, reconcile, r);
	r->sets = shared_informer(sh, group, "v1", kind);
	r->pods = shared_informer(sh, "", "v1", "Pod");
	r->views = shared_pod_views(sh);
	r->expectations = expectations_create(r->pods, sh->client->clock);
	informer_add_index(r->pods, "namespace");
	informer_add_index(r->pods, "owner");
	informer_add_index(r->sets, "namespace");
	informer_add_handler(r->sets, &set_handler, r);
	informer_add_handler(r->pods, &pod_handler, r);
	return r;
}

static void *create_for_sets(struct shared *sh)
{
	return create(sh, "apps", "ReplicaSet", "replicaset-controller");
}

static void *create_for_controllers(struct shared *sh)
{
	return create(sh, "", "ReplicationController", "replication-controller");
}

static void start(void *self)
{
	loop_start(((struct replication *)self)->loop);
}

static void destroy(void *self)
{
	struct replication *r = self;
	loop_destroy(r->loop);
	expectations_destroy(r->expectations);
	free(r);
}

const struct controller_class replica_set_controller = {
	"replicaset", create_for_sets, start, destroy};
const struct controller_class replication_controller = {
	"replicationcontroller", create_for_controllers, start, destroy};
