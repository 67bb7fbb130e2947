#include "server/controllers/machines/vm_live_changes.h"

#include "lib/base/str.h"
#include "lib/object/machine_pod.h"
#include "lib/object/quantity.h"

static const char not_live[] = "a non-live-updatable field was changed in the template spec";

/* Fields of the spec that are passed on as they are. */
static const char *const plain[] = {"nodeSelector", "affinity", "tolerations", "evictionStrategy",
	"terminationGracePeriodSeconds"};

static struct json *named_by(const struct json *list, const char *member, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (name && streq(json_str(json_get(it, member)), name))
			return it;
	return NULL;
}

static struct json *named(const struct json *list, const char *name)
{
	return named_by(list, "name", name);
}

static const char *name_of(const struct json *it)
{
	return json_str_or(json_get(it, "name"), "");
}

static const struct json *disks_of(const struct json *spec)
{
	return json_path(spec, "domain.devices.disks");
}

static const struct json *interfaces_of(const struct json *spec)
{
	return json_path(spec, "domain.devices.interfaces");
}

static bool hotpluggable(const struct json *volume)
{
	return json_path_bool(volume, "dataVolume.hotpluggable", false) ||
	       json_path_bool(volume, "persistentVolumeClaim.hotpluggable", false);
}

static bool is_drive(const struct json *spec, const char *name)
{
	return json_get(named(disks_of(spec), name), "cdrom") != NULL;
}

/* A volume that may come and go while the guest runs. */
static bool plugged(const struct json *volume)
{
	return hotpluggable(volume);
}

/* On a network that can be plugged in: not the pods'. */
static bool pluggable(const struct json *spec, const struct json *interface)
{
	return json_get(named(json_get(spec, "networks"), name_of(interface)), "multus") != NULL;
}

/* Sockets and memory; and what is said where nothing means the same. */
static void drop_live_size(struct json *spec)
{
	static const char *const ones[] = {"cores", "threads"};
	struct json *domain = json_get(spec, "domain"), *cpu = json_get(domain, "cpu"),
		    *memory = json_get(domain, "memory");

	if (cpu)
		json_remove(cpu, "sockets");
	for (size_t i = 0; cpu && i < ARRAY_LEN(ones); i++)
		if (json_int_or(json_get(cpu, ones[i]), 0) == 1)
			json_remove(cpu, ones[i]);
	if (cpu && !json_count(cpu))
		json_remove(domain, "cpu");
	if (memory)
		json_remove(memory, "guest");
	if (memory && !json_count(memory))
		json_remove(domain, "memory");
}

struct json *vm_live_fixed(struct arena *a, const struct json *spec)
{
	struct json *fixed = json_copy(a, spec), *volumes = json_new_array(a),
		    *disks = json_new_array(a), *interfaces = json_new_array(a),
		    *networks = json_new_array(a);

	if (!json_is(fixed, JSON_OBJECT))
		return json_new_object(a);
	JSON_FOR_EACH_ITEM(v, json_get(fixed, "volumes"))
		if (!plugged(v))
			json_push(a, volumes, v);
	JSON_FOR_EACH_ITEM(d, disks_of(fixed)) {
		const struct json *v = named(json_get(spec, "volumes"), name_of(d));

		if (!v || !plugged(v) || json_get(d, "cdrom"))
			json_push(a, disks, d);
	}
	JSON_FOR_EACH_ITEM(i, interfaces_of(fixed)) {
		if (pluggable(spec, i))
			continue;
		json_remove(i, "state");
		json_push(a, interfaces, i);
	}
	JSON_FOR_EACH_ITEM(n, json_get(fixed, "networks"))
		if (!json_get(n, "multus") || !named(interfaces_of(spec), name_of(n)))
			json_push(a, networks, n);
	json_set(a, fixed, "volumes", volumes);
	json_set(a, fixed, "networks", networks);
	struct json *devices = json_object_at(a, json_object_at(a, fixed, "domain"), "devices");
	json_set(a, devices, "disks", disks);
	json_set(a, devices, "interfaces", interfaces);
	drop_live_size(fixed);
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		json_remove(fixed, plain[i]);
	return fixed;
}

const char *vm_live_plugged(struct arena *a, const struct json *spec)
{
	const char *list = "";

	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
		if (plugged(v))
			list = arena_printf(a, "%s%s%s", list, *list ? "," : "", name_of(v));
	return list;
}

static bool in_list(const char *list, const char *name)
{
	struct str rest = str_from(list ? list : ""), one;

	while (str_split(&rest, ',', &one))
		if (one.size == strlen(name) && !memcmp(one.p, name, one.size))
			return true;
	return false;
}

/* ---- processors and memory ---- */

/* A request that the template does not make is one of the platform's policy (cpuAllocationRatio),
 * and was for so many processors. */
static void change_cpu_request(struct arena *a, const struct json *wanted, const struct json *spec,
	int64_t now, int64_t want, struct json *patch)
{
	int64_t milli = quantity_json_milli(json_path(spec, "domain.resources.requests.cpu"), 0);

	if (milli > 0 && now > 0 && milli <= INT64_MAX / want &&
		!json_path(wanted, "domain.resources.requests.cpu") &&
		!json_path(wanted, "domain.resources.limits.cpu"))
		json_path_set(a, patch, "spec.domain.resources.requests.cpu",
			json_new_printf(a, "%lldm", (long long)(milli * want / now)));
}

static void change_sockets(struct arena *a, const struct json *wanted, const struct json *spec,
	struct json *patch, struct vm_live_changes *c)
{
	int64_t now = json_path_int(spec, "domain.cpu.sockets", 0),
		want = json_path_int(wanted, "domain.cpu.sockets", 0);
	int64_t most = json_path_int(spec, "domain.cpu.maxSockets", 0);

	now = now ? now : 1;
	if (want == now || !want)
		return;
	if (want < now)
		c->restart = "Reduction of CPU socket count requires a restart";
	else if (want > most)
		c->restart = "CPU sockets updated in template spec to a value higher than what's "
			     "available";
	else if (json_path_bool(spec, "domain.devices.networkInterfaceMultiqueue", false))
		c->restart = "Changes to CPU sockets require a restart when "
			     "NetworkInterfaceMultiQueue is enabled";
	else {
		json_path_set(a, patch, "spec.domain.cpu.sockets", json_new_int(a, want));
		change_cpu_request(a, wanted, spec, now, want, patch);
	}
}

static void change_memory(struct arena *a, const struct json *wanted, const struct json *instance,
	struct json *patch, struct vm_live_changes *c)
{
	const struct json *spec = json_get(instance, "spec");
	const struct json *guest = json_path(wanted, "domain.memory.guest");
	int64_t now = quantity_json_value(json_path(spec, "domain.memory.guest"), 0),
		want = quantity_json_value(guest, 0),
		most = quantity_json_value(json_path(spec, "domain.memory.maxGuest"), 0),
		boot = quantity_json_value(json_path(instance, "status.memory.guestAtBoot"), 0);
	bool balloon = json_path_bool(spec, "domain.devices.autoattachMemBalloon", true);

	const struct json *change =
		named_by(json_path(instance, "status.conditions"), "type", "HotMemoryChange");

	boot = boot ? boot : now;
	/* The node tried, and tries again. */
	if (want == now && streq(json_str(json_get(change, "status")), "False"))
		c->restart = "memory updated in template spec. Memory-hotplug failed and is not "
			     "available for this VM configuration";
	/* A template that leaves it to requests or defaults: those are compared as they are. */
	if (want == now || !want)
		return;
	if (!now)
		c->restart = not_live;
	else if (json_path(spec, "domain.memory.hugepages"))
		c->restart = "Memory hotplug is not compatible with hugepages";
	else if (want > MAX(boot, most))
		c->restart = "memory updated in template spec to a value higher than what's "
			     "available";
	else if (want < boot && !balloon)
		c->restart = "memory updated in template spec to a value lower than what the VM "
			     "started with";
	else {
		/* What it reserves grows and shrinks with it (KubeVirt's rule); by as large a part
		 * as it was where the platform's policy (memoryOvercommit) said how much. */
		const struct json *asked = json_path(spec, "domain.resources.requests.memory");
		int64_t had = quantity_json_value(asked, 0), bytes = had + (want - now);
		bool policy = !json_path(wanted, "domain.resources.requests.memory") &&
			      !json_path(wanted, "domain.resources.limits.memory");

		if (policy && had > 0)
			bytes = (int64_t)((__int128)had * want / now);
		json_path_set(a, patch, "spec.domain.memory.guest", json_copy(a, guest));
		if (asked && bytes > 0)
			json_path_set(a, patch, "spec.domain.resources.requests.memory",
				json_new_string(
					a, quantity_canonical(a, quantity_format_bytes(a, bytes))));
	}
}

/* ---- volumes ---- */

static void change_volumes(
	struct arena *a, const struct json *wanted, const struct json *instance, struct json *patch)
{
	const struct json *spec = json_get(instance, "spec"), *now = json_get(spec, "volumes");
	const char *given = json_str_or(
		json_get(json_path(instance, "metadata.annotations"), VM_PLUGGED_ANNOTATION), "");
	struct json *volumes = json_new_array(a), *disks = json_new_array(a);
	const char *list = "";

	JSON_FOR_EACH_ITEM(v, now) {
		const struct json *w = named(json_get(wanted, "volumes"), name_of(v));

		if (!plugged(v) || (!w && !in_list(given, name_of(v))))
			json_push(a, volumes, json_copy(a, v));
		else if (w && plugged(w))
			json_push(a, volumes, json_copy(a, w));
	}
	JSON_FOR_EACH_ITEM(w, json_get(wanted, "volumes")) {
		if (!plugged(w))
			continue;
		if (!named(volumes, name_of(w)))
			json_push(a, volumes, json_copy(a, w));
		list = arena_printf(a, "%s%s%s", list, *list ? "," : "", name_of(w));
	}
	JSON_FOR_EACH_ITEM(d, disks_of(spec)) {
		const struct json *v = named(now, name_of(d));

		if (!v || !plugged(v) || json_get(d, "cdrom") || named(volumes, name_of(d)))
			json_push(a, disks, json_copy(a, d));
	}
	JSON_FOR_EACH_ITEM(w, json_get(wanted, "volumes")) {
		const struct json *d = named(disks_of(wanted), name_of(w));

		if (plugged(w) && !is_drive(wanted, name_of(w)) && !named(disks, name_of(w))) {
			struct json *fresh = d ? json_copy(a, d) : json_new_object(a);

			/* KubeVirt's rule: a volume without a disk is a virtio disk. */
			if (!d) {
				json_set_str(a, fresh, "name", name_of(w));
				json_path_set(a, fresh, "disk.bus", json_new_string(a, "virtio"));
			}
			json_push(a, disks, fresh);
		}
	}
	if (!json_equal(volumes, now) && (json_count(volumes) || json_count(now)))
		json_path_set(a, patch, "spec.volumes", volumes);
	if (!json_equal(disks, disks_of(spec)) && (json_count(disks) || json_count(disks_of(spec))))
		json_path_set(a, patch, "spec.domain.devices.disks", disks);
	if (!streq(list, given))
		json_set_str(a,
			json_object_at(a, json_object_at(a, patch, "metadata"), "annotations"),
			VM_PLUGGED_ANNOTATION, list);
}

/* ---- interfaces ---- */

/* A drive, not its medium; an interface, not its link. What the server filled in (the MAC) is no
 * change. */
static bool same_interface(const struct json *wanted, const struct json *now)
{
	JSON_FOR_EACH_MEMBER(m, wanted)
		if (!streq(m->name, "state") && !json_equal(m->value, json_get(now, m->name)))
			return false;
	return true;
}

static bool absent(const struct json *interface)
{
	return streq(json_str(json_get(interface, "state")), "absent");
}

/* An interface that is to go, and is not in the guest any more. */
static bool gone(const struct json *spec, const struct json *instance, const struct json *interface)
{
	return absent(interface) && pluggable(spec, interface) &&
	       !named(json_path(instance, "status.interfaces"), name_of(interface));
}

/* The networks without those of interfaces that were dropped from the list. */
static struct json *networks_left(
	struct arena *a, const struct json *spec, const struct json *interfaces)
{
	struct json *networks = json_new_array(a);

	JSON_FOR_EACH_ITEM(n, json_get(spec, "networks"))
		if (named(interfaces, name_of(n)) || !named(interfaces_of(spec), name_of(n)))
			json_push(a, networks, json_copy(a, n));
	return networks;
}

struct json *vm_live_unplugged(
	struct arena *a, const struct json *template, const struct json *instance)
{
	struct json *interfaces = json_new_array(a), *patch = json_new_object(a);

	/* The instance's own list first: an interface that it still has is not done with. */
	JSON_FOR_EACH_ITEM(i, interfaces_of(template))
		if (!gone(template, instance, i) ||
			named(interfaces_of(json_get(instance, "spec")), name_of(i)))
			json_push(a, interfaces, json_copy(a, i));
	/* Without any, the next start would have one on the pod network. */
	if (!json_count(interfaces) ||
		json_count(interfaces) == json_count(interfaces_of(template)))
		return NULL;
	json_path_set(a, patch, "spec.template.spec.domain.devices.interfaces", interfaces);
	json_path_set(
		a, patch, "spec.template.spec.networks", networks_left(a, template, interfaces));
	return patch;
}

static void change_interfaces(struct arena *a, const struct json *wanted,
	const struct json *instance, bool fixed_differs, struct json *patch,
	struct vm_live_changes *c)
{
	const struct json *spec = json_get(instance, "spec");
	struct json *interfaces = json_new_array(a), *networks;

	JSON_FOR_EACH_ITEM(i, interfaces_of(spec)) {
		const struct json *w = named(interfaces_of(wanted), name_of(i));
		struct json *next = json_copy(a, i);
		const struct json *state = json_get(w, "state");

		if ((!w || absent(w)) && gone(spec, instance, i))
			continue;
		if (!w) {
			/* That of the pods, which the server put in, is in no template. */
			if (pluggable(spec, i) && !absent(i))
				c->restart = not_live;
		} else if (absent(w) && !pluggable(spec, i)) {
			c->restart = not_live;
		} else if (state) {
			json_set(a, next, "state", json_copy(a, state));
		} else {
			json_remove(next, "state");
		}
		if (w && pluggable(spec, i) && !absent(w) && !same_interface(w, i))
			c->restart = not_live;
		json_push(a, interfaces, next);
	}
	networks = networks_left(a, spec, interfaces);
	JSON_FOR_EACH_ITEM(w, interfaces_of(wanted)) {
		const struct json *n = named(json_get(wanted, "networks"), name_of(w));

		if (named(interfaces, name_of(w)) || absent(w) || !pluggable(wanted, w) ||
			fixed_differs)
			continue;
		json_push(a, interfaces, json_copy(a, w));
		if (!named(networks, name_of(w)))
			json_push(a, networks, json_copy(a, n));
	}
	if (!json_equal(interfaces, interfaces_of(spec)) && json_count(interfaces)) {
		json_path_set(a, patch, "spec.domain.devices.interfaces", interfaces);
		if (!json_equal(networks, json_get(spec, "networks")))
			json_path_set(a, patch, "spec.networks", networks);
	}
}

/* ---- all ---- */

/* It is about to be stopped, in the time that this stop was given. */
static bool stop_says_grace(const struct json *instance)
{
	return json_get(json_path(instance, "metadata.annotations"), MACHINE_STOP_GRACE_ANNOTATION);
}

static void change_plain(
	struct arena *a, const struct json *wanted, const struct json *instance, struct json *patch)
{
	const struct json *spec = json_get(instance, "spec");

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		const struct json *w = json_get(wanted, plain[i]), *now = json_get(spec, plain[i]);

		/* Without one the server put its default in. */
		if (!w || json_equal(w, now))
			continue;
		if (streq(plain[i], "terminationGracePeriodSeconds") && stop_says_grace(instance))
			continue;
		struct json *all = json_object_at(a, patch, "spec"), *value = json_copy(a, w);

		/* A merge keeps members of an object that are not named. */
		if (json_is(w, JSON_OBJECT))
			JSON_FOR_EACH_MEMBER(m, now)
				if (!json_get(w, m->name))
					json_set(a, value, m->name, json_new_null(a));
		json_set(a, all, plain[i], value);
	}
}

struct vm_live_changes vm_live_staged(bool differs)
{
	return (struct vm_live_changes){.restart = differs ? not_live : NULL};
}

struct vm_live_changes vm_live_changes(
	struct arena *a, const struct json *wanted, const struct json *instance, bool fixed_differs)
{
	const struct json *spec = json_get(instance, "spec");
	struct vm_live_changes c = {.restart = fixed_differs ? not_live : NULL};
	struct json *patch = json_new_object(a);

	change_volumes(a, wanted, instance, patch);
	change_interfaces(a, wanted, instance, fixed_differs, patch, &c);
	/* KubeVirt's rule: processors and memory are not changed while a restart is due. */
	if (!c.restart) {
		change_sockets(a, wanted, spec, patch, &c);
		change_memory(a, wanted, instance, patch, &c);
	}
	change_plain(a, wanted, instance, patch);
	if (json_count(patch))
		c.patch = patch;
	return c;
}
