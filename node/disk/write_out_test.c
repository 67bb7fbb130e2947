#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/disk/write_out.h"

#define MIB WRITE_OUT_STEP_BYTES

static int make(char *path, const void *head, size_t head_size, int64_t size)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, head, head_size, 0), (ssize_t)head_size);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void follows(void **state)
{
	char path[] = "/tmp/write_out_test.XXXXXX";
	int fd = make(path, "x", 1, MIB - 1);

	assert_int_equal(write_out_step(path, 0), 0);
	assert_int_equal(ftruncate(fd, 3 * MIB + 5), 0);
	assert_int_equal(write_out_step(path, 0), 3 * MIB);
	assert_int_equal(write_out_step(path, 3 * MIB), 3 * MIB);
	assert_int_equal(ftruncate(fd, 4 * MIB), 0);
	assert_int_equal(write_out_step(path, 3 * MIB), 4 * MIB);
	/* A transfer that began anew. */
	assert_int_equal(ftruncate(fd, 2 * MIB), 0);
	assert_int_equal(write_out_step(path, 4 * MIB), 2 * MIB);
	close(fd);
	unlink(path);
	assert_int_equal(write_out_step(path, 2 * MIB), 2 * MIB);
}

static void leaves_alone(void **state)
{
	char path[] = "/tmp/write_out_test.XXXXXX", there[] = "/tmp/write_out_test.XXXXXX";
	uint8_t vdi[0x15c] = {0};
	int fd;

	memcpy(vdi + 0x40, "\x7f\x10\xda\xbe", 4);
	vdi[0x159] = 0x0a; /* its data begin at 2560 */
	fd = make(path, vdi, sizeof(vdi), 8 * MIB);
	assert_true(write_out_step(path, 0) == INT64_MAX);
	assert_true(write_out_step(path, INT64_MAX) == INT64_MAX);
	close(fd);
	unlink(path);
	vdi[0x159] = 0;
	vdi[0x15a] = 0x10; /* at 1 MiB: they may stay */
	fd = make(there, vdi, sizeof(vdi), 8 * MIB);
	assert_int_equal(write_out_step(there, 0), 8 * MIB);
	close(fd);
	unlink(there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows),
		cmocka_unit_test(leaves_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
