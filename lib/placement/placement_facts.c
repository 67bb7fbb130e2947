/* placement_facts.c - what an Application's spec, or annotations, say about placement. */
#include <inttypes.h>

#include "lib/object/quantity.h"
#include "lib/placement/placement.h"

static const char *const criticalities[] = {"mission-critical", "standard", "best-effort", NULL};
static const char *const loads[] = {"steady", "variable", "scheduled", NULL};
static const char *const isolations[] = {"strict", "shared", NULL};
static const char *const sensitivities[] = {
	"public", "internal", "confidential", "restricted", NULL};
static const char *const latencies[] = {"relaxed", "normal", "low", NULL};

static struct placement_facts defaults(void)
{
	return (struct placement_facts){
		.criticality = "standard",
		.load = "steady",
		.isolation = "shared",
		.sensitivity = "internal",
		.os = "linux",
		.latency = "normal",
		.replicas = 1,
	};
}

/* The first type of volume of these that the volume is. */
static const char *type_among(const struct json *volume, const char *const types[])
{
	for (; *types; types++)
		if (json_is(json_get(volume, *types), JSON_OBJECT))
			return *types;
	return NULL;
}

static void read_volumes(struct arena *a, const struct json *spec, struct placement_facts *f)
{
	static const char *const container[] = {"configMap", "secret", "hostPath", NULL};
	static const char *const machine[] = {"emptyDisk", "hostDisk", "containerDisk", NULL};
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *name = json_str_or(json_get(v, "name"), ""), *type;
		if ((type = type_among(v, container)) && !f->container_only)
			f->container_only = arena_printf(a,
				"volume '%s' is a %s, which only containers can mount", name, type);
		if ((type = type_among(v, machine)) && !f->machine_only)
			f->machine_only = arena_printf(a,
				"volume '%s' is a %s, which only a virtual machine can attach",
				name, type);
		f->durable =
			f->durable || type_among(v, (const char *const[]){"persistentVolumeClaim",
							    "hostDisk", NULL});
	}
}

static void read_container_parts(
	struct arena *a, const struct json *spec, struct placement_facts *f)
{
	JSON_FOR_EACH_ITEM(e, json_get(spec, "env"))
		if (json_is(json_get(e, "valueFrom"), JSON_OBJECT) && !f->container_only)
			f->container_only = arena_printf(a,
				"variable '%s' has a valueFrom, which only containers are given",
				json_str_or(json_get(e, "name"), ""));
	static const char *const probes[] = {"exec", "grpc", NULL};
	const char *probe = type_among(json_get(spec, "readinessProbe"), probes);
	if (probe && !f->container_only)
		f->container_only = arena_printf(a,
			"the readinessProbe is of the type %s, which only containers have", probe);
}

static int64_t memory_of(const struct json *resources)
{
	int64_t bytes = quantity_json_value(json_path(resources, "requests.memory"), 0);
	return bytes ? bytes : quantity_json_value(json_path(resources, "limits.memory"), 0);
}

/* A disk that outlives its guest is one guest's: several would spoil it. */
static const char *shared_disk(
	struct arena *a, const struct json *spec, const struct placement_facts *f)
{
	static const char *const lasting[] = {
		"persistentVolumeClaim", "hostDisk", "dataVolume", NULL};
	const char *type = type_among(json_get(spec, "disk"), lasting);
	int64_t replicas = f->replicas_max ? f->replicas_min : f->replicas;
	if (!type || replicas < 2)
		return NULL;
	return arena_printf(a,
		"spec.disk is one %s, and %" PRId64 " virtual machines would write to it", type,
		replicas);
}

struct placement_facts placement_facts_of_application(struct arena *a, const struct json *spec)
{
	struct placement_facts f = defaults();
	const struct json *p = json_get(spec, "profile");
	f.criticality = json_str_or(json_get(p, "criticality"), f.criticality);
	f.isolation = json_str_or(json_get(p, "isolation"), f.isolation);
	f.sensitivity = json_str_or(json_get(p, "dataSensitivity"), f.sensitivity);
	f.os = json_str_or(json_get(p, "os"), f.os);
	f.latency = json_str_or(json_get(p, "latencyClass"), f.latency);
	f.legacy = json_bool_or(json_get(p, "legacy"), false);
	f.own_kernel = json_path_bool(p, "kernel.own", false);
	JSON_FOR_EACH_ITEM(m, json_path(p, "kernel.modules"))
		f.modules = arena_printf(a, "%s%s%s", f.modules ? f.modules : "",
			f.modules ? ", " : "", json_str_or(m, ""));
	f.has_image = *json_str_or(json_get(spec, "image"), "") != '\0';
	f.has_disk = json_count(json_get(spec, "disk")) > 0;
	f.durable = f.has_disk &&
		    (json_path(spec, "disk.persistentVolumeClaim") ||
			    json_path(spec, "disk.hostDisk") || json_path(spec, "disk.dataVolume"));
	read_volumes(a, spec, &f);
	read_container_parts(a, spec, &f);
	f.replicas = json_path_int(spec, "replicas", 1);
	f.replicas_max = json_path_int(spec, "maxReplicas", 0);
	f.replicas_min = f.replicas_max ? json_path_int(spec, "minReplicas", 1) : 0;
	const char *load = f.replicas_max > f.replicas_min ? "variable" : "steady";
	f.load = json_str_or(json_get(p, "load"), load);
	f.odd = shared_disk(a, spec, &f);
	f.memory_bytes = memory_of(json_get(spec, "resources"));
	return f;
}

/* Annotations. */

static const char *annotated(struct arena *a, const struct json *annotations, const char *name,
	const char *const values[], const char *fallback, const char **bad)
{
	const char *key = arena_printf(a, "hanok.io/%s", name);
	const char *text = json_str(json_get(annotations, key));
	if (!text)
		return fallback;
	const char *list = "";
	for (size_t i = 0; values[i]; i++) {
		if (streq(values[i], text))
			return values[i];
		list = arena_printf(a, "%s%s%s", list, i ? ", " : "", values[i]);
	}
	*bad = arena_printf(a, "%s%s%s: '%.40s' is none of %s", *bad ? *bad : "", *bad ? "; " : "",
		key, text, list);
	return fallback;
}

struct placement_facts placement_facts_of_annotations(
	struct arena *a, const struct json *annotations, const char **ret_bad)
{
	static const char *const answers[] = {"true", "false", NULL};
	struct placement_facts f = defaults();
	const char *bad = NULL;
	f.criticality =
		annotated(a, annotations, "criticality", criticalities, f.criticality, &bad);
	f.load = annotated(a, annotations, "load", loads, f.load, &bad);
	f.isolation = annotated(a, annotations, "isolation", isolations, f.isolation, &bad);
	f.sensitivity =
		annotated(a, annotations, "data-sensitivity", sensitivities, f.sensitivity, &bad);
	f.latency = annotated(a, annotations, "latency-class", latencies, f.latency, &bad);
	f.legacy = streq(annotated(a, annotations, "legacy", answers, "false", &bad), "true");
	f.os = json_str_or(json_get(annotations, "hanok.io/os"), f.os);
	f.has_image = f.has_disk = true;
	if (ret_bad)
		*ret_bad = bad;
	return f;
}
