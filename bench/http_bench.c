/* http_bench.c - what the transport costs, in CPU time and in memory, against any server on this
 * machine.
 *
 *     http-bench KUBECONFIG PID get|get2 COUNT TARGET
 *         COUNT requests for TARGET by HTTP/1.1 or HTTP/2 on 16 TLS connections, one at a time on
 *         each; prints CPU microseconds of the server for one
 *     http-bench KUBECONFIG PID watch2|watch|idle COUNT TARGET
 *         COUNT watches, 250 on a connection by HTTP/2 or one on each by HTTP/1.1, or so many
 *         connections that had one request for TARGET; prints the server's memory for one in bytes
 *
 * KUBECONFIG's certificates; the address is that of KUBECONFIG or of BENCH_ADDRESS. */
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "bench/common.h"
#include "lib/base/arena.h"
#include "lib/client/kubeconfig.h"
#include "lib/http/http_parser.h"
#include "lib/http/tls.h"

#define CONNECTIONS 16
#define STREAMS 250
#define GIVE_UP_S 60

struct bench;

struct connection {
	struct bench *bench;
	struct stream *stream;
	nghttp2_session *ng; /* NULL = HTTP/1.1 */
	struct http_parser parser;
	struct arena arena;
};

static struct bench {
	uv_loop_t loop;
	struct kubeconfig config;
	SSL_CTX *tls;
	const char *target;
	bool http2, hold; /* hold: answers do not end */
	struct connection *connections;
	unsigned connection_count, per_connection, connected;
	unsigned asked, begun, answered, count;
	bool all_connected, all_done;
} b;

static void ask(struct connection *c);

static void begun(void)
{
	if (++b.begun == b.count && b.hold)
		b.all_done = true;
}

static void answered(struct connection *c)
{
	if (++b.answered == b.count)
		b.all_done = true;
	ask(c);
}

static void check_status(int status)
{
	if (status != 200)
		bench_die("answer %d", status);
}

/* HTTP/2 */

static void flush(struct connection *c)
{
	const uint8_t *p;
	ssize_t n;
	while ((n = nghttp2_session_mem_send(c->ng, &p)) > 0)
		stream_write(c->stream, p, (size_t)n);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
	if (name_size == 7 && memcmp(name, ":status", 7) == 0)
		check_status(atoi((const char *)value));
	return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	if (frame->hd.type == NGHTTP2_HEADERS)
		begun();
	if (frame->hd.type == NGHTTP2_GOAWAY)
		bench_die("GOAWAY %u", frame->goaway.error_code);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
	answered(user);
	return 0;
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){.name = (uint8_t *)name,
		.value = (uint8_t *)value,
		.namelen = strlen(name),
		.valuelen = strlen(value)};
}

static void begin_http2(struct connection *c)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20};
	if (nghttp2_session_callbacks_new(&callbacks))
		bench_die("out of memory");
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	if (nghttp2_session_client_new(&c->ng, callbacks, c))
		bench_die("out of memory");
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, &window, 1);
	nghttp2_session_set_local_window_size(c->ng, NGHTTP2_FLAG_NONE, 0, 1 << 24);
}

/* Both */

static void ask(struct connection *c)
{
	if (b.asked == b.count)
		return;
	b.asked++;
	if (b.http2) {
		nghttp2_nv fields[] = {field(":method", "GET"), field(":scheme", "https"),
			field(":path", b.target), field(":authority", b.config.host),
			field("accept", "application/json"),
			field("user-agent", "http-bench/1 (linux/amd64)")};
		nghttp2_submit_request(c->ng, NULL, fields, ARRAY_LEN(fields), NULL, NULL);
		return; /* sent by who called */
	}
	_cleanup_(buf_finish) struct buf request = BUF_INIT;
	buf_printf(&request,
		"GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n"
		"User-Agent: http-bench/1 (linux/amd64)\r\n\r\n",
		b.target, b.config.host);
	arena_reset(&c->arena);
	http_parser_init(&c->parser, true, &c->arena);
	stream_write(c->stream, request.data, request.size);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct connection *c = user;
	if (c->ng) {
		if (nghttp2_session_mem_recv(c->ng, (const uint8_t *)data, size) < 0)
			bench_die("malformed frames");
		flush(c);
		return;
	}
	enum http_event event = HTTP_HEAD;
	/* The end may be told when all bytes are consumed. */
	while (event != HTTP_NEED_MORE && event != HTTP_END) {
		struct str piece;
		size_t used = http_parser_feed(&c->parser, data, size, &event, &piece);
		data += used;
		size -= used;
		if (event == HTTP_BAD)
			bench_die("malformed answer: %s", c->parser.reason);
		if (event == HTTP_HEAD) {
			check_status(c->parser.status);
			begun();
		}
		if (event == HTTP_END)
			answered(c);
	}
}

static void on_eof(void *user)
{
	bench_die("the server closed a connection");
}

static void on_error(void *user, int code, const char *text)
{
	bench_die("connection: %s", text);
}

static void on_connected(void *user, struct stream *s, const struct err *err)
{
	static const struct stream_handler handler = {
		.read = on_read, .eof = on_eof, .error = on_error};
	struct connection *c = user;
	if (!s)
		bench_die("connect: %s", err->msg);
	c->stream = s;
	stream_set_handler(s, &handler, c);
	stream_read_start(s);
	if (b.http2)
		begin_http2(c);
	b.connected++;
	b.all_connected = true; /* of those that were begun */
}

/* A few at a time: it is not the handshakes that are measured. */
static void connect_all(void)
{
	const char *address = getenv("BENCH_ADDRESS");
	for (unsigned i = 0; i < b.connection_count; i++) {
		struct connection *c = &b.connections[i];
		c->bench = &b;
		arena_init(&c->arena);
		b.all_connected = false;
		stream_connect(&b.loop, address ? address : b.config.address, b.tls,
			b.config.tls_name, 0, on_connected, c);
		bench_wait(&b.loop, &b.all_connected, GIVE_UP_S, "a connection");
		if (!b.hold)
			continue;
		for (unsigned n = 0; n < b.per_connection; n++)
			ask(c);
		if (b.http2)
			flush(c);
	}
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct rlimit limit;
	if (argc != 6)
		bench_die(
			"usage: http-bench KUBECONFIG PID get|get2|watch|watch2|idle COUNT TARGET");
	const char *mode = argv[3];
	pid_t server = (pid_t)bench_number(argv[2], "PID");
	b.count = bench_number(argv[4], "COUNT");
	b.target = argv[5];
	b.http2 = str_has_suffix(mode, "2");
	b.hold = !str_has_prefix(mode, "get");
	b.per_connection = streq(mode, "watch2") ? STREAMS : 1;
	b.connection_count =
		b.hold ? (b.count + b.per_connection - 1) / b.per_connection : CONNECTIONS;
	b.connections = xcalloc(b.connection_count, sizeof(*b.connections));
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	uv_loop_init(&b.loop);
	bench_must(kubeconfig_load(argv[1], NULL, &b.config, &err), &err, argv[1]);
	bench_must(tls_client_context(&b.config.ca, &b.config.cert, &b.config.key, &b.tls, &err),
		&err, "TLS");
	if (b.http2 && SSL_CTX_set_alpn_protos(b.tls, (const unsigned char *)"\x02h2", 3) != 0)
		bench_die("ALPN");
	double before = bench_resident_mib(server);
	connect_all();
	int64_t cpu = bench_cpu_ns(server), wall = bench_now_ns();
	for (unsigned i = 0; i < b.connection_count && !b.hold; i++) {
		ask(&b.connections[i]);
		if (b.http2)
			flush(&b.connections[i]);
	}
	bench_wait(&b.loop, &b.all_done, GIVE_UP_S, "the answers");
	if (b.hold) {
		printf("hanok %.0f\n",
			(bench_resident_mib(server) - before) * 1048576 / (double)b.count);
		return 0;
	}
	fprintf(stderr, "%s: %.0f a second\n", mode,
		(double)b.count * 1e9 / (double)(bench_now_ns() - wall));
	printf("hanok %.2f\n", (double)(bench_cpu_ns(server) - cpu) / 1e3 / (double)b.count);
	return 0;
}
