/* http_large.c - answers that are too large to be queued whole: lists of thousands of objects. They
 * are held as references to the objects' bytes, or as a source that makes them piece by piece, and
 * written as fast as the client takes them, so that a client that does not costs little; on request
 * compressed on the way, a slice at a time on the thread pool. */
#include <zlib.h>

#include "lib/http/h2_impl.h"

/* Texts up to this size are kept in one row, larger ones get a blob. */
#define TEXT_MAX 64u
#define SLICE_FIRST_BYTES (16u << 10) /* so that the answer begins soon */
#define SLICE_BYTES (256u << 10)
#define SLICE_PARTS 1024
#define GZIP_LEVEL 1
#define GZIP_WINDOW (15 + 16)	    /* zlib: the largest window, gzip framing */
#define MAKING_NS UINT64_C(4000000) /* of one turn of the loop */
/* Compressors at work, 256 KiB each; answers beyond go out as they are. */
#define COMPRESSORS_MAX 64

struct large_part {
	struct blob *blob; /* NULL = the next text_size bytes of `texts` */
	uint32_t text_size;
};

struct http_large {
	struct http_exchange *x;
	struct large_part *parts;
	size_t count, at;
	char *texts;	      /* of the parts that are texts */
	size_t text_at;	      /* of the part `at` */
	size_t waiting_bytes; /* counted in the server's */
	bool cancelled;

	/* Instead of parts. */
	struct http_source source; /* next NULL = none, or no more */
	struct buf piece;
	bool made;	    /* all of it */
	struct list making; /* in server->making */

	/* Compressed answers only. */
	bool gzip, working, begun;
	uv_work_t work;
	z_stream z;
	struct iovec *slice; /* SLICE_PARTS of them */
	size_t slice_count;
	struct buf out; /* what became of the slice */
};

static unsigned compressors; /* only of one thread: answers are given on the loop */

static void large_free(struct http_large *l)
{
	for (size_t i = 0; i < l->count; i++)
		blob_unref(l->parts[i].blob);
	if (l->gzip) {
		deflateEnd(&l->z);
		compressors--;
		buf_finish(&l->out);
		free(l->slice);
	}
	buf_finish(&l->piece);
	free(l->parts);
	free(l->texts);
	free(l);
}

void http_large_finish(struct http_large *l)
{
	if (!l)
		return;
	l->x->conn->server->waiting_bytes -= l->waiting_bytes;
	if (l->source.finish)
		l->source.finish(l->source.user);
	list_remove(&l->making);
	l->cancelled = true;
	if (!l->working)
		large_free(l);
}

static struct http_large *large_new(struct http_exchange *x, size_t waiting_bytes)
{
	struct http_large *l = x->large = xcalloc(1, sizeof(*l));
	l->x = x;
	l->waiting_bytes = waiting_bytes;
	x->conn->server->waiting_bytes += waiting_bytes;
	list_init(&l->making);
	return l;
}

static void large_take_parts(struct http_large *l, const struct http_part *parts, size_t count)
{
	size_t text_size = 0;
	l->parts = xcalloc(count, sizeof(*l->parts));
	for (size_t i = 0; i < count; i++)
		if (!parts[i].blob && parts[i].text_size <= TEXT_MAX)
			text_size += parts[i].text_size;
	l->texts = xmalloc(text_size + 1);
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		const struct http_part *p = &parts[i];
		struct large_part *to = &l->parts[l->count++];
		if (p->blob) {
			to->blob = blob_ref(p->blob);
		} else if (p->text_size > TEXT_MAX) {
			to->blob = blob_new(p->text, p->text_size);
		} else {
			memcpy(l->texts + at, p->text, p->text_size);
			at += p->text_size;
			to->text_size = (uint32_t)p->text_size;
		}
	}
}

/* Takes the next part. */
static struct iovec large_next(struct http_large *l)
{
	const struct large_part *p = &l->parts[l->at++];
	struct iovec v = {p->blob ? p->blob->data : l->texts + l->text_at,
		p->blob ? p->blob->size : p->text_size};
	l->text_at += p->text_size;
	return v;
}

static void large_pump_plain(struct http_large *l)
{
	struct http_exchange *x = l->x;
	while (l->at < l->count && http_stream_queued(&x->req) <= STREAM_HIGH_BYTES) {
		struct blob *b = l->parts[l->at].blob;
		struct iovec v = large_next(l);
		if (b)
			http_answer_write_blob(x, b);
		else
			http_answer_write(x, v.iov_base, v.iov_len);
		if (b) {
			l->parts[l->at - 1].blob = NULL;
			blob_unref(b);
		}
	}
	if (l->at == l->count)
		http_answer_done(x);
}

/* The next piece is made when others have had their turn. */
static void large_make_later(struct http_large *l)
{
	struct http_server *s = l->x->conn->server;
	if (list_empty(&l->making))
		list_append(&s->making, &l->making);
	http_server_run_ready(s);
}

static void large_make_piece(struct http_large *l)
{
	buf_clear(&l->piece);
	l->made = !l->source.next(l->source.user, &l->piece);
}

static void large_pump_source(struct http_large *l)
{
	struct http_request *req = &l->x->req;
	if (!l->piece.size)
		large_make_piece(l);
	http_stream_write(req, l->piece.data, l->piece.size);
	buf_clear(&l->piece);
	if (l->made)
		http_stream_end(req);
	else if (http_stream_queued(req) <= STREAM_HIGH_BYTES)
		large_make_later(l);
}

/* Is there nothing more to compress? */
static bool large_at_end(const struct http_large *l)
{
	return l->source.next ? l->made : l->at == l->count;
}

/* On a thread of the pool. */
static void compress_slice(uv_work_t *work)
{
	struct http_large *l = CONTAINER_OF(work, struct http_large, work);
	for (size_t i = 0; i <= l->slice_count; i++) {
		bool last = i == l->slice_count;
		if (last && !large_at_end(l))
			break;
		l->z.next_in = last ? NULL : l->slice[i].iov_base;
		l->z.avail_in = last ? 0 : (uInt)l->slice[i].iov_len;
		do {
			buf_reserve(&l->out, 16384);
			l->z.next_out = (Bytef *)l->out.data + l->out.size;
			l->z.avail_out = 16384;
			(void)deflate(&l->z, last ? Z_FINISH : Z_NO_FLUSH);
			l->out.size += 16384 - l->z.avail_out;
		} while (l->z.avail_out == 0);
	}
	/* What was compressed is of no use to the client while it waits in the compressor. */
	if (!l->begun && !large_at_end(l)) {
		l->z.avail_in = 0;
		buf_reserve(&l->out, 16384);
		l->z.next_out = (Bytef *)l->out.data + l->out.size;
		l->z.avail_out = 16384;
		(void)deflate(&l->z, Z_SYNC_FLUSH);
		l->out.size += 16384 - l->z.avail_out;
	}
}

static void large_pump_gzip(struct http_large *l);

static void on_compressed(uv_work_t *work, int status)
{
	struct http_large *l = CONTAINER_OF(work, struct http_large, work);
	struct http_exchange *x = l->x;
	l->working = false;
	if (l->cancelled) {
		large_free(l);
		return;
	}
	if (x->answer == ANSWER_DONE) /* given up */
		return;
	l->begun = true;
	http_stream_write(&x->req, l->out.data, l->out.size);
	buf_clear(&l->out);
	if (large_at_end(l))
		http_stream_end(&x->req);
	else if (http_stream_queued(&x->req) <= STREAM_HIGH_BYTES)
		large_pump_gzip(l);
}

static void large_pump_gzip(struct http_large *l)
{
	size_t size = 0, limit = l->begun ? SLICE_BYTES : SLICE_FIRST_BYTES;
	l->slice_count = 0;
	if (l->source.next) {
		if (!l->piece.size || l->begun)
			large_make_piece(l);
		l->slice[l->slice_count++] = (struct iovec){l->piece.data, l->piece.size};
	}
	while (l->at < l->count && l->slice_count < SLICE_PARTS && size < limit) {
		struct iovec v = large_next(l);
		l->slice[l->slice_count++] = v;
		size += v.iov_len;
	}
	l->working = true;
	if (uv_queue_work(l->x->conn->server->loop, &l->work, compress_slice, on_compressed) < 0)
		abort(); /* it has no other reason than a missing callback */
}

static void on_drained(struct http_request *req)
{
	struct http_large *l = exchange_of(req)->large;
	if (l->source.next && !l->gzip)
		large_make_later(l);
	else if (!l->gzip)
		large_pump_plain(l);
	else if (!l->working)
		large_pump_gzip(l);
}

void http_large_make(struct http_server *s)
{
	uint64_t end_ns = uv_hrtime() + MAKING_NS;
	struct list now;
	list_init(&now);
	while (!list_empty(&s->making)) {
		struct list *l = s->making.next;
		list_remove(l);
		list_append(&now, l);
	}
	while (!list_empty(&now) && uv_hrtime() < end_ns) {
		struct http_large *l = CONTAINER_OF(now.next, struct http_large, making);
		list_remove(&l->making);
		if (l->x->answer == ANSWER_STREAMING)
			large_pump_source(l);
	}
	/* However many there are, others have their turn; then these come first. */
	while (!list_empty(&now)) {
		struct list *l = now.prev;
		list_remove(l);
		list_append(s->making.next, l);
	}
	if (!list_empty(&s->making))
		http_server_run_ready(s);
}

static void on_cancelled(struct http_request *req)
{
	struct http_exchange *x = exchange_of(req);
	/* One that has only ended its direction still reads. */
	if (http_answer_unwanted(x))
		http_answer_done(x);
	else
		x->cancel_told = false;
}

/* Sets up the compressor, if there is room for one more. */
static bool large_compress(struct http_large *l)
{
	if (l->x->parser.http10 || compressors >= COMPRESSORS_MAX ||
		deflateInit2(&l->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) !=
			Z_OK)
		return false;
	compressors++;
	l->gzip = true;
	l->slice = xcalloc(SLICE_PARTS, sizeof(*l->slice));
	return true;
}

static void large_begin_gzip(
	struct http_large *l, int status, const char *content_type, const char *extra)
{
	struct http_request *req = &l->x->req;
	http_stream_begin(req, status, content_type,
		arena_printf(&req->arena, "%sContent-Encoding: gzip\r\n", extra ? extra : ""));
	large_pump_gzip(l);
}

void http_respond_large(struct http_request *req, int status, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count, bool gzip)
{
	struct http_exchange *x = exchange_of(req);
	if (http_answer_unwanted(x)) { /* nothing would hold back what is compressed for nobody */
		http_answer_done(x);
		return;
	}
	size_t size = 0, waiting = count * sizeof(struct large_part) + req->arena.used_bytes;
	for (size_t i = 0; i < count; i++) {
		size += parts[i].blob ? parts[i].blob->size : parts[i].text_size;
		waiting += parts[i].blob ? 0 : parts[i].text_size;
	}
	if (http_answer_refused(x, waiting))
		return;
	struct http_large *l = large_new(x, waiting);
	large_take_parts(l, parts, count);
	req->cancelled = on_cancelled;
	x->drained = on_drained;
	if (gzip && large_compress(l)) {
		large_begin_gzip(l, status, content_type, extra);
	} else if (http_answer_begin(x, status, content_type, extra, size)) {
		x->answer = ANSWER_STREAMING;
		large_pump_plain(l);
	} else {
		http_answer_done(x);
	}
}

void http_respond_source(struct http_request *req, int status, const char *content_type,
	const char *extra, const struct http_source *source, bool gzip)
{
	struct http_exchange *x = exchange_of(req);
	/* What it is made of is pinned for as long as it takes, and a piece of it is in memory. */
	size_t waiting = req->arena.used_bytes + HTTP_WAITING_FREE_BYTES;
	if (http_answer_unwanted(x) || http_answer_refused(x, waiting)) {
		source->finish(source->user);
		http_answer_done(x);
		return;
	}
	struct http_large *l = large_new(x, waiting);
	l->source = *source;
	req->cancelled = on_cancelled;
	x->drained = on_drained;
	large_make_piece(l);
	if (l->made) {
		http_respond(req, status, content_type, extra, l->piece.data, l->piece.size);
	} else if (gzip && large_compress(l)) {
		large_begin_gzip(l, status, content_type, extra);
	} else {
		http_stream_begin(req, status, content_type, extra);
		large_pump_source(l);
	}
}
