/* datagrams.c
 *
 * A sender:  asking --101--> joined --idle, or the far side ends--> ended, freed
 *               \--refused, failed------------------------------------^
 *
 * After a refusal, or a stream that ended at once without a word, what comes from senders without
 * a stream is lost for a while, which doubles each time; one that is answered, or lasts, ends that.
 */
#include "cli/virt/datagrams.h"

#include <netinet/in.h>
#include <stdio.h>

#include "lib/base/list.h"
#include "lib/http/websocket.h"
#include "lib/json/json.h"

#define SENDERS_MAX 256
#define WAITING_MAX_BYTES (64u << 10) /* of a sender whose stream is not there yet */
#define QUEUE_MAX_BYTES (256u << 10)
#define IDLE_MS 120000
#define LOOK_MS 10000
#define BACK_OFF_MS 1000
#define BACK_OFF_MAX_MS 30000
#define LASTS_MS 10000 /* a stream that stayed so long was no refusal */

struct datagrams {
	uv_udp_t udp;
	uv_timer_t timer;
	unsigned handles; /* not closed yet */
	bool closing;
	struct http_endpoint *endpoint;
	const char *auth;
	char *path;
	struct list senders;
	size_t sender_count;
	uint64_t back_off_ms, not_before_ms; /* for the next stream; 0 = at once */
	char *told;			     /* the last refusal, until a stream lasts */
	char room[65536];
};

struct sender {
	struct list link;
	struct datagrams *d;
	struct sockaddr_storage address;
	struct http_call *call;	     /* NULL once answered */
	struct websocket *websocket; /* NULL before the upgrade */
	bool ending;		     /* it was told to close */
	struct buf waiting;	     /* sizes as uint32_t, each with its datagram behind it */
	uint64_t used_ms, joined_ms;
	bool heard; /* the far side said something */
	char *headers;
	struct arena arena;
};

static void settle(struct datagrams *d)
{
	if (!d->closing || d->handles > 0 || d->sender_count > 0)
		return;
	free(d->told);
	free(d->path);
	free(d);
}

static void forget(struct sender *s)
{
	struct datagrams *d = s->d;

	list_remove(&s->link);
	d->sender_count--;
	buf_finish(&s->waiting);
	arena_finish(&s->arena);
	free(s);
	settle(d);
}

/* Asks its stream to end, or it is gone. */
static void end(struct sender *s)
{
	if (s->ending)
		return;
	if (s->websocket) {
		s->ending = true;
		websocket_close(s->websocket, 1000);
		return;
	}
	if (s->call)
		http_call_cancel(s->call);
	forget(s);
}

/* ---- back-off ---- */

static void went_well(struct datagrams *d)
{
	d->back_off_ms = d->not_before_ms = 0;
	free(TAKE_PTR(d->told));
}

static void went_wrong(struct datagrams *d)
{
	uint64_t now = uv_now(d->udp.loop);

	if (now < d->not_before_ms) /* asked at the same time as another one */
		return;
	d->back_off_ms =
		d->back_off_ms ? MIN(d->back_off_ms * 2, (uint64_t)BACK_OFF_MAX_MS) : BACK_OFF_MS;
	d->not_before_ms = now + d->back_off_ms;
}

static void tell(struct datagrams *d, const char *text)
{
	if (streq(text, d->told))
		return;
	fprintf(stderr, "%s\n", text);
	free(d->told);
	d->told = xstrdup(text);
}

/* ---- the far side ---- */

static void far_message(void *user, bool text, const char *data, size_t size)
{
	struct sender *s = user;
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)data, (unsigned)size);

	s->used_ms = uv_now(s->d->udp.loop);
	s->heard = true;
	went_well(s->d);
	/* What does not fit, or finds no room, is lost, as datagrams are. */
	if (!s->d->closing)
		(void)uv_udp_try_send(&s->d->udp, &b, 1, (const struct sockaddr *)&s->address);
}

static void far_closed(void *user, unsigned code)
{
	struct sender *s = user;

	if (!s->heard && !s->ending) {
		if (uv_now(s->d->udp.loop) - s->joined_ms < LASTS_MS)
			went_wrong(s->d);
		else
			went_well(s->d);
	}
	forget(s);
}

static void send_waiting(struct sender *s)
{
	for (size_t at = 0; at < s->waiting.size;) {
		uint32_t size;

		memcpy(&size, s->waiting.data + at, sizeof(size));
		websocket_send(s->websocket, false, s->waiting.data + at + sizeof(size), size);
		at += sizeof(size) + size;
	}
	buf_finish(&s->waiting);
}

static void on_upgraded(void *user, struct stream *stream, const struct http_response *r)
{
	static const struct websocket_handler handler = {
		.message = far_message, .closed = far_closed};
	struct sender *s = user;

	s->call = NULL;
	if (!websocket_client_accepted(s->headers, r)) {
		tell(s->d, "the server's answer is no WebSocket");
		went_wrong(s->d);
		stream_close(stream);
		forget(s);
		return;
	}
	s->websocket = websocket_client(stream, &handler, s);
	s->joined_ms = uv_now(s->d->udp.loop);
	websocket_read_start(s->websocket);
	send_waiting(s);
}

static void on_refused(void *user, const struct http_response *r, const struct err *err)
{
	struct sender *s = user;
	struct json *status = NULL;

	s->call = NULL;
	if (!r && err->code != -ECANCELED)
		tell(s->d, err->msg);
	else if (r && json_parse(&s->arena, r->body, r->body_size, NULL, &status, NULL) == 0)
		tell(s->d, json_str_or(json_get(status, "message"), "the server refused"));
	else if (r)
		tell(s->d, arena_printf(&s->arena, "the server answered %d", r->status));
	if (r || err->code != -ECANCELED)
		went_wrong(s->d);
	forget(s);
}

/* ---- senders ---- */

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
		return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
	}
	const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
	return x->sin6_port == y->sin6_port && x->sin6_scope_id == y->sin6_scope_id &&
	       memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr)) == 0;
}

static struct sender *find(struct datagrams *d, const struct sockaddr *from)
{
	LIST_FOR_EACH(s, &d->senders, struct sender, link)
		if (!s->ending && same_address((const struct sockaddr *)&s->address, from))
			return s;
	return NULL;
}

static void end_longest_idle(struct datagrams *d)
{
	struct sender *found = NULL;

	LIST_FOR_EACH(s, &d->senders, struct sender, link)
		if (!s->ending && (!found || s->used_ms < found->used_ms))
			found = s;
	if (found)
		end(found);
}

static struct sender *new_sender(struct datagrams *d, const struct sockaddr *from)
{
	struct sender *s;

	/* One that is told to end counts until it has. */
	if (d->sender_count >= SENDERS_MAX)
		end_longest_idle(d);
	if (d->sender_count >= SENDERS_MAX)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->d = d;
	memcpy(&s->address, from,
		from->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					   : sizeof(struct sockaddr_in6));
	list_init(&s->link);
	list_append(&d->senders, &s->link);
	d->sender_count++;
	s->headers = websocket_client_headers(&s->arena, "plain.kubevirt.io");
	s->call = http_call(d->endpoint,
		&(struct http_call_options){
			.method = "GET",
			.target = d->path,
			.headers = arena_printf(&s->arena, "%s%s", d->auth, s->headers),
			.done = on_refused,
			.upgraded = on_upgraded,
			.user = s,
		});
	return s;
}

static void on_room(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
	struct datagrams *d = h->data;

	*ret = uv_buf_init(d->room, sizeof(d->room));
}

static void on_datagram(
	uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from, unsigned flags)
{
	struct datagrams *d = u->data;
	uint32_t size = (uint32_t)n;
	struct sender *s;

	if (n <= 0 || !from)
		return;
	s = find(d, from);
	if (!s && uv_now(u->loop) >= d->not_before_ms)
		s = new_sender(d, from);
	if (!s)
		return;
	s->used_ms = uv_now(u->loop);
	if (s->websocket && websocket_queued(s->websocket) < QUEUE_MAX_BYTES) {
		websocket_send(s->websocket, false, b->base, size);
	} else if (!s->websocket && s->waiting.size + size < WAITING_MAX_BYTES) {
		buf_add(&s->waiting, &size, sizeof(size));
		buf_add(&s->waiting, b->base, size);
	}
}

static void on_timer(uv_timer_t *t)
{
	struct datagrams *d = t->data;
	uint64_t now = uv_now(t->loop);

	LIST_FOR_EACH(s, &d->senders, struct sender, link)
		if (now - s->used_ms >= IDLE_MS)
			end(s);
}

/* ---- public ---- */

static void on_handle_closed(uv_handle_t *h)
{
	struct datagrams *d = h->data;

	d->handles--;
	settle(d);
}

void datagrams_close(struct datagrams *d)
{
	if (!d || d->closing)
		return;
	uv_close((uv_handle_t *)&d->udp, on_handle_closed);
	uv_close((uv_handle_t *)&d->timer, on_handle_closed);
	LIST_FOR_EACH(s, &d->senders, struct sender, link)
		end(s);
	d->closing = true;
}

int datagrams_open(const struct datagrams_options *o, unsigned *ret_local, struct datagrams **ret,
	struct err *err)
{
	struct datagrams *d = xcalloc(1, sizeof(*d));
	struct sockaddr_storage local = {0};
	int size = sizeof(local), r;

	d->endpoint = o->endpoint;
	d->auth = o->auth;
	d->path = xstrdup(o->path);
	list_init(&d->senders);
	uv_timer_init(o->loop, &d->timer);
	uv_udp_init(o->loop, &d->udp);
	d->udp.data = d->timer.data = d;
	d->handles = 2;
	r = uv_udp_bind(&d->udp, o->address, 0);
	if (r == 0)
		r = uv_udp_recv_start(&d->udp, on_room, on_datagram);
	if (r == 0)
		r = uv_udp_getsockname(&d->udp, (struct sockaddr *)&local, &size);
	if (r < 0) {
		datagrams_close(d);
		return err_set(err, r, "%s", uv_strerror(r));
	}
	uv_timer_start(&d->timer, on_timer, LOOK_MS, LOOK_MS);
	*ret_local = ntohs(local.ss_family == AF_INET ? ((struct sockaddr_in *)&local)->sin_port
						      : ((struct sockaddr_in6 *)&local)->sin6_port);
	*ret = d;
	return 0;
}
