#include "server/api/machines/rules.h"

#include <fnmatch.h>

#include "lib/object/quantity.h"
#include "server/platform/platform.h"

#define SERIAL_MAX 256
#define GRACE_MAX_S (7 * 86400) /* the node's agent waits no longer */
#define CPUS_MAX 512		/* nor does it start more */
#define CPU_MODEL_LABEL "cpu-model.node.kubevirt.io/"

bool machine_rules_list(struct hook *h, const struct json *list, const char *at)
{
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	size_t i = 0;
	if (json_count(list) > RULES_LIST_MAX) {
		invalid(h, at, json_new_int(h->arena, json_count(list)),
			"%s list exceeds the %d element limit in length", at, RULES_LIST_MAX);
		return false;
	}
	JSON_FOR_EACH_ITEM(item, list) {
		if (json_seen_put(&names, item))
			invalid(h, at(h, "%s[%zu].name", at, i), json_get(item, "name"),
				"%s[%zu] must not have the same Name as another", at, i);
		i++;
	}
	return true;
}

void machine_rules_path(struct hook *h, const char *field, const struct json *path)
{
	const char *p = json_str(path);
	if (!p || !*p)
		return;
	if (streq(p, "/"))
		invalid(h, field, path, "%s must not point to root", field);
	else if (*p != '/' || strstr(p, "//") || strstr(p, "/./") || strstr(p, "/../") ||
		 str_has_suffix(p, "/..") || str_has_suffix(p, "/."))
		invalid(h, field, path,
			"%s must be an absolute path to a file without relative components", field);
}

static void check_names(struct hook *h, const struct json *spec, const char *at)
{
	static const struct {
		const char *member, *rule;
		enum rule check;
	} all[] = {{"hostname", "DNS_LABEL", RULE_DNS_LABEL},
		{"subdomain", "DNS_SUBDOMAIN", RULE_DNS_SUBDOMAIN}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const struct json *name = json_get(spec, all[i].member);
		const char *why = *json_str_or(name, "")
					  ? rule_text(h->arena, all[i].check, json_str(name))
					  : NULL;
		const char *field = at_child(h, at, all[i].member);
		if (why)
			invalid(h, field, name,
				"%s does not conform to the kubernetes %s rules : %s", field,
				all[i].rule, why);
	}
}

static void check_resources(struct hook *h, const struct json *domain, const char *at)
{
	static const char *const names[] = {"cpu", "memory"};
	const struct json *requests = json_path(domain, "resources.requests"),
			  *limits = json_path(domain, "resources.limits");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *request = json_get(requests, names[i]),
				  *limit = json_get(limits, names[i]);
		const char *field = at(h, "%s.resources.requests.%s", at, names[i]);
		if (request && limit &&
			quantity_json_milli(request, 0) > quantity_json_milli(limit, INT64_MAX))
			invalid(h, field, request,
				"%s '%s' is greater than %s.resources.limits.%s '%s'", field,
				json_str_or(request, ""), at, names[i], json_str_or(limit, ""));
		if (i == 1 && request && quantity_json_value(request, 0) > 0 &&
			quantity_json_value(request, 0) < 1000000)
			invalid(h, field, request, "%s '%s': must be greater than or equal to 1M.",
				field, json_str_or(request, ""));
	}
}

static void check_memory(struct hook *h, const struct json *domain, const char *at)
{
	const struct json *guest = json_path(domain, "memory.guest"),
			  *most = json_path(domain, "memory.maxGuest"),
			  *limit = json_path(domain, "resources.limits.memory"),
			  *page = json_path(domain, "memory.hugepages.pageSize");
	const char *field = at(h, "%s.memory.guest", at);
	if (guest && limit && quantity_json_value(limit, 0) &&
		quantity_json_value(guest, 0) > quantity_json_value(limit, 0))
		invalid(h, field, guest,
			"%s '%s' must be equal to or less than the memory limit "
			"%s.resources.limits.memory '%s'",
			field, json_str_or(guest, ""), at, json_str_or(limit, ""));
	if (guest && most && quantity_json_value(guest, 0) > quantity_json_value(most, 0))
		invalid(h, field, guest,
			"Guest memory is greater than the configured maxGuest memory");
	if (!page)
		return;
	struct quantity q;
	const struct json *memory = guest ? guest : json_path(domain, "resources.requests.memory");
	if (quantity_parse(json_str_or(page, ""), &q) < 0 || quantity_value(q) <= 0) {
		invalid(h, at(h, "%s.hugepages.size", at), page,
			"%s.hugepages.size '%s': quantities must match the regular expression "
			"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
			at, json_str_or(page, ""));
	} else if (memory && quantity_json_value(memory, 0) < quantity_value(q)) {
		invalid(h, field, memory,
			"%s '%s' must be equal to or larger than page size %s.hugepages.size '%s'",
			field, json_str_or(memory, ""), at, json_str_or(page, ""));
	} else if (memory && quantity_json_value(memory, 0) % quantity_value(q)) {
		invalid(h, field, memory,
			"%s '%s' is not a multiple of the page size %s.hugepages.size '%s'", field,
			json_str_or(memory, ""), at, json_str_or(page, ""));
	}
}

static void check_topology(struct hook *h, const struct json *cpu, const char *at)
{
	static const char *const counts[] = {"sockets", "cores", "threads"};
	const struct json *was = json_path(h->old, at);
	int64_t all = 1;
	bool same = h->old != NULL, fits = true;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		same = same && json_equal(json_get(cpu, counts[i]), json_get(was, counts[i]));
	for (size_t i = 0; i < ARRAY_LEN(counts) && !same; i++) {
		const struct json *value = json_get(cpu, counts[i]);
		int64_t n = json_int_or(value, 0);
		if (n < 0 || n > CPUS_MAX) {
			fits = false;
			invalid(h, at_child(h, at, counts[i]), value, "must be between 0 and %d",
				CPUS_MAX);
		} else {
			all *= MAX(n, 1);
		}
	}
	if (fits && all > CPUS_MAX)
		invalid(h, at, NULL,
			"sockets, cores and threads are %lld processors: a machine has at most %d",
			(long long)all, CPUS_MAX);
}

static void check_cpu(struct hook *h, const struct json *domain, const char *at)
{
	static const char *const policies[] = {
		"", "force", "require", "optional", "disable", "forbid", NULL};
	const struct json *cpu = json_get(domain, "cpu");
	bool dedicated = json_path_bool(cpu, "dedicatedCpuPlacement", false);
	bool numa = json_path(cpu, "numa.guestMappingPassthrough") != NULL;
	int64_t most = json_path_int(cpu, "maxSockets", 0);
	size_t i = 0;
	check_topology(h, cpu, at_child(h, at, "cpu"));
	if (json_path_bool(cpu, "isolateEmulatorThread", false) && !dedicated)
		invalid(h, at(h, "%s.cpu.isolateEmulatorThread", at), json_new_bool(h->arena, true),
			"IsolateEmulatorThread should be only set in combination with "
			"DedicatedCPUPlacement");
	if (most && json_path_int(cpu, "sockets", 1) > most)
		invalid(h, at(h, "%s.cpu.sockets", at), json_get(cpu, "sockets"),
			"Number of sockets in CPU topology is greater than the maximum sockets "
			"allowed");
	if (numa && !dedicated)
		invalid(h, at(h, "%s.cpu.numa.guestMappingPassthrough", at), NULL,
			"%s.cpu.dedicatedCpuPlacement must be set to true when NUMA topology "
			"strategy is "
			"set in %s.cpu.numa.guestMappingPassthrough",
			at, at);
	if (numa && !json_path(domain, "memory.hugepages"))
		invalid(h, at(h, "%s.cpu.numa.guestMappingPassthrough", at), NULL,
			"%s.memory.hugepages must be requested when NUMA topology strategy is set "
			"in "
			"%s.cpu.numa.guestMappingPassthrough",
			at, at);
	if (json_get(cpu, "realtime") && !dedicated)
		required(h, at(h, "%s.cpu.dedicatedCpuPlacement", at),
			at(h,
				"%s.cpu.dedicatedCpuPlacement must be set to true when "
				"%s.cpu.realtime is used",
				at, at));
	JSON_FOR_EACH_ITEM(f, json_get(cpu, "features")) {
		const char *policy = json_str_or(json_get(f, "policy"), "");
		if (!is_one_of(policy, policies))
			invalid(h, at(h, "%s.cpu.features[%zu].policy", at, i),
				json_get(f, "policy"),
				"CPU feature %s uses policy %s that is not supported.",
				json_str_or(json_get(f, "name"), ""), policy);
		i++;
	}
}

static bool serial_holds(const char *s)
{
	for (; *s; s++)
		if (!(*s >= 'A' && *s <= 'Z') && !(*s >= 'a' && *s <= 'z') &&
			!(*s >= '0' && *s <= '9') && !strchr("_.+-", *s))
			return false;
	return true;
}

static void check_kernel_boot(struct hook *h, const struct json *boot, const char *at)
{
	const struct json *container = json_get(boot, "container");
	const char *field = at(h, "%s.container", at);
	if (!boot)
		return;
	if (!container) {
		if (*json_str_or(json_get(boot, "kernelArgs"), ""))
			invalid(h, at(h, "%s.kernelArgs", at), json_get(boot, "kernelArgs"),
				"kernel arguments cannot be provided without an external kernel");
		return;
	}
	if (!*json_str_or(json_get(container, "kernelPath"), "") &&
		!*json_str_or(json_get(container, "initrdPath"), ""))
		required(h, field,
			at(h,
				"%s must be defined with at least one of the following: "
				"kernelPath, "
				"initrdPath",
				field));
	machine_rules_path(h, at_child(h, field, "kernelPath"), json_get(container, "kernelPath"));
	machine_rules_path(h, at_child(h, field, "initrdPath"), json_get(container, "initrdPath"));
}

static void check_acpi(struct hook *h, const struct json *spec, const char *at)
{
	static const char *const refs[] = {"slicNameRef", "msdmNameRef"};
	const struct json *acpi = json_path(spec, "domain.firmware.acpi");
	const char *field = at(h, "%s.acpi", at);
	bool any = false;
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		const char *name = json_str_or(json_get(acpi, refs[i]), "");
		bool found = false, secret = false;
		if (!*name)
			continue;
		any = true;
		JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
			if (streq(json_str(json_get(v, "name")), name)) {
				found = true;
				secret = json_get(v, "secret") != NULL;
			}
		if (!found)
			invalid(h, at_child(h, field, refs[i]), json_get(acpi, refs[i]),
				"%s does not have a matching Volume.", field);
		else if (!secret)
			invalid(h, at_child(h, field, refs[i]), json_get(acpi, refs[i]),
				"%s refers to Volume of unsupported type.", field);
	}
	if (acpi && !any)
		invalid(h, field, NULL,
			"ACPI was set but no SLIC nor MSDM volume reference was set");
}

static void check_firmware(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *firmware = json_path(spec, "domain.firmware"),
			  *serial = json_get(firmware, "serial");
	const char *field = at(h, "%s.domain.firmware.serial", at);
	const char *boot = at(h, "%s.domain.firmware.bootloader", at);
	if (strlen(json_str_or(serial, "")) > SERIAL_MAX)
		invalid(h, field, serial,
			"%s must be less than or equal to %d in length, if specified", field,
			SERIAL_MAX);
	if (!serial_holds(json_str_or(serial, "")))
		invalid(h, field, serial,
			"%s must be made up of the following characters [A-Za-z0-9_.+-], if "
			"specified",
			field);
	if (json_path(firmware, "bootloader.efi") && json_path(firmware, "bootloader.bios"))
		invalid(h, boot, NULL,
			"%s has both EFI and BIOS configured, but they are mutually exclusive.",
			boot);
	if (json_path_bool(firmware, "bootloader.efi.secureBoot", false) &&
		!json_path_bool(spec, "domain.features.smm.enabled", true))
		invalid(h, at(h, "%s.domain", at), NULL,
			"%s.domain has EFI SecureBoot enabled. SecureBoot requires SMM, which is "
			"currently disabled.",
			at);
	check_kernel_boot(
		h, json_get(firmware, "kernelBoot"), at(h, "%s.domain.firmware.kernelBoot", at));
	check_acpi(h, spec, at);
}

static void check_probe(struct hook *h, const struct json *spec, const char *at, const char *name)
{
	static const char *const handlers[] = {"httpGet", "tcpSocket", "exec", "guestAgentPing"};
	const struct json *probe = json_get(spec, name);
	const char *field = at_child(h, at, name);
	size_t count = 0;
	bool pod = !json_count(json_get(spec, "networks"));
	if (!probe)
		return;
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		count += json_get(probe, handlers[i]) != NULL;
	if (count > 1)
		invalid(h, field, NULL, "%s must have exactly one probe type set", field);
	if (!count)
		required(h, field,
			at(h,
				"either %s.tcpSocket, %s.exec or %s.httpGet must be set if a %s is "
				"specified",
				field, field, field, field));
	JSON_FOR_EACH_ITEM(n, json_get(spec, "networks"))
		pod |= json_get(n, "pod") != NULL;
	for (size_t i = 0; i < 2; i++)
		if (!pod && json_get(probe, handlers[i]))
			invalid(h, at_child(h, field, handlers[i]), NULL,
				"%s.%s is only allowed if the Pod Network is attached", field,
				handlers[i]);
}

static void check_dns(struct hook *h, const struct json *spec, const char *at)
{
	static const char *const policies[] = {
		"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", NULL};
	const struct json *policy = json_get(spec, "dnsPolicy"),
			  *servers = json_path(spec, "dnsConfig.nameservers");
	const char *p = json_str_or(policy, "");
	if (*p && !is_one_of(p, policies))
		invalid(h, at_child(h, at, "dnsPolicy"), policy,
			"DNSPolicy: %s is not supported, valid values: [ClusterFirstWithHostNet "
			"ClusterFirst Default None ]",
			p);
	if (streq(p, "None") && !json_count(servers))
		required(h, at(h, "%s.dnsConfig.nameservers", at),
			"must provide at least one DNS nameserver when `dnsPolicy` is None");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(s, servers)
		check_ip_at(h, at(h, "%s.dnsConfig.nameservers[%zu]", at, i++), s);
}

static bool has_volume(const struct json *spec, const char *type)
{
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
		if (json_get(v, type))
			return true;
	return false;
}

static void check_credential(struct hook *h, const struct json *spec, const struct json *c,
	const char *at, const char *name)
{
	const struct json *one = json_get(c, name), *method = json_get(one, "propagationMethod");
	const char *field = at(h, "%s.%s.propagationMethod", at, name);
	size_t methods = 0;
	if (!one)
		return;
	JSON_FOR_EACH_MEMBER(m, method)
		methods += present(m->value);
	if (json_get(method, "noCloud") && !has_volume(spec, "cloudInitNoCloud"))
		invalid(h, field, NULL,
			"%s requires a noCloud volume to exist when the noCloud propagationMethod "
			"is in "
			"use.",
			at);
	if (json_get(method, "configDrive") && !has_volume(spec, "cloudInitConfigDrive"))
		invalid(h, field, NULL,
			"%s requires a configDrive volume to exist when the configDrive "
			"propagationMethod "
			"is in use.",
			at);
	if (streq(name, "sshPublicKey") && json_get(method, "qemuGuestAgent") &&
		!json_count(json_path(method, "qemuGuestAgent.users")))
		invalid(h, at(h, "%s.qemuGuestAgent.users", field), NULL,
			"%s requires at least one user to be present in the users list", at);
	if (!json_path(one, "source.secret"))
		invalid(h, at(h, "%s.%s.source", at, name), NULL,
			"%s must have exactly one source set", at);
	if (methods != 1)
		invalid(h, field, NULL, "%s must have exactly one propagationMethod set", at);
}

static void check_credentials(struct hook *h, const struct json *spec, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(c, json_get(spec, "accessCredentials")) {
		const char *field = at(h, "%s.accessCredentials[%zu]", at, i++);
		if (!json_get(c, "sshPublicKey") == !json_get(c, "userPassword"))
			invalid(h, field, NULL,
				"%s must have exactly one access credential type set", field);
		check_credential(h, spec, c, field, "sshPublicKey");
		check_credential(h, spec, c, field, "userPassword");
	}
}

static void check_devices(struct hook *h, const struct json *devices, const char *at)
{
	static const char *const models[] = {"", "ich9", "ac97", NULL};
	static const char *const panics[] = {"", "hyperv", "isa", "pvpanic", NULL};
	const struct json *sound = json_get(devices, "sound");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(d, json_get(devices, "inputs")) {
		const char *bus = json_str_or(json_get(d, "bus"), "");
		if (*bus && !streq(bus, "virtio") && !streq(bus, "usb"))
			invalid(h, at(h, "%s.inputs[%zu].bus", at, i), json_get(d, "bus"),
				"Input device can have only virtio or usb bus.");
		if (!streq(json_str(json_get(d, "type")), "tablet"))
			invalid(h, at(h, "%s.inputs[%zu].type", at, i), json_get(d, "type"),
				"Input device can have only tablet type.");
		i++;
	}
	if (!is_one_of(json_str_or(json_get(sound, "model"), ""), models))
		invalid(h, at(h, "%s.sound.model", at), json_get(sound, "model"),
			"Sound device type is not supported. Options: 'ich9' or 'ac97'");
	if (json_get(devices, "video") &&
		!json_path_bool(devices, "autoattachGraphicsDevice", true))
		invalid(h, at(h, "%s.video", at), NULL,
			"Video configuration is not allowed when autoattachGraphicsDevice is set "
			"to "
			"false");
	i = 0;
	JSON_FOR_EACH_ITEM(p, json_get(devices, "panicDevices")) {
		const struct json *model = json_get(p, "model");
		if (!is_one_of(json_str_or(model, ""), panics))
			invalid(h, at(h, "%s.panicDevices[%zu].model", at, i), model,
				"invalid PanicDeviceModel(%s)", json_str_or(model, ""));
		i++;
	}
}

static void check_io_threads(struct hook *h, const struct json *domain, const char *at)
{
	static const char *const policies[] = {"", "shared", "auto", "supplementalPool", NULL};
	const struct json *policy = json_get(domain, "ioThreadsPolicy");
	if (!is_one_of(json_str_or(policy, ""), policies))
		invalid(h, at(h, "%s.ioThreadsPolicy", at), policy, "Invalid IOThreadsPolicy (%s)",
			json_str_or(policy, ""));
	if (streq(json_str(policy), "supplementalPool") &&
		json_path_int(domain, "ioThreads.supplementalPoolThreadCount", 0) < 1)
		invalid(h, at(h, "%s.ioThreads.count", at), NULL,
			"the number of iothreads needs to be set and positive for the dedicated "
			"policy");
}

/* Which machines may be asked for: architectureConfiguration.ARCH.emulatedMachines of the platform,
 * patterns. What of them QEMU really has the node knows. */
static void check_machine_type(
	struct hook *h, const struct json *spec, const struct json *domain, const char *at)
{
	static const char *const amd64[] = {"q35*", "pc-q35*", "pc", "pc-i440fx*"},
				 *const arm64[] = {"virt*"};
	const struct json *type = json_path(domain, "machine.type");
	const char *arch = json_str_or(json_get(spec, "architecture"), platform_architecture());
	const struct json *set = json_path(machine_settings(h),
		arena_printf(h->arena, "architectureConfiguration.%s.emulatedMachines", arch));
	const char *const *patterns = streq(arch, "arm64") ? arm64 : amd64;
	size_t count = json_count(set)	      ? json_count(set)
		       : streq(arch, "arm64") ? ARRAY_LEN(arm64)
					      : ARRAY_LEN(amd64);
	_cleanup_(buf_finish) struct buf allowed = BUF_INIT;
	const char *field = at(h, "%s.machine.type", at);
	if (!*json_str_or(type, "") || streq(json_path_str(h->old, field), json_str(type)))
		return;
	for (size_t i = 0; i < count; i++) {
		const char *pattern =
			json_count(set) ? json_str_or(json_at(set, i), "") : patterns[i];
		if (fnmatch(pattern, json_str(type), 0) == 0)
			return;
		buf_printf(&allowed, "%s%s", i ? " " : "", pattern);
	}
	invalid(h, field, type, "%s is not supported: %s (allowed values: [%s])", field,
		json_str(type), allowed.data ? allowed.data : "");
}

static bool node_has_cpu_model(struct hook *h, const char *model)
{
	const char *label = at(h, CPU_MODEL_LABEL "%s", model);
	struct cache_page page = {0};
	if (!h->api)
		return false;
	cache_list(h->api->cache, &(struct cache_query){.kind = h->api->nodes}, h->arena, &page);
	for (size_t i = 0; i < page.count; i++)
		if (object_label(page.items[i], label))
			return true;
	return false;
}

/* A name that no libvirt knows is told at once; which of the others run on it, a node knows. */
static void check_cpu_model(
	struct hook *h, const struct json *spec, const struct json *domain, const char *at)
{
	/* libvirt's cpu_map of x86, by families. */
	static const char *const known[] = {"host-model", "host-passthrough", "486", "pentium*",
		"core*duo", "n270", "kvm32", "kvm64", "qemu32", "qemu64", "cpu64-rhel*", "Conroe*",
		"Penryn*", "Nehalem*", "Westmere*", "SandyBridge*", "IvyBridge*", "Haswell*",
		"Broadwell*", "Skylake-*", "Cascadelake-*", "Cooperlake*", "Icelake-*",
		"SapphireRapids*", "EmeraldRapids*", "GraniteRapids*", "DiamondRapids*",
		"SierraForest*", "ClearwaterForest*", "Snowridge*", "Denverton*", "KnightsMill*",
		"athlon*", "phenom*", "Opteron_G*", "EPYC*", "Dhyana*", "YongFeng*"};
	const struct json *model = json_path(domain, "cpu.model");
	const char *name = json_str_or(model, ""), *field = at(h, "%s.cpu.model", at);
	const char *arch = json_str_or(json_get(spec, "architecture"), platform_architecture());
	if (!*name || !streq(arch, "amd64") || streq(json_path_str(h->old, field), name))
		return;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (fnmatch(known[i], name, 0) == 0)
			return;
	if (!node_has_cpu_model(h, name))
		invalid(h, field, model,
			"no CPU model of that name is known: give one that `virsh cpu-models "
			"x86_64` lists on the node, or host-model; a node that has others can say "
			"so by the label " CPU_MODEL_LABEL "NAME");
}

static void check_grace(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *grace = json_get(spec, "terminationGracePeriodSeconds");
	const char *field = at_child(h, at, "terminationGracePeriodSeconds");
	int64_t seconds = json_int_or(grace, 0);
	if ((seconds < 0 || seconds > GRACE_MAX_S) && !json_equal(grace, json_path(h->old, field)))
		invalid(h, field, grace, "must be between 0 and %d", GRACE_MAX_S);
}

void machine_rules_check(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *domain = json_get(spec, "domain");
	const char *domain_at = at(h, "%s.domain", at);
	/* What is stored is to go on, and end, whatever is allowed by now. */
	if (!spec || (h->old && json_equal(spec, json_path(h->old, at))))
		return;
	/* Much below looks for volumes by name. */
	if (json_count(json_get(spec, "volumes")) > RULES_LIST_MAX) {
		machine_rules_volumes(h, spec, at);
		return;
	}
	resources_validate(h, json_get(domain, "resources"), at(h, "%s.resources", domain_at));
	check_names(h, spec, at);
	check_resources(h, domain, domain_at);
	check_memory(h, domain, domain_at);
	check_cpu(h, domain, domain_at);
	check_machine_type(h, spec, domain, domain_at);
	check_cpu_model(h, spec, domain, domain_at);
	check_grace(h, spec, at);
	check_firmware(h, spec, at);
	check_io_threads(h, domain, domain_at);
	if (json_get(spec, "startStrategy") && json_get(spec, "livenessProbe"))
		invalid(h, at_child(h, at, "startStrategy"), json_get(spec, "startStrategy"),
			"either %s.startStrategy or %s.livenessProbe should be provided.Pausing "
			"VMI with "
			"LivenessProbe is not supported",
			at, at);
	machine_rules_disks(h, spec, at);
	machine_rules_interfaces(h, spec, at);
	check_devices(h, json_get(domain, "devices"), at(h, "%s.devices", domain_at));
	check_probe(h, spec, at, "readinessProbe");
	check_probe(h, spec, at, "livenessProbe");
	machine_rules_volumes(h, spec, at);
	check_credentials(h, spec, at);
	check_dns(h, spec, at);
}

static bool uses(const struct json *spec, const char *name)
{
	JSON_FOR_EACH_ITEM(v, json_path(spec, "template.spec.volumes"))
		if (streq(json_path_str(v, "dataVolume.name"), name) ||
			streq(json_path_str(v, "persistentVolumeClaim.claimName"), name))
			return true;
	return false;
}

void machine_rules_check_machine(struct hook *h, const struct json *spec)
{
	size_t i = 0;
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	const struct json *templates = json_get(spec, "dataVolumeTemplates");
	if (json_count(templates) > RULES_LIST_MAX) {
		invalid(h, "spec.dataVolumeTemplates",
			json_new_int(h->arena, json_count(templates)),
			"spec.dataVolumeTemplates list exceeds the %d element limit in length",
			RULES_LIST_MAX);
		return;
	}
	/* What is stored is to go on, and end. */
	bool changed =
		!h->old || !json_equal(templates, json_path(h->old, "spec.dataVolumeTemplates"));
	JSON_FOR_EACH_ITEM(t, templates) {
		const char *field = at(h, "spec.dataVolumeTemplates[%zu]", i++);
		const struct json *meta = json_get(t, "metadata");
		const char *name = json_str_or(json_get(meta, "name"), "");
		if (!*name)
			required(h, at(h, "%s.name", field),
				at(h,
					"'name' field must not be empty for DataVolumeTemplate "
					"entry %s.",
					field));
		else if (json_seen_put(&names, meta))
			duplicate(h, at(h, "%s.name", field), json_get(meta, "name"));
		else if (json_count(json_path(spec, "template.spec.volumes")) <= RULES_LIST_MAX &&
			 !uses(spec, name))
			required(h, field,
				at(h,
					"DataVolumeTemplate entry %s must be referenced in the VMI "
					"template's 'volumes' list",
					field));
		if (changed)
			check_rule_at(h, RULE_CHECKSUM,
				at(h, "%s.spec.source.http.checksum", field),
				json_path(t, "spec.source.http.checksum"));
	}
	if (streq(json_path_str(spec, "runStrategy"), "WaitAsReceiver"))
		invalid(h, "spec.runStrategy", json_get(spec, "runStrategy"),
			"there is no migration between clusters that such a machine could wait "
			"for: use "
			"Halted");
}
