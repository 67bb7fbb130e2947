#include "node/vm/spec/vm_spec.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/object/quantity.h"
#include "node/vm/libvirt/libvirt_proto.h"

#define MEMORY_MIN_BYTES (INT64_C(4) << 20)
#define MEMORY_MAX_BYTES (INT64_C(64) << 40)
#define CAPACITY_MAX_BYTES (INT64_C(64) << 40)

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (streq(s, *list))
			return true;
	return false;
}

/* Names that end up in XML attributes and file names must stay plain. */
static bool plain_word(const char *s)
{
	size_t size = 0;

	for (; *s; s++, size++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.+", *s))
			return false;
	return size > 0 && size <= 63;
}

/* Names of disks and interfaces also become libvirt aliases, which allow less. */
static bool device_name(const char *s)
{
	return s && plain_word(s) && !strpbrk(s, ".+");
}

/* Asked for, and not given by this agent: better said than silently left out. */
static int refuse_unsupported(const struct json *spec, struct err *err)
{
	static const char *const fields[] = {
		"domain.cpu.dedicatedCpuPlacement",
		"domain.cpu.isolateEmulatorThread",
		"domain.cpu.numa",
		"domain.cpu.realtime",
		"domain.devices.clientPassthrough",
		"domain.devices.downwardMetrics",
		"domain.devices.filesystems",
		"domain.devices.gpus",
		"domain.devices.hostDevices",
		"domain.devices.panicDevices",
		"domain.devices.tpm",
		"domain.launchSecurity",
		"domain.memory.hugepages",
		"accessCredentials",
		"livenessProbe",
		"readinessProbe.exec",
		"readinessProbe.guestAgentPing",
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct json *v = json_path(spec, fields[i]);

		if (!v || json_is(v, JSON_NULL) || (json_is(v, JSON_BOOL) && !v->b) ||
			(json_is(v, JSON_ARRAY) && !json_count(v)))
			continue;
		return err_set(
			err, -EOPNOTSUPP, "spec.%s is not supported by this node agent", fields[i]);
	}
	return 0;
}

static const char *pull_policy(const char *given, const char *image)
{
	const char *tail = strrchr(image, '/');
	const char *tag;

	if (given && *given)
		return given;
	/* As for containers: a tag that is meant to move is looked up each time. */
	if (strchr(image, '@'))
		return "IfNotPresent";
	tag = strchr(tail ? tail : image, ':');
	return !tag || streq(tag, ":latest") ? "Always" : "IfNotPresent";
}

static int read_image(
	const struct json *source, const char *field, struct vm_image *ret, struct err *err)
{
	static const char *const policies[] = {"Always", "IfNotPresent", "Never", NULL};

	ret->image = json_str(json_get(source, "image"));
	ret->pull_secret = json_str(json_get(source, "imagePullSecret"));
	if (!ret->image || !*ret->image)
		return err_set(err, -EINVAL, "%s.image: Required value", field);
	if (*ret->image == '-' || strpbrk(ret->image, " \t\r\n"))
		return err_set(
			err, -EINVAL, "%s.image: '%s' is not an image name", field, ret->image);
	ret->pull_policy = pull_policy(json_str(json_get(source, "imagePullPolicy")), ret->image);
	if (!one_of(ret->pull_policy, policies))
		return err_set(err, -EINVAL,
			"%s.imagePullPolicy: '%s' is not Always, IfNotPresent or "
			"Never",
			field, ret->pull_policy);
	return 0;
}

/* A path inside an image: absolute, no "..", so that it means the same everywhere. */
static bool image_path_ok(const char *p)
{
	struct str rest = str_from(p), part;

	if (*p != '/' || strlen(p) > 1024)
		return false;
	for (const char *c = p; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	while (str_split(&rest, '/', &part))
		if (str_eq(part, "..") || str_eq(part, "."))
			return false;
	return true;
}

static int read_capacity(
	const struct json *source, const char *field, int64_t *ret, struct err *err)
{
	int64_t bytes = quantity_json_value(json_get(source, "capacity"), 0);

	if (bytes < 0 || bytes > CAPACITY_MAX_BYTES)
		return err_set(err, -EINVAL, "%s.capacity: must be between 0 and 64Ti", field);
	*ret = bytes;
	return 0;
}

static int read_volume(
	const struct json *volume, const char *field, struct vm_disk *d, struct err *err)
{
	static const char *const known[] = {
		"containerDisk", "hostDisk", "emptyDisk", "cloudInitNoCloud"};
	const struct json *source = NULL;
	char at[256];
	size_t type;
	int r = 0;

	for (type = 0; type < ARRAY_LEN(known); type++)
		if ((source = json_get(volume, known[type])))
			break;
	if (!source) {
		const char *other = "nothing";

		JSON_FOR_EACH_MEMBER(m, volume)
			if (!streq(m->name, "name"))
				other = m->name;
		return err_set(err, -EOPNOTSUPP,
			"%s: a volume of %s is not supported by this node agent", field, other);
	}
	snprintf(at, sizeof(at), "%s.%s", field, known[type]);
	d->volume = (enum vm_volume)type;
	switch (d->volume) {
	case VM_VOLUME_CONTAINER_DISK:
		r = read_image(source, at, &d->image, err);
		d->image_path = json_str(json_get(source, "path"));
		if (d->image_path && !*d->image_path)
			d->image_path = NULL;
		if (!r && d->image_path && !image_path_ok(d->image_path))
			r = err_set(err, -EINVAL, "%s.path: '%s' is not an absolute path", at,
				d->image_path);
		break;
	case VM_VOLUME_HOST_DISK:
		d->host_path = json_str(json_get(source, "path"));
		d->host_create = streq(json_str(json_get(source, "type")), "DiskOrCreate");
		if (!d->host_path || !image_path_ok(d->host_path))
			return err_set(err, -EINVAL, "%s.path: must be an absolute path", at);
		r = read_capacity(source, at, &d->capacity_bytes, err);
		if (!r && d->host_create && !d->capacity_bytes)
			r = err_set(err, -EINVAL,
				"%s.capacity: Required value with type DiskOrCreate", at);
		break;
	case VM_VOLUME_EMPTY_DISK:
		r = read_capacity(source, at, &d->capacity_bytes, err);
		if (!r && !d->capacity_bytes)
			r = err_set(err, -EINVAL, "%s.capacity: Required value", at);
		break;
	case VM_VOLUME_CLOUD_INIT:
		d->cloud_init = source;
		d->readonly = true;
		break;
	}
	return r;
}

static const struct json *named(const struct json *list, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "name")), name))
			return it;
	return NULL;
}

static int read_disk(const struct json *spec, const struct json *disk, size_t index,
	unsigned letters[2], struct vm_disk *d, struct err *err)
{
	static const char *const buses[] = {"virtio", "sata", "scsi", "usb", NULL};
	static const char *const caches[] = {"none", "writethrough", "writeback", NULL};
	static const char *const ios[] = {"native", "threads", "io_uring", NULL};
	static const char *const policies[] = {"stop", "ignore", "report", "enospace", NULL};
	const struct json *target, *volume;
	char field[96];
	unsigned *letter;

	snprintf(field, sizeof(field), "spec.domain.devices.disks[%zu]", index);
	d->name = json_str(json_get(disk, "name"));
	if (!device_name(d->name))
		return err_set(err, -EINVAL, "%s.name: must be letters, digits, '-' or '_'", field);
	d->device = "disk";
	if ((target = json_get(disk, "cdrom")))
		d->device = "cdrom";
	else if ((target = json_get(disk, "lun")))
		return err_set(
			err, -EOPNOTSUPP, "%s.lun is not supported by this node agent", field);
	else
		target = json_get(disk, "disk");
	d->bus =
		json_str_or(json_get(target, "bus"), streq(d->device, "cdrom") ? "sata" : "virtio");
	if (!one_of(d->bus, buses) || (streq(d->bus, "virtio") && streq(d->device, "cdrom")))
		return err_set(
			err, -EINVAL, "%s: a %s can't have the bus '%s'", field, d->device, d->bus);
	d->readonly = json_bool_or(json_get(target, "readonly"), streq(d->device, "cdrom"));
	d->shareable = json_bool_or(json_get(disk, "shareable"), false);
	d->serial = json_str(json_get(disk, "serial"));
	d->cache = json_str(json_get(disk, "cache"));
	d->io = json_str(json_get(disk, "io"));
	d->error_policy = json_str(json_get(disk, "errorPolicy"));
	d->boot_order = json_int_or(json_get(disk, "bootOrder"), 0);
	if (d->cache && !one_of(d->cache, caches))
		return err_set(err, -EINVAL,
			"%s.cache: '%s' is not none, writethrough or writeback", field, d->cache);
	if (d->io && !one_of(d->io, ios))
		return err_set(err, -EINVAL, "%s.io: '%s' is not native or threads", field, d->io);
	if (d->error_policy && !one_of(d->error_policy, policies))
		return err_set(
			err, -EINVAL, "%s.errorPolicy: '%s' is not known", field, d->error_policy);
	if (d->boot_order < 0 || d->boot_order > 999)
		return err_set(err, -EINVAL, "%s.bootOrder: must be between 1 and 999", field);
	letter = &letters[streq(d->bus, "virtio") ? 0 : 1];
	snprintf(d->target, sizeof(d->target), "%s%s%c", letter == letters ? "vd" : "sd",
		*letter >= 26 ? "a" : "", 'a' + (int)(*letter % 26));
	(*letter)++;

	volume = named(json_get(spec, "volumes"), d->name);
	if (!volume)
		return err_set(err, -EINVAL, "%s: there is no volume named '%s'", field, d->name);
	snprintf(field, sizeof(field), "volume '%s'", d->name);
	return read_volume(volume, field, d, err);
}

static int read_disks(const struct json *spec, struct vm_spec *s, struct err *err)
{
	const struct json *disks = json_path(spec, "domain.devices.disks");
	unsigned letters[2] = {0, 0};

	if (json_count(disks) > VM_DISKS_MAX)
		return err_set(err, -EINVAL, "spec.domain.devices.disks: at most %d", VM_DISKS_MAX);
	JSON_FOR_EACH_ITEM(it, disks) {
		int r = read_disk(spec, it, s->disk_count, letters, &s->disks[s->disk_count], err);

		if (r < 0)
			return r;
		for (size_t i = 0; i < s->disk_count; i++)
			if (streq(s->disks[i].name, s->disks[s->disk_count].name))
				return err_set(
					err, -EINVAL, "disk '%s' is there twice", s->disks[i].name);
		s->disk_count++;
	}
	/* KubeVirt's rule: a volume that no disk names becomes a virtio disk. */
	JSON_FOR_EACH_ITEM(it, json_get(spec, "volumes")) {
		const char *name = json_str_or(json_get(it, "name"), "");
		struct vm_disk *d = &s->disks[s->disk_count];
		char field[96];
		int r;

		if (named(disks, name))
			continue;
		if (s->disk_count == VM_DISKS_MAX)
			return err_set(err, -EINVAL, "spec.volumes: at most %d", VM_DISKS_MAX);
		if (!device_name(name))
			return err_set(err, -EINVAL, "spec.volumes: '%s' is not a name", name);
		snprintf(field, sizeof(field), "volume '%s'", name);
		*d = (struct vm_disk){.name = name, .device = "disk", .bus = "virtio"};
		snprintf(d->target, sizeof(d->target), "vd%s%c", letters[0] >= 26 ? "a" : "",
			'a' + (int)(letters[0] % 26));
		letters[0]++;
		r = read_volume(it, field, d, err);
		if (r < 0)
			return r;
		s->disk_count++;
	}
	return 0;
}

static int check_mac(const char *given, char ret[18])
{
	size_t i;

	for (i = 0; i < 17; i++) {
		char c = given[i];

		if (i % 3 == 2 ? c != ':' && c != '-' : !isxdigit((unsigned char)c))
			return -EINVAL;
		ret[i] = (char)(i % 3 == 2 ? ':' : tolower((unsigned char)c));
	}
	if (given[17])
		return -EINVAL;
	ret[17] = '\0';
	/* A group address is nobody's own; and zero is no address. */
	if (strchr("13579bdf", ret[1]) || streq(ret, "00:00:00:00:00:00"))
		return -EINVAL;
	return 0;
}

/* By namespace and name: the guest's network configuration may know the address, so it must be the
 * same when the VM is started again as another instance. */
static void make_mac(const struct vm_spec *s, size_t index, char ret[18])
{
	char text[400];
	uint64_t h;

	snprintf(text, sizeof(text), "%s/%zu", s->domain_name, index);
	h = fnv1a_64(text, strlen(text));
	snprintf(ret, 18, "02:%02x:%02x:%02x:%02x:%02x", (unsigned)(h >> 56 & 255),
		(unsigned)(h >> 40 & 255), (unsigned)(h >> 24 & 255), (unsigned)(h >> 8 & 255),
		(unsigned)((h ^ h >> 32) & 255));
}

static int read_interface(const struct json *spec, const struct json *interface, size_t index,
	struct vm_spec *s, struct err *err)
{
	static const char *const models[] = {
		"virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", NULL};
	static const char *const others[] = {
		"sriov", "macvtap", "passt", "passtBinding", "slirp", "binding"};
	struct vm_interface *i = &s->interfaces[s->interface_count];
	const struct json *network;
	const char *mac = json_str(json_get(interface, "macAddress"));
	char field[96];

	snprintf(field, sizeof(field), "spec.domain.devices.interfaces[%zu]", index);
	if (streq(json_str(json_get(interface, "state")), "absent"))
		return 0;
	i->name = json_str(json_get(interface, "name"));
	network = i->name ? named(json_get(spec, "networks"), i->name) : NULL;
	if (!network || !device_name(i->name))
		return err_set(err, -EINVAL, "%s: there is no network named '%s'", field,
			i->name ? i->name : "");
	if (!json_get(network, "pod"))
		return err_set(err, -EOPNOTSUPP,
			"network '%s': only the pod network is supported by this node agent",
			i->name);
	if (s->interface_count)
		return err_set(
			err, -EINVAL, "%s: only one interface can be on the pod network", field);
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		if (json_get(interface, others[n]))
			return err_set(err, -EOPNOTSUPP,
				"%s.%s is not supported by this node agent; use "
				"bridge or masquerade",
				field, others[n]);
	i->model = json_str_or(json_get(interface, "model"), "virtio");
	if (!one_of(i->model, models))
		return err_set(err, -EINVAL, "%s.model: '%s' is not known", field, i->model);
	i->boot_order = json_int_or(json_get(interface, "bootOrder"), 0);
	if (i->boot_order < 0 || i->boot_order > 999)
		return err_set(err, -EINVAL, "%s.bootOrder: must be between 1 and 999", field);
	if (!mac || !*mac)
		make_mac(s, s->interface_count, i->mac);
	else if (check_mac(mac, i->mac) < 0)
		return err_set(err, -EINVAL, "%s.macAddress: '%s' is not a unicast MAC address",
			field, mac);
	s->interface_count++;
	return 0;
}

static int read_interfaces(const struct json *spec, struct vm_spec *s, struct err *err)
{
	const struct json *interfaces = json_path(spec, "domain.devices.interfaces");
	size_t index = 0;

	if (json_count(interfaces) > VM_INTERFACES_MAX)
		return err_set(err, -EINVAL, "spec.domain.devices.interfaces: at most %d",
			VM_INTERFACES_MAX);
	JSON_FOR_EACH_ITEM(it, interfaces) {
		int r = read_interface(spec, it, index++, s, err);

		if (r < 0)
			return r;
	}
	if (!json_count(interfaces) &&
		json_path_bool(spec, "domain.devices.autoattachPodInterface", true)) {
		struct vm_interface *i = &s->interfaces[s->interface_count++];
		const char *name = json_path_str(spec, "networks[0].name");

		*i = (struct vm_interface){
			.name = device_name(name) ? name : "default", .model = "virtio"};
		make_mac(s, 0, i->mac);
	}
	return 0;
}

static int read_cpu(struct arena *a, const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *cpu = json_get(domain, "cpu"), *features = json_get(cpu, "features");
	static const char *const policies[] = {
		"force", "require", "optional", "disable", "forbid", NULL};
	int64_t sockets = json_path_int(cpu, "sockets", 0), cores = json_path_int(cpu, "cores", 0),
		threads = json_path_int(cpu, "threads", 0);
	struct vm_cpu_feature *list = arena_zalloc(a, sizeof(*list) * (json_count(features) + 1));

	if (!sockets && !cores && !threads) {
		/* No topology: as many sockets as the CPU that was asked for. */
		int64_t milli = quantity_json_milli(json_path(domain, "resources.limits.cpu"), 0);

		if (!milli)
			milli = quantity_json_milli(json_path(domain, "resources.requests.cpu"), 0);
		sockets = milli / 1000 + (milli % 1000 > 0);
	}
	sockets = sockets ? sockets : 1;
	cores = cores ? cores : 1;
	threads = threads ? threads : 1;
	if (sockets < 1 || cores < 1 || threads < 1 || sockets > VM_CPUS_MAX ||
		cores > VM_CPUS_MAX || threads > VM_CPUS_MAX ||
		sockets * cores * threads > VM_CPUS_MAX)
		return err_set(
			err, -EINVAL, "spec.domain.cpu: must make 1 to %d CPUs", VM_CPUS_MAX);
	s->sockets = (unsigned)sockets;
	s->cores = (unsigned)cores;
	s->threads = (unsigned)threads;
	s->cpu_model = json_str(json_get(cpu, "model"));
	if (s->cpu_model && !*s->cpu_model)
		s->cpu_model = NULL;
	if (s->cpu_model && !plain_word(s->cpu_model))
		return err_set(err, -EINVAL, "spec.domain.cpu.model: '%s' is not a CPU model",
			s->cpu_model);
	JSON_FOR_EACH_ITEM(it, features) {
		struct vm_cpu_feature *f = &list[s->cpu_feature_count++];

		f->name = json_str_or(json_get(it, "name"), "");
		f->policy = json_str_or(json_get(it, "policy"), "require");
		if (!plain_word(f->name) || !one_of(f->policy, policies))
			return err_set(err, -EINVAL,
				"spec.domain.cpu.features: '%s' with policy '%s' is "
				"not known",
				f->name, f->policy);
	}
	s->cpu_features = list;
	return 0;
}

static int read_memory(const struct json *domain, struct vm_spec *s, struct err *err)
{
	static const char *const paths[] = {
		"memory.guest", "resources.requests.memory", "resources.limits.memory"};

	for (size_t i = 0; i < ARRAY_LEN(paths) && !s->memory_bytes; i++)
		s->memory_bytes = quantity_json_value(json_path(domain, paths[i]), 0);
	if (!s->memory_bytes)
		return err_set(err, -EINVAL,
			"spec.domain.memory.guest: Required value: how much memory "
			"shall the guest have?");
	if (s->memory_bytes < MEMORY_MIN_BYTES || s->memory_bytes > MEMORY_MAX_BYTES)
		return err_set(err, -EINVAL,
			"spec.domain.memory.guest: %lld bytes: must be between 4Mi "
			"and 64Ti",
			(long long)s->memory_bytes);
	return 0;
}

static int read_firmware(
	struct arena *a, const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *firmware = json_get(domain, "firmware"), *boot;
	const char *uuid = json_str(json_get(firmware, "uuid"));
	struct vm_kernel_boot *k = &s->kernel_boot;
	uint8_t bytes[LIBVIRT_UUID_BYTES];
	int r;

	s->uuid_given = uuid && *uuid;
	if (libvirt_uuid_parse(s->uuid_given ? uuid : s->uid, bytes) < 0)
		return err_set(err, -EINVAL, "spec.domain.firmware.uuid: '%s' is not a UUID",
			s->uuid_given ? uuid : s->uid);
	libvirt_uuid_format(bytes, s->uuid);
	s->system_serial = json_str(json_get(firmware, "serial"));
	boot = json_path(firmware, "bootloader.efi");
	s->efi = boot != NULL;
	s->secure_boot = boot && json_bool_or(json_get(boot, "secureBoot"), true);
	if (s->secure_boot)
		s->smm = true;

	boot = json_get(firmware, "kernelBoot");
	if (!json_is(boot, JSON_OBJECT))
		return 0;
	k->args = json_str(json_get(boot, "kernelArgs"));
	if (!json_get(boot, "container"))
		return k->args && *k->args
			       ? err_set(err, -EINVAL,
					 "spec.domain.firmware.kernelBoot.kernelArgs needs a "
					 "container with a kernel")
			       : 0;
	boot = json_get(boot, "container");
	r = read_image(boot, "spec.domain.firmware.kernelBoot.container", &k->image, err);
	if (r < 0)
		return r;
	k->kernel_path = json_str(json_get(boot, "kernelPath"));
	k->initrd_path = json_str(json_get(boot, "initrdPath"));
	if (!k->kernel_path && !k->initrd_path)
		return err_set(err, -EINVAL,
			"spec.domain.firmware.kernelBoot.container: kernelPath or "
			"initrdPath is required");
	if ((k->kernel_path && !image_path_ok(k->kernel_path)) ||
		(k->initrd_path && !image_path_ok(k->initrd_path)))
		return err_set(err, -EINVAL,
			"spec.domain.firmware.kernelBoot.container: kernelPath and "
			"initrdPath must be absolute paths");
	return 0;
}

static bool feature_enabled(const struct json *features, const char *name, bool fallback)
{
	const struct json *f = json_get(features, name);

	return f ? json_bool_or(json_get(f, "enabled"), true) : fallback;
}

static int read_devices(const struct json *domain, struct vm_spec *s, struct err *err)
{
	static const char *const actions[] = {"poweroff", "reset", "shutdown", NULL};
	const struct json *devices = json_get(domain, "devices"), *watchdog, *inputs;

	s->serial_console = json_path_bool(devices, "autoattachSerialConsole", true);
	s->graphics = json_path_bool(devices, "autoattachGraphicsDevice", true);
	s->balloon = json_path_bool(devices, "autoattachMemBalloon", true);
	s->rng = json_get(devices, "rng") != NULL;
	watchdog = json_path(devices, "watchdog.i6300esb");
	if (watchdog) {
		s->watchdog_action = json_str_or(json_get(watchdog, "action"), "reset");
		if (!one_of(s->watchdog_action, actions))
			return err_set(err, -EINVAL,
				"spec.domain.devices.watchdog: action '%s' is not "
				"poweroff, reset or shutdown",
				s->watchdog_action);
	}
	inputs = json_get(devices, "inputs");
	JSON_FOR_EACH_ITEM(it, inputs) {
		if (!streq(json_str(json_get(it, "type")), "tablet"))
			return err_set(err, -EINVAL,
				"spec.domain.devices.inputs: only the type tablet "
				"is known");
		s->tablet = true;
		s->tablet_bus = json_str_or(json_get(it, "bus"), "usb");
		if (!streq(s->tablet_bus, "usb") && !streq(s->tablet_bus, "virtio"))
			return err_set(err, -EINVAL,
				"spec.domain.devices.inputs: bus '%s' is not usb or "
				"virtio",
				s->tablet_bus);
	}
	return 0;
}

int vm_spec_read(struct arena *a, const struct json *vmi, struct vm_spec *ret, struct err *err)
{
	const struct json *spec = json_get(vmi, "spec"), *domain = json_get(spec, "domain");
	struct vm_spec s = {
		.object = vmi,
		.namespace = json_path_str(vmi, "metadata.namespace"),
		.name = json_path_str(vmi, "metadata.name"),
		.uid = json_path_str(vmi, "metadata.uid"),
	};
	const struct json *features = json_get(domain, "features");
	const char *arch = json_str(json_get(spec, "architecture"));
	int r;

	if (!s.namespace || !s.name || !s.uid || !domain)
		return err_set(err, -EINVAL,
			"not a VirtualMachineInstance: metadata or spec.domain missing");
	snprintf(s.domain_name, sizeof(s.domain_name), "%s_%s", s.namespace, s.name);
	s.hostname = json_str(json_get(spec, "hostname"));
	if (!s.hostname || !*s.hostname)
		s.hostname = arena_memdup(a, s.name, MIN(strcspn(s.name, "."), (size_t)63));
	if (!plain_word(s.hostname))
		return err_set(err, -EINVAL, "spec.hostname: '%s' is not a host name", s.hostname);
	if (arch && *arch && !streq(arch, "amd64"))
		return err_set(err, -EOPNOTSUPP,
			"spec.architecture: '%s' is not supported by this node "
			"agent",
			arch);
	s.machine = json_path_str(domain, "machine.type");
	if (!s.machine || !*s.machine)
		s.machine = "q35";
	if (!plain_word(s.machine))
		return err_set(err, -EINVAL, "spec.domain.machine.type: '%s' is not a machine type",
			s.machine);
	s.acpi = feature_enabled(features, "acpi", true);
	s.apic = feature_enabled(features, "apic", true);
	s.smm = feature_enabled(features, "smm", false);
	s.timezone = json_path_str(domain, "clock.timezone");
	s.clock_offset_s = json_path_int(domain, "clock.utc.offsetSeconds", 0);
	s.reboot_terminates = streq(json_str(json_get(domain, "rebootPolicy")), "Terminate");
	s.grace_s = json_path_int(spec, "terminationGracePeriodSeconds", VM_GRACE_DEFAULT_S);
	if (s.grace_s < 0 || s.grace_s > 86400 * 7)
		return err_set(err, -EINVAL,
			"spec.terminationGracePeriodSeconds: must be between 0 and a "
			"week");
	s.start_paused = streq(json_str(json_get(spec, "startStrategy")), "Paused");
	if ((r = refuse_unsupported(spec, err)) < 0 || (r = read_cpu(a, domain, &s, err)) < 0 ||
		(r = read_memory(domain, &s, err)) < 0 ||
		(r = read_firmware(a, domain, &s, err)) < 0 ||
		(r = read_devices(domain, &s, err)) < 0 || (r = read_disks(spec, &s, err)) < 0 ||
		(r = read_interfaces(spec, &s, err)) < 0)
		return r;
	*ret = s;
	return 0;
}
