#include "node/vm/vm_internal.h"

#include <stdio.h>

#include "lib/http/http_client.h"

/* The guest's readinessProbe: a TCP connection, or an HTTP request, to its address, as for
 * containers. Until it succeeded the VMI is not Ready and no Service sends to it. */
struct vm_probe {
	struct vm_worker *w;
	uv_timer_t timer;
	struct stream_connect *connect;
	struct stream *stream; /* connected: being closed */
	struct http_endpoint *endpoint;
	struct http_call *call;
	char *path, *headers, *host;
	char target[64]; /* "tcp://10.244.0.5:80" */
	bool http;
	unsigned period_ms, timeout_ms, success_threshold, failure_threshold;
	unsigned successes, failures; /* in a row */
	bool ready, ended;
	char why[256];
};

static void on_timer(uv_timer_t *t);

static void result(struct vm_probe *p, const char *problem)
{
	bool was = p->ready;

	if (problem) {
		snprintf(p->why, sizeof(p->why), "readiness probe: %s", problem);
		p->successes = 0;
		if (++p->failures >= p->failure_threshold)
			p->ready = false;
	} else {
		p->failures = 0;
		if (++p->successes >= p->success_threshold)
			p->ready = true;
	}
	uv_timer_start(&p->timer, on_timer, p->period_ms, 0);
	if (was != p->ready || (!p->ready && p->failures == 1))
		vm_worker_step(p->w);
}

static void stream_closed(void *user)
{
}

static void stream_ignore(void *user, const char *data, size_t size)
{
}

static void stream_eof(void *user)
{
}

static void connected(void *user, struct stream *s, const struct err *err)
{
	static const struct stream_handler h = {
		.read = stream_ignore, .eof = stream_eof, .closed = stream_closed};
	struct vm_probe *p = user;

	p->connect = NULL;
	if (s) {
		stream_set_handler(s, &h, NULL);
		stream_close(s);
	}
	result(p, s ? NULL : err->msg);
}

static void answered(void *user, const struct http_response *r, const struct err *err)
{
	struct vm_probe *p = user;
	char text[64];

	p->call = NULL;
	if (!r) {
		result(p, err->msg);
		return;
	}
	snprintf(text, sizeof(text), "HTTP status %d", r->status);
	result(p, r->status >= 200 && r->status < 400 ? NULL : text);
}

static void on_timer(uv_timer_t *t)
{
	struct vm_probe *p = t->data;
	uv_loop_t *loop = p->w->m->node->loop;

	if (!p->http) {
		p->connect =
			stream_connect(loop, p->target, NULL, NULL, p->timeout_ms, connected, p);
		return;
	}
	if (!p->endpoint)
		p->endpoint = http_endpoint_create(&(struct http_endpoint_options){
			.loop = loop, .address = p->target, .host = p->host, .max_idle = 1});
	p->call = http_call(p->endpoint, &(struct http_call_options){
						 .method = "GET",
						 .target = p->path,
						 .headers = p->headers,
						 .timeout_ms = p->timeout_ms,
						 .body_max_bytes = 1u << 20,
						 .done = answered,
						 .user = p,
					 });
}

/* Header lines; those with line breaks in them are left out. */
static char *header_lines(const struct json *list)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "User-Agent: kube-probe\r\nConnection: close\r\n");
	JSON_FOR_EACH_ITEM(it, list) {
		const char *name = json_str_or(json_get(it, "name"), "");
		const char *value = json_str_or(json_get(it, "value"), "");

		if (*name && !strpbrk(name, "\r\n: ") && !strpbrk(value, "\r\n"))
			buf_printf(&b, "%s: %s\r\n", name, value);
	}
	return buf_take(&b);
}

void vm_probe_start(struct vm_worker *w)
{
	const struct json *spec, *http;
	struct vm_probe *p;
	const char *host;
	int64_t port;

	if (w->probe || !*w->address || !w->doc)
		return;
	spec = json_path(w->doc, "spec.readinessProbe");
	http = json_get(spec, "httpGet");
	port = json_int_or(json_get(http ? http : json_get(spec, "tcpSocket"), "port"), 0);
	if (port < 1 || port > 65535)
		return;
	p = w->probe = xcalloc(1, sizeof(*p));
	p->w = w;
	p->http = http != NULL;
	p->period_ms =
		1000 * (unsigned)MIN(MAX(json_path_int(spec, "periodSeconds", 10), 1), 86400);
	p->timeout_ms =
		1000 * (unsigned)MIN(MAX(json_path_int(spec, "timeoutSeconds", 1), 1), 3600);
	p->success_threshold =
		(unsigned)MIN(MAX(json_path_int(spec, "successThreshold", 1), 1), 1000);
	p->failure_threshold =
		(unsigned)MIN(MAX(json_path_int(spec, "failureThreshold", 3), 1), 1000);
	host = json_path_str(http ? http : json_get(spec, "tcpSocket"), "host");
	snprintf(p->target, sizeof(p->target), "tcp://%s:%d", w->address, (int)port);
	p->host = xstrdup(host && *host && !strpbrk(host, "\r\n") ? host : w->address);
	p->path = xstrdup(json_str_or(json_get(http, "path"), "/"));
	if (*p->path != '/' || strpbrk(p->path, " \r\n\t")) {
		free(p->path);
		p->path = xstrdup("/");
	}
	p->headers = header_lines(json_get(http, "httpHeaders"));
	snprintf(p->why, sizeof(p->why), "the readiness probe has not succeeded yet");
	uv_timer_init(w->m->node->loop, &p->timer);
	p->timer.data = p;
	uv_timer_start(&p->timer, on_timer,
		1000 * (uint64_t)MIN(MAX(json_path_int(spec, "initialDelaySeconds", 0), 0), 86400),
		0);
}

static void freed(uv_handle_t *h)
{
	struct vm_probe *p = h->data;

	free(p->path);
	free(p->headers);
	free(p->host);
	free(p);
}

void vm_probe_stop(struct vm_worker *w)
{
	struct vm_probe *p = TAKE_PTR(w->probe);

	if (!p)
		return;
	if (p->connect)
		stream_connect_cancel(p->connect);
	if (p->call)
		http_call_cancel(p->call);
	http_endpoint_destroy(p->endpoint);
	uv_close((uv_handle_t *)&p->timer, freed);
}

const char *vm_probe_problem(const struct vm_worker *w)
{
	const struct json *spec = w->doc ? json_path(w->doc, "spec.readinessProbe") : NULL;

	if (!json_is(spec, JSON_OBJECT) ||
		(!json_get(spec, "httpGet") && !json_get(spec, "tcpSocket")))
		return "";
	return !w->probe	 ? "the readiness probe has not run yet"
	       : w->probe->ready ? ""
				 : w->probe->why;
}
