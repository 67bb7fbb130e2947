/* http_large.c - answers that are too large to be queued whole: lists of thousands of objects. They
 * are held as references to the objects' bytes and written as fast as the client takes them, so
 * that a client that does not costs little; on request compressed on the way, a slice at a time on
 * the thread pool. */
#include <zlib.h>

#include "lib/http/h2_impl.h"

/* Texts up to this size are kept in one row, larger ones get a blob. */
#define TEXT_MAX 64u
#define SLICE_FIRST_BYTES (16u << 10) /* so that the answer begins soon */
#define SLICE_BYTES (256u << 10)
#define SLICE_PARTS 1024
#define GZIP_LEVEL 1
#define GZIP_WINDOW (15 + 16) /* zlib: the largest window, gzip framing */
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
	char *texts;	/* of the parts that are texts */
	size_t text_at; /* of the part `at` */
	bool cancelled;

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
	free(l->parts);
	free(l->texts);
	free(l);
}

void http_large_finish(struct http_large *l)
{
	if (!l)
		return;
	l->cancelled = true;
	if (!l->working)
		large_free(l);
}

static struct http_large *large_new(
	struct http_exchange *x, const struct http_part *parts, size_t count)
{
	struct http_large *l = xcalloc(1, sizeof(*l));
	size_t text_size = 0;
	l->x = x;
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
	return l;
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

/* On a thread of the pool. */
static void compress_slice(uv_work_t *work)
{
	struct http_large *l = CONTAINER_OF(work, struct http_large, work);
	for (size_t i = 0; i <= l->slice_count; i++) {
		bool last = i == l->slice_count;
		if (last && l->at < l->count)
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
	if (!l->begun && l->at < l->count) {
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
	l->begun = true;
	http_stream_write(&x->req, l->out.data, l->out.size);
	buf_clear(&l->out);
	if (l->at == l->count)
		http_stream_end(&x->req);
	else if (http_stream_queued(&x->req) <= STREAM_HIGH_BYTES)
		large_pump_gzip(l);
}

static void large_pump_gzip(struct http_large *l)
{
	size_t size = 0, limit = l->begun ? SLICE_BYTES : SLICE_FIRST_BYTES;
	l->slice_count = 0;
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
	if (!l->gzip)
		large_pump_plain(l);
	else if (!l->working)
		large_pump_gzip(l);
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

void http_respond_large(struct http_request *req, int status, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count, bool gzip)
{
	struct http_exchange *x = exchange_of(req);
	if (http_answer_unwanted(x)) { /* nothing would hold back what is compressed for nobody */
		http_answer_done(x);
		return;
	}
	struct http_large *l = x->large = large_new(x, parts, count);
	size_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += parts[i].blob ? parts[i].blob->size : parts[i].text_size;
	req->cancelled = on_cancelled;
	x->drained = on_drained;
	if (gzip && !x->parser.http10 && compressors < COMPRESSORS_MAX &&
		deflateInit2(&l->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) ==
			Z_OK) {
		compressors++;
		l->gzip = true;
		l->slice = xcalloc(SLICE_PARTS, sizeof(*l->slice));
		http_stream_begin(req, status, content_type,
			arena_printf(
				&req->arena, "%sContent-Encoding: gzip\r\n", extra ? extra : ""));
		large_pump_gzip(l);
	} else if (http_answer_begin(x, status, content_type, extra, size)) {
		x->answer = ANSWER_STREAMING;
		large_pump_plain(l);
	} else {
		http_answer_done(x);
	}
}
