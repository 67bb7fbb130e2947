/* grpc.h - gRPC client over HTTP/2 (nghttp2) on a stream of lib/http, messages by protobuf-c.
 *
 * A channel is one address. It connects when the first call is made, carries any number of calls at
 * the same time over one connection, and after a loss connects again at the next call, not sooner
 * than its back-off (250 ms doubling to 10 s, reset by a connection that worked). While the
 * back-off runs calls fail at once with GRPC_UNAVAILABLE and the reason of the last failure: the
 * caller decides when to try again.
 *
 * Calls are unary (one request, one response) or server-streaming (one request, many responses).
 * `done` is called exactly once, never from inside grpc_call(), and not after grpc_call_cancel().
 * Messages in either direction are limited to the channel's message_max_bytes.
 *
 * Protocol: gRPC over HTTP/2 (PROTOCOL-HTTP2.md); compression is not offered, so a compressed
 * message is an error. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <uv.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"

typedef struct ssl_ctx_st SSL_CTX;

/* Codes of the gRPC specification; other numbers that a server sends are kept as they are. */
enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

#define GRPC_MESSAGE_MAX_BYTES (16u << 20)
#define GRPC_NO_TIMEOUT 0u

/* For statistics: a unary call has ended, just before its `done`. */
typedef void grpc_ended(const char *method, int status, int64_t took_ns);

struct grpc_channel;
struct grpc_channel_options {
	uv_loop_t *loop;
	const char *address;	  /* "unix:///path" or "tcp://host:port" */
	SSL_CTX *tls;		  /* NULL = plain; must offer ALPN h2 */
	const char *tls_name;	  /* as in stream_connect */
	const char *user_agent;	  /* "hanok-node/0.1"; NULL = "hanok" */
	size_t message_max_bytes; /* 0 = GRPC_MESSAGE_MAX_BYTES */
	grpc_ended *ended;	  /* NULL = nobody counts */
	/* One pair of metadata that goes with every call (name in lower case); NULL = none. */
	const char *metadata_name, *metadata_value;
};
struct grpc_channel *grpc_channel_create(const struct grpc_channel_options *options);
/* Calls under way end without a callback. May be called from a callback. */
void grpc_channel_destroy(struct grpc_channel *ch);

struct grpc_result {
	int status;	     /* enum grpc_status or what the server sent */
	const char *message; /* for people; "" when GRPC_OK */
	/* Unary calls that are GRPC_OK: the response, of the type that the call named; it lives in
	 * an arena that ends with the callback. NULL else. */
	const void *response;
};
static inline bool grpc_ok(const struct grpc_result *r)
{
	return r->status == GRPC_OK;
}
typedef void grpc_done(void *user, const struct grpc_result *r);

/* The request is packed inside the call and need not outlive it. `method` is
 * "/package.Service/Method". timeout_ms GRPC_NO_TIMEOUT = none; it also goes to the server. */
struct grpc_call;
struct grpc_call *grpc_call(struct grpc_channel *ch, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
	unsigned timeout_ms, grpc_done *done, void *user);
/* Server-streaming: `message` for each response, then `done` (response NULL) when the stream ends,
 * which for a healthy subscription is a failure of the connection. */
struct grpc_call *grpc_call_streaming(struct grpc_channel *ch, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
	void (*message)(void *user, const void *response), grpc_done *done, void *user);
/* No callback after this; the call is gone. The server is told (RST_STREAM). NULL allowed. */
void grpc_call_cancel(struct grpc_call *call);

const char *grpc_status_name(int status); /* "NotFound"; "Code(42)" style for unknown ones */

/* protobuf-c allocations from an arena: unpacked messages then need no freeing. */
ProtobufCAllocator grpc_arena_allocator(struct arena *a);

/* The pure parts, for tests and the fuzzer. */

/* One length-prefixed message: flag byte, 32-bit big-endian size, payload. */
struct grpc_frame {
	const char *data;
	size_t size;	   /* of the payload */
	size_t total_size; /* with the prefix: where the next frame starts */
};
/* 1 = *ret filled, 0 = more bytes are needed, -EMSGSIZE = above max, -EPROTO = compressed or
 * unknown flag. */
int grpc_frame_next(
	const char *data, size_t size, size_t max_bytes, struct grpc_frame *ret) _must_check_;
/* grpc-message: %XX decoded, bad escapes kept as they are, at most room - 1 bytes, made valid UTF-8
 * by replacing what is not with '?'. */
void grpc_message_decode(const char *text, size_t size, char *ret, size_t room);
/* grpc-timeout: "1500m", at most eight digits, so long ones switch to seconds. */
void grpc_timeout_format(unsigned timeout_ms, char ret[16]);
