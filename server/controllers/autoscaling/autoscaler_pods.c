#include "server/controllers/autoscaling/autoscaler_pods.h"

#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/object/quantity.h"
#include "server/controllers/meta.h"

bool autoscaler_metric_read(const struct json *spec, struct autoscaler_metric *ret)
{
	const char *type = json_str_or(json_get(spec, "type"), "");
	bool one = streq(type, "ContainerResource");
	if (!one && !streq(type, "Resource"))
		return false;
	const struct json *source = json_get(spec, one ? "containerResource" : "resource");
	const struct json *target = json_get(source, "target");
	*ret = (struct autoscaler_metric){
		.resource = json_str_or(json_get(source, "name"), ""),
		.container = one ? json_str_or(json_get(source, "container"), "") : NULL,
	};
	int64_t percent = json_int_or(json_get(target, "averageUtilization"), 0);
	ret->utilization = percent > 0;
	ret->target = ret->utilization ? percent
				       : quantity_json_milli(json_get(target, "averageValue"), 0);
	return ret->target > 0;
}

static bool is_measured(const struct autoscaler_metric *m, const struct json *container)
{
	return !m->container || streq(json_str(json_get(container, "name")), m->container);
}

/* Containers that go on running count: the pod's, and its sidecars. */
static int add_requests(const struct autoscaler_metric *m, const char *pod,
	const struct json *containers, bool sidecars, int64_t *sum, struct err *err)
{
	JSON_FOR_EACH_ITEM(c, containers) {
		if (!is_measured(m, c) ||
			(sidecars && !streq(json_str(json_get(c, "restartPolicy")), "Always")))
			continue;
		const struct json *request =
			json_get(json_path(c, "resources.requests"), m->resource);
		if (!request)
			return err_set(err, -ENODATA,
				"missing request for %s in container %s of Pod %s", m->resource,
				json_str_or(json_get(c, "name"), ""), pod);
		*sum += quantity_json_milli(request, 0);
	}
	return 0;
}

static void take_metric(
	const struct autoscaler_metric *m, const struct json *metrics, struct advice_pod *p)
{
	bool found = false;
	int64_t sum = 0;
	JSON_FOR_EACH_ITEM(c, json_get(metrics, "containers")) {
		if (!is_measured(m, c))
			continue;
		const struct json *used = json_get(json_get(c, "usage"), m->resource);
		if (!used)
			return;
		sum += quantity_json_milli(used, 0);
		found = true;
	}
	if (!found)
		return;
	p->has_metric = true;
	p->metric = sum;
	p->metric_time_ns = meta_time_ns(json_get(metrics, "timestamp"));
	if (duration_parse(json_str_or(json_get(metrics, "window"), ""), &p->window_ns) < 0)
		p->window_ns = 0;
}

static int read_pod(struct arena *a, const struct autoscaler_metric *m, const struct object *o,
	const struct json *metrics, struct advice_pod *ret, struct err *err)
{
	const struct json *doc = object_doc(o, a);
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	const struct json *ready = condition_find(json_path(doc, "status.conditions"), "Ready");
	*ret = (struct advice_pod){
		.name = o->name,
		.gone = o->deleting || streq(phase, "Failed"),
		.pending = streq(phase, "Pending"),
		.has_ready = ready != NULL,
		.ready = streq(json_str(json_get(ready, "status")), "True"),
		.ready_since_ns = meta_time_ns(json_get(ready, "lastTransitionTime")),
		.started_ns = meta_time_ns(json_path(doc, "status.startTime")),
	};
	if (m->utilization) {
		const struct json *spec = json_get(doc, "spec");
		int r = add_requests(
			m, o->name, json_get(spec, "containers"), false, &ret->request, err);
		if (r == 0)
			r = add_requests(m, o->name, json_get(spec, "initContainers"), true,
				&ret->request, err);
		if (r < 0)
			return r;
	}
	if (metrics)
		take_metric(m, metrics, ret);
	return 0;
}

int autoscaler_pods(struct arena *a, const struct autoscaler_metric *m, struct object **pods,
	size_t count, const struct json *items, struct advice_pod **ret, struct err *err)
{
	struct table by_name = TABLE_INIT;
	int r = 0;
	JSON_FOR_EACH_ITEM(i, items) {
		const char *name = json_path_str(i, "metadata.name");
		if (name)
			table_set(&by_name, name, i);
	}
	*ret = arena_alloc(a, (count + 1) * sizeof(**ret));
	for (size_t i = 0; i < count && r == 0; i++)
		r = read_pod(a, m, pods[i], table_get(&by_name, pods[i]->name), &(*ret)[i], err);
	table_finish(&by_name);
	return r;
}
