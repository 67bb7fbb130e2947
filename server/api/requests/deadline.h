/* deadline.h - requests end: what was not answered within its time is answered with 504, so that a
 * store or a wait that hangs holds no client. Work that has begun goes on, and a write that is with
 * the store may still take effect; its own answer goes nowhere.
 *
 * The time is the server's (options.request_timeout_ms), or less by ?timeout=. What lasts by its
 * nature (api_lasts) has none. A request costs nothing but when it is not answered at once. */
#pragma once

#include "lib/base/util.h"

struct api;
struct api_request;
struct deadlines;

struct deadlines *deadlines_create(struct api *api);
/* No request ends by itself any more. NULL allowed. */
void deadlines_close(struct deadlines *d);

/* The time from ?timeout=, into req. Negative with req->st filled when it is none. */
int deadline_read(struct api_request *req) _must_check_;
/* From now on, for a request that was not answered at once. */
void deadline_start(struct api_request *req);
void deadline_stop(struct api_request *req); /* it is being answered */
