/* node_logs.c - logs of containers: reads the runtime's files from where the client wants to begin,
 * and follows them by inotify until the container has ended. */
#include "node/node_stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/client/wakeup.h"
#include "node/cri/cri_log.h"
#include "node/pod/pod_manager.h"

enum {
	READ_BYTES = 64 << 10,
	/* Between two turns of the loop, when nothing of it goes to the client (sinceTime). */
	TURN_BYTES = 4 << 20,
	/* After a file was closed the container's end is known soon, not at once. */
	ENDED_CHECK_MS = 200,
	ENDED_CHECK_IDLE_MS = 1000,
};

struct log_stream {
	struct node *n;
	struct http_request *req;
	char *ns, *pod, *container, *container_id, *path;
	int fd;
	struct buf in;	 /* read, not yet a whole line */
	bool too_long;	 /* the rest of an over-long line is skipped */
	bool begun_line; /* the client has got a part of a line */
	bool follow, timestamps;
	int64_t since_ns;    /* 0 = all */
	int64_t limit_bytes; /* what may still be sent; -1 = no limit */
	/* following */
	uv_poll_t *poll;
	int inotify;
	struct wakeup *timer;
	int64_t check_ms; /* how soon to look whether the container has ended */
	bool last_round;  /* the container has ended: what is there is all */
};

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

static void stream_free(struct log_stream *s)
{
	if (s->poll) {
		uv_poll_stop(s->poll);
		uv_close((uv_handle_t *)s->poll, on_poll_closed);
	}
	if (s->inotify >= 0)
		close(s->inotify);
	if (s->fd >= 0)
		close(s->fd);
	wakeup_destroy(s->timer);
	buf_finish(&s->in);
	free(s->ns);
	free(s->pod);
	free(s->container);
	free(s->container_id);
	free(s->path);
	free(s);
}

static void finish(struct log_stream *s)
{
	struct http_request *req = s->req;

	/* What is queued still has to go out, and s is not there any more when it does. */
	req->cancelled = NULL;
	http_stream_on_drained(req, NULL);
	stream_free(s);
	http_stream_end(req);
}

static void on_cancelled(struct http_request *req)
{
	struct log_stream *s = req->user;

	stream_free(s);
	http_abort(req);
}

/* False when the client's limit is reached. */
static bool give(struct log_stream *s, const char *p, size_t size)
{
	bool more = true;

	if (s->limit_bytes >= 0) {
		if ((int64_t)size >= s->limit_bytes) {
			size = (size_t)s->limit_bytes;
			more = false;
		}
		s->limit_bytes -= (int64_t)size;
	}
	if (size > 0)
		http_stream_write(s->req, p, size);
	return more;
}

static bool give_line(struct log_stream *s, const char *line, size_t size)
{
	struct cri_log_line l;

	if (cri_log_parse(line, size, &l) < 0)
		return true; /* a torn write of a crash; not the client's business */
	if (l.time_ns < s->since_ns)
		return true;
	if (s->timestamps && !s->begun_line && (!give(s, l.time, l.time_size) || !give(s, " ", 1)))
		return false;
	s->begun_line = l.partial;
	if (!give(s, l.text, l.size))
		return false;
	return l.partial || give(s, "\n", 1);
}

/* All whole lines of the buffer. */
static bool give_lines(struct log_stream *s)
{
	struct str rest = {s->in.data, s->in.size};
	const char *newline;

	while (rest.size > 0 && (newline = memchr(rest.p, '\n', rest.size))) {
		size_t size = (size_t)(newline - rest.p);
		if (!s->too_long && !give_line(s, rest.p, size))
			return false;
		s->too_long = false;
		rest.p += size + 1;
		rest.size -= size + 1;
	}
	buf_drop_front(&s->in, s->in.size - rest.size);
	if (s->in.size > CRI_LOG_LINE_MAX_BYTES) {
		buf_clear(&s->in);
		s->too_long = true;
	}
	return true;
}

static void pump(struct log_stream *s);

static void on_drained(struct http_request *req)
{
	pump(req->user);
}

/* The container has ended, or is another one by now. */
static bool ended(struct log_stream *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_container_at at;

	if (!s->n->pods ||
		pod_manager_find(s->n->pods, &a, s->ns, s->pod, NULL, s->container, &at, NULL) < 0)
		return true;
	return !at.running || !streq(at.container_id, s->container_id);
}

/* Rotated: the runtime writes to a new file of the same name. */
static bool reopen(struct log_stream *s)
{
	struct stat now, old;

	if (stat(s->path, &now) < 0 || fstat(s->fd, &old) < 0 ||
		(now.st_ino == old.st_ino && now.st_dev == old.st_dev))
		return false;
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	close(s->fd);
	s->fd = fd;
	inotify_add_watch(s->inotify, s->path, IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE_SELF);
	return true;
}

static void pump(struct log_stream *s)
{
	for (size_t looked = 0;;) {
		if (http_stream_queued(s->req) > STREAM_HIGH_BYTES)
			return; /* on_drained goes on */
		if (looked >= TURN_BYTES) {
			wakeup_in(s->timer, 0);
			return;
		}
		buf_reserve(&s->in, READ_BYTES);
		ssize_t n = read(s->fd, s->in.data + s->in.size, READ_BYTES);
		if (n < 0) {
			finish(s);
			return;
		}
		if (n > 0) {
			s->in.size += (size_t)n;
			looked += (size_t)n;
			if (!give_lines(s)) {
				finish(s);
				return;
			}
			continue;
		}
		if (!s->follow) {
			finish(s);
			return;
		}
		if (reopen(s))
			continue;
		if (s->last_round) {
			finish(s);
			return;
		}
		if (ended(s)) {
			/* What was written between the last read and the end. */
			s->last_round = true;
			continue;
		}
		wakeup_in(s->timer, s->check_ms);
		return;
	}
}

static void on_inotify(uv_poll_t *p, int status, int events)
{
	struct log_stream *s = p->data;
	char room[4096] __attribute__((aligned(8)));
	bool closed = false;

	for (ssize_t n; (n = read(s->inotify, room, sizeof(room))) > 0;) {
		for (char *at = room; at < room + n;) {
			const struct inotify_event *e = (const void *)at;
			closed = closed || (e->mask & (IN_CLOSE_WRITE | IN_MOVE_SELF));
			at += sizeof(*e) + e->len;
		}
	}
	if (closed)
		s->check_ms = ENDED_CHECK_MS;
	pump(s);
}

static void on_timer(void *user)
{
	pump(user);
}

static int start_following(struct log_stream *s)
{
	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0)
		return -errno;
	if (inotify_add_watch(s->inotify, s->path, IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE_SELF) < 0)
		return -errno;
	s->poll = xcalloc(1, sizeof(*s->poll));
	uv_poll_init(s->n->loop, s->poll, s->inotify);
	s->poll->data = s;
	uv_poll_start(s->poll, UV_READABLE, on_inotify);
	return 0;
}

/* Offset of the first of the last `lines` lines. */
static off_t tail_offset(int fd, int64_t lines)
{
	struct stat st;
	char room[16 << 10];

	if (fstat(fd, &st) < 0)
		return 0;
	if (lines == 0)
		return st.st_size;
	off_t end = st.st_size;
	bool last = true;
	while (end > 0) {
		size_t size = (size_t)MIN(end, (off_t)sizeof(room));
		ssize_t n = pread(fd, room, size, end - (off_t)size);
		if (n <= 0)
			return 0;
		for (size_t i = (size_t)n; i > 0; i--) {
			/* The newline that ends the file begins no line. */
			if (room[i - 1] == '\n' && !last && --lines == 0)
				return end - (off_t)size + (off_t)i;
			last = false;
		}
		end -= (off_t)size;
	}
	return 0;
}

static bool query_true(struct http_request *req, const char *name)
{
	const char *v = http_query_get(req, name, 0);

	return v && (streq(v, "true") || streq(v, "1"));
}

/* -1 when absent; false when it is no number. */
static bool query_number(struct http_request *req, const char *name, int64_t *ret)
{
	const char *v = http_query_get(req, name, 0);

	*ret = -1;
	return !v || (parse_i64(str_from(v), ret) == 0 && *ret >= 0);
}

static void refuse(struct http_request *req, int status, const char *text)
{
	http_respond(req, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

void node_logs_serve(struct node *n, struct http_request *req, const char *ns, const char *pod,
	const char *container)
{
	struct pod_container_at at;
	struct err err = ERR_INIT;
	int64_t tail, since, limit;
	const char *since_time = http_query_get(req, "sinceTime", 0);
	int64_t since_ns = 0;

	if (!query_number(req, "tailLines", &tail) || !query_number(req, "sinceSeconds", &since) ||
		!query_number(req, "limitBytes", &limit) ||
		(since_time && time_parse_rfc3339(since_time, &since_ns) < 0)) {
		refuse(req, 400, "tailLines, sinceSeconds, limitBytes or sinceTime is malformed");
		return;
	}
	if (since >= 0)
		since_ns = n->clock->wall_ns(n->clock) -
			   MIN(since, INT64_MAX / NS_PER_S / 2) * NS_PER_S;
	if (pod_manager_find(n->pods, &req->arena, ns, pod, NULL, container, &at, &err) < 0) {
		refuse(req, 404, err.msg);
		return;
	}
	bool previous = query_true(req, "previous");
	const char *path = previous ? at.previous_log_path : at.log_path;
	if (!path) {
		const char *text =
			previous ? arena_printf(&req->arena,
					   "previous terminated container \"%s\" in pod \"%s\" not "
					   "found",
					   container, pod)
				 : arena_printf(&req->arena,
					   "container \"%s\" in pod \"%s\" is waiting to start: %s",
					   container, pod, at.waiting_reason);
		refuse(req, 400, text);
		return;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		refuse(req, 404,
			arena_printf(&req->arena, "log file of container \"%s\": %s", container,
				strerror(errno)));
		return;
	}

	struct log_stream *s = xcalloc(1, sizeof(*s));
	s->n = n;
	s->req = req;
	s->ns = xstrdup(ns);
	s->pod = xstrdup(pod);
	s->container = xstrdup(container);
	s->container_id = xstrdup(at.container_id ? at.container_id : "");
	s->path = xstrdup(path);
	s->fd = fd;
	s->inotify = -1;
	s->check_ms = ENDED_CHECK_IDLE_MS;
	s->timer = wakeup_create(n->loop, n->clock, on_timer, s);
	s->follow = query_true(req, "follow") && !previous && at.running;
	s->timestamps = query_true(req, "timestamps");
	s->since_ns = since_ns;
	s->limit_bytes = limit;
	if (tail >= 0)
		lseek(fd, tail_offset(fd, tail), SEEK_SET);
	if (s->follow && start_following(s) < 0)
		s->follow = false; /* out of inotify instances: what is there is given */
	req->user = s;
	req->cancelled = on_cancelled;
	http_stream_begin(req, 200, "text/plain", NULL);
	http_stream_on_drained(req, on_drained);
	pump(s);
}
