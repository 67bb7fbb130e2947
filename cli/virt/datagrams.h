/* datagrams.h - a local UDP port: the datagrams of each sender go through a stream of its own, a
 * message each, and what comes back goes to that sender. A stream that nothing passed through for
 * two minutes ends, as do the oldest when there are too many. */
#pragma once

#include <uv.h>

#include "lib/http/http_client.h"

struct datagrams;
struct datagrams_options {
	uv_loop_t *loop;
	struct http_endpoint *endpoint; /* outlives it */
	const char *path;		/* of the stream */
	const char *auth;		/* header lines; outlives it */
	const struct sockaddr *address; /* to listen on, with the port; 0 = any free one */
};
/* The port in *ret_local. */
int datagrams_open(const struct datagrams_options *o, unsigned *ret_local, struct datagrams **ret,
	struct err *err) _must_check_;
/* Frees it in later turns of the loop, once its streams have ended (streams_break). NULL allowed */
void datagrams_close(struct datagrams *d);
