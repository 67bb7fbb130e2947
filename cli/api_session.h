/* api_session.h - one API server, asked one thing after the other: for verbs that read, write,
 * wait, print, and end. */
#pragma once

#include "lib/client/kubeconfig.h"
#include "lib/json/json.h"

struct api_session;
/* kubeconfig and context as kubeconfig_load has them. */
int api_session_open(const char *kubeconfig, const char *context, struct api_session **ret,
	struct err *err) _must_check_;
void api_session_close(struct api_session *s);			/* NULL allowed */
const char *api_session_namespace(const struct api_session *s); /* the context's */
const struct kubeconfig *api_session_config(const struct api_session *s);

struct api_session_request {
	const char *method;	  /* NULL = GET */
	const char *path;	  /* with its query */
	const char *content_type; /* NULL = application/json */
	const char *accept;	  /* NULL = application/json */
	const void *body;	  /* NULL = none */
	size_t body_size;
	unsigned timeout_s; /* 0 = 30 */
};
struct api_session_answer {
	int code;	  /* 0 when the server could not be reached */
	struct str body;  /* in the arena */
	struct json *doc; /* NULL when the body is no JSON */
};
/* 0 with the answer for 2xx; -ENOENT for 404, -EEXIST for 409 AlreadyExists, else negative, with
 * the server's words. */
int api_session_call(struct api_session *s, struct arena *a, const struct api_session_request *r,
	struct api_session_answer *ret, struct err *err) _must_check_;
/* GET. 0 with the document in the arena; errors as above. */
int api_session_get(struct api_session *s, struct arena *a, const char *path, struct json **ret,
	struct err *err) _must_check_;

/* What a waiting verb makes of a state: above 0 it has come, 0 not yet, negative it never will. */
typedef int api_session_until(void *user, const struct json *object, struct err *err);
/* Follows one object (collection is its path without the name) until `until` has decided, by list
 * and watch. `object` is NULL while there is none, and when it was deleted. -ETIMEDOUT after
 * timeout_s. */
int api_session_wait(struct api_session *s, const char *collection, const char *name,
	unsigned timeout_s, api_session_until *until, void *user, struct err *err) _must_check_;

/* Whom a verb asks, and of which namespace; NULL = as the kubeconfig has it. */
struct api_session_where {
	const char *kubeconfig, *context, *namespace;
};
/* Takes an option that getopt_long has met, if it is one of these. */
bool api_session_option(struct api_session_where *w, int option, const char *value);
/* The options that such verbs share, for getopt_long. */
#define API_SESSION_OPTIONS                                                                        \
	{"namespace", required_argument, NULL, 'n'}, {"kubeconfig", required_argument, NULL, 'k'}, \
		{"context", required_argument, NULL, 'c'},                                         \
		{"output", required_argument, NULL, 'o'},                                          \
	{                                                                                          \
		"help", no_argument, NULL, 'h'                                                     \
	}
#define API_SESSION_USAGE                                                                          \
	"  -n, --namespace NS     default: the context's\n"                                        \
	"      --kubeconfig FILE  default: $KUBECONFIG, then ~/.kube/config\n"                     \
	"      --context NAME     default: the current one\n"
