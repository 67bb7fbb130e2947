/* http_proxy.h - passes a request on to another server and its answer back, as RFC 9110 7.6 asks:
 * headers that speak of one connection stay on it, upgraded connections are joined, redirects go
 * back to the client. */
#pragma once

#include "lib/http/http_client.h"

struct http_proxy_options {
	uv_loop_t *loop;
	const char *address;  /* "tcp://10.244.0.7:8080" */
	SSL_CTX *tls;	      /* NULL = plain */
	const char *tls_name; /* NULL = as the context has it */
	const char *host;     /* Host header; NULL = from the address */
	const char *target;   /* path and query there */
	/* What stands before the target in the client's view: redirects to paths of that server get
	 * it. NULL = they are left alone. */
	const char *prefix;
	unsigned timeout_ms; /* until the answer's header; 0 = as long as the client waits */
	const char *extra;   /* header lines for the answer; NULL = none */
	/* Nothing came back; not called when the client has gone. The request is to be answered. */
	void (*failed)(struct http_request *req, const struct err *err, void *user);
	void *user;
};

/* Takes the request over until it is answered. Strings are copied. */
void http_proxy(struct http_request *req, const struct http_proxy_options *options);
