#include "node/vm/spec/spec_internal.h"

#define BLOCK_MAX (32 << 20)

static bool block_size_ok(int64_t bytes)
{
	return bytes >= 512 && bytes <= BLOCK_MAX && !(bytes & (bytes - 1));
}

static int read_block_size(
	const struct json *disk, const char *field, struct vm_disk *d, struct err *err)
{
	const struct json *size = json_get(disk, "blockSize"), *custom = json_get(size, "custom"),
			  *match = json_get(size, "matchVolume");
	int64_t logical, physical, discard;

	d->match_block_size =
		json_is(match, JSON_OBJECT) && json_bool_or(json_get(match, "enabled"), true);
	if (!json_is(custom, JSON_OBJECT))
		return 0;
	if (d->match_block_size)
		return err_set(err, -EINVAL,
			"%s.blockSize: Block size matching can't be enabled together with a custom "
			"value",
			field);
	logical = json_int_or(json_get(custom, "logical"), 0);
	physical = json_int_or(json_get(custom, "physical"), 0);
	discard = json_int_or(json_get(custom, "discardGranularity"), 0);
	if (!block_size_ok(logical) || !block_size_ok(physical))
		return err_set(err, -EINVAL,
			"%s.blockSize.custom: logical and physical must be powers of 2 between 512 "
			"and %d",
			field, BLOCK_MAX);
	if (logical > physical)
		return err_set(err, -EINVAL,
			"%s.blockSize.custom: Logical size %lld must be the same or less than the "
			"physical size of %lld",
			field, (long long)logical, (long long)physical);
	if (discard && (discard < 0 || discard > INT32_MAX || discard % logical))
		return err_set(err, -EINVAL,
			"%s.blockSize.custom.discardGranularity: must be a multiple of the logical "
			"size",
			field);
	d->logical_block = (unsigned)logical;
	d->physical_block = (unsigned)physical;
	d->discard_granularity = (unsigned)discard;
	return 0;
}

int spec_read_disk_tuning(const struct json *disk, const struct json *target, const char *field,
	struct vm_disk *d, struct err *err)
{
	const char *tray = json_str(json_get(target, "tray"));

	d->dedicated_iothread = json_bool_or(json_get(disk, "dedicatedIOThread"), false);
	if (tray && *tray && !streq(tray, "open") && !streq(tray, "closed"))
		return err_set(
			err, -EINVAL, "%s.cdrom.tray: '%s' is not open or closed", field, tray);
	d->tray_open = streq(tray, "open");
	if (streq(d->device, "lun") && json_bool_or(json_get(target, "reservation"), false))
		return err_set(err, -EOPNOTSUPP,
			"%s.lun.reservation: persistent reservations are not supported by this "
			"node "
			"agent",
			field);
	return read_block_size(disk, field, d, err);
}

void spec_set_queues(struct vm_spec *s)
{
	unsigned queues = MIN(spec_cpu_count(s), 256u);

	for (size_t i = 0; s->devices.disk_queues && i < s->disk_count; i++)
		if (streq(s->disks[i].bus, "virtio"))
			s->disks[i].queues = queues;
	for (size_t i = 0; s->devices.interface_queues && i < s->interface_count; i++)
		if (streq(s->interfaces[i].model, "virtio"))
			s->interfaces[i].queues = queues;
}

void xml_write_disk_driver(struct xml *x, const struct vm_disk *d)
{
	if (d->iothread)
		xml_add(x, " iothread='%lld'", (long long)d->iothread);
	if (d->queues)
		xml_add(x, " queues='%lld'", (long long)d->queues);
}

void xml_write_disk_tuning(struct xml *x, const struct vm_disk *d)
{
	if (d->logical_block) {
		xml_add(x, "      <blockio logical_block_size='%lld' physical_block_size='%lld'",
			(long long)d->logical_block, (long long)d->physical_block);
		if (d->discard_granularity)
			xml_add(x, " discard_granularity='%lld'",
				(long long)d->discard_granularity);
		xml_add(x, "/>\n");
	}
	xml_write_io_limits(x, &d->limits);
}
