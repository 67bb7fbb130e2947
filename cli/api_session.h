/* api_session.h - one API server, asked one thing after the other: for verbs that read, print, and
 * end. */
#pragma once

#include "lib/client/kubeconfig.h"
#include "lib/json/json.h"

struct api_session;
/* kubeconfig and context as kubeconfig_load has them. */
int api_session_open(const char *kubeconfig, const char *context, struct api_session **ret,
	struct err *err) _must_check_;
void api_session_close(struct api_session *s);			/* NULL allowed */
const char *api_session_namespace(const struct api_session *s); /* the context's */
/* GET. 0 with the document in the arena; -ENOENT for 404; else negative with the server's words. */
int api_session_get(struct api_session *s, struct arena *a, const char *path, struct json **ret,
	struct err *err) _must_check_;
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
