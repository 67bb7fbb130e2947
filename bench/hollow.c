/* hollow.c - plays the node's side of the API for thousands of nodes, on few connections, against
 * any Kubernetes API server: see usage(). No pod runs anywhere; only what the API is told is real.
 *
 *   register   POST nodes, POST leases; a node that exists gets its status renewed
 *   renew      each lease every --lease seconds, each node's status every --status seconds, spread
 *              evenly over that time
 *   run        a pod that is bound to one of the nodes is told to be Running and Ready, after
 *              --start-delay; one that may end (restartPolicy Never or OnFailure) Succeeded after
 *              --run-time more, or Failed when its annotation hollow/ends says so
 *   remove     a pod that is being deleted is deleted with no grace
 *
 * Requests wait in one queue; as many are under way as there are connections. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "bench/common.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/client/informer.h"
#include "lib/client/wakeup.h"

#define RETRY_MS 200
#define ENDS_ANNOTATION "hollow/ends"
#define LEASE_NAMESPACE "kube-node-lease"
#define STRATEGIC "application/strategic-merge-patch+json"
#define MERGE "application/merge-patch+json"

enum work_type {
	WORK_NODE,	  /* make the node */
	WORK_NODE_STATUS, /* renew its status */
	WORK_LEASE,	  /* make its lease */
	WORK_LEASE_RENEW,
	WORK_POD_RUN,
	WORK_POD_END,
	WORK_POD_REMOVE,
	WORK_TYPES,
};
static const char *const work_names[WORK_TYPES] = {"nodes", "node statuses", "leases",
	"lease renewals", "pods run", "pods ended", "pods removed"};

struct hollow;

/* A pod on one of our nodes, from the first event about it until it is gone. */
struct pod {
	struct hollow *h;
	struct list due; /* waits in h->starting or h->ending */
	int64_t due_ns;
	char *namespace, *name, *uid;
	struct object *object; /* as last seen */
	unsigned address;      /* number, of which its IP is made */
	bool running, ended, removing;
};

/* A request that waits, or is under way. */
struct work {
	struct list link;
	struct hollow *h;
	enum work_type type;
	unsigned node;
	char *uid; /* of the pod, which may be gone by the time; NULL for others */
};

struct hollow {
	uv_loop_t loop;
	struct client *client;
	const struct kind *nodes, *leases;
	struct informer *pods;
	struct table by_uid; /* struct pod */
	struct list queue, starting, ending;
	struct wakeup *pods_due, *renew_due, *retry_due;
	unsigned in_flight, next_address;
	size_t registered; /* nodes with a lease */
	int64_t started_ns, renewing_since_ns;
	uint64_t lease_renewals, status_renewals; /* that are due already */
	uint64_t done[WORK_TYPES], failed;
	bool stopping;
	uv_signal_t on_int, on_term;

	/* options */
	const char *prefix;
	unsigned count, connections, zones, lease_s, status_s, start_delay_ms, run_time_ms;
	const char *cpu, *memory, *pods_room;
	bool idle; /* pods are left alone */
};

static void pump(struct hollow *h);

/* ---- what is sent ---- */

static struct json *text_of(struct arena *a, const char *s)
{
	return json_new_string(a, s);
}

static const char *now_text(struct hollow *h, char ret[TIME_RFC3339_ROOM])
{
	time_format_rfc3339(h->client->clock->wall_ns(h->client->clock), ret);
	return ret;
}

static void push_condition(struct arena *a, struct json *list, const char *type, const char *status,
	const char *reason, const char *now)
{
	struct json *c = json_new_object(a);
	json_set_str(a, c, "type", type);
	json_set_str(a, c, "status", status);
	if (reason) {
		json_set_str(a, c, "reason", reason);
		json_set_str(a, c, "lastHeartbeatTime", now);
	}
	json_set_str(a, c, "lastTransitionTime", now);
	json_push(a, list, c);
}

static struct json *node_status(struct hollow *h, struct arena *a, unsigned node, bool whole)
{
	char now[TIME_RFC3339_ROOM];
	struct json *status = json_new_object(a), *conditions = json_new_array(a);
	now_text(h, now);
	push_condition(a, conditions, "MemoryPressure", "False", "KubeletHasSufficientMemory", now);
	push_condition(a, conditions, "DiskPressure", "False", "KubeletHasNoDiskPressure", now);
	push_condition(a, conditions, "PIDPressure", "False", "KubeletHasSufficientPID", now);
	push_condition(a, conditions, "Ready", "True", "KubeletReady", now);
	json_set(a, status, "conditions", conditions);
	if (!whole)
		return status;
	struct json *room = json_new_object(a), *address = json_new_object(a);
	json_set_str(a, room, "cpu", h->cpu);
	json_set_str(a, room, "memory", h->memory);
	json_set_str(a, room, "pods", h->pods_room);
	json_set(a, status, "capacity", room);
	json_set(a, status, "allocatable", json_copy(a, room));
	json_set_str(a, address, "type", "InternalIP");
	json_set(a, address, "address",
		json_new_printf(a, "10.%u.%u.%u", 1 + (node >> 16), node >> 8 & 255, node & 255));
	json_push(a, json_array_at(a, status, "addresses"), address);
	static const char *const info[][2] = {{"machineID", ""}, {"systemUUID", ""}, {"bootID", ""},
		{"kernelVersion", "hollow"}, {"osImage", "hollow"},
		{"containerRuntimeVersion", "hollow://1"}, {"kubeletVersion", "v1.33.0-hollow"},
		{"kubeProxyVersion", ""}, {"operatingSystem", "linux"}, {"architecture", "amd64"}};
	for (size_t i = 0; i < ARRAY_LEN(info); i++)
		json_set_str(a, json_object_at(a, status, "nodeInfo"), info[i][0], info[i][1]);
	return status;
}

static const char *node_name(struct hollow *h, struct arena *a, unsigned node)
{
	return arena_printf(a, "%s%05u", h->prefix, node);
}

static struct json *make_node(struct hollow *h, struct arena *a, unsigned node)
{
	struct json *doc = json_new_object(a), *labels = json_new_object(a);
	json_set_str(a, doc, "apiVersion", "v1");
	json_set_str(a, doc, "kind", "Node");
	json_path_set(a, doc, "metadata.name", text_of(a, node_name(h, a, node)));
	json_set_str(a, labels, "kubernetes.io/hostname", node_name(h, a, node));
	json_set_str(a, labels, "kubernetes.io/os", "linux");
	json_set_str(a, labels, "kubernetes.io/arch", "amd64");
	json_set_str(a, labels, "topology.kubernetes.io/region", "hollow");
	json_set(a, labels, "topology.kubernetes.io/zone",
		json_new_printf(a, "zone-%u", node % h->zones));
	json_path_set(a, doc, "metadata.labels", labels);
	json_set(a, doc, "status", node_status(h, a, node, true));
	return doc;
}

static struct json *renew_time(struct hollow *h, struct arena *a)
{
	char now[TIME_RFC3339_MICRO_ROOM];
	time_format_rfc3339_micro(h->client->clock->wall_ns(h->client->clock), now);
	return text_of(a, now);
}

static struct json *make_lease(struct hollow *h, struct arena *a, unsigned node)
{
	struct json *doc = json_new_object(a);
	json_set_str(a, doc, "apiVersion", "coordination.k8s.io/v1");
	json_set_str(a, doc, "kind", "Lease");
	json_path_set(a, doc, "metadata.name", text_of(a, node_name(h, a, node)));
	json_path_set(a, doc, "spec.holderIdentity", text_of(a, node_name(h, a, node)));
	json_path_set(a, doc, "spec.leaseDurationSeconds", json_new_int(a, h->lease_s * 4));
	json_path_set(a, doc, "spec.renewTime", renew_time(h, a));
	return doc;
}

/* A container's state, by what the pod is. */
static struct json *container_state(
	struct arena *a, const struct pod *p, bool ended, bool failed, const char *now)
{
	struct json *state = json_new_object(a);
	if (!ended) {
		json_path_set(a, state, "running.startedAt", text_of(a, now));
		return state;
	}
	json_path_set(a, state, "terminated.exitCode", json_new_int(a, failed));
	json_path_set(a, state, "terminated.reason", text_of(a, failed ? "Error" : "Completed"));
	json_path_set(a, state, "terminated.finishedAt", text_of(a, now));
	return state;
}

static struct json *pod_status(struct pod *p, struct arena *a, bool ended)
{
	char now[TIME_RFC3339_ROOM];
	const struct json *doc = object_doc(p->object, a), *annotations;
	struct json *patch = json_new_object(a), *status = json_new_object(a);
	struct json *conditions = json_new_array(a), *containers = json_new_array(a);
	now_text(p->h, now);
	annotations = json_path(doc, "metadata.annotations");
	bool failed = ended && streq(json_str(json_get(annotations, ENDS_ANNOTATION)), "Failed");
	const char *ready = ended ? "False" : "True";
	char *ip = arena_printf(a, "10.%u.%u.%u", 64 + (p->address >> 16 & 127),
		p->address >> 8 & 255, p->address & 255);
	json_path_set(a, patch, "metadata.uid", text_of(a, p->uid));
	json_set_str(a, status, "phase", !ended ? "Running" : failed ? "Failed" : "Succeeded");
	json_set_str(a, status, "podIP", ip);
	struct json *one_ip = json_new_object(a);
	json_set_str(a, one_ip, "ip", ip);
	json_push(a, json_array_at(a, status, "podIPs"), one_ip);
	if (!ended)
		json_set_str(a, status, "startTime", now);
	push_condition(a, conditions, "Initialized", "True", NULL, now);
	push_condition(a, conditions, "Ready", ready, NULL, now);
	push_condition(a, conditions, "ContainersReady", ready, NULL, now);
	json_set(a, status, "conditions", conditions);
	JSON_FOR_EACH_ITEM(c, json_path(doc, "spec.containers")) {
		struct json *s = json_new_object(a);
		const char *image = json_str_or(json_get(c, "image"), "");
		const char *name = json_str_or(json_get(c, "name"), "");
		json_set_str(a, s, "name", name);
		json_set_str(a, s, "image", image);
		json_set(a, s, "imageID", json_new_printf(a, "hollow://%s", image));
		json_set(a, s, "containerID", json_new_printf(a, "hollow://%s/%s", p->uid, name));
		json_set_bool(a, s, "ready", !ended);
		json_set_bool(a, s, "started", !ended);
		json_set_int(a, s, "restartCount", 0);
		json_set(a, s, "state", container_state(a, p, ended, failed, now));
		json_push(a, containers, s);
	}
	json_set(a, status, "containerStatuses", containers);
	json_set(a, patch, "status", status);
	return patch;
}

/* ---- the queue ---- */

static void work_free(struct work *w)
{
	list_remove(&w->link);
	free(w->uid);
	free(w);
}

static void add_work(struct hollow *h, enum work_type type, unsigned node, const char *uid)
{
	struct work *w = xcalloc(1, sizeof(*w));
	w->h = h;
	w->type = type;
	w->node = node;
	w->uid = uid ? xstrdup(uid) : NULL;
	/* A node's own thread would renew its lease, however many pods it has. */
	list_append(type == WORK_LEASE_RENEW ? h->queue.next : &h->queue, &w->link);
	pump(h);
}

static void on_registered(struct hollow *h)
{
	if (++h->registered != h->count)
		return;
	printf("ready: %u nodes in %.2f s\n", h->count,
		(double)(bench_now_ns() - h->started_ns) / 1e9);
	fflush(stdout);
	h->renewing_since_ns = bench_now_ns();
	wakeup_in(h->renew_due, 1);
}

static void on_answer(void *user, const struct client_result *r)
{
	struct work *w = user;
	struct hollow *h = w->h;
	h->in_flight--;
	/* Busy, restarting, or full: it comes again. */
	if (r->code == 0 || r->code == 429 || r->code >= 500) {
		h->failed++;
		log_debug("try again", "work", work_names[w->type], "message", r->message, NULL);
		list_append(h->queue.next, &w->link); /* as the first */
		if (!wakeup_armed(h->retry_due))
			wakeup_in(h->retry_due, RETRY_MS);
		return;
	}
	bool exists = r->code == 409;
	if (client_ok(r))
		h->done[w->type]++;
	else if (!exists && r->code != 404)
		log_error("refused", "work", work_names[w->type], "message", r->message, NULL);
	if (w->type == WORK_NODE) {
		/* One that was there before may have gone silent. */
		if (exists)
			add_work(h, WORK_NODE_STATUS, w->node, NULL);
		add_work(h, WORK_LEASE, w->node, NULL);
	} else if (w->type == WORK_LEASE) {
		if (exists)
			add_work(h, WORK_LEASE_RENEW, w->node, NULL);
		on_registered(h);
	} else if (w->type == WORK_LEASE_RENEW && r->code == 404) {
		add_work(h, WORK_NODE, w->node, NULL); /* someone deleted the node */
	}
	work_free(w);
	pump(h);
}

static void send_status(struct hollow *h, struct arena *a, struct work *w)
{
	struct json *patch = json_new_object(a);
	json_set(a, patch, "status", node_status(h, a, w->node, false));
	client_patch(h->client, h->nodes, NULL, node_name(h, a, w->node), "status", STRATEGIC,
		patch, on_answer, w);
}

static void send_renewal(struct hollow *h, struct arena *a, struct work *w)
{
	struct json *patch = json_new_object(a);
	json_path_set(a, patch, "spec.renewTime", renew_time(h, a));
	client_patch(h->client, h->leases, LEASE_NAMESPACE, node_name(h, a, w->node), NULL, MERGE,
		patch, on_answer, w);
}

static void send_pod(struct hollow *h, struct arena *a, struct work *w, struct pod *p)
{
	const struct kind *k = p->object->kind;
	if (w->type == WORK_POD_REMOVE)
		client_delete(h->client, k, p->namespace, p->name, p->uid, 0, NULL, on_answer, w);
	else
		client_patch(h->client, k, p->namespace, p->name, "status", STRATEGIC,
			pod_status(p, a, w->type == WORK_POD_END), on_answer, w);
}

static void send_work(struct hollow *h, struct work *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod *p = w->uid ? table_get(&h->by_uid, w->uid) : NULL;
	if (w->uid && !p) {
		work_free(w); /* it is gone */
		return;
	}
	h->in_flight++;
	switch (w->type) {
	case WORK_NODE:
		client_create(h->client, h->nodes, NULL, make_node(h, &a, w->node), on_answer, w);
		return;
	case WORK_LEASE:
		client_create(h->client, h->leases, LEASE_NAMESPACE, make_lease(h, &a, w->node),
			on_answer, w);
		return;
	case WORK_NODE_STATUS:
		send_status(h, &a, w);
		return;
	case WORK_LEASE_RENEW:
		send_renewal(h, &a, w);
		return;
	default:
		send_pod(h, &a, w, p);
	}
}

static void pump(struct hollow *h)
{
	while (!h->stopping && h->in_flight < h->connections && !list_empty(&h->queue) &&
		!wakeup_armed(h->retry_due)) {
		struct work *w = CONTAINER_OF(h->queue.next, struct work, link);
		list_remove(&w->link);
		send_work(h, w);
	}
}

static void on_retry_due(void *user)
{
	pump(user);
}

/* ---- heartbeats ---- */

/* How many renewals are due by now when each node has one every period_s. */
static uint64_t renewals_due(struct hollow *h, unsigned period_s, int64_t now_ns)
{
	double periods = (double)(now_ns - h->renewing_since_ns) / 1e9 / period_s;
	return (uint64_t)(periods * h->count);
}

static void on_renew_due(void *user)
{
	struct hollow *h = user;
	int64_t now_ns = bench_now_ns();
	uint64_t leases = renewals_due(h, h->lease_s, now_ns);
	uint64_t statuses = renewals_due(h, h->status_s, now_ns);
	for (; h->lease_renewals < leases; h->lease_renewals++)
		add_work(h, WORK_LEASE_RENEW, (unsigned)(h->lease_renewals % h->count), NULL);
	for (; h->status_renewals < statuses; h->status_renewals++)
		add_work(h, WORK_NODE_STATUS, (unsigned)(h->status_renewals % h->count), NULL);
	wakeup_in(h->renew_due, MAX(h->lease_s * INT64_C(1000) / h->count, INT64_C(10)));
}

/* ---- pods ---- */

static void arm_pods(struct hollow *h)
{
	int64_t due_ns = INT64_MAX;
	struct list *const heads[] = {&h->starting, &h->ending};
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (!list_empty(heads[i]))
			due_ns = MIN(due_ns, CONTAINER_OF(heads[i]->next, struct pod, due)->due_ns);
	if (due_ns != INT64_MAX)
		wakeup_at(h->pods_due, due_ns);
}

static void take_due(struct hollow *h, struct list *head, enum work_type type)
{
	while (!list_empty(head)) {
		struct pod *p = CONTAINER_OF(head->next, struct pod, due);
		if (p->due_ns > bench_now_ns())
			return;
		list_remove(&p->due);
		add_work(h, type, 0, p->uid);
	}
}

static void on_pods_due(void *user)
{
	struct hollow *h = user;
	take_due(h, &h->starting, WORK_POD_RUN);
	take_due(h, &h->ending, WORK_POD_END);
	arm_pods(h);
}

static void wait_in(struct pod *p, struct list *head, unsigned delay_ms)
{
	p->due_ns = bench_now_ns() + delay_ms * NS_PER_MS;
	list_append(head, &p->due);
	arm_pods(p->h);
}

static bool is_ours(const struct hollow *h, const struct object *o)
{
	const char *node = object_field(o, "spec.nodeName");
	size_t size = strlen(h->prefix);
	uint64_t n;
	return node && strncmp(node, h->prefix, size) == 0 &&
	       parse_u64(str_from(node + size), &n) == 0 && n < h->count;
}

static void pod_forget(struct hollow *h, const char *uid)
{
	struct pod *p = table_remove(&h->by_uid, uid);
	if (!p)
		return;
	list_remove(&p->due);
	object_unref(p->object);
	free(p->namespace);
	free(p->name);
	free(p->uid);
	free(p);
}

static struct pod *pod_of(struct hollow *h, const struct object *o)
{
	struct pod *p = table_get(&h->by_uid, o->uid);
	if (p) {
		object_unref(p->object);
		p->object = object_ref((struct object *)o);
		return p;
	}
	p = xcalloc(1, sizeof(*p));
	p->h = h;
	p->namespace = xstrdup(o->namespace);
	p->name = xstrdup(o->name);
	p->uid = xstrdup(o->uid);
	p->object = object_ref((struct object *)o);
	p->address = ++h->next_address;
	list_init(&p->due);
	table_set(&h->by_uid, p->uid, p);
	return p;
}

static bool may_end(const struct object *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return !streq(json_path_str(object_doc(o, &a), "spec.restartPolicy"), "Always");
}

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct hollow *h = user;
	if (!new) {
		pod_forget(h, old->uid);
		return;
	}
	if (!is_ours(h, new))
		return;
	struct pod *p = pod_of(h, new);
	const char *phase = object_field(new, "status.phase");
	if (new->deleting && !p->removing) {
		p->removing = true;
		list_remove(&p->due);
		add_work(h, WORK_POD_REMOVE, 0, p->uid);
	}
	if (p->removing)
		return;
	if (!p->running && (!phase || !phase[0] || streq(phase, "Pending"))) {
		p->running = true;
		wait_in(p, &h->starting, h->start_delay_ms);
	} else if (!p->ended && streq(phase, "Running") && may_end(new)) {
		p->ended = true;
		wait_in(p, &h->ending, h->run_time_ms);
	}
}

/* ---- */

static void on_signal(uv_signal_t *signal, int number)
{
	struct hollow *h = signal->data;
	h->stopping = true;
	uv_stop(&h->loop);
}

static void usage(FILE *out)
{
	fputs("usage: hollow [OPTIONS] KUBECONFIG\n\n"
	      "  --nodes N          how many (1000)\n"
	      "  --prefix TEXT      names are TEXT and five digits (hollow-)\n"
	      "  --zones N          over which they are spread (3)\n"
	      "  --cpu Q --memory Q --pods N   room of each (16, 64Gi, 110)\n"
	      "  --connections N    requests under way at once (4; at most 16)\n"
	      "  --lease S          seconds between renewals of a lease (10)\n"
	      "  --status S         and of a node's status (300)\n"
	      "  --start-delay MS   from binding to Running (0)\n"
	      "  --run-time MS      from Running to the end, of pods that end (1000)\n"
	      "  --idle             nodes only: pods are left alone\n\n"
	      "Prints \"ready: ...\" when all nodes are there; ends by SIGTERM or SIGINT.\n",
		out);
}

static int parse_options(struct hollow *h, int argc, char **argv)
{
	static const struct option options[] = {{"nodes", 1, 0, 'n'}, {"prefix", 1, 0, 'x'},
		{"zones", 1, 0, 'z'}, {"cpu", 1, 0, 'c'}, {"memory", 1, 0, 'm'},
		{"pods", 1, 0, 'p'}, {"connections", 1, 0, 'C'}, {"lease", 1, 0, 'l'},
		{"status", 1, 0, 's'}, {"start-delay", 1, 0, 'd'}, {"run-time", 1, 0, 'r'},
		{"idle", 0, 0, 'i'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (c) {
		case 'n':
			h->count = bench_number(optarg, "--nodes");
			break;
		case 'x':
			h->prefix = optarg;
			break;
		case 'z':
			h->zones = bench_number(optarg, "--zones");
			break;
		case 'c':
			h->cpu = optarg;
			break;
		case 'm':
			h->memory = optarg;
			break;
		case 'p':
			h->pods_room = optarg;
			break;
		case 'C':
			h->connections = MIN(bench_number(optarg, "--connections"), 16u);
			break;
		case 'l':
			h->lease_s = bench_number(optarg, "--lease");
			break;
		case 's':
			h->status_s = bench_number(optarg, "--status");
			break;
		case 'd':
			h->start_delay_ms = bench_number(optarg, "--start-delay");
			break;
		case 'r':
			h->run_time_ms = bench_number(optarg, "--run-time");
			break;
		case 'i':
			h->idle = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	if (optind + 1 != argc) {
		usage(stderr);
		exit(2);
	}
	return optind;
}

static const struct kind *kind_named(
	const struct kind_registry *kinds, const char *group, const char *kind)
{
	const struct kind *k = kind_by_name(kinds, group, "v1", kind);
	if (!k)
		bench_die("no kind %s", kind);
	return k;
}

static void begin(struct hollow *h, struct kind_registry *kinds)
{
	static const struct informer_handler handler = {.changed = on_pod};
	h->nodes = kind_named(kinds, "", "Node");
	h->leases = kind_named(kinds, "coordination.k8s.io", "Lease");
	h->pods_due = wakeup_create(&h->loop, h->client->clock, on_pods_due, h);
	h->renew_due = wakeup_create(&h->loop, h->client->clock, on_renew_due, h);
	h->retry_due = wakeup_create(&h->loop, h->client->clock, on_retry_due, h);
	h->started_ns = bench_now_ns();
	/* Pods of hollow nodes with another prefix have other addresses, most likely. */
	for (const char *c = h->prefix; *c; c++)
		h->next_address = h->next_address * 31 + (unsigned char)*c;
	h->next_address = (h->next_address & 127) << 16;
	if (!h->idle) {
		h->pods = informer_create(
			h->client, kind_named(kinds, "", "Pod"), NULL, NULL, "spec.nodeName!=");
		informer_add_handler(h->pods, &handler, h);
		informer_start(h->pods);
	}
	for (unsigned i = 0; i < h->count; i++)
		add_work(h, WORK_NODE, i, NULL);
}

/* What is under way is left as it is. */
_noreturn_ static void end(struct hollow *h)
{
	for (int i = 0; i < WORK_TYPES; i++)
		printf("%s %lu, ", work_names[i], (unsigned long)h->done[i]);
	printf("tried again %lu\n", (unsigned long)h->failed);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct hollow h = {.prefix = "hollow-",
		.count = 1000,
		.connections = 4,
		.zones = 3,
		.lease_s = 10,
		.status_s = 300,
		.run_time_ms = 1000,
		.cpu = "16",
		.memory = "64Gi",
		.pods_room = "110"};
	struct err err = ERR_INIT;
	const char *config = argv[parse_options(&h, argc, argv)];
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&h.loop);
	list_init(&h.queue);
	list_init(&h.starting);
	list_init(&h.ending);
	struct kind_registry *kinds = kind_registry_create();
	bench_must(kind_registry_load_builtin(kinds, &err), &err, "kinds");
	bench_must(client_https_create(&h.loop, kinds, config, "hollow", &h.client, &err), &err,
		config);
	uv_signal_t *const signals[] = {&h.on_int, &h.on_term};
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		uv_signal_init(&h.loop, signals[i]);
		signals[i]->data = &h;
		uv_signal_start(signals[i], on_signal, i ? SIGTERM : SIGINT);
	}
	begin(&h, kinds);
	uv_run(&h.loop, UV_RUN_DEFAULT);
	end(&h);
}
