#include "node/net/trusting.h"

#include "lib/base/log.h"

#define RETRY_MS 5000

struct trusting {
	struct netd_client *netd;
	struct buf list; /* struct netd_server */
	bool known;	 /* it was told at all; until then the kernel keeps what it has */
	bool whole;
	bool live;	 /* netd can be told */
	uint32_t serial; /* unanswered; 0 = none */
	uv_timer_t timer;
};

static void tell(struct trusting *t)
{
	if (!t->live || !t->known)
		return;
	t->serial = netd_client_send(
		t->netd, t->whole ? NETD_SERVERS : NETD_SERVERS_MORE, t->list.data, t->list.size);
	if (!t->serial)
		t->live = false; /* netd is gone: trusting_resync will come */
}

static void on_timer(uv_timer_t *timer)
{
	tell(timer->data);
}

void trusting_set(struct trusting *t, const struct netd_server *list, size_t count, bool whole)
{
	size_t size;

	if (count > NETD_SERVERS_MAX) {
		log_warn(
			"more servers than netd keeps from pods: the last ones are left out", NULL);
		count = NETD_SERVERS_MAX;
	}
	size = count * sizeof(*list);
	if (t->known && t->whole == whole && t->list.size == size &&
		(!size || !memcmp(t->list.data, list, size)))
		return;
	buf_clear(&t->list);
	buf_add(&t->list, list, size);
	t->known = true;
	t->whole = whole;
	tell(t);
}

void trusting_stale(struct trusting *t)
{
	t->live = false;
	t->serial = 0;
}

void trusting_resync(struct trusting *t)
{
	trusting_stale(t);
	t->live = true;
	tell(t);
}

bool trusting_result(struct trusting *t, uint32_t serial, int code, const char *text)
{
	if (!t->serial || serial != t->serial)
		return false;
	t->serial = 0;
	if (code < 0) {
		log_warn("pods can reach NFS servers that trust this node: the rules are not in "
			 "the kernel",
			"error", text, NULL);
		uv_timer_start(&t->timer, on_timer, RETRY_MS, 0);
	}
	return true;
}

struct trusting *trusting_create(uv_loop_t *loop, struct netd_client *netd)
{
	struct trusting *t = xcalloc(1, sizeof(*t));

	t->netd = netd;
	uv_timer_init(loop, &t->timer);
	t->timer.data = t;
	return t;
}

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void trusting_destroy(struct trusting *t)
{
	if (!t)
		return;
	buf_finish(&t->list);
	uv_close((uv_handle_t *)&t->timer, freed);
}
