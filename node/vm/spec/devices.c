#include "node/vm/spec/spec_internal.h"

int spec_read_devices(const struct json *domain, struct vm_spec *s, struct err *err)
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
		if (!spec_one_of(s->watchdog_action, actions))
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

void xml_write_devices(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	xml_add(x, "  <devices>\n    <emulator>%s</emulator>\n", host->emulator);
	xml_write_disks(x, s);
	xml_write_interfaces(x, s, host);
	if (s->serial_console)
		xml_add(x, "    <serial type='pty'>\n      <target port='0'/>\n    </serial>\n"
			   "    <console type='pty'>\n      <target type='serial' port='0'/>\n"
			   "    </console>\n");
	xml_add(x, "    <channel type='unix'>\n"
		   "      <target type='virtio' name='org.qemu.guest_agent.0'/>\n    </channel>\n");
	if (s->tablet)
		xml_add(x, "    <input type='tablet' bus='%s'/>\n", s->tablet_bus);
	if (s->graphics)
		xml_add(x, "    <graphics type='vnc'>\n      <listen type='socket'/>\n    "
			   "</graphics>\n"
			   "    <video>\n      <model type='vga' vram='16384'/>\n    </video>\n");
	else
		xml_add(x, "    <video>\n      <model type='none'/>\n    </video>\n");
	if (s->watchdog_action)
		xml_add(x, "    <watchdog model='i6300esb' action='%s'/>\n", s->watchdog_action);
	if (s->balloon)
		xml_add(x, "    <memballoon model='virtio'>\n      <stats period='10'/>\n"
			   "    </memballoon>\n");
	else
		xml_add(x, "    <memballoon model='none'/>\n");
	if (s->rng)
		xml_add(x, "    <rng model='virtio'>\n"
			   "      <backend model='random'>/dev/urandom</backend>\n    </rng>\n");
	xml_add(x, "  </devices>\n");
}
