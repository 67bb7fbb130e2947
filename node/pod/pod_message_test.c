/* Messages of the end: how much of which file, and what is not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "node/pod/pod_message.h"

static char dir[64], path[80], log_path[80];
static struct arena a;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/pod_message_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/message", dir);
	snprintf(log_path, sizeof(log_path), "%s/0.log", dir);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	unlink(log_path);
	arena_finish(&a);
	return rmdir(dir);
}

static void put(const char *file, const char *text, size_t size)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	fclose(f);
}

static void the_file(void **state)
{
	assert_string_equal(pod_message_read(&a, path, NULL), "");
	put(path, "why it ended\n", 13);
	assert_string_equal(pod_message_read(&a, path, log_path), "why it ended\n");
	put(path,
		"a\0b\xff"
		"c",
		5);
	assert_string_equal(pod_message_read(&a, path, NULL), "a?b?c");
	char *large = arena_alloc(&a, 10000);
	memset(large, 'x', 10000);
	memcpy(large + 9990, "0123456789", 10);
	put(path, large, 10000);
	const char *text = pod_message_read(&a, path, NULL);
	assert_int_equal(strlen(text), 4096);
	assert_string_equal(text + 4086, "0123456789");
}

static void the_log(void **state)
{
	struct buf b = BUF_INIT;

	put(path, "", 0);
	assert_string_equal(pod_message_read(&a, path, log_path), "");
	for (int i = 1; i <= 100; i++)
		buf_printf(&b, "2024-01-02T03:04:05Z stderr F line %d\n", i);
	put(log_path, b.data, b.size);
	buf_finish(&b);
	const char *text = pod_message_read(&a, path, log_path);
	assert_true(str_has_prefix(text, "line 21\nline 22\n"));
	assert_true(str_has_suffix(text, "line 99\nline 100\n"));
	assert_string_equal(pod_message_read(&a, path, NULL), "");
	put(path, "said", 4);
	assert_string_equal(pod_message_read(&a, path, log_path), "said");
}

static void what_is_no_file(void **state)
{
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_true(str_has_suffix(pod_message_read(&a, path, log_path), ": not a regular file"));
	unlink(path);
	/* Must not wait for who writes to it. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(str_has_prefix(
		pod_message_read(&a, path, log_path), "Error on reading termination log "));
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(str_has_suffix(pod_message_read(&a, path, log_path), ": not a regular file"));
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_file, setup, teardown),
	};

	return cmocka_run_group_tests_name("pod_message", tests, NULL, NULL);
}
