#include "node/vm/spec/spec_internal.h"

#include <stdio.h>

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
	int r;

	snprintf(field, sizeof(field), "spec.domain.devices.disks[%zu]", index);
	d->name = json_str(json_get(disk, "name"));
	if (!spec_device_name(d->name))
		return err_set(err, -EINVAL, "%s.name: must be letters, digits, '-' or '_'", field);
	d->device = "disk";
	if ((target = json_get(disk, "cdrom")))
		d->device = "cdrom";
	else if ((target = json_get(disk, "lun")))
		d->device = "lun";
	else
		target = json_get(disk, "disk");
	d->bus = json_str_or(json_get(target, "bus"), streq(d->device, "cdrom") ? "sata"
						      : streq(d->device, "lun") ? "scsi"
										: "virtio");
	if (!spec_one_of(d->bus, buses) || (streq(d->bus, "virtio") && streq(d->device, "cdrom")))
		return err_set(
			err, -EINVAL, "%s: a %s can't have the bus '%s'", field, d->device, d->bus);
	d->readonly = json_bool_or(json_get(target, "readonly"), streq(d->device, "cdrom"));
	d->shareable = json_bool_or(json_get(disk, "shareable"), false);
	d->serial = json_str(json_get(disk, "serial"));
	d->cache = json_str(json_get(disk, "cache"));
	d->io = json_str(json_get(disk, "io"));
	d->error_policy = json_str(json_get(disk, "errorPolicy"));
	d->boot_order = json_int_or(json_get(disk, "bootOrder"), 0);
	if (d->cache && !spec_one_of(d->cache, caches))
		return err_set(err, -EINVAL,
			"%s.cache: '%s' is not none, writethrough or writeback", field, d->cache);
	if (d->io && !spec_one_of(d->io, ios))
		return err_set(err, -EINVAL, "%s.io: '%s' is not native or threads", field, d->io);
	if (d->error_policy && !spec_one_of(d->error_policy, policies))
		return err_set(
			err, -EINVAL, "%s.errorPolicy: '%s' is not known", field, d->error_policy);
	if (d->boot_order < 0 || d->boot_order > 999)
		return err_set(err, -EINVAL, "%s.bootOrder: must be between 1 and 999", field);
	r = spec_read_disk_tuning(disk, target, field, d, err);
	if (r < 0)
		return r;
	letter = &letters[streq(d->bus, "virtio") ? 0 : 1];
	snprintf(d->target, sizeof(d->target), "%s%s%c", letter == letters ? "vd" : "sd",
		*letter >= 26 ? "a" : "", 'a' + (int)(*letter % 26));
	(*letter)++;

	volume = spec_named(json_get(spec, "volumes"), d->name);
	if (!volume && streq(d->device, "cdrom")) {
		d->volume = VM_VOLUME_NONE;
		return 0;
	}
	if (!volume)
		return err_set(err, -EINVAL, "%s: there is no volume named '%s'", field, d->name);
	snprintf(field, sizeof(field), "volume '%s'", d->name);
	return spec_read_volume(volume, field, d, err);
}

int spec_read_disks(const struct json *spec, struct vm_spec *s, struct err *err)
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

		if (spec_named(disks, name) || streq(name, s->firmware.slic_volume))
			continue;
		if (s->disk_count == VM_DISKS_MAX)
			return err_set(err, -EINVAL, "spec.volumes: at most %d", VM_DISKS_MAX);
		if (!spec_device_name(name))
			return err_set(err, -EINVAL, "spec.volumes: '%s' is not a name", name);
		snprintf(field, sizeof(field), "volume '%s'", name);
		*d = (struct vm_disk){.name = name, .device = "disk", .bus = "virtio"};
		snprintf(d->target, sizeof(d->target), "vd%s%c", letters[0] >= 26 ? "a" : "",
			'a' + (int)(letters[0] % 26));
		letters[0]++;
		r = spec_read_volume(it, field, d, err);
		if (r < 0)
			return r;
		s->disk_count++;
	}
	return 0;
}

/* Given in full, so that nobody guesses a format from what the guest wrote. What many VMs share and
 * nobody writes keeps its owner. */
static void write_backing(struct xml *x, const struct vm_layer *layers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		xml_add(x,
			"      <backingStore type='file'>\n        <format type='%s'/>\n"
			"        <source file='%s'",
			layers[i].format, layers[i].path);
		xml_add(x, layers[i].relabel ? "/>\n"
					     : ">\n          <seclabel model='dac' relabel='no'/>\n"
					       "        </source>\n");
	}
	xml_add(x, count ? "        <backingStore/>\n" : "      <backingStore/>\n");
	for (size_t i = 0; i < count; i++)
		xml_add(x, "      </backingStore>\n");
}

static void write_source(struct xml *x, const struct vm_disk *d)
{
	if (d->nfs)
		xml_add(x,
			"      <source protocol='nfs' name='%s/%s'>\n        <host name='%s'/>\n"
			"        <identity user='+%lld' group='+%lld'/>\n      </source>\n",
			streq(d->nfs->path, "/") ? "" : d->nfs->path, d->nfs_file, d->nfs->server,
			(long long)d->nfs->uid, (long long)d->nfs->gid);
	else
		xml_add(x,
			d->is_block ? "      <source dev='%s'/>\n" : "      <source file='%s'/>\n",
			d->path);
}

void xml_write_disk(struct xml *x, const struct vm_spec *s, const struct vm_disk *d)
{
	xml_add(x, "    <disk type='%s' device='%s'",
		d->nfs	      ? "network"
		: d->is_block ? "block"
			      : "file",
		d->device);
	if (streq(d->bus, "virtio") && s->devices.transitional)
		xml_add(x, " model='%s'", spec_virtio_model(s));
	xml_add(x, ">\n      <driver name='qemu' type='%s'", d->path ? d->format : "raw");
	if (d->cache)
		xml_add(x, " cache='%s'", d->cache);
	if (d->error_policy)
		xml_add(x, " error_policy='%s'", d->error_policy);
	if (d->io)
		xml_add(x, " io='%s'", d->io);
	if (!d->readonly)
		xml_add(x, " discard='unmap'");
	xml_write_disk_driver(x, d);
	xml_add(x, "/>\n");
	if (d->path) {
		write_source(x, d);
		write_backing(x, d->backing, d->backing_count);
	}
	xml_add(x, "      <target dev='%s' bus='%s'", d->target, d->bus);
	xml_add(x, d->tray_open ? " tray='open'/>\n" : "/>\n");
	xml_write_disk_tuning(x, d);
	if (d->readonly)
		xml_add(x, "      <readonly/>\n");
	if (d->shareable)
		xml_add(x, "      <shareable/>\n");
	if (d->serial && *d->serial)
		xml_add(x, "      <serial>%s</serial>\n", d->serial);
	if (d->boot_order)
		xml_add(x, "      <boot order='%lld'/>\n", (long long)d->boot_order);
	xml_add(x, "      <alias name='ua-%s'/>\n    </disk>\n", d->name);
}

void xml_write_disks(struct xml *x, const struct vm_spec *s)
{
	for (size_t i = 0; i < s->disk_count; i++)
		xml_write_disk(x, s, &s->disks[i]);
}
