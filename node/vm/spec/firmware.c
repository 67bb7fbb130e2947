#include "node/vm/spec/spec_internal.h"

#include "node/vm/libvirt/libvirt_proto.h"

static int read_loader(const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *firmware = json_get(domain, "firmware"), *efi, *tpm;
	struct vm_firmware *f = &s->firmware;

	efi = json_path(firmware, "bootloader.efi");
	f->efi = json_is(efi, JSON_OBJECT);
	f->bios_serial = json_path_bool(firmware, "bootloader.bios.useSerial", false);
	if (f->efi && json_is(json_path(firmware, "bootloader.bios"), JSON_OBJECT))
		return err_set(err, -EINVAL,
			"spec.domain.firmware.bootloader has both EFI and BIOS configured, but "
			"they "
			"are mutually exclusive.");
	f->secure_boot = f->efi && json_bool_or(json_get(efi, "secureBoot"), true);
	f->efi_persistent = f->efi && json_bool_or(json_get(efi, "persistent"), false);
	if (f->secure_boot && s->features.smm == VM_OFF)
		return err_set(err, -EINVAL,
			"spec.domain.firmware.bootloader.efi.secureBoot requires SMM, which "
			"spec.domain.features.smm disables");
	if (f->secure_boot && spec_is_i440fx(s->machine))
		return err_set(err, -EINVAL,
			"spec.domain.firmware.bootloader.efi.secureBoot requires a q35 machine; "
			"spec.domain.machine.type is '%s'",
			s->machine);
	if (f->secure_boot)
		s->features.smm = VM_ON;
	tpm = json_path(domain, "devices.tpm");
	f->tpm = json_is(tpm, JSON_OBJECT) && json_bool_or(json_get(tpm, "enabled"), true);
	f->tpm_persistent = f->tpm && json_bool_or(json_get(tpm, "persistent"), false);
	return 0;
}

/* The volume of that name is no disk, but a Secret with the table. */
static int read_acpi(const struct json *domain, struct vm_spec *s, struct err *err)
{
	const char *name = json_path_str(domain, "firmware.acpi.slicNameRef");
	const struct json *volume = spec_named(json_path(s->object, "spec.volumes"), name);

	if (!name || !*name)
		return 0;
	/* It names a file, too. */
	if (!spec_device_name(name))
		return err_set(err, -EINVAL,
			"spec.domain.firmware.acpi.slicNameRef: '%s' is not a name", name);
	s->firmware.slic_volume = name;
	s->firmware.slic_secret = json_path_str(volume, "secret.secretName");
	if (!volume)
		return err_set(
			err, -EINVAL, "spec.domain.firmware.acpi does not have a matching Volume.");
	if (!s->firmware.slic_secret || !*s->firmware.slic_secret)
		return err_set(err, -EINVAL,
			"spec.domain.firmware.acpi refers to Volume of unsupported type.");
	return 0;
}

static void read_chassis(const struct json *domain, struct vm_chassis *c)
{
	const struct json *chassis = json_get(domain, "chassis");

	c->manufacturer = json_str(json_get(chassis, "manufacturer"));
	c->version = json_str(json_get(chassis, "version"));
	c->serial = json_str(json_get(chassis, "serial"));
	c->asset = json_str(json_get(chassis, "asset"));
	c->sku = json_str(json_get(chassis, "sku"));
}

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
	if ((r = read_loader(domain, s, err)) < 0 || (r = read_acpi(domain, s, err)) < 0)
		return r;
	read_chassis(domain, &s->chassis);

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

static void write_entry(struct xml *x, const char *name, const char *value)
{
	if (value && *value)
		xml_add(x, "      <entry name='%s'>%s</entry>\n", name, value);
}

static void write_sysinfo(struct xml *x, const struct vm_spec *s)
{
	const struct vm_chassis *c = &s->chassis;

	xml_add(x, "  <sysinfo type='smbios'>\n    <system>\n");
	write_entry(x, "manufacturer", "hanok");
	write_entry(x, "product", "Virtual machine");
	write_entry(x, "serial", s->system_serial);
	write_entry(x, "uuid", s->uuid);
	xml_add(x, "    </system>\n");
	if (c->manufacturer || c->version || c->serial || c->asset || c->sku) {
		xml_add(x, "    <chassis>\n");
		write_entry(x, "manufacturer", c->manufacturer);
		write_entry(x, "version", c->version);
		write_entry(x, "serial", c->serial);
		write_entry(x, "asset", c->asset);
		write_entry(x, "sku", c->sku);
		xml_add(x, "    </chassis>\n");
	}
	xml_add(x, "  </sysinfo>\n");
}

void xml_write_firmware(struct xml *x, const struct vm_spec *s)
{
	const struct vm_firmware *f = &s->firmware;
	const struct vm_kernel_boot *k = &s->kernel_boot;
	const char *secure = f->secure_boot ? "yes" : "no";

	write_sysinfo(x, s);
	xml_add(x, f->efi ? "  <os firmware='efi'>\n" : "  <os>\n");
	xml_add(x, "    <type arch='x86_64' machine='%s'>hvm</type>\n", s->machine);
	if (f->efi)
		xml_add(x,
			"    <firmware>\n      <feature enabled='%s' name='enrolled-keys'/>\n"
			"      <feature enabled='%s' name='secure-boot'/>\n    </firmware>\n",
			secure, secure);
	if (f->nvram_file)
		xml_add(x, "    <nvram>%s</nvram>\n", f->nvram_file);
	if (f->slic_file)
		xml_add(x, "    <acpi>\n      <table type='slic'>%s</table>\n    </acpi>\n",
			f->slic_file);
	if (k->kernel_file)
		xml_add(x, "    <kernel>%s</kernel>\n", k->kernel_file);
	if (k->initrd_file)
		xml_add(x, "    <initrd>%s</initrd>\n", k->initrd_file);
	if (k->kernel_file && k->args)
		xml_add(x, "    <cmdline>%s</cmdline>\n", k->args);
	if (!has_boot_order(s))
		xml_add(x, "    <boot dev='hd'/>\n    <boot dev='cdrom'/>\n");
	/* KubeVirt's: who lets it start paused wants to see it boot, and may choose from what. */
	if (s->start_paused)
		xml_add(x, "    <bootmenu enable='yes' timeout='10000'/>\n");
	if (f->bios_serial)
		xml_add(x, "    <bios useserial='yes'/>\n");
	xml_add(x, "    <smbios mode='sysinfo'/>\n  </os>\n");
}

void xml_write_tpm(struct xml *x, const struct vm_spec *s)
{
	const struct vm_firmware *f = &s->firmware;

	if (!f->tpm)
		return;
	xml_add(x, "    <tpm model='%s'>\n      <backend type='emulator' version='2.0'",
		f->tpm_persistent ? "tpm-crb" : "tpm-tis");
	/* Then libvirt keeps it when the domain's definition goes. */
	if (f->tpm_persistent)
		xml_add(x, " persistent_state='yes'");
	xml_add(x, "/>\n    </tpm>\n");
}
