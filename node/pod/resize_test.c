/* resize_test.c - amounts, policies, and what fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/pod/resize.h"

static const struct json *doc(struct arena *a, const char *text)
{
	struct json *o = NULL;

	assert_int_equal(json_parse(a, text, strlen(text), NULL, &o, NULL), 0);
	return o;
}

static void amounts(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct container_amounts x, y;

	container_amounts_read(NULL, &x);
	assert_true(x.cpu_limit_milli == 0 && x.memory_request == 0);
	container_amounts_read(doc(&a, "{\"requests\":{\"cpu\":\"0.5\",\"memory\":\"64Mi\"}}"), &x);
	container_amounts_read(
		doc(&a, "{\"requests\":{\"cpu\":\"500m\",\"memory\":67108864}}"), &y);
	assert_true(container_amounts_equal(&x, &y));
	y.memory_limit = 1;
	assert_false(container_amounts_equal(&x, &y));
}

static void policies(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *c = doc(&a,
		"{\"resizePolicy\":[{\"resourceName\":\"cpu\",\"restartPolicy\":\"NotRequired\"},"
		"{\"resourceName\":\"memory\",\"restartPolicy\":\"RestartContainer\"}]}");
	struct container_amounts from = {0}, cpu = {.cpu_limit_milli = 1},
				 memory = {.memory_request = 1};

	assert_false(container_resize_restarts(c, &from, &from));
	assert_false(container_resize_restarts(c, &from, &cpu));
	assert_true(container_resize_restarts(c, &from, &memory));
	assert_false(container_resize_restarts(doc(&a, "{}"), &from, &memory));
}

static void rooms(void **state)
{
	struct resize_room room = {2000, 1000, 1500, 100};
	char why[256] = "";

	assert_int_equal(resize_check(&room, 500, 900, why, sizeof(why)), RESIZE_FITS);
	assert_int_equal(resize_check(&room, 501, 900, why, sizeof(why)), RESIZE_DEFERRED);
	assert_string_equal(why, "Node didn't have enough resource: cpu, requested: 501, used: "
				 "1500, capacity: 2000");
	assert_int_equal(resize_check(&room, 501, 1001, why, sizeof(why)), RESIZE_INFEASIBLE);
	assert_string_equal(
		why, "Node didn't have enough capacity: memory, requested: 1001, capacity: 1000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts),
		cmocka_unit_test(policies),
		cmocka_unit_test(rooms),
	};

	return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
