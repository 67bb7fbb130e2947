#include "lib/http/stream_impl.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* One turn reads at most this many times from one stream, so that a fast peer does not starve the
 * others on the loop. */
#define READS_PER_TURN 8
#define VECTORS_MAX 64

/* All streams read into the same buffer: nothing in it outlives the read callback. It is no
 * thread's own, and neither are stream_tls.c's: each thread of a process would hold it. */
static char read_room[64 << 10];

static struct list streams = {&streams, &streams};

static bool stream_usable(const struct stream *s)
{
	return s->state == STREAM_HANDSHAKE || s->state == STREAM_OPEN;
}

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_later(uv_idle_t *later);

static void stream_update_poll(struct stream *s)
{
	int events = 0;
	if (s->state == STREAM_HANDSHAKE) {
		events = s->tls_wants_write ? UV_WRITABLE : UV_READABLE;
	} else if (s->state == STREAM_OPEN) {
		if ((s->reading && !s->eof) || s->tls_read_blocked)
			events |= UV_READABLE;
		if (s->blocked || s->tls_wants_write)
			events |= UV_WRITABLE;
	} else {
		return;
	}
	if (events == s->poll_events)
		return;
	s->poll_events = events;
	if (events)
		uv_poll_start(&s->poll, events, on_poll);
	else
		uv_poll_stop(&s->poll);
}

static void stream_run_later(struct stream *s)
{
	if (stream_usable(s) && !s->dispatching)
		uv_idle_start(&s->later, on_later);
}

int stream_create(uv_loop_t *loop, int fd, SSL *ssl, struct stream **ret, struct err *err)
{
	struct stream *s = xcalloc(1, sizeof(*s));
	int r = uv_poll_init(loop, &s->poll, fd);
	if (r < 0) {
		free(s);
		return err_errno(err, r, "watch a descriptor");
	}
	list_append(&streams, &s->link);
	uv_idle_init(loop, &s->later);
	s->poll.data = s->later.data = s;
	s->open_handles = 2;
	s->fd = fd;
	s->ssl = ssl;
	if (ssl)
		stream_tls_attach(s);
	s->state = ssl ? STREAM_HANDSHAKE : STREAM_OPEN;
	s->tls_wants_write = ssl && !SSL_is_server(ssl); /* the client speaks first */
	struct stat st;
	s->is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	stream_update_poll(s);
	*ret = s;
	return 0;
}

void stream_tune_socket(int fd)
{
	int on = 1, idle_s = 30, interval_s = 10, probes = 3;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

int stream_from_fd(uv_loop_t *loop, int fd, struct stream **ret, struct err *err)
{
	stream_tune_socket(fd);
	return stream_create(loop, fd, NULL, ret, err);
}

int stream_from_fd_tls(uv_loop_t *loop, int fd, SSL_CTX *tls, struct stream **ret, struct err *err)
{
	SSL *ssl = stream_tls_new(tls, true);
	if (!ssl)
		return err_set(err, -ENOMEM, "cannot set up TLS");
	stream_tune_socket(fd);
	int r = stream_create(loop, fd, ssl, ret, err);
	if (r < 0)
		SSL_free(ssl);
	return r;
}

void stream_set_handler(struct stream *s, const struct stream_handler *h, void *user)
{
	s->h = h ? *h : (struct stream_handler){0};
	s->user = user;
}

/* Reads */

void stream_read_start(struct stream *s)
{
	s->reading = true;
	if (s->unread.size || (s->state == STREAM_OPEN && stream_tls_has_pending(s)))
		stream_run_later(s);
	if (!s->dispatching)
		stream_update_poll(s);
}

void stream_read_stop(struct stream *s)
{
	s->reading = false;
	if (!s->dispatching)
		stream_update_poll(s);
}

void stream_unread(struct stream *s, const void *p, size_t size)
{
	if (size == 0 || !stream_usable(s))
		return;
	struct buf old = s->unread;
	s->unread = BUF_INIT;
	buf_add(&s->unread, p, size);
	if (old.size)
		buf_add(&s->unread, old.data, old.size);
	buf_finish(&old);
	if (s->reading)
		stream_run_later(s);
}

static ssize_t plain_read(struct stream *s, const char **ret_text)
{
	ssize_t n;
	do
		n = read(s->fd, read_room, sizeof(read_room));
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	int e = errno;
	if (e == EIO && !s->is_socket)
		return 0; /* a pty whose other side was closed */
	*ret_text = strerror(e);
	return -e;
}

static void stream_give_unread(struct stream *s)
{
	struct buf b = s->unread;
	s->unread = BUF_INIT;
	if (s->h.read)
		s->h.read(s->user, b.data, b.size);
	buf_finish(&b);
}

static void stream_do_read(struct stream *s)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		if (s->state != STREAM_OPEN || !s->reading)
			return;
		if (s->unread.size) {
			stream_give_unread(s);
			continue;
		}
		if (s->eof)
			return;
		const char *text = NULL;
		ssize_t n = s->ssl ? stream_tls_read(s, read_room, sizeof(read_room), &text)
				   : plain_read(s, &text);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			stream_fail(s, (int)n, text);
			return;
		}
		if (n == 0) {
			s->eof = true;
			if (s->h.eof)
				s->h.eof(s->user);
			return;
		}
		if (s->h.read)
			s->h.read(s->user, read_room, (size_t)n);
		bool more = s->ssl ? s->state == STREAM_OPEN && stream_tls_has_pending(s)
				   : (size_t)n == sizeof(read_room);
		if (!more && !s->unread.size)
			return;
	}
}

/* Bytes that the kernel will not tell of again. */
static bool stream_has_buffered(const struct stream *s)
{
	return s->state == STREAM_OPEN && s->reading &&
	       (s->unread.size > 0 || (!s->eof && stream_tls_has_pending(s)));
}

/* Writes */

static void stream_mark_dirty(struct stream *s)
{
	if (stream_queued(s) >= STREAM_HIGH_BYTES)
		s->above_high = true;
	s->dirty = true;
	if (!s->blocked)
		stream_run_later(s);
}

void stream_write(struct stream *s, const void *p, size_t size)
{
	if (!stream_usable(s) || s->shutdown_wanted || size == 0)
		return;
	stream_queue_add(&s->queue, p, size);
	stream_mark_dirty(s);
}

void stream_write_blob(struct stream *s, struct blob *b)
{
	if (!stream_usable(s) || s->shutdown_wanted || b->size == 0)
		return;
	stream_queue_add_blob(&s->queue, b);
	stream_mark_dirty(s);
}

void stream_write_queue(struct stream *s, struct stream_queue *from, size_t size)
{
	if (!stream_usable(s) || s->shutdown_wanted || size == 0) {
		stream_queue_drop(from, size);
		return;
	}
	stream_queue_move(from, &s->queue, size);
	stream_mark_dirty(s);
}

void stream_sealed_counted(struct stream *s, size_t before)
{
	if (s->queue.held)
		*s->queue.held += s->sealed.size - before;
}

static void sealed_drop(struct stream *s)
{
	size_t before = s->sealed.size;
	buf_finish(&s->sealed);
	stream_sealed_counted(s, before);
}

void stream_count_held(struct stream *s, size_t *held)
{
	if (s->queue.held)
		*s->queue.held -= s->sealed.size;
	stream_queue_count(&s->queue, held);
	stream_sealed_counted(s, 0);
}

size_t stream_queued(const struct stream *s)
{
	return s->queue.bytes + s->sealed.size;
}

void stream_tell_drained(struct stream *s)
{
	if (stream_usable(s))
		s->above_high = true;
}

uint64_t stream_written(const struct stream *s)
{
	return s->written_bytes;
}

void stream_shutdown(struct stream *s)
{
	if (!stream_usable(s) || s->shutdown_wanted)
		return;
	s->shutdown_wanted = true;
	stream_mark_dirty(s);
}

static int plain_flush(struct stream *s, const char **ret_text)
{
	struct iovec v[VECTORS_MAX];
	int count = stream_queue_vectors(&s->queue, v, VECTORS_MAX);
	ssize_t n;
	do {
		if (s->is_socket) {
			struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)count};
			n = sendmsg(s->fd, &m, MSG_NOSIGNAL);
		} else {
			n = writev(s->fd, v, count);
		}
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		int e = errno;
		*ret_text = strerror(e);
		return -e;
	}
	s->written_bytes += (uint64_t)n;
	stream_queue_drop(&s->queue, (size_t)n);
	return 0;
}

static void stream_end_direction(struct stream *s)
{
	if (s->ssl && stream_tls_shutdown(s) == -EAGAIN) {
		s->blocked = true;
		return;
	}
	s->shutdown_done = true;
	if (s->is_socket)
		(void)shutdown(s->fd, SHUT_WR);
}

static void stream_flush(struct stream *s)
{
	if (!s->dirty || s->blocked || s->state != STREAM_OPEN)
		return;
	s->tls_read_blocked = false;
	bool had_bytes = stream_queued(s) > 0;
	while (stream_queued(s)) {
		const char *text = NULL;
		int r = s->ssl ? stream_tls_flush(s, &text) : plain_flush(s, &text);
		if (r == -EAGAIN) {
			if (!s->tls_read_blocked)
				s->blocked = true;
			break;
		}
		if (r < 0) {
			stream_fail(s, r, text);
			return;
		}
	}
	if (stream_queued(s) == 0 && s->shutdown_wanted && !s->shutdown_done)
		stream_end_direction(s);
	bool empty = stream_queued(s) == 0 && s->shutdown_done == s->shutdown_wanted;
	if (empty)
		s->dirty = false;
	if (s->above_high && stream_queued(s) < STREAM_LOW_BYTES) {
		s->above_high = false;
		if (s->h.drained)
			s->h.drained(s->user);
	}
	if (empty && (had_bytes || s->shutdown_done) && s->state == STREAM_OPEN &&
		stream_queued(s) == 0 && s->h.flushed)
		s->h.flushed(s->user);
}

/* The loop's side */

static void stream_do_handshake(struct stream *s)
{
	const char *text = NULL;
	int r = stream_tls_handshake(s, &text);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		stream_fail(s, r, text);
		return;
	}
	s->state = STREAM_OPEN;
	if (s->handshake_done) {
		void (*done)(void *) = s->handshake_done;
		s->handshake_done = NULL;
		done(s->user);
	}
}

static void stream_dispatch_end(struct stream *s)
{
	stream_flush(s);
	s->dispatching = false;
	if (!stream_usable(s))
		return;
	stream_update_poll(s);
	if ((s->dirty && !s->blocked && !s->tls_read_blocked && s->state == STREAM_OPEN) ||
		stream_has_buffered(s))
		stream_run_later(s);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct stream *s = poll->data;
	s->dispatching = true;
	if (status < 0) {
		/* libuv has stopped the handle. What the error is, the socket tells best when used.
		 */
		s->poll_events = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if (events & UV_WRITABLE)
		s->blocked = s->tls_wants_write = false;
	if (s->state == STREAM_HANDSHAKE)
		stream_do_handshake(s);
	if (s->state == STREAM_OPEN)
		stream_do_read(s);
	if (status < 0 && s->state == STREAM_OPEN && stream_queued(s) == 0) {
		int e = 0;
		socklen_t size = sizeof(e);
		if (s->is_socket && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0 && e)
			stream_fail(s, -e, strerror(e));
		else if (s->eof || !s->reading)
			stream_fail(s, -EPIPE, "the peer is gone");
	}
	stream_dispatch_end(s);
}

static void on_later(uv_idle_t *later)
{
	struct stream *s = later->data;
	uv_idle_stop(&s->later);
	s->dispatching = true;
	if (stream_has_buffered(s))
		stream_do_read(s);
	stream_dispatch_end(s);
}

/* The end */

void stream_fail(struct stream *s, int code, const char *text)
{
	if (!stream_usable(s))
		return;
	s->state = STREAM_BROKEN;
	s->poll_events = 0;
	uv_poll_stop(&s->poll);
	uv_idle_stop(&s->later);
	stream_queue_clear(&s->queue);
	sealed_drop(s);
	if (s->h.error)
		s->h.error(s->user, code, text ? text : strerror(-code));
	else
		stream_close(s);
}

/* None leaves the list before the loop's next turn, whatever the owners do. */
void streams_break(void)
{
	LIST_FOR_EACH(s, &streams, struct stream, link)
		stream_fail(s, -ECANCELED, "the program is stopping");
}

static void stream_free(struct stream *s)
{
	list_remove(&s->link);
	if (s->peer) {
		free(s->peer->cn);
		for (size_t i = 0; i < s->peer->org_count; i++)
			free(s->peer->orgs[i]);
		free(s->peer->orgs);
		free(s->peer);
	}
	free(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct stream *s = handle->data;
	if (--s->open_handles > 0)
		return;
	if (s->h.closed)
		s->h.closed(s->user);
	stream_free(s);
}

void stream_close(struct stream *s)
{
	if (!s || s->state == STREAM_CLOSING)
		return;
	/* Saying good-bye keeps the peer from taking the end for a cut; if it does not fit in the
	 * kernel's buffer, so be it. */
	if (s->ssl && s->state == STREAM_OPEN && stream_queued(s) == 0 && !s->shutdown_done)
		(void)stream_tls_shutdown(s);
	s->state = STREAM_CLOSING;
	if (s->ssl)
		SSL_free(s->ssl);
	s->ssl = NULL;
	stream_queue_clear(&s->queue);
	sealed_drop(s);
	buf_finish(&s->unread);
	uv_close((uv_handle_t *)&s->poll, on_handle_closed);
	uv_close((uv_handle_t *)&s->later, on_handle_closed);
	close(s->fd);
	s->fd = -1;
}

/* The peer */

static void format_address(int fd, char *ret, size_t room)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);
	char ip[INET6_ADDRSTRLEN];
	memset(&a, 0, sizeof(a));
	if (fd < 0 || getpeername(fd, (struct sockaddr *)&a, &size) < 0)
		snprintf(ret, room, "unknown");
	else if (a.ss_family == AF_INET) {
		const struct sockaddr_in *in = (void *)&a;
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		snprintf(ret, room, "%s:%u", ip, ntohs(in->sin_port));
	} else if (a.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (void *)&a;
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		snprintf(ret, room, "[%s]:%u", ip, ntohs(in6->sin6_port));
	} else {
		snprintf(ret, room, "unix");
	}
}

static const struct stream_peer *stream_peer(const struct stream *cs)
{
	struct stream *s = (struct stream *)cs; /* a cache: not part of what const protects */
	if (!s->peer) {
		s->peer = xcalloc(1, sizeof(*s->peer));
		format_address(s->fd, s->peer->address, sizeof(s->peer->address));
	}
	if (s->ssl && s->state == STREAM_OPEN && !s->peer->certificate_read) {
		s->peer->certificate_read = true;
		stream_tls_peer(s, s->peer);
	}
	return s->peer;
}

bool stream_peer_refused(const struct stream *s)
{
	const struct stream_peer *p = stream_peer(s);
	return p->refused || (p->cn && p->not_after_s < time(NULL));
}

const char *stream_peer_cn(const struct stream *s)
{
	const struct stream_peer *p = stream_peer(s);
	return p->cn ? p->cn : "";
}

size_t stream_peer_orgs(const struct stream *s, const char **ret, size_t room)
{
	const struct stream_peer *p = stream_peer(s);
	for (size_t i = 0; i < p->org_count && i < room; i++)
		ret[i] = p->orgs[i];
	return MIN(p->org_count, room);
}

const char *stream_peer_address(const struct stream *s)
{
	return stream_peer(s)->address;
}

bool stream_is_secure(const struct stream *s)
{
	return s->ssl != NULL;
}

bool stream_is_ready(const struct stream *s)
{
	return s->state != STREAM_HANDSHAKE;
}

struct str stream_alpn(const struct stream *s)
{
	const unsigned char *p = NULL;
	unsigned size = 0;
	if (s->ssl)
		SSL_get0_alpn_selected(s->ssl, &p, &size);
	return (struct str){(const char *)p, size};
}

uv_loop_t *stream_loop(const struct stream *s)
{
	return s->poll.loop;
}
