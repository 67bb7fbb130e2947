/* VirtualMachineInstance: what no node agent will do, because there is none. An instance that is to
 * go and was never placed, or whose node no longer exists, is let go; one that ran on a node that
 * no longer exists has failed. Besides, it is told how the data volumes and claims of each stand.
 */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"
#include "server/controllers/machines/instance_volumes.h"
#include "server/controllers/machines/virtual_machine_plan.h"

#define FINALIZER "foregroundDeleteVirtualMachine"
#define QUARANTINE_MS 40000 /* a node that registers anew is gone for a moment */

struct instances {
	struct loop *loop;
	struct client *client;
	struct informer *instances, *nodes;
	struct instance_volumes *volumes;
};

struct pass {
	struct object *object;
	struct json *doc;
};

static void let_go(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *rest = json_new_array(a), *patch = json_new_object(a);
	JSON_FOR_EACH_ITEM(f, json_path(p->doc, "metadata.finalizers"))
		if (!streq(json_str(f), FINALIZER))
			json_push(a, rest, f);
	json_path_set(a, patch, "metadata.finalizers", json_count(rest) ? rest : json_new_null(a));
	sync_patch(s, p->object, NULL, patch, NULL, NULL);
}

static struct json *with_transition(
	struct arena *a, const struct json *doc, const char *phase, int64_t now_ns)
{
	const struct json *was = json_path(doc, "status.phaseTransitionTimestamps");
	struct json *list = was ? json_copy(a, was) : json_new_array(a), *it = json_new_object(a);
	json_set_str(a, it, "phase", phase);
	json_set(a, it, "phaseTransitionTimestamp", meta_time(a, now_ns));
	json_push(a, list, it);
	return list;
}

static void fail(struct sync *s, const char *node)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	struct condition ready = {"Ready", "False", "NodeGone",
		arena_printf(a, "node '%s' does not exist any more", node), false};
	json_set_str(a, status, "phase", "Failed");
	json_set(a, status, "phaseTransitionTimestamps",
		with_transition(a, p->doc, "Failed", loop_wall_ns(s->loop)));
	json_set_str(a, status, "reason", "NodeGone");
	json_set(a, status, "conditions",
		condition_set(
			a, json_path(p->doc, "status.conditions"), &ready, loop_wall_ns(s->loop)));
	sync_status(s, p->object, p->doc, status, NULL, NULL);
}

/* The cache may be behind: what cannot be undone is asked of the server. */
static void on_node(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (r->code != 404) {
		sync_check(s, r);
		return;
	}
	if (p->object->deleting)
		let_go(s);
	else
		fail(s, user);
}

static void tell_volumes(struct sync *s)
{
	struct instances *c = s->self;
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	const char *lost;
	const struct json *conditions = instance_volumes_conditions(
		c->volumes, a, p->object, p->doc, loop_wall_ns(s->loop), &lost);
	json_set(a, status, "conditions", (struct json *)conditions);
	if (sync_status(s, p->object, p->doc, status, NULL, NULL) && lost)
		client_event_as(c->client, loop_name(s->loop), p->object, NULL, "Normal",
			"FailedPvcNotFound", "PVC %s/%s does not exist, waiting for it to appear",
			s->ns, lost);
}

static void reconcile(struct sync *s)
{
	struct instances *c = s->self;
	struct object *o = informer_get(c->instances, s->ns, s->name);
	if (!o)
		return;
	struct pass *p = ARENA_NEW(&s->arena, struct pass);
	s->state = p;
	p->object = sync_hold(s, o);
	p->doc = object_doc(o, &s->arena);
	const char *node = json_str_or(json_path(p->doc, "status.nodeName"), "");
	const char *phase = json_str_or(json_path(p->doc, "status.phase"), "");
	bool ends = o->deleting || vm_phase_final(phase);
	bool held = o->deleting && meta_has_finalizer(p->doc, FINALIZER);
	if (!ends && (!node[0] || informer_get(c->nodes, "", node)))
		tell_volumes(s);
	if (!node[0]) {
		if (held)
			let_go(s);
		return;
	}
	if (informer_get(c->nodes, "", node) || (!held && ends))
		return;
	sync_get(s, informer_kind(c->nodes), NULL, node, on_node, (void *)node);
}

static void on_instance(void *user, const struct object *old, const struct object *new)
{
	struct instances *c = user;
	if (new)
		loop_add_object(c->loop, new);
}

static void on_node_gone(void *user, const struct object *old, const struct object *new)
{
	struct instances *c = user;
	if (new)
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_by_index(c->instances, "status.nodeName", old->name, &a, &all);
	for (size_t n = 0; n < count; n++)
		loop_add_after(c->loop, all[n]->namespace, all[n]->name, QUARANTINE_MS);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_instance},
					     node_handler = {.changed = on_node_gone};
	struct instances *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, "virtualmachineinstance-controller", 5, reconcile, c);
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->nodes = shared_informer(sh, "", "v1", "Node");
	c->volumes = instance_volumes_create(sh, c->loop);
	informer_add_index(c->instances, "status.nodeName");
	informer_add_handler(c->instances, &handler, c);
	informer_add_handler(c->nodes, &node_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct instances *)self)->loop);
}

static void destroy(void *self)
{
	struct instances *c = self;
	loop_destroy(c->loop);
	instance_volumes_destroy(c->volumes);
	free(c);
}

const struct controller_class virtual_machine_instance_controller = {
	"virtualmachineinstance", create, start, destroy};
