/* The steps of a move, one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "server/controllers/applications/application_plan.h"

#define MACHINE PLACEMENT_VIRTUAL_MACHINE
#define CONTAINER PLACEMENT_CONTAINER
#define NOW (INT64_C(1000) * NS_PER_S)

static const struct application_side absent = {.wanted = 2},
				     starting = {.exists = true, .current = true, .wanted = 2},
				     serving = {.exists = true,
					     .current = true,
					     .wanted = 2,
					     .replicas = 2,
					     .ready = 2,
					     .published = 2},
				     unpublished = {.exists = true,
					     .current = true,
					     .wanted = 2,
					     .replicas = 2,
					     .ready = 2};

/* From containers to virtual machines. */
static struct application_view moving(struct application_side machine,
	struct application_side container, enum application_selects selects)
{
	return (struct application_view){.serving = CONTAINER,
		.target = MACHINE,
		.sides = {[MACHINE] = machine, [CONTAINER] = container},
		.has_service = true,
		.selects = selects,
		.drain_ms = 10000,
		.now_ns = NOW};
}

static void expect(struct application_view v, const char *phase, enum application_selects selects,
	enum placement_isolation serves, bool removes)
{
	struct application_plan p = application_plan(&v);
	if (phase)
		assert_string_equal(p.phase, phase);
	else
		assert_null(p.phase);
	assert_int_equal(p.selects, selects);
	assert_int_equal(p.serving, serves);
	assert_int_equal(p.remove[CONTAINER], removes);
	assert_true(p.keep[MACHINE]);
	assert_false(p.keep[CONTAINER] || p.remove[MACHINE]);
}

static void test_steps(void **state)
{
	expect(moving(absent, serving, SELECTS_CONTAINERS), "Starting", SELECTS_BOTH, CONTAINER,
		false);
	expect(moving(starting, serving, SELECTS_BOTH), "Starting", SELECTS_BOTH, CONTAINER, false);
	/* Ready, but not to be found yet. */
	expect(moving(unpublished, serving, SELECTS_BOTH), "Starting", SELECTS_BOTH, CONTAINER,
		false);
	struct application_view v = moving(serving, serving, SELECTS_BOTH);
	expect(v, "Serving", SELECTS_BOTH, CONTAINER, false);
	assert_int_equal(application_plan(&v).both_since_ns, NOW);
	assert_int_equal(application_plan(&v).again_ms, SERVE_BOTH_MS);
	v.both_since_ns = NOW - SERVE_BOTH_MS * NS_PER_MS;
	expect(v, "Draining", SELECTS_MACHINES, MACHINE, false);
	/* The Service is told; its Endpoints are not there yet. */
	v = moving(serving, serving, SELECTS_MACHINES);
	expect(v, "Draining", SELECTS_MACHINES, MACHINE, false);
	assert_int_equal(application_plan(&v).drained_since_ns, 0);
	v = moving(serving, unpublished, SELECTS_MACHINES);
	expect(v, "Draining", SELECTS_MACHINES, MACHINE, false);
	assert_int_equal(application_plan(&v).drained_since_ns, NOW);
	assert_int_equal(application_plan(&v).again_ms, 10000);
	v.drained_since_ns = NOW - INT64_C(10) * NS_PER_S;
	expect(v, "Removing", SELECTS_MACHINES, MACHINE, true);
	expect(moving(serving, absent, SELECTS_MACHINES), NULL, SELECTS_MACHINES, MACHINE, false);
}

/* A replica of the new side is lost when the old one could go: it must wait. */
static void test_waits_for_all(void **state)
{
	struct application_view v = moving(serving, unpublished, SELECTS_MACHINES);
	v.drained_since_ns = NOW - INT64_C(60) * NS_PER_S;
	v.sides[MACHINE].ready = 1;
	expect(v, "Draining", SELECTS_MACHINES, MACHINE, false);
	/* All are lost: back to both. */
	v.sides[MACHINE].ready = 0;
	expect(v, "Starting", SELECTS_BOTH, CONTAINER, false);
	/* Not if the old one could not help. */
	v.sides[CONTAINER].ready = 0;
	expect(v, "Draining", SELECTS_MACHINES, MACHINE, false);
}

static void test_outdated_side_does_not_count(void **state)
{
	struct application_view v = moving(serving, serving, SELECTS_BOTH);
	v.sides[MACHINE].current = false;
	expect(v, "Starting", SELECTS_BOTH, CONTAINER, false);
}

static void test_without_service(void **state)
{
	struct application_view v = moving(starting, unpublished, SELECTS_NONE);
	v.has_service = false;
	struct application_plan p = application_plan(&v);
	assert_false(p.remove[CONTAINER]);
	v.sides[MACHINE] = unpublished;
	p = application_plan(&v);
	assert_true(p.remove[CONTAINER]);
	assert_int_equal(p.serving, MACHINE);
}

static void test_left_alone(void **state)
{
	struct application_view v = moving(serving, serving, SELECTS_BOTH);
	v.target = PLACEMENT_NEITHER;
	struct application_plan p = application_plan(&v);
	for (size_t i = 0; i < 3; i++)
		assert_false(p.keep[i] || p.remove[i]);
	assert_int_equal(p.selects, SELECTS_BOTH);
	assert_int_equal(p.serving, CONTAINER);
}

static void test_first_placement(void **state)
{
	struct application_view v = moving(absent, absent, SELECTS_NONE);
	v.serving = PLACEMENT_NEITHER;
	expect(v, NULL, SELECTS_MACHINES, MACHINE, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_waits_for_all),
		cmocka_unit_test(test_outdated_side_does_not_count),
		cmocka_unit_test(test_without_service),
		cmocka_unit_test(test_left_alone),
		cmocka_unit_test(test_first_placement),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
