#include "node/vm/libvirt/libvirt_rpc.h"

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "node/vm/libvirt/libvirt_wire.h"

#define CALL_TIMEOUT_MS 30000
#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 15000
/* libvirtd's max_client_requests: it reads no further call of a connection that has so many. */
#define CALLS_UNDER_WAY_MAX 5
/* Of those that last (a guest starts, is saved): a guest can still be stopped meanwhile. */
#define CALLS_LONG_MAX 3
/* Of those that take minutes, by the time that they are given (a guest's memory is written, for a
 * snapshot or a dump): a guest can still be started meanwhile. */
#define CALLS_MINUTES_MAX 2
#define MINUTES_MS 300000
/* In line, times the call's own time: when libvirtd hangs, its callers hear of it some day. */
#define LINE_TIMES 4
/* So many of those under way that are not answered in time: a new connection has places again. */
#define LOST_MAX (CALLS_UNDER_WAY_MAX - 1)

/*               open            subscribed
 *  CONNECTING --------> SETUP -------------> UP
 *      ^                  |                   |
 *      |    pause over    v      broken       |
 *      +------------- WAITING <---------------+   (and from CONNECTING)
 */
enum rpc_state { CONNECTING, SETUP, UP, WAITING };

struct libvirt_call {
	struct list link; /* in calls */
	struct libvirt *l;
	enum libvirt_proc proc;
	struct buf args; /* until it is sent */
	bool sent;	 /* libvirtd may be at it: counts as under way */
	bool lost;	 /* ... for longer than it was given, which was told */
	uint32_t serial; /* when sent */
	unsigned timeout_ms;
	int64_t deadline_ns; /* begins anew when it is sent */
	libvirt_done *done;  /* NULL: nobody wants to know, any more */
	void *user;
	int failed; /* LIBVIRT_RPC_*: to be reported from the loop; 0 = wait for the answer */
};

struct libvirt {
	uv_loop_t *loop;
	struct clock *clock;
	char *address;
	struct libvirt_handler handler;
	void *user;
	enum rpc_state state;
	struct libvirt_wire *wire;
	struct list calls; /* those in line in the order in which they were made */
	unsigned under_way, under_way_long, under_way_minutes, lost;
	uv_timer_t timer; /* next retry or next deadline */
	bool in_timer;	  /* a timer started anew with 0 would run again before anything else */
	unsigned retry_ms;
	int64_t retry_at_ns; /* in WAITING: when the pause is over */
	bool reported_down;
	unsigned setup_left; /* answers that SETUP still waits for */
	uint64_t version;
	char down_reason[256];
	bool destroyed;
};

static void connect_now(struct libvirt *l);
static void arm(struct libvirt *l);

static bool takes_minutes(const struct libvirt_call *c)
{
	return c->timeout_ms > MINUTES_MS;
}

static bool lasts(const struct libvirt_call *c)
{
	return takes_minutes(c) || c->proc == LIBVIRT_DOMAIN_CREATE_WITH_FLAGS ||
	       c->proc == LIBVIRT_DOMAIN_MANAGED_SAVE || c->proc == LIBVIRT_DOMAIN_RESTORE_FLAGS ||
	       c->proc == LIBVIRT_DOMAIN_CORE_DUMP_WITH_FORMAT;
}

static void deadline_set(struct libvirt_call *c, unsigned times)
{
	c->deadline_ns =
		c->l->clock->mono_ns(c->l->clock) + (int64_t)c->timeout_ms * times * NS_PER_MS;
}

static void send_call(struct libvirt_call *c)
{
	struct libvirt *l = c->l;

	c->serial = libvirt_wire_send(
		l->wire, (int32_t)c->proc, LIBVIRT_CALL, 0, LIBVIRT_OK, c->args.data, c->args.size);
	buf_finish(&c->args);
	c->sent = true;
	l->under_way++;
	l->under_way_long += lasts(c);
	l->under_way_minutes += takes_minutes(c);
	deadline_set(c, 1);
}

/* The next ones in line, as far as libvirtd takes them now. */
static void send_next(struct libvirt *l)
{
	if (l->state != UP && l->state != SETUP)
		return;
	LIST_FOR_EACH(c, &l->calls, struct libvirt_call, link) {
		if (l->under_way >= CALLS_UNDER_WAY_MAX)
			return;
		if (!c->sent && !c->failed && (!lasts(c) || l->under_way_long < CALLS_LONG_MAX) &&
			(!takes_minutes(c) || l->under_way_minutes < CALLS_MINUTES_MAX))
			send_call(c);
	}
}

static void not_under_way(struct libvirt_call *c)
{
	if (!c->sent)
		return;
	c->sent = false;
	c->l->under_way--;
	c->l->under_way_long -= lasts(c);
	c->l->under_way_minutes -= takes_minutes(c);
	c->l->lost -= c->lost;
	c->lost = false;
}

static void forget(struct libvirt_call *c)
{
	not_under_way(c);
	list_remove(&c->link);
	buf_finish(&c->args);
	free(c);
}

static void finish(struct libvirt_call *c, const struct libvirt_reply *r)
{
	libvirt_done *done = c->done;
	struct libvirt *l = c->l;
	void *user = c->user;

	forget(c);
	send_next(l);
	arm(l);
	if (done)
		done(user, r);
}

static struct libvirt_reply failure(int code)
{
	return (struct libvirt_reply){
		.code = code,
		.message = code == LIBVIRT_RPC_TIMEOUT ? "libvirt did not answer in time"
			   : code == LIBVIRT_RPC_BAD   ? "libvirt sent an answer that can't be read"
						       : "libvirt can't be reached",
	};
}

static void fail(struct libvirt_call *c, int code)
{
	struct libvirt_reply r = failure(code);

	finish(c, &r);
}

/* libvirtd is at it still, and reads no further call when it has too many: it keeps its place until
 * it is answered. */
static void lose(struct libvirt_call *c)
{
	struct libvirt_reply r = failure(LIBVIRT_RPC_TIMEOUT);
	libvirt_done *done = c->done;
	void *user = c->user;

	c->done = NULL;
	c->deadline_ns = INT64_MAX;
	c->lost = true;
	c->l->lost++;
	list_remove(&c->link);
	list_append(&c->l->calls, &c->link);
	if (done)
		done(user, &r);
}

static void wire_broken(void *user, const struct err *err);

/* A guest's QEMU that hangs must not keep all others from being managed. */
static void begin_anew(struct libvirt *l)
{
	struct err err = ERR_INIT;

	err_set(&err, -ETIMEDOUT, "%u calls were not answered in time: connected anew", l->lost);
	wire_broken(l, &err);
}

static void on_timer(uv_timer_t *t)
{
	struct libvirt *l = t->data;
	int64_t now = l->clock->mono_ns(l->clock);
	struct list due;

	l->in_timer = true;
	if (l->state == WAITING && l->retry_at_ns <= now)
		connect_now(l);
	/* Those of now only: a callback may cancel any call, or make new ones that fail at once
	 * too. */
	list_init(&due);
	LIST_FOR_EACH(c, &l->calls, struct libvirt_call, link) {
		if (!c->failed && c->deadline_ns > now)
			continue;
		list_remove(&c->link);
		list_append(&due, &c->link);
	}
	while (!list_empty(&due)) {
		struct libvirt_call *c = CONTAINER_OF(due.next, struct libvirt_call, link);

		if (l->destroyed)
			forget(c);
		else if (c->sent && !c->failed)
			lose(c);
		else
			fail(c, c->failed ? c->failed : LIBVIRT_RPC_TIMEOUT);
	}
	if (!l->destroyed && l->lost >= LOST_MAX && l->wire)
		begin_anew(l);
	if (!l->destroyed)
		arm(l);
	l->in_timer = false;
}

static void arm(struct libvirt *l)
{
	int64_t now = l->clock->mono_ns(l->clock), next = INT64_MAX;

	if (l->state == WAITING)
		next = l->retry_at_ns;
	LIST_FOR_EACH(c, &l->calls, struct libvirt_call, link)
		next = MIN(next, c->failed ? now : c->deadline_ns);
	if (next == INT64_MAX)
		uv_timer_stop(&l->timer);
	else
		uv_timer_start(&l->timer, on_timer,
			next > now    ? (uint64_t)((next - now) / NS_PER_MS + 1)
			: l->in_timer ? 1
				      : 0,
			0);
}

static void wire_broken(void *user, const struct err *err)
{
	struct libvirt *l = user;
	bool first = !l->reported_down;

	libvirt_wire_close(TAKE_PTR(l->wire));
	l->state = WAITING;
	l->retry_ms = l->retry_ms ? MIN(l->retry_ms * 2, RETRY_MAX_MS) : RETRY_MIN_MS;
	l->retry_at_ns = l->clock->mono_ns(l->clock) + (int64_t)l->retry_ms * NS_PER_MS;
	l->reported_down = true;
	LIST_FOR_EACH(c, &l->calls, struct libvirt_call, link) {
		not_under_way(c);
		if (!c->failed)
			c->failed = LIBVIRT_RPC_DOWN;
	}
	arm(l);
	if (first)
		l->handler.down(l->user, err);
}

static void setup_done(void *user, const struct libvirt_reply *r)
{
	struct libvirt *l = user;

	if (l->state != SETUP)
		return;
	if (!r->ok) {
		struct err err = ERR_INIT;

		err_set(&err, -EPROTO, "libvirt refuses events: %s", r->message);
		wire_broken(l, &err);
		return;
	}
	if (--l->setup_left)
		return;
	l->state = UP;
	l->retry_ms = 0;
	l->reported_down = false;
	l->handler.up(l->user);
}

/* An older libvirt does not know all events. */
static void optional_done(void *user, const struct libvirt_reply *r)
{
	if (!r->ok && r->code > 0)
		log_info("libvirt has not all events", "answer", r->message, NULL);
	setup_done(
		user, &(struct libvirt_reply){.ok = r->ok || r->code > 0, .message = r->message});
}

static void version_done(void *user, const struct libvirt_reply *r)
{
	struct libvirt *l = user;
	struct xdr_reader body = r->body;

	if (r->ok)
		l->version = xdr_get_u64(&body);
	setup_done(user, r);
}

static void wire_open(void *user)
{
	struct libvirt *l = user;
	size_t count = l->handler.event ? libvirt_event_id_count : 0;

	l->state = SETUP;
	l->setup_left = 1 + (unsigned)count;
	libvirt_call(l, LIBVIRT_CONNECT_GET_LIB_VERSION, NULL, 0, version_done, l);
	for (size_t i = 0; i < count; i++) {
		_cleanup_(buf_finish) struct buf args = BUF_INIT;

		xdr_put_u32(&args, libvirt_event_ids[i]);
		xdr_put_u32(&args, 0); /* any domain */
		libvirt_call(l, LIBVIRT_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, &args, 0,
			i == 0 ? setup_done : optional_done, l);
	}
}

static void event(struct libvirt *l, int32_t proc, struct xdr_reader payload)
{
	struct libvirt_event e;

	if (libvirt_event_read(proc, payload, &e))
		l->handler.event(l->user, &e);
}

static void reply(struct libvirt *l, const struct libvirt_header *h, struct xdr_reader payload)
{
	struct libvirt_reply r = {.ok = true, .message = "", .body = payload};
	struct libvirt_error e;

	LIST_FOR_EACH(c, &l->calls, struct libvirt_call, link) {
		if (!c->sent || c->serial != h->serial)
			continue;
		if (h->status != LIBVIRT_OK) {
			xdr_get_error(&payload, &e);
			r = (struct libvirt_reply){
				.code = e.code > 0 ? e.code : LIBVIRT_RPC_BAD,
				.message = e.message,
			};
		}
		finish(c, &r);
		return;
	}
}

static void wire_packet(void *user, const struct libvirt_header *h, struct xdr_reader payload)
{
	struct libvirt *l = user;

	if (h->type == LIBVIRT_REPLY)
		reply(l, h, payload);
	else if (h->type == LIBVIRT_MESSAGE && l->state == UP)
		event(l, h->procedure, payload);
}

static void connect_now(struct libvirt *l)
{
	static const struct libvirt_wire_handler h = {
		.open = wire_open,
		.packet = wire_packet,
		.broken = wire_broken,
	};

	l->state = CONNECTING;
	l->wire = libvirt_wire_create(l->loop, l->address, &h, l);
}

struct libvirt *libvirt_create(uv_loop_t *loop, struct clock *clock, const char *address,
	const struct libvirt_handler *h, void *user)
{
	struct libvirt *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->clock = clock;
	l->address = xstrdup(address);
	l->handler = *h;
	l->user = user;
	list_init(&l->calls);
	uv_timer_init(loop, &l->timer);
	l->timer.data = l;
	connect_now(l);
	return l;
}

static void freed(uv_handle_t *h)
{
	struct libvirt *l = h->data;

	free(l->address);
	free(l);
}

void libvirt_destroy(struct libvirt *l)
{
	if (!l || l->destroyed)
		return;
	l->destroyed = true;
	libvirt_wire_close(TAKE_PTR(l->wire));
	LIST_FOR_EACH(c, &l->calls, struct libvirt_call, link)
		forget(c);
	uv_close((uv_handle_t *)&l->timer, freed);
}

bool libvirt_is_up(const struct libvirt *l)
{
	return l->state == UP;
}

uint64_t libvirt_version(const struct libvirt *l)
{
	return l->version;
}

struct libvirt_call *libvirt_call(struct libvirt *l, enum libvirt_proc proc, const struct buf *args,
	unsigned timeout_ms, libvirt_done *done, void *user)
{
	struct libvirt_call *c = xcalloc(1, sizeof(*c));

	c->l = l;
	c->proc = proc;
	c->done = done;
	c->user = user;
	c->timeout_ms = timeout_ms ? timeout_ms : CALL_TIMEOUT_MS;
	deadline_set(c, LINE_TIMES);
	list_append(&l->calls, &c->link);
	if (l->state != UP && l->state != SETUP) {
		c->failed = LIBVIRT_RPC_DOWN;
	} else {
		if (args)
			buf_add(&c->args, args->data, args->size);
		send_next(l);
	}
	arm(l);
	return c;
}

/* What libvirtd is at already keeps one of its places until it answers. */
void libvirt_call_cancel(struct libvirt_call *c)
{
	struct libvirt *l = c->l;

	if (c->sent) {
		c->done = NULL;
		return;
	}
	forget(c);
	arm(l);
}

struct libvirt_call *libvirt_call_xml(struct libvirt *l, enum libvirt_proc proc, const char *xml,
	uint32_t flags, libvirt_done *done, void *user)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_string(&args, xml);
	xdr_put_u32(&args, flags);
	return libvirt_call(l, proc, &args, 0, done, user);
}

struct libvirt_call *libvirt_call_domain(struct libvirt *l, enum libvirt_proc proc,
	const struct libvirt_domain *d, uint32_t flags, libvirt_done *done, void *user)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, d);
	/* These two are old enough to have no flags. */
	if (proc != LIBVIRT_DOMAIN_SUSPEND && proc != LIBVIRT_DOMAIN_RESUME &&
		proc != LIBVIRT_DOMAIN_GET_INFO)
		xdr_put_u32(&args, flags);
	/* Starting a large guest or stopping a busy one takes its time. */
	return libvirt_call(l, proc, &args,
		proc == LIBVIRT_DOMAIN_CREATE_WITH_FLAGS || proc == LIBVIRT_DOMAIN_DESTROY_FLAGS
			? 120000
			: 0,
		done, user);
}
