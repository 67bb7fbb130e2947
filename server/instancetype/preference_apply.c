/* preference_apply.c - what a preference says holds where the template says nothing. */
#include "server/instancetype/instancetype.h"

#include "lib/json/json_seen.h"

/* The preference's `from` as `to`, unless that is there. */
static void prefer(struct arena *a, const struct json *preference, const char *from,
	struct json *object, const char *to)
{
	const struct json *value = json_path(preference, from);
	if (value && !json_is(value, JSON_NULL) && !json_get(object, to))
		json_set(a, object, to, json_copy(a, value));
}

static void apply_cpu(struct arena *a, const struct json *p, struct json *domain)
{
	const struct json *wanted = json_path(p, "cpu.preferredCPUFeatures");
	if (!json_count(wanted))
		return;
	struct json *features = json_array_at(a, json_object_at(a, domain, "cpu"), "features");
	struct json_seen known = json_seen_of(a, features, "name");
	JSON_FOR_EACH_ITEM(f, wanted)
		if (!json_seen_put(&known, f))
			json_push(a, features, json_copy(a, f));
}

static void apply_disks(struct arena *a, const struct json *p, struct json *devices)
{
	JSON_FOR_EACH_ITEM(d, json_get(devices, "disks")) {
		struct json *cdrom = json_get(d, "cdrom"), *lun = json_get(d, "lun");
		if (cdrom) {
			prefer(a, p, "devices.preferredCdromBus", cdrom, "bus");
			continue;
		}
		if (lun) {
			prefer(a, p, "devices.preferredLunBus", lun, "bus");
			continue;
		}
		struct json *disk = json_object_at(a, d, "disk");
		prefer(a, p, "devices.preferredDiskBus", disk, "bus");
		prefer(a, p, "devices.preferredDiskBlockSize", d, "blockSize");
		prefer(a, p, "devices.preferredDiskCache", d, "cache");
		prefer(a, p, "devices.preferredDiskIO", d, "io");
		if (streq(json_str(json_get(disk, "bus")), "virtio"))
			prefer(a, p, "devices.preferredDiskDedicatedIoThread", d,
				"dedicatedIOThread");
	}
}

static void apply_interfaces(
	struct arena *a, const struct json *p, const struct json *spec, struct json *devices)
{
	static const char *const bindings[] = {"masquerade", "bridge", "sriov", "passt", "slirp",
		"macvtap", "passtBinding", "binding"};
	struct json_seen networks = json_seen_of(a, json_get(spec, "networks"), "name");
	JSON_FOR_EACH_ITEM(i, json_get(devices, "interfaces")) {
		const struct json *network = json_seen_find(&networks, json_get(i, "name"));
		bool bound = false;
		for (size_t n = 0; n < ARRAY_LEN(bindings); n++)
			bound |= json_get(i, bindings[n]) != NULL;
		prefer(a, p, "devices.preferredInterfaceModel", i, "model");
		if (!bound && network && json_get(network, "pod"))
			prefer(a, p, "devices.preferredInterfaceMasquerade", i, "masquerade");
	}
}

static void apply_devices(
	struct arena *a, const struct json *p, const struct json *spec, struct json *devices)
{
	static const struct {
		const char *from, *to;
	} plain[] = {
		{"devices.preferredUseVirtioTransitional", "useVirtioTransitional"},
		{"devices.preferredBlockMultiQueue", "blockMultiQueue"},
		{"devices.preferredNetworkInterfaceMultiQueue", "networkInterfaceMultiqueue"},
		{"devices.preferredDisableHotplug", "disableHotplug"},
		{"devices.preferredRng", "rng"},
		{"devices.preferredTPM", "tpm"},
		{"devices.preferredAutoattachGraphicsDevice", "autoattachGraphicsDevice"},
		{"devices.preferredAutoattachMemBalloon", "autoattachMemBalloon"},
		{"devices.preferredAutoattachPodInterface", "autoattachPodInterface"},
		{"devices.preferredAutoattachSerialConsole", "autoattachSerialConsole"},
		{"devices.preferredAutoattachInputDevice", "autoattachInputDevice"},
	};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		prefer(a, p, plain[i].from, devices, plain[i].to);
	if (json_get(devices, "sound"))
		prefer(a, p, "devices.preferredSoundModel", json_get(devices, "sound"), "model");
	apply_disks(a, p, devices);
	apply_interfaces(a, p, spec, devices);
	JSON_FOR_EACH_ITEM(i, json_get(devices, "inputs")) {
		prefer(a, p, "devices.preferredInputBus", i, "bus");
		prefer(a, p, "devices.preferredInputType", i, "type");
	}
	if (json_path(p, "devices.preferredVideoType"))
		prefer(a, p, "devices.preferredVideoType", json_object_at(a, devices, "video"),
			"type");
	if (!json_path(p, "devices.preferredPanicDeviceModel"))
		return;
	struct json *panics = json_array_at(a, devices, "panicDevices");
	if (!json_count(panics))
		json_push(a, panics, json_new_object(a));
	JSON_FOR_EACH_ITEM(i, panics)
		prefer(a, p, "devices.preferredPanicDeviceModel", i, "model");
}

static void apply_features(struct arena *a, const struct json *p, struct json *domain)
{
	const struct json *wanted = json_get(p, "features");
	if (!json_count(wanted))
		return;
	struct json *f = json_object_at(a, domain, "features");
	prefer(a, wanted, "preferredAcpi", f, "acpi");
	prefer(a, wanted, "preferredApic", f, "apic");
	prefer(a, wanted, "preferredKvm", f, "kvm");
	prefer(a, wanted, "preferredPvspinlock", f, "pvspinlock");
	prefer(a, wanted, "preferredSmm", f, "smm");
	const struct json *hyperv = json_get(wanted, "preferredHyperv");
	if (!hyperv || json_path_bool(f, "hypervPassthrough.enabled", false))
		return;
	struct json *have = json_object_at(a, f, "hyperv");
	JSON_FOR_EACH_MEMBER(m, hyperv)
		if (!json_get_n(have, m->name, m->name_size))
			json_set_n(a, have, m->name, m->name_size, json_copy(a, m->value));
}

static void apply_firmware(struct arena *a, const struct json *p, struct json *domain)
{
	const struct json *wanted = json_get(p, "firmware");
	if (!json_count(wanted))
		return;
	struct json *boot = json_object_at(a, json_object_at(a, domain, "firmware"), "bootloader");
	if (json_path_bool(wanted, "preferredUseBios", false) && !json_get(boot, "efi"))
		json_object_at(a, boot, "bios");
	if (json_get(boot, "bios"))
		prefer(a, wanted, "preferredUseBiosSerial", json_get(boot, "bios"), "useSerial");
	bool open = !json_get(boot, "bios") && !json_get(boot, "efi");
	if (open && json_get(wanted, "preferredEfi")) {
		prefer(a, wanted, "preferredEfi", boot, "efi");
		return;
	}
	if (open && json_path_bool(wanted, "preferredUseEfi", false))
		json_object_at(a, boot, "efi");
	if (json_get(boot, "efi"))
		prefer(a, wanted, "preferredUseSecureBoot", json_get(boot, "efi"), "secureBoot");
	if (!json_count(boot))
		json_remove(json_get(domain, "firmware"), "bootloader");
}

static void apply_clock(struct arena *a, const struct json *p, struct json *domain)
{
	const struct json *wanted = json_get(p, "clock");
	if (!json_count(wanted))
		return;
	struct json *clock = json_object_at(a, domain, "clock");
	const struct json *offset = json_get(wanted, "preferredClockOffset");
	if (!json_get(clock, "utc") && !json_get(clock, "timezone")) {
		prefer(a, offset, "utc", clock, "utc");
		prefer(a, offset, "timezone", clock, "timezone");
	}
	prefer(a, wanted, "preferredTimer", clock, "timer");
}

void preference_apply(struct arena *a, const struct json *preference, struct json *template)
{
	const struct json *p = json_get(preference, "spec");
	struct json *spec = json_object_at(a, template, "spec");
	struct json *domain = json_object_at(a, spec, "domain");
	apply_cpu(a, p, domain);
	apply_devices(a, p, spec, json_object_at(a, domain, "devices"));
	apply_features(a, p, domain);
	apply_firmware(a, p, domain);
	const char *machine = json_path_str(p, "machine.preferredMachineType");
	if (machine && *machine)
		prefer(a, p, "machine.preferredMachineType", json_object_at(a, domain, "machine"),
			"type");
	apply_clock(a, p, domain);
	prefer(a, p, "preferredSubdomain", spec, "subdomain");
	prefer(a, p, "preferredTerminationGracePeriodSeconds", spec,
		"terminationGracePeriodSeconds");
	prefer(a, p, "preferredArchitecture", spec, "architecture");
	prefer(a, p, "preferredLaunchSecurity", domain, "launchSecurity");
	if (!json_count(json_get(p, "annotations")))
		return;
	struct json *have =
		json_object_at(a, json_object_at(a, template, "metadata"), "annotations");
	JSON_FOR_EACH_MEMBER(m, json_get(p, "annotations"))
		if (!json_get_n(have, m->name, m->name_size))
			json_set_n(a, have, m->name, m->name_size, json_copy(a, m->value));
}
