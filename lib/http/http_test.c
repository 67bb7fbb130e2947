#include "lib/http/http_range.h"
#include "lib/http/http_test_util.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <zlib.h>

/* --- a server whose handler is chosen by the path --- */

static struct http_request *pending;
static unsigned cancelled_count, closed_count, drained_count;

static void on_cancelled(struct http_request *req)
{
	cancelled_count++;
	if (req->user)
		http_respond(req, 200, "text/plain", NULL, "late", 4);
}

static void on_request_closed(struct http_request *req)
{
	closed_count++;
	if (pending == req)
		pending = NULL;
}

static void on_drained(struct http_request *req)
{
	drained_count++;
	http_stream_end(req);
}

static char big_text[32 << 20]; /* more than the kernel's buffers on both sides take */

#define LARGE_PARTS 4000
#define LARGE_BYTES (LARGE_PARTS * 5001 + LARGE_PARTS / 100 * 499)

#define SOURCE_LINES 400000u
#define SOURCE_SIZE (SOURCE_LINES * 8)
#define SOURCE_ENDLESS 4000000u /* more than the kernel's buffers on both sides take */
static unsigned sources_finished;

struct lines {
	unsigned at, end;
};

static bool source_next(void *user, struct buf *out)
{
	struct lines *l = user;
	for (unsigned i = 0; i < 8000 && l->at < l->end; i++)
		buf_printf(out, "%07u\n", l->at++);
	return l->at < l->end;
}

static void source_finish(void *user)
{
	sources_finished++;
}

static void handler(struct http_request *req, void *user)
{
	req->closed = on_request_closed;
	if (streq(req->path, "/echo")) {
		http_respond(req, 200, "application/octet-stream", "X-Extra: 1\r\n", req->body,
			req->body_size);
	} else if (streq(req->path, "/who")) {
		struct buf b = BUF_INIT;
		buf_printf(&b, "%s", req->peer_refused ? "refused" : req->peer_cn);
		for (size_t i = 0; i < req->peer_org_count; i++)
			buf_printf(&b, ",%s", req->peer_orgs[i]);
		http_respond(req, 200, "text/plain", NULL, b.data ? b.data : "", b.size);
		buf_finish(&b);
	} else if (streq(req->path, "/parts")) {
		char *big = xmalloc(100000);
		memset(big, 'b', 100000);
		struct blob *b = blob_new(big, 100000);
		free(big);
		struct http_part parts[] = {
			{.text = "[", .text_size = 1}, {.blob = b}, {.text = "]", .text_size = 1}};
		http_respond_parts(req, 201, "text/plain", NULL, parts, 3);
		blob_unref(b);
	} else if (streq(req->path, "/later")) {
		req->cancelled = on_cancelled;
		pending = req;
	} else if (streq(req->path, "/later-answers-cancel")) {
		req->cancelled = on_cancelled;
		req->user = req;
		pending = req;
	} else if (streq(req->path, "/stream")) {
		http_stream_begin(req, 200, "application/json", NULL);
		http_stream_write(req, "one\n", 4);
		struct http_part parts[] = {
			{.text = "tw", .text_size = 2}, {.text = "o\n", .text_size = 2}};
		struct blob *piece = http_piece_new(parts, ARRAY_LEN(parts));
		http_stream_write_piece(req, piece);
		http_stream_write_parts(req, parts, ARRAY_LEN(parts));
		blob_unref(piece);
		http_stream_end(req);
	} else if (str_has_prefix(req->path, "/sized")) {
		http_stream_begin_sized(req, 200, "application/json", "X-Extra: 4\r\n", 8);
		http_stream_write(req, "one\n", 4);
		if (!streq(req->path, "/sized-short"))
			http_stream_write(req, "two\n", 4);
		if (streq(req->path, "/sized-long"))
			http_stream_write(req, "3", 1);
		http_stream_end(req);
	} else if (streq(req->path, "/flood")) {
		static char zeros[65536];
		http_stream_begin(req, 200, NULL, NULL);
		http_stream_on_drained(req, on_drained);
		/* More than the kernel's buffers on both sides take. */
		while (http_stream_queued(req) <= 16 * STREAM_HIGH_BYTES)
			http_stream_write(req, zeros, sizeof(zeros));
		pending = req;
	} else if (streq(req->path, "/big")) {
		struct blob *b = blob_new(big_text, sizeof(big_text));
		http_respond_parts(req, 200, NULL, NULL, &(struct http_part){.blob = b}, 1);
		blob_unref(b);
	} else if (streq(req->path, "/large") || streq(req->path, "/large-gzip")) {
		struct http_part parts[LARGE_PARTS * 2];
		struct blob *b = blob_new(big_text, 5000);
		for (size_t i = 0; i < LARGE_PARTS; i++) {
			parts[2 * i] = (struct http_part){.blob = b};
			parts[2 * i + 1] = (struct http_part){
				.text = big_text, .text_size = i % 100 ? 1 : 500};
		}
		http_respond_large(req, 200, NULL, "X-Extra: 2\r\n", parts, LARGE_PARTS * 2,
			streq(req->path, "/large-gzip"));
		blob_unref(b);
	} else if (strncmp(req->path, "/source", 7) == 0) {
		struct lines *l = ARENA_NEW(&req->arena, struct lines);
		l->end = streq(req->path, "/source-few")       ? 3
			 : streq(req->path, "/source-endless") ? SOURCE_ENDLESS
							       : SOURCE_LINES;
		http_respond_source(req, 200, "text/plain", "X-Extra: 3\r\n",
			&(struct http_source){source_next, source_finish, l},
			streq(req->path, "/source-gzip"));
		pending = req;
	} else if (streq(req->path, "/abort")) {
		http_abort(req);
	} else if (streq(req->path, "/q")) {
		const char *a = http_query_get(req, "a", 0), *a1 = http_query_get(req, "a", 1),
			   *bad = http_query_get(req, "bad", 0),
			   *none = http_query_get(req, "none", 0);
		char *text = arena_printf(&req->arena, "%s|%s|%s|%s", a ? a : "-", a1 ? a1 : "-",
			bad ? bad : "-", none ? none : "-");
		http_respond(req, 200, "text/plain", NULL, text, strlen(text));
	} else if (streq(req->path, "/upgrade")) {
		const char *protocol;
		if (!http_wants_upgrade(req, &protocol)) {
			http_respond(req, 400, NULL, NULL, NULL, 0);
			return;
		}
		struct stream *s = http_upgrade(req, protocol, NULL);
		assert_non_null(s);
		echo_stream_start(s);
	} else {
		http_respond(req, 404, "text/plain", NULL, req->path, strlen(req->path));
	}
}

static void on_large_data(void *user, const char *p, size_t size)
{
	struct result *to = user;
	buf_add(&to->body, p, size);
	if (to->pause_on_data && to->body.size > 100000)
		http_call_pause(to->call);
}

static void test_large(void **state)
{
	struct fixture *f = *state;
	struct result r = {0}, other = {0};
	struct http_call_options o = call_options(&r, "GET", "/large");
	o.data = on_large_data;
	r.pause_on_data = true;
	r.call = http_call(f->endpoint, &o);
	run_while(f, r.body.size <= 100000, 20000);
	/* One that does not read holds up nobody. */
	struct http_call_options quick = call_options(&other, "GET", "/echo");
	http_call(f->endpoint, &quick);
	wait_result(f, &other);
	assert_false(r.done);
	r.pause_on_data = false;
	http_call_resume(r.call);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body.size, LARGE_BYTES);
	result_reset(&other);
	result_reset(&r);
	o.data = NULL;
	o.method = "HEAD";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.body.size, 0);
	result_reset(&r);
}

static void test_large_gzip(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/large-gzip");
	for (size_t i = 0; i < sizeof(big_text); i++)
		big_text[i] = (char)(i * i >> 7);
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.extra, "2");
	char *plain = xmalloc(LARGE_BYTES + 1);
	z_stream z = {.next_in = (Bytef *)r.body.data,
		.avail_in = (uInt)r.body.size,
		.next_out = (Bytef *)plain,
		.avail_out = LARGE_BYTES + 1};
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, LARGE_BYTES);
	assert_int_equal(z.avail_in, 0);
	size_t at = 0;
	for (size_t i = 0; i < LARGE_PARTS; i++) {
		assert_memory_equal(plain + at, big_text, 5000);
		at += 5000 + (i % 100 ? 1 : 500);
	}
	inflateEnd(&z);
	free(plain);
	result_reset(&r);
	memset(big_text, 0, sizeof(big_text));
	/* A client that goes away in the middle. */
	int fd = raw_connect(f);
	struct buf b = BUF_INIT;
	raw_send(fd, "GET /large-gzip HTTP/1.1\r\nHost: a\r\n\r\n");
	raw_read(f, fd, &b, 100);
	close(fd);
	buf_finish(&b);
	run_while(f, f->server->conn_count > 1, 20000);
}

static int setup_plain(void **state)
{
	cancelled_count = closed_count = drained_count = 0;
	pending = NULL;
	*state = fixture_create(false, handler, 0);
	return 0;
}

static int setup_tls(void **state)
{
	cancelled_count = closed_count = drained_count = 0;
	pending = NULL;
	*state = fixture_create(true, handler, 0);
	return 0;
}

static int setup_impatient(void **state)
{
	cancelled_count = closed_count = drained_count = 0;
	pending = NULL;
	*state = fixture_create(false, handler, 100);
	return 0;
}

static int teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

/* --- whole answers --- */

static void check_passes(struct fixture *f, size_t body_size)
{
	struct result r = {0};
	struct http_call_options o = call_options(&r, "POST", "/echo");
	char *body = xcalloc(1, body_size);
	o.body = body;
	o.body_size = body_size;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body.size, body_size);
	result_reset(&r);
	free(body);
}

static void check_source(const struct result *r)
{
	assert_int_equal(r->status, 200);
	assert_string_equal(r->extra, "3");
	assert_int_equal(r->body.size, SOURCE_SIZE);
	for (unsigned i = 0; i < SOURCE_LINES; i += 997) {
		char line[16];
		snprintf(line, sizeof(line), "%07u\n", i);
		assert_memory_equal(r->body.data + i * 8, line, 8);
	}
}

/* Answers that are made as they are taken. */
static void test_source(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/source");
	sources_finished = 0;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	check_source(&r);
	result_reset(&r);
	run_while(f, sources_finished != 1, 5000);

	o.target = "/source-few";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.body.size, 24);
	result_reset(&r);
	run_while(f, sources_finished != 2, 5000);

	/* The client takes nothing for a while: nor is more made. */
	r.pause_on_data = true;
	o.target = "/source";
	o.data = result_data;
	o.target = "/source-endless";
	struct http_call *c = r.call = http_call(f->endpoint, &o);
	run_while(f, !r.body.size, 5000);
	run_turns(f, 200);
	assert_in_range(f->server->waiting_bytes, 1, 2 * STREAM_HIGH_BYTES);
	r.pause_on_data = false;
	http_call_cancel(c);
	run_while(f, sources_finished != 3, 5000);
	result_reset(&r);
	assert_int_equal(f->server->waiting_bytes, 0);
}

static void test_source_aborted(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {"/source", "/source-gzip"};
	for (int i = 0; i < 2; i++) {
		struct result r = {0};
		struct http_call_options o = call_options(&r, "GET", paths[i]);
		sources_finished = 0;
		pending = NULL;
		http_call(f->endpoint, &o);
		run_while(f, !pending, 5000);
		http_abort(pending);
		wait_result(f, &r);
		assert_int_equal(r.err.code, -ECONNRESET);
		run_while(f, !sources_finished, 5000);
		result_reset(&r);
	}
	run_turns(f, 20);
	assert_int_equal(f->server->waiting_bytes, 0);
}

/* Who takes nothing of large answers holds up further ones, and nothing else. */
static void test_too_much_waits(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/source");
	f->server->waiting_max_bytes = 300000;
	int fd = raw_connect(f);
	raw_send(fd, "GET /source-endless HTTP/1.1\r\nHost: a\r\n\r\n");
	run_while(f, f->server->waiting_bytes < 300000, 5000);
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 429);
	result_reset(&r);
	o.target = "/large";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 429);
	result_reset(&r);
	o.target = "/q?a=1";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	result_reset(&r);
	check_passes(f, 50000); /* a write: what it did is done */
	close(fd);
	run_while(f, f->server->waiting_bytes > 100000, 5000);
	o.target = "/source";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	check_source(&r);
	result_reset(&r);
	run_turns(f, 20);
	assert_int_equal(f->server->waiting_bytes, 0);
}

static void test_echo(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "POST", "/echo");
	o.body = "hello";
	o.body_size = 5;
	for (int i = 0; i < 5; i++) {
		http_call(f->endpoint, &o);
		wait_result(f, &r);
		assert_int_equal(r.status, 200);
		assert_string_equal(r.body.data, "hello");
		assert_string_equal(r.extra, "1");
		result_reset(&r);
	}
	assert_int_equal(f->server->conn_count, 1); /* kept alive */
}

static void test_large_bodies(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	size_t size = 2900000;
	char *body = xmalloc(size);
	for (size_t i = 0; i < size; i++)
		body[i] = (char)(i * 7 + i / 1000);
	struct http_call_options o = call_options(&r, "PUT", "/echo");
	o.headers = "Expect: 100-continue\r\n";
	o.body = body;
	o.body_size = size;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body.size, size);
	assert_memory_equal(r.body.data, body, size);
	result_reset(&r);
	o.body = xrealloc(body, 3200000);
	o.body_size = 3200000;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 413);
	result_reset(&r);
	free((void *)o.body);
}

static void test_parts(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/parts");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 201);
	assert_int_equal(r.body.size, 100002);
	assert_int_equal(r.body.data[0], '[');
	assert_int_equal(r.body.data[100001], ']');
	result_reset(&r);
	o.method = "HEAD";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 201);
	assert_int_equal(r.body.size, 0);
	result_reset(&r);
	assert_int_equal(f->server->conn_count, 1);
}

static void test_many_at_once(void **state)
{
	struct fixture *f = *state;
	struct result r[50] = {0};
	for (int i = 0; i < 50; i++) {
		struct http_call_options o = call_options(&r[i], "POST", "/echo");
		o.body = &i;
		o.body_size = sizeof(i);
		http_call(f->endpoint, &o);
	}
	for (int i = 0; i < 50; i++) {
		wait_result(f, &r[i]);
		assert_int_equal(r[i].status, 200);
		assert_memory_equal(r[i].body.data, &i, sizeof(i));
		result_reset(&r[i]);
	}
}

static void test_query_and_path(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/q?a=x%20y&a=1+2&bad=%zz&b");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_string_equal(r.body.data, "x y|1 2|-|-");
	result_reset(&r);
	o.target = "/no%74hing/here";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 404);
	assert_string_equal(r.body.data, "/nothing/here");
	result_reset(&r);
	static const char *const refused[] = {"/a%2Fb", "/a%2fb", "/a/../b", "/a/%2e%2E", "/.",
		"/%00", "/%ff", "/%zz", "relative", "*"};
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		o.target = refused[i];
		http_call(f->endpoint, &o);
		wait_result(f, &r);
		assert_int_equal(r.status, 400);
		result_reset(&r);
	}
}

/* --- streamed answers --- */

static void test_stream(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/stream");
	o.begin = result_begin;
	o.data = result_data;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_true(r.begun);
	assert_string_equal(r.body.data, "one\ntwo\ntwo\n");
	result_reset(&r);
	assert_int_equal(f->server->conn_count, 1);
}

/* With a length: the connection goes on, but not when it turns out wrong. */
static void test_sized(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	raw_send(fd, "GET /sized HTTP/1.1\r\nHost: h\r\n\r\n"
		     "HEAD /sized HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	char *text = raw_read_all(f, fd), *head = strstr(text, "one\ntwo\nHTTP/1.1 200");
	assert_non_null(strstr(text, "Content-Length: 8\r\n"));
	assert_null(strstr(text, "chunked"));
	assert_non_null(head);
	assert_non_null(strstr(head, "Content-Length: 8\r\n"));
	assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
	free(text);
	static const char *const wrong[] = {"short", "long"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char request[128];
		snprintf(request, sizeof(request), "GET /sized-%s HTTP/1.1\r\nHost: h\r\n\r\n",
			wrong[i]);
		fd = raw_connect(f);
		raw_send(fd, request);
		text = raw_read_all(f, fd); /* to the end: it is closed */
		assert_null(strstr(text, "two\n3"));
		free(text);
	}
}

static void test_back_pressure(void **state)
{
	struct fixture *f = *state;
	struct result r = {.pause_on_data = true};
	struct http_call_options o = call_options(&r, "GET", "/flood");
	o.begin = result_begin;
	o.data = result_data;
	r.call = http_call(f->endpoint, &o);
	run_while(f, !r.body.size, 5000);
	size_t at = r.body.size;
	run_turns(f, 50);
	assert_int_equal(r.body.size, at); /* paused means paused */
	assert_int_equal(drained_count, 0);
	r.pause_on_data = false;
	http_call_resume(r.call);
	wait_result(f, &r);
	assert_int_equal(drained_count, 1);
	assert_true(r.body.size > STREAM_HIGH_BYTES);
	result_reset(&r);
}

static void test_aborted(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/abort");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.err.code, -ECONNRESET);
	result_reset(&r);
}

/* --- clients that go away --- */

static void test_cancelled(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {"/later", "/later-answers-cancel"};
	for (int i = 0; i < 2; i++) {
		struct result r = {0};
		struct http_call_options o = call_options(&r, "GET", paths[i]);
		cancelled_count = closed_count = 0;
		struct http_call *c = http_call(f->endpoint, &o);
		run_while(f, !pending, 5000);
		http_call_cancel(c);
		run_while(f, !cancelled_count, 5000);
		assert_int_equal(cancelled_count, 1);
		if (i == 0) {
			assert_int_equal(closed_count, 0);
			http_respond(pending, 200, NULL, NULL, "x", 1);
		}
		run_while(f, !closed_count || f->server->conn_count, 5000);
		assert_int_equal(closed_count, 1);
		assert_false(r.done);
	}
}

static void test_answer_later(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/later");
	http_call(f->endpoint, &o);
	run_while(f, !pending, 5000);
	http_respond(pending, 200, "text/plain", NULL, "late", 4);
	wait_result(f, &r);
	assert_string_equal(r.body.data, "late");
	result_reset(&r);
}

/* Answered in place of the handler, whose request stays until it is through. */
static void test_answer_early(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/later");
	for (int i = 0; i < 3; i++) {
		closed_count = 0;
		pending = NULL;
		http_call(f->endpoint, &o);
		run_while(f, !pending, 5000);
		assert_false(http_answered(pending));
		assert_true(http_respond_early(pending, 504, "text/plain", NULL, "slow", 4));
		assert_true(http_answered(pending));
		assert_false(http_respond_early(pending, 504, "text/plain", NULL, "slow", 4));
		wait_result(f, &r);
		assert_int_equal(r.status, 504);
		assert_string_equal(r.body.data, "slow");
		result_reset(&r);
		assert_int_equal(closed_count, 0);
		check_passes(f, 1);
		closed_count = 0;
		struct blob *b = blob_new("late", 4);
		if (i == 0) {
			http_respond(pending, 200, "text/plain", NULL, "late", 4);
		} else if (i == 1) {
			http_respond_large(
				pending, 200, NULL, NULL, &(struct http_part){.blob = b}, 1, true);
		} else {
			http_stream_begin(pending, 200, NULL, NULL);
			http_stream_write_parts(pending, &(struct http_part){.blob = b}, 1);
			http_stream_end(pending);
		}
		blob_unref(b);
		run_while(f, !closed_count, 5000);
	}
}

static void test_answer_early_raw(void **state)
{
	struct fixture *f = *state;
	/* One that does not close its connection gets what the handler says neither. */
	int fd = raw_connect(f);
	pending = NULL;
	raw_send(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /q HTTP/1.1\r\nHost: a\r\n\r\n");
	run_while(f, !pending, 5000);
	assert_true(http_respond_early(pending, 504, NULL, NULL, "slow", 4));
	run_turns(f, 10);
	http_respond(pending, 200, NULL, NULL, "late", 4);
	char *all = raw_read_all(f, fd);
	assert_non_null(strstr(all, "HTTP/1.1 504 "));
	assert_non_null(strstr(all, "Connection: close\r\n"));
	assert_string_equal(all + strlen(all) - 4, "slow");
	free(all);
	/* Nobody waits: nothing is done. */
	fd = raw_connect(f);
	pending = NULL;
	cancelled_count = 0;
	raw_send(fd, "GET /later HTTP/1.0\r\n\r\n");
	run_while(f, !pending, 5000);
	struct linger at_once = {.l_onoff = 1};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd);
	run_while(f, !cancelled_count, 5000);
	assert_false(http_respond_early(pending, 504, NULL, NULL, "slow", 4));
	http_abort(pending);
}

static void test_malformed_calls(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *method, *target, *headers;
	} bad[] = {
		{"GET", "/q\r\nX: 1", NULL},
		{"GET", "/q HTTP/1.1\r\n\r\n", NULL},
		{"GET", "/a b", NULL},
		{"GET", "", NULL},
		{"GET /q", "/q", NULL},
		{"", "/q", NULL},
		{"GET", "/q", "X: 1"},
		{"GET", "/q", "X: 1\n"},
		{"GET", "/q", "X: a\nb\r\n"},
		{"GET", "/q", "X: a\rb\r\n"},
		{"GET", "/q", "X: a\r\n\r\nGET / HTTP/1.1\r\n"},
		{"GET", "/q", "\r\n"},
		{"GET", "/q", "X y: 1\r\n"},
		{"GET", "/q", ": 1\r\n"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct result r = {0};
		struct http_call_options o = call_options(&r, bad[i].method, bad[i].target);
		o.headers = bad[i].headers;
		http_call(f->endpoint, &o);
		assert_false(r.done);
		wait_result(f, &r);
		assert_int_equal(r.err.code, -EINVAL);
		result_reset(&r);
		http_call_cancel(http_call(f->endpoint, &o));
		run_turns(f, 3);
		assert_false(r.done);
	}
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/q?a=%0d%0a");
	o.headers = "X-Tab: a\tb\r\nX-None:\r\nX-High: \xc3\xa9\r\n";
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	result_reset(&r);
	/* One of them is told of with those that the endpoint's end cuts off. */
	struct result one = {0}, two = {0};
	o.target = "/later";
	o.user = &one;
	http_call(f->endpoint, &o);
	o.target = "\n";
	o.user = &two;
	http_call(f->endpoint, &o);
	http_endpoint_destroy(TAKE_PTR(f->endpoint));
	run_while(f, !one.done || !two.done, 5000);
	assert_int_equal(one.err.code, -ECANCELED);
	assert_int_equal(two.err.code, -EINVAL);
	result_reset(&one);
	result_reset(&two);
}

static void test_call_timeout(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/later");
	check_passes(f, 1); /* leaves a connection, so that the request goes out at once */
	o.timeout_ms = 50;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.err.code, -ETIMEDOUT);
	run_while(f, !cancelled_count, 5000);
	http_abort(pending);
	result_reset(&r);
}

static void test_endpoint_destroyed(void **state)
{
	struct fixture *f = *state;
	struct result r[3] = {0};
	for (int i = 0; i < 3; i++) {
		struct http_call_options o = call_options(&r[i], "GET", "/echo");
		http_call(f->endpoint, &o);
	}
	http_endpoint_destroy(TAKE_PTR(f->endpoint));
	for (int i = 0; i < 3; i++) {
		wait_result(f, &r[i]);
		assert_int_equal(r[i].err.code, -ECANCELED);
	}
}

static void destroy_in_data(void *user, const char *p, size_t size)
{
	struct result *r = user;
	http_endpoint_destroy(TAKE_PTR(r->fixture->endpoint));
}

static void cancel_in_data(void *user, const char *p, size_t size)
{
	struct result *r = user;
	r->done = true;
	http_call_cancel(r->call);
}

static void test_cancel_in_callbacks(void **state)
{
	struct fixture *f = *state;
	struct result r = {.fixture = f};
	struct http_call_options o = call_options(&r, "GET", "/stream");
	o.data = cancel_in_data;
	r.call = http_call(f->endpoint, &o);
	wait_result(f, &r);
	result_reset(&r);
	r.fixture = f;
	o.data = destroy_in_data;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.err.code, -ECANCELED);
	result_reset(&r);
}

/* A server that closes idle connections must not fail the next GET. */
static void test_stale_connection(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/stream");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	result_reset(&r);
	assert_int_equal(f->server->conn_count, 1);
	LIST_FOR_EACH(c, &f->server->conns, struct http_conn, link)
		http_conn_drop(c);
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	result_reset(&r);
}

static void test_refused_connection(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_endpoint_options eo = {
		.loop = &f->loop, .address = "unix:///nonexistent/socket"};
	struct http_endpoint *e = http_endpoint_create(&eo);
	struct http_call_options o = call_options(&r, "GET", "/");
	http_call(e, &o);
	wait_result(f, &r);
	assert_int_equal(r.err.code, -ENOENT);
	assert_non_null(strstr(r.err.msg, "/nonexistent/socket"));
	result_reset(&r);
	http_endpoint_destroy(e);
}

/* A server of our own that answers the first request of an endpoint with these bytes. */
static void call_answered_with(
	struct fixture *f, struct result *r, const char *piece, unsigned times)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t size = sizeof(a);
	char address[64];
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", ntohs(a.sin_port));
	struct http_endpoint_options eo = {.loop = &f->loop, .address = address};
	struct http_endpoint *e = http_endpoint_create(&eo);
	struct http_call_options o = call_options(r, "GET", "/");
	http_call(e, &o);
	run_turns(f, 3); /* until the connection waits to be accepted */
	int peer = accept(fd, NULL, NULL);
	for (unsigned i = 0; i < times; i++)
		raw_send(peer, piece);
	wait_result(f, r);
	http_endpoint_destroy(e);
	close(peer);
	close(fd);
}

static void test_interim_answers(void **state)
{
	struct result r = {0};
	call_answered_with(*state, &r,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		1);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body.data, "ok");
	result_reset(&r);
	call_answered_with(*state, &r, "HTTP/1.1 100 Continue\r\n\r\n", 100);
	assert_int_equal(r.err.code, -EPROTO);
	result_reset(&r);
}

/* --- upgrades --- */

static void test_upgrade(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/upgrade");
	o.headers = "Connection: Upgrade\r\nUpgrade: echo\r\n";
	o.upgraded = result_upgraded;
	http_call(f->endpoint, &o);
	run_while(f, !r.stream, 5000);
	struct pipe_end e = {0};
	stream_set_handler(r.stream, &pipe_end_handler, &e);
	stream_read_start(r.stream);
	stream_write(r.stream, "ping", 4);
	run_while(f, e.in.size < 4, 5000);
	assert_string_equal(e.in.data, "ping");
	stream_shutdown(r.stream);
	run_while(f, !e.eof, 5000);
	stream_close(r.stream);
	run_while(f, !e.closed, 5000);
	buf_finish(&e.in);
	o.headers = NULL;
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 400);
	result_reset(&r);
}

/* --- bytes by hand --- */

static void test_pipelining(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	raw_send(fd,
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /later HTTP/1.1\r\nHost: h\r\n\r\n"
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n"
		"Host: h\r\nConnection: close\r\n\r\n");
	run_while(f, !pending, 5000);
	http_respond(pending, 200, NULL, NULL, "LATER", 5);
	char *text = raw_read_all(f, fd);
	char *a = strstr(text, "\r\n\r\n/a"), *later = strstr(text, "\r\n\r\nLATER"),
	     *abc = strstr(text, "\r\n\r\nabc"), *b = strstr(text, "\r\n\r\n/b");
	assert_true(a && later && abc && b && a < later && later < abc && abc < b);
	assert_non_null(strstr(abc, "Connection: close"));
	free(text);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text, *status;
	} cases[] = {
		{"GET / HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400"},
		{"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 400"},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
			"HTTP/1.1 400"},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n0\r\n\r\n",
			"HTTP/1.1 400"},
		{"\x16\x03\x01", "HTTP/1.1 400"},
		{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n", "HTTP/1.1 413"},
		{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd = raw_connect(f);
		raw_send(fd, cases[i].text);
		char *text = raw_read_all(f, fd);
		assert_true(str_has_prefix(text, cases[i].status));
		assert_null(strstr(text + 1, "HTTP/1.1")); /* one answer, then the end */
		free(text);
	}
}

static void test_http10(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	raw_send(fd, "GET /stream HTTP/1.0\r\n\r\n");
	char *text = raw_read_all(f, fd);
	assert_non_null(strstr(text, "\r\n\r\none\ntwo\ntwo\n"));
	assert_null(strstr(text, "chunked"));
	free(text);
}

static void test_expect(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	raw_send(fd,
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
		"Connection: close\r\n\r\n");
	struct buf in = BUF_INIT;
	raw_read(f, fd, &in, strlen("HTTP/1.1 100 Continue\r\n\r\n"));
	assert_string_equal(in.data, "HTTP/1.1 100 Continue\r\n\r\n");
	buf_finish(&in);
	raw_send(fd, "abc");
	char *text = raw_read_all(f, fd);
	assert_true(str_has_prefix(text, "HTTP/1.1 200 OK"));
	free(text);
}

/* Asking without reading must not pile up answers in memory. */
static void test_pipelining_without_reading(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	struct buf out = BUF_INIT;
	for (int i = 0; i < 1000; i++)
		buf_add_str(&out, "GET /parts HTTP/1.1\r\nHost: h\r\n\r\n");
	buf_add_str(&out, "GET /parts HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	raw_send(fd, out.data);
	buf_finish(&out);
	run_turns(f, 100);
	struct http_conn *c = CONTAINER_OF(f->server->conns.next, struct http_conn, link);
	assert_true(stream_queued(c->stream) > 0);
	assert_true(stream_queued(c->stream) < 2 * STREAM_HIGH_BYTES);
	char *text = raw_read_all(f, fd);
	assert_true(strlen(text) > 1001 * 100002);
	free(text);
}

static void test_half_closed_client(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	raw_send(fd, "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
	shutdown(fd, SHUT_WR);
	char *text = raw_read_all(f, fd);
	assert_non_null(strstr(text, "\r\n\r\n/a"));
	assert_non_null(strstr(text, "\r\n\r\n/b"));
	free(text);
}

/* One that ends its direction before it took an answer that was complete at once. */
static void test_half_closed_client_takes_all(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	raw_send(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
	run_while(f, !closed_count, 5000);
	shutdown(fd, SHUT_WR);
	run_turns(f, 20);
	struct buf in = BUF_INIT;
	raw_read(f, fd, &in, SIZE_MAX);
	assert_true(in.size > sizeof(big_text));
	buf_finish(&in);
	close(fd);
}

/* --- the limit on what requests hold in memory --- */

static void raw_send_zeros(int fd, size_t size)
{
	char *zeros = xcalloc(1, size);
	assert_int_equal(send(fd, zeros, size, MSG_NOSIGNAL), size);
	free(zeros);
}

static void check_refused(struct fixture *f, int fd)
{
	char *text = raw_read_all(f, fd);
	assert_true(str_has_prefix(text, "HTTP/1.1 429 Too Many Requests\r\n"));
	assert_non_null(strstr(text, "\r\nRetry-After: 1\r\n"));
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	free(text);
}

static void test_too_much_at_once(void **state)
{
	struct fixture *f = *state;
	struct http_server *s = f->server;
	s->held_max_bytes = 100000;
	int one = raw_connect(f);
	raw_send(one, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
	raw_send_zeros(one, 80000);
	run_while(f, s->held_bytes < 70000, 5000);
	/* Refused by its length, before it is told to go on. */
	int two = raw_connect(f);
	raw_send(two, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n"
		      "Expect: 100-continue\r\n\r\n");
	check_refused(f, two);
	/* In the middle of a body of unknown length. */
	two = raw_connect(f);
	raw_send(two,
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n");
	raw_send_zeros(two, 60000);
	check_refused(f, two);
	/* And of a head. */
	two = raw_connect(f);
	raw_send(two, "GET /echo HTTP/1.1\r\nHost: h\r\nX: ");
	char *x = xcalloc(1, 60001);
	memset(x, 'x', 60000);
	raw_send(two, x);
	free(x);
	check_refused(f, two);
	/* Small ones pass. */
	check_passes(f, 4000);
	/* It counts until it is answered. */
	raw_send_zeros(one, 10000);
	run_while(f, !pending, 5000);
	assert_true(s->held_bytes > 80000);
	http_respond(pending, 200, NULL, NULL, "late", 4);
	run_while(f, !closed_count || s->held_bytes, 5000);
	check_passes(f, 90000);
	assert_int_equal(s->held_bytes, 0);
	close(one);
	/* So it does when the client goes away in the middle. */
	one = raw_connect(f);
	raw_send(one, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
	raw_send_zeros(one, 80000);
	run_while(f, s->held_bytes < 70000, 5000);
	close(one);
	run_while(f, s->held_bytes, 5000);
}

static void test_slow_clients(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {
		"", "GET / HT", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int fd = raw_connect(f);
		raw_send(fd, texts[i]);
		char *text = raw_read_all(f, fd); /* fails when nobody ends it */
		assert_string_equal(text, "");
		free(text);
	}
	/* One that takes nothing of its answer. */
	int fd = raw_connect(f);
	raw_send(fd, "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
	run_while(f, !pending, 5000);
	pending->cancelled = on_cancelled;
	run_while(f, !cancelled_count, 5000);
	http_stream_end(pending);
	run_while(f, f->server->conn_count, 5000);
	close(fd);
}

static void test_connection_limit(void **state)
{
	struct fixture *f = *state;
	f->server->max_connections = 1;
	int one = raw_connect(f), two = raw_connect(f);
	char *text = raw_read_all(f, two);
	assert_string_equal(text, "");
	free(text);
	raw_send(one, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	text = raw_read_all(f, one);
	assert_true(str_has_prefix(text, "HTTP/1.1 404"));
	free(text);
}

/* --- stopping --- */

static void test_stop_waits_for_answers(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/later");
	int idle = raw_connect(f);
	http_call(f->endpoint, &o);
	run_while(f, !pending || f->server->conn_count < 2, 5000);
	fixture_stop(f, 5000);
	char *text = raw_read_all(f, idle);
	assert_string_equal(text, "");
	free(text);
	assert_false(f->stopped);
	http_respond(pending, 200, NULL, NULL, "late", 4);
	wait_result(f, &r);
	assert_string_equal(r.body.data, "late");
	result_reset(&r);
	run_while(f, !f->stopped, 3000);
	assert_true(f->stopped);
}

static void test_stop_after_grace(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/later-answers-cancel");
	http_call(f->endpoint, &o);
	run_while(f, !pending, 5000);
	fixture_stop(f, 30);
	run_while(f, !f->stopped, 5000);
	assert_int_equal(cancelled_count, 1);
	assert_int_equal(closed_count, 1);
	wait_result(f, &r);
	assert_int_equal(r.err.code, -ECONNRESET);
	result_reset(&r);
}

static void test_listen_errors(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"nonsense", "1.2.3.4", "1.2.3.4:99999", "[::1:80", "unix://"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		assert_true(http_server_listen(f->server, bad[i], NULL, &err) < 0);
		assert_true(err.msg[0] != 0);
	}
	char again[64];
	snprintf(again, sizeof(again), "127.0.0.1:%d", f->port);
	assert_int_equal(http_server_listen(f->server, again, NULL, NULL), -EADDRINUSE);
}

/* --- certificates --- */

static void test_client_certificate(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/who");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_string_equal(r.body.data, "alice,system:masters,team:b");
	result_reset(&r);
}

/* Signed by the right authority, but who is it? */
static void test_two_common_names(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	char *cert_pem = NULL, *key_pem = NULL, *two_pem = NULL;
	struct pki_request q = {.cn = "alice", .client_auth = true, .days = 1};
	assert_int_equal(pki_issue(f->ca_cert, f->ca_key, &q, &cert_pem, &key_pem, NULL), 0);
	BIO *in = BIO_new_mem_buf(cert_pem, -1), *ca = BIO_new_mem_buf(f->ca_key, -1),
	    *out = BIO_new(BIO_s_mem());
	X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
	EVP_PKEY *ca_key = PEM_read_bio_PrivateKey(ca, NULL, NULL, NULL);
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
				 MBSTRING_UTF8, (const unsigned char *)"bob", -1, -1, 0),
		1);
	assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(out, cert), 1);
	long size = BIO_get_mem_data(out, &two_pem);
	two_pem = xstrndup(two_pem, (size_t)size);
	fixture_set_client(f, f->ca_cert, two_pem, key_pem, "localhost");
	struct http_call_options o = call_options(&r, "GET", "/who");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_string_equal(r.body.data, "refused");
	result_reset(&r);
	EVP_PKEY_free(ca_key);
	X509_free(cert);
	BIO_free(in);
	BIO_free(ca);
	BIO_free(out);
	free(two_pem);
	free(cert_pem);
	free(key_pem);
}

static void test_without_certificate(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	fixture_set_client(f, f->ca_cert, NULL, NULL, "localhost");
	struct http_call_options o = call_options(&r, "GET", "/who");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body.size, 0);
	result_reset(&r);
}

static void test_foreign_client_certificate(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	char *ca_cert, *ca_key, *cert, *key;
	struct pki_request q = {.cn = "mallory", .client_auth = true, .days = 1};
	assert_int_equal(pki_make_ca("test", 1, &ca_cert, &ca_key, NULL), 0);
	assert_int_equal(pki_issue(ca_cert, ca_key, &q, &cert, &key, NULL), 0);
	fixture_set_client(f, f->ca_cert, cert, key, "localhost");
	struct http_call_options o = call_options(&r, "GET", "/who");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_true(r.err.code < 0);
	assert_int_equal(closed_count, 0); /* the handler never saw it */
	result_reset(&r);
	free(ca_cert);
	free(ca_key);
	free(cert);
	free(key);
}

static void test_foreign_server_certificate(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	char *ca_cert, *ca_key;
	assert_int_equal(pki_make_ca("other", 1, &ca_cert, &ca_key, NULL), 0);
	fixture_set_client(f, ca_cert, NULL, NULL, "localhost");
	struct http_call_options o = call_options(&r, "GET", "/who");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.err.code, -EKEYREJECTED);
	result_reset(&r);
	fixture_set_client(f, f->ca_cert, NULL, NULL, "other.example");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.err.code, -EKEYREJECTED);
	result_reset(&r);
	fixture_set_client(f, f->ca_cert, NULL, NULL, "127.0.0.1");
	http_call(f->endpoint, &o);
	wait_result(f, &r);
	assert_int_equal(r.status, 200);
	result_reset(&r);
	free(ca_cert);
	free(ca_key);
}

static void test_plain_http_to_tls(void **state)
{
	struct fixture *f = *state;
	int fd = raw_connect(f);
	raw_send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	char *text = raw_read_all(f, fd);
	assert_null(strstr(text, "HTTP/1.1 200"));
	free(text);
	run_while(f, f->server->conn_count, 5000);
}

#define PLAIN(t) cmocka_unit_test_setup_teardown(t, setup_plain, teardown)
#define TLS(t)                                                                                     \
	{                                                                                          \
#t "_tls", t, setup_tls, teardown, NULL                                            \
	}
#define BOTH(t) PLAIN(t), TLS(t)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_echo),
		BOTH(test_large_bodies),
		BOTH(test_parts),
		BOTH(test_many_at_once),
		BOTH(test_stream),
		BOTH(test_back_pressure),
		BOTH(test_aborted),
		BOTH(test_cancelled),
		BOTH(test_answer_later),
		BOTH(test_answer_early),
		PLAIN(test_answer_early_raw),
		BOTH(test_call_timeout),
		PLAIN(test_malformed_calls),
		BOTH(test_endpoint_destroyed),
		BOTH(test_cancel_in_callbacks),
		BOTH(test_stale_connection),
		BOTH(test_upgrade),
		BOTH(test_stop_waits_for_answers),
		BOTH(test_stop_after_grace),
		BOTH(test_large),
		BOTH(test_source),
		PLAIN(test_source_aborted),
		PLAIN(test_too_much_waits),
		PLAIN(test_large_gzip),
		PLAIN(test_query_and_path),
		PLAIN(test_refused_connection),
		PLAIN(test_interim_answers),
		PLAIN(test_pipelining),
		PLAIN(test_refusals),
		PLAIN(test_http10),
		PLAIN(test_sized),
		PLAIN(test_expect),
		PLAIN(test_pipelining_without_reading),
		PLAIN(test_half_closed_client),
		PLAIN(test_half_closed_client_takes_all),
		PLAIN(test_too_much_at_once),
		PLAIN(test_connection_limit),
		PLAIN(test_listen_errors),
		cmocka_unit_test_setup_teardown(test_slow_clients, setup_impatient, teardown),
		TLS(test_client_certificate),
		TLS(test_two_common_names),
		TLS(test_without_certificate),
		TLS(test_foreign_client_certificate),
		TLS(test_foreign_server_certificate),
		TLS(test_plain_http_to_tls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
