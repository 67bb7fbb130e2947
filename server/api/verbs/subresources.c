/* subresources.c - scale and binding: other shapes of an object's own fields. */
#include <inttypes.h>

#include "server/api/api_internal.h"
#include "server/api/verbs/field_manager.h"

/* Paths in kind files are ".spec.replicas"; documents are asked with "spec.replicas". */
static const char *dotted(const char *path)
{
	return path && *path == '.' ? path + 1 : path;
}

/* Where the object says it. Copies: what a custom kind says may be replaced while a change is on
 * its way to the store. */
struct scale_paths {
	const char *spec, *status, *selector; /* selector: NULL = none */
};

static struct scale_paths *scale_paths(struct arena *a, const struct kind *k)
{
	struct scale_paths *p = ARENA_NEW(a, struct scale_paths);
	p->spec = arena_strdup(a, dotted(k->scale_spec_path));
	p->status = arena_strdup(a, dotted(k->scale_status_path));
	if (k->scale_selector_path)
		p->selector = arena_strdup(a, dotted(k->scale_selector_path));
	return p;
}

static const char *selector_of(struct arena *a, const struct scale_paths *p, const struct json *doc)
{
	const struct json *s = p->selector ? json_path(doc, p->selector) : NULL;
	if (!s)
		return "";
	if (json_is(s, JSON_STRING))
		return json_str(s);
	struct selector parsed = {0};
	/* A ReplicationController's selector is a plain map. */
	if (json_get(s, "matchLabels") || json_get(s, "matchExpressions")) {
		if (selector_from_label_selector(a, s, &parsed, NULL) < 0)
			return "";
	} else {
		selector_from_map(a, s, &parsed);
	}
	return selector_text(a, &parsed);
}

static struct json *scale_of(struct arena *a, const struct scale_paths *p, const struct json *doc)
{
	struct json *s = json_new_object(a), *meta = json_object_at(a, s, "metadata");
	json_set_str(a, s, "kind", "Scale");
	json_set_str(a, s, "apiVersion", "autoscaling/v1");
	static const char *const kept[] = {
		"name", "namespace", "uid", "resourceVersion", "creationTimestamp"};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		struct json *v = json_get(json_get(doc, "metadata"), kept[i]);
		if (v)
			json_set(a, meta, kept[i], v);
	}
	json_path_set(a, s, "spec.replicas", json_new_int(a, json_path_int(doc, p->spec, 0)));
	json_path_set(a, s, "status.replicas", json_new_int(a, json_path_int(doc, p->status, 0)));
	json_path_set(a, s, "status.selector", json_new_string(a, selector_of(a, p, doc)));
	return s;
}

static const struct kind *scale_kind(struct api_request *req)
{
	return kind_by_name(req->api->kinds, "autoscaling", "v1", "Scale");
}

static int scale_not_found(struct api_request *req)
{
	const struct kind *k = req->kind;
	status_set(req->arena, &req->st, 404, "NotFound", "%s/scale%s%s \"%s\" not found",
		k->plural, *k->group ? "." : "", k->group, req->route.name);
	status_detail(req->arena, &req->st, "name", json_new_string(req->arena, req->route.name));
	if (*k->group)
		status_detail(req->arena, &req->st, "group", json_new_string(req->arena, k->group));
	status_detail(
		req->arena, &req->st, "kind", json_new_printf(req->arena, "%s/scale", k->plural));
	return -EREMOTEIO;
}

/* An applied Scale is a configuration of the object in which it says the count. */
static int apply_scale(struct update *u, const struct json *replicas, const struct json *present,
	struct json **ret)
{
	struct arena *a = u->req->arena;
	const struct scale_paths *paths = u->user;
	struct json *config = json_new_object(a);
	json_set_str(a, config, "apiVersion", u->kind->gv);
	json_set_str(a, config, "kind", u->kind->kind);
	json_path_set(a, config, "metadata.name", json_new_string(a, u->name));
	if (replicas)
		json_path_set(a, config, paths->spec, json_copy(a, replicas));
	return field_manager_merge(u, config, present, ret);
}

static int change_scale(struct update *u, const struct json *present, struct json **ret)
{
	struct api_request *req = u->req;
	struct arena *a = req->arena;
	struct json *wanted = u->body;
	/* The definition may have lost its scale while this waited. */
	if (!u->kind->scale_spec_path)
		return scale_not_found(req);
	const struct scale_paths *paths = u->user = scale_paths(a, u->kind);
	struct json *scale = scale_of(a, paths, present);
	if (streq(req->method, "PATCH") && !req->apply) {
		const char *type = req->content_type ? req->content_type : "";
		int r = str_has_prefix(type, "application/json-patch+json")
				? patch_json(a, scale, u->body, &wanted, &req->st)
				: patch_merge(a, scale, u->body, &wanted, &req->st);
		if (r < 0)
			return r;
	}
	const char *name = json_path_str(wanted, "metadata.name");
	if (name && *name && !streq(name, u->name))
		return status_bad_request(a, &req->st,
			"the name of the object (%s) does not match the name on the URL (%s)", name,
			u->name);
	const char *rv = json_path_str(wanted, "metadata.resourceVersion");
	if (rv && *rv && !streq(rv, json_path_str(present, "metadata.resourceVersion")))
		return status_conflict(a, &req->st, u->kind, u->name, NULL);
	struct json *replicas = json_path(wanted, "spec.replicas");
	if (replicas && !json_is(replicas, JSON_INT))
		return status_bad_request(
			a, &req->st, "spec.replicas of a Scale must be an integer");
	int64_t n = json_int_or(replicas, 0);
	if (n < 0 || n > INT32_MAX) {
		struct field_errors e = {.arena = a};
		static const struct kind scale_name = {.group = "autoscaling",
			.version = "v1",
			.kind = "Scale",
			.plural = "scales",
			.gv = "autoscaling/v1",
			.resource = "scales.autoscaling"};
		field_error(&e, FIELD_INVALID, "spec.replicas", replicas,
			"must be greater than or equal to 0");
		return status_invalid(a, &req->st, &scale_name, u->name, &e);
	}
	if (req->apply)
		return apply_scale(u, replicas, present, ret);
	struct json *doc = json_copy(a, present);
	json_path_set(a, doc, paths->spec, json_new_int(a, n));
	*ret = doc;
	return 0;
}

static void reply_scale(struct update *u, int code, struct object *o, struct json *doc)
{
	struct json *stored = o ? object_doc_as(o, u->kind, u->req->arena) : doc;
	api_respond_unstored(
		u->req, code, scale_kind(u->req), scale_of(u->req->arena, u->user, stored));
}

void api_scale(struct api_request *req)
{
	const char *ns = req->kind->namespaced ? req->route.namespace : "";
	const struct object *o = cache_get(req->api->cache, req->kind, ns, req->route.name);
	if (!o) {
		scale_not_found(req);
		api_fail(req);
		return;
	}
	if (streq(req->method, "GET")) {
		api_respond_unstored(req, 200, scale_kind(req),
			scale_of(req->arena, scale_paths(req->arena, req->kind),
				object_doc_as(o, req->kind, req->arena)));
		return;
	}
	struct update *u = ARENA_NEW(req->arena, struct update);
	struct err err = ERR_INIT;
	bool put = streq(req->method, "PUT");
	int r = write_options(req, put ? "UpdateOptions" : "PatchOptions");
	if (r == 0 && put)
		r = write_decode(req, scale_kind(req), &u->body);
	else if (r == 0 && field_manager_is_apply(req))
		r = field_manager_read(req, scale_kind(req), &u->body);
	else if (r == 0 &&
		 json_parse(req->arena, req->body, req->body_size, NULL, &u->body, &err) < 0)
		r = status_bad_request(req->arena, &req->st, "error decoding patch: %s", err.msg);
	if (r < 0) {
		api_fail(req);
		return;
	}
	*u = (struct update){
		.req = req,
		.kind = req->kind,
		.namespace = ns,
		.name = req->route.name,
		.part = "scale",
		.change = change_scale,
		.reply = reply_scale,
		.body = u->body,
	};
	update_run(u);
}

/* Binding: the scheduler's word on where a pod goes. */
static int bind_conflict(struct update *u, const char *detail)
{
	struct api_request *req = u->req;
	status_set(req->arena, &req->st, 409, "Conflict",
		"Operation cannot be fulfilled on pods/binding \"%s\": %s", u->name, detail);
	status_detail(req->arena, &req->st, "name", json_new_string(req->arena, u->name));
	status_detail(req->arena, &req->st, "kind", json_new_string(req->arena, "pods/binding"));
	return -EREMOTEIO;
}

static int change_binding(struct update *u, const struct json *present, struct json **ret)
{
	struct arena *a = u->req->arena;
	const char *node = json_path_str(present, "spec.nodeName");
	const char *target = json_path_str(u->body, "target.name");
	if (node && *node)
		return bind_conflict(u, arena_printf(a, "pod %s is already assigned to node \"%s\"",
						u->name, node));
	if (json_path(present, "metadata.deletionTimestamp"))
		return bind_conflict(
			u, arena_printf(a, "pod %s is being deleted, cannot be assigned to a host",
				   u->name));
	const char *uid = json_path_str(u->body, "metadata.uid");
	if (uid && *uid && !streq(uid, json_path_str(present, "metadata.uid")))
		return bind_conflict(u, "the UID in the binding is not the pod's");
	struct json *doc = json_copy(a, present);
	json_path_set(a, doc, "spec.nodeName", json_new_string(a, target));
	JSON_FOR_EACH_MEMBER(m, json_path(u->body, "metadata.annotations"))
		json_set(a, json_object_at(a, json_get(doc, "metadata"), "annotations"), m->name,
			m->value);
	struct json *conditions = json_array_at(a, json_object_at(a, doc, "status"), "conditions");
	for (size_t i = 0; i < json_count(conditions);)
		if (streq(json_str(json_get(json_at(conditions, i), "type")), "PodScheduled"))
			json_remove_at(conditions, i);
		else
			i++;
	char time[TIME_RFC3339_ROOM];
	time_format_rfc3339(api_now_ns(u->req), time);
	struct json *c = json_new_object(a);
	json_set_str(a, c, "type", "PodScheduled");
	json_set_str(a, c, "status", "True");
	json_set(a, c, "lastProbeTime", json_new_null(a));
	json_set_str(a, c, "lastTransitionTime", time);
	json_push(a, conditions, c);
	*ret = doc;
	return 0;
}

static void reply_created(struct update *u, int code, struct object *o, struct json *unused)
{
	struct arena *a = u->req->arena;
	struct json *doc = json_new_object(a);
	json_set_str(a, doc, "kind", "Status");
	json_set_str(a, doc, "apiVersion", "v1");
	json_set(a, doc, "metadata", json_new_object(a));
	json_set_str(a, doc, "status", "Success");
	json_set_int(a, doc, "code", 201);
	u->req->wanted.form = ACCEPT_OBJECT;
	api_respond_doc(u->req, 201, doc);
}

void api_bind(struct api_request *req)
{
	struct update *u = ARENA_NEW(req->arena, struct update);
	const struct kind *binding = kind_by_name(req->api->kinds, "", "v1", "Binding");
	if (write_options(req, "CreateOptions") < 0 || write_decode(req, binding, &u->body) < 0) {
		api_fail(req);
		return;
	}
	const char *name = json_path_str(u->body, "metadata.name");
	const char *pod = req->route.name ? req->route.name : name;
	const char *target = json_path_str(u->body, "target.name");
	struct field_errors e = {.arena = req->arena};
	const char *kind = json_path_str(u->body, "target.kind");
	if (kind && *kind && !streq(kind, "Node") && !streq(kind, "Minion"))
		field_error(&e, FIELD_NOT_SUPPORTED, "target.kind",
			json_path(u->body, "target.kind"),
			"supported values: \"Node\", \"<empty>\"");
	if (!target || !*target)
		field_error(&e, FIELD_REQUIRED, "target.name", NULL, NULL);
	int r = 0;
	if (field_error_count(&e))
		r = status_invalid(req->arena, &req->st, binding, name, &e);
	else if (!pod || !*pod || (name && *name && !streq(name, pod)))
		r = status_bad_request(req->arena, &req->st,
			"the name of the object (%s) does not match the name on the URL (%s)",
			name ? name : "", req->route.name ? req->route.name : "");
	if (r < 0) {
		api_fail(req);
		return;
	}
	*u = (struct update){
		.req = req,
		.kind = req->api->pods,
		.namespace = req->route.namespace,
		.name = pod,
		.part = "binding",
		.change = change_binding,
		.reply = reply_created,
		.body = u->body,
	};
	update_run(u);
}
