/* instancetype_apply.c - what an instancetype says goes into the template; what the template says
 * itself is a conflict. */
#include "server/instancetype/instancetype.h"

#include "lib/object/quantity.h"

struct applying {
	struct arena *a;
	const char *at;
	const struct json *size; /* the instancetype's spec */
	struct json *meta, *spec, *domain;
	struct json *conflicts;
};

static void conflict(struct applying *x, const char *path)
{
	json_push(x->a, x->conflicts, json_new_printf(x->a, "%s.%s", x->at, path));
}

/* Go's zero values say nothing. */
static bool is_set(const struct json *v)
{
	if (!v || json_is(v, JSON_NULL))
		return false;
	return v->type == JSON_INT    ? v->i != 0
	       : v->type == JSON_BOOL ? v->b
	       : v->type == JSON_STRING || v->type == JSON_ARRAY || v->type == JSON_OBJECT
		       ? v->count != 0
		       : true;
}

/* The value at `from` of the instancetype into `to` of `object`, known as `path`. */
static void take(
	struct applying *x, const char *from, struct json *object, const char *to, const char *path)
{
	const struct json *value = json_path(x->size, from);
	if (!value || json_is(value, JSON_NULL))
		return;
	if (is_set(json_get(object, to)))
		conflict(x, path);
	else
		json_set(x->a, object, to, json_copy(x->a, value));
}

static void apply_cpu(struct applying *x, const struct json *preference)
{
	static const char *const amounts[] = {"requests", "limits"};
	struct arena *a = x->a;
	struct json *cpu = json_object_at(a, x->domain, "cpu");
	static const char *const counts[] = {"sockets", "cores", "threads"};
	for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
		if (json_path(x->domain, arena_printf(a, "resources.%s.cpu", amounts[i])))
			conflict(x, arena_printf(a, "domain.resources.%s.cpu", amounts[i]));
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (is_set(json_get(cpu, counts[i])))
			conflict(x, arena_printf(a, "domain.cpu.%s", counts[i]));
	take(x, "cpu.model", cpu, "model", "domain.cpu.model");
	take(x, "cpu.dedicatedCPUPlacement", cpu, "dedicatedCpuPlacement",
		"domain.cpu.dedicatedCPUPlacement");
	take(x, "cpu.isolateEmulatorThread", cpu, "isolateEmulatorThread",
		"domain.cpu.isolateEmulatorThread");
	take(x, "cpu.numa", cpu, "numa", "domain.cpu.numa");
	take(x, "cpu.realtime", cpu, "realtime", "domain.cpu.realtime");
	take(x, "cpu.maxSockets", cpu, "maxSockets", "domain.cpu.maxSockets");

	int64_t guest = json_path_int(x->size, "cpu.guest", 1), ratio;
	int64_t cores = 1, sockets = 1, threads = 1;
	const char *topology = preference_topology(preference), *across;
	preference_spread(preference, &ratio, &across);
	if (streq(topology, "cores")) {
		cores = guest;
	} else if (streq(topology, "threads")) {
		threads = guest;
	} else if (!streq(topology, "spread") || guest == 1) {
		sockets = guest;
	} else if (streq(across, "CoresThreads")) {
		threads = ratio;
		cores = guest / ratio;
	} else if (streq(across, "SocketsCoresThreads")) {
		threads = 2;
		cores = ratio;
		sockets = guest / 2 / ratio;
	} else {
		cores = ratio;
		sockets = guest / ratio;
	}
	json_set_int(a, cpu, "cores", cores);
	json_set_int(a, cpu, "sockets", sockets);
	json_set_int(a, cpu, "threads", threads);
}

static void apply_memory(struct applying *x)
{
	static const char *const amounts[] = {"requests", "limits"};
	struct arena *a = x->a;
	struct json *memory = json_object_at(a, x->domain, "memory");
	for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
		if (json_path(x->domain, arena_printf(a, "resources.%s.memory", amounts[i])))
			conflict(x, arena_printf(a, "domain.resources.%s.memory", amounts[i]));
	take(x, "memory.guest", memory, "guest", "domain.memory.guest");
	take(x, "memory.hugepages", memory, "hugepages", "domain.memory.hugepages");
	take(x, "memory.maxGuest", memory, "maxGuest", "domain.memory.maxGuest");
	int64_t percent = json_path_int(x->size, "memory.overcommitPercent", 0);
	const struct json *guest = json_path(x->size, "memory.guest");
	if (percent <= 0 || percent >= 100)
		return;
	int64_t bytes = quantity_json_value(guest, 0);
	struct json *requests =
		json_object_at(a, json_object_at(a, x->domain, "resources"), "requests");
	json_set(a, requests, "memory",
		json_new_printf(a, "%lld", (long long)(bytes / 100 * (100 - percent))));
}

static void apply_annotations(struct applying *x)
{
	struct json *have = json_object_at(x->a, x->meta, "annotations");
	JSON_FOR_EACH_MEMBER(m, json_get(x->size, "annotations")) {
		const struct json *old = json_get_n(have, m->name, m->name_size);
		if (old && !json_equal(old, m->value))
			json_push(x->a, x->conflicts,
				json_new_printf(x->a, "annotations.%s", m->name));
		else
			json_set_n(x->a, have, m->name, m->name_size, json_copy(x->a, m->value));
	}
	if (!json_count(have))
		json_remove(x->meta, "annotations");
}

const struct json *instancetype_apply(struct arena *a, const struct json *instancetype,
	const struct json *preference, struct json *template, const char *at)
{
	if (!instancetype && !preference)
		return NULL;
	struct json *spec = json_object_at(a, template, "spec");
	struct applying x = {
		.a = a,
		.at = at,
		.size = json_get(instancetype, "spec"),
		.meta = json_object_at(a, template, "metadata"),
		.spec = spec,
		.domain = json_object_at(a, spec, "domain"),
		.conflicts = json_new_array(a),
	};
	if (instancetype) {
		struct json *devices = json_object_at(a, x.domain, "devices");
		take(&x, "nodeSelector", spec, "nodeSelector", "nodeSelector");
		take(&x, "schedulerName", spec, "schedulerName", "schedulerName");
		apply_cpu(&x, preference);
		apply_memory(&x);
		take(&x, "ioThreadsPolicy", x.domain, "ioThreadsPolicy", "domain.ioThreadsPolicy");
		take(&x, "ioThreads", x.domain, "ioThreads", "domain.ioThreads");
		take(&x, "launchSecurity", x.domain, "launchSecurity", "domain.launchSecurity");
		take(&x, "gpus", devices, "gpus", "domain.devices.gpus");
		take(&x, "hostDevices", devices, "hostDevices", "domain.devices.hostDevices");
		apply_annotations(&x);
		if (json_count(x.conflicts))
			return x.conflicts;
	}
	if (preference)
		preference_apply(a, preference, template);
	if (!json_count(json_get(template, "metadata")))
		json_remove(template, "metadata");
	return NULL;
}
