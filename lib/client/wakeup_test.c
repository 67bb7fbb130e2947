/* A wakeup that is due again at once leaves their turn to the other handles of the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/client/wakeup.h"

struct fixture {
	struct wakeup *wakeup;
	uv_async_t other;
	int fired, others;
};

static void on_fire(void *user)
{
	struct fixture *f = user;

	if (++f->fired == 1000 || f->others)
		return;
	wakeup_in(f->wakeup, 0);
}

static void on_other(uv_async_t *h)
{
	struct fixture *f = h->data;

	f->others++;
	uv_close((uv_handle_t *)h, NULL);
}

static void test_others_have_their_turn(void **state)
{
	struct fixture f = {0};
	uv_loop_t loop;

	uv_loop_init(&loop);
	uv_async_init(&loop, &f.other, on_other);
	f.other.data = &f;
	uv_async_send(&f.other);
	f.wakeup = wakeup_create(&loop, clock_system(), on_fire, &f);
	wakeup_in(f.wakeup, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(f.others, 1);
	assert_in_range(f.fired, 1, 10);
	wakeup_destroy(f.wakeup);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_have_their_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
