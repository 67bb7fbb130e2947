#include "lib/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_set_and_context(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(err_set(&err, -ENOENT, "no such directory '%s'", "/x"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_int_equal(err_context(&err, -EIO, "mount volume '%s'", "data"), -EIO);
	assert_string_equal(err.msg, "mount volume 'data': no such directory '/x'");
	assert_int_equal(err.code, -ENOENT);
}

static void test_errno(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(err_errno(&err, -EACCES, "open %s", "/y"), -EACCES);
	assert_string_equal(err.msg, "open /y: Permission denied");
}

static void test_null_err(void **state)
{
	assert_int_equal(err_set(NULL, -EINVAL, "x"), -EINVAL);
	assert_int_equal(err_errno(NULL, -EINVAL, "x"), -EINVAL);
	assert_int_equal(err_context(NULL, -EINVAL, "x"), -EINVAL);
}

static void test_context_on_empty(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(err_context(&err, -EBUSY, "lock"), -EBUSY);
	assert_string_equal(err.msg, "lock");
	assert_int_equal(err.code, -EBUSY);
}

/* A message that does not fit is cut between characters, whatever the alignment. */
static void test_cut_between_characters(void **state)
{
	for (size_t shift = 0; shift < 4; shift++) {
		struct err err = ERR_INIT;
		char text[2048];
		size_t size = 0, at = 0;

		while (size < shift)
			text[size++] = 'x';
		while (size + 4 < sizeof(text)) {
			memcpy(text + size, "\xf0\x9f\x98\x80", 4);
			size += 4;
		}
		text[size] = '\0';
		assert_int_equal(err_set(&err, -EINVAL, "%s", text), -EINVAL);
		at = strlen(err.msg);
		assert_true(at < sizeof(err.msg) && at > sizeof(err.msg) - 6);
		assert_int_equal((at - shift) % 4, 0);
		err_context(&err, -EINVAL, "yz");
		at = strlen(err.msg);
		assert_int_equal((at - shift - 4) % 4, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_context),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_null_err),
		cmocka_unit_test(test_context_on_empty),
		cmocka_unit_test(test_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
