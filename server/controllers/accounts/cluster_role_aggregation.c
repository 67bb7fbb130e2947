/* ClusterRoles with an aggregationRule: their rules are those of the ClusterRoles that it selects,
 * in the order of names, each rule once. */
#include "lib/object/selector.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

struct aggregation {
	struct loop *loop;
	struct informer *roles;
};

/* Any role may be selected by any aggregating one, and there are few of those. */
static void enqueue_aggregating(struct aggregation *c)
{
	struct arena a = ARENA_INIT;
	struct object **roles;
	size_t count = informer_list(c->roles, NULL, &a, &roles);
	for (size_t i = 0; i < count; i++)
		if (strstr(roles[i]->bytes->data, "\"aggregationRule\""))
			loop_add_object(c->loop, roles[i]);
	arena_finish(&a);
}

static bool has_rule(const struct json *rules, const struct json *rule)
{
	JSON_FOR_EACH_ITEM(have, rules)
		if (json_equal(have, rule))
			return true;
	return false;
}

static struct json *gather(struct sync *s, const struct object *self, const struct json *selectors)
{
	struct aggregation *c = s->self;
	struct json *rules = json_new_array(&s->arena);
	struct object **roles;
	size_t count = informer_list(c->roles, NULL, &s->arena, &roles);
	JSON_FOR_EACH_ITEM(doc, selectors) {
		struct selector selector;
		if (selector_from_label_selector(&s->arena, doc, &selector, NULL) < 0)
			continue;
		for (size_t i = 0; i < count; i++) {
			if (streq(roles[i]->name, self->name) ||
				!selector_matches_labels(
					&selector, roles[i]->labels, roles[i]->label_count))
				continue;
			struct json *role = object_doc(roles[i], &s->arena);
			JSON_FOR_EACH_ITEM(rule, json_get(role, "rules"))
				if (!has_rule(rules, rule))
					json_push(&s->arena, rules, rule);
		}
	}
	return rules;
}

static void reconcile(struct sync *s)
{
	struct aggregation *c = s->self;
	const struct object *o = informer_get(c->roles, "", s->name);
	if (!o || o->deleting)
		return;
	struct json *doc = object_doc(o, &s->arena);
	const struct json *selectors = json_path(doc, "aggregationRule.clusterRoleSelectors");
	if (!json_count(selectors))
		return;
	struct json *rules = gather(s, o, selectors);
	if (json_equal(rules, json_get(doc, "rules")) ||
		(!json_count(rules) && !json_count(json_get(doc, "rules"))))
		return;
	struct json *patch = json_new_object(&s->arena);
	json_set(&s->arena, patch, "rules", rules);
	sync_patch(s, o, NULL, patch, NULL, NULL);
}

static void on_role(void *user, const struct object *old, const struct object *now)
{
	(void)old;
	(void)now;
	enqueue_aggregating(user);
}

static void *create(struct shared *sh)
{
	struct aggregation *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "clusterrole-aggregation-controller", 1, reconcile, c);
	c->roles = shared_informer(sh, "rbac.authorization.k8s.io", "v1", "ClusterRole");
	static const struct informer_handler handler = {.changed = on_role};
	informer_add_handler(c->roles, &handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct aggregation *)self)->loop);
}

static void destroy(void *self)
{
	struct aggregation *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class cluster_role_aggregation_controller = {
	"clusterrole-aggregation", create, start, destroy};
