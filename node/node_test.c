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
	struct node_amounts capacity = {.cpu_milli = 2000, .memory_bytes = INT64_C(4) << 30};
	struct node_amounts allocatable = {
		.cpu_milli = 1500, .memory_bytes = (INT64_C(4) << 30) - (100 << 20)};
	struct node_part parts[] = {{"runtime", true, "", ""}, {"network", true, "", ""}};
	struct node_status_input in = {
		.facts = &facts,
		.parts = parts,
		.part_count = 2,
		.host_ip = "172.31.0.1",
		.runtime_version = "containerd://1.6.20",
		.capacity = &capacity,
		.allocatable = &allocatable,
		.pods_max = 110,
		.port = 10250,
		.now_ns = INT64_C(1700000000) * NS_PER_S,
	};
	struct json *old = json_new_object(&a);

	struct json *s = node_status_make(&a, &in);
	assert_string_equal(condition(s, "Ready", "status"), "True");
	assert_string_equal(condition(s, "Ready", "message"), "kubelet is posting ready status");
	assert_string_equal(json_path_str(s, "nodeInfo.kubeProxyVersion"), "");
	assert_string_equal(condition(s, "MemoryPressure", "status"), "False");
	assert_string_equal(condition(s, "MemoryPressure", "reason"), "KubeletHasSufficientMemory");
	assert_string_equal(condition(s, "DiskPressure", "reason"), "KubeletHasNoDiskPressure");
	assert_string_equal(condition(s, "PIDPressure", "reason"), "KubeletHasSufficientPID");
	assert_string_equal(json_path_str(s, "capacity.memory"), "4194304Ki");
	assert_string_equal(json_path_str(s, "allocatable.memory"), "4091904Ki");
	assert_string_equal(json_path_str(s, "capacity.pods"), "110");
	assert_string_equal(json_path_str(s, "allocatable.cpu"), "1500m");
	assert_int_equal(json_path_int(s, "daemonEndpoints.kubeletEndpoint.Port", 0), 10250);
	assert_true(node_status_differs(NULL, s));
	assert_null(json_get(s, "features"));

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

	Cri__StatusResponse st = CRI__STATUS_RESPONSE__INIT;
	Cri__RuntimeFeatures groups = CRI__RUNTIME_FEATURES__INIT;
	in.features = node_features_make(&a, &st);
	s = node_status_make(&a, &in);
	assert_true(node_status_differs(later, s));
	assert_false(json_path_bool(s, "features.supplementalGroupsPolicy", true));
	groups.supplemental_groups_policy = true;
	st.features = &groups;
	in.features = node_features_make(&a, &st);
	s = node_status_make(&a, &in);
	assert_true(json_path_bool(s, "features.supplementalGroupsPolicy", false));

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

static struct json *status_of(struct arena *a, const char *ready, const char *boot)
{
	struct json *s = json_new_object(a), *list = json_new_array(a), *c = json_new_object(a);

	json_set_str(a, c, "type", "Ready");
	json_set_str(a, c, "status", ready);
	json_push(a, list, c);
	json_set(a, s, "conditions", list);
	json_path_set(a, s, "nodeInfo.bootID", json_new_string(a, boot));
	return s;
}

static void news(void **state)
{
	static const struct {
		const char *was, *is, *boot_was, *boot_is; /* was NULL = no status */
		bool changed, ready, rebooted;
	} cases[] = {
		{NULL, "False", "", "b", false, false, false},
		{NULL, "True", "", "b", true, true, false},
		{"False", "True", "b", "b", true, true, false},
		{"True", "True", "b", "b", false, true, false},
		{"True", "False", "b", "b", true, false, false},
		{"Unknown", "True", "b", "c", true, true, true},
		{"Unknown", "False", "", "c", true, false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *was =
			cases[i].was ? status_of(&a, cases[i].was, cases[i].boot_was) : NULL;
		struct node_news n =
			node_status_news(was, status_of(&a, cases[i].is, cases[i].boot_is));
		assert_int_equal(n.ready_changed, cases[i].changed);
		assert_int_equal(n.ready, cases[i].ready);
		assert_int_equal(n.rebooted, cases[i].rebooted);
	}
}

static void images(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *digests[] = {"r/a@sha256:1"}, *tags[] = {"r/a:1", "r/a:2", "r/a:3", "r/a:4", "r/a:5"};
	Cri__Image small = CRI__IMAGE__INIT, large = CRI__IMAGE__INIT, none = CRI__IMAGE__INIT;
	Cri__Image *list[] = {&none, &small, &large};
	Cri__ListImagesResponse r = CRI__LIST_IMAGES_RESPONSE__INIT;

	small.size = 5;
	large.size = 7;
	large.repo_digests = digests;
	large.n_repo_digests = 1;
	large.repo_tags = tags;
	large.n_repo_tags = ARRAY_LEN(tags);
	r.images = list;
	r.n_images = ARRAY_LEN(list);
	struct json *all = node_images_make(&a, &r, 2);
	assert_int_equal(json_count(all), 2);
	assert_int_equal(json_path_int(json_at(all, 0), "sizeBytes", 0), 7);
	/* Digests first, five names in all. */
	assert_string_equal(json_path_str(json_at(all, 0), "names[0]"), "r/a@sha256:1");
	assert_int_equal(json_count(json_path(json_at(all, 0), "names")), 5);
	assert_int_equal(json_path_int(json_at(all, 1), "sizeBytes", 0), 5);
	assert_int_equal(json_count(node_images_make(&a, &r, -1)), 3);
	assert_int_equal(json_count(node_images_make(&a, &r, 0)), 0);
}

static void new_node(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct node_config c = *node_config_default();
	struct json *labels = json_new_object(&a);
	struct err err = ERR_INIT;

	assert_int_equal(node_config_add_labels(&a, &c, "a.b/c=d", &err), 0);
	assert_int_equal(node_config_add_taints(&a, &c, "k=v:NoSchedule,l:NoExecute", &err), 0);
	c.provider_id = "x://1";
	node_add_labels(&a, labels, c.register_labels);
	assert_string_equal(json_text(&a, node_make(&a, &c, "n1", labels)),
		"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\","
		"\"labels\":{\"a.b/c\":\"d\"},\"annotations\":{\"volumes.kubernetes.io/"
		"controller-managed-attach-detach\":\"true\"}},\"spec\":{\"taints\":[{\"effect\":"
		"\"NoSchedule\",\"key\":\"k\",\"value\":\"v\"},{\"effect\":\"NoExecute\","
		"\"key\":\"l\"}],\"providerID\":\"x://1\"}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(node_conditions),
		cmocka_unit_test(news),
		cmocka_unit_test(images),
		cmocka_unit_test(new_node),
	};

	return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
