/* scheduler_core_bench.c - how many workloads a second the scheduler places, without API and store:
 * nodes and pods in memory, one pass after the other, each placement counted before the next.
 *
 * usage: scheduler_core-bench [NODES [PODS]]        5000 and 50000
 *
 * "read" is the time from an object to what the scheduler knows of it, "place" the passes alone.
 * The rate is that of CPU time, so that others on the machine do not count. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "bench/common.h"
#include "lib/base/clock.h"
#include "server/scheduler/scheduler_core.h"

#define ZONES 10
#define REPLICAS 50 /* pods of one application */

struct scenario {
	const char *name, *spec; /* %s in spec: the application */
};

static const struct scenario scenarios[] = {
	{"plain", ""},
	{"node selector and preferred zone",
		"\"nodeSelector\":{\"disk\":\"ssd\"},\"affinity\":{\"nodeAffinity\":{"
		"\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":10,\"preference\""
		":{\"matchExpressions\":[{\"key\":\"topology.kubernetes.io/zone\",\"operator\":"
		"\"In\",\"values\":[\"z1\",\"z2\"]}]}}]}},"},
	{"spread over zones and nodes",
		"\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":"
		"\"topology.kubernetes.io/zone\",\"whenUnsatisfiable\":\"DoNotSchedule\","
		"\"labelSelector\":{\"matchLabels\":{\"app\":\"%s\"}}},{\"maxSkew\":1,"
		"\"topologyKey\":\"kubernetes.io/hostname\",\"whenUnsatisfiable\":"
		"\"ScheduleAnyway\",\"labelSelector\":{\"matchLabels\":{\"app\":\"%s\"}}}],"},
	{"anti-affinity on nodes",
		"\"affinity\":{\"podAntiAffinity\":{"
		"\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":"
		"\"kubernetes.io/hostname\",\"labelSelector\":{\"matchLabels\":{\"app\":\"%s\"}}}]"
		"}},"},
	{"preferred affinity in zones",
		"\"affinity\":{\"podAffinity\":{"
		"\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":50,"
		"\"podAffinityTerm\":{\"topologyKey\":\"topology.kubernetes.io/zone\","
		"\"labelSelector\":{\"matchLabels\":{\"app\":\"%s\"}}}}]}},"},
};

static struct kind_registry *kinds;

static struct object *parse(const char *kind, const char *text)
{
	struct err err = ERR_INIT;
	struct object *o;
	if (object_from_bytes(kind_by_name(kinds, "", "v1", kind), text, strlen(text), &o, &err) <
		0) {
		fprintf(stderr, "%s: %s\n", err.msg, text);
		exit(1);
	}
	return o;
}

static void add_nodes(struct scheduler_core *c, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		char *text = arena_printf(&a,
			"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-%"
			"zu\",\"uid\":\"n%zu\",\"resourceVersion\":\"1\",\"labels\":{"
			"\"kubernetes.io/hostname\":\"node-%zu\",\"topology.kubernetes.io/zone\":"
			"\"z%zu\",\"disk\":\"%s\",\"kubernetes.io/os\":\"linux\"}},\"status\":{"
			"\"allocatable\":{\"cpu\":\"32\",\"memory\":\"64Gi\",\"pods\":\"110\","
			"\"ephemeral-storage\":\"100Gi\"}}}",
			n, n, n, n % ZONES, n % 2 ? "ssd" : "hdd");
		struct object *o = parse("Node", text);
		struct node_state state;
		uint32_t slot;
		node_state_read(&a, o, &state);
		snapshot_node_set(&c->snapshot, &state, &slot);
		object_unref(o);
	}
}

static struct object *make_pod(const struct scenario *s, size_t n)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *app = arena_printf(&a, "app-%zu", n / REPLICAS), *spec = "";
	for (const char *at = s->spec; *at; at++) {
		bool name = at[0] == '%' && at[1] == 's';
		spec = arena_printf(
			&a, "%s%.*s", spec, name ? (int)strlen(app) : 1, name ? app : at);
		at += name;
	}
	return parse("Pod",
		arena_printf(&a,
			"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"pod-%"
			"zu\","
			"\"namespace\":\"default\",\"uid\":\"u%zu\",\"resourceVersion\":\"2\","
			"\"labels\":{\"app\":\"%s\",\"pod-template-hash\":\"5f6d7\",\"tier\":"
			"\"web\"}},\"spec\":{%s\"containers\":[{\"name\":\"c\",\"image\":\"web:1\","
			"\"resources\":{\"requests\":{\"cpu\":\"%zum\",\"memory\":\"%zuMi\"}}}],"
			"\"tolerations\":[{\"key\":\"node.kubernetes.io/not-ready\",\"operator\":"
			"\"Exists\",\"effect\":\"NoExecute\",\"tolerationSeconds\":300}],"
			"\"priority\""
			":0}}",
			n, n, app, spec, 100 + n % 4 * 100, 128 + n % 3 * 128));
}

/* How unevenly the nodes are used: the standard deviation of their share of CPU, in percent. */
static double unevenness(const struct scheduler_core *c)
{
	double sum = 0, squares = 0;
	size_t count = 0;
	for (uint32_t n = 0; n < c->snapshot.slot_count; n++) {
		const struct node_row *row = &c->snapshot.rows[n];
		double share = 100.0 * (double)row->used[CPU] / (double)row->allocatable[CPU];
		sum += share;
		squares += share * share;
		count++;
	}
	double mean = sum / (double)count;
	return sqrt(MAX(squares / (double)count - mean * mean, 0));
}

static void run(const struct scenario *s, size_t node_count, size_t pod_count)
{
	struct clock *clock = clock_system();
	struct random random = random_seeded(1);
	struct scheduler_core c;
	core_init(&c);
	add_nodes(&c, node_count);
	struct object **pods = xmalloc(pod_count * sizeof(struct object *));
	for (size_t n = 0; n < pod_count; n++)
		pods[n] = make_pod(s, n);
	int64_t read_ns = 0, place_ns = 0, longest_ns = 0, cpu_ns = bench_cpu_ns(getpid());
	size_t placed = 0;
	for (size_t n = 0; n < pod_count; n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		int64_t from_ns = clock->mono_ns(clock);
		struct workload *w = workload_create(pods[n]);
		int64_t read_at_ns = clock->mono_ns(clock);
		struct placement p = core_place(&c, w, &random, &a);
		if (p.node) {
			core_assign(&c, w, p.node);
			placed++;
		}
		int64_t end_ns = clock->mono_ns(clock);
		read_ns += read_at_ns - from_ns;
		place_ns += end_ns - read_at_ns;
		longest_ns = MAX(longest_ns, end_ns - read_at_ns);
		workload_unref(w);
	}
	cpu_ns = bench_cpu_ns(getpid()) - cpu_ns;
	printf("%-34s %8.0f/s  place %6.1f us (longest %5.0f)  read %5.1f us  placed %zu  "
	       "uneven %.2f%%\n",
		s->name, 1e9 * (double)pod_count / (double)cpu_ns,
		(double)place_ns / 1e3 / (double)pod_count, (double)longest_ns / 1e3,
		(double)read_ns / 1e3 / (double)pod_count, placed, unevenness(&c));
	core_finish(&c);
	for (size_t n = 0; n < pod_count; n++)
		object_unref(pods[n]);
	free(pods);
}

int main(int argc, char **argv)
{
	size_t nodes = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000;
	size_t pods = argc > 2 ? strtoul(argv[2], NULL, 10) : 50000;
	struct err err = ERR_INIT;
	if (!nodes || !pods || nodes > 1000000 || pods > 10000000) {
		fprintf(stderr, "usage: scheduler_core-bench [NODES [PODS]]\n");
		return 2;
	}
	kinds = kind_registry_create();
	if (kind_registry_load_builtin(kinds, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	printf("%zu nodes, %zu pods; rate by CPU time of both, read and place, on one thread\n",
		nodes, pods);
	for (size_t n = 0; n < ARRAY_LEN(scenarios); n++)
		run(&scenarios[n], nodes, pods);
	kind_registry_destroy(kinds);
	return 0;
}
