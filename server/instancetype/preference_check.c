/* preference_check.c - topologies, and whether a machine has what its preference requires. */
#include "server/instancetype/instancetype.h"

#include "lib/object/quantity.h"

#define SPREAD_RATIO 2
#define CPUS_MAX (INT64_C(1) << 20)

const char *preference_topology(const struct json *preference)
{
	static const struct {
		const char *name, *older;
	} all[] = {{"sockets", "preferSockets"}, {"cores", "preferCores"},
		{"threads", "preferThreads"}, {"spread", "preferSpread"}, {"any", "preferAny"}};
	const char *wanted = json_path_str(preference, "spec.cpu.preferredCPUTopology");
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (streq(wanted, all[i].name) || streq(wanted, all[i].older))
			return all[i].name;
	return "sockets";
}

void preference_spread(const struct json *preference, int64_t *ret_ratio, const char **ret_across)
{
	int64_t ratio = json_path_int(preference, "spec.preferSpreadSocketToCoreRatio", 0);
	const char *across = json_path_str(preference, "spec.cpu.spreadOptions.across");
	ratio = json_path_int(preference, "spec.cpu.spreadOptions.ratio", ratio);
	*ret_ratio = ratio > 0 ? ratio : SPREAD_RATIO;
	*ret_across = across && *across ? across : "SocketsCores";
}

static const char *check_spread(
	struct arena *a, int64_t guest, const struct json *preference, const char **ret_field)
{
	int64_t ratio;
	const char *across;
	if (!streq(preference_topology(preference), "spread") || guest == 1)
		return NULL;
	preference_spread(preference, &ratio, &across);
	*ret_field = "instancetype.spec.cpu.guest";
	if (streq(across, "CoresThreads"))
		return guest % ratio == 0
			       ? NULL
			       : arena_printf(a,
					 "%lld vCPUs provided by the instance type are not "
					 "divisible by the number of threads per core %lld",
					 (long long)guest, (long long)ratio);
	if (streq(across, "SocketsCoresThreads"))
		return guest % 2 == 0 && guest / 2 % ratio == 0
			       ? NULL
			       : arena_printf(a,
					 "%lld vCPUs provided by the instance type are not "
					 "divisible by the number of threads per core 2 and "
					 "Spec.PreferSpreadSocketToCoreRatio or "
					 "Spec.CPU.PreferSpreadOptions.Ratio of %lld",
					 (long long)guest, (long long)ratio);
	return guest % ratio == 0
		       ? NULL
		       : arena_printf(a,
				 "%lld vCPUs provided by the instance type are not divisible by "
				 "the "
				 "Spec.PreferSpreadSocketToCoreRatio or "
				 "Spec.CPU.PreferSpreadOptions.Ratio of %lld provided by the "
				 "preference",
				 (long long)guest, (long long)ratio);
}

static const char *check_own_cpus(struct arena *a, const struct json *cpu, int64_t wanted,
	const struct json *preference, const char **ret_field)
{
	const char *topology = preference_topology(preference);
	/* Whatever a client writes: three of these are no overflow. */
	int64_t cores = MIN(json_path_int(cpu, "cores", 1), CPUS_MAX),
		sockets = MIN(json_path_int(cpu, "sockets", 1), CPUS_MAX),
		threads = MIN(json_path_int(cpu, "threads", 1), CPUS_MAX);
	int64_t have = streq(topology, "cores")	    ? cores
		       : streq(topology, "threads") ? threads
		       : streq(topology, "sockets") ? sockets
						    : cores * sockets * threads;
	bool one = !streq(topology, "spread") && !streq(topology, "any");
	*ret_field = one ? arena_printf(a, "spec.template.spec.domain.cpu.%s", topology)
			 : "spec.template.spec.domain.cpu";
	if (!cpu)
		return arena_printf(a,
			"no CPU resources provided by VirtualMachine, preference requires %lld "
			"vCPU",
			(long long)wanted);
	if (have >= wanted)
		return NULL;
	return arena_printf(a,
		"insufficient CPU resources of %lld vCPU provided by VirtualMachine, preference "
		"requires %lld vCPU provided as %s",
		(long long)have, (long long)wanted, one ? topology : "cores, sockets and threads");
}

static const char *check_memory(struct arena *a, const struct json *instancetype,
	const struct json *domain, const struct json *wanted, const char **ret_field)
{
	const struct json *have = instancetype ? json_path(instancetype, "spec.memory.guest")
					       : json_path(domain, "memory.guest");
	if (quantity_json_value(have, 0) >= quantity_json_value(wanted, 0))
		return NULL;
	*ret_field = instancetype ? "spec.instancetype" : "spec.template.spec.domain.memory";
	if (!have)
		return arena_printf(a,
			"no Memory resources provided by VirtualMachine, preference requires %s",
			json_str_or(wanted, ""));
	return arena_printf(a,
		"insufficient Memory resources of %s provided by %s, preference requires %s",
		json_str_or(have, ""), instancetype ? "instance type" : "VirtualMachine",
		json_str_or(wanted, ""));
}

const char *preference_check(struct arena *a, const struct json *instancetype,
	const struct json *preference, const struct json *template, const char **ret_field)
{
	const struct json *domain = json_path(template, "spec.domain");
	const struct json *needs = json_path(preference, "spec.requirements");
	int64_t guest = json_path_int(instancetype, "spec.cpu.guest", 1);
	int64_t cpus = json_path_int(needs, "cpu.guest", 0);
	const char *why = NULL;
	if (!preference)
		return NULL;
	if (instancetype)
		why = check_spread(a, guest, preference, ret_field);
	if (!why && cpus && instancetype && guest < cpus) {
		*ret_field = "spec.instancetype";
		why = arena_printf(a,
			"insufficient CPU resources of %lld vCPU provided by instance type, "
			"preference requires %lld vCPU",
			(long long)guest, (long long)cpus);
	}
	if (!why && cpus && !instancetype)
		why = check_own_cpus(a, json_get(domain, "cpu"), cpus, preference, ret_field);
	if (!why && json_path(needs, "memory.guest"))
		why = check_memory(
			a, instancetype, domain, json_path(needs, "memory.guest"), ret_field);
	const char *arch = json_path_str(needs, "architecture");
	const char *own = json_path_str(template, "spec.architecture");
	if (!why && arch && *arch && own && *own && !streq(arch, own)) {
		*ret_field = "spec.template.spec.architecture";
		why = arena_printf(a,
			"preference requires architecture %s but %s is being requested", arch, own);
	}
	return why;
}
