/* http_parser.h - HTTP/1.x messages from bytes (RFC 9112), strictly and without any I/O.
 *
 * The parser is fed pieces of any size and tells one event at a time; how the bytes were cut never
 * changes the events. Refused, with a status to answer: bare LF, folded lines, spaces around header
 * names, control characters, duplicate or malformed Content-Length, Content-Length together with
 * Transfer-Encoding, any coding but a single "chunked", chunked in HTTP/1.0, no or several Host
 * headers, anything above the limits.
 *
 *     size_t used = http_parser_feed(p, data, size, &event, &piece);
 *
 * consumes `used` bytes. HTTP_NEED_MORE: all was consumed. HTTP_HEAD: the fields below are filled.
 * HTTP_BODY: `piece` is the next part of the body, inside `data`. HTTP_END: the message is
 * complete; the rest of `data` belongs to the next one (init again). HTTP_BAD: `status` and
 * `reason` say why; nothing more is consumed. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

#define HTTP_HEADER_MAX_BYTES (64u << 10)
#define HTTP_HEADER_MAX_COUNT 128

struct http_header {
	const char *name;  /* as sent; compare with http_header_get (case-insensitive) */
	const char *value; /* trimmed */
};

enum http_event { HTTP_NEED_MORE, HTTP_HEAD, HTTP_BODY, HTTP_END, HTTP_BAD };

struct http_parser {
	/* Valid from HTTP_HEAD on; strings are in the arena. */
	const char *method, *target; /* requests */
	int status;		     /* responses; with HTTP_BAD: what to answer (400, 413 ...) */
	const char *reason;	     /* with HTTP_BAD: a static text */
	struct http_header *headers;
	size_t header_count;
	uint64_t content_length; /* when has_length */
	const char *upgrade;	 /* value of Upgrade if Connection names it, else NULL */
	bool has_length, chunked;
	bool http10;	      /* HTTP/1.0, else 1.1 */
	bool keep_alive;      /* another message may follow on the connection */
	bool expect_continue; /* the client waits for "100 Continue" */

	/* Set before feeding a response: it answers HEAD and so has no body. */
	bool answers_head;

	/* The parser's own. */
	struct arena *arena;
	struct buf head;     /* an incomplete head, or trailer line */
	uint64_t left;	     /* bytes of the body or chunk to come */
	size_t line_size;    /* of the head's present line, without what is to come */
	size_t section_size; /* bytes of the present head, chunk line or trailer section */
	size_t line_count;   /* of the head */
	uint8_t state;
	bool response, last_was_cr, digit_seen;
};

/* The arena gets the head's strings and must outlive their use. Zeroed memory before the first
 * init; later ones keep the buffer. */
void http_parser_init(struct http_parser *p, bool response, struct arena *a);
void http_parser_finish(struct http_parser *p);
size_t http_parser_feed(struct http_parser *p, const char *data, size_t size,
	enum http_event *ret_event, struct str *ret_piece);
/* The peer's direction has ended: HTTP_END when that completes the message (a response whose body
 * lasts until the end of the connection), HTTP_NEED_MORE when nothing had begun, else HTTP_BAD. */
enum http_event http_parser_eof(struct http_parser *p);

bool http_target_valid(const char *target); /* only bytes that a request target may have */
const char *http_headers_get(
	const struct http_header *headers, size_t count, const char *name); /* first, or NULL */
/* Is `token` an element of the comma-separated list? Case-insensitive; list may be NULL. */
bool http_list_has(const char *list, const char *token);
const char *http_reason(int status); /* "Not Found"; "" when unknown */
