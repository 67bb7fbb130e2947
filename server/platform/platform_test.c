/* Which settings of a KubeVirt object are named as not followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/platform/platform.h"

static void expect(const char *settings, const char *ignored)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;
	assert_int_equal(json_parse(&a, settings, strlen(settings), NULL, &doc, NULL), 0);
	const char *got = platform_ignored_settings(&a, doc);
	if (ignored)
		assert_string_equal(got, ignored);
	else
		assert_null(got);
}

static void test_ignored_settings(void **state)
{
	expect("{}", NULL);
	expect("{\"machineType\":\"q35\",\"cpuModel\":\"host-model\"}", NULL);
	expect("{\"ksmConfiguration\":{\"nodeLabelSelector\":{}}}", NULL);
	expect("{\"migrations\":{\"parallelMigrationsPerCluster\":5},\"cpuModel\":\"x\","
	       "\"vmRolloutStrategy\":\"Stage\"}",
		"migrations");
	/* Empty ones ask for nothing. */
	expect("{\"migrations\":{},\"network\":{\"binding\":{}},\"emulatedMachines\":[],"
	       "\"minCPUModel\":\"\",\"smbios\":null}",
		NULL);
	/* In part: each by its own name. */
	expect("{\"developerConfiguration\":{\"useEmulation\":true,\"featureGates\":[\"Snapshot\"],"
	       "\"minimumReservePVCBytes\":4},\"permittedHostDevices\":{\"usb\":[{}],"
	       "\"mediatedDevices\":[{\"a\":1}],\"pciHostDevices\":[{\"a\":1}]}}",
		"developerConfiguration.featureGates, "
		"developerConfiguration.minimumReservePVCBytes, "
		"permittedHostDevices.usb, permittedHostDevices.mediatedDevices");
	/* What should have been an object is named, not looked into. */
	expect("{\"developerConfiguration\":7}", "developerConfiguration");
	expect("{\"virtualMachineInstancesPerNode\":0}", "virtualMachineInstancesPerNode");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ignored_settings)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
