/* pod_streams.c - log, exec, attach and portforward: which container of which node, in upstream's
 * words where it can't be done. */
#include "server/api/api_internal.h"
#include "server/api/nodes/node_proxy.h"

static const struct json *find_container(const struct json *pod, const char *name)
{
	static const char *const lists[] = {
		"spec.containers", "spec.initContainers", "spec.ephemeralContainers"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_path(pod, lists[i]))
			if (streq(json_str(json_get(c, "name")), name))
				return c;
	return NULL;
}

static const char *container_names(struct arena *a, const struct json *list)
{
	const char *names = "";
	JSON_FOR_EACH_ITEM(c, list)
		names = arena_printf(a, "%s%s%s", names, *names ? " " : "",
			json_str_or(json_get(c, "name"), ""));
	return names;
}

/* The container that the query names, or the only one. */
static const char *choose_container(struct api_request *req, const struct json *pod)
{
	struct arena *a = req->arena;
	const char *name = query_get(&req->query, "container");
	const struct json *containers = json_path(pod, "spec.containers");
	if (!name || !*name) {
		if (json_count(containers) == 1)
			return json_str(json_get(json_at(containers, 0), "name"));
		const char *standard = json_str(json_get(json_path(pod, "metadata.annotations"),
			"kubectl.kubernetes.io/default-container"));
		if (standard && find_container(pod, standard) &&
			!streq(req->route.subresource, "log"))
			return standard;
		const struct json *init = json_path(pod, "spec.initContainers");
		status_bad_request(a, &req->st,
			"a container name must be specified for pod %s, choose one of: [%s]%s",
			req->route.name, container_names(a, containers),
			json_count(init) ? arena_printf(a, " or one of the init containers: [%s]",
						   container_names(a, init))
					 : "");
		return NULL;
	}
	if (find_container(pod, name))
		return name;
	status_bad_request(
		a, &req->st, "container %s is not valid for pod %s", name, req->route.name);
	return NULL;
}

static const struct json *container_status(const struct json *pod, const char *name)
{
	static const char *const lists[] = {"status.containerStatuses",
		"status.initContainerStatuses", "status.ephemeralContainerStatuses"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_path(pod, lists[i]))
			if (streq(json_str(json_get(c, "name")), name))
				return c;
	return NULL;
}

static void add_parameter(struct arena *a, struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s%s=%s", out->size ? "&" : "?", name, percent_encode(a, str_from(value)));
}

static const char *taken(struct arena *a, struct buf *b)
{
	const char *s = arena_memdup(a, b->data ? b->data : "", b->size);
	buf_finish(b);
	return s;
}

static const char *log_query(struct api_request *req)
{
	static const char *const passed[] = {"follow", "previous", "sinceSeconds", "sinceTime",
		"timestamps", "tailLines", "limitBytes", "stream"};
	struct buf out = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		const char *v = query_get(&req->query, passed[i]);
		if (v)
			add_parameter(req->arena, &out, passed[i], v);
	}
	return taken(req->arena, &out);
}

static const char *exec_query(struct api_request *req)
{
	static const char *const flags[][2] = {
		{"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}};
	struct buf out = BUF_INIT;
	for (size_t i = 0; i < req->query.count; i++)
		if (streq(req->query.items[i].name, "command"))
			add_parameter(req->arena, &out, "command", req->query.items[i].value);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (query_bool(&req->query, flags[i][0]))
			add_parameter(req->arena, &out, flags[i][1], "1");
	return taken(req->arena, &out);
}

static int check_log_query(struct api_request *req)
{
	static const char *const numbers[] = {"tailLines", "sinceSeconds", "limitBytes"};
	struct field_errors e = {.arena = req->arena};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const char *text = query_get(&req->query, numbers[i]);
		int64_t n;
		if (!text)
			continue;
		if (parse_i64(str_from(text), &n) < 0)
			return status_bad_request(req->arena, &req->st,
				"strconv.ParseInt: parsing \"%s\": invalid syntax", text);
		if (n < (i == 0 ? 0 : 1))
			field_error(&e, FIELD_INVALID, numbers[i], json_new_int(req->arena, n),
				i == 0 ? "must be greater than or equal to 0"
				       : "must be greater than 0");
	}
	const char *stream = query_get(&req->query, "stream");
	if (stream && *stream && !streq(stream, "All")) {
		if (!streq(stream, "Stdout") && !streq(stream, "Stderr"))
			field_error(&e, FIELD_NOT_SUPPORTED, "stream",
				json_new_string(req->arena, stream),
				"supported values: \"All\", \"Stderr\", \"Stdout\"");
		else if (query_get(&req->query, "tailLines"))
			field_error(&e, FIELD_FORBIDDEN, "", NULL,
				"`tailLines` and specific `stream` are mutually exclusive for now");
	}
	if (query_get(&req->query, "sinceTime") && query_get(&req->query, "sinceSeconds"))
		field_error(&e, FIELD_FORBIDDEN, "", NULL,
			"at most one of `sinceTime` or `sinceSeconds` may be specified");
	static const struct kind options = {.version = "v1",
		.kind = "PodLogOptions",
		.gv = "v1",
		.plural = "podlogoptions",
		.resource = "podlogoptions",
		.group = ""};
	if (field_error_count(&e))
		return status_invalid(req->arena, &req->st, &options, "", &e);
	return 0;
}

/* A log can be read of a container that has run; upstream says why not before asking the node. */
static int check_log(struct api_request *req, const struct json *pod, const char *container)
{
	const struct json *cs = container_status(pod, container);
	const struct json *waiting = json_path(cs, "state.waiting");
	bool previous = query_bool(&req->query, "previous");
	if (previous && !json_path(cs, "lastState.terminated"))
		return status_bad_request(req->arena, &req->st,
			"previous terminated container \"%s\" in pod \"%s\" not found", container,
			req->route.name);
	if (waiting && !previous && !json_path(cs, "lastState.terminated")) {
		const char *reason = json_str_or(json_get(waiting, "reason"), "ContainerCreating");
		if (streq(reason, "ErrImagePull"))
			reason = "image can't be pulled";
		else if (streq(reason, "ImagePullBackOff"))
			reason = "trying and failing to pull image";
		return status_bad_request(req->arena, &req->st,
			"container \"%s\" in pod \"%s\" is waiting to start: %s", container,
			req->route.name, reason);
	}
	return 0;
}

void api_node_stream(struct api_request *req)
{
	struct arena *a = req->arena;
	const char *sub = req->route.subresource;
	const struct object *o =
		cache_get(req->api->cache, req->kind, req->route.namespace, req->route.name);
	if (!o) {
		status_not_found(a, &req->st, req->kind, req->route.name);
		api_fail(req);
		return;
	}
	struct json *pod = object_doc(o, a);
	bool log = streq(sub, "log"), forward = streq(sub, "portforward");
	const char *container = forward ? "" : choose_container(req, pod);
	if (!container || (log && check_log_query(req) < 0)) {
		api_fail(req);
		return;
	}
	const char *node = json_str_or(json_path(pod, "spec.nodeName"), "");
	const char *phase = json_str_or(json_path(pod, "status.phase"), "");
	if (!*node) {
		if (log) {
			/* Nothing has been written yet, which is no error. */
			api_respond_text(req, 200, "text/plain", NULL, "", 0);
			return;
		}
		status_bad_request(
			a, &req->st, "pod %s does not have a host assigned", req->route.name);
		api_fail(req);
		return;
	}
	if (!log && (streq(phase, "Succeeded") || streq(phase, "Failed"))) {
		status_bad_request(a, &req->st,
			"cannot exec into a container in a completed pod; current phase is %s",
			phase);
		api_fail(req);
		return;
	}
	if (log && check_log(req, pod, container) < 0) {
		api_fail(req);
		return;
	}
	const char *ns = percent_encode(a, str_from(o->namespace));
	const char *name = percent_encode(a, str_from(o->name));
	const char *target;
	if (log) {
		target = arena_printf(
			a, "/containerLogs/%s/%s/%s%s", ns, name, container, log_query(req));
	} else if (forward) {
		struct buf query = BUF_INIT;
		for (size_t i = 0; i < req->query.count; i++)
			if (streq(req->query.items[i].name, "ports"))
				add_parameter(a, &query, "ports", req->query.items[i].value);
		target = arena_printf(a, "/portForward/%s/%s%s", ns, name, taken(a, &query));
	} else {
		target = arena_printf(
			a, "/%s/%s/%s/%s%s", sub, ns, name, container, exec_query(req));
	}
	node_proxy(req, arena_strdup(a, node), target);
}
