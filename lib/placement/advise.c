#include "lib/placement/advise.h"

#include <inttypes.h>

#include "lib/object/quantity.h"

#define RESTARTS_MANY 10
#define BUSY_MILLI 100 /* below this, what swings is noise */

/* Reading the workload. */

static bool is_machine(const struct json *workload)
{
	return str_has_prefix(json_str_or(json_get(workload, "kind"), ""), "VirtualMachine");
}

static int64_t requested(const struct json *spec, const char *name, bool milli)
{
	int64_t sum = 0;
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers")) {
		const struct json *amount = json_get(json_path(c, "resources.requests"), name);
		if (!amount)
			amount = json_get(json_path(c, "resources.limits"), name);
		sum += milli ? quantity_json_milli(amount, 0) : quantity_json_value(amount, 0);
	}
	return sum;
}

static int64_t guest_memory(const struct json *spec)
{
	static const char *const paths[] = {"domain.memory.guest",
		"domain.resources.requests.memory", "domain.resources.limits.memory"};
	int64_t bytes = 0;
	for (size_t i = 0; i < ARRAY_LEN(paths) && !bytes; i++)
		bytes = quantity_json_value(json_path(spec, paths[i]), 0);
	return bytes;
}

/* Powers over the kernel that all containers of the node share. */
static void read_powers(struct arena *a, const struct json *spec, struct placement_facts *f)
{
	static const char *const powers[] = {"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_RAWIO",
		"NET_ADMIN", "BPF", "SYS_BOOT", "SYS_TIME", "DAC_READ_SEARCH"};
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers")) {
		const struct json *context = json_get(c, "securityContext");
		f->privileged |= json_path_bool(context, "privileged", false);
		JSON_FOR_EACH_ITEM(cap, json_path(context, "capabilities.add")) {
			const char *name = json_str_or(cap, "");
			if (str_has_prefix(name, "CAP_"))
				name += 4;
			if (streq(name, "SYS_MODULE"))
				f->modules = "kernel modules (it has the capability SYS_MODULE)";
			for (size_t i = 0; i < ARRAY_LEN(powers); i++)
				f->privileged |= streq(name, powers[i]);
		}
	}
}

static const char *host_access(
	struct arena *a, const struct json *workload, const struct json *spec)
{
	static const char *const shares[] = {"hostNetwork", "hostPID", "hostIPC"};
	if (streq(json_str(json_get(workload, "kind")), "DaemonSet"))
		return "it runs on every node, for the node: a DaemonSet stays in containers";
	for (size_t i = 0; i < ARRAY_LEN(shares); i++)
		if (json_path_bool(spec, shares[i], false))
			return arena_printf(
				a, "it has %s: a guest can't share these with the node", shares[i]);
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
		if (json_get(v, "hostPath"))
			return arena_printf(a,
				"volume '%s' is a hostPath: a guest can't see the node's files",
				json_str_or(json_get(v, "name"), ""));
	return NULL;
}

static void read_pods(struct arena *a, const struct json *workload, struct placement_facts *f)
{
	const struct json *spec = json_get(workload, "spec");
	read_powers(a, spec, f);
	f->container_only = host_access(a, workload, spec);
	f->memory_bytes = requested(spec, "memory", false);
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
		f->durable |= json_get(v, "persistentVolumeClaim") != NULL;
	if (str_has_prefix(
		    json_str_or(json_get(spec, "priorityClassName"), ""), "hanok-mission-critical"))
		f->criticality = "mission-critical";
	/* What needs the node to do its work wants its powers there, too. */
	if (f->container_only) {
		f->modules = NULL;
		f->privileged = false;
	}
}

static void read_guest(struct arena *a, const struct json *workload, struct placement_facts *f)
{
	static const char *const devices[] = {"gpus", "hostDevices"};
	const struct json *spec = json_get(workload, "spec");
	f->memory_bytes = guest_memory(spec);
	f->own_kernel = json_path(spec, "domain.firmware.kernelBoot") != NULL;
	if (json_path(spec, "domain.features.hyperv") && streq(f->os, "linux"))
		f->os = "windows (it has Hyper-V features)";
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		if (json_count(json_get(json_path(spec, "domain.devices"), devices[i])))
			f->machine_only = arena_printf(
				a, "it has %s of the host, passed to its kernel", devices[i]);
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
		f->durable |= json_get(v, "persistentVolumeClaim") || json_get(v, "dataVolume") ||
			      json_get(v, "hostDisk");
	if (streq(json_str(json_get(spec, "priorityClassName")), "hanok-mission-critical"))
		f->criticality = "mission-critical";
}

/* Three times the mean at the peak, or a deviation of more than 60% of it. */
static bool swings(const struct json *usage)
{
	int64_t mean = json_path_int(usage, "cpuMeanMilli", 0),
		peak = json_path_int(usage, "cpuPeakMilli", 0),
		deviation = json_path_int(usage, "cpuDeviationMilli", 0);
	return json_path_int(usage, "samples", 0) >= ADVISE_SAMPLES_MIN && peak >= BUSY_MILLI &&
	       (peak >= 3 * MAX(mean, 1) || deviation * 10 > mean * 6);
}

static struct placement_facts facts_of(
	struct arena *a, const struct json *workload, struct json *notes)
{
	const struct json *annotations = json_get(workload, "annotations"),
			  *usage = json_get(workload, "usage"),
			  *range = json_get(workload, "autoscaler");
	const char *bad;
	struct placement_facts f = placement_facts_of_annotations(a, annotations, &bad);
	if (bad)
		json_push(a, notes, json_new_string(a, bad));
	if (is_machine(workload))
		read_guest(a, workload, &f);
	else
		read_pods(a, workload, &f);
	/* What is said about it counts more than what is guessed. */
	const char *said = json_str(json_get(annotations, "hanok.io/criticality"));
	if (said)
		f.criticality = placement_facts_of_annotations(a, annotations, NULL).criticality;
	if (!json_get(annotations, "hanok.io/load") && swings(usage))
		f.load = "variable";
	f.durable |= json_path_bool(workload, "claims", false);
	f.restarts = json_path_int(workload, "restarts", 0) >= RESTARTS_MANY;
	f.replicas = json_path_int(workload, "replicas", 1);
	f.replicas_max = json_path_int(range, "max", 0);
	f.replicas_min = f.replicas_max ? json_path_int(range, "min", 1) : 0;
	if (!f.memory_bytes)
		f.memory_bytes = json_path_int(usage, "memoryPeakBytes", 0);
	return f;
}

/* What a move saves. */

static int64_t with_room(int64_t peak)
{
	return peak + peak / 4;
}

static void estimate(struct placement_advice *x, const struct json *workload)
{
	const struct json *usage = json_get(workload, "usage"), *spec = json_get(workload, "spec");
	int64_t memory_peak = json_path_int(usage, "memoryPeakBytes", 0),
		cpu_peak = json_path_int(usage, "cpuPeakMilli", 0), memory, cpu = 0;
	if (x->current == PLACEMENT_VIRTUAL_MACHINE) {
		int64_t guest = guest_memory(spec);
		int64_t used = memory_peak ? MIN(with_room(memory_peak), guest) : guest;
		int64_t needs = MAX(used - ADVISE_GUEST_BYTES, ADVISE_PROCESS_BYTES);
		int64_t cores = json_path_int(spec, "domain.cpu.cores", 1) * 1000;
		memory = guest + ADVISE_EMULATOR_BYTES - needs;
		if (cpu_peak)
			cpu = MAX(cores - with_room(cpu_peak), 0);
	} else {
		memory = -(ADVISE_GUEST_BYTES + ADVISE_EMULATOR_BYTES);
	}
	x->memory_saved_bytes = memory * MAX(x->facts.replicas, 1);
	x->cpu_saved_milli = cpu * MAX(x->facts.replicas, 1);
}

static void note_size(struct arena *a, struct placement_advice *x, const struct json *workload)
{
	const struct json *usage = json_get(workload, "usage"), *spec = json_get(workload, "spec");
	int64_t memory_peak = json_path_int(usage, "memoryPeakBytes", 0),
		cpu_peak = json_path_int(usage, "cpuPeakMilli", 0);
	int64_t memory = x->current == PLACEMENT_CONTAINER ? requested(spec, "memory", false)
							   : guest_memory(spec);
	int64_t cpu = x->current == PLACEMENT_CONTAINER ? requested(spec, "cpu", true) : 0;
	bool measured = json_path_int(usage, "samples", 0) >= ADVISE_SAMPLES_MIN;
	if (measured && memory_peak && memory > 2 * with_room(memory_peak))
		json_push(a, x->notes,
			json_new_printf(a,
				"it has %" PRId64 "Mi set aside, and used %" PRId64 "Mi at most",
				memory >> 20, memory_peak >> 20));
	if (measured && cpu_peak && cpu > 2 * with_room(cpu_peak))
		json_push(a, x->notes,
			json_new_printf(a,
				"it has %" PRId64 "m of a processor set aside, and used %" PRId64
				"m at most",
				cpu, cpu_peak));
	if (memory && memory_peak > memory && x->current == PLACEMENT_CONTAINER)
		json_push(a, x->notes,
			json_new_printf(a,
				"it used %" PRId64 "Mi, more than the %" PRId64
				"Mi that it requests",
				memory_peak >> 20, memory >> 20));
}

/* What a container is given directly has to come into the guest in another way. */
static void note_work(struct arena *a, struct placement_advice *x, const struct json *workload)
{
	if (!x->move || x->current != PLACEMENT_CONTAINER)
		return;
	JSON_FOR_EACH_ITEM(v, json_path(workload, "spec.volumes"))
		if (json_get(v, "configMap") || json_get(v, "secret"))
			json_push(a, x->notes,
				json_new_printf(a,
					"the files of volume '%s' have to come into the guest by "
					"cloud-init",
					json_str_or(json_get(v, "name"), "")));
	if (json_count(json_path(workload, "spec.containers")) > 1)
		json_push(a, x->notes,
			json_new_string(
				a, "it has several containers, which share one guest then"));
}

struct placement_advice placement_advise(
	struct arena *a, const struct json *workload, const struct placement_weights *weights)
{
	struct placement_advice x = {.notes = json_new_array(a)};
	x.current = is_machine(workload) ? PLACEMENT_VIRTUAL_MACHINE : PLACEMENT_CONTAINER;
	x.facts = facts_of(a, workload, x.notes);
	x.decision = placement_decide(a, &x.facts, weights);
	const struct placement_decision *d = &x.decision;
	int64_t lead = d->machine_score - d->container_score;
	if (x.current == PLACEMENT_VIRTUAL_MACHINE)
		lead = -lead;
	bool forced = placement_excluded(d, x.current) != NULL;
	x.recommended = x.current;
	if (d->isolation == placement_other(x.current) && (forced || lead >= ADVISE_LEAD))
		x.recommended = d->isolation;
	x.move = x.recommended != x.current;
	x.reasons = d->reasons;
	if (!x.move && d->isolation != x.current) {
		x.reasons = json_new_array(a);
		json_push(a, x.reasons,
			d->isolation == PLACEMENT_NEITHER
				? json_new_printf(a, "neither fits: %s",
					  json_str_or(json_at(d->contradictions, 0), ""))
				: json_new_printf(a,
					  "near enough: a %s leads by %" PRId64
					  " points, and a move is worth its work from %d on",
					  placement_isolation_name(d->isolation), lead,
					  ADVISE_LEAD));
	}
	if (x.move)
		estimate(&x, workload);
	note_size(a, &x, workload);
	note_work(a, &x, workload);
	return x;
}

struct json *placement_advice_doc(struct arena *a, const struct placement_advice *x)
{
	struct json *doc = json_new_object(a), *decision = placement_decision_doc(a, &x->decision);
	json_set_str(a, doc, "current", placement_isolation_name(x->current));
	json_set_str(a, doc, "recommended", placement_isolation_name(x->recommended));
	json_set_bool(a, doc, "move", x->move);
	json_set(a, doc, "scores", json_get(decision, "scores"));
	if (json_get(decision, "constraints"))
		json_set(a, doc, "constraints", json_get(decision, "constraints"));
	json_set(a, doc, "criteria", json_get(decision, "criteria"));
	json_set(a, doc, "reasons", x->reasons);
	if (x->move) {
		struct json *saving = json_new_object(a);
		json_set_int(a, saving, "memoryBytes", x->memory_saved_bytes);
		json_set_int(a, saving, "cpuMilli", x->cpu_saved_milli);
		json_set(a, doc, "saving", saving);
	}
	if (json_count(x->notes))
		json_set(a, doc, "notes", x->notes);
	return doc;
}
