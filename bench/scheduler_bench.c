/* scheduler_bench.c - how fast pods are placed, from the first POST to the last binding as a watch
 * tells it, and how well.
 *
 *     scheduler-bench KUBECONFIG PODS PID[,PID...]
 *
 * Works with any Kubernetes API server on this machine, with nodes that are there already
 * (bench/hollow); PIDs are of all processes that serve and schedule. The pods belong to ten
 * services and ask for resources by their number, the same in every run. One pod is placed before
 * the clock starts. Prints "NAME VALUE" lines:
 *
 *     rate          pods a second, of all from the first POST to the last binding
 *     create_rate   of the POSTs alone
 *     p50_ms p99_ms from the answer to a POST to the pod's binding
 *     cpu_us        CPU time of the processes for each pod, and that of each of them
 *     cpu_deviation memory_deviation
 *                   standard deviation over nodes of what is asked of what they have, in percent
 *     unbalance     mean over nodes of the difference between both shares, in percent
 *     zone_skew     pods of a service in the fullest zone less those in the emptiest, the worst
 *     host_most     most pods of a service on one node */
#include <math.h>
#include <stdio.h>

#include "bench/common.h"
#include "lib/base/arena.h"
#include "lib/base/table.h"
#include "lib/client/client.h"
#include "lib/object/quantity.h"

#define CLIENTS 4
#define CONNECTIONS 16 /* of each client, as many as one keeps */
#define SERVICES 10
#define ZONES_MAX 32
#define SERVERS_MAX 4
#define GIVE_UP_S 600

struct node {
	double cpu_milli, memory_bytes; /* allocatable */
	double cpu_asked, memory_asked;
	unsigned zone, of_service[SERVICES];
};

struct bench {
	uv_loop_t loop;
	struct client *clients[CLIENTS];
	unsigned posts;
	const struct kind *pods_kind;
	struct arena arena;
	struct table nodes; /* name to struct node */
	struct table zones; /* name to its number + 1 */
	pid_t servers[SERVERS_MAX];
	size_t server_count;
	uint64_t revision;
	bool listed, served, warm, created, done;
	unsigned services_made;

	unsigned pods, next, answered, bound;
	int64_t started_ns, created_ns, bound_ns;
	int64_t *answered_at_ns, *bound_at_ns; /* of each pod; 0 = not yet */
};

/* ---- what is asked for ---- */

static unsigned cpu_of(unsigned i)
{
	return 100 + i % 4 * 100; /* milli */
}

static unsigned memory_of(unsigned i)
{
	return 128u << (i / 4 % 3); /* MiB */
}

static void add_pod(struct buf *out, const char *name, unsigned i)
{
	buf_printf(out,
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
		"\"app\":\"service-%u\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
		"\"registry.example.com/app:v1\",\"resources\":{\"requests\":{\"cpu\":\"%um\","
		"\"memory\":\"%uMi\"}}}]}}",
		name, i % SERVICES, cpu_of(i), memory_of(i));
}

static void post(
	struct bench *b, const char *path, const struct buf *body, client_done *done, void *user)
{
	struct client_request request = {
		.method = "POST", .path = path, .body = body->data, .body_size = body->size};
	client_request(b->clients[b->posts++ % CLIENTS], &request, done, user);
}

/* ---- before the clock starts ---- */

static unsigned zone_number(struct bench *b, const char *zone)
{
	uintptr_t n = (uintptr_t)table_get(&b->zones, zone);
	if (!n) {
		n = b->zones.count + 1;
		if (n > ZONES_MAX)
			bench_die("more than %d zones", ZONES_MAX);
		table_set(&b->zones, zone, (void *)n);
	}
	return (unsigned)n - 1;
}

static void on_nodes(void *user, const struct client_list_result *r)
{
	struct bench *b = user;
	if (r->code != 200 || r->count == 0)
		bench_die("nodes: %s", r->code == 200 ? "there are none" : r->message);
	for (size_t i = 0; i < r->count; i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct object *o = r->items[i];
		const struct json *room = json_path(object_doc(o, &a), "status.allocatable");
		const char *zone = object_label(o, "topology.kubernetes.io/zone");
		struct node *n = ARENA_NEW(&b->arena, struct node);
		n->cpu_milli = (double)quantity_json_milli(json_get(room, "cpu"), 0);
		n->memory_bytes = (double)quantity_json_value(json_get(room, "memory"), 0);
		if (n->cpu_milli <= 0 || n->memory_bytes <= 0)
			bench_die("node %s has no room", o->name);
		n->zone = zone_number(b, zone ? zone : "");
		table_set(&b->nodes, o->name, n);
	}
	b->listed = true;
}

static void on_pods(void *user, const struct client_list_result *r)
{
	struct bench *b = user;
	if (r->code != 200)
		bench_die("pods: %s", r->message);
	b->revision = r->revision;
	b->listed = true;
}

static void on_service(void *user, const struct client_result *r)
{
	struct bench *b = user;
	if (!client_ok(r))
		bench_die("service: %s", r->message);
	b->served = ++b->services_made == SERVICES;
}

static void make_services(struct bench *b)
{
	for (unsigned i = 0; i < SERVICES; i++) {
		_cleanup_(buf_finish) struct buf body = BUF_INIT;
		buf_printf(&body,
			"{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":"
			"\"service-%u\"},\"spec\":{\"selector\":{\"app\":\"service-%u\"},\"ports\":"
			"[{\"port\":80}]}}",
			i, i);
		post(b, "/api/v1/namespaces/default/services", &body, on_service, b);
	}
}

/* ---- the pods ---- */

static void create_next(struct bench *b);

static void on_created(void *user, const struct client_result *r)
{
	struct bench *b = user;
	if (!client_ok(r))
		bench_die("pod: %d %s", r->code, r->message);
	/* The answer names the pod near its beginning. */
	const char *name = strstr(r->body, "\"name\":\"pod-");
	unsigned i = name ? (unsigned)strtoul(name + 12, NULL, 10) : b->pods;
	if (i >= b->pods)
		bench_die("an answer without the pod's name: %.200s", r->body);
	b->answered_at_ns[i] = bench_now_ns();
	if (++b->answered == b->pods)
		b->created_ns = bench_now_ns();
	create_next(b);
}

static void create_next(struct bench *b)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	char name[32];
	if (b->next == b->pods)
		return;
	snprintf(name, sizeof(name), "pod-%06u", b->next);
	add_pod(&body, name, b->next++);
	post(b, "/api/v1/namespaces/default/pods", &body, on_created, b);
}

static void on_warm_created(void *user, const struct client_result *r)
{
	if (!client_ok(r))
		bench_die("the first pod: %d %s", r->code, r->message);
}

static void place(struct bench *b, unsigned i, const char *node_name)
{
	struct node *n = table_get(&b->nodes, node_name);
	if (!n)
		bench_die("pod %u is on node '%s', which was not there", i, node_name);
	b->bound_at_ns[i] = bench_now_ns();
	n->cpu_asked += cpu_of(i);
	n->memory_asked += memory_of(i) * 1048576.0;
	n->of_service[i % SERVICES]++;
	if (++b->bound == b->pods)
		b->bound_ns = bench_now_ns();
	b->done = b->bound == b->pods;
}

static void on_event(void *user, const struct client_event *e)
{
	struct bench *b = user;
	if (e->type == CLIENT_ERROR)
		bench_die("watch: %s", e->message);
	if (e->type == CLIENT_BOOKMARK)
		return;
	const char *node = object_field(e->object, "spec.nodeName");
	if (!node || !node[0])
		return;
	if (streq(e->object->name, "warm")) {
		b->warm = true;
		return;
	}
	unsigned i = (unsigned)strtoul(e->object->name + strlen("pod-"), NULL, 10);
	if (i < b->pods && !b->bound_at_ns[i])
		place(b, i, node);
}

static void on_watch_ended(void *user)
{
	bench_die("the watch ended");
}

/* ---- figures ---- */

static void print_times(struct bench *b, const int64_t *cpu_before)
{
	struct bench_samples latencies = {0};
	double all_us = 0;
	for (unsigned i = 0; i < b->pods; i++)
		/* A binding may be told before the answer to the POST. */
		bench_samples_add(&latencies,
			MAX((double)(b->bound_at_ns[i] - b->answered_at_ns[i]) / 1e6, 0.0));
	printf("rate %.1f\n", b->pods / ((double)(b->bound_ns - b->started_ns) / 1e9));
	printf("create_rate %.1f\n", b->pods / ((double)(b->created_ns - b->started_ns) / 1e9));
	printf("p50_ms %.2f\n", bench_share(&latencies, 0.5));
	printf("p99_ms %.2f\n", bench_share(&latencies, 0.99));
	for (size_t i = 0; i < b->server_count; i++) {
		double us = (double)(bench_cpu_ns(b->servers[i]) - cpu_before[i]) / 1e3 / b->pods;
		printf("cpu_us_%zu %.1f\nresident_mib_%zu %.1f\n", i, us, i,
			bench_resident_mib(b->servers[i]));
		all_us += us;
	}
	printf("cpu_us %.1f\n", all_us);
	bench_samples_finish(&latencies);
}

static void print_quality(struct bench *b)
{
	double cpu = 0, cpu_squares = 0, memory = 0, memory_squares = 0, unbalance = 0;
	double count = (double)b->nodes.count;
	unsigned in_zone[SERVICES][ZONES_MAX] = {{0}}, host_most = 0, zone_skew = 0;
	struct table_iter it = table_iterate(&b->nodes);
	while (table_next(&it)) {
		const struct node *n = it.value;
		double c = n->cpu_asked * 100 / n->cpu_milli;
		double m = n->memory_asked * 100 / n->memory_bytes;
		cpu += c;
		cpu_squares += c * c;
		memory += m;
		memory_squares += m * m;
		unbalance += fabs(c - m);
		for (unsigned s = 0; s < SERVICES; s++) {
			in_zone[s][n->zone] += n->of_service[s];
			host_most = MAX(host_most, n->of_service[s]);
		}
	}
	for (unsigned s = 0; s < SERVICES; s++) {
		unsigned least = UINT_MAX, most = 0;
		for (unsigned z = 0; z < b->zones.count; z++) {
			least = MIN(least, in_zone[s][z]);
			most = MAX(most, in_zone[s][z]);
		}
		zone_skew = MAX(zone_skew, most - least);
	}
	cpu /= count;
	memory /= count;
	printf("cpu_deviation %.3f\n", sqrt(MAX(cpu_squares / count - cpu * cpu, 0.0)));
	printf("memory_deviation %.3f\n", sqrt(MAX(memory_squares / count - memory * memory, 0.0)));
	printf("unbalance %.3f\n", unbalance / count);
	printf("zone_skew %u\nhost_most %u\n", zone_skew, host_most);
}

static void prepare(struct bench *b, const struct kind_registry *kinds)
{
	static const struct client_watch_handler handler = {
		.event = on_event, .ended = on_watch_ended};
	struct client_list_options list = {.kind = kind_by_name(kinds, "", "v1", "Node")};
	b->clients[0]->ops->list(b->clients[0], &list, on_nodes, b);
	bench_wait(&b->loop, &b->listed, GIVE_UP_S, "the nodes");
	b->listed = false;
	list.kind = b->pods_kind;
	b->clients[0]->ops->list(b->clients[0], &list, on_pods, b);
	bench_wait(&b->loop, &b->listed, GIVE_UP_S, "the pods");
	struct client_watch_options watch = {.kind = b->pods_kind, .since = b->revision};
	b->clients[0]->ops->watch(b->clients[0], &watch, &handler, b);
	make_services(b);
	bench_wait(&b->loop, &b->served, GIVE_UP_S, "the services");
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	add_pod(&body, "warm", 0);
	post(b, "/api/v1/namespaces/default/pods", &body, on_warm_created, b);
	bench_wait(&b->loop, &b->warm, GIVE_UP_S, "the first pod's node");
}

int main(int argc, char **argv)
{
	if (argc != 4)
		bench_die("usage: scheduler-bench KUBECONFIG PODS PID[,PID...]");
	struct bench b = {.pods = bench_number(argv[2], "PODS")};
	struct err err = ERR_INIT;
	int64_t cpu_before[SERVERS_MAX];
	uv_loop_init(&b.loop);
	arena_init(&b.arena);
	b.server_count = bench_pids(argv[3], b.servers, SERVERS_MAX);
	b.answered_at_ns = xcalloc(b.pods, sizeof(*b.answered_at_ns));
	b.bound_at_ns = xcalloc(b.pods, sizeof(*b.bound_at_ns));
	struct kind_registry *kinds = kind_registry_create();
	bench_must(kind_registry_load_builtin(kinds, &err), &err, "kinds");
	for (unsigned i = 0; i < CLIENTS; i++)
		bench_must(client_https_create(
				   &b.loop, kinds, argv[1], "scheduler-bench", &b.clients[i], &err),
			&err, argv[1]);
	b.pods_kind = kind_by_name(kinds, "", "v1", "Pod");
	prepare(&b, kinds);

	for (size_t i = 0; i < b.server_count; i++)
		cpu_before[i] = bench_cpu_ns(b.servers[i]);
	b.started_ns = bench_now_ns();
	for (unsigned i = 0; i < CLIENTS * CONNECTIONS; i++)
		create_next(&b);
	bench_wait(&b.loop, &b.done, GIVE_UP_S, "the last pod's node");
	if (!b.created_ns)
		b.created_ns = b.bound_ns;
	print_times(&b, cpu_before);
	print_quality(&b);
	return 0;
}
