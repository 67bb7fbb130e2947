#include "lib/http/stream_impl.h"

#include "lib/base/str.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A connection attempt:
 *
 *     BEGIN --> RESOLVE --> SOCKET --(TLS)--> HANDSHAKE --> DONE
 *       |          |       |  ^ next address    |            ^
 *       +----------+-------+--+-----------------+------------+   failure, timeout or cancel
 *
 * BEGIN lasts one turn of the loop, so that `connected` is never called from stream_connect. DONE
 * waits only for its handles to be closed. */
enum connect_state {
	CONNECT_BEGIN,
	CONNECT_RESOLVE,
	CONNECT_SOCKET,
	CONNECT_HANDSHAKE,
	CONNECT_DONE
};

struct address {
	struct sockaddr_storage a;
	socklen_t size;
};

struct stream_connect {
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_getaddrinfo_t resolve;
	uv_poll_t poll; /* while CONNECT_SOCKET */
	enum connect_state state;
	int fd; /* -1 = none; the stream's after the connect */
	bool resolving, polling, cancelled, timed_out;
	unsigned open_handles;
	SSL_CTX *tls;
	char *name; /* to verify, NULL = none */
	char *text; /* the address as given, for errors */
	struct address *addresses;
	size_t address_count, next;
	struct stream *stream; /* while HANDSHAKE, and the result in DONE */
	unsigned timeout_ms;
	struct err err; /* of the last attempt */
	void (*connected)(void *user, struct stream *s, const struct err *err);
	void *user;
};

static void try_next(struct stream_connect *c);

static void connect_free(struct stream_connect *c)
{
	if (c->tls)
		SSL_CTX_free(c->tls);
	free(c->name);
	free(c->text);
	free(c->addresses);
	free(c);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct stream_connect *c = h->data;
	if (--c->open_handles == 0 && !c->resolving)
		connect_free(c);
}

/* Stops watching the socket; the poll handle is made anew for each address. */
static void on_poll_closed(uv_handle_t *h)
{
	struct stream_connect *c = h->data;
	c->open_handles--;
	if (c->state == CONNECT_DONE) {
		if (c->open_handles == 0 && !c->resolving)
			connect_free(c);
	} else if (c->state == CONNECT_SOCKET) {
		try_next(c);
	}
}

static void close_poll(struct stream_connect *c)
{
	if (c->polling)
		uv_close((uv_handle_t *)&c->poll, on_poll_closed);
	c->polling = false;
}

static void finish(struct stream_connect *c)
{
	if (c->state == CONNECT_DONE)
		return;
	c->state = CONNECT_DONE;
	close_poll(c);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
	if (c->resolving)
		uv_cancel((uv_req_t *)&c->resolve);
	struct stream *s = TAKE_PTR(c->stream);
	if (s)
		stream_set_handler(s, NULL, NULL);
	if (c->cancelled || c->timed_out || !s) {
		stream_close(s);
		if (c->fd >= 0)
			close(c->fd);
		c->fd = -1;
		s = NULL;
	}
	if (c->cancelled)
		return;
	if (s) {
		c->connected(c->user, s, NULL);
	} else {
		if (c->err.code == 0)
			err_set(&c->err, -EHOSTUNREACH, "no address");
		err_context(&c->err, c->err.code, "connect to %s", c->text);
		c->connected(c->user, NULL, &c->err);
	}
}

static void on_handshake_done(void *user)
{
	struct stream_connect *c = user;
	finish(c);
}

static void on_handshake_error(void *user, int code, const char *text)
{
	struct stream_connect *c = user;
	err_set(&c->err, code, "%s", text);
	stream_set_handler(c->stream, NULL, NULL); /* the attempt is gone before the stream is */
	stream_close(TAKE_PTR(c->stream));
	finish(c);
}

/* The socket is connected: make a stream of it. */
static void connected(struct stream_connect *c)
{
	static const struct stream_handler handshake_handler = {.error = on_handshake_error};
	int r;
	SSL *ssl = NULL;
	if (c->tls) {
		ssl = stream_tls_new(c->tls, false);
		if (!ssl || (c->name && stream_tls_set_name(ssl, c->name) < 0)) {
			SSL_free(ssl);
			err_set(&c->err, -EINVAL, "cannot set up TLS for name '%s'",
				c->name ? c->name : "");
			finish(c);
			return;
		}
		r = stream_create(c->loop, c->fd, ssl, &c->stream, &c->err);
		if (r < 0)
			SSL_free(ssl);
		else
			stream_tune_socket(c->fd);
	} else {
		r = stream_from_fd(c->loop, c->fd, &c->stream, &c->err);
	}
	if (r < 0) {
		finish(c);
		return;
	}
	c->fd = -1;
	if (!ssl) {
		finish(c);
		return;
	}
	c->state = CONNECT_HANDSHAKE;
	stream_set_handler(c->stream, &handshake_handler, c);
	c->stream->handshake_done = on_handshake_done;
}

static void on_connecting(uv_poll_t *poll, int status, int events)
{
	struct stream_connect *c = poll->data;
	int e = 0;
	socklen_t size = sizeof(e);
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &size) < 0)
		e = errno;
	/* The descriptor changes hands (or is closed), so this watcher must be gone first; on
	 * failure the next address is tried when it is. */
	close_poll(c);
	if (e == 0) {
		c->state = CONNECT_HANDSHAKE;
		connected(c);
		return;
	}
	err_set(&c->err, -e, "%s", strerror(e)); /* finish() says what was tried */
	close(c->fd);
	c->fd = -1;
}

/* Begins with the next address. Failures that come at once go on to the one after. */
static void try_next(struct stream_connect *c)
{
	while (c->next < c->address_count) {
		const struct address *a = &c->addresses[c->next++];
		c->fd = socket(a->a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (c->fd < 0) {
			err_errno(&c->err, -errno, "%s", "socket");
			continue;
		}
		if (connect(c->fd, (const struct sockaddr *)&a->a, a->size) < 0 &&
			errno != EINPROGRESS) {
			err_set(&c->err, -errno, "%s", strerror(errno));
			close(c->fd);
			c->fd = -1;
			continue;
		}
		int r = uv_poll_init(c->loop, &c->poll, c->fd);
		if (r < 0) {
			err_errno(&c->err, r, "%s", "watch a socket");
			close(c->fd);
			c->fd = -1;
			continue;
		}
		c->poll.data = c;
		c->open_handles++;
		c->polling = true;
		uv_poll_start(&c->poll, UV_WRITABLE, on_connecting);
		return;
	}
	finish(c);
}

static void add_address(struct stream_connect *c, const void *a, size_t size)
{
	c->addresses = xrealloc(c->addresses, (c->address_count + 1) * sizeof(*c->addresses));
	struct address *to = &c->addresses[c->address_count++];
	memset(to, 0, sizeof(*to));
	memcpy(&to->a, a, size);
	to->size = (socklen_t)size;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct stream_connect *c = req->data;
	c->resolving = false;
	if (c->state == CONNECT_DONE) {
		uv_freeaddrinfo(list);
		if (c->open_handles == 0)
			connect_free(c);
		return;
	}
	if (status < 0)
		err_set(&c->err, -EHOSTUNREACH, "resolve the name: %s", uv_strerror(status));
	for (struct addrinfo *a = list; a; a = a->ai_next)
		add_address(c, a->ai_addr, a->ai_addrlen);
	uv_freeaddrinfo(list);
	c->state = CONNECT_SOCKET;
	try_next(c);
}

static void begin(struct stream_connect *c);

static void on_timer(uv_timer_t *timer)
{
	static const char *const doing[] = {
		[CONNECT_RESOLVE] = "resolving the name",
		[CONNECT_SOCKET] = "connecting",
		[CONNECT_HANDSHAKE] = "in the TLS handshake",
	};
	struct stream_connect *c = timer->data;
	if (c->state == CONNECT_BEGIN) {
		uv_timer_start(&c->timer, on_timer, c->timeout_ms, 0);
		begin(c);
		return;
	}
	c->timed_out = true;
	err_set(&c->err, -ETIMEDOUT, "timed out %s", doing[c->state]);
	finish(c);
}

/* "host:port" or "[v6]:port" into its parts; -EINVAL when it is neither. */
static int split_host_port(const char *s, char host[256], char port[8])
{
	const char *colon = strrchr(s, ':');
	if (!colon || colon == s)
		return -EINVAL;
	const char *begin_host = s, *end_host = colon;
	if (*s == '[') {
		if (colon[-1] != ']')
			return -EINVAL;
		begin_host++;
		end_host--;
	}
	size_t host_size = (size_t)(end_host - begin_host), port_size = strlen(colon + 1);
	if (host_size == 0 || host_size >= 256 || port_size == 0 || port_size >= 8)
		return -EINVAL;
	memcpy(host, begin_host, host_size);
	host[host_size] = 0;
	memcpy(port, colon + 1, port_size + 1);
	return 0;
}

static int begin_unix(struct stream_connect *c, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	add_address(c, &a, sizeof(a));
	return 0;
}

static int begin_tcp(struct stream_connect *c, const char *host_port)
{
	char host[256], port[8];
	uint64_t n;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	if (split_host_port(host_port, host, port) < 0 || parse_u64(str_from(port), &n) < 0 ||
		n > UINT16_MAX)
		return -EINVAL;
	if (uv_ip4_addr(host, (int)n, &in) == 0) {
		add_address(c, &in, sizeof(in));
		return 0;
	}
	if (uv_ip6_addr(host, (int)n, &in6) == 0) {
		add_address(c, &in6, sizeof(in6));
		return 0;
	}
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	c->resolve.data = c;
	int r = uv_getaddrinfo(c->loop, &c->resolve, on_resolved, host, port, &hints);
	c->resolving = r == 0;
	return r;
}

static void begin(struct stream_connect *c)
{
	int r = -EINVAL;
	if (str_has_prefix(c->text, "unix://"))
		r = begin_unix(c, c->text + strlen("unix://"));
	else if (str_has_prefix(c->text, "tcp://"))
		r = begin_tcp(c, c->text + strlen("tcp://"));
	if (r < 0) {
		err_set(&c->err, r, "not an address of the form unix:///path or tcp://host:port");
		finish(c);
		return;
	}
	c->state = CONNECT_RESOLVE;
	if (!c->resolving) {
		c->state = CONNECT_SOCKET;
		try_next(c);
	}
}

struct stream_connect *stream_connect(uv_loop_t *loop, const char *address, SSL_CTX *tls,
	const char *name, unsigned timeout_ms,
	void (*on_connected)(void *user, struct stream *s, const struct err *err), void *user)
{
	struct stream_connect *c = xcalloc(1, sizeof(*c));
	c->loop = loop;
	c->fd = -1;
	c->text = xstrdup(address);
	c->timeout_ms = timeout_ms ? timeout_ms : 10000;
	if (tls) {
		SSL_CTX_up_ref(tls);
		c->tls = tls;
	}
	c->name = name ? xstrdup(name) : NULL;
	c->connected = on_connected;
	c->user = user;
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	c->open_handles = 1;
	uv_timer_start(&c->timer, on_timer, 0, 0);
	return c;
}

void stream_connect_cancel(struct stream_connect *c)
{
	if (!c)
		return;
	c->cancelled = true;
	finish(c);
}
