#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "node/vm/image/container_disks.h"

#define LINE(mode, size, name) mode " 0/0 " size " 2026-11-21 03:00:00 " name "\n"

static void a_disk_is_a_regular_file_in_disk(void **state)
{
	struct tar_choice c;

	tar_choose(LINE("drwxr-xr-x", "0", "disk/") LINE("lrwxrwxrwx", "0", "disk/a -> /etc/shadow")
			   LINE("hrw-r--r--", "0", "disk/b link to etc/passwd")
				   LINE("-rw-r--r--", "7", "disk/sub/c.img")
					   LINE("-rw-r--r--", "12345", "./disk/vm.qcow2")
						   LINE("-rw-r--r--", "1", "disk/z.qcow2"),
		NULL, &c);
	assert_string_equal(c.name, "./disk/vm.qcow2");
	assert_int_equal(c.size, 12345);
	assert_false(c.hidden);
	tar_choose(LINE("-rw-r--r--", "9", "/boot/vmlinuz 1"), "/boot/vmlinuz 1", &c);
	assert_string_equal(c.name, "/boot/vmlinuz 1");
	tar_choose(LINE("-rw-r--r--", "9", "boot/vmlinuz-6.1"), "/boot/vmlinuz", &c);
	assert_string_equal(c.name, "");
}

static void odd_names_and_sizes_are_passed_over(void **state)
{
	struct tar_choice c;

	tar_choose(LINE("-rw-r--r--", "5", "disk/a\\nb") LINE("-rw-r--r--", "-5", "disk/b")
			   LINE("-rw-r--r--", "99999999999999999999", "disk/c") "garbage\n\n-",
		NULL, &c);
	assert_string_equal(c.name, "");
}

static void whiteouts_hide_lower_layers(void **state)
{
	struct tar_choice c;

	tar_choose(LINE("-rw-r--r--", "0", "disk/.wh.vm.img"), "/disk/vm.img", &c);
	assert_true(c.hidden);
	tar_choose(LINE("-rw-r--r--", "0", "disk/.wh.other.img"), "/disk/vm.img", &c);
	assert_false(c.hidden);
	tar_choose(LINE("-rw-r--r--", "0", "./disk/.wh..wh..opq"), NULL, &c);
	assert_true(c.hidden);
}

static int check(const char *text)
{
	int64_t bytes;

	return disk_info_check(text, strlen(text), &bytes, NULL);
}

static void disks_refer_to_nothing_else(void **state)
{
	assert_int_equal(check("{\"format\":\"qcow2\",\"virtual-size\":1073741824}"), 0);
	assert_int_equal(check("{\"format\":\"raw\",\"virtual-size\":512}"), 0);
	assert_int_equal(check("{\"format\":\"vmdk\",\"virtual-size\":512}"), -EINVAL);
	assert_int_equal(check("{\"format\":\"qcow2\",\"virtual-size\":512,\"backing-filename\":\"/"
			       "etc/shadow\"}"),
		-EINVAL);
	assert_int_equal(
		check("{\"format\":\"qcow2\",\"virtual-size\":512,\"format-specific\":{\"data\":"
		      "{\"data-file\":\"/etc/shadow\"}}}"),
		-EINVAL);
	assert_int_equal(
		check("{\"format\":\"qcow2\",\"virtual-size\":512,\"encrypted\":true}"), -EINVAL);
	assert_int_equal(check("{\"format\":\"qcow2\",\"virtual-size\":0}"), -EINVAL);
	assert_int_equal(
		check("{\"format\":\"qcow2\",\"virtual-size\":9223372036854775807}"), -EINVAL);
	assert_int_equal(check("{\"format\":"), -EINVAL);
}

static void registries(void **state)
{
	static const struct {
		const char *image, *want;
	} cases[] = {
		{"registry.lab:5000/a/b:1", "registry.lab:5000"},
		{"localhost/a", "localhost"},
		{"ghcr.io/a@sha256:00", "ghcr.io"},
		{"library/a:1", "docker.io"},
		{"a", "docker.io"},
	};
	char host[300];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		image_registry(cases[i].image, host, sizeof(host));
		assert_string_equal(host, cases[i].want);
	}
	assert_true(hosts_toml_insecure("server = \"http://registry.lab:5000\"\n"));
	assert_true(hosts_toml_insecure("[host.\"http://10.0.0.1:5000\"]\n"));
	assert_true(hosts_toml_insecure("  skip_verify = true\n"));
	assert_false(
		hosts_toml_insecure("# http://x\nserver = \"https://registry-1.docker.io\"\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_is_a_regular_file_in_disk),
		cmocka_unit_test(odd_names_and_sizes_are_passed_over),
		cmocka_unit_test(whiteouts_hide_lower_layers),
		cmocka_unit_test(disks_refer_to_nothing_else),
		cmocka_unit_test(registries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
