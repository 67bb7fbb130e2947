/* Rules of the kinds that make pods, ask for storage or count resources: each row is a document, or
 * a change of one, and the one error it must meet (NULL: none). */
#include "server/api/hooks/hooks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/api/hooks/hooks_test_util.h"

/* Rows say only what they need to. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static struct kind_registry *kinds;

struct row {
	const char *kind;  /* "batch/v1 Job" */
	const char *spec;  /* of the document, which is called x */
	const char *error; /* "FIELD: MESSAGE", the beginning of the first; NULL = none */
	const char *was;   /* spec before; NULL = a creation */
	const char *part;  /* NULL = "" */
	const char *status, *old_status;
};

static struct json *document(
	struct arena *a, const struct kind *k, const char *spec, const char *status)
{
	struct json *doc;
	struct err err = ERR_INIT;
	const char *text = arena_printf(a,
		"{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"x\",\"uid\":\"u\"}"
		","
		"\"spec\":%s,\"status\":%s}",
		k->gv, k->kind, spec, status ? status : "{}");
	if (json_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return doc;
}

static void check(const struct row *row)
{
	_cleanup_(arena_finish) struct arena arena = {0};
	char gv[128], group[128], version[64];
	const char *space = strchr(row->kind, ' ');
	memcpy(gv, row->kind, (size_t)(space - row->kind));
	gv[space - row->kind] = '\0';
	gv_split(gv, group, version);
	const struct kind *k = kind_by_name(kinds, group, version, space + 1);
	assert_non_null(k);

	struct field_errors errors = {.arena = &arena}, ignored = {.arena = &arena};
	struct status st = {0};
	struct json *doc = document(&arena, k, row->spec, row->status), *old = NULL;
	struct hook h = {.arena = &arena, .errors = &errors, .st = &st, .part = ""};
	if (row->was || row->old_status) {
		struct hook before = h;
		before.errors = &ignored;
		old = document(&arena, k, row->was ? row->was : row->spec, row->old_status);
		hooks_run(&before, k, old, NULL);
		if (row->old_status) /* what a creation drops */
			json_set(&arena, old, "status",
				json_get(
					document(&arena, k, row->spec, row->old_status), "status"));
		/* What the server made stays when the client reads, changes and writes. */
		static const char *const made[] = {"selector", "manualSelector"};
		for (size_t i = 0; i < ARRAY_LEN(made); i++)
			if (json_get(json_get(old, "spec"), made[i]) &&
				!json_get(json_get(doc, "spec"), made[i]))
				json_set(&arena, json_get(doc, "spec"), made[i],
					json_get(json_get(old, "spec"), made[i]));
		struct json *labels = json_path(old, "spec.template.metadata.labels");
		if (labels && !json_path(doc, "spec.template.metadata.labels"))
			json_path_set(&arena, doc, "spec.template.metadata.labels", labels);
	}
	h.part = row->part ? row->part : "";
	hooks_run(&h, k, doc, old);
	const struct json *first = json_at(errors.causes, 0);
	char *text =
		first ? arena_printf(&arena, "%s: %s", json_str_or(json_get(first, "field"), ""),
				json_str_or(json_get(first, "message"), ""))
		      : NULL;
	if (!row->error && text)
		fail_msg("%s %s: %s", row->kind, row->spec, text);
	if (row->error && (!text || !str_has_prefix(text, row->error)))
		fail_msg("%s %s: got '%s', want '%s'", row->kind, row->spec,
			text ? text : "no error", row->error);
}

#define POD "\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]"
#define TEMPLATE "\"template\":{\"spec\":{" POD ",\"restartPolicy\":\"Never\"}}"
#define JOB "batch/v1 Job"

static void jobs(void **state)
{
	static const struct row rows[] = {
		{JOB, "{" TEMPLATE "}", NULL},
		{JOB, "{\"parallelism\":-1," TEMPLATE "}",
			"spec.parallelism: Invalid value: -1: must be greater than or equal to 0"},
		{JOB, "{\"completionMode\":\"Sometimes\"," TEMPLATE "}",
			"spec.completionMode: Unsupported value: \"Sometimes\": supported values: "
			"\"NonIndexed\", \"Indexed\""},
		{JOB,
			"{\"maxFailedIndexes\":1,\"completionMode\":\"Indexed\",\"completions\":"
			"2," TEMPLATE "}",
			"spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is "
			"specified"},
		{JOB,
			"{\"completionMode\":\"Indexed\",\"completions\":2,\"parallelism\":"
			"100001," TEMPLATE "}",
			"spec.parallelism: Invalid value: 100001: must be less than or equal to "
			"100000 "
			"when completion mode is Indexed"},
		{JOB,
			"{\"completionMode\":\"Indexed\",\"completions\":200000,"
			"\"backoffLimitPerIndex\":1,"
			"\"parallelism\":1," TEMPLATE "}",
			"spec.maxFailedIndexes: Required value: must be specified when completions "
			"is "
			"above 100000"},
		{JOB,
			"{\"podReplacementPolicy\":\"TerminatingOrFailed\",\"podFailurePolicy\":{"
			"\"rules\":"
			"[]}," TEMPLATE "}",
			"spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": "
			"supported "
			"values: \"Failed\""},
		{JOB,
			"{\"podFailurePolicy\":{\"rules\":[{\"action\":\"FailIndex\","
			"\"onPodConditions\":"
			"[{\"type\":\"Bad\"}]}]}," TEMPLATE "}",
			"spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": "
			"requires "
			"the backoffLimitPerIndex to be set"},
		{JOB,
			"{\"podFailurePolicy\":{\"rules\":[{\"action\":\"Ignore\",\"onExitCodes\":{"
			"\"operator\":\"In\",\"values\":[2,1]}}]}," TEMPLATE "}",
			"spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: "
			"must be "
			"ordered"},
		{JOB,
			"{\"podFailurePolicy\":{\"rules\":[{\"action\":\"Ignore\",\"onExitCodes\":{"
			"\"operator\":\"In\",\"values\":[1,1]}}]}," TEMPLATE "}",
			"spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Duplicate value: 1"},
		{JOB,
			"{\"podFailurePolicy\":{\"rules\":[{\"action\":\"Ignore\",\"onExitCodes\":{"
			"\"operator\":\"In\",\"values\":[1],\"containerName\":\"z\"}}]}," TEMPLATE
			"}",
			"spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "
			"\"z\": "
			"must be one of the container or initContainer names in the pod template"},
		{JOB,
			"{\"completionMode\":\"Indexed\",\"completions\":5,\"successPolicy\":{"
			"\"rules\":[{"
			"\"succeededIndexes\":\"0,2-3\",\"succeededCount\":4}]}," TEMPLATE "}",
			"spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be "
			"less than "
			"or equal to 3 (the number of indexes in the specified succeededIndexes "
			"field)"},
		{JOB,
			"{\"completionMode\":\"Indexed\",\"completions\":5,\"successPolicy\":{"
			"\"rules\":[{"
			"\"succeededIndexes\":\"3,1\"}]}," TEMPLATE "}",
			"spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"3,1\": "
			"error "
			"parsing succeededIndexes: non-increasing order, previous: 3, current: 1"},
		{JOB, "{\"successPolicy\":{\"rules\":[{\"succeededCount\":1}]}," TEMPLATE "}",
			"spec.successPolicy: Invalid value: {\"rules\":[{\"succeededCount\":1}]}: "
			"requires indexed completion mode"},
		{JOB, "{\"manualSelector\":true," TEMPLATE "}", "spec.selector: Required value"},
		/* updates */
		{JOB, "{\"parallelism\":3,\"completions\":1," TEMPLATE "}", NULL, "{" TEMPLATE "}"},
		{JOB,
			"{\"parallelism\":3,\"completions\":3,\"completionMode\":"
			"\"Indexed\"," TEMPLATE "}",
			NULL,
			"{\"parallelism\":2,\"completions\":2,\"completionMode\":"
			"\"Indexed\"," TEMPLATE "}"},
		{JOB,
			"{\"parallelism\":2,\"completions\":3,\"completionMode\":"
			"\"Indexed\"," TEMPLATE "}",
			"spec.completions: Invalid value: 3: can only be modified in tandem with "
			"spec.parallelism",
			"{\"parallelism\":2,\"completions\":2,\"completionMode\":"
			"\"Indexed\"," TEMPLATE "}"},
		{JOB,
			"{\"suspend\":true,\"template\":{\"spec\":{" POD
			",\"restartPolicy\":\"Never\",\"nodeSelector\":{\"a\":\"b\"}}}}",
			NULL, "{\"suspend\":true," TEMPLATE "}"},
		{JOB,
			"{\"template\":{\"spec\":{" POD
			",\"restartPolicy\":\"Never\",\"nodeSelector\":{\"a\":\"b\"}}}}",
			"spec.template: Invalid value: ", "{" TEMPLATE "}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

#define STATUS(now, before, error)                                                                 \
	{                                                                                          \
		JOB, "{" TEMPLATE "}", error, NULL, "status", now, before                          \
	}
#define MET "{\"type\":\"SuccessCriteriaMet\",\"status\":\"True\"}"
#define DONE "{\"type\":\"Complete\",\"status\":\"True\"}"
#define TIMES "\"startTime\":\"2020-01-01T00:00:00Z\",\"completionTime\":\"2020-01-01T00:01:00Z\""

static void job_statuses(void **state)
{
	static const struct row rows[] = {
		STATUS("{\"active\":1,\"ready\":1,\"startTime\":\"2020-01-01T00:00:00Z\"}", "{}",
			NULL),
		STATUS("{" TIMES ",\"succeeded\":1,\"conditions\":[" MET "," DONE "]}", "{}", NULL),
		/* As controllers wrote it before there was a condition between. */
		STATUS("{" TIMES ",\"conditions\":[" DONE "]}", "{}", NULL),
		STATUS("{\"startTime\":\"2020-01-01T00:00:00Z\",\"conditions\":[" MET "," DONE "]}",
			"{}",
			"status.completionTime: Required value: completionTime is required for "
			"Complete "
			"jobs"),
		STATUS("{" TIMES ",\"active\":1,\"conditions\":[" MET "," DONE "]}", "{}",
			"status.active: Invalid value: 1: active>0 is invalid for finished job"),
		STATUS("{\"succeeded\":1}", "{\"succeeded\":2}",
			"status.succeeded: Invalid value: 1: cannot decrease the succeeded "
			"counter"),
		STATUS("{\"ready\":2,\"active\":1}", "{}",
			"status.ready: Invalid value: 2: cannot set more ready pods than active"),
		STATUS("{}", "{" TIMES ",\"conditions\":[" MET "," DONE "]}",
			"status.conditions: Invalid value: cannot disable the terminal "
			"Complete=True "
			"condition"),
		STATUS("{\"completedIndexes\":\"0\"}", "{}",
			"status.completedIndexes: Invalid value: \"0\": cannot set non-empty "
			"completedIndexes when non-indexed completion mode"),
		STATUS("{\"uncountedTerminatedPods\":{\"failed\":[\"a\"],\"succeeded\":[\"a\"]}}",
			"{}", "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\""),
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

#define PV "v1 PersistentVolume"
#define SIZE "\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],"

static void volumes(void **state)
{
	static const struct row rows[] = {
		{PV, "{" SIZE "\"nfs\":{\"server\":\"s\",\"path\":\"/p\"}}", NULL},
		{PV, "{" SIZE "\"nfs\":{\"server\":\"s\",\"path\":\"p\"}}",
			"spec.nfs.path: Invalid value: \"p\": must be an absolute path"},
		{PV, "{" SIZE "\"hostPath\":{\"path\":\"/a/../b\"}}",
			"spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"},
		{PV,
			"{" SIZE
			"\"hostPath\":{\"path\":\"/./\"},\"persistentVolumeReclaimPolicy\":"
			"\"Recycle\"}",
			"spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a "
			"hostPath mount of '/'"},
		{PV,
			"{" SIZE "\"iscsi\":{\"targetPortal\":\"p\",\"iqn\":"
			"\"iqn.2015-02.example.com:test\",\"lun\":0}}",
			NULL},
		{PV,
			"{" SIZE
			"\"iscsi\":{\"targetPortal\":\"p\",\"iqn\":\"iqn.nonsense\",\"lun\":0}}",
			"spec.iscsi.iqn: Invalid value: \"iqn.nonsense\": must be valid format"},
		{PV,
			"{" SIZE "\"iscsi\":{\"targetPortal\":\"p\",\"iqn\":"
			"\"eui.0123456789abcdef\",\"lun\":256}}",
			"spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive"},
		{PV, "{" SIZE "\"fc\":{\"targetWWNs\":[\"a\"]}}",
			"spec.fc.lun: Required value: lun is required if targetWWNs is specified"},
		{PV,
			"{" SIZE "\"csi\":{\"driver\":\"d\",\"volumeHandle\":\"h\","
			"\"nodePublishSecretRef\":{\"name\":\"s\"}}}",
			"spec.csi.nodePublishSecretRef.namespace: Required value"},
		{PV,
			"{" SIZE
			"\"flexVolume\":{\"driver\":\"d\",\"options\":{\"x.k8s.io/y\":\"z\"}}}",
			"spec.flexVolume.options[x.k8s.io/y]: Invalid value: \"x.k8s.io/y\": "
			"kubernetes.io and k8s.io namespaces are reserved"},
		{PV,
			"{\"capacity\":{\"storage\":\"0\"},\"accessModes\":[\"ReadWriteOnce\"],"
			"\"nfs\":{"
			"\"server\":\"s\",\"path\":\"/p\"}}",
			"spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"},
		{PV,
			"{\"capacity\":{\"storage\":\"1\"},\"accessModes\":[\"ReadWriteOncePod\","
			"\"ReadOnlyMany\"],\"nfs\":{\"server\":\"s\",\"path\":\"/p\"}}",
			"spec.accessModes: Forbidden: may not use ReadWriteOncePod with other "
			"access "
			"modes"},
		{PV, "{" SIZE "\"nfs\":{\"server\":\"s\",\"path\":\"/q\"}}",
			"spec.persistentvolumesource: Forbidden",
			"{" SIZE "\"nfs\":{\"server\":\"s\",\"path\":\"/p\"}}"},
		{"v1 PersistentVolumeClaim",
			"{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{"
			"\"storage\":"
			"\"1\"}},\"dataSource\":{\"kind\":\"Pod\",\"name\":\"p\"}}",
			"spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' "
			"when "
			"referencing the default apiGroup"},
		{"v1 PersistentVolumeClaim",
			"{\"volumeName\":\"v\",\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
			"\"requests\":{\"storage\":\"1\"}}}",
			NULL,
			"{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{"
			"\"storage\":"
			"\"1\"}}}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

#define LIMITS "v1 LimitRange"
#define QUOTA "v1 ResourceQuota"

static void limits_and_quotas(void **state)
{
	static const struct row rows[] = {
		{LIMITS, "{\"limits\":[{\"type\":\"Pod\",\"max\":{\"cpu\":\"1\"}}]}", NULL},
		{LIMITS, "{\"limits\":[{\"type\":\"Thing\"}]}",
			"spec.limits[0].type: Invalid value: \"Thing\": must be a standard limit "
			"type or "
			"fully qualified"},
		{LIMITS, "{\"limits\":[{\"type\":\"Pod\"},{\"type\":\"Pod\"}]}",
			"spec.limits[1].type: Duplicate value: \"Pod\""},
		{LIMITS, "{\"limits\":[{\"type\":\"Pod\",\"default\":{\"cpu\":\"1\"}}]}",
			"spec.limits[0].default: Forbidden: may not be specified when `type` is "
			"'Pod'"},
		{LIMITS, "{\"limits\":[{\"type\":\"PersistentVolumeClaim\"}]}",
			"spec.limits[0].limits: Required value: either minimum or maximum storage "
			"value "
			"is required, but neither was provided"},
		{LIMITS,
			"{\"limits\":[{\"type\":\"Pod\",\"maxLimitRequestRatio\":{\"cpu\":\"500m\"}"
			"}]}",
			"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio "
			"500m is "
			"less than 1"},
		{LIMITS,
			"{\"limits\":[{\"type\":\"Container\",\"default\":{\"cpu\":\"1\"},"
			"\"defaultRequest\":{\"cpu\":\"2\"}}]}",
			"spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request "
			"value "
			"2 is greater than default limit value 1"},
		{QUOTA, "{\"hard\":{\"pods\":\"1\",\"count/deployments.apps\":\"2\"}}", NULL},
		{QUOTA, "{\"hard\":{\"pods\":\"1500m\"}}",
			"spec.hard[pods]: Invalid value: \"1500m\": must be an integer"},
		{QUOTA, "{\"hard\":{\"pods\":\"-1\"}}",
			"spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to "
			"0"},
		{QUOTA, "{\"hard\":{\"services\":\"1\"},\"scopes\":[\"BestEffort\"]}",
			"spec.scopes: Invalid value: []string{\"BestEffort\"}: unsupported scope "
			"applied "
			"to resource"},
		{QUOTA, "{\"hard\":{\"pods\":\"1\"},\"scopes\":[\"BestEffort\",\"NotBestEffort\"]}",
			"spec.scopes: Invalid value: []string{\"BestEffort\", \"NotBestEffort\"}: "
			"conflicting scopes"},
		{QUOTA,
			"{\"hard\":{\"pods\":\"1\"},\"scopeSelector\":{\"matchExpressions\":[{"
			"\"scopeName\":\"PriorityClass\",\"operator\":\"In\"}]}}",
			"spec.scopeSelector.matchExpressions.values: Required value: must be at "
			"least one "
			"value when `operator` is 'In' or 'NotIn' for scope selector"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

#define P "v1 Pod"

static void pods(void **state)
{
	static const struct row rows[] = {
		{P, "{" POD "}", NULL},
		{P,
			"{" POD ",\"volumes\":[{\"name\":\"v\",\"azureDisk\":{\"diskName\":\"d\","
			"\"diskURI\":"
			"\"x\"}}]}",
			"spec.volumes[0].azureDisk.diskURI: Unsupported value: \"x\""},
		{P,
			"{" POD
			",\"resources\":{\"limits\":{\"cpu\":\"1\"},\"requests\":{\"cpu\":\"2\"}}}",
			"spec.resources.requests: Invalid value: \"2\": must be less than or equal "
			"to cpu "
			"limit of 1"},
		{P, "{" POD ",\"overhead\":{\"luck\":\"1\"}}",
			"spec.overhead.limits[luck]: Invalid value: \"luck\": must be a standard "
			"resource"},
		{P, "{" POD ",\"securityContext\":{\"supplementalGroups\":[-1]}}",
			"spec.securityContext.supplementalGroups[0]: Invalid value: -1: must be "
			"between 0 "
			"and 2147483647, inclusive"},
		{P, "{" POD ",\"resourceClaims\":[{\"name\":\"c\"}]}",
			"spec.resourceClaims[0]: Invalid value: "},
		{P,
			"{\"containers\":[{\"name\":\"a\",\"image\":\"b\",\"volumeDevices\":[{"
			"\"name\":\"v\","
			"\"devicePath\":\"/d\"}]}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}",
			"spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only "
			"use "
			"volume source type of PersistentVolumeClaim or Ephemeral for block mode"},
		{P,
			"{\"containers\":[{\"name\":\"a\",\"image\":\"b\",\"resizePolicy\":[{"
			"\"resourceName\":\"cpu\",\"restartPolicy\":\"RestartContainer\"}]}],"
			"\"restartPolicy\":\"Never\"}",
			"spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": "
			"must be "
			"'NotRequired' when `restartPolicy` is 'Never'"},
		{P, "{" POD ",\"os\":{\"name\":\"windows\"},\"hostPID\":true}",
			"spec.hostPID: Forbidden: cannot be set for a windows pod"},
		{P,
			"{" POD ",\"affinity\":{\"podAffinity\":{"
			"\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":"
			"\"z\","
			"\"matchLabelKeys\":[\"a\"]}]}}}",
			"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution["
			"0]."
			"matchLabelKeys: Forbidden: must not be specified when labelSelector is "
			"not set"},
		{P, "{" POD "}", NULL, NULL, "status",
			"{\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"running\":{}}}]}",
			"{\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{"
			"\"exitCode\":0}}}"
			"]}"},
		{P, "{\"restartPolicy\":\"Never\"," POD "}",
			"status.containerStatuses[0].state: Forbidden: may not be transitioned to "
			"non-terminated state",
			NULL, "status",
			"{\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"running\":{}}}]}",
			"{\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{"
			"\"exitCode\":0}}}"
			"]}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

/* Any number of tolerations in another order: each is found without looking at every pair. */
static void tolerations(void **state)
{
	enum { COUNT = 5000 };
	_cleanup_(arena_finish) struct arena a = {0};
	_cleanup_(buf_finish) struct buf was = BUF_INIT, now = BUF_INIT;
	for (int i = 0; i < COUNT; i++) {
		buf_printf(&was, "%s{\"key\":\"k%d\",\"operator\":\"Exists\"}", i ? "," : "", i);
		buf_printf(&now, "%s{\"key\":\"k%d\",\"operator\":\"Exists\"}", i ? "," : "",
			COUNT - 1 - i);
	}
	struct row row = {.kind = P,
		.was = arena_printf(&a, "{\"tolerations\":[%s]," POD "}", was.data),
		.spec = arena_printf(&a, "{\"tolerations\":[%s]," POD "}", now.data)};
	check(&row);
	row.spec = arena_printf(&a,
		"{\"tolerations\":[%s,{\"key\":\"x\",\"operator\":\"Exists\"}]," POD "}", now.data);
	check(&row);
	now.data[now.size - 1] = ' ';
	row.spec = arena_printf(
		&a, "{\"tolerations\":[%s,\"effect\":\"NoExecute\"}]," POD "}", now.data);
	row.error = "spec.tolerations: Forbidden: existing toleration can not be modified except "
		    "its tolerationSeconds";
	check(&row);
}

static int set_up(void **state)
{
	struct err err = ERR_INIT;
	kinds = kind_registry_create();
	if (kind_registry_load_builtin(kinds, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static int tear_down(void **state)
{
	kind_registry_destroy(kinds);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(jobs), cmocka_unit_test(job_statuses),
		cmocka_unit_test(volumes), cmocka_unit_test(limits_and_quotas),
		cmocka_unit_test(pods), cmocka_unit_test(tolerations)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
