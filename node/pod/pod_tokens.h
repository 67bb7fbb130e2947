/* pod_tokens.h - the service account tokens of one pod: asked for by TokenRequest, bound to the
 * pod, and kept in memory only, until four fifths of their life are over (Kubernetes: "Launch a Pod
 * using service account token projection"). */
#pragma once

#include "lib/json/json.h"

struct pod_tokens;

struct pod_tokens *pod_tokens_create(void);
void pod_tokens_destroy(struct pod_tokens *t); /* NULL allowed */

/* What one projected source asks for: "SECONDS/AUDIENCE", a key for the calls below. */
char *pod_tokens_key(struct arena *a, const struct json *source);
/* The token for it, NULL = there is none, or it is past its time. Borrowed until the next set. */
const char *pod_tokens_get(const struct pod_tokens *t, const char *key, int64_t wall_ns);
/* False when there is none, or it is time for the next. */
bool pod_tokens_fresh(const struct pod_tokens *t, const char *key, int64_t wall_ns);
/* When the first of them is to be renewed, wall clock; INT64_MAX = there is none. */
int64_t pod_tokens_due_ns(const struct pod_tokens *t);
/* The body of the request. */
char *pod_tokens_request(struct arena *a, const struct json *pod, const char *key);
/* Takes a TokenRequest's answer. -EBADMSG when no token is in it. */
int pod_tokens_set(struct pod_tokens *t, const char *key, const struct json *answer,
	int64_t wall_ns, struct err *err) _must_check_;
