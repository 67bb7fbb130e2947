/* http_range.h - files as answers: which part of one a client asks for (Range: RFC 9110, 14.2), and
 * streamed answers whose length is known. */
#pragma once

#include <stdint.h>

struct http_request;

enum http_range { HTTP_RANGE_NONE, HTTP_RANGE_PART, HTTP_RANGE_BEYOND };

/* Of a whole of `size` bytes. PART: *ret_count bytes from *ret_from, at least one. NONE: the whole
 * is to be sent, as for what is no range of bytes, or several. BEYOND: 416. text may be NULL. */
enum http_range http_range_parse(
	const char *text, uint64_t size, uint64_t *ret_from, uint64_t *ret_count);

/* http_stream_begin with a Content-Length: as many bytes are written until the end, or the
 * connection is closed there. */
void http_stream_begin_sized(struct http_request *req, int status, const char *content_type,
	const char *extra, uint64_t size);
