/* http_headers.h - what the headers that curl wrote say of a file. */
#pragma once

#include "lib/base/arena.h"

struct http_headers {
	int code;	       /* of the last answer; 0 = there is none yet */
	int64_t length;	       /* Content-Length; -1 = not said */
	int64_t total;	       /* of the whole file; 0 = not known */
	const char *validator; /* for If-Range: a strong ETag, else Last-Modified; NULL = none */
};
/* Of several answers (redirects) the last one counts. */
void http_headers_read(struct arena *a, const char *text, struct http_headers *ret);
/* The same of a file. No file there, or something else than one, is as if nothing had come. */
void http_headers_load(struct arena *a, const char *path, struct http_headers *ret);
