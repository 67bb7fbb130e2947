/* cri_log_test.c - records of container log files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/cri/cri_log.h"

static void good_lines(void **state)
{
	static const struct {
		const char *line, *text;
		bool is_stderr, partial;
	} cases[] = {
		{"2016-10-06T00:17:09.669794202Z stdout F hello world", "hello world", false,
			false},
		{"2016-10-06T00:17:09.669794202Z stderr P part", "part", true, true},
		{"2016-10-06T00:17:09Z stdout F ", "", false, false},
		{"2016-10-06T00:17:09Z stdout F", "", false, false},
		{"2016-10-06T00:17:09.5+02:00 stdout F:x:y  two", " two", false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cri_log_line l;
		assert_int_equal(cri_log_parse(cases[i].line, strlen(cases[i].line), &l), 0);
		assert_int_equal(l.size, strlen(cases[i].text));
		assert_memory_equal(l.text, cases[i].text, l.size);
		assert_int_equal(l.is_stderr, cases[i].is_stderr);
		assert_int_equal(l.partial, cases[i].partial);
	}
	struct cri_log_line l;
	const char *line = cases[0].line;
	assert_int_equal(cri_log_parse(line, strlen(line), &l), 0);
	assert_int_equal(l.time_ns, INT64_C(1475713029669794202));
	assert_int_equal(l.time_size, 30);
}

static void bad_lines(void **state)
{
	static const char *const cases[] = {
		"",
		"x",
		"2016-10-06T00:17:09Z",
		"2016-10-06T00:17:09Z stdout",
		"2016-10-06T00:17:09Z stdin F x",
		"2016-10-06T00:17:09Z stdout Q x",
		"2016-13-06T00:17:09Z stdout F x",
		"not-a-time stdout F x",
		" stdout F x",
		/* longer than any time */
		"2016-10-06T00:17:09.0000000000000000000000000000000000000000000000000000Z stdout "
		"F",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cri_log_line l;
		assert_int_equal(cri_log_parse(cases[i], strlen(cases[i]), &l), -EBADMSG);
	}
}

static void tail(void **state)
{
	char path[] = "/tmp/cri_log_test.XXXXXX", room[64];
	int fd = mkstemp(path);
	const char *text = "2016-10-06T00:17:09Z stdout F one\n"
			   "2016-10-06T00:17:10Z stdout F two\n"
			   "2016-10-06T00:17:11Z stderr P thr\n"
			   "2016-10-06T00:17:11Z stderr F ee\n";

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	size_t n = cri_log_tail(path, 2, room, sizeof(room));
	assert_int_equal(n, 6);
	assert_memory_equal(room, "three\n", 6);
	n = cri_log_tail(path, 80, room, sizeof(room));
	assert_memory_equal(room, "one\ntwo\nthree\n", n);
	/* Little room: the end counts. */
	n = cri_log_tail(path, 80, room, 4);
	assert_memory_equal(room, "ree\n", n);
	unlink(path);
	assert_int_equal(cri_log_tail(path, 2, room, sizeof(room)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(tail),
	};

	return cmocka_run_group_tests_name("cri_log", tests, NULL, NULL);
}
