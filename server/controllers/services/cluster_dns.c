/* Who answers for the cluster's names: the Service kube-system/kube-dns at the tenth address of the
 * service range, and its slices, with an endpoint for each node that says it serves names
 * (condition ClusterDNSReady): the first address of its pod range.
 *
 * A Service of that name with a selector is somebody's own DNS server: then this loop keeps no
 * slices. */
#include <arpa/inet.h>
#include <inttypes.h>

#include "lib/base/log.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define NAMESPACE "kube-system"
#define SERVICE "kube-dns"
#define SLICE_PREFIX "kube-dns-nodes-"
#define MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGER "cluster-dns.hanok.io"
#define SERVICE_NAME "kubernetes.io/service-name"
#define CONDITION "ClusterDNSReady"

enum { PER_SLICE = 100, ADDRESS_OF_SERVICE = 10, RETRY_MS = 30 * 1000 };

struct cluster_dns {
	struct loop *loop;
	struct informer *services, *slices, *nodes, *ranges;
	bool told_small; /* that the service range has no tenth address */
};

/* The n-th address of a range like "10.96.0.0/16"; NULL when it is none of IPv4, or has no n-th
 * address that a host may have. */
static char *address_of(struct arena *a, const char *cidr, uint32_t n)
{
	const char *slash = strchr(cidr, '/');
	char text[INET_ADDRSTRLEN];
	struct in_addr in;
	uint64_t prefix;

	if (!slash || (size_t)(slash - cidr) >= sizeof(text))
		return NULL;
	memcpy(text, cidr, (size_t)(slash - cidr));
	text[slash - cidr] = '\0';
	if (inet_pton(AF_INET, text, &in) != 1 || parse_u64(str_from(slash + 1), &prefix) < 0 ||
		prefix > 32 || n + UINT64_C(1) >= UINT64_C(1) << (32 - prefix))
		return NULL;
	in.s_addr = htonl(ntohl(in.s_addr) + n);
	return arena_strdup(a, inet_ntop(AF_INET, &in, text, sizeof(text)));
}

static void add_port(
	struct arena *a, struct json *list, const char *name, const char *proto, int64_t port)
{
	struct json *p = json_new_object(a);

	json_set_str(a, p, "name", name);
	json_set_str(a, p, "protocol", proto);
	json_set_int(a, p, "port", port);
	json_push(a, list, p);
}

static struct json *ports(struct arena *a)
{
	struct json *list = json_new_array(a);

	add_port(a, list, "dns", "UDP", 53);
	add_port(a, list, "dns-tcp", "TCP", 53);
	add_port(a, list, "metrics", "TCP", 9153);
	return list;
}

/* ---- the Service ---- */

static const char *service_range(struct cluster_dns *d, struct arena *a)
{
	struct object *o = informer_get(d->ranges, "", "kubernetes");
	const struct json *cidrs = o ? json_path(object_doc(o, a), "spec.cidrs") : NULL;

	JSON_FOR_EACH_ITEM(c, cidrs)
		if (strchr(json_str_or(c, ""), '.'))
			return json_str(c);
	return NULL;
}

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	/* Another Service has the address, say: an administrator must see to it. */
	if (client_ok(r) || r->code == 409)
		return;
	log_warn("the Service " NAMESPACE "/" SERVICE " can't be made", "reason", r->message, NULL);
	sync_again(s, RETRY_MS);
}

static void create_service(struct sync *s, struct cluster_dns *d)
{
	struct arena *a = &s->arena;
	const char *range = service_range(d, a);
	const char *address = range ? address_of(a, range, ADDRESS_OF_SERVICE) : NULL;
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct json *labels = json_object_at(a, meta, "labels");
	struct json *spec = json_object_at(a, doc, "spec");

	if (!address) {
		if (range && !d->told_small)
			log_warn("no cluster DNS: the service range has no tenth address", "range",
				range, NULL);
		d->told_small = range != NULL;
		return;
	}
	d->told_small = false;
	json_set_str(a, meta, "name", SERVICE);
	json_set_str(a, labels, "k8s-app", "kube-dns");
	json_set_str(a, labels, "kubernetes.io/cluster-service", "true");
	json_set_str(a, labels, "kubernetes.io/name", "hanok-dns");
	json_set_str(a, spec, "clusterIP", address);
	json_set_str(a, spec, "internalTrafficPolicy", "Local");
	json_set(a, spec, "ports", ports(a));
	sync_create(s, kind_by_name(loop_client(d->loop)->kinds, "", "v1", "Service"), NAMESPACE,
		doc, on_created, NULL);
}

/* ---- the slices ---- */

static bool serves(const struct json *node)
{
	return condition_is(json_path(node, "status.conditions"), CONDITION, "True");
}

/* A node that is not heard of can't say that its DNS has ended: its Ready is Unknown then. */
static bool silent(const struct json *node)
{
	const struct json *conditions = json_path(node, "status.conditions");

	return !condition_find(conditions, "Ready") || condition_is(conditions, "Ready", "Unknown");
}

static struct json *endpoint(struct arena *a, const struct json *node, const char *address)
{
	struct json *e = json_new_object(a), *list = json_new_array(a);
	struct json *conditions = json_object_at(a, e, "conditions");

	json_push(a, list, json_new_string(a, address));
	json_set(a, e, "addresses", list);
	json_set_bool(a, conditions, "ready", !silent(node));
	json_set_str(a, e, "nodeName", json_path_str(node, "metadata.name"));
	return e;
}

static struct json *slice_doc(struct arena *a, const struct object *service, size_t n)
{
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct json *labels = json_object_at(a, meta, "labels");

	json_set_str(a, meta, "name", arena_printf(a, SLICE_PREFIX "%zu", n));
	json_set_str(a, labels, SERVICE_NAME, SERVICE);
	json_set_str(a, labels, MANAGED_BY, MANAGER);
	struct json *owners = json_new_array(a);
	json_push(a, owners, owner_reference(a, service));
	json_set(a, meta, "ownerReferences", owners);
	json_set_str(a, doc, "addressType", "IPv4");
	json_set(a, doc, "ports", ports(a));
	json_set(a, doc, "endpoints", json_new_array(a));
	return doc;
}

static bool has_port(const struct json *list, const struct json *port)
{
	JSON_FOR_EACH_ITEM(p, list)
		if (streq(json_str_or(json_get(p, "name"), ""), json_str(json_get(port, "name"))) &&
			streq(json_str_or(json_get(p, "protocol"), "TCP"),
				json_str(json_get(port, "protocol"))) &&
			json_int_or(json_get(p, "port"), 0) ==
				json_int_or(json_get(port, "port"), 0))
			return true;
	return false;
}

/* A server may have added fields: only what is said here counts. */
static bool has_ports(const struct json *have, const struct json *want)
{
	JSON_FOR_EACH_ITEM(p, want)
		if (!has_port(have, p))
			return false;
	return json_count(have) == json_count(want);
}

static void write_slice(struct sync *s, struct cluster_dns *d, struct json *wanted)
{
	struct arena *a = &s->arena;
	const char *name = json_path_str(wanted, "metadata.name");
	const struct kind *k = informer_kind(d->slices);
	struct object *have = informer_get(d->slices, NAMESPACE, name);

	if (!have) {
		sync_create(s, k, NAMESPACE, wanted, NULL, NULL);
		return;
	}
	const struct json *doc = object_doc(have, a);
	if (json_equal(json_get(doc, "endpoints"), json_get(wanted, "endpoints")) &&
		has_ports(json_get(doc, "ports"), json_get(wanted, "ports")))
		return;
	struct json *patch = json_new_object(a);
	json_set(a, patch, "endpoints", json_get(wanted, "endpoints"));
	json_set(a, patch, "ports", json_get(wanted, "ports"));
	sync_patch(s, have, NULL, patch, NULL, NULL);
}

static bool is_ours(const struct object *slice)
{
	return streq(object_label(slice, MANAGED_BY), MANAGER);
}

static void keep_slices(struct sync *s, struct cluster_dns *d, const struct object *service)
{
	struct arena *a = &s->arena;
	struct object **nodes, **slices;
	size_t count = informer_list(d->nodes, NULL, a, &nodes), served = 0, wanted = 0;
	struct json *slice = NULL;

	for (size_t i = 0; service && i < count; i++) {
		const struct json *node = object_doc(nodes[i], a);
		const char *range = json_path_str(node, "spec.podCIDR");
		const char *address = range ? address_of(a, range, 1) : NULL;
		if (!address || !serves(node))
			continue;
		if (served++ % PER_SLICE == 0) {
			if (slice)
				write_slice(s, d, slice);
			slice = slice_doc(a, service, wanted++);
		}
		json_push(a, json_get(slice, "endpoints"), endpoint(a, node, address));
	}
	if (slice)
		write_slice(s, d, slice);
	count = informer_list(d->slices, NAMESPACE, a, &slices);
	for (size_t i = 0; i < count; i++) {
		uint64_t n;
		if (!is_ours(slices[i]) || slices[i]->deleting)
			continue;
		if (!str_has_prefix(slices[i]->name, SLICE_PREFIX) ||
			parse_u64(str_from(slices[i]->name + strlen(SLICE_PREFIX)), &n) < 0 ||
			n >= wanted)
			sync_delete(s, slices[i], -1, NULL, NULL, NULL);
	}
}

static void reconcile(struct sync *s)
{
	struct cluster_dns *d = s->self;
	struct object *service = informer_get(d->services, NAMESPACE, SERVICE);

	if (!service) {
		create_service(s, d);
		keep_slices(s, d, NULL);
		return;
	}
	const struct json *doc = object_doc(service, &s->arena);
	bool own = json_count(json_path(doc, "spec.selector")) == 0 && !service->deleting;
	keep_slices(s, d, own ? service : NULL);
}

/* ---- events ---- */

static void on_service(void *user, const struct object *old, const struct object *new)
{
	struct cluster_dns *d = user;
	const struct object *o = new ? new : old;

	if (streq(o->namespace, NAMESPACE) && streq(o->name, SERVICE))
		loop_add(d->loop, NAMESPACE, SERVICE);
}

static void on_slice(void *user, const struct object *old, const struct object *new)
{
	struct cluster_dns *d = user;

	if (is_ours(new ? new : old))
		loop_add(d->loop, NAMESPACE, SERVICE);
}

/* What of a node matters here, as bits; heartbeats leave it as it is. */
static unsigned matter(const struct object *node)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = node ? object_doc(node, &a) : NULL;

	if (!doc)
		return 0;
	return 1u | (serves(doc) ? 2u : 0) | (silent(doc) ? 4u : 0) |
	       (json_path_str(doc, "spec.podCIDR") ? 8u : 0);
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct cluster_dns *d = user;

	if (matter(old) != matter(new))
		loop_add(d->loop, NAMESPACE, SERVICE);
}

static void on_range(void *user, const struct object *old, const struct object *new)
{
	loop_add(((struct cluster_dns *)user)->loop, NAMESPACE, SERVICE);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler service = {.changed = on_service},
					     slice = {.changed = on_slice},
					     node = {.changed = on_node},
					     range = {.changed = on_range};
	struct cluster_dns *d = xcalloc(1, sizeof(*d));

	d->loop = loop_create(sh->client, "cluster-dns-controller", 1, reconcile, d);
	d->services = shared_informer(sh, "", "v1", "Service");
	d->slices = shared_informer(sh, "discovery.k8s.io", "v1", "EndpointSlice");
	d->nodes = shared_informer(sh, "", "v1", "Node");
	d->ranges = shared_informer(sh, "networking.k8s.io", "v1", "ServiceCIDR");
	informer_add_handler(d->services, &service, d);
	informer_add_handler(d->slices, &slice, d);
	informer_add_handler(d->nodes, &node, d);
	informer_add_handler(d->ranges, &range, d);
	return d;
}

static void start(void *self)
{
	struct cluster_dns *d = self;

	loop_start(d->loop);
	loop_add(d->loop, NAMESPACE, SERVICE);
}

static void destroy(void *self)
{
	struct cluster_dns *d = self;

	loop_destroy(d->loop);
	free(d);
}

const struct controller_class cluster_dns_controller = {"cluster-dns", create, start, destroy};
