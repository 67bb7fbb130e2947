/* websocket.h - RFC 6455 on a stream, framing by wslay. Messages are binary unless said. */
#pragma once

#include "lib/http/http.h"
#include "lib/http/http_client.h"

/* A connection is OPEN until one side asks to close; then messages are neither taken nor sent any
 * more, and `closed` comes when the other side has agreed, at the latest after 5 s. Pings are
 * answered inside. A peer that breaks the protocol, sends text that is not UTF-8 or a message above
 * the limit is sent the matching code (1002, 1007, 1009), which `closed` gets too. */
struct websocket;
struct websocket_handler {
	void (*message)(void *user, bool text, const char *data, size_t size);
	void (*drained)(void *user); /* may be NULL */
	void (*closed)(
		void *user, unsigned code); /* exactly once; 1006 when broken. w is gone after */
};
/* Picks the first of `protocols` (NULL-terminated, in the server's order of preference) that the
 * client offers and answers 101; NULL in *ret_protocol when the client offered none and none is
 * required (protocols NULL). -EPROTO when the request is no valid WebSocket upgrade, -ENOPROTOOPT
 * when no offered protocol is known: the request is then still the caller's to answer. */
int websocket_accept(struct http_request *req, const char *const *protocols,
	const struct websocket_handler *h, void *user, struct websocket **ret,
	const char **ret_protocol, struct err *err) _must_check_;
/* Client side, on a stream whose upgrade was answered with 101 (use websocket_client_headers). */
struct websocket *websocket_client(struct stream *s, const struct websocket_handler *h, void *user);
/* Header lines for http_call_options.headers, with a fresh key. */
char *websocket_client_headers(struct arena *a, const char *protocols);
/* Did the server answer these headers, and with a protocol out of them if any were offered? */
bool websocket_client_accepted(const char *headers, const struct http_response *r);
void websocket_set_handler(struct websocket *w, const struct websocket_handler *h, void *user);
void websocket_send(struct websocket *w, bool text, const void *p, size_t size);
size_t websocket_queued(const struct websocket *w);
/* Back-pressure. Up to 4 KiB of messages that were taken in already may still be given after stop.
 */
void websocket_read_stop(struct websocket *w);
void websocket_read_start(struct websocket *w);
/* Sends what is queued and the code (1000: all is well, 1001, 1002, 1003, 1007-1011, 3000-4999);
 * `closed` comes after. */
void websocket_close(struct websocket *w, unsigned code);
#define WEBSOCKET_MESSAGE_MAX_BYTES (1u << 20)
