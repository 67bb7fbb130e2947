/* cgroup_usage_test.c - files of control groups of both versions, and finding a container's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "node/stats/cgroup_usage.h"

static void v1(void **state)
{
	struct cgroup_usage u = {0};

	cgroup_parse_memory_v1("cache 1\nrss 2\ntotal_cache 4096\ntotal_rss 8192\n"
			       "total_mapped_file 12\ntotal_swap 13\ntotal_pgfault 14\n"
			       "total_pgmajfault 15\n",
		&u);
	cgroup_parse_cpu_v1("nr_periods 7\nnr_throttled 3\nthrottled_time 250000000\n", &u);
	assert_int_equal(u.cache_bytes, 4096);
	assert_int_equal(u.resident_bytes, 8192);
	assert_int_equal(u.mapped_bytes, 12);
	assert_int_equal(u.swap_bytes, 13);
	assert_int_equal(u.page_faults, 14);
	assert_int_equal(u.major_page_faults, 15);
	assert_int_equal(u.periods, 7);
	assert_int_equal(u.throttled_periods, 3);
	assert_int_equal(u.throttled_ns, 250000000);
}

static void v2(void **state)
{
	struct cgroup_usage u = {0};

	cgroup_parse_memory_v2("anon 8192\nfile 4096\nkernel 1\nfile_mapped 12\npgfault 14\n"
			       "pgmajfault 15\n",
		"low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n", &u);
	cgroup_parse_cpu_v2("usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 7\n"
			    "nr_throttled 3\nthrottled_usec 250000\n",
		&u);
	assert_int_equal(u.cache_bytes, 4096);
	assert_int_equal(u.resident_bytes, 8192);
	assert_int_equal(u.limit_failures, 5);
	assert_int_equal(u.oom_kills, 1);
	assert_int_equal(u.user_ns, 20000);
	assert_int_equal(u.system_ns, 10000);
	assert_int_equal(u.throttled_ns, 250000000);
}

static void nothing(void **state)
{
	struct cgroup_usage u = {0};

	cgroup_parse_memory_v1("", &u);
	cgroup_parse_memory_v2("anon", "max", &u);
	cgroup_parse_cpu_v2("\n\nuser_usec x\n", &u);
	assert_int_equal(u.resident_bytes, 0);
}

static void network(void **state)
{
	struct interface_usage i[4];
	static const char text[] =
		"Inter-|   Receive                            |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes packets "
		"errs drop fifo colls carrier compressed\n"
		"    lo: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\n"
		"  eth0: 796 10 1 2 0 0 0 0 636 9 3 4 0 0 0 0\n";

	assert_int_equal(interfaces_parse(text, i, 4), 1);
	assert_string_equal(i[0].name, "eth0");
	assert_int_equal(i[0].received[0], 796);
	assert_int_equal(i[0].received[3], 2);
	assert_int_equal(i[0].sent[0], 636);
	assert_int_equal(i[0].sent[2], 3);
	assert_int_equal(interfaces_parse(text, i, 0), 0);
	assert_int_equal(interfaces_parse("a: 1", i, 4), 1);
	assert_int_equal(interfaces_parse("averyverylongname: 1 2\n:\n", i, 4), 0);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void put(const char *root, const char *path, const char *file, const char *text)
{
	char command[1024];

	snprintf(command, sizeof(command), "mkdir -p '%s%s'", root, path);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "%s%s/%s", root, path, file);
	FILE *f = fopen(command, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void finds(void **state)
{
	static const struct {
		bool v2;
		const char *top, *path;
	} cases[] = {
		{false, "/memory", "/kubepods/burstable/podu1/" ID},
		{true, "", "/kubepods.slice/kubepods-podu1.slice/cri-containerd-" ID ".scope"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char root[] = "/tmp/hanok-cgroup-XXXXXX", path[512], command[64];
		struct cgroup_finder f;
		struct cgroup_usage u;
		assert_non_null(mkdtemp(root));
		snprintf(path, sizeof(path), "%s%s", cases[i].top, cases[i].path);
		if (cases[i].v2)
			put(root, "", "cgroup.controllers", "cpu memory pids\n");
		put(root, path, "memory.stat",
			cases[i].v2 ? "anon 7\ninactive_file 4\n"
				    : "total_rss 7\ntotal_inactive_file 4\n");
		put(root, path, cases[i].v2 ? "memory.current" : "memory.usage_in_bytes", "30\n");
		if (cases[i].v2) {
			put(root, path, "cpu.stat", "usage_usec 5\n");
		} else {
			snprintf(path, sizeof(path), "/cpuacct%s", cases[i].path);
			put(root, path, "cpuacct.usage_user", "4000\n");
			put(root, path, "cpuacct.usage_sys", "1000\n");
			snprintf(path, sizeof(path), "%s%s", cases[i].top, cases[i].path);
		}
		put(root, path, "cgroup.procs", "42\n43\n");
		cgroup_finder_init(&f, root);
		assert_int_equal(f.v2, cases[i].v2);
		assert_null(cgroup_finder_path(&f, "unheard", 1));
		const char *found = cgroup_finder_path(&f, ID, 2);
		assert_string_equal(found, cases[i].path);
		assert_true(cgroup_usage_read(&f, found, true, &u));
		assert_int_equal(u.resident_bytes, 7);
		assert_int_equal(u.usage_bytes, 30);
		assert_int_equal(u.working_set_bytes, 26);
		assert_int_equal(u.cpu_ns, 5000);
		assert_int_equal(cgroup_process(&f, found), 42);
		assert_false(cgroup_usage_read(&f, "/gone", true, &u));
		cgroup_finder_finish(&f);
		snprintf(command, sizeof(command), "rm -rf '%s'", root);
		assert_int_equal(system(command), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v1),
		cmocka_unit_test(v2),
		cmocka_unit_test(nothing),
		cmocka_unit_test(network),
		cmocka_unit_test(finds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
