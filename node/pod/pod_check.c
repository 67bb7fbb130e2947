/* pod_check.c - see pod_check.h. HTTP answers of 200 to 399 are good; certificates are not
 * verified; redirects are followed on the same host only, and one that leads elsewhere is good but
 * worth a word. */
#include "node/pod/pod_check.h"

#include <stdio.h>

#include "api/proto/grpc_health.pb-c.h"
#include "lib/http/http_client.h"
#include "node/pod/probe_redirect.h"

enum {
	DEFAULT_TIMEOUT_MS = 120 * 1000,
	BODY_MAX_BYTES = 10 << 10,
	TEXT_MAX_BYTES = 1024,
	REDIRECTS_MAX = 10,
};

struct pod_check {
	struct pod_worker *w;
	pod_check_done *done;
	void *user;
	/* one of these is under way */
	struct grpc_call *grpc;
	struct grpc_channel *channel;
	struct http_endpoint *endpoint;
	struct http_call *call;
	struct stream_connect *connect;
	struct wakeup *timer; /* sleeps, and results that are known at once */
	enum check_result result;
	struct http_question *http;
	char host[256]; /* of a TCP check */
	int port;
	int64_t timeout_ms;
	char text[TEXT_MAX_BYTES];
};

/* An HTTP check, which may take several requests. */
struct http_question {
	struct arena arena;
	const char *host, *host_header, *headers, *path;
	int port;
	bool tls;
	unsigned redirects;
	int64_t until_ns; /* monotonic: all of it must be over */
	int status;	  /* of the answer that is coming in; 0 = none yet */
	const char *location;
};

static void check_free(struct pod_check *c)
{
	grpc_channel_destroy(c->channel);
	http_endpoint_destroy(c->endpoint);
	wakeup_destroy(c->timer);
	if (c->http) {
		struct arena a = c->http->arena;
		arena_finish(&a);
	}
	free(c);
}

static void finish(struct pod_check *c, enum check_result result, const char *text)
{
	c->done(c->user, result, text);
	check_free(c);
}

static void on_timer(void *user)
{
	struct pod_check *c = user;

	finish(c, c->result, c->text);
}

static void finish_later(struct pod_check *c, enum check_result result, int64_t ms)
{
	c->result = result;
	c->timer = wakeup_create(c->w->n->loop, c->w->n->clock, on_timer, c);
	wakeup_in(c->timer, ms);
}

/* ---- exec ---- */

static void on_exec(void *user, const struct grpc_result *r)
{
	struct pod_check *c = user;
	const Cri__ExecSyncResponse *s = r->response;

	c->grpc = NULL;
	if (r->status == GRPC_DEADLINE_EXCEEDED) {
		finish(c, CHECK_FAILED, c->text);
		return;
	}
	if (!grpc_ok(r)) {
		finish(c, CHECK_ERROR, r->message);
		return;
	}
	if (s->exit_code == 0) {
		finish(c, CHECK_OK, "");
		return;
	}
	const char *out = (const char *)s->stdout.data, *error = (const char *)s->stderr.data;
	snprintf(c->text, sizeof(c->text), "%.*s%.*s",
		(int)utf8_cut(out, s->stdout.len, TEXT_MAX_BYTES / 2), out,
		(int)utf8_cut(error, s->stderr.len, TEXT_MAX_BYTES / 2 - 64), error);
	if (!*c->text)
		snprintf(c->text, sizeof(c->text), "command terminated with exit code %d",
			s->exit_code);
	if (!utf8_valid(c->text, strlen(c->text)))
		snprintf(
			c->text, sizeof(c->text), "exit code %d, output is not text", s->exit_code);
	finish(c, CHECK_FAILED, c->text);
}

static void run_exec(struct pod_check *c, size_t container, const struct json *exec, int64_t ms)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *command = json_get(exec, "command");
	char **argv = arena_alloc(&a, (json_count(command) + 1) * sizeof(*argv));
	size_t argc = 0;

	JSON_FOR_EACH_ITEM(s, command)
		argv[argc++] = (char *)(uintptr_t)json_str_or(s, "");
	/* What it says if it does not end in time. */
	int n = snprintf(c->text, sizeof(c->text), "command timed out: \"");
	for (size_t i = 0; i < argc && n < TEXT_MAX_BYTES / 2; i++)
		n += snprintf(
			c->text + n, sizeof(c->text) - n - 64, "%s%.256s", i ? " " : "", argv[i]);
	snprintf(c->text + n, sizeof(c->text) - n, "\" timed out after %llds",
		(long long)((ms + 999) / 1000));
	c->grpc = cri_exec_sync(c->w->m->cri, c->w->containers[container].cur.id, argv, argc,
		(ms + 999) / 1000, on_exec, c);
}

/* ---- network ---- */

static const char *target_host(struct pod_check *c, const struct json *spec)
{
	const char *host = json_str(json_get(spec, "host"));

	return host && *host ? host : c->w->pod_ip;
}

/* Whoever wrote the path chose where to ask, not what else to say: one word, no second line. */
static const char *request_target(struct arena *a, const char *path)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	if (*path != '/')
		buf_add_char(&b, '/');
	for (const char *p = path; *p; p++) {
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			buf_printf(&b, "%%%02X", (unsigned char)*p);
		else
			buf_add_char(&b, *p);
	}
	return arena_memdup(a, b.data, b.size);
}

/* "dial tcp ADDRESS: connect: connection refused", as people know it. */
static void dial_text(
	struct pod_check *c, const char *before, const char *host, int port, const struct err *err)
{
	const char *why = err->code == -ECONNREFUSED   ? "connect: connection refused"
			  : err->code == -EHOSTUNREACH ? "connect: no route to host"
			  : err->code == -ENETUNREACH  ? "connect: network is unreachable"
			  : err->code == -ECONNRESET   ? "read: connection reset by peer"
			  : err->code == -ETIMEDOUT    ? "i/o timeout"
						       : err->msg;

	snprintf(c->text, sizeof(c->text), "%sdial tcp %s%s%s:%d: %.256s", before,
		strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", port, why);
}

static void ask_http(struct pod_check *c);

static const char *url_of(struct http_question *q)
{
	bool v6 = strchr(q->host, ':') != NULL;

	return arena_printf(&q->arena, "%s://%s%s%s:%d%s", q->tls ? "https" : "http", v6 ? "[" : "",
		q->host, v6 ? "]" : "", q->port, q->path);
}

static void answered(struct pod_check *c, const char *body, size_t body_size)
{
	struct http_question *q = c->http;
	static const int moved[] = {301, 302, 303, 307, 308};

	for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
		const char *path;
		if (q->status != moved[i] || !q->location ||
			!probe_redirect(
				&q->arena, q->location, q->host, q->path, &q->tls, &q->port, &path))
			continue;
		if (++q->redirects >= REDIRECTS_MAX) {
			snprintf(c->text, sizeof(c->text),
				"Get \"%.512s\": stopped after 10 redirects", url_of(q));
			finish(c, CHECK_FAILED, c->text);
			return;
		}
		q->path = request_target(&q->arena, path);
		http_endpoint_destroy(c->endpoint);
		c->endpoint = NULL;
		ask_http(c);
		return;
	}
	if (q->status >= 300 && q->status < 400) {
		bool text = utf8_valid(body, body_size);
		snprintf(c->text, sizeof(c->text),
			"Probe terminated redirects, Response body: %.*s",
			text ? (int)utf8_cut(body, body_size, TEXT_MAX_BYTES - 64) : 0, body);
		finish(c, CHECK_WARNING, c->text);
	} else if (q->status >= 200 && q->status < 300) {
		finish(c, CHECK_OK, "");
	} else {
		snprintf(c->text, sizeof(c->text), "HTTP probe failed with statuscode: %d",
			q->status);
		finish(c, CHECK_FAILED, c->text);
	}
}

static void on_http_begin(void *user, const struct http_response *r)
{
	struct pod_check *c = user;
	const char *location = http_response_header(r, "Location");

	c->http->status = r->status;
	c->http->location = location ? arena_strdup(&c->http->arena, location) : NULL;
}

static void on_http(void *user, const struct http_response *r, const struct err *err)
{
	struct pod_check *c = user;
	struct http_question *q = c->http;

	c->call = NULL;
	if (r) {
		answered(c, r->body, r->body_size);
	} else if (err->code == -EMSGSIZE && q->status) {
		/* Longer than anybody wants to read: the status counts. */
		answered(c, "", 0);
	} else if (err->code == -ETIMEDOUT) {
		snprintf(c->text, sizeof(c->text),
			"Get \"%.512s\": context deadline exceeded (Client.Timeout exceeded while "
			"awaiting headers)",
			url_of(q));
		finish(c, CHECK_FAILED, c->text);
	} else {
		const char *before = arena_printf(&q->arena, "Get \"%.512s\": ", url_of(q));
		dial_text(c, before, q->host, q->port, err);
		finish(c, CHECK_FAILED, c->text);
	}
}

/* Made once: reading the machine's certificates for each probe would cost more than the probe. */
static SSL_CTX *probe_tls(struct pod_manager *m, struct err *err)
{
	if (!m->probe_tls && tls_client_context(NULL, NULL, NULL, &m->probe_tls, err) < 0)
		return NULL;
	return m->probe_tls;
}

static void ask_http(struct pod_check *c)
{
	struct http_question *q = c->http;
	int64_t left_ms = (q->until_ns - mono(c->w->n)) / NS_PER_MS;
	struct err err = ERR_INIT;
	SSL_CTX *tls = NULL;

	if (q->tls && !(tls = probe_tls(c->w->m, &err))) {
		snprintf(c->text, sizeof(c->text), "%s", err.msg);
		finish_later(c, CHECK_ERROR, 0);
		return;
	}
	q->status = 0;
	q->location = NULL;
	c->endpoint = http_endpoint_create(&(struct http_endpoint_options){
		.loop = c->w->n->loop,
		.address = arena_printf(&q->arena,
			strchr(q->host, ':') ? "tcp://[%s]:%d" : "tcp://%s:%d", q->host, q->port),
		.tls = tls,
		.host = q->host_header,
		.max_idle = 1,
	});
	c->call = http_call(c->endpoint, &(struct http_call_options){
						 .method = "GET",
						 .target = q->path,
						 .headers = q->headers,
						 .timeout_ms = (unsigned)MAX(left_ms, 1),
						 .body_max_bytes = BODY_MAX_BYTES,
						 .begin = on_http_begin,
						 .done = on_http,
						 .user = c,
					 });
}

/* A port that can't be found out is no answer of the container. */
static void no_port(struct pod_check *c, const struct json *port)
{
	const char *name = json_str(port);

	if (name)
		snprintf(c->text, sizeof(c->text),
			"strconv.Atoi: parsing \"%.256s\": invalid syntax", name);
	else
		snprintf(c->text, sizeof(c->text), "invalid port number, or no address yet");
	finish_later(c, CHECK_ERROR, 0);
}

static void run_http(
	struct pod_check *c, const struct json *doc, const struct json *get, int64_t ms)
{
	_cleanup_(buf_finish) struct buf headers = BUF_INIT;
	const char *host = target_host(c, get);
	const char *path = json_str_or(json_get(get, "path"), "/");
	int port = pod_port_number(doc, json_get(get, "port"));
	bool has_agent = false, has_accept = false;

	if (port <= 0 || !*host) {
		no_port(c, *host ? json_get(get, "port") : NULL);
		return;
	}
	struct arena a = ARENA_INIT;
	struct http_question *q = arena_zalloc(&a, sizeof(*q));
	q->arena = a;
	c->http = q;
	q->tls = streq(json_str(json_get(get, "scheme")), "HTTPS");
	q->host = arena_strdup(&q->arena, host);
	q->port = port;
	q->path = request_target(&q->arena, path);
	q->until_ns = mono(c->w->n) + ms * NS_PER_MS;
	JSON_FOR_EACH_ITEM(h, json_get(get, "httpHeaders")) {
		const char *name = json_str_or(json_get(h, "name"), "");
		const char *value = json_str_or(json_get(h, "value"), "");
		/* The API checks names, but not that a value is one line. */
		if (!*name || strpbrk(name, "\r\n: ") || strpbrk(value, "\r\n"))
			continue;
		if (strcasecmp(name, "Host") == 0) {
			q->host_header = arena_strdup(&q->arena, value);
			continue;
		}
		has_agent = has_agent || strcasecmp(name, "User-Agent") == 0;
		has_accept = has_accept || strcasecmp(name, "Accept") == 0;
		/* A value of nothing asks to leave the header out. */
		if (*value)
			buf_printf(&headers, "%s: %s\r\n", name, value);
	}
	if (!has_agent)
		buf_add_str(&headers, "User-Agent: kube-probe/1.33\r\n");
	if (!has_accept)
		buf_add_str(&headers, "Accept: */*\r\n");
	buf_add_str(&headers, "Connection: close\r\n");
	q->headers = arena_strdup(&q->arena, headers.data);
	ask_http(c);
}

/* ---- TCP and gRPC ---- */

static void on_connected(void *user, struct stream *s, const struct err *err)
{
	struct pod_check *c = user;

	c->connect = NULL;
	if (!s) {
		dial_text(c, "", c->host, c->port, err);
		finish(c, CHECK_FAILED, c->text);
		return;
	}
	stream_set_handler(s, NULL, NULL);
	stream_close(s);
	finish(c, CHECK_OK, "");
}

static void run_tcp(struct pod_check *c, const struct json *doc, const struct json *tcp, int64_t ms)
{
	int port = pod_port_number(doc, json_get(tcp, "port"));
	const char *host = target_host(c, tcp);
	char address[320];

	if (port <= 0 || !*host) {
		no_port(c, *host ? json_get(tcp, "port") : NULL);
		return;
	}
	snprintf(c->host, sizeof(c->host), "%s", host);
	c->port = port;
	if (strchr(host, ':'))
		snprintf(address, sizeof(address), "tcp://[%s]:%d", host, port);
	else
		snprintf(address, sizeof(address), "tcp://%s:%d", host, port);
	c->connect =
		stream_connect(c->w->n->loop, address, NULL, NULL, (unsigned)ms, on_connected, c);
}

/* The channel's message says the address, too, and here it has been said. */
static const char *without_address(const char *message)
{
	const char *last = strrchr(message, ':');

	return last && last[1] == ' ' ? last + 2 : message;
}

static void on_health(void *user, const struct grpc_result *r)
{
	static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
	struct pod_check *c = user;
	const GrpcHealth__HealthCheckResponse *s = r->response;

	c->grpc = NULL;
	if (grpc_ok(r) &&
		s->status == GRPC_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING) {
		finish(c, CHECK_OK, "");
		return;
	}
	if (grpc_ok(r))
		snprintf(c->text, sizeof(c->text), "service unhealthy (responded with \"%s\")",
			(unsigned)s->status < ARRAY_LEN(names) ? names[s->status] : "?");
	else if (r->status == GRPC_UNIMPLEMENTED)
		snprintf(c->text, sizeof(c->text),
			"error: this server does not implement the grpc health protocol "
			"(grpc.health.v1.Health): %s",
			r->message);
	else if (r->status == GRPC_DEADLINE_EXCEEDED)
		snprintf(c->text, sizeof(c->text),
			"timeout: health rpc did not complete within %llds",
			(long long)(c->timeout_ms / 1000));
	else if (r->status == GRPC_UNAVAILABLE)
		snprintf(c->text, sizeof(c->text),
			"timeout: failed to connect service \"%s:%d\" within %llds: %s", c->host,
			c->port, (long long)(c->timeout_ms / 1000), without_address(r->message));
	else
		snprintf(
			c->text, sizeof(c->text), "error: health rpc probe failed: %s", r->message);
	finish(c, CHECK_FAILED, c->text);
}

static void run_grpc(struct pod_check *c, const struct json *grpc, int64_t ms)
{
	GrpcHealth__HealthCheckRequest q = GRPC_HEALTH__HEALTH_CHECK_REQUEST__INIT;
	const char *host = c->w->pod_ip;
	char address[300];

	c->port = (int)json_int_or(json_get(grpc, "port"), 0);
	if (c->port <= 0 || c->port > 65535 || !*host) {
		no_port(c, NULL);
		return;
	}
	snprintf(c->host, sizeof(c->host), strchr(host, ':') ? "[%s]" : "%s", host);
	snprintf(address, sizeof(address), "tcp://%s:%d", c->host, c->port);
	q.service = (char *)(uintptr_t)json_str_or(json_get(grpc, "service"), "");
	c->channel = grpc_channel_create(&(struct grpc_channel_options){
		.loop = c->w->n->loop,
		.address = address,
		.user_agent = "kube-probe/1.33",
		.message_max_bytes = 64 << 10,
	});
	c->grpc = grpc_call(c->channel, "/grpc.health.v1.Health/Check", &q.base,
		&grpc_health__health_check_response__descriptor, (unsigned)ms, on_health, c);
}

struct pod_check *pod_check_run(struct pod_worker *w, size_t container, const struct json *handler,
	int64_t timeout_ms, pod_check_done *done, void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_check *c = xcalloc(1, sizeof(*c));
	const struct json *doc = pod_container_doc(pod_worker_doc(w, &a), container);
	int64_t ms = timeout_ms > 0 ? MIN(timeout_ms, (int64_t)INT32_MAX) : DEFAULT_TIMEOUT_MS;
	const struct json *how;

	c->w = w;
	c->done = done;
	c->user = user;
	c->timeout_ms = ms;
	if ((how = json_get(handler, "exec")))
		run_exec(c, container, how, ms);
	else if ((how = json_get(handler, "httpGet")))
		run_http(c, doc, how, ms);
	else if ((how = json_get(handler, "tcpSocket")))
		run_tcp(c, doc, how, ms);
	else if ((how = json_get(handler, "grpc")))
		run_grpc(c, how, ms);
	else if ((how = json_get(handler, "sleep")))
		finish_later(c, CHECK_OK, MIN(pod_seconds(how, "seconds", 0) * 1000, ms));
	else
		finish_later(c, CHECK_OK, 0);
	return c;
}

void pod_check_cancel(struct pod_check *c)
{
	if (!c)
		return;
	/* A call on the channel ends with it. */
	if (c->grpc && !c->channel)
		grpc_call_cancel(c->grpc);
	if (c->call)
		http_call_cancel(c->call);
	if (c->connect)
		stream_connect_cancel(c->connect);
	check_free(c);
}

int pod_port_number(const struct json *container, const struct json *port)
{
	if (json_is(port, JSON_INT))
		return port->i > 0 && port->i <= 65535 ? (int)port->i : -1;
	const char *name = json_str_or(port, "");
	JSON_FOR_EACH_ITEM(p, json_get(container, "ports")) {
		if (streq(json_str(json_get(p, "name")), name))
			return (int)json_int_or(json_get(p, "containerPort"), -1);
	}
	int64_t n;
	return parse_i64(str_from(name), &n) == 0 && n > 0 && n <= 65535 ? (int)n : -1;
}
