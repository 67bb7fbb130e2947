#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/object/machine_annotations.h"

static void limits_of_disks(void **state)
{
	static const char *const bad[] = {"", "fast", "iops", "iops=", "iops=0", "iops=-1",
		"iops=x", "iops=500,", "iops=500;bytes=1", "bytes=1,read-bytes=1",
		"iops=1,write-iops=1", "bytes=2Pi"};
	struct machine_io_limits l = {.iops = 7};
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(machine_io_limits_read(bad[i], &l, &err), -EINVAL);
	assert_int_equal(l.iops, 7);
	assert_int_equal(machine_io_limits_read("iops=500,read-bytes=10Mi", &l, &err), 0);
	assert_int_equal(l.iops, 500);
	assert_int_equal(l.read_bytes, 10 << 20);
	assert_int_equal(l.bytes, 0);
}

static void words_and_amounts(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const char *const bad[] = {"", "x", "-1", "65Ti", "nonsense"};
	struct err err = ERR_INIT;
	int64_t bytes = 5;

	assert_int_equal(machine_on_crash_read("preserve", &err), 0);
	assert_int_equal(machine_on_crash_read("", &err), -EINVAL);
	assert_int_equal(machine_on_crash_read("Destroy", &err), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(
			machine_swap_read(json_new_string(&a, bad[i]), &bytes, &err), -EINVAL);
	assert_int_equal(bytes, 5);
	assert_int_equal(machine_swap_read(json_new_string(&a, "0"), &bytes, &err), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(machine_swap_read(json_new_string(&a, "512Mi"), &bytes, &err), 0);
	assert_int_equal(bytes, 512 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_of_disks),
		cmocka_unit_test(words_and_amounts),
	};

	return cmocka_run_group_tests_name("machine annotations", tests, NULL, NULL);
}
