#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "node/vm/host/pci.h"
#include "node/vm/image/image_files.h"

static char root[] = "/tmp/pci_test.XXXXXX";

static void put(const char *path, const char *text, const char *link)
{
	_cleanup_(free_p) char *whole = xasprintf("%s/%s", root, path);

	for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(whole, 0755);
		*p = '/';
	}
	if (link) {
		assert_int_equal(symlink(link, whole), 0);
	} else {
		struct err err = ERR_INIT;

		assert_int_equal(files_write(whole, text, strlen(text), 0644, &err), 0);
	}
}

static void device(const char *address, const char *vendor, const char *product, const char *class,
	const char *driver, const char *group)
{
	char path[128], link[128];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vendor", address);
	put(path, vendor, NULL);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/device", address);
	put(path, product, NULL);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/class", address);
	put(path, class, NULL);
	if (driver) {
		snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/driver", address);
		snprintf(link, sizeof(link), "../../../bus/pci/drivers/%s", driver);
		put(path, NULL, link);
	}
	if (group) {
		snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/iommu_group", address);
		snprintf(link, sizeof(link), "../../../kernel/iommu_groups/%s", group);
		put(path, NULL, link);
		snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%s/devices/%s", group,
			address);
		put(path, "", NULL);
	}
}

static void expect(const char *selector, const char *const *taken, int code, const char *what)
{
	struct err err = ERR_INIT;
	char address[16] = "";
	int r = pci_find(root, "hostDevices[0]", selector, taken, address, &err);

	if (r != code || !strstr(r < 0 ? err.msg : address, what))
		fail_msg("%s gave %d: %s %s", selector, r, address, err.msg);
}

static void each_hurdle_is_named(void **state)
{
	assert_non_null(mkdtemp(root));
	device("0000:01:00.0", "0x10de\n", "0x1eb8\n", "0x030000\n", "nouveau", NULL);
	device("0000:02:00.0", "0x10de\n", "0x0001\n", "0x030000\n", "nouveau", "1");
	device("0000:03:00.0", "0x10de\n", "0x0002\n", "0x030000\n", "vfio-pci", "2");
	device("0000:03:00.1", "0x10de\n", "0x0003\n", "0x040300\n", "snd_hda_intel", "2");
	device("0000:04:00.0", "0x10de\n", "0x0004\n", "0x030000\n", "vfio-pci", "3");
	device("0000:05:00.0", "0x8086\n", "0x1521\n", "0x020000\n", "vfio-pci", "4");
	device("0000:05:01.0", "0x8086\n", "0x0099\n", "0x060400\n", "pcieport", "4");
	device("0000:06:00.0", "0x8086\n", "0x1521\n", "0x020000\n", "igb", "5");
	put("dev/vfio/2", "", NULL);
	put("dev/vfio/4", "", NULL);
	expect("10DE:9999", NULL, -EOPNOTSUPP, "no PCI device 10DE:9999");
	expect("10de", NULL, -EINVAL, "'10de' is not a pciVendorSelector");
	expect("10DE:1EB8", NULL, -EOPNOTSUPP, "has no IOMMU group");
	expect("10DE:0001", NULL, -EOPNOTSUPP, "driver 'nouveau', not to vfio-pci");
	expect("10DE:0002", NULL, -EOPNOTSUPP, "with 0000:03:00.1 (snd_hda_intel)");
	expect("10DE:0004", NULL, -EOPNOTSUPP, "dev/vfio/3 is missing");
	expect("8086:1521", NULL, 0, "0000:05:00.0");
	expect("8086:1521", (const char *const[]){"0000:05:00.0", NULL}, -EBUSY,
		"belongs to another virtual machine");
}

static void all_are_counted(void **state)
{
	struct err why = ERR_INIT;

	assert_int_equal(pci_count(root, "x", "8086:1521", &why), 1);
	assert_int_equal(pci_count(root, "vendor/card", "10DE:9999", &why), 0);
	assert_string_equal(why.msg, "vendor/card: this host has no PCI device 10DE:9999");
}

static void records(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(free_p) char *home = xasprintf("%s/one", root);
	struct err err = ERR_INIT;
	const char **taken;

	assert_int_equal(mkdir(home, 0700), 0);
	assert_int_equal(
		pci_record(root, "one", (const char *const[]){"0000:05:00.0"}, 1, &err), 0);
	taken = pci_taken(root, "two", &a);
	assert_string_equal(taken[0], "0000:05:00.0");
	assert_null(taken[1]);
	assert_null(pci_taken(root, "one", &a)[0]);
	files_remove_tree(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_hurdle_is_named),
		cmocka_unit_test(all_are_counted),
		cmocka_unit_test(records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
