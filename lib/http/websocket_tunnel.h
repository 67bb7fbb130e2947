/* websocket_tunnel.h - a client's WebSocket and a stream, joined: the bytes of binary messages go
 * to the stream as they are, what the stream gives becomes messages. Back-pressure both ways; when
 * either ends, so does the other. */
#pragma once

#include "lib/http/websocket.h"

/* Accepts the WebSocket with one of `protocols` (as websocket_accept) and joins it with `peer`,
 * whose reading has not begun. On failure both the request and the stream are still the caller's.
 * After success they live by themselves; streams_break ends them. */
int websocket_tunnel(struct http_request *req, const char *const *protocols, struct stream *peer,
	struct err *err) _must_check_;
