#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/str.h"
#include "node/vm/image/disk_refs.h"

#define DIGEST "sha256-00000000000000000000000000000000000000000000000000000000000000aa"
#define OTHER "sha256-00000000000000000000000000000000000000000000000000000000000000bb"
#define MINE "1111111111111111111111111111111111111111111111111111111111111111"
#define YOURS "2222222222222222222222222222222222222222222222222222222222222222"
#define IMAGE "registry.example:5000/a/b:1"

static bool allowed(const char *text, const char *hash)
{
	char digest[72];
	bool yes = false;

	assert_true(disk_ref_read(text, IMAGE, hash, digest, &yes));
	assert_string_equal(digest, DIGEST);
	return yes;
}

static void whose_it_is(void **state)
{
	_cleanup_(buf_finish) struct buf mine = BUF_INIT, both = BUF_INIT, all = BUF_INIT,
					 again = BUF_INIT, moved = BUF_INIT;

	disk_ref_write(&mine, NULL, DIGEST, IMAGE, MINE);
	assert_true(allowed(mine.data, MINE));
	assert_false(allowed(mine.data, YOURS));
	assert_false(allowed(mine.data, ""));
	/* The registry has let others in as well. */
	disk_ref_write(&both, mine.data, DIGEST, IMAGE, YOURS);
	assert_true(allowed(both.data, MINE) && allowed(both.data, YOURS));
	assert_false(allowed(both.data, ""));
	disk_ref_write(&again, both.data, DIGEST, IMAGE, MINE);
	assert_int_equal(again.size, both.size);
	/* And at last everybody, for good. */
	disk_ref_write(&all, both.data, DIGEST, IMAGE, "");
	assert_true(allowed(all.data, "") && allowed(all.data, YOURS));
	again.size = 0;
	disk_ref_write(&again, all.data, DIGEST, IMAGE, MINE);
	assert_true(allowed(again.data, ""));
	/* The name stands for another image now. */
	disk_ref_write(&moved, all.data, OTHER, IMAGE, MINE);
	char digest[72];
	bool yes;
	assert_true(disk_ref_read(moved.data, IMAGE, "", digest, &yes));
	assert_string_equal(digest, OTHER);
	assert_false(yes);
}

static void many_credentials_are_bounded(void **state)
{
	struct buf ref = BUF_INIT;

	for (int i = 0; i < 100; i++) {
		struct buf next = BUF_INIT;
		char hash[65];

		snprintf(hash, sizeof(hash), "%064x", i + 1);
		disk_ref_write(&next, ref.data, DIGEST, IMAGE, hash);
		buf_finish(&ref);
		ref = next;
		assert_true(allowed(ref.data, hash));
		assert_true(ref.size < DISK_REF_BYTES_MAX);
	}
	assert_false(allowed(
		ref.data, "0000000000000000000000000000000000000000000000000000000000000001"));
	buf_finish(&ref);
}

static void what_is_something_else(void **state)
{
	char digest[72];
	bool yes;

	assert_true(allowed(DIGEST " " IMAGE, "")); /* older */
	assert_false(disk_ref_read(DIGEST " " IMAGE "0", IMAGE, "", digest, &yes));
	assert_false(disk_ref_read(DIGEST " registry.example", IMAGE, "", digest, &yes));
	assert_false(disk_ref_read("sha256-xyz " IMAGE, IMAGE, "", digest, &yes));
	assert_false(disk_ref_read("", IMAGE, "", digest, &yes));
	assert_false(allowed(DIGEST " " IMAGE "\n\n**\n", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_it_is),
		cmocka_unit_test(many_credentials_are_bounded),
		cmocka_unit_test(what_is_something_else),
	};

	return cmocka_run_group_tests_name("disk refs", tests, NULL, NULL);
}
