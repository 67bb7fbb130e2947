#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/controllers/workloads/index_set.h"

static void test_text(void **state)
{
	static const struct {
		const char *text;
		int64_t below;
		const char *wanted;
		int64_t size;
	} cases[] = {
		{"", 10, "", 0},
		{"0", 10, "0", 1},
		{"0,1", 10, "0,1", 2},
		{"0,1,2", 10, "0-2", 3},
		{"0,2-4,7", 10, "0,2-4,7", 5},
		{"0-3,4-6", 10, "0-6", 7},
		{"0,2-40", 10, "0,2-9", 9},
		{"0,10,11", 10, "0", 1},
		{"0,x,2", 10, "0,2", 2},
		{"0,3-x,2-1,5", 10, "0,5", 2},
		{"0,3-4-5,6", 10, "0,6", 2},
		{"5,1", 10, "5", 1},
		{"99999999999999999999,1", 10, "1", 1},
		{"-1,1", 10, "1", 1},
		{"0-9", 0, "", 0},
		{"1-18446744073709551615", 10, "1-9", 9},
	};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct index_set s = index_set_parse(&a, cases[n].text, cases[n].below);
		assert_string_equal(index_set_text(&a, s), cases[n].wanted);
		assert_int_equal(index_set_size(s), cases[n].size);
	}
}

/* Against a plain array of flags. */
static void test_against_flags(void **state)
{
	enum { BELOW = 24 };
	uint64_t seed = 12345;
	for (int round = 0; round < 2000; round++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		bool in[2][BELOW] = {0};
		struct index_set sets[2];
		for (int i = 0; i < 2; i++) {
			int64_t some[BELOW];
			size_t count = 0;
			for (int64_t n = 0; n < BELOW; n++) {
				seed = seed * 6364136223846793005u + 1442695040888963407u;
				if (seed >> 62 == 0) {
					in[i][n] = true;
					some[count++] = n;
				}
			}
			if (count > 1) { /* any order, any repetition */
				int64_t first = some[0];
				some[0] = some[count - 1];
				some[count - 1] = first;
			}
			sets[i] = index_set_of(&a, some, count);
		}
		struct index_set both = index_set_union(&a, sets[0], sets[1]);
		struct index_set again = index_set_parse(&a, index_set_text(&a, both), BELOW);
		int64_t common = 0, size = 0, missing[BELOW];
		size_t absent = 0, found = index_set_missing(both, BELOW, BELOW, missing);
		for (int64_t n = 0; n < BELOW; n++) {
			bool has = in[0][n] || in[1][n];
			assert_int_equal(index_set_has(both, n), has);
			assert_int_equal(index_set_has(again, n), has);
			size += has;
			common += in[0][n] && in[1][n];
			if (!has) {
				assert_true(absent < found);
				assert_int_equal(missing[absent++], n);
			}
		}
		assert_int_equal(absent, found);
		assert_int_equal(index_set_size(both), size);
		assert_int_equal(index_set_common(sets[0], sets[1]), common);
		assert_int_equal(index_set_missing(both, BELOW, 3, missing), MIN(found, (size_t)3));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_against_flags),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
