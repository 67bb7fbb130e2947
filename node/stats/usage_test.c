#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/json/json.h"
#include "node/stats/disk_usage.h"
#include "node/stats/usage.h"

static const char proc_stat[] = "cpu  100 20 30 4000 50 6 7 800 90 10\n"
				"cpu0 1 1 1 1\nbtime 1700000000\n";
static const char meminfo[] = "MemTotal:        1000 kB\nMemFree:          300 kB\n"
			      "Inactive:         222 kB\nInactive(file):   100 kB\n"
			      "AnonPages:        250 kB\n";
static const char vmstat[] = "pgfault 77\npgmajfault 5\n";

static void test_host(void **state)
{
	struct host_usage h = {0};

	host_usage_parse(proc_stat, meminfo, vmstat, 100, &h);
	/* user, nice, system, irq, softirq; neither idle, iowait, steal nor guests' (in user's). */
	assert_int_equal(h.cpu_ns, (100 + 20 + 30 + 6 + 7) * 10000000ull);
	assert_int_equal(h.booted_ns, 1700000000ll * 1000000000);
	assert_int_equal(h.memory_bytes, 1000 * 1024);
	assert_int_equal(h.usage_bytes, 700 * 1024);
	assert_int_equal(h.working_set_bytes, 600 * 1024);
	assert_int_equal(h.available_bytes, 400 * 1024);
	assert_int_equal(h.resident_bytes, 250 * 1024);
	assert_int_equal(h.page_faults, 77);
	assert_int_equal(h.major_page_faults, 5);
}

static void test_host_nothing(void **state)
{
	struct host_usage h = {0};

	host_usage_parse("", "", "", 100, &h);
	assert_int_equal(h.cpu_ns, 0);
	assert_int_equal(h.working_set_bytes, 0);
	host_usage_parse("cpu x", "MemTotal:", "pgfault", 0, &h);
	assert_int_equal(h.memory_bytes, 0);
}

static struct container_usage containers[] = {
	{.ns = "a",
		.pod = "p",
		.uid = "1",
		.container = "x",
		.time_ns = 2000000000,
		.cpu_ns = 1500000000,
		.working_set_bytes = 10,
		.usage_bytes = 20,
		.started_ns = 1700000000250000000,
		.nano_cores = 5},
	{.ns = "a",
		.pod = "p",
		.uid = "1",
		.container = "y",
		.time_ns = 2000000000,
		.cpu_ns = 500000001,
		.working_set_bytes = 30,
		.swap_bytes = 5,
		.nano_cores = USAGE_UNKNOWN},
	{.ns = "b",
		.pod = "q",
		.uid = "2",
		.container = "z",
		.time_ns = 3000000000,
		.cpu_ns = 7,
		.working_set_bytes = 4,
		.nano_cores = 9},
};
static struct vm_disk_usage vm_disks[] = {{.name = "root", .read_bytes = 5, .read_ns = 1500000000},
	{.name = "a\"b", .read_bytes = 6}};
static struct vm_interface_usage vm_interfaces[] = {{.name = "default", .received_bytes = 11}};
static struct machine_usage machines[] = {
	{.vm = {.ns = "m",
		 .name = "vm",
		 .uid = "3",
		 .cpu_ns = 250000000,
		 .resident_bytes = 99,
		 .used_bytes = 77,
		 .disks = vm_disks,
		 .disk_count = ARRAY_LEN(vm_disks),
		 .interfaces = vm_interfaces,
		 .interface_count = ARRAY_LEN(vm_interfaces)},
		.time_ns = 4000000000},
};
static const struct usage all = {.node = "n1",
	.host = {.time_ns = 5000000000,
		.cpu_ns = 1,
		.working_set_bytes = 6,
		.swap_bytes = 10,
		.swap_used_bytes = 3},
	.host_nano_cores = 8,
	.containers = containers,
	.container_count = ARRAY_LEN(containers),
	.machines = machines,
	.machine_count = ARRAY_LEN(machines)};

static void assert_has(const struct buf *b, const char *line)
{
	if (!strstr(b->data, line))
		fail_msg("no '%s' in\n%s", line, b->data);
}

static void test_metrics(void **state)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	usage_write_metrics(&all, &b);
	assert_has(&b, "\ncontainer_cpu_usage_seconds_total{container=\"x\",namespace=\"a\","
		       "pod=\"p\"} 1.500000000 2000\n");
	assert_has(
		&b, "\npod_cpu_usage_seconds_total{namespace=\"a\",pod=\"p\"} 2.000000001 2000\n");
	assert_has(&b, "\npod_memory_working_set_bytes{namespace=\"a\",pod=\"p\"} 40 2000\n");
	assert_has(&b, "\npod_memory_working_set_bytes{namespace=\"b\",pod=\"q\"} 4 3000\n");
	assert_has(&b, "\nnode_cpu_usage_seconds_total 0.000000001 5000\n");
	assert_has(&b, "\nkubevirt_vmi_cpu_usage_seconds_total{name=\"vm\",namespace=\"m\","
		       "node=\"n1\"} 0.250000000 4000\n");
	assert_has(&b, "\nkubevirt_vmi_memory_used_bytes{name=\"vm\",namespace=\"m\","
		       "node=\"n1\"} 77 4000\n");
	/* What the guest has not told is not said to be nothing. */
	assert_null(strstr(b.data, "\nkubevirt_vmi_memory_available_bytes{"));
	assert_has(&b,
		"\nkubevirt_vmi_network_receive_bytes_total{interface=\"default\",name=\"vm\","
		"namespace=\"m\",node=\"n1\"} 11 4000\n");
	assert_has(&b, "\nkubevirt_vmi_storage_read_traffic_bytes_total{drive=\"root\",name=\"vm\","
		       "namespace=\"m\",node=\"n1\"} 5 4000\n");
	assert_has(&b, "\nkubevirt_vmi_storage_read_times_seconds_total{drive=\"root\",name=\"vm\","
		       "namespace=\"m\",node=\"n1\"} 1.500000000 4000\n");
	assert_has(&b, "total{drive=\"a_b\",");
	assert_has(&b, "\ncontainer_swap_usage_bytes{container=\"y\",namespace=\"a\",pod=\"p\"} "
		       "5 2000\n");
	assert_has(&b, "\npod_swap_usage_bytes{namespace=\"a\",pod=\"p\"} 5 2000\n");
	assert_has(&b, "\nnode_swap_usage_bytes 3 5000\n");
	assert_has(&b, "\ncontainer_start_time_seconds{container=\"x\",namespace=\"a\","
		       "pod=\"p\"} 1700000000.250000000\n");
	assert_null(strstr(b.data, "container_start_time_seconds{container=\"y\""));
	assert_has(&b, "\nresource_scrape_error 0\n");
}

static const struct pod_disk *disk_of(void *disks, const char *uid)
{
	return streq(uid, "2") ? disks : NULL;
}

static void test_summary_of_disks(void **state)
{
	struct volume_disk volumes[] = {
		{.name = "v", .ephemeral = true, .used_bytes = 100, .capacity_bytes = 5000},
		{.name = "data", .claim = "c", .used_bytes = 1000},
	};
	struct log_disk logs[] = {{"z", 10, 1}};
	struct pod_disk disk = {.ns = "b",
		.volumes = volumes,
		.volume_count = 2,
		.logs = logs,
		.log_count = 1,
		.time_ns = 3000000000};
	struct usage u = all;
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;

	u.disk_of = disk_of;
	u.disks = &disk;
	usage_write_summary(&u, &b);
	assert_int_equal(json_parse(&a, b.data, b.size, NULL, &doc, NULL), 0);
	assert_null(json_path(doc, "pods[0].volume"));
	assert_string_equal(json_path_str(doc, "pods[1].volume[0].name"), "v");
	assert_int_equal(json_path_int(doc, "pods[1].volume[0].capacityBytes", -1), 5000);
	assert_int_equal(json_path_int(doc, "pods[1].volume[1].usedBytes", -1), 1000);
	assert_string_equal(json_path_str(doc, "pods[1].volume[1].pvcRef.name"), "c");
	assert_string_equal(json_path_str(doc, "pods[1].volume[1].pvcRef.namespace"), "b");
	assert_int_equal(json_path_int(doc, "pods[1].ephemeral-storage.usedBytes", -1), 110);
	assert_int_equal(json_path_int(doc, "pods[1].containers[0].logs.usedBytes", -1), 10);
}

static void test_summary(void **state)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct arena a = ARENA_INIT;
	struct json *doc;

	usage_write_summary(&all, &b);
	assert_int_equal(json_parse(&a, b.data, b.size, NULL, &doc, NULL), 0);
	assert_string_equal(json_path_str(doc, "node.nodeName"), "n1");
	assert_int_equal(json_path_int(doc, "node.cpu.usageNanoCores", -1), 8);
	assert_int_equal(json_count(json_get(doc, "pods")), 2);
	assert_int_equal(json_path_int(doc, "node.swap.swapAvailableBytes", -1), 7);
	assert_int_equal(json_path_int(doc, "node.swap.swapUsageBytes", -1), 3);
	assert_int_equal(json_path_int(doc, "pods[0].swap.swapUsageBytes", -1), 5);
	assert_string_equal(json_path_str(doc, "pods[0].podRef.uid"), "1");
	assert_int_equal(json_count(json_path(doc, "pods[0].containers")), 2);
	assert_int_equal(json_path_int(doc, "pods[0].memory.workingSetBytes", -1), 40);
	/* What is not known of one container is not known of the pod. */
	assert_null(json_path(doc, "pods[0].cpu.usageNanoCores"));
	assert_int_equal(json_path_int(doc, "pods[1].cpu.usageNanoCores", -1), 9);
	arena_finish(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_host_nothing),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_summary_of_disks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
