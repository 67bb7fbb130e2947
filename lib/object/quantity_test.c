#include "lib/object/quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void canonical_is(const char *text, const char *expected)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *got = quantity_canonical(&a, text);

	if (!got)
		fail_msg("'%s' was refused", text);
	assert_string_equal(got, expected);
}

static void test_canonical_form(void **state)
{
	canonical_is("0", "0");
	canonical_is("0Ki", "0");
	canonical_is("1", "1");
	canonical_is("1000", "1k");
	canonical_is("1500m", "1500m");
	canonical_is("1.5", "1500m");
	canonical_is("0.1", "100m");
	canonical_is("100.0m", "100m");
	canonical_is("2000m", "2");
	canonical_is("1024Mi", "1Gi");
	canonical_is("1.5Gi", "1536Mi");
	canonical_is("1024", "1024");
	canonical_is("128Mi", "128Mi");
	canonical_is("1000Ki", "1000Ki");
	canonical_is("1e3", "1e3");
	canonical_is("12e6", "12e6");
	canonical_is("1E", "1E");
	canonical_is("-5m", "-5m");
	canonical_is("+3", "3");
	canonical_is(".5", "500m");
	canonical_is("5.", "5");
	canonical_is("1n", "1n");
	canonical_is("0.5n", "1n");
	canonical_is("0.5Ki", "512");
	canonical_is(
		"0.00000000000000000000000000000000000000000000000000000000000000000001Gi", "1n");
	canonical_is(
		"0.00000000000000000000000000000000000000000000000000000000000000000000Gi", "0");
	canonical_is(
		"0.00000000000000000000000000000000000000000000000000000000000000000001", "1n");
	canonical_is("0.0000000009765625Ki", "1u");
	canonical_is("1.000000000000000000000000000Ei", "1Ei");
	canonical_is("0.000000000000000000000000001Ei", "2n"); /* 2^60 / 10^27, up */
}

static void test_values(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct quantity q;

	assert_int_equal(quantity_parse("1500m", &q), 0);
	assert_int_equal(quantity_value(q), 2);
	assert_int_equal(quantity_milli_value(q), 1500);
	assert_int_equal(quantity_parse("64Mi", &q), 0);
	assert_int_equal(quantity_value(q), 64 << 20);
	assert_int_equal(quantity_parse("1u", &q), 0);
	assert_int_equal(quantity_milli_value(q), 1);
	assert_int_equal(quantity_parse("-1500m", &q), 0);
	assert_int_equal(quantity_value(q), -1);
	assert_int_equal(quantity_parse("9999999999999999999999Ei", &q), 0);
	assert_true(quantity_value(q) == INT64_MAX);
	assert_int_equal(quantity_json_milli(json_new_int(&a, 2), 7), 2000);
	assert_int_equal(quantity_json_milli(json_new_double(&a, 0.25), 7), 250);
	assert_int_equal(quantity_json_milli(json_new_string(&a, "x"), 7), 7);
	assert_int_equal(quantity_json_value(NULL, 7), 7);
	assert_string_equal(quantity_format_bytes(&a, 16777216), "16384Ki");
	assert_string_equal(quantity_format_bytes(&a, 1000), "1000");
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {"", ".", "-", "m", "1x", "1 ", " 1", "1e", "1KI", "1mi",
		"1.2.3", "0x10", "1e99999999999", "nan", "--1", "1Mi "};
	struct quantity q;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (quantity_parse(bad[i], &q) == 0)
			fail_msg("'%s' was taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_form),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
