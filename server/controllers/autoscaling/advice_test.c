#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "server/controllers/autoscaling/advice.h"

#define NOW (10000 * NS_PER_S)
#define LONG_AGO (1000 * NS_PER_S)
/* Ready for long, measured over the last 30 s. */
#define READY(used, asked)                                                                         \
	{                                                                                          \
		.name = "p", .has_ready = true, .ready = true, .ready_since_ns = LONG_AGO,         \
		.started_ns = LONG_AGO, .has_metric = true, .metric = (used),                      \
		.metric_time_ns = NOW, .window_ns = 30 * NS_PER_S, .request = (asked)              \
	}
#define MISSING(asked)                                                                             \
	{                                                                                          \
		.name = "p", .has_ready = true, .ready = true, .ready_since_ns = LONG_AGO,         \
		.started_ns = LONG_AGO, .request = (asked)                                         \
	}
#define UNREADY(used, asked)                                                                       \
	{                                                                                          \
		.name = "p", .has_ready = true, .ready_since_ns = NOW - 10 * NS_PER_S,             \
		.started_ns = NOW - 10 * NS_PER_S, .has_metric = true, .metric = (used),           \
		.metric_time_ns = NOW, .window_ns = 30 * NS_PER_S, .request = (asked)              \
	}
#define PENDING(asked)                                                                             \
	{                                                                                          \
		.name = "p", .pending = true, .request = (asked)                                   \
	}
#define GONE(used, asked)                                                                          \
	{                                                                                          \
		.name = "p", .gone = true, .has_metric = true, .metric = (used),                   \
		.request = (asked)                                                                 \
	}
#define PODS(...)                                                                                  \
	.pods = {__VA_ARGS__},                                                                     \
	.count = sizeof((struct advice_pod[]){__VA_ARGS__}) / sizeof(struct advice_pod)

static const struct {
	const char *name;
	int64_t target; /* percent of CPU, or with `amount` thousandths */
	bool amount, memory;
	int64_t current;
	struct advice_pod pods[6];
	size_t count;
	int64_t replicas, utilization; /* replicas -1: no advice */
} cases[] = {
	{"on target", 50, .current = 2, PODS(READY(500, 1000), READY(500, 1000)), .replicas = 2,
		.utilization = 50},
	{"inside the tolerance", 50, .current = 2, PODS(READY(540, 1000), READY(540, 1000)),
		.replicas = 2, .utilization = 54},
	{"above", 30, .current = 3, PODS(READY(300, 1000), READY(500, 1000), READY(700, 1000)),
		.replicas = 5, .utilization = 50},
	{"below", 50, .current = 5,
		PODS(READY(100, 1000), READY(300, 1000), READY(500, 1000), READY(250, 1000),
			READY(250, 1000)),
		.replicas = 3, .utilization = 28},
	{"an amount", 15000, .amount = true, .current = 3,
		PODS(READY(20000, 0), READY(20000, 0), READY(20000, 0)), .replicas = 4},
	{"nobody", 50, .current = 1, .count = 0, .replicas = -1},
	{"nobody that tells", 50, .current = 2, PODS(MISSING(1000), PENDING(1000)), .replicas = -1},
	{"those who go don't count", 50, .current = 2,
		PODS(READY(500, 1000), READY(500, 1000), GONE(9000, 1000)), .replicas = 2,
		.utilization = 50},
	/* 900 of 1000 is a ratio of 1.8; with two more that will take load it is 0.6: it would
	 * turn around. */
	{"pending pods will take load", 50, .current = 3,
		PODS(READY(900, 1000), PENDING(1000), PENDING(1000)), .replicas = 3,
		.utilization = 90},
	{"unready pods will take some", 30, .current = 4,
		PODS(READY(800, 1000), READY(800, 1000), UNREADY(900, 1000), UNREADY(900, 1000)),
		.replicas = 6, .utilization = 80},
	{"unready pods don't matter downwards", 50, .current = 3,
		PODS(READY(100, 1000), READY(100, 1000), UNREADY(900, 1000)), .replicas = 1,
		.utilization = 10},
	{"of memory they do count", 50, .memory = true, .current = 2,
		PODS(READY(500, 1000), UNREADY(500, 1000)), .replicas = 2, .utilization = 50},
	/* Downwards one that tells nothing counts as busy: (250 + 250 + 1000) / 3000 = 50 %. */
	{"missing pods count as busy downwards", 50, .current = 3,
		PODS(READY(250, 1000), READY(250, 1000), MISSING(1000)), .replicas = 3,
		.utilization = 25},
	{"missing pods count as idle upwards", 50, .current = 2,
		PODS(READY(1000, 1000), MISSING(1000)), .replicas = 2, .utilization = 100},
	{"missing pods, an amount", 1000, .amount = true, .current = 4,
		PODS(READY(100, 0), READY(100, 0), READY(100, 0), MISSING(0)), .replicas = 2},
};

static void test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct advice_goal goal = {.cpu = !cases[i].memory,
			.utilization = !cases[i].amount,
			.target = cases[i].target,
			.tolerance = 0.1,
			.now_ns = NOW};
		struct advice advice;
		struct err err = ERR_INIT;
		int r = advise(
			&goal, cases[i].pods, cases[i].count, cases[i].current, &advice, &err);
		if (cases[i].replicas < 0) {
			assert_int_equal(r, -ENODATA);
			assert_non_null(strstr(err.msg, "did not receive metrics"));
			continue;
		}
		assert_int_equal(r, 0);
		if (advice.replicas != cases[i].replicas ||
			(!cases[i].amount && advice.utilization != cases[i].utilization))
			fail_msg("%s: %d replicas at %d %%, want %d at %d", cases[i].name,
				(int)advice.replicas, (int)advice.utilization,
				(int)cases[i].replicas, (int)cases[i].utilization);
	}
}

/* A pod that was ready before and is not now tells of load; one that never was does not. */
static void test_starting(void **state)
{
	const struct advice_goal goal = {
		.cpu = true, .utilization = true, .target = 50, .tolerance = 0.1, .now_ns = NOW};
	struct advice_pod pods[] = {READY(500, 1000), READY(500, 1000)};
	struct advice advice;
	pods[1].metric = 100;
	pods[1].ready = false;
	assert_int_equal(advise(&goal, pods, 2, 2, &advice, NULL), 0);
	assert_int_equal(
		advice.utilization, 50); /* never ready: started when the condition was set */
	pods[1].ready_since_ns = LONG_AGO + 60 * NS_PER_S;
	assert_int_equal(advise(&goal, pods, 2, 2, &advice, NULL), 0);
	assert_int_equal(advice.utilization, 30);
	/* Young, ready, but the window begins before it was. */
	pods[1].ready = true;
	pods[1].started_ns = NOW - 60 * NS_PER_S;
	pods[1].ready_since_ns = NOW - 20 * NS_PER_S;
	assert_int_equal(advise(&goal, pods, 2, 2, &advice, NULL), 0);
	assert_int_equal(advice.utilization, 50);
	pods[1].ready_since_ns = NOW - 40 * NS_PER_S;
	assert_int_equal(advise(&goal, pods, 2, 2, &advice, NULL), 0);
	assert_int_equal(advice.utilization, 30);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_starting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
