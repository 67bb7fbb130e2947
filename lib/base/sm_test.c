#include "lib/base/sm.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { IDLE, BUSY, DONE };

static const struct sm_state states[] = {
	[IDLE] = {"idle", SM_ALLOW(BUSY), false},
	[BUSY] = {"busy", SM_ALLOW(IDLE) | SM_ALLOW(DONE), false},
	[DONE] = {"done", 0, true},
};

static unsigned checked;

static void check(const void *owner, unsigned state)
{
	assert_ptr_equal(owner, &checked);
	checked = checked * 10 + state + 1;
}

static const struct sm_class class = {"test", states, ARRAY_LEN(states), check};

static void test_moves(void **state)
{
	struct sm sm;

	checked = 0;
	sm_init(&sm, &class, &checked, "a/b", IDLE, 5);
	assert_string_equal(sm_name(&sm), "idle");
	assert_int_equal(sm.since_ns, 5);
	sm_move(&sm, BUSY, 6);
	sm_move(&sm, IDLE, 7);
	sm_move(&sm, BUSY, 8);
	sm_move(&sm, DONE, 9);
	assert_string_equal(sm_name(&sm), "done");
	assert_int_equal(sm.move_count, 4);
	assert_int_equal(sm.since_ns, 9);
	assert_int_equal(checked, 12123);
}

static void test_long_label_is_cut(void **state)
{
	struct sm sm;
	char label[300];

	memset(label, 'x', sizeof(label));
	label[sizeof(label) - 1] = '\0';
	sm_init(&sm, &class, &checked, label, IDLE, 0);
	assert_int_equal(strlen(sm.label), sizeof(sm.label) - 1);
}

/* True when the moves end in abort(). */
static bool aborts(const unsigned *moves, size_t count)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct sm sm;

		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		sm_init(&sm, &class, &checked, "x", IDLE, 0);
		for (size_t i = 0; i < count; i++)
			sm_move(&sm, moves[i], 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_refused_moves(void **state)
{
	const unsigned fine[] = {BUSY, DONE}, skip[] = {DONE}, same[] = {IDLE},
		       after_final[] = {BUSY, DONE, IDLE}, beyond[] = {3}, far[] = {64};

	assert_false(aborts(fine, 2));
	assert_true(aborts(skip, 1));
	assert_true(aborts(same, 1));
	assert_true(aborts(after_final, 3));
	assert_true(aborts(beyond, 1));
	assert_true(aborts(far, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_long_label_is_cut),
		cmocka_unit_test(test_refused_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
