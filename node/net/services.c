#include "node/net/services.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "node/net/service_map.h"

#define SERVICE_NAME_LABEL "kubernetes.io/service-name"
#define PROXY_NAME_LABEL "service.kubernetes.io/service-proxy-name"
#define RESYNC_PAUSE_MS 1000
#define TARGETS_MAX (1u << 18) /* of all ports of one service */

/* The slices of one service; there may be several, also from different authors. */
struct slices {
	VEC(struct object *) items;
};

struct services {
	struct node *node;
	struct netd_client *netd;
	struct service_map *map;
	struct informer *services, *slices;
	struct table slices_of; /* "namespace/service" -> struct slices */
	struct table waiting;	/* services that could not have an address yet -> themselves */
	bool services_synced, slices_synced;
	bool live;   /* the kernel has all of map; changes are sent as they come */
	bool wanted; /* netd is ready for a full synchronisation */
	uint32_t full_serial;
	uv_timer_t retry;
};

static struct service_target parse_address(const char *text, uint16_t port)
{
	struct in_addr in;

	if (!text || inet_pton(AF_INET, text, &in) != 1)
		in.s_addr = 0;
	return (struct service_target){.address = in.s_addr, .port = port};
}

static uint8_t protocol(const char *name)
{
	return !name || streq(name, "TCP") ? IPPROTO_TCP : streq(name, "UDP") ? IPPROTO_UDP : 0;
}

typedef VEC(struct service_target) targets;

/* Ready endpoints of the service port named `name`. */
static void add_targets(const struct json *slice, const char *name, uint8_t proto, targets *out)
{
	int64_t number = 0;

	if (!streq(json_str(json_get(slice, "addressType")), "IPv4"))
		return;
	JSON_FOR_EACH_ITEM(p, json_get(slice, "ports"))
		if (streq(json_str_or(json_get(p, "name"), ""), name) &&
			protocol(json_str(json_get(p, "protocol"))) == proto)
			number = json_int_or(json_get(p, "port"), 0);
	if (number < 1 || number > 65535)
		return;
	JSON_FOR_EACH_ITEM(e, json_get(slice, "endpoints")) {
		struct service_target t;

		if (!json_path_bool(e, "conditions.ready", true))
			continue;
		/* "Clients must not use more than the first": API reference, Endpoint.addresses. */
		t = parse_address(json_str(json_at(json_get(e, "addresses"), 0)), (uint16_t)number);
		if (t.address && ntohl(t.address) >> 24 != 127 && ntohl(t.address) >> 24 < 224)
			VEC_PUSH(out, t);
	}
}

static bool proxied(const struct object *o, const struct json *spec)
{
	const char *ip = json_str(json_get(spec, "clusterIP"));

	return !streq(json_str(json_get(spec, "type")), "ExternalName") && ip &&
	       !streq(ip, "None") && !object_label(o, PROXY_NAME_LABEL);
}

static int64_t affinity_seconds(const struct json *spec)
{
	if (!streq(json_str(json_get(spec, "sessionAffinity")), "ClientIP"))
		return 0;
	return json_path_int(spec, "sessionAffinityConfig.clientIP.timeoutSeconds", 10800);
}

static bool set_service(struct services *s, const char *key, const struct object *o, netd_ops *ops)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct slices *slices = table_get(&s->slices_of, key);
	struct json *spec, *ports, **docs;
	struct service_port *list;
	targets *of_port;
	struct service_desc d = {0};
	size_t target_count = 0;
	bool all;

	if (!o)
		return service_map_set(s->map, key, NULL, ops);
	spec = json_get(object_doc(o, &a), "spec");
	if (!proxied(o, spec))
		return service_map_set(s->map, key, NULL, ops);
	docs = arena_zalloc(&a, sizeof(*docs) * ((slices ? slices->items.count : 0) + 1));
	for (size_t i = 0; slices && i < slices->items.count; i++)
		docs[i] = object_doc(slices->items.items[i], &a);
	ports = json_get(spec, "ports");
	list = arena_zalloc(&a, sizeof(*list) * (json_count(ports) + 1));
	of_port = arena_zalloc(&a, sizeof(*of_port) * (json_count(ports) + 1));
	d.address = parse_address(json_str(json_get(spec, "clusterIP")), 0).address;
	d.affinity = netd_affinity_step(affinity_seconds(spec));
	d.ports = list;
	JSON_FOR_EACH_ITEM(p, ports) {
		struct service_port *port = &list[d.port_count];
		int64_t number = json_int_or(json_get(p, "port"), 0);
		int64_t node_port = json_int_or(json_get(p, "nodePort"), 0);

		port->proto = protocol(json_str(json_get(p, "protocol")));
		if (!port->proto || number < 1 || number > 65535 || node_port < 0 ||
			node_port > 65535)
			continue; /* SCTP: not offered */
		port->port = (uint16_t)number;
		port->node_port = streq(json_str(json_get(spec, "type")), "ClusterIP")
					  ? 0
					  : (uint16_t)node_port;
		for (size_t i = 0; docs[i]; i++)
			add_targets(docs[i], json_str_or(json_get(p, "name"), ""), port->proto,
				&of_port[d.port_count]);
		port->targets = of_port[d.port_count].items;
		port->target_count = of_port[d.port_count].count;
		target_count += port->target_count;
		d.port_count++;
		if (target_count > TARGETS_MAX) {
			log_warn("a service has more ports and endpoints than are offered",
				"service", key, NULL);
			break;
		}
	}
	all = service_map_set(s->map, key, &d, ops);
	for (size_t i = 0; i < d.port_count; i++)
		VEC_FINISH(&of_port[i]);
	return all;
}

static void send_ops(struct services *s, const netd_ops *ops)
{
	if (s->live && ops->count &&
		!netd_client_send(s->netd, NETD_OPS, ops->items, ops->count * sizeof(*ops->items)))
		s->live = false; /* netd is gone: `fresh` will come */
}

static void update(struct services *s, const char *key)
{
	netd_ops ops = {0};
	const char *slash = strchr(key, '/');
	_cleanup_(free_p) char *ns = xstrndup(key, (size_t)(slash - key));
	struct object *o = informer_get(s->services, ns, slash + 1);
	bool has_all = set_service(s, key, o, &ops);

	send_ops(s, &ops);
	if (has_all)
		table_remove(&s->waiting, key);
	else
		table_set(&s->waiting, key, s);
	VEC_FINISH(&ops);
}

/* A service that went may have held what another one waits for. */
static void serve_waiting(struct services *s)
{
	VEC(char *) keys = {0};

	for (struct table_iter i = table_iterate(&s->waiting); table_next(&i);)
		VEC_PUSH(&keys, xstrdup(i.key));
	for (size_t i = 0; i < keys.count; i++) {
		update(s, keys.items[i]);
		free(keys.items[i]);
	}
	VEC_FINISH(&keys);
}

static void full_sync(struct services *s)
{
	netd_ops ops = {0};
	char count[24];

	if (!s->wanted || !s->services_synced || !s->slices_synced)
		return;
	service_map_all(s->map, &ops);
	s->full_serial =
		netd_client_send(s->netd, NETD_OPS, ops.items, ops.count * sizeof(*ops.items));
	s->live = s->full_serial != 0;
	s->wanted = false;
	log_debug(
		"all services sent to netd", "elements", log_i64(count, (int64_t)ops.count), NULL);
	VEC_FINISH(&ops);
}

void services_resync(struct services *s)
{
	s->wanted = true;
	s->live = false;
	uv_timer_stop(&s->retry);
	full_sync(s);
}

static void on_retry(uv_timer_t *t)
{
	services_resync(t->data);
}

void services_result(struct services *s, uint32_t serial, int code, const char *text)
{
	if (code == 0)
		return;
	/* The kernel's table is not what we thought: begin anew, after a pause if even that failed.
	 */
	log_warn("netd refused changes of services", "error", text, NULL);
	s->live = false;
	s->wanted = false;
	if (!uv_is_active((uv_handle_t *)&s->retry))
		uv_timer_start(
			&s->retry, on_retry, serial == s->full_serial ? RESYNC_PAUSE_MS : 0, 0);
}

static void key_of(const struct object *o, const char *name, char ret[512])
{
	snprintf(ret, 512, "%s/%s", o->namespace, name);
}

static void service_changed(void *user, const struct object *old, const struct object *new)
{
	struct services *s = user;
	const struct object *o = new ? new : old;
	char key[512];

	key_of(o, o->name, key);
	update(s, key);
	if (!new) {
		table_remove(&s->waiting, key);
		serve_waiting(s);
	}
}

static void forget_slice(struct services *s, const struct object *o, char key[512])
{
	const char *service = object_label(o, SERVICE_NAME_LABEL);
	struct slices *list;

	key[0] = '\0';
	if (!service)
		return;
	key_of(o, service, key);
	list = table_get(&s->slices_of, key);
	for (size_t i = 0; list && i < list->items.count; i++) {
		if (!streq(list->items.items[i]->uid, o->uid))
			continue;
		object_unref(list->items.items[i]);
		VEC_REMOVE(&list->items, i);
		break;
	}
	if (list && !list->items.count) {
		table_remove(&s->slices_of, key);
		VEC_FINISH(&list->items);
		free(list);
	}
}

static void slice_changed(void *user, const struct object *old, const struct object *new)
{
	struct services *s = user;
	const char *service = new ? object_label(new, SERVICE_NAME_LABEL) : NULL;
	char was[512] = "", is[512] = "";

	if (old)
		forget_slice(s, old, was);
	if (new &&service) {
		struct slices *list;

		forget_slice(s, new, is); /* told twice */
		key_of(new, service, is);
		list = table_get(&s->slices_of, is);
		if (!list) {
			list = xcalloc(1, sizeof(*list));
			table_set(&s->slices_of, is, list);
		}
		VEC_PUSH(&list->items, object_ref((struct object *)new));
	}
	if (*was && !streq(was, is))
		update(s, was);
	if (*is)
		update(s, is);
}

static void services_listed(void *user)
{
	struct services *s = user;

	s->services_synced = true;
	full_sync(s);
}

static void slices_listed(void *user)
{
	struct services *s = user;

	s->slices_synced = true;
	full_sync(s);
}

struct services *services_create(struct node *n, struct netd_client *netd)
{
	static const struct informer_handler on_service = {
		.changed = service_changed, .synced = services_listed};
	static const struct informer_handler on_slice = {
		.changed = slice_changed, .synced = slices_listed};
	struct services *s = xcalloc(1, sizeof(*s));

	s->node = n;
	s->netd = netd;
	s->map = service_map_create();
	uv_timer_init(n->loop, &s->retry);
	s->retry.data = s;
	s->services = informer_create(
		n->client, kind_by_name(n->kinds, "", "v1", "Service"), NULL, NULL, NULL);
	s->slices = informer_create(n->client,
		kind_by_name(n->kinds, "discovery.k8s.io", "v1", "EndpointSlice"), NULL, NULL,
		NULL);
	informer_add_handler(s->services, &on_service, s);
	informer_add_handler(s->slices, &on_slice, s);
	informer_start(s->services);
	informer_start(s->slices);
	return s;
}

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void services_destroy(struct services *s)
{
	if (!s)
		return;
	informer_destroy(s->services);
	informer_destroy(s->slices);
	for (struct table_iter i = table_iterate(&s->slices_of); table_next(&i);) {
		struct slices *list = i.value;

		for (size_t n = 0; n < list->items.count; n++)
			object_unref(list->items.items[n]);
		VEC_FINISH(&list->items);
		free(list);
	}
	table_finish(&s->slices_of);
	table_finish(&s->waiting);
	service_map_destroy(s->map);
	uv_close((uv_handle_t *)&s->retry, freed);
}
