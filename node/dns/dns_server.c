/* dns_server.c - see dns_server.h. */
#include "node/dns/dns_server.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

enum {
	CONNECTIONS_MAX = 1000,
	CONNECTIONS_OF_ONE_MAX = 64,
	IDLE_MS = 10 * 1000,
	WAITING_MAX = 5000, /* queries that wait for another resolver */
	/* A quarter of the questions that dns_forward.h has under way: one client alone can't make
	 * the others wait. */
	WAITING_OF_ONE_MAX = 250,
	/* Answers that TCP clients do not take: of a connection, of a client, of all. */
	UNSENT_OF_CONNECTION_MAX_BYTES = 1 << 20,
	UNSENT_OF_ONE_MAX_BYTES = 16 << 20,
	UNSENT_MAX_BYTES = 64 << 20,
	BACKLOG = 128,
};

union peer_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* What the queries of one address take at present; goes when that is nothing. */
struct client {
	char key[2 * sizeof(struct in6_addr) + 2];
	size_t connections, waiting, unsent;
};

struct listener {
	struct dns_server *s;
	uv_udp_t udp;
	uv_tcp_t tcp;
	unsigned open;
};

struct connection {
	struct list link;
	struct dns_server *s;
	uv_tcp_t tcp;
	uv_timer_t timer;
	struct client *client; /* until closed */
	struct buf in;
	size_t unsent;
	unsigned open;	  /* handles */
	unsigned waiting; /* queries under way: the memory stays for them */
	bool closed;
};

/* A query on its way to another resolver. */
struct waiting {
	struct list link;
	struct dns_server *s;
	struct dns_wait *wait;
	struct client *client;
	uv_udp_t *udp; /* NULL: by TCP */
	struct connection *tcp;
	union peer_address from;
	int64_t started_ns;
	size_t size;
	uint8_t query[];
};

enum { RCODES = 24, BUCKETS = 8 };
static const double bucket_seconds[BUCKETS] = {0.0005, 0.001, 0.002, 0.004, 0.008, 0.064, 0.256, 1};

struct dns_server {
	uv_loop_t *loop;
	struct clock *clock;
	struct dns_zone *zone;
	struct dns_forward *forward;
	struct random random;
	struct arena arena; /* of one query */
	VEC(struct listener *) listeners;
	struct list connections, waitings;
	struct table clients; /* by address */
	size_t connection_count, waiting_count, unsent;
	uint8_t out[2 + DNS_PACKET_MAX_BYTES];
	/* figures */
	uint64_t requests[2] /* udp, tcp */, responses[RCODES], dropped;
	uint64_t durations[BUCKETS + 1];
	double duration_sum;
};

/* Where an answer goes. */
struct peer {
	uv_udp_t *udp; /* NULL: by TCP */
	struct connection *tcp;
	const struct sockaddr *from;
};

/* ---- shares ---- */

static struct client *client_of(struct dns_server *s, const struct sockaddr *address)
{
	union peer_address a;
	const uint8_t *bytes;
	size_t size;
	char key[sizeof(((struct client *)NULL)->key)];

	if (address->sa_family == AF_INET) {
		memcpy(&a.v4, address, sizeof(a.v4));
		bytes = (const uint8_t *)&a.v4.sin_addr;
		size = sizeof(a.v4.sin_addr);
	} else {
		memcpy(&a.v6, address, sizeof(a.v6));
		bytes = (const uint8_t *)&a.v6.sin6_addr;
		size = sizeof(a.v6.sin6_addr);
	}
	for (size_t i = 0; i < size; i++)
		snprintf(key + 2 * i, 3, "%02x", bytes[i]);
	struct client *c = table_get(&s->clients, key);
	if (c)
		return c;
	c = xcalloc(1, sizeof(*c));
	memcpy(c->key, key, 2 * size + 1);
	table_set(&s->clients, c->key, c);
	return c;
}

static void client_unused(struct dns_server *s, struct client *c)
{
	if (c->connections || c->waiting || c->unsent)
		return;
	table_remove(&s->clients, c->key);
	free(c);
}

/* ---- sending ---- */

struct tcp_write {
	uv_write_t req;
	struct connection *c;
	size_t size;
	char data[];
};

static void connection_close(struct connection *c);

static void on_tcp_written(uv_write_t *r, int status)
{
	struct tcp_write *w = CONTAINER_OF(r, struct tcp_write, req);
	struct connection *c = w->c;

	if (!c->closed) {
		c->unsent -= w->size;
		c->client->unsent -= w->size;
		c->s->unsent -= w->size;
	}
	if (status < 0)
		connection_close(c);
	free(w);
}

struct udp_write {
	uv_udp_send_t req;
	char data[];
};

static void on_udp_sent(uv_udp_send_t *r, int status)
{
	free(CONTAINER_OF(r, struct udp_write, req));
}

static void send_udp(uv_udp_t *udp, const struct sockaddr *to, const void *data, size_t size)
{
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)data, (unsigned)size);
	int r = uv_udp_try_send(udp, &b, 1, to);

	if (r != UV_EAGAIN)
		return; /* sent, or not to be sent: the client asks again */
	struct udp_write *w = xmalloc(sizeof(*w) + size);
	memcpy(w->data, data, size);
	b.base = w->data;
	if (uv_udp_send(&w->req, udp, &b, 1, to, on_udp_sent) < 0)
		free(w);
}

static void send_tcp(struct connection *c, const void *data, size_t size)
{
	if (c->closed)
		return;
	uint8_t head[2] = {(uint8_t)(size >> 8), (uint8_t)size};
	uv_buf_t parts[2] = {uv_buf_init((char *)head, sizeof(head)),
		uv_buf_init((char *)(uintptr_t)data, (unsigned)size)};
	uv_stream_t *stream = (uv_stream_t *)&c->tcp;
	int r = uv_try_write(stream, parts, 2);
	size_t sent = r > 0 ? (size_t)r : 0, left = sizeof(head) + size - sent;

	if (!left)
		return;
	if ((r < 0 && r != UV_EAGAIN) || c->unsent + left > UNSENT_OF_CONNECTION_MAX_BYTES ||
		c->client->unsent + left > UNSENT_OF_ONE_MAX_BYTES ||
		c->s->unsent + left > UNSENT_MAX_BYTES) {
		connection_close(c);
		return;
	}
	struct tcp_write *w = xmalloc(sizeof(*w) + left);
	w->c = c;
	w->size = left;
	for (size_t i = 0; i < left; i++) {
		size_t at = sent + i;
		if (at >= sizeof(head)) {
			memcpy(w->data + i, (const char *)data + at - sizeof(head), left - i);
			break;
		}
		w->data[i] = (char)head[at];
	}
	uv_buf_t b = uv_buf_init(w->data, (unsigned)left);
	if (uv_write(&w->req, stream, &b, 1, on_tcp_written) < 0) {
		free(w);
		connection_close(c);
		return;
	}
	c->unsent += left;
	c->client->unsent += left;
	c->s->unsent += left;
}

static void count_answer(struct dns_server *s, const uint8_t *wire, int64_t took_ns)
{
	double seconds = (double)took_ns / (double)NS_PER_S;
	size_t i = 0;

	s->responses[wire[3] & 15]++;
	while (i < BUCKETS && seconds > bucket_seconds[i])
		i++;
	s->durations[i]++;
	s->duration_sum += seconds;
}

static void send_answer(struct dns_server *s, struct peer to, size_t size, int64_t started_ns)
{
	if (!size) {
		s->dropped++;
		return;
	}
	count_answer(s, s->out, s->clock->mono_ns(s->clock) - started_ns);
	if (to.udp)
		send_udp(to.udp, to.from, s->out, size);
	else
		send_tcp(to.tcp, s->out, size);
}

/* ---- answering ---- */

static size_t room_for(struct peer to, const struct dns_query *q)
{
	return to.udp ? q->room : DNS_PACKET_MAX_BYTES;
}

static struct peer peer_of(const struct waiting *w)
{
	return (struct peer){w->udp, w->tcp, &w->from.any};
}

static void waiting_free(struct waiting *w)
{
	struct connection *c = w->tcp;

	list_remove(&w->link);
	w->s->waiting_count--;
	w->client->waiting--;
	client_unused(w->s, w->client);
	free(w);
	if (c && --c->waiting == 0 && c->closed && !c->open)
		free(c);
}

/* What comes back is put together with what the query asked: it is read again, so that only its
 * bytes need to be kept. */
static void on_forwarded(void *user, const struct dns_forward_answer *answer)
{
	struct waiting *w = user;
	struct dns_server *s = w->s;
	struct dns_found found = {0};
	struct dns_query q;
	size_t size = 0;

	w->wait = NULL;
	arena_reset(&s->arena);
	if (dns_query_parse(&s->arena, w->query, w->size, &q) == 0 && q.refuse == DNS_NOERROR) {
		bool ours = dns_zone_find(s->zone, &s->arena, q.name, q.type, &found) == DNS_FOUND;
		struct peer to = peer_of(w);
		size_t room = room_for(to, &q);
		if (answer->wire)
			size = dns_reply_forwarded(&s->arena, &q,
				ours && found.alias ? &found : NULL, answer->wire, answer->size,
				answer->age_s, s->out, room);
		else
			size = dns_reply_refused(&s->arena, &q, DNS_SERVFAIL, s->out, room);
		send_answer(s, to, size, w->started_ns);
	}
	waiting_free(w);
}

static void ask_others(struct dns_server *s, struct peer from, const void *wire, size_t size,
	const struct dns_query *q, const uint8_t *name, int64_t started_ns)
{
	/* A connection may have been closed by the answer to its last query. */
	if (!from.udp && from.tcp->closed)
		return;
	struct client *client = from.udp ? client_of(s, from.from) : from.tcp->client;
	if (s->waiting_count >= WAITING_MAX || client->waiting >= WAITING_OF_ONE_MAX) {
		client_unused(s, client);
		send_answer(s, from,
			dns_reply_refused(&s->arena, q, DNS_SERVFAIL, s->out, room_for(from, q)),
			started_ns);
		return;
	}
	struct waiting *w = xmalloc(sizeof(*w) + size);
	*w = (struct waiting){.s = s,
		.client = client,
		.udp = from.udp,
		.tcp = from.tcp,
		.started_ns = started_ns,
		.size = size};
	client->waiting++;
	if (from.udp)
		memcpy(&w->from, from.from,
			from.from->sa_family == AF_INET ? sizeof(w->from.v4) : sizeof(w->from.v6));
	else
		from.tcp->waiting++;
	memcpy(w->query, wire, size);
	list_append(&s->waitings, &w->link);
	s->waiting_count++;
	/* Answered at once, w is gone already. */
	struct dns_wait *wait = dns_forward_ask(
		s->forward, name, q->type, q->dnssec, q->checking_disabled, on_forwarded, w);
	if (wait)
		w->wait = wait;
}

static void serve(struct dns_server *s, struct peer from, const void *wire, size_t size)
{
	int64_t started_ns = s->clock->mono_ns(s->clock);
	struct dns_found found;
	struct dns_query q;

	s->requests[from.udp ? 0 : 1]++;
	arena_reset(&s->arena);
	if (dns_query_parse(&s->arena, wire, size, &q) < 0) {
		s->dropped++;
		return;
	}
	size_t room = room_for(from, &q);
	if (q.refuse != DNS_NOERROR) {
		send_answer(s, from, dns_reply_refused(&s->arena, &q, q.refuse, s->out, room),
			started_ns);
		return;
	}
	enum dns_verdict verdict = dns_zone_find(s->zone, &s->arena, q.name, q.type, &found);
	if (verdict == DNS_OUTSIDE || (verdict == DNS_FOUND && found.alias)) {
		ask_others(s, from, wire, size, &q, found.alias ? found.alias : q.name, started_ns);
		return;
	}
	unsigned start =
		found.answer_count > 1 ? (unsigned)random_below(&s->random, found.answer_count) : 0;
	size = dns_reply_found(
		&s->arena, &q, verdict, &found, dns_zone_soa(s->zone), start, s->out, room);
	send_answer(s, from, size, started_ns);
}

/* ---- UDP ---- */

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *ret)
{
	static char room[DNS_PACKET_MAX_BYTES + 1];

	*ret = uv_buf_init(room, sizeof(room));
}

static void on_datagram(
	uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from, unsigned flags)
{
	struct listener *l = u->data;

	if (n > 0 && from && !(flags & UV_UDP_PARTIAL))
		serve(l->s, (struct peer){.udp = u, .from = from}, b->base, (size_t)n);
}

/* ---- TCP ---- */

static void on_connection_handle_closed(uv_handle_t *h)
{
	struct connection *c = h->data;

	if (--c->open == 0) {
		buf_finish(&c->in);
		if (!c->waiting)
			free(c);
	}
}

static void connection_close(struct connection *c)
{
	if (c->closed)
		return;
	c->closed = true;
	list_remove(&c->link);
	c->s->connection_count--;
	c->s->unsent -= c->unsent;
	if (c->client) {
		c->client->unsent -= c->unsent;
		c->client->connections--;
		client_unused(c->s, c->client);
		c->client = NULL;
	}
	uv_close((uv_handle_t *)&c->tcp, on_connection_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_connection_handle_closed);
}

static void on_idle(uv_timer_t *t)
{
	struct connection *c = t->data;

	if (c->waiting)
		uv_timer_start(&c->timer, on_idle, IDLE_MS, 0);
	else
		connection_close(c);
}

static void on_data(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct connection *c = stream->data;
	size_t at = 0;

	if (n < 0) {
		connection_close(c);
		return;
	}
	buf_add(&c->in, b->base, (size_t)n);
	while (!c->closed && c->in.size - at >= 2) {
		const uint8_t *p = (const uint8_t *)c->in.data + at;
		size_t size = (size_t)p[0] << 8 | p[1];
		if (c->in.size - at < size + 2)
			break;
		at += size + 2;
		uv_timer_start(&c->timer, on_idle, IDLE_MS, 0);
		serve(c->s, (struct peer){.tcp = c}, p + 2, size);
	}
	buf_drop_front(&c->in, at);
}

/* Its place among the connections, or false when there is none left. */
static bool take_place(struct dns_server *s, struct connection *c, const struct sockaddr *from)
{
	struct client *client = client_of(s, from);

	if (s->connection_count >= CONNECTIONS_MAX ||
		client->connections >= CONNECTIONS_OF_ONE_MAX) {
		client_unused(s, client);
		return false;
	}
	client->connections++;
	c->client = client;
	return true;
}

static void on_connection(uv_stream_t *listening, int status)
{
	struct listener *l = listening->data;
	struct dns_server *s = l->s;
	struct connection *c;
	union peer_address from;
	int size = sizeof(from);

	if (status < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->s = s;
	uv_tcp_init(s->loop, &c->tcp);
	uv_timer_init(s->loop, &c->timer);
	c->tcp.data = c->timer.data = c;
	c->open = 2;
	bool ok = uv_accept(listening, (uv_stream_t *)&c->tcp) == 0 &&
		  uv_tcp_getpeername(&c->tcp, &from.any, &size) == 0 && take_place(s, c, &from.any);
	list_append(&s->connections, &c->link);
	s->connection_count++;
	if (!ok || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_data) < 0) {
		connection_close(c);
		return;
	}
	uv_timer_start(&c->timer, on_idle, IDLE_MS, 0);
}

/* ---- life ---- */

struct dns_server *dns_server_create(
	uv_loop_t *loop, struct clock *clock, struct dns_zone *zone, struct dns_forward *forward)
{
	struct dns_server *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->clock = clock;
	s->zone = zone;
	s->forward = forward;
	list_init(&s->connections);
	list_init(&s->waitings);
	return s;
}

static int bind_shared(const struct sockaddr *address, int type)
{
	int on = 1;
	int fd = socket(address->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						       : sizeof(struct sockaddr_in6);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, address, size) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	if (--l->open == 0)
		free(l);
}

int dns_server_listen(struct dns_server *s, const char *address, int port, struct err *err)
{
	union peer_address a;
	int udp, tcp;

	if (uv_ip4_addr(address, port, &a.v4) != 0 && uv_ip6_addr(address, port, &a.v6) != 0)
		return err_set(err, -EINVAL, "'%s' is no IP address", address);
	udp = bind_shared(&a.any, SOCK_DGRAM);
	if (udp < 0)
		return err_errno(err, udp, "listen on %s port %d by UDP", address, port);
	tcp = bind_shared(&a.any, SOCK_STREAM);
	if (tcp < 0) {
		close(udp);
		return err_errno(err, tcp, "listen on %s port %d by TCP", address, port);
	}
	struct listener *l = xcalloc(1, sizeof(*l));
	l->s = s;
	uv_udp_init(s->loop, &l->udp);
	uv_tcp_init(s->loop, &l->tcp);
	l->udp.data = l->tcp.data = l;
	l->open = 2;
	VEC_PUSH(&s->listeners, l);
	int r = uv_udp_open(&l->udp, udp);
	if (r < 0)
		close(udp);
	int r2 = uv_tcp_open(&l->tcp, tcp);
	if (r2 < 0)
		close(tcp);
	if (r < 0 || r2 < 0)
		return err_set(err, r < 0 ? r : r2, "listen on %s port %d: %s", address, port,
			uv_strerror(r < 0 ? r : r2));
	return 0;
}

int dns_server_start(struct dns_server *s, struct err *err)
{
	for (size_t i = 0; i < s->listeners.count; i++) {
		struct listener *l = s->listeners.items[i];
		int r = uv_udp_recv_start(&l->udp, on_alloc, on_datagram);
		if (r == 0)
			r = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
		if (r < 0)
			return err_set(err, r, "listen: %s", uv_strerror(r));
	}
	return 0;
}

void dns_server_destroy(struct dns_server *s)
{
	if (!s)
		return;
	LIST_FOR_EACH(w, &s->waitings, struct waiting, link) {
		dns_forward_cancel(w->wait);
		waiting_free(w);
	}
	LIST_FOR_EACH(c, &s->connections, struct connection, link)
		connection_close(c);
	for (size_t i = 0; i < s->listeners.count; i++) {
		struct listener *l = s->listeners.items[i];
		uv_close((uv_handle_t *)&l->udp, on_listener_closed);
		uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
	}
	VEC_FINISH(&s->listeners);
	table_finish(&s->clients);
	arena_finish(&s->arena);
	free(s);
}

/* ---- figures ---- */

void dns_server_metrics(const struct dns_server *s, struct buf *out)
{
	static const char *const rcodes[16] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
		"NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"};
	struct dns_forward_figures f = dns_forward_figures(s->forward);
	uint64_t sum = 0;

	buf_add_str(out, "# HELP coredns_dns_requests_total Counter of DNS requests made.\n"
			 "# TYPE coredns_dns_requests_total counter\n");
	for (int i = 0; i < 2; i++)
		buf_printf(out, "coredns_dns_requests_total{proto=\"%s\"} %llu\n",
			i ? "tcp" : "udp", (unsigned long long)s->requests[i]);
	buf_add_str(out, "# HELP coredns_dns_responses_total Counter of response status codes.\n"
			 "# TYPE coredns_dns_responses_total counter\n");
	for (int i = 0; i < 16; i++)
		if (rcodes[i] && (s->responses[i] || i < 4))
			buf_printf(out, "coredns_dns_responses_total{rcode=\"%s\"} %llu\n",
				rcodes[i], (unsigned long long)s->responses[i]);
	buf_add_str(out, "# HELP coredns_dns_request_duration_seconds Time that a request took.\n"
			 "# TYPE coredns_dns_request_duration_seconds histogram\n");
	for (size_t i = 0; i <= BUCKETS; i++) {
		char le[24] = "+Inf";
		if (i < BUCKETS)
			snprintf(le, sizeof(le), "%g", bucket_seconds[i]);
		sum += s->durations[i];
		buf_printf(out, "coredns_dns_request_duration_seconds_bucket{le=\"%s\"} %llu\n", le,
			(unsigned long long)sum);
	}
	buf_printf(out,
		"coredns_dns_request_duration_seconds_sum %.6f\n"
		"coredns_dns_request_duration_seconds_count %llu\n",
		s->duration_sum, (unsigned long long)sum);
	buf_printf(out,
		"# HELP coredns_cache_hits_total Answers that were remembered.\n"
		"# TYPE coredns_cache_hits_total counter\ncoredns_cache_hits_total %llu\n"
		"# HELP coredns_cache_misses_total Questions that went to another resolver.\n"
		"# TYPE coredns_cache_misses_total counter\ncoredns_cache_misses_total %llu\n"
		"# HELP coredns_cache_entries Answers in memory.\n"
		"# TYPE coredns_cache_entries gauge\ncoredns_cache_entries %zu\n"
		"# HELP coredns_forward_failures_total Questions that no resolver answered.\n"
		"# TYPE coredns_forward_failures_total counter\ncoredns_forward_failures_total "
		"%llu\n",
		(unsigned long long)f.hits, (unsigned long long)f.misses, f.entries,
		(unsigned long long)f.failures);
}
