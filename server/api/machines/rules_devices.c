/* rules_devices.c - disks, and interfaces with their networks. */
#include "server/api/machines/rules.h"

#include <ctype.h>

#define SERIAL_MAX 256
#define BLOCK_MIN 512
#define BLOCK_MAX (2 << 20)

/* Each user names something that is there. */
static void check_known(struct hook *h, const struct json *users, const char *users_at,
	const struct json *named, const char *what)
{
	struct json_seen known = json_seen_of(h->arena, named, "name");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(u, users) {
		const struct json *name = json_get(u, "name");
		if (json_str(name) && !json_seen_find(&known, name))
			field_error(h->errors, FIELD_NOT_FOUND, at(h, "%s[%zu].name", users_at, i),
				name, "there is no such %s", what);
		i++;
	}
}

/* DDDD:BB:SS.F, the domain may be left out. */
static bool pci_address_holds(const char *s)
{
	unsigned domain, bus, slot, function;
	int end = 0;
	return (sscanf(s, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) == 4 &&
		       !s[end]) ||
	       (sscanf(s, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) == 3 && !s[end]);
}

static void check_bus(struct hook *h, const struct json *d, const char *type, const char *field)
{
	const struct json *target = json_get(d, type), *bus = json_get(target, "bus");
	const char *b = json_str_or(bus, "");
	const char *at = at(h, "%s.%s.bus", field, type);
	if (streq(type, "cdrom") && streq(b, "virtio"))
		invalid(h, at, bus, "Bus type virtio is invalid for CD-ROM device");
	if (streq(type, "disk") && streq(b, "sata") && json_path_bool(target, "readonly", false))
		invalid(h, at, bus, "sata hard-disks do not support read-only.");
	if (*b && !streq(b, "virtio") && json_path_bool(d, "dedicatedIOThread", false))
		invalid(h, at, bus, "IOThreads are not supported for disks on a %s bus", b);
	const struct json *pci = json_get(target, "pciAddress");
	if (*json_str_or(pci, "") && *b && !streq(b, "virtio"))
		invalid(h, at(h, "%s.%s.pciAddress", field, type), pci,
			"disk %s.name - setting a PCI address is only possible with bus type "
			"virtio.",
			field);
	if (*json_str_or(pci, "") && !pci_address_holds(json_str(pci)))
		invalid(h, at(h, "%s.%s.pciAddress", field, type), pci,
			"disk %s.name has malformed PCI address (%s).", field, json_str(pci));
}

static void check_block_size(struct hook *h, const struct json *d, const char *field)
{
	static const char *const sizes[] = {"logical", "physical"};
	const struct json *custom = json_path(d, "blockSize.custom");
	int64_t logical = json_path_int(custom, "logical", 0),
		physical = json_path_int(custom, "physical", 0);
	if (!custom)
		return;
	if (json_path(d, "blockSize.matchVolume") &&
		json_path_bool(d, "blockSize.matchVolume.enabled", true)) {
		invalid(h, at(h, "%s.blockSize", field), NULL,
			"Block size matching can't be enabled together with a custom value");
		return;
	}
	if (logical > physical) {
		invalid(h, at(h, "%s.blockSize.custom.logical", field), json_get(custom, "logical"),
			"Logical size %lld must be the same or less than the physical size of %lld",
			(long long)logical, (long long)physical);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		int64_t size = i ? physical : logical;
		const char *at = at(h, "%s.blockSize.custom.%s", field, sizes[i]);
		const struct json *value = json_get(custom, sizes[i]);
		if (size < BLOCK_MIN)
			invalid(h, at, value,
				"Provided size of %lld is less than the supported minimum size of "
				"%d",
				(long long)size, BLOCK_MIN);
		else if (size > BLOCK_MAX)
			invalid(h, at, value,
				"Provided size of %lld is greater than the supported maximum size "
				"of %d",
				(long long)size, BLOCK_MAX);
		else if (size & (size - 1))
			invalid(h, at, value, "Provided size of %lld is not a power of 2",
				(long long)size);
	}
}

static void check_disk(struct hook *h, const struct json *d, const char *field)
{
	static const char *const types[] = {"disk", "lun", "cdrom", "floppy"};
	static const char *const policies[] = {"", "stop", "ignore", "report", "enospace", NULL};
	static const char *const modes[] = {"", "native", "threads", NULL};
	const struct json *serial = json_get(d, "serial"), *policy = json_get(d, "errorPolicy"),
			  *io = json_get(d, "io");
	size_t count = 0;
	for (size_t t = 0; t < ARRAY_LEN(types); t++)
		if (json_get(d, types[t])) {
			count++;
			check_bus(h, d, types[t], field);
		}
	if (count > 1)
		invalid(h, field, json_get(d, "name"),
			"%s can only have a single target type defined", field);
	check_rule_at(h, RULE_DNS_LABEL, at_child(h, field, "name"), json_get(d, "name"));
	if (strlen(json_str_or(serial, "")) > SERIAL_MAX)
		invalid(h, at_child(h, field, "serial"), serial,
			"%s must be less than or equal to %d in length, if specified", field,
			SERIAL_MAX);
	for (const char *c = json_str_or(serial, ""); *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_.+-", *c)) {
			invalid(h, at_child(h, field, "serial"), serial,
				"%s must be made up of the following characters [A-Za-z0-9_.+-], "
				"if "
				"specified",
				field);
			break;
		}
	if (!is_one_of(json_str_or(io, ""), modes))
		invalid(h, at_child(h, field, "io"), io,
			"Disk IO mode for %s is not supported. Supported modes are: native, "
			"threads.",
			field);
	if (!is_one_of(json_str_or(policy, ""), policies))
		invalid(h, at_child(h, field, "errorPolicy"), policy,
			"%s.errorPolicy has invalid value \"%s\"", field, json_str_or(policy, ""));
	check_block_size(h, d, field);
}

static const struct json *volume_of(const struct json_seen *volumes, const struct json *disk)
{
	return json_seen_find(volumes, json_get(disk, "name"));
}

void machine_rules_disks(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *devices = json_path(spec, "domain.devices"),
			  *disks = json_get(devices, "disks"),
			  *interfaces = json_get(devices, "interfaces");
	const char *disks_at = at(h, "%s.domain.devices.disks", at);
	struct json_seen orders = {.arena = h->arena, .by = {"bootOrder"}};
	if (!machine_rules_list(h, disks, disks_at) ||
		json_count(json_get(spec, "volumes")) > RULES_LIST_MAX)
		return;
	struct json_seen volumes = json_seen_of(h->arena, json_get(spec, "volumes"), "name");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(d, disks) {
		const char *field = at_item(h, disks_at, i++);
		const struct json *order = json_get(d, "bootOrder"),
				  *volume = volume_of(&volumes, d);
		/* A drive may be empty. */
		if (!volume && json_str(json_get(d, "name")) && !json_get(d, "cdrom"))
			field_error(h->errors, FIELD_NOT_FOUND, at_child(h, field, "name"),
				json_get(d, "name"), "there is no such volume");
		check_disk(h, d, field);
		if (json_is(order, JSON_INT) && json_seen_put(&orders, d))
			field_error(h->errors, FIELD_DUPLICATE, at_child(h, field, "bootOrder"),
				order, NULL);
		if (volume && json_get(d, "lun") && !json_get(volume, "persistentVolumeClaim") &&
			!json_get(volume, "dataVolume"))
			invalid(h, at_child(h, field, "lun"), NULL,
				"%s.lun can only be mapped to a DataVolume or "
				"PersistentVolumeClaim volume.",
				field);
	}
	i = 0;
	if (json_count(interfaces) > RULES_LIST_MAX)
		return;
	JSON_FOR_EACH_ITEM(n, interfaces) {
		const char *field = at(h, "%s.domain.devices.interfaces[%zu].bootOrder", at, i++);
		if (json_is(json_get(n, "bootOrder"), JSON_INT) && json_seen_put(&orders, n))
			invalid(h, field, json_get(n, "bootOrder"),
				"Boot order for %s already set for a different device.", field);
	}
	check_known(h, json_get(devices, "filesystems"), at(h, "%s.domain.devices.filesystems", at),
		json_get(spec, "volumes"), "volume");
}

static void check_ports(struct hook *h, const struct json *n, const char *field)
{
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	size_t i = 0;
	JSON_FOR_EACH_ITEM(p, json_get(n, "ports")) {
		const char *at = at(h, "%s.ports[%zu]", field, i++);
		const struct json *name = json_get(p, "name"), *protocol = json_get(p, "protocol");
		const char *proto = json_str_or(protocol, "");
		if (*json_str_or(name, "") && json_seen_put(&names, p))
			invalid(h, at_child(h, at, "name"), name, "Duplicate name of the port: %s",
				json_str(name));
		if (*json_str_or(name, "") && rule_text(h->arena, RULE_PORT_NAME, json_str(name)))
			invalid(h, at_child(h, at, "name"), name, "Invalid name of the port: %s",
				json_str(name));
		if (*proto && !streq(proto, "TCP") && !streq(proto, "UDP"))
			invalid(h, at_child(h, at, "protocol"), protocol,
				"Unknown protocol, only TCP or UDP allowed");
	}
}

static void check_interface(struct hook *h, const struct json *n, const char *field)
{
	static const char *const models[] = {
		"", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio", NULL};
	const struct json *name = json_get(n, "name"), *model = json_get(n, "model"),
			  *mac = json_get(n, "macAddress"), *pci = json_get(n, "pciAddress");
	for (const char *c = json_str_or(name, ""); *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_') {
			invalid(h, at_child(h, field, "name"), name,
				"Network interface name can only contain alphabetical characters, "
				"numbers, dashes (-) or underscores (_)");
			break;
		}
	if (!is_one_of(json_str_or(model, ""), models))
		invalid(h, at_child(h, field, "model"), model,
			"interface %s.name uses model %s that is not supported.", field,
			json_str_or(model, ""));
	if (*json_str_or(mac, "") && !rule_holds(RULE_MAC, json_str(mac)))
		invalid(h, at_child(h, field, "macAddress"), mac,
			"interface %s.name has malformed MAC address (%s).", field, json_str(mac));
	if (*json_str_or(pci, "") && !pci_address_holds(json_str(pci)))
		invalid(h, at_child(h, field, "pciAddress"), pci,
			"interface %s.name has malformed PCI address (%s).", field, json_str(pci));
	check_ports(h, n, field);
}

static void check_networks(struct hook *h, const struct json *networks, const char *at)
{
	size_t pods = 0, defaults = 0, i = 0;
	JSON_FOR_EACH_ITEM(n, networks) {
		const char *field = at_item(h, at, i++);
		const struct json *multus = json_get(n, "multus");
		size_t types = (json_get(n, "pod") != NULL) + (multus != NULL) +
			       (json_get(n, "resourceClaim") != NULL);
		pods += json_get(n, "pod") != NULL;
		defaults += json_path_bool(multus, "default", false);
		if (!types)
			required(h, field, "should have a network type");
		if (types > 1)
			required(h, field, "should have only one network type");
		if (multus && !*json_str_or(json_get(multus, "networkName"), ""))
			required(h, field, "CNI delegating plugin must have a networkName");
	}
	if (pods > 1)
		invalid(h, at, NULL, "more than one interface is connected to a pod network in %s",
			at);
	if (defaults > 1)
		invalid(h, at, NULL, "Multus CNI should only have one default network");
	if (pods && defaults)
		invalid(h, at, NULL,
			"Pod network cannot be defined when Multus default network is defined");
}

void machine_rules_interfaces(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *networks = json_get(spec, "networks"),
			  *interfaces = json_path(spec, "domain.devices.interfaces");
	const char *networks_at = at_child(h, at, "networks");
	const char *interfaces_at = at(h, "%s.domain.devices.interfaces", at);
	size_t i = 0;
	if (!machine_rules_list(h, networks, networks_at) ||
		!machine_rules_list(h, interfaces, interfaces_at))
		return;
	check_known(h, interfaces, interfaces_at, networks, "network");
	check_known(h, networks, networks_at, interfaces, "interface");
	check_networks(h, networks, networks_at);
	JSON_FOR_EACH_ITEM(n, interfaces)
		check_interface(h, n, at_item(h, interfaces_at, i++));
}
