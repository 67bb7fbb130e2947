/* main.c - `hanok-dns`: the cluster's names on one node. Started by `hanok node` with the node's
 * own identity; goes on when that is stopped, and hands over to the one that a new agent starts.
 *
 * A program of its own: the DNS library and what that loads stay out of the others' memory, and
 * its license (GPL) out of theirs. Listens only when everything is known, and without privileges
 * from then on. */
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/informer.h"
#include "lib/http/http.h"
#include "node/dns/dns_server.h"

enum {
	NOBODY = 65534,
	RESOLV_CONF_POLL_MS = 5000,
	METRICS_RETRY_MS = 1000,
	RESOLV_CONF_MAX_BYTES = 64 << 10
};
#define SERVICE_NAME_LABEL "kubernetes.io/service-name"

struct program {
	uv_loop_t loop;
	struct kind_registry *kinds;
	struct client *client;
	struct informer *services, *slices, *namespaces;
	unsigned unsynced;
	struct dns_zone *zone;
	struct dns_forward *forward;
	struct dns_server *server;
	struct http_server *metrics;
	uv_fs_poll_t poll;
	uv_timer_t metrics_timer;
	uv_signal_t term, interrupt;
	VEC(const char *) addresses;
	VEC(const char *) resolvers; /* given, instead of the file's */
	const char *kubeconfig, *domain, *resolv_conf, *metrics_address, *run_directory;
	int port;
	bool failed, stopping;
};

static void usage(FILE *to)
{
	fprintf(to, "usage: hanok-dns --kubeconfig FILE --listen IP [OPTIONS]\n\n"
		    "  --kubeconfig FILE   how to reach the server\n"
		    "  --listen IP         address to serve, by UDP and TCP; may be repeated\n"
		    "  --port N            (53)\n"
		    "  --domain NAME       of the cluster (cluster.local)\n"
		    "  --resolv-conf FILE  resolvers for all other names (/etc/resolv.conf)\n"
		    "  --resolver ADDRESS  the same, given here: IP or IP:PORT; may be repeated\n"
		    "  --metrics IP:PORT   serves /metrics, /health and /ready there\n"
		    "  --log-level LEVEL   debug, info, warn, error (info)\n\n"
		    "Part of `hanok node`, which starts it.\n");
}

/* 0 = go on, else the exit code + 1. */
static int parse_options(struct program *p, int argc, char **argv)
{
	enum {
		KUBECONFIG = 256,
		LISTEN,
		PORT,
		DOMAIN,
		RESOLV_CONF,
		RESOLVER,
		METRICS,
		RUN_DIRECTORY,
		LEVEL,
		HELP
	};
	static const struct option longs[] = {
		{"kubeconfig", required_argument, NULL, KUBECONFIG},
		{"listen", required_argument, NULL, LISTEN},
		{"port", required_argument, NULL, PORT},
		{"domain", required_argument, NULL, DOMAIN},
		{"resolv-conf", required_argument, NULL, RESOLV_CONF},
		{"resolver", required_argument, NULL, RESOLVER},
		{"metrics", required_argument, NULL, METRICS},
		{"run-directory", required_argument, NULL, RUN_DIRECTORY},
		{"log-level", required_argument, NULL, LEVEL},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	enum log_level level;
	int64_t port;

	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		switch (c) {
		case KUBECONFIG:
			p->kubeconfig = optarg;
			break;
		case LISTEN:
			VEC_PUSH(&p->addresses, optarg);
			break;
		case PORT:
			if (parse_i64(str_from(optarg), &port) < 0 || port < 1 || port > 65535) {
				fprintf(stderr, "hanok-dns: --port is 1 to 65535, not '%s'\n",
					optarg);
				return 3;
			}
			p->port = (int)port;
			break;
		case DOMAIN:
			p->domain = optarg;
			break;
		case RESOLV_CONF:
			p->resolv_conf = optarg;
			break;
		case RESOLVER:
			VEC_PUSH(&p->resolvers, optarg);
			break;
		case METRICS:
			p->metrics_address = optarg;
			break;
		case RUN_DIRECTORY:
			p->run_directory = optarg;
			break;
		case LEVEL:
			if (log_level_parse(optarg, &level) < 0) {
				fprintf(stderr, "hanok-dns: no log level '%s'\n", optarg);
				return 3;
			}
			log_set_level(level);
			break;
		case HELP:
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return 3;
		}
	}
	if (optind < argc || !p->kubeconfig || !p->addresses.count) {
		fprintf(stderr, "hanok-dns: --kubeconfig and --listen are needed, and nothing else "
				"but options\n");
		return 3;
	}
	return 0;
}

/* ---- stop ---- */

static void on_metrics_stopped(void *user)
{
	struct program *p = user;

	http_server_destroy(TAKE_PTR(p->metrics));
}

static void stop(struct program *p)
{
	if (p->stopping)
		return;
	p->stopping = true;
	informer_destroy(p->services);
	informer_destroy(p->slices);
	informer_destroy(p->namespaces);
	dns_server_destroy(p->server);
	dns_forward_destroy(p->forward);
	client_destroy(p->client);
	if (p->metrics)
		http_server_stop(p->metrics, 0, on_metrics_stopped, p);
	uv_close((uv_handle_t *)&p->poll, NULL);
	uv_close((uv_handle_t *)&p->metrics_timer, NULL);
	uv_close((uv_handle_t *)&p->term, NULL);
	uv_close((uv_handle_t *)&p->interrupt, NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
	stop(s->data);
}

static void fail(struct program *p, const char *what, const struct err *err)
{
	log_error(what, "reason", err->msg, NULL);
	p->failed = true;
	stop(p);
}

/* ---- what the API says ---- */

static void on_service(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct program *p = user;
	const struct object *o = new ? new : old;

	dns_zone_set_service(p->zone, o->namespace, o->name, new ? object_doc(new, &a) : NULL);
}

static void on_slice(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct program *p = user;
	const struct object *o = new ? new : old;

	dns_zone_set_slice(p->zone, o->namespace, o->name, object_label(o, SERVICE_NAME_LABEL),
		new ? object_doc(new, &a) : NULL);
}

static void on_namespace(void *user, const struct object *old, const struct object *new)
{
	struct program *p = user;

	dns_zone_set_namespace(p->zone, new ? new->name : old->name, new != NULL);
}

static int drop_privileges(struct err *err)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, -errno, "become user %d", NOBODY);
	return 0;
}

static void on_synced(void *user)
{
	static const char ready[] = "ready\n";
	struct program *p = user;
	struct err err = ERR_INIT;
	char count[24];

	if (--p->unsynced > 0)
		return;
	for (size_t i = 0; i < p->addresses.count; i++)
		if (dns_server_listen(p->server, p->addresses.items[i], p->port, &err) < 0) {
			fail(p, "names can't be served", &err);
			return;
		}
	if (drop_privileges(&err) < 0 || dns_server_start(p->server, &err) < 0) {
		fail(p, "names can't be served", &err);
		return;
	}
	log_info("serving names", "domain", p->domain, "address", p->addresses.items[0], "services",
		log_i64(count, (int64_t)dns_zone_service_count(p->zone)), NULL);
	/* For the agent: the one before may go. */
	if (write(STDOUT_FILENO, ready, sizeof(ready) - 1) < 0)
		log_debug("nobody hears that this is ready", NULL);
}

static struct informer *watch(
	struct program *p, const char *group, const char *kind, const struct informer_handler *h)
{
	struct informer *i = informer_create(
		p->client, kind_by_name(p->kinds, group, "v1", kind), NULL, NULL, NULL);

	informer_add_handler(i, h, p);
	p->unsynced++;
	return i;
}

/* ---- the host's resolvers ---- */

/* One that leads back here would be asked by itself without end. */
static bool is_own(const struct program *p, const char *resolver)
{
	for (size_t i = 0; i < p->addresses.count; i++)
		if (streq(p->addresses.items[i], resolver))
			return true;
	return false;
}

static void read_resolvers(struct program *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *const *found;
	const char *list[16];
	char *text = arena_alloc(&a, RESOLV_CONF_MAX_BYTES);
	size_t size = 0, count, n = 0;

	if (p->resolvers.count) {
		dns_forward_set_resolvers(p->forward, p->resolvers.items, p->resolvers.count);
		return;
	}
	FILE *f = fopen(p->resolv_conf, "re");
	if (f) {
		size = fread(text, 1, RESOLV_CONF_MAX_BYTES, f);
		fclose(f);
	}
	count = dns_resolv_conf_read(&a, text, size, &found);
	for (size_t i = 0; i < count && n < ARRAY_LEN(list); i++)
		if (!is_own(p, found[i]))
			list[n++] = found[i];
	dns_forward_set_resolvers(p->forward, list, n);
	if (!n)
		log_info("the host has no resolver: only the cluster's names are known", "file",
			p->resolv_conf, NULL);
}

static void on_resolv_conf(
	uv_fs_poll_t *h, int status, const uv_stat_t *before, const uv_stat_t *now)
{
	read_resolvers(h->data);
}

/* ---- figures ---- */

static void on_http(struct http_request *req, void *user)
{
	static const char text[] = "text/plain; version=0.0.4; charset=utf-8";
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct program *p = user;

	if (streq(req->path, "/metrics")) {
		dns_server_metrics(p->server, &b);
		http_respond(req, 200, text, NULL, b.data, b.size);
	} else if (streq(req->path, "/health") || streq(req->path, "/ready")) {
		bool ok = streq(req->path, "/health") || p->unsynced == 0;
		http_respond(
			req, ok ? 200 : 503, "text/plain", NULL, ok ? "OK" : "not yet", ok ? 2 : 7);
	} else {
		http_respond(req, 404, "text/plain", NULL, "404 page not found\n", 19);
	}
}

static void listen_metrics(struct program *p);

static void on_metrics_timer(uv_timer_t *t)
{
	listen_metrics(t->data);
}

/* The one before has the address until this one serves names: it is tried again. */
static void listen_metrics(struct program *p)
{
	struct err err = ERR_INIT;

	if (!p->metrics_address || p->stopping)
		return;
	p->metrics = http_server_create(&(struct http_server_options){
		.loop = &p->loop, .handler = on_http, .user = p, .max_connections = 64});
	if (http_server_listen(p->metrics, p->metrics_address, NULL, &err) == 0)
		return;
	log_debug("figures are not served yet", "reason", err.msg, NULL);
	http_server_destroy(TAKE_PTR(p->metrics));
	uv_timer_start(&p->metrics_timer, on_metrics_timer, METRICS_RETRY_MS, 0);
}

/* From its first moment on, so that a later one always finds it. */
static int note_process(const char *directory, struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%d", directory, (int)getpid());
	_cleanup_(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	return fd < 0 ? err_errno(err, -errno, "make '%s'", path) : 0;
}

static int start(struct program *p, struct err *err)
{
	static const struct informer_handler service = {on_service, on_synced};
	static const struct informer_handler slice = {on_slice, on_synced};
	static const struct informer_handler namespace = {on_namespace, on_synced};
	int r;

	if (p->run_directory && (r = note_process(p->run_directory, err)) < 0)
		return r;
	p->zone = dns_zone_create(p->domain);
	if (!p->zone)
		return err_set(err, -EINVAL, "--domain '%s' is no domain name", p->domain);
	dns_zone_set_self(p->zone, p->addresses.items, p->addresses.count);
	p->forward = dns_forward_create(&p->loop, clock_system());
	p->server = dns_server_create(&p->loop, clock_system(), p->zone, p->forward);
	read_resolvers(p);
	if (!p->resolvers.count)
		uv_fs_poll_start(&p->poll, on_resolv_conf, p->resolv_conf, RESOLV_CONF_POLL_MS);
	r = client_https_create(&p->loop, p->kinds, p->kubeconfig, "hanok-dns", &p->client, err);
	if (r < 0)
		return err_context(err, r, "kubeconfig '%s'", p->kubeconfig);
	listen_metrics(p);
	p->namespaces = watch(p, "", "Namespace", &namespace);
	p->services = watch(p, "", "Service", &service);
	p->slices = watch(p, "discovery.k8s.io", "EndpointSlice", &slice);
	informer_start(p->namespaces);
	informer_start(p->services);
	informer_start(p->slices);
	return 0;
}

int main(int argc, char **argv)
{
	struct program p = {
		.domain = "cluster.local", .resolv_conf = "/etc/resolv.conf", .port = 53};
	struct err err = ERR_INIT;
	int r = parse_options(&p, argc, argv);

	if (r)
		return r - 1;
	signal(SIGPIPE, SIG_IGN);
	p.kinds = kind_registry_create();
	if (kind_registry_load_client(p.kinds, &err) < 0) {
		log_error("built-in kinds", "reason", err.msg, NULL);
		return 1;
	}
	uv_loop_init(&p.loop);
	uv_signal_init(&p.loop, &p.term);
	uv_signal_init(&p.loop, &p.interrupt);
	uv_fs_poll_init(&p.loop, &p.poll);
	uv_timer_init(&p.loop, &p.metrics_timer);
	p.term.data = p.interrupt.data = p.poll.data = p.metrics_timer.data = &p;
	uv_signal_start(&p.term, on_signal, SIGTERM);
	uv_signal_start(&p.interrupt, on_signal, SIGINT);
	if (start(&p, &err) < 0)
		fail(&p, "names can't be served", &err);
	uv_run(&p.loop, UV_RUN_DEFAULT);
	uv_loop_close(&p.loop);
	dns_zone_destroy(p.zone);
	kind_registry_destroy(p.kinds);
	VEC_FINISH(&p.addresses);
	VEC_FINISH(&p.resolvers);
	return p.failed ? 1 : 0;
}
