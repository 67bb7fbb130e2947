/* pod_check.c - see pod_check.h. HTTP answers of 200 to 399 are good; certificates are not
 * verified, redirects not followed (a redirect is good by its status). */
#include "node/pod/pod_check.h"

#include <stdio.h>

#include "api/proto/grpc_health.pb-c.h"
#include "lib/http/http_client.h"
#include "lib/http/tls.h"

enum { DEFAULT_TIMEOUT_MS = 120 * 1000, BODY_MAX_BYTES = 10 << 10, TEXT_MAX_BYTES = 1024 };

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
	char text[TEXT_MAX_BYTES];
};

static void check_free(struct pod_check *c)
{
	grpc_channel_destroy(c->channel);
	http_endpoint_destroy(c->endpoint);
	wakeup_destroy(c->timer);
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
		finish(c, CHECK_FAILED, "command timed out");
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
	int n = (int)MIN(s->stdout.len, (size_t)TEXT_MAX_BYTES / 2);
	int e = (int)MIN(s->stderr.len, (size_t)TEXT_MAX_BYTES / 2 - 64);
	snprintf(c->text, sizeof(c->text), "%.*s%.*s", n, (const char *)s->stdout.data, e,
		(const char *)s->stderr.data);
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
	c->grpc = cri_exec_sync(c->w->m->cri, c->w->containers[container].cur.id, argv, argc,
		(ms + 999) / 1000, on_exec, c);
}

/* ---- network ---- */

static const char *target_host(struct pod_check *c, const struct json *spec)
{
	const char *host = json_str(json_get(spec, "host"));

	return host && *host ? host : c->w->pod_ip;
}

static void on_http(void *user, const struct http_response *r, const struct err *err)
{
	struct pod_check *c = user;

	c->call = NULL;
	if (!r) {
		finish(c, CHECK_FAILED, err->msg);
		return;
	}
	if (r->status >= 200 && r->status < 400) {
		finish(c, CHECK_OK, "");
		return;
	}
	snprintf(c->text, sizeof(c->text), "HTTP probe failed with statuscode: %d", r->status);
	finish(c, CHECK_FAILED, c->text);
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

static void run_http(
	struct pod_check *c, const struct json *doc, const struct json *get, int64_t ms)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf headers = BUF_INIT;
	const char *host = target_host(c, get);
	const char *path = json_str_or(json_get(get, "path"), "/");
	bool tls = streq(json_str(json_get(get, "scheme")), "HTTPS");
	int port = pod_port_number(doc, json_get(get, "port"));
	const char *host_header = NULL;
	bool has_agent = false, has_accept = false;
	SSL_CTX *ctx = NULL;
	struct err err = ERR_INIT;

	if (port <= 0 || !*host) {
		snprintf(c->text, sizeof(c->text), "no such port or no address yet");
		finish_later(c, CHECK_ERROR, 0);
		return;
	}
	if (tls && tls_client_context(NULL, NULL, NULL, &ctx, &err) < 0) {
		snprintf(c->text, sizeof(c->text), "%s", err.msg);
		finish_later(c, CHECK_ERROR, 0);
		return;
	}
	JSON_FOR_EACH_ITEM(h, json_get(get, "httpHeaders")) {
		const char *name = json_str_or(json_get(h, "name"), "");
		const char *value = json_str_or(json_get(h, "value"), "");
		/* The API checks names, but not that a value is one line. */
		if (!*name || strpbrk(name, "\r\n: ") || strpbrk(value, "\r\n"))
			continue;
		if (strcasecmp(name, "Host") == 0)
			host_header = value;
		has_agent = has_agent || strcasecmp(name, "User-Agent") == 0;
		has_accept = has_accept || strcasecmp(name, "Accept") == 0;
		if (strcasecmp(name, "Host") != 0)
			buf_printf(&headers, "%s: %s\r\n", name, value);
	}
	if (!has_agent)
		buf_add_str(&headers, "User-Agent: kube-probe/1.33\r\n");
	if (!has_accept)
		buf_add_str(&headers, "Accept: */*\r\n");
	buf_add_str(&headers, "Connection: close\r\n");
	c->endpoint = http_endpoint_create(&(struct http_endpoint_options){
		.loop = c->w->n->loop,
		.address = arena_printf(
			&a, strchr(host, ':') ? "tcp://[%s]:%d" : "tcp://%s:%d", host, port),
		.tls = ctx,
		.host = host_header,
		.max_idle = 1,
	});
	if (ctx)
		SSL_CTX_free(ctx);
	c->call = http_call(c->endpoint, &(struct http_call_options){
						 .method = "GET",
						 .target = request_target(&a, path),
						 .headers = headers.data,
						 .timeout_ms = (unsigned)ms,
						 .body_max_bytes = BODY_MAX_BYTES,
						 .done = on_http,
						 .user = c,
					 });
}

static void on_connected(void *user, struct stream *s, const struct err *err)
{
	struct pod_check *c = user;

	c->connect = NULL;
	if (!s) {
		finish(c, CHECK_FAILED, err->msg);
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
		snprintf(c->text, sizeof(c->text), "no such port or no address yet");
		finish_later(c, CHECK_ERROR, 0);
		return;
	}
	if (strchr(host, ':'))
		snprintf(address, sizeof(address), "tcp://[%s]:%d", host, port);
	else
		snprintf(address, sizeof(address), "tcp://%s:%d", host, port);
	c->connect =
		stream_connect(c->w->n->loop, address, NULL, NULL, (unsigned)ms, on_connected, c);
}

static void on_health(void *user, const struct grpc_result *r)
{
	struct pod_check *c = user;
	const GrpcHealth__HealthCheckResponse *s = r->response;

	c->grpc = NULL;
	if (!grpc_ok(r))
		finish(c, CHECK_FAILED, r->message);
	else if (s->status == GRPC_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
		finish(c, CHECK_OK, "");
	else
		finish(c, CHECK_FAILED, "service unhealthy");
}

static void run_grpc(struct pod_check *c, const struct json *grpc, int64_t ms)
{
	GrpcHealth__HealthCheckRequest q = GRPC_HEALTH__HEALTH_CHECK_REQUEST__INIT;
	char address[128];

	snprintf(address, sizeof(address), "tcp://%s:%lld", c->w->pod_ip,
		(long long)json_int_or(json_get(grpc, "port"), 0));
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
