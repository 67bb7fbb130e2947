/* disk_counts_test.c - counts of pods' disks, one of which is on a file system that hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>

#include "node/stats/disk_counts.h"
#include "node/volume/file_work.h"

static uv_loop_t loop;
static struct disk_counts *counts;
static int gate[2], left[2]; /* who hangs reads one byte; who was left behind writes one */
static _Atomic unsigned walks;
static unsigned counted, hung_counted, rounds;

/* A pod named "hung" waits for a byte. */
static void walk(struct pod_disk *d, const char *log_dir, const _Atomic bool *stop)
{
	char c;

	walks++;
	if (streq(d->name, "hung") && read(gate[0], &c, 1) == 1 && *stop &&
		write(left[1], &c, 1) != 1)
		abort();
	d->own_bytes = strlen(log_dir);
}

static void on_counted(void *user, struct pod_disk *d)
{
	assert_int_equal(d->own_bytes, 4);
	counted++;
	hung_counted += streq(d->name, "hung");
	pod_disk_destroy(d);
	uv_stop(&loop);
}

static void on_over(void *user)
{
	rounds++;
	uv_stop(&loop);
}

static void add(const char *uid, const char *name)
{
	struct pod_disk *d = xcalloc(1, sizeof(*d));

	d->uid = xstrdup(uid);
	d->name = xstrdup(name);
	disk_counts_add(counts, d, "logs");
}

static void run_until(const unsigned *what, unsigned reached)
{
	while (*what < reached)
		uv_run(&loop, UV_RUN_DEFAULT);
}

static int setup(void **state)
{
	uv_loop_init(&loop);
	counts = disk_counts_create(&loop, 20, walk, on_counted, NULL);
	walks = counted = hung_counted = rounds = 0;
	return pipe(gate) | pipe(left);
}

static int teardown(void **state)
{
	disk_counts_destroy(TAKE_PTR(counts));
	uv_run(&loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < 2; i++) {
		close(gate[i]);
		close(left[i]);
	}
	return uv_loop_close(&loop);
}

static void a_round(void **state)
{
	char uid[8];

	for (int i = 0; i < 50; i++) {
		snprintf(uid, sizeof(uid), "%d", i);
		add(uid, "well");
	}
	disk_counts_await(counts, on_over);
	run_until(&rounds, 1);
	run_until(&counted, 50);
	assert_int_equal(walks, 50);
}

/* Of nothing; and not before the call returned. */
static void an_empty_round(void **state)
{
	disk_counts_await(counts, on_over);
	assert_int_equal(rounds, 0);
	run_until(&rounds, 1);
}

/* More than run at once: the others are counted, in each round, and none of these is asked twice.
 */
static void who_hangs_holds_up_nobody(void **state)
{
	static const char *const hung[] = {"h1", "h2", "h3", "h4", "h5"};

	for (unsigned round = 1; round <= 2; round++) {
		for (size_t i = 0; i < ARRAY_LEN(hung); i++)
			add(hung[i], "hung");
		add("a", "well");
		add("b", "well");
		disk_counts_await(counts, on_over);
		run_until(&rounds, round);
		run_until(&counted, 2 * round);
		assert_int_equal(walks, ARRAY_LEN(hung) + 2 * round);
	}
	/* It answers again: the figures come without a round. */
	assert_int_equal(write(gate[1], "12345", 5), 5);
	run_until(&hung_counted, ARRAY_LEN(hung));
	assert_int_equal(rounds, 2);
	add("h1", "well");
	disk_counts_await(counts, on_over);
	run_until(&rounds, 3);
	run_until(&counted, 2 * 2 + ARRAY_LEN(hung) + 1);
}

/* A round may end while threads that were begun still wait for a processor. */
static void await_walks(unsigned reached)
{
	while (walks < reached) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		(void)poll(NULL, 0, 1);
	}
}

/* More than there can be threads: who never comes to his turn is not waited for either. */
static void more_hang_than_may_run(void **state)
{
	enum { HUNG = FILE_WORK_THREADS_MAX + 6 };
	char uid[8];

	for (unsigned round = 1; round <= 2; round++) {
		for (int i = 0; i < HUNG; i++) {
			snprintf(uid, sizeof(uid), "h%d", i);
			add(uid, "hung");
		}
		add("a", "well");
		disk_counts_await(counts, on_over);
		run_until(&rounds, round);
		await_walks(FILE_WORK_THREADS_MAX);
		assert_int_equal(walks, FILE_WORK_THREADS_MAX);
	}
	for (int i = 0; i < HUNG; i++)
		assert_int_equal(write(gate[1], "x", 1), 1);
	run_until(&hung_counted, HUNG);
	run_until(&counted, HUNG + 1);
}

/* The agent stops meanwhile: it does not wait. */
static void left_behind(void **state)
{
	char c;

	add("h", "hung");
	disk_counts_await(counts, on_over);
	run_until(&rounds, 1);
	disk_counts_destroy(TAKE_PTR(counts));
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(counted, 0);
	assert_int_equal(write(gate[1], "x", 1), 1);
	assert_int_equal(read(left[0], &c, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_round, setup, teardown),
		cmocka_unit_test_setup_teardown(who_hangs_holds_up_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(more_hang_than_may_run, setup, teardown),
		cmocka_unit_test_setup_teardown(left_behind, setup, teardown),
	};

	return cmocka_run_group_tests_name("disk counts", tests, NULL, NULL);
}
