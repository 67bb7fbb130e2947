/* Packets in, packets out: the server with a resolver behind it, on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/str.h"
#include "node/dns/dns_cache.h"
#include "node/dns/dns_server.h"
#include <arpa/inet.h>
#include <unistd.h>

enum { DEADLINE_MS = 60 * 1000 };

/* What stands in for the host's resolver: answers each question by `how`. */
struct resolver {
	int udp, tcp, port, connection;
	uv_poll_t udp_poll, tcp_poll, connection_poll;
	enum { ANSWER, SILENT, TRUNCATED, WRONG_ID, REFUSE } how;
	unsigned asked_udp, asked_tcp;
};

struct fixture {
	uv_loop_t loop;
	struct arena a;
	struct dns_zone *zone;
	struct dns_forward *forward;
	struct dns_server *server;
	int port, udp; /* the server's port; our socket */
	uv_poll_t poll;
	uv_timer_t timer;
	uint8_t got[DNS_PACKET_MAX_BYTES];
	ssize_t got_size;
	struct resolver resolver;
};

static int try_bind(int type, int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	a.sin_port = htons((uint16_t)*port);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	getsockname(fd, (struct sockaddr *)&a, &size);
	*port = ntohs(a.sin_port);
	return fd;
}

/* A port that is free for both; other programs of this machine take and leave theirs. */
static int bound_pair(int *ret_udp, int *ret_tcp)
{
	for (int tries = 0; tries < 100; tries++) {
		int port = 0;
		*ret_udp = try_bind(SOCK_DGRAM, &port);
		assert_true(*ret_udp >= 0);
		*ret_tcp = try_bind(SOCK_STREAM, &port);
		if (*ret_tcp >= 0)
			return port;
		close(*ret_udp);
	}
	fail_msg("no port is free");
	return 0;
}

/* The question with one A record 192.0.2.7 of 60 s. */
static size_t make_answer(struct resolver *r, uint8_t *p, size_t size, bool tcp)
{
	static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
	size_t end = 12;

	while (p[end])
		end += p[end] + 1u;
	end += 5;
	assert_true(end <= size);
	p[2] = 0x81; /* QR, RD */
	p[3] = 0x80; /* RA */
	memset(p + 6, 0, 6);
	if (r->how == WRONG_ID)
		p[0] ^= 0xff;
	if (r->how == REFUSE)
		p[3] |= 5;
	if (r->how == TRUNCATED && !tcp)
		p[2] |= 2;
	if (r->how == REFUSE || (r->how == TRUNCATED && !tcp))
		return end;
	p[7] = 1;
	memcpy(p + end, record, sizeof(record));
	return end + sizeof(record);
}

static void on_resolver_udp(uv_poll_t *h, int status, int events)
{
	struct resolver *r = h->data;
	struct sockaddr_in from;
	socklen_t from_size = sizeof(from);
	uint8_t p[1500];
	ssize_t n = recvfrom(r->udp, p, sizeof(p), 0, (struct sockaddr *)&from, &from_size);

	if (n < 12)
		return;
	r->asked_udp++;
	if (r->how == SILENT)
		return;
	size_t size = make_answer(r, p, (size_t)n, false);
	assert_int_equal(
		sendto(r->udp, p, size, 0, (struct sockaddr *)&from, from_size), (ssize_t)size);
}

static void on_resolver_data(uv_poll_t *h, int status, int events)
{
	struct resolver *r = h->data;
	uint8_t p[1500];
	ssize_t n = recv(r->connection, p, sizeof(p), 0);

	if (n > 14) {
		size_t size = make_answer(r, p + 2, (size_t)n - 2, true);
		p[0] = (uint8_t)(size >> 8);
		p[1] = (uint8_t)size;
		assert_int_equal(send(r->connection, p, size + 2, 0), (ssize_t)size + 2);
	}
	uv_poll_stop(h);
	uv_close((uv_handle_t *)h, NULL);
	close(r->connection);
}

static void on_resolver_tcp(uv_poll_t *h, int status, int events)
{
	struct resolver *r = h->data;

	r->connection = accept4(r->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (r->connection < 0)
		return;
	r->asked_tcp++;
	uv_poll_init(h->loop, &r->connection_poll, r->connection);
	r->connection_poll.data = r;
	uv_poll_start(&r->connection_poll, UV_READABLE, on_resolver_data);
}

static void on_reply(uv_poll_t *h, int status, int events)
{
	struct fixture *f = h->data;

	f->got_size = recv(f->udp, f->got, sizeof(f->got), 0);
	if (f->got_size > 0)
		uv_stop(&f->loop);
}

static void on_deadline(uv_timer_t *t)
{
	uv_stop(t->loop);
}

static int setup(void **state)
{
	static const char service[] = "{\"spec\":{\"clusterIP\":\"10.96.1.2\",\"ports\":[{\"port\":"
				      "80,\"name\":\"http\"}]}}";
	static const char alias[] =
		"{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"www.example.com\"}}";
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct resolver *r = &f->resolver;
	struct err err = ERR_INIT;
	_cleanup_(buf_finish) struct buf many = BUF_INIT;
	struct json *doc;
	char address[32];

	uv_loop_init(&f->loop);
	f->zone = dns_zone_create("cluster.local");
	assert_int_equal(json_parse(&f->a, service, strlen(service), NULL, &doc, NULL), 0);
	dns_zone_set_service(f->zone, "default", "web", doc);
	assert_int_equal(json_parse(&f->a, alias, strlen(alias), NULL, &doc, NULL), 0);
	dns_zone_set_service(f->zone, "default", "out", doc);
	buf_add_str(&many, "{\"spec\":{\"clusterIP\":\"None\"}}");
	assert_int_equal(json_parse(&f->a, many.data, many.size, NULL, &doc, NULL), 0);
	dns_zone_set_service(f->zone, "default", "many", doc);
	buf_clear(&many);
	buf_add_str(&many, "{\"endpoints\":[");
	for (int i = 0; i < 1000; i++)
		buf_printf(&many, "%s{\"addresses\":[\"10.1.%d.%d\"]}", i ? "," : "", i / 250,
			i % 250);
	buf_add_str(&many, "]}");
	assert_int_equal(json_parse(&f->a, many.data, many.size, NULL, &doc, NULL), 0);
	dns_zone_set_slice(f->zone, "default", "many-1", "many", doc);

	r->port = bound_pair(&r->udp, &r->tcp);
	listen(r->tcp, 8);
	uv_poll_init(&f->loop, &r->udp_poll, r->udp);
	uv_poll_init(&f->loop, &r->tcp_poll, r->tcp);
	r->udp_poll.data = r->tcp_poll.data = r;
	uv_poll_start(&r->udp_poll, UV_READABLE, on_resolver_udp);
	uv_poll_start(&r->tcp_poll, UV_READABLE, on_resolver_tcp);

	f->forward = dns_forward_create(&f->loop, clock_system());
	snprintf(address, sizeof(address), "127.0.0.1:%d", r->port);
	const char *addresses[] = {address};
	dns_forward_set_resolvers(f->forward, addresses, 1);
	f->server = dns_server_create(&f->loop, clock_system(), f->zone, f->forward);
	/* Ours until the server has it, but for a moment. */
	int r2 = -1;
	for (int tries = 0; r2 < 0 && tries < 20; tries++) {
		int udp, tcp;
		f->port = bound_pair(&udp, &tcp);
		close(udp);
		close(tcp);
		r2 = dns_server_listen(f->server, "127.0.0.1", f->port, &err);
	}
	assert_int_equal(r2, 0);
	assert_int_equal(dns_server_start(f->server, &err), 0);
	int any = 0;
	f->udp = try_bind(SOCK_DGRAM, &any);
	uv_poll_init(&f->loop, &f->poll, f->udp);
	f->poll.data = f;
	uv_poll_start(&f->poll, UV_READABLE, on_reply);
	uv_timer_init(&f->loop, &f->timer);
	f->timer.data = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dns_server_destroy(f->server);
	dns_forward_destroy(f->forward);
	dns_zone_destroy(f->zone);
	uv_close((uv_handle_t *)&f->poll, NULL);
	uv_close((uv_handle_t *)&f->timer, NULL);
	uv_close((uv_handle_t *)&f->resolver.udp_poll, NULL);
	uv_close((uv_handle_t *)&f->resolver.tcp_poll, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	close(f->udp);
	close(f->resolver.udp);
	close(f->resolver.tcp);
	arena_finish(&f->a);
	free(f);
	return 0;
}

static size_t question(uint8_t *out, const char *name, uint16_t type, unsigned edns_room)
{
	struct str rest = str_from(name), part;
	size_t n = 12;

	memset(out, 0, 12);
	out[0] = 0x12;
	out[1] = 0x34;
	out[2] = 1; /* RD */
	out[5] = 1;
	while (str_split(&rest, '.', &part)) {
		out[n++] = (uint8_t)part.size;
		memcpy(out + n, part.p, part.size);
		n += part.size;
	}
	out[n++] = 0;
	out[n++] = (uint8_t)(type >> 8);
	out[n++] = (uint8_t)type;
	out[n++] = 0;
	out[n++] = 1;
	if (edns_room) {
		const uint8_t opt[] = {
			0, 0, 41, (uint8_t)(edns_room >> 8), (uint8_t)edns_room, 0, 0, 0, 0, 0, 0};
		out[11] = 1;
		memcpy(out + n, opt, sizeof(opt));
		n += sizeof(opt);
	}
	return n;
}

static void send_to_server(struct fixture *f, const void *p, size_t size)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_int_equal(
		sendto(f->udp, p, size, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)size);
}

/* The answer's size; 0 when none came. */
static size_t exchange(struct fixture *f, const void *p, size_t size, unsigned ms)
{
	f->got_size = 0;
	send_to_server(f, p, size);
	uv_timer_start(&f->timer, on_deadline, ms, 0);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&f->timer);
	return f->got_size > 0 ? (size_t)f->got_size : 0;
}

static unsigned rcode(const struct fixture *f)
{
	return f->got[3] & 15;
}

static unsigned answers(const struct fixture *f)
{
	return (unsigned)(f->got[6] << 8 | f->got[7]);
}

static bool truncated(const struct fixture *f)
{
	return f->got[2] & 2;
}

static size_t ask(struct fixture *f, const char *name, uint16_t type, unsigned edns)
{
	uint8_t p[600];

	return exchange(f, p, question(p, name, type, edns), DEADLINE_MS);
}

static void test_cluster_name(void **state)
{
	struct fixture *f = *state;

	assert_true(ask(f, "WEB.default.svc.cluster.local", DNS_TYPE_A, 0) > 12);
	assert_int_equal(f->got[0] << 8 | f->got[1], 0x1234);
	assert_true(f->got[2] & 4); /* authoritative */
	assert_int_equal(rcode(f), DNS_NOERROR);
	assert_int_equal(answers(f), 1);
	assert_memory_equal(f->got + 13, "WEB", 3); /* the question as it was asked */
	assert_memory_equal(f->got + f->got_size - 4, "\x0a\x60\x01\x02", 4);
	ask(f, "none.default.svc.cluster.local", DNS_TYPE_A, 1232);
	assert_int_equal(rcode(f), DNS_NXDOMAIN);
	assert_int_equal(f->got[9], 1);	 /* SOA */
	assert_int_equal(f->got[11], 1); /* OPT */
	assert_int_equal(f->resolver.asked_udp, 0);
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;

	size_t size = ask(f, "many.default.svc.cluster.local", DNS_TYPE_A, 0);
	assert_true(truncated(f) && size <= 512 && answers(f) > 20);
	size = ask(f, "many.default.svc.cluster.local", DNS_TYPE_A, 4096);
	assert_true(truncated(f) && size <= DNS_UDP_MAX_BYTES && answers(f) > 60);
	/* By TCP all of them, and two questions at once. */
	uint8_t p[1200];
	size_t one = question(p + 2, "many.default.svc.cluster.local", DNS_TYPE_A, 0);
	p[0] = 0;
	p[1] = (uint8_t)one;
	memcpy(p + 2 + one, p, 2 + one);
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, p, 2 * (2 + one), 0), (ssize_t)(2 * (2 + one)));
	uint8_t *all = xmalloc(100000);
	size_t have = 0, want = 2 * (2 + one + 1000 * 16);
	while (have < want) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		ssize_t n = recv(fd, all + have, 100000 - have, MSG_DONTWAIT);
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		have += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(have, want);
	assert_int_equal(all[2 + 6] << 8 | all[2 + 7], 1000);
	free(all);
	close(fd);
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void test_forwarded(void **state)
{
	struct fixture *f = *state;

	ask(f, "www.example.com", DNS_TYPE_A, 0);
	assert_int_equal(rcode(f), DNS_NOERROR);
	assert_int_equal(answers(f), 1);
	assert_memory_equal(f->got + f->got_size - 4, "\xc0\x00\x02\x07", 4);
	assert_false(f->got[2] & 4); /* not ours */
	/* Remembered, in whatever case it is asked for. */
	ask(f, "WWW.EXAMPLE.com", DNS_TYPE_A, 0);
	assert_int_equal(answers(f), 1);
	assert_int_equal(f->resolver.asked_udp, 1);
	assert_int_equal(dns_forward_figures(f->forward).hits, 1);
	/* A service that is another name. */
	ask(f, "out.default.svc.cluster.local", DNS_TYPE_A, 1232);
	assert_int_equal(answers(f), 2);
	assert_int_equal(f->resolver.asked_udp, 1);
}

static void test_forwarded_by_tcp(void **state)
{
	struct fixture *f = *state;

	f->resolver.how = TRUNCATED;
	ask(f, "long.example.com", DNS_TYPE_A, 0);
	assert_int_equal(answers(f), 1);
	assert_false(truncated(f));
	assert_int_equal(f->resolver.asked_tcp, 1);
}

static void test_resolver_fails(void **state)
{
	struct fixture *f = *state;

	f->resolver.how = REFUSE;
	ask(f, "a.example.com", DNS_TYPE_A, 0);
	assert_int_equal(rcode(f), DNS_REFUSED);
	f->resolver.how = WRONG_ID;
	ask(f, "b.example.com", DNS_TYPE_A, 0);
	assert_int_equal(rcode(f), DNS_SERVFAIL);
	assert_int_equal(dns_forward_figures(f->forward).entries, 0);
	dns_forward_set_resolvers(f->forward, NULL, 0);
	ask(f, "c.example.com", DNS_TYPE_A, 0);
	assert_int_equal(rcode(f), DNS_SERVFAIL);
}

static void test_end_while_waiting(void **state)
{
	struct fixture *f = *state;
	uint8_t p[600];

	f->resolver.how = SILENT;
	f->got_size = 0;
	send_to_server(f, p, question(p, "d.example.com", DNS_TYPE_A, 0));
	while (f->resolver.asked_udp == 0)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->got_size, 0);
	/* teardown ends it all */
}

static void test_bad_questions(void **state)
{
	struct fixture *f = *state;
	uint8_t p[5000] = {0};
	size_t n = question(p, "web.default.svc.cluster.local", 255, 0);

	exchange(f, p, n, DEADLINE_MS);
	assert_int_equal(rcode(f), DNS_NOTIMP); /* ANY */
	n = question(p, "web.default.svc.cluster.local", DNS_TYPE_A, 0);
	p[n - 1] = 3; /* class CH */
	exchange(f, p, n, DEADLINE_MS);
	assert_int_equal(rcode(f), DNS_REFUSED);
	n = question(p, "web.default.svc.cluster.local", DNS_TYPE_A, 0);
	p[2] = 5 << 3; /* UPDATE */
	exchange(f, p, n, DEADLINE_MS);
	assert_int_equal(rcode(f), DNS_NOTIMP);
	n = question(p, "web.default.svc.cluster.local", DNS_TYPE_A, 1232);
	p[n - 5] = 1; /* EDNS version 1 */
	exchange(f, p, n, DEADLINE_MS);
	assert_int_equal(rcode(f), 0); /* BADVERS is 16: its low bits, the rest is in OPT */
	assert_int_equal(answers(f), 0);
	n = question(p, "web.default.svc.cluster.local", DNS_TYPE_A, 0);
	exchange(f, p, n - 3, DEADLINE_MS);
	assert_int_equal(rcode(f), DNS_FORMERR);
	p[2] |= 0x80; /* an answer is not answered */
	assert_int_equal(exchange(f, p, n, 20), 0);
	assert_int_equal(exchange(f, p, 5, 20), 0);
	/* A question with a long tail would be kept while another resolver is asked. */
	memset(p, 0, sizeof(p));
	question(p, "web.default.svc.cluster.local", DNS_TYPE_A, 0);
	assert_int_equal(exchange(f, p, sizeof(p), 20), 0);
}

static void test_share_of_a_client(void **state)
{
	enum { SHARE = 250 };
	struct fixture *f = *state;
	uint8_t p[600];
	size_t n = question(p, "e.example.com", DNS_TYPE_A, 0);

	f->resolver.how = SILENT;
	f->got_size = 0;
	for (int i = 0; i < SHARE; i++) {
		send_to_server(f, p, n);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	/* It has its share: one more is refused at once, while the others still wait. */
	assert_true(f->got_size <= 0);
	assert_true(exchange(f, p, n, DEADLINE_MS) > 0);
	assert_int_equal(rcode(f), DNS_SERVFAIL);
	assert_int_equal(dns_forward_figures(f->forward).under_way, 1);
	/* Names of the cluster are answered all the same, and so is another client. */
	ask(f, "web.default.svc.cluster.local", DNS_TYPE_A, 0);
	assert_int_equal(answers(f), 1);
	struct sockaddr_in other = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
	uv_close((uv_handle_t *)&f->poll, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	close(f->udp);
	f->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->udp, (struct sockaddr *)&other, sizeof(other)), 0);
	uv_poll_init(&f->loop, &f->poll, f->udp);
	f->poll.data = f;
	uv_poll_start(&f->poll, UV_READABLE, on_reply);
	f->resolver.how = ANSWER;
	ask(f, "f.example.com", DNS_TYPE_A, 0);
	assert_int_equal(rcode(f), DNS_NOERROR);
	assert_int_equal(answers(f), 1);
}

static void test_resolv_conf(void **state)
{
	static const char text[] =
		"# nameserver 9.9.9.9\nnameserver 1.1.1.1\nnameserver\t::1 # here\r\n"
		"nameservers 2.2.2.2\nsearch a.b\nnameserver   8.8.8.8\r\nnameserver \n";
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *const *list;

	assert_int_equal(dns_resolv_conf_read(&a, text, sizeof(text) - 1, &list), 3);
	assert_string_equal(list[0], "1.1.1.1");
	assert_string_equal(list[1], "::1");
	assert_string_equal(list[2], "8.8.8.8");
}

static void test_cache(void **state)
{
	struct dns_cache *c = dns_cache_create();
	uint32_t age;
	size_t size;
	char key[16];

	dns_cache_set(c, "a", "12345", 5, 10, 0);
	dns_cache_set(c, "never", "1", 1, 0, 0);
	assert_null(dns_cache_get(c, "never", 0, &size, &age));
	assert_memory_equal(dns_cache_get(c, "a", 3 * NS_PER_S, &size, &age), "12345", 5);
	assert_int_equal(age, 3);
	assert_null(dns_cache_get(c, "a", 10 * NS_PER_S, &size, &age));
	for (int i = 0; i <= DNS_CACHE_ENTRIES_MAX; i++) {
		snprintf(key, sizeof(key), "%d", i);
		dns_cache_set(c, key, "x", 1, 10, 0);
		assert_non_null(dns_cache_get(c, "0", 0, &size, &age)); /* it is in use */
	}
	assert_int_equal(dns_cache_count(c), DNS_CACHE_ENTRIES_MAX);
	assert_null(dns_cache_get(c, "1", 0, &size, &age));
	dns_cache_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cluster_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forwarded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forwarded_by_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolver_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_while_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_questions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_share_of_a_client, setup, teardown),
		cmocka_unit_test(test_resolv_conf),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
