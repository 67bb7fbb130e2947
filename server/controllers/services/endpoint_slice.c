#include <inttypes.h>

#include "server/controllers/services/backends.h"
#include "server/controllers/meta.h"

#define MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGER "endpointslice-controller.k8s.io"
#define SERVICE_NAME "kubernetes.io/service-name"
#define CHANGE_TIME "endpoints.kubernetes.io/last-change-trigger-time"
#define ENDPOINTS_MAX 100 /* in one slice */
#define ZONE "topology.kubernetes.io/zone"
#define ZONES_CHANGED_MS 1000 /* labels of nodes change together */
#define ZONES_KEY "zones"     /* without a namespace: no service */

struct slices {
	struct loop *loop;
	struct informer *objects, *nodes;
	struct backends *backends;
};

/* A slice as it is and as it becomes. */
struct slice {
	struct object *object; /* NULL = to be created */
	struct json *doc;      /* of object */
	const char *family;    /* addressType */
	struct json *ports, *endpoints;
	bool keep;
};

struct plan {
	struct slice *slices;
	size_t count;
	struct informer *nodes;
	bool prefer_close; /* the service's trafficDistribution */
};

static const char *family_of(const struct backend *b)
{
	return b->ipv6 ? "IPv6" : "IPv4";
}

static const char *zone_of(const struct plan *p, const struct backend *b)
{
	const struct object *node = b->node[0] ? informer_get(p->nodes, "", b->node) : NULL;
	return node ? object_label(node, ZONE) : NULL;
}

/* Proxies of that zone are to prefer it. */
static struct json *hints_for(struct arena *a, const char *zone)
{
	struct json *hints = json_new_object(a), *zones = json_new_array(a),
		    *one = json_new_object(a);
	json_set_str(a, one, "name", zone);
	json_push(a, zones, one);
	json_set(a, hints, "forZones", zones);
	return hints;
}

static struct json *endpoint(struct arena *a, const struct plan *p, const struct backend *b)
{
	const char *zone = zone_of(p, b);
	struct json *e = json_new_object(a), *addresses = json_new_array(a),
		    *conditions = json_new_object(a);
	json_push(a, addresses, json_new_string(a, b->ip));
	json_set(a, e, "addresses", addresses);
	json_set_bool(a, conditions, "ready", b->ready);
	json_set_bool(a, conditions, "serving", b->serving);
	json_set_bool(a, conditions, "terminating", b->terminating);
	json_set(a, e, "conditions", conditions);
	if (b->hostname[0])
		json_set_str(a, e, "hostname", b->hostname);
	if (b->node[0])
		json_set_str(a, e, "nodeName", b->node);
	if (zone && zone[0]) {
		json_set_str(a, e, "zone", zone);
		if (p->prefer_close && b->ready)
			json_set(a, e, "hints", hints_for(a, zone));
	}
	json_set(a, e, "targetRef", backend_target(a, b));
	return e;
}

/* An endpoint stays in the slice where it is, so that few slices change. */
static bool in_slice(const struct slice *slice, const struct backend *b)
{
	JSON_FOR_EACH_ITEM(e, json_get(slice->doc, "endpoints"))
		if (streq(json_path_str(e, "targetRef.uid"), b->object->uid) &&
			streq(json_str(json_at(json_get(e, "addresses"), 0)), b->ip))
			return true;
	return false;
}

static struct slice *find_room(struct plan *p, const char *family, const struct json *ports)
{
	for (size_t n = 0; n < p->count; n++) {
		struct slice *x = &p->slices[n];
		if (x->keep && streq(x->family, family) && json_equal(x->ports, ports) &&
			json_count(x->endpoints) < ENDPOINTS_MAX)
			return x;
	}
	return NULL;
}

/* Puts each backend of a group of equal ports into a slice. */
static void plan_group(struct arena *a, struct plan *p, const struct backend *group, size_t count)
{
	struct json *ports = backend_ports(a, group);
	const char *family = family_of(group);
	bool *placed = arena_zalloc(a, count * sizeof(*placed));
	for (size_t n = 0; n < p->count; n++) {
		struct slice *x = &p->slices[n];
		if (!x->object || !streq(x->family, family) || !json_equal(x->ports, ports))
			continue;
		for (size_t m = 0; m < count; m++) {
			if (placed[m] || json_count(x->endpoints) >= ENDPOINTS_MAX ||
				!in_slice(x, &group[m]))
				continue;
			json_push(a, x->endpoints, endpoint(a, p, &group[m]));
			placed[m] = x->keep = true;
		}
	}
	for (size_t m = 0; m < count; m++) {
		if (placed[m])
			continue;
		struct slice *x = find_room(p, family, ports);
		/* An emptied slice of the same form is filled before another is made. */
		for (size_t n = 0; n < p->count && !x; n++)
			if (!p->slices[n].keep && p->slices[n].object &&
				streq(p->slices[n].family, family))
				x = &p->slices[n];
		if (!x) {
			x = &p->slices[p->count++];
			*x = (struct slice){.family = family, .endpoints = json_new_array(a)};
		}
		x->ports = ports;
		x->keep = true;
		json_push(a, x->endpoints, endpoint(a, p, &group[m]));
	}
}

/* Which name a slice gets does not depend on chance: a slice that was made and is not in the cache
 * yet would be made again under the same name, and refused. */
static char *slice_name(
	struct arena *a, const struct object *service, struct informer *objects, unsigned *number)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	for (;; (*number)++) {
		char *text = arena_printf(a, "%s/%u", service->uid, *number);
		uint64_t hash = fnv1a_64(text, strlen(text));
		char suffix[6] = {0};
		for (size_t n = 0; n < 5; n++, hash /= sizeof(alphabet) - 1)
			suffix[n] = alphabet[hash % (sizeof(alphabet) - 1)];
		char *name = arena_printf(a, "%s-%s", service->name, suffix);
		if (!informer_get(objects, service->namespace, name)) {
			(*number)++;
			return name;
		}
	}
}

static struct json *wanted_labels(
	struct arena *a, const struct object *service, const struct json *service_doc)
{
	struct json *labels = backends_labels(a, service_doc);
	json_set_str(a, labels, SERVICE_NAME, service->name);
	json_set_str(a, labels, MANAGED_BY, MANAGER);
	return labels;
}

static void write_slice(struct sync *s, const struct object *service, struct json *labels,
	struct slice *x, unsigned *number)
{
	struct slices *c = s->self;
	struct arena *a = &s->arena;
	const struct kind *kind = informer_kind(c->objects);
	struct json *doc = x->doc ? x->doc : json_new_object(a),
		    *meta = json_object_at(a, doc, "metadata");
	if (x->object && json_equal(json_get(meta, "labels"), labels) &&
		(json_equal(json_get(doc, "ports"), x->ports) ||
			(!json_count(json_get(doc, "ports")) && !json_count(x->ports))) &&
		(json_equal(json_get(doc, "endpoints"), x->endpoints) ||
			(!json_count(json_get(doc, "endpoints")) && !json_count(x->endpoints))))
		return;
	json_set(a, meta, "labels", labels);
	json_set(a, json_object_at(a, meta, "annotations"), CHANGE_TIME,
		meta_time(a, loop_wall_ns(s->loop)));
	json_set_str(a, doc, "addressType", x->family);
	json_set(a, doc, "ports", x->ports);
	json_set(a, doc, "endpoints", x->endpoints);
	if (x->object) {
		sync_update(s, kind, s->ns, x->object->name, NULL, doc, NULL, NULL);
		return;
	}
	json_set_str(a, doc, "apiVersion", kind->gv);
	json_set_str(a, doc, "kind", kind->kind);
	json_set_str(a, meta, "name", slice_name(a, service, c->objects, number));
	struct json *refs = json_array_at(a, meta, "ownerReferences");
	json_push(a, refs, owner_reference(a, service));
	sync_create(s, kind, s->ns, doc, NULL, NULL);
}

/* Zones are in the slices: another zone of a node concerns every service. */
static void add_all_services(struct sync *s)
{
	struct slices *c = s->self;
	struct object **all;
	size_t count = informer_list(backends_services(c->backends), NULL, &s->arena, &all);
	for (size_t n = 0; n < count; n++)
		loop_add_object(c->loop, all[n]);
}

static void reconcile(struct sync *s)
{
	struct slices *c = s->self;
	struct arena *a = &s->arena;
	if (!s->ns[0]) {
		add_all_services(s);
		return;
	}
	struct object *service = informer_get(backends_services(c->backends), s->ns, s->name);
	if (!service || service->deleting)
		return; /* its slices are collected with it */
	struct json *service_doc = object_doc(service, a);
	struct object **present;
	size_t present_count = informer_by_index(c->objects, "owner", service->uid, a, &present),
	       found_count;
	struct backend *found = NULL;
	bool selects = backends_selects(service_doc);
	found_count = selects ? backends_find(c->backends, a, service, service_doc, &found) : 0;

	struct plan p = {
		.slices = arena_alloc(a, (present_count + found_count + 1) * sizeof(*p.slices)),
		.nodes = c->nodes,
		.prefer_close = streq(
			json_path_str(service_doc, "spec.trafficDistribution"), "PreferClose")};
	for (size_t n = 0; n < present_count; n++) {
		if (!streq(object_label(present[n], MANAGED_BY), MANAGER) || present[n]->deleting)
			continue;
		struct json *doc = object_doc(present[n], a), *ports = json_get(doc, "ports");
		p.slices[p.count++] = (struct slice){.object = present[n],
			.doc = doc,
			.family = json_str_or(json_get(doc, "addressType"), ""),
			.ports = ports ? ports : json_new_array(a),
			.endpoints = json_new_array(a)};
	}
	for (size_t first = 0, end; first < found_count; first = end) {
		for (end = first;
			end < found_count && streq(found[end].port_key, found[first].port_key);)
			end++;
		plan_group(a, &p, &found[first], end - first);
	}
	/* A service that nobody answers for keeps one empty slice: it says so. */
	if (selects && !found_count) {
		if (!p.count)
			p.slices[p.count++] = (struct slice){
				.family = backends_primary_is_ipv6(service_doc) ? "IPv6" : "IPv4",
				.endpoints = json_new_array(a)};
		p.slices[0].ports = json_new_array(a);
		p.slices[0].keep = true;
	}
	struct json *labels = wanted_labels(a, service, service_doc);
	unsigned number = 0;
	for (size_t n = 0; n < p.count; n++) {
		if (p.slices[n].keep)
			write_slice(s, service, labels, &p.slices[n], &number);
		else if (p.slices[n].object)
			sync_delete(s, p.slices[n].object, -1, NULL, NULL, NULL);
	}
}

static void on_service(void *user, const struct object *service)
{
	struct slices *c = user;
	loop_add_object(c->loop, service);
}

static void on_slice(void *user, const struct object *old, const struct object *new)
{
	struct slices *c = user;
	const char *service = object_label(new ? new : old, SERVICE_NAME);
	if (service && service[0])
		loop_add(c->loop, (new ? new : old)->namespace, service);
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct slices *c = user;
	const char *was = old ? object_label(old, ZONE) : NULL,
		   *is = new ? object_label(new, ZONE) : NULL;
	if (!streq(was, is))
		loop_add_after(c->loop, "", ZONES_KEY, ZONES_CHANGED_MS);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_slice},
					     node_handler = {.changed = on_node};
	struct slices *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "endpoint-slice-controller", 5, reconcile, c);
	c->objects = shared_informer(sh, "discovery.k8s.io", "v1", "EndpointSlice");
	c->backends = backends_create(sh, on_service, c);
	c->nodes = shared_informer(sh, "", "v1", "Node");
	informer_add_handler(c->nodes, &node_handler, c);
	informer_add_index(c->objects, "owner");
	informer_add_handler(c->objects, &handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct slices *)self)->loop);
}

static void destroy(void *self)
{
	struct slices *c = self;
	loop_destroy(c->loop);
	backends_destroy(c->backends);
	free(c);
}

const struct controller_class endpoint_slice_controller = {"endpointslice", create, start, destroy};
