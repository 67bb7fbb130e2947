/* Endpoints that somebody else keeps, of services without a selector, are mirrored into slices:
 * service proxies look at nothing else. */
#include <inttypes.h>

#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGER "endpointslicemirroring-controller.k8s.io"
#define SKIP "endpointslice.kubernetes.io/skip-mirror"
#define LEADER "control-plane.alpha.kubernetes.io/leader"
#define SERVICE_NAME "kubernetes.io/service-name"
#define ADDRESSES_MAX 1000 /* of one subset */

struct mirroring {
	struct loop *loop;
	struct informer *endpoints, *services, *slices;
};

/* One slice as it should be. */
struct mirror {
	const char *family;
	struct json *ports, *endpoints;
};

static struct json *mirrored_ports(struct arena *a, const struct json *subset)
{
	static const char *const members[] = {"name", "port", "protocol", "appProtocol"};
	struct json *ports = json_new_array(a);
	JSON_FOR_EACH_ITEM(from, json_get(subset, "ports")) {
		struct json *port = json_new_object(a);
		for (size_t n = 0; n < ARRAY_LEN(members); n++)
			if (json_get(from, members[n]))
				json_set(a, port, members[n], json_get(from, members[n]));
		json_push(a, ports, port);
	}
	return ports;
}

static struct json *mirrored_endpoint(struct arena *a, const struct json *address, bool ready)
{
	static const char *const members[] = {"hostname", "nodeName", "targetRef"};
	struct json *e = json_new_object(a), *addresses = json_new_array(a),
		    *conditions = json_new_object(a);
	json_push(a, addresses, json_get(address, "ip"));
	json_set(a, e, "addresses", addresses);
	json_set_bool(a, conditions, "ready", ready);
	json_set(a, e, "conditions", conditions);
	for (size_t n = 0; n < ARRAY_LEN(members); n++)
		if (json_get(address, members[n]))
			json_set(a, e, members[n], json_get(address, members[n]));
	return e;
}

/* A slice has addresses of one family: a subset may need two. */
static size_t mirror_subset(struct arena *a, const struct json *subset, struct mirror ret[2])
{
	static const char *const lists[] = {"addresses", "notReadyAddresses"};
	struct mirror families[2] = {{.family = "IPv4"}, {.family = "IPv6"}};
	size_t taken = 0, count = 0;
	for (size_t l = 0; l < ARRAY_LEN(lists); l++)
		JSON_FOR_EACH_ITEM(address, json_get(subset, lists[l])) {
			const char *ip = json_str_or(json_get(address, "ip"), "");
			struct mirror *m = &families[strchr(ip, ':') != NULL];
			if (!ip[0] || taken++ >= ADDRESSES_MAX)
				continue;
			if (!m->endpoints)
				m->endpoints = json_new_array(a);
			json_push(a, m->endpoints, mirrored_endpoint(a, address, l == 0));
		}
	for (size_t n = 0; n < ARRAY_LEN(families); n++)
		if (families[n].endpoints) {
			families[n].ports = mirrored_ports(a, subset);
			ret[count++] = families[n];
		}
	return count;
}

static bool is_mirrored(const struct json *endpoints, const struct object *service)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *meta = json_get(endpoints, "metadata");
	if (streq(json_str(json_get(json_get(meta, "labels"), SKIP)), "true") ||
		json_get(json_get(meta, "annotations"), LEADER) || !service || service->deleting)
		return false;
	return !json_count(json_path(object_doc(service, &a), "spec.selector"));
}

static struct json *wanted_labels(struct arena *a, const struct json *endpoints, const char *name)
{
	struct json *labels = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, json_path(endpoints, "metadata.labels"))
		json_set(a, labels, m->name, m->value);
	json_set_str(a, labels, SERVICE_NAME, name);
	json_set_str(a, labels, MANAGED_BY, MANAGER);
	return labels;
}

static struct json *wanted_annotations(struct arena *a, const struct json *endpoints)
{
	static const char *const own[] = {"endpoints.kubernetes.io/last-change-trigger-time",
		"endpoints.kubernetes.io/over-capacity",
		"kubectl.kubernetes.io/last-applied-configuration"};
	struct json *annotations = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, json_path(endpoints, "metadata.annotations")) {
		bool copied = true;
		for (size_t n = 0; n < ARRAY_LEN(own); n++)
			copied = copied && !streq(m->name, own[n]);
		if (copied)
			json_set(a, annotations, m->name, m->value);
	}
	return annotations;
}

static bool same(const struct json *is, const struct json *wanted)
{
	return (!json_count(is) && !json_count(wanted)) || json_equal(is, wanted);
}

/* Always the same name: one that is made and not in the cache yet is refused, not made twice. One
 * that another subset's slice has is passed over. */
static const char *name_of(
	struct sync *s, const struct object *owner, const struct mirror *m, size_t number)
{
	struct mirroring *self = s->self;
	struct arena *a = &s->arena;
	for (;; number++) {
		char *text = arena_printf(a, "%s/%s/%zu", owner->uid, m->family, number);
		char *name =
			arena_printf(a, "%s-%08" PRIx32, owner->name, fnv1a_32(text, strlen(text)));
		if (!informer_get(self->slices, s->ns, name))
			return name;
	}
}

static void write_mirror(struct sync *s, const struct object *owner, const struct json *endpoints,
	const struct object *present, const struct mirror *m, size_t number)
{
	struct mirroring *self = s->self;
	struct arena *a = &s->arena;
	const struct kind *kind = informer_kind(self->slices);
	struct json *labels = wanted_labels(a, endpoints, owner->name),
		    *annotations = wanted_annotations(a, endpoints),
		    *doc = present ? object_doc(present, a) : json_new_object(a),
		    *meta = json_object_at(a, doc, "metadata");
	if (present && same(json_get(doc, "ports"), m->ports) &&
		same(json_get(doc, "endpoints"), m->endpoints) &&
		same(json_get(meta, "labels"), labels) &&
		same(json_get(meta, "annotations"), annotations))
		return;
	json_set(a, meta, "labels", labels);
	json_set(a, meta, "annotations", annotations);
	json_set(a, doc, "ports", m->ports);
	json_set(a, doc, "endpoints", m->endpoints);
	if (present) {
		sync_update(s, kind, s->ns, present->name, NULL, doc, NULL, NULL);
		return;
	}
	json_set_str(a, doc, "apiVersion", kind->gv);
	json_set_str(a, doc, "kind", kind->kind);
	json_set_str(a, doc, "addressType", m->family);
	json_set_str(a, meta, "name", name_of(s, owner, m, number));
	struct json *refs = json_array_at(a, meta, "ownerReferences");
	json_push(a, refs, owner_reference(a, owner));
	sync_create(s, kind, s->ns, doc, NULL, NULL);
}

/* Slices that are there, NULL where one was used. */
struct present {
	struct object **slices;
	size_t count;
};

/* One with the same ports if there is any, so that few change. */
static const struct object *take(
	struct arena *a, struct present *p, const struct mirror *m, bool same_ports)
{
	for (size_t n = 0; n < p->count; n++) {
		const struct object *o = p->slices[n];
		struct json *doc = o ? object_doc(o, a) : NULL;
		if (!doc || !streq(json_str(json_get(doc, "addressType")), m->family) ||
			(same_ports && !same(json_get(doc, "ports"), m->ports)))
			continue;
		p->slices[n] = NULL;
		return o;
	}
	return NULL;
}

static void reconcile(struct sync *s)
{
	struct mirroring *self = s->self;
	struct arena *a = &s->arena;
	struct object *owner = informer_get(self->endpoints, s->ns, s->name), **slices;
	if (!owner || owner->deleting)
		return; /* its slices are collected with it */
	struct json *doc = object_doc(owner, a);
	size_t count = informer_by_index(self->slices, "owner", owner->uid, a, &slices);
	struct present p = {.slices = arena_alloc(a, (count + 1) * sizeof(*slices))};
	for (size_t n = 0; n < count; n++)
		if (streq(object_label(slices[n], MANAGED_BY), MANAGER) && !slices[n]->deleting)
			p.slices[p.count++] = slices[n];
	size_t wanted_count = 0;
	const struct json *subsets = json_get(doc, "subsets");
	struct mirror *wanted = arena_zalloc(a, (2 * json_count(subsets) + 1) * sizeof(*wanted));
	if (is_mirrored(doc, informer_get(self->services, s->ns, s->name)))
		JSON_FOR_EACH_ITEM(subset, subsets)
			wanted_count += mirror_subset(a, subset, &wanted[wanted_count]);
	const struct object **use = arena_zalloc(a, (wanted_count + 1) * sizeof(*use));
	for (int pass = 0; pass < 2; pass++)
		for (size_t n = 0; n < wanted_count; n++)
			if (!use[n])
				use[n] = take(a, &p, &wanted[n], pass == 0);
	for (size_t n = 0; n < wanted_count; n++)
		write_mirror(s, owner, doc, use[n], &wanted[n], n);
	for (size_t n = 0; n < p.count; n++)
		if (p.slices[n])
			sync_delete(s, p.slices[n], -1, NULL, NULL, NULL);
}

static void on_named(void *user, const struct object *old, const struct object *new)
{
	struct mirroring *self = user;
	loop_add_object(self->loop, new ? new : old);
}

static void on_slice(void *user, const struct object *old, const struct object *new)
{
	struct mirroring *self = user;
	const struct object *o = new ? new : old;
	const char *name = object_label(o, SERVICE_NAME);
	if (name && name[0] && streq(object_label(o, MANAGED_BY), MANAGER))
		loop_add(self->loop, o->namespace, name);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler named_handler = {.changed = on_named},
					     slice_handler = {.changed = on_slice};
	struct mirroring *self = xcalloc(1, sizeof(*self));
	self->loop =
		loop_create(sh->client, "endpoint-slice-mirroring-controller", 5, reconcile, self);
	self->endpoints = shared_informer(sh, "", "v1", "Endpoints");
	self->services = shared_informer(sh, "", "v1", "Service");
	self->slices = shared_informer(sh, "discovery.k8s.io", "v1", "EndpointSlice");
	informer_add_index(self->slices, "owner");
	informer_add_handler(self->endpoints, &named_handler, self);
	informer_add_handler(self->services, &named_handler, self);
	informer_add_handler(self->slices, &slice_handler, self);
	return self;
}

static void start(void *user)
{
	loop_start(((struct mirroring *)user)->loop);
}

static void destroy(void *user)
{
	struct mirroring *self = user;
	loop_destroy(self->loop);
	free(self);
}

const struct controller_class endpoint_slice_mirroring_controller = {
	"endpointslicemirroring", create, start, destroy};
