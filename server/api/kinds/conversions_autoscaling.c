/* conversions_autoscaling.c - HorizontalPodAutoscaler v1, stored as v2. The old form has one
 * metric, the share of processor time; everything else stands in annotations, in forms of their
 * own. */
#include "server/api/kinds/conversions_impl.h"

#define ANNOTATION "autoscaling.alpha.kubernetes.io/"
#define METRICS ANNOTATION "metrics"
#define BEHAVIOR ANNOTATION "behavior"
#define CURRENT_METRICS ANNOTATION "current-metrics"
#define CONDITIONS ANNOTATION "conditions"

/* Where the members of a metric's source stand in each form. */
struct place {
	const char *source, *old_name, *path;
};
static const struct place of_spec[] = {
	{"object", "target", "describedObject"},
	{"object", "metricName", "metric.name"},
	{"object", "selector", "metric.selector"},
	{"object", "targetValue", "target.value"},
	{"object", "averageValue", "target.averageValue"},
	{"pods", "metricName", "metric.name"},
	{"pods", "selector", "metric.selector"},
	{"pods", "targetAverageValue", "target.averageValue"},
	{"resource", "name", "name"},
	{"resource", "targetAverageUtilization", "target.averageUtilization"},
	{"resource", "targetAverageValue", "target.averageValue"},
	{"containerResource", "name", "name"},
	{"containerResource", "container", "container"},
	{"containerResource", "targetAverageUtilization", "target.averageUtilization"},
	{"containerResource", "targetAverageValue", "target.averageValue"},
	{"external", "metricName", "metric.name"},
	{"external", "metricSelector", "metric.selector"},
	{"external", "targetValue", "target.value"},
	{"external", "targetAverageValue", "target.averageValue"},
	{NULL, NULL, NULL},
};
static const struct place of_status[] = {
	{"object", "target", "describedObject"},
	{"object", "metricName", "metric.name"},
	{"object", "selector", "metric.selector"},
	{"object", "currentValue", "current.value"},
	{"object", "averageValue", "current.averageValue"},
	{"pods", "metricName", "metric.name"},
	{"pods", "selector", "metric.selector"},
	{"pods", "currentAverageValue", "current.averageValue"},
	{"resource", "name", "name"},
	{"resource", "currentAverageUtilization", "current.averageUtilization"},
	{"resource", "currentAverageValue", "current.averageValue"},
	{"containerResource", "name", "name"},
	{"containerResource", "container", "container"},
	{"containerResource", "currentAverageUtilization", "current.averageUtilization"},
	{"containerResource", "currentAverageValue", "current.averageValue"},
	{"external", "metricName", "metric.name"},
	{"external", "metricSelector", "metric.selector"},
	{"external", "currentValue", "current.value"},
	{"external", "currentAverageValue", "current.averageValue"},
	{NULL, NULL, NULL},
};

/* ---- metrics ---- */

static struct json *old_metric(
	struct arena *a, const struct json *metric, const struct place *places)
{
	struct json *old = json_new_object(a);
	if (json_get(metric, "type"))
		json_set(a, old, "type", json_get(metric, "type"));
	for (; places->source; places++) {
		const struct json *source = json_get(metric, places->source);
		struct json *v = json_path(source, places->path);
		if (!json_is(source, JSON_OBJECT))
			continue;
		struct json *to = json_object_at(a, old, places->source);
		if (v)
			json_set(a, to, places->old_name, v);
	}
	return old;
}

/* Which of its numbers a target is about, which the old form only implies. */
static void set_target_type(struct arena *a, struct json *source)
{
	struct json *target = json_object_at(a, source, "target");
	if (json_get(target, "averageUtilization"))
		json_set_str(a, target, "type", "Utilization");
	else if (json_get(target, "averageValue"))
		json_set_str(a, target, "type", "AverageValue");
	else
		json_set_str(a, target, "type", "Value");
	/* Written as zero where only the average counts. */
	if (json_get(target, "averageValue") && streq(json_str(json_get(target, "value")), "0"))
		json_remove(target, "value");
}

static struct json *new_metric(struct arena *a, const struct json *old, const struct place *places)
{
	struct json *metric = json_new_object(a);
	if (json_is(json_get(old, "type"), JSON_STRING))
		json_set(a, metric, "type", json_get(old, "type"));
	for (const struct place *p = places; p->source; p++) {
		const struct json *source = json_get(old, p->source);
		struct json *v = json_get(source, p->old_name);
		if (!json_is(source, JSON_OBJECT))
			continue;
		struct json *to = json_object_at(a, metric, p->source);
		if (v && !json_is(v, JSON_NULL))
			json_path_set(a, to, p->path, v);
	}
	JSON_FOR_EACH_MEMBER(m, metric)
		if (places == of_spec && json_is(m->value, JSON_OBJECT))
			set_target_type(a, m->value);
	return metric;
}

/* The share of processor time, which the old form has a field for; NULL for other metrics. */
static struct json *cpu_share(const struct json *metric, const char *which)
{
	if (!streq(json_str(json_get(metric, "type")), "Resource") ||
		!streq(json_str(json_path(metric, "resource.name")), "cpu"))
		return NULL;
	return json_get(json_get(json_get(metric, "resource"), which), "averageUtilization");
}

/* ---- behaviour: the same, with capital letters ---- */

static struct json *with_capitals(struct arena *a, const struct json *v, bool capitals)
{
	if (json_is(v, JSON_ARRAY)) {
		struct json *list = json_new_array(a);
		JSON_FOR_EACH_ITEM(i, v)
			json_push(a, list, with_capitals(a, i, capitals));
		return list;
	}
	if (!json_is(v, JSON_OBJECT))
		return (struct json *)v;
	struct json *o = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, v) {
		char *name = arena_strdup(a, m->name);
		if (capitals && *name >= 'a' && *name <= 'z')
			*name = (char)(*name - 32);
		else if (!capitals && *name >= 'A' && *name <= 'Z')
			*name = (char)(*name + 32);
		if (!json_is(m->value, JSON_NULL))
			json_set(a, o, name, with_capitals(a, m->value, capitals));
	}
	return o;
}

/* ---- annotations ---- */

static void annotate(struct arena *a, struct json *doc, const char *key, const struct json *value)
{
	struct json *meta = json_object_at(a, doc, "metadata");
	json_set(a, json_object_at(a, meta, "annotations"), key,
		json_new_string(a, json_text(a, value)));
}

/* What the annotation holds, NULL when there is none or it can't be read. It is taken out. */
static struct json *annotation(struct arena *a, struct json *doc, const char *key)
{
	struct json *annotations = json_path(doc, "metadata.annotations"), *v = NULL;
	const char *text = json_str(json_get(annotations, key));
	if (text && json_parse(a, text, strlen(text), NULL, &v, NULL) < 0)
		v = NULL;
	json_remove(annotations, key);
	return v;
}

static void move(struct arena *a, struct json *to, const struct json *from, const char *name)
{
	struct json *v = json_get(from, name);
	if (v)
		json_set(a, to, name, v);
}

static const char *const same_of_spec[] = {"minReplicas", "maxReplicas", "scaleTargetRef"};
static const char *const same_of_status[] = {
	"observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"};

static struct json *from_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	const struct json *spec = json_get(doc, "spec"), *status = json_get(doc, "status");
	struct json *old_spec = json_new_object(a), *old_status = json_new_object(a);
	struct json *others = json_new_array(a), *current = json_new_array(a);
	for (size_t i = 0; i < ARRAY_LEN(same_of_spec); i++)
		move(a, old_spec, spec, same_of_spec[i]);
	for (size_t i = 0; i < ARRAY_LEN(same_of_status); i++)
		move(a, old_status, status, same_of_status[i]);
	JSON_FOR_EACH_ITEM(metric, json_get(spec, "metrics")) {
		struct json *share = cpu_share(metric, "target");
		if (share)
			json_set(a, old_spec, "targetCPUUtilizationPercentage", share);
		else
			json_push(a, others, old_metric(a, metric, of_spec));
	}
	JSON_FOR_EACH_ITEM(metric, json_get(status, "currentMetrics")) {
		struct json *share = cpu_share(metric, "current");
		if (share)
			json_set(a, old_status, "currentCPUUtilizationPercentage", share);
		json_push(a, current, old_metric(a, metric, of_status));
	}
	if (json_count(others))
		annotate(a, doc, METRICS, others);
	if (json_count(current))
		annotate(a, doc, CURRENT_METRICS, current);
	if (json_count(json_get(status, "conditions")))
		annotate(a, doc, CONDITIONS, json_get(status, "conditions"));
	if (json_get(spec, "behavior"))
		annotate(a, doc, BEHAVIOR, with_capitals(a, json_get(spec, "behavior"), true));
	if (spec)
		json_set(a, doc, "spec", old_spec);
	if (status)
		json_set(a, doc, "status", old_status);
	return doc;
}

static struct json *share_metric(struct arena *a, struct json *share, const char *which)
{
	struct json *metric = json_new_object(a);
	json_set_str(a, metric, "type", "Resource");
	json_path_set(a, metric, "resource.name", json_new_string(a, "cpu"));
	json_path_set(a, metric, arena_printf(a, "resource.%s.averageUtilization", which), share);
	if (streq(which, "target"))
		json_path_set(a, metric, "resource.target.type", json_new_string(a, "Utilization"));
	return metric;
}

static struct json *to_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	const struct json *old_spec = json_get(doc, "spec"), *old_status = json_get(doc, "status");
	struct json *spec = json_new_object(a), *status = json_new_object(a);
	struct json *metrics = json_new_array(a), *current = json_new_array(a);
	struct json *share = json_get(old_spec, "targetCPUUtilizationPercentage");
	struct json *used = json_get(old_status, "currentCPUUtilizationPercentage");
	for (size_t i = 0; i < ARRAY_LEN(same_of_spec); i++)
		move(a, spec, old_spec, same_of_spec[i]);
	for (size_t i = 0; i < ARRAY_LEN(same_of_status); i++)
		move(a, status, old_status, same_of_status[i]);
	JSON_FOR_EACH_ITEM(m, annotation(a, doc, METRICS))
		json_push(a, metrics, new_metric(a, m, of_spec));
	if (share && !json_is(share, JSON_NULL))
		json_push(a, metrics, share_metric(a, share, "target"));
	JSON_FOR_EACH_ITEM(m, annotation(a, doc, CURRENT_METRICS))
		json_push(a, current, new_metric(a, m, of_status));
	if (used && !json_is(used, JSON_NULL) && !json_count(current))
		json_push(a, current, share_metric(a, used, "current"));
	struct json *conditions = annotation(a, doc, CONDITIONS);
	struct json *behavior = annotation(a, doc, BEHAVIOR);
	if (json_count(metrics))
		json_set(a, spec, "metrics", metrics);
	if (json_is(behavior, JSON_OBJECT))
		json_set(a, spec, "behavior", with_capitals(a, behavior, false));
	if (json_count(current))
		json_set(a, status, "currentMetrics", current);
	if (json_is(conditions, JSON_ARRAY))
		json_set(a, status, "conditions", conditions);
	struct json *meta = json_get(doc, "metadata");
	if (json_get(meta, "annotations") && !json_count(json_get(meta, "annotations")))
		json_remove(meta, "annotations");
	if (old_spec)
		json_set(a, doc, "spec", spec);
	if (old_status)
		json_set(a, doc, "status", status);
	return doc;
}

const struct kind_conversion conversion_autoscaler_v1 = {from_storage, to_storage};
