/* create.c - POST to a collection. */
#include "server/api/admission/admission.h"
#include "server/api/api_internal.h"
#include "server/api/kinds/custom_resources.h"
#include "server/api/verbs/field_manager.h"

#define NAME_MAX_GENERATED 63
#define SUFFIX_SIZE 5
#define GENERATE_TRIES 8

struct creation {
	struct api_request *req;
	const struct kind *kind; /* req->kind->checked_as */
	struct json *doc;	 /* as that kind has it */
	const char *name;
	const char *generate; /* generateName when the name is made here, else NULL */
	unsigned tries;
	bool taken; /* a generated name met an object: try another */
};

/* Fields that only the server sets. */
static void metadata_begin(
	struct api_request *req, const struct kind *kind, const char *namespace, struct json *meta)
{
	static const char *const ours[] = {"selfLink", "deletionTimestamp",
		"deletionGracePeriodSeconds", "resourceVersion", "generation"};
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		json_remove(meta, ours[i]);
	if (kind->namespaced)
		json_set_str(req->arena, meta, "namespace", namespace);
	else
		json_remove(meta, "namespace");
	char uid[37], time[TIME_RFC3339_ROOM];
	random_uuid(&req->api->random, uid);
	time_format_rfc3339(api_now_ns(req), time);
	json_set_str(req->arena, meta, "uid", uid);
	json_set_str(req->arena, meta, "creationTimestamp", time);
	if (kind->has_generation)
		json_set_int(req->arena, meta, "generation", 1);
}

int create_complete(
	struct api_request *req, const struct kind *kind, const char *namespace, struct json *doc)
{
	struct json *meta = json_object_at(req->arena, doc, "metadata");
	metadata_begin(req, kind, namespace, meta);
	metadata_drop_empty(meta);
	if (kind->has_status && kind->status_dropped_on_create)
		json_remove(doc, "status");

	struct field_errors errors = {.arena = req->arena};
	const struct kind_hooks *hooks = hooks_find(kind);
	struct hook h = {req->api, req, req->arena, &errors, &req->st, "", api_now_ns(req), NULL};
	metadata_validate(&errors, kind, doc);
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	int r = object_check(kind, req->arena, doc, &options, &errors, &req->st);
	if (r == 0 && hooks->set_defaults)
		hooks->set_defaults(&h, doc);
	if (r == 0)
		field_manager_track(req, kind, "", NULL, doc);
	if (r == 0 && hooks->prepare_create)
		r = hooks->prepare_create(&h, doc);
	const char *name = json_str_or(json_get(meta, "name"), "");
	struct admission_review review = {
		.req = req,
		.kind = kind,
		.operation = ADMISSION_CREATE,
		.namespace = kind->namespaced ? namespace : "",
		.name = name,
		.part = "",
		.doc = doc,
	};
	if (r == 0)
		r = admission_mutate(&review);
	if (r < 0)
		return r;
	if (hooks->validate)
		hooks->validate(&h, doc);
	if (field_error_count(&errors) == 0 && hooks->allocate) {
		r = hooks->allocate(&h, doc, NULL);
		if (r < 0)
			return r;
	}
	if (field_error_count(&errors))
		return status_invalid(req->arena, &req->st, kind, name, &errors);
	return admission_validate(&review);
}

static struct cache_change decide(void *user, const struct object *present)
{
	struct creation *c = user;
	struct api_request *req = c->req;
	struct cache_change nothing = {.verdict = CACHE_NOTHING};
	c->taken = false;
	if (present) {
		c->taken = c->generate != NULL;
		if (present->deleting && !c->generate)
			status_set(req->arena, &req->st, 409, "AlreadyExists",
				"object is being deleted: %s \"%s\" already exists",
				req->kind->resource, c->name);
		else
			status_already_exists(req->arena, &req->st, req->kind, c->name);
		return nothing;
	}
	if (custom_resource_check_create(req) < 0)
		return nothing;
	if (req->kind->namespaced && write_check_namespace(req, req->kind, c->name) < 0)
		return nothing;
	if (create_complete(req, c->kind, req->route.namespace, c->doc) < 0 || req->dry_run)
		return nothing;
	return (struct cache_change){
		.verdict = CACHE_PUT,
		.stored = write_stored_form(req, c->kind, c->doc),
	};
}

static void run(struct creation *c);

static int decode(struct creation *c)
{
	struct api_request *req = c->req;
	if (write_decode(req, req->kind, &c->doc) < 0)
		return -EREMOTEIO;
	c->kind = req->kind->checked_as;
	c->doc = kind_convert(req->arena, req->kind, c->kind, c->doc);
	return 0;
}

/* From the beginning: what admission has put into the document is no wish of the client's. */
static void again(void *user)
{
	struct creation *c = user;
	c->req->st = (struct status){0};
	api_warnings_cut(c->req, 0);
	if (decode(c) < 0)
		api_fail(c->req);
	else
		run(c);
}

static void done(void *user, int r, struct object *result, const struct err *err)
{
	struct creation *c = user;
	struct api_request *req = c->req;
	if (r < 0) {
		write_fail_store(req, r, err);
		return;
	}
	if (req->st.doc && c->taken && c->tries < GENERATE_TRIES) {
		req->st = (struct status){0};
		run(c);
		return;
	}
	write_settle(req, !req->st.doc && !req->dry_run);
	if (req->st.doc && req->awaits && admission_wait(req, again, c))
		return;
	if (req->st.doc)
		api_fail(req);
	else if (req->dry_run)
		api_respond_unstored(
			req, 201, req->kind, kind_convert(req->arena, c->kind, req->kind, c->doc));
	else
		api_respond_object(req, 201, result);
}

static void run(struct creation *c)
{
	struct api_request *req = c->req;
	if (c->generate) {
		char suffix[SUFFIX_SIZE + 1];
		random_name_suffix(&req->api->random, suffix, SUFFIX_SIZE);
		int base = (int)MIN(strlen(c->generate), (size_t)NAME_MAX_GENERATED - SUFFIX_SIZE);
		c->name = arena_printf(req->arena, "%.*s%s", base, c->generate, suffix);
		json_path_set(
			req->arena, c->doc, "metadata.name", json_new_string(req->arena, c->name));
		c->tries++;
	}
	cache_write(req->api->cache, req->kind, req->kind->namespaced ? req->route.namespace : "",
		c->name, decide, done, c);
}

void api_create_object(struct api_request *req)
{
	struct creation *c = ARENA_NEW(req->arena, struct creation);
	c->req = req;
	if (write_options(req, "CreateOptions") < 0 || decode(c) < 0) {
		api_fail(req);
		return;
	}
	struct json *meta = json_object_at(req->arena, c->doc, "metadata");
	const char *ns = json_str_or(json_get(meta, "namespace"), "");
	const char *rv = json_str_or(json_get(meta, "resourceVersion"), "");
	c->name = json_str_or(json_get(meta, "name"), "");
	const char *generate = json_str_or(json_get(meta, "generateName"), "");
	c->generate = !*c->name && *generate ? generate : NULL;
	int r = 0;
	if (req->kind->namespaced && *ns && !streq(ns, req->route.namespace))
		r = status_bad_request(req->arena, &req->st,
			"the namespace of the provided object does not match the namespace sent on "
			"the "
			"request");
	else if (*rv)
		r = status_bad_request(req->arena, &req->st,
			"resourceVersion should not be set on objects to be created");
	if (r < 0) {
		api_fail(req);
		return;
	}
	if (!*c->name && !c->generate) {
		/* No key to write to: all that can come of it are the errors. */
		if ((!req->kind->namespaced || write_check_namespace(req, req->kind, "") == 0) &&
			create_complete(req, c->kind, req->route.namespace, c->doc) == 0)
			status_internal(
				req->arena, &req->st, "an object without a name was accepted");
		write_settle(req, false);
		api_fail(req);
		return;
	}
	run(c);
}
