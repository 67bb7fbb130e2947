#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/buf.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_disks_stay_where_they_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
