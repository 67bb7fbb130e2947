/* node_test.c - messages of WebSocket clients, and the Node's status document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/arena.h"
#include "node/exec_bridge.h"
#include "node/node_status.h"

static void messages(void **state)
{
	static const struct {
		bool base64, text;
		const char *message;
		size_t size;
		int result;
		unsigned channel;
		const char *data;
	} cases[] = {
		{false, false, "\0ls\n", 4, 0, 0, "ls\n"},
		{false, false, "\4{}", 3, 0, 4, "{}"},
		{false, false, "\xff\0", 2, 0, 255, ""},
		{false, false, "\0", 1, 0, 0, ""},
		{false, false, "", 0, -EBADMSG, 0, NULL},
		{false, true, "0x", 2, -EBADMSG, 0, NULL},
		{true, true, "0bHMK", 5, 0, 0, "ls\n"},
		{true, true, "4", 1, 0, 4, ""},
		{true, true, "xbHMK", 5, -EBADMSG, 0, NULL},
		{true, true, "0b*MK", 5, -EBADMSG, 0, NULL},
		{true, false, "0bHMK", 5, -EBADMSG, 0, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		unsigned channel = 99;
		const char *data = NULL;
		size_t size = 0;
		assert_int_equal(exec_message_parse(&a, cases[i].base64, cases[i].text,
					 cases[i].message, cases[i].size, &channel, &data, &size),
			cases[i].result);
		if (cases[i].result < 0)
			continue;
		assert_int_equal(channel, cases[i].channel);
		if (cases[i].channel != 255) {
			assert_int_equal(size, strlen(cases[i].data));
			assert_memory_equal(data, cases[i].data, size);
		}
	}
}

static const char *condition(const struct json *status, const char *type, const char *field)
{
	JSON_FOR_EACH_ITEM(c, json_get(status, "conditions")) {
		if (streq(json_str(json_get(c, "type")), type))
			return json_str_or(json_get(c, field), "");
	}
	return "(no such condition)";
}

static void node_conditions(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct node_facts facts = {
		.cpu_count = 2,
		.memory_bytes = INT64_C(4) << 30,
		.disk_bytes = INT64_C(100) << 30,
		.hostname = "node1",
		.architecture = "amd64",
	};
	struct node_part parts[] = {{"runtime", true, "", ""}, {"network", true, "", ""}};
	struct node_status_input in = {
		.facts = &facts,
		.parts = parts,
		.part_count = 2,
		.host_ip = "172.31.0.1",
		.runtime_version = "containerd://1.6.20",
		.port = 10250,
		.now_ns = INT64_C(1700000000) * NS_PER_S,
	};
	struct json *old = json_new_object(&a);

	struct json *s = node_status_make(&a, &in);
	assert_string_equal(condition(s, "Ready", "status"), "True");
	assert_string_equal(condition(s, "MemoryPressure", "status"), "False");
	assert_string_equal(condition(s, "MemoryPressure", "reason"), "KubeletHasSufficientMemory");
	assert_string_equal(condition(s, "DiskPressure", "reason"), "KubeletHasNoDiskPressure");
	assert_string_equal(condition(s, "PIDPressure", "reason"), "KubeletHasSufficientPID");
	assert_string_equal(json_path_str(s, "capacity.memory"), "4194304Ki");
	assert_string_equal(json_path_str(s, "allocatable.memory"), "4091904Ki");
	assert_string_equal(json_path_str(s, "capacity.pods"), "110");
	assert_int_equal(json_path_int(s, "daemonEndpoints.kubeletEndpoint.Port", 0), 10250);
	assert_true(node_status_differs(NULL, s));

	/* An hour later nothing has changed but the heartbeat. */
	json_set(&a, old, "status", s);
	in.old = old;
	in.now_ns += 3600 * NS_PER_S;
	struct json *later = node_status_make(&a, &in);
	assert_false(node_status_differs(s, later));
	assert_string_equal(condition(later, "Ready", "lastTransitionTime"),
		condition(s, "Ready", "lastTransitionTime"));
	assert_string_not_equal(condition(later, "Ready", "lastHeartbeatTime"),
		condition(s, "Ready", "lastHeartbeatTime"));

	parts[0] = (struct node_part){"runtime", false, "ContainerRuntimeIsDown", "no socket"};
	in.memory_pressure = in.disk_pressure = in.pid_pressure = true;
	s = node_status_make(&a, &in);
	assert_true(node_status_differs(later, s));
	assert_string_equal(condition(s, "Ready", "status"), "False");
	assert_string_equal(condition(s, "Ready", "reason"), "KubeletNotReady");
	assert_string_equal(condition(s, "Ready", "message"), "ContainerRuntimeIsDown: no socket");
	assert_string_equal(condition(s, "MemoryPressure", "status"), "True");
	assert_string_equal(condition(s, "DiskPressure", "status"), "True");
	assert_string_equal(condition(s, "PIDPressure", "status"), "True");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(node_conditions),
	};

	return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
