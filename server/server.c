/* server.c - the role `hanok server`: certificates, store, cache, API and loops on one event loop.
 *
 *	starting ---> loading ---> serving ---> stopping ---> (exit)
 *
 * Requests are taken from `loading` on; until the first objects are there /readyz says no. */
#include "server/server.h"

#include <sys/resource.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/http/tls.h"
#include "server/api/admission/admission.h"
#include "server/api/allocator.h"
#include "server/api/auth/auth.h"
#include "server/api/machines/upload.h"
#include "server/bootstrap.h"
#include "server/controllers/controllers.h"
#include "server/data_dir.h"
#include "server/loops.h"
#include "server/pki.h"
#include "server/server_options.h"
#include "server/store/expiry.h"

#define STOP_GRACE_MS 2000
#define CLOSING_TURNS 4
#define RENEWAL_MS (12u * 3600 * 1000) /* certificates are renewed a month before their end */

struct server {
	struct server_options options;
	uv_loop_t loop;
	uv_signal_t term, interrupt, hangup;
	uv_timer_t renewal;
	int lock_fd;	  /* flock(2) on DIR/lock: one server a directory */
	char *token_file; /* its text; NULL = none */
	struct pki pki;
	SSL_CTX *tls, *node_tls;
	struct http_server *http;
	int port, node_port;
	struct kind_registry *kinds;
	struct store *store;
	struct cache *cache;
	struct expiry *events; /* removes old ones */
	struct api *api;
	struct loops *loops;
	int64_t started_ns;
	bool stopping;
	int exit_code;
	char service_ip[16], endpoint_ip[64];
	char upload_url[160];
};

static void fatal(struct server *s, const struct err *err)
{
	fprintf(stderr, "hanok server: %s\n", err->msg);
	s->exit_code = 1;
}

/* The host of "127.0.0.1:6443" or "[::1]:6443". */
static char *host_of(const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t size = colon ? (size_t)(colon - address) : strlen(address);
	if (size >= 2 && address[0] == '[' && address[size - 1] == ']')
		return xstrndup(address + 1, size - 2);
	return xstrndup(address, size);
}

static bool is_any(const char *host)
{
	return streq(host, "0.0.0.0") || streq(host, "::") || !*host;
}

static int load_pki(struct server *s, struct err *err)
{
	_cleanup_(free_p) char *host = host_of(s->options.listen);
	_cleanup_(free_p) char *node_host =
		s->options.node_listen ? host_of(s->options.node_listen) : NULL;
	char hostname[256] = "localhost";
	(void)gethostname(hostname, sizeof(hostname) - 1);
	const char *hosts[24] = {"localhost", "127.0.0.1", "::1", "kubernetes",
		"kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", s->service_ip, hostname};
	size_t n = 9;
	if (!is_any(host))
		hosts[n++] = host;
	if (node_host && !is_any(node_host))
		hosts[n++] = node_host;
	if (s->endpoint_ip[0])
		hosts[n++] = s->endpoint_ip;
	for (size_t i = 0; s->options.tls_sans[i]; i++)
		hosts[n++] = s->options.tls_sans[i];
	return pki_load(s->options.data, hosts, &s->pki, err);
}

/* Where pods reach the API: the nodes' address, else ours, when it is no loopback one; else, and
 * when all are listened on, the first address of this machine, as upstream advertises it. */
static void find_endpoint(struct server *s)
{
	_cleanup_(free_p) char *host =
		host_of(s->options.node_listen ? s->options.node_listen : s->options.listen);
	uint32_t ip;
	if (!is_any(host) && ip_parse(host, &ip) == 0 && ip >> 24 != 127) {
		snprintf(s->endpoint_ip, sizeof(s->endpoint_ip), "%s", host);
		return;
	}
	struct ifaddrs *all;
	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
			(i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
			continue;
		const struct sockaddr_in *in =
			(const struct sockaddr_in *)(const void *)i->ifa_addr;
		inet_ntop(AF_INET, &in->sin_addr, s->endpoint_ip, sizeof(s->endpoint_ip));
		break;
	}
	freeifaddrs(all);
}

static int find_service_ip(struct server *s, struct err *err)
{
	struct ip_range range;
	if (ip_range_parse(s->options.service_cidr, &range) < 0)
		return err_set(err, -EINVAL,
			"--service-cidr '%s': want an IPv4 range such as 10.96.0.0/16",
			s->options.service_cidr);
	struct arena a = ARENA_INIT;
	snprintf(s->service_ip, sizeof(s->service_ip), "%s", ip_format(&a, range.base + 1));
	arena_finish(&a);
	return 0;
}

/* The user's address is opened where the program was started; then it moves to where the nodes are.
 * All later sockets, of this thread and of those it starts, are there. */
static int enter_node_namespace(struct server *s, struct err *err)
{
	if (!s->options.node_netns)
		return 0;
	_cleanup_(close_p) int fd = open(s->options.node_netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, -errno, "open network namespace '%s'", s->options.node_netns);
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_errno(err, -errno, "enter network namespace '%s' (needs CAP_SYS_ADMIN)",
			s->options.node_netns);
	return 0;
}

static void on_request(struct http_request *req, void *user)
{
	struct server *s = user;
	if (!s->api) {
		http_respond(req, 503, "text/plain", "Retry-After: 1\r\n", "starting\n", 9);
		return;
	}
	api_http_handler(req, s->api);
}

static int listen_all(struct server *s, struct err *err)
{
	struct str cert = str_from(s->pki.server_cert), key = str_from(s->pki.server_key);
	struct str ca = str_from(s->pki.ca_cert);
	struct str client_cert = str_from(s->pki.node_client_cert);
	struct str client_key = str_from(s->pki.node_client_key);
	int r = tls_server_context(cert, key, &ca, &s->tls, err);
	if (r == 0)
		tls_server_take_any(s->tls); /* it gets 401, as from upstream */
	if (r == 0)
		r = tls_client_context(&ca, &client_cert, &client_key, &s->node_tls, err);
	if (r < 0)
		return r;
	s->http = http_server_create(&(struct http_server_options){
		.loop = &s->loop,
		.tls = s->tls,
		.handler = on_request,
		.takes_body = upload_takes_body,
		.user = s,
	});
	r = http_server_listen(s->http, s->options.listen, &s->port, err);
	if (r == 0)
		r = enter_node_namespace(s, err);
	if (r == 0 && s->options.node_listen)
		r = http_server_listen(s->http, s->options.node_listen, &s->node_port, err);
	return r;
}

/* What authentication needs beside the cache. */
static int load_api(struct server *s, struct err *err)
{
	_cleanup_(free_p) char *host = host_of(s->options.listen);
	_cleanup_(free_p) char *keys_url =
		xasprintf(strchr(host, ':') ? "https://[%s]:%d/openid/v1/jwks"
					    : "https://%s:%d/openid/v1/jwks",
			!is_any(host)	  ? host
			: *s->endpoint_ip ? s->endpoint_ip
					  : "127.0.0.1",
			s->port);
	struct auth_options auth = {
		.issuer = s->options.issuer,
		.sa_key = s->pki.sa_key,
		.sa_pub = s->pki.sa_pub,
		.ca_cert = s->pki.ca_cert,
		.keys_url = s->options.issuer ? NULL : keys_url,
		.token_file = s->token_file,
	};
	return api_create(
		&(struct api_options){
			.loop = &s->loop,
			.kinds = s->kinds,
			.cache = s->cache,
			.clock = clock_system(),
			.random = RANDOM_SYSTEM,
			.mac_range = s->options.mac_range,
			.service_cidr = s->options.service_cidr,
			.pod_cidr = s->options.pod_cidr,
			.service_cidr6 = s->options.service_cidr6,
			.pod_cidr6 = s->options.pod_cidr6,
			.node_tls = s->node_tls,
			.auth = &auth,
			.store = s->store,
			.enable_admission = s->options.enable_admission,
			.disable_admission = s->options.disable_admission,
			.max_reading = s->options.max_reading,
			.max_writing = s->options.max_writing,
			.request_timeout_ms = (uint64_t)(s->options.request_timeout_ns / NS_PER_MS),
		},
		&s->api, err);
}

static int load_data(struct server *s, struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/hanok.db", s->options.data);
	s->kinds = kind_registry_create();
	int r = kind_registry_load_builtin(s->kinds, err);
	if (r < 0)
		return r;
	r = store_sqlite_open(&s->loop, path, &s->store, err);
	if (r < 0)
		return r;
	s->cache = cache_create(&s->loop, s->kinds, s->store, clock_system());
	r = cache_load(s->cache, err);
	if (r < 0)
		return r;
	r = load_api(s, err);
	if (r < 0)
		return r;
	s->events =
		expiry_create(&s->loop, s->cache, kind_by_resource(s->kinds, "", "v1", "events"),
			clock_system(), s->options.event_ttl_ns);
	return 0;
}

static int write_kubeconfig(struct server *s, struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/admin.kubeconfig", s->options.data);
	_cleanup_(free_p) char *host = host_of(s->options.listen);
	const char *name = is_any(host) ? "127.0.0.1" : host;
	_cleanup_(free_p) char *url =
		xasprintf(strchr(name, ':') ? "https://[%s]:%d" : "https://%s:%d", name, s->port);
	_cleanup_(free_p) char *text = kubeconfig_text(
		&s->pki, url, "kubernetes-admin", s->pki.admin_cert, s->pki.admin_key);
	_cleanup_(free_p) char *old = xcalloc(1, strlen(text) + 2);
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, old, strlen(text) + 1) >= 0 && streq(old, text))
		return 0;
	return file_replace(path, text, 0600, err);
}

static void cache_closed(void *user)
{
	struct server *s = user;
	s->cache = NULL;
	uv_close((uv_handle_t *)&s->term, NULL);
	uv_close((uv_handle_t *)&s->interrupt, NULL);
	uv_close((uv_handle_t *)&s->hangup, NULL);
	uv_close((uv_handle_t *)&s->renewal, NULL);
	uv_stop(&s->loop);
}

static void http_stopped(void *user)
{
	struct server *s = user;
	http_server_destroy(TAKE_PTR(s->http));
	expiry_destroy(TAKE_PTR(s->events));
	/* Writes that are under way keep their requests, so nothing of the API goes before the
	 * store. */
	if (s->cache)
		cache_close(s->cache, cache_closed, s);
	else
		cache_closed(s);
}

static void server_stop(struct server *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	loops_stop(TAKE_PTR(s->loops));
	if (s->api)
		api_shutdown(s->api);
	if (s->http)
		http_server_stop(s->http, STOP_GRACE_MS, http_stopped, s);
	else
		http_stopped(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *s = handle->data;
	log_info("stopping", "signal", number == SIGTERM ? "SIGTERM" : "SIGINT", NULL);
	server_stop(s);
}

/* Certificates that are about to end, or that were replaced in DIR/pki, are taken into use while
 * everything runs. */
static void renew(struct server *s)
{
	struct pki old = s->pki;
	struct err err = ERR_INIT;
	if (s->stopping)
		return;
	int r = load_pki(s, &err);
	if (r < 0) {
		s->pki = old;
		log_error("certificates can't be renewed", "reason", err.msg, NULL);
		return;
	}
	bool changed = !streq(old.server_cert, s->pki.server_cert) ||
		       !streq(old.node_client_cert, s->pki.node_client_cert) ||
		       !streq(old.admin_cert, s->pki.admin_cert);
	if (changed)
		r = tls_context_renew(
			s->tls, str_from(s->pki.server_cert), str_from(s->pki.server_key), &err);
	if (changed && r == 0)
		r = tls_context_renew(s->node_tls, str_from(s->pki.node_client_cert),
			str_from(s->pki.node_client_key), &err);
	if (changed && r == 0)
		r = write_kubeconfig(s, &err);
	if (r < 0)
		log_error("certificates can't be renewed", "reason", err.msg, NULL);
	else if (changed)
		log_info("certificates renewed", NULL);
	pki_finish(&old);
}

static void on_hangup(uv_signal_t *handle, int number)
{
	renew(handle->data);
}

static void on_renewal(uv_timer_t *timer)
{
	renew(timer->data);
}

static void bootstrapped(void *user, int r, const struct err *err)
{
	struct server *s = user;
	struct err failure = ERR_INIT;
	if (r == 0 && !s->stopping)
		r = loops_start(s->api, &s->options,
			&(struct cluster_ca){s->pki.ca_cert, s->pki.ca_key}, &s->loops, &failure);
	else if (r < 0)
		failure = *err;
	if (r < 0) {
		fatal(s, &failure);
		server_stop(s);
		return;
	}
	if (s->stopping)
		return;
	api_set_ready(s->api, true);
	_cleanup_(free_p) char *host = host_of(s->options.listen);
	int64_t took = clock_system()->mono_ns(clock_system()) - s->started_ns;
	fprintf(stderr,
		strchr(host, ':') ? "ready https://[%s]:%d in %lld ms\n"
				  : "ready https://%s:%d in %lld ms\n",
		host, s->port, (long long)(took / NS_PER_MS));
	malloc_trim(0); /* what loading took and gave back */
}

/* Uploads of disks come to the API's own port. */
static void know_upload_url(struct server *s)
{
	_cleanup_(free_p) char *host = host_of(s->options.listen);
	const char *where = host;

	if (streq(host, "0.0.0.0") || streq(host, "::"))
		where = s->endpoint_ip[0] ? s->endpoint_ip : "127.0.0.1";
	snprintf(s->upload_url, sizeof(s->upload_url),
		strchr(where, ':') ? "https://[%s]:%d" : "https://%s:%d", where, s->port);
}

static void server_start(struct server *s)
{
	struct err err = ERR_INIT;
	int r = load_data(s, &err);
	if (r == 0)
		r = write_kubeconfig(s, &err);
	if (r < 0) {
		fatal(s, &err);
		server_stop(s);
		return;
	}
	know_upload_url(s);
	bootstrap_run(&(struct bootstrap_options){
		.api = s->api,
		.cache = s->cache,
		.kinds = s->kinds,
		.service_cidr = s->options.service_cidr,
		.service_cidr6 = s->options.service_cidr6,
		.service_ip = s->service_ip,
		.endpoint_ip = s->endpoint_ip[0] ? s->endpoint_ip : NULL,
		.endpoint_port = s->node_port ? s->node_port : s->port,
		.upload_url = s->upload_url,
		.done = bootstrapped,
		.user = s,
	});
}

static void server_finish(struct server *s)
{
	http_server_destroy(s->http);
	api_destroy(s->api);
	kind_registry_destroy(s->kinds);
	SSL_CTX_free(s->tls);
	SSL_CTX_free(s->node_tls);
	pki_finish(&s->pki);
	free(s->token_file);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
}

/* What is wrong with the options is told before anything is written. */
static int check_options(struct server *s, struct err *err)
{
	struct admission_options admission = {
		.enable = s->options.enable_admission,
		.disable = s->options.disable_admission,
	};
	int r = find_service_ip(s, err);
	if (r == 0)
		r = admission_options_check(&admission, err);
	if (r == 0 && !streq(s->options.controllers, "-*"))
		r = controllers_check(s->options.controllers, err);
	if (r < 0 || !s->options.token_file)
		return r;
	r = file_read(s->options.token_file, &s->token_file, err);
	if (r == 0)
		r = auth_check_tokens(s->token_file, err);
	return r < 0 ? err_context(err, r, "token file '%s'", s->options.token_file) : 0;
}

/* Runs everything between start and stop. */
static int serve(struct server *s, struct err *err)
{
	int r = check_options(s, err);
	if (r == 0)
		r = data_dir_lock(s->options.data, &s->lock_fd, err);
	if (r < 0)
		return r;
	find_endpoint(s);
	r = load_pki(s, err);
	if (r == 0)
		r = listen_all(s, err);
	if (r < 0)
		return r;
	uv_signal_init(&s->loop, &s->term);
	uv_signal_init(&s->loop, &s->interrupt);
	uv_signal_init(&s->loop, &s->hangup);
	uv_timer_init(&s->loop, &s->renewal);
	s->term.data = s->interrupt.data = s->hangup.data = s->renewal.data = s;
	uv_signal_start(&s->hangup, on_hangup, SIGHUP);
	uv_timer_start(&s->renewal, on_renewal, RENEWAL_MS, RENEWAL_MS);
	uv_signal_start(&s->term, on_signal, SIGTERM);
	uv_signal_start(&s->interrupt, on_signal, SIGINT);
	server_start(s);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	return 0;
}

/* A client may hold a connection for each of its watches. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int server_main(int argc, char **argv)
{
	struct server s = {.lock_fd = -1, .started_ns = clock_system()->mono_ns(clock_system())};
	struct err err = ERR_INIT;
	int r = server_options_parse(argc, argv, &s.options);
	if (r)
		return r < 0 ? 0 : r;
	/* One thread allocates; arenas of others would only keep memory. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 256 << 10);
	tls_keep_spare_buffers();
	umask(077);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write(2) */
	raise_descriptor_limit();
	uv_loop_init(&s.loop);
	if (serve(&s, &err) < 0)
		fatal(&s, &err);
	server_finish(&s);
	/* Turns for what is being closed; streams between clients and nodes end with the process.
	 */
	for (unsigned i = 0; i < CLOSING_TURNS; i++)
		uv_run(&s.loop, UV_RUN_NOWAIT);
	if (uv_loop_close(&s.loop) < 0)
		log_debug("event loop had open handles at exit", NULL);
	return s.exit_code;
}
