/* policies_bench.c - how fast a node's kernel follows a change of network policies, and what its
 * rules cost a packet.
 *
 *     policies-bench load KUBECONFIG POLICIES PODS
 *         makes so many policies and pods in 50 namespaces; the first 110 pods are node-1's, and
 *         the very first has the address of the namespace "server", another node's pod that of
 *         "client" (policies.sh).
 *     policies-bench agent KUBECONFIG HANOK
 *         what `hanok node` does for policies, and nothing else of it: the watches and `HANOK
 *         netd`. Prints "ready" when the kernel has everything.
 *     policies-bench measure KUBECONFIG CHANGES CLIENT SERVER COMMAND...
 *         sends packets from the network namespace CLIENT to SERVER through this one, as fast as it
 *         can, without rules; starts COMMAND (an agent) and does so again; then lets them in and
 *         out CHANGES times by a policy, and as often by the client's label. Prints "hanok FIGURE
 *         N" lines:
 *
 *             bare_ns, rules_ns    CPU time of a packet that passes, of no known connection;
 *                                  back_bare_ns, back_rules_ns of those from server to client
 *             bare_kpps, rules_kpps, ... likewise, thousands of packets a second and core
 *             load_ms              from the start of the agent until the kernel has everything
 *             policy_ms, label_ms  from the API's answer until the first packet that passes, or
 *                                  is dropped; one line for each change (0: the kernel had it
 *                                  first); request_policy_ms, request_label_ms from the request
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench/common.h"
#include "lib/base/clock.h"
#include "lib/client/client.h"
#include "node/net/policy/policies.h"
#include "node/net/policy/policy_pods.h"

#define OUTSTANDING 16
#define NAMESPACES 50
#define LOCAL 110
#define PORT 7777
#define GIVE_UP_S 60
#define PAUSE_US 100   /* between two packets */
#define SILENCE_MS 30  /* after which nothing passes any more */
#define PACKETS 200000 /* to measure their cost */
#define PACKETS_AT_ONCE 64
#define SERVER_ADDRESS "10.244.0.2"
#define CLIENT_ADDRESS "10.244.1.2"

static struct client *open_client(
	uv_loop_t *loop, const char *kubeconfig, struct kind_registry **ret_kinds)
{
	struct kind_registry *kinds = kind_registry_create();
	struct client *c;
	struct err err = ERR_INIT;

	bench_must(kind_registry_load_builtin(kinds, &err), &err, "kinds");
	bench_must(client_https_create(loop, kinds, kubeconfig, "policies-bench", &c, &err), &err,
		kubeconfig);
	if (ret_kinds)
		*ret_kinds = kinds;
	return c;
}

/* ---- load ---- */

/* Namespaces, then pods, then their statuses, then policies. */
struct load {
	struct client *client;
	unsigned policies, pods, next, answered, stage;
	bool done;
};

static unsigned stage_count(const struct load *l)
{
	return l->stage == 0 ? NAMESPACES : l->stage < 3 ? l->pods : l->policies;
}

static void pod_address(unsigned i, char ret[32])
{
	if (i < LOCAL)
		snprintf(ret, 32, "10.244.0.%u", 2 + i);
	else /* the first of another node is the client */
		snprintf(ret, 32, "10.244.%u.%u", 1 + (i - LOCAL) / 200, 2 + (i - LOCAL) % 200);
}

static void add_pod(struct buf *out, unsigned i)
{
	buf_printf(out,
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"pod-%u\","
		"\"labels\":{\"app\":\"app%u\",\"tier\":\"t%u\"}},\"spec\":{\"nodeName\":"
		"\"node-%u\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
		i, i / NAMESPACES % 20, i % 3, i < LOCAL ? 1 : 2 + (i - LOCAL) / 200);
}

/* Each lets the pods of an app of its namespace be reached by another app's, and by those of all
 * namespaces with its own label. */
static void add_policy(struct buf *out, unsigned i)
{
	buf_printf(out,
		"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{"
		"\"name\":\"policy-%u\"},\"spec\":{\"podSelector\":{\"matchLabels\":{\"app\":\"app%"
		"u\"}},"
		"\"ingress\":[{\"from\":[{\"podSelector\":{\"matchLabels\":{\"app\":\"app%u\"}}},{"
		"\"namespaceSelector\":{},\"podSelector\":{\"matchLabels\":{\"tier\":\"t0\","
		"\"app\":"
		"\"app%u\"}}}],\"ports\":[{\"port\":80}]}]}}",
		i, i / NAMESPACES % 20, (i / NAMESPACES + 10) % 20, i % 20);
}

static void load_next(struct load *l);

static void on_made(void *user, const struct client_result *r)
{
	struct load *l = user;

	if (!client_ok(r))
		bench_die("create: %d %s", r->code, r->message);
	if (++l->answered == stage_count(l)) {
		l->next = l->answered = 0;
		if (++l->stage == 4) {
			l->done = true;
			return;
		}
		for (unsigned i = 0; i < OUTSTANDING; i++)
			load_next(l);
		return;
	}
	load_next(l);
}

static void load_next(struct load *l)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT, path = BUF_INIT;
	struct client_request request = {.method = "POST"};
	unsigned i = l->next++;
	char address[32];

	if (l->stage == 4 || i >= stage_count(l))
		return;
	if (l->stage == 0) {
		buf_add_str(&path, "/api/v1/namespaces");
		buf_printf(&body, "{\"metadata\":{\"name\":\"n%u\"}}", i);
	} else if (l->stage == 1) {
		buf_printf(&path, "/api/v1/namespaces/n%u/pods", i % NAMESPACES);
		add_pod(&body, i);
	} else if (l->stage == 2) {
		pod_address(i, address);
		request.method = "PATCH";
		request.content_type = "application/merge-patch+json";
		buf_printf(&path, "/api/v1/namespaces/n%u/pods/pod-%u/status", i % NAMESPACES, i);
		buf_printf(&body,
			"{\"status\":{\"phase\":\"Running\",\"podIP\":\"%s\",\"podIPs\":[{\"ip\":"
			"\"%s\"}]}}",
			address, address);
	} else {
		buf_printf(&path, "/apis/networking.k8s.io/v1/namespaces/n%u/networkpolicies",
			i % NAMESPACES);
		add_policy(&body, i);
	}
	request.path = path.data;
	request.body = body.data;
	request.body_size = body.size;
	client_request(l->client, &request, on_made, l);
}

static int load_main(uv_loop_t *loop, char **argv)
{
	struct load l = {.client = open_client(loop, argv[0], NULL),
		.policies = bench_number(argv[1], "POLICIES"),
		.pods = bench_number(argv[2], "PODS")};

	for (unsigned i = 0; i < OUTSTANDING; i++)
		load_next(&l);
	bench_wait(loop, &l.done, GIVE_UP_S * 5, "the last object");
	return 0;
}

/* ---- agent ---- */

static struct {
	struct netd_client *netd;
	struct policies *policies;
	uint32_t config_serial;
	bool ready;
} agent;

static void netd_fresh(void *user, const char *why)
{
	struct netd_config config = {.v4 = {.pods = {.prefix = 24}}};

	if (net_address_parse("10.244.0.0", &config.v4.pods.address) < 0)
		abort();
	policies_stale(agent.policies);
	agent.config_serial = netd_client_send(agent.netd, NETD_CONFIG, &config, sizeof(config));
}

static void netd_result(void *user, uint32_t serial, int code, const char *text)
{
	struct net_range pods;

	if (code < 0)
		bench_die("netd: %s", text);
	if (serial == agent.config_serial) {
		if (net_range_parse("10.244.0.0/24", &pods) < 0)
			abort();
		policies_resync(agent.policies, &pods, 1);
	} else {
		policies_result(agent.policies, serial, code, text);
	}
}

static void in_place(void *user, const struct err *err)
{
	if (err)
		bench_die("%s", err->msg);
	if (!agent.ready)
		printf("ready\n");
	agent.ready = true;
}

static void pod_changed(void *user, const struct object *old, const struct object *new)
{
	static const struct net_port port = {"server", {2, 0, 0, 0, 0, 1}};
	struct net_address address;

	policies_changed(agent.policies, old, new);
	/* The one that is measured has its port, which is kept to its address. */
	if (!old && streq(new->name, "pod-0") && net_address_parse(SERVER_ADDRESS, &address) == 0)
		policies_admit(agent.policies, new->uid, &port, &address, 1, NULL, NULL);
}

static void pods_listed(void *user)
{
	struct net_address address;

	policies_listed(agent.policies, false);
	policies_listed(agent.policies, true);
	/* One more pod is admitted when the kernel has everything. */
	if (net_address_parse("10.244.0.250", &address) < 0)
		abort();
	policies_admit(agent.policies, "ready", NULL, &address, 1, in_place, NULL);
}

static int agent_main(uv_loop_t *loop, char **argv)
{
	static const struct netd_client_handler on_netd = {
		.fresh = netd_fresh, .result = netd_result};
	static const struct informer_handler on_pod = {
		.changed = pod_changed, .synced = pods_listed};
	struct kind_registry *kinds;
	struct client *client = open_client(loop, argv[0], &kinds);
	struct node n = {.loop = loop,
		.client = client,
		.kinds = kinds,
		.clock = clock_system(),
		.name = "node-1"};
	struct informer *pods;

	setlinebuf(stdout);
	agent.netd = netd_client_create(loop, argv[1], &on_netd, NULL);
	agent.policies = policies_create(&n, agent.netd);
	pods = informer_create(
		client, kind_by_name(kinds, "", "v1", "Pod"), NULL, NULL, "spec.nodeName=node-1");
	informer_add_handler(pods, &on_pod, NULL);
	informer_start(pods);
	return uv_run(loop, UV_RUN_DEFAULT);
}

/* ---- measure ---- */

struct change {
	int code;
	bool done;
	int64_t answered_ns;
	char message[256];
};

static void on_changed(void *user, const struct client_result *r)
{
	struct change *c = user;

	c->answered_ns = bench_now_ns();
	c->code = r->code;
	snprintf(c->message, sizeof(c->message), "%s", r->message ? r->message : "");
	c->done = true;
}

static int home_fd;

static int socket_in(const char *ns, const char *address, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	char path[64];
	int fd, s;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		bench_die("%s: %s", path, strerror(errno));
	close(fd);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	inet_pton(AF_INET, address, &at.sin_addr);
	if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		setns(home_fd, CLONE_NEWNET) < 0)
		bench_die("%s: %s", address, strerror(errno));
	return s;
}

struct way {
	int from, to;
	struct sockaddr_in address;
};

static struct way way_to(int from, int to, const char *address, uint16_t port)
{
	struct way w = {.from = from,
		.to = to,
		.address = {.sin_family = AF_INET, .sin_port = htons(port)}};

	inet_pton(AF_INET, address, &w.address.sin_addr);
	return w;
}

/* Packets that nobody reads are thrown away at the end of their way. Nobody answers either, so the
 * connection never becomes known. */
static double cost_ns(const struct way *w)
{
	struct mmsghdr m[PACKETS_AT_ONCE] = {0};
	struct iovec iov = {"x", 1};
	int64_t begin = bench_cpu_ns(getpid());
	unsigned sent = 0;

	for (unsigned i = 0; i < PACKETS_AT_ONCE; i++)
		m[i].msg_hdr = (struct msghdr){.msg_name = (void *)(uintptr_t)&w->address,
			.msg_namelen = sizeof(w->address),
			.msg_iov = &iov,
			.msg_iovlen = 1};
	while (sent < PACKETS) {
		int n = sendmmsg(w->from, m, PACKETS_AT_ONCE, 0);

		if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EPERM)
			bench_die("send: %s", strerror(errno));
		sent += (unsigned)MAX(n, 0);
	}
	return (double)(bench_cpu_ns(getpid()) - begin) / sent;
}

static void tell_cost(const char *name, const struct way *w)
{
	double ns = cost_ns(w);
	uint64_t c;

	printf("hanok %s_ns %.1f\nhanok %s_kpps %.1f\n", name, ns, name, 1e6 / ns);
	while (recv(w->to, &c, sizeof(c), 0) >= 0)
		;
}

/* Sends until packets pass, or pass no more; when the first of them was sent. */
static int64_t await_way(uv_loop_t *loop, const struct way *w, bool pass)
{
	int64_t begin = bench_now_ns(), last_sent = 0, last_came = begin, first_lost = 0, sent_ns;

	for (;;) {
		int64_t now = bench_now_ns();

		if (now - begin > GIVE_UP_S * NS_PER_S)
			bench_die("packets never %s", pass ? "passed" : "stopped");
		(void)!sendto(w->from, &now, sizeof(now), 0, (const struct sockaddr *)&w->address,
			sizeof(w->address));
		last_sent = now;
		while (recv(w->to, &sent_ns, sizeof(sent_ns), 0) == sizeof(sent_ns)) {
			if (sent_ns < begin)
				continue; /* an earlier one's */
			if (pass)
				return sent_ns;
			last_came = sent_ns;
			first_lost = 0;
		}
		if (!pass && !first_lost && last_sent > last_came)
			first_lost = last_sent;
		if (!pass && first_lost && now - first_lost > SILENCE_MS * NS_PER_MS)
			return first_lost;
		uv_run(loop, UV_RUN_NOWAIT);
		usleep(PAUSE_US);
	}
}

static void change(uv_loop_t *loop, struct client *client, const char *method, const char *path,
	const char *body, const struct way *w, bool pass, const char *figure)
{
	struct client_request request = {.method = method,
		.path = path,
		.body = body,
		.body_size = strlen(body),
		.content_type = streq(method, "PATCH") ? "application/merge-patch+json" : NULL};
	struct change c = {.done = false};
	int64_t at, begin = bench_now_ns();

	uv_update_time(loop); /* it may not have run for long */
	client_request(client, &request, on_changed, &c);
	at = await_way(loop, w, pass);
	bench_wait(loop, &c.done, GIVE_UP_S, "the API's answer");
	if (c.code / 100 != 2)
		bench_die("%s %s: %d %s", method, path, c.code, c.message);
	/* The kernel may have it before the answer is here. */
	if (figure)
		printf("hanok %s %.4f\nhanok request_%s %.4f\n", figure,
			(double)MAX(at - c.answered_ns, INT64_C(0)) / 1e6, figure,
			(double)(at - begin) / 1e6);
}

#define POLICIES "/apis/networking.k8s.io/v1/namespaces/n0/networkpolicies"
#define WITH_PORT                                                                                  \
	"{\"spec\":{\"ingress\":[{\"from\":[{\"namespaceSelector\":{},\"podSelector\":{"           \
	"\"matchLabels\":{\"friend\":\"%s\"}}}],\"ports\":[{\"port\":%u,\"protocol\":\"UDP\"}]}]}" \
	"}"

static void measure_changes(uv_loop_t *loop, struct client *client, unsigned changes,
	const struct way *w, const struct way *back)
{
	char pod[128], body[512];

	snprintf(pod, sizeof(pod), "/api/v1/namespaces/n%u/pods/pod-%u", LOCAL % NAMESPACES, LOCAL);
	change(loop, client, "POST", POLICIES,
		"{\"metadata\":{\"name\":\"measured\"},\"spec\":{\"podSelector\":{\"matchLabels\":{"
		"\"app\":"
		"\"app0\"}}}}",
		w, false, NULL);
	change(loop, client, "PATCH", pod, "{\"metadata\":{\"labels\":{\"friend\":\"yes\"}}}", w,
		false, NULL);
	for (unsigned i = 0; i < changes; i++) {
		snprintf(body, sizeof(body), WITH_PORT, "yes", i % 2 ? PORT + 1 : PORT);
		change(loop, client, "PATCH", POLICIES "/measured", body, w, i % 2 == 0,
			"policy_ms");
	}
	snprintf(body, sizeof(body), WITH_PORT, "yes", PORT);
	change(loop, client, "PATCH", POLICIES "/measured", body, w, true, NULL);
	tell_cost("rules", w);
	tell_cost("back_rules", back);
	for (unsigned i = 0; i < changes; i++) {
		snprintf(body, sizeof(body), "{\"metadata\":{\"labels\":{\"friend\":\"%s\"}}}",
			i % 2 ? "yes" : "no");
		change(loop, client, "PATCH", pod, body, w, i % 2 == 1, "label_ms");
	}
}

static int measure_main(uv_loop_t *loop, char **argv)
{
	struct client *client = open_client(loop, argv[0], NULL);
	unsigned changes = bench_number(argv[1], "CHANGES");
	struct way in, out;
	int64_t begin;
	char line[64] = "";
	int ready[2];
	FILE *from_agent;
	pid_t pid;

	setlinebuf(stdout);
	prctl(PR_SET_TIMERSLACK, 1000);
	home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	/* Other ports on the way back: it is no answer. */
	in = way_to(socket_in(argv[2], CLIENT_ADDRESS, PORT),
		socket_in(argv[3], SERVER_ADDRESS, PORT), SERVER_ADDRESS, PORT);
	out = way_to(socket_in(argv[3], SERVER_ADDRESS, PORT + 2),
		socket_in(argv[2], CLIENT_ADDRESS, PORT + 2), CLIENT_ADDRESS, PORT + 2);
	await_way(loop, &in, true);
	tell_cost("bare", &in);
	tell_cost("back_bare", &out);

	if (pipe2(ready, O_CLOEXEC) < 0)
		bench_die("pipe: %s", strerror(errno));
	begin = bench_now_ns();
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		prctl(PR_SET_TIMERSLACK, 0);
		dup2(ready[1], 1);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	close(ready[1]);
	from_agent = fdopen(ready[0], "re");
	if (!from_agent || !fgets(line, sizeof(line), from_agent) || strncmp(line, "ready", 5))
		bench_die("the agent did not become ready");
	printf("hanok load_ms %.1f\n", (double)(bench_now_ns() - begin) / 1e6);
	measure_changes(loop, client, changes, &in, &out);
	printf("hanok resident_mib %.2f\n", bench_resident_mib(pid));
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	uv_loop_t loop;

	uv_loop_init(&loop);
	if (argc == 5 && streq(argv[1], "load"))
		return load_main(&loop, argv + 2);
	if (argc == 4 && streq(argv[1], "agent"))
		return agent_main(&loop, argv + 2);
	if (argc >= 7 && streq(argv[1], "measure"))
		return measure_main(&loop, argv + 2);
	bench_die("usage: policies-bench load KUBECONFIG POLICIES PODS | agent KUBECONFIG HANOK | "
		  "measure KUBECONFIG CHANGES CLIENT SERVER COMMAND...");
}
