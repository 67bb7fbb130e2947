/* config_test.c - KubeletConfiguration files: what is taken, what is refused and how, /configz. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/node_config.h"

#define HEAD "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

static int parse(struct arena *a, const char *text, struct node_config *c, struct err *err)
{
	*c = *node_config_default();
	return node_config_parse(a, "k.yaml", str_from(text), c, err);
}

static void is_read(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct node_config c;

	int r = parse(&a,
		HEAD "maxPods: 20\n"
		     "evictionHard: {memory.available: 200Mi, nodefs.available: 5%, "
		     "imagefs.available: 0%}\n"
		     "evictionSoft: {pid.available: 10%}\n"
		     "evictionSoftGracePeriod: {pid.available: 1m30s}\n"
		     "evictionMinimumReclaim: {nodefs.available: 1Gi}\n"
		     "systemReserved: {cpu: 100m, memory: 256Mi, pid: \"100\"}\n"
		     "nodeStatusUpdateFrequency: 2s\n"
		     "imageMinimumGCAge: 0s\n"
		     "clusterDNS: [10.0.0.53, 'fd00::53']\n"
		     "clusterDomain: ''\n"
		     "authentication: {anonymous: {enabled: true}, webhook: {cacheTTL: 0s}}\n"
		     "authorization: {mode: AlwaysAllow}\n"
		     "registerWithTaints: [{key: a, value: b, effect: NoSchedule}, {key: c, "
		     "effect: NoExecute}]\n"
		     "nodeLabels: {example.com/zone: z1}\n"
		     "containerLogMaxSize: 1Mi\n"
		     "shutdownGracePeriodByPodPriority: [{priority: 5, "
		     "shutdownGracePeriodSeconds: 7}, {priority: 0, shutdownGracePeriodSeconds: "
		     "3}]\n"
		     "featureGates: {Foo: true}\n",
		&c, &err);
	assert_string_equal(err.msg, "");
	assert_int_equal(r, 0);
	assert_int_equal(c.max_pods, 20);
	assert_int_equal(c.eviction_hard[SIGNAL_MEMORY_AVAILABLE].below.value, 200 << 20);
	assert_true(c.eviction_hard[SIGNAL_NODEFS_AVAILABLE].below.is_percent);
	/* The map takes the place of the defaults, and 0% turns off. */
	assert_false(c.eviction_hard[SIGNAL_NODEFS_INODES_FREE].set);
	assert_false(c.eviction_hard[SIGNAL_IMAGEFS_AVAILABLE].set);
	assert_true(c.eviction_soft[SIGNAL_PID_AVAILABLE].set);
	assert_int_equal(c.eviction_soft[SIGNAL_PID_AVAILABLE].grace_ms, 90000);
	assert_int_equal(c.eviction_hard[SIGNAL_NODEFS_AVAILABLE].min_reclaim.value, 1 << 30);
	assert_int_equal(c.system_reserved.cpu_milli, 100);
	assert_int_equal(c.system_reserved.pids, 100);
	assert_int_equal(c.status_update_ms, 2000);
	assert_int_equal(c.image_minimum_gc_age_ms, 120000); /* zero means the default */
	assert_string_equal(c.cluster_dns[1], "fd00::53");
	assert_null(c.cluster_dns[2]);
	assert_string_equal(c.cluster_domain, "cluster.local");
	assert_true(c.anonymous_auth);
	assert_int_equal(c.authn_cache_ms, 120000);
	assert_true(c.always_allow);
	assert_string_equal(c.register_taints[0], "a=b:NoSchedule");
	assert_string_equal(c.register_taints[1], "c=:NoExecute");
	assert_string_equal(c.register_labels[0], "example.com/zone=z1");
	assert_int_equal(c.container_log_max_bytes, 1 << 20);
	assert_int_equal(c.shutdown_by_priority_count, 2);
	assert_int_equal(c.shutdown_by_priority[0].grace_s, 3);
	assert_int_equal(c.lease_duration_s, 40); /* not named */
}

static void json_is_read(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct node_config c;

	assert_int_equal(parse(&a,
				 "\n{\t\"apiVersion\": \"kubelet.config.k8s.io/v1beta1\",\n"
				 "\t\"kind\": \"KubeletConfiguration\", \"podPidsLimit\": 99, "
				 "\"logging\": {\"flushFrequency\": 0}}",
				 &c, &err),
		0);
	assert_int_equal(c.pod_pids_limit, 99);
}

static void is_refused(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"maxPods: 1", "k.yaml: not a configuration"},
		{HEAD "maxPod: 1", "k.yaml: unknown field \"maxPod\""},
		{HEAD "authentication: {x509: {ca: x}}",
			"k.yaml: unknown field \"authentication.x509.ca\""},
		{HEAD "authentication: 1", "k.yaml: authentication: 1: give a map"},
		{HEAD "maxPods: -1", "k.yaml: maxPods: -1: give a whole number of at least 0"},
		{HEAD "maxPods: 1.5", "k.yaml: maxPods: 1.5: give a whole number"},
		{HEAD "maxPods: many", "k.yaml: maxPods: \"many\": give a whole number"},
		{HEAD "port: 70000", "k.yaml: port: 70000: give a whole number from 1 to 65535"},
		{HEAD "failSwapOn: 1", "k.yaml: failSwapOn: 1: give true or false"},
		{HEAD "fileCheckFrequency: 20", "k.yaml: fileCheckFrequency: 20: give a duration"},
		{HEAD "fileCheckFrequency: -20s",
			"k.yaml: fileCheckFrequency: \"-20s\": give at least 1ms"},
		{HEAD "cpuCFSQuotaPeriod: 2s",
			"k.yaml: cpuCFSQuotaPeriod: \"2s\": give from 1ms to 1s"},
		{HEAD "allowedUnsafeSysctls: [net.core.somaxconn, 'vm.*']",
			"k.yaml: allowedUnsafeSysctls: \"vm.*\": the sysctls are not known to be "
			"namespaced"},
		{HEAD "allowedUnsafeSysctls: ['kernel.*']",
			"k.yaml: allowedUnsafeSysctls: \"kernel.*\": the sysctls are not known"},
		{HEAD "allowedUnsafeSysctls: ['*']",
			"k.yaml: allowedUnsafeSysctls: \"*\": the sysc"},
		{HEAD "allowedUnsafeSysctls: ['net.*.forwarding']",
			"k.yaml: allowedUnsafeSysctls: \"net.*.forwarding\": give names"},
		{HEAD "allowedUnsafeSysctls: ['net..ipv4']",
			"k.yaml: allowedUnsafeSysctls: \"net..ipv4\": give names"},
		{HEAD "allowedUnsafeSysctls: [net.ipv4=1]",
			"k.yaml: allowedUnsafeSysctls: \"net.ipv4=1\": give names"},
		{HEAD "enforceNodeAllocatable: [none, pods]",
			"k.yaml: enforceNodeAllocatable: may not contain additional"},
		{HEAD "cgroupsPerQOS: false", "k.yaml: enforceNodeAllocatable: \"pods\": needs"},
		{HEAD "evictionHard: {memory.available: 200%}",
			"k.yaml: evictionHard.memory.available: \"200%\": give a percentage"},
		{HEAD "evictionHard: {memory.available: '0'}",
			"k.yaml: evictionHard.memory.available: \"0\": give a quantity above 0"},
		{HEAD "evictionHard: {memory: 1Mi}",
			"k.yaml: evictionHard.memory: \"1Mi\": no such eviction signal"},
		{HEAD "evictionSoft: {memory.available: 1Gi}",
			"k.yaml: evictionSoft.memory.available: grace period must be specified"},
		{HEAD "systemReserved: {gpu: '1'}",
			"k.yaml: systemReserved.gpu: \"1\": only cpu, memory"},
		{HEAD "clusterDNS: [dns.local]", "k.yaml: clusterDNS: \"dns.local\": give IPv4"},
		{HEAD "registerWithTaints: [{key: a, effect: Never}]",
			"k.yaml: registerWithTaints: {\"key\":\"a\",\"effect\":\"Never\"}: a "
			"taint"},
		{HEAD "imageGCHighThresholdPercent: 50",
			"k.yaml: imageGCLowThresholdPercent: 80: give less than"},
		{HEAD "shutdownGracePeriod: 10s\nshutdownGracePeriodCriticalPods: 20s",
			"k.yaml: shutdownGracePeriodCriticalPods: 20s: give at most"},
		{HEAD "shutdownGracePeriod: 10ms",
			"k.yaml: shutdownGracePeriod: \"10ms\": give at least 1s"},
		{HEAD "authorization: {mode: RBAC}",
			"k.yaml: authorization.mode: \"RBAC\": give one of Webhook|AlwaysAllow"},
		{HEAD "tlsCertFile: /x", "k.yaml: tlsCertFile: give it together"},
		{HEAD "address: localhost", "k.yaml: address: \"localhost\": give an IP"},
		{HEAD "a: [", "k.yaml: "},
		{"", "k.yaml: not a configuration"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct err err = ERR_INIT;
		struct node_config c;
		assert_true(parse(&a, cases[i].text, &c, &err) < 0);
		if (!str_has_prefix(err.msg, cases[i].message))
			fail_msg("'%s' gave '%s'", cases[i].text, err.msg);
	}
}

/* What /configz says can be given as a file, and means the same. */
static void comes_back(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct node_config c, again;

	assert_int_equal(parse(&a,
				 HEAD "evictionSoft: {pid.available: 10%}\n"
				      "evictionSoftGracePeriod: {pid.available: 1m30s}\n"
				      "registerWithTaints: [{key: a, value: b, effect: "
				      "NoSchedule}, {key: c, effect: NoExecute}]\n"
				      "kubeReserved: {cpu: 50m, ephemeral-storage: 1Gi}\n"
				      "staticPodPath: /etc/kubernetes/manifests\n",
				 &c, &err),
		0);
	struct json *doc = node_config_doc(&a, &c);
	assert_string_equal(json_path_str(doc, "nodeStatusReportFrequency"), "5m0s");
	assert_string_equal(json_path_str(doc, "streamingConnectionIdleTimeout"), "4h0m0s");
	assert_string_equal(
		json_str(json_get(json_get(doc, "evictionHard"), "memory.available")), "100Mi");
	assert_string_equal(
		json_str(json_get(json_get(doc, "evictionSoft"), "pid.available")), "10%");
	assert_string_equal(json_path_str(doc, "kubeReserved.cpu"), "50m");
	assert_string_equal(json_path_str(doc, "registerWithTaints[0].value"), "b");
	assert_null(json_path(doc, "registerWithTaints[1].value"));
	assert_int_equal(json_path_int(doc, "maxPods", 0), 110);
	assert_string_equal(json_path_str(doc, "authorization.mode"), "Webhook");
	/* A period of 0s is the default there: its own field keeps it. */
	assert_int_equal(parse(&a, json_text(&a, doc), &again, &err), 0);
	assert_true(json_equal(doc, node_config_doc(&a, &again)));
}

static void options_add(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct node_config c = *node_config_default();

	assert_int_equal(node_config_add_labels(&a, &c, "a=b,c=", &err), 0);
	assert_string_equal(c.register_labels[1], "c=");
	assert_null(c.register_labels[2]);
	assert_true(node_config_add_labels(&a, &c, "a", &err) < 0);
	assert_int_equal(node_config_add_taints(&a, &c, "k=v:NoSchedule,k2:NoExecute", &err), 0);
	assert_string_equal(c.register_taints[1], "k2:NoExecute");
	assert_true(node_config_add_taints(&a, &c, "k=v", &err) < 0);
	assert_string_equal(err.msg,
		"taint 'k=v': give KEY[=VALUE]:EFFECT, the effect being NoSchedule, "
		"PreferNoSchedule or NoExecute");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_read),
		cmocka_unit_test(json_is_read),
		cmocka_unit_test(is_refused),
		cmocka_unit_test(comes_back),
		cmocka_unit_test(options_add),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
