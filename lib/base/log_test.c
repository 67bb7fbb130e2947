#include "lib/base/log.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char text[4096];

/* Runs log_event with stderr in a pipe; what it wrote is in text. */
#define CAPTURE(call)                                                                              \
	do {                                                                                       \
		int fds[2], saved = dup(STDERR_FILENO);                                            \
		ssize_t n;                                                                         \
		assert_int_equal(pipe(fds), 0);                                                    \
		dup2(fds[1], STDERR_FILENO);                                                       \
		call;                                                                              \
		dup2(saved, STDERR_FILENO);                                                        \
		close(saved);                                                                      \
		close(fds[1]);                                                                     \
		n = read(fds[0], text, sizeof(text) - 1);                                          \
		close(fds[0]);                                                                     \
		text[n > 0 ? n : 0] = '\0';                                                        \
	} while (0)

static void test_logfmt(void **state)
{
	CAPTURE(log_info("pod started", "pod", "a/b", "reason", "it is \"so\"\n", "none", NULL,
		"size", "1", NULL));
	assert_memory_equal(text, "time=", 5);
	assert_string_equal(strstr(text, " level="),
		" level=info msg=\"pod started\" pod=a/b reason=\"it is "
		"\\\"so\\\"\\n\" none=\"\" size=1\n");
}

static void test_json(void **state)
{
	log_set_json(true);
	CAPTURE(log_error("bad", "bytes", "\xff\x01", NULL));
	log_set_json(false);
	assert_memory_equal(text, "{\"time\":\"", 9);
	assert_string_equal(strstr(text, ",\"level\""),
		",\"level\":\"error\",\"msg\":\"bad\",\"bytes\":\"?\\u0001\"}\n");
}

static void test_level(void **state)
{
	enum log_level level = LOG_INFO;

	CAPTURE(log_debug("hidden", NULL));
	assert_string_equal(text, "");
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_DEBUG);
	log_set_level(level);
	CAPTURE(log_debug("shown", NULL));
	assert_non_null(strstr(text, "level=debug msg=\"shown\"\n"));
	log_set_level(LOG_INFO);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
}

static void test_i64(void **state)
{
	char room[24];

	assert_string_equal(log_i64(room, INT64_MIN), "-9223372036854775808");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_i64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
