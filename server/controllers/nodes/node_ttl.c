/* How long nodes may keep what they read of Secrets and ConfigMaps: the annotation
 * node.alpha.kubernetes.io/ttl, longer in large clusters. Kubernetes' kubelet goes by it. */
#include <inttypes.h>

#include "server/controllers/controller.h"

#define ANNOTATION "node.alpha.kubernetes.io/ttl"
#define NODE_COUNT "(all)" /* a key that no node's name can be */

struct node_ttl {
	struct loop *loop;
	struct informer *nodes;
	size_t count;
	size_t step; /* of steps[] */
};

/* Beyond `up_to` nodes the next step holds; fewer than `down_from` lead back. Between the two it
 * stays as it is, so that one node more or less does not change all of them. */
static const struct {
	size_t down_from, up_to;
	int64_t ttl_s;
} steps[] = {{0, 100, 0}, {90, 500, 15}, {450, 1000, 30}, {900, 2000, 60}, {1800, SIZE_MAX, 300}};

static void reconcile(struct sync *s)
{
	struct node_ttl *t = s->self;
	struct arena *a = &s->arena;
	if (streq(s->name, NODE_COUNT)) {
		struct object **all;
		size_t count = informer_list(t->nodes, NULL, a, &all);
		for (size_t n = 0; n < count; n++)
			loop_add_object(t->loop, all[n]);
		return;
	}
	struct object *node = informer_get(t->nodes, "", s->name);
	if (!node || node->deleting)
		return;
	char *wanted = arena_printf(a, "%" PRId64, steps[t->step].ttl_s);
	const struct json *annotations = json_path(object_doc(node, a), "metadata.annotations");
	if (streq(json_str(json_get(annotations, ANNOTATION)), wanted))
		return;
	struct json *patch = json_new_object(a), *meta = json_object_at(a, patch, "metadata");
	json_set_str(a, json_object_at(a, meta, "annotations"), ANNOTATION, wanted);
	sync_patch(s, node, NULL, patch, NULL, NULL);
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct node_ttl *t = user;
	t->count += (new != NULL) - (old != NULL);
	size_t step = t->step;
	while (t->count > steps[t->step].up_to)
		t->step++;
	while (t->count < steps[t->step].down_from)
		t->step--;
	if (step != t->step)
		loop_add(t->loop, "", NODE_COUNT);
	/* A node that reports in is no news. */
	if (new && !old)
		loop_add_object(t->loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_node};
	struct node_ttl *t = xcalloc(1, sizeof(*t));
	t->loop = loop_create(sh->client, "ttl-controller", 2, reconcile, t);
	t->nodes = shared_informer(sh, "", "v1", "Node");
	informer_add_handler(t->nodes, &handler, t);
	return t;
}

static void start(void *self)
{
	loop_start(((struct node_ttl *)self)->loop);
}

static void destroy(void *self)
{
	struct node_ttl *t = self;
	loop_destroy(t->loop);
	free(t);
}

const struct controller_class node_ttl_controller = {"ttl", create, start, destroy};
