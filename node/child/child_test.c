/* Whom programs without rights run as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/str.h"
#include "node/child/child.h"

struct told {
	bool done;
	char out[4096];
	char problem[1024];
};

static void on_done(void *user, const struct child_result *r, const struct err *err)
{
	struct told *t = user;

	t->done = true;
	assert_true(r->out_size < sizeof(t->out));
	memcpy(t->out, r->out, r->out_size + 1);
	if (err)
		snprintf(t->problem, sizeof(t->problem), "%s", err->msg);
}

/* o: without loop and user. */
static struct told run_with(struct child_options o)
{
	struct told t = {0};
	uv_loop_t loop;

	uv_loop_init(&loop);
	o.loop = &loop;
	o.user = &t;
	child_run(&o);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_true(t.done);
	return t;
}

static struct told run(const char *const *argv, uid_t run_as)
{
	struct told t = run_with((struct child_options){
		.argv = argv, .unprivileged = true, .run_as = run_as, .done = on_done});

	assert_string_equal(t.problem, "");
	return t;
}

static uint64_t user_of(uid_t run_as)
{
	static const char *const argv[] = {"id", "-u", NULL};
	struct told t = run(argv, run_as);
	uint64_t id = 0;

	assert_int_equal(parse_u64((struct str){t.out, strcspn(t.out, "\n")}, &id), 0);
	return id;
}

struct slow_reader {
	struct child *child;
	uv_timer_t timer;
	size_t size;
	bool paused, done;
};

static void on_later(uv_timer_t *t)
{
	struct slow_reader *r = t->data;

	r->paused = false;
	child_pause(r->child, false);
}

static void on_piece(void *user, const char *p, size_t size)
{
	struct slow_reader *r = user;

	assert_false(r->paused);
	r->size += size;
	r->paused = true;
	child_pause(r->child, true);
	uv_timer_start(&r->timer, on_later, 1, 0);
}

static void on_all(void *user, const struct child_result *result, const struct err *err)
{
	struct slow_reader *r = user;

	assert_null(err);
	r->done = true;
	child_pause(NULL, true);
	uv_close((uv_handle_t *)&r->timer, NULL);
}

static void test_waits_for_who_reads(void **state)
{
	static const char *const argv[] = {"head", "-c", "300000", "/dev/zero", NULL};
	struct slow_reader r = {0};
	uv_loop_t loop;

	uv_loop_init(&loop);
	uv_timer_init(&loop, &r.timer);
	r.timer.data = &r;
	r.child = child_run(&(struct child_options){
		.loop = &loop,
		.argv = argv,
		.output = on_piece,
		.done = on_all,
		.user = &r,
	});
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_true(r.done);
	assert_int_equal(r.size, 300000);
}

static void test_each_is_somebody_else(void **state)
{
	uint64_t one, other;

	if (geteuid() != 0)
		skip();
	one = user_of(0);
	other = user_of(0);
	assert_true(one >= CHILD_USERS_FIRST && one < CHILD_USERS_FIRST + CHILD_USERS);
	assert_true(other >= CHILD_USERS_FIRST && other < CHILD_USERS_FIRST + CHILD_USERS);
	assert_int_not_equal(one, other);
	assert_int_equal(user_of(CHILD_USERS_FIRST + 7), CHILD_USERS_FIRST + 7);
}

static void test_nothing_is_to_be_gained(void **state)
{
	static const char *const argv[] = {
		"grep", "-E", "^(Groups|NoNewPrivs|CapEff|CapBnd):", "/proc/self/status", NULL};
	struct told t;

	if (geteuid() != 0)
		skip();
	t = run(argv, 0);
	assert_non_null(strstr(t.out, "NoNewPrivs:\t1\n"));
	assert_non_null(strstr(t.out, "CapEff:\t0000000000000000\n"));
	assert_non_null(strstr(t.out, "CapBnd:\t0000000000000000\n"));
	assert_non_null(strstr(t.out, "Groups:\t \n"));
}

static void told_words(void *user, const struct child_result *r, const struct err *err)
{
	struct told *t = user;

	t->done = true;
	snprintf(t->out, sizeof(t->out), "%s%s", r->out, r->errors);
}

static void test_reads_all_and_writes_nothing(void **state)
{
	static const char script[] = "head -c 4 \"$0\"; : >>\"$0\"";
	char path[] = "/tmp/hanok-child-XXXXXX";
	const char *const argv[] = {"sh", "-c", script, path, NULL};
	int fd;

	if (geteuid() != 0)
		skip();
	fd = mkstemp(path);
	assert_int_equal(write(fd, "ours", 4), 4);
	close(fd);
	for (int reads = 0; reads < 2; reads++) {
		struct told t = run_with((struct child_options){.argv = argv,
			.unprivileged = true,
			.reads_all = reads,
			.done = told_words});

		assert_int_equal(str_has_prefix(t.out, "ours"), reads);
		assert_non_null(strstr(t.out, "ermission denied"));
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_for_who_reads),
		cmocka_unit_test(test_each_is_somebody_else),
		cmocka_unit_test(test_nothing_is_to_be_gained),
		cmocka_unit_test(test_reads_all_and_writes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
