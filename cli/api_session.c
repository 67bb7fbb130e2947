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
	int code;
	struct arena *arena;
	struct json *doc;
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

static void on_answer(void *user, const struct http_response *r, const struct err *err)
{
	struct answer *answer = user;
	static const struct json_limits limits = {.depth = 256, .size_bytes = 1u << 30};
	answer->done = true;
	if (!r) {
		answer->err = *err;
		return;
	}
	answer->code = r->status;
	int parsed = json_parse(
		answer->arena, r->body, r->body_size, &limits, &answer->doc, &answer->err);
	if (r->status < 200 || r->status > 299)
		err_set(&answer->err, r->status == 404 ? -ENOENT : -EREMOTEIO, "%s",
			parsed == 0 ? json_str_or(json_get(answer->doc, "message"),
					      "the server refused")
				    : "the server refused");
}

int api_session_get(struct api_session *s, struct arena *a, const char *path, struct json **ret,
	struct err *err)
{
	struct answer answer = {.arena = a};
	struct http_call_options call = {
		.method = "GET",
		.target = arena_printf(a, "%s%s", s->config.path, path),
		.headers = arena_printf(a, "%sAccept: application/json\r\n", s->auth),
		.done = on_answer,
		.user = &answer,
	};
	http_call(s->endpoint, &call);
	while (!answer.done && uv_run(&s->loop, UV_RUN_ONCE))
		;
	if (answer.err.code < 0)
		return err_set(err, answer.err.code, "%s", answer.err.msg);
	*ret = answer.doc;
	return 0;
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
