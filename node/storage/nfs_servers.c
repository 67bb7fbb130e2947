#include "node/storage/nfs_servers.h"

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/net/net.h"
#include "node/net/netd/netd_proto.h"
#include "node/nfs/nfs.h"
#include "node/storage/nfs_provisioner.h"

#define GATHER_MS 20
#define AGAIN_MS 300000
#define RETRY_MS 10000
#define SERVERS_MAX 256
#define PORTS_MAX 128 /* of one server, on all its addresses: the oldest ones go */

struct server {
	struct list link;
	struct nfs_servers *all;
	char *name;
	bool named;		       /* by an object, as of this look */
	bool answered;		       /* asked at least once, with whatever result */
	bool known;		       /* it has addresses */
	bool failed;		       /* the last time; told once */
	VEC(struct netd_server) ports; /* sorted by when they were first seen */
	struct nfs_call *call;	       /* under way */
	struct wakeup *again;
};

struct nfs_servers {
	struct node *n;
	struct informer *classes;
	struct list servers;
	size_t count;
	bool told_many;
	struct wakeup *look;
};

static void tell(struct nfs_servers *s)
{
	VEC(struct netd_server) all = {0};
	bool whole = true;

	LIST_FOR_EACH(one, &s->servers, struct server, link) {
		if (!one->answered) {
			VEC_FINISH(&all);
			return;
		}
		whole &= one->known;
		for (size_t i = 0; i < one->ports.count; i++)
			VEC_PUSH(&all, one->ports.items[i]);
	}
	net_trusting_set(s->n->net, all.items, all.count, whole);
	VEC_FINISH(&all);
}

/* ---- where a server is ---- */

static void add_port(
	struct server *one, const struct net_address *address, int64_t proto, int64_t port)
{
	struct netd_server p;
	struct err err = ERR_INIT;

	if ((proto != IPPROTO_TCP && proto != IPPROTO_UDP) || port <= 0 || port > UINT16_MAX)
		return;
	memset(&p, 0, sizeof(p)); /* compared as memory */
	p.address = *address;
	p.port = (uint16_t)port;
	p.proto = (uint8_t)proto;
	if (netd_check_server(&p, &err) < 0)
		return;
	for (size_t i = 0; i < one->ports.count; i++)
		if (!memcmp(&one->ports.items[i], &p, sizeof(p)))
			return;
	if (one->ports.count == PORTS_MAX)
		VEC_REMOVE(&one->ports, 0);
	VEC_PUSH(&one->ports, p);
}

/* Those of rpcbind, NFS and mountd by registration, and what the server's rpcbind says. */
static void add_ports(
	struct server *one, const struct net_address *address, const struct json *said)
{
	static const uint16_t usual[] = {111, 2049, 20048};

	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		add_port(one, address, IPPROTO_TCP, usual[i]);
		add_port(one, address, IPPROTO_UDP, usual[i]);
	}
	JSON_FOR_EACH_ITEM(p, said)
		add_port(one, address, json_int_or(json_get(p, "proto"), 0),
			json_int_or(json_get(p, "port"), 0));
}

static void ask(struct server *one);

static void on_again(void *user)
{
	ask(user);
}

static void on_ports(void *user, const struct json *answer, const struct err *err)
{
	static const struct net_address any;
	struct server *one = user;

	one->call = NULL;
	one->answered = true;
	JSON_FOR_EACH_ITEM(it, json_get(answer, "addresses")) {
		const struct json *said = json_get(it, "ports");
		struct net_address address;

		if (net_address_parse(json_str(json_get(it, "address")), &address) < 0)
			continue;
		one->known = true;
		add_ports(one, &address, said);
		if (json_bool_or(json_get(it, "own"), false))
			add_ports(one, &any, said);
	}
	if (err && !one->failed)
		log_warn("pods are not kept from an NFS server whose address is not known",
			"server", one->name, "problem", err->msg, NULL);
	one->failed = err;
	wakeup_in(one->again, err ? RETRY_MS : AGAIN_MS);
	tell(one->all);
}

static void ask(struct server *one)
{
	struct nfs_place place = {.server = one->name, .path = "/"};

	one->call = nfs_call(one->all->n->loop, &place, "ports", NULL, NULL, on_ports, one);
}

/* ---- which there are ---- */

static void server_destroy(struct server *one)
{
	list_remove(&one->link);
	one->all->count--;
	nfs_call_cancel(one->call);
	wakeup_destroy(one->again);
	VEC_FINISH(&one->ports);
	free(one->name);
	free(one);
}

static void name_server(struct nfs_servers *s, const char *name, const char *path)
{
	struct err err = ERR_INIT;
	struct server *one;

	/* What is no server's name is refused where it would be used, too. */
	if (nfs_place_check(name, path, &err) < 0)
		return;
	LIST_FOR_EACH(have, &s->servers, struct server, link)
		if (!strcasecmp(have->name, name)) {
			have->named = true;
			return;
		}
	if (s->count >= SERVERS_MAX) {
		if (!s->told_many)
			log_warn("more NFS servers than are kept from pods", NULL);
		s->told_many = true;
		return;
	}
	one = xcalloc(1, sizeof(*one));
	one->all = s;
	one->name = xstrdup(name);
	one->named = true;
	one->again = wakeup_create(s->n->loop, s->n->clock, on_again, one);
	list_append(&s->servers, &one->link);
	s->count++;
	ask(one);
}

static void look_at(struct nfs_servers *s, struct informer *informer, bool classes)
{
	_cleanup_(arena_finish) struct arena list_arena = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(informer, NULL, &list_arena, &list);

	for (size_t i = 0; i < count; i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct json *doc = object_doc(list[i], &a);
		const struct json *nfs = json_path(doc, classes ? "parameters" : "spec.nfs");

		if (nfs && (!classes ||
				   streq(json_str(json_get(doc, "provisioner")), NFS_PROVISIONER)))
			name_server(s, json_str(json_get(nfs, "server")),
				json_str(json_get(nfs, classes ? "share" : "path")));
	}
}

static void on_look(void *user)
{
	struct nfs_servers *s = user;

	if (!informer_synced(s->n->volumes) || !informer_synced(s->classes))
		return;
	LIST_FOR_EACH(one, &s->servers, struct server, link)
		one->named = false;
	look_at(s, s->n->volumes, false);
	look_at(s, s->classes, true);
	LIST_FOR_EACH(one, &s->servers, struct server, link)
		if (!one->named)
			server_destroy(one);
	tell(s);
}

static void look_soon(struct nfs_servers *s)
{
	if (!wakeup_armed(s->look))
		wakeup_in(s->look, GATHER_MS);
}

static void on_volume(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (json_path(object_doc(new ? new : old, &a), "spec.nfs"))
		look_soon(user);
}

static void on_class(void *user, const struct object *old, const struct object *new)
{
	look_soon(user);
}

static void on_synced(void *user)
{
	look_soon(user);
}

struct nfs_servers *nfs_servers_create(struct node *n, struct informer *classes, bool allowed)
{
	static const struct informer_handler on_volumes = {
		.changed = on_volume, .synced = on_synced};
	static const struct informer_handler on_classes = {
		.changed = on_class, .synced = on_synced};
	struct nfs_servers *s;

	if (allowed) {
		net_trusting_set(n->net, NULL, 0, true);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->n = n;
	s->classes = classes;
	list_init(&s->servers);
	s->look = wakeup_create(n->loop, n->clock, on_look, s);
	informer_add_handler(n->volumes, &on_volumes, s);
	informer_add_handler(classes, &on_classes, s);
	return s;
}

void nfs_servers_destroy(struct nfs_servers *s)
{
	if (!s)
		return;
	LIST_FOR_EACH(one, &s->servers, struct server, link)
		server_destroy(one);
	wakeup_destroy(s->look);
	free(s);
}
