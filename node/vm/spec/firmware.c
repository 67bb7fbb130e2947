#include "node/vm/spec/spec_internal.h"

#include "node/vm/libvirt/libvirt_proto.h"

int spec_read_firmware(
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
	r = spec_read_image(boot, "spec.domain.firmware.kernelBoot.container", &k->image, err);
	if (r < 0)
		return r;
	k->kernel_path = json_str(json_get(boot, "kernelPath"));
	k->initrd_path = json_str(json_get(boot, "initrdPath"));
	if (!k->kernel_path && !k->initrd_path)
		return err_set(err, -EINVAL,
			"spec.domain.firmware.kernelBoot.container: kernelPath or "
			"initrdPath is required");
	if ((k->kernel_path && !spec_image_path_ok(k->kernel_path)) ||
		(k->initrd_path && !spec_image_path_ok(k->initrd_path)))
		return err_set(err, -EINVAL,
			"spec.domain.firmware.kernelBoot.container: kernelPath and "
			"initrdPath must be absolute paths");
	return 0;
}

static bool has_boot_order(const struct vm_spec *s)
{
	for (size_t i = 0; i < s->disk_count; i++)
		if (s->disks[i].boot_order)
			return true;
	for (size_t i = 0; i < s->interface_count; i++)
		if (s->interfaces[i].boot_order)
			return true;
	return false;
}

static void write_sysinfo(struct xml *x, const struct vm_spec *s)
{
	xml_add(x, "  <sysinfo type='smbios'>\n    <system>\n"
		   "      <entry name='manufacturer'>hanok</entry>\n"
		   "      <entry name='product'>Virtual machine</entry>\n");
	if (s->system_serial && *s->system_serial)
		xml_add(x, "      <entry name='serial'>%s</entry>\n", s->system_serial);
	xml_add(x, "      <entry name='uuid'>%s</entry>\n    </system>\n  </sysinfo>\n", s->uuid);
}

void xml_write_firmware(struct xml *x, const struct vm_spec *s)
{
	write_sysinfo(x, s);
	xml_add(x, s->efi ? "  <os firmware='efi'>\n" : "  <os>\n");
	xml_add(x, "    <type arch='x86_64' machine='%s'>hvm</type>\n", s->machine);
	if (s->efi)
		xml_add(x,
			"    <firmware>\n      <feature enabled='%s' name='enrolled-keys'/>\n"
			"      <feature enabled='%s' name='secure-boot'/>\n    </firmware>\n",
			s->secure_boot ? "yes" : "no", s->secure_boot ? "yes" : "no");
	if (s->kernel_boot.kernel_file)
		xml_add(x, "    <kernel>%s</kernel>\n", s->kernel_boot.kernel_file);
	if (s->kernel_boot.initrd_file)
		xml_add(x, "    <initrd>%s</initrd>\n", s->kernel_boot.initrd_file);
	if (s->kernel_boot.kernel_file && s->kernel_boot.args)
		xml_add(x, "    <cmdline>%s</cmdline>\n", s->kernel_boot.args);
	if (!has_boot_order(s))
		xml_add(x, "    <boot dev='hd'/>\n    <boot dev='cdrom'/>\n");
	xml_add(x, "    <smbios mode='sysinfo'/>\n  </os>\n");
}
