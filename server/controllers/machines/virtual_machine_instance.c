/* VirtualMachineInstance: what no node agent will do, because there is none. An instance that is to
 * go and was never placed, or whose node no longer exists, is let go; one that ran on a node that
 * no longer exists has failed. */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"
#include "server/controllers/machines/virtual_machine_plan.h"

#define FINALIZER "foregroundDeleteVirtualMachine"
#define QUARANTINE_MS 40000 /* a node that registers anew is gone for a moment */

struct instances {
	struct loop *loop;
	struct client *client;
	struct informer *instances, *nodes;
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

static void fail(struct sync *s, const char *node)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	struct condition ready = {"Ready", "False", "NodeGone",
		arena_printf(a, "node '%s' does not exist any more", node), false};
	json_set_str(a, status, "phase", "Failed");
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
	bool held = o->deleting && meta_has_finalizer(p->doc, FINALIZER);
	if (!node[0]) {
		if (held)
			let_go(s);
		return;
	}
	if (informer_get(c->nodes, "", node) || (!held && (o->deleting || vm_phase_final(phase))))
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
	free(c);
}

const struct controller_class virtual_machine_instance_controller = {
	"virtualmachineinstance", create, start, destroy};
