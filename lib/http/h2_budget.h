/* h2_budget.h - what a client of HTTP/2 may ask of us for nothing (RFC 9113 10.5): pings, settings,
 * resets, empty frames, window updates that follow no data. One bucket a connection, filled by time
 * and by work that was worth it; a client that empties it is told ENHANCE_YOUR_CALM. */
#pragma once

#include "lib/base/util.h"

struct h2_budget {
	int64_t tokens;
	uint64_t filled_ms;
	size_t header_bytes;	/* of the present header block, as decoded */
	unsigned continuations; /* of the present header block */
};

void h2_budget_init(struct h2_budget *b, uint64_t now_ms);
/* A frame's header came in. False when the client has gone too far. */
bool h2_budget_frame(struct h2_budget *b, uint64_t now_ms, uint8_t type, uint8_t flags,
	size_t size) _must_check_;
/* A header was decoded; false for a block that only grows by decoding. */
bool h2_budget_header(struct h2_budget *b, size_t size) _must_check_;
void h2_budget_answered(struct h2_budget *b);		/* an answer went out in full */
void h2_budget_sent(struct h2_budget *b, size_t bytes); /* which the client will acknowledge */
