/* The answers to guest-exec-status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vm/guest_agent/agent_exec.h"

static int status(struct arena *a, const char *text, struct agent_exec_result *ret)
{
	struct json *v;

	assert_int_equal(json_parse(a, text, strlen(text), NULL, &v, NULL), 0);
	return agent_exec_status_read(a, v, ret, NULL);
}

static void ends(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct agent_exec_result r;

	assert_int_equal(status(&a, "{\"exited\":false}", &r), 0);
	assert_int_equal(status(&a,
				 "{\"exited\":true,\"exitcode\":3,\"out-data\":\"aGk=\","
				 "\"err-truncated\":true}",
				 &r),
		1);
	assert_int_equal(r.exit_code, 3);
	assert_int_equal(r.out_size, 2);
	assert_string_equal(r.out, "hi");
	assert_string_equal(r.err, "");
	assert_true(r.err_truncated);
	assert_int_equal(status(&a, "{\"exited\":true,\"signal\":9}", &r), 1);
	assert_int_equal(r.exit_code, -1);
	assert_int_equal(r.signal, 9);
}

static void hostile_answers(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct agent_exec_result r;

	assert_int_equal(status(&a, "{}", &r), -EBADMSG);
	assert_int_equal(status(&a, "[true]", &r), -EBADMSG);
	assert_int_equal(status(&a, "{\"exited\":\"yes\"}", &r), -EBADMSG);
	assert_int_equal(
		status(&a, "{\"exited\":true,\"exitcode\":0,\"out-data\":\"%%\"}", &r), -EBADMSG);
	/* A number that no process can end with is brought into range. */
	assert_int_equal(status(&a, "{\"exited\":true,\"exitcode\":4294967296}", &r), 1);
	assert_int_equal(r.exit_code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(hostile_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
