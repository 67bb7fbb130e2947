/* node_exec.c - exec, attach and port-forward: the runtime is asked for a streaming URL, the
 * client's upgrade is made there too, and then bytes flow between the two.
 *
 *   SPDY/3.1 clients    the same protocol on both sides: joined as they are
 *   WebSocket clients   translated by exec_bridge.c and forward_bridge.c */
#include "node/node_stream.h"

#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/http/http_client.h"
#include "node/exec_bridge.h"
#include "node/forward_bridge.h"
#include "node/pod/pod_manager.h"

enum { CONNECT_TIMEOUT_MS = 30000 };

struct session {
	struct node *n;
	struct http_request *req;
	struct grpc_call *grpc;
	struct http_endpoint *endpoint;
	struct http_call *call;
	bool spdy;    /* else WebSocket */
	bool forward; /* ports, else a container's streams */
	struct exec_bridge_options options;
};

static void session_free(struct session *s)
{
	/* The answer may still be on its way when the client leaves. */
	s->req->cancelled = NULL;
	http_endpoint_destroy(s->endpoint);
	free(s);
}

static void refuse(struct session *s, int status, const char *text)
{
	struct http_request *req = s->req;

	session_free(s);
	upgrade_refuse(req, status, text);
}

static void on_cancelled(struct http_request *req)
{
	struct session *s = req->user;

	grpc_call_cancel(s->grpc);
	if (s->call)
		http_call_cancel(s->call);
	session_free(s);
	http_abort(req);
}

static void on_upgraded(void *user, struct stream *runtime, const struct http_response *r)
{
	struct session *s = user;
	struct http_request *req = s->req;
	const char *version = http_response_header(r, "X-Stream-Protocol-Version");
	char *extra = NULL;

	s->call = NULL;
	if (!s->spdy) {
		struct err err = ERR_INIT;
		struct exec_bridge_options options = s->options;
		bool forward = s->forward;
		session_free(s);
		/* They answer the request in any case, and own the stream from now on. */
		int started = forward ? forward_bridge_start(req, runtime, &err)
				      : exec_bridge_start(req, runtime, &options, &err);
		if (started < 0)
			log_warn(forward ? "port forwarding" : "exec session", "reason", err.msg,
				NULL);
		return;
	}
	if (version)
		extra = arena_printf(&req->arena, "X-Stream-Protocol-Version: %s\r\n", version);
	session_free(s);
	struct stream *client = http_upgrade(req, "SPDY/3.1", extra);
	if (client)
		stream_join(client, runtime, NULL, NULL);
	else
		stream_close(runtime);
}

static void on_refused(void *user, const struct http_response *r, const struct err *err)
{
	struct session *s = user;

	s->call = NULL;
	if (r)
		refuse(s, r->status >= 400 ? r->status : 502,
			arena_printf(&s->req->arena, "the container runtime refused the stream: %s",
				r->body));
	else
		refuse(s, 502,
			arena_printf(
				&s->req->arena, "the container runtime's stream: %s", err->msg));
}

/* http://HOST:PORT/PATH -> the upgrade request there. */
static void connect_runtime(struct session *s, const char *url)
{
	struct http_request *req = s->req;
	const char *host = url + strlen("http://");
	_cleanup_(buf_finish) struct buf headers = BUF_INIT;

	if (!str_has_prefix(url, "http://") || !strchr(host, '/')) {
		refuse(s, 502, "the container runtime gave no usable streaming address");
		return;
	}
	const char *target = strchr(host, '/');
	const char *address = arena_printf(&req->arena, "tcp://%.*s", (int)(target - host), host);
	buf_add_str(&headers, "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n");
	if (s->spdy) {
		/* The client's offer; the runtime chooses. */
		for (size_t i = 0; i < req->header_count; i++) {
			if (strcasecmp(req->headers[i].name, "X-Stream-Protocol-Version") == 0)
				buf_printf(&headers, "X-Stream-Protocol-Version: %s\r\n",
					req->headers[i].value);
		}
	} else {
		buf_printf(&headers, "X-Stream-Protocol-Version: %s\r\n",
			s->forward ? "portforward.k8s.io" : "v4.channel.k8s.io");
	}
	s->endpoint = http_endpoint_create(&(struct http_endpoint_options){
		.loop = s->n->loop,
		.address = address,
		.max_idle = 1,
	});
	s->call = http_call(s->endpoint, &(struct http_call_options){
						 .method = "POST",
						 .target = target,
						 .headers = headers.data,
						 .timeout_ms = CONNECT_TIMEOUT_MS,
						 .body_max_bytes = 64 << 10,
						 .done = on_refused,
						 .upgraded = on_upgraded,
						 .user = s,
					 });
}

static void on_url(struct session *s, const struct grpc_result *r, const char *url)
{
	s->grpc = NULL;
	if (!grpc_ok(r))
		refuse(s, r->status == GRPC_NOT_FOUND ? 404 : 500,
			arena_strdup(&s->req->arena, r->message));
	else
		connect_runtime(s, arena_strdup(&s->req->arena, url));
}

static void on_exec(void *user, const struct grpc_result *r)
{
	const Cri__ExecResponse *e = r->response;

	on_url(user, r, e ? e->url : NULL);
}

static void on_attach(void *user, const struct grpc_result *r)
{
	const Cri__AttachResponse *e = r->response;

	on_url(user, r, e ? e->url : NULL);
}

static void on_port_forward(void *user, const struct grpc_result *r)
{
	const Cri__PortForwardResponse *e = r->response;

	on_url(user, r, e ? e->url : NULL);
}

static struct session *session_new(struct node *n, struct http_request *req)
{
	const char *protocol;
	struct session *s = xcalloc(1, sizeof(*s));

	s->n = n;
	s->req = req;
	if (!http_wants_upgrade(req, &protocol)) {
		refuse(s, 400, "unable to upgrade: missing upgrade headers in request");
		return NULL;
	}
	s->spdy = strcasecmp(protocol, "SPDY/3.1") == 0;
	if (!s->spdy && strcasecmp(protocol, "websocket") != 0) {
		refuse(s, 400, "unable to upgrade: SPDY/3.1 and websocket are known");
		return NULL;
	}
	req->user = s;
	req->cancelled = on_cancelled;
	return s;
}

static bool flag(struct http_request *req, const char *name, const char *other)
{
	const char *v = http_query_get(req, name, 0);

	if (!v)
		v = http_query_get(req, other, 0);
	return v && (streq(v, "1") || streq(v, "true"));
}

void node_exec_serve(struct node *n, struct http_request *req, bool attach, const char *ns,
	const char *pod, const char *uid, const char *container)
{
	struct pod_container_at at;
	struct err err = ERR_INIT;
	struct session *s = session_new(n, req);

	if (!s)
		return;
	if (pod_manager_find(n->pods, &req->arena, ns, pod, uid, container, &at, &err) < 0) {
		refuse(s, 404, err.msg);
		return;
	}
	if (!at.container_id || !at.running) {
		refuse(s, 404,
			arena_printf(&req->arena, "container not found (\"%s\")", container));
		return;
	}
	bool in = flag(req, "input", "stdin"), out = flag(req, "output", "stdout");
	bool errors = flag(req, "error", "stderr");
	bool tty = attach ? at.tty : flag(req, "tty", "tty");
	/* A terminal has one output. */
	if (tty)
		errors = false;
	if (!in && !out && !errors) {
		refuse(s, 400, "you must specify at least 1 of stdin, stdout, stderr");
		return;
	}
	s->options = (struct exec_bridge_options){in, out, errors, tty};
	if (attach) {
		Cri__AttachRequest q = CRI__ATTACH_REQUEST__INIT;
		q.container_id = (char *)(uintptr_t)at.container_id;
		q.stdin = in;
		q.stdout = out;
		q.stderr = errors;
		q.tty = tty;
		s->grpc = cri_attach(pod_manager_cri(n->pods), &q, on_attach, s);
		return;
	}
	Cri__ExecRequest q = CRI__EXEC_REQUEST__INIT;
	const char *word;
	char **argv = NULL;
	size_t argc = 0;
	while ((word = http_query_get(req, "command", (unsigned)argc))) {
		/* Room for a power of two: one by one, each word would leave a copy behind. */
		if ((argc & (argc - 1)) == 0)
			argv = arena_grow(&req->arena, argv, argc * sizeof(*argv),
				MAX(argc * 2, (size_t)1) * sizeof(*argv));
		argv[argc++] = (char *)(uintptr_t)word;
	}
	if (argc == 0) {
		refuse(s, 400, "you must specify at least one command");
		return;
	}
	q.container_id = (char *)(uintptr_t)at.container_id;
	q.cmd = argv;
	q.n_cmd = argc;
	q.stdin = in;
	q.stdout = out;
	q.stderr = errors;
	q.tty = tty;
	s->grpc = cri_exec(pod_manager_cri(n->pods), &q, on_exec, s);
}

void node_port_forward_serve(
	struct node *n, struct http_request *req, const char *ns, const char *pod)
{
	struct session *s = session_new(n, req);

	if (!s)
		return;
	const char *sandbox = pod_manager_sandbox(n->pods, ns, pod);
	if (!sandbox) {
		refuse(s, 404, "the pod has no running sandbox on this node");
		return;
	}
	s->forward = true;
	s->grpc = cri_port_forward(pod_manager_cri(n->pods), sandbox, on_port_forward, s);
}
