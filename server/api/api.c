#include "server/api/api_internal.h"

#include <openssl/ssl.h>

#include "lib/base/log.h"
#include "server/api/admission/admission.h"
#include "server/api/kinds/conversions.h"
#include "server/api/kinds/custom_resources.h"
#include "server/api/auth/auth.h"
#include "server/api/documents/openapi.h"
#include "server/api/hooks/validate.h"
#include "server/api/nodes/proxy.h"
#include "server/api/nodes/usage.h"
#include "server/api/verbs/watch.h"

#define NODE_PORT_FIRST 30000
#define NODE_PORT_COUNT 2768 /* 30000-32767 */

static int read_second_ranges(struct api *api, struct err *err)
{
	const char *services = api->options.service_cidr6, *pods = api->options.pod_cidr6;

	if (services &&
		(cidr_read(services, &api->service_range6) < 0 || api->service_range6.family != 6 ||
			api->service_range6.prefix < 108 || api->service_range6.prefix > 126))
		return err_set(err, -EINVAL,
			"second service range '%s': want an IPv6 range from /108 to /126",
			services);
	/* As many /64 as IPv4 has /24. */
	if (pods && (cidr_read(pods, &api->pod_range6) < 0 || api->pod_range6.family != 6 ||
			    api->pod_range6.prefix < 16 ||
			    api->pod_range6.prefix + 24 - api->pod_range.prefix > 64))
		return err_set(err, -EINVAL,
			"second pod range '%s': want an IPv6 range with a /64 for each /24 of "
			"'%s', "
			"such as fd00:10:244::/48",
			pods, api->options.pod_cidr);
	if (services) {
		allocator_init(&api->service_ips6, 1u << (128 - api->service_range6.prefix));
		if (allocator_take(&api->service_ips6, 0) < 0)
			abort(); /* it is empty */
	}
	return 0;
}

int api_create(const struct api_options *options, struct api **ret, struct err *err)
{
	struct api *api = xcalloc(1, sizeof(*api));
	*api = (struct api){
		.options = *options,
		.loop = options->loop,
		.kinds = options->kinds,
		.cache = options->cache,
		.clock = options->clock,
		.random = options->random,
		.inflight = {.reading_max = options->max_reading,
			.writing_max = options->max_writing},
	};
	api->audit_ids = random_seeded(random_u64(&api->random));
	list_init(&api->watches);
	list_init(&api->sliced_lists);
	api->deadlines = deadlines_create(api);
	metrics_init(&api->metrics);
	int r;
	if (ip_range_parse(options->service_cidr, &api->service_range) < 0 ||
		api->service_range.prefix < 8 || api->service_range.prefix > 30) {
		r = err_set(err, -EINVAL, "service range '%s': want an IPv4 range from /8 to /30",
			options->service_cidr);
		goto fail;
	}
	if (ip_range_parse(options->pod_cidr, &api->pod_range) < 0 || api->pod_range.prefix < 8 ||
		api->pod_range.prefix > 24) {
		r = err_set(err, -EINVAL, "pod range '%s': want an IPv4 range from /8 to /24",
			options->pod_cidr);
		goto fail;
	}
	struct mac_range macs;
	if (mac_range_parse(options->mac_range ? options->mac_range : MAC_POOL_RANGE, &macs) < 0) {
		r = err_set(err, -EINVAL, "range of MAC addresses '%s': want FIRST-LAST",
			options->mac_range);
		goto fail;
	}
	api->macs = mac_pool_create(&macs);
	r = read_second_ranges(api, err);
	if (r < 0)
		goto fail;
	allocator_init(&api->service_ips, 1u << (32 - api->service_range.prefix));
	/* The range's own address and its broadcast address are no one's. */
	if (allocator_take(&api->service_ips, 0) < 0 ||
		allocator_take(&api->service_ips, api->service_ips.count - 1) < 0)
		abort(); /* it is empty, and has at least four */
	allocator_init(&api->node_ports, NODE_PORT_COUNT);
	allocator_init(&api->pod_subnets, 1u << (24 - api->pod_range.prefix));
	api->namespaces = kind_by_resource(api->kinds, "", "v1", "namespaces");
	api->nodes = kind_by_resource(api->kinds, "", "v1", "nodes");
	api->pods = kind_by_resource(api->kinds, "", "v1", "pods");
	api->definitions = kind_by_resource(
		api->kinds, "apiextensions.k8s.io", "v1", "customresourcedefinitions");
	if (!api->namespaces || !api->nodes || !api->pods || !api->definitions) {
		r = err_set(err, -EINVAL,
			"the kinds Namespace, Node, Pod and CustomResourceDefinition are missing");
		goto fail;
	}
	r = conversions_attach(api->kinds, err);
	if (r < 0)
		goto fail;
	struct arena scratch = ARENA_INIT;
	for (size_t i = 0; i < kind_count(api->kinds); i++) {
		struct kind *k = kind_at(api->kinds, i);
		const struct kind_hooks *hooks = hooks_find(k);
		k->hooks = hooks;
		if (!hooks->occupy || !k->served || !kind_is_storage(k))
			continue;
		struct cache_page page;
		cache_list(api->cache, &(struct cache_query){.kind = k}, &scratch, &page);
		for (size_t n = 0; n < page.count; n++) {
			struct arena doc = ARENA_INIT;
			hooks->occupy(api, object_doc(page.items[n], &doc), true);
			arena_finish(&doc);
		}
	}
	arena_finish(&scratch);
	r = admission_create(api,
		&(struct admission_options){options->enable_admission, options->disable_admission},
		&api->admission, err);
	if (r < 0)
		goto fail;
	api->openapi = openapi_create(api->kinds);
	r = auth_create(api, options->auth, &api->auth, err);
	if (r < 0)
		goto fail;
	r = custom_resources_create(api, &api->custom_resources, err);
	if (r < 0)
		goto fail;
	api->usage = api_usage_create(api);
	*ret = api;
	return 0;
fail:
	api_destroy(api);
	return r;
}

void api_destroy(struct api *api)
{
	if (!api)
		return;
	api_shutdown(api);
	custom_resources_destroy(api->custom_resources);
	api_usage_destroy(api->usage);
	openapi_destroy(api->openapi);
	admission_destroy(api->admission);
	auth_destroy(api->auth);
	SSL_CTX_free(api->proxy_tls);
	metrics_finish(&api->metrics);
	mac_pool_destroy(api->macs);
	allocator_finish(&api->service_ips);
	allocator_finish(&api->service_ips6);
	allocator_finish(&api->node_ports);
	allocator_finish(&api->pod_subnets);
	free(api);
}

void api_set_ready(struct api *api, bool ready)
{
	api->ready = ready;
}

void api_shutdown(struct api *api)
{
	api->stopping = true;
	api->ready = false;
	if (api->auth)
		auth_close(api->auth);
	custom_resources_stop(api->custom_resources);
	api_usage_stop(api->usage);
	watches_end(api);
	api_backup_cancel(api);
	deadlines_close(TAKE_PTR(api->deadlines));
	admission_shutdown(api->admission);
}

static bool is_stream(const char *subresource)
{
	return streq(subresource, "log") || streq(subresource, "exec") ||
	       streq(subresource, "attach") || streq(subresource, "portforward");
}

/* What is asked for is another's to understand. */
static bool passes_accept(const char *subresource)
{
	return is_stream(subresource) || streq(subresource, "proxy");
}

static void handle_subresource(struct api_request *req)
{
	const char *sub = req->subresource->name;
	bool get = streq(req->method, "GET"), put = streq(req->method, "PUT");
	bool patch = streq(req->method, "PATCH"), post = streq(req->method, "POST");

	if (streq(sub, "proxy")) {
		api_proxy(req);
	} else if (is_stream(sub)) {
		if (get || (post && !streq(sub, "log")))
			api_node_stream(req);
		else
			api_fail_method(req);
	} else if (streq(sub, "scale")) {
		if (get || put || patch)
			api_scale(req);
		else
			api_fail_method(req);
	} else if (streq(sub, "binding")) {
		post ? api_bind(req) : api_fail_method(req);
	} else if (streq(sub, "token")) {
		post ? api_token_request(req) : api_fail_method(req);
	} else if (streq(sub, "eviction")) {
		post ? api_evict(req) : api_fail_method(req);
	} else if (get && !streq(sub, "finalize")) {
		api_get(req);
	} else if (put) {
		api_update(req);
	} else if (patch && !streq(sub, "finalize")) {
		api_patch(req);
	} else {
		api_fail_method(req);
	}
}

/* The verb of a request for an object or a collection, as kinds list them. */
static const char *verb_of(const struct api_request *req)
{
	bool named = req->route.name != NULL;
	if (streq(req->method, "GET"))
		return req->route.watch			  ? "watch"
		       : named				  ? "get"
		       : query_bool(&req->query, "watch") ? "watch"
							  : "list";
	if (streq(req->method, "DELETE"))
		return named ? "delete" : "deletecollection";
	return streq(req->method, "POST")    ? "create"
	       : streq(req->method, "PUT")   ? "update"
	       : streq(req->method, "PATCH") ? "patch"
					     : "";
}

static void handle_object(struct api_request *req)
{
	const struct route *r = &req->route;
	bool get = streq(req->method, "GET");
	if (!kind_has_verb(req->kind, verb_of(req))) {
		api_fail_method(req);
		return;
	}
	if (get && streq(verb_of(req), "watch"))
		api_watch(req);
	else if (get)
		r->name ? api_get(req) : api_list(req);
	else if (streq(req->method, "POST") && !r->name && (!req->kind->namespaced || r->namespace))
		streq(req->kind->plural, "bindings") ? api_bind(req)
		: api_review(req)		     ? (void)0
						     : api_create_object(req);
	else if (streq(req->method, "PUT") && r->name)
		api_update(req);
	else if (streq(req->method, "PATCH") && r->name)
		api_patch(req);
	else if (streq(req->method, "DELETE") && r->name)
		api_delete(req);
	else if (streq(req->method, "DELETE") && (!req->kind->namespaced || r->namespace))
		api_delete_collection(req);
	else
		api_fail_method(req);
}

static void handle_resource(struct api_request *req)
{
	struct route *r = &req->route;
	if (streq(r->group, "subresources.kubevirt.io")) {
		api_virtual_machine(req);
		return;
	}
	const struct kind *k = kind_by_resource(req->api->kinds, r->group, r->version, r->resource);
	/* The controllers reach what is stored, whether its version is served or not. */
	bool reachable = k && (k->served || (k->custom && !req->http));
	if (!reachable) {
		bool known = false;
		for (size_t i = 0; i < kind_count(req->api->kinds) && !known; i++) {
			const struct kind *other = kind_at(req->api->kinds, i);
			known = other->served && streq(other->group, r->group) &&
				streq(other->version, r->version);
		}
		if (known)
			api_fail_unknown_resource(req);
		else
			api_respond_text(req, 404, "text/plain; charset=utf-8", NULL,
				"404 page not found\n", 19);
		return;
	}
	if (r->namespace ? !k->namespaced : (k->namespaced && r->name)) {
		api_fail_unknown_resource(req);
		return;
	}
	req->kind = k;
	/* The old form of watches has no other use: what is authorized as a watch must be one. */
	if (r->watch && (r->subresource || !streq(req->method, "GET"))) {
		r->subresource ? api_fail_unknown_resource(req) : api_fail_method(req);
		return;
	}
	if (r->subresource) {
		req->subresource = kind_subresource(k, r->subresource);
		if (!req->subresource || (r->rest && !streq(r->subresource, "proxy"))) {
			api_fail_unknown_resource(req);
			return;
		}
	}
	if (!(req->subresource && passes_accept(req->subresource->name)) &&
		accept_parse(req->arena, req->accept,
			SERVES(ACCEPT_TABLE) | SERVES(ACCEPT_PARTIAL) | SERVES(ACCEPT_PARTIAL_LIST),
			&req->wanted) < 0) {
		status_set(req->arena, &req->st, 406, "NotAcceptable",
			"only the following media types are accepted: application/json, "
			"application/yaml");
		api_fail(req);
		return;
	}
	if (k->custom && custom_resource_request(req) < 0) {
		api_fail(req);
		return;
	}
	if (k->deprecated && *k->deprecation_warning)
		api_warn(req, k->deprecation_warning);
	if (req->subresource)
		handle_subresource(req);
	else
		handle_object(req);
}

void api_handle(struct api_request *req)
{
	req->route = route_parse(req->arena, req->path);
	if (!inflight_enter(req))
		return;
	if (auth_authorize(req) < 0) {
		api_fail(req);
		return;
	}
	bool get = streq(req->method, "GET") || streq(req->method, "HEAD");
	if (req->route.type != ROUTE_RESOURCE && req->route.type != ROUTE_NONE && !get) {
		api_fail_method(req);
		return;
	}
	switch (req->route.type) {
	case ROUTE_RESOURCE:
		handle_resource(req);
		return;
	case ROUTE_API:
	case ROUTE_APIS:
	case ROUTE_GROUP:
	case ROUTE_VERSION_LIST:
		api_discovery(req);
		return;
	case ROUTE_OPENAPI:
		api_openapi(req);
		return;
	case ROUTE_HEALTH:
		api_health(req);
		return;
	case ROUTE_METRICS:
		api_metrics(req);
		return;
	case ROUTE_SERVER_VERSION:
		api_version(req);
		return;
	case ROUTE_NONE:
		if (api_openid(req) || api_backup(req))
			return;
		break;
	}
	if (streq(req->path, "/")) {
		struct json *doc = json_new_object(req->arena), *paths = json_new_array(req->arena);
		static const char *const known[] = {"/api", "/apis", "/healthz", "/livez",
			"/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"};
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			json_push(req->arena, paths, json_new_string(req->arena, known[i]));
		json_set(req->arena, doc, "paths", paths);
		api_respond_doc(req, 200, doc);
		return;
	}
	api_respond_text(req, 404, "text/plain; charset=utf-8", NULL, "404 page not found\n", 19);
}
