#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/object/machine_requests.h"

static void amounts_of_machines(void **state)
{
	static const struct {
		const char *domain;
		int64_t cpu_milli, memory_mib;
	} cases[] = {
		{"{}", 100, 256 + 96},
		{"{\"cpu\":{\"cores\":2,\"sockets\":2}}", 400, 256 + 96},
		{"{\"cpu\":{\"cores\":2,\"dedicatedCpuPlacement\":true,"
		 "\"isolateEmulatorThread\":true}}",
			3000, 256 + 96},
		{"{\"resources\":{\"requests\":{\"cpu\":\"1500m\",\"memory\":\"1Gi\"}},"
		 "\"memory\":{\"guest\":\"2Gi\"}}",
			1500, 1024 + 96},
		{"{\"memory\":{\"guest\":\"2Gi\"}}", 100, 2048 + 96},
		{"{\"resources\":{\"limits\":{\"cpu\":\"2\",\"memory\":\"512Mi\"}}}", 2000,
			512 + 96},
		{"{\"cpu\":{\"cores\":3},\"resources\":{\"limits\":{\"cpu\":\"2\"}}}", 300,
			256 + 96},
		{"{\"memory\":{\"guest\":\"2Gi\",\"hugepages\":{\"pageSize\":\"2Mi\"}}}", 100, 96},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const char *text = arena_printf(&a, "{\"domain\":%s}", cases[i].domain);
		struct json *spec;

		assert_int_equal(
			json_parse(&a, (char *)(uintptr_t)text, strlen(text), NULL, &spec, NULL),
			0);
		assert_int_equal(machine_request_cpu_milli(spec), cases[i].cpu_milli);
		assert_int_equal(machine_request_memory_bytes(spec), cases[i].memory_mib << 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts_of_machines),
	};

	return cmocka_run_group_tests_name("machine requests", tests, NULL, NULL);
}
