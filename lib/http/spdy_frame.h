/* spdy_frame.h - SPDY/3.1 frames from and to bytes, without any I/O. Used by spdy.c and fuzzed.
 *
 * Header blocks of one direction share one zlib stream with the dictionary of SPDY/3, so every one
 * must be decoded, in order, wanted or not; the decoder does. What a block may grow to is bounded:
 * SPDY_HEADER_MAX_BYTES and SPDY_HEADER_MAX_COUNT; a control frame is at most
 * SPDY_CONTROL_MAX_BYTES. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

#include <zlib.h>

#define SPDY_CONTROL_MAX_BYTES (64u << 10)
#define SPDY_HEADER_MAX_BYTES (64u << 10)
#define SPDY_HEADER_MAX_COUNT 128
/* Of every stream and of the session, until told otherwise. */
#define SPDY_WINDOW_BYTES (64 << 10)

enum spdy_type {
	SPDY_DATA = 0,
	SPDY_SYN_STREAM = 1,
	SPDY_SYN_REPLY = 2,
	SPDY_RST_STREAM = 3,
	SPDY_SETTINGS = 4,
	SPDY_PING = 6,
	SPDY_GOAWAY = 7,
	SPDY_HEADERS = 8,
	SPDY_WINDOW_UPDATE = 9,
};

/* Of RST_STREAM. */
enum spdy_status {
	SPDY_PROTOCOL_ERROR = 1,
	SPDY_INVALID_STREAM = 2,
	SPDY_REFUSED_STREAM = 3,
	SPDY_CANCEL = 5,
	SPDY_INTERNAL_ERROR = 6,
	SPDY_FLOW_CONTROL_ERROR = 7,
	SPDY_STREAM_IN_USE = 8,
	SPDY_SESSION_GONE = -1, /* ours: the connection ended; never sent */
};

/* Names are lower case. A header with several values comes as several headers. */
struct spdy_header {
	const char *name, *value;
};

struct spdy_frame {
	enum spdy_type type;
	uint32_t id;		     /* stream; of PING: its id; of GOAWAY: the last stream taken */
	uint32_t value;		     /* RST_STREAM, GOAWAY: status; WINDOW_UPDATE: how much more */
	int64_t window;		     /* SETTINGS: initial window of streams, -1 = not told */
	bool fin;		     /* the sender's direction of the stream ends here */
	bool unidirectional;	     /* SYN_STREAM: no answer is wanted */
	struct spdy_header *headers; /* SYN_STREAM, SYN_REPLY, HEADERS; valid until the next feed */
	size_t header_count;
	struct str data; /* DATA: a piece of the frame, `fin` only with its last one */
};

enum spdy_event { SPDY_NEED_MORE, SPDY_FRAME, SPDY_BAD };

struct spdy_decoder {
	z_stream inflate;
	struct arena arena; /* headers of the present frame */
	struct buf block;   /* payload of a control frame while incomplete */
	struct buf text;    /* a header block, decompressed */
	unsigned char head[8];
	size_t head_size; /* bytes of `head` that are in */
	size_t left;	  /* bytes of the present data frame to come */
	bool in_data;
	const char *reason; /* with SPDY_BAD: a static text */
};

void spdy_decoder_init(struct spdy_decoder *d);
void spdy_decoder_finish(struct spdy_decoder *d);
/* Consumes some of the bytes and gives at most one frame, or piece of one; as http_parser_feed.
 * Frames of unknown type are skipped. */
size_t spdy_decoder_feed(struct spdy_decoder *d, const char *data, size_t size,
	enum spdy_event *ret_event, struct spdy_frame *ret);

struct spdy_encoder {
	z_stream deflate;
};

void spdy_encoder_init(struct spdy_encoder *e);
void spdy_encoder_finish(struct spdy_encoder *e);
/* Each appends one frame. `type` is SYN_STREAM, SYN_REPLY or HEADERS; names are written in lower
 * case, neighbours with the same name become one with several values. */
void spdy_encode_headers(struct spdy_encoder *e, struct buf *to, enum spdy_type type, uint32_t id,
	bool fin, const struct spdy_header *headers, size_t count);
void spdy_encode_data_head(struct buf *to, uint32_t id, bool fin, size_t size); /* size < 16 MiB */
/* RST_STREAM, GOAWAY and WINDOW_UPDATE have two numbers, PING one (value is ignored). */
void spdy_encode_control(struct buf *to, enum spdy_type type, uint32_t id, uint32_t value);
