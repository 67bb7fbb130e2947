#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/vm/host/cpu_pool.h"
#include "node/vm/image/image_files.h"

/* Two cells of four cores with two threads: CPUs 0..7 are the first threads, 8..15 the second. */
static struct host_cpu cpus[16];
static const struct host_caps caps = {.known = true, .cpus = cpus, .cpu_count = 16};

static void fill(void)
{
	for (unsigned i = 0; i < 16; i++)
		cpus[i] = (struct host_cpu){.id = i, .cell = i / 4 % 2, .core = i % 8};
}

static void choose_fills_cores(void **state)
{
	bool taken[16] = {false};
	unsigned got[16], emulator = 99;
	struct err err = ERR_INIT;

	fill();
	/* CPU 0 stays; its thread 8 is no whole core. Three free cores and one CPU in cell 0, four
	 * cores in cell 1: what fits cell 0 goes there. */
	assert_int_equal(cpu_pool_choose(&caps, taken, 4, false, got, &emulator, &err), 0);
	assert_int_equal(got[0], 1);
	assert_int_equal(got[1], 9);
	assert_int_equal(got[2], 2);
	assert_int_equal(got[3], 10);
	assert_int_equal(emulator, 99);
	/* Eight fit only the other. */
	assert_int_equal(cpu_pool_choose(&caps, taken, 7, true, got, &emulator, &err), 0);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(cpus[got[i]].cell, 1);
	assert_int_equal(cpus[emulator].cell, 1);
	/* Twelve fit none alone. */
	assert_int_equal(cpu_pool_choose(&caps, taken, 12, false, got, &emulator, &err), 0);
	assert_int_equal(cpu_pool_choose(&caps, taken, 16, false, got, &emulator, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "only 15 of the host's 16"));
}

static void records_are_the_truth(void **state)
{
	char directory[] = "/tmp/cpu_pool_test.XXXXXX", path[256];
	static struct vm_spec one = {.uid = "one", .sockets = 1, .cores = 6, .threads = 1},
			      two = {.uid = "two", .sockets = 1, .cores = 8, .threads = 1},
			      other = {.uid = "other", .sockets = 1, .cores = 1, .threads = 1};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;

	fill();
	assert_non_null(mkdtemp(directory));
	for (const char *const *n = (const char *const[]){"one", "two", "other", NULL}; *n; n++) {
		snprintf(path, sizeof(path), "%s/%s", directory, *n);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_int_equal(cpu_pool_place(&caps, directory, &other, &a, &err), 0);
	assert_null(other.placement.shared);
	one.cpu_tuning.dedicated = one.cpu_tuning.isolate_emulator = true;
	two.cpu_tuning.dedicated = true;
	assert_int_equal(cpu_pool_place(&caps, directory, &one, &a, &err), 0);
	assert_int_equal(one.placement.count, 6);
	assert_int_equal(one.placement.cpus[0], 1);
	assert_string_equal(one.placement.emulator, "8");
	assert_int_equal(cpu_pool_place(&caps, directory, &two, &a, &err), 0);
	assert_string_equal(two.placement.emulator, "4,12,5,13,6,14,7,15");
	assert_int_equal(two.placement.cells[7], 1);
	assert_int_equal(cpu_pool_place(&caps, directory, &other, &a, &err), 0);
	assert_string_equal(other.placement.shared, "0");
	/* Again: the same, by the record. */
	assert_int_equal(cpu_pool_place(&caps, directory, &one, &a, &err), 0);
	assert_int_equal(one.placement.cpus[5], 11);
	/* More than is left. */
	other.cpu_tuning.dedicated = true;
	assert_int_equal(cpu_pool_place(&caps, directory, &other, &a, &err), -EBUSY);
	files_remove_tree(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choose_fills_cores),
		cmocka_unit_test(records_are_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
