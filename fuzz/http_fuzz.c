/* Requests and answers as a peer could send them: however the bytes are cut, the parser tells the
 * same, and what it passes on is what RFC 9110 allows.
 *
 * Input: a byte of flags, a byte that decides the cuts, then the messages. */
#include "lib/http/http_parser.h"

#include <inttypes.h>

enum { FLAG_RESPONSE = 1, FLAG_HEAD = 2, FLAG_EOF = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' && *s != '\t')
			abort();
}

static void note_head(const struct http_parser *p, struct buf *out)
{
	buf_printf(out, "%s %s %d %s ", p->response ? "" : p->method, p->response ? "" : p->target,
		p->response ? p->status : 0, p->upgrade ? p->upgrade : "-");
	buf_printf(out, "%d%d%d%d%d %" PRIu64 " ", p->has_length, p->chunked, p->http10,
		p->keep_alive, p->expect_continue, p->content_length);
	if (p->header_count > HTTP_HEADER_MAX_COUNT || (p->chunked && p->has_length))
		abort();
	for (size_t i = 0; i < p->header_count; i++) {
		check_text(p->headers[i].name);
		check_text(p->headers[i].value);
		buf_printf(out, "%s=%s;", p->headers[i].name, p->headers[i].value);
	}
}

/* All events as text; pieces of `step` bytes, growing. */
static void transcript(uint8_t flags, const char *in, size_t size, size_t step, struct buf *out)
{
	struct arena a = ARENA_INIT;
	struct http_parser p = {0};
	bool response = flags & FLAG_RESPONSE;
	size_t at = 0, body_bytes = 0;

	http_parser_init(&p, response, &a);
	p.answers_head = flags & FLAG_HEAD;
	for (;;) {
		enum http_event event;
		struct str piece;
		size_t n = MIN(step, size - at);
		/* A copy of its own, so that reading past the piece is noticed. */
		char *copy = xmalloc(MAX(n, 1u));

		memcpy(copy, in + at, n);
		size_t used = http_parser_feed(&p, copy, n, &event, &piece);
		if (used > n || (event == HTTP_NEED_MORE && used != n))
			abort();
		at += used;
		if (event == HTTP_BODY) {
			if (piece.size == 0 || piece.p < copy || piece.p + piece.size > copy + n)
				abort();
			body_bytes += piece.size;
			buf_add(out, piece.p, piece.size);
		}
		free(copy);
		if (event == HTTP_NEED_MORE && at == size) {
			event = flags & FLAG_EOF ? http_parser_eof(&p) : HTTP_NEED_MORE;
			buf_printf(out, "<last %d>", event);
			break;
		}
		if (event == HTTP_BAD) {
			if (p.status < 400 || p.status > 599 || !*http_reason(p.status))
				abort();
			buf_printf(out, "<bad %d %s>", p.status, p.reason);
			break;
		}
		if (event == HTTP_HEAD)
			note_head(&p, out);
		if (event == HTTP_END) {
			if (p.has_length && body_bytes && body_bytes != p.content_length)
				abort();
			buf_printf(out, "<end at %zu>", at);
			if (at == size || !p.keep_alive)
				break;
			body_bytes = 0;
			http_parser_init(&p, response, &a);
			p.answers_head = flags & FLAG_HEAD;
		}
		if (step > 1 && step < 4096)
			step = step * 2 - 1;
	}
	http_parser_finish(&p);
	arena_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT, bytes = BUF_INIT;

	if (size < 2)
		return 0;
	const char *in = (const char *)data + 2;
	transcript(data[0], in, size - 2, SIZE_MAX, &whole);
	transcript(data[0], in, size - 2, (size_t)data[1] % 64 + 2, &cut);
	transcript(data[0], in, size - 2, 1, &bytes);
	if (whole.size != cut.size || whole.size != bytes.size ||
		(whole.size && (memcmp(whole.data, cut.data, whole.size) != 0 ||
				       memcmp(whole.data, bytes.data, whole.size) != 0)))
		abort();
	buf_finish(&whole);
	buf_finish(&cut);
	buf_finish(&bytes);
	return 0;
}
