/* workload_requests.c - what pods and virtual machine instances ask of a node. */
#include "lib/object/machine_requests.h"
#include "lib/object/quantity.h"
#include "server/scheduler/workload.h"

/* Upstream's stand-ins when scores (not fits) are computed for containers that request nothing. */
#define SCORED_MILLI_CPU 100
#define SCORED_MEMORY_BYTES (INT64_C(200) << 20)

#define VM_DEVICES_MAX 256

/* More than any node is taken to have, and so little that what a node's workloads ask for together
 * can be counted. Less than nothing would make room for others. */
#define AMOUNT_MAX (INT64_C(1) << 48)

int64_t workload_bounded_amount(int64_t amount)
{
	return amount < 0 ? 0 : MIN(amount, AMOUNT_MAX);
}

/* Amounts by name; the extended ones are few. */
struct amounts {
	int64_t of[RESOURCES], scored[2];
	struct extended *extended;
	size_t count, room;
};

static int64_t *extended_at(struct arena *a, struct amounts *r, const char *name)
{
	for (size_t n = 0; n < r->count; n++)
		if (streq(r->extended[n].name, name))
			return &r->extended[n].amount;
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 4;
		r->extended = arena_grow(a, r->extended, r->room * sizeof(*r->extended),
			room * sizeof(*r->extended));
		r->room = room;
	}
	r->extended[r->count] = (struct extended){arena_strdup(a, name), 0};
	return &r->extended[r->count++].amount;
}

static void combine(struct arena *a, struct amounts *to, const struct amounts *r,
	int64_t (*with)(int64_t, int64_t))
{
	for (size_t n = 0; n < RESOURCES; n++)
		to->of[n] = with(to->of[n], r->of[n]);
	for (size_t n = 0; n < ARRAY_LEN(to->scored); n++)
		to->scored[n] = with(to->scored[n], r->scored[n]);
	for (size_t n = 0; n < r->count; n++) {
		int64_t *at = extended_at(a, to, r->extended[n].name);
		*at = with(*at, r->extended[n].amount);
	}
}

static int64_t sum(int64_t a, int64_t b)
{
	return workload_bounded_amount(a + b);
}

static int64_t most(int64_t a, int64_t b)
{
	return MAX(a, b);
}

static void set(struct arena *a, struct amounts *r, const char *name, const struct json *v)
{
	int64_t amount = streq(name, "cpu") ? quantity_json_milli(v, 0) : quantity_json_value(v, 0);
	amount = workload_bounded_amount(amount);
	if (streq(name, "cpu"))
		r->of[CPU] = r->scored[CPU] = amount;
	else if (streq(name, "memory"))
		r->of[MEMORY] = r->scored[MEMORY] = amount;
	else if (streq(name, "ephemeral-storage"))
		r->of[STORAGE] = amount;
	else
		*extended_at(a, r, name) = amount;
}

/* A limit alone is a request too, where the server has not made it one already. */
static struct amounts container_request(struct arena *a, const struct json *container)
{
	const struct json *requests = json_path(container, "resources.requests");
	const struct json *limits = json_path(container, "resources.limits");
	struct amounts r = {.scored = {SCORED_MILLI_CPU, SCORED_MEMORY_BYTES}};
	JSON_FOR_EACH_MEMBER(m, limits)
		if (!json_get(requests, m->name))
			set(a, &r, m->name, m->value);
	JSON_FOR_EACH_MEMBER(m, requests)
		set(a, &r, m->name, m->value);
	return r;
}

static void take(struct workload *w, const struct amounts *r)
{
	memcpy(w->request, r->of, sizeof(w->request));
	memcpy(w->scored, r->scored, sizeof(w->scored));
	w->extended = r->extended;
	w->extended_count = r->count;
	w->asks_for_something = r->of[CPU] || r->of[MEMORY] || r->of[STORAGE];
	for (size_t n = 0; n < r->count; n++)
		w->asks_for_something |= r->extended[n].amount > 0;
}

/* Containers run together; init containers one after the other, beside the sidecars (init
 * containers that restart always) that were started before them. */
void workload_pod_requests(struct workload *w, const struct json *spec)
{
	struct arena *a = &w->arena;
	struct amounts all = {0}, sidecars = {0}, peak = {0};
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers")) {
		struct amounts r = container_request(a, c);
		combine(a, &all, &r, sum);
	}
	JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers")) {
		struct amounts r = container_request(a, c);
		if (streq(json_str(json_get(c, "restartPolicy")), "Always")) {
			combine(a, &sidecars, &r, sum);
			combine(a, &peak, &sidecars, most);
			continue;
		}
		combine(a, &r, &sidecars, sum);
		combine(a, &peak, &r, most);
	}
	combine(a, &all, &sidecars, sum);
	combine(a, &all, &peak, most);
	/* What is asked for the pod as a whole counts in place of what its containers ask for. */
	const struct json *of_pod = json_path(spec, "resources.requests");
	JSON_FOR_EACH_MEMBER(m, of_pod)
		set(a, &all, m->name, m->value);
	JSON_FOR_EACH_MEMBER(m, json_path(spec, "resources.limits"))
		if (!json_get(of_pod, m->name))
			set(a, &all, m->name, m->value);
	struct amounts overhead = {0};
	JSON_FOR_EACH_MEMBER(m, json_get(spec, "overhead"))
		set(a, &overhead, m->name, m->value);
	combine(a, &all, &overhead, sum);
	take(w, &all);
}

static void add_devices(struct arena *a, struct amounts *r, const struct json *list)
{
	size_t count = 0;
	JSON_FOR_EACH_ITEM(d, list) {
		const char *name = json_str_or(json_get(d, "deviceName"), "");
		if (name[0] && count++ < VM_DEVICES_MAX)
			*extended_at(a, r, name) += 1;
	}
}

/* CPU and memory: see lib/object/machine_requests.h. */
void workload_instance_requests(struct workload *w, const struct json *spec)
{
	struct arena *a = &w->arena;
	struct amounts r = {0};
	const struct json *domain = json_get(spec, "domain");
	const struct json *requests = json_path(domain, "resources.requests");
	const struct json *limits = json_path(domain, "resources.limits");
	JSON_FOR_EACH_MEMBER(m, limits)
		if (!json_get(requests, m->name))
			set(a, &r, m->name, m->value);
	JSON_FOR_EACH_MEMBER(m, requests)
		set(a, &r, m->name, m->value);
	r.of[CPU] = machine_request_cpu_milli(spec);
	r.of[MEMORY] = machine_request_memory_bytes(spec);
	const char *page = json_path_str(domain, "memory.hugepages.pageSize");
	/* These can't be overcommitted, whatever of its memory the machine asks for. */
	int64_t guest = quantity_json_value(json_path(domain, "memory.guest"), 0);
	if (page)
		*extended_at(a, &r, arena_printf(a, "hugepages-%s", page)) =
			MAX(machine_guest_bytes(spec), workload_bounded_amount(guest));
	add_devices(a, &r, json_path(domain, "devices.gpus"));
	add_devices(a, &r, json_path(domain, "devices.hostDevices"));
	r.scored[CPU] = r.of[CPU];
	r.scored[MEMORY] = r.of[MEMORY];
	take(w, &r);
}
