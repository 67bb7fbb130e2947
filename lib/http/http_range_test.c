#include "lib/http/http_range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/util.h"

static void test_ranges(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
		enum http_range result;
		uint64_t from, count;
	} cases[] = {
		{NULL, 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes=0-", 10, HTTP_RANGE_PART, 0, 10},
		{"bytes=3-", 10, HTTP_RANGE_PART, 3, 7},
		{"Bytes=3-3", 10, HTTP_RANGE_PART, 3, 1},
		{"bytes=3-99", 10, HTTP_RANGE_PART, 3, 7},
		{"bytes=9-9", 10, HTTP_RANGE_PART, 9, 1},
		{"bytes=0-18446744073709551615", 10, HTTP_RANGE_PART, 0, 10},
		{"bytes=-4", 10, HTTP_RANGE_PART, 6, 4},
		{"bytes=-40", 10, HTTP_RANGE_PART, 0, 10},
		{"bytes=-0", 10, HTTP_RANGE_BEYOND, 0, 0},
		{"bytes=10-", 10, HTTP_RANGE_BEYOND, 0, 0},
		{"bytes=10-12", 10, HTTP_RANGE_BEYOND, 0, 0},
		{"bytes=0-", 0, HTTP_RANGE_BEYOND, 0, 0},
		{"bytes=-1", 0, HTTP_RANGE_BEYOND, 0, 0},
		{"bytes=4-3", 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes=", 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes=-", 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes=1", 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes=1-2,4-5", 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes=+1-2", 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes= 1-2", 10, HTTP_RANGE_NONE, 0, 0},
		{"bytes=0-18446744073709551616", 10, HTTP_RANGE_NONE, 0, 0},
		{"lines=0-1", 10, HTTP_RANGE_NONE, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t from = 0, count = 0;

		assert_int_equal(http_range_parse(cases[i].text, cases[i].size, &from, &count),
			cases[i].result);
		assert_int_equal(from, cases[i].from);
		assert_int_equal(count, cases[i].count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
