/* protobuf.h - request bodies in Kubernetes' protobuf form (kubectl 1.32+ sends them) as documents.
 *
 * The body is "k8s\0" and a runtime.Unknown with apiVersion, kind and the message. What the message
 * means is a table made from api/proto/kubernetes.txt at build time. Zero values are left out as
 * Go's omitempty does, so that defaults apply. Unknown fields are passed over. Only decoding:
 * answers are JSON, which all clients take. */
#pragma once

#include "lib/json/json.h"

/* -EINVAL with what is wrong; -ENOTSUP when the kind has no table. */
int protobuf_decode(struct arena *a, const char *body, size_t size, struct json **ret,
	struct err *err) _must_check_;
