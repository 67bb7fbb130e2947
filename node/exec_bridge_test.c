/* Sessions in each sub-protocol: a runtime that says something and how it went. */
#include "node/bridge_test.h"
#include "node/exec_bridge.h"

static int bridge_start(struct http_request *req, struct stream *runtime)
{
	const struct exec_bridge_options options = {.in = true, .out = true};
	return exec_bridge_start(req, runtime, &options, NULL);
}

#define FAILED "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"message\":\"code 7\"}"
#define WELL "{\"status\":\"Success\"}"

/* Echoes what comes on stdin; what it says at the end is in `status`. */
struct runtime {
	struct spdy_session *session;
	struct spdy_stream *in, *out, *error;
	const char *status;
};

static void on_in_data(void *user, const char *p, size_t size)
{
	struct runtime *r = user;
	spdy_write(r->out, p, size);
	/* In two pieces: the client gets it whole. */
	spdy_write(r->error, r->status, 5);
	spdy_write(r->error, r->status + 5, strlen(r->status) - 5);
	spdy_end(r->out);
	spdy_end(r->error);
}

static void on_eof(void *user)
{
}

static void on_reset(void *user, int status)
{
}

static void on_opened(
	void *user, struct spdy_stream *st, const struct spdy_header *h, size_t count, bool fin)
{
	static const struct spdy_stream_handler handler = {
		.data = on_in_data, .eof = on_eof, .reset = on_reset};
	struct runtime *r = user;
	const char *type = spdy_header_get(h, count, "streamtype");
	assert_non_null(type);
	*(streq(type, "stdin") ? &r->in : streq(type, "stdout") ? &r->out : &r->error) = st;
	spdy_accept(st, NULL, 0, &handler, r);
}

static void on_session_closed(void *user, const char *text)
{
	struct runtime *r = user;
	r->session = NULL;
}

/* Messages as the client of bridge_test.h keeps them: the size, the channel, the text. */
static const struct {
	const char *protocol, *said, *status, *got[2];
	unsigned messages;
} sessions[] = {
	{"channel.k8s.io", "hi", FAILED,
		{"\x03\x01hi", "\x07\x03"
			       "code 7"},
		2},
	{"channel.k8s.io", "hi", WELL, {"\x03\x01hi", NULL}, 1},
	{"base64.channel.k8s.io", "hi", FAILED,
		{"\x05"
		 "1aGk=",
			"\x09"
			"3Y29kZSA3"},
		2},
	{"base64.channel.k8s.io", "hi", WELL,
		{"\x05"
		 "1aGk=",
			NULL},
		1},
	{"v9.channel.k8s.io, channel.k8s.io", "hi", FAILED,
		{"\x03\x01hi", "\x07\x03"
			       "code 7"},
		2},
};

static void run_session(struct fixture *f, struct client *c, const char *protocol, const char *said,
	const char *status)
{
	static const struct spdy_handler spdy = {.opened = on_opened, .closed = on_session_closed};
	struct runtime r = {.status = status};
	struct stream *s = client_connect(f, c, "/", protocol);
	assert_int_equal(started, 0);
	r.session = spdy_session_create(s, true, &spdy, &r);
	run_while(f, !r.in || !r.out || !r.error, 5000);
	bool base64 = strstr(protocol, "base64") != NULL;
	exec_message_send(c->w, base64, 0, said, strlen(said));
	run_while(f, c->w || r.session, 5000);
	assert_int_equal(c->code, 1000);
}

static void test_first_version(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++) {
		struct client c;
		run_session(*state, &c, sessions[i].protocol, sessions[i].said, sessions[i].status);
		assert_int_equal(c.messages, sessions[i].messages);
		for (size_t m = 0; m < sessions[i].messages; m++)
			assert_non_null(memmem(c.in.data, c.in.size, sessions[i].got[m],
				strlen(sessions[i].got[m])));
		client_end(&c);
	}
}

/* Since the fourth version the Status goes on as it is, and success is told too. */
static void test_fourth_version(void **state)
{
	static const char *const protocols[] = {
		"v4.channel.k8s.io", "v5.channel.k8s.io", "channel.k8s.io, v4.channel.k8s.io"};
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		struct client c;
		run_session(*state, &c, protocols[i], "hi", WELL);
		assert_non_null(memmem(c.in.data, c.in.size, "\x03{\"sta", 6));
		assert_non_null(memmem(c.in.data, c.in.size, "\"Success\"}", 10));
		client_end(&c);
	}
}

static void test_status_text(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_null(exec_status_text(&a, "", 0));
	assert_null(exec_status_text(&a, WELL, strlen(WELL)));
	assert_string_equal(exec_status_text(&a, FAILED, strlen(FAILED)), "code 7");
	assert_string_equal(exec_status_text(&a, "{}", 2), "the command failed");
	assert_string_equal(exec_status_text(&a, "no such file", 12), "no such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fourth_version, setup, teardown),
		cmocka_unit_test(test_status_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
