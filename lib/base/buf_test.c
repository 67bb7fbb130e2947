#include "lib/base/blob.h"
#include "lib/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_add(void **state)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	for (int i = 0; i < 1000; i++)
		buf_add_str(&b, "abc");
	buf_add_char(&b, '!');
	assert_int_equal(b.size, 3001);
	assert_int_equal(strlen(b.data), 3001);
	assert_string_equal(b.data + 2997, "abc!");
	buf_add(&b, NULL, 0);
	assert_int_equal(b.size, 3001);
}

/* Sizes around the ends of the room, where an off-by-one would show. */
static void test_printf_sizes(void **state)
{
	for (int size = 0; size < 300; size++) {
		_cleanup_(buf_finish) struct buf b = BUF_INIT;

		buf_printf(&b, "%s%*s", "x", size, "");
		assert_int_equal(b.size, size + 1);
		assert_int_equal(strlen(b.data), size + 1);
	}
}

static void test_drop_front(void **state)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	buf_add_str(&b, "0123456789");
	buf_drop_front(&b, 4);
	assert_string_equal(b.data, "456789");
	buf_drop_front(&b, 0);
	assert_int_equal(b.size, 6);
	buf_drop_front(&b, 100);
	assert_int_equal(b.size, 0);
	assert_string_equal(b.data, "");
}

static void test_take_and_clear(void **state)
{
	struct buf b = BUF_INIT;
	char *s = buf_take(&b);

	assert_string_equal(s, "");
	free(s);
	buf_clear(&b);
	buf_add_str(&b, "x");
	buf_clear(&b);
	assert_string_equal(b.data, "");
	buf_add_str(&b, "y");
	s = buf_take(&b);
	assert_string_equal(s, "y");
	assert_null(b.data);
	free(s);
	buf_finish(&b);
}

static void test_blob(void **state)
{
	struct blob *b = blob_new("a\0b", 3), *again = blob_ref(b);
	_cleanup_(blob_unref_p) struct blob *empty = blob_new(NULL, 0);

	assert_ptr_equal(b, again);
	assert_int_equal(b->refs, 2);
	assert_memory_equal(b->data, "a\0b", 4);
	blob_unref(again);
	assert_int_equal(b->refs, 1);
	blob_unref(b);
	assert_int_equal(empty->size, 0);
	assert_string_equal(empty->data, "");
	assert_null(blob_ref(NULL));
	blob_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_printf_sizes),
		cmocka_unit_test(test_drop_front),
		cmocka_unit_test(test_take_and_clear),
		cmocka_unit_test(test_blob),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
