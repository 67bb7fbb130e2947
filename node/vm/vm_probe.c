#include "node/vm/vm_internal.h"

#include <stdio.h>

#include "lib/http/http_client.h"
#include "node/vm/guest_agent/agent_exec.h"

#define PING_MAX_S 30
#define PING_PAUSE_MS 1000 /* libvirt may answer at once that nobody does */

/* The guest's readinessProbe and livenessProbe: a TCP connection or an HTTP request to its address,
 * as for containers, or a program or a sign of life by its agent. Until the readiness probe
 * succeeded the VMI is not Ready and no Service sends to it; when the liveness probe fails too
 * often, the guest is stopped. */
struct vm_probe {
	struct vm_worker *w;
	bool liveness;
	enum { PROBE_TCP, PROBE_HTTP, PROBE_EXEC, PROBE_PING } kind;
	uv_timer_t timer;
	struct stream_connect *connect;
	struct stream *stream; /* connected: being closed */
	struct http_endpoint *endpoint;
	struct http_call *call;
	struct agent_exec *exec;
	struct agent_call *ping;
	int64_t deadline_ns; /* of the ping */
	char *path, *headers, *host;
	char target[64]; /* "tcp://10.244.0.5:80" */
	struct arena arena;
	const struct json *command; /* PROBE_EXEC */
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
		snprintf(p->why, sizeof(p->why), "%s probe: %.200s",
			p->liveness ? "liveness" : "readiness", problem);
		utf8_repair(p->why, strlen(p->why));
		p->successes = 0;
		if (++p->failures >= p->failure_threshold)
			p->ready = false;
	} else {
		p->failures = 0;
		if (++p->successes >= p->success_threshold)
			p->ready = true;
	}
	uv_timer_start(&p->timer, on_timer, p->period_ms, 0);
	if (p->liveness && problem) {
		vm_say(p->w, "Warning", "Unhealthy", "Liveness probe failed: %.200s", problem);
		if (p->failures < p->failure_threshold || p->w->core.unhealthy)
			return;
		vm_say(p->w, "Normal", "Killing",
			"The guest failed its liveness probe and will be stopped");
		p->w->core.unhealthy = true;
		vm_worker_step(p->w);
	} else if (!p->liveness && (was != p->ready || (!p->ready && p->failures == 1))) {
		vm_worker_step(p->w);
	}
}

/* A failure of the host's (libvirt is away, others' calls hold up this one) says nothing of the
 * guest: what was so stays so. */
static bool not_asked(struct vm_probe *p, const struct err *err)
{
	if (!err || !agent_unasked(err->code))
		return false;
	uv_timer_start(&p->timer, on_timer, p->period_ms, 0);
	return true;
}

static void exec_ended(void *user, const struct agent_exec_result *r, const struct err *err)
{
	struct vm_probe *p = user;
	char text[300];

	p->exec = NULL;
	if (not_asked(p, err))
		return;
	if (!r) {
		result(p, err->msg);
		return;
	}
	snprintf(text, sizeof(text), "the command ended with exit code %d: %.200s", r->exit_code,
		r->err_size ? r->err : r->out);
	result(p, r->exit_code == 0 ? NULL : text);
}

static int64_t left_ms(const struct vm_probe *p)
{
	struct clock *clock = p->w->m->node->clock;

	return (p->deadline_ns - clock->mono_ns(clock)) / NS_PER_MS;
}

static void ping(struct vm_probe *p, unsigned delay_ms);

static void ping_answered(void *user, const struct json *value, const struct err *err)
{
	struct vm_probe *p = user;

	p->ping = NULL;
	if (err && err->code == -ETIMEDOUT && left_ms(p) > 0)
		ping(p, PING_PAUSE_MS);
	else if (!not_asked(p, err))
		result(p, value ? NULL : err->msg);
}

/* One that is not answered keeps one of the few places for all guests: asked again and again. */
static void ping(struct vm_probe *p, unsigned delay_ms)
{
	int64_t left_s = (left_ms(p) + 999) / 1000;

	p->ping = agent_call(p->w->m->agents, &p->w->domain,
		&(struct agent_command){.name = "guest-ping",
			.timeout_s = (unsigned)MIN(MAX(left_s, 1), PING_MAX_S),
			.urgent = true,
			.delay_ms = delay_ms},
		ping_answered, p);
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
	struct vm_worker *w = p->w;
	uv_loop_t *loop = w->m->node->loop;

	/* It can't answer, and somebody wants it so. */
	if (w->core.domain == VM_DOMAIN_PAUSED) {
		uv_timer_start(&p->timer, on_timer, p->period_ms, 0);
		return;
	}
	if (p->kind == PROBE_EXEC) {
		p->exec = agent_exec_start(&(struct agent_exec_options){
			.clock = w->m->node->clock,
			.link = w->m->agents,
			.domain = &w->domain,
			.command = p->command,
			.timeout_s = p->timeout_ms / 1000,
			.done = exec_ended,
			.user = p,
		});
		return;
	}
	if (p->kind == PROBE_PING) {
		p->deadline_ns =
			w->m->node->clock->mono_ns(w->m->node->clock) + p->timeout_ms * NS_PER_MS;
		ping(p, 0);
		return;
	}
	if (p->kind == PROBE_TCP) {
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

static unsigned seconds_of(const struct json *spec, const char *name, int64_t fallback, int64_t max)
{
	return (unsigned)MIN(MAX(json_path_int(spec, name, fallback), 1), max);
}

/* Where TCP and HTTP probes go to. False: nowhere. */
static bool read_target(struct vm_probe *p, const struct json *spec)
{
	const struct json *http = json_get(spec, "httpGet");
	const struct json *of = http ? http : json_get(spec, "tcpSocket");
	const char *host = json_path_str(of, "host");
	int64_t port = json_int_or(json_get(of, "port"), 0);

	if (port < 1 || port > 65535)
		return false;
	p->kind = http ? PROBE_HTTP : PROBE_TCP;
	snprintf(p->target, sizeof(p->target), "tcp://%s:%d", p->w->address, (int)port);
	p->host = xstrdup(host && *host && !strpbrk(host, "\r\n") ? host : p->w->address);
	p->path = xstrdup(json_str_or(json_get(http, "path"), "/"));
	if (*p->path != '/' || strpbrk(p->path, " \r\n\t")) {
		free(p->path);
		p->path = xstrdup("/");
	}
	p->headers = header_lines(json_get(http, "httpHeaders"));
	return true;
}

static void freed(uv_handle_t *h)
{
	struct vm_probe *p = h->data;

	arena_finish(&p->arena);
	free(p->path);
	free(p->headers);
	free(p->host);
	free(p);
}

static bool by_agent(const struct json *spec)
{
	return json_count(json_path(spec, "exec.command")) || json_get(spec, "guestAgentPing");
}

static bool by_network(const struct json *spec)
{
	return json_get(spec, "httpGet") || json_get(spec, "tcpSocket");
}

static struct vm_probe *start(struct vm_worker *w, const struct json *spec, bool liveness)
{
	struct vm_probe *p;

	if (!by_agent(spec) && (!by_network(spec) || !*w->address))
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->w = w;
	p->liveness = liveness;
	p->period_ms = 1000 * seconds_of(spec, "periodSeconds", 10, 86400);
	p->timeout_ms = 1000 * seconds_of(spec, "timeoutSeconds", 1, 3600);
	p->success_threshold = seconds_of(spec, "successThreshold", 1, 1000);
	p->failure_threshold = seconds_of(spec, "failureThreshold", 3, 1000);
	if (json_count(json_path(spec, "exec.command"))) {
		p->kind = PROBE_EXEC;
		p->command = json_copy(&p->arena, json_path(spec, "exec.command"));
	} else if (json_get(spec, "guestAgentPing")) {
		p->kind = PROBE_PING;
	} else if (!read_target(p, spec)) {
		free(p);
		return NULL;
	}
	snprintf(p->why, sizeof(p->why), "the readiness probe has not succeeded yet");
	uv_timer_init(w->m->node->loop, &p->timer);
	p->timer.data = p;
	uv_timer_start(&p->timer, on_timer,
		1000 * (uint64_t)MIN(MAX(json_path_int(spec, "initialDelaySeconds", 0), 0), 86400),
		0);
	return p;
}

void vm_probe_start(struct vm_worker *w)
{
	if (!w->probe && w->doc)
		w->probe = start(w, json_path(w->doc, "spec.readinessProbe"), false);
	if (!w->liveness && w->doc)
		w->liveness = start(w, json_path(w->doc, "spec.livenessProbe"), true);
}

static void stop(struct vm_probe *p)
{
	if (!p)
		return;
	if (p->connect)
		stream_connect_cancel(p->connect);
	if (p->call)
		http_call_cancel(p->call);
	agent_exec_cancel(p->exec);
	agent_call_cancel(p->ping);
	http_endpoint_destroy(p->endpoint);
	uv_close((uv_handle_t *)&p->timer, freed);
}

void vm_probe_stop(struct vm_worker *w)
{
	stop(TAKE_PTR(w->probe));
	stop(TAKE_PTR(w->liveness));
}

const char *vm_probe_problem(const struct vm_worker *w)
{
	const struct json *spec = w->doc ? json_path(w->doc, "spec.readinessProbe") : NULL;

	if (!json_is(spec, JSON_OBJECT) || (!by_network(spec) && !by_agent(spec)))
		return "";
	return !w->probe	 ? "the readiness probe has not run yet"
	       : w->probe->ready ? ""
				 : w->probe->why;
}
