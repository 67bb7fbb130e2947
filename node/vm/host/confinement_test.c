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
#include "node/vm/host/confinement.h"
#include "node/vm/image/image_files.h"

static char root[] = "/tmp/confinement_test.XXXXXX";

static char *place(const char *path)
{
	char *whole = xasprintf("%s/%s", root, path);

	for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(whole, 0755);
		*p = '/';
	}
	return whole;
}

static void put(const char *path, const char *text)
{
	_cleanup_(free_p) char *whole = place(path);
	struct err err = ERR_INIT;

	assert_int_equal(files_write(whole, text, strlen(text), 0644, &err), 0);
}

static void put_link(const char *path, const char *target)
{
	_cleanup_(free_p) char *whole = place(path);

	assert_int_equal(symlink(target, whole), 0);
}

static void reads_what_the_kernel_shows(void **state)
{
	struct confinement c;
	struct err err = ERR_INIT;
	char text[400];

	assert_non_null(mkdtemp(root));
	assert_int_equal(confinement_read(root, "ns_vm", &c, &err), -ENOENT);
	put("run/libvirt/qemu/ns_vm.pid", "77");
	assert_int_equal(confinement_read(root, "ns_vm", &c, &err), -ENOENT);
	put("proc/77/status", "Name:\tqemu\nUid:\t64055\t64055\t64055\t64055\n"
			      "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
	put("proc/77/cgroup", "3:devices:/machine/qemu-1-ns_vm.libvirt-qemu\n1:cpu:/\n");
	put("proc/77/attr/current", "libvirt-6b8f3c55 (enforce)\n");
	put_link("proc/77/ns/mnt", "mnt:[2]");
	put_link("proc/self/ns/mnt", "mnt:[1]");
	assert_int_equal(confinement_read(root, "ns_vm", &c, &err), 0);
	assert_true(confinement_whole(&c));
	confinement_text(&c, text, sizeof(text));
	assert_string_equal(text,
		"user 64055; no capabilities; seccomp filter; private mounts and devices; control "
		"group of devices; label libvirt-6b8f3c55 (enforce)");
	/* cgroup v2, no label, and everything else missing. */
	put("proc/77/cgroup", "0::/machine.slice/machine-qemu\\x2d1.scope/libvirt/emulator\n");
	put("proc/77/attr/current", "unconfined\n");
	assert_int_equal(confinement_read(root, "ns_vm", &c, &err), 0);
	assert_true(c.device_group);
	assert_string_equal(c.label, "");
	put("proc/77/cgroup", "3:devices:/\n1:cpu:/machine/qemu-1\n");
	put("proc/77/status", "Name:\tqemu\nUid:\t0\t0\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n");
	assert_int_equal(confinement_read(root, "ns_vm", &c, &err), 0);
	assert_false(confinement_whole(&c) || c.own_user || c.device_group || c.seccomp);
	confinement_text(&c, text, sizeof(text));
	assert_non_null(strstr(text, "ROOT (user 0); CAPABILITIES; NO SECCOMP FILTER"));
	assert_non_null(strstr(text, "not on this host: SELinux, AppArmor"));
	files_remove_tree(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_kernel_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
