#include "node/vm/vm_status.h"

#include "lib/base/clock.h"
#include "lib/object/quantity.h"

#include "node/vm/guest_agent/agent_status.h"

#define SAVED "VMI was saved to disk; unpause restores it"

static struct json *find(const struct json *list, const char *type)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "type")), type))
			return it;
	return NULL;
}

/* Sets or replaces one condition; status NULL removes it. Its time changes with its status only. */
static void condition(struct arena *a, struct json *list, const char *type, const char *status,
	const char *reason, const char *message, const char *now)
{
	struct json *c = find(list, type);

	if (!status) {
		for (size_t i = 0; i < json_count(list); i++)
			if (json_at(list, i) == c && c)
				json_remove_at(list, i--);
		return;
	}
	if (!c) {
		c = json_new_object(a);
		json_set_str(a, c, "type", type);
		json_set(a, c, "lastProbeTime", json_new_null(a));
		json_push(a, list, c);
	}
	if (!streq(json_str(json_get(c, "status")), status)) {
		json_set_str(a, c, "status", status);
		json_set_str(a, c, "lastTransitionTime", now);
	}
	if (reason && *reason)
		json_set_str(a, c, "reason", reason);
	else
		json_remove(c, "reason");
	if (message && *message)
		json_set_str(a, c, "message", message);
	else
		json_remove(c, "message");
}

static struct json *conditions(
	struct arena *a, const struct json *old, const struct vm_facts *f, const char *now)
{
	struct json *list = json_is(old, JSON_ARRAY) ? json_copy(a, old) : json_new_array(a);

	if (f->saved)
		condition(a, list, "Ready", "False", "Saved", SAVED, now);
	else if (!f->alive)
		condition(a, list, "Ready", "False", "GuestNotRunning", "the guest is not running",
			now);
	else if (f->paused)
		condition(a, list, "Ready", "False", "Paused", "the guest is paused", now);
	else if (*f->not_ready_reason)
		condition(
			a, list, "Ready", "False", f->not_ready_reason, f->not_ready_message, now);
	else
		condition(a, list, "Ready", "True", NULL, NULL, now);
	if (f->saved)
		condition(a, list, "Paused", "True", "Saved", SAVED, now);
	else
		condition(a, list, "Paused",
			f->paused && f->alive && f->pause_reason ? "True" : NULL, f->pause_reason,
			f->pause_message, now);
	if (f->alive) {
		/* Disks are files of this node alone. */
		bool disks = f->spec && f->spec->disk_count;

		condition(a, list, "LiveMigratable", "False",
			disks ? "DisksNotLiveMigratable" : "LiveMigrateNotSupported",
			disks ? "its disks are files of this node"
			      : "this node agent does not migrate guests",
			now);
	}
	condition(a, list, "AgentConnected", f->alive && f->agent ? "True" : NULL, NULL, NULL, now);
	condition(a, list, "AgentVersionNotSupported",
		f->alive && f->agent_unsupported ? "True" : NULL, f->agent_unsupported, NULL, now);
	condition(a, list, "HotVCPUChange", f->alive && f->vcpus_change ? "True" : NULL, NULL, NULL,
		now);
	if (f->alive && f->memory_failed)
		condition(a, list, "HotMemoryChange", "False", "Memory Hotplug Failed",
			"memory hotplug failed, the VM configuration is not supported", now);
	else
		condition(a, list, "HotMemoryChange", f->alive && f->memory_change ? "True" : NULL,
			NULL, NULL, now);
	/* An agent that comes later does not know of it. */
	if (f->outside_reason)
		condition(a, list, "ChangedOutside", "True", f->outside_reason, f->outside_message,
			now);
	else if (f->outside_undone)
		condition(a, list, "ChangedOutside", NULL, NULL, NULL, now);
	if (f->credentials)
		condition(a, list, "AccessCredentialsSynchronized",
			f->credentials_ok ? "True" : "False", NULL, f->credentials_message, now);
	if (!f->alive)
		condition(a, list, "Confined", NULL, NULL, NULL, now);
	else if (f->confinement && *f->confinement)
		condition(a, list, "Confined", f->confined ? "True" : "False",
			f->confined ? "Confined" : "NotWholly", f->confinement, now);
	condition(a, list, "Synchronized", f->problem_reason ? "False" : NULL, f->problem_reason,
		f->problem_message, now);
	return list;
}

static struct json *interface(
	struct arena *a, const struct vm_interface *i, const char *pod_address)
{
	struct json *it = json_new_object(a), *all = json_new_array(a);
	const char *address = i->network ? i->address : pod_address;

	json_set_str(a, it, "name", i->name);
	json_set_str(a, it, "mac", i->mac);
	json_set_str(a, it, "infoSource", i->network ? "domain, multus-status" : "domain");
	json_set_int(a, it, "queueCount", MAX(i->queues, 1u));
	json_set_str(a, it, "linkState", i->link_down ? "down" : "up");
	if (*address) {
		json_push(a, all, json_new_string(a, address));
		json_set_str(a, it, "ipAddress", address);
		json_set(a, it, "ipAddresses", all);
	}
	return it;
}

/* The one on the pod network comes first, as in KubeVirt: it is the instance's address in tables.
 */
static struct json *interfaces(struct arena *a, const struct vm_facts *f)
{
	struct json *list = json_new_array(a);
	size_t count = f->spec ? f->spec->interface_count : 0;

	for (int further = 0; further < 2; further++)
		for (size_t i = 0; i < count; i++)
			if ((f->spec->interfaces[i].network != NULL) == further)
				json_push(
					a, list, interface(a, &f->spec->interfaces[i], f->address));
	agent_status_interfaces(a, list, f->agent_interfaces);
	return list;
}

static void volume_fact(struct arena *a, struct json *it, const struct vm_volume_fact *v)
{
	json_set_str(a, it, "phase", v->phase);
	json_set_str(a, it, "reason", v->reason);
	json_set_str(a, it, "message", v->message);
	/* There is no pod that holds it: QEMU has the disk itself. */
	json_object_at(a, it, "hotplugVolume");
}

/* What is on its way out is in no spec any more: only here stands whose disk the guest still has.
 */
static const struct json *claim_info_of(const struct json *old, const char *volume)
{
	JSON_FOR_EACH_ITEM(it, json_get(old, "volumeStatus"))
		if (streq(json_str(json_get(it, "name")), volume))
			return json_get(it, "persistentVolumeClaimInfo");
	return NULL;
}

static struct json *volumes(struct arena *a, const struct json *old, const struct vm_facts *f)
{
	const struct vm_spec *s = f->spec;
	struct json *list = json_new_array(a);

	for (size_t i = 0; i < s->disk_count; i++) {
		struct json *it = json_new_object(a);

		if (s->disks[i].volume == VM_VOLUME_NONE)
			continue;
		json_set_str(a, it, "name", s->disks[i].name);
		json_set_str(a, it, "target", s->disks[i].target);
		if (s->disks[i].volume == VM_VOLUME_CLAIM)
			json_set_str(a, json_object_at(a, it, "persistentVolumeClaimInfo"),
				"claimName", s->disks[i].claim);
		if (s->disks[i].capacity_bytes)
			json_set_int(a, it, "size", s->disks[i].capacity_bytes);
		for (size_t k = 0; k < f->volume_count; k++)
			if (!f->volumes[k].leaves && streq(f->volumes[k].name, s->disks[i].name))
				volume_fact(a, it, &f->volumes[k]);
		json_push(a, list, it);
	}
	for (size_t k = 0; k < f->volume_count; k++) {
		const struct json *info = claim_info_of(old, f->volumes[k].name);
		struct json *it;

		if (!f->volumes[k].leaves)
			continue;
		it = json_new_object(a);
		if (info)
			json_set(a, it, "persistentVolumeClaimInfo", json_copy(a, info));
		json_set_str(a, it, "name", f->volumes[k].name);
		json_set_str(a, it, "target", f->volumes[k].target);
		volume_fact(a, it, &f->volumes[k]);
		json_push(a, list, it);
	}
	return list;
}

/* As of a pod (KEP of resource QoS): a guest always asks for its memory, so none is BestEffort. */
static const char *qos_class(const struct vm_spec *s)
{
	static const char *const names[] = {"cpu", "memory"};
	const struct json *resources = json_path(s->object, "spec.domain.resources");
	const struct json *limits = json_get(resources, "limits"),
			  *requests = json_get(resources, "requests");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *limit = json_get(limits, names[i]),
				  *request = json_get(requests, names[i]);

		if (!limit || (request && !json_equal(limit, request)))
			return "Burstable";
	}
	return "Guaranteed";
}

/* What the guest was started with stays while its VMI changes. */
static const char *boot_memory(const struct json *old, const char *now)
{
	const char *was = json_path_str(old, "memory.guestAtBoot");

	return was && streq(json_str(json_get(old, "phase")), "Running") ? was : now;
}

static void running_facts(
	struct arena *a, struct json *status, const struct json *old, const struct vm_facts *f)
{
	const struct vm_spec *s = f->spec;
	struct json *machine = json_new_object(a), *memory = json_new_object(a),
		    *cpu = json_new_object(a);
	unsigned per_socket = MAX(s->cores * s->threads, 1u);
	/* As the server will store it: what differs is sent again. */
	const char *bytes = quantity_canonical(a, quantity_format_bytes(a, s->memory_bytes));
	const char *boot = boot_memory(old, bytes);
	const char *now = f->memory_now_bytes
				  ? quantity_canonical(a,
					    quantity_format_bytes(a, (int64_t)f->memory_now_bytes))
				  : boot;

	json_set_str(a, machine, "type", f->machine && *f->machine ? f->machine : s->machine);
	if (f->runtime_user > 0)
		json_set_int(a, status, "runtimeUser", f->runtime_user);
	json_set(a, status, "machine", machine);
	json_set_str(a, memory, "guestAtBoot", boot);
	json_set_str(a, memory, "guestCurrent", now);
	json_set_str(a, memory, "guestRequested", bytes);
	json_set(a, status, "memory", memory);
	json_set_int(a, cpu, "cores", s->cores);
	json_set_int(
		a, cpu, "sockets", f->vcpus_now ? MAX(f->vcpus_now / per_socket, 1u) : s->sockets);
	json_set_int(a, cpu, "threads", s->threads);
	json_set(a, status, "currentCPUTopology", cpu);
	json_set_str(a, status, "qosClass", qos_class(s));
	json_set(a, status, "volumeStatus", volumes(a, old, f));
}

static void add_transition(struct arena *a, struct json *status, const struct json *old,
	const char *phase, const char *now)
{
	const struct json *was = json_get(old, "phaseTransitionTimestamps");
	struct json *list = json_is(was, JSON_ARRAY) ? json_copy(a, was) : json_new_array(a);
	struct json *it = json_new_object(a);

	json_set_str(a, it, "phase", phase);
	json_set_str(a, it, "phaseTransitionTimestamp", now);
	json_push(a, list, it);
	json_set(a, status, "phaseTransitionTimestamps", list);
}

struct json *vm_status_patch(
	struct arena *a, const struct json *vmi, const struct vm_facts *f, int64_t wall_ns)
{
	const struct json *old = json_get(vmi, "status");
	struct json *status = json_new_object(a), *patch;
	char now[TIME_RFC3339_ROOM];
	bool changed = false;

	time_format_rfc3339(wall_ns, now);
	if (f->phase && !streq(f->phase, json_str(json_get(old, "phase")))) {
		json_set_str(a, status, "phase", f->phase);
		add_transition(a, status, old, f->phase, now);
	}
	json_set(a, status, "conditions", conditions(a, json_get(old, "conditions"), f, now));
	if (f->spec && (*f->address || f->alive))
		json_set(a, status, "interfaces", interfaces(a, f));
	if (f->spec && f->alive)
		running_facts(a, status, old, f);
	agent_status_set(
		a, status, old, f->alive ? f->agent_os : NULL, f->alive ? f->agent_freeze : NULL);
	JSON_FOR_EACH_MEMBER(m, status)
		changed |= !json_equal(m->value, json_get(old, m->name));
	if (!changed)
		return NULL;
	patch = json_new_object(a);
	json_set(a, patch, "status", status);
	/* Not for a namesake that was made after this one went. */
	json_path_set(
		a, patch, "metadata.uid", json_new_string(a, json_path_str(vmi, "metadata.uid")));
	return patch;
}
