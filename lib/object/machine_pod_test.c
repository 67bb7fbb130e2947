/* A machine as the pod that it counts as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/object/machine_pod.h"

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc;

	assert_int_equal(json_parse(a, text, strlen(text), NULL, &doc, NULL), 0);
	return doc;
}

static void only_the_pod_network_counts(void **state)
{
	struct arena a = ARENA_INIT;

	assert_string_equal(machine_pod_address(parse(&a,
				    "{\"spec\":{\"networks\":[{\"name\":\"lan\",\"multus\":{}},"
				    "{\"name\":\"p\",\"pod\":{}}]},\"status\":{\"interfaces\":["
				    "{\"name\":\"lan\",\"ipAddress\":\"192.168.1.1\"},"
				    "{\"name\":\"p\",\"ipAddress\":\"10.244.0.2\","
				    "\"ipAddresses\":[\"10.244.0.2\",\"10.244.0.66\"]}]}}")),
		"10.244.0.2");
	assert_string_equal(
		machine_pod_address(parse(&a,
			"{\"spec\":{\"networks\":[{\"name\":\"lan\",\"multus\":{}}]},\"status\":{"
			"\"interfaces\":[{\"name\":\"lan\",\"ipAddress\":\"10.244.0.9\"}]}}")),
		"");
	assert_string_equal(machine_pod_address(parse(&a, "{\"spec\":{},\"status\":{\"interfaces\":"
							  "[{\"ipAddress\":\"10.244.0.3\"}]}}")),
		"10.244.0.3");
	assert_string_equal(machine_pod_address(parse(&a, "{\"spec\":{}}")), "");
	arena_finish(&a);
}

static void labels_are_the_pods(void **state)
{
	struct arena a = ARENA_INIT;
	const struct object_label own[] = {{"app", "x"}, {"kubevirt.io/vm", "m"}, {"z", "1"}};
	struct object o = {.name = "m", .labels = own, .label_count = 3};
	struct object_label *labels;

	assert_int_equal(machine_pod_labels(&a, &o, &labels), 5);
	for (size_t i = 1; i < 5; i++)
		assert_true(strcmp(labels[i - 1].key, labels[i].key) < 0);
	assert_string_equal(labels[1].key, "kubevirt.io");
	assert_string_equal(labels[3].key, "vm.kubevirt.io/name");
	assert_string_equal(labels[3].value, "m");
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_pod_network_counts),
		cmocka_unit_test(labels_are_the_pods),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
