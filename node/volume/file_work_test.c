/* file_work_test.c - jobs on threads: order, cancelling, and one that hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/util.h"
#include "node/volume/file_work.h"

struct task {
	int read_fd; /* waits until something comes; -1 = does not wait */
	int result;
	bool ran, done, cancelled;
	struct task *then; /* must have been done before */
};

static uv_loop_t loop;
static struct file_work *work;
static size_t open_tasks;

static int setup(void **state)
{
	uv_loop_init(&loop);
	work = file_work_create(&loop, FILE_WORK_THREADS, 20);
	open_tasks = 0;
	return 0;
}

static int teardown(void **state)
{
	file_work_destroy(TAKE_PTR(work));
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static void run(void *user)
{
	struct task *t = user;
	char c;

	if (t->read_fd >= 0 && read(t->read_fd, &c, 1) < 0)
		return;
	t->result = t->then && !t->then->ran ? -1 : 1;
	t->ran = true;
}

static void on_done(void *user, bool cancelled)
{
	struct task *t = user;

	t->done = true;
	t->cancelled = cancelled;
	open_tasks--;
}

static struct file_job *start(struct task *t, const char *key)
{
	open_tasks++;
	return file_work_queue(work, key, run, on_done, t);
}

static void run_until(const bool *done)
{
	while (!*done)
		uv_run(&loop, UV_RUN_ONCE);
}

static void one_key_keeps_its_order(void **state)
{
	struct task tasks[100];

	for (size_t i = 0; i < ARRAY_LEN(tasks); i++) {
		tasks[i] = (struct task){.read_fd = -1, .then = i ? &tasks[i - 1] : NULL};
		start(&tasks[i], "a");
	}
	while (open_tasks > 0)
		uv_run(&loop, UV_RUN_ONCE);
	for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
		assert_int_equal(tasks[i].result, 1);
}

/* More of them than run at once. */
static void who_hangs_delays_nobody_else(void **state)
{
	struct task hung[FILE_WORK_THREADS * 3], quick = {.read_fd = -1}, behind = {.read_fd = -1};
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	for (size_t i = 0; i < ARRAY_LEN(hung); i++) {
		char key[16];
		snprintf(key, sizeof(key), "hung-%zu", i);
		hung[i] = (struct task){.read_fd = fds[0]};
		start(&hung[i], key);
	}
	start(&behind, "hung-0");
	start(&quick, "quick");
	run_until(&quick.done);
	assert_int_equal(quick.result, 1);
	assert_false(behind.ran);
	for (size_t i = 0; i < ARRAY_LEN(hung); i++)
		assert_int_equal(write(fds[1], "x", 1), 1);
	run_until(&behind.done);
	while (open_tasks > 0)
		uv_run(&loop, UV_RUN_ONCE);
	close(fds[0]);
	close(fds[1]);
}

static void cancelled(void **state)
{
	struct task first = {.read_fd = -1}, waiting = {.read_fd = -1}, last = {.read_fd = -1};
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	first.read_fd = fds[0];
	struct file_job *running = start(&first, "k");
	struct file_job *never = start(&waiting, "k");
	start(&last, "k");
	file_job_cancel(never);
	assert_true(waiting.done && waiting.cancelled && !waiting.ran);
	/* It runs, or is about to: what came behind it waits all the same. */
	struct task other = {.read_fd = -1};
	start(&other, "other");
	run_until(&other.done);
	file_job_cancel(running);
	assert_false(last.ran);
	assert_int_equal(write(fds[1], "x", 1), 1);
	run_until(&last.done);
	assert_true(first.done && first.cancelled);
	assert_int_equal(last.result, 1);
	close(fds[0]);
	close(fds[1]);
}

static int finished[2];

static void run_to_pipe(void *user)
{
	run(user);
}

static void on_left_behind(void *user, bool was_cancelled)
{
	char c = was_cancelled ? 'c' : 'd';

	if (write(finished[1], &c, 1) < 0)
		abort();
}

/* The agent stops while a file system hangs: it does not wait, and the job frees what it has. */
static void left_behind(void **state)
{
	static struct task t;
	struct task queued = {.read_fd = -1}, other = {.read_fd = -1};
	int fds[2];
	char c;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(finished), 0);
	t = (struct task){.read_fd = fds[0]};
	file_work_queue(work, "k", run_to_pipe, on_left_behind, &t);
	start(&queued, "k");
	start(&other, "other");
	run_until(&other.done);
	file_work_destroy(TAKE_PTR(work));
	assert_true(queued.done && queued.cancelled && !queued.ran);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(finished[0], &c, 1), 1);
	assert_int_equal(c, 'c');
	for (size_t i = 0; i < 2; i++) {
		close(fds[i]);
		close(finished[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_key_keeps_its_order, setup, teardown),
		cmocka_unit_test_setup_teardown(who_hangs_delays_nobody_else, setup, teardown),
		cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
		cmocka_unit_test_setup_teardown(left_behind, setup, teardown),
	};

	return cmocka_run_group_tests_name("file work", tests, NULL, NULL);
}
