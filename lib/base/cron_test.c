#include "lib/base/cron.h"
#include "lib/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void parses(void **state)
{
	struct cron c;
	struct err err = ERR_INIT;
	assert_int_equal(cron_parse("*/15 2-4 1,15 jan-mar mon,FRI", &c, &err), 0);
	assert_true(c.minute == (1ull | 1ull << 15 | 1ull << 30 | 1ull << 45));
	assert_true(c.hour == (1ull << 2 | 1ull << 3 | 1ull << 4));
	assert_true(c.day == (1ull << 1 | 1ull << 15));
	assert_true(c.month == (1ull << 1 | 1ull << 2 | 1ull << 3));
	assert_true(c.weekday == (1ull << 1 | 1ull << 5));
	assert_int_equal(cron_parse("5/20 * ? * *", &c, &err), 0);
	assert_true(c.minute == (1ull << 5 | 1ull << 25 | 1ull << 45));
	assert_true(c.hour & CRON_ANY && c.day & CRON_ANY);
	assert_int_equal(cron_parse("@weekly", &c, &err), 0);
	assert_true(c.weekday == 1 && c.hour == 1);
	assert_int_equal(cron_parse("@every 90s", &c, &err), 0);
	assert_true(c.every_ns == 90000000000);
	assert_int_equal(cron_parse("TZ=Asia/Seoul 0 6 * * *", &c, &err), 0);
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "empty spec string"},
		{"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
		{"0 0 0 1 * *", "expected exactly 5 fields, found 6: [0 0 0 1 * *]"},
		{"60 * * * *", "end of range (60) above maximum (59): 60"},
		{"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
		{"5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"},
		{"*/0 * * * *", "step of range should be a positive number: */0"},
		{"1-2-3 * * * *", "too many hyphens: 1-2-3"},
		{"1/2/3 * * * *", "too many slashes: 1/2/3"},
		{"x * * * *",
			"failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"},
		{"* * * * 7", "end of range (7) above maximum (6): 7"},
		{"@fortnightly", "unrecognized descriptor: @fortnightly"},
		{"@every x", "failed to parse duration @every x: time: invalid duration \"x\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cron c;
		struct err err = ERR_INIT;
		assert_int_equal(cron_parse(cases[i].text, &c, &err), -EINVAL);
		assert_string_equal(err.msg, cases[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(parses), cmocka_unit_test(refuses)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
