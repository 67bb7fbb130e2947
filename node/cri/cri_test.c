/* What must hold without a runtime: absurd times, and a subscription that nobody ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/cri/cri.h"

static void on_changed(void *user, enum cri_change what)
{
	fail();
}

static void on_ended(void *user, const struct grpc_result *r)
{
	int *count = user;

	assert_int_equal(r->status, GRPC_UNAVAILABLE);
	(*count)++;
}

static void never(void *user, const struct grpc_result *r)
{
	fail();
}

static void test_times_out_of_reason(void **state)
{
	struct cri *c;
	uv_loop_t loop;
	int ended = 0;

	uv_loop_init(&loop);
	c = cri_create(&loop, "unix:///nonexistent/runtime.sock");
	/* A Pod's terminationGracePeriodSeconds and a probe's timeoutSeconds may be any int64. */
	cri_stop_container(c, "id", INT64_MAX, on_ended, &ended);
	cri_stop_container(c, "id", INT64_MIN, on_ended, &ended);
	cri_exec_sync(c, "id", NULL, 0, INT64_MAX, on_ended, &ended);
	cri_watch(c, on_changed, on_ended, &ended);
	while (ended < 4)
		uv_run(&loop, UV_RUN_ONCE);
	cri_destroy(c);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_destroy_ends_subscriptions(void **state)
{
	struct cri *c;
	uv_loop_t loop;

	uv_loop_init(&loop);
	c = cri_create(&loop, "unix:///nonexistent/runtime.sock");
	cri_watch(c, on_changed, never, NULL);
	grpc_call_cancel(cri_watch(c, on_changed, never, NULL));
	cri_destroy(c);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_out_of_reason),
		cmocka_unit_test(test_destroy_ends_subscriptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
