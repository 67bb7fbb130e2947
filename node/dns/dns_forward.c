/* dns_forward.c - see dns_forward.h. */
#include "node/dns/dns_forward.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "node/dns/dns_cache.h"

enum {
	RESOLVERS_MAX = 8,
	UNDER_WAY_MAX = 1000,
	WAITS_MAX = 1000,  /* for one question */
	ATTEMPTS_MAX = 4,  /* resolvers in turn */
	ATTEMPT_MS = 1000, /* clients give up after five seconds */
	NAME_MAX_BYTES = 256,
};

union socket_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct question;

/* A socket for one attempt; freed when libuv is done with it. */
struct channel {
	union {
		uv_handle_t handle;
		uv_udp_t udp;
		uv_tcp_t tcp;
	};
	uv_udp_send_t udp_send;
	uv_connect_t connect;
	uv_write_t write;
	struct question *q; /* NULL once it does not matter any more */
	uint8_t out[2 + 512];
	size_t out_size;
	struct buf in; /* TCP */
};

struct question {
	struct dns_forward *f;
	char *key;
	uint8_t name[NAME_MAX_BYTES];
	uint16_t type, id;
	bool dnssec, checking_disabled;
	unsigned attempts;
	size_t resolver; /* the one being asked */
	struct channel *channel;
	uv_timer_t timer;
	struct list waits;
	size_t wait_count;
	struct buf poor; /* a failure that a resolver answered: better than nothing */
};

struct dns_wait {
	struct list link;
	struct question *q;
	dns_forward_done *done;
	void *user;
};

struct dns_forward {
	uv_loop_t *loop;
	struct clock *clock;
	struct random random;
	union socket_address resolvers[RESOLVERS_MAX];
	size_t resolver_count, first; /* first: the one that answered last */
	struct table questions;	      /* by key */
	struct dns_cache *cache;
	struct arena arena; /* of one packet at a time */
	uint64_t hits, misses, failures;
};

static void ask_next(struct question *q);

struct dns_forward *dns_forward_create(uv_loop_t *loop, struct clock *clock)
{
	struct dns_forward *f = xcalloc(1, sizeof(*f));

	f->loop = loop;
	f->clock = clock;
	f->cache = dns_cache_create();
	return f;
}

/* ---- resolvers ---- */

static bool resolver_parse(const char *text, union socket_address *ret)
{
	enum { DNS_PORT = 53 };
	char host[80];
	int64_t port = DNS_PORT;
	const char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
	struct str s = str_from(text);

	if (*text == '[' && bracket) {
		s = (struct str){text + 1, (size_t)(bracket - text - 1)};
		colon = bracket[1] == ':' ? bracket + 1 : NULL;
	} else if (colon && strchr(text, ':') == colon) {
		s.size = (size_t)(colon - text);
	} else {
		colon = NULL; /* a bare IPv6 address */
	}
	if (colon && (parse_i64(str_from(colon + 1), &port) < 0 || port < 1 || port > 65535))
		return false;
	if (s.size >= sizeof(host))
		return false;
	memcpy(host, s.p, s.size);
	host[s.size] = '\0';
	return uv_ip4_addr(host, (int)port, &ret->v4) == 0 ||
	       uv_ip6_addr(host, (int)port, &ret->v6) == 0;
}

void dns_forward_set_resolvers(struct dns_forward *f, const char *const *addresses, size_t count)
{
	f->resolver_count = f->first = 0;
	for (size_t i = 0; i < count && f->resolver_count < RESOLVERS_MAX; i++) {
		if (resolver_parse(addresses[i], &f->resolvers[f->resolver_count]))
			f->resolver_count++;
		else
			log_warn("no address of a resolver, left out", "text", addresses[i], NULL);
	}
}

size_t dns_resolv_conf_read(struct arena *a, const char *text, size_t size, const char *const **ret)
{
	struct str rest = {text, size}, line;
	const char **list = arena_alloc(a, RESOLVERS_MAX * sizeof(*list));
	size_t count = 0;

	while (count < RESOLVERS_MAX && str_split(&rest, '\n', &line)) {
		static const char word[] = "nameserver";
		size_t at = sizeof(word) - 1;
		if (line.size <= at || memcmp(line.p, word, at) != 0 ||
			(line.p[at] != ' ' && line.p[at] != '\t'))
			continue;
		while (at < line.size && (line.p[at] == ' ' || line.p[at] == '\t'))
			at++;
		size_t end = at;
		while (end < line.size && !strchr(" \t\r#;", line.p[end]))
			end++;
		if (end > at)
			list[count++] = arena_memdup(a, line.p + at, end - at);
	}
	*ret = list;
	return count;
}

/* ---- one question ---- */

static void channel_freed(uv_handle_t *h)
{
	struct channel *c = CONTAINER_OF(h, struct channel, handle);

	buf_finish(&c->in);
	free(c);
}

static void channel_drop(struct question *q)
{
	struct channel *c = TAKE_PTR(q->channel);

	if (!c)
		return;
	c->q = NULL;
	uv_close(&c->handle, channel_freed);
}

static void question_freed(uv_handle_t *h)
{
	struct question *q = CONTAINER_OF((uv_timer_t *)h, struct question, timer);

	buf_finish(&q->poor);
	free(q->key);
	free(q);
}

/* Takes it out; its waits are to have been told, or are cut off. */
static void question_drop(struct question *q)
{
	channel_drop(q);
	if (table_get(&q->f->questions, q->key) == q)
		table_remove(&q->f->questions, q->key);
	LIST_FOR_EACH(w, &q->waits, struct dns_wait, link) {
		list_remove(&w->link);
		free(w);
	}
	uv_close((uv_handle_t *)&q->timer, question_freed);
}

static void question_answer(struct question *q, const void *wire, size_t size)
{
	struct dns_forward_answer answer = {.wire = wire, .size = size};

	/* Who is told may cancel another wait, but asks nothing new. */
	while (!list_empty(&q->waits)) {
		struct dns_wait *w = CONTAINER_OF(q->waits.next, struct dns_wait, link);
		list_remove(&w->link);
		w->done(w->user, &answer);
		free(w);
	}
	question_drop(q);
}

static void question_failed(struct question *q)
{
	q->f->failures++;
	question_answer(q, q->poor.size ? q->poor.data : NULL, q->poor.size);
}

static void on_answer(struct question *q, const void *wire, size_t size, bool tcp);

static void on_timer(uv_timer_t *t)
{
	ask_next(CONTAINER_OF(t, struct question, timer));
}

/* Another resolver soon: never inside a callback of the socket that is being given up. */
static void try_another(struct question *q)
{
	channel_drop(q);
	uv_timer_start(&q->timer, on_timer, 0, 0);
}

/* ---- by TCP, for what does not fit a datagram ---- */

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *ret)
{
	static char room[DNS_PACKET_MAX_BYTES + 2];

	*ret = uv_buf_init(room, sizeof(room));
}

static void on_tcp_data(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct channel *c = CONTAINER_OF((uv_tcp_t *)s, struct channel, tcp);

	if (!c->q)
		return;
	if (n < 0) {
		try_another(c->q);
		return;
	}
	if (c->in.size + (size_t)n > DNS_PACKET_MAX_BYTES + 2) {
		try_another(c->q);
		return;
	}
	buf_add(&c->in, b->base, (size_t)n);
	if (c->in.size < 2)
		return;
	size_t size = (size_t)((uint8_t)c->in.data[0] << 8 | (uint8_t)c->in.data[1]);
	if (c->in.size >= size + 2)
		on_answer(c->q, c->in.data + 2, size, true);
}

static void on_written(uv_write_t *w, int status)
{
	struct channel *c = CONTAINER_OF(w, struct channel, write);

	if (status < 0 && c->q)
		try_another(c->q);
}

static void on_connect(uv_connect_t *r, int status)
{
	struct channel *c = CONTAINER_OF(r, struct channel, connect);
	uv_buf_t b = uv_buf_init((char *)c->out, (unsigned)c->out_size);

	if (!c->q)
		return;
	if (status < 0 || uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_written) < 0 ||
		uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_tcp_data) < 0)
		try_another(c->q);
}

static size_t make_packet(struct question *q, uint8_t *out, size_t room)
{
	arena_reset(&q->f->arena);
	return dns_question_make(
		&q->f->arena, q->name, q->type, q->id, q->dnssec, q->checking_disabled, out, room);
}

static void ask_by_tcp(struct question *q)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	channel_drop(q);
	q->channel = c;
	c->q = q;
	uv_tcp_init(q->f->loop, &c->tcp);
	size_t size = make_packet(q, c->out + 2, sizeof(c->out) - 2);
	c->out[0] = (uint8_t)(size >> 8);
	c->out[1] = (uint8_t)size;
	c->out_size = size + 2;
	uv_timer_start(&q->timer, on_timer, ATTEMPT_MS, 0);
	if (!size || uv_tcp_connect(&c->connect, &c->tcp, &q->f->resolvers[q->resolver].any,
			     on_connect) < 0)
		try_another(q);
}

/* ---- by UDP ---- */

static void on_datagram(
	uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from, unsigned flags)
{
	struct channel *c = CONTAINER_OF(u, struct channel, udp);

	if (!c->q || (n == 0 && !from))
		return;
	if (n < 0)
		try_another(c->q); /* nobody listens there */
	else if (!(flags & UV_UDP_PARTIAL))
		on_answer(c->q, b->base, (size_t)n, false);
}

static void on_sent(uv_udp_send_t *s, int status)
{
	struct channel *c = CONTAINER_OF(s, struct channel, udp_send);

	if (status < 0 && c->q)
		try_another(c->q);
}

static void ask_by_udp(struct question *q)
{
	struct channel *c = xcalloc(1, sizeof(*c));
	uv_buf_t b;

	channel_drop(q);
	q->channel = c;
	c->q = q;
	/* A socket of its own for each attempt: the port is as hard to guess as the number. */
	uv_udp_init(q->f->loop, &c->udp);
	random_bytes(&q->f->random, &q->id, sizeof(q->id));
	c->out_size = make_packet(q, c->out, sizeof(c->out));
	b = uv_buf_init((char *)c->out, (unsigned)c->out_size);
	uv_timer_start(&q->timer, on_timer, ATTEMPT_MS, 0);
	if (!c->out_size || uv_udp_connect(&c->udp, &q->f->resolvers[q->resolver].any) < 0 ||
		uv_udp_recv_start(&c->udp, on_alloc, on_datagram) < 0 ||
		uv_udp_send(&c->udp_send, &c->udp, &b, 1, NULL, on_sent) < 0)
		try_another(q);
}

static void ask_next(struct question *q)
{
	struct dns_forward *f = q->f;

	if (q->attempts == ATTEMPTS_MAX || f->resolver_count == 0) {
		question_failed(q);
		return;
	}
	q->resolver = (f->first + q->attempts) % f->resolver_count;
	q->attempts++;
	ask_by_udp(q);
}

static void on_answer(struct question *q, const void *wire, size_t size, bool tcp)
{
	struct dns_forward *f = q->f;
	struct dns_answer_info info;

	arena_reset(&f->arena);
	if (dns_answer_check(&f->arena, q->name, q->type, q->id, wire, size, &info) < 0) {
		/* By UDP a stray one: the right one may still come. */
		if (tcp)
			try_another(q);
		return;
	}
	if (info.truncated && !tcp) {
		ask_by_tcp(q);
		return;
	}
	if (info.rcode != DNS_NOERROR && info.rcode != DNS_NXDOMAIN) {
		buf_clear(&q->poor);
		buf_add(&q->poor, wire, size);
		try_another(q);
		return;
	}
	f->first = q->resolver;
	dns_cache_set(f->cache, q->key, wire, size, info.ttl_s, f->clock->mono_ns(f->clock));
	/* The bytes are the socket's or the library's buffer: they outlive the callbacks below, the
	 * channel's own buffer only until it is closed. */
	question_answer(q, wire, size);
}

/* ---- asking ---- */

static const char *key_make(struct dns_forward *f, const uint8_t *name, uint16_t type, bool dnssec,
	bool checking_disabled)
{
	arena_reset(&f->arena);
	return arena_printf(&f->arena, "%s %u %d%d", dns_name_text(&f->arena, name), type, dnssec,
		checking_disabled);
}

static void answer_now(
	dns_forward_done *done, void *user, const void *wire, size_t size, uint32_t age)
{
	done(user, &(struct dns_forward_answer){.wire = wire, .size = size, .age_s = age});
}

struct dns_wait *dns_forward_ask(struct dns_forward *f, const uint8_t *name, uint16_t type,
	bool dnssec, bool checking_disabled, dns_forward_done *done, void *user)
{
	const char *key = key_make(f, name, type, dnssec, checking_disabled);
	struct question *q = table_get(&f->questions, key);
	size_t size, length = 0;
	uint32_t age;
	const void *wire = dns_cache_get(f->cache, key, f->clock->mono_ns(f->clock), &size, &age);

	if (wire) {
		f->hits++;
		answer_now(done, user, wire, size, age);
		return NULL;
	}
	f->misses++;
	while (name[length])
		length += name[length] + 1u;
	if ((!q && f->questions.count >= UNDER_WAY_MAX) || (q && q->wait_count >= WAITS_MAX) ||
		f->resolver_count == 0 || length + 1 > NAME_MAX_BYTES) {
		f->failures++;
		answer_now(done, user, NULL, 0, 0);
		return NULL;
	}
	bool fresh = !q;
	if (fresh) {
		q = xcalloc(1, sizeof(*q));
		q->f = f;
		q->key = xstrdup(key);
		memcpy(q->name, name, length + 1);
		q->type = type;
		q->dnssec = dnssec;
		q->checking_disabled = checking_disabled;
		list_init(&q->waits);
		uv_timer_init(f->loop, &q->timer);
		table_set(&f->questions, q->key, q);
	}
	struct dns_wait *w = xcalloc(1, sizeof(*w));
	w->q = q;
	w->done = done;
	w->user = user;
	list_append(&q->waits, &w->link);
	q->wait_count++;
	if (fresh)
		ask_next(q);
	return w;
}

void dns_forward_cancel(struct dns_wait *w)
{
	if (!w)
		return;
	list_remove(&w->link);
	w->q->wait_count--;
	free(w);
}

struct dns_forward_figures dns_forward_figures(const struct dns_forward *f)
{
	return (struct dns_forward_figures){f->hits, f->misses, f->failures,
		dns_cache_count(f->cache), dns_cache_bytes(f->cache), f->questions.count};
}

void dns_forward_destroy(struct dns_forward *f)
{
	if (!f)
		return;
	for (struct table_iter i = table_iterate(&f->questions); table_next(&i);)
		question_drop(i.value);
	table_finish(&f->questions);
	dns_cache_destroy(f->cache);
	arena_finish(&f->arena);
	free(f);
}
