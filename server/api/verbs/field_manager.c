#include "server/api/verbs/field_manager.h"

#include "server/api/requests/option_kinds.h"

static struct field_writer writer(struct api_request *req, const struct kind *kind,
	const char *part, char time[TIME_RFC3339_ROOM])
{
	const char *manager = query_get(&req->query, "fieldManager");
	time_format_rfc3339(api_now_ns(req), time);
	if (!manager || !*manager)
		manager = manager_of_user_agent(req->arena, req->user_agent);
	return (struct field_writer){
		.manager = manager,
		.subresource = part,
		.now = time,
		.kind = kind,
		.kinds = req->api->kinds,
	};
}

void field_manager_track(struct api_request *req, const struct kind *kind, const char *part,
	const struct json *present, struct json *doc)
{
	char time[TIME_RFC3339_ROOM];
	struct field_writer w = writer(req, kind, part, time);
	if (req->apply)
		return;
	if (streq(part, "binding")) {
		/* The scheduler's word is nobody's wish. */
		struct json *meta = json_get(doc, "metadata");
		struct json *had = json_get(json_get(present, "metadata"), "managedFields");
		json_remove(meta, "managedFields");
		if (had)
			json_set(req->arena, meta, "managedFields", had);
		return;
	}
	managed_fields_update(req->arena, &w, present, doc);
}

/* ---- apply ---- */

static void keep_only(struct json *object, const char *const *names, size_t count)
{
	for (size_t i = 0; i < json_count(object);) {
		const char *name = json_members(object)[i].name;
		bool kept = false;
		for (size_t n = 0; n < count; n++)
			kept |= streq(name, names[n]);
		if (kept)
			i++;
		else
			json_remove(object, name);
	}
}

/* What a request for this part can't change is not asked for, and so not owned either. */
static void drop_other_parts(const struct kind *kind, const char *part, struct json *config)
{
	static const char *const of_status[] = {"apiVersion", "kind", "metadata", "status"};
	if (!*part && kind->has_status)
		json_remove(config, "status");
	if (!streq(part, "status"))
		return;
	keep_only(config, of_status, ARRAY_LEN(of_status));
	struct json *meta = json_get(config, "metadata");
	json_remove(meta, "labels");
	json_remove(meta, "ownerReferences");
	json_remove(meta, "finalizers");
}

int field_manager_merge(
	struct update *u, const struct json *config, const struct json *present, struct json **ret)
{
	char time[TIME_RFC3339_ROOM];
	struct field_writer w = writer(u->req, u->kind, u->part, time);
	return managed_fields_apply(u->req->arena, &w, query_bool(&u->req->query, "force"), present,
		config, ret, &u->req->st);
}

static int change(struct update *u, const struct json *present, struct json **ret)
{
	return field_manager_merge(u, u->body, present, ret);
}

static int absent(struct update *u, struct json **ret)
{
	struct arena *a = u->req->arena;
	const struct json *meta = json_get(u->body, "metadata");
	const char *uid = json_str_or(json_get(meta, "uid"), "");
	if (!*json_str_or(json_get(meta, "name"), ""))
		return status_bad_request(a, &u->req->st,
			"the name of the object (based on URL) was undeterminable: name must be "
			"provided");
	if (*uid)
		return status_conflict(a, &u->req->st, u->kind, u->name,
			arena_printf(a,
				"uid mismatch: the provided object specified uid %s, and no "
				"existing object was found",
				uid));
	if (*json_str_or(json_get(meta, "resourceVersion"), ""))
		return status_conflict(a, &u->req->st, u->kind, u->name, NULL);
	return field_manager_merge(u, u->body, NULL, ret);
}

static int check_options(struct api_request *req)
{
	struct field_errors e = {.arena = req->arena};
	const char *manager = query_get(&req->query, "fieldManager");
	if (!manager || !*manager)
		field_error(
			&e, FIELD_REQUIRED, "fieldManager", NULL, "is required for apply patch");
	if (field_error_count(&e))
		return status_invalid(req->arena, &req->st, &patch_options_kind, "", &e);
	return 0;
}

static void on_duplicate(void *user, const char *path)
{
	struct api_request *req = user;
	const char *text = arena_printf(req->arena, "key \"%s\" already set in map", path);
	if (req->field_validation == FIELD_VALIDATION_STRICT && !req->st.doc)
		status_bad_request(req->arena, &req->st, "error strict decoding YAML: %s", text);
	else if (req->field_validation == FIELD_VALIDATION_WARN)
		api_warn(req, text);
}

static int read_config(struct api_request *req, struct json **ret)
{
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	struct err err = ERR_INIT;
	limits.on_duplicate = on_duplicate;
	limits.user = req;
	/* Clients send either under the one type; JSON is read faster as what it is. */
	bool json = req->body_size && req->body[0] == '{';
	int r = json ? json_parse(req->arena, req->body, req->body_size, &limits, ret, NULL) : -1;
	if (r < 0)
		r = yaml_parse(req->arena, req->body, req->body_size, &limits, ret, &err);
	if (r < 0)
		return status_bad_request(req->arena, &req->st, "error decoding YAML: %s", err.msg);
	if (req->st.doc)
		return -EREMOTEIO;
	if (!json_is(*ret, JSON_OBJECT))
		return status_bad_request(req->arena, &req->st,
			"error decoding YAML: the applied configuration is not an object");
	return 0;
}

static int check_config(struct api_request *req, const struct kind *k, const struct json *config)
{
	const char *gv = json_str_or(json_get(config, "apiVersion"), "");
	const char *kind = json_str_or(json_get(config, "kind"), "");
	const struct json *managed = json_path(config, "metadata.managedFields");
	if (!streq(gv, k->gv) || !streq(kind, k->kind))
		return status_bad_request(req->arena, &req->st,
			"invalid object type: %s%.128s, Kind=%.128s", strchr(gv, '/') ? "" : "/",
			gv, kind);
	if (managed && !json_is(managed, JSON_NULL))
		return status_bad_request(
			req->arena, &req->st, "metadata.managedFields must be nil");
	return 0;
}

bool field_manager_is_apply(const struct api_request *req)
{
	return streq(req->method, "PATCH") && req->content_type &&
	       str_has_prefix(req->content_type, "application/apply-patch+yaml");
}

int field_manager_read(struct api_request *req, const struct kind *kind, struct json **ret)
{
	req->apply = true;
	int r = check_options(req);
	if (r == 0)
		r = read_config(req, ret);
	return r == 0 ? check_config(req, kind, *ret) : r;
}

void field_manager_apply(struct api_request *req)
{
	struct update *u = ARENA_NEW(req->arena, struct update);
	struct json *config;
	if (field_manager_read(req, req->kind, &config) < 0) {
		api_fail(req);
		return;
	}
	*u = (struct update){
		.req = req,
		.kind = req->kind,
		.namespace = req->kind->namespaced ? req->route.namespace : "",
		.name = req->route.name,
		.part = req->subresource ? req->route.subresource : "",
		.change = change,
		.body = config,
	};
	if (!*u->part)
		u->absent = absent;
	drop_other_parts(u->kind, u->part, config);
	update_run(u);
}
