/* services_bench.c - how fast a node's kernel follows a change of a service's endpoints.
 *
 *     services-bench load KUBECONFIG SERVICES
 *         makes so many services with three endpoints each, one EndpointSlice a service.
 *     services-bench agent KUBECONFIG HANOK
 *         what `hanok node` does for services, and nothing else of it: the watches and `HANOK
 *         netd`. After the first load it prints "hanok own_ms N" for each change: from the moment
 *         that its loop wakes up for the watch event until netd said that the kernel has it.
 *     services-bench measure SIDE KUBECONFIG CHANGES PAUSE_US SERVICES COMMAND...
 *         starts COMMAND, which keeps the rules, in this network namespace; waits until the
 *         service in the middle, which has one endpoint, answers; then replaces that endpoint
 *         CHANGES times, unless that takes too long. Prints "SIDE FIGURE N" lines:
 *
 *             load_ms      from the start of COMMAND to the first answer of the service
 *             change_ms    from the API's answer to a change to the first connection that the new
 *                          endpoint gets (tried every PAUSE_US), one line for each change
 *             request_ms   the same, from the request
 *             cpu_ms       CPU time of COMMAND and all that it started, for each change
 *             resident_mib their memory afterwards
 *
 * Both endpoints are addresses of this namespace (see services.sh), so that whoever is led there is
 * seen by this program itself. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench/common.h"
#include "lib/client/client.h"
#include "node/net/service/services.h"

#define OUTSTANDING 16 /* connections that a client keeps */
#define PORT 80
#define GIVE_UP_S 60
#define CHANGES_S 80 /* fewer changes when each takes long */
#define ANSWER_MS 50 /* a connection within one machine, with whatever rules there are */

static const char *const endpoint_addresses[2] = {"10.244.0.2", "10.244.0.3"};

static struct client *open_client(
	uv_loop_t *loop, const char *kubeconfig, struct kind_registry **ret_kinds)
{
	struct kind_registry *kinds = kind_registry_create();
	struct client *c;
	struct err err = ERR_INIT;
	bench_must(kind_registry_load_builtin(kinds, &err), &err, "kinds");
	bench_must(client_https_create(loop, kinds, kubeconfig, "services-bench", &c, &err), &err,
		kubeconfig);
	if (ret_kinds)
		*ret_kinds = kinds;
	return c;
}

/* ---- load ---- */

struct load {
	struct client *client;
	unsigned services, next, answered;
	bool done;
};

static void cluster_ip(unsigned i, char ret[32])
{
	snprintf(ret, 32, "10.96.%u.%u", 1 + i / 250, 1 + i % 250);
}

static unsigned measured(unsigned services)
{
	return services / 2;
}

static void add_service(struct buf *out, unsigned i)
{
	char ip[32];
	cluster_ip(i, ip);
	buf_printf(out,
		"{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"svc-%u\"},"
		"\"spec\":{\"clusterIP\":\"%s\",\"ports\":[{\"port\":%u}]}}",
		i, ip, PORT);
}

/* The service that is measured has one endpoint, so that every connection says which; its
 * neighbour has those that it lacks. */
static void add_slice(struct buf *out, unsigned i, unsigned services)
{
	unsigned count = i == measured(services) ? 1 : i == measured(services) + 1 ? 5 : 3;
	buf_printf(out,
		"{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":"
		"{\"name\":\"svc-%u\",\"labels\":{\"kubernetes.io/service-name\":\"svc-%u\"}},"
		"\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"port\":%u,\"protocol\":"
		"\"TCP\"}],\"endpoints\":[",
		i, i, PORT);
	for (unsigned e = 0; e < count; e++) {
		unsigned n = i * 3 + e;
		char address[32];
		snprintf(address, sizeof(address), "10.244.%u.%u", 1 + n / 250, 1 + n % 250);
		buf_printf(out,
			"%s{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true},\"nodeName\":"
			"\"node-%u\"}",
			e ? "," : "", count == 1 ? endpoint_addresses[0] : address, n % 300);
	}
	buf_add_str(out, "]}");
}

static void load_next(struct load *l);

static void on_made(void *user, const struct client_result *r)
{
	struct load *l = user;
	if (!client_ok(r))
		bench_die("create: %d %s", r->code, r->message);
	l->done = ++l->answered == l->services * 2;
	load_next(l);
}

static void load_next(struct load *l)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	struct client_request request = {.method = "POST"};
	unsigned i = l->next++;
	if (i >= l->services * 2)
		return;
	if (i < l->services) {
		request.path = "/api/v1/namespaces/default/services";
		add_service(&body, i);
	} else {
		request.path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
		add_slice(&body, i - l->services, l->services);
	}
	request.body = body.data;
	request.body_size = body.size;
	client_request(l->client, &request, on_made, l);
}

static int load_main(uv_loop_t *loop, char **argv)
{
	struct load l = {.client = open_client(loop, argv[0], NULL),
		.services = bench_number(argv[1], "SERVICES")};
	for (unsigned i = 0; i < OUTSTANDING; i++)
		load_next(&l);
	bench_wait(loop, &l.done, GIVE_UP_S, "the last object");
	return 0;
}

/* ---- agent ---- */

struct agent {
	uv_loop_t *loop;
	uv_prepare_t prepare;
	int64_t prepared_ns;	/* the loop is about to wait */
	uint64_t prepared_idle; /* how long it had waited until then, of all its life */
	int64_t event_ns; /* it woke up for a watch event that netd has not answered; 0 = none */
	bool loaded;
	uint32_t config_serial;
	struct netd_client *netd;
	struct services *services;
	const struct client_ops *ops;
};
static struct agent agent;

static void on_prepare(uv_prepare_t *p)
{
	agent.prepared_ns = bench_now_ns();
	agent.prepared_idle = uv_metrics_idle_time(p->loop);
}

/* Between the client and whoever watches through it. */
struct tap {
	const struct client_watch_handler *handler;
	void *user;
};

static void tap_event(void *user, const struct client_event *e)
{
	struct tap *t = user;
	if (agent.loaded && e->object && !agent.event_ns)
		agent.event_ns = agent.prepared_ns +
				 (int64_t)(uv_metrics_idle_time(agent.loop) - agent.prepared_idle);
	t->handler->event(t->user, e);
}

static void tap_ended(void *user)
{
	struct tap *t = user;
	t->handler->ended(t->user);
	free(t);
}

static struct client_watch *tap_watch(struct client *c, const struct client_watch_options *o,
	const struct client_watch_handler *h, void *user)
{
	static const struct client_watch_handler handler = {.event = tap_event, .ended = tap_ended};
	struct tap *t = xcalloc(1, sizeof(*t));
	*t = (struct tap){.handler = h, .user = user};
	return agent.ops->watch(c, o, &handler, t);
}

static void netd_fresh(void *user, const char *why)
{
	struct netd_config config = {.v4 = {.pods = {.prefix = 24}, .services = {.prefix = 16}}};
	if (net_address_parse("10.244.0.0", &config.v4.pods.address) < 0 ||
		net_address_parse("10.96.0.0", &config.v4.services.address) < 0)
		abort();
	agent.config_serial = netd_client_send(agent.netd, NETD_CONFIG, &config, sizeof(config));
	services_resync(agent.services);
}

static void netd_result(void *user, uint32_t serial, int code, const char *text)
{
	if (code < 0)
		bench_die("netd: %s", text);
	if (serial == agent.config_serial)
		return;
	services_result(agent.services, serial, code, text);
	if (agent.loaded && agent.event_ns)
		printf("hanok own_ms %.4f\n", (double)(bench_now_ns() - agent.event_ns) / 1e6);
	agent.event_ns = 0;
	agent.loaded = true;
}

static int agent_main(uv_loop_t *loop, char **argv)
{
	static const struct netd_client_handler on_netd = {
		.fresh = netd_fresh, .result = netd_result};
	struct kind_registry *kinds;
	struct client *client;
	struct client_ops ops;

	setlinebuf(stdout);
	agent.loop = loop;
	uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
	uv_prepare_init(loop, &agent.prepare);
	uv_prepare_start(&agent.prepare, on_prepare);
	client = open_client(loop, argv[0], &kinds);
	agent.ops = client->ops;
	ops = *client->ops;
	ops.watch = tap_watch;
	client->ops = &ops;
	struct node n = {.loop = loop, .client = client, .kinds = kinds, .name = "node-1"};
	/* It says `fresh` from its first timer, when services are there. */
	agent.netd = netd_client_create(loop, argv[1], &on_netd, NULL);
	agent.services = services_create(&n, agent.netd);
	return uv_run(loop, UV_RUN_DEFAULT);
}

/* ---- measure ---- */

struct change {
	int code;
	bool done;
	int64_t answered_ns;
	char message[256];
};

static int listen_at(const char *address)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int on = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, address, &at.sin_addr);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(s, 64) < 0)
		bench_die("listen at %s: %s", address, strerror(errno));
	return s;
}

static void reset(int s)
{
	struct linger now = {.l_onoff = 1};
	setsockopt(s, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(s);
}

/* Takes what came; whether the connection from this port was among it. Another one may have been
 * on its way for longer than its probe waited. */
static bool came(int listener, uint16_t port)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	bool found = false;
	for (int s; (s = accept4(listener, (struct sockaddr *)&from, &size, SOCK_CLOEXEC)) >= 0;
		size = sizeof(from)) {
		found |= from.sin_port == port;
		reset(s);
	}
	return found;
}

/* Which of the listeners a connection to the service arrives at; -1 = none. */
static int probe(const struct sockaddr_in *service, const int listeners[2])
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), found = -1;
	struct pollfd p[2] = {
		{.fd = listeners[0], .events = POLLIN}, {.fd = listeners[1], .events = POLLIN}};
	struct sockaddr_in self;
	socklen_t size = sizeof(self);
	if (connect(s, (const struct sockaddr *)service, sizeof(*service)) < 0 &&
		errno != EINPROGRESS) {
		close(s);
		return -1;
	}
	if (getsockname(s, (struct sockaddr *)&self, &size) < 0)
		bench_die("getsockname: %s", strerror(errno));
	while (found < 0 && poll(p, 2, ANSWER_MS) > 0)
		for (int i = 0; i < 2; i++)
			if (came(listeners[i], self.sin_port))
				found = i;
	reset(s);
	return found;
}

static void await_endpoint(
	const struct sockaddr_in *service, const int listeners[2], int endpoint, unsigned pause_us)
{
	int64_t begin = bench_now_ns();
	while (probe(service, listeners) != endpoint) {
		if (bench_now_ns() - begin > GIVE_UP_S * NS_PER_S)
			bench_die("the service never led to %s", endpoint_addresses[endpoint]);
		usleep(pause_us);
	}
}

/* CPU time of a process, of what it started, and of those of them that have ended. */
static void add_tree(pid_t pid, double *cpu_ms, double *mib)
{
	char path[64], text[4096];
	unsigned long long user = 0, system = 0;
	FILE *f;

	*cpu_ms += (double)bench_cpu_ns(pid) / 1e6;
	*mib += bench_resident_mib(pid);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f && fgets(text, sizeof(text), f)) {
		const char *rest = strrchr(text, ')');
		/* ) state ppid pgrp session tty tpgid flags 4 faults utime stime cutime cstime */
		if (rest &&
			sscanf(rest,
				") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %llu %llu",
				&user, &system) == 2)
			*cpu_ms += (double)(user + system) * 1e3 / (double)sysconf(_SC_CLK_TCK);
	}
	if (f)
		fclose(f);
	/* Any of its threads may have started them. */
	snprintf(path, sizeof(path), "cat /proc/%d/task/*/children 2>/dev/null", (int)pid);
	f = popen(path, "re");
	for (int child; f && fscanf(f, "%d", &child) == 1;)
		add_tree(child, cpu_ms, mib);
	if (f)
		pclose(f);
}

static void on_changed(void *user, const struct client_result *r)
{
	struct change *c = user;
	c->answered_ns = bench_now_ns();
	c->code = r->code;
	snprintf(c->message, sizeof(c->message), "%s", r->message ? r->message : "");
	c->done = true;
}

static void change(
	uv_loop_t *loop, struct client *client, unsigned service, int endpoint, struct change *ret)
{
	char path[128], body[256];
	struct client_request request = {.method = "PATCH",
		.path = path,
		.body = body,
		.content_type = "application/merge-patch+json"};
	snprintf(path, sizeof(path),
		"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/svc-%u", service);
	request.body_size = (size_t)snprintf(body, sizeof(body),
		"{\"endpoints\":[{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true},"
		"\"nodeName\":\"node-1\"}]}",
		endpoint_addresses[endpoint]);
	*ret = (struct change){.done = false};
	client_request(client, &request, on_changed, ret);
	bench_wait(loop, &ret->done, GIVE_UP_S, "the API's answer");
	if (ret->code != 200)
		bench_die("patch: %d %s", ret->code, ret->message);
}

static int measure_main(uv_loop_t *loop, char **argv)
{
	const char *side = argv[0];
	struct client *client = open_client(loop, argv[1], NULL);
	unsigned changes = bench_number(argv[2], "CHANGES");
	unsigned pause_us = bench_number(argv[3], "PAUSE_US");
	unsigned services = bench_number(argv[4], "SERVICES"), service = measured(services);
	int listeners[2] = {listen_at(endpoint_addresses[0]), listen_at(endpoint_addresses[1])};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	double cpu = 0, cpu_after = 0, mib = 0;
	char ip[32];
	struct change c;
	unsigned made = 0;
	int64_t begin;
	pid_t pid;

	setlinebuf(stdout);
	cluster_ip(service, ip);
	inet_pton(AF_INET, ip, &to.sin_addr);
	prctl(PR_SET_TIMERSLACK, 1000);
	/* The connection to the API is there when it is needed. */
	change(loop, client, service, 0, &c);

	begin = bench_now_ns();
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		prctl(PR_SET_TIMERSLACK, 0);
		execvp(argv[5], argv + 5);
		_exit(127);
	}
	await_endpoint(&to, listeners, 0, MAX(pause_us, 1000u));
	printf("%s load_ms %.1f\n", side, (double)(bench_now_ns() - begin) / 1e6);
	usleep(2000000); /* whatever follows from a start */
	add_tree(pid, &cpu, &mib);
	begin = bench_now_ns();
	for (unsigned i = 1; i <= changes && bench_now_ns() - begin < CHANGES_S * NS_PER_S; i++) {
		int64_t now, asked = bench_now_ns();
		change(loop, client, service, (int)(i % 2), &c);
		await_endpoint(&to, listeners, (int)(i % 2), pause_us);
		now = bench_now_ns();
		printf("%s change_ms %.4f\n%s request_ms %.4f\n", side,
			(double)(now - c.answered_ns) / 1e6, side, (double)(now - asked) / 1e6);
		made++;
		usleep(200000); /* what is done after the rules are there counts as CPU time */
	}
	mib = 0;
	add_tree(pid, &cpu_after, &mib);
	printf("%s cpu_ms %.4f\n%s resident_mib %.2f\n", side, (cpu_after - cpu) / made, side, mib);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	if (argc == 4 && streq(argv[1], "load"))
		return load_main(&loop, argv + 2);
	if (argc == 4 && streq(argv[1], "agent"))
		return agent_main(&loop, argv + 2);
	if (argc >= 8 && streq(argv[1], "measure"))
		return measure_main(&loop, argv + 2);
	bench_die("usage: services-bench load KUBECONFIG SERVICES | agent KUBECONFIG HANOK | "
		  "measure SIDE KUBECONFIG CHANGES PAUSE_US SERVICES COMMAND...");
}
