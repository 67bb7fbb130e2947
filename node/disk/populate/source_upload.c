/* source_upload.c - spec.source.upload: waits in phase UploadReady for somebody who brings the
 * bytes.
 *
 *   READY --connection--> COMING --all there--> (the disk is made) --> answered, over
 *     ^                     |  cut off
 *     +---------------------+
 *       nothing for a minute
 *
 * They are written on the thread pool, one piece at a time: while one is written nothing is read.
 */
#include <fcntl.h>
#include <stdio.h>

#include "lib/client/wakeup.h"
#include "lib/http/http.h"
#include "node/child/child.h"
#include "node/disk/populate/sources.h"
#include "node/disk/write_out.h"

#define PIECE_BYTES (1u << 20)
#define IDLE_MS 60000	/* between two pieces of what comes */
#define LINGER_MS 30000 /* after the answer, for a client that is slow to read it */

struct upload {
	struct populate_job *j;
	char *path;
	struct stream *stream; /* NULL = READY, or answered */
	int fd;
	int64_t size_bytes, have_bytes; /* written */
	struct buf piece, writing;
	uv_fs_t write;
	struct wakeup *idle;
	struct write_out *out; /* while the file comes */
	bool busy;	       /* `write` is under way */
	bool orphan;	       /* the source has been stopped: goes when `write` ends */
	bool waits;	       /* the client is answered when the disk is there */
	bool eof;	       /* nothing more comes */
	bool handed;	       /* all was there: it is being made a disk */
};

static void upload_free(struct upload *u)
{
	if (u->fd >= 0)
		close(u->fd);
	buf_finish(&u->piece);
	buf_finish(&u->writing);
	free(u->path);
	free(u);
}

/* A connection that has its answer. What it still sends is dropped, until its end. */
struct farewell {
	struct stream *stream;
	uv_timer_t timer;
};

static void farewell_freed(uv_handle_t *h)
{
	free(h->data);
}

static void farewell_end(struct farewell *f)
{
	if (!f->stream)
		return;
	stream_close(TAKE_PTR(f->stream));
	uv_close((uv_handle_t *)&f->timer, farewell_freed);
}

static void on_last_eof(void *user)
{
	farewell_end(user);
}

static void on_last_error(void *user, int code, const char *text)
{
	farewell_end(user);
}

static void on_last_timer(uv_timer_t *t)
{
	farewell_end(t->data);
}

static void farewell(uv_loop_t *loop, struct stream *s)
{
	static const struct stream_handler last = {.eof = on_last_eof, .error = on_last_error};
	struct farewell *f = xcalloc(1, sizeof(*f));

	f->stream = s;
	f->timer.data = f;
	uv_timer_init(loop, &f->timer);
	uv_timer_start(&f->timer, on_last_timer, LINGER_MS, 0);
	stream_set_handler(s, &last, f);
	stream_read_start(s);
}

static void answer(struct upload *u, int status, const char *words, const char *text)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct stream *s = TAKE_PTR(u->stream);

	if (!s)
		return;
	buf_printf(&b,
		"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		status, words, strlen(text), text);
	stream_write(s, b.data, b.size);
	stream_shutdown(s);
	farewell(u->j->node->loop, s);
}

/* The client is gone, or too late: the next one begins anew. */
static void give_up(struct upload *u)
{
	wakeup_cancel(u->idle);
	write_out_stop(TAKE_PTR(u->out));
	if (u->stream)
		stream_close(TAKE_PTR(u->stream));
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
	(void)unlink(u->path);
	buf_clear(&u->piece);
	u->have_bytes = 0;
	u->eof = false;
}

static void go_on(struct upload *u);

/* Whoever holds the only connection that the claim takes must use it. */
static void on_idle(void *user)
{
	struct upload *u = user;

	if (u->busy || u->writing.size) { /* it is our turn, not the client's */
		wakeup_in(u->idle, IDLE_MS);
		return;
	}
	answer(u, 408, "Request Timeout", "nothing has come for 60 seconds: begin anew");
	give_up(u);
}

static void on_written(uv_fs_t *req)
{
	struct upload *u = req->data;
	ssize_t n = req->result;
	struct err err = ERR_INIT;

	uv_fs_req_cleanup(req);
	u->busy = false;
	if (u->orphan) {
		upload_free(u);
		return;
	}
	if (n < 0) {
		err_set(&err, (int)n, "write '%s': %s", u->path, uv_strerror((int)n));
		answer(u, n == -ENOSPC ? 507 : 500, n == -ENOSPC ? "Insufficient Storage" : "Error",
			err.msg);
		give_up(u);
		populate_retry(u->j, &err);
		return;
	}
	u->have_bytes += n;
	buf_drop_front(&u->writing, (size_t)n);
	if (u->stream || u->writing.size)
		populate_progress(u->j, u->have_bytes, u->size_bytes);
	go_on(u);
}

static void finish(struct upload *u)
{
	wakeup_cancel(u->idle);
	write_out_stop(TAKE_PTR(u->out));
	u->handed = true;
	close(u->fd);
	u->fd = -1;
	populate_file(u->j, u->path, true);
}

/* Writes what is there; reads on when little is. */
static void go_on(struct upload *u)
{
	uv_buf_t b;

	if (u->busy || u->fd < 0)
		return;
	if (!u->writing.size) {
		struct buf empty = u->writing;

		u->writing = u->piece;
		u->piece = empty;
	}
	if (u->writing.size) {
		b = uv_buf_init(u->writing.data, (unsigned)u->writing.size);
		u->busy = true;
		u->write.data = u;
		uv_fs_write(u->j->node->loop, &u->write, u->fd, &b, 1, u->have_bytes, on_written);
	} else if (u->have_bytes == u->size_bytes) {
		finish(u);
		return;
	} else if (u->eof) {
		give_up(u);
		return;
	}
	if (u->stream && !u->eof && u->piece.size < PIECE_BYTES)
		stream_read_start(u->stream);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct upload *u = user;
	int64_t left =
		u->size_bytes - u->have_bytes - (int64_t)u->piece.size - (int64_t)u->writing.size;

	if (left < 0)
		left = 0;
	if (!u->handed)
		wakeup_in(u->idle, IDLE_MS);
	/* What comes behind is no part of the file. */
	buf_add(&u->piece, data, MIN(size, (size_t)left));
	if (u->piece.size >= PIECE_BYTES)
		stream_read_stop(u->stream);
	go_on(u);
}

static void on_eof(void *user)
{
	struct upload *u = user;

	u->eof = true;
	if (!u->handed)
		go_on(u);
}

static void on_error(void *user, int code, const char *text)
{
	struct upload *u = user;

	if (u->stream)
		stream_close(TAKE_PTR(u->stream));
	u->eof = true;
	if (!u->handed)
		go_on(u);
}

static int make_file(struct upload *u)
{
	(void)unlink(u->path);
	u->fd = open(u->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (u->fd < 0)
		return -errno;
	write_out_stop(u->out);
	u->out = write_out_start(u->j->node, u->path);
	return 0;
}

/* Who does not wait for the disk still hears that the file is no good. */
static void accepted(struct populate_job *j)
{
	struct upload *u = j->user;

	if (u && !u->waits)
		answer(u, 200, "OK", "");
}

static void refuse(struct http_request *req, const char *why)
{
	_cleanup_(free_p) char *text = xasprintf(
		"no upload is waited for%s%s\n", why ? ": the last one: " : "", why ? why : "");

	http_respond(req, 404, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

void source_upload_serve(struct populate_job *j, struct http_request *req, const char *why)
{
	static const struct stream_handler handler = {
		.read = on_read, .eof = on_eof, .error = on_error};
	struct upload *u = j ? j->user : NULL;
	const char *protocol, *size = http_query_get(req, "size", 0);
	int64_t bytes;

	if (!u || u->stream || u->busy || u->handed) {
		refuse(req, why);
		return;
	}
	if (!size || parse_i64(str_from(size), &bytes) < 0 || bytes <= 0 ||
		!http_wants_upgrade(req, &protocol) || !streq(protocol, "hanok-upload")) {
		static const char text[] = "want size and Upgrade: hanok-upload\n";

		http_respond(req, 400, "text/plain; charset=utf-8", NULL, text, strlen(text));
		return;
	}
	if (bytes > populate_file_max(j)) {
		_cleanup_(free_p) char *text =
			xasprintf("%lld bytes are too many for a disk of %lld bytes: a larger PVC "
				  "is required\n",
				(long long)bytes, (long long)j->size_bytes);

		http_respond(req, 413, "text/plain; charset=utf-8", NULL, text, strlen(text));
		return;
	}
	if (make_file(u) < 0) {
		_cleanup_(free_p) char *text =
			xasprintf("make '%s': %s\n", u->path, strerror(errno));

		http_respond(req, 500, "text/plain; charset=utf-8", NULL, text, strlen(text));
		return;
	}
	u->size_bytes = bytes;
	u->have_bytes = 0;
	u->eof = false;
	u->waits = streq(http_query_get(req, "wait", 0), "true");
	u->stream = http_upgrade(req, "hanok-upload", NULL);
	if (!u->stream) {
		give_up(u);
		return;
	}
	stream_set_handler(u->stream, &handler, u);
	stream_read_start(u->stream);
	wakeup_in(u->idle, IDLE_MS);
}

static void start(struct populate_job *j)
{
	struct upload *u = xcalloc(1, sizeof(*u));

	u->j = j;
	u->fd = -1;
	u->path = xasprintf("%s/.new-%s.upload", j->directory, j->uid);
	u->idle = wakeup_create(j->node->loop, j->node->clock, on_idle, u);
	j->user = u;
}

static void over(struct populate_job *j, const struct err *err)
{
	struct upload *u = j->user;

	if (!u)
		return;
	if (!err)
		answer(u, 200, "OK", "");
	else
		answer(u, err->code == -EINVAL || err->code == -EFBIG ? 400 : 500,
			err->code == -EINVAL || err->code == -EFBIG ? "Bad Request"
								    : "Internal Server Error",
			err->msg);
}

static void stop(struct populate_job *j)
{
	struct upload *u = j->user;

	if (!u)
		return;
	if (u->stream)
		stream_close(TAKE_PTR(u->stream));
	wakeup_destroy(TAKE_PTR(u->idle));
	write_out_stop(TAKE_PTR(u->out));
	if (u->busy)
		u->orphan = true;
	else
		upload_free(u);
}

const struct populate_source source_upload = {
	.field = "upload",
	.scheduled = "UploadScheduled",
	.running = "UploadReady",
	.word = "Upload",
	.start = start,
	.stop = stop,
	.accepted = accepted,
	.over = over,
};
