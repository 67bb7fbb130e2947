#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/vec.h"
#include "node/vm/spec/vm_spec.h"
#include "node/vm/vm_prepare.h"

/* The library's other parts report to the agent, which is not here. */
void node_report(
	struct node *n, const char *part, bool ready, const char *reason, const char *message)
{
}

static void host_disks_stay_where_they_may_be(void **state)
{
	assert_true(host_disk_allowed("/var/lib/hanok-disks/a.img", "/var/lib/hanok-disks"));
	assert_true(host_disk_allowed("/data/x/a.img", "/var/lib/hanok-disks\n/data/\n"));
	assert_false(host_disk_allowed("/var/lib/hanok-disks-2/a.img", "/var/lib/hanok-disks"));
	assert_false(host_disk_allowed("/etc/shadow", "/var/lib/hanok-disks\n\nrelative\n"));
}

static void addresses_are_remembered_until_forgotten(void **state)
{
	char base[] = "/tmp/hanok-vm-prepare-XXXXXX", ret[16];
	_cleanup_(free_p) char *vms = NULL, *parent = NULL;
	struct lease_kept_list list = {0};

	assert_non_null(mkdtemp(base));
	vms = xasprintf("%s/vms", base);
	parent = xasprintf("%s-addresses", vms);
	vm_address_list(vms, &list); /* nothing was remembered yet */
	assert_int_equal(list.count, 0);

	vm_address_keep(vms, "default_a", "10.244.0.2");
	vm_address_keep(vms, "default_b", "10.244.0.3");
	vm_address_recall(vms, "default_a", ret);
	assert_string_equal(ret, "10.244.0.2");
	VEC_PUSH(&list, xstrdup("default_a")); /* is not named twice */
	vm_address_list(vms, &list);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.items[1], "default_b");

	vm_address_forget(vms, "default_a");
	vm_address_forget(vms, "default_a");
	vm_address_recall(vms, "default_a", ret);
	assert_string_equal(ret, "");
	vm_address_forget(vms, "default_b");
	assert_int_equal(rmdir(parent), 0);
	assert_int_equal(rmdir(base), 0);
	lease_kept_list_finish(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_disks_stay_where_they_may_be),
		cmocka_unit_test(addresses_are_remembered_until_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
