#include "node/vm/host/pci.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "node/vm/image/image_files.h"

#define RECORD_MAX 1024

static bool read_number(const char *root, const char *device, const char *file, unsigned *ret)
{
	_cleanup_(free_p) char *path =
		xasprintf("%s/sys/bus/pci/devices/%s/%s", root, device, file);
	char text[32];

	return files_read(path, text, sizeof(text)) > 0 && sscanf(text, "%x", ret) == 1;
}

/* The last part of the link's target; "" when there is none. */
static const char *link_name(
	const char *root, const char *device, const char *link, char room[PATH_MAX])
{
	_cleanup_(free_p) char *path =
		xasprintf("%s/sys/bus/pci/devices/%s/%s", root, device, link);
	ssize_t n = readlink(path, room, PATH_MAX - 1);
	const char *slash;

	if (n < 0)
		return "";
	room[n] = '\0';
	slash = strrchr(room, '/');
	return slash ? slash + 1 : room;
}

static bool selector_parse(const char *text, unsigned *vendor, unsigned *product)
{
	size_t n = 0;

	while (isxdigit((unsigned char)text[n]))
		n++;
	return n == 4 && text[4] == ':' && strlen(text) == 9 &&
	       sscanf(text, "%4x:%4x", vendor, product) == 2;
}

/* Another device of the group that a driver of the host has; "" = none. Bridges stay with it. */
static const char *group_mate(const char *root, const char *group, const char *device, char ret[64],
	char driver[PATH_MAX])
{
	_cleanup_(free_p) char *path =
		xasprintf("%s/sys/kernel/iommu_groups/%s/devices", root, group);
	DIR *dir = opendir(path);

	ret[0] = '\0';
	for (struct dirent *e; !*ret && dir && (e = readdir(dir));) {
		unsigned class = 0;
		const char *name;

		if (e->d_name[0] == '.' || streq(e->d_name, device))
			continue;
		name = link_name(root, e->d_name, "driver", driver);
		read_number(root, e->d_name, "class", &class);
		if (!*name || streq(name, "vfio-pci") || class >> 8 == 0x0604)
			continue;
		snprintf(ret, 64, "%.40s (%.18s)", e->d_name, name);
	}
	if (dir)
		closedir(dir);
	return ret;
}

static bool in_list(const char *const *list, const char *word)
{
	for (; list && *list; list++)
		if (streq(*list, word))
			return true;
	return false;
}

/* How far it came: the message of the furthest is told. */
enum hurdle { NOT_THERE, NO_IOMMU, NOT_VFIO, GROUP_SHARED, NO_NODE, TAKEN, FIT };

static enum hurdle try_device(const char *root, const char *asked, const char *device,
	const char *const *taken, struct err *err)
{
	char group_link[PATH_MAX], driver_link[PATH_MAX], mate[64], mate_link[PATH_MAX];
	const char *group = link_name(root, device, "iommu_group", group_link);
	const char *driver = link_name(root, device, "driver", driver_link);
	_cleanup_(free_p) char *node = xasprintf("%s/dev/vfio/%s", root, group);

	if (!*group) {
		err_set(err, -EOPNOTSUPP,
			"%s: the device %s has no IOMMU group: switch the IOMMU on (VT-d or AMD-Vi "
			"in "
			"the firmware, intel_iommu=on for the kernel)",
			asked, device);
		return NO_IOMMU;
	}
	if (!streq(driver, "vfio-pci")) {
		err_set(err, -EOPNOTSUPP,
			"%s: the device %s belongs to the host's driver '%s', not to vfio-pci: "
			"driverctl set-override %s vfio-pci",
			asked, device, *driver ? driver : "none", device);
		return NOT_VFIO;
	}
	if (*group_mate(root, group, device, mate, mate_link)) {
		err_set(err, -EOPNOTSUPP,
			"%s: the device %s shares its IOMMU group %s with %s, which the host uses",
			asked, device, group, mate);
		return GROUP_SHARED;
	}
	if (access(node, F_OK) < 0) {
		err_set(err, -EOPNOTSUPP, "%s: %s is missing (kernel module vfio)", asked, node);
		return NO_NODE;
	}
	if (in_list(taken, device)) {
		err_set(err, -EBUSY, "%s: the device %s belongs to another virtual machine", asked,
			device);
		return TAKEN;
	}
	return FIT;
}

/* Calls for each device that matches; the furthest of them, with its message. */
static enum hurdle try_all(const char *root, const char *asked, const char *selector,
	const char *const *taken, unsigned *ret_fit, char ret[16], struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/sys/bus/pci/devices", root);
	unsigned want[2], has[2];
	enum hurdle furthest = NOT_THERE;
	DIR *dir;

	*ret_fit = 0;
	if (!selector_parse(selector, &want[0], &want[1])) {
		err_set(err, -EINVAL, "%s: '%s' is not a pciVendorSelector such as 10DE:1EB8",
			asked, selector);
		return NOT_THERE;
	}
	err_set(err, -EOPNOTSUPP, "%s: this host has no PCI device %s", asked, selector);
	dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		struct err why = ERR_INIT;
		enum hurdle came;

		if (e->d_name[0] == '.' || strlen(e->d_name) > 15 ||
			!read_number(root, e->d_name, "vendor", &has[0]) ||
			!read_number(root, e->d_name, "device", &has[1]) || has[0] != want[0] ||
			has[1] != want[1])
			continue;
		came = try_device(root, asked, e->d_name, taken, &why);
		if (came == FIT && !(*ret_fit)++)
			snprintf(ret, 16, "%.15s", e->d_name);
		if (came > furthest) {
			furthest = came;
			*err = why;
		}
	}
	if (dir)
		closedir(dir);
	return furthest;
}

int pci_find(const char *root, const char *asked, const char *selector, const char *const *taken,
	char ret[16], struct err *err)
{
	struct err why = ERR_INIT;
	unsigned fit;

	if (try_all(root, asked, selector, taken, &fit, ret, &why) == FIT)
		return 0;
	*err = why;
	return why.code;
}

unsigned pci_count(const char *root, const char *asked, const char *selector, struct err *why)
{
	char first[16];
	unsigned fit;

	try_all(root, asked, selector, NULL, &fit, first, why);
	return fit;
}

const char **pci_taken(const char *directory, const char *except, struct arena *a)
{
	const char **list = arena_zalloc(a, sizeof(*list));
	size_t count = 0;
	DIR *dir = opendir(directory);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		_cleanup_(free_p) char *path = xasprintf("%s/%s/devices", directory, e->d_name);
		char text[RECORD_MAX];

		if (e->d_name[0] == '.' || streq(e->d_name, except) ||
			files_read(path, text, sizeof(text)) <= 0)
			continue;
		for (char *save, *line = strtok_r(text, "\n", &save); line;
			line = strtok_r(NULL, "\n", &save)) {
			list = arena_grow(
				a, list, (count + 1) * sizeof(*list), (count + 2) * sizeof(*list));
			list[count++] = arena_strdup(a, line);
			list[count] = NULL;
		}
	}
	if (dir)
		closedir(dir);
	return list;
}

int pci_record(const char *directory, const char *uid, const char *const *addresses, size_t count,
	struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s/devices", directory, uid);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	for (size_t i = 0; i < count; i++)
		buf_printf(&b, "%s\n", addresses[i]);
	return files_write(path, b.data, b.size, 0600, err);
}
