/* tunnel.c
 *
 * A connection:  accepted --101--> joined --either side ends--> closing --both gone--> freed
 *                    \----------refused, failed-----------------^
 */
#include "cli/virt/tunnel.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cli/virt/datagrams.h"
#include "lib/client/endpoint.h"
#include "lib/http/websocket.h"
#include "lib/json/json.h"

#define QUEUE_MAX_BYTES (256u << 10)

struct tunnel {
	uv_loop_t loop;
	struct http_endpoint *endpoint;
	const struct tunnel_options *options;
	const char *prefix; /* of every path */
	char *auth;
	struct listener *listeners;
	size_t listener_count;
	uv_signal_t interrupt, terminate, child;
	int pid; /* the program that it serves; 0 = none */
	bool ended;
	int result;
	struct err err;
	size_t connections;
};

struct listener {
	struct tunnel *tunnel;
	const struct tunnel_port *port;
	int fd;
	uv_poll_t poll;
	bool polled;
	struct datagrams *datagrams; /* of UDP, in the place of fd and poll */
};

struct connection {
	struct tunnel *tunnel;
	const struct tunnel_port *port;
	struct stream *local;	     /* NULL once closed */
	struct http_call *call;	     /* NULL once answered */
	struct websocket *websocket; /* NULL before the upgrade and after its end */
	bool local_closing;
	const char *headers;
	struct arena arena;
};

static void end(struct tunnel *t, int result)
{
	if (t->ended)
		return;
	t->ended = true;
	t->result = result;
	uv_stop(&t->loop);
}

/* Frees it when nothing of it is left. */
static void settle(struct connection *c)
{
	if (c->local || c->call || c->websocket)
		return;
	struct tunnel *t = c->tunnel;
	t->connections--;
	if (t->options->once)
		end(t, 0);
	struct arena a = c->arena;
	arena_finish(&a);
}

static void close_local(struct connection *c)
{
	if (c->local && !c->local_closing) {
		c->local_closing = true;
		stream_close(c->local);
	}
}

static void close_all(struct connection *c)
{
	if (c->call)
		http_call_cancel(TAKE_PTR(c->call));
	if (c->websocket)
		websocket_close(c->websocket, 1000);
	close_local(c);
	settle(c);
}

static void local_read(void *user, const char *data, size_t size)
{
	struct connection *c = user;
	if (!c->websocket)
		return;
	websocket_send(c->websocket, false, data, size);
	if (websocket_queued(c->websocket) > QUEUE_MAX_BYTES)
		stream_read_stop(c->local);
}

static void local_eof(void *user)
{
	close_all(user);
}

static void local_error(void *user, int code, const char *text)
{
	close_all(user);
}

static void local_drained(void *user)
{
	struct connection *c = user;
	if (c->websocket)
		websocket_read_start(c->websocket);
}

static void local_closed(void *user)
{
	struct connection *c = user;
	c->local = NULL;
	settle(c);
}

/* The far side has ended: what it said is still to be delivered. */
static void local_flushed(void *user)
{
	struct connection *c = user;
	if (!c->websocket && !c->call)
		close_local(c);
}

static void far_message(void *user, bool text, const char *data, size_t size)
{
	struct connection *c = user;
	if (!c->local || c->local_closing)
		return;
	stream_write(c->local, data, size);
	if (stream_queued(c->local) > STREAM_HIGH_BYTES)
		websocket_read_stop(c->websocket);
}

static void far_drained(void *user)
{
	struct connection *c = user;
	if (c->local && !c->local_closing)
		stream_read_start(c->local);
}

static void far_closed(void *user, unsigned code)
{
	struct connection *c = user;
	c->websocket = NULL;
	if (c->local && !c->local_closing) {
		stream_read_stop(c->local);
		if (stream_queued(c->local) == 0)
			close_local(c);
		else
			stream_shutdown(c->local);
	}
	settle(c);
}

static const struct websocket_handler far_handler = {far_message, far_drained, far_closed};

static void on_upgraded(void *user, struct stream *s, const struct http_response *r)
{
	struct connection *c = user;
	c->call = NULL;
	if (!websocket_client_accepted(c->headers, r)) {
		fprintf(stderr, "the server's answer is no WebSocket\n");
		stream_close(s);
		close_all(c);
		return;
	}
	c->websocket = websocket_client(s, &far_handler, c);
	websocket_read_start(c->websocket);
	stream_read_start(c->local);
}

static void on_refused(void *user, const struct http_response *r, const struct err *err)
{
	struct connection *c = user;
	c->call = NULL;
	struct json *status = NULL;
	if (!r && err->code != -ECANCELED)
		fprintf(stderr, "%s\n", err->msg);
	else if (!r)
		;
	else if (json_parse(&c->arena, r->body, r->body_size, NULL, &status, NULL) == 0)
		fprintf(stderr, "%s\n",
			json_str_or(json_get(status, "message"), "the server refused"));
	else
		fprintf(stderr, "the server answered %d\n", r->status);
	close_all(c);
}

static const struct stream_handler local_handler = {
	.read = local_read,
	.eof = local_eof,
	.error = local_error,
	.drained = local_drained,
	.closed = local_closed,
	.flushed = local_flushed,
};

static void on_connection(uv_poll_t *p, int status, int events)
{
	struct listener *l = p->data;
	struct tunnel *t = l->tunnel;
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct arena a = ARENA_INIT;
	struct connection *c = ARENA_NEW(&a, struct connection);
	*c = (struct connection){.tunnel = t, .port = l->port, .arena = a};
	struct err err = ERR_INIT;
	if (stream_from_fd(&t->loop, fd, &c->local, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		close(fd);
		arena_finish(&a);
		return;
	}
	t->connections++;
	stream_set_handler(c->local, &local_handler, c);
	c->headers = websocket_client_headers(&c->arena, "plain.kubevirt.io");
	struct http_call_options call = {
		.method = "GET",
		.target = arena_printf(&c->arena, "%s%s", t->prefix, l->port->path),
		.headers = arena_printf(&c->arena, "%s%s", t->auth, c->headers),
		.done = on_refused,
		.upgraded = on_upgraded,
		.user = c,
	};
	c->call = http_call(t->endpoint, &call);
}

static int listen_udp(struct tunnel *t, struct listener *l, const struct addrinfo *at,
	unsigned *ret_local, struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s%s", t->prefix, l->port->path);
	struct datagrams_options o = {
		.loop = &t->loop,
		.endpoint = t->endpoint,
		.path = path,
		.auth = t->auth,
		.address = at->ai_addr,
	};
	int r = datagrams_open(&o, ret_local, &l->datagrams, err);
	return r < 0 ? err_context(
			       err, r, "listen on %s UDP port %u", l->port->address, l->port->local)
		     : 0;
}

static int listen_at(struct tunnel *t, struct listener *l, unsigned *ret_local, struct err *err)
{
	char port[16];
	snprintf(port, sizeof(port), "%u", l->port->local);
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				.ai_socktype = l->port->udp ? SOCK_DGRAM : SOCK_STREAM},
			*found = NULL;
	int e = getaddrinfo(l->port->address, port, &hints, &found);
	if (e != 0)
		return err_set(err, -EINVAL, "address '%s': %s", l->port->address, gai_strerror(e));
	if (l->port->udp) {
		e = listen_udp(t, l, found, ret_local, err);
		freeaddrinfo(found);
		return e;
	}
	int on = 1, r = 0;
	l->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd >= 0)
		setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (l->fd < 0 || bind(l->fd, found->ai_addr, found->ai_addrlen) < 0 ||
		listen(l->fd, 16) < 0)
		r = err_errno(err, -errno, "listen on %s port %s", l->port->address, port);
	freeaddrinfo(found);
	if (r < 0)
		return r;
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	if (getsockname(l->fd, (struct sockaddr *)&address, &size) < 0)
		return err_errno(err, -errno, "look at the listening socket");
	char name[NI_MAXHOST], number[NI_MAXSERV];
	uint64_t local = 0;
	if (getnameinfo((struct sockaddr *)&address, size, name, sizeof(name), number,
		    sizeof(number), NI_NUMERICHOST | NI_NUMERICSERV) != 0 ||
		parse_u64(str_from(number), &local) < 0)
		return err_set(err, -EINVAL, "the listening socket has no port");
	*ret_local = (unsigned)local;
	uv_poll_init(&t->loop, &l->poll, l->fd);
	l->poll.data = l;
	l->polled = true;
	return 0;
}

static void on_signal(uv_signal_t *s, int number)
{
	end(s->data, 0);
}

static void on_child(uv_signal_t *s, int number)
{
	struct tunnel *t = s->data;
	if (t->pid > 0 && waitpid(t->pid, NULL, WNOHANG) == t->pid) {
		t->pid = 0;
		end(t, 0);
	}
}

static int start(struct tunnel *t, struct err *err)
{
	const struct tunnel_options *o = t->options;
	unsigned *local = xcalloc(o->count, sizeof(*local));
	int r = 0;
	for (size_t i = 0; i < o->count && r == 0; i++) {
		t->listeners[i] = (struct listener){.tunnel = t, .port = &o->ports[i], .fd = -1};
		t->listener_count++;
		r = listen_at(t, &t->listeners[i], &local[i], err);
	}
	uv_signal_t *signals[] = {&t->interrupt, &t->terminate, &t->child};
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		uv_signal_init(&t->loop, signals[i]);
		signals[i]->data = t;
	}
	uv_signal_start(&t->interrupt, on_signal, SIGINT);
	uv_signal_start(&t->terminate, on_signal, SIGTERM);
	uv_signal_start(&t->child, on_child, SIGCHLD);
	for (size_t i = 0; i < t->listener_count && r == 0; i++)
		if (t->listeners[i].polled)
			uv_poll_start(&t->listeners[i].poll, UV_READABLE, on_connection);
	if (r == 0)
		r = o->listening(o->user, local, &t->pid, err);
	free(local);
	return r;
}

int tunnel_run(const struct kubeconfig *k, const struct tunnel_options *o, struct err *err)
{
	struct tunnel t = {.options = o, .prefix = k->path};
	uv_loop_init(&t.loop);
	int r = client_endpoint_create(&t.loop, k, &t.endpoint, err);
	if (r < 0) {
		uv_loop_close(&t.loop);
		return r;
	}
	t.auth = client_auth_headers(k);
	t.listeners = xcalloc(o->count, sizeof(*t.listeners));
	r = start(&t, err);
	/* It may have ended already: a program that could not be started. */
	while (r == 0 && !t.ended)
		uv_run(&t.loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < t.listener_count; i++) {
		if (t.listeners[i].polled)
			uv_close((uv_handle_t *)&t.listeners[i].poll, NULL);
		if (t.listeners[i].fd >= 0)
			close(t.listeners[i].fd);
		datagrams_close(t.listeners[i].datagrams);
	}
	http_endpoint_destroy(t.endpoint);
	streams_break();
	uv_signal_t *signals[] = {&t.interrupt, &t.terminate, &t.child};
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		uv_close((uv_handle_t *)signals[i], NULL);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	uv_loop_close(&t.loop);
	free(t.listeners);
	free(t.auth);
	return r < 0 ? r : t.result < 0 ? err_set(err, t.result, "%s", t.err.msg) : 0;
}
