/* http_client.h - HTTP/1.1 client on libuv, with a small keep-alive pool per endpoint.
 *
 * An endpoint is where requests go: address, TLS, host name. Answers come whole (`done`) or, when
 * `data` is set, in pieces as they arrive (watches, logs). */
#pragma once

#include "lib/base/arena.h"
#include "lib/http/stream.h"
#include "lib/http/http.h"

struct http_endpoint;
struct http_endpoint_options {
	uv_loop_t *loop;
	const char *address;  /* "tcp://127.0.0.1:6443" or "unix:///path" */
	SSL_CTX *tls;	      /* NULL = plain; a reference is taken */
	const char *tls_name; /* name to verify in the certificate; NULL = chain only */
	const char *host;     /* Host header; NULL = from the address */
	unsigned max_idle;    /* idle connections kept; 0 = 8 */
};
struct http_endpoint *http_endpoint_create(const struct http_endpoint_options *options);
/* Requests in flight end with -ECANCELED, in the next turn of the loop. */
const char *http_endpoint_host(const struct http_endpoint *e); /* the Host header */
void http_endpoint_destroy(struct http_endpoint *e);

struct http_response {
	int status;
	struct http_header *headers;
	size_t header_count;
	const char *body; /* whole body, NUL-terminated; "" when `data` was set */
	size_t body_size;
	struct arena *arena; /* all of the above; freed after the callback */
};

#define HTTP_NO_TIMEOUT UINT_MAX

struct http_call_options {
	/* Refused (-EINVAL) when they could be taken for more than they are: a target with blanks
	 * or line ends, headers that are no whole lines. What comes from outside is checked before
	 * it is put into a header's value: there a line end would begin another header. */
	const char *method, *target;
	const char *headers; /* "Name: value\r\n...", NULL = none */
	const void *body;    /* copied */
	size_t body_size;
	/* For the header (and the whole body when data is NULL); 0 = 30 s. HTTP_NO_TIMEOUT: only
	 * the connection must be there in time. */
	unsigned timeout_ms;
	size_t body_max_bytes; /* whole bodies only; 0 = 64 MiB, -EMSGSIZE above */
	/* Header is in (may be NULL). */
	void (*begin)(void *user, const struct http_response *r);
	/* A piece of the body (NULL: collected into response.body). */
	void (*data)(void *user, const char *p, size_t size);
	/* Ended. On failure r is NULL and err says what; -ECANCELED only comes of destroying the
	 * endpoint (http_call_cancel is silent). */
	void (*done)(void *user, const struct http_response *r, const struct err *err);
	/* For Upgrade requests: set to get the stream on a 101 answer (done is then not called);
	 * any other answer ends with done. Bytes behind the header come by the stream's first read.
	 */
	void (*upgraded)(void *user, struct stream *s, const struct http_response *r);
	void *user;
};
struct http_call;
struct http_call *http_call(struct http_endpoint *e, const struct http_call_options *options);
void http_call_cancel(struct http_call *c); /* no callback after this; c is gone */
/* Back-pressure on `data`. `done` may still come when there is nothing more to give. */
void http_call_pause(struct http_call *c);
void http_call_resume(struct http_call *c);
const char *http_response_header(const struct http_response *r, const char *name);
