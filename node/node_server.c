/* node_server.c - routes requests of the API server: see node_server.h. */
#include "node/node_server.h"

#include "node/disk/populate/populate.h"
#include "node/metrics/node_metrics.h"

#include <stdio.h>

#include "lib/base/file.h"
#include "lib/http/tls.h"
#include "node/auth/node_auth.h"
#include "node/node_stream.h"
#include "node/paths/paths.h"
#include "node/pod/pod_manager.h"
#include "node/pod/pod_running.h"
#include "node/pod_proxy.h"
#include "node/stats/cadvisor.h"
#include "node/stats/stats.h"
#include "node/vm/host/ksm.h"
#include "node/vm/snapshot/export.h"
#include "node/vm/vm_actions.h"
#include "node/vm/vm_manager.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define NOT_FOUND "404 page not found"
#define PEM_MAX_BYTES (1u << 20)

struct node_server {
	struct node *n;
	struct http_server *http;
	struct http_server *health; /* without TLS; NULL = none */
	struct node_auth *auth;
	struct cgroup_finder groups;
};

static void respond_text(struct http_request *req, int status, const char *text)
{
	http_respond(req, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

enum { PARTS_MAX = 8 };

/* "/a/b//c" -> a, b, c */
static size_t split_path(struct http_request *req, const char *parts[PARTS_MAX])
{
	struct str rest = str_from(req->path), part;
	size_t n = 0;

	while (str_split(&rest, '/', &part)) {
		if (part.size == 0)
			continue;
		if (n == PARTS_MAX)
			return 0;
		parts[n++] = arena_memdup(&req->arena, part.p, part.size);
	}
	return n;
}

static void serve_pods(struct node_server *s, struct http_request *req)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	pod_manager_list(s->n->pods, &b);
	http_respond(req, 200, "application/json", NULL, b.data, b.size);
}

static void serve_running_pods(struct node_server *s, struct http_request *req)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	pod_manager_list_running(s->n->pods, &b);
	http_respond(req, 200, "application/json", NULL, b.data, b.size);
}

static void serve_config(struct node_server *s, struct http_request *req)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct json *doc = json_new_object(&req->arena);

	json_set(&req->arena, doc, "kubeletconfig", node_config_doc(&req->arena, s->n->config));
	json_write(&b, doc);
	http_respond(req, 200, "application/json", NULL, b.data, b.size);
}

static void respond_usage(struct http_request *req, const struct usage *u, const char *type,
	void (*write)(const struct usage *u, struct buf *out))
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	if (!u) {
		respond_text(req, 503, "the node agent is stopping");
		return;
	}
	write(u, &b);
	http_respond(req, 200, type, NULL, b.data, b.size);
}

static void write_metrics(const struct usage *u, struct buf *out)
{
	usage_write_metrics(u, out);
	ksm_write_metrics("", out);
}

static void on_metrics(void *user, const struct usage *u)
{
	respond_usage(user, u, METRICS_TYPE, write_metrics);
}

static void serve_agent_metrics(struct node_server *s, struct http_request *req, bool probes)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	agent_metrics_write(s->n, probes, &b);
	if (!probes) {
		node_stats_refresh_disks(s->n->stats);
		volume_metrics_write(s->n->stats, s->n->pods, &b);
	}
	http_respond(req, 200, METRICS_TYPE, NULL, b.data, b.size);
}

struct cadvisor_request {
	struct node_server *s;
	struct http_request *req;
};

static void on_cadvisor(void *user, const struct usage *u)
{
	struct cadvisor_request *c = user;
	struct node *n = c->s->n;
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	if (!u || !n->pods) {
		respond_text(c->req, 503, "the node agent is stopping");
		return;
	}
	cadvisor_write(u, n->pods, &c->s->groups, n->clock->mono_ns(n->clock), &b);
	http_respond(c->req, 200, METRICS_TYPE, NULL, b.data, b.size);
}

static void serve_cadvisor(struct node_server *s, struct http_request *req)
{
	struct cadvisor_request *c = ARENA_NEW(&req->arena, struct cadvisor_request);

	*c = (struct cadvisor_request){s, req};
	node_stats_get(s->n->stats, on_cadvisor, c);
}

static void on_summary(void *user, const struct usage *u)
{
	respond_usage(user, u, "application/json", usage_write_summary);
}

static void serve_summary(struct node_server *s, struct http_request *req)
{
	node_stats_refresh_disks(s->n->stats);
	node_stats_get(s->n->stats, on_summary, req);
}

/* Figures, state and health; false: no such path. */
static bool serve_figures(
	struct node_server *s, struct http_request *req, const char *const *p, size_t n)
{
	const char *second = n == 2 ? p[1] : "";

	if (n > 2)
		return false;
	if (streq(p[0], "pods") && n == 1)
		serve_pods(s, req);
	else if (streq(p[0], "configz") && n == 1)
		serve_config(s, req);
	else if (streq(p[0], "healthz"))
		health_serve(req, n == 2 ? second : NULL);
	else if (streq(p[0], "metrics") && (n == 1 || streq(second, "probes")))
		serve_agent_metrics(s, req, n == 2);
	else if (streq(p[0], "metrics") && streq(second, "resource"))
		node_stats_get(s->n->stats, on_metrics, req);
	else if (streq(p[0], "metrics") && streq(second, "cadvisor"))
		serve_cadvisor(s, req);
	else if (streq(p[0], "stats") && streq(second, "summary"))
		serve_summary(s, req);
	else
		return false;
	return true;
}

/* What reads and changes containers and the host. */
static bool serve_debugging(
	struct node_server *s, struct http_request *req, const char *const *p, size_t n)
{
	static const char *const paths[] = {
		"run", "exec", "attach", "portForward", "containerLogs", "runningpods", "logs"};
	const struct node_config *c = s->n->config;
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		known = known || streq(p[0], paths[i]);
	if (known && !c->debugging_handlers) {
		respond_text(req, 405, "Debug endpoints are disabled.");
	} else if (streq(p[0], "logs") && !c->system_log_handler) {
		respond_text(req, 405, "logs endpoint is disabled.");
	} else if (streq(p[0], "logs")) {
		host_logs_serve(req, "/var/log", req->path + strlen("/logs"));
	} else if (n == 1 && streq(p[0], "runningpods")) {
		serve_running_pods(s, req);
	} else if (n == 4 && streq(p[0], "containerLogs")) {
		node_logs_serve(s->n, req, p[1], p[2], p[3]);
	} else if (streq(p[0], "run") && !streq(req->method, "POST")) {
		/* Whoever may only "get" must not run anything. */
		respond_text(req, 405, "405: Method Not Allowed");
	} else if ((n == 4 || n == 5) && streq(p[0], "run")) {
		node_run_serve(s->n, req, p[1], p[2], n == 5 ? p[3] : NULL, p[n - 1]);
	} else if ((n == 4 || n == 5) && (streq(p[0], "exec") || streq(p[0], "attach"))) {
		node_exec_serve(s->n, req, streq(p[0], "attach"), p[1], p[2], n == 5 ? p[3] : NULL,
			p[n - 1]);
	} else if ((n == 3 || n == 4) && streq(p[0], "portForward")) {
		node_port_forward_serve(s->n, req, p[1], p[2]);
	} else if (n >= 4 && streq(p[0], "virtualmachineinstances")) {
		vm_actions_serve(s->n->vms, req, p[1], p[2], &p[3], n - 3);
	} else if (n >= 4 && streq(p[0], "exports")) {
		vm_exports_serve(s->n->vms, req, &p[1], n - 1);
	} else if (n == 3 && streq(p[0], "uploads")) {
		populator_upload(s->n->populator, req, p[1], p[2]);
	} else if (n == 4 && streq(p[0], "checkpoint")) {
		if (streq(req->method, "POST"))
			respond_text(req, 501,
				"checkpointing of containers is not available on this node");
		else
			respond_text(req, 405, "405: Method Not Allowed");
	} else {
		return false;
	}
	return true;
}

static void serve(struct node_server *s, struct http_request *req)
{
	const char *p[PARTS_MAX];

	if (!s->n->pods || !s->n->vms || !s->n->stats) {
		respond_text(req, 503, "the node agent is starting or stopping");
		return;
	}
	if (str_has_prefix(req->path, "/podProxy/")) {
		pod_proxy_serve(s->n, req);
		return;
	}
	size_t n = split_path(req, p);
	if (n == 0)
		respond_text(req, 404, NOT_FOUND);
	else if (!serve_figures(s, req, p, n) && !serve_debugging(s, req, p, n))
		respond_text(req, 404, NOT_FOUND);
}

static void on_checked(void *user, struct http_request *req, int status, const char *text)
{
	if (status == 200)
		serve(user, req);
	else
		respond_text(req, status, text);
}

static void on_closed(struct http_request *req)
{
	struct node_server *s = req->closed_user;
	struct clock *clock = s->n->clock;

	node_metrics_request_end(req->method, req->path, clock->mono_ns(clock) - req->received_ns);
}

static void handle(struct http_request *req, void *user)
{
	struct node_server *s = user;

	node_metrics_request_begin(req->method, req->path);
	req->closed = on_closed;
	req->closed_user = s;
	if (s->auth)
		node_auth_check(s->auth, req, on_checked, s);
	else
		respond_text(req, 503, "the node agent is stopping");
}

/* What the configuration names, else what the kubeconfig holds. */
static int tls_context(struct node *n, const struct kubeconfig *k, SSL_CTX **ret, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct node_config *c = n->config;
	struct str cert = k->cert, key = k->key, ca = k->ca;
	int r = 0;

	if (*c->client_ca_file)
		r = file_load(&a, c->client_ca_file, PEM_MAX_BYTES, &ca, err);
	if (r >= 0 && *c->tls_cert_file)
		r = file_load(&a, c->tls_cert_file, PEM_MAX_BYTES, &cert, err);
	if (r >= 0 && *c->tls_cert_file)
		r = file_load(&a, c->tls_key_file, PEM_MAX_BYTES, &key, err);
	if (r < 0)
		return r;
	if (!cert.p || !key.p || !ca.p)
		return err_set(err, -EINVAL,
			"the kubeconfig needs a client certificate, its key and the server's CA: "
			"this node serves with them");
	r = tls_server_context(cert, key, &ca, ret, err);
	if (r < 0)
		return err_context(err, r, "certificate to serve with");
	/* It gets 401, as from kubelets. */
	tls_server_take_any(*ret);
	return 0;
}

int node_server_create(struct node *n, const struct kubeconfig *k, const char *listen,
	struct node_server **ret, int *ret_port, struct err *err)
{
	SSL_CTX *tls;

	int r = tls_context(n, k, &tls, err);
	if (r < 0)
		return r;

	struct node_server *s = xcalloc(1, sizeof(*s));
	s->n = n;
	s->auth = node_auth_create(n->client, n->config, n->name);
	cgroup_finder_init(&s->groups, "/sys/fs/cgroup");
	s->http = http_server_create(&(struct http_server_options){
		.loop = n->loop,
		.tls = tls,
		.handler = handle,
		.user = s,
	});
	SSL_CTX_free(tls);
	r = http_server_listen(s->http, listen, ret_port, err);
	if (r < 0) {
		node_server_destroy(s);
		return err_context(err, r, "listen on '%s'", listen);
	}
	s->health = health_listen(n);
	*ret = s;
	return 0;
}

struct stopping {
	void (*done)(void *user);
	void *user;
};

static void on_stopped(void *user)
{
	struct stopping *st = user;

	st->done(st->user);
	free(st);
}

void node_server_stop(struct node_server *s, void (*done)(void *user), void *user)
{
	if (!s) {
		done(user);
		return;
	}
	node_auth_destroy(TAKE_PTR(s->auth));
	struct stopping *st = xmalloc(sizeof(*st));
	*st = (struct stopping){done, user};
	http_server_stop(s->http, 500, on_stopped, st);
}

void node_server_destroy(struct node_server *s)
{
	if (!s)
		return;
	node_auth_destroy(s->auth);
	cgroup_finder_finish(&s->groups);
	http_server_destroy(s->health);
	http_server_destroy(s->http);
	free(s);
}
