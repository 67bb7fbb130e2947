/* pod_check.h - one question to a container, as probes and lifecycle hooks put it: exec, httpGet,
 * tcpSocket, grpc, sleep. */
#pragma once

#include "node/pod/pod_internal.h"

enum check_result {
	CHECK_OK,
	CHECK_WARNING, /* good, but somebody should look at it: the text says why */
	CHECK_FAILED,  /* the container answered, and it is a no; or did not answer in time */
	CHECK_ERROR,   /* it could not be asked: says nothing about the container */
};

struct pod_check;
typedef void pod_check_done(void *user, enum check_result result, const char *text);
/* done is called later, once. handler: {"exec": {"command": [...]}} etc. timeout_ms 0 = 120 s. */
struct pod_check *pod_check_run(struct pod_worker *w, size_t container, const struct json *handler,
	int64_t timeout_ms, pod_check_done *done, void *user);
void pod_check_cancel(struct pod_check *c); /* NULL allowed */
