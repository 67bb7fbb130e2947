/* The parts of gRPC that are plain computation, with what a broken or hostile server could send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/str.h"
#include "lib/grpc/grpc.h"

static void test_frames(void **state)
{
	static const char two[] = "\0\0\0\0\3abc\0\0\0\0\0";
	struct grpc_frame f;

	for (size_t size = 0; size < 8; size++)
		assert_int_equal(grpc_frame_next(two, size, 100, &f), 0);
	assert_int_equal(grpc_frame_next(two, sizeof(two) - 1, 100, &f), 1);
	assert_int_equal(f.size, 3);
	assert_memory_equal(f.data, "abc", 3);
	assert_int_equal(f.total_size, 8);
	assert_int_equal(grpc_frame_next(two + 8, sizeof(two) - 9, 100, &f), 1);
	assert_int_equal(f.size, 0);
	assert_int_equal(f.total_size, 5);

	assert_int_equal(grpc_frame_next(two, sizeof(two) - 1, 2, &f), -EMSGSIZE);
	assert_int_equal(grpc_frame_next("\0\xff\xff\xff\xff", 5, 16u << 20, &f), -EMSGSIZE);
	assert_int_equal(grpc_frame_next("\1\0\0\0\0", 5, 100, &f), -EPROTO);
	assert_int_equal(grpc_frame_next("\2", 1, 100, &f), -EPROTO);
}

static void message_is(const char *text, size_t size, const char *expected)
{
	char room[16];

	grpc_message_decode(text, size, room, sizeof(room));
	assert_string_equal(room, expected);
}

static void test_messages(void **state)
{
	message_is("no such pod", 11, "no such pod");
	message_is("100%25 sure", 11, "100% sure");
	message_is("gr%C3%BC%c3%9f", 14, "gr\xc3\xbc\xc3\x9f");
	message_is("%", 1, "%");
	message_is("%4", 2, "%4");
	message_is("%zz", 3, "%zz");
	message_is("a%00b", 5, "a?b");
	message_is("%FF%80x", 7, "??x");
	/* Cut to the room, and not within a character. */
	message_is("0123456789abcdefgh", 18, "0123456789abcde");
	message_is("0123456789abcd\xc3\xbc", 16, "0123456789abcd?");
}

/* A whole buffer of bytes that are no text must not take long: it did, one pass a byte. */
static void test_long_rubbish(void **state)
{
	static char text[4096], room[4096];

	memset(text, 0xff, sizeof(text));
	for (int i = 0; i < 1000; i++) {
		grpc_message_decode(text, sizeof(text), room, sizeof(room));
		assert_int_equal(strspn(room, "?"), sizeof(room) - 1);
	}
}

static void timeout_is(unsigned ms, const char *expected)
{
	char text[16];

	grpc_timeout_format(ms, text);
	assert_string_equal(text, expected);
}

static void test_timeouts(void **state)
{
	timeout_is(1500, "1500m");
	timeout_is(99999999, "99999999m");
	timeout_is(100000000, "100000S");
	timeout_is(UINT32_MAX, "4294967S");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_long_rubbish),
		cmocka_unit_test(test_timeouts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
