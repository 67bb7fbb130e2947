#include "cli/api_session.h"

#include "lib/client/endpoint.h"

struct api_session {
	uv_loop_t loop;
	struct kubeconfig config;
	struct http_endpoint *endpoint;
	char *auth;
};

struct answer {
	bool done;
	struct arena *arena;
	struct api_session_answer *ret;
	struct err err;
};

int api_session_open(
	const char *kubeconfig, const char *context, struct api_session **ret, struct err *err)
{
	struct api_session *s = xcalloc(1, sizeof(*s));
	int r = kubeconfig_load(kubeconfig, context, &s->config, err);
	if (r < 0) {
		free(s);
		return r;
	}
	uv_loop_init(&s->loop);
	r = client_endpoint_create(&s->loop, &s->config, &s->endpoint, err);
	if (r < 0) {
		uv_loop_close(&s->loop);
		kubeconfig_finish(&s->config);
		free(s);
		return r;
	}
	s->auth = client_auth_headers(&s->config);
	*ret = s;
	return 0;
}

void api_session_close(struct api_session *s)
{
	if (!s)
		return;
	http_endpoint_destroy(s->endpoint);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	kubeconfig_finish(&s->config);
	free(s->auth);
	free(s);
}

const char *api_session_namespace(const struct api_session *s)
{
	return s->config.namespace;
}

const struct kubeconfig *api_session_config(const struct api_session *s)
{
	return &s->config;
}

static const struct json_limits limits = {.depth = 256, .size_bytes = 1u << 30};

static int code_error(int code, const struct json *doc)
{
	if (code == 404)
		return -ENOENT;
	return streq(json_str_or(json_get(doc, "reason"), ""), "AlreadyExists") ? -EEXIST
										: -EREMOTEIO;
}

/* Of an answer that is no Status: its first line. */
static const char *words_of(struct arena *a, const struct api_session_answer *answer)
{
	const char *message = json_str(json_get(answer->doc, "message"));
	if (message && *message)
		return message;
	struct str rest = answer->body, line = {0};
	if (!answer->doc && str_split(&rest, '\n', &line) && line.size > 0 && line.size < 512)
		return arena_printf(
			a, "the server answered %d: " STR_FMT, answer->code, STR_ARG(line));
	return arena_printf(a, "the server answered %d", answer->code);
}

static void on_answer(void *user, const struct http_response *r, const struct err *err)
{
	struct answer *answer = user;
	answer->done = true;
	if (!r) {
		answer->err = *err;
		return;
	}
	struct api_session_answer *ret = answer->ret;
	ret->code = r->status;
	ret->body = (struct str){arena_memdup(answer->arena, r->body, r->body_size), r->body_size};
	if (json_parse(answer->arena, r->body, r->body_size, &limits, &ret->doc, NULL) < 0)
		ret->doc = NULL;
	if (r->status < 200 || r->status > 299)
		err_set(&answer->err, code_error(r->status, ret->doc), "%s",
			words_of(answer->arena, ret));
}

int api_session_call(struct api_session *s, struct arena *a, const struct api_session_request *r,
	struct api_session_answer *ret, struct err *err)
{
	*ret = (struct api_session_answer){0};
	struct answer answer = {.arena = a, .ret = ret};
	struct http_call_options call = {
		.method = r->method ? r->method : "GET",
		.target = arena_printf(a, "%s%s", s->config.path, r->path),
		.headers = arena_printf(a, "%sAccept: %s\r\n%s%s%s", s->auth,
			r->accept ? r->accept : "application/json", r->body ? "Content-Type: " : "",
			!r->body	  ? ""
			: r->content_type ? r->content_type
					  : "application/json",
			r->body ? "\r\n" : ""),
		.body = r->body,
		.body_size = r->body_size,
		.timeout_ms = r->timeout_s * 1000,
		.done = on_answer,
		.user = &answer,
	};
	http_call(s->endpoint, &call);
	while (!answer.done && uv_run(&s->loop, UV_RUN_ONCE))
		;
	if (answer.err.code < 0)
		return err_set(err, answer.err.code, "%s", answer.err.msg);
	return 0;
}

int api_session_get(struct api_session *s, struct arena *a, const char *path, struct json **ret,
	struct err *err)
{
	struct api_session_request request = {.path = path};
	struct api_session_answer answer;
	int r = api_session_call(s, a, &request, &answer, err);
	if (r < 0)
		return r;
	if (!answer.doc)
		return err_set(err, -EPROTO, "the server's answer is no JSON");
	*ret = answer.doc;
	return 0;
}

struct wait {
	struct api_session *session;
	api_session_until *until;
	void *user;
	struct buf line; /* an event that has not come whole */
	int result;	 /* what `until` said; 0 = go on */
	bool ended;	 /* the watch */
	bool late;
	struct err err;
};

static void wait_for_event(struct wait *w, const char *text, size_t size)
{
	struct arena a = ARENA_INIT;
	struct json *event = NULL;
	if (json_parse(&a, text, size, &limits, &event, NULL) == 0) {
		const char *type = json_str_or(json_get(event, "type"), "");
		const struct json *object = json_get(event, "object");
		if (streq(type, "ERROR"))
			w->ended = true;
		else if (!streq(type, "BOOKMARK"))
			w->result =
				w->until(w->user, streq(type, "DELETED") ? NULL : object, &w->err);
	}
	arena_finish(&a);
}

static void on_watch_data(void *user, const char *p, size_t size)
{
	struct wait *w = user;
	buf_add(&w->line, p, size);
	char *end;
	while (w->result == 0 && w->line.size &&
		(end = memchr(w->line.data, '\n', w->line.size)) != NULL) {
		wait_for_event(w, w->line.data, (size_t)(end - w->line.data));
		buf_drop_front(&w->line, (size_t)(end - w->line.data) + 1);
	}
}

static void on_watch_done(void *user, const struct http_response *r, const struct err *err)
{
	struct wait *w = user;
	w->ended = true;
}

static void on_late(uv_timer_t *t)
{
	struct wait *w = t->data;
	w->late = true;
}

/* One list and the watch behind it. */
static int wait_round(struct wait *w, const char *collection, const char *name, struct err *err)
{
	struct arena a = ARENA_INIT;
	struct json *list = NULL;
	const char *selector = arena_printf(&a, "fieldSelector=metadata.name%%3D%s", name);
	int r = api_session_get(
		w->session, &a, arena_printf(&a, "%s?%s", collection, selector), &list, err);
	if (r == 0) {
		w->result = w->until(w->user, json_at(json_get(list, "items"), 0), &w->err);
		struct http_call_options call = {
			.method = "GET",
			.target = arena_printf(&a, "%s%s?watch=true&%s&resourceVersion=%s",
				w->session->config.path, collection, selector,
				json_str_or(json_path(list, "metadata.resourceVersion"), "0")),
			.headers = arena_printf(
				&a, "%sAccept: application/json\r\n", w->session->auth),
			.data = on_watch_data,
			.done = on_watch_done,
			.user = w,
		};
		w->ended = false;
		buf_clear(&w->line);
		struct http_call *open =
			w->result == 0 ? http_call(w->session->endpoint, &call) : NULL;
		while (open && w->result == 0 && !w->ended && !w->late)
			uv_run(&w->session->loop, UV_RUN_ONCE);
		if (open && !w->ended)
			http_call_cancel(open);
	}
	arena_finish(&a);
	return r;
}

int api_session_wait(struct api_session *s, const char *collection, const char *name,
	unsigned timeout_s, api_session_until *until, void *user, struct err *err)
{
	struct wait w = {.session = s, .until = until, .user = user};
	uv_timer_t timer;
	uv_timer_init(&s->loop, &timer);
	timer.data = &w;
	uv_timer_start(&timer, on_late, (uint64_t)timeout_s * 1000, 0);
	int r = 0;
	while (r == 0 && w.result == 0 && !w.late)
		r = wait_round(&w, collection, name, err);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&s->loop, UV_RUN_NOWAIT);
	buf_finish(&w.line);
	if (r < 0)
		return r;
	if (w.result < 0)
		return err_set(err, w.result, "%s", w.err.msg);
	return w.result > 0 ? 0 : err_set(err, -ETIMEDOUT, "not so after %u s", timeout_s);
}

bool api_session_option(struct api_session_where *w, int option, const char *value)
{
	if (option == 'n')
		w->namespace = value;
	else if (option == 'k')
		w->kubeconfig = value;
	else if (option == 'c')
		w->context = value;
	else
		return false;
	return true;
}
