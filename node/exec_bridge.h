/* exec_bridge.h - a WebSocket client's exec or attach session on a runtime that speaks SPDY/3.1.
 *
 *   client: one message = channel byte + data      runtime: a SPDY stream for each channel
 *   0 stdin, 1 stdout, 2 stderr, 3 error (Status JSON), 4 resize; 255 = a channel is closed (v5)
 *
 * Sub-protocols v5.channel.k8s.io, v4.channel.k8s.io and v4.base64.channel.k8s.io, whose messages
 * are text: the channel as a digit, then base64. Older clients' channel.k8s.io and
 * base64.channel.k8s.io get the Status' message as plain text, and nothing on success. */
#pragma once

#include "lib/http/http.h"

struct exec_bridge_options {
	bool in, out, errors, tty;
};
/* Answers the request: 101, or an error. Takes the runtime's stream (upgraded to SPDY/3.1 with
 * stream protocol v4) in any case. */
int exec_bridge_start(struct http_request *req, struct stream *runtime,
	const struct exec_bridge_options *options, struct err *err) _must_check_;

/* Answers a request for an upgrade: no. In plain text, which kubectl shows behind words of its own;
 * but it takes text with a colon or brackets for YAML and shows nothing of it: that goes as a
 * Status. */
void upgrade_refuse(struct http_request *req, int status, const char *text);

/* Pure: one message of a client. *ret_data may point into `room` (base64). -EBADMSG = not
 * understood. */
struct arena;
int exec_message_parse(struct arena *a, bool base64, bool text, const char *message, size_t size,
	unsigned *ret_channel, const char **ret_data, size_t *ret_size) _must_check_;
/* Pure: what the first version says of a runtime's Status; NULL = nothing, all is well. */
const char *exec_status_text(struct arena *a, const char *status, size_t size);
/* The other way. */
struct websocket;
void exec_message_send(
	struct websocket *to, bool base64, unsigned channel, const char *p, size_t size);
