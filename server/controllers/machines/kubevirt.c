/* KubeVirt and CDI: objects that elsewhere ask an operator to deploy the platform. It is part of
 * this server, so they are deployed as soon as they are there; clients and installers wait for
 * their phase, conditions and versions. Settings of a KubeVirt that nothing follows are named by
 * the condition ConfigurationIgnored. */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"
#include "server/platform/platform.h"

struct platforms {
	struct loop *loop;
	struct informer *objects;
	struct json *(*status)(struct arena *a, const struct json *doc, int64_t now_ns);
};

static struct json *with_conditions(struct arena *a, const struct json *doc,
	const struct condition *wanted, size_t count, int64_t now_ns)
{
	struct json *all = json_path(doc, "status.conditions"), *status = json_new_object(a);
	for (size_t i = 0; i < count; i++)
		all = condition_set(a, all, &wanted[i], now_ns);
	json_set(a, status, "conditions", all);
	json_set_str(a, status, "phase", "Deployed");
	return status;
}

static struct json *kubevirt_status(struct arena *a, const struct json *doc, int64_t now_ns)
{
	static const char ready[] = "AllComponentsReady", said[] = "All components are ready.";
	static const struct condition wanted[] = {
		{"Available", "True", ready, said, false},
		{"Progressing", "False", ready, said, false},
		{"Degraded", "False", ready, said, false},
		{"Created", "True", "AllResourcesCreated", "All resources were created.", false},
	};
	static const char *const versions[] = {
		"observedKubeVirtVersion", "operatorVersion", "targetKubeVirtVersion"};
	struct json *status = with_conditions(a, doc, wanted, ARRAY_LEN(wanted), now_ns);
	struct json *conditions = json_get(status, "conditions");
	const char *ignored = platform_ignored_settings(a, json_path(doc, "spec.configuration"));
	struct condition named = {"ConfigurationIgnored", "True", "NotFollowed",
		ignored ? arena_printf(a, "these settings have no effect here: %s", ignored) : NULL,
		false};
	if (ignored)
		conditions = condition_set(a, conditions, &named, now_ns);
	else if (condition_find(conditions, named.type))
		conditions = condition_drop(a, conditions, named.type);
	json_set(a, status, "conditions", conditions);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		json_set_str(a, status, versions[i], platform_kubevirt_version());
	json_set_str(a, status, "defaultArchitecture",
		json_str_or(json_path(doc, "spec.configuration.architectureConfiguration."
					   "defaultArchitecture"),
			platform_architecture()));
	json_set_int(a, status, "observedGeneration", json_path_int(doc, "metadata.generation", 1));
	return status;
}

static struct json *cdi_status(struct arena *a, const struct json *doc, int64_t now_ns)
{
	static const struct condition wanted[] = {
		{"Available", "True", "DeployCompleted", "Deployment Completed", false},
		{"Progressing", "False", NULL, NULL, false},
		{"Degraded", "False", NULL, NULL, false},
	};
	static const char *const versions[] = {
		"observedVersion", "operatorVersion", "targetVersion"};
	struct json *status = with_conditions(a, doc, wanted, ARRAY_LEN(wanted), now_ns);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		json_set_str(a, status, versions[i], platform_cdi_version());
	return status;
}

static void reconcile(struct sync *s)
{
	struct platforms *c = s->self;
	struct object *o = informer_get(c->objects, s->ns, s->name);
	if (!o || o->deleting)
		return;
	o = sync_hold(s, o);
	const struct json *doc = object_doc(o, &s->arena);
	sync_status(s, o, doc, c->status(&s->arena, doc, loop_wall_ns(s->loop)), NULL, NULL);
}

static void on_changed(void *user, const struct object *old, const struct object *new)
{
	struct platforms *c = user;
	if (new)
		loop_add_object(c->loop, new);
}

static struct platforms *create(struct shared *sh, const char *name, struct informer *objects)
{
	static const struct informer_handler handler = {.changed = on_changed};
	struct platforms *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, name, 1, reconcile, c);
	c->objects = objects;
	informer_add_handler(c->objects, &handler, c);
	return c;
}

static void *create_kubevirt(struct shared *sh)
{
	struct platforms *c = create(
		sh, "kubevirt-controller", shared_informer(sh, "kubevirt.io", "v1", "KubeVirt"));
	c->status = kubevirt_status;
	return c;
}

static void *create_cdi(struct shared *sh)
{
	struct platforms *c = create(
		sh, "cdi-controller", shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "CDI"));
	c->status = cdi_status;
	return c;
}

static void start(void *self)
{
	loop_start(((struct platforms *)self)->loop);
}

static void destroy(void *self)
{
	struct platforms *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class kubevirt_controller = {"kubevirt", create_kubevirt, start, destroy};
const struct controller_class cdi_controller = {"cdi", create_cdi, start, destroy};
