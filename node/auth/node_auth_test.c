/* node_auth_test.c - users and rights, with an API that answers when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/auth/node_auth.h"

/* ---- an API that keeps the questions ---- */

struct client_call {
	client_done *done;
	void *user;
	char *path, *body;
	bool open;
};

static struct {
	struct client client;
	struct client_call calls[32];
	size_t count;
	int64_t now_ns;
	struct clock clock;
	struct node_config config;
} world;

static struct client_call *on_request(
	struct client *c, const struct client_request *req, client_done *done, void *user)
{
	assert_in_range(world.count, 0, ARRAY_LEN(world.calls) - 1);
	struct client_call *call = &world.calls[world.count++];
	*call = (struct client_call){
		done, user, xstrdup(req->path), xstrndup(req->body, req->body_size), true};
	return call;
}

static void on_cancel(struct client *c, struct client_call *call)
{
	call->open = false;
}

static int64_t now(struct clock *c)
{
	return world.now_ns;
}

static void answer(size_t i, int code, const char *body)
{
	struct client_call *call = &world.calls[i];
	struct client_result r = {code, body, strlen(body), "", code ? "" : "unreachable"};

	assert_true(i < world.count && call->open);
	call->open = false;
	call->done(call->user, &r);
}

static int setup(void **state)
{
	static const struct client_ops ops = {.request = on_request, .cancel = on_cancel};

	memset(&world, 0, sizeof(world));
	world.clock = (struct clock){now, now};
	world.client = (struct client){.ops = &ops, .clock = &world.clock};
	world.config = *node_config_default();
	*state = node_auth_create(&world.client, &world.config, "n1");
	return 0;
}

static int teardown(void **state)
{
	node_auth_destroy(*state);
	for (size_t i = 0; i < world.count; i++) {
		free(world.calls[i].path);
		free(world.calls[i].body);
	}
	return 0;
}

/* ---- requests ---- */

struct asked {
	struct http_request req;
	struct http_header header;
	char value[64];
	const char *orgs[1];
	int status;
	char text[256];
};

static void on_done(void *user, struct http_request *req, int status, const char *text)
{
	struct asked *q = user;

	assert_int_equal(q->status, 0);
	q->status = status;
	snprintf(q->text, sizeof(q->text), "%s", text ? text : "");
}

static void ask(struct node_auth *a, struct asked *q, const char *method, const char *path,
	const char *token, const char *cn, const char *org)
{
	*q = (struct asked){.req = {.arena = ARENA_INIT, .method = method, .path = path}};
	if (token) {
		snprintf(q->value, sizeof(q->value), "Bearer %s", token);
		q->header = (struct http_header){.name = "Authorization", .value = q->value};
		q->req.headers = &q->header;
		q->req.header_count = 1;
	}
	q->req.peer_cn = cn ? cn : "";
	q->orgs[0] = org;
	q->req.peer_orgs = q->orgs;
	q->req.peer_org_count = org ? 1 : 0;
	node_auth_check(a, &q->req, on_done, q);
}

static void end(struct asked *q)
{
	arena_finish(&q->req.arena);
}

#define ANN                                                                                        \
	"{\"status\":{\"authenticated\":true,\"user\":{\"username\":\"ann\",\"uid\":\"7\","        \
	"\"groups\":[\"g\",\"system:authenticated\"]}}}"
#define NOBODY "{\"status\":{\"authenticated\":false,\"error\":\"no such token\"}}"
#define YES "{\"status\":{\"allowed\":true}}"
#define NO "{\"status\":{\"allowed\":false}}"

static void masters_need_no_question(void **state)
{
	struct asked q;

	ask(*state, &q, "POST", "/exec/a/b/c", NULL, "kube-apiserver-kubelet-client",
		"system:masters");
	assert_int_equal(q.status, 200);
	assert_int_equal(world.count, 0);
	end(&q);
}

static void certificates(void **state)
{
	struct asked q;

	ask(*state, &q, "GET", "/metrics/cadvisor", NULL, "bob", "team");
	assert_int_equal(q.status, 0);
	assert_string_equal(
		world.calls[0].path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
	assert_string_equal(world.calls[0].body,
		"{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\","
		"\"spec\":{\"user\":\"bob\",\"groups\":[\"team\",\"system:authenticated\"],"
		"\"resourceAttributes\":{\"verb\":\"get\",\"group\":\"\",\"version\":\"v1\","
		"\"resource\":\"nodes\",\"subresource\":\"metrics\",\"name\":\"n1\"}}}");
	answer(0, 201, NO);
	assert_int_equal(q.status, 403);
	assert_string_equal(
		q.text, "Forbidden (user=bob, verb=get, resource=nodes, subresource=metrics)");
	end(&q);
	/* A no is known for 30 s. */
	ask(*state, &q, "GET", "/metrics", NULL, "bob", "team");
	assert_int_equal(q.status, 403);
	end(&q);
	world.now_ns += 31 * NS_PER_S;
	ask(*state, &q, "GET", "/metrics", NULL, "bob", "team");
	assert_int_equal(q.status, 0);
	answer(1, 201, YES);
	assert_int_equal(q.status, 200);
	end(&q);
	/* Others, and other verbs, are other questions. */
	ask(*state, &q, "POST", "/metrics", NULL, "bob", "team");
	assert_int_equal(q.status, 0);
	answer(2, 201, YES);
	end(&q);
	ask(*state, &q, "GET", "/metrics", NULL, "bob", "others");
	assert_int_equal(q.status, 0);
	answer(3, 201, YES);
	end(&q);
}

static void tokens(void **state)
{
	struct asked first, second;

	ask(*state, &first, "GET", "/pods", "t", NULL, NULL);
	ask(*state, &second, "GET", "/pods", "t", NULL, NULL);
	assert_int_equal(world.count, 1); /* the same question is not asked twice */
	assert_string_equal(world.calls[0].path, "/apis/authentication.k8s.io/v1/tokenreviews");
	assert_non_null(strstr(world.calls[0].body, "\"spec\":{\"token\":\"t\"}"));
	answer(0, 201, ANN);
	assert_int_equal(world.count, 2);
	assert_non_null(strstr(world.calls[1].body, "\"user\":\"ann\",\"uid\":\"7\""));
	assert_non_null(strstr(world.calls[1].body, "\"subresource\":\"pods\""));
	/* The finer name does not do: the general one is asked for. */
	answer(1, 201, NO);
	assert_int_equal(world.count, 3);
	assert_non_null(strstr(world.calls[2].body, "\"subresource\":\"proxy\""));
	answer(2, 201, NO);
	assert_int_equal(first.status, 403);
	assert_int_equal(second.status, 403);
	assert_string_equal(first.text, "Forbidden (user=ann, verb=get, resource=nodes, "
					"subresource(s)=[pods proxy])\n");
	end(&first);
	end(&second);

	ask(*state, &first, "GET", "/pods", "bad", NULL, NULL);
	answer(3, 201, NOBODY);
	assert_int_equal(first.status, 401);
	assert_string_equal(first.text, "Unauthorized");
	end(&first);
	ask(*state, &first, "GET", "/pods", "bad", NULL, NULL); /* known */
	assert_int_equal(first.status, 401);
	end(&first);
}

static void nobody(void **state)
{
	struct asked q;

	ask(*state, &q, "GET", "/pods", NULL, NULL, NULL);
	assert_int_equal(q.status, 401);
	end(&q);
	world.config.anonymous_auth = true;
	ask(*state, &q, "GET", "/healthz", NULL, NULL, NULL);
	assert_int_equal(q.status, 0);
	assert_non_null(strstr(world.calls[0].body, "\"user\":\"system:anonymous\""));
	answer(0, 201, YES);
	assert_int_equal(q.status, 200);
	end(&q);
	/* A certificate that is not good is not taken for none. */
	q = (struct asked){.req = {.arena = ARENA_INIT, .method = "GET", .path = "/healthz"}};
	q.req.peer_cn = "";
	q.req.peer_refused = true;
	node_auth_check(*state, &q.req, on_done, &q);
	assert_int_equal(q.status, 401);
	end(&q);
	world.config.token_auth = false;
	ask(*state, &q, "GET", "/healthz", "t", NULL, NULL);
	assert_int_equal(q.status, 401);
	end(&q);
}

static void api_is_away(void **state)
{
	struct asked q;

	ask(*state, &q, "GET", "/stats/summary", "t", NULL, NULL);
	answer(0, 201, ANN);
	answer(1, 201, YES);
	assert_int_equal(q.status, 200);
	end(&q);
	/* What is known stays so for its time. */
	world.now_ns += 100 * NS_PER_S;
	ask(*state, &q, "GET", "/stats/summary", "t", NULL, NULL);
	assert_int_equal(q.status, 200);
	end(&q);
	world.now_ns += 30 * NS_PER_S;
	ask(*state, &q, "GET", "/stats/summary", "t", NULL, NULL);
	answer(2, 0, "");
	assert_int_equal(q.status, 401);
	end(&q);
	ask(*state, &q, "GET", "/logs/", NULL, "bob", NULL);
	answer(3, 500, "{}");
	assert_int_equal(q.status, 500);
	assert_string_equal(q.text,
		"Authorization error (user=bob, verb=get, resource=nodes, subresource=log)");
	end(&q);
	/* And is asked anew by the next. */
	ask(*state, &q, "GET", "/logs/", NULL, "bob", NULL);
	assert_int_equal(q.status, 0);
	answer(4, 201, YES);
	assert_int_equal(q.status, 200);
	end(&q);
	world.config.always_allow = true;
	ask(*state, &q, "GET", "/logs/", NULL, "eve", NULL);
	assert_int_equal(q.status, 200);
	end(&q);
}

static struct asked waiting;

static void is_told_at_the_end(void **state)
{
	struct node_auth *a = node_auth_create(&world.client, &world.config, "n1");

	ask(a, &waiting, "GET", "/pods", "t", NULL, NULL);
	node_auth_destroy(a);
	assert_int_equal(waiting.status, 503);
	end(&waiting);
}

static void subresources(void **state)
{
	static const char *const cases[][2] = {
		{"/stats/summary", "stats"},
		{"/metrics", "metrics"},
		{"/metrics/probes", "metrics"},
		{"/metricsx", "proxy"},
		{"/logs/", "log"},
		{"/checkpoint/a/b/c", "checkpoint"},
		{"/exec/a/b/c", "proxy"},
		{"/", "proxy"},
		{"/pods", "pods"},
		{"/runningpods/", "pods"},
		{"/configz", "configz"},
		{"/healthz/ping", "healthz"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got[3];
		node_auth_subresources(cases[i][0], got);
		assert_string_equal(got[0], cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(masters_need_no_question, setup, teardown),
		cmocka_unit_test_setup_teardown(certificates, setup, teardown),
		cmocka_unit_test_setup_teardown(tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(api_is_away, setup, teardown),
		cmocka_unit_test_setup_teardown(is_told_at_the_end, setup, teardown),
		cmocka_unit_test(subresources),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
