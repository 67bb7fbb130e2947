/* forward_bridge.h - a WebSocket client's port forwarding on a runtime that speaks SPDY/3.1
 * (portforward.k8s.io).
 *
 *   SPDY/3.1+portforward.k8s.io   a tunnel: each binary message is a piece of the SPDY connection
 *   v4.channel.k8s.io             ?ports=80,81: channel 2i is the data of port i, 2i+1 its errors;
 *   v4.base64.channel.k8s.io      the first message on each is the port, two bytes, low one first
 */
#pragma once

#include "lib/http/http.h"

/* Answers the request: 101, or an error. Takes the runtime's stream, already upgraded, in any case.
 */
int forward_bridge_start(
	struct http_request *req, struct stream *runtime, struct err *err) _must_check_;
