#include "node/net/service/host_ports.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "node/net/service/service_map.h" /* netd_ops */

#define PORTS_MAX 4096 /* of one owner */
#define RETRY_MS 1000

struct owner {
	char *name;
	struct net_host_port *ports;
	size_t count;
	bool waits; /* for a port that another one has, or for its own other one; was told */
};

struct host_ports {
	struct netd_client *netd;
	VEC(struct owner) owners; /* oldest first */
	netd_ops held;		  /* what the kernel has, by key */
	bool has[2];
	bool complete, wanted, live;
	VEC(uint32_t) sent; /* serials of ours that are not answered, oldest first */
	uint32_t full;	    /* of the last one with everything */
	uv_timer_t retry;
};

struct host_ports *host_ports_create(uv_loop_t *loop, struct netd_client *netd)
{
	struct host_ports *h = xcalloc(1, sizeof(*h));

	h->netd = netd;
	uv_timer_init(loop, &h->retry);
	h->retry.data = h;
	h->has[0] = true;
	return h;
}

static void freed(uv_handle_t *t)
{
	free(t->data);
}

void host_ports_destroy(struct host_ports *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->owners.count; i++) {
		free(h->owners.items[i].name);
		free(h->owners.items[i].ports);
	}
	VEC_FINISH(&h->owners);
	VEC_FINISH(&h->held);
	VEC_FINISH(&h->sent);
	uv_close((uv_handle_t *)&h->retry, freed);
}

static int by_key(const struct netd_op *a, const struct netd_op *b)
{
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	if (a->address.family != b->address.family)
		return a->address.family < b->address.family ? -1 : 1;
	return memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
}

struct wanted {
	struct netd_op op;
	size_t at, owner;
};

/* Of the same key the oldest first. */
static int by_key_and_age(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	int r = by_key(&x->op, &y->op);

	return r ? r : x->at < y->at ? -1 : x->at > y->at;
}

static bool same_target(const struct netd_op *a, const struct netd_op *b)
{
	return a->to_port == b->to_port && net_address_eq(&a->to, &b->to);
}

static void tell_waits(struct owner *o, const struct owner *has, uint16_t port)
{
	char number[8];

	if (o->waits)
		return;
	snprintf(number, sizeof(number), "%u", port);
	log_warn("a port of this node is another's, and leads there until that lets go", "port",
		number, "wants", o->name, "has", has->name, NULL);
}

/* By key, each once. */
static void want_all(struct host_ports *h, netd_ops *ret)
{
	_cleanup_(free_p) bool *waits = xcalloc(h->owners.count + 1, sizeof(*waits));
	VEC(struct wanted) all = {0};
	size_t winner = 0;

	for (size_t i = 0; i < h->owners.count; i++) {
		const struct owner *o = &h->owners.items[i];

		for (size_t k = 0; k < o->count; k++) {
			const struct net_host_port *p = &o->ports[k];
			struct netd_op op = {.type = NETD_HOST_PORT,
				.proto = p->proto,
				.port = p->port,
				.to_port = p->to_port,
				.address = p->address,
				.to = p->to};

			op.address.family = p->to.family;
			if (h->has[p->to.family == AF_INET6])
				VEC_PUSH(&all, ((struct wanted){op, all.count, i}));
		}
	}
	if (all.count)
		qsort(all.items, all.count, sizeof(*all.items), by_key_and_age);
	for (size_t i = 0; i < all.count; i++) {
		size_t owner = all.items[i].owner;

		if (i == 0 || by_key(&all.items[winner].op, &all.items[i].op) != 0) {
			winner = i;
			VEC_PUSH(ret, all.items[i].op);
		} else if (!same_target(&all.items[winner].op, &all.items[i].op) && !waits[owner]) {
			waits[owner] = true;
			tell_waits(&h->owners.items[owner],
				&h->owners.items[all.items[winner].owner], all.items[i].op.port);
		}
	}
	for (size_t i = 0; i < h->owners.count; i++)
		h->owners.items[i].waits = waits[i];
	VEC_FINISH(&all);
}

static void send_ops(struct host_ports *h, const netd_ops *ops)
{
	uint32_t serial;

	if (!ops->count)
		return;
	serial = netd_client_send(h->netd, NETD_OPS, ops->items, ops->count * sizeof(*ops->items));
	if (serial)
		VEC_PUSH(&h->sent, serial);
	else
		h->live = false; /* netd is gone: it will be new */
}

/* An endpoint of UDP that is gone must not hold its clients. */
static void push_forget(netd_ops *ops, const struct netd_op *like)
{
	struct netd_op op = *like;

	if (op.proto != IPPROTO_UDP)
		return;
	op.type = NETD_FORGET;
	op.to = (struct net_address){.family = 0};
	op.to_port = 0;
	VEC_PUSH(ops, op);
}

static void update(struct host_ports *h)
{
	netd_ops want = {0}, ops = {0};

	if (!h->live)
		return;
	want_all(h, &want);
	for (size_t i = 0, k = 0; i < h->held.count || k < want.count;) {
		const struct netd_op *had = i < h->held.count ? &h->held.items[i] : NULL;
		const struct netd_op *has = k < want.count ? &want.items[k] : NULL;
		int order = !had ? 1 : !has ? -1 : by_key(had, has);
		bool same = order == 0 && same_target(had, has);

		i += order <= 0;
		k += order >= 0;
		if (had && order <= 0 && !same) {
			VEC_PUSH(&ops, *had);
			ops.items[ops.count - 1].remove = 1;
			push_forget(&ops, had);
		}
		if (has && order >= 0 && !same) {
			VEC_PUSH(&ops, *has);
			push_forget(&ops, has);
		}
	}
	send_ops(h, &ops);
	VEC_FINISH(&ops);
	VEC_FINISH(&h->held);
	h->held = want;
}

static void full(struct host_ports *h)
{
	netd_ops ops = {0}, want = {0};

	if (!h->wanted || !h->complete)
		return;
	h->wanted = false;
	h->live = true;
	want_all(h, &want);
	VEC_PUSH(&ops, ((struct netd_op){.type = NETD_FLUSH, .part = NETD_HOST_PORTS}));
	for (size_t i = 0; i < want.count; i++)
		VEC_PUSH(&ops, want.items[i]);
	send_ops(h, &ops);
	h->full = h->live ? h->sent.items[h->sent.count - 1] : 0;
	VEC_FINISH(&ops);
	VEC_FINISH(&h->held);
	h->held = want;
}

void host_ports_resync(struct host_ports *h)
{
	uv_timer_stop(&h->retry);
	h->wanted = true;
	h->live = false;
	full(h);
}

void host_ports_complete(struct host_ports *h)
{
	h->complete = true;
	full(h);
}

void host_ports_offer(struct host_ports *h, bool v4, bool v6)
{
	if (h->has[0] == v4 && h->has[1] == v6)
		return;
	h->has[0] = v4;
	h->has[1] = v6;
	update(h);
}

static void on_retry(uv_timer_t *t)
{
	host_ports_resync(t->data);
}

bool host_ports_result(struct host_ports *h, uint32_t serial, int code, const char *text)
{
	size_t at = 0;

	/* In between are those of services and policies. */
	while (at < h->sent.count && h->sent.items[at] != serial)
		at++;
	if (at == h->sent.count)
		return false;
	/* Answers come in order: an earlier netd owes those before. */
	h->sent.count -= at + 1;
	memmove(h->sent.items, h->sent.items + at + 1, h->sent.count * sizeof(*h->sent.items));
	if (code < 0) {
		log_warn("netd refused host ports", "error", text, NULL);
		/* A full one is tried again after a pause; what came before it is in it. */
		if (serial == h->full) {
			h->live = false;
			uv_timer_start(&h->retry, on_retry, RETRY_MS, 0);
		} else if (h->live && serial > h->full)
			host_ports_resync(h);
	}
	return true;
}

void host_ports_set(
	struct host_ports *h, const char *owner, const struct net_host_port *ports, size_t count)
{
	struct owner *o = NULL;
	size_t at;

	count = MIN(count, (size_t)PORTS_MAX);
	for (at = 0; at < h->owners.count && !o; at++)
		if (streq(h->owners.items[at].name, owner))
			o = &h->owners.items[at];
	if (!o && !count)
		return;
	if (!o) {
		VEC_PUSH(&h->owners, ((struct owner){.name = xstrdup(owner)}));
		o = &h->owners.items[h->owners.count - 1];
		at = h->owners.count;
	}
	if (o->count == count && (!count || !memcmp(o->ports, ports, count * sizeof(*ports))))
		return;
	free(o->ports);
	o->ports = NULL;
	o->count = count;
	if (count) {
		o->ports = xmalloc(count * sizeof(*ports));
		memcpy(o->ports, ports, count * sizeof(*ports));
	} else {
		free(o->name);
		VEC_REMOVE(&h->owners, at - 1);
	}
	update(h);
}

/* ---- pods ---- */

typedef VEC(struct net_host_port) port_list;

static uint8_t protocol(const char *name)
{
	return streq(name, "UDP") ? IPPROTO_UDP : streq(name, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

static void add_port(const struct json *port, const struct net_address *pod, port_list *out)
{
	int64_t number = json_int_or(json_get(port, "hostPort"), 0);
	int64_t to = json_int_or(json_get(port, "containerPort"), 0);
	struct net_host_port p = {.proto = protocol(json_str(json_get(port, "protocol"))),
		.port = (uint16_t)number,
		.to_port = (uint16_t)to,
		.to = *pod};

	if (number < 1 || number > 65535 || to < 1 || to > 65535)
		return;
	if (net_address_parse(json_str(json_get(port, "hostIP")), &p.address) == 0) {
		/* "0.0.0.0" means all addresses, of both families. */
		if (!netd_any_address(&p.address) && p.address.family != pod->family)
			return;
		if (!netd_any_address(&p.address) && !net_address_is_unicast(&p.address))
			return; /* loopback: would need the whole range to be routed */
	}
	p.address.family = pod->family;
	VEC_PUSH(out, p);
}

static void add_ports(const struct json *pod, const char *containers,
	const struct net_address *address, port_list *out)
{
	JSON_FOR_EACH_ITEM(c, json_path(pod, containers))
		JSON_FOR_EACH_ITEM(p, json_get(c, "ports"))
			add_port(p, address, out);
}

static void read_pod(const struct json *pod, port_list *out)
{
	const char *phase = json_str_or(json_path(pod, "status.phase"), "");

	if (json_path_bool(pod, "spec.hostNetwork", false) || streq(phase, "Succeeded") ||
		streq(phase, "Failed"))
		return;
	JSON_FOR_EACH_ITEM(it, json_path(pod, "status.podIPs")) {
		struct net_address address;

		if (net_address_parse(json_str(json_get(it, "ip")), &address) < 0 ||
			!net_address_is_unicast(&address))
			continue;
		add_ports(pod, "spec.containers", &address, out);
		add_ports(pod, "spec.initContainers", &address, out);
	}
}

void host_ports_of_pod(struct host_ports *h, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	port_list list = {0};

	if (old && (!new || !streq(old->uid, new->uid)))
		host_ports_set(h, old->uid, NULL, 0);
	if (!new)
		return;
	/* Most pods have none, and their status changes often. */
	if (memmem(new->bytes->data, new->bytes->size, "\"hostPort\"", 10))
		read_pod(object_doc(new, &a), &list);
	host_ports_set(h, new->uid, list.items, list.count);
	VEC_FINISH(&list);
}
