#include "server/controllers/workloads/job_pods.h"

#include <inttypes.h>

#include "server/controllers/workloads/pod_template.h"

#define INDEX_NAME "batch.kubernetes.io/job-completion-index"
#define INDEX_VARIABLE "JOB_COMPLETION_INDEX"
#define GENERATE_NAME_MAX 58 /* 63 less the five characters that come behind */

static void add_finalizer(struct arena *a, struct json *meta)
{
	struct json *all = json_new_array(a);
	JSON_FOR_EACH_ITEM(it, json_get(meta, "finalizers"))
		if (!streq(json_str(it), JOB_TRACKING_FINALIZER))
			json_push(a, all, it);
	json_push(a, all, json_new_string(a, JOB_TRACKING_FINALIZER));
	json_set(a, meta, "finalizers", all);
}

/* A copy of an object's members, which others may share. */
static struct json *members_of(struct arena *a, const struct json *from)
{
	struct json *copy = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, from)
		json_set(a, copy, m->name, m->value);
	return copy;
}

static struct json *with_variable(struct arena *a, const struct json *container)
{
	struct json *env = json_new_array(a), *variable = json_new_object(a);
	JSON_FOR_EACH_ITEM(v, json_get(container, "env")) {
		if (streq(json_str(json_get(v, "name")), INDEX_VARIABLE))
			return (struct json *)container; /* the template has its own */
		json_push(a, env, v);
	}
	json_set_str(a, variable, "name", INDEX_VARIABLE);
	json_path_set(a, variable, "valueFrom.fieldRef.fieldPath",
		json_new_string(a, "metadata.labels['" INDEX_NAME "']"));
	json_push(a, env, variable);
	struct json *copy = members_of(a, container);
	json_set(a, copy, "env", env);
	return copy;
}

static void add_variables(struct arena *a, struct json *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
		struct json *all = json_new_array(a);
		JSON_FOR_EACH_ITEM(c, json_get(spec, lists[n]))
			json_push(a, all, with_variable(a, c));
		if (json_count(all))
			json_set(a, spec, lists[n], all);
	}
}

static void count_failures(
	const struct job_pass *p, struct json *annotations, const struct job_pod *replaced)
{
	int64_t failures = 0, ignored = 0;
	if (replaced) {
		bool counts = replaced->action != JOB_FAILURE_IGNORE;
		failures = replaced->view.index_failures + counts;
		ignored = replaced->view.index_ignored_failures + !counts;
	}
	json_set(p->a, annotations, "batch.kubernetes.io/job-index-failure-count",
		json_new_printf(p->a, "%" PRId64, failures));
	if (ignored)
		json_set(p->a, annotations, "batch.kubernetes.io/job-index-ignored-failure-count",
			json_new_printf(p->a, "%" PRId64, ignored));
}

static void set_generate_name(struct arena *a, struct json *meta, const char *job, int64_t index)
{
	char *behind = arena_printf(a, "-%" PRId64 "-", index);
	size_t room = GENERATE_NAME_MAX - strlen(behind);
	json_set(a, meta, "generateName",
		json_new_printf(a, "%.*s%s", (int)MIN(strlen(job), room), job, behind));
}

struct json *job_pod_new(const struct job_pass *p, const struct object *job, int64_t index,
	const struct job_pod *replaced)
{
	struct arena *a = p->a;
	struct json *pod = pod_from_template(a, job, json_get(p->spec, "template")),
		    *meta = json_get(pod, "metadata");
	add_finalizer(a, meta);
	if (index < 0)
		return pod;
	struct json *spec = members_of(a, json_get(pod, "spec")),
		    *labels = members_of(a, json_get(meta, "labels")),
		    *annotations = members_of(a, json_get(meta, "annotations"));
	struct json *text = json_new_printf(a, "%" PRId64, index);
	json_set(a, labels, INDEX_NAME, text);
	json_set(a, annotations, INDEX_NAME, text);
	if (p->per_index_limit >= 0)
		count_failures(p, annotations, replaced);
	json_set(a, spec, "hostname", json_new_printf(a, "%s-%" PRId64, job->name, index));
	add_variables(a, spec);
	set_generate_name(a, meta, job->name, index);
	json_set(a, meta, "labels", labels);
	json_set(a, meta, "annotations", annotations);
	json_set(a, pod, "spec", spec);
	return pod;
}
