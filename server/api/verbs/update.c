/* update.c - changes of an existing object: PUT, and the common path of PATCH and the subresources.
 *
 * The wanted document is worked out and checked while nothing else can write the object, so a
 * change without a resourceVersion never conflicts. */
#include <inttypes.h>

#include "server/api/admission/admission.h"
#include "server/api/api_internal.h"
#include "server/api/auth/auth.h"
#include "server/api/kinds/custom_resources.h"
#include "server/api/verbs/field_manager.h"

static void keep(struct arena *a, struct json *to, const struct json *from, const char *name)
{
	struct json *v = json_get(from, name);
	if (v)
		json_set(a, to, name, v);
	else
		json_remove(to, name);
}

/* Fields that clients can't change; what they sent for them is dropped without a word. */
static void metadata_keep(struct update *u, struct json *meta, const struct json *was)
{
	static const char *const ours[] = {"namespace", "uid", "creationTimestamp",
		"deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion",
		"selfLink", "generateName"};
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		keep(u->req->arena, meta, was, ours[i]);
}

static int check_identity(struct update *u, const struct json *present, const struct json *doc)
{
	struct api_request *req = u->req;
	const struct json *meta = json_get(doc, "metadata"), *was = json_get(present, "metadata");
	const char *name = json_str_or(json_get(meta, "name"), "");
	const char *ns = json_str_or(json_get(meta, "namespace"), "");
	const char *uid = json_str_or(json_get(meta, "uid"), "");
	const char *rv = json_str_or(json_get(meta, "resourceVersion"), "");
	if (*name && !streq(name, u->name))
		return status_bad_request(req->arena, &req->st,
			"the name of the object (%s) does not match the name on the URL (%s)", name,
			u->name);
	if (*ns && !streq(ns, u->namespace))
		return status_bad_request(req->arena, &req->st,
			"the namespace of the object (%s) does not match the namespace on the URL "
			"(%s)",
			ns, u->namespace);
	if (!present)
		return 0;
	const char *have = json_str_or(json_get(was, "uid"), "");
	if (*uid && !streq(uid, have))
		return status_conflict(req->arena, &req->st, u->kind, u->name,
			arena_printf(req->arena,
				"StorageError: invalid object, Code: 4, Key: /registry/%s/%s%s%s, "
				"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID "
				"in "
				"precondition: %s, UID in object meta: %s",
				u->kind->plural, u->namespace, *u->namespace ? "/" : "", u->name,
				uid, have));
	uint64_t revision;
	if (*rv && parse_u64(str_from(rv), &revision) < 0) {
		struct field_errors e = {.arena = req->arena};
		field_error(&e, FIELD_INVALID, "metadata.resourceVersion",
			json_get(meta, "resourceVersion"),
			"strconv.ParseUint: parsing \"%s\": invalid syntax", rv);
		return status_invalid(req->arena, &req->st, u->kind, u->name, &e);
	}
	if (*rv && !streq(rv, "0") && !streq(rv, json_str_or(json_get(was, "resourceVersion"), "")))
		return status_conflict(req->arena, &req->st, u->kind, u->name, NULL);
	if (!*rv && u->kind->update_needs_revision && streq(req->method, "PUT")) {
		struct field_errors e = {.arena = req->arena};
		field_error(&e, FIELD_INVALID, "metadata.resourceVersion",
			json_new_int(req->arena, 0), "must be specified for an update");
		return status_invalid(req->arena, &req->st, u->kind, u->name, &e);
	}
	return 0;
}

/* A subresource changes its own part only; the rest stays as it is. */
static void keep_other_parts(struct update *u, const struct json *present, struct json *doc)
{
	struct arena *a = u->req->arena;
	if (!*u->part) {
		if (u->kind->checked_as->has_status)
			keep(a, doc, present, "status");
		return;
	}
	const struct kind_hooks *hooks = hooks_find(u->kind);
	if (hooks->keep_part)
		hooks->keep_part(a, u->part, doc, present);
	if (streq(u->part, "status")) {
		JSON_FOR_EACH_MEMBER(m, present)
			if (!streq(m->name, "status") && !streq(m->name, "metadata"))
				json_set_n(a, doc, m->name, m->name_size, m->value);
		struct json *meta = json_get(doc, "metadata"), *was = json_get(present, "metadata");
		keep(a, meta, was, "labels");
		keep(a, meta, was, "ownerReferences");
		keep(a, meta, was, "finalizers");
		if (u->kind->custom) /* of these nothing but the status changes */
			keep(a, meta, was, "annotations");
		for (size_t i = 0; i < json_count(doc);) {
			const char *name = json_members(doc)[i].name;
			if (streq(name, "status") || json_get(present, name))
				i++;
			else
				json_remove(doc, name);
		}
	}
}

/* Not what was wished: metadata, and status where writes of it are kept apart. */
static bool is_no_wish(const struct kind *k, const struct json_member *m)
{
	return streq(m->name, "metadata") ||
	       (streq(m->name, "status") && (k->has_status || !k->custom));
}

/* What metadata.generation counts. */
static bool wish_changed(const struct kind *k, const struct json *doc, const struct json *present)
{
	JSON_FOR_EACH_MEMBER(m, doc)
		if (!is_no_wish(k, m) &&
			!json_equal(m->value, json_get_n(present, m->name, m->name_size)))
			return true;
	JSON_FOR_EACH_MEMBER(m, present)
		if (!is_no_wish(k, m) && !json_get_n(doc, m->name, m->name_size))
			return true;
	return false;
}

int update_complete(struct update *u, const struct json *present, struct json *doc)
{
	struct api_request *req = u->req;
	const struct kind *kind = u->kind->checked_as;
	int r = check_identity(u, present, doc);
	if (r < 0)
		return r;
	struct json *meta = json_object_at(req->arena, doc, "metadata");
	const struct json *was = json_get(present, "metadata");
	json_set_str(req->arena, meta, "name", u->name);
	metadata_keep(u, meta, was);
	metadata_drop_empty(meta);
	keep_other_parts(u, present, doc);

	struct field_errors errors = {.arena = req->arena};
	const struct kind_hooks *hooks = hooks_find(kind);
	struct hook h = {
		req->api, req, req->arena, &errors, &req->st, u->part, api_now_ns(req), present};
	metadata_validate(&errors, kind, doc);
	metadata_validate_update(&errors, kind, doc, present);
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	r = object_check(kind, req->arena, doc, &options, &errors, &req->st);
	if (r == 0 && hooks->set_defaults)
		hooks->set_defaults(&h, doc);
	if (r == 0)
		field_manager_track(req, kind, u->part, present, doc);
	if (r == 0 && hooks->prepare_update)
		r = hooks->prepare_update(&h, doc, present);
	struct admission_review review = {
		.req = req,
		.kind = kind,
		.operation = ADMISSION_UPDATE,
		.namespace = u->namespace,
		.name = u->name,
		.part = u->part,
		.doc = doc,
		.old = present,
	};
	if (r == 0)
		r = admission_mutate(&review);
	if (r < 0)
		return r;
	if (hooks->validate && !streq(u->part, "status"))
		hooks->validate(&h, doc);
	if (hooks->validate_update)
		hooks->validate_update(&h, doc, present);
	if (field_error_count(&errors) == 0 && hooks->allocate && !*u->part) {
		r = hooks->allocate(&h, doc, present);
		if (r < 0)
			return r;
	}
	if (field_error_count(&errors))
		return status_invalid(req->arena, &req->st, kind, u->name, &errors);
	r = admission_validate(&review);
	if (r < 0)
		return r;
	/* Where a pod was put is no wish of somebody's. */
	if (kind->has_generation && !streq(u->part, "binding") && wish_changed(kind, doc, present))
		json_set_int(req->arena, meta, "generation",
			json_int_or(json_get(was, "generation"), 0) + 1);
	return 0;
}

static struct cache_change create_absent(struct update *u)
{
	struct api_request *req = u->req;
	struct cache_change nothing = {.verdict = CACHE_NOTHING};
	if (!u->absent) {
		status_not_found(req->arena, &req->st, u->kind, u->name);
		if (*u->part && !streq(u->part, "status"))
			status_set(req->arena, &req->st, 404, "NotFound", "%s \"%s\" not found",
				u->kind->resource, u->name);
		return nothing;
	}
	struct json *doc;
	if (auth_authorize_verb(req, "create") < 0 || custom_resource_check_create(req) < 0 ||
		u->absent(u, &doc) < 0 || check_identity(u, NULL, doc) < 0)
		return nothing;
	const struct kind *kind = u->kind->checked_as;
	doc = kind_convert(req->arena, u->kind, kind, doc);
	json_path_set(req->arena, doc, "metadata.name", json_new_string(req->arena, u->name));
	if ((u->kind->namespaced && write_check_namespace(req, u->kind, u->name) < 0) ||
		create_complete(req, kind, u->namespace, doc) < 0)
		return nothing;
	u->result = doc;
	u->created = true;
	if (req->dry_run)
		return nothing;
	return (struct cache_change){
		.verdict = CACHE_PUT, .stored = write_stored_form(req, kind, doc)};
}

static struct cache_change decide(void *user, const struct object *present)
{
	struct update *u = user;
	struct api_request *req = u->req;
	struct cache_change nothing = {.verdict = CACHE_NOTHING};
	if (!present)
		return create_absent(u);
	const struct kind *kind = u->kind->checked_as;
	struct json *old = object_doc_as(present, u->kind, req->arena), *doc;
	if (u->change(u, old, &doc) < 0)
		return nothing;
	if (kind != u->kind) {
		doc = kind_convert(req->arena, u->kind, kind, doc);
		old = object_doc_as(present, kind, req->arena);
	}
	if (update_complete(u, old, doc) < 0)
		return nothing;
	u->result = doc;
	if (managed_fields_same_document(old, doc)) {
		u->nothing = true; /* nothing new: no write, no revision, no event */
		return nothing;
	}
	if (req->dry_run)
		return nothing;
	bool vanish = write_may_vanish(u->kind, doc);
	return (struct cache_change){
		.verdict = vanish ? CACHE_REMOVE : CACHE_PUT,
		.stored = write_stored_form(req, kind, doc),
	};
}

static void again(void *user)
{
	struct update *u = user;
	u->req->st = (struct status){0};
	api_warnings_cut(u->req, u->warnings);
	update_run(u);
}

static void done(void *user, int r, struct object *result, const struct err *err)
{
	struct update *u = user;
	struct api_request *req = u->req;
	if (r < 0) {
		write_fail_store(req, r, err);
		return;
	}
	bool committed = !req->st.doc && !req->dry_run && !u->nothing;
	write_settle(req, committed);
	if (req->st.doc && req->awaits && admission_wait(req, again, u))
		return;
	if (req->st.doc) {
		api_fail(req);
		return;
	}
	const struct kind_hooks *hooks = hooks_find(u->kind);
	if (committed && !u->created && hooks->occupy && write_may_vanish(u->kind, u->result))
		hooks->occupy(req->api, u->result, false);
	int code = u->created ? 201 : 200;
	if (req->dry_run)
		u->result = kind_convert(req->arena, u->kind->checked_as, u->kind, u->result);
	if (u->reply)
		u->reply(u, code, req->dry_run ? NULL : result, u->result);
	else if (req->dry_run)
		api_respond_unstored(req, code, u->kind, u->result);
	else
		api_respond_object(req, code, result);
}

void update_run(struct update *u)
{
	u->warnings = json_count(u->req->warnings);
	cache_write(u->req->api->cache, u->kind, u->namespace, u->name, decide, done, u);
}

static int change_put(struct update *u, const struct json *present, struct json **ret)
{
	if (streq(u->part, "finalize")) {
		/* Only the list that holds back a namespace's end. */
		struct json *doc = json_copy(u->req->arena, present);
		struct json *wanted = json_path(u->body, "spec.finalizers");
		struct json *spec = json_object_at(u->req->arena, doc, "spec");
		json_remove(spec, "finalizers");
		if (json_count(wanted))
			json_set(u->req->arena, spec, "finalizers", wanted);
		keep(u->req->arena, json_get(doc, "metadata"), json_get(u->body, "metadata"),
			"resourceVersion");
		*ret = doc;
		return 0;
	}
	*ret = u->body;
	return 0;
}

static int absent_put(struct update *u, struct json **ret)
{
	*ret = json_copy(u->req->arena, u->body); /* it may have to be made again */
	return 0;
}

void api_update(struct api_request *req)
{
	struct update *u = ARENA_NEW(req->arena, struct update);
	if (write_options(req, "UpdateOptions") < 0 || write_decode(req, req->kind, &u->body) < 0) {
		api_fail(req);
		return;
	}
	*u = (struct update){
		.req = req,
		.kind = req->kind,
		.namespace = req->kind->namespaced ? req->route.namespace : "",
		.name = req->route.name,
		.part = req->subresource ? req->route.subresource : "",
		.change = change_put,
		.body = u->body,
	};
	if (req->kind->create_on_update && !*u->part)
		u->absent = absent_put;
	update_run(u);
}
