/* DataSource (CDI): a name for a claim or a snapshot that data volumes are made from; says whether
 * that is there to be used. */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

struct data_sources {
	struct loop *loop;
	struct informer *sources, *claims, *data_volumes;
};

/* CDI's words. */
static struct condition ready(bool is, const char *reason, const char *message)
{
	return (struct condition){"Ready", is ? "True" : "False", reason, message, false};
}

static struct condition look_at_claim(
	struct data_sources *c, struct sync *s, const char *ns, const char *name)
{
	struct object *claim = informer_get(c->claims, ns, name);
	struct object *dv = informer_get(c->data_volumes, ns, name);
	const char *phase;

	if (!claim && !dv)
		return ready(false, "NotFound", "No source PVC found");
	if (!dv)
		return ready(true, "Ready", "DataSource is ready to be consumed");
	phase = json_str_or(json_path(object_doc(dv, &s->arena), "status.phase"), "");
	if (streq(phase, "Succeeded"))
		return ready(true, "Ready", "DataSource is ready to be consumed");
	return ready(false, *phase ? phase : "Pending",
		arena_printf(&s->arena, "Import DataVolume phase %s", phase));
}

static void reconcile(struct sync *s)
{
	struct data_sources *c = s->self;
	struct object *o = informer_get(c->sources, s->ns, s->name);
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	const struct json *doc, *source;
	struct condition is;

	if (!o || o->deleting)
		return;
	doc = object_doc(o, a);
	source = json_path(doc, "spec.source");
	if (json_get(source, "pvc"))
		is = look_at_claim(c, s, json_str_or(json_path(source, "pvc.namespace"), s->ns),
			json_str_or(json_path(source, "pvc.name"), ""));
	else if (json_get(source, "snapshot"))
		is = ready(true, "Ready", "DataSource is ready to be consumed");
	else
		is = ready(false, "NoSource", "No source PVC set");
	json_set(a, status, "source", source ? json_copy(a, source) : json_new_null(a));
	json_set(a, status, "conditions",
		condition_set(a, json_path(doc, "status.conditions"), &is, loop_wall_ns(s->loop)));
	sync_status(s, o, doc, status, NULL, NULL);
}

static void on_source(void *user, const struct object *old, const struct object *new)
{
	struct data_sources *c = user;

	if (new)
		loop_add_object(c->loop, new);
}

/* Sources are few. */
static void on_other(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct data_sources *c = user;
	const struct object *o = new ? new : old;
	struct object **all;
	size_t count = informer_list(c->sources, NULL, &a, &all);

	for (size_t i = 0; i < count; i++) {
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;
		const struct json *pvc = json_path(object_doc(all[i], &scratch), "spec.source.pvc");

		if (streq(json_str(json_get(pvc, "name")), o->name) &&
			streq(json_str_or(json_get(pvc, "namespace"), all[i]->namespace),
				o->namespace))
			loop_add_object(c->loop, all[i]);
	}
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_source},
					     other = {.changed = on_other};
	struct data_sources *c = xcalloc(1, sizeof(*c));

	c->loop = loop_create(sh->client, "datasource-controller", 1, reconcile, c);
	c->sources = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataSource");
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	informer_add_handler(c->sources, &handler, c);
	informer_add_handler(c->claims, &other, c);
	informer_add_handler(c->data_volumes, &other, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct data_sources *)self)->loop);
}

static void destroy(void *self)
{
	struct data_sources *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class data_source_controller = {"datasource", create, start, destroy};
