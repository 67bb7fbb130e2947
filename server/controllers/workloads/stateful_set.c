/* StatefulSet: finds the revisions, then makes and deletes pods as stateful_set_plan.h says, with
 * the claims that go with them, and writes the status. */
#include <inttypes.h>

#include "server/controllers/controller.h"
#include "server/controllers/expectations.h"
#include "server/controllers/meta.h"
#include "server/controllers/workloads/revisions.h"
#include "server/controllers/workloads/stateful_set_pods.h"

#define COMPONENT "statefulset-controller"
#define HASH_LABEL "controller.kubernetes.io/hash" /* of revisions */
#define STALE_CLAIM_WAIT_MS 1000		   /* the garbage collector removes it */

struct stateful_sets {
	struct loop *loop;
	struct client *client;
	struct informer *sets, *pods, *claims, *revisions;
	struct pod_views *views;
	struct expectations *expectations;
};

/* One sync. Pods of a parallel set are made in batches of 1, 2, 4, ..., so that what fails for one
 * is not tried for all. */
struct pass {
	struct stateful_sets *c;
	struct object *object;
	struct json *doc;
	struct stateful_set set;
	struct revisions revisions;
	struct revision *current;
	bool may_act; /* the cache has what was written before */
	bool delete_with_set, delete_when_scaled;
	const struct json *claim_templates;
	struct stateful_action *actions;
	size_t action_count, acted, batch;
};

/* Events. */

static void tell(struct pass *p, const char *verb, const char *pod, const struct client_result *r)
{
	const char *name = p->object->name;
	char reason[32];
	snprintf(reason, sizeof(reason), "%s%c%s", client_ok(r) ? "Successful" : "Failed",
		verb[0] - 32, verb + 1);
	if (client_ok(r))
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Normal", reason,
			"%s Pod %s in StatefulSet %s successful", verb, pod, name);
	else
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning", reason,
			"%s Pod %s in StatefulSet %s failed error: %s", verb, pod, name,
			r->message);
}

/* History: what is no longer in use goes when it is too much. */

static bool in_use(void *user, const struct revision *r)
{
	const struct pass *p = user;
	if (streq(r->name, p->set.current) || streq(r->name, p->set.update))
		return true;
	for (size_t n = 0; n < p->set.count; n++)
		if (streq(p->set.pods[n].revision, r->name))
			return true;
	return false;
}

static void clean_up(struct sync *s)
{
	struct pass *p = s->state;
	struct revisions *r = &p->revisions;
	size_t surplus = revisions_surplus(r->items, r->count,
		json_path_int(p->doc, "spec.revisionHistoryLimit", 10), in_use, p);
	for (size_t n = 0; n < surplus; n++)
		sync_delete(s, r->items[n].object, -1, NULL, NULL, NULL);
}

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct stateful_counts c = stateful_count(&p->set);
	const char *current = p->set.current;
	if (stateful_complete(&p->set, &c)) {
		current = p->set.update;
		c.current = c.updated;
	}
	struct json *status = json_new_object(a);
	json_set_int(
		a, status, "observedGeneration", json_path_int(p->doc, "metadata.generation", 0));
	json_set_int(a, status, "replicas", c.replicas);
	json_set(a, status, "readyReplicas", count_or_null(a, c.ready));
	json_set_int(a, status, "availableReplicas", c.available);
	json_set(a, status, "currentReplicas", count_or_null(a, c.current));
	json_set(a, status, "updatedReplicas", count_or_null(a, c.updated));
	json_set_str(a, status, "currentRevision", current);
	json_set_str(a, status, "updateRevision", p->set.update);
	json_set_int(a, status, "collisionCount", p->revisions.collisions);
	sync_status(s, p->object, p->doc, status, NULL, NULL);
	if (!p->object->deleting)
		clean_up(s);
}

/* Creating: the claims first, then the pod. */

static const char *pod_name(struct arena *a, const struct pass *p, int64_t ordinal)
{
	return arena_printf(a, "%s-%" PRId64, p->object->name, ordinal);
}

struct making {
	const struct stateful_action *action;
	const char *pod, *claim;
	unsigned claims_left;
	bool failed;
};

static void on_pod_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const struct making *m = user;
	struct object *pod;
	if (client_ok(r)) {
		if (object_from_bytes(
			    informer_kind(p->c->pods), r->body, r->body_size, &pod, NULL) == 0) {
			expectations_created(p->c->expectations, s->key, pod->revision);
			object_unref(pod);
		}
		tell(p, "create", m->pod, r);
		return;
	}
	p->action_count = p->acted;
	if (sync_namespace_terminating(r))
		return;
	s->failed = true;
	/* There already: the cache, or who made it, will show. */
	if (!(r->code == 409 && streq(r->reason, "AlreadyExists")))
		tell(p, "create", m->pod, r);
}

static void create_pod(struct sync *s, struct making *m)
{
	struct pass *p = s->state;
	const struct revision *r = m->action->updated ? p->revisions.update : p->current;
	struct json *pod = stateful_new_pod(
		&s->arena, p->object, p->doc, r->template, r->name, m->action->ordinal);
	sync_create(s, informer_kind(p->c->pods), p->object->namespace, pod, on_pod_created, m);
}

struct claim_making {
	struct making *of;
	const char *name;
};

static void on_claim_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const struct claim_making *cm = user;
	struct making *m = cm->of;
	const char *set = p->object->name;
	m->claims_left--;
	if (client_ok(r)) {
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Normal",
			"SuccessfulCreate", "create Claim %s Pod %s in StatefulSet %s success",
			cm->name, m->pod, set);
	} else if (!(r->code == 409 && streq(r->reason, "AlreadyExists"))) {
		p->action_count = p->acted;
		m->failed = true;
		if (sync_namespace_terminating(r))
			return;
		s->failed = true;
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning", "FailedCreate",
			"create Claim %s for Pod %s in StatefulSet %s failed error: %s", cm->name,
			m->pod, set, r->message);
	}
	if (!m->claims_left && !m->failed && m->action)
		create_pod(s, m);
}

/* Creates the claims that are missing. False = one is there that is about to go with an earlier pod
 * of that name. */
static bool create_claims(struct sync *s, struct making *m, int64_t ordinal, const char *pod_uid)
{
	struct pass *p = s->state;
	const char *ns = p->object->namespace;
	struct arena *a = &s->arena;
	JSON_FOR_EACH_ITEM(claim, p->claim_templates) {
		const char *name = stateful_claim_name(a, p->object, claim, ordinal);
		const struct object *is = informer_get(p->c->claims, ns, name);
		if (is && (is->deleting || stateful_claim_stale(is, m->pod, pod_uid)))
			return false;
	}
	JSON_FOR_EACH_ITEM(claim, p->claim_templates) {
		struct claim_making *cm = ARENA_NEW(a, struct claim_making);
		*cm = (struct claim_making){m, stateful_claim_name(a, p->object, claim, ordinal)};
		if (informer_get(p->c->claims, ns, cm->name))
			continue;
		m->claims_left++;
		sync_create(s, informer_kind(p->c->claims), ns,
			stateful_new_claim(a, p->object, p->doc, claim, ordinal), on_claim_created,
			cm);
	}
	return true;
}

static void begin_create(struct sync *s, const struct stateful_action *action)
{
	struct pass *p = s->state;
	struct making *m = ARENA_NEW(&s->arena, struct making);
	*m = (struct making){.action = action, .pod = pod_name(&s->arena, p, action->ordinal)};
	if (!create_claims(s, m, action->ordinal, NULL))
		sync_again(s, STALE_CLAIM_WAIT_MS);
	else if (!m->claims_left)
		create_pod(s, m);
}

/* Deleting. */

static void on_pod_deleted(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct object *pod = user;
	if (client_ok(r) || r->code == 404)
		expectations_deleted(p->c->expectations, s->key, pod);
	if (r->code == 404)
		return;
	tell(p, "delete", pod->name, r);
	if (!client_ok(r)) {
		p->action_count = p->acted;
		s->failed = true;
	}
}

static void begin_delete(struct sync *s, const struct stateful_action *action)
{
	struct pass *p = s->state;
	const struct pod_view *v = pod_view(p->c->views, action->pod);
	if (v->terminal)
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning",
			v->failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod",
			"StatefulSet %s/%s is recreating %s Pod %s", p->object->namespace,
			p->object->name, v->failed ? "failed" : "terminated", action->pod->name);
	sync_delete(s, action->pod, -1, NULL, on_pod_deleted, action->pod);
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
		const struct stateful_action *action = &p->actions[p->acted];
		if (action->what == STATEFUL_CREATE)
			begin_create(s, action);
		else
			begin_delete(s, action);
	}
}

/* What the set's pods and their claims should be but are not; before any pod goes, since a claim
 * that goes with its pod must say so before. */

static void on_updated(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const struct object *pod = user;
	if (r->code == 404)
		return;
	if (!client_ok(r)) {
		p->action_count = 0;
		sync_check(s, r);
	}
	if (r->code != 409)
		tell(p, "update", pod->name, r);
}

static void on_claim_kept(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r) || r->code == 404)
		return;
	p->action_count = 0;
	sync_check(s, r);
}

static void keep_claims(struct sync *s, const struct stateful_pod *pod)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	bool beyond = pod->ordinal < p->set.start || pod->ordinal >= p->set.start + p->set.replicas;
	enum claim_keeper keeper =
		stateful_claim_keeper(p->delete_with_set, p->delete_when_scaled, beyond);
	JSON_FOR_EACH_ITEM(template, p->claim_templates) {
		const struct object *claim = informer_get(p->c->claims, p->object->namespace,
			stateful_claim_name(a, p->object, template, pod->ordinal));
		struct json *refs =
			claim ? stateful_claim_owners(a, claim, p->object, pod->object, keeper)
			      : NULL;
		if (!refs)
			continue;
		struct json *patch = json_new_object(a);
		json_set(a, json_object_at(a, patch, "metadata"), "ownerReferences", refs);
		sync_patch(s, claim, NULL, patch, on_claim_kept, NULL);
	}
}

static void enforce(struct sync *s)
{
	struct pass *p = s->state;
	s->next = act;
	for (size_t n = 0; n < p->set.count; n++) {
		const struct stateful_pod *pod = &p->set.pods[n];
		if (pod->deleting)
			continue;
		keep_claims(s, pod);
		if (pod->terminal)
			continue;
		struct json *patch = stateful_identity_patch(&s->arena, pod->object, pod->ordinal);
		if (patch)
			sync_patch(s, pod->object, NULL, patch, on_updated, pod->object);
		/* A claim that was deleted under a pod that waits for it. */
		if (json_count(p->claim_templates) &&
			!pod_view(p->c->views, pod->object)->node[0]) {
			struct making *m = ARENA_NEW(&s->arena, struct making);
			m->pod = pod->object->name;
			(void)create_claims(s, m, pod->ordinal, pod->object->uid);
		}
	}
}

static void with_revisions(struct sync *s)
{
	struct pass *p = s->state;
	struct revisions *r = &p->revisions;
	const char *current = json_path_str(p->doc, "status.currentRevision");
	p->current = current ? revisions_find(r, current) : NULL;
	if (!p->current)
		p->current = r->update;
	p->set.current = p->current->name;
	p->set.update = r->update->name;
	if (p->object->deleting || !p->may_act) {
		write_status(s);
		return;
	}
	p->action_count = stateful_plan(&s->arena, &p->set, &p->actions);
	p->batch = 1;
	enforce(s);
}

static void read_spec(struct pass *p)
{
	const struct json *spec = json_get(p->doc, "spec");
	const struct json *rolling = json_path(spec, "updateStrategy.rollingUpdate");
	const struct json *most = json_get(rolling, "maxUnavailable");
	struct stateful_set *set = &p->set;
	set->start = json_path_int(spec, "ordinals.start", 0);
	set->replicas = json_path_int(spec, "replicas", 1);
	set->parallel = streq(json_path_str(spec, "podManagementPolicy"), "Parallel");
	set->on_delete = streq(json_path_str(spec, "updateStrategy.type"), "OnDelete");
	set->partition = json_path_int(rolling, "partition", 0);
	set->max_unavailable = most ? MAX(count_or_part(most, set->replicas, false), 1) : 1;
	p->claim_templates = json_get(spec, "volumeClaimTemplates");
	const struct json *policy = json_get(spec, "persistentVolumeClaimRetentionPolicy");
	p->delete_with_set = streq(json_path_str(policy, "whenDeleted"), "Delete");
	p->delete_when_scaled = streq(json_path_str(policy, "whenScaled"), "Delete");
}

static void read_pods(struct sync *s, struct pass *p, const struct claim *claim)
{
	int64_t now_ns = loop_wall_ns(s->loop),
		min_ready_s = json_path_int(p->doc, "spec.minReadySeconds", 0);
	struct stateful_pod *pods = arena_alloc(&s->arena, (claim->count + 1) * sizeof(*pods));
	for (size_t n = 0; n < claim->count; n++) {
		struct object *pod = sync_hold(s, claim->mine[n]);
		const struct pod_view *v = pod_view(p->c->views, pod);
		const char *revision = object_label(pod, REVISION_LABEL);
		int64_t wait_ms = -1;
		bool ready = v->ready && v->phase == POD_RUNNING;
		pods[n] = (struct stateful_pod){
			.object = pod,
			.ordinal = stateful_ordinal(p->object->name, pod->name),
			.terminal = v->terminal,
			.deleting = pod->deleting,
			.ready = ready,
			.available = ready && pod_view_available(v, min_ready_s, now_ns, &wait_ms),
			.revision = revision ? revision : "",
		};
		if (wait_ms >= 0)
			sync_again(s, wait_ms);
	}
	p->set.pods = pods;
	p->set.count = claim->count;
}

/* A pod is the set's only by its name, too. */
static bool fits(const struct object *set, const struct object *pod)
{
	return stateful_ordinal(set->name, pod->name) >= 0;
}

static void reconcile(struct sync *s)
{
	struct stateful_sets *c = s->self;
	struct object *o = informer_get(c->sets, s->ns, s->name);
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
	if (!claim_selector(&s->arena, o, &selector))
		return;
	p->may_act = expectations_met(c->expectations, s->key);
	struct claim claim = claim_children_that(s, o, &selector, c->pods, fits);
	if (claim.changing)
		return;
	read_spec(p);
	read_pods(s, p, &claim);
	p->revisions = (struct revisions){
		.owner = p->object,
		.doc = p->doc,
		.informer = c->revisions,
		.hash_label = HASH_LABEL,
		.collisions = json_path_int(p->doc, "status.collisionCount", 0),
		.then = with_revisions,
	};
	revisions_sync(s, &p->revisions, &selector);
}

/* What runs a key. */

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct stateful_sets *c = user;
	claim_tell(c->loop, c->sets, old, new);
}

static void on_set(void *user, const struct object *old, const struct object *new)
{
	struct stateful_sets *c = user;
	loop_add_object(c->loop, new ? new : old);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler pod_handler = {.changed = on_pod},
					     set_handler = {.changed = on_set};
	struct stateful_sets *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 5, reconcile, c);
	c->sets = shared_informer(sh, "apps", "v1", "StatefulSet");
	c->revisions = shared_informer(sh, "apps", "v1", "ControllerRevision");
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	c->views = shared_pod_views(sh);
	c->expectations = expectations_create(c->pods, sh->client->clock);
	informer_add_index(c->pods, "namespace");
	informer_add_index(c->revisions, "namespace");
	informer_add_index(c->sets, "namespace");
	informer_add_handler(c->sets, &set_handler, c);
	informer_add_handler(c->revisions, &pod_handler, c);
	informer_add_handler(c->pods, &pod_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct stateful_sets *)self)->loop);
}

static void destroy(void *self)
{
	struct stateful_sets *c = self;
	loop_destroy(c->loop);
	expectations_destroy(c->expectations);
	free(c);
}

const struct controller_class stateful_set_controller = {"statefulset", create, start, destroy};
