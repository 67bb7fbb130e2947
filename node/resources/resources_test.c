/* resources_test.c - classes, the kernel's numbers, control groups of both versions in trees of
 * plain files, slices, and what of a node is allocatable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "node/pod/pod_resources.h"
#include "node/resources/allocatable.h"
#include "node/resources/slice.h"

static struct arena a;
static char root[64];

static struct json *parse(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;
	char *copy = arena_strdup(&a, text);

	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	if (json_parse(&a, copy, strlen(copy), NULL, &v, &err) < 0)
		fail_msg("%s: %s", err.msg, copy);
	return v;
}

static int setup(void **state)
{
	arena_init(&a);
	snprintf(root, sizeof(root), "/tmp/hanok-cgroup-test.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	_cleanup_(free_p) char *command = xasprintf("rm -rf %s", root);

	arena_finish(&a);
	return system(command) == 0 ? 0 : -1;
}

static char *at(const char *path)
{
	return arena_printf(&a, "%s/%s", root, path);
}

static void put(const char *path, const char *text)
{
	char *name = at(path);

	for (char *p = strchr(name + strlen(root) + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(name, 0755);
		*p = '/';
	}
	FILE *f = fopen(name, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const char *get(const char *path)
{
	char text[128];

	if (cgroup_file_read(at(path), text, sizeof(text)) < 0)
		return "(none)";
	return arena_strdup(&a, text);
}

static void numbers(void **state)
{
	static const struct {
		int64_t milli, shares, quota, weight;
	} cases[] = {
		{0, 2, 0, 1},
		{1, 2, 1000, 1},
		{10, 10, 1000, 1},
		{100, 102, 10000, 4},
		{250, 256, 25000, 10},
		{1000, 1024, 100000, 39},
		{64000, 65536, 6400000, 2500},
		{1000000, 262144, 100000000, 10000},
		{INT64_MAX, 262144, INT64_MAX, 10000},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(cpu_shares(cases[i].milli), cases[i].shares);
		assert_int_equal(cpu_quota_us(cases[i].milli, CPU_PERIOD_US), cases[i].quota);
		assert_int_equal(cpu_weight(cases[i].shares), cases[i].weight);
	}
	assert_int_equal(cpu_quota_us(500, 0), 0);
	assert_int_equal(cpu_quota_us(500, 5000), 2500);

	struct hugepage_size size;
	hugepage_size_fill(INT64_C(2) << 20, &size);
	assert_string_equal(size.resource, "hugepages-2Mi");
	assert_string_equal(size.cgroup, "2MB");
	hugepage_size_fill(INT64_C(1) << 30, &size);
	assert_string_equal(size.resource, "hugepages-1Gi");
	assert_string_equal(size.cgroup, "1GB");
	hugepage_size_fill(INT64_C(64) << 10, &size);
	assert_string_equal(size.resource, "hugepages-64Ki");
	assert_string_equal(size.cgroup, "64KB");
}

#define POD(inits, containers, more)                                                               \
	"{'spec':{'initContainers':[" inits "],'containers':[" containers "]" more "}}"
#define C(requests, limits) "{'resources':{'requests':{" requests "},'limits':{" limits "}}}"
#define SIDECAR(requests, limits)                                                                  \
	"{'restartPolicy':'Always','resources':{'requests':{" requests "},'limits':{" limits "}}}"

static void values_of_pods(void **state)
{
	struct hugepage_size two;
	struct qos_rules rules = {
		.sizes = &two, .size_count = 1, .pids_limit = 77, .quota_period_us = CPU_PERIOD_US};
	static const struct {
		const char *pod;
		enum pod_qos qos;
		int64_t shares, quota, memory, huge;
	} cases[] = {
		{POD("", "{}", ""), QOS_BEST_EFFORT, 2, 0, 0, 0},
		{POD("", C("", "'cpu':'500m','memory':'64Mi'"), ""), QOS_GUARANTEED, 512, 50000,
			64 << 20, 0},
		{POD("", C("'cpu':'100m'", "") "," C("'cpu':'200m'", ""), ""), QOS_BURSTABLE, 307,
			0, 0, 0},
		/* One without a limit: the pod has none. */
		{POD("", C("", "'cpu':'1','memory':'1Gi'") ",{}", ""), QOS_BURSTABLE, 1024, 0, 0,
			0},
		{POD("", C("'cpu':'100m'", "'cpu':'1'") "," C("", "'cpu':'500m'"), ""),
			QOS_BURSTABLE, 614, 150000, 0, 0},
		/* An init container that needs more than the others together. */
		{POD(C("", "'memory':'3Gi'"), C("", "'memory':'1Gi'") "," C("", "'memory':'1Gi'"),
			 ""),
			QOS_BURSTABLE, 2, 0, INT64_C(3) << 30, 0},
		/* A sidecar stays beside them. */
		{POD(SIDECAR("", "'memory':'1Gi'") "," C("", "'memory':'1Gi'"),
			 C("", "'memory':'2Gi'"), ""),
			QOS_BURSTABLE, 2, 0, INT64_C(3) << 30, 0},
		{POD("", C("", "'cpu':'500m','memory':'64Mi','hugepages-2Mi':'4Mi'"),
			 ",'overhead':{'cpu':'250m','memory':'16Mi'}"),
			QOS_GUARANTEED, 768, 75000, 80 << 20, 4 << 20},
		/* What the pod says as a whole goes first. */
		{POD("", "{}",
			 ",'resources':{'requests':{'cpu':'1','memory':'1Gi'},"
			 "'limits':{'cpu':'1','memory':'1Gi'}}"),
			QOS_GUARANTEED, 1024, 100000, INT64_C(1) << 30, 0},
	};

	hugepage_size_fill(INT64_C(2) << 20, &two);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct json *pod = parse(cases[i].pod);
		struct cgroup_values v;
		pod_cgroup_values(pod, &rules, &v);
		if (pod_qos(pod) != cases[i].qos || v.cpu_shares != cases[i].shares ||
			v.cpu_quota_us != cases[i].quota || v.memory_bytes != cases[i].memory ||
			v.hugepages[0].bytes != cases[i].huge || v.pids != 77)
			fail_msg("case %zu: %s %lld %lld %lld %lld", i, pod_qos_name(pod_qos(pod)),
				(long long)v.cpu_shares, (long long)v.cpu_quota_us,
				(long long)v.memory_bytes, (long long)v.hugepages[0].bytes);
	}
	/* cpuCFSQuota: false; limits of CPU are not enforced, weights are. */
	rules.quota_period_us = 0;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cgroup_values v;
		pod_cgroup_values(parse(cases[i].pod), &rules, &v);
		assert_int_equal(v.cpu_quota_us, 0);
		assert_int_equal(v.cpu_shares, cases[i].shares);
	}
}

static void oom_scores(void **state)
{
	const int64_t node = INT64_C(4) << 30;
	const struct json *pod = parse(POD(SIDECAR("'memory':'1Gi'", ""),
		C("'memory':'2Gi'", "") "," C("'memory':'4Gi'", "") ",{}", ""));
	const struct json *containers = json_path(pod, "spec.containers");

	assert_int_equal(container_oom_score_adj(pod, json_at(containers, 0), node), 500);
	assert_int_equal(container_oom_score_adj(pod, json_at(containers, 1), node), 3);
	assert_int_equal(container_oom_score_adj(pod, json_at(containers, 2), node), 999);
	/* A sidecar goes no sooner than what it serves. */
	assert_int_equal(container_oom_score_adj(
				 pod, json_at(json_path(pod, "spec.initContainers"), 0), node),
		3);
	pod = parse("{'spec':{'priority':2000001000,'priorityClassName':'system-node-critical',"
		    "'containers':[{}]}}");
	assert_int_equal(
		container_oom_score_adj(pod, json_at(json_path(pod, "spec.containers"), 0), node),
		-997);
	pod = parse("{'spec':{'priority':2000000000,'priorityClassName':'system-cluster-critical',"
		    "'containers':[{}]}}");
	assert_int_equal(
		container_oom_score_adj(pod, json_at(json_path(pod, "spec.containers"), 0), node),
		1000);
}

static const struct cgroup_values some = {
	.cpu_shares = 512,
	.cpu_quota_us = 50000,
	.cpu_period_us = 100000,
	.memory_bytes = (64 << 20) + 5,
	.pids = 100,
};

static void tree_of_version_1(void **state)
{
	struct cgroup_tree t;
	struct err err = ERR_INIT;
	const char *text = arena_printf(&a,
		"31 23 0:28 / %s rw - tmpfs tmpfs rw,mode=755\n"
		"32 31 0:29 / %s/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
		"35 31 0:32 / %s/memory rw,relatime - cgroup cgroup rw,memory\n"
		"36 31 0:33 / %s/devi\\040ces rw,relatime - cgroup cgroup rw,devices\n"
		"39 31 0:36 / %s/pids rw,relatime - cgroup cgroup rw,pids\n"
		"40 31 0:37 / %s/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
		"41 31 0:38 / %s/unified rw,relatime - cgroup2 cgroup2 rw\n",
		root, root, root, root, root, root, root);

	cgroup_tree_read(text, &t);
	assert_int_equal(t.version, 1);
	assert_int_equal(t.count, 6);
	assert_true(cgroup_has(&t, "cpu"));
	assert_true(cgroup_has(&t, "pids"));
	assert_false(cgroup_has(&t, "hugetlb"));
	assert_string_equal(t.hierarchies[2].mount, at("devi ces"));
	put("cpu/x", "");
	put("memory/x", "");
	put("pids/x", "");
	assert_int_equal(cgroup_make(&t, "/kubepods/podA", &err), 0);
	/* The kernel's files of a new group. */
	put("cpu/kubepods/podA/cpu.shares", "1024");
	put("cpu/kubepods/podA/cpu.cfs_period_us", "100000");
	put("cpu/kubepods/podA/cpu.cfs_quota_us", "-1");
	put("memory/kubepods/podA/memory.limit_in_bytes", "9223372036854771712");
	put("pids/kubepods/podA/pids.max", "max");
	assert_int_equal(cgroup_set(&t, "/kubepods/podA", &some, &err), 0);
	assert_string_equal(get("cpu/kubepods/podA/cpu.shares"), "512");
	assert_string_equal(get("cpu/kubepods/podA/cpu.cfs_quota_us"), "50000");
	assert_string_equal(get("memory/kubepods/podA/memory.limit_in_bytes"), "67108864");
	assert_string_equal(get("pids/kubepods/podA/pids.max"), "100");
	/* Taken back. */
	assert_int_equal(
		cgroup_set(&t, "/kubepods/podA", &(struct cgroup_values){.cpu_shares = 2}, &err),
		0);
	assert_string_equal(get("cpu/kubepods/podA/cpu.cfs_quota_us"), "-1");
	assert_string_equal(get("memory/kubepods/podA/memory.limit_in_bytes"), "-1");
	assert_string_equal(get("pids/kubepods/podA/pids.max"), "max");
	cgroup_tree_finish(&t);
}

static void tree_of_version_2(void **state)
{
	struct hugepage_size two;
	struct cgroup_values v = some;
	struct cgroup_tree t;
	struct err err = ERR_INIT;
	const char *text = arena_printf(&a,
		"24 18 0:21 / %s/cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", root);

	put("cg/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
	put("cg/cgroup.subtree_control", "");
	cgroup_tree_read(text, &t);
	assert_int_equal(t.version, 2);
	assert_int_equal(t.count, 1);
	assert_true(cgroup_has(&t, "cpuset"));
	assert_false(cgroup_has(&t, "rdm"));
	/* The group above hands nothing down yet: its file is not there in a tree of plain files.
	 */
	assert_int_not_equal(cgroup_make(&t, "/kubepods/besteffort/podA", &err), 0);
	assert_non_null(strstr(err.msg, "/kubepods/cgroup.subtree_control"));
	assert_string_equal(get("cg/cgroup.subtree_control"), "+io");
	put("cg/kubepods/cgroup.subtree_control", "");
	put("cg/kubepods/besteffort/cgroup.subtree_control", "");
	assert_int_equal(cgroup_make(&t, "/kubepods/besteffort/podA", &err), 0);
	assert_string_equal(get("cg/kubepods/besteffort/cgroup.subtree_control"), "+io");

	put("cg/kubepods/besteffort/podA/cpu.weight", "100");
	put("cg/kubepods/besteffort/podA/cpu.max", "max 100000");
	put("cg/kubepods/besteffort/podA/memory.max", "max");
	put("cg/kubepods/besteffort/podA/pids.max", "max");
	put("cg/kubepods/besteffort/podA/hugetlb.2MB.max", "max");
	hugepage_size_fill(INT64_C(2) << 20, &two);
	v.hugepage_count = 1;
	v.hugepages[0].size = &two;
	v.hugepages[0].bytes = 4 << 20;
	assert_int_equal(cgroup_set(&t, "/kubepods/besteffort/podA", &v, &err), 0);
	assert_string_equal(get("cg/kubepods/besteffort/podA/cpu.weight"), "20");
	assert_string_equal(get("cg/kubepods/besteffort/podA/cpu.max"), "50000 100000");
	assert_string_equal(get("cg/kubepods/besteffort/podA/memory.max"), "67108864");
	assert_string_equal(get("cg/kubepods/besteffort/podA/pids.max"), "100");
	assert_string_equal(get("cg/kubepods/besteffort/podA/hugetlb.2MB.max"), "4194304");
	assert_int_equal(cgroup_set(&t, "/kubepods/besteffort/podA",
				 &(struct cgroup_values){.cpu_shares = 2}, &err),
		0);
	assert_string_equal(get("cg/kubepods/besteffort/podA/cpu.weight"), "1");
	assert_string_equal(get("cg/kubepods/besteffort/podA/cpu.max"), "max 100000");
	assert_string_equal(get("cg/kubepods/besteffort/podA/memory.max"), "max");
	cgroup_tree_finish(&t);
}

static void removal(void **state)
{
	struct cgroup_tree t;
	struct err err = ERR_INIT;
	const char *text = arena_printf(&a,
		"32 31 0:29 / %s/cpu rw - cgroup cgroup rw,cpu\n"
		"36 31 0:33 / %s/devices rw - cgroup cgroup rw,devices\n",
		root, root);

	cgroup_tree_read(text, &t);
	/* In a tree of plain files only groups without files can go. */
	put("cpu/keep", "");
	put("devices/keep", "");
	assert_int_equal(cgroup_make(&t, "/kubepods/podA/c1/deeper", &err), 0);
	assert_int_equal(cgroup_make(&t, "/kubepods/podB", &err), 0);
	mkdir(at("devices/kubepods"), 0755);
	mkdir(at("devices/kubepods/podA"), 0755);
	assert_true(cgroup_exists(&t, "/kubepods/podA"));
	assert_int_equal(cgroup_remove(&t, "/kubepods/podA", &err), 0);
	assert_false(cgroup_exists(&t, "/kubepods/podA"));
	assert_true(cgroup_exists(&t, "/kubepods/podB"));
	assert_int_equal(cgroup_remove(&t, "/kubepods/podA", &err), 0);
	put("cpu/kubepods/podB/stays", "");
	assert_true(cgroup_remove(&t, "/kubepods/podB", &err) < 0);
	assert_non_null(strstr(err.msg, "remove control group"));
	cgroup_tree_finish(&t);
}

/* However deep somebody nested them, all go, and few descriptors are open for it. */
static void removal_of_deep_ones(void **state)
{
	enum { DEPTH = 3000 };
	struct cgroup_tree t;
	struct err err = ERR_INIT;
	const char *text =
		arena_printf(&a, "32 31 0:29 / %s/cpu rw - cgroup cgroup rw,cpu\n", root);

	cgroup_tree_read(text, &t);
	put("cpu/keep", "");
	assert_int_equal(cgroup_make(&t, "/kubepods/podA", &err), 0);
	int fd = open(at("cpu/kubepods/podA"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		assert_int_equal(mkdirat(fd, "deeper", 0755), 0);
		if (i % 100 == 50) {
			assert_int_equal(mkdirat(fd, "beside", 0755), 0);
			assert_int_equal(mkdirat(fd, "beside/one", 0755), 0);
		}
		int next = openat(fd, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	struct rlimit old, few = {64, 64};
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(cgroup_remove(&t, "/kubepods/podA", &err), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_false(cgroup_exists(&t, "/kubepods/podA"));
	cgroup_tree_finish(&t);
}

static void slices(void **state)
{
	const char *path = "/kubepods/burstable/pod12-ab";
	struct cgroup_values v = some;

	v.cpu_quota_us = 12345;
	assert_string_equal(slice_name(&a, path), "kubepods-burstable-pod12_ab.slice");
	assert_string_equal(slice_name(&a, "/kubepods"), "kubepods.slice");
	assert_string_equal(slice_path(&a, path),
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_ab.slice");
	static const char *const wanted =
		"busctl --system call org.freedesktop.systemd1 /org/freedesktop/systemd1 "
		"org.freedesktop.systemd1.Manager StartTransientUnit ssa(sv)a(sa(sv)) "
		"kubepods-burstable-pod12_ab.slice replace 10 "
		"Description s pods of hanok: /kubepods/burstable/pod12-ab "
		"DefaultDependencies b false CPUAccounting b true MemoryAccounting b true "
		"TasksAccounting b true IOAccounting b true CPUWeight t 20 "
		"CPUQuotaPerSecUSec t 130000 MemoryMax t 67108869 TasksMax t 100 0";
	const char *const *args = slice_start_args(&a, path, 2, &v);
	char *line = arena_strdup(&a, args[0]);
	for (size_t i = 1; args[i]; i++)
		line = arena_printf(&a, "%s %s", line, args[i]);
	assert_string_equal(line, wanted);

	args = slice_change_args(&a, path, 1, &(struct cgroup_values){.cpu_shares = 2});
	line = arena_strdup(&a, args[0]);
	for (size_t i = 1; args[i]; i++)
		line = arena_printf(&a, "%s %s", line, args[i]);
	assert_non_null(
		strstr(line, "SetUnitProperties sba(sv) kubepods-burstable-pod12_ab.slice true 4 "
			     "CPUShares t 2 CPUQuotaPerSecUSec t 18446744073709551615 "
			     "MemoryLimit t 18446744073709551615 TasksMax t 18446744073709551615"));
	/* More than there are numbers for is no limit. */
	v.cpu_quota_us = INT64_MAX;
	args = slice_change_args(&a, path, 2, &v);
	for (size_t i = 0; args[i]; i++) {
		if (streq(args[i], "CPUQuotaPerSecUSec"))
			assert_string_equal(args[i + 2], "18446744073709551615");
	}
}

static void what_pods_may_have(void **state)
{
	struct node_config config = *node_config_default();
	struct node_amounts have = {
		.cpu_milli = 4000,
		.memory_bytes = INT64_C(8) << 30,
		.ephemeral_bytes = INT64_C(100) << 30,
		.pods = 110,
		.pids = 32768,
	};
	struct node_amounts may;

	put("huge/hugepages-1048576kB/nr_hugepages", "0\n");
	put("huge/hugepages-2048kB/nr_hugepages", "512\n");
	put("huge/hugepages-xkB/nr_hugepages", "512\n");
	node_amounts_read_hugepages(at("huge"), &have);
	assert_int_equal(have.hugepage_count, 2);
	config.kube_reserved = (struct node_reserved){
		.cpu_milli = 250, .memory_bytes = INT64_C(1) << 30, .pids = 1000};
	config.system_reserved =
		(struct node_reserved){.cpu_milli = 250, .ephemeral_bytes = INT64_C(10) << 30};
	node_enforced(&config, &have, &may);
	assert_int_equal(may.cpu_milli, 3500);
	assert_int_equal(may.memory_bytes, INT64_C(7) << 30);
	assert_int_equal(may.pids, 31768);
	node_allocatable(&config, &have, &may);
	/* 100Mi of the threshold, 1Gi of huge pages. */
	assert_int_equal(may.memory_bytes, (INT64_C(6) << 30) - (100 << 20));
	assert_int_equal(may.ephemeral_bytes, INT64_C(80) << 30);
	const struct json *o = node_amounts_json(&a, &may);
	assert_string_equal(json_str(json_get(o, "cpu")), "3500m");
	assert_string_equal(json_str(json_get(o, "memory")), "6189056Ki");
	assert_string_equal(json_str(json_get(o, "ephemeral-storage")), "83886080Ki");
	assert_string_equal(json_str(json_get(o, "hugepages-1Gi")), "0");
	assert_string_equal(json_str(json_get(o, "hugepages-2Mi")), "1Gi");
	assert_string_equal(json_str(json_get(o, "pods")), "110");
	config.kube_reserved.memory_bytes = INT64_C(9) << 30;
	node_allocatable(&config, &have, &may);
	assert_int_equal(may.memory_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(values_of_pods, setup, teardown),
		cmocka_unit_test_setup_teardown(oom_scores, setup, teardown),
		cmocka_unit_test_setup_teardown(tree_of_version_1, setup, teardown),
		cmocka_unit_test_setup_teardown(tree_of_version_2, setup, teardown),
		cmocka_unit_test_setup_teardown(removal, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_of_deep_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(slices, setup, teardown),
		cmocka_unit_test_setup_teardown(what_pods_may_have, setup, teardown),
	};

	return cmocka_run_group_tests_name("resources", tests, NULL, NULL);
}
