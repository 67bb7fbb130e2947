#include "lib/http/h2_budget.h"

#include <nghttp2/nghttp2.h>

#define TOKENS_MAX 2000
#define TOKENS_PER_S 500
#define TOKENS_PER_ANSWER 6
/* Clients update the windows of stream and connection every 4 KiB or less often. */
#define SENT_BYTES_PER_TOKEN 1024
#define SMALL_DATA_BYTES 32
/* A header list of 64 KiB fits in 4 frames. (nghttp2 before 1.61 has no such limit of its own.) */
#define CONTINUATIONS_MAX 8
/* Past the limit of a header list (64 KiB) decoding goes on only to keep the tables in step. */
#define HEADER_BYTES_MAX ((size_t)256 << 10)

void h2_budget_init(struct h2_budget *b, uint64_t now_ms)
{
	*b = (struct h2_budget){.tokens = TOKENS_MAX, .filled_ms = now_ms};
}

static void earn(struct h2_budget *b, int64_t tokens)
{
	b->tokens = MIN(b->tokens + tokens, TOKENS_MAX);
}

static int64_t cost_of(uint8_t type, uint8_t flags, size_t size)
{
	switch (type) {
	case NGHTTP2_DATA:
		return size < SMALL_DATA_BYTES && !(flags & NGHTTP2_FLAG_END_STREAM) ? 2 : 0;
	case NGHTTP2_RST_STREAM:
		return 4;
	case NGHTTP2_SETTINGS:
		return flags & NGHTTP2_FLAG_ACK ? 1 : 10;
	case NGHTTP2_PING:
	case NGHTTP2_CONTINUATION:
		return 2;
	default:
		return 1;
	}
}

bool h2_budget_frame(struct h2_budget *b, uint64_t now_ms, uint8_t type, uint8_t flags, size_t size)
{
	uint64_t due = (now_ms - b->filled_ms) * TOKENS_PER_S / 1000;
	if (due) {
		earn(b, (int64_t)MIN(due, (uint64_t)TOKENS_MAX));
		b->filled_ms = now_ms;
	}
	if (type == NGHTTP2_CONTINUATION) {
		if (++b->continuations > CONTINUATIONS_MAX)
			return false;
	} else {
		b->continuations = 0;
		b->header_bytes = 0;
	}
	b->tokens -= cost_of(type, flags, size);
	return b->tokens >= 0;
}

bool h2_budget_header(struct h2_budget *b, size_t size)
{
	b->header_bytes += size;
	return b->header_bytes <= HEADER_BYTES_MAX;
}

void h2_budget_answered(struct h2_budget *b)
{
	earn(b, TOKENS_PER_ANSWER);
}

void h2_budget_sent(struct h2_budget *b, size_t bytes)
{
	earn(b, (int64_t)(bytes / SENT_BYTES_PER_TOKEN));
}
