#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/object/kind.h"
#include "server/controllers/workloads/job_pods.h"

/* ' stands for ". */
static struct json *parse(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);
	struct json *doc;
	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	assert_int_equal(json_parse(a, copy, strlen(copy), NULL, &doc, NULL), 0);
	return doc;
}

static void test_backoff(void **state)
{
	static const struct {
		int64_t failures, since_s, left_s;
	} cases[] = {{0, 0, 0}, {1, 0, 10}, {1, 4, 6}, {1, 11, 0}, {2, 0, 20}, {3, 1, 39},
		{6, 0, 320}, {7, 0, 360}, {1000000, 0, 360}};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++)
		assert_int_equal(job_backoff_left_ns(cases[n].failures, 1000 * NS_PER_S,
					 (1000 + cases[n].since_s) * NS_PER_S),
			cases[n].left_s * NS_PER_S);
}

static void test_failure_policy(void **state)
{
	static const char pod[] =
		"{'metadata':{'namespace':'a','name':'p'},'status':{'conditions':[{'type':"
		"'DisruptionTarget','status':'True'}],'containerStatuses':[{'name':'ok','state':{"
		"'terminated':{'exitCode':0}}},{'name':'c','state':{'terminated':{'exitCode':7}}},"
		"{'name':'runs','state':{'running':{}}}],'initContainerStatuses':[{'name':'i',"
		"'state':{'terminated':{'exitCode':9}}}]}}";
	static const struct {
		const char *rules;
		enum job_failure_action action;
		const char *message;
	} cases[] = {
		{"", JOB_FAILURE_NO_RULE, NULL},
		{"{'action':'Ignore','onExitCodes':{'operator':'In','values':[1,7]}}",
			JOB_FAILURE_IGNORE, NULL},
		{"{'action':'Ignore','onExitCodes':{'operator':'In','values':[1,0]}}",
			JOB_FAILURE_NO_RULE, NULL},
		{"{'action':'Count','onExitCodes':{'operator':'NotIn','values':[7,9]}}",
			JOB_FAILURE_NO_RULE, NULL},
		{"{'action':'Count','onExitCodes':{'operator':'NotIn','values':[7]}}",
			JOB_FAILURE_COUNT, NULL},
		{"{'action':'FailIndex','onExitCodes':{'containerName':'i','operator':'In',"
		 "'values':[9]}}",
			JOB_FAILURE_FAIL_INDEX, NULL},
		{"{'action':'FailIndex','onExitCodes':{'containerName':'c','operator':'In',"
		 "'values':[9]}}",
			JOB_FAILURE_NO_RULE, NULL},
		{"{'action':'Later','onExitCodes':{'operator':'In','values':[7]}},"
		 "{'action':'FailJob','onExitCodes':{'operator':'In','values':[7]}}",
			JOB_FAILURE_FAIL_JOB,
			"Container c for pod a/p failed with exit code 7 matching FailJob rule at "
			"index 1"},
		{"{'action':'FailJob','onPodConditions':[{'type':'DisruptionTarget','status':"
		 "'False'}]},{'action':'FailJob','onPodConditions':[{'type':'DisruptionTarget',"
		 "'status':'True'}]}",
			JOB_FAILURE_FAIL_JOB,
			"Pod a/p has condition DisruptionTarget matching FailJob rule at index 1"},
	};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const char *message = NULL;
		struct json *policy = parse(&a, arena_printf(&a, "{'rules':[%s]}", cases[n].rules));
		assert_int_equal(
			job_failure_action(&a, policy, parse(&a, pod), &message), cases[n].action);
		if (cases[n].message)
			assert_string_equal(message, cases[n].message);
		else
			assert_null(message);
	}
}

static void test_success_policy(void **state)
{
	static const struct {
		const char *rules, *succeeded, *message;
	} cases[] = {
		{"{'succeededIndexes':'0,2'}", "0", NULL},
		{"{'succeededIndexes':'0,2'}", "0,2-3", "Matched rules at index 0"},
		{"{'succeededIndexes':'0-4','succeededCount':2}", "3,9", NULL},
		{"{'succeededIndexes':'0-4','succeededCount':2}", "3,4",
			"Matched rules at index 0"},
		{"{'succeededCount':3},{'succeededCount':2}", "8,9", "Matched rules at index 1"},
		{"{'succeededCount':0}", "", NULL},
		{"{'succeededIndexes':'20'}", "0-9", NULL}, /* no such index */
	};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const char *is = job_success_rule(&a,
			parse(&a, arena_printf(&a, "{'rules':[%s]}", cases[n].rules)), 10,
			index_set_parse(&a, cases[n].succeeded, 10));
		if (cases[n].message)
			assert_string_equal(is, cases[n].message);
		else
			assert_null(is);
	}
}

static void test_indexed_pod(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const struct kind kind = {.gv = "batch/v1", .kind = "Job"};
	char *long_name = arena_printf(&a, "%060d", 0);
	const struct object job = {
		.kind = &kind, .name = long_name, .namespace = "default", .uid = "u"};
	struct job_pass p = {.a = &a, .per_index_limit = 3};
	p.spec = parse(&a,
		"{'template':{'metadata':{'labels':{'l':'x'},'finalizers':['a/b']},'spec':{"
		"'containers':[{'name':'c'},{'name':'own','env':[{'name':'JOB_COMPLETION_INDEX',"
		"'value':'x'}]}],'initContainers':[{'name':'i','env':[{'name':'A'}]}]}}}");
	const struct job_pod before = {.view = {.index_failures = 1, .index_ignored_failures = 2},
		.action = JOB_FAILURE_IGNORE};
	struct json *pod = job_pod_new(&p, &job, 12, &before);
	assert_string_equal(json_text(&a, json_get(pod, "spec")),
		json_text(&a,
			parse(&a,
				arena_printf(&a,
					"{'containers':[{'name':'c','env':[{'name':"
					"'JOB_COMPLETION_INDEX','valueFrom':{'fieldRef':{"
					"'fieldPath':'metadata.labels[\\u0027batch.kubernetes.io/"
					"job-completion-index\\u0027]'}}}]},{'name':'own','env':[{"
					"'name':'JOB_COMPLETION_INDEX','value':'x'}]}],"
					"'initContainers':[{'name':'i','env':[{'name':'A'},{'name':"
					"'JOB_COMPLETION_INDEX','valueFrom':{'fieldRef':{"
					"'fieldPath':'metadata.labels[\\u0027batch.kubernetes.io/"
					"job-completion-index\\u0027]'}}}]}],'hostname':'%s-12'}",
					long_name))));
	assert_string_equal(
		json_path_str(pod, "metadata.generateName"), arena_printf(&a, "%054d-12-", 0));
	struct json *annotations = json_path(pod, "metadata.annotations");
	assert_string_equal(json_text(&a, annotations),
		"{\"batch.kubernetes.io/job-completion-index\":\"12\","
		"\"batch.kubernetes.io/job-index-failure-count\":\"1\","
		"\"batch.kubernetes.io/job-index-ignored-failure-count\":\"3\"}");
	assert_string_equal(json_text(&a, json_path(pod, "metadata.finalizers")),
		"[\"a/b\",\"batch.kubernetes.io/job-tracking\"]");
	/* The template is as it was. */
	assert_null(json_path(p.spec, "template.spec.hostname"));
	assert_null(json_path(p.spec, "template.spec.containers[0].env"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_failure_policy),
		cmocka_unit_test(test_success_policy),
		cmocka_unit_test(test_indexed_pod),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
