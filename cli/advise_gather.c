#include "cli/advise_gather.h"

#include <math.h>

#include "lib/base/table.h"
#include "lib/object/quantity.h"

struct measured {
	int64_t samples;
	double cpu_sum, cpu_squares; /* milli */
	int64_t cpu_peak_milli, memory_peak_bytes;
};

struct advise_samples {
	struct arena *arena;
	struct json *of; /* key -> array of [milli, bytes, timestamp] */
};

struct advise_samples *advise_samples_create(struct arena *a)
{
	struct advise_samples *s = ARENA_NEW(a, struct advise_samples);
	s->arena = a;
	s->of = json_new_object(a);
	return s;
}

/* A pod and a virtual machine may have the same name. */
static const char *key_of(struct arena *a, const struct json *doc, bool machine)
{
	return arena_printf(a, "%s %s/%s", machine ? "machine" : "pod",
		json_str_or(json_path(doc, "metadata.namespace"), ""),
		json_str_or(json_path(doc, "metadata.name"), ""));
}

static void add_sample(struct advise_samples *s, const struct json *item)
{
	struct arena *a = s->arena;
	/* Pods tell it by container, virtual machines of the whole. */
	const struct json *whole = json_get(item, "usage"), *time = json_get(item, "timestamp");
	int64_t milli = quantity_json_milli(json_get(whole, "cpu"), 0),
		bytes = quantity_json_value(json_get(whole, "memory"), 0);
	JSON_FOR_EACH_ITEM(c, json_get(item, "containers")) {
		milli += quantity_json_milli(json_path(c, "usage.cpu"), 0);
		bytes += quantity_json_value(json_path(c, "usage.memory"), 0);
	}
	struct json *all = json_array_at(a, s->of, key_of(a, item, whole != NULL));
	const struct json *last = json_at(all, json_count(all) ? json_count(all) - 1 : 0);
	/* The nodes may not have measured again. */
	if (last && time && json_equal(json_at(last, 2), time))
		return;
	struct json *sample = json_new_array(a);
	json_push(a, sample, json_new_int(a, milli));
	json_push(a, sample, json_new_int(a, bytes));
	json_push(a, sample, time ? json_copy(a, time) : json_new_null(a));
	json_push(a, all, sample);
}

void advise_samples_add(struct advise_samples *s, const struct json *metrics)
{
	JSON_FOR_EACH_ITEM(item, json_get(metrics, "items"))
		add_sample(s, item);
}

static void measure(struct measured *m, const struct advise_samples *s, const char *key)
{
	JSON_FOR_EACH_ITEM(sample, json_get(s->of, key)) {
		int64_t milli = json_int_or(json_at(sample, 0), 0);
		m->samples++;
		m->cpu_sum += (double)milli;
		m->cpu_squares += (double)milli * (double)milli;
		m->cpu_peak_milli = MAX(m->cpu_peak_milli, milli);
		m->memory_peak_bytes =
			MAX(m->memory_peak_bytes, json_int_or(json_at(sample, 1), 0));
	}
}

static void set_usage(struct arena *a, struct json *workload, const struct measured *m)
{
	struct json *usage = json_new_object(a);
	if (!m->samples)
		return;
	double mean = m->cpu_sum / (double)m->samples;
	double variance = m->cpu_squares / (double)m->samples - mean * mean;
	json_set_int(a, usage, "samples", m->samples);
	json_set_int(a, usage, "cpuMeanMilli", (int64_t)mean);
	json_set_int(a, usage, "cpuPeakMilli", m->cpu_peak_milli);
	json_set_int(a, usage, "cpuDeviationMilli", (int64_t)sqrt(variance > 0 ? variance : 0));
	json_set_int(a, usage, "memoryPeakBytes", m->memory_peak_bytes);
	json_set(a, workload, "usage", usage);
}

/* Owners. */

static const struct json *controller_of(const struct json *doc)
{
	JSON_FOR_EACH_ITEM(ref, json_path(doc, "metadata.ownerReferences"))
		if (json_path_bool(ref, "controller", false))
			return ref;
	return NULL;
}

/* uid -> what stands for it in the end: the uid of the owner of its owners. */
static const char *root_uid(const struct table *owners, const struct json *doc)
{
	const char *uid = json_path_str(doc, "metadata.uid");
	const struct json *ref = controller_of(doc);
	for (int depth = 0; ref && depth < 8; depth++) {
		uid = json_str(json_get(ref, "uid"));
		const struct json *owner = uid ? table_get(owners, uid) : NULL;
		ref = owner ? controller_of(owner) : NULL;
	}
	return uid;
}

static void remember(struct table *owners, const struct json *list)
{
	JSON_FOR_EACH_ITEM(doc, json_get(list, "items"))
		if (json_path_str(doc, "metadata.uid"))
			table_set(owners, json_path_str(doc, "metadata.uid"), doc);
}

/* Workloads. */

struct gathering {
	struct arena *a;
	const struct advise_lists *lists;
	const struct advise_samples *samples;
	struct table owners;
	struct json *all;
};

static bool made_by_another(const struct json *doc)
{
	return controller_of(doc) != NULL;
}

static struct json *annotations_of(struct arena *a, const struct json *doc)
{
	const struct json *template = json_path(doc, "spec.template.metadata.annotations"),
			  *own = json_path(doc, "metadata.annotations");
	struct json *all = template ? json_copy(a, template) : json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, own)
		json_set(a, all, m->name, m->value);
	return all;
}

static void add_replicas(struct gathering *g, struct json *workload, const struct json *doc)
{
	const char *uid = json_path_str(doc, "metadata.uid");
	struct measured m = {0};
	int64_t restarts = 0;
	JSON_FOR_EACH_ITEM(pod, json_get(g->lists->pods, "items")) {
		int64_t of_pod = 0;
		if (!streq(root_uid(&g->owners, pod), uid))
			continue;
		JSON_FOR_EACH_ITEM(c, json_path(pod, "status.containerStatuses"))
			of_pod += json_path_int(c, "restartCount", 0);
		restarts = MAX(restarts, of_pod);
		measure(&m, g->samples, key_of(g->a, pod, false));
	}
	JSON_FOR_EACH_ITEM(vmi, json_get(g->lists->instances, "items"))
		if (streq(root_uid(&g->owners, vmi), uid))
			measure(&m, g->samples, key_of(g->a, vmi, true));
	json_set_int(g->a, workload, "restarts", restarts);
	set_usage(g->a, workload, &m);
}

static void add_autoscaler(
	struct gathering *g, struct json *workload, const struct json *doc, const char *kind)
{
	JSON_FOR_EACH_ITEM(hpa, json_get(g->lists->autoscalers, "items")) {
		const struct json *spec = json_get(hpa, "spec");
		if (!streq(json_path_str(hpa, "metadata.namespace"),
			    json_path_str(doc, "metadata.namespace")) ||
			!streq(json_path_str(spec, "scaleTargetRef.kind"), kind) ||
			!streq(json_path_str(spec, "scaleTargetRef.name"),
				json_path_str(doc, "metadata.name")))
			continue;
		struct json *range = json_new_object(g->a);
		json_set_int(g->a, range, "min", json_path_int(spec, "minReplicas", 1));
		json_set_int(g->a, range, "max", json_path_int(spec, "maxReplicas", 1));
		json_set(g->a, workload, "autoscaler", range);
	}
}

static void add(
	struct gathering *g, const struct json *doc, const char *kind, const struct json *spec)
{
	struct arena *a = g->a;
	struct json *w = json_new_object(a);
	json_set_str(a, w, "namespace", json_path_str(doc, "metadata.namespace"));
	json_set_str(a, w, "name", json_path_str(doc, "metadata.name"));
	json_set_str(a, w, "kind", kind);
	if (spec)
		json_set(a, w, "spec", json_copy(a, spec));
	json_set(a, w, "annotations", annotations_of(a, doc));
	json_set_int(a, w, "replicas", json_path_int(doc, "spec.replicas", 1));
	if (json_count(json_path(doc, "spec.volumeClaimTemplates")))
		json_set_bool(a, w, "claims", true);
	add_autoscaler(g, w, doc, kind);
	add_replicas(g, w, doc);
	json_push(a, g->all, w);
}

static void add_list(
	struct gathering *g, const struct json *list, const char *kind, const char *spec_path)
{
	JSON_FOR_EACH_ITEM(doc, json_get(list, "items"))
		if (!made_by_another(doc))
			add(g, doc, kind, json_path(doc, spec_path));
}

struct json *advise_gather(
	struct arena *a, const struct advise_lists *lists, const struct advise_samples *samples)
{
	struct gathering g = {a, lists, samples, TABLE_INIT, json_new_array(a)};
	const struct json *owners[] = {lists->deployments, lists->stateful_sets, lists->daemon_sets,
		lists->replica_sets, lists->machines};
	for (size_t i = 0; i < ARRAY_LEN(owners); i++)
		remember(&g.owners, owners[i]);
	add_list(&g, lists->deployments, "Deployment", "spec.template.spec");
	add_list(&g, lists->stateful_sets, "StatefulSet", "spec.template.spec");
	add_list(&g, lists->daemon_sets, "DaemonSet", "spec.template.spec");
	add_list(&g, lists->replica_sets, "ReplicaSet", "spec.template.spec");
	add_list(&g, lists->pods, "Pod", "spec");
	add_list(&g, lists->machines, "VirtualMachine", "spec.template.spec");
	add_list(&g, lists->instances, "VirtualMachineInstance", "spec");
	table_finish(&g.owners);
	return g.all;
}
