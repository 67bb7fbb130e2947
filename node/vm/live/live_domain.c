#include "node/vm/live/live_domain.h"

#include <stdlib.h>

#include "lib/base/str.h"
#include "node/vm/libvirt/xml_tree.h"

static const char *text_of(const char *s)
{
	return s ? s : "";
}

/* NULL: it is not the VMI's. */
static const char *name_of(const struct xml_node *device)
{
	const char *alias = xml_attr(xml_find(device, "alias"), "name");

	return alias && str_has_prefix(alias, "ua-") ? alias + 3 : NULL;
}

static void read_nfs(struct arena *a, const struct xml_node *source, struct live_disk *d)
{
	const char *protocol = xml_attr(source, "protocol"), *name = xml_attr(source, "name"),
		   *host = xml_attr(xml_find(source, "host"), "name");

	if (!protocol || !streq(protocol, "nfs") || !name || !host)
		return;
	d->nfs_host = host;
	d->nfs_name = name;
	d->source = arena_printf(a, "nfs://%s%s", host, name);
}

static void read_disk(struct arena *a, const struct xml_node *n, struct live_domain *d)
{
	const struct xml_node *source = xml_find(n, "source"), *target = xml_find(n, "target");
	const char *name = name_of(n), *file = xml_attr(source, "file"),
		   *dev = xml_attr(source, "dev");

	if (d->target_count < ARRAY_LEN(d->targets) && xml_attr(target, "dev"))
		d->targets[d->target_count++] = xml_attr(target, "dev");
	if (!name || d->disk_count == LIVE_DISKS_MAX)
		return;
	d->disks[d->disk_count++] = (struct live_disk){
		.name = name,
		.device = text_of(xml_attr(n, "device")),
		.bus = text_of(xml_attr(target, "bus")),
		.target = text_of(xml_attr(target, "dev")),
		.source = file ? file : text_of(dev),
		.is_block = !file && dev,
	};
	read_nfs(a, source, &d->disks[d->disk_count - 1]);
}

static void read_interface(const struct xml_node *n, struct live_domain *d)
{
	const char *name = name_of(n), *state = xml_attr(xml_find(n, "link"), "state");

	if (!name || d->interface_count == LIVE_INTERFACES_MAX)
		return;
	d->interfaces[d->interface_count++] = (struct live_interface){
		.name = name,
		.mac = text_of(xml_attr(xml_find(n, "mac"), "address")),
		.bridge = text_of(xml_attr(xml_find(n, "source"), "bridge")),
		.tap = text_of(xml_attr(xml_find(n, "target"), "dev")),
		.link_down = state && streq(state, "down"),
	};
}

/* libvirt writes KiB. */
static int64_t bytes_of(const struct xml_node *n)
{
	long long kib = strtoll(xml_text(n), NULL, 10);

	return kib > 0 && kib < (INT64_C(1) << 50) ? kib * 1024 : 0;
}

static unsigned number(const char *text)
{
	unsigned long n = text ? strtoul(text, NULL, 10) : 0;

	return n <= 65536 ? (unsigned)n : 0;
}

int live_domain_read(
	struct arena *a, const char *xml, size_t size, struct live_domain *ret, struct err *err)
{
	struct xml_node *root;
	struct live_domain d = {0};
	int r = xml_tree_parse(a, xml, size, &root, err);

	if (r < 0)
		return r;
	if (!streq(root->name, "domain"))
		return err_set(err, -EINVAL, "not the description of a domain");
	for (const struct xml_node *n = xml_find(root, "devices/disk"); n; n = xml_next(n))
		read_disk(a, n, &d);
	for (const struct xml_node *n = xml_find(root, "devices/interface"); n; n = xml_next(n))
		read_interface(n, &d);
	for (const struct xml_node *n = xml_find(root, "devices/controller"); n; n = xml_next(n))
		d.scsi |= streq(text_of(xml_attr(n, "type")), "scsi");
	d.modules = xml_find(root, "devices/memory") != NULL;
	const char *balloon = xml_attr(xml_find(root, "devices/memballoon"), "model");
	d.balloon = balloon && !streq(balloon, "none");
	d.memory_bytes = bytes_of(xml_find(root, "memory"));
	d.most_bytes = bytes_of(xml_find(root, "maxMemory"));
	d.current_bytes = bytes_of(xml_find(root, "currentMemory"));
	d.vcpus_max = number(xml_text(xml_find(root, "vcpu")));
	d.vcpus = number(xml_attr(xml_find(root, "vcpu"), "current"));
	if (!d.vcpus)
		d.vcpus = d.vcpus_max;
	*ret = d;
	return 0;
}

const struct live_disk *live_domain_disk(const struct live_domain *d, const char *name)
{
	for (size_t i = 0; i < d->disk_count; i++)
		if (streq(d->disks[i].name, name))
			return &d->disks[i];
	return NULL;
}

const struct live_interface *live_domain_interface(const struct live_domain *d, const char *name)
{
	for (size_t i = 0; i < d->interface_count; i++)
		if (streq(d->interfaces[i].name, name))
			return &d->interfaces[i];
	return NULL;
}
