#include "server/scheduler/workload.h"

#include <stdio.h>

#include "lib/object/quantity.h"

/* Upstream's stand-ins when scores (not fits) are computed for containers that request nothing. */
#define SCORED_MILLI_CPU 100
#define SCORED_MEMORY_BYTES (INT64_C(200) << 20)

/* What a virtual machine takes besides its guest's memory: QEMU itself and its devices, page
 * tables, and the code cache where the processor is emulated. */
#define VM_OVERHEAD_BYTES (INT64_C(96) << 20)
#define VM_GUEST_DEFAULT_BYTES (INT64_C(256) << 20)

/* More than any node is taken to have, and so little that what a node's workloads ask for together
 * can be counted. Less than nothing would make room for others. */
#define AMOUNT_MAX (INT64_C(1) << 48)

static int64_t bounded(int64_t amount)
{
	return amount < 0 ? 0 : MIN(amount, AMOUNT_MAX);
}

static int64_t offered(const struct json *amounts, const char *name, bool milli)
{
	const struct json *v = json_get(amounts, name);
	int64_t n = milli ? quantity_json_milli(v, 0) : quantity_json_value(v, 0);
	return MIN(bounded(n), AMOUNT_MAX - 1);
}

static struct resources container_request(
	const struct json *container, struct resources *ret_scored)
{
	const struct json *requests = json_path(container, "resources.requests");
	const struct json *limits = json_path(container, "resources.limits");
	const struct json *cpu = json_get(requests, "cpu"), *memory = json_get(requests, "memory");
	if (!cpu)
		cpu = json_get(limits, "cpu");
	if (!memory)
		memory = json_get(limits, "memory");
	struct resources r = {
		bounded(quantity_json_milli(cpu, 0)), bounded(quantity_json_value(memory, 0))};
	ret_scored->milli_cpu = cpu ? r.milli_cpu : SCORED_MILLI_CPU;
	ret_scored->memory_bytes = memory ? r.memory_bytes : SCORED_MEMORY_BYTES;
	return r;
}

static void add(struct resources *to, struct resources r)
{
	to->milli_cpu = bounded(to->milli_cpu + r.milli_cpu);
	to->memory_bytes = bounded(to->memory_bytes + r.memory_bytes);
}

static void at_least(struct resources *to, struct resources r)
{
	to->milli_cpu = MAX(to->milli_cpu, r.milli_cpu);
	to->memory_bytes = MAX(to->memory_bytes, r.memory_bytes);
}

/* Containers run together; init containers one after the other, beside the sidecars (init
 * containers that restart always) that were started before them. */
static void pod_request(const struct json *spec, struct workload *w)
{
	struct resources sidecars = {0}, sidecars_scored = {0}, peak = {0}, peak_scored = {0};
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers")) {
		struct resources scored, r = container_request(c, &scored);
		add(&w->request, r);
		add(&w->scored, scored);
	}
	JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers")) {
		struct resources scored, r = container_request(c, &scored);
		if (streq(json_str(json_get(c, "restartPolicy")), "Always")) {
			add(&sidecars, r);
			add(&sidecars_scored, scored);
			r = scored = (struct resources){0};
		}
		add(&r, sidecars);
		add(&scored, sidecars_scored);
		at_least(&peak, r);
		at_least(&peak_scored, scored);
	}
	add(&w->request, sidecars);
	add(&w->scored, sidecars_scored);
	at_least(&w->request, peak);
	at_least(&w->scored, peak_scored);
	const struct json *overhead = json_get(spec, "overhead");
	struct resources more = {bounded(quantity_json_milli(json_get(overhead, "cpu"), 0)),
		bounded(quantity_json_value(json_get(overhead, "memory"), 0))};
	add(&w->request, more);
	add(&w->scored, more);
}

static void instance_request(const struct json *spec, struct workload *w)
{
	const struct json *domain = json_get(spec, "domain"), *cpu = json_get(domain, "cpu");
	const struct json *requests = json_path(domain, "resources.requests");
	const struct json *limits = json_path(domain, "resources.limits");
	int64_t vcpus = 1;
	static const char *const factors[] = {"cores", "sockets", "threads"};
	for (size_t n = 0; n < ARRAY_LEN(factors); n++) {
		int64_t f = json_int_or(json_get(cpu, factors[n]), 1);
		vcpus *= f > 0 && f < 1024 ? f : 1;
	}
	const struct json *cpu_asked = json_get(requests, "cpu");
	if (!cpu_asked && !cpu)
		cpu_asked = json_get(limits, "cpu");
	/* Unless it says otherwise a guest's CPU is a tenth of one: KubeVirt's cpuAllocationRatio.
	 */
	w->request.milli_cpu = bounded(quantity_json_milli(cpu_asked, vcpus * 100));
	const struct json *memory = json_get(requests, "memory");
	if (!memory)
		memory = json_path(domain, "memory.guest");
	if (!memory)
		memory = json_get(limits, "memory");
	w->request.memory_bytes =
		bounded(quantity_json_value(memory, VM_GUEST_DEFAULT_BYTES)) + VM_OVERHEAD_BYTES;
	w->scored = w->request;
}

/* Selectors of nodes. */

static struct selector node_requirements(struct arena *a, const struct json *list)
{
	static const struct {
		const char *name;
		enum selector_op op;
	} ops[] = {{"In", SEL_IN}, {"NotIn", SEL_NOT_IN}, {"Exists", SEL_EXISTS},
		{"DoesNotExist", SEL_NOT_EXISTS}, {"Gt", SEL_GT}, {"Lt", SEL_LT}};
	struct requirement *items = arena_alloc(a, (json_count(list) + 1) * sizeof(*items));
	struct selector s = {.items = items};
	JSON_FOR_EACH_ITEM(it, list) {
		const struct json *values = json_get(it, "values");
		const char **texts = arena_alloc(a, (json_count(values) + 1) * sizeof(*texts));
		struct requirement r = {
			.key = arena_strdup(a, json_str_or(json_get(it, "key"), "")),
			.values = texts};
		JSON_FOR_EACH_ITEM(v, values)
			texts[r.value_count++] = arena_strdup(a, json_str_or(v, ""));
		const char *op = json_str_or(json_get(it, "operator"), "");
		size_t n = 0;
		while (n < ARRAY_LEN(ops) && !streq(op, ops[n].name))
			n++;
		if (n == ARRAY_LEN(ops)) {
			s.nothing = true;
			continue;
		}
		r.op = ops[n].op;
		items[s.count++] = r;
	}
	return s;
}

static struct node_term node_term(struct arena *a, const struct json *term, int64_t weight)
{
	const struct json *labels = json_get(term, "matchExpressions"),
			  *fields = json_get(term, "matchFields");
	return (struct node_term){
		.labels = node_requirements(a, labels),
		.fields = node_requirements(a, fields),
		.empty = !json_count(labels) && !json_count(fields),
		.weight = weight,
	};
}

static void affinity(struct arena *a, const struct json *spec, struct workload *w)
{
	const struct json *node = json_path(spec, "affinity.nodeAffinity");
	const struct json *required =
		json_get(node, "requiredDuringSchedulingIgnoredDuringExecution");
	const struct json *terms = json_get(required, "nodeSelectorTerms");
	const struct json *preferred =
		json_get(node, "preferredDuringSchedulingIgnoredDuringExecution");
	w->has_terms = json_is(required, JSON_OBJECT);
	struct node_term *need = arena_alloc(a, (json_count(terms) + 1) * sizeof(*need));
	JSON_FOR_EACH_ITEM(t, terms)
		need[w->term_count++] = node_term(a, t, 0);
	struct node_term *like = arena_alloc(a, (json_count(preferred) + 1) * sizeof(*like));
	JSON_FOR_EACH_ITEM(t, preferred)
		like[w->preferred_count++] = node_term(
			a, json_get(t, "preference"), json_int_or(json_get(t, "weight"), 0));
	w->terms = need;
	w->preferred = like;
}

static enum taint_effect effect(const char *text)
{
	return streq(text, "NoSchedule")	 ? TAINT_NO_SCHEDULE
	       : streq(text, "PreferNoSchedule") ? TAINT_PREFER_NO_SCHEDULE
	       : streq(text, "NoExecute")	 ? TAINT_NO_EXECUTE
						 : TAINT_ANY;
}

static void tolerations(struct arena *a, const struct json *spec, struct workload *w)
{
	const struct json *list = json_get(spec, "tolerations");
	struct toleration *all = arena_alloc(a, (json_count(list) + 1) * sizeof(*all));
	JSON_FOR_EACH_ITEM(t, list)
		all[w->toleration_count++] = (struct toleration){
			.key = arena_strdup(a, json_str_or(json_get(t, "key"), "")),
			.value = arena_strdup(a, json_str_or(json_get(t, "value"), "")),
			.exists = streq(json_str(json_get(t, "operator")), "Exists"),
			.effect = effect(json_str_or(json_get(t, "effect"), "")),
		};
	w->tolerations = all;
}

static void placement(struct arena *a, const struct json *spec, struct workload *w)
{
	struct selector s;
	selector_from_map(a, json_get(spec, "nodeSelector"), &s);
	w->selector = selector_copy(a, &s);
	/* No nodeSelector is no wish, not a wish for nothing. */
	w->selector.nothing = false;
	affinity(a, spec, w);
	tolerations(a, spec, w);
}

static void host_ports(struct arena *a, const struct json *spec, struct workload *w)
{
	bool host_network = json_path_bool(spec, "hostNetwork", false);
	size_t room = 0;
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers"))
		room += json_count(json_get(c, "ports"));
	if (!room)
		return;
	struct host_port *all = arena_alloc(a, room * sizeof(*all));
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers")) {
		JSON_FOR_EACH_ITEM(p, json_get(c, "ports")) {
			int64_t port = json_int_or(json_get(p, "hostPort"),
				host_network ? json_int_or(json_get(p, "containerPort"), 0) : 0);
			const char *ip = json_str_or(json_get(p, "hostIP"), "");
			if (port <= 0)
				continue;
			struct host_port *to = &all[w->port_count++];
			*to = (struct host_port){.port = port};
			snprintf(to->ip, sizeof(to->ip), "%s", streq(ip, "0.0.0.0") ? "" : ip);
			snprintf(to->protocol, sizeof(to->protocol), "%s",
				json_str_or(json_get(p, "protocol"), "TCP"));
		}
	}
	w->ports = all;
}

void workload_from_pod(struct arena *a, const struct json *pod, struct workload *ret)
{
	const struct json *spec = json_get(pod, "spec");
	*ret = (struct workload){0};
	pod_request(spec, ret);
	placement(a, spec, ret);
	host_ports(a, spec, ret);
}

void workload_from_instance(struct arena *a, const struct json *vmi, struct workload *ret)
{
	const struct json *spec = json_get(vmi, "spec");
	*ret = (struct workload){0};
	instance_request(spec, ret);
	placement(a, spec, ret);
}

void workload_node(
	struct arena *a, const struct object *node, const struct json *doc, struct core_node *ret)
{
	const struct json *allocatable = json_path(doc, "status.allocatable");
	if (!allocatable)
		allocatable = json_path(doc, "status.capacity");
	const struct json *list = json_path(doc, "spec.taints");
	struct taint *taints = arena_alloc(a, (json_count(list) + 1) * sizeof(*taints));
	*ret = (struct core_node){
		.name = node->name,
		.allocatable = {offered(allocatable, "cpu", true),
			offered(allocatable, "memory", false)},
		.pods = offered(allocatable, "pods", false),
		.unschedulable = json_path_bool(doc, "spec.unschedulable", false),
		.labels = node->labels,
		.label_count = node->label_count,
		.taints = taints,
	};
	JSON_FOR_EACH_ITEM(t, list)
		taints[ret->taint_count++] = (struct taint){json_str_or(json_get(t, "key"), ""),
			json_str_or(json_get(t, "value"), ""),
			effect(json_str_or(json_get(t, "effect"), ""))};
}
