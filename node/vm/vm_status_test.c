#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "node/vm/vm_status.h"

static struct arena a;

static struct json *parse(const char *text)
{
	struct json *doc;
	struct err err = ERR_INIT;

	if (yaml_parse(&a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
}

static const struct json *condition(const struct json *patch, const char *type)
{
	JSON_FOR_EACH_ITEM(it, json_path(patch, "status.conditions"))
		if (streq(json_str(json_get(it, "type")), type))
			return it;
	return NULL;
}

static const char scheduled[] =
	"metadata: {namespace: ns, name: vm, uid: 6b8f3c55-9a2e-4e6a-8f49-0123456789ab}\n"
	"spec: {domain: {memory: {guest: 128Mi}}}\n"
	"status: {phase: Scheduled, nodeName: node1, phaseTransitionTimestamps: [{phase: "
	"Scheduled, "
	"phaseTransitionTimestamp: '2026-11-21T03:00:00Z'}], conditions: [{type: Provisioned, "
	"status: "
	"'True'}]}\n";

static void running(void **state)
{
	struct json *vmi = parse(scheduled), *patch;
	struct vm_spec s;
	struct vm_facts f = {.phase = "Running",
		.alive = true,
		.not_ready_reason = "",
		.address = "10.244.0.7",
		.machine = "pc-q35-7.2",
		.runtime_user = 107,
		.spec = &s};

	assert_int_equal(vm_spec_read(&a, vmi, &s, NULL), 0);
	patch = vm_status_patch(&a, vmi, &f, 1795233600 * NS_PER_S);
	assert_non_null(patch);
	assert_string_equal(json_path_str(patch, "status.phase"), "Running");
	assert_string_equal(json_path_str(patch, "status.interfaces[0].ipAddress"), "10.244.0.7");
	assert_int_equal(json_count(json_path(patch, "status.phaseTransitionTimestamps")), 2);
	assert_string_equal(json_str(json_get(condition(patch, "Ready"), "status")), "True");
	assert_string_equal(
		json_str(json_get(condition(patch, "LiveMigratable"), "status")), "False");
	assert_non_null(condition(patch, "Provisioned")); /* somebody else's */
	assert_null(condition(patch, "Synchronized"));
	assert_string_equal(json_path_str(patch, "metadata.uid"), s.uid);
	/* In the server's own form: "131072Ki" would come back as another text, and never be the
	 * same. */
	assert_string_equal(json_path_str(patch, "status.memory.guestAtBoot"), "128Mi");

	assert_string_equal(json_path_str(patch, "status.machine.type"), "pc-q35-7.2");
	assert_int_equal(json_path_int(patch, "status.runtimeUser", 0), 107);

	/* Written back, there is nothing more to say, at any later time. */
	JSON_FOR_EACH_MEMBER(m, json_get(patch, "status"))
		json_set(&a, json_get(vmi, "status"), m->name, m->value);
	assert_null(vm_status_patch(&a, vmi, &f, 1795233700 * NS_PER_S));

	/* Paused: not ready, and the time of that. */
	f.paused = true;
	f.pause_reason = "PausedByUser";
	f.pause_message = "VMI was paused by user";
	patch = vm_status_patch(&a, vmi, &f, 1795233700 * NS_PER_S);
	assert_string_equal(json_str(json_get(condition(patch, "Ready"), "reason")), "Paused");
	assert_non_null(condition(patch, "Paused"));
	assert_null(json_path(patch, "status.phase"));
	arena_finish(&a);
}

static void a_problem_is_shown_and_goes(void **state)
{
	struct json *vmi = parse(scheduled), *patch;
	struct vm_facts f = {.problem_reason = "ErrImagePull",
		.problem_message = "no such image",
		.not_ready_reason = "",
		.address = ""};

	patch = vm_status_patch(&a, vmi, &f, NS_PER_S);
	assert_string_equal(
		json_str(json_get(condition(patch, "Synchronized"), "reason")), "ErrImagePull");
	assert_string_equal(
		json_str(json_get(condition(patch, "Ready"), "reason")), "GuestNotRunning");
	assert_null(json_path(patch, "status.phase"));
	JSON_FOR_EACH_MEMBER(m, json_get(patch, "status"))
		json_set(&a, json_get(vmi, "status"), m->name, m->value);
	f.problem_reason = NULL;
	patch = vm_status_patch(&a, vmi, &f, NS_PER_S);
	assert_non_null(patch);
	assert_null(condition(patch, "Synchronized"));
	arena_finish(&a);
}

static const struct json *change(struct json *vmi, const struct vm_facts *f, const char *type)
{
	struct json *patch = vm_status_patch(&a, vmi, f, NS_PER_S);

	assert_non_null(patch);
	JSON_FOR_EACH_MEMBER(m, json_get(patch, "status"))
		json_set(&a, json_get(vmi, "status"), m->name, m->value);
	return condition(patch, type);
}

static void changes_under_way_show(void **state)
{
	struct json *vmi = parse(scheduled);
	struct vm_spec s;
	struct vm_facts f = {.alive = true, .not_ready_reason = "", .address = "", .spec = &s};

	assert_int_equal(vm_spec_read(&a, vmi, &s, NULL), 0);
	f.vcpus_change = f.memory_change = true;
	assert_string_equal(json_str(json_get(change(vmi, &f, "HotVCPUChange"), "status")), "True");
	assert_string_equal(
		json_str(json_get(condition(vmi, "HotMemoryChange"), "status")), "True");
	f.vcpus_change = false;
	f.memory_failed = true;
	const struct json *memory = change(vmi, &f, "HotMemoryChange");
	assert_string_equal(json_str(json_get(memory, "status")), "False");
	assert_string_equal(json_str(json_get(memory, "reason")), "Memory Hotplug Failed");
	assert_null(condition(vmi, "HotVCPUChange"));
	f.memory_failed = f.memory_change = false;
	assert_null(change(vmi, &f, "HotMemoryChange"));
	arena_finish(&a);
}

/* Pods wait for the claim of a volume that was unplugged until the guest has let it go. */
static void a_claim_is_told_until_it_is_let_go(void **state)
{
	struct json *vmi = parse(scheduled), *list;
	struct vm_spec s;
	struct vm_volume_fact leaves = {
		.name = "data", .target = "sda", .leaves = true, .phase = "Detaching"};
	struct vm_facts f = {.alive = true, .not_ready_reason = "", .address = "", .spec = &s};
	static const char claim[] = "status.volumeStatus[0].persistentVolumeClaimInfo.claimName";

	json_path_set(&a, vmi, "spec.volumes",
		parse("[{name: data, persistentVolumeClaim: {claimName: disk, hotpluggable: "
		      "true}}]"));
	assert_int_equal(vm_spec_read(&a, vmi, &s, NULL), 0);
	(void)change(vmi, &f, "Ready");
	assert_string_equal(json_path_str(vmi, claim), "disk");

	json_path_set(&a, vmi, "spec.volumes", json_new_array(&a));
	assert_int_equal(vm_spec_read(&a, vmi, &s, NULL), 0);
	f.volumes = &leaves;
	f.volume_count = 1;
	(void)change(vmi, &f, "Ready");
	assert_string_equal(json_path_str(vmi, "status.volumeStatus[0].phase"), "Detaching");
	assert_string_equal(json_path_str(vmi, claim), "disk");
	assert_null(vm_status_patch(&a, vmi, &f, NS_PER_S));

	f.volume_count = 0;
	(void)change(vmi, &f, "Ready");
	list = json_path(vmi, "status.volumeStatus");
	assert_int_equal(json_count(list), 0);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(running),
		cmocka_unit_test(a_problem_is_shown_and_goes),
		cmocka_unit_test(changes_under_way_show),
		cmocka_unit_test(a_claim_is_told_until_it_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
