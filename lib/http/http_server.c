#include "lib/http/h2_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
#define IDLE_TIMEOUT_MS 60000
#define MAX_CONNECTIONS 20000
#define HELD_MAX_BYTES ((size_t)64 << 20)
#define WAITING_MAX_BYTES ((size_t)256 << 20)

struct http_listener {
	struct http_server *server;
	struct http_listener *next;
	uv_poll_t poll;
	int fd;
	char *unix_path; /* removed at the end; NULL for TCP */
	bool paused;	 /* out of descriptors: tried again when one was closed, and at each tick */
};

static void on_tick(uv_timer_t *timer);

const char *http_server_date(struct http_server *s)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != s->date_s) {
		static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
		static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
			"Aug", "Sep", "Oct", "Nov", "Dec"};
		struct tm t;
		gmtime_r(&now.tv_sec, &t);
		snprintf(s->date, sizeof(s->date), "%s, %02d %s %d %02d:%02d:%02d GMT",
			days[t.tm_wday], t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour,
			t.tm_min, t.tm_sec);
		s->date_s = now.tv_sec;
	}
	return s->date;
}

struct http_server *http_server_create(const struct http_server_options *options)
{
	struct http_server *s = xcalloc(1, sizeof(*s));
	s->loop = options->loop;
	s->handler = options->handler;
	s->takes_body = options->takes_body;
	s->user = options->user;
	s->idle_timeout_ms = options->idle_timeout_ms ? options->idle_timeout_ms : IDLE_TIMEOUT_MS;
	s->max_connections = options->max_connections ? options->max_connections : MAX_CONNECTIONS;
	s->held_max_bytes = options->held_max_bytes ? options->held_max_bytes : HELD_MAX_BYTES;
	s->waiting_max_bytes =
		options->waiting_max_bytes ? options->waiting_max_bytes : WAITING_MAX_BYTES;
	if (options->tls) {
		SSL_CTX_up_ref(options->tls);
		s->tls = options->tls;
	}
	list_init(&s->conns);
	list_init(&s->ready);
	list_init(&s->dirty);
	list_init(&s->making);
	uv_timer_init(s->loop, &s->tick);
	uv_timer_init(s->loop, &s->grace);
	uv_idle_init(s->loop, &s->advance);
	s->tick.data = s->grace.data = s->advance.data = s;
	s->open_handles = 3;
	return s;
}

static void on_advance(uv_idle_t *idle)
{
	struct http_server *s = idle->data;
	uv_idle_stop(&s->advance);
	while (!list_empty(&s->ready)) {
		struct http_exchange *x = CONTAINER_OF(s->ready.next, struct http_exchange, ready);
		list_remove(&x->ready);
		if (x->stream_id)
			h2_advance(x);
		else
			http_conn_advance(x->conn);
	}
	http_large_make(s);
	while (!list_empty(&s->dirty)) {
		struct h2_session *h = CONTAINER_OF(s->dirty.next, struct h2_session, dirty);
		list_remove(&h->dirty);
		h2_flush(h);
	}
}

void http_server_run_ready(struct http_server *s)
{
	uv_idle_start(&s->advance, on_advance);
}

/* Listening */

static void pause_listener(struct http_listener *l)
{
	uv_poll_stop(&l->poll);
	l->paused = true;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct http_listener *l = poll->data;
	struct http_server *s = l->server;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				errno == ENOMEM)
				pause_listener(l);
			else if (errno == EINTR || errno == ECONNABORTED)
				continue;
			break;
		}
		if (s->conn_count >= s->max_connections) {
			close(fd);
			continue;
		}
		http_conn_start(s, fd);
	}
	if ((s->conn_count || l->paused) && !uv_is_active((uv_handle_t *)&s->tick)) {
		uint64_t every = MIN(MAX(s->idle_timeout_ms / 4, 5u), 5000u);
		uv_timer_start(&s->tick, on_tick, every, every);
	}
}

static void resume_listeners(struct http_server *s)
{
	for (struct http_listener *l = s->listeners; l && !s->stopping; l = l->next) {
		if (l->paused)
			uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
		l->paused = false;
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct http_server *s = timer->data;
	uint64_t now = uv_now(s->loop);
	LIST_FOR_EACH(c, &s->conns, struct http_conn, link)
		http_conn_tick(c, now);
	resume_listeners(s);
	if (s->conn_count == 0)
		uv_timer_stop(&s->tick);
}

static int parse_listen_address(
	const char *text, struct sockaddr_storage *ret, socklen_t *ret_size, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	if (str_has_prefix(text, "unix://")) {
		struct sockaddr_un *un = (void *)ret;
		const char *path = text + strlen("unix://");
		if (!*path || strlen(path) >= sizeof(un->sun_path))
			return err_set(
				err, -ENAMETOOLONG, "path of '%s' is empty or too long", text);
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, path);
		*ret_size = sizeof(*un);
		return 0;
	}
	const char *colon = strrchr(text, ':');
	uint64_t port;
	char host[64];
	if (!colon || parse_u64(str_from(colon + 1), &port) < 0 || port > UINT16_MAX ||
		(size_t)(colon - text) >= sizeof(host))
		return err_set(err, -EINVAL, "'%s' is no address of the form IP:PORT", text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	size_t size = strlen(host);
	if (size > 2 && host[0] == '[' && host[size - 1] == ']') {
		host[size - 1] = 0;
		*ret_size = sizeof(struct sockaddr_in6);
		if (uv_ip6_addr(host + 1, (int)port, (struct sockaddr_in6 *)ret) == 0)
			return 0;
	} else {
		*ret_size = sizeof(struct sockaddr_in);
		if (uv_ip4_addr(*host ? host : "0.0.0.0", (int)port, (struct sockaddr_in *)ret) ==
			0)
			return 0;
	}
	return err_set(err, -EINVAL, "'%s' is no address of the form IP:PORT", text);
}

/* A socket file that nobody listens on is left over from a killed process. */
static int remove_stale_socket(const struct sockaddr_un *a, struct err *err)
{
	struct stat st;
	if (lstat(a->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "%s exists and is no socket", a->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, -errno, "socket");
	int r = connect(fd, (const struct sockaddr *)a, sizeof(*a));
	int e = errno;
	close(fd);
	if (r == 0 || e == EAGAIN)
		return err_set(err, -EADDRINUSE, "somebody listens on %s", a->sun_path);
	if (unlink(a->sun_path) < 0 && errno != ENOENT)
		return err_errno(err, -errno, "remove the stale socket %s", a->sun_path);
	return 0;
}

static int bound_port(int fd)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);
	if (getsockname(fd, (struct sockaddr *)&a, &size) < 0)
		return 0;
	if (a.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&a)->sin_port);
	if (a.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
	return 0;
}

int http_server_listen(struct http_server *s, const char *address, int *ret_port, struct err *err)
{
	struct sockaddr_storage a;
	socklen_t size = 0;
	int on = 1;
	int r = parse_listen_address(address, &a, &size, err);
	if (r < 0)
		return r;
	if (a.ss_family == AF_UNIX) {
		r = remove_stale_socket((struct sockaddr_un *)&a, err);
		if (r < 0)
			return r;
	}
	_cleanup_(close_p) int fd =
		socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, -errno, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, size) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(err, -errno, "listen on %s", address);
	struct http_listener *l = xcalloc(1, sizeof(*l));
	r = uv_poll_init(s->loop, &l->poll, fd);
	if (r < 0) {
		free(l);
		return err_errno(err, r, "listen on %s", address);
	}
	if (ret_port)
		*ret_port = bound_port(fd);
	l->server = s;
	l->fd = fd;
	fd = -1;
	l->unix_path =
		a.ss_family == AF_UNIX ? xstrdup(((struct sockaddr_un *)&a)->sun_path) : NULL;
	l->poll.data = l;
	l->next = s->listeners;
	s->listeners = l;
	uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
	return 0;
}

/* The end */

static void server_free(struct http_server *s)
{
	while (s->free_exchanges) {
		struct http_exchange *x = s->free_exchanges;
		s->free_exchanges = x->next_free;
		http_exchange_free(x);
	}
	if (s->tls)
		SSL_CTX_free(s->tls);
	free(s);
}

static void on_server_handle_closed(uv_handle_t *h)
{
	struct http_server *s = h->data;
	if (--s->open_handles > 0)
		return;
	s->stopped = true;
	bool destroyed = s->destroyed;
	if (s->done)
		s->done(s->done_user); /* may destroy */
	if (destroyed)
		server_free(s);
}

/* When the last connection and listener are gone, so are the timers, and then all is done. */
static void server_stop_if_over(struct http_server *s)
{
	if (!s->stopping || s->conn_count || s->listeners || uv_is_closing((uv_handle_t *)&s->tick))
		return;
	uv_close((uv_handle_t *)&s->tick, on_server_handle_closed);
	uv_close((uv_handle_t *)&s->grace, on_server_handle_closed);
	uv_close((uv_handle_t *)&s->advance, on_server_handle_closed);
}

void http_server_conn_gone(struct http_server *s)
{
	s->conn_count--;
	resume_listeners(s); /* there is a descriptor again */
	server_stop_if_over(s);
}

static void on_listener_closed(uv_handle_t *h)
{
	struct http_listener *l = h->data;
	struct http_server *s = l->server;
	struct http_listener **p = &s->listeners;
	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	free(l->unix_path);
	free(l);
	server_stop_if_over(s);
}

static void on_grace_over(uv_timer_t *timer)
{
	struct http_server *s = timer->data;
	LIST_FOR_EACH(c, &s->conns, struct http_conn, link)
		http_conn_drop(c);
}

void http_server_stop(struct http_server *s, unsigned grace_ms, void (*done)(void *), void *user)
{
	s->done = done;
	s->done_user = user;
	if (s->stopping)
		return;
	s->stopping = true;
	for (struct http_listener *l = s->listeners; l; l = l->next) {
		uv_close((uv_handle_t *)&l->poll, on_listener_closed);
		close(l->fd);
		if (l->unix_path)
			(void)unlink(l->unix_path);
	}
	LIST_FOR_EACH(c, &s->conns, struct http_conn, link)
		http_conn_stop(c);
	uv_timer_start(&s->grace, on_grace_over, grace_ms, 0);
	server_stop_if_over(s);
}

void http_server_destroy(struct http_server *s)
{
	if (!s)
		return;
	if (s->stopped) {
		server_free(s);
		return;
	}
	s->destroyed = true;
	http_server_stop(s, 0, NULL, NULL);
}
