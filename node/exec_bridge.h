/* exec_bridge.h - a WebSocket client's exec or attach session on a runtime that speaks SPDY/3.1.
 *
 *   client: one message = channel byte + data      runtime: a SPDY stream for each channel
 *   0 stdin, 1 stdout, 2 stderr, 3 error (Status JSON), 4 resize; 255 = a channel is closed (v5)
 *
 * Sub-protocols v5.channel.k8s.io, v4.channel.k8s.io, and v4's text form base64.channel.k8s.io. */
#pragma once

#include "lib/http/http.h"

/* Answers the request: 101, or an error. Takes the runtime's stream (upgraded to SPDY/3.1 with stream
 * protocol v4) in any case. */
int exec_bridge_start(struct http_request *req, struct stream *runtime, bool tty, struct err *err)
	_must_check_;
