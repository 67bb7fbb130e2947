#include "node/vm/spec/spec_internal.h"

#include <stdio.h>

static int read_watchdog(const struct json *devices, struct vm_devices *d, struct err *err)
{
	static const char *const actions[] = {"poweroff", "reset", "shutdown", NULL};
	const struct json *watchdog = json_get(devices, "watchdog");

	if (!json_is(watchdog, JSON_OBJECT))
		return 0;
	if (!json_is(json_get(watchdog, "i6300esb"), JSON_OBJECT))
		return err_set(err, -EOPNOTSUPP,
			"spec.domain.devices.watchdog: only i6300esb fits the architecture amd64");
	d->watchdog_action = json_str_or(json_path(watchdog, "i6300esb.action"), "reset");
	if (!spec_one_of(d->watchdog_action, actions))
		return err_set(err, -EINVAL,
			"spec.domain.devices.watchdog.i6300esb.action: '%s' is not poweroff, "
			"reset or shutdown",
			d->watchdog_action);
	return 0;
}

static int read_inputs(const struct json *devices, struct vm_devices *d, struct err *err)
{
	const struct json *inputs = json_get(devices, "inputs");
	size_t index = 0;

	if (json_count(inputs) > VM_INPUTS_MAX)
		return err_set(
			err, -EINVAL, "spec.domain.devices.inputs: at most %d", VM_INPUTS_MAX);
	JSON_FOR_EACH_ITEM(it, inputs) {
		struct vm_input *i = &d->inputs[d->input_count++];

		*i = (struct vm_input){.name = json_str_or(json_get(it, "name"), ""),
			.type = json_str_or(json_get(it, "type"), ""),
			.bus = json_str_or(json_get(it, "bus"), "usb")};
		if (!spec_device_name(i->name))
			return err_set(err, -EINVAL,
				"spec.domain.devices.inputs[%zu].name: must be letters, digits, "
				"'-' "
				"or '_'",
				index);
		if (!streq(i->type, "tablet") && !streq(i->type, "keyboard"))
			return err_set(err, -EINVAL,
				"spec.domain.devices.inputs[%zu].type: '%s' is not tablet or "
				"keyboard",
				index, i->type);
		if (!streq(i->bus, "usb") && !streq(i->bus, "virtio"))
			return err_set(err, -EINVAL,
				"spec.domain.devices.inputs[%zu].bus: '%s' is not usb or virtio",
				index, i->bus);
		index++;
	}
	if (!d->input_count && json_path_bool(devices, "autoattachInputDevice", false))
		d->inputs[d->input_count++] =
			(struct vm_input){.name = "default-0", .type = "tablet", .bus = "usb"};
	return 0;
}

static int read_video(const struct json *devices, struct vm_devices *d, struct err *err)
{
	static const char *const types[] = {
		"vga", "cirrus", "qxl", "virtio", "none", "bochs", "ramfb", NULL};
	static const char *const sounds[] = {"ich9", "ac97", NULL};
	const struct json *sound = json_get(devices, "sound");

	d->graphics = json_path_bool(devices, "autoattachGraphicsDevice", true);
	d->video = json_path_str(devices, "video.type");
	if (d->video && !*d->video)
		d->video = NULL;
	if (d->video && !spec_one_of(d->video, types))
		return err_set(err, -EINVAL,
			"spec.domain.devices.video.type: '%s' is not vga, cirrus, qxl, virtio, "
			"bochs, ramfb or none",
			d->video);
	if (d->video && !d->graphics)
		return err_set(err, -EINVAL,
			"spec.domain.devices.video: not allowed when autoattachGraphicsDevice is "
			"false");
	if (!json_is(sound, JSON_OBJECT))
		return 0;
	d->sound = json_str_or(json_get(sound, "model"), "ich9");
	if (!*d->sound)
		d->sound = "ich9";
	if (!spec_one_of(d->sound, sounds))
		return err_set(err, -EINVAL,
			"spec.domain.devices.sound.model: '%s' is not ich9 or ac97", d->sound);
	return 0;
}

static int read_panic(
	const struct json *vmi, const struct json *devices, struct vm_devices *d, struct err *err)
{
	static const char *const models[] = {"isa", "hyperv", "pvpanic", NULL};
	const struct json *list = json_get(devices, "panicDevices");

	if (json_count(list) > VM_PANIC_DEVICES_MAX)
		return err_set(err, -EINVAL, "spec.domain.devices.panicDevices: at most %d",
			VM_PANIC_DEVICES_MAX);
	JSON_FOR_EACH_ITEM(it, list) {
		const char *model = json_str_or(json_get(it, "model"), "isa");

		if (!spec_one_of(model, models))
			return err_set(err, -EINVAL,
				"spec.domain.devices.panicDevices[%zu].model: '%s' is not isa, "
				"hyperv or pvpanic",
				d->panic_count, model);
		d->panic[d->panic_count++] = model;
	}
	d->on_crash = json_str_or(
		json_get(json_path(vmi, "metadata.annotations"), MACHINE_ON_CRASH_ANNOTATION),
		"destroy");
	int r = machine_on_crash_read(d->on_crash, err);
	return r < 0 ? err_context(err, r, "metadata.annotations[" MACHINE_ON_CRASH_ANNOTATION "]")
		     : 0;
}

static int read_host_devices(const struct json *devices, const char *field, bool gpu,
	struct vm_devices *d, struct err *err)
{
	size_t index = 0;

	JSON_FOR_EACH_ITEM(it, json_get(devices, field)) {
		struct vm_host_device *h = &d->host_devices[d->host_device_count];

		if (d->host_device_count == VM_HOST_DEVICES_MAX)
			return err_set(err, -EINVAL, "spec.domain.devices.%s: at most %d", field,
				VM_HOST_DEVICES_MAX);
		h->name = json_str_or(json_get(it, "name"), "");
		h->device_name = json_str(json_get(it, "deviceName"));
		h->gpu = gpu;
		if (!spec_device_name(h->name))
			return err_set(err, -EINVAL,
				"spec.domain.devices.%s[%zu].name: must be letters, digits, '-' or "
				"'_'",
				field, index);
		if (json_get(it, "claimName") || json_get(it, "requestName"))
			return err_set(err, -EOPNOTSUPP,
				"spec.domain.devices.%s[%zu]: resource claims are not supported by "
				"this node agent; give a deviceName",
				field, index);
		if (!h->device_name || !*h->device_name)
			return err_set(err, -EINVAL,
				"spec.domain.devices.%s[%zu].deviceName: Required value", field,
				index);
		d->host_device_count++;
		index++;
	}
	return 0;
}

int spec_read_devices(const struct json *vmi, struct vm_spec *s, struct err *err)
{
	const struct json *devices = json_path(vmi, "spec.domain.devices");
	struct vm_devices *d = &s->devices;
	int r;

	d->serial_console = json_path_bool(devices, "autoattachSerialConsole", true);
	d->serial_log = d->serial_console && json_path_bool(devices, "logSerialConsole", false);
	d->balloon = json_path_bool(devices, "autoattachMemBalloon", true);
	d->rng = json_is(json_get(devices, "rng"), JSON_OBJECT);
	d->vsock = json_path_bool(devices, "autoattachVSOCK", false);
	d->no_hotplug = json_path_bool(devices, "disableHotplug", false);
	d->transitional = json_path_bool(devices, "useVirtioTransitional", false);
	d->disk_queues = json_path_bool(devices, "blockMultiQueue", false);
	d->interface_queues = json_path_bool(devices, "networkInterfaceMultiqueue", false);
	if ((r = read_watchdog(devices, d, err)) < 0 || (r = read_inputs(devices, d, err)) < 0 ||
		(r = read_video(devices, d, err)) < 0 ||
		(r = read_panic(vmi, devices, d, err)) < 0 ||
		(r = read_host_devices(devices, "hostDevices", false, d, err)) < 0 ||
		(r = read_host_devices(devices, "gpus", true, d, err)) < 0)
		return r;
	return 0;
}

const char *spec_virtio_model(const struct vm_spec *s)
{
	return s->devices.transitional ? "virtio-transitional" : "virtio";
}

/* On q35 a device can be plugged in only where a port is free, and libvirt keeps one: here come so
 * many more. */
#define FREE_PORTS 4

/* Devices that sit on a port of their own. */
static unsigned ports_used(const struct vm_spec *s, bool usb, bool scsi)
{
	const struct vm_devices *d = &s->devices;
	/* One for the channels and the console of virtio-serial. */
	unsigned count = 1u + usb + scsi + d->balloon + d->rng + d->vsock +
			 (unsigned)d->host_device_count + (unsigned)s->interface_count;

	for (size_t i = 0; i < s->disk_count; i++)
		count += streq(s->disks[i].bus, "virtio");
	for (size_t i = 0; i < d->input_count; i++)
		count += streq(d->inputs[i].bus, "virtio");
	return count;
}

static void write_ports(struct xml *x, const struct vm_spec *s, bool usb, bool scsi)
{
	if (spec_is_i440fx(s->machine) || s->devices.no_hotplug)
		return;
	/* Number 0 is the root itself. */
	unsigned last = ports_used(s, usb, scsi) + FREE_PORTS;

	for (unsigned i = 1; i <= last; i++)
		xml_add(x, "    <controller type='pci' index='%lld' model='pcie-root-port'/>\n",
			(long long)i);
}

/* A USB controller costs the host a timer: only for those who use it. virtio-scsi, since guests
 * have no driver for libvirt's own choice, a controller of LSI's from 1999. */
static void write_controllers(struct xml *x, const struct vm_spec *s)
{
	bool usb = false, scsi = false;

	for (size_t i = 0; i < s->devices.input_count; i++)
		usb |= streq(s->devices.inputs[i].bus, "usb");
	for (size_t i = 0; i < s->disk_count; i++) {
		usb |= streq(s->disks[i].bus, "usb");
		scsi |= streq(s->disks[i].bus, "scsi");
	}
	xml_add(x, "    <controller type='usb' index='0' model='%s'/>\n",
		usb ? "qemu-xhci" : "none");
	if (scsi)
		xml_add(x, "    <controller type='scsi' index='0' model='%s'/>\n",
			s->devices.transitional ? "virtio-transitional" : "virtio-scsi");
	write_ports(x, s, usb, scsi);
}

static void write_serial(struct xml *x, const struct vm_devices *d)
{
	if (!d->serial_console)
		return;
	xml_add(x, "    <serial type='pty'>\n");
	if (d->serial_log_file)
		xml_add(x, "      <log file='%s' append='on'/>\n", d->serial_log_file);
	xml_add(x, "      <target port='0'/>\n    </serial>\n"
		   "    <console type='pty'>\n      <target type='serial' port='0'/>\n"
		   "    </console>\n");
}

static void write_video(struct xml *x, const struct vm_spec *s)
{
	const struct vm_devices *d = &s->devices;
	/* UEFI draws on bochs without the burden of the old VGA. */
	const char *type = d->video ? d->video : s->firmware.efi ? "bochs" : "vga";

	if (!d->graphics) {
		xml_add(x, "    <video>\n      <model type='none'/>\n    </video>\n");
		return;
	}
	xml_add(x,
		"    <graphics type='vnc'>\n      <listen type='socket'/>\n    </graphics>\n"
		"    <video>\n      <model type='%s'",
		type);
	if (streq(type, "vga") || streq(type, "bochs"))
		xml_add(x, " vram='16384'");
	xml_add(x, "/>\n    </video>\n");
}

static void write_balloon(struct xml *x, const struct vm_spec *s)
{
	if (!s->devices.balloon) {
		xml_add(x, "    <memballoon model='none'/>\n");
		return;
	}
	xml_add(x, "    <memballoon model='%s'", spec_virtio_model(s));
	if (s->memory.free_page_reporting)
		xml_add(x, " freePageReporting='on'");
	if (s->memory.stats_period_s)
		xml_add(x, ">\n      <stats period='%lld'/>\n    </memballoon>\n",
			(long long)s->memory.stats_period_s);
	else
		xml_add(x, "/>\n");
}

static void write_host_devices(struct xml *x, const struct vm_devices *d)
{
	for (size_t i = 0; i < d->host_device_count; i++) {
		const struct vm_host_device *h = &d->host_devices[i];
		unsigned at[4];

		if (sscanf(h->address, "%4x:%2x:%2x.%1x", &at[0], &at[1], &at[2], &at[3]) != 4)
			continue; /* vm_host_prepare found none: it never comes here */
		xml_add(x,
			"    <hostdev mode='subsystem' type='pci' managed='no'>\n      <source>\n"
			"        <address domain='%lld' bus='%lld' slot='%lld' function='%lld'/>\n"
			"      </source>\n      <alias name='ua-%s%s'/>\n    </hostdev>\n",
			(long long)at[0], (long long)at[1], (long long)at[2], (long long)at[3],
			h->gpu ? "gpu-" : "hostdevice-", h->name);
	}
}

void xml_write_devices(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	const struct vm_devices *d = &s->devices;

	xml_add(x, "  <devices>\n    <emulator>%s</emulator>\n", host->emulator);
	xml_write_disks(x, s);
	write_controllers(x, s);
	xml_write_interfaces(x, s, host);
	write_serial(x, d);
	xml_add(x, "    <channel type='unix'>\n"
		   "      <target type='virtio' name='org.qemu.guest_agent.0'/>\n    </channel>\n");
	for (size_t i = 0; i < d->input_count; i++)
		xml_add(x,
			"    <input type='%s' bus='%s'>\n      <alias name='ua-%s'/>\n    "
			"</input>\n",
			d->inputs[i].type, d->inputs[i].bus, d->inputs[i].name);
	xml_write_tpm(x, s);
	write_video(x, s);
	if (d->sound)
		xml_add(x, "    <sound model='%s'/>\n", d->sound);
	write_host_devices(x, d);
	if (d->watchdog_action)
		xml_add(x, "    <watchdog model='i6300esb' action='%s'/>\n", d->watchdog_action);
	write_balloon(x, s);
	if (d->rng)
		xml_add(x,
			"    <rng model='%s'>\n"
			"      <backend model='random'>/dev/urandom</backend>\n    </rng>\n",
			spec_virtio_model(s));
	for (size_t i = 0; i < d->panic_count; i++)
		xml_add(x, "    <panic model='%s'/>\n", d->panic[i]);
	if (d->vsock)
		xml_add(x, "    <vsock model='virtio'>\n      <cid auto='yes'/>\n    </vsock>\n");
	xml_add(x, "  </devices>\n");
}
