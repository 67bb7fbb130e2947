#include "lib/http/http_test_util.h"

#include "server/api/api_internal.h"

/* A store in memory that keeps its answers to itself while it is held. */
#define HELD_MAX 16
struct slow_store {
	struct store store;
	uint64_t revision;
	bool hold;
	struct {
		store_done *done;
		void *user;
	} held[HELD_MAX];
	size_t held_count;
};

static int slow_load(
	struct store *s, store_row *row, void *user, uint64_t *ret_revision, struct err *err)
{
	*ret_revision = CONTAINER_OF(s, struct slow_store, store)->revision;
	return 0;
}

static void slow_txn(
	struct store *s, const struct store_change *change, store_done *done, void *user)
{
	struct slow_store *slow = CONTAINER_OF(s, struct slow_store, store);
	if (!slow->hold) {
		done(user, 0, ++slow->revision, NULL);
		return;
	}
	assert_true(slow->held_count < HELD_MAX);
	slow->held[slow->held_count].done = done;
	slow->held[slow->held_count++].user = user;
}

static void slow_release(struct slow_store *slow)
{
	slow->hold = false;
	for (size_t i = 0; i < slow->held_count; i++)
		slow->held[i].done(slow->held[i].user, 0, ++slow->revision, NULL);
	slow->held_count = 0;
}

static void slow_compact(struct store *s, uint64_t revision)
{
}

static void slow_close(struct store *s, void (*done)(void *user), void *user)
{
	done(user);
}

static const struct store_ops slow_ops = {
	.name = "slow",
	.load = slow_load,
	.txn = slow_txn,
	.compact = slow_compact,
	.close = slow_close,
};

struct world {
	struct fixture *f;
	struct slow_store store;
	struct kind_registry *kinds;
	struct cache *cache;
	struct api *api;
};

static struct world world;

static void handler(struct http_request *req, void *user)
{
	static const char *masters[] = {"system:masters"};
	req->peer_cn = "admin";
	req->peer_orgs = masters;
	req->peer_org_count = 1;
	api_http_handler(req, world.api);
}

#define USUAL_MS 2000

static int setup(void **state)
{
	struct world *w = &world;
	struct err err = ERR_INIT;
	*w = (struct world){.store = {.store = {&slow_ops}, .revision = 1}};
	w->f = fixture_create(false, handler, 0);
	w->kinds = kind_registry_create();
	assert_int_equal(kind_registry_load_builtin(w->kinds, &err), 0);
	w->cache = cache_create(&w->f->loop, w->kinds, &w->store.store, clock_system());
	assert_int_equal(cache_load(w->cache, &err), 0);
	struct api_options o = {
		.loop = &w->f->loop,
		.kinds = w->kinds,
		.cache = w->cache,
		.clock = clock_system(),
		.random = random_seeded(1),
		.service_cidr = "10.96.0.0/24",
		.pod_cidr = "10.244.0.0/20",
		.request_timeout_ms = USUAL_MS,
	};
	assert_int_equal(api_create(&o, &w->api, &err), 0);
	return 0;
}

static void on_cache_closed(void *user)
{
	*(bool *)user = true;
}

static int teardown(void **state)
{
	struct world *w = &world;
	bool closed = false;
	api_shutdown(w->api);
	slow_release(&w->store);
	http_endpoint_destroy(TAKE_PTR(w->f->endpoint));
	fixture_stop(w->f, 0);
	run_while(w->f, !w->f->stopped, 5000);
	cache_close(w->cache, on_cache_closed, &closed);
	run_while(w->f, !closed, 5000);
	api_destroy(w->api);
	fixture_destroy(w->f);
	kind_registry_destroy(w->kinds);
	return 0;
}

static struct http_call *send_to(
	struct result *r, const char *method, const char *target, const char *body)
{
	struct http_call_options o = call_options(r, method, target);
	o.headers = "Content-Type: application/json\r\n";
	o.body = body;
	o.body_size = strlen(body);
	return http_call(world.f->endpoint, &o);
}

#define MAPS "/api/v1/namespaces/n/configmaps"

static struct http_call *create(struct result *r, const char *name, const char *query)
{
	char target[128], body[128];
	snprintf(target, sizeof(target), MAPS "%s", query);
	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"}}", name);
	return send_to(r, "POST", target, body);
}

static void expect(const char *method, const char *target, const char *body, int status)
{
	struct result r = {0};
	send_to(&r, method, target, body);
	wait_result(world.f, &r);
	if (r.status != status)
		fail_msg("%s %s: %d %s", method, target, r.status, r.body.data);
	result_reset(&r);
}

static void make_namespace(void)
{
	expect("POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}", 201);
}

static void expect_late(struct result *r)
{
	wait_result(world.f, r);
	assert_int_equal(r->status, 504);
	assert_non_null(strstr(r->body.data, "\"reason\":\"Timeout\""));
	assert_non_null(strstr(r->body.data,
		"\"message\":\"Timeout: request did not complete within the allotted timeout\""));
	result_reset(r);
}

/* The client is told; the write goes on and takes effect. */
static void test_late(void **state)
{
	struct world *w = &world;
	struct result r = {0};
	make_namespace();
	w->store.hold = true;
	create(&r, "a", "?timeout=20ms");
	expect_late(&r);
	expect("GET", MAPS "/a", "", 404);
	slow_release(&w->store);
	expect("GET", MAPS "/a", "", 200);
	expect("POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}", 409);

	struct buf out = BUF_INIT;
	metrics_write(&w->api->metrics, &out);
	buf_add_char(&out, 0);
	assert_non_null(strstr(out.data, "verb=\"POST\",resource=\"configmaps\",subresource=\"\","
					 "code=\"504\"} 1\n"));
	assert_null(strstr(out.data, "resource=\"configmaps\",subresource=\"\",code=\"201\""));
	buf_finish(&out);
}

/* Those of one attempt; the last must be in order. */
static bool ends_in_order(int tries, bool last)
{
	struct world *w = &world;
	struct result usual = {0}, more = {0}, none = {0}, longer = {0}, shorter = {0};
	char names[5][16];
	bool in_order;

	slow_release(&w->store);
	w->store.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		snprintf(names[i], sizeof(names[i]), "m%d-%zu", tries, i);
	int64_t begin = (int64_t)uv_hrtime();
	create(&usual, names[0], "");
	create(&more, names[1], "?timeout=1h");
	create(&none, names[2], "?timeout=0");
	create(&longer, names[3], "?timeout=700ms");
	create(&shorter, names[4], "?timeout=0.05s");
	expect_late(&shorter);
	in_order = !longer.done;
	expect_late(&longer);
	in_order = in_order && !usual.done && !more.done && !none.done;
	expect_late(&usual);
	expect_late(&more);
	expect_late(&none);
	assert_true((int64_t)uv_hrtime() - begin >= USUAL_MS * NS_PER_MS);
	assert_true(in_order || !last);
	return in_order;
}

/* What is answered in time is left alone; requests end in the order of their ends. */
static void test_order(void **state)
{
	struct world *w = &world;
	struct result quick = {0};
	make_namespace();
	w->store.hold = true;
	create(&quick, "q", "?timeout=1h");
	run_while(w->f, w->store.held_count != 1, 5000);
	slow_release(&w->store);
	wait_result(w->f, &quick);
	assert_int_equal(quick.status, 201);
	result_reset(&quick);

	/* On a busy machine several ends may be found at once, and told in any order. */
	for (int tries = 0; !ends_in_order(tries, tries == 20); tries++)
		;
}

static void test_bad_timeouts(void **state)
{
	static const char *const bad[] = {"x", "1", "1d", "5 s", "ms"};
	char target[64];
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct result r = {0};
		snprintf(target, sizeof(target), "/api/v1/pods?timeout=%s",
			*bad[i] == '5' ? "5%20s" : bad[i]);
		send_to(&r, "GET", target, "");
		wait_result(world.f, &r);
		assert_int_equal(r.status, 400);
		assert_non_null(
			strstr(r.body.data, "invalid timeout specified in the request URL"));
		result_reset(&r);
	}
	expect("GET", "/api/v1/pods?timeout=", "", 200);
	expect("GET", "/api/v1/pods?timeout=-1s", "", 200);
	expect("GET", "/api/v1/pods?timeout=9223372036854775807ns", "", 200);
	expect("GET", "/api/v1/pods?timeout=1ns", "", 200); /* answered at once */
}

static void no_data(void *user, const char *p, size_t size)
{
	buf_add(&((struct result *)user)->body, p, size);
}

/* Watches last, whatever they say. */
static void test_watch(void **state)
{
	struct world *w = &world;
	struct result watch = {0}, r = {0};
	struct http_call_options o =
		call_options(&watch, "GET", "/api/v1/configmaps?watch=true&timeout=20ms");
	make_namespace();
	o.begin = result_begin;
	o.data = no_data;
	struct http_call *call = http_call(w->f->endpoint, &o);
	run_while(w->f, !watch.begun, 5000);
	w->store.hold = true;
	create(&r, "a", "");
	expect_late(&r); /* the usual time has gone by */
	assert_false(watch.done);
	slow_release(&w->store);
	run_while(w->f, !watch.body.size, 5000);
	assert_non_null(memmem(watch.body.data, watch.body.size, "ADDED", 5));
	http_call_cancel(call);
	result_reset(&watch);
}

/* The server ends while requests wait: teardown. A client has gone before its end. */
static void test_ends(void **state)
{
	struct world *w = &world;
	struct result gone = {0};
	static struct result left;
	left = (struct result){0};
	make_namespace();
	w->store.hold = true;
	http_call_cancel(create(&gone, "a", "?timeout=30ms"));
	struct http_call *call = create(&gone, "b", "?timeout=30ms");
	run_while(w->f, w->store.held_count == 0, 5000);
	http_call_cancel(call);
	struct result r = {0};
	create(&r, "c", "?timeout=80ms");
	expect_late(&r);
	create(&left, "d", "");
	run_while(w->f, w->store.held_count != 3, 5000);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_late),
		TEST(test_order),
		TEST(test_bad_timeouts),
		TEST(test_watch),
		TEST(test_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
