/* Pods that nobody will ever finish: on nodes that no longer exist, or ended and beyond counting.
 */
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define QUARANTINE_MS 40000 /* a node that registers anew is gone for a moment */
#define TERMINATED_MAX 12500
#define ALL_TERMINATED "terminated" /* the key for counting; pods' keys have a namespace */

struct pod_gc {
	struct loop *loop;
	struct informer *pods, *nodes;
	struct pod_views *views;
	size_t terminated; /* how many the cache has */
};

static bool is_terminated(const struct object *pod)
{
	const char *phase = pod ? object_field(pod, "status.phase") : NULL;
	return phase && (streq(phase, "Succeeded") || streq(phase, "Failed"));
}

static void remove_now(struct sync *s)
{
	struct object *pod = s->state;
	if (!s->failed)
		sync_delete(s, pod, 0, NULL, NULL, NULL);
}

/* Failed first, so that whoever owns the pod sees how it ended; then gone. */
static void on_node(struct sync *s, const struct client_result *r, void *user)
{
	struct object *pod = s->state;
	struct arena *a = &s->arena;
	if (r->code != 404) {
		sync_check(s, r);
		return;
	}
	s->next = remove_now;
	if (is_terminated(pod))
		return;
	struct json *doc = object_doc(pod, a), *status = json_new_object(a);
	struct condition target = {"DisruptionTarget", "True", "DeletionByPodGC",
		"PodGC: node no longer exists", false};
	json_set_str(a, status, "phase", "Failed");
	json_set(a, status, "conditions",
		condition_set(
			a, json_path(doc, "status.conditions"), &target, loop_wall_ns(s->loop)));
	sync_status(s, pod, doc, status, NULL, NULL);
}

static int older_first(const void *pa, const void *pb)
{
	const struct pod_view *a = *(const struct pod_view *const *)pa,
			      *b = *(const struct pod_view *const *)pb;
	return (a->created_ns > b->created_ns) - (a->created_ns < b->created_ns);
}

static void remove_oldest(struct sync *s)
{
	struct pod_gc *c = s->self;
	struct arena *a = &s->arena;
	if (c->terminated <= TERMINATED_MAX)
		return;
	struct object **all;
	size_t count = informer_list(c->pods, NULL, a, &all), ended = 0;
	const struct pod_view **views = arena_alloc(a, (count + 1) * sizeof(*views));
	for (size_t n = 0; n < count; n++)
		if (is_terminated(all[n]))
			views[ended++] = pod_view(c->views, all[n]);
	if (ended <= TERMINATED_MAX)
		return;
	qsort(views, ended, sizeof(*views), older_first);
	const struct pod_view *last = views[ended - TERMINATED_MAX - 1];
	for (size_t n = 0; n < count; n++)
		if (is_terminated(all[n]) && !all[n]->deleting &&
			pod_view(c->views, all[n])->created_ns <= last->created_ns)
			sync_delete(s, all[n], 0, NULL, NULL, NULL);
}

static void reconcile(struct sync *s)
{
	struct pod_gc *c = s->self;
	if (!s->ns[0]) {
		remove_oldest(s);
		return;
	}
	struct object *pod = informer_get(c->pods, s->ns, s->name);
	const char *node = pod ? object_field(pod, "spec.nodeName") : NULL;
	if (!node || !node[0] || informer_get(c->nodes, "", node))
		return;
	/* The cache may be behind: what cannot be undone is asked of the server. */
	s->state = sync_hold(s, pod);
	sync_get(s, informer_kind(c->nodes), NULL, node, on_node, NULL);
}

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct pod_gc *c = user;
	if (is_terminated(old))
		c->terminated--;
	if (is_terminated(new) && ++c->terminated > TERMINATED_MAX)
		loop_add_after(c->loop, "", ALL_TERMINATED, 1000);
	const char *node = new ? object_field(new, "spec.nodeName") : NULL;
	if (node && node[0] && !informer_get(c->nodes, "", node))
		loop_add_after(c->loop, new->namespace, new->name, QUARANTINE_MS);
}

static void on_node_gone(void *user, const struct object *old, const struct object *new)
{
	struct pod_gc *c = user;
	if (new)
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t count = informer_by_index(c->pods, "spec.nodeName", old->name, &a, &pods);
	for (size_t n = 0; n < count; n++)
		loop_add_after(c->loop, pods[n]->namespace, pods[n]->name, QUARANTINE_MS);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler pod_handler = {.changed = on_pod},
					     node_handler = {.changed = on_node_gone};
	struct pod_gc *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "pod-garbage-collector", 5, reconcile, c);
	c->pods = shared_informer(sh, "", "v1", "Pod");
	c->nodes = shared_informer(sh, "", "v1", "Node");
	c->views = shared_pod_views(sh);
	informer_add_index(c->pods, "spec.nodeName");
	informer_add_handler(c->pods, &pod_handler, c);
	informer_add_handler(c->nodes, &node_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct pod_gc *)self)->loop);
}

static void destroy(void *self)
{
	struct pod_gc *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class pod_gc_controller = {"podgc", create, start, destroy};
