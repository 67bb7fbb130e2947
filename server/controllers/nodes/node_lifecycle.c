/* Node lifecycle: a node that is silent for too long is marked, tainted, and in the end its pods
 * leave. */
#include <inttypes.h>

#include "lib/base/table.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"
#include "server/controllers/nodes/node_health.h"

#define LOOK_EVERY_MS 5000
#define LEASES "kube-node-lease"
#define COMPONENT "node-controller"
#define EVICTION_COMPONENT "taint-eviction-controller"
#define ZONE_LABEL "topology.kubernetes.io/zone"

struct lifecycle {
	struct loop *nodes_loop, *pods_loop;
	struct client *client;
	struct informer *nodes, *leases, *pods;
	struct table heartbeats;	/* node name -> heartbeat */
	struct table zones;		/* zone name -> zone */
	size_t nodes_count, down_count; /* in all zones */
};

/* Heartbeats are compared, not read: whether one is new does not depend on the node's clock. */
struct heartbeat {
	char *lease_time, *status_time;
	int64_t seen_ns; /* monotonic: when the newest came */
	bool ever;
	struct zone *zone; /* where the node is counted; NULL = not yet */
	bool down;	   /* and as what */
};

struct zone {
	int64_t next_ns; /* monotonic: the next node may be given up */
	size_t nodes, down;
};

struct pass {
	struct object *node;
	struct json *doc;
};

static bool replace(char **text, const char *with)
{
	if (!with || streq(*text, with))
		return false;
	free(*text);
	*text = xstrdup(with);
	return true;
}

static struct heartbeat *heartbeat_of(struct lifecycle *c, const char *node)
{
	struct heartbeat *h = table_get(&c->heartbeats, node);
	if (h)
		return h;
	h = xcalloc(1, sizeof(*h));
	h->seen_ns = loop_mono_ns(c->nodes_loop);
	table_set(&c->heartbeats, node, h);
	return h;
}

/* Notes what came, and returns how long the node has been silent. */
static int64_t silent_ns(struct lifecycle *c, struct arena *a, const struct object *node,
	const struct json *doc, bool *ret_ever)
{
	struct heartbeat *h = heartbeat_of(c, node->name);
	int64_t now_ns = loop_mono_ns(c->nodes_loop);
	struct object *lease = informer_get(c->leases, LEASES, node->name);
	struct json *ready = condition_find(json_path(doc, "status.conditions"), "Ready");
	const char *reason = json_str_or(json_get(ready, "reason"), "");
	bool by_agent = ready && !streq(reason, "NodeStatusUnknown") &&
			!streq(reason, "NodeStatusNeverUpdated");
	bool fresh = lease &&
		     replace(&h->lease_time, json_path_str(object_doc(lease, a), "spec.renewTime"));
	if (by_agent)
		fresh |= replace(&h->status_time, json_str(json_get(ready, "lastHeartbeatTime")));
	if (fresh)
		h->seen_ns = now_ns;
	h->ever |= by_agent;
	*ret_ever = h->ever;
	return now_ns - h->seen_ns;
}

/* Pods of a node that is not ready are not ready either. */
static void mark_pods(struct sync *s, const struct object *node)
{
	struct lifecycle *c = s->self;
	struct arena *a = &s->arena;
	struct object **pods;
	size_t count = informer_by_index(c->pods, "spec.nodeName", node->name, a, &pods);
	for (size_t n = 0; n < count; n++) {
		struct json *doc = object_doc(pods[n], a),
			    *conditions = json_path(doc, "status.conditions");
		if (!condition_is(conditions, "Ready", "True"))
			continue;
		struct condition not_ready = {"Ready", "False", "NodeNotReady", NULL, false};
		struct json *status = json_new_object(a);
		json_set(a, status, "conditions",
			condition_set(a, conditions, &not_ready, loop_wall_ns(s->loop)));
		sync_status(s, pods[n], doc, status, NULL, NULL);
		client_event_as(c->client, COMPONENT, pods[n], NULL, "Warning", "NodeNotReady",
			"Node is not ready");
	}
}

/* Zones. */

static const char *zone_of(const struct object *node)
{
	const char *zone = object_label(node, ZONE_LABEL);
	return zone ? zone : "";
}

static struct zone *zone_named(struct lifecycle *c, const char *name)
{
	struct zone *z = table_get(&c->zones, name);
	if (!z) {
		z = xcalloc(1, sizeof(*z));
		table_set(&c->zones, name, z);
	}
	return z;
}

static void uncount_node(struct lifecycle *c, struct heartbeat *h)
{
	if (!h || !h->zone)
		return;
	h->zone->nodes--;
	h->zone->down -= h->down;
	c->nodes_count--;
	c->down_count -= h->down;
	h->zone = NULL;
}

/* Kept up by events: when many nodes fall silent, none of them asks about all the others. */
static void count_node(struct lifecycle *c, const struct object *node, const struct json *doc)
{
	struct heartbeat *h = heartbeat_of(c, node->name);
	uncount_node(c, h);
	h->zone = zone_named(c, zone_of(node));
	h->down = node_state(doc) != NODE_READY;
	h->zone->nodes++;
	h->zone->down += h->down;
	c->nodes_count++;
	c->down_count += h->down;
}

/* May this node be given up now? *ret_all_down: no node anywhere is ready, so the fault is more
 * likely here than there. */
static bool may_evict(struct lifecycle *c, const struct object *node, bool *ret_all_down)
{
	struct zone *z = zone_named(c, zone_of(node));
	*ret_all_down = c->down_count == c->nodes_count;
	if (*ret_all_down)
		return false;
	int64_t interval_ns = zone_interval_ns(zone_state(z->nodes, z->down), z->nodes);
	if (interval_ns == INT64_MAX)
		return false;
	int64_t now_ns = loop_mono_ns(c->nodes_loop);
	if (now_ns < z->next_ns)
		return false;
	z->next_ns = now_ns + interval_ns;
	return true;
}

static void set_taints(struct sync *s)
{
	struct pass *p = s->state;
	struct lifecycle *c = s->self;
	struct arena *a = &s->arena;
	struct json *has = json_path(p->doc, "spec.taints");
	bool down = node_state(p->doc) != NODE_READY, evict = false, all_down = false;
	bool evicting = node_has_taint(has, "node.kubernetes.io/not-ready", "NoExecute") ||
			node_has_taint(has, "node.kubernetes.io/unreachable", "NoExecute");
	if (down)
		evict = may_evict(c, p->node, &all_down) || evicting;
	struct json *taints = node_taints(a, p->doc, evict, all_down, loop_wall_ns(s->loop));
	if (taints == has)
		return;
	struct json *patch = json_new_object(a);
	json_path_set(a, patch, "spec.taints", json_count(taints) ? taints : json_new_null(a));
	sync_patch(s, p->node, NULL, patch, NULL, NULL);
}

static void reconcile_node(struct sync *s)
{
	struct lifecycle *c = s->self;
	struct arena *a = &s->arena;
	struct object *node = informer_get(c->nodes, "", s->name);
	if (!node)
		return;
	struct pass *p = ARENA_NEW(a, struct pass);
	s->state = p;
	p->node = sync_hold(s, node);
	p->doc = object_doc(node, a);
	sync_again(s, LOOK_EVERY_MS);
	bool ever;
	int64_t quiet_ns = silent_ns(c, a, node, p->doc, &ever);
	int64_t grace_ns = (ever ? NODE_GRACE_S : NODE_STARTUP_GRACE_S) * NS_PER_S;
	if (quiet_ns > grace_ns) {
		struct json *status = json_new_object(a);
		json_set(a, status, "conditions",
			node_conditions_unknown(a, p->doc, loop_wall_ns(s->loop)));
		if (sync_status(s, node, p->doc, status, NULL, NULL)) {
			client_event_as(c->client, COMPONENT, node, NULL, "Normal", "NodeNotReady",
				"Node %s status is now: NodeNotReady", node->name);
			return; /* the taints follow from the conditions, once they are there */
		}
	}
	if (node_state(p->doc) != NODE_READY)
		mark_pods(s, node);
	set_taints(s);
}

/* Pods leave. */

static void reconcile_pod(struct sync *s)
{
	struct lifecycle *c = s->self;
	struct arena *a = &s->arena;
	struct object *pod = informer_get(c->pods, s->ns, s->name);
	const char *node_name = pod ? object_field(pod, "spec.nodeName") : NULL;
	struct object *node =
		node_name && node_name[0] ? informer_get(c->nodes, "", node_name) : NULL;
	if (!node || pod->deleting)
		return;
	struct json *taints = json_path(object_doc(node, a), "spec.taints");
	if (!json_count(taints))
		return;
	int64_t now_ns = loop_wall_ns(s->loop);
	int64_t at_ns = node_eviction_time_ns(
		taints, json_path(object_doc(pod, a), "spec.tolerations"), now_ns);
	if (at_ns == INT64_MAX)
		return;
	if (at_ns > now_ns) {
		sync_again(s, (at_ns - now_ns) / NS_PER_MS + 1);
		return;
	}
	client_event_as(c->client, EVICTION_COMPONENT, pod, NULL, "Normal", "TaintManagerEviction",
		"Marking for deletion Pod %s/%s", pod->namespace, pod->name);
	sync_delete(s, pod, -1, NULL, NULL, NULL);
}

/* Events. */

static void heartbeat_free(struct heartbeat *h)
{
	if (!h)
		return;
	free(h->lease_time);
	free(h->status_time);
	free(h);
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct lifecycle *c = user;
	if (!new) {
		struct heartbeat *h = table_remove(&c->heartbeats, old->name);
		uncount_node(c, h);
		heartbeat_free(h);
		client_event_as(c->client, COMPONENT, old, NULL, "Normal", "RemovingNode",
			"Node %s event: Removing Node %s from Controller", old->name, old->name);
		return;
	}
	if (!old)
		client_event_as(c->client, COMPONENT, new, NULL, "Normal", "RegisteredNode",
			"Node %s event: Registered Node %s in Controller", new->name, new->name);
	loop_add_object(c->nodes_loop, new);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = object_doc(new, &a), *is = json_path(doc, "spec.taints");
	count_node(c, new, doc);
	struct json *was = old ? json_path(object_doc(old, &a), "spec.taints") : NULL;
	if (!is || (was && json_equal(was, is)))
		return;
	struct object **pods;
	size_t count = informer_by_index(c->pods, "spec.nodeName", new->name, &a, &pods);
	for (size_t n = 0; n < count; n++)
		loop_add_object(c->pods_loop, pods[n]);
}

static void on_lease(void *user, const struct object *old, const struct object *new)
{
	struct lifecycle *c = user;
	if (new &&streq(new->namespace, LEASES))
		loop_add(c->nodes_loop, "", new->name);
}

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct lifecycle *c = user;
	if (!new || new->deleting)
		return;
	const char *node = object_field(new, "spec.nodeName"),
		   *was = old ? object_field(old, "spec.nodeName") : NULL;
	if (node && node[0] && !streq(node, was))
		loop_add_object(c->pods_loop, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler node_handler = {.changed = on_node},
					     lease_handler = {.changed = on_lease},
					     pod_handler = {.changed = on_pod};
	struct lifecycle *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->nodes_loop = loop_create(sh->client, COMPONENT, 5, reconcile_node, c);
	c->pods_loop = loop_create(sh->client, EVICTION_COMPONENT, 20, reconcile_pod, c);
	c->nodes = shared_informer(sh, "", "v1", "Node");
	c->leases = shared_informer(sh, "coordination.k8s.io", "v1", "Lease");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	informer_add_index(c->pods, "spec.nodeName");
	informer_add_handler(c->nodes, &node_handler, c);
	informer_add_handler(c->leases, &lease_handler, c);
	informer_add_handler(c->pods, &pod_handler, c);
	return c;
}

static void start(void *self)
{
	struct lifecycle *c = self;
	loop_start(c->nodes_loop);
	loop_start(c->pods_loop);
}

static void destroy(void *self)
{
	struct lifecycle *c = self;
	loop_destroy(c->nodes_loop);
	loop_destroy(c->pods_loop);
	struct table_iter it = table_iterate(&c->heartbeats);
	while (table_next(&it))
		heartbeat_free(it.value);
	table_finish(&c->heartbeats);
	it = table_iterate(&c->zones);
	while (table_next(&it))
		free(it.value);
	table_finish(&c->zones);
	free(c);
}

const struct controller_class node_lifecycle_controller = {"nodelifecycle", create, start, destroy};
