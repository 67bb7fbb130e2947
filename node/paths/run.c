/* run.c - /run/: one command, its output as the answer. */
#include "node/cri/cri.h"
#include "node/paths/paths.h"
#include "node/pod/pod_manager.h"

enum { WORDS_MAX = 256, RUN_S = 120 };

static void respond(struct http_request *req, int status, const void *text, size_t size)
{
	http_respond(req, status, "text/plain; charset=utf-8", NULL, text, size);
}

static void on_output(void *user, const struct grpc_result *r)
{
	struct http_request *req = user;
	const Cri__ExecSyncResponse *x = r->response;
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	req->user = NULL;
	req->cancelled = NULL;
	if (!grpc_ok(r)) {
		respond(req, 500, r->message, strlen(r->message));
		return;
	}
	buf_add(&b, x->stdout.data, x->stdout.len);
	buf_add(&b, x->stderr.data, x->stderr.len);
	if (x->exit_code)
		buf_printf(&b, "command terminated with exit code %d\n", x->exit_code);
	respond(req, x->exit_code ? 500 : 200, b.size ? b.data : "", b.size);
}

static void on_cancelled(struct http_request *req)
{
	grpc_call_cancel(req->user);
	http_abort(req);
}

/* "cmd" of the query or of a form in the body. */
static const char *command(struct http_request *req)
{
	const char *cmd = http_query_get(req, "cmd", 0);
	struct str rest = {req->body, req->body_size}, part;
	char *value = NULL;

	if (cmd || !req->body_size)
		return cmd;
	while (str_split(&rest, '&', &part)) {
		struct str text = {part.p + 4, part.size - 4};
		if (part.size > 4 && strncmp(part.p, "cmd=", 4) == 0 &&
			percent_decode(&req->arena, text, true, &value) >= 0)
			return value;
	}
	return NULL;
}

void node_run_serve(struct node *n, struct http_request *req, const char *ns, const char *pod,
	const char *uid, const char *container)
{
	struct pod_container_at at;
	struct err err = ERR_INIT;
	const char *cmd = command(req);
	char *words[WORDS_MAX];
	size_t count = 0;

	if (pod_manager_find(n->pods, &req->arena, ns, pod, uid, container, &at, &err) < 0) {
		respond(req, 404, err.msg, strlen(err.msg));
		return;
	}
	struct str rest = str_from(cmd), word;
	while (cmd && count < WORDS_MAX && str_split(&rest, ' ', &word)) {
		if (word.size)
			words[count++] = arena_memdup(&req->arena, word.p, word.size);
	}
	const char *why = rest.size && count == WORDS_MAX ? "more than 256 words"
			  : !count			  ? "give the command: ?cmd=WORD%20WORD..."
			  : !at.running			  ? "container is not running"
							  : NULL;
	if (why) {
		respond(req, count && count < WORDS_MAX ? 500 : 400, why, strlen(why));
		return;
	}
	req->cancelled = on_cancelled;
	req->user = cri_exec_sync(
		pod_manager_cri(n->pods), at.container_id, words, count, RUN_S, on_output, req);
}
