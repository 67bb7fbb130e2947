/* pressure_decide_test.c - thresholds, conditions, order and words of eviction, on a clock of our
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "node/pod/pod_resources.h"
#include "node/pressure/pressure_decide.h"
#include "node/pressure/signals.h"

#define MI (INT64_C(1) << 20)
#define GI (INT64_C(1) << 30)

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (yaml_parse(a, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

/* A fake host: what tests say is there. */
struct fake {
	struct node_config config;
	struct pressure_state state;
	struct signals now;
	int64_t now_ns;
	struct pressure_due due;
};

static void fake_init(struct fake *f)
{
	*f = (struct fake){.config = *node_config_default()};
	f->now_ns = 1000 * NS_PER_S;
	f->now.of[SIGNAL_MEMORY_AVAILABLE] = (struct signal_value){true, 4 * GI, 8 * GI};
	f->now.of[SIGNAL_NODEFS_AVAILABLE] = (struct signal_value){true, 50 * GI, 100 * GI};
	f->now.of[SIGNAL_NODEFS_INODES_FREE] = (struct signal_value){true, 5000, 10000};
	f->now.of[SIGNAL_IMAGEFS_AVAILABLE] = (struct signal_value){true, 50 * GI, 100 * GI};
	f->now.of[SIGNAL_IMAGEFS_INODES_FREE] = (struct signal_value){true, 5000, 10000};
	f->now.of[SIGNAL_PID_AVAILABLE] = (struct signal_value){true, 30000, 32768};
}

static void pass(struct fake *f, int64_t s)
{
	f->now_ns += s * NS_PER_S;
	pressure_observe(&f->config, &f->state, &f->now, f->now_ns, &f->due);
}

static void set(struct fake *f, enum node_signal s, int64_t available)
{
	f->now.of[s].available = available;
}

static void hard_threshold(void **state)
{
	struct fake f;

	fake_init(&f);
	pass(&f, 0);
	assert_false(f.due.any);
	assert_false(f.state.condition[PRESSURE_MEMORY]);

	set(&f, SIGNAL_MEMORY_AVAILABLE, 100 * MI);
	pass(&f, 10);
	assert_false(f.due.any); /* 100Mi are not less than 100Mi */
	set(&f, SIGNAL_MEMORY_AVAILABLE, 100 * MI - 1);
	pass(&f, 10);
	assert_true(f.due.any && f.due.hard);
	assert_int_equal(f.due.signal, SIGNAL_MEMORY_AVAILABLE);
	assert_int_equal(f.due.threshold, 100 * MI);
	assert_int_equal(f.due.available, 100 * MI - 1);
	assert_true(f.state.condition[PRESSURE_MEMORY]);
	assert_false(f.state.condition[PRESSURE_DISK]);

	/* Nothing to do any more, but the condition stays five minutes. */
	set(&f, SIGNAL_MEMORY_AVAILABLE, GI);
	pass(&f, 299);
	assert_false(f.due.any);
	assert_true(f.state.condition[PRESSURE_MEMORY]);
	pass(&f, 1);
	assert_false(f.state.condition[PRESSURE_MEMORY]);
}

/* While a condition swings, each time counts anew. */
static void swinging(void **state)
{
	struct fake f;

	fake_init(&f);
	for (int i = 0; i < 20; i++) {
		set(&f, SIGNAL_NODEFS_AVAILABLE, i % 2 ? 50 * GI : 5 * GI);
		pass(&f, 100);
		assert_true(f.state.condition[PRESSURE_DISK]);
		assert_int_equal(f.due.any, i % 2 == 0);
	}
}

static void no_transition_period(void **state)
{
	struct fake f;

	fake_init(&f);
	f.config.eviction_pressure_transition_ms = 0;
	set(&f, SIGNAL_PID_AVAILABLE, 10);
	f.config.eviction_hard[SIGNAL_PID_AVAILABLE] =
		(struct node_threshold){.set = true, .below = {.value = 100}};
	pass(&f, 1);
	assert_true(f.state.condition[PRESSURE_PID]);
	assert_int_equal(f.due.signal, SIGNAL_PID_AVAILABLE);
	set(&f, SIGNAL_PID_AVAILABLE, 1000);
	pass(&f, 1);
	assert_false(f.state.condition[PRESSURE_PID]);
}

static void soft_threshold(void **state)
{
	struct fake f;

	fake_init(&f);
	f.config.eviction_soft[SIGNAL_MEMORY_AVAILABLE] =
		(struct node_threshold){.set = true, .below = {.value = GI}, .grace_ms = 90 * 1000};
	set(&f, SIGNAL_MEMORY_AVAILABLE, 900 * MI);
	pass(&f, 0);
	assert_false(f.due.any);
	assert_true(f.state.condition[PRESSURE_MEMORY]); /* at once, before the grace is over */
	pass(&f, 89);
	assert_false(f.due.any);
	pass(&f, 1);
	assert_true(f.due.any && !f.due.hard);
	assert_int_equal(f.due.threshold, GI);

	/* A moment above: the grace begins again. */
	set(&f, SIGNAL_MEMORY_AVAILABLE, 2 * GI);
	pass(&f, 1);
	set(&f, SIGNAL_MEMORY_AVAILABLE, 900 * MI);
	pass(&f, 1);
	pass(&f, 89);
	assert_false(f.due.any);
	/* The hard one waits for nothing. */
	set(&f, SIGNAL_MEMORY_AVAILABLE, 50 * MI);
	pass(&f, 0);
	assert_true(f.due.any && f.due.hard);
}

static void minimum_reclaim(void **state)
{
	struct fake f;

	fake_init(&f);
	f.config.eviction_hard[SIGNAL_NODEFS_AVAILABLE].min_reclaim.value = 5 * GI;
	set(&f, SIGNAL_NODEFS_AVAILABLE, 12 * GI);
	pass(&f, 10);
	assert_false(f.due.any);
	set(&f, SIGNAL_NODEFS_AVAILABLE, 9 * GI);
	pass(&f, 10);
	assert_true(f.due.any);
	set(&f, SIGNAL_NODEFS_AVAILABLE, 14 * GI);
	pass(&f, 10);
	assert_true(f.due.any); /* 10 % and 5Gi more */
	assert_int_equal(f.due.threshold, 10 * GI);
	set(&f, SIGNAL_NODEFS_AVAILABLE, 15 * GI);
	pass(&f, 10);
	assert_false(f.due.any);
}

static void memory_first_and_unknown_never(void **state)
{
	struct fake f;

	fake_init(&f);
	set(&f, SIGNAL_NODEFS_AVAILABLE, 0);
	set(&f, SIGNAL_MEMORY_AVAILABLE, 0);
	pass(&f, 10);
	assert_int_equal(f.due.signal, SIGNAL_MEMORY_AVAILABLE);
	assert_true(f.state.condition[PRESSURE_DISK]);
	f.now.of[SIGNAL_MEMORY_AVAILABLE].known = false;
	pass(&f, 10);
	assert_int_equal(f.due.signal, SIGNAL_NODEFS_AVAILABLE);
	f.now.of[SIGNAL_NODEFS_AVAILABLE].known = false;
	pass(&f, 10);
	assert_false(f.due.any);
}

static void order(void **state)
{
	struct pod_load pods[] = {
		{.uid = "within, big", .known = true, .usage = {900}, .request = {1000}},
		{.uid = "above, important", .priority = 10, .known = true, .usage = {900}},
		{.uid = "above a little", .known = true, .usage = {300}, .request = {200}},
		{.uid = "above a lot", .known = true, .usage = {600}, .request = {100}},
		{.uid = "unknown", .priority = 5},
		{.uid = "within, small", .known = true, .usage = {10}, .request = {1000}},
	};
	static const char *const memory[] = {"unknown", "above a lot", "above a little",
		"above, important", "within, big", "within, small"};
	/* Requests say nothing of processes: priority, then their number. */
	static const int64_t pids[] = {5, 100, 30, 20, 0, 7};
	static const char *const by_pids[] = {"unknown", "above a little", "above a lot",
		"within, small", "within, big", "above, important"};

	for (size_t i = 0; i < ARRAY_LEN(pods); i++)
		pods[i].usage[RES_PIDS] = pids[i];
	pressure_rank(pods, ARRAY_LEN(pods), RES_MEMORY);
	for (size_t i = 0; i < ARRAY_LEN(pods); i++)
		assert_string_equal(pods[i].uid, memory[i]);
	pressure_rank(pods, ARRAY_LEN(pods), RES_PIDS);
	for (size_t i = 0; i < ARRAY_LEN(pods); i++)
		assert_string_equal(pods[i].uid, by_pids[i]);
}

static void words(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = parse(&a, "spec:\n"
					   "  containers:\n"
					   "  - name: c\n"
					   "    resources: {requests: {memory: 128M}}\n"
					   "  - name: d\n"
					   "  - name: e\n"
					   "    resources: {requests: {memory: 1Gi}}\n");
	struct container_load loads[] = {{"c", 788244 * 1024}, {"d", 5 * MI}, {"e", MI}};
	struct pressure_due due = {true, true, SIGNAL_MEMORY_AVAILABLE, 12 * GI, 12536420 * 1024LL};

	assert_string_equal(pressure_message(&a, &due, pod, loads, 3),
		"The node was low on resource: memory. Threshold quantity: 12Gi, available: "
		"12536420Ki. Container c was using 788244Ki, request is 128M, has larger "
		"consumption of memory. Container d was using 5Mi, request is 0, has larger "
		"consumption of memory. ");
	due = (struct pressure_due){
		true, true, SIGNAL_NODEFS_AVAILABLE, 46993491787, 45494108 * 1024LL};
	assert_string_equal(pressure_message(&a, &due, pod, NULL, 0),
		"The node was low on resource: ephemeral-storage. Threshold quantity: 46993491787, "
		"available: 45494108Ki. ");
}

static void grace(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = parse(&a, "spec: {terminationGracePeriodSeconds: 20}");
	struct node_config c = *node_config_default();

	assert_int_equal(pressure_grace_s(&c, true, pod), 1);
	assert_int_equal(pressure_grace_s(&c, false, pod), 0);
	c.eviction_max_pod_grace_s = 15;
	assert_int_equal(pressure_grace_s(&c, false, pod), 15);
	c.eviction_max_pod_grace_s = 60;
	assert_int_equal(pressure_grace_s(&c, false, pod), 20);
}

static void admission(void **state)
{
	static const struct {
		bool memory, disk;
		const char *pod;
		const char *message; /* NULL = admitted */
	} cases[] = {
		{false, false, "spec: {}", NULL},
		{true, false, "spec: {containers: [{name: c}]}",
			"The node had condition: [MemoryPressure]. "},
		{true, false,
			"spec: {containers: [{name: c, resources: {requests: {memory: 1Mi}}}]}",
			NULL},
		{true, false,
			"spec: {containers: [{name: c}], tolerations: [{key: "
			"node.kubernetes.io/memory-pressure, operator: Exists}]}",
			NULL},
		{false, true,
			"spec: {containers: [{name: c, resources: {requests: {memory: 1Mi}}}]}",
			"The node had condition: [DiskPressure]. "},
		{true, true,
			"spec: {containers: [{name: c, resources: {requests: {memory: 1Mi}}}]}",
			"The node had condition: [MemoryPressure DiskPressure]. "},
		{true, true, "spec: {priority: 2000001000, containers: [{name: c}]}", NULL},
		{true, true, "metadata: {annotations: {kubernetes.io/config.source: file}}", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		bool c[PRESSURE_COUNT] = {
			[PRESSURE_MEMORY] = cases[i].memory, [PRESSURE_DISK] = cases[i].disk};
		const char *message = NULL;
		assert_int_equal(pressure_admits(&a, c, parse(&a, cases[i].pod), &message),
			!cases[i].message);
		if (cases[i].message)
			assert_string_equal(message, cases[i].message);
	}
}

static void requests(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod =
		parse(&a, "spec:\n"
			  "  overhead: {cpu: 10m}\n"
			  "  containers:\n"
			  "  - resources: {requests: {cpu: 100m, memory: 1Gi}}\n"
			  "  - resources: {limits: {cpu: '1', ephemeral-storage: 1Gi}}\n"
			  "  initContainers:\n"
			  "  - resources: {requests: {cpu: '1'}}\n"
			  "  - restartPolicy: Always\n"
			  "    resources: {requests: {cpu: 500m}}\n"
			  "  - resources: {requests: {cpu: '2'}}\n");

	assert_int_equal(pod_request(pod, "cpu"), 2510);
	assert_int_equal(pod_request(pod, "memory"), GI);
	assert_int_equal(pod_request(pod, "ephemeral-storage"), GI);
	assert_int_equal(pod_limit(pod, "ephemeral-storage"), GI);
	assert_int_equal(pod_request(pod, "hugepages-2Mi"), 0);
}

/* Both versions of control groups, from files. */
static void memory_of_host(void **state)
{
	int64_t capacity = 0;

	assert_int_equal(host_memory_available(TESTDATA "/v1", &capacity),
		8000000 * 1024LL - 3000000000 + 1000000000);
	assert_int_equal(capacity, 8000000 * 1024LL);
	assert_int_equal(
		host_memory_available(TESTDATA "/v2", &capacity), (2000000 + 500000) * 1024LL);
	assert_int_equal(host_memory_available(TESTDATA "/none", &capacity), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hard_threshold),
		cmocka_unit_test(swinging),
		cmocka_unit_test(no_transition_period),
		cmocka_unit_test(soft_threshold),
		cmocka_unit_test(minimum_reclaim),
		cmocka_unit_test(memory_first_and_unknown_never),
		cmocka_unit_test(order),
		cmocka_unit_test(words),
		cmocka_unit_test(grace),
		cmocka_unit_test(admission),
		cmocka_unit_test(requests),
		cmocka_unit_test(memory_of_host),
	};

	return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
