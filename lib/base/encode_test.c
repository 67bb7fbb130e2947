#include "lib/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&arena);
	return 0;
}

/* RFC 4648 section 10. */
static void test_base64_vectors(void **state)
{
	static const char *const cases[][3] = {
		{"", "", ""},
		{"f", "Zg==", "Zg"},
		{"fo", "Zm8=", "Zm8"},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg==", "Zm9vYg"},
		{"fooba", "Zm9vYmE=", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
		{"\xfb\xff\xfe", "+//+", "-__-"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t size = strlen(cases[i][0]), back_size;
		char *back;

		assert_string_equal(base64_encode(&arena, cases[i][0], size), cases[i][1]);
		assert_string_equal(base64url_encode(&arena, cases[i][0], size), cases[i][2]);
		assert_int_equal(
			base64_decode(&arena, str_from(cases[i][1]), &back, &back_size), 0);
		assert_int_equal(back_size, size);
		assert_string_equal(back, cases[i][0]);
		assert_int_equal(
			base64url_decode(&arena, str_from(cases[i][2]), &back, &back_size), 0);
		assert_int_equal(back_size, size);
		assert_string_equal(back, cases[i][0]);
	}
}

static void test_base64_all_bytes(void **state)
{
	unsigned char all[256];
	size_t size;
	char *back;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	for (size_t n = 0; n <= sizeof(all); n++) {
		assert_int_equal(base64_decode(&arena, str_from(base64_encode(&arena, all, n)),
					 &back, &size),
			0);
		assert_int_equal(size, n);
		assert_memory_equal(back, all, n);
	}
}

static void test_base64_bad(void **state)
{
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=",
		"====", "Z===", "Zm9v=", "Zg==Zg==", "Zm 9v", "Zm9v-", "Zm-v", "Zm_v", "Zm9\x80",
		"Zg=v"};
	static const char *const bad_url[] = {"Z", "Zg==", "+//+", "Zm9vY", "Zm\n9v"};
	size_t size;
	char *back;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(base64_decode(&arena, str_from(bad[i]), &back, &size), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad_url); i++)
		assert_int_equal(
			base64url_decode(&arena, str_from(bad_url[i]), &back, &size), -EINVAL);
	/* Wrapped lines, as base64(1) makes them. */
	assert_int_equal(base64_decode(&arena, str_from("Zm9v\r\nYg=\n=\n"), &back, &size), 0);
	assert_string_equal(back, "foob");
}

static void test_hex(void **state)
{
	assert_string_equal(hex_encode(&arena, "\x00\x7f\xff\x0a", 4), "007fff0a");
	assert_string_equal(hex_encode(&arena, "", 0), "");
}

static void test_percent(void **state)
{
	static const char *const bad[] = {"%", "%4", "%zz", "%4g", "a%", "%00", "%-1", "% 1"};
	char *s;

	assert_int_equal(percent_decode(&arena, STR("a%2Fb%2fc+d%20e"), false, &s), 0);
	assert_string_equal(s, "a/b/c+d e");
	assert_int_equal(percent_decode(&arena, STR("a+b%2B"), true, &s), 0);
	assert_string_equal(s, "a b+");
	assert_int_equal(percent_decode(&arena, STR(""), true, &s), 0);
	assert_string_equal(s, "");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(percent_decode(&arena, str_from(bad[i]), false, &s), -EINVAL);
	assert_int_equal(percent_decode(&arena, (struct str){"a\0b", 3}, false, &s), -EINVAL);
	assert_string_equal(percent_encode(&arena, STR("aZ09-._~ /+%\xc3\xa9=")),
		"aZ09-._~%20%2F%2B%25%C3%A9%3D");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64_vectors),
		cmocka_unit_test(test_base64_all_bytes),
		cmocka_unit_test(test_base64_bad),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_percent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
