/* defaults.c - what KubeVirt's webhooks put into an instance that says nothing. */
#include "server/api/machines/rules.h"

#include "lib/object/machine_requests.h"
#include "lib/object/quantity.h"
#include "server/platform/platform.h"

#define MACHINE_TYPE "q35"
#define CPUS_MAX 512
#define MODULES_FROM_BYTES (INT64_C(1) << 30)
#define MODULE_ALIGNMENT (INT64_C(2) << 20)

const struct json *machine_settings(struct hook *h)
{
	const struct kind *k =
		h->api ? kind_by_name(h->api->kinds, "kubevirt.io", "v1", "KubeVirt") : NULL;
	struct cache_page page = {0};
	if (!k)
		return NULL;
	cache_list(h->api->cache, &(struct cache_query){.kind = k}, h->arena, &page);
	return page.count ? json_path(object_doc(page.items[0], h->arena), "spec.configuration")
			  : NULL;
}

static void put_text(struct arena *a, struct json *object, const char *name, const char *value)
{
	if (value && *value && !*json_str_or(json_get(object, name), ""))
		json_set_str(a, object, name, value);
}

/* Who gives no topology gets a socket for each CPU limited to or asked for. */
static void put_topology(struct arena *a, const struct json *domain, struct json *cpu)
{
	static const char *const sides[] = {"resources.limits.cpu", "resources.requests.cpu"};
	int64_t sockets = 1;
	if (json_int_or(json_get(cpu, "cores"), 0) || json_int_or(json_get(cpu, "sockets"), 0) ||
		json_int_or(json_get(cpu, "threads"), 0))
		return;
	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		if (json_path(domain, sides[i])) {
			sockets = quantity_json_value(json_path(domain, sides[i]), 1);
			break;
		}
	json_set_int(a, cpu, "cores", 1);
	json_set_int(a, cpu, "sockets", sockets > 0 ? sockets : 1);
	json_set_int(a, cpu, "threads", 1);
}

static void put_machine(
	struct arena *a, const struct json *settings, struct json *spec, const char *preferred)
{
	put_text(a, spec, "architecture",
		json_path_str(settings, "architectureConfiguration.defaultArchitecture"));
	put_text(a, spec, "architecture", platform_architecture());
	struct json *machine = json_object_at(a, json_object_at(a, spec, "domain"), "machine");
	put_text(a, machine, "type", preferred);
	put_text(a, machine, "type",
		json_path_str(settings, arena_printf(a, "architectureConfiguration.%s.machineType",
						json_path_str(spec, "architecture"))));
	put_text(a, machine, "type", json_path_str(settings, "machineType"));
	if (streq(json_path_str(spec, "architecture"), "amd64"))
		put_text(a, machine, "type", MACHINE_TYPE);
}

void machine_template_defaults(
	struct hook *h, struct json *vm, const struct json *old, const struct json *preference)
{
	struct json *spec = json_path(vm, "spec.template.spec");
	if (!json_is(spec, JSON_OBJECT) || !json_is(json_get(spec, "domain"), JSON_OBJECT))
		return;
	if (old && !json_path(old, "spec.template.spec.architecture"))
		return;
	put_text(h->arena, spec, "architecture",
		json_path_str(preference, "spec.preferredArchitecture"));
	put_machine(h->arena, machine_settings(h), spec,
		json_path_str(preference, "spec.machine.preferredMachineType"));
}

/* An image that is called "latest", or not called at all, may be another one each time. */
static void put_pull_policies(struct arena *a, const struct json *volumes)
{
	JSON_FOR_EACH_ITEM(v, volumes) {
		struct json *disk = json_get(v, "containerDisk");
		const char *image = json_str_or(json_get(disk, "image"), "");
		size_t size = strlen(image);
		static const char latest[] = ":latest";
		const char *slash = strrchr(image, '/'); /* a registry's port is no tag */
		bool changes = !strpbrk(slash ? slash : image, ":@") ||
			       (size >= sizeof(latest) - 1 &&
				       streq(image + size - (sizeof(latest) - 1), latest));
		if (*image)
			put_text(a, disk, "imagePullPolicy", changes ? "Always" : "IfNotPresent");
	}
}

static int64_t hotplug_ratio(const struct json *live)
{
	int64_t ratio = json_path_int(live, "maxHotplugRatio", 0);
	return ratio > 0 && ratio <= CPUS_MAX ? ratio : 4;
}

/* Sockets that may come while it runs: the bound keeps within what a machine can have. */
static void put_most_sockets(struct arena *a, const struct json *live, struct json *cpu)
{
	int64_t sockets = json_path_int(cpu, "sockets", 0), cores = json_path_int(cpu, "cores", 0),
		threads = json_path_int(cpu, "threads", 0);
	int64_t most = json_path_int(live, "maxCpuSockets", 0);
	if (json_path_int(cpu, "maxSockets", 0) ||
		json_path_bool(cpu, "dedicatedCpuPlacement", false))
		return;
	/* What is out of range is refused by others, in words of their own. */
	if (sockets < 0 || sockets > CPUS_MAX || cores < 0 || cores > CPUS_MAX || threads < 0 ||
		threads > CPUS_MAX)
		return;
	sockets = MAX(sockets, 1);
	if (most > 0) {
		most = MAX(most, sockets);
	} else {
		int64_t each = MAX(cores, 1) * MAX(threads, 1);
		most = sockets * hotplug_ratio(live);
		if (most * each > CPUS_MAX)
			most = MAX(CPUS_MAX / each, sockets);
	}
	json_set_int(a, cpu, "maxSockets", most);
}

/* KubeVirt's rules of where modules of memory can be plugged in. */
static bool takes_modules(const struct json *spec, int64_t guest, int64_t most)
{
	const struct json *domain = json_get(spec, "domain");
	return guest >= MODULES_FROM_BYTES && most > guest && guest % MODULE_ALIGNMENT == 0 &&
	       most % MODULE_ALIGNMENT == 0 && !json_path(domain, "memory.hugepages") &&
	       !json_path(domain, "cpu.realtime") &&
	       !json_path(domain, "cpu.numa.guestMappingPassthrough") &&
	       !json_get(domain, "launchSecurity") &&
	       streq(json_path_str(spec, "architecture"), "amd64");
}

static void put_most_memory(
	struct arena *a, const struct json *live, struct json *spec, struct json *domain)
{
	const struct json *set = json_get(live, "maxGuest");
	int64_t guest = quantity_json_value(json_path(domain, "memory.guest"), 0);
	int64_t most = quantity_json_value(set, 0), limit = INT64_C(1) << 46;
	if (json_path(domain, "memory.maxGuest") || guest <= 0 || guest > limit)
		return;
	if (!set)
		most = guest * hotplug_ratio(live);
	if (takes_modules(spec, guest, most))
		json_set_str(a, json_object_at(a, domain, "memory"), "maxGuest",
			quantity_canonical(a, quantity_format_bytes(a, most)));
}

/* The policy of overcommitting for machines that do not say what they ask for:
 * developerConfiguration has memoryOvercommit, how many percent of its request a guest's memory may
 * be, and cpuAllocationRatio, how many virtual CPUs share one. Without the latter nothing is
 * written: machine_request_cpu_milli knows the default. */
static void put_requests(struct arena *a, const struct json *settings, struct json *spec)
{
	const struct json *policy = json_get(settings, "developerConfiguration");
	struct json *domain = json_get(spec, "domain");
	const struct json *guest = json_path(domain, "memory.guest");
	int64_t percent = json_path_int(policy, "memoryOvercommit", 0),
		ratio = json_path_int(policy, "cpuAllocationRatio", 0);
	/* Clients size the claim of a memory dump by the request alone. */
	if (!json_path(domain, "resources.requests.memory") && guest) {
		int64_t bytes = quantity_json_value(guest, 0);
		struct json *asked = json_copy(a, guest);
		if (percent > 0 && percent != 100 && bytes > 0 && bytes <= INT64_MAX / 100)
			asked = json_new_string(
				a, quantity_canonical(
					   a, quantity_format_bytes(a, bytes * 100 / percent)));
		json_set(a, json_object_at(a, json_object_at(a, domain, "resources"), "requests"),
			"memory", asked);
	}
	if (ratio > 0 && !json_path(domain, "resources.requests.cpu") &&
		!json_path_bool(domain, "cpu.dedicatedCpuPlacement", false)) {
		int64_t vcpus = machine_request_cpu_milli(spec) / 100;
		json_set(a, json_object_at(a, json_object_at(a, domain, "resources"), "requests"),
			"cpu",
			json_new_printf(a, "%lldm", (long long)MAX(vcpus * 1000 / ratio, 1)));
	}
}

/* Where changes are rolled out live there must be room for them from the start. */
static void put_room(struct arena *a, const struct json *settings, struct json *spec)
{
	const struct json *live = json_get(settings, "liveUpdateConfiguration");
	struct json *domain = json_get(spec, "domain");
	if (streq(json_path_str(settings, "vmRolloutStrategy"), "Stage"))
		return;
	put_most_sockets(a, live, json_get(domain, "cpu"));
	put_most_memory(a, live, spec, domain);
}

void machine_defaults(struct hook *h, struct json *spec)
{
	static const char *const amounts[] = {"cpu", "memory"};
	struct arena *a = h->arena;
	const struct json *settings = machine_settings(h);
	struct json *domain = json_object_at(a, spec, "domain");
	put_machine(a, settings, spec, NULL);
	put_pull_policies(a, json_get(spec, "volumes"));
	struct json *cpu = json_object_at(a, domain, "cpu");
	put_text(a, cpu, "model", json_path_str(settings, "cpuModel"));
	put_topology(a, domain, cpu);
	/* What is limited is asked for; what is asked for is what the guest has. */
	const struct json *limits = json_path(domain, "resources.limits");
	for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
		if (json_get(limits, amounts[i]) &&
			!json_path(domain, arena_printf(a, "resources.requests.%s", amounts[i])))
			json_set(a,
				json_object_at(
					a, json_object_at(a, domain, "resources"), "requests"),
				amounts[i], json_copy(a, json_get(limits, amounts[i])));
	const struct json *asked = json_path(domain, "resources.requests.memory");
	if (asked && !json_path(domain, "memory.guest"))
		json_set(a, json_object_at(a, domain, "memory"), "guest", json_copy(a, asked));
	put_requests(a, settings, spec);
	put_text(a, spec, "evictionStrategy", json_path_str(settings, "evictionStrategy"));
	put_room(a, settings, spec);
}
