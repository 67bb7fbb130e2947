/* inflight.h - how many requests may be under way at the same time, so that what is asked at once
 * stays within what can be held at once. As upstream has it:
 *
 *	reading		get, list and all else that changes nothing
 *	writing		the rest
 *	not counted	what lasts by its nature (watches, logs, exec, attach, port forwarding,
 *			proxies, backups), health checks, system:masters, and this process itself
 *
 * A request is under way until its answer was given to the connection as a whole, or the client
 * has gone and its work is over. */
#pragma once

#include "lib/base/util.h"

struct api_request;

struct inflight {
	unsigned reading, writing;	   /* now */
	unsigned reading_max, writing_max; /* 0 = no limit */
};

/* Does it last by its nature? It has its route. */
bool request_lasts(const struct api_request *req);

/* Counts a request, which has its user and route, until its end. False: there are too many, and
 * it was answered so (429). */
bool inflight_enter(struct api_request *req) _must_check_;
