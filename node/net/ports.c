#include "node/net/ports.h"

#include <stdio.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/json/json.h"

#define RETRY_MS 10000
/* What an earlier agent said stays so long: this one learns of its pods one by one. */
#define KEEP_MS 30000
#define ADDRESSES_MAX 16
/* The library notes a pod's annotations and host ports there too, before what is looked for: no pod
 * may make it too much to be read. */
#define RESULT_MAX_BYTES (16u << 20)

struct owner {
	struct net_port port;
	bool mac_only;
	size_t count;
	struct net_address addresses[ADDRESSES_MAX];
};

struct ports {
	uv_loop_t *loop;
	struct netd_client *netd;
	struct table owners; /* uid -> struct owner */
	bool ready;	     /* netd can be told */
	bool refused;	     /* it was said in the log */
	uint64_t created_ms;
	VEC(uint32_t) sent; /* unanswered */
	uv_timer_t soon;
};

static void on_soon(uv_timer_t *t);

/* Everything each time: a node has some hundred of them. */
static void send_all(struct ports *p)
{
	VEC(struct netd_port) all = {0};
	uint64_t age_ms = uv_now(p->loop) - p->created_ms;
	bool more = age_ms < KEEP_MS;
	uint32_t serial;

	if (!p->ready)
		return;
	for (struct table_iter i = table_iterate(&p->owners); table_next(&i);) {
		const struct owner *o = i.value;

		/* Without an address: the MAC is judged. */
		for (size_t n = 0; n < o->count + o->mac_only; n++) {
			struct netd_port one = {.address.family = 0};

			if (!o->mac_only)
				one.address = o->addresses[n];

			memcpy(one.name, o->port.name, sizeof(one.name));
			memcpy(one.mac, o->port.mac, sizeof(one.mac));
			VEC_PUSH(&all, one);
		}
	}
	serial = netd_client_send(p->netd, more ? NETD_PORTS_MORE : NETD_PORTS, all.items,
		all.count * sizeof(*all.items));
	if (serial)
		VEC_PUSH(&p->sent, serial);
	else
		p->ready = false; /* netd is gone: ports_resync will come */
	if (serial && more)
		uv_timer_start(&p->soon, on_soon, KEEP_MS - age_ms, 0);
	VEC_FINISH(&all);
}

static void on_soon(uv_timer_t *t)
{
	send_all(t->data);
}

static void changed(struct ports *p)
{
	if (p->ready)
		uv_timer_start(&p->soon, on_soon, 0, 0);
}

static void set_owner(struct ports *p, const char *uid, const struct owner *now)
{
	struct owner *o = table_get(&p->owners, uid);

	if (o && !memcmp(o, now, sizeof(*now)))
		return;
	if (!o) {
		o = xcalloc(1, sizeof(*o));
		table_set(&p->owners, uid, o);
	}
	memcpy(o, now, sizeof(*o));
	changed(p);
}

void ports_set(struct ports *p, const char *uid, const struct net_port *port,
	const struct net_address *addresses, size_t count)
{
	struct owner now;

	memset(&now, 0, sizeof(now)); /* compared as memory */
	now.port = *port;
	now.count = MIN(count, (size_t)ADDRESSES_MAX);
	for (size_t i = 0; i < now.count; i++)
		now.addresses[i] = addresses[i];
	set_owner(p, uid, &now);
}

void ports_set_mac(struct ports *p, const char *uid, const struct net_port *port)
{
	struct owner now;

	memset(&now, 0, sizeof(now));
	now.port = *port;
	now.mac_only = true;
	set_owner(p, uid, &now);
}

const char *ports_owner_of_mac(const struct ports *p, const uint8_t mac[6], const char *but)
{
	for (struct table_iter i = table_iterate(&p->owners); table_next(&i);) {
		const struct owner *o = i.value;

		if (!o->mac_only && !streq(i.key, but) && !memcmp(o->port.mac, mac, 6))
			return i.key;
	}
	return NULL;
}

void ports_remove(struct ports *p, const char *uid)
{
	struct owner *o = table_remove(&p->owners, uid);

	if (!o)
		return;
	free(o);
	changed(p);
}

void ports_stale(struct ports *p)
{
	p->ready = false;
	p->sent.count = 0;
	uv_timer_stop(&p->soon);
}

void ports_resync(struct ports *p)
{
	p->ready = true;
	changed(p);
}

bool ports_result(struct ports *p, uint32_t serial, int code, const char *text)
{
	if (!p->sent.count || p->sent.items[0] != serial)
		return false;
	VEC_REMOVE(&p->sent, 0);
	if (code < 0 && !p->refused)
		log_warn(
			"ports of the bridge are not kept to their addresses", "error", text, NULL);
	else if (code == 0 && p->refused)
		log_info("ports of the bridge are kept to their addresses", NULL);
	p->refused = code < 0;
	if (p->refused && p->ready &&
		(!uv_is_active((uv_handle_t *)&p->soon) ||
			uv_timer_get_due_in(&p->soon) > RETRY_MS))
		uv_timer_start(&p->soon, on_soon, RETRY_MS, 0);
	return true;
}

struct ports *ports_create(uv_loop_t *loop, struct netd_client *netd)
{
	struct ports *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->netd = netd;
	p->created_ms = uv_now(loop);
	uv_timer_init(loop, &p->soon);
	p->soon.data = p;
	return p;
}

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void ports_destroy(struct ports *p)
{
	if (!p)
		return;
	for (struct table_iter i = table_iterate(&p->owners); table_next(&i);)
		free(i.value);
	table_finish(&p->owners);
	VEC_FINISH(&p->sent);
	uv_close((uv_handle_t *)&p->soon, freed);
}

int ports_read_mac(const char *text, uint8_t ret[6])
{
	unsigned b[6];
	int end = 0;

	if (!text ||
		sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
			&end) != 6 ||
		text[end])
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)b[i];
	return 0;
}

int ports_read_cni(
	const char *directory, const char *network, const char *sandbox, struct net_port *ret)
{
	static const struct json_limits limits = {.depth = 256, .size_bytes = RESULT_MAX_BYTES};
	_cleanup_(free_p) char *path = xasprintf("%s/%s-%s-eth0", directory, network, sandbox);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct net_port port = {.name = ""};
	bool has_mac = false;
	struct json *doc;
	struct str text;
	int r = file_load(&a, path, RESULT_MAX_BYTES, &text, NULL);

	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ENOENT : -EBADMSG;
	if (json_parse(&a, text.p, text.size, &limits, &doc, NULL) < 0)
		return -EBADMSG;
	/* The bridge, then the port, then what is in the sandbox. */
	JSON_FOR_EACH_ITEM(it, json_path(doc, "result.interfaces")) {
		const char *name = json_str(json_get(it, "name"));

		if (json_str(json_get(it, "sandbox")))
			has_mac = ports_read_mac(json_str(json_get(it, "mac")), port.mac) == 0;
		else if (name && strlen(name) < sizeof(port.name) - 1)
			strncpy(port.name, name, sizeof(port.name) - 1);
	}
	if (!*port.name || !has_mac)
		return -EBADMSG;
	*ret = port;
	return 0;
}
