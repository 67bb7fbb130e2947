/* Deployments and StatefulSets of anybody that are annotated hanok.io/criticality: mission-critical
 * and have several replicas: a disruption budget, unless somebody else's covers them. */
#include <ctype.h>
#include <inttypes.h>

#include "lib/placement/placement_defaults.h"
#include "lib/object/selector.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define COMPONENT "workload-annotations-controller"
#define LABEL_FOR "hanok.io/disruption-budget-for"
/* Of a name of 253 characters, what "-statefulset-critical" leaves. */
#define WORKLOAD_NAME_MAX 232

struct workloads {
	struct loop *loop;
	struct client *client;
	struct informer *deployments, *stateful_sets, *budgets;
};

/* Keys are NS/KIND:NAME. */
static const struct {
	const char *kind, *prefix;
} kinds[] = {{"Deployment", "deployment:"}, {"StatefulSet", "statefulset:"}};

static void add_workload(struct workloads *c, const struct object *o)
{
	_cleanup_(free_p) char *name = xasprintf(
		"%s%s", kinds[streq(o->kind->kind, kinds[0].kind) ? 0 : 1].prefix, o->name);
	loop_add(c->loop, o->namespace, name);
}

static struct object *workload_of_key(struct workloads *c, const char *ns, const char *key)
{
	if (str_has_prefix(key, kinds[0].prefix))
		return informer_get(c->deployments, ns, key + strlen(kinds[0].prefix));
	return informer_get(c->stateful_sets, ns, key + strlen(kinds[1].prefix));
}

/* "db-deployment-critical": a Deployment and a StatefulSet may have the same name. */
static char *budget_name(struct arena *a, const char *key)
{
	const char *colon = strchr(key, ':'), *name = colon + 1;
	int kind_size = (int)(colon - key);
	if (strlen(name) <= WORKLOAD_NAME_MAX)
		return arena_printf(a, "%s-%.*s-critical", name, kind_size, key);
	size_t size = WORKLOAD_NAME_MAX - strlen("-01234567");
	while (!isalnum((unsigned char)name[size - 1]))
		size--;
	return arena_printf(a, "%.*s-%08" PRIx32 "-%.*s-critical", (int)size, name,
		fnv1a_32(name, strlen(name)), kind_size, key);
}

static bool is_critical(struct arena *a, const struct json *doc)
{
	static const char *const paths[] = {
		"metadata.annotations", "spec.template.metadata.annotations"};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const char *said = json_str(
			json_get(json_path(doc, paths[i]), PLACEMENT_ANNOTATION_CRITICALITY));
		if (said)
			return streq(said, "mission-critical");
	}
	return false;
}

/* Of two workloads whose budgets would cover the same pods, the one with the lower uid has one. */
static bool gives_way(const struct object *workload, const struct object *budget)
{
	const struct object_owner *owner = object_controller(budget);
	return owner && strcmp(owner->uid, workload->uid) < 0;
}

/* Somebody else has thought of it: two budgets for one pod would make it impossible to evict. */
static bool is_covered(struct sync *s, const struct object *o, const struct json *doc)
{
	struct workloads *c = s->self;
	struct arena *a = &s->arena;
	struct object **all;
	struct json *labels = json_path(doc, "spec.template.metadata.labels");
	size_t count = informer_list(c->budgets, s->ns, a, &all);
	for (size_t n = 0; n < count; n++) {
		struct selector selector;
		if (all[n]->deleting || (object_label(all[n], LABEL_FOR) && !gives_way(o, all[n])))
			continue;
		struct json *from = json_path(object_doc(all[n], a), "spec.selector");
		if (from && selector_from_label_selector(a, from, &selector, NULL) == 0 &&
			selector_matches_label_map(&selector, labels))
			return true;
	}
	return false;
}

static struct json *wanted_budget(struct sync *s, const struct object *o, const struct json *doc)
{
	struct arena *a = &s->arena;
	struct json *budget = json_new_object(a), *meta = json_object_at(a, budget, "metadata");
	const struct object_owner *owner = object_controller(o);
	if (o->deleting || owner || !is_critical(a, doc) ||
		json_path_int(doc, "spec.replicas", 1) < 2 || is_covered(s, o, doc))
		return NULL;
	json_set_str(a, budget, "apiVersion", "policy/v1");
	json_set_str(a, budget, "kind", "PodDisruptionBudget");
	json_set_str(a, meta, "name", budget_name(a, s->name));
	json_set_str(a, meta, "namespace", s->ns);
	json_set_str(a, json_object_at(a, meta, "labels"), LABEL_FOR, o->kind->singular);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, o));
	json_path_set(a, budget, "spec.maxUnavailable", json_new_int(a, 1));
	json_path_set(a, budget, "spec.selector", json_copy(a, json_path(doc, "spec.selector")));
	return budget;
}

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	struct workloads *c = s->self;
	const struct object *workload = user;
	if (client_ok(r))
		client_event_as(c->client, COMPONENT, workload, NULL, "Normal",
			"DisruptionBudgetCreated",
			"Created a disruption budget, because it is annotated "
			"%s: mission-critical",
			PLACEMENT_ANNOTATION_CRITICALITY);
	else
		sync_check(s, r);
}

static void reconcile(struct sync *s)
{
	struct workloads *c = s->self;
	struct arena *a = &s->arena;
	struct object *o = workload_of_key(c, s->ns, s->name);
	if (!o)
		return; /* its budget is collected with it */
	struct json *doc = object_doc(o, a), *wanted = wanted_budget(s, o, doc);
	struct object *live = informer_get(c->budgets, s->ns, budget_name(a, s->name));
	const struct object_owner *owner = live ? object_controller(live) : NULL;
	bool ours = owner && streq(owner->uid, o->uid);
	if (!live) {
		if (wanted)
			sync_create(s, informer_kind(c->budgets), s->ns, wanted, on_created,
				sync_hold(s, o));
		return;
	}
	if (!ours || live->deleting)
		return;
	if (!wanted) {
		sync_delete(s, live, -1, "Background", NULL, NULL);
		return;
	}
	struct json *is = object_doc(live, a);
	if (json_equal(json_path(is, "spec.selector"), json_path(wanted, "spec.selector")) &&
		json_equal(json_path(is, "spec.maxUnavailable"),
			json_path(wanted, "spec.maxUnavailable")))
		return;
	json_set(a, is, "spec", json_get(wanted, "spec"));
	sync_update(s, informer_kind(c->budgets), s->ns, live->name, NULL, is, NULL, NULL);
}

/* Events. Most workloads are not annotated: looking for the words is cheaper than parsing. */

static bool mentions(const struct object *o)
{
	static const char words[] = PLACEMENT_ANNOTATION_CRITICALITY;
	return o && memmem(o->bytes->data, o->bytes->size, words, sizeof(words) - 1);
}

static void on_workload(void *user, const struct object *old, const struct object *new)
{
	struct workloads *c = user;
	if (new && (mentions(old) || mentions(new)))
		add_workload(c, new);
}

static void add_all(struct workloads *c, struct informer *i, const char *ns)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(i, ns, &a, &all);
	for (size_t n = 0; n < count; n++)
		if (mentions(all[n]))
			add_workload(c, all[n]);
}

static bool same_spec(const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return json_path_int(object_doc(old, &a), "metadata.generation", 0) ==
	       json_path_int(object_doc(new, &a), "metadata.generation", 0);
}

static void on_budget(void *user, const struct object *old, const struct object *new)
{
	struct workloads *c = user;
	if (old && new && old->deleting == new->deleting && same_spec(old, new))
		return;
	add_all(c, c->deployments, (new ? new : old)->namespace);
	add_all(c, c->stateful_sets, (new ? new : old)->namespace);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler workload_handler = {.changed = on_workload},
					     budget_handler = {.changed = on_budget};
	struct workloads *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 2, reconcile, c);
	c->deployments = shared_informer(sh, "apps", "v1", "Deployment");
	c->stateful_sets = shared_informer(sh, "apps", "v1", "StatefulSet");
	c->budgets = shared_informer(sh, "policy", "v1", "PodDisruptionBudget");
	informer_add_index(c->budgets, "namespace");
	informer_add_handler(c->deployments, &workload_handler, c);
	informer_add_handler(c->stateful_sets, &workload_handler, c);
	informer_add_handler(c->budgets, &budget_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct workloads *)self)->loop);
}

static void destroy(void *self)
{
	struct workloads *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class annotated_workload_controller = {
	"workload-annotations", create, start, destroy};
