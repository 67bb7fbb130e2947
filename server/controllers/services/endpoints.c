#include "server/controllers/services/backends.h"
#include "server/controllers/meta.h"

#define CHANGE_TIME "endpoints.kubernetes.io/last-change-trigger-time"
#define OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"
#define ADDRESSES_MAX 1000 /* in all subsets together; the rest is only in slices */

struct endpoints {
	struct loop *loop;
	struct informer *objects;
	struct backends *backends;
};

static int by_ip(const void *pa, const void *pb)
{
	const struct json *a = *(struct json *const *)pa, *b = *(struct json *const *)pb;
	int r = strcmp(json_str_or(json_get(a, "ip"), ""), json_str_or(json_get(b, "ip"), ""));
	return r ? r
		 : strcmp(json_str_or(json_path(a, "targetRef.uid"), ""),
			   json_str_or(json_path(b, "targetRef.uid"), ""));
}

static struct json *address(struct arena *a, const struct backend *b)
{
	struct json *address = json_new_object(a);
	json_set_str(a, address, "ip", b->ip);
	if (b->hostname[0])
		json_set_str(a, address, "hostname", b->hostname);
	if (b->node[0])
		json_set_str(a, address, "nodeName", b->node);
	json_set(a, address, "targetRef", backend_target(a, b));
	return address;
}

static void add_addresses(
	struct arena *a, struct json *subset, const char *name, struct json *addresses)
{
	if (!json_count(addresses))
		return;
	qsort(json_items(addresses), json_count(addresses), sizeof(struct json *), by_ip);
	json_set(a, subset, name, addresses);
}

/* One subset for each set of equal ports. Ready addresses have the first claim on the limited room.
 */
static struct json *make_subsets(
	struct arena *a, const struct backend *found, size_t count, bool *ret_truncated)
{
	struct json *subsets = json_new_array(a);
	size_t room = ADDRESSES_MAX, ready_total = 0;
	for (size_t n = 0; n < count; n++)
		ready_total += found[n].ready;
	size_t unready_room = ready_total < room ? room - ready_total : 0;
	*ret_truncated = count > room;
	for (size_t first = 0, end; first < count; first = end) {
		struct json *ready = json_new_array(a), *unready = json_new_array(a);
		for (end = first; end < count && streq(found[end].port_key, found[first].port_key);
			end++) {
			size_t *left = found[end].ready ? &room : &unready_room;
			if (!*left)
				continue;
			(*left)--;
			json_push(a, found[end].ready ? ready : unready, address(a, &found[end]));
		}
		if (!json_count(ready) && !json_count(unready))
			continue;
		struct json *subset = json_new_object(a);
		add_addresses(a, subset, "addresses", ready);
		add_addresses(a, subset, "notReadyAddresses", unready);
		if (found[first].port_count)
			json_set(a, subset, "ports", backend_ports(a, &found[first]));
		json_push(a, subsets, subset);
	}
	return subsets;
}

static bool is_empty(const struct json *v)
{
	return json_count(v) == 0;
}

static bool same(const struct json *is, const struct json *wanted)
{
	return (is_empty(is) && is_empty(wanted)) || json_equal(is, wanted);
}

static void set_annotations(struct sync *s, struct json *doc, bool truncated)
{
	struct arena *a = &s->arena;
	struct json *annotations =
		json_object_at(a, json_object_at(a, doc, "metadata"), "annotations");
	json_set(a, annotations, CHANGE_TIME, meta_time(a, loop_wall_ns(s->loop)));
	if (truncated)
		json_set_str(a, annotations, OVER_CAPACITY, "truncated");
	else
		json_remove(annotations, OVER_CAPACITY);
}

/* Endpoints of terminating targets stay only where the service asks for all addresses; and there is
 * room for one family. */
static size_t drop_others(struct backend *found, size_t count, const struct json *service)
{
	bool ipv6 = backends_primary_is_ipv6(service);
	bool any = !json_count(json_path(service, "spec.ipFamilies"));
	size_t kept = 0;
	for (size_t n = 0; n < count; n++)
		if ((any || found[n].ipv6 == ipv6) && (found[n].ready || !found[n].terminating))
			found[kept++] = found[n];
	return kept;
}

static void reconcile(struct sync *s)
{
	struct endpoints *e = s->self;
	struct arena *a = &s->arena;
	const struct kind *kind = informer_kind(e->objects);
	struct object *service = informer_get(backends_services(e->backends), s->ns, s->name);
	struct object *present = informer_get(e->objects, s->ns, s->name);
	if (!service) {
		if (present && !present->deleting)
			sync_delete(s, present, -1, NULL, NULL, NULL);
		return;
	}
	struct json *service_doc = object_doc(service, a);
	if (!backends_selects(service_doc) || service->deleting)
		return; /* without a selector the endpoints are somebody else's */
	struct backend *found;
	size_t count = backends_find(e->backends, a, service, service_doc, &found);
	count = drop_others(found, count, service_doc);
	bool truncated;
	struct json *subsets = make_subsets(a, found, count, &truncated);
	struct json *labels = backends_labels(a, service_doc);
	if (!present) {
		struct json *doc = json_new_object(a);
		json_set_str(a, doc, "apiVersion", "v1");
		json_set_str(a, doc, "kind", "Endpoints");
		json_path_set(a, doc, "metadata.name", json_new_string(a, s->name));
		json_path_set(a, doc, "metadata.labels", labels);
		set_annotations(s, doc, truncated);
		json_set(a, doc, "subsets", subsets);
		sync_create(s, kind, s->ns, doc, NULL, NULL);
		return;
	}
	struct json *doc = object_doc(present, a);
	if (same(json_get(doc, "subsets"), subsets) &&
		same(json_path(doc, "metadata.labels"), labels))
		return;
	json_set(a, doc, "subsets", subsets);
	json_path_set(a, doc, "metadata.labels", labels);
	set_annotations(s, doc, truncated);
	sync_update(s, kind, s->ns, s->name, NULL, doc, NULL, NULL);
}

static void on_service(void *user, const struct object *service)
{
	struct endpoints *e = user;
	loop_add_object(e->loop, service);
}

static void on_endpoints(void *user, const struct object *old, const struct object *new)
{
	struct endpoints *e = user;
	const struct object *o = new ? new : old;
	/* The API server keeps its own endpoints, possibly before their service is there. */
	if (streq(o->namespace, "default") && streq(o->name, "kubernetes"))
		return;
	loop_add_object(e->loop, o);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_endpoints};
	struct endpoints *e = xcalloc(1, sizeof(*e));
	e->loop = loop_create(sh->client, "endpoint-controller", 5, reconcile, e);
	e->objects = shared_informer(sh, "", "v1", "Endpoints");
	e->backends = backends_create(sh, on_service, e);
	informer_add_handler(e->objects, &handler, e);
	return e;
}

static void start(void *self)
{
	loop_start(((struct endpoints *)self)->loop);
}

static void destroy(void *self)
{
	struct endpoints *e = self;
	loop_destroy(e->loop);
	backends_destroy(e->backends);
	free(e);
}

const struct controller_class endpoints_controller = {"endpoint", create, start, destroy};
