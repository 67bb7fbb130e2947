/* proxy.c - see proxy.h. Only what is registered is reached: addresses come from the pods, nodes
 * and endpoints of the cluster, never from the request. Pods are reached through their node's
 * agent, which is on their network; on nodes whose agent is another program, directly. */
#include "server/api/nodes/proxy.h"

#include <arpa/inet.h>
#include <inttypes.h>

#include "lib/http/http_proxy.h"
#include "lib/http/tls.h"
#include "server/api/api_internal.h"
#include "server/api/nodes/node_proxy.h"

struct target {
	const char *name, *port; /* port "" when none was given */
	bool https;
	const char *prefix; /* the request's path up to "/proxy", as it was sent */
	const char *tail;   /* what follows: "", "/a/b?c" */
};

/* [SCHEME:]NAME[:PORT] */
static int parse_name(struct api_request *req, struct target *ret)
{
	struct str rest = str_from(req->route.name), parts[3], one;
	size_t n = 0;
	while (n < 3 && str_split(&rest, ':', &one))
		parts[n++] = one;
	bool schemed = n == 3;
	struct str scheme = schemed ? parts[0] : STR(""), name = parts[schemed],
		   port = n > 1 ? parts[n - 1] : STR("");
	if (rest.p || name.size == 0 ||
		(schemed && scheme.size && !str_eq(scheme, "http") && !str_eq(scheme, "https")))
		return status_bad_request(req->arena, &req->st, "invalid %s request \"%s\"",
			req->kind->resource, req->route.name);
	ret->https = str_eq(scheme, "https");
	ret->name = arena_memdup(req->arena, name.p, name.size);
	ret->port = arena_memdup(req->arena, port.p, port.size);
	return 0;
}

/* From the target as it was sent, so that escapes stay what they are. */
static void parse_path(struct api_request *req, struct target *ret)
{
	const char *path = req->http->target;
	if (*path != '/') {
		const char *authority = strstr(path, "://") + 3;
		path = authority + strcspn(authority, "/?");
	}
	/* /api/v1/nodes/N/proxy, /api/v1/namespaces/NS/pods/P/proxy */
	unsigned segments = req->route.namespace ? 7 : 5;
	const char *p = path;
	for (unsigned i = 0; i < segments; i++)
		p += 1 + strcspn(p + 1, "/?");
	ret->prefix = arena_memdup(req->arena, path, (size_t)(p - path));
	ret->tail = p;
}

static bool parse_port(const char *text, uint64_t *ret)
{
	return parse_u64(str_from(text), ret) == 0 && *ret > 0 && *ret <= UINT16_MAX;
}

/* Of this machine, or of a link: what must not be reached by way of an object that names it. */
static bool is_proxyable(const char *address)
{
	struct in_addr a;
	struct in6_addr a6;
	if (inet_pton(AF_INET, address, &a) == 1) {
		uint32_t ip = ntohl(a.s_addr);
		return ip >> 24 != 127 && ip >> 24 != 0 && ip >> 16 != 0xa9fe && ip >> 28 != 14 &&
		       ip != UINT32_MAX;
	}
	return inet_pton(AF_INET6, address, &a6) == 1 && !IN6_IS_ADDR_LOOPBACK(&a6) &&
	       !IN6_IS_ADDR_UNSPECIFIED(&a6) && !IN6_IS_ADDR_LINKLOCAL(&a6) &&
	       !IN6_IS_ADDR_MULTICAST(&a6) && !IN6_IS_ADDR_V4MAPPED(&a6);
}

static void on_failed(struct http_request *http, const struct err *err, void *user)
{
	struct api_request *req = user;
	status_set(req->arena, &req->st, 503, "ServiceUnavailable",
		"error trying to reach service: %s", err ? err->msg : "connection closed");
	api_fail(req);
}

static void not_allowed(struct api_request *req)
{
	status_bad_request(req->arena, &req->st, "address not allowed");
	api_fail(req);
}

static void pass_on(struct api_request *req, const struct target *t, const char *address,
	SSL_CTX *tls, const char *tls_name, const char *host, const char *path)
{
	http_proxy(req->http, &(struct http_proxy_options){
				      .loop = req->api->loop,
				      .address = address,
				      .tls = tls,
				      .tls_name = tls_name,
				      .host = host,
				      .target = path,
				      .prefix = t->prefix,
				      .extra = api_http_headers(req, "Cache-Control: no-cache\r\n"),
				      .failed = on_failed,
				      .user = req,
			      });
}

/* Pods and services show what certificates they like: who asks for https wants no more than that.
 */
static SSL_CTX *unverified(struct api *api)
{
	if (!api->proxy_tls && tls_client_context(NULL, NULL, NULL, &api->proxy_tls, NULL) < 0)
		abort(); /* out of memory */
	return api->proxy_tls;
}

static const char *host_port(struct arena *a, const char *ip, uint64_t port)
{
	return arena_printf(a, strchr(ip, ':') ? "[%s]:%" PRIu64 : "%s:%" PRIu64, ip, port);
}

static void proxy_address(
	struct api_request *req, const struct target *t, const char *ip, uint64_t port)
{
	const char *host = host_port(req->arena, ip, port);
	pass_on(req, t, arena_printf(req->arena, "tcp://%s", host),
		t->https ? unverified(req->api) : NULL, NULL, host, t->tail);
}

static bool has_own_agent(const struct json *node)
{
	const char *version = json_path_str(node, "status.nodeInfo.kubeletVersion");
	return version && strstr(version, "+hanok");
}

static void proxy_pod_address(struct api_request *req, const struct target *t,
	const struct object *pod, const char *ip, uint64_t port)
{
	struct arena *a = req->arena;
	const char *node_name = json_str_or(json_path(object_doc(pod, a), "spec.nodeName"), "");
	const struct object *node =
		*node_name ? cache_get(req->api->cache, req->api->nodes, "", node_name) : NULL;
	if (!is_proxyable(ip)) {
		not_allowed(req);
		return;
	}
	struct node_endpoint e;
	if (!node || !has_own_agent(object_doc(node, a)) || !node_endpoint(req->arena, node, &e)) {
		proxy_address(req, t, ip, port);
		return;
	}
	pass_on(req, t, e.address, req->api->options.node_tls, e.tls_name, host_port(a, ip, port),
		arena_printf(a, "/podProxy/%s/%s/%s/%s/%" PRIu64 "%s", pod->namespace, pod->name,
			t->https ? "https" : "http", ip, port, t->tail));
}

static void proxy_pod(struct api_request *req, const struct target *t)
{
	const struct object *o =
		cache_get(req->api->cache, req->kind, req->route.namespace, t->name);
	if (!o) {
		status_not_found(req->arena, &req->st, req->kind, t->name);
		api_fail(req);
		return;
	}
	const struct json *pod = object_doc(o, req->arena);
	uint64_t port = t->https ? 443 : 80;
	if (*t->port) {
		if (!parse_port(t->port, &port)) {
			status_bad_request(req->arena, &req->st, "invalid pod request \"%s\"",
				req->route.name);
			api_fail(req);
			return;
		}
	} else {
		JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.containers")) {
			int64_t first =
				json_path_int(json_at(json_get(c, "ports"), 0), "containerPort", 0);
			if (first > 0) {
				port = (uint64_t)first;
				break;
			}
		}
	}
	proxy_pod_address(req, t, o, json_str_or(json_path(pod, "status.podIP"), ""), port);
}

/* The name of the service's port that was asked for: by name, number, or the only one. NULL = there
 * is none. */
static const char *service_port(const struct json *service, const char *wanted)
{
	uint64_t number;
	bool numeric = parse_port(wanted, &number);
	const struct json *ports = json_path(service, "spec.ports");
	JSON_FOR_EACH_ITEM(p, ports) {
		const char *name = json_str_or(json_get(p, "name"), "");
		if (!*wanted ? json_count(ports) == 1 || !*name
			     : streq(name, wanted) ||
					(numeric && json_path_int(p, "port", 0) == (int64_t)number))
			return name;
	}
	return NULL;
}

static void proxy_service(struct api_request *req, const struct target *t)
{
	struct api *api = req->api;
	struct arena *a = req->arena;
	const struct object *service =
		cache_get(api->cache, req->kind, req->route.namespace, t->name);
	if (!service) {
		status_not_found(a, &req->st, req->kind, t->name);
		api_fail(req);
		return;
	}
	const struct object *o = cache_get(api->cache,
		kind_by_resource(api->kinds, "", "v1", "endpoints"), req->route.namespace, t->name);
	const char *port_name = service_port(object_doc(service, a), t->port);
	const struct json *chosen = NULL;
	int64_t port = 0;
	uint64_t seen = 0;
	bool pods_only = false;
	if (o && port_name) {
		JSON_FOR_EACH_ITEM(subset, json_get(object_doc(o, a), "subsets")) {
			int64_t number = 0;
			JSON_FOR_EACH_ITEM(p, json_get(subset, "ports"))
				if (streq(json_str_or(json_get(p, "name"), ""), port_name))
					number = json_path_int(p, "port", 0);
			if (number <= 0)
				continue;
			/* Each ready address with the same chance; those of pods before others,
			 * which only a server in their network reaches. */
			JSON_FOR_EACH_ITEM(address, json_get(subset, "addresses")) {
				bool is_pod =
					streq(json_path_str(address, "targetRef.kind"), "Pod");
				if (is_pod && !pods_only) {
					pods_only = true;
					seen = 0;
				}
				if (pods_only && !is_pod)
					continue;
				if (random_below(&api->audit_ids, ++seen) == 0) {
					chosen = address;
					port = number;
				}
			}
		}
	}
	if (!chosen) {
		status_set(a, &req->st, 503, "ServiceUnavailable",
			"no endpoints available for service \"%s\"", t->name);
		api_fail(req);
		return;
	}
	const char *ip = json_str_or(json_get(chosen, "ip"), "");
	const char *pod_name = streq(json_path_str(chosen, "targetRef.kind"), "Pod")
				       ? json_path_str(chosen, "targetRef.name")
				       : NULL;
	const struct object *pod =
		pod_name ? cache_get(api->cache, api->pods, req->route.namespace, pod_name) : NULL;
	if (pod)
		proxy_pod_address(req, t, pod, ip, (uint64_t)port);
	else if (is_proxyable(ip))
		proxy_address(req, t, ip, (uint64_t)port);
	else
		not_allowed(req);
}

static void proxy_node(struct api_request *req, const struct target *t)
{
	const struct object *node = cache_get(req->api->cache, req->api->nodes, "", t->name);
	struct node_endpoint e;
	uint64_t port;
	if (!node) {
		status_not_found(req->arena, &req->st, req->api->nodes, t->name);
		api_fail(req);
	} else if (!node_endpoint(req->arena, node, &e)) {
		status_set(req->arena, &req->st, 503, "ServiceUnavailable",
			"node \"%s\" has no address to reach its agent", t->name);
		api_fail(req);
	} else if (!*t->port || (parse_port(t->port, &port) && port == e.port)) {
		pass_on(req, t, e.address, req->api->options.node_tls, e.tls_name, NULL, t->tail);
	} else if (!parse_port(t->port, &port)) {
		status_bad_request(
			req->arena, &req->st, "invalid node request \"%s\"", req->route.name);
		api_fail(req);
	} else if (!is_proxyable(e.ip)) {
		not_allowed(req);
	} else {
		proxy_address(req, t, e.ip, port);
	}
}

void api_proxy(struct api_request *req)
{
	struct target t;
	if (!req->http || parse_name(req, &t) < 0) {
		if (!req->http)
			api_fail_method(req);
		else
			api_fail(req);
		return;
	}
	parse_path(req, &t);
	if (*t.tail != '/') {
		/* Links of the page are relative to this, with a slash at its end. */
		if (streq(req->method, "GET") || streq(req->method, "HEAD")) {
			api_respond_text(req, 301, NULL,
				arena_printf(req->arena, "Location: %s/%s\r\n", t.prefix, t.tail),
				"", 0);
			return;
		}
		t.tail = arena_printf(req->arena, "/%s", t.tail);
	}
	if (streq(req->kind->resource, "pods"))
		proxy_pod(req, &t);
	else if (streq(req->kind->resource, "services"))
		proxy_service(req, &t);
	else
		proxy_node(req, &t);
}
