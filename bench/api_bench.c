/* api_bench.c - rates, latencies and the server's CPU time of plain API calls.
 *
 *     api-bench KUBECONFIG PID[,PID...] PODS [PHASE...]
 *
 * Works with any Kubernetes API server on this machine; PIDs are of all processes that serve
 * (kube-apiserver and etcd). No scheduler takes the pods: they name one that does not exist.
 * Without PHASEs all are run, in their order; the pods are created in any case.
 *
 * 16 TLS connections, kept alive, one request at a time on each, JSON, pods of about 1.5 KB; 100
 * watchers on connections of their own. A watch that the server ends (kube-apiserver cuts watchers
 * that are too slow for it) is begun again behind the last event; stderr tells how often. A line a
 * phase:
 *
 *     PHASE per_second p50_ms p99_ms server_us client_us resident_mib bytes first_ms
 *
 * CPU microseconds are those of one operation (watch: of one event at one watcher), resident_mib
 * the servers' memory right after the phase, bytes the body of the last answer, first_ms the median
 * time until the first byte of the answers. Any answer but a success ends the program. */
#include <stdio.h>

#include "bench/common.h"
#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/client/kubeconfig.h"
#include "lib/http/http_parser.h"
#include "lib/http/tls.h"

#define CONNECTIONS 16
#define WATCHERS 100
#define GIVE_UP_S 300
#define SERVERS_MAX 4
#define TAIL_BYTES (16u << 10)
#define PODS "/api/v1/namespaces/default/pods"

struct bench;

struct connection {
	struct bench *bench;
	struct stream *stream;
	struct http_parser parser;
	struct arena arena;
	int64_t sent_ns;
	bool begun; /* the first byte of the answer is there */
	size_t body_size;
	struct buf failure; /* the body of an answer that is no success */
	bool busy;
};

struct watcher {
	struct bench *bench;
	struct stream *stream;
	uint64_t events;
	char tail[TAIL_BYTES]; /* of what was read: the last event begins in it */
	size_t tail_size;
	char revision[24]; /* where the watch was begun; "" = with what was there */
};

/* Appends the request number i of a phase. */
typedef void make_request(struct bench *b, struct buf *out, unsigned i);

struct bench {
	uv_loop_t loop;
	struct kubeconfig config;
	SSL_CTX *tls;
	pid_t servers[SERVERS_MAX];
	size_t server_count;
	char **phases; /* to be run; none = all */
	size_t phase_count;
	struct random random;
	struct connection connections[CONNECTIONS];
	struct watcher watchers[WATCHERS];
	unsigned connected, pods;
	unsigned parallel; /* connections that a phase uses, from the first on */
	bool all_connected;

	/* the phase */
	make_request *make;
	unsigned next, count, completed, active;
	struct bench_samples latencies, first;
	size_t body_size;
	bool done;

	/* watchers */
	uint64_t events, events_expected;
	unsigned watches_ended;
	bool watching; /* the watchers have what was there at first */
	bool watched;

	/* paced writes: event i of each watcher is about write i */
	int64_t *answered_ns;
	struct bench_samples delays;
};

/* ---- requests ---- */

static void add_request(struct bench *b, struct buf *out, const char *method, const char *target,
	const char *type, const struct buf *body)
{
	buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n", method,
		target, b->config.host);
	if (b->config.token)
		buf_printf(out, "Authorization: Bearer %s\r\n", b->config.token);
	if (body)
		buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, body->size);
	buf_add_str(out, "\r\n");
	if (body)
		buf_add(out, body->data, body->size);
}

static void add_pod(struct buf *out, const char *prefix, unsigned i)
{
	buf_printf(out,
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s-%05u\","
		"\"namespace\":\"default\",\"labels\":{\"app\":\"web-frontend\",\"tier\":"
		"\"frontend\","
		"\"pod-template-hash\":\"7d4b9c6f58\",\"version\":\"v2.14.3\"},\"annotations\":{"
		"\"description\":\"Serves the pages of the shop and nothing "
		"else\",\"checksum/config\":"
		"\"b1946ac92492d2347c6235b4d2611184a7d3e0f5c6b8a9d0e1f2a3b4c5d6e7f8\"}},\"spec\":{"
		"\"volumes\":[{\"name\":\"cache\",\"emptyDir\":{}},{\"name\":\"config\","
		"\"configMap\":{"
		"\"name\":\"web-frontend\",\"defaultMode\":420}}],\"containers\":[{\"name\":"
		"\"web\","
		"\"image\":\"registry.example.com/shop/"
		"web:v2.14.3\",\"args\":[\"--listen=0.0.0.0:8080\","
		"\"--config=/etc/web/"
		"config.yaml\"],\"ports\":[{\"name\":\"http\",\"containerPort\":8080,"
		"\"protocol\":\"TCP\"}],\"env\":[{\"name\":\"LOG_LEVEL\",\"value\":\"info\"},{"
		"\"name\":"
		"\"REGION\",\"value\":\"north\"}],\"resources\":{\"limits\":{\"cpu\":\"500m\","
		"\"memory\":"
		"\"512Mi\"},\"requests\":{\"cpu\":\"250m\",\"memory\":\"256Mi\"}},\"volumeMounts\":"
		"[{"
		"\"name\":\"config\",\"readOnly\":true,\"mountPath\":\"/etc/"
		"web\"},{\"name\":\"cache\","
		"\"mountPath\":\"/var/cache\"}],\"livenessProbe\":{\"httpGet\":{\"path\":\"/"
		"healthz\","
		"\"port\":8080,\"scheme\":\"HTTP\"},\"timeoutSeconds\":1,\"periodSeconds\":10,"
		"\"successThreshold\":1,\"failureThreshold\":3}}],\"restartPolicy\":\"Always\","
		"\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\","
		"\"schedulerName\":"
		"\"nobody\"}}",
		prefix, i);
}

static void add_create(struct bench *b, struct buf *out, const char *prefix, unsigned i)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	add_pod(&body, prefix, i);
	add_request(b, out, "POST", PODS, "application/json", &body);
}

static void make_create(struct bench *b, struct buf *out, unsigned i)
{
	add_create(b, out, "pod", i);
}

static void make_watched_create(struct bench *b, struct buf *out, unsigned i)
{
	add_create(b, out, "watched", i);
}

static void make_get(struct bench *b, struct buf *out, unsigned i)
{
	char target[128];
	snprintf(target, sizeof(target), PODS "/pod-%05u",
		(unsigned)random_below(&b->random, b->pods));
	add_request(b, out, "GET", target, NULL, NULL);
}

static void make_patch(struct bench *b, struct buf *out, unsigned i)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	char target[128];
	buf_printf(&body, "{\"metadata\":{\"labels\":{\"patched\":\"%016lx\"}}}",
		(unsigned long)random_u64(&b->random));
	snprintf(target, sizeof(target), PODS "/pod-%05u", i % b->pods);
	add_request(b, out, "PATCH", target, "application/merge-patch+json", &body);
}

static void make_list(struct bench *b, struct buf *out, unsigned i)
{
	add_request(b, out, "GET", PODS, NULL, NULL);
}

static void make_list_cached(struct bench *b, struct buf *out, unsigned i)
{
	add_request(b, out, "GET", PODS "?resourceVersion=0", NULL, NULL);
}

static void make_delete(struct bench *b, struct buf *out, unsigned i)
{
	char target[128];
	snprintf(target, sizeof(target), PODS "/pod-%05u", i);
	add_request(b, out, "DELETE", target, NULL, NULL);
}

/* ---- connections ---- */

static void send_next(struct connection *c)
{
	struct bench *b = c->bench;
	_cleanup_(buf_finish) struct buf request = BUF_INIT;
	if (b->next == b->count)
		return;
	b->make(b, &request, b->next++);
	c->busy = true;
	c->begun = false;
	c->body_size = 0;
	arena_reset(&c->arena);
	http_parser_init(&c->parser, true, &c->arena);
	c->sent_ns = bench_now_ns();
	stream_write(c->stream, request.data, request.size);
}

static void answered(struct connection *c)
{
	struct bench *b = c->bench;
	int64_t now = bench_now_ns();
	if (c->parser.status / 100 != 2)
		bench_die(
			"answer %d: %s", c->parser.status, c->failure.data ? c->failure.data : "");
	bench_samples_add(&b->latencies, (double)(now - c->sent_ns) / 1e6);
	if (b->answered_ns)
		b->answered_ns[b->completed] = now;
	b->body_size = c->body_size;
	b->completed++;
	c->busy = false;
	if (b->completed == b->count)
		b->done = true;
	else if (!b->answered_ns)
		send_next(c);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct connection *c = user;
	enum http_event event = HTTP_HEAD;
	if (c->busy && !c->begun) {
		c->begun = true;
		bench_samples_add(&c->bench->first, (double)(bench_now_ns() - c->sent_ns) / 1e6);
	}
	/* The end may be told when all bytes are consumed. */
	while (c->busy && event != HTTP_NEED_MORE) {
		struct str piece;
		size_t used = http_parser_feed(&c->parser, data, size, &event, &piece);
		data += used;
		size -= used;
		if (event == HTTP_BAD)
			bench_die("malformed answer: %s", c->parser.reason);
		if (event == HTTP_BODY) {
			c->body_size += piece.size;
			if (c->parser.status / 100 != 2)
				buf_add(&c->failure, piece.p, piece.size);
		}
		if (event == HTTP_END)
			answered(c);
	}
}

static void watch_begin(struct watcher *w)
{
	_cleanup_(buf_finish) struct buf request = BUF_INIT;
	char target[128];
	snprintf(target, sizeof(target), PODS "?watch=true%s%s",
		*w->revision ? "&resourceVersion=" : "", w->revision);
	add_request(w->bench, &request, "GET", target, NULL, NULL);
	stream_write(w->stream, request.data, request.size);
}

static void keep_tail(struct watcher *w, const char *data, size_t size)
{
	if (size >= TAIL_BYTES) {
		memcpy(w->tail, data + size - TAIL_BYTES, TAIL_BYTES);
		w->tail_size = TAIL_BYTES;
		return;
	}
	size_t keep = MIN(w->tail_size, TAIL_BYTES - size);
	memmove(w->tail, w->tail + w->tail_size - keep, keep);
	memcpy(w->tail + keep, data, size);
	w->tail_size = keep + size;
}

static bool watch_ended(const struct watcher *w)
{
	static const char end[] = "\n\r\n0\r\n\r\n";
	size_t size = sizeof(end) - 1;
	return w->tail_size >= size && memcmp(w->tail + w->tail_size - size, end, size) == 0;
}

static void watch_again(struct watcher *w)
{
	static const char key[] = "\"metadata\":{", name[] = "\"resourceVersion\":\"";
	struct str rest = {w->tail, w->tail_size};
	/* The last event's, which comes before any other of its members of that name. */
	for (const char *p; (p = memmem(rest.p, rest.size, key, sizeof(key) - 1));) {
		rest = (struct str){p + 1, rest.size - (size_t)(p + 1 - rest.p)};
		p = memmem(rest.p, rest.size, name, sizeof(name) - 1);
		if (p)
			(void)sscanf(p + sizeof(name) - 1, "%20[0-9]", w->revision);
	}
	/* What is there at first comes in no order that one could go on in. */
	bool initial = !w->bench->watching && w->events > 0;
	if (initial || memmem(w->tail, w->tail_size, "\"type\":\"ERROR\"", 14))
		bench_die("a watch was ended and cannot go on where it was: %.*s",
			(int)MIN(w->tail_size, 1024u), w->tail);
	w->bench->watches_ended++;
	w->tail_size = 0;
	watch_begin(w);
}

static void on_watch_read(void *user, const char *data, size_t size)
{
	struct watcher *w = user;
	struct bench *b = w->bench;
	int64_t now = b->answered_ns ? bench_now_ns() : 0;
	/* The one bare line feed is the end of an event: JSON has none, framing has CR before it.
	 */
	for (const char *p = data, *end = data + size; p < end; p++) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			break;
		if ((p > data ? p[-1] : w->tail[w->tail_size - 1]) == '\r')
			continue;
		if (b->answered_ns) {
			/* Not answered yet: the event came first. */
			int64_t at = w->events < b->completed ? b->answered_ns[w->events] : now;
			bench_samples_add(&b->delays, (double)MAX(now - at, INT64_C(0)) / 1e6);
		}
		w->events++;
		b->events++;
	}
	keep_tail(w, data, size);
	if (b->events == b->events_expected)
		b->watched = true;
	if (watch_ended(w))
		watch_again(w);
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
	c->bench->all_connected = ++c->bench->connected == CONNECTIONS;
}

static void on_watch_connected(void *user, struct stream *s, const struct err *err)
{
	static const struct stream_handler handler = {
		.read = on_watch_read, .eof = on_eof, .error = on_error};
	struct watcher *w = user;
	struct bench *b = w->bench;
	if (!s)
		bench_die("connect: %s", err->msg);
	w->stream = s;
	stream_set_handler(s, &handler, w);
	stream_read_start(s);
	watch_begin(w);
	b->all_connected = ++b->connected == WATCHERS;
}

static void connect_all(struct bench *b)
{
	for (size_t i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &b->connections[i];
		c->bench = b;
		arena_init(&c->arena);
		stream_connect(&b->loop, b->config.address, b->tls, b->config.tls_name, 0,
			on_connected, c);
	}
	bench_wait(&b->loop, &b->all_connected, GIVE_UP_S, "the connections");
}

/* ---- phases ---- */

struct usage {
	int64_t wall_ns, server_ns, client_ns;
};

static struct usage usage_now(const struct bench *b)
{
	struct usage now = {.wall_ns = bench_now_ns(), .client_ns = bench_cpu_ns(getpid())};
	for (size_t i = 0; i < b->server_count; i++)
		now.server_ns += bench_cpu_ns(b->servers[i]);
	return now;
}

static double resident_mib(const struct bench *b)
{
	double sum = 0;
	for (size_t i = 0; i < b->server_count; i++)
		sum += bench_resident_mib(b->servers[i]);
	return sum;
}

static void report(struct bench *b, const char *phase, const struct usage *from, uint64_t count)
{
	struct usage to = usage_now(b);
	double n = (double)count;
	printf("%s %.1f %.2f %.2f %.1f %.1f %.1f %zu %.2f\n", phase,
		n * 1e9 / (double)(to.wall_ns - from->wall_ns), bench_share(&b->latencies, 0.5),
		bench_share(&b->latencies, 0.99),
		(double)(to.server_ns - from->server_ns) / 1e3 / n,
		(double)(to.client_ns - from->client_ns) / 1e3 / n, resident_mib(b), b->body_size,
		bench_share(&b->first, 0.5));
	fflush(stdout);
}

static void begin(struct bench *b, make_request *make, unsigned count)
{
	b->make = make;
	b->next = b->completed = 0;
	b->count = count;
	b->done = false;
	bench_samples_finish(&b->latencies);
	bench_samples_finish(&b->first);
	for (size_t i = 0; i < b->parallel; i++)
		send_next(&b->connections[i]);
}

static void run(struct bench *b, const char *phase, make_request *make, unsigned count)
{
	struct usage from = usage_now(b);
	begin(b, make, count);
	bench_wait(&b->loop, &b->done, GIVE_UP_S, phase);
	report(b, phase, &from, count);
}

static void run_watched(struct bench *b, const char *phase, make_request *make, unsigned count)
{
	struct usage from = usage_now(b);
	b->watched = false;
	b->events = 0;
	b->events_expected = (uint64_t)count * WATCHERS;
	begin(b, make, count);
	bench_wait(&b->loop, &b->watched, GIVE_UP_S, phase);
	bench_wait(&b->loop, &b->done, GIVE_UP_S, phase);
	report(b, phase, &from, b->events_expected);
}

/* A watch without a revision begins with the present objects: they are waited for. */
static void open_watchers(struct bench *b)
{
	b->connected = 0;
	b->all_connected = false;
	b->watched = false;
	b->events = 0;
	b->events_expected = (uint64_t)b->pods * WATCHERS;
	struct usage from = usage_now(b);
	for (size_t i = 0; i < WATCHERS; i++) {
		struct watcher *w = &b->watchers[i];
		w->bench = b;
		stream_connect(&b->loop, b->config.address, b->tls, b->config.tls_name, 0,
			on_watch_connected, w);
	}
	bench_wait(&b->loop, &b->all_connected, GIVE_UP_S, "the watchers' connections");
	bench_wait(&b->loop, &b->watched, GIVE_UP_S, "the watchers' first events");
	b->watching = true;
	bench_samples_finish(&b->latencies);
	b->body_size = 0;
	report(b, "watch-initial", &from, b->events_expected);
}

static void on_pace(uv_timer_t *timer)
{
	struct bench *b = timer->data;
	for (size_t i = 0; i < CONNECTIONS && b->next < b->count; i++)
		if (!b->connections[i].busy) {
			send_next(&b->connections[i]);
			return;
		}
}

/* 20 writes a second: how long after the answer do the watchers have the event? */
static void run_paced(struct bench *b, unsigned count)
{
	uv_timer_t timer;
	struct usage from = usage_now(b);
	b->answered_ns = xcalloc(count, sizeof(*b->answered_ns));
	b->make = make_patch;
	b->next = b->completed = 0;
	b->count = count;
	b->done = b->watched = false;
	b->events = 0;
	b->events_expected = (uint64_t)count * WATCHERS;
	for (size_t i = 0; i < WATCHERS; i++)
		b->watchers[i].events = 0;
	uv_timer_init(&b->loop, &timer);
	timer.data = b;
	uv_timer_start(&timer, on_pace, 50, 50);
	bench_wait(&b->loop, &b->watched, GIVE_UP_S, "the events of paced writes");
	uv_timer_stop(&timer);
	bench_samples_finish(&b->latencies);
	b->latencies = b->delays;
	report(b, "watch-delay", &from, b->events_expected);
	free(b->answered_ns);
	b->answered_ns = NULL;
}

static bool wanted(const struct bench *b, const char *phase)
{
	for (size_t i = 0; i < b->phase_count; i++)
		if (streq(b->phases[i], phase))
			return true;
	return b->phase_count == 0;
}

static void run_watches(struct bench *b)
{
	bool create = wanted(b, "watch-create"), patch = wanted(b, "watch-patch");
	bool delay = wanted(b, "watch-delay");
	if (!create && !patch && !delay && !wanted(b, "watch-initial"))
		return;
	open_watchers(b);
	if (create)
		run_watched(b, "watch-create", make_watched_create, b->pods / 2);
	if (patch)
		run_watched(b, "watch-patch", make_patch, b->pods / 2);
	if (delay)
		run_paced(b, 100);
	for (size_t i = 0; i < WATCHERS; i++)
		stream_close(b->watchers[i].stream);
	if (b->watches_ended)
		fprintf(stderr, "api-bench: the server ended watches %u times\n", b->watches_ended);
}

int main(int argc, char **argv)
{
	static struct bench b;
	if (argc < 4)
		bench_die("usage: api-bench KUBECONFIG PID[,PID...] PODS [PHASE...]");
	struct err err = ERR_INIT;
	tls_keep_spare_buffers();
	b.server_count = bench_pids(argv[2], b.servers, SERVERS_MAX);
	b.pods = bench_number(argv[3], "PODS");
	b.random = random_seeded(1);
	b.parallel = CONNECTIONS;
	uv_loop_init(&b.loop);
	bench_must(kubeconfig_load(argv[1], NULL, &b.config, &err), &err, argv[1]);
	bench_must(tls_client_context(&b.config.ca, &b.config.cert, &b.config.key, &b.tls, &err),
		&err, "TLS");
	connect_all(&b);
	b.phases = argv + 4;
	b.phase_count = (size_t)argc - 4;
	run(&b, "create", make_create, b.pods);
	if (wanted(&b, "get"))
		run(&b, "get", make_get, b.pods * 4);
	if (wanted(&b, "patch"))
		run(&b, "patch", make_patch, b.pods);
	if (wanted(&b, "list"))
		run(&b, "list", make_list, 48);
	if (wanted(&b, "list-cached"))
		run(&b, "list-cached", make_list_cached, 48);
	b.parallel = 1;
	if (wanted(&b, "list-alone"))
		run(&b, "list-alone", make_list, 8);
	b.parallel = CONNECTIONS;
	run_watches(&b);
	if (wanted(&b, "delete"))
		run(&b, "delete", make_delete, b.pods);
	return 0;
}
