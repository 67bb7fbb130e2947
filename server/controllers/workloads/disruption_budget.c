/* PodDisruptionBudget: counts its pods and what their controllers want, and says in its status how
 * many may be evicted. Evictions take from that number (server/api/verbs/evict.c). */
#include "server/controllers/claim.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"
#include "server/controllers/workloads/disruption_plan.h"

#define COMPONENT "controllermanager"

struct budgets {
	struct loop *loop;
	struct client *client;
	struct informer *budgets, *pods, *sets, *deployments;
	struct pod_views *views;
};

struct pass {
	struct budgets *c;
	struct object *object;
	struct json *doc;
	struct object **pods;
	size_t count;
	/* of the pods' controllers */
	int64_t scale;
	bool unmanaged;	     /* some have none */
	const char *failure; /* why it can't be told; NULL = it can */
};

static struct json *conditions(
	struct sync *s, bool allowed, const char *reason, const char *message)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct condition c = {
		"DisruptionAllowed", allowed ? "True" : "False", reason, message, false};
	const struct json *had = json_path(p->doc, "status.conditions");
	struct json *all = condition_set(a, had, &c, loop_wall_ns(s->loop)), *copy;
	copy = json_copy(a, all);
	struct json *one = condition_find(copy, c.type);
	/* Both are required members. */
	json_set_str(a, one, "message", message);
	json_set_int(a, one, "observedGeneration", json_path_int(p->doc, "metadata.generation", 0));
	return copy;
}

static struct json *status_with(struct sync *s, struct json *conditions)
{
	struct pass *p = s->state;
	struct json *status = json_new_object(&s->arena);
	json_set_int(&s->arena, status, "observedGeneration",
		json_path_int(p->doc, "metadata.generation", 0));
	json_set(&s->arena, status, "conditions", conditions);
	return status;
}

/* What can't be counted is not given away. */
static void write_failure(struct sync *s)
{
	struct pass *p = s->state;
	client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning",
		"CalculateExpectedPodCountFailed",
		"Failed to calculate the number of expected pods: %s", p->failure);
	struct json *status = status_with(s, conditions(s, false, "SyncFailed", p->failure));
	json_set_int(&s->arena, status, "disruptionsAllowed", 0);
	sync_status(s, p->object, p->doc, status, NULL, NULL);
	s->failed = true;
}

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	if (s->failed)
		return;
	if (p->failure) {
		write_failure(s);
		return;
	}
	const struct json *spec = json_get(p->doc, "spec");
	if (p->unmanaged && budget_needs_scale(spec)) {
		struct selector selector;
		if (selector_from_label_selector(a, json_get(spec, "selector"), &selector, NULL) ==
			0)
			client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning",
				"UnmanagedPods",
				"Pods selected by this PodDisruptionBudget (selector: %s) were "
				"found to be unmanaged. As a result, the status of the PDB cannot "
				"be calculated correctly, which may result in undefined behavior. "
				"To account for these pods please set \".spec.minAvailable\" field "
				"of the PDB to an integer value.",
				selector_text(a, &selector));
	}
	struct budget_pod *pods = arena_alloc(a, (p->count + 1) * sizeof(*pods));
	for (size_t n = 0; n < p->count; n++)
		pods[n] = (struct budget_pod){p->pods[n]->name, p->pods[n]->deleting,
			pod_view(p->c->views, p->pods[n])->ready};
	const struct json *had = json_path(p->doc, "status.disruptedPods");
	struct budget b = {.spec = spec,
		.disrupted = had,
		.pods = pods,
		.count = p->count,
		.scale = p->scale,
		.now_ns = loop_wall_ns(s->loop)};
	struct budget_status st = budget_status(a, &b);
	for (size_t n = 0; n < st.kept_count; n++)
		client_event_as(p->c->client, COMPONENT, p->pods[st.kept[n] - pods], NULL,
			"Warning", "NotDeleted",
			"Pod was expected by PDB %s/%s to be deleted but it wasn't", s->ns,
			s->name);
	if (st.again_ms >= 0)
		sync_again(s, st.again_ms);

	struct json *status =
		status_with(s, conditions(s, st.allowed > 0,
				       st.allowed > 0 ? "SufficientPods" : "InsufficientPods", ""));
	json_set_int(a, status, "currentHealthy", st.current);
	json_set_int(a, status, "desiredHealthy", st.desired);
	json_set_int(a, status, "expectedPods", st.expected);
	json_set_int(a, status, "disruptionsAllowed", st.allowed);
	struct json *disrupted = budget_disrupted_patch(a, had, st.disrupted);
	if (disrupted)
		json_set(a, status, "disruptedPods", disrupted);
	sync_status(s, p->object, p->doc, status, NULL, NULL);
}

/* What the pods' controllers want, each counted once. */

static void on_scale(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const char *uid = user;
	struct json *scale;
	if (r->code == 404) {
		/* The controller is gone; its pods count for nothing more. */
		return;
	}
	if (!client_ok(r)) {
		sync_check(s, r);
		s->failed = true;
	} else if (json_parse(&s->arena, r->body, r->body_size, NULL, &scale, NULL) == 0 &&
		   streq(json_path_str(scale, "metadata.uid"), uid)) {
		p->scale += json_path_int(scale, "spec.replicas", 0);
	}
}

static void ask_scale(struct sync *s, const struct object_owner *owner)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	char group[128], version[64];
	gv_split(owner->api_version, group, version);
	const struct kind *k = kind_by_name(p->c->client->kinds, group, version, owner->kind);
	if (!k || !k->scale_spec_path) {
		p->failure = k ? arena_printf(a, "%s%s%s does not implement the scale subresource",
					 k->plural, group[0] ? "." : "", group)
			       : arena_printf(a, "no matches for kind \"%s\" in version \"%s\"",
					 owner->kind, owner->api_version);
		return;
	}
	struct client_request req = {.method = "GET",
		.path = client_path(a, k, p->object->namespace, owner->name, "scale")};
	sync_request(s, &req, on_scale, (void *)owner->uid);
}

/* A ReplicaSet's Deployment stands for it: while it rolls, its sets together are more than are
 * wanted. */
static const struct object_owner *top_owner(struct sync *s, const struct object *pod)
{
	struct pass *p = s->state;
	const struct object_owner *owner = object_controller(pod);
	const struct object *set = claim_owner(p->c->sets, pod);
	const struct object_owner *above = set ? object_controller(set) : NULL;
	if (!above || !claim_owner(p->c->deployments, set))
		return owner;
	sync_hold(s, set);
	return above;
}

static void ask_scales(struct sync *s)
{
	struct pass *p = s->state;
	const struct object_owner **seen = arena_alloc(&s->arena, (p->count + 1) * sizeof(*seen));
	size_t seen_count = 0;
	for (size_t n = 0; n < p->count; n++) {
		const struct object_owner *owner = top_owner(s, p->pods[n]);
		size_t at = 0;
		if (!owner) {
			p->unmanaged = true;
			continue;
		}
		while (at < seen_count && !streq(seen[at]->uid, owner->uid))
			at++;
		if (at < seen_count)
			continue;
		seen[seen_count++] = owner;
		ask_scale(s, owner);
	}
}

static void reconcile(struct sync *s)
{
	struct budgets *c = s->self;
	struct arena *a = &s->arena;
	struct object *o = informer_get(c->budgets, s->ns, s->name);
	if (!o || o->deleting)
		return;
	struct pass *p = ARENA_NEW(a, struct pass);
	struct selector selector;
	struct object **all;
	s->state = p;
	p->c = c;
	p->object = sync_hold(s, o);
	p->doc = object_doc(o, a);
	if (selector_from_label_selector(a, json_path(p->doc, "spec.selector"), &selector, NULL) <
		0)
		return; /* validation keeps such selectors out */
	size_t count = informer_list(c->pods, s->ns, a, &all);
	p->pods = arena_alloc(a, (count + 1) * sizeof(*p->pods));
	for (size_t n = 0; n < count; n++)
		if (selector_matches_labels(&selector, all[n]->labels, all[n]->label_count))
			p->pods[p->count++] = sync_hold(s, all[n]);
	if (!p->count)
		client_event_as(c->client, COMPONENT, o, NULL, "Normal", "NoPods",
			"No matching pods found");
	s->next = write_status;
	if (budget_needs_scale(json_get(p->doc, "spec")))
		ask_scales(s);
}

/* What runs a key. */

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct budgets *c = user;
	const struct object *pod = new ? new : old;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(c->budgets, pod->namespace, &a, &all);
	for (size_t n = 0; n < count; n++) {
		struct selector s;
		const struct json *selector = json_path(object_doc(all[n], &a), "spec.selector");
		if (selector_from_label_selector(&a, selector, &s, NULL) < 0)
			continue;
		if (selector_matches_labels(&s, pod->labels, pod->label_count) ||
			(old && selector_matches_labels(&s, old->labels, old->label_count)))
			loop_add_object(c->loop, all[n]);
	}
}

static void on_budget(void *user, const struct object *old, const struct object *new)
{
	struct budgets *c = user;
	if (new &&meta_is_news(old, new))
		loop_add_object(c->loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler pod_handler = {.changed = on_pod},
					     budget_handler = {.changed = on_budget};
	struct budgets *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, "disruption-controller", 5, reconcile, c);
	c->budgets = shared_informer(sh, "policy", "v1", "PodDisruptionBudget");
	c->sets = shared_informer(sh, "apps", "v1", "ReplicaSet");
	c->deployments = shared_informer(sh, "apps", "v1", "Deployment");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	c->views = shared_pod_views(sh);
	informer_add_index(c->pods, "namespace");
	informer_add_index(c->budgets, "namespace");
	informer_add_handler(c->budgets, &budget_handler, c);
	informer_add_handler(c->pods, &pod_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct budgets *)self)->loop);
}

static void destroy(void *self)
{
	struct budgets *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class disruption_budget_controller = {"disruption", create, start, destroy};
