/* pod_status_test.c - statuses, conditions, QoS, image names, and the patch that is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/pod/pod_config.h"
#include "node/pod/pod_status.h"

#define NOW INT64_C(1700000000000000000)

static struct arena a;

static int setup(void **state)
{
	arena_init(&a);
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&a);
	return 0;
}

static struct json *parse(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (json_parse(&a, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("%s in %s", err.msg, text);
	return v;
}

static const char pod_text[] =
	"{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u-1\"},\"spec\":{"
	"\"initContainers\":[{\"name\":\"i\",\"image\":\"img\"}],"
	"\"containers\":[{\"name\":\"c\",\"image\":\"img\"}]}}";

struct scene {
	struct container_view v[2];
	struct pod_container c[2];
	struct pod_view view;
	struct pod_status_input in;
};

static void scene_init(struct scene *s)
{
	*s = (struct scene){0};
	s->v[0].init = true;
	s->v[0].started = s->v[1].started = true;
	s->c[0].name = "i";
	s->c[1].name = "c";
	s->view.containers = s->v;
	s->view.container_count = 2;
	s->view.sandbox_exists = s->view.sandbox_ready = true;
	s->in = (struct pod_status_input){
		.pod = parse(pod_text),
		.view = &s->view,
		.containers = s->c,
		.host_ip = "172.31.0.1",
		.pod_ip = "10.244.0.5",
		.start_ns = NOW,
		.now_ns = NOW,
	};
}

static void run(struct scene *s, int i, enum container_run how, int exit_code)
{
	s->v[i].run = s->c[i].cur.run = how;
	s->v[i].exit_code = s->c[i].cur.exit_code = exit_code;
	s->v[i].in_sandbox = true;
	s->c[i].cur.id = "id";
	s->c[i].cur.started_ns = s->c[i].cur.created_ns = NOW - 5 * NS_PER_S;
	s->c[i].cur.finished_ns = how == RUN_EXITED ? NOW - NS_PER_S : 0;
	s->v[i].finished_ns = s->c[i].cur.finished_ns;
}

static const char *condition(const struct json *status, const char *type, const char *field)
{
	JSON_FOR_EACH_ITEM(c, json_get(status, "conditions")) {
		if (streq(json_str(json_get(c, "type")), type))
			return json_str_or(json_get(c, field), "");
	}
	return "(no such condition)";
}

static void waiting_for_init(void **state)
{
	struct scene s;
	scene_init(&s);

	struct json *st = pod_status_make(&a, &s.in);
	assert_string_equal(json_path_str(st, "phase"), "Pending");
	assert_string_equal(
		json_path_str(st, "containerStatuses[0].state.waiting.reason"), "PodInitializing");
	assert_string_equal(condition(st, "Initialized", "status"), "False");
	assert_string_equal(condition(st, "Initialized", "reason"), "ContainersNotInitialized");
	assert_string_equal(
		condition(st, "Initialized", "message"), "containers with incomplete status: [i]");
	assert_string_equal(
		condition(st, "Ready", "message"), "containers with unready status: [c]");
	assert_string_equal(condition(st, "PodScheduled", "status"), "True");
	assert_string_equal(json_path_str(st, "qosClass"), "BestEffort");
	assert_string_equal(json_path_str(st, "podIPs[0].ip"), "10.244.0.5");
}

static void running_and_ready(void **state)
{
	struct scene s;
	scene_init(&s);
	run(&s, 0, RUN_EXITED, 0);
	run(&s, 1, RUN_RUNNING, 0);

	struct json *st = pod_status_make(&a, &s.in);
	assert_string_equal(json_path_str(st, "phase"), "Running");
	assert_string_equal(condition(st, "Ready", "status"), "True");
	assert_string_equal(condition(st, "Initialized", "status"), "True");
	assert_true(json_path_bool(st, "containerStatuses[0].ready", false));
	assert_true(json_path_bool(st, "initContainerStatuses[0].ready", false));
	assert_string_equal(
		json_path_str(st, "initContainerStatuses[0].state.terminated.reason"), "Completed");
	assert_string_equal(
		json_path_str(st, "containerStatuses[0].containerID"), "containerd://id");
	/* A readiness probe that has not spoken: not ready. */
	s.c[1].has_readiness = true;
	st = pod_status_make(&a, &s.in);
	assert_string_equal(condition(st, "Ready", "reason"), "ContainersNotReady");
	s.c[1].probe_ready = true;
	st = pod_status_make(&a, &s.in);
	assert_string_equal(condition(st, "Ready", "status"), "True");
}

static void crash_loop(void **state)
{
	struct scene s;
	scene_init(&s);
	run(&s, 0, RUN_EXITED, 0);
	run(&s, 1, RUN_EXITED, 7);
	s.c[1].cur.attempt = 3;
	s.v[1].restart = (struct backoff){80 * NS_PER_S, NOW - 60 * NS_PER_S};

	struct json *st = pod_status_make(&a, &s.in);
	assert_string_equal(json_path_str(st, "phase"), "Running");
	assert_string_equal(
		json_path_str(st, "containerStatuses[0].state.waiting.reason"), "CrashLoopBackOff");
	assert_string_equal(json_path_str(st, "containerStatuses[0].state.waiting.message"),
		"back-off 1m20s restarting failed container=c pod=p_ns(u-1)");
	assert_int_equal(
		json_path_int(st, "containerStatuses[0].lastState.terminated.exitCode", -1), 7);
	assert_int_equal(json_path_int(st, "containerStatuses[0].restartCount", -1), 3);
}

static void image_trouble(void **state)
{
	struct scene s;
	scene_init(&s);
	run(&s, 0, RUN_EXITED, 0);
	pod_container_wait(&s.c[1], "ImagePullBackOff", "Back-off pulling image \"%s\"", "img");

	struct json *st = pod_status_make(&a, &s.in);
	assert_string_equal(json_path_str(st, "phase"), "Pending");
	assert_string_equal(
		json_path_str(st, "containerStatuses[0].state.waiting.reason"), "ImagePullBackOff");
	assert_string_equal(json_path_str(st, "containerStatuses[0].state.waiting.message"),
		"Back-off pulling image \"img\"");
	pod_container_wait(&s.c[1], NULL, NULL);
}

static void ended(void **state)
{
	struct scene s;
	scene_init(&s);
	run(&s, 0, RUN_EXITED, 0);
	run(&s, 1, RUN_EXITED, 137);
	s.c[1].cur.reason = "OOMKilled";
	s.view.restart_policy = POD_RESTART_NEVER;
	s.view.ended = true;
	s.in.ended_phase = PHASE_FAILED;

	struct json *st = pod_status_make(&a, &s.in);
	assert_string_equal(json_path_str(st, "phase"), "Failed");
	assert_string_equal(
		json_path_str(st, "containerStatuses[0].state.terminated.reason"), "OOMKilled");
	assert_string_equal(condition(st, "Ready", "reason"), "PodFailed");
	/* It never started: the field is there nevertheless. */
	s.c[1].cur.started_ns = 0;
	st = pod_status_make(&a, &s.in);
	assert_string_equal(json_path_str(st, "containerStatuses[0].state.terminated.startedAt"),
		"1970-01-01T00:00:00Z");
	s.in.ended_phase = PHASE_SUCCEEDED;
	st = pod_status_make(&a, &s.in);
	assert_string_equal(condition(st, "Ready", "reason"), "PodCompleted");
	assert_string_equal(condition(st, "Initialized", "status"), "True");
	/* What the API knows as over stays over. */
	json_path_set(&a, (struct json *)(uintptr_t)s.in.pod, "status.phase",
		json_new_string(&a, "Succeeded"));
	s.view.ended = false;
	st = pod_status_make(&a, &s.in);
	assert_string_equal(json_path_str(st, "phase"), "Succeeded");
}

static void patch_only_what_differs(void **state)
{
	struct scene s;
	scene_init(&s);
	run(&s, 0, RUN_EXITED, 0);
	run(&s, 1, RUN_RUNNING, 0);

	struct json *pod = (struct json *)(uintptr_t)s.in.pod;
	struct json *patch = pod_status_patch(&a, pod, pod_status_make(&a, &s.in));
	assert_non_null(patch);
	assert_string_equal(json_path_str(patch, "metadata.uid"), "u-1");
	/* As the server would hold it then: nothing more to say, whatever the time is. */
	json_set(&a, pod, "status", pod_status_make(&a, &s.in));
	s.in.now_ns += 3600 * NS_PER_S;
	assert_null(pod_status_patch(&a, pod, pod_status_make(&a, &s.in)));
	const char *since = condition(json_get(pod, "status"), "Ready", "lastTransitionTime");
	/* It becomes unready: that condition gets a new time, the others keep theirs. */
	s.v[1].started = false;
	struct json *st = pod_status_make(&a, &s.in);
	assert_string_not_equal(condition(st, "Ready", "lastTransitionTime"), since);
	assert_string_equal(condition(st, "Initialized", "lastTransitionTime"), since);
	assert_non_null(pod_status_patch(&a, pod, st));
	/* A new address replaces the old one in lists that are merged by address. */
	s.in.pod_ip = "10.244.0.6";
	patch = pod_status_patch(&a, pod, pod_status_make(&a, &s.in));
	assert_string_equal(json_path_str(patch, "status.podIPs[1].$patch"), "replace");
}

static void qos_and_oom(void **state)
{
	static const struct {
		const char *resources;
		enum pod_qos qos;
		int oom;
	} cases[] = {
		{"{}", QOS_BEST_EFFORT, 1000},
		{"{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}", QOS_GUARANTEED, -997},
		{"{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"1000m\","
		 "\"memory\":\"1024Mi\"}}",
			QOS_GUARANTEED, -997},
		{"{\"requests\":{\"memory\":\"1Gi\"}}", QOS_BURSTABLE, 750},
		{"{\"requests\":{\"memory\":\"4Gi\"}}", QOS_BURSTABLE, 3},
		{"{\"requests\":{\"cpu\":\"10m\"}}", QOS_BURSTABLE, 999},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *pod = parse(arena_printf(&a,
			"{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":%s}]}}",
			cases[i].resources));
		assert_int_equal(pod_qos(pod), cases[i].qos);
		assert_int_equal(
			container_oom_score_adj(pod, pod_container_doc(pod, 0), INT64_C(4) << 30),
			cases[i].oom);
	}
}

static void resources_of_containers(void **state)
{
	struct qos_rules rules = {
		.quota_period_us = CPU_PERIOD_US, .node_memory = INT64_C(4) << 30};
	struct json *pod = parse("{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{"
				 "\"limits\":{\"cpu\":\"250m\",\"memory\":\"64Mi\"}}},"
				 "{\"name\":\"d\"}]}}");
	Cri__LinuxContainerResources *r =
		container_resources(&a, pod, pod_container_doc(pod, 0), &rules, false);

	assert_int_equal(r->cpu_period, 100000);
	assert_int_equal(r->cpu_quota, 25000);
	assert_int_equal(r->cpu_shares, 256);
	assert_int_equal(r->memory_limit_in_bytes, 64 << 20);
	r = container_resources(&a, pod, pod_container_doc(pod, 1), &rules, true);
	assert_int_equal(r->cpu_quota, 0);
	assert_int_equal(r->cpu_shares, 2);
	assert_string_equal(cri_pair_get(r->unified, r->n_unified, "memory.oom.group"), "1");
	rules.quota_period_us = 0;
	r = container_resources(&a, pod, pod_container_doc(pod, 0), &rules, false);
	assert_int_equal(r->cpu_quota, 0);
}

static void seconds_are_bounded(void **state)
{
	struct json *pod = parse("{\"a\":30,\"b\":9223372036854775807,\"c\":-5,\"d\":\"x\"}");

	assert_int_equal(pod_seconds(pod, "a", 7), 30);
	assert_int_equal(pod_seconds(pod, "b", 7), 315360000);
	assert_int_equal(pod_seconds(pod, "c", 7), 0);
	assert_int_equal(pod_seconds(pod, "d", 7), 7);
	assert_int_equal(pod_seconds(pod, "e", 7), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(waiting_for_init, setup, teardown),
		cmocka_unit_test_setup_teardown(running_and_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(image_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(ended, setup, teardown),
		cmocka_unit_test_setup_teardown(patch_only_what_differs, setup, teardown),
		cmocka_unit_test_setup_teardown(qos_and_oom, setup, teardown),
		cmocka_unit_test_setup_teardown(resources_of_containers, setup, teardown),
		cmocka_unit_test_setup_teardown(seconds_are_bounded, setup, teardown),
	};

	return cmocka_run_group_tests_name("pod_status", tests, NULL, NULL);
}
