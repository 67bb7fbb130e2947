/* node.c - the role `hanok node`: options, the parts, and their order of life.
 *
 * The parts start at once and each gets along without the others: without the API, the runtime,
 * libvirt or the network it waits, says so in the Node's status, and goes on when it is back.
 * Stopping leaves everything that runs running. */
#include "node/node.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/client/kubeconfig.h"
#include "node/main.h"
#include "node/metrics/node_metrics.h"
#include "node/net/net.h"
#include "node/node_server.h"
#include "node/node_status.h"
#include "node/pod/pod_manager.h"
#include "node/resources/resources.h"
#include "node/pressure/pressure.h"
#include "node/shutdown/shutdown.h"
#include "node/stats/stats.h"
#include "node/disk/populate/populate.h"
#include "node/storage/local_provisioner.h"
#include "node/storage/nfs_provisioner.h"
#include "node/storage/nfs_servers.h"
#include "node/vm/libvirt/libvirt_uri.h"
#include "node/vm/vm_manager.h"
#include "node/volume/file_work.h"
#include "node/volume/volume.h"

#define DEFAULT_DATA "/var/lib/hanok-node"
#define DEFAULT_LIBVIRT "qemu:///system"
#define DEFAULT_SERVICES "10.96.0.0/16"

enum { LARGE_BYTES = 128 << 10, SPARE_BYTES = 256 << 10, TRIM_MS = 60000, STOP_MAX_MS = 1500 };

struct agent {
	struct node node; /* first: node_report() comes back from it */
	struct node_config config;
	struct arena config_arena; /* its texts */
	struct kubeconfig kubeconfig;
	struct node_status *status;
	struct node_server *server;
	struct local_provisioner *provisioner;
	struct nfs_provisioner *nfs_provisioner;
	struct nfs_servers *nfs_servers;
	struct node_shutdown *shutdown;
	uv_signal_t term, interrupt;
	uv_timer_t timer; /* gives memory back; when stopping, the end of patience */
	bool stopping;
};

static struct agent *agent_of(struct node *n)
{
	return CONTAINER_OF(n, struct agent, node);
}

void node_report(
	struct node *n, const char *part, bool ready, const char *reason, const char *message)
{
	struct agent *g = agent_of(n);

	/* Parts may report while they are being taken down. */
	if (g->status)
		node_status_report(g->status, part, ready, reason, message);
}

struct options {
	const char *data, *kubeconfig, *name, *cri, *libvirt, *listen, *node_ip, *log_format;
	const char *config, *labels, *taints, *services;
	bool let_pods_reach_nfs;
};

static void usage(FILE *to)
{
	fprintf(to, "usage: hanok node --kubeconfig FILE [OPTIONS]\n\n"
		    "  --kubeconfig FILE   how to reach the server; its certificate is also the "
		    "one that\n"
		    "                      this node serves with\n"
		    "  --config FILE       a KubeletConfiguration, YAML or JSON; options here win\n"
		    "  --data DIR          state of this node (" DEFAULT_DATA ")\n"
		    "  --name NAME         of the Node object (the host's name)\n"
		    "  --node-labels K=V,...\n"
		    "                      labels of the Node when it is registered\n"
		    "  --register-with-taints K=V:EFFECT,...\n"
		    "                      taints of the Node when it is made\n"
		    "  --cri ADDRESS       container runtime\n"
		    "                      (unix:///run/containerd/containerd.sock)\n"
		    "  --libvirt URI       hypervisor (" DEFAULT_LIBVIRT ")\n"
		    "  --listen ADDR:PORT  logs, exec, metrics, consoles (0.0.0.0:10250)\n"
		    "  --node-ip IP        address of this node (towards the server)\n"
		    "  --service-cidr CIDR[,CIDR]\n"
		    "                      the cluster's service addresses, as the server has "
		    "them, IPv4 and\n"
		    "                      IPv6 (" DEFAULT_SERVICES ")\n"
		    "  --let-pods-reach-nfs\n"
		    "                      pods and machines may reach the NFS servers of volumes, "
		    "though\n"
		    "                      they come with this node's address\n"
		    "  --log-format FORMAT text or json (text)\n"
		    "  --log-level LEVEL   debug, info, warn, error (info)\n");
}

/* 0 = go on, else the exit code + 1. */
static int parse_options(int argc, char **argv, struct options *o)
{
	enum {
		DATA = 256,
		KUBECONFIG,
		NAME,
		CRI,
		LIBVIRT,
		LISTEN,
		NODE_IP,
		SERVICES,
		FORMAT,
		LEVEL,
		HELP,
		CONFIG,
		LABELS,
		TAINTS,
		LET_PODS_REACH_NFS
	};
	static const struct option longs[] = {
		{"data", required_argument, NULL, DATA},
		{"kubeconfig", required_argument, NULL, KUBECONFIG},
		{"name", required_argument, NULL, NAME},
		{"cri", required_argument, NULL, CRI},
		{"libvirt", required_argument, NULL, LIBVIRT},
		{"listen", required_argument, NULL, LISTEN},
		{"node-ip", required_argument, NULL, NODE_IP},
		{"service-cidr", required_argument, NULL, SERVICES},
		{"log-format", required_argument, NULL, FORMAT},
		{"log-level", required_argument, NULL, LEVEL},
		{"config", required_argument, NULL, CONFIG},
		{"node-labels", required_argument, NULL, LABELS},
		{"register-with-taints", required_argument, NULL, TAINTS},
		{"let-pods-reach-nfs", no_argument, NULL, LET_PODS_REACH_NFS},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	enum log_level level;

	optind = 1;
	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		switch (c) {
		case DATA:
			o->data = optarg;
			break;
		case KUBECONFIG:
			o->kubeconfig = optarg;
			break;
		case NAME:
			o->name = optarg;
			break;
		case CRI:
			o->cri = optarg;
			break;
		case LIBVIRT: {
			char address[LIBVIRT_SOCKET_ROOM];
			struct err err = ERR_INIT;
			if (libvirt_socket_address(optarg, address, &err) < 0) {
				fprintf(stderr, "hanok node: --libvirt: %s\n", err.msg);
				return 3;
			}
			o->libvirt = optarg;
			break;
		}
		case LISTEN:
			o->listen = optarg;
			break;
		case NODE_IP:
			o->node_ip = optarg;
			break;
		case SERVICES:
			if (!net_service_ranges_ok(optarg)) {
				fprintf(stderr,
					"hanok node: --service-cidr '%s': want an IPv4 range such "
					"as "
					"10.96.0.0/16, an IPv6 range, or both with a comma\n",
					optarg);
				return 3;
			}
			o->services = optarg;
			break;
		case FORMAT:
			if (!streq(optarg, "text") && !streq(optarg, "json")) {
				fprintf(stderr,
					"hanok node: --log-format is text or json, not '%s'\n",
					optarg);
				return 3;
			}
			log_set_json(streq(optarg, "json"));
			break;
		case LEVEL:
			if (log_level_parse(optarg, &level) < 0) {
				fprintf(stderr, "hanok node: no log level '%s'\n", optarg);
				return 3;
			}
			log_set_level(level);
			break;
		case LET_PODS_REACH_NFS:
			o->let_pods_reach_nfs = true;
			break;
		case CONFIG:
			o->config = optarg;
			break;
		case LABELS:
			o->labels = optarg;
			break;
		case TAINTS:
			o->taints = optarg;
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
	if (optind < argc) {
		fprintf(stderr, "hanok node: unexpected argument '%s'\n", argv[optind]);
		return 3;
	}
	if (!o->kubeconfig) {
		fprintf(stderr,
			"hanok node: --kubeconfig is needed: `hanok kubeconfig` issues one\n");
		return 3;
	}
	return 0;
}

static int fail(const char *what, const struct err *err)
{
	log_error(what, "reason", err->msg, NULL);
	return 1;
}

/* Defaults, then the file, then the options. */
static int read_config(struct agent *g, struct options *o, struct err *err)
{
	struct node_config *c = &g->config;
	struct arena *a = &g->config_arena;
	int r = 0;

	*c = *node_config_default();
	if (o->config)
		r = node_config_read(a, o->config, c, err);
	if (r >= 0 && o->labels)
		r = node_config_add_labels(a, c, o->labels, err);
	if (r >= 0 && o->taints)
		r = node_config_add_taints(a, c, o->taints, err);
	if (r < 0)
		return r;
	if (o->cri)
		c->cri_address = o->cri;
	if (!o->listen) {
		bool v6 = strchr(c->address, ':') != NULL;
		o->listen = arena_printf(a, "%s%s%s:%lld", v6 ? "[" : "", c->address, v6 ? "]" : "",
			(long long)c->port);
	}
	return 0;
}

/* ---- stop ---- */

static void on_server_stopped(void *user)
{
	struct agent *g = user;

	node_server_destroy(TAKE_PTR(g->server));
	client_destroy(TAKE_PTR(g->node.client));
	/* What goes on between a client and the runtime or a console. */
	streams_break();
}

/* Something was forgotten, or does not come back: nobody is to wait for that. */
static void on_late(uv_timer_t *timer)
{
	log_warn("not all has ended in time", NULL);
	uv_stop(timer->loop);
}

static void on_handle_walk(uv_handle_t *h, void *user)
{
	if (!uv_is_closing(h) && h->type == UV_SIGNAL)
		uv_close(h, NULL);
}

static void stop(struct agent *g)
{
	struct node *n = &g->node;
	struct node_status *status = g->status;

	if (g->stopping)
		return;
	g->stopping = true;
	log_info("stopping; what runs goes on running", "node", n->name, NULL);
	/* The server's requests reach into the managers, so it hears first that it is over. */
	g->status = NULL;
	node_server_stop(g->server, on_server_stopped, g);
	node_stats_destroy(TAKE_PTR(n->stats));
	pressure_destroy(TAKE_PTR(n->pressure));
	node_shutdown_destroy(TAKE_PTR(g->shutdown));
	populator_destroy(TAKE_PTR(n->populator));
	vm_manager_destroy(TAKE_PTR(n->vms));
	nfs_servers_destroy(TAKE_PTR(g->nfs_servers));
	nfs_provisioner_destroy(TAKE_PTR(g->nfs_provisioner));
	local_provisioner_destroy(TAKE_PTR(g->provisioner)); /* it may hold disks */
	disks_destroy(TAKE_PTR(n->disks));
	pod_manager_destroy(TAKE_PTR(n->pods));
	file_work_destroy(TAKE_PTR(n->files));
	net_destroy(TAKE_PTR(n->net));
	node_status_destroy(status);
	resources_destroy(TAKE_PTR(n->resources));
	uv_timer_stop(&g->timer);
	uv_timer_start(&g->timer, on_late, STOP_MAX_MS, 0);
	uv_walk(n->loop, on_handle_walk, NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
	stop(s->data);
}

static void on_trim(uv_timer_t *timer)
{
	malloc_trim(0);
}

/* Many pods at once need memory for a moment that is not needed again for days: lists and large
 * documents get pages of their own, and what lies free between others goes back now and then. */
static void keep_memory_small(struct agent *g)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	mallopt(M_TRIM_THRESHOLD, SPARE_BYTES);
	uv_timer_init(g->node.loop, &g->timer);
	uv_timer_start(&g->timer, on_trim, 0, TRIM_MS);
	uv_unref((uv_handle_t *)&g->timer);
}

static void on_pod_cidr(void *user)
{
	struct agent *g = user;

	net_set_pod_cidr(g->node.net, g->node.pod_cidr);
}

/* ---- start ---- */

static int prepare_data(const char *dir, struct err *err)
{
	int r = volume_make_dirs(dir, 0700, err);

	if (r < 0)
		return r;
	if (chmod(dir, 0700) < 0)
		return err_errno(err, -errno, "change mode of '%s'", dir);
	return 0;
}

static size_t machines_here(struct node *n, struct arena *a, struct machine_request **ret)
{
	return vm_manager_requests(n->vms, a, ret);
}

static int start_parts(struct agent *g, const struct options *o, struct err *err)
{
	struct node *n = &g->node;
	int port, r;

	r = client_https_create(n->loop, n->kinds, o->kubeconfig, "hanok-node", &n->client, err);
	if (r < 0)
		return err_context(err, r, "kubeconfig '%s'", o->kubeconfig);
	n->client->answered = node_metrics_answered;
	r = node_server_create(n, &g->kubeconfig, o->listen, &g->server, &port, err);
	if (r < 0)
		return r;
	g->status = node_status_create(n, &(struct node_status_options){.port = port});
	node_status_on_pod_cidr(g->status, on_pod_cidr, g);
	r = net_create(n, &n->net, err);
	if (r < 0)
		return err_context(err, r, "network");
	n->files = file_work_create(n->loop, FILE_WORK_THREADS, FILE_WORK_SLOW_MS);
	r = pod_manager_create(n, &n->pods, err);
	if (r < 0)
		return err_context(err, r, "containers");
	r = vm_manager_create(n, &n->vms, err);
	if (r < 0)
		return err_context(err, r, "virtual machines");
	pod_manager_count_machines(n->pods, machines_here);
	n->stats = node_stats_create(n);
	n->pressure = pressure_create(n);
	g->shutdown = node_shutdown_create(n);
	g->provisioner = local_provisioner_create(n);
	g->nfs_provisioner = nfs_provisioner_create(n, local_provisioner_classes(g->provisioner));
	g->nfs_servers = nfs_servers_create(
		n, local_provisioner_classes(g->provisioner), o->let_pods_reach_nfs);
	n->disks = disks_create(n);
	n->populator = populator_create(n, vm_manager_images(n->vms));
	vm_manager_start_snapshots(n->vms);
	local_provisioner_start(g->provisioner);
	return 0;
}

int node_main(int argc, char **argv)
{
	static struct agent agent;
	struct agent *g = &agent;
	struct node *n = &g->node;
	struct options o = {
		.data = DEFAULT_DATA,
		.libvirt = DEFAULT_LIBVIRT,
		.services = DEFAULT_SERVICES,
	};
	struct node_facts facts;
	struct err err = ERR_INIT;
	uv_loop_t loop;

	int r = parse_options(argc, argv, &o);
	if (r)
		return r - 1;
	if (read_config(g, &o, &err) < 0)
		return fail("configuration can't be used", &err);
	if (kubeconfig_load(o.kubeconfig, NULL, &g->kubeconfig, &err) < 0)
		return fail("kubeconfig can't be used", &err);
	if (prepare_data(o.data, &err) < 0)
		return fail("data directory can't be used", &err);
	n->kinds = kind_registry_create();
	if (kind_registry_load_client(n->kinds, &err) < 0)
		return fail("built-in kinds", &err);
	node_facts_read(o.data, &facts);
	if (g->config.fail_swap_on && facts.swap_bytes > 0) {
		log_error("running with swap on is not supported, please disable swap or set "
			  "failSwapOn to false",
			"swapBytes",
			arena_printf(&g->config_arena, "%lld", (long long)facts.swap_bytes), NULL);
		return 1;
	}
	struct node_amounts machine = {
		.cpu_milli = facts.cpu_count * 1000,
		.memory_bytes = facts.memory_bytes,
		.ephemeral_bytes = facts.disk_bytes,
	};
	uv_loop_init(&loop);
	n->loop = &loop;
	keep_memory_small(g);
	n->clock = clock_system();
	n->config = &g->config;
	n->name = o.name ? o.name : facts.hostname;
	n->kubeconfig = realpath(o.kubeconfig, NULL); /* it was just read */
	node_startup_began();
	node_metrics_init(n->name);
	n->data_dir = o.data;
	n->cri_address = g->config.cri_address;
	n->libvirt_address = o.libvirt;
	n->service_cidr = o.services;
	n->resources = resources_create(n, &machine);
	if (o.node_ip) {
		snprintf(n->host_ip, sizeof(n->host_ip), "%s", o.node_ip);
	} else {
		char host[256];
		snprintf(host, sizeof(host), "%s", g->kubeconfig.host);
		char *colon = strrchr(host, ':');
		if (colon)
			*colon = '\0';
		if (!node_address_find(host, n->host_ip)) {
			log_error("no address of this node was found", "do",
				"give it with --node-ip", NULL);
			return 1;
		}
	}

	if (strchr(n->service_cidr, ':') && !node_address_find6(n->host_ip, n->host_ip6))
		log_warn("no IPv6 address of this node was found: others can't reach its pods by "
			 "IPv6",
			"interface of", n->host_ip, NULL);
	uv_signal_init(&loop, &g->term);
	uv_signal_init(&loop, &g->interrupt);
	g->term.data = g->interrupt.data = g;
	uv_signal_start(&g->term, on_signal, SIGTERM);
	uv_signal_start(&g->interrupt, on_signal, SIGINT);
	/* Broken connections are told by write(), too. */
	signal(SIGPIPE, SIG_IGN);

	bool started = start_parts(g, &o, &err) >= 0;
	if (!started) {
		fail("node can't start", &err);
		stop(g);
	} else {
		log_info("node started", "node", n->name, "address", n->host_ip, "runtime",
			n->cri_address, NULL);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&g->timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_loop_close(&loop);
	kind_registry_destroy(n->kinds);
	kubeconfig_finish(&g->kubeconfig);
	arena_finish(&g->config_arena);
	return started ? 0 : 1;
}
