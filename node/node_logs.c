/* node_logs.c - logs of containers: reads the runtime's files, also those rotated away, from where
 * the client wants to begin, and follows them by inotify until the container has ended. Where to
 * begin is found on a worker thread. */
#include "node/node_stream.h"

#include <stdio.h>
#include <sys/inotify.h>

#include "lib/base/buf.h"
#include "lib/client/wakeup.h"
#include "node/cri/cri_log.h"
#include "node/logs/log_reader.h"
#include "node/pod/pod_manager.h"
#include "node/volume/file_work.h"

enum {
	READ_BYTES = 64 << 10,
	/* Between two turns of the loop, when nothing of it goes to the client (sinceTime). */
	TURN_BYTES = 4 << 20,
	/* After a file was closed the container's end is known soon, not at once. */
	ENDED_CHECK_MS = 200,
	ENDED_CHECK_IDLE_MS = 1000,
	/* Without inotify, of which a host has few. */
	POLL_MS = 500,
	/* The runtime may still end a line in the file that was rotated away. */
	TURN_MS = 200,
	WATCHED = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE_SELF,
};

struct log_stream {
	struct node *n;
	struct http_request *req;
	char *ns, *pod, *container, *container_id, *path;
	struct log_opening *opening; /* not open yet */
	struct log_reader *reader;
	struct buf in; /* read, not yet a whole line */
	bool rest; /* a record longer than the buffer: what comes is the rest of its text, ... */
	bool rest_given; /* ... which the client gets ... */
	bool rest_part;	 /* ... and which is a part of a line */
	bool begun_line; /* the client has got a part of a line */
	bool follow, timestamps, no_stdout, no_stderr;
	int64_t since_ns;    /* 0 = all */
	int64_t limit_bytes; /* what may still be sent; -1 = no limit */
	/* following */
	uv_poll_t *poll;
	int inotify;
	struct wakeup *timer;
	int64_t grown_ns; /* when a newer file was found, monotonic */
	int64_t check_ms; /* how soon to look whether the container has ended */
	bool last_round;  /* the container has ended: what is there is all */
};

/* Finding the beginning: the thread knows nothing of the stream. */
struct log_opening {
	struct file_job *job;
	struct log_stream *s;
	char *path;
	int64_t tail, since_ns;
	struct log_reader *reader;
	int result;
};

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

static void stream_free(struct log_stream *s)
{
	if (s->opening)
		file_job_cancel(s->opening->job);
	if (s->poll) {
		uv_poll_stop(s->poll);
		uv_close((uv_handle_t *)s->poll, on_poll_closed);
	}
	if (s->inotify >= 0)
		close(s->inotify);
	log_reader_close(s->reader);
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

static void refuse(struct http_request *req, int status, const char *text)
{
	http_respond(req, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

/* ---- lines ---- */

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

/* The record's text, without the line's end. *ret_given: the client is meant to see it. */
static bool give_text(struct log_stream *s, const char *record, size_t size,
	struct cri_log_line *ret, bool *ret_given)
{
	*ret_given = false;
	if (cri_log_parse(record, size, ret) < 0)
		return true; /* a torn write of a crash; not the client's business */
	if (ret->time_ns < s->since_ns || (ret->is_stderr ? s->no_stderr : s->no_stdout))
		return true;
	*ret_given = true;
	if (s->timestamps && !s->begun_line) {
		char time[CRI_LOG_TIME_ROOM];
		if (!give(s, time, cri_log_time(ret, time)) || !give(s, " ", 1))
			return false;
	}
	s->begun_line = true;
	return give(s, ret->text, ret->size);
}

static bool end_text(struct log_stream *s, bool given, bool partial)
{
	if (!given || partial)
		return true;
	s->begun_line = false;
	return give(s, "\n", 1);
}

static bool give_record(struct log_stream *s, const char *p, size_t size)
{
	struct cri_log_line l;
	bool given;

	if (s->rest) {
		s->rest = false;
		return (!s->rest_given || give(s, p, size)) &&
		       end_text(s, s->rest_given, s->rest_part);
	}
	return give_text(s, p, size, &l, &given) && end_text(s, given, given && l.partial);
}

/* All whole records of the buffer; of one that is longer than that what is there of it. */
static bool give_records(struct log_stream *s)
{
	struct str rest = {s->in.data, s->in.size};
	const char *newline;

	while (rest.size > 0 && (newline = memchr(rest.p, '\n', rest.size))) {
		size_t size = (size_t)(newline - rest.p);
		if (!give_record(s, rest.p, size))
			return false;
		rest.p += size + 1;
		rest.size -= size + 1;
	}
	buf_drop_front(&s->in, s->in.size - rest.size);
	if (s->in.size > CRI_LOG_LINE_MAX_BYTES || (s->rest && s->in.size > 0)) {
		struct cri_log_line l = {0};
		bool more;
		if (s->rest) {
			more = !s->rest_given || give(s, s->in.data, s->in.size);
		} else {
			more = give_text(s, s->in.data, s->in.size, &l, &s->rest_given);
			s->rest = true;
			s->rest_part = l.partial;
		}
		buf_clear(&s->in);
		return more;
	}
	return true;
}

/* ---- reading ---- */

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

static void watch(struct log_stream *s)
{
	if (s->inotify >= 0)
		inotify_add_watch(s->inotify, s->path, WATCHED);
}

static void catch_up(struct log_stream *s)
{
	if (!log_reader_catch_up(s->reader, (size_t)s->n->config->container_log_max_files))
		return;
	s->grown_ns = s->n->clock->mono_ns(s->n->clock);
	watch(s);
}

/* At the end of a file. False when there is nothing more to read now: waits, or has finished. */
static bool go_on(struct log_stream *s)
{
	if (!s->follow) {
		if (log_reader_next(s->reader))
			return true;
		finish(s);
		return false;
	}
	catch_up(s);
	int64_t wait_ns = s->grown_ns + TURN_MS * NS_PER_MS - s->n->clock->mono_ns(s->n->clock);
	if (s->grown_ns && wait_ns > 0) {
		wakeup_in(s->timer, wait_ns / NS_PER_MS + 1);
		return false;
	}
	if (log_reader_next(s->reader))
		return true;
	if (s->last_round) {
		finish(s);
		return false;
	}
	if (ended(s)) {
		/* What was written between the last read and the end. */
		s->last_round = true;
		return true;
	}
	wakeup_in(s->timer, s->check_ms);
	return false;
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
		ssize_t n = log_reader_read(s->reader, s->in.data + s->in.size, READ_BYTES);
		if (n == 0) {
			if (!go_on(s))
				return;
			continue;
		}
		if (n > 0) {
			s->in.size += (size_t)n;
			looked += (size_t)n;
		}
		if (n < 0 || !give_records(s)) {
			finish(s);
			return;
		}
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
	if (closed) {
		s->check_ms = ENDED_CHECK_MS;
		/* Also for a client that is slow: files lose their names. */
		catch_up(s);
	}
	pump(s);
}

static void on_timer(void *user)
{
	pump(user);
}

static void start_following(struct log_stream *s)
{
	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0 || inotify_add_watch(s->inotify, s->path, WATCHED) < 0) {
		s->check_ms = POLL_MS;
		return;
	}
	s->poll = xcalloc(1, sizeof(*s->poll));
	uv_poll_init(s->n->loop, s->poll, s->inotify);
	s->poll->data = s;
	uv_poll_start(s->poll, UV_READABLE, on_inotify);
}

/* ---- opening ---- */

static void open_on_thread(void *user)
{
	struct log_opening *o = user;

	o->result = log_reader_open(o->path, o->tail, o->since_ns, &o->reader, NULL);
}

static void on_opened(void *user, bool cancelled)
{
	struct log_opening *o = user;
	struct log_stream *s = o->s;

	if (cancelled) {
		log_reader_close(o->reader);
	} else if (o->result < 0) {
		struct http_request *req = s->req;
		s->opening = NULL;
		req->cancelled = NULL;
		stream_free(s);
		refuse(req, 400,
			arena_printf(&req->arena,
				"failed to try resolving symlinks in path \"%s\": lstat %s: %s",
				o->path, o->path,
				o->result == -ENOENT ? "no such file or directory"
						     : strerror(-o->result)));
	} else {
		s->opening = NULL;
		s->reader = TAKE_PTR(o->reader);
		if (s->follow)
			start_following(s);
		http_stream_begin(s->req, 200, "text/plain", NULL);
		http_stream_on_drained(s->req, on_drained);
		pump(s);
	}
	free(o->path);
	free(o);
}

/* ---- the request ---- */

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

static const char *why_no_log(struct arena *a, const struct pod_container_at *at, bool previous,
	const char *container, const char *pod)
{
	if (previous)
		return arena_printf(a,
			"previous terminated container \"%s\" in pod \"%s\" not found", container,
			pod);
	const char *reason = at->waiting_reason;
	if (streq(reason, "ErrImagePull"))
		reason = "image can't be pulled";
	else if (streq(reason, "ImagePullBackOff"))
		reason = "trying and failing to pull image";
	return arena_printf(a, "container \"%s\" in pod \"%s\" is waiting to start: %s", container,
		pod, reason);
}

void node_logs_serve(struct node *n, struct http_request *req, const char *ns, const char *pod,
	const char *container)
{
	struct pod_container_at at;
	struct err err = ERR_INIT;
	int64_t tail, since, limit;
	const char *since_time = http_query_get(req, "sinceTime", 0);
	const char *stream = http_query_get(req, "stream", 0);
	int64_t since_ns = 0;

	if (!query_number(req, "tailLines", &tail) || !query_number(req, "sinceSeconds", &since) ||
		!query_number(req, "limitBytes", &limit) ||
		(since_time && time_parse_rfc3339(since_time, &since_ns) < 0)) {
		refuse(req, 400, "tailLines, sinceSeconds, limitBytes or sinceTime is malformed");
		return;
	}
	if (!stream || !*stream)
		stream = "All";
	if (!streq(stream, "All") && !streq(stream, "Stdout") && !streq(stream, "Stderr")) {
		refuse(req, 400, "stream is All, Stdout or Stderr");
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
		refuse(req, 400, why_no_log(&req->arena, &at, previous, container, pod));
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
	s->inotify = -1;
	s->check_ms = ENDED_CHECK_IDLE_MS;
	s->timer = wakeup_create(n->loop, n->clock, on_timer, s);
	s->follow = query_true(req, "follow") && !previous && at.running;
	s->timestamps = query_true(req, "timestamps");
	s->no_stdout = streq(stream, "Stderr");
	s->no_stderr = streq(stream, "Stdout");
	s->since_ns = since_ns;
	s->limit_bytes = limit;
	req->user = s;
	req->cancelled = on_cancelled;

	struct log_opening *o = xcalloc(1, sizeof(*o));
	o->s = s;
	o->path = xstrdup(path);
	o->tail = tail;
	o->since_ns = since_ns;
	s->opening = o;
	o->job = file_work_queue(n->files, path, open_on_thread, on_opened, o);
}
