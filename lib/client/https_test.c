/* The HTTPS transport and kubeconfig against a real HTTP server on the loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/client/client.h"
#include "lib/client/kubeconfig.h"
#include "lib/http/http.h"

struct fixture {
	uv_loop_t loop;
	struct kind_registry *kinds;
	struct http_server *server;
	struct client *client;
	char config[64];
	/* what the server does */
	unsigned pages_asked;
	struct http_request *stream; /* an open watch */
	char last_target[512];
	char last_authorization[128];
	/* what the client saw */
	int code;
	char reason[64], message[256];
	size_t item_count;
	uint64_t revision;
	bool done;
	unsigned events, bookmarks, errors, ended;
	char names[16][32];
	bool close_at_second, destroy_at_second;
	struct client_watch *watch;
};

static void answer_page(struct fixture *f, struct http_request *req)
{
	const char *token = http_query_get(req, "continue", 0);
	char body[1024];
	f->pages_asked++;
	if (token && streq(token, "old/one")) {
		const char *gone = "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\","
				   "\"message\":\"x\"}";
		http_respond(req, 410, "application/json", NULL, gone, strlen(gone));
		return;
	}
	bool last = f->pages_asked > 2;
	snprintf(body, sizeof(body),
		"{\"kind\":\"ConfigMapList\",\"metadata\":{\"resourceVersion\":\"77\"%s},\"items\":"
		"[{\"metadata\":"
		"{\"name\":\"c%u\",\"namespace\":\"default\",\"uid\":\"u%u\",\"resourceVersion\":"
		"\"%u\"}}]}",
		last		      ? ""
		: f->pages_asked == 2 ? ",\"continue\":\"old/one\""
				      : ",\"continue\":\"a/b\"",
		f->pages_asked, f->pages_asked, 10 + f->pages_asked);
	http_respond(req, 200, "application/json", NULL, body, strlen(body));
}

static void on_request(struct http_request *req, void *user)
{
	struct fixture *f = user;
	const char *authorization = http_header_get(req, "Authorization");
	snprintf(f->last_target, sizeof(f->last_target), "%s", req->target);
	snprintf(f->last_authorization, sizeof(f->last_authorization), "%s",
		authorization ? authorization : "");
	if (http_query_get(req, "watch", 0)) {
		if (streq(http_query_get(req, "resourceVersion", 0), "1")) {
			const char *gone = "{\"kind\":\"Status\",\"code\":410,\"reason\":"
					   "\"Expired\",\"message\":\"too old\"}";
			http_respond(req, 410, "application/json", NULL, gone, strlen(gone));
			return;
		}
		http_stream_begin(req, 200, "application/json", NULL);
		f->stream = req;
		return;
	}
	if (streq(req->method, "GET") &&
		streq(req->path, "/prefix/api/v1/namespaces/default/configmaps")) {
		answer_page(f, req);
		return;
	}
	if (streq(req->method, "POST")) {
		http_respond(req, 201, "application/json", NULL, req->body, req->body_size);
		return;
	}
	const char *missing =
		"{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"NotFound\",\"message\":"
		"\"configmaps \\\"x\\\" not found\",\"code\":404}";
	http_respond(req, 404, "application/json", NULL, missing, strlen(missing));
}

static void write_config(struct fixture *f, const char *server)
{
	snprintf(f->config, sizeof(f->config), "/tmp/hanok-https-test-XXXXXX");
	int fd = mkstemp(f->config);
	assert_true(fd >= 0);
	dprintf(fd,
		"apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n- name: here\n  "
		"context: {cluster: "
		"c, user: u, namespace: team}\nclusters:\n- name: c\n  cluster:\n    server: "
		"%s\nusers:\n- name: "
		"u\n  user: {token: secret-token}\n",
		server);
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err err = ERR_INIT;
	int port;
	char url[64];
	log_set_level(LOG_ERROR);
	uv_loop_init(&f->loop);
	f->kinds = kind_registry_create();
	if (kind_registry_load_builtin(f->kinds, &err) < 0)
		fail_msg("%s", err.msg);
	struct http_server_options o = {.loop = &f->loop, .handler = on_request, .user = f};
	f->server = http_server_create(&o);
	if (http_server_listen(f->server, "127.0.0.1:0", &port, &err) < 0)
		fail_msg("%s", err.msg);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/prefix/", port);
	write_config(f, url);
	if (client_https_create(&f->loop, f->kinds, f->config, "test/1", &f->client, &err) < 0)
		fail_msg("%s", err.msg);
	*state = f;
	return 0;
}

static void on_stopped(void *user)
{
	*(bool *)user = true;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	bool stopped = false;
	client_destroy(f->client);
	if (f->stream)
		http_stream_end(f->stream);
	http_server_stop(f->server, 100, on_stopped, &stopped);
	while (!stopped)
		uv_run(&f->loop, UV_RUN_ONCE);
	http_server_destroy(f->server);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	kind_registry_destroy(f->kinds);
	unlink(f->config);
	free(f);
	return 0;
}

static void on_done(void *user, const struct client_result *r)
{
	struct fixture *f = user;
	f->code = r->code;
	snprintf(f->reason, sizeof(f->reason), "%s", r->reason);
	snprintf(f->message, sizeof(f->message), "%s", r->message);
	f->done = true;
}

static void until(struct fixture *f, bool *flag)
{
	while (!*flag)
		uv_run(&f->loop, UV_RUN_ONCE);
	*flag = false;
}

static const struct kind *config_map(struct fixture *f)
{
	return kind_by_name(f->kinds, "", "v1", "ConfigMap");
}

static void test_requests(void **state)
{
	struct fixture *f = *state;
	struct arena a = ARENA_INIT;
	struct json *doc = json_new_object(&a);
	client_create(f->client, config_map(f), "team", doc, on_done, f);
	assert_false(f->done); /* never inside the call */
	until(f, &f->done);
	assert_int_equal(f->code, 201);
	assert_string_equal(f->last_target, "/prefix/api/v1/namespaces/team/configmaps");
	assert_string_equal(f->last_authorization, "Bearer secret-token");
	client_delete(f->client, config_map(f), "team", "a b", NULL, -1, NULL, on_done, f);
	until(f, &f->done);
	assert_string_equal(f->last_target, "/prefix/api/v1/namespaces/team/configmaps/a%20b");
	assert_int_equal(f->code, 404);
	assert_string_equal(f->reason, "NotFound");
	assert_string_equal(f->message, "configmaps \"x\" not found");
	/* Cancelled: no callback. */
	struct client_call *call = client_create(f->client, config_map(f), "team", doc, on_done, f);
	client_cancel(f->client, call);
	client_create(f->client, config_map(f), "team", doc, on_done, f);
	until(f, &f->done);
	assert_false(f->done);
	arena_finish(&a);
}

static void on_list(void *user, const struct client_list_result *r)
{
	struct fixture *f = user;
	f->code = r->code;
	f->item_count = r->count;
	f->revision = r->revision;
	for (size_t n = 0; n < r->count && n < ARRAY_LEN(f->names); n++) {
		snprintf(f->names[n], sizeof(f->names[n]), "%s", r->items[n]->name);
		assert_int_equal(r->items[n]->revision, 11 + atoi(r->items[n]->name + 1) - 1);
	}
	f->done = true;
}

/* Three pages were begun; the continue token expired, so the list was begun anew. */
static void test_list(void **state)
{
	struct fixture *f = *state;
	struct client_list_options o = {
		.kind = config_map(f), .namespace = "default", .label_selector = "a=b,c in (d)"};
	f->client->ops->list(f->client, &o, on_list, f);
	until(f, &f->done);
	assert_int_equal(f->code, 200);
	assert_int_equal(f->pages_asked, 4);
	assert_int_equal(f->item_count, 1);
	assert_string_equal(f->names[0], "c4");
	assert_int_equal(f->revision, 77);
	assert_non_null(strstr(f->last_target, "labelSelector=a%3Db%2Cc%20in%20%28d%29"));
}

static void on_event(void *user, const struct client_event *e)
{
	struct fixture *f = user;
	if (e->type == CLIENT_ERROR) {
		f->errors++;
		f->code = e->code;
	} else if (e->type == CLIENT_BOOKMARK) {
		f->bookmarks++;
	} else {
		snprintf(f->names[f->events % 16], sizeof(f->names[0]), "%s", e->object->name);
		f->events++;
	}
	f->revision = e->revision;
	f->done = true;
	if (f->close_at_second && f->events == 2)
		f->client->ops->watch_close(f->client, f->watch);
	if (f->destroy_at_second && f->events == 2)
		client_destroy(TAKE_PTR(f->client));
}

static void on_ended(void *user)
{
	struct fixture *f = user;
	f->ended++;
	f->done = true;
}

static const struct client_watch_handler handler = {on_event, on_ended};

static void open_watch(struct fixture *f, uint64_t since)
{
	struct client_watch_options o = {.kind = config_map(f), .since = since};
	f->watch = f->client->ops->watch(f->client, &o, &handler, f);
}

static void event_line(char room[256], const char *type, const char *name, unsigned revision)
{
	snprintf(room, 256,
		"{\"type\":\"%s\",\"object\":{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\","
		"\"namespace\":"
		"\"default\",\"uid\":\"u\",\"resourceVersion\":\"%u\"}}}\n",
		type, name, revision);
}

static void test_watch(void **state)
{
	struct fixture *f = *state;
	char line[256];
	open_watch(f, 5);
	while (!f->stream)
		uv_run(&f->loop, UV_RUN_ONCE);
	/* One event in single bytes. */
	event_line(line, "ADDED", "one", 6);
	for (size_t n = 0; line[n]; n++) {
		http_stream_write(f->stream, line + n, 1);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	until(f, &f->done);
	assert_int_equal(f->events, 1);
	/* Several in one piece. */
	struct buf b = BUF_INIT;
	event_line(line, "MODIFIED", "two", 7);
	buf_add_str(&b, line);
	event_line(line, "DELETED", "three", 8);
	buf_add_str(&b, line);
	buf_add_str(&b, "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"ConfigMap\",\"metadata\":"
			"{\"resourceVersion\":\"99\"}}}\n");
	http_stream_write(f->stream, b.data, b.size);
	while (!f->bookmarks)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->events, 3);
	assert_string_equal(f->names[2], "three");
	assert_int_equal(f->revision, 99);
	/* The server ends it. */
	http_stream_end(f->stream);
	f->stream = NULL;
	while (!f->ended)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->errors, 0);
	buf_finish(&b);
}

static void test_watch_fails(void **state)
{
	struct fixture *f = *state;
	/* Too old. */
	open_watch(f, 1);
	while (!f->ended)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->errors, 1);
	assert_int_equal(f->code, 410);
	/* Nonsense in the stream. */
	open_watch(f, 5);
	while (!f->stream)
		uv_run(&f->loop, UV_RUN_ONCE);
	http_stream_write(f->stream, "{\"type\":\n", 9);
	while (f->ended < 2)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->errors, 2);
	/* The connection was given up by the client: the server's side is finished in any case. */
	http_stream_end(f->stream);
	f->stream = NULL;
}

static void test_watch_closed_inside(void **state)
{
	struct fixture *f = *state;
	char line[256];
	f->close_at_second = true;
	open_watch(f, 5);
	while (!f->stream)
		uv_run(&f->loop, UV_RUN_ONCE);
	struct buf b = BUF_INIT;
	for (unsigned n = 0; n < 5; n++) {
		event_line(line, "ADDED", "x", 6 + n);
		buf_add_str(&b, line);
	}
	http_stream_write(f->stream, b.data, b.size);
	while (f->events < 2)
		uv_run(&f->loop, UV_RUN_ONCE);
	for (int n = 0; n < 20; n++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->events, 2);
	assert_int_equal(f->ended, 0);
	buf_finish(&b);
}

/* The client goes inside a callback of its own: nothing comes after, nothing is freed twice. */
static void test_destroyed_in_event(void **state)
{
	struct fixture *f = *state;
	char line[256];
	f->destroy_at_second = true;
	open_watch(f, 5);
	while (!f->stream)
		uv_run(&f->loop, UV_RUN_ONCE);
	for (unsigned n = 0; n < 5; n++) {
		event_line(line, "ADDED", "x", 6 + n);
		http_stream_write(f->stream, line, strlen(line));
	}
	while (f->events < 2)
		uv_run(&f->loop, UV_RUN_ONCE);
	for (int n = 0; n < 20; n++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->events, 2);
	assert_int_equal(f->ended, 0);
}

static void destroy_on_list(void *user, const struct client_list_result *r)
{
	struct fixture *f = user;
	client_destroy(TAKE_PTR(f->client));
	assert_int_equal(r->count, 1); /* still there for the callback */
	f->done = true;
}

static void test_destroyed_in_list(void **state)
{
	struct fixture *f = *state;
	struct client_list_options o = {.kind = config_map(f), .namespace = "default"};
	f->client->ops->list(f->client, &o, destroy_on_list, f);
	until(f, &f->done);
}

static void test_unreachable(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct client *c;
	unlink(f->config);
	write_config(f, "http://127.0.0.1:1");
	assert_int_equal(client_https_create(&f->loop, f->kinds, f->config, "test/1", &c, &err), 0);
	struct client_request req = {.method = "GET", .path = "/version"};
	client_request(c, &req, on_done, f);
	until(f, &f->done);
	assert_int_equal(f->code, 0);
	assert_true(f->message[0] != '\0');
	client_destroy(c);
}

static void test_kubeconfig(void **state)
{
	struct fixture *f = *state;
	struct kubeconfig k;
	struct err err = ERR_INIT;
	assert_int_equal(kubeconfig_load(f->config, NULL, &k, &err), 0);
	assert_string_equal(k.namespace, "team");
	assert_string_equal(k.token, "secret-token");
	assert_string_equal(k.path, "/prefix");
	assert_string_equal(k.tls_name, "127.0.0.1");
	assert_false(k.tls);
	kubeconfig_finish(&k);
	assert_true(kubeconfig_load(f->config, "there", &k, &err) < 0);
	assert_non_null(strstr(err.msg, "there is no context 'there'"));
	assert_true(kubeconfig_load("/nonexistent/config", NULL, &k, &err) < 0);
	assert_non_null(strstr(err.msg, "/nonexistent/config"));
	unlink(f->config);
	write_config(f, "https://[::1]:6443");
	assert_int_equal(kubeconfig_load(f->config, NULL, &k, &err), 0);
	assert_string_equal(k.address, "tcp://[::1]:6443");
	assert_string_equal(k.tls_name, "::1");
	kubeconfig_finish(&k);
	/* No authority to verify with, and not told to do without. */
	struct client *c;
	err = ERR_INIT;
	assert_true(client_https_create(&f->loop, f->kinds, f->config, "test/1", &c, &err) < 0);
	assert_non_null(strstr(err.msg, "certificate-authority"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_closed_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroyed_in_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroyed_in_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreachable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kubeconfig, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
