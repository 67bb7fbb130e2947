/* usage.c - the kinds of metrics.k8s.io: made on request from what nodes told (server/usage). */
#include "server/api/nodes/usage.h"

#include <inttypes.h>

#include "lib/object/quantity.h"
#include "server/api/hooks/hooks_internal.h"

static struct json *usage_of(struct arena *a, const struct usage_rate *r)
{
	struct json *usage = json_new_object(a);
	struct quantity cpu = {.nano = (__int128)r->cpu_nano_cores};
	json_set_str(a, usage, "cpu", quantity_text(a, cpu, false));
	/* Whole Ki, as clients are used to. */
	struct quantity memory = {
		.nano = (__int128)(r->memory_bytes & ~UINT64_C(1023)) * 1000000000};
	json_set_str(a, usage, "memory", quantity_text(a, memory, true));
	return usage;
}

static void set_time(struct arena *a, struct json *doc, const char *name, int64_t wall_ns)
{
	char text[TIME_RFC3339_ROOM];
	time_format_rfc3339(wall_ns, text);
	json_set_str(a, doc, name, text);
}

/* metadata, timestamp and window as its containers, or itself, have them. */
static struct json *head(
	const struct compute *c, const struct object *of, const struct usage_rate *r, size_t count)
{
	struct arena *a = c->arena;
	struct json *doc = json_new_object(a);
	json_set_str(a, doc, "kind", c->kind->kind);
	json_set_str(a, doc, "apiVersion", c->kind->gv);
	struct json *meta = json_object_at(a, doc, "metadata");
	int64_t time_ns = r[0].time_ns, window_ns = r[0].window_ns;
	for (size_t i = 1; i < count; i++) {
		time_ns = MIN(time_ns, r[i].time_ns);
		window_ns = MAX(window_ns, r[i].window_ns);
	}
	json_set_str(a, meta, "name", of->name);
	if (*of->namespace)
		json_set_str(a, meta, "namespace", of->namespace);
	set_time(a, meta, "creationTimestamp", c->api->clock->wall_ns(c->api->clock));
	if (of->label_count) {
		struct json *labels = json_object_at(a, meta, "labels");
		for (size_t i = 0; i < of->label_count; i++)
			json_set_str(a, labels, of->labels[i].key, of->labels[i].value);
	}
	set_time(a, doc, "timestamp", time_ns);
	int64_t ms = window_ns / NS_PER_MS;
	json_set_str(a, doc, "window",
		ms % 1000 ? arena_printf(a, "%" PRId64 ".%03" PRId64 "s", ms / 1000, ms % 1000)
			  : arena_printf(a, "%" PRId64 "s", ms / 1000));
	return doc;
}

static struct json *of_node(const struct compute *c, const struct object *node)
{
	struct usage_rate *r;
	if (usage_samples_get(
		    api_usage_samples(c->api), node->name, FIGURE_NODE, "", "", c->arena, &r) == 0)
		return NULL;
	struct json *doc = head(c, node, r, 1);
	json_set(c->arena, doc, "usage", usage_of(c->arena, r));
	return doc;
}

static struct json *of_pod(const struct compute *c, const struct object *pod)
{
	struct usage_rate *r;
	const char *node = object_field(pod, "spec.nodeName");
	size_t count = node ? usage_samples_get(api_usage_samples(c->api), node, FIGURE_CONTAINER,
				      pod->namespace, pod->name, c->arena, &r)
			    : 0;
	if (count == 0)
		return NULL;
	struct json *doc = head(c, pod, r, count), *list = json_new_array(c->arena);
	for (size_t i = 0; i < count; i++) {
		struct json *container = json_new_object(c->arena);
		json_set_str(c->arena, container, "name", r[i].container);
		json_set(c->arena, container, "usage", usage_of(c->arena, &r[i]));
		json_push(c->arena, list, container);
	}
	json_set(c->arena, doc, "containers", list);
	return doc;
}

static struct json *of_machine(const struct compute *c, const struct object *machine)
{
	struct usage_rate *r;
	const char *node = object_field(machine, "status.nodeName");
	if (!node || usage_samples_get(api_usage_samples(c->api), node, FIGURE_MACHINE,
			     machine->namespace, machine->name, c->arena, &r) == 0)
		return NULL;
	struct json *doc = head(c, machine, r, 1);
	json_set(c->arena, doc, "usage", usage_of(c->arena, r));
	return doc;
}

/* The sum over the containers. */
static struct json *pod_usage_cell(const struct table_row *row, const char *column)
{
	bool cpu = streq(column, "cpu");
	struct quantity sum = {0};
	if (!cpu && !streq(column, "memory"))
		return NULL;
	JSON_FOR_EACH_ITEM(c, json_get(row->doc, "containers")) {
		struct quantity q;
		const char *text = json_str(json_get(json_get(c, "usage"), column));
		if (text && quantity_parse(text, &q) == 0)
			sum.nano += q.nano;
	}
	return json_new_string(row->arena, quantity_text(row->arena, sum, !cpu));
}

const struct kind_hooks hooks_node_metrics = {.group = "metrics.k8s.io",
	.kind = "NodeMetrics",
	.made_of = {"", "v1", "Node"},
	.make = of_node};
const struct kind_hooks hooks_pod_metrics = {.group = "metrics.k8s.io",
	.kind = "PodMetrics",
	.made_of = {"", "v1", "Pod"},
	.make = of_pod,
	.cell = pod_usage_cell};
const struct kind_hooks hooks_machine_metrics = {.group = "metrics.k8s.io",
	.kind = "VirtualMachineInstanceMetrics",
	.made_of = {"kubevirt.io", "v1", "VirtualMachineInstance"},
	.make = of_machine};
