/* Which socket a connection URI means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/vm/libvirt/libvirt_uri.h"

static void test_forms(void **state)
{
	char address[LIBVIRT_SOCKET_ROOM];
	assert_int_equal(libvirt_socket_address("unix:///tmp/x", address, NULL), 0);
	assert_string_equal(address, "unix:///tmp/x");
	assert_int_equal(
		libvirt_socket_address("qemu+unix:///system?socket=/run/my", address, NULL), 0);
	assert_string_equal(address, "unix:///run/my");
	assert_int_equal(libvirt_socket_address("qemu:///system", address, NULL), 0);
	assert_non_null(strstr(address, "unix:///run/libvirt/"));
}

static void test_refused(void **state)
{
	const char *const bad[] = {"", "qemu:///session", "qemu+ssh://host/system", "xen:///system",
		"unix://x", "qemu+unix:///system?socket=relative"};
	char address[LIBVIRT_SOCKET_ROOM] = "untouched";
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(libvirt_socket_address(bad[i], address, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "qemu:///system"));
		assert_string_equal(address, "untouched");
	}
	char longer[300] = "unix:///";
	memset(longer + 8, 'a', sizeof(longer) - 9);
	assert_int_equal(libvirt_socket_address(longer, address, NULL), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests_name("libvirt_uri", tests, NULL, NULL);
}
