#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/http/http_parser.h"

/* What the parser makes of the bytes when they come in pieces of `step`, as text. */
static char *transcript(
	bool response, bool head, const char *in, size_t size, size_t step, bool eof)
{
	struct arena a = ARENA_INIT;
	struct http_parser p = {0};
	struct buf out = BUF_INIT, body = BUF_INIT;
	bool over = false;
	size_t at = 0;
	http_parser_init(&p, response, &a);
	p.answers_head = head;
	while (!over) {
		enum http_event event;
		struct str piece;
		size_t n = MIN(step, size - at);
		at += http_parser_feed(&p, in + at, n, &event, &piece);
		switch (event) {
		case HTTP_NEED_MORE:
			if (at < size)
				break;
			if (eof)
				event = http_parser_eof(&p);
			buf_printf(&out, event == HTTP_END   ? "END-BY-EOF "
					 : event == HTTP_BAD ? "CUT "
							     : "MORE ");
			over = true;
			break;
		case HTTP_HEAD:
			if (response)
				buf_printf(&out, "%d ", p.status);
			else
				buf_printf(&out, "%s %s ", p.method, p.target);
			for (size_t i = 0; i < p.header_count; i++)
				buf_printf(&out, "%s=%s;", p.headers[i].name, p.headers[i].value);
			buf_printf(&out, "%s%s%s%s ", p.keep_alive ? "K" : "", p.http10 ? "0" : "",
				p.upgrade ? "U" : "", p.expect_continue ? "E" : "");
			break;
		case HTTP_BODY:
			buf_add(&body, piece.p, piece.size);
			break;
		case HTTP_END:
			buf_printf(&out, "END+%zu ", size - at);
			over = true;
			break;
		case HTTP_BAD:
			buf_printf(&out, "BAD%d %s ", p.status, p.reason);
			over = true;
			break;
		}
	}
	buf_printf(&out, "[%s]", body.data ? body.data : "");
	buf_finish(&body);
	http_parser_finish(&p);
	arena_finish(&a);
	return buf_take(&out);
}

/* In every cut, the same. */
static void check(bool response, bool head, bool eof, struct str in, const char *want)
{
	static const size_t steps[] = {SIZE_MAX, 1, 2, 3, 5, 7, 16, 61};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		char *got = transcript(response, head, in.p, in.size, steps[i], eof);
		assert_string_equal(got, want);
		free(got);
	}
}

#define REQUEST(in, want) check(false, false, false, STR(in), want)
#define RESPONSE(in, want) check(true, false, true, STR(in), want)

static void test_requests(void **state)
{
	REQUEST("GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?b Host=h;K END+0 []");
	REQUEST("\r\nGET / HTTP/1.1\r\nhost:h\r\n\r\n", "GET / host=h;K END+0 []");
	REQUEST("GET / HTTP/1.1\r\nHost:  h \t\r\nE:\r\n\r\n", "GET / Host=h;E=;K END+0 []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\nA: b\tc \xc3\xa9 d\r\n\r\n",
		"GET / Host=h;A=b\tc \xc3\xa9 d;K END+0 []");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /",
		"POST / Host=h;Content-Length=3;K END+5 [abc]");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"POST / Host=h;Content-Length=0;K END+0 []");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
		"5\r\nhello\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\nX",
		"POST / Host=h;Transfer-Encoding=Chunked;K END+1 [hello0123456789]");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		"1\r\na\r\n0\r\nT: v\r\nU: w\r\n\r\n",
		"POST / Host=h;Transfer-Encoding=chunked;K END+0 [a]");
	REQUEST("GET / HTTP/1.0\r\n\r\n", "GET / 0 END+0 []");
	REQUEST("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
		"GET / Connection=Keep-Alive;K0 END+0 []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\nConnection: a , Close\r\n\r\n",
		"GET / Host=h;Connection=a , Close; END+0 []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\nConnection: a\r\nConnection: b,upgrade\r\nUpgrade: "
		"x\r\n\r\n",
		"GET / Host=h;Connection=a;Connection=b,upgrade;Upgrade=x;KU END+0 []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n",
		"GET / Host=h;Upgrade=x;K END+0 []");
	REQUEST("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
		"PUT / Host=h;Expect=100-Continue;Content-Length=1;KE MORE []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\n", "MORE []");
	REQUEST("", "MORE []");
}

static void test_smuggling(void **state)
{
	REQUEST("GET / HTTP/1.1\nHost: h\n\n", "BAD400 bare line feed []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\n\r\n", "BAD400 bare line feed []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\n\n", "BAD400 bare line feed []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", "BAD400 folded header line []");
	REQUEST("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "BAD400 folded header line []");
	REQUEST("GET / HTTP/1.1\r\nHost : h\r\n\r\n", "BAD400 malformed header name []");
	REQUEST("GET / HTTP/1.1\r\n: h\r\n\r\n", "BAD400 malformed header name []");
	REQUEST("GET / HTTP/1.1\r\nHost\r\n\r\n", "BAD400 malformed header name []");
	REQUEST("GET / HTTP/1.1\r\nHo\0st: h\r\n\r\n", "BAD400 malformed header name []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n",
		"BAD400 control character in a header []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\0\r\n\r\n", "BAD400 control character in a header []");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"BAD400 more than one Content-Length []");
	static const char *const lengths[] = {
		"+1", "-1", "1, 1", "0x1", "1 1", "", "1a", "1.0", "9999999999999999999"};
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct arena a = ARENA_INIT;
		char *in = arena_printf(
			&a, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\n", lengths[i]);
		check(false, false, false, str_from(in), "BAD400 malformed Content-Length []");
		arena_finish(&a);
	}
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
		"chunked\r\n\r\n",
		"BAD400 both Content-Length and Transfer-Encoding []");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
		"chunked\r\n\r\n",
		"BAD400 more than one Transfer-Encoding []");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"BAD501 unknown Transfer-Encoding []");
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"BAD501 unknown Transfer-Encoding []");
	REQUEST("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"BAD400 Transfer-Encoding in HTTP/1.0 []");
	REQUEST("GET / HTTP/1.1\r\n\r\n", "BAD400 exactly one Host header is needed []");
	REQUEST("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"BAD400 exactly one Host header is needed []");
	REQUEST("GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n",
		"BAD417 unknown expectation []");
}

static void test_chunks(void **state)
{
#define CHUNKED(chunks, want)                                                                      \
	REQUEST("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" chunks,         \
		"POST / Host=h;Transfer-Encoding=chunked;K " want)
	CHUNKED("\r\n", "BAD400 malformed chunk size []");
	CHUNKED("0x1\r\na\r\n", "BAD400 malformed chunk size []");
	CHUNKED("+1\r\na\r\n", "BAD400 malformed chunk size []");
	CHUNKED(" 1\r\na\r\n", "BAD400 malformed chunk size []");
	CHUNKED("1 \r\na\r\n", "BAD400 malformed chunk size []");
	CHUNKED("1\na\r\n", "BAD400 malformed chunk size []");
	CHUNKED("1;a\nb\r\na\r\n", "BAD400 malformed chunk extension []");
	CHUNKED("1\rX", "BAD400 malformed chunk line []");
	CHUNKED("1\r\nab\r\n", "BAD400 chunk longer than its size [a]");
	CHUNKED("1\r\na\n0\r\n\r\n", "BAD400 chunk longer than its size [a]");
	CHUNKED("1\r\na\rX", "BAD400 chunk longer than its size [a]");
	CHUNKED("fffffffffffffffff\r\n", "BAD400 chunk size too large []");
	CHUNKED("0\r\nT: v\n\r\n", "BAD400 bare line feed []");
	CHUNKED("0\r\n T: v\r\n\r\n", "BAD400 folded header line []");
	CHUNKED("0\r\nT : v\r\n\r\n", "BAD400 malformed header name []");
	CHUNKED("3\r\nab", "MORE [ab]");
}

static void test_request_lines(void **state)
{
	REQUEST("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "BAD400 malformed request line []");
	REQUEST("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "BAD400 malformed request line []");
	REQUEST("\x16\x03\x01", "BAD400 not HTTP []");
	REQUEST(" GET / HTTP/1.1\r\n\r\n", "BAD400 not HTTP []");
	REQUEST("GET  / HTTP/1.1\r\n\r\n", "BAD400 malformed request target []");
	REQUEST("GET /  HTTP/1.1\r\n\r\n", "BAD400 malformed HTTP version []");
	REQUEST("GET / HTTP/1.1 \r\n\r\n", "BAD400 malformed HTTP version []");
	REQUEST("GET /a b HTTP/1.1\r\n\r\n", "BAD400 malformed HTTP version []");
	REQUEST("GET /\xc3\xa9 HTTP/1.1\r\n\r\n", "BAD400 malformed request target []");
	REQUEST("GET /#f HTTP/1.1\r\n\r\n", "BAD400 malformed request target []");
	REQUEST("GET /\r\n\r\n", "BAD400 malformed request target []");
	REQUEST("GET\r\n\r\n", "BAD400 malformed request line []");
	REQUEST("G{T / HTTP/1.1\r\n\r\n", "BAD400 malformed request line []");
	REQUEST("GET / http/1.1\r\n\r\n", "BAD400 malformed HTTP version []");
	REQUEST("GET / HTTP/1.10\r\n\r\n", "BAD400 malformed HTTP version []");
	REQUEST("GET / HTTP/1.2\r\n\r\n", "BAD505 HTTP version not supported []");
	REQUEST("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "BAD505 HTTP version not supported []");
}

static void test_limits(void **state)
{
	struct buf b = BUF_INIT;
	buf_add_str(&b, "GET / HTTP/1.1\r\nHost: h\r\nA: ");
	while (b.size < HTTP_HEADER_MAX_BYTES - 4)
		buf_add_char(&b, 'a');
	buf_add_str(&b, "\r\n\r\n");
	char *got = transcript(false, false, b.data, b.size, SIZE_MAX, false);
	assert_non_null(strstr(got, "END+0"));
	free(got);
	b.size -= 4;
	buf_add_str(&b, "a\r\n\r\n");
	check(false, false, false, (struct str){b.data, b.size}, "BAD431 header too large []");
	buf_clear(&b);
	buf_add_str(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 1; i < HTTP_HEADER_MAX_COUNT; i++)
		buf_add_str(&b, "A: b\r\n");
	size_t size = b.size;
	buf_add_str(&b, "\r\n");
	got = transcript(false, false, b.data, b.size, 7, false);
	assert_non_null(strstr(got, "END+0"));
	free(got);
	b.size = size;
	buf_add_str(&b, "A: b\r\n\r\n");
	check(false, false, false, (struct str){b.data, b.size}, "BAD431 too many headers []");
	buf_clear(&b);
	buf_add_str(&b, "POST / HTTP/1.0\r\nX: ");
	buf_clear(&b);
	buf_add_str(&b, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	size = b.size;
	for (int i = 0; i < 300; i++)
		buf_add_char(&b, '0');
	check(false, false, false, (struct str){b.data, b.size},
		"POST / Host=h;Transfer-Encoding=chunked;K BAD400 chunk line too long []");
	b.size = size;
	buf_add_str(&b, "0\r\nT: ");
	for (int i = 0; i < 9000; i++)
		buf_add_char(&b, 'x');
	check(false, false, false, (struct str){b.data, b.size},
		"POST / Host=h;Transfer-Encoding=chunked;K BAD431 trailer too large []");
	buf_finish(&b);
}

static void test_responses(void **state)
{
	RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
		"200 Content-Length=2;K END+0 [ab]");
	RESPONSE("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 Content-Length=0;K END+0 []");
	RESPONSE("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 Content-Length=0;K END+0 []");
	RESPONSE("HTTP/1.1 200 OK\r\n\r\nabc", "200  END-BY-EOF [abc]");
	RESPONSE("HTTP/1.0 200 OK\r\n\r\n", "200 0 END-BY-EOF []");
	RESPONSE("HTTP/1.1 204 No Content\r\n\r\nX", "204 K END+1 []");
	RESPONSE("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"304 Content-Length=5;K END+0 []");
	RESPONSE("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: spdy\r\n\r\nX",
		"101 Connection=upgrade;Upgrade=spdy;KU END+1 []");
	RESPONSE("HTTP/1.1 100 Continue\r\n\r\nHTTP", "100 K END+4 []");
	RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", "200 Content-Length=2;K CUT [a]");
	RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
		"200 Transfer-Encoding=chunked;K CUT [a]");
	RESPONSE("HTTP/1.1 200 OK\r\nTransfer-", "CUT []");
	RESPONSE("", "MORE []");
	RESPONSE("HTTP/1.1 20 OK\r\n\r\n", "BAD502 malformed status line []");
	RESPONSE("HTTP/1.1 2000 OK\r\n\r\n", "BAD502 malformed status line []");
	RESPONSE("HTTP/1.1 099 OK\r\n\r\n", "BAD502 malformed status line []");
	RESPONSE("HTTP/1.1  200 OK\r\n\r\n", "BAD502 malformed status line []");
	RESPONSE("\r\nHTTP/1.1 200 OK\r\n\r\n", "BAD400 not HTTP []");
	check(true, true, false, STR("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
		"200 Content-Length=9;K END+0 []");
	check(true, true, false, STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
		"200 Transfer-Encoding=chunked;K END+0 []");
}

static void test_lists(void **state)
{
	assert_true(http_list_has("a, b ,c", "B"));
	assert_true(http_list_has(",,a", "a"));
	assert_false(http_list_has("a b", "a"));
	assert_false(http_list_has("ab", "a"));
	assert_false(http_list_has("", "a"));
	assert_false(http_list_has(NULL, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_request_lines),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
