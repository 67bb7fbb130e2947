#include "lib/http/stream_impl.h"

/* Two streams copying into each other. Each side is a half; the join ends when both peers have
 * ended and all is written, or when one of them breaks. */
struct join;
struct join_half {
	struct join *join;
	struct stream *stream; /* NULL when closed */
	struct join_half *other;
	bool eof;     /* its peer has ended; the other side was told to shut down */
	bool flushed; /* all that the other half sent has been written, and the end too */
};

struct join {
	struct join_half half[2];
	void (*done)(void *user);
	void *user;
};

static void join_close(struct join *j)
{
	for (int i = 0; i < 2; i++)
		stream_close(j->half[i].stream);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct join_half *h = user;
	struct stream *to = h->other->stream;
	if (!to)
		return;
	stream_write(to, data, size);
	if (stream_queued(to) > STREAM_HIGH_BYTES)
		stream_read_stop(h->stream);
}

static void on_drained(void *user)
{
	struct join_half *h = user;
	if (h->other->stream)
		stream_read_start(h->other->stream);
}

static void on_eof(void *user)
{
	struct join_half *h = user;
	h->eof = true;
	if (h->other->stream)
		stream_shutdown(h->other->stream);
}

static void on_flushed(void *user)
{
	struct join_half *h = user;
	if (!h->other->eof)
		return;
	h->flushed = true;
	if (h->other->flushed)
		join_close(h->join);
}

static void on_error(void *user, int code, const char *text)
{
	struct join_half *h = user;
	join_close(h->join);
}

static void on_closed(void *user)
{
	struct join_half *h = user;
	struct join *j = h->join;
	h->stream = NULL;
	if (h->other->stream)
		return;
	void (*done)(void *) = j->done;
	void *done_user = j->user;
	free(j);
	if (done)
		done(done_user);
}

void stream_join(struct stream *a, struct stream *b, void (*done)(void *user), void *user)
{
	static const struct stream_handler handler = {
		.read = on_read,
		.eof = on_eof,
		.error = on_error,
		.drained = on_drained,
		.flushed = on_flushed,
		.closed = on_closed,
	};
	struct join *j = xcalloc(1, sizeof(*j));
	struct stream *streams[2] = {a, b};
	j->done = done;
	j->user = user;
	for (int i = 0; i < 2; i++) {
		struct join_half *h = &j->half[i];
		h->join = j;
		h->stream = streams[i];
		h->other = &j->half[!i];
		stream_set_handler(h->stream, &handler, h);
	}
	for (int i = 0; i < 2; i++) {
		if (streams[i]->eof) /* told to the handler before */
			on_eof(&j->half[i]);
		stream_read_start(streams[i]);
	}
}
