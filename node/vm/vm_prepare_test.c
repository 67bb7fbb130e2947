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

static void seed_names_the_instance(void **state)
{
	struct vm_spec s = {.name = "web", .namespace = "default", .hostname = "front\"\n: x"};
	struct buf b = BUF_INIT;

	cloud_init_meta_data(&b, &s);
	assert_string_equal(
		b.data, "instance-id: \"web.default\"\nlocal-hostname: \"front\\\"\\n: x\"\n");
	buf_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_disks_stay_where_they_may_be),
		cmocka_unit_test(seed_names_the_instance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
