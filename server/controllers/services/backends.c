#include "server/controllers/services/backends.h"

#include <inttypes.h>

#include "lib/base/table.h"
#include "lib/object/machine_pod.h"
#include "lib/object/selector.h"
#include "server/controllers/meta.h"

struct backends {
	struct informer *services, *pods, *machines;
	struct pod_views *views;
	struct table selectors; /* service uid -> service_selector, made when first needed */
	void (*changed)(void *user, const struct object *service);
	void *user;
};

struct service_selector {
	struct arena arena;
	uint64_t revision;
	struct selector selector;
};

static void service_selector_free(struct service_selector *x)
{
	if (!x)
		return;
	arena_finish(&x->arena);
	free(x);
}

bool backends_selects(const struct json *service)
{
	return json_count(json_path(service, "spec.selector")) > 0 &&
	       !streq(json_path_str(service, "spec.type"), "ExternalName");
}

static const struct selector *selector_of(struct backends *b, const struct object *service)
{
	struct service_selector *x = table_get(&b->selectors, service->uid);
	if (!x) {
		x = xcalloc(1, sizeof(*x));
		table_set(&b->selectors, service->uid, x);
	}
	if (x->revision != service->revision) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *doc = object_doc(service, &a);
		arena_finish(&x->arena);
		x->revision = service->revision;
		x->selector = (struct selector){.nothing = true};
		if (backends_selects(doc)) {
			struct selector found;
			selector_from_map(&a, json_path(doc, "spec.selector"), &found);
			x->selector = selector_copy(&x->arena, &found);
		}
	}
	return &x->selector;
}

static bool selects(struct backends *b, const struct object *service, const struct object *o)
{
	const struct selector *s = selector_of(b, service);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object_label *labels;
	size_t count;
	if (s->nothing || !s->count)
		return false;
	if (streq(o->kind->kind, "Pod"))
		return selector_matches_labels(s, o->labels, o->label_count);
	count = machine_pod_labels(&a, o, &labels);
	return selector_matches_labels(s, labels, count);
}

static void on_service(void *user, const struct object *old, const struct object *new)
{
	struct backends *b = user;
	if (!new)
		service_selector_free(table_remove(&b->selectors, old->uid));
	b->changed(b->user, new ? new : old);
}

static void on_target(void *user, const struct object *old, const struct object *new)
{
	struct backends *b = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(b->services, (new ? new : old)->namespace, &a, &all);
	for (size_t n = 0; n < count; n++)
		if ((old && selects(b, all[n], old)) || (new &&selects(b, all[n], new)))
			b->changed(b->user, all[n]);
}

struct backends *backends_create(
	struct shared *sh, void (*changed)(void *user, const struct object *service), void *user)
{
	static const struct informer_handler service_handler = {.changed = on_service},
					     target_handler = {.changed = on_target};
	struct backends *b = xcalloc(1, sizeof(*b));
	b->changed = changed;
	b->user = user;
	b->services = shared_informer(sh, "", "v1", "Service");
	b->pods = shared_informer(sh, "", "v1", "Pod");
	b->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	b->views = shared_pod_views(sh);
	informer_add_index(b->services, "namespace");
	informer_add_index(b->pods, "namespace");
	informer_add_index(b->machines, "namespace");
	informer_add_handler(b->services, &service_handler, b);
	informer_add_handler(b->pods, &target_handler, b);
	informer_add_handler(b->machines, &target_handler, b);
	return b;
}

void backends_destroy(struct backends *b)
{
	if (!b)
		return;
	struct table_iter it = table_iterate(&b->selectors);
	while (table_next(&it))
		service_selector_free(it.value);
	table_finish(&b->selectors);
	free(b);
}

struct informer *backends_services(struct backends *b)
{
	return b->services;
}

/* Ports. */

static const char *protocol_of(const struct json *port)
{
	return json_str_or(json_get(port, "protocol"), "TCP");
}

/* The port of that name and protocol in [{name, protocol, PORT_FIELD}]; 0 when there is none. */
static int64_t find_named(
	const struct json *ports, const char *field, const char *name, const char *protocol)
{
	JSON_FOR_EACH_ITEM(p, ports)
		if (streq(json_str(json_get(p, "name")), name) && streq(protocol_of(p), protocol))
			return json_int_or(json_get(p, field), 0);
	return 0;
}

static int64_t named_target(const struct json *target, const char *name, const char *protocol)
{
	int64_t port = 0;
	JSON_FOR_EACH_ITEM(c, json_path(target, "spec.containers"))
		if (!port)
			port = find_named(json_get(c, "ports"), "containerPort", name, protocol);
	JSON_FOR_EACH_ITEM(nic, json_path(target, "spec.domain.devices.interfaces"))
		if (!port)
			port = find_named(json_get(nic, "ports"), "port", name, protocol);
	return port;
}

/* Fills the backend's ports; false when the service has ports and none of them leads to this
 * target. */
static bool resolve_ports(struct arena *a, const struct json *service_ports, struct backend *b)
{
	size_t count = json_count(service_ports);
	struct backend_port *ports = arena_alloc(a, (count + 1) * sizeof(*ports));
	struct json *target = NULL;
	JSON_FOR_EACH_ITEM(sp, service_ports) {
		struct json *to = json_get(sp, "targetPort");
		const char *name = json_str(to);
		int64_t port = json_int_or(to, 0);
		if (name && name[0]) {
			if (!target)
				target = object_doc(b->object, a);
			port = named_target(target, name, protocol_of(sp));
			if (!port)
				continue;
		} else if (!port) {
			port = json_int_or(json_get(sp, "port"), 0);
		}
		ports[b->port_count++] = (struct backend_port){
			.name = json_str_or(json_get(sp, "name"), ""),
			.protocol = protocol_of(sp),
			.app_protocol = json_str(json_get(sp, "appProtocol")),
			.port = port,
		};
	}
	b->ports = ports;
	if (count && !b->port_count)
		return false;
	const char *key = b->ipv6 ? "6" : "4";
	for (size_t n = 0; n < b->port_count; n++)
		key = arena_printf(a, "%s,%s:%s:%" PRId64 ":%s", key, ports[n].name,
			ports[n].protocol, ports[n].port,
			ports[n].app_protocol ? ports[n].app_protocol : "");
	b->port_key = key;
	return true;
}

/* Targets. False: does not count. */

static bool read_pod(struct backends *bs, const struct object *service, struct backend *b)
{
	const struct pod_view *v = pod_view(bs->views, b->object);
	if (v->terminal || !v->ip[0])
		return false;
	b->ip = v->ip;
	b->second_ip = v->second_ip;
	b->node = v->node;
	b->serving = v->ready;
	b->hostname = v->hostname[0] && streq(v->subdomain, service->name) ? v->hostname : "";
	return true;
}

static bool read_machine(struct arena *a, const struct object *service, struct backend *b)
{
	struct json *doc = object_doc(b->object, a), *status = json_get(doc, "status");
	const char *phase = json_str_or(json_get(status, "phase"), "");
	const char *hostname = json_str_or(json_path(doc, "spec.hostname"), "");
	b->ip = machine_pod_address(doc);
	b->second_ip = "";
	if (!b->ip[0] || streq(phase, "Succeeded") || streq(phase, "Failed"))
		return false;
	b->node = json_str_or(json_get(status, "nodeName"), "");
	b->serving = condition_is(json_get(status, "conditions"), "Ready", "True");
	b->hostname = hostname[0] && streq(json_path_str(doc, "spec.subdomain"), service->name)
			      ? hostname
			      : "";
	return true;
}

static int by_ports(const void *pa, const void *pb)
{
	const struct backend *a = pa, *b = pb;
	int r = strcmp(a->port_key, b->port_key);
	if (!r)
		r = strcmp(a->object->kind->kind, b->object->kind->kind);
	return r ? r : strcmp(a->object->name, b->object->name);
}

static bool has_family(const struct json *families, bool ipv6)
{
	JSON_FOR_EACH_ITEM(f, families)
		if (streq(json_str(f), ipv6 ? "IPv6" : "IPv4"))
			return true;
	return !json_count(families);
}

bool backends_primary_is_ipv6(const struct json *service)
{
	return streq(json_str(json_at(json_path(service, "spec.ipFamilies"), 0)), "IPv6");
}

size_t backends_find(struct backends *bs, struct arena *a, const struct object *service,
	const struct json *doc, struct backend **ret)
{
	struct json *ports = json_path(doc, "spec.ports");
	bool publish_all = json_path_bool(doc, "spec.publishNotReadyAddresses", false);
	struct object **pods, **machines;
	size_t pod_count = informer_list(bs->pods, service->namespace, a, &pods);
	size_t machine_count = informer_list(bs->machines, service->namespace, a, &machines);
	const struct json *families = json_path(doc, "spec.ipFamilies");
	struct backend *found =
		arena_alloc(a, (2 * (pod_count + machine_count) + 1) * sizeof(*found));
	size_t count = 0;
	for (size_t n = 0; n < pod_count + machine_count; n++) {
		bool is_pod = n < pod_count;
		struct backend b = {.object = is_pod ? pods[n] : machines[n - pod_count]};
		if (!selects(bs, service, b.object))
			continue;
		if (is_pod ? !read_pod(bs, service, &b) : !read_machine(a, service, &b))
			continue;
		b.terminating = b.object->deleting;
		b.ready = publish_all || (b.serving && !b.terminating);
		for (int second = 0; second < 2; second++) {
			struct backend one = b;
			if (second)
				one.ip = b.second_ip;
			one.ipv6 = strchr(one.ip, ':') != NULL;
			if (one.ip[0] && has_family(families, one.ipv6) &&
				resolve_ports(a, ports, &one))
				found[count++] = one;
			if (!b.second_ip[0] || !json_count(families))
				break;
		}
	}
	if (count > 1)
		qsort(found, count, sizeof(*found), by_ports);
	*ret = found;
	return count;
}

struct json *backend_target(struct arena *a, const struct backend *b)
{
	struct json *ref = json_new_object(a);
	json_set_str(a, ref, "kind", b->object->kind->kind);
	json_set_str(a, ref, "namespace", b->object->namespace);
	json_set_str(a, ref, "name", b->object->name);
	json_set_str(a, ref, "uid", b->object->uid);
	/* Readers take a target without apiVersion for a core kind. */
	if (b->object->kind->group[0])
		json_set_str(a, ref, "apiVersion", b->object->kind->gv);
	return ref;
}

struct json *backend_ports(struct arena *a, const struct backend *b)
{
	struct json *ports = json_new_array(a);
	for (size_t n = 0; n < b->port_count; n++) {
		const struct backend_port *p = &b->ports[n];
		struct json *port = json_new_object(a);
		if (p->name[0])
			json_set_str(a, port, "name", p->name);
		json_set_int(a, port, "port", p->port);
		json_set_str(a, port, "protocol", p->protocol);
		if (p->app_protocol)
			json_set_str(a, port, "appProtocol", p->app_protocol);
		json_push(a, ports, port);
	}
	return ports;
}

struct json *backends_labels(struct arena *a, const struct json *service)
{
	struct json *has = json_path(service, "metadata.labels");
	struct json *labels = has ? json_copy(a, has) : json_new_object(a);
	if (streq(json_path_str(service, "spec.clusterIP"), "None"))
		json_set_str(a, labels, "service.kubernetes.io/headless", "");
	return labels;
}
