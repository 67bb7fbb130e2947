#include "node/net/service/services.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "node/net/service/service_health.h"
#include "node/net/service/service_map.h"
#include "node/net/service/service_rules.h"

#define SERVICE_NAME_LABEL "kubernetes.io/service-name"
#define RESYNC_PAUSE_MS 1000
#define FORGET_MAX 100000

/* The slices of one service; there may be several, also from different authors. */
struct slices {
	VEC(struct object *) items;
};

struct services {
	struct node *node;
	struct netd_client *netd;
	struct service_map *map;
	struct service_healths *health;
	char *zone;  /* of this node; NULL = none */
	bool has[2]; /* IPv4, IPv6 */
	struct informer *services, *slices;
	struct table slices_of; /* "namespace/service" -> struct slices */
	struct table waiting;	/* services that could not have an address yet -> themselves */
	bool services_synced, slices_synced;
	bool live;   /* the kernel has all of map; changes are sent as they come */
	bool wanted; /* netd is ready for a full synchronisation */
	/* Changes of this turn of the loop: one message, in which each service occurs once (netd
	 * removes all that a message removes before it adds). */
	netd_ops gathered;
	struct table gathered_keys; /* services with changes in it -> themselves */
	uv_timer_t soon;
	unsigned open;			/* handles */
	uint32_t full_first, full_last; /* serials of the last full synchronisation */
	netd_ops full;			/* what it said, until it is answered */
	unsigned refused;		/* times that it was refused, one after the other */
	struct table left_out;		/* services that netd refuses -> themselves */
	uv_timer_t retry;
};

static bool set_service(struct services *s, const char *key, const struct object *o, netd_ops *ops)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct slices *slices = table_get(&s->slices_of, key);
	struct service_health health = {.port = 0};
	struct service_place place = {
		.node = s->node->name, .zone = s->zone, .has = {s->has[0], s->has[1]}};
	struct service_desc d;
	struct json **docs;
	size_t count = slices ? slices->items.count : 0;

	if (!o || table_get(&s->left_out, key)) {
		service_health_set(s->health, key, &health);
		return service_map_set(s->map, key, NULL, ops);
	}
	docs = arena_zalloc(&a, sizeof(*docs) * (count + 1));
	for (size_t i = 0; i < count; i++)
		docs[i] = object_doc(slices->items.items[i], &a);
	service_rules_build(&a, object_doc(o, &a), docs, count, &place, &d, &health);
	service_health_set(s->health, key, &health);
	return service_map_set(s->map, key, d.front_count ? &d : NULL, ops);
}

static void forget_gathered(struct services *s)
{
	uv_timer_stop(&s->soon);
	VEC_FINISH(&s->gathered);
	table_finish(&s->gathered_keys);
}

static void send_gathered(struct services *s)
{
	uint32_t first, last;

	if (!s->live)
		return; /* everything will be sent, with what is to be forgotten */
	if (s->gathered.count &&
		!netd_client_send_ops(s->netd, s->gathered.items, s->gathered.count, &first, &last))
		s->live = false; /* netd is gone: `fresh` will come */
	else
		forget_gathered(s);
}

static void on_soon(uv_timer_t *t)
{
	send_gathered(t->data);
}

static void gather(struct services *s, const char *key, const netd_ops *ops)
{
	if (!ops->count)
		return;
	/* While netd is away only connections to be forgotten are more than what everything says.
	 */
	for (size_t i = 0; i < ops->count; i++)
		if (s->live ||
			(ops->items[i].type == NETD_FORGET && s->gathered.count < FORGET_MAX))
			VEC_PUSH(&s->gathered, ops->items[i]);
	if (!s->live)
		return;
	table_set(&s->gathered_keys, key, s);
	if (!uv_is_active((uv_handle_t *)&s->soon))
		uv_timer_start(&s->soon, on_soon, 0, 0);
}

static void update(struct services *s, const char *key)
{
	netd_ops ops = {0};
	const char *slash = strchr(key, '/');
	_cleanup_(free_p) char *ns = xstrndup(key, (size_t)(slash - key));
	struct object *o = informer_get(s->services, ns, slash + 1);

	if (table_get(&s->gathered_keys, key))
		send_gathered(s);
	bool has_all = set_service(s, key, o, &ops);
	gather(s, key, &ops);
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
	for (size_t i = 0; i < s->gathered.count; i++)
		if (s->gathered.items[i].type == NETD_FORGET)
			VEC_PUSH(&ops, s->gathered.items[i]);
	forget_gathered(s);
	s->live =
		netd_client_send_ops(s->netd, ops.items, ops.count, &s->full_first, &s->full_last);
	s->wanted = false;
	service_healths_proxy(s->health, s->live);
	VEC_FINISH(&s->full);
	s->full = ops;
	log_debug(
		"all services sent to netd", "elements", log_i64(count, (int64_t)ops.count), NULL);
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

/* One service that netd will not have must not keep all others away. It is tried again when it
 * changes. */
static bool leave_out(struct services *s, const char *text)
{
	size_t n;

	if (s->full_first != s->full_last || sscanf(text, "operation %zu:", &n) != 1 ||
		n >= s->full.count)
		return false;
	const char *owner = service_map_owner(s->map, &s->full.items[n]);
	if (!owner)
		return false;
	_cleanup_(free_p) char *key = xstrdup(owner);
	const char *slash = strchr(key, '/');
	_cleanup_(free_p) char *ns = xstrndup(key, (size_t)(slash - key));
	const struct object *o = informer_get(s->services, ns, slash + 1);
	log_warn("a service is left out, since netd refuses it", "service", key, "error", text,
		NULL);
	if (o)
		client_event(s->node->client, o, NULL, "Warning", "ServiceLeftOut",
			"node %s does not serve this service until it changes: %s", s->node->name,
			text);
	table_set(&s->left_out, key, s);
	update(s, key);
	serve_waiting(s);
	return true;
}

void services_result(struct services *s, uint32_t serial, int code, const char *text)
{
	bool full = serial >= s->full_first && serial <= s->full_last;
	unsigned pause = 0;

	if (code == 0) {
		if (full && serial == s->full_last) {
			s->refused = 0;
			VEC_FINISH(&s->full);
		}
		return;
	}
	/* The kernel's table is not what we thought: begin anew, after a pause if even that failed.
	 */
	log_warn("netd refused changes of services", "error", text, NULL);
	s->live = false;
	s->wanted = false;
	service_healths_proxy(s->health, false);
	if (full && s->refused++ && leave_out(s, text))
		s->refused = 1; /* the next one is left out at once */
	else if (full)
		pause = RESYNC_PAUSE_MS << MIN(s->refused - 1, 5u);
	if (!uv_is_active((uv_handle_t *)&s->retry))
		uv_timer_start(&s->retry, on_retry, pause, 0);
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
	table_remove(&s->left_out, key);
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
	table_remove(&s->left_out, was);
	table_remove(&s->left_out, is);
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

void services_set_place(struct services *s, const char *zone, bool v4, bool v6)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	size_t count;

	if (streq(zone ? zone : "", s->zone ? s->zone : "") && s->has[0] == v4 && s->has[1] == v6)
		return;
	free(s->zone);
	s->zone = zone ? xstrdup(zone) : NULL;
	s->has[0] = v4;
	s->has[1] = v6;
	count = informer_list(s->services, NULL, &a, &list);
	for (size_t i = 0; i < count; i++) {
		char key[512];

		key_of(list[i], list[i]->name, key);
		update(s, key);
	}
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
	s->health = service_healths_create(n->loop);
	s->has[0] = true;
	uv_timer_init(n->loop, &s->retry);
	uv_timer_init(n->loop, &s->soon);
	s->retry.data = s->soon.data = s;
	s->open = 2;
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
	struct services *s = h->data;

	if (--s->open == 0)
		free(s);
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
	table_finish(&s->left_out);
	VEC_FINISH(&s->full);
	service_map_destroy(s->map);
	service_healths_destroy(s->health);
	free(s->zone);
	forget_gathered(s);
	uv_close((uv_handle_t *)&s->retry, freed);
	uv_close((uv_handle_t *)&s->soon, freed);
}
