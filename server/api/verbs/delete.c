/* delete.c - DELETE of objects and collections.
 *
 * What a deletion does at once depends on the object: with finalizers, a grace period (pods) or a
 * hook that keeps it (namespaces) it is only marked, with metadata.deletionTimestamp, and vanishes
 * by the update or deletion that clears the last of these. */
#include "server/api/verbs/delete.h"

#include "server/api/admission/admission.h"
#include "server/api/api_internal.h"
#include "server/api/requests/option_kinds.h"

static bool has_text(const struct json *list, const char *text)
{
	JSON_FOR_EACH_ITEM(i, list)
		if (streq(json_str(i), text))
			return true;
	return false;
}

static int check_policy(struct api_request *req, const struct delete_options *o)
{
	struct field_errors e = {.arena = req->arena};
	struct json *v = json_new_string(req->arena, o->policy ? o->policy : "");
	if (o->policy && o->orphan_given)
		field_error(&e, FIELD_INVALID, "propagationPolicy", v,
			"orphanDependents and deletionPropagation cannot be both set");
	else if (o->policy && !streq(o->policy, "Foreground") && !streq(o->policy, "Background") &&
		 !streq(o->policy, "Orphan"))
		field_error(&e, FIELD_NOT_SUPPORTED, "propagationPolicy", v,
			"supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"");
	if (field_error_count(&e))
		return status_invalid(req->arena, &req->st, &delete_options_kind, "", &e);
	return 0;
}

/* Options that are not understood must not be passed over: a precondition may be among them. */
static int check_types(struct api_request *req, const struct json *body)
{
	static const struct {
		const char *path;
		enum json_type type;
	} known[] = {{"gracePeriodSeconds", JSON_INT}, {"propagationPolicy", JSON_STRING},
		{"orphanDependents", JSON_BOOL}, {"dryRun", JSON_ARRAY},
		{"preconditions", JSON_OBJECT}, {"preconditions.uid", JSON_STRING},
		{"preconditions.resourceVersion", JSON_STRING}};
	if (body && !json_is(body, JSON_OBJECT))
		return status_bad_request(
			req->arena, &req->st, "DeleteOptions can't be read: they are no object");
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const struct json *v = json_path(body, known[i].path);
		if (v && !json_is(v, JSON_NULL) && !json_is(v, known[i].type))
			return status_bad_request(req->arena, &req->st,
				"DeleteOptions can't be read: %s is of a wrong type",
				known[i].path);
	}
	return 0;
}

/* What the body says goes before what *o has already. */
static int read_body(struct api_request *req, const struct json *body, struct delete_options *o)
{
	int r = check_types(req, body);
	if (r < 0)
		return r;
	const struct json *grace = json_get(body, "gracePeriodSeconds");
	const struct json *orphan = json_get(body, "orphanDependents");
	const char *policy = json_str(json_get(body, "propagationPolicy"));
	if (json_is(grace, JSON_INT)) {
		o->grace_s = grace->i;
		o->grace_given = true;
	}
	if (policy)
		o->policy = *policy ? policy : NULL;
	if (json_is(orphan, JSON_BOOL)) {
		o->orphan_given = true;
		o->orphan = orphan->b;
	}
	o->uid = json_path_str(body, "preconditions.uid");
	o->revision = json_path_str(body, "preconditions.resourceVersion");
	r = write_dry_run_of_body(req, body);
	return r == 0 ? check_policy(req, o) : r;
}

int delete_options_read(
	struct api_request *req, const struct json *body, struct delete_options *ret)
{
	*ret = (struct delete_options){.grace_s = -1};
	return json_is(body, JSON_NULL) ? 0 : read_body(req, body, ret);
}

int delete_options_parse(struct api_request *req, struct delete_options *ret)
{
	struct arena *a = req->arena;
	struct delete_options o = {.grace_s = -1};
	int r = write_options(req, "DeleteOptions");
	if (r < 0)
		return r;
	struct json *body = NULL;
	if (req->body_size) {
		const struct kind *k =
			kind_by_name(req->api->kinds, "meta.k8s.io", "v1", "DeleteOptions");
		struct err err = ERR_INIT;
		const char *type = req->content_type ? req->content_type : "application/json";
		if (k && str_has_prefix(type, "application/vnd.kubernetes.protobuf")) {
			struct decode_options decode = {
				.field_validation = FIELD_VALIDATION_IGNORE};
			r = object_decode(req->api->kinds, k, a, type, req->body, req->body_size,
				&decode, &body, &req->st);
			if (r < 0)
				return r;
		} else if (yaml_parse(a, req->body, req->body_size, NULL, &body, &err) < 0) {
			return status_bad_request(
				a, &req->st, "DeleteOptions can't be read: %s", err.msg);
		}
	}
	const char *grace_query = query_get(&req->query, "gracePeriodSeconds");
	if (grace_query && *grace_query) {
		if (parse_i64(str_from(grace_query), &o.grace_s) < 0)
			return status_bad_request(a, &req->st,
				"strconv.ParseInt: parsing \"%s\": invalid syntax", grace_query);
		o.grace_given = true;
	}
	o.policy = query_get(&req->query, "propagationPolicy");
	if (o.policy && !*o.policy)
		o.policy = NULL;
	o.orphan_given = query_get(&req->query, "orphanDependents") != NULL;
	o.orphan = query_bool(&req->query, "orphanDependents");
	r = read_body(req, body, &o);
	if (r < 0)
		return r;
	*ret = o;
	return 0;
}

static int check_preconditions(struct deletion *d, const struct json *doc)
{
	struct arena *a = d->req->arena;
	struct status *st = &d->st;
	const struct json *meta = json_get(doc, "metadata");
	const char *uid = json_str_or(json_get(meta, "uid"), "");
	const char *rv = json_str_or(json_get(meta, "resourceVersion"), "");
	if (d->options.uid && !streq(d->options.uid, uid))
		status_set(a, st, 409, "Conflict",
			"Operation cannot be fulfilled on %s \"%s\": the UID in the precondition "
			"(%s) does "
			"not match the UID in record (%s). The object might have been deleted and "
			"then "
			"recreated",
			d->kind->kind, d->name, d->options.uid, uid);
	else if (d->options.revision && !streq(d->options.revision, rv))
		status_set(a, st, 409, "Conflict",
			"Operation cannot be fulfilled on %s \"%s\": the ResourceVersion in the "
			"precondition "
			"(%s) does not match the ResourceVersion in record (%s). The object might "
			"have been "
			"modified",
			d->kind->kind, d->name, d->options.revision, rv);
	if (!st->doc)
		return 0;
	status_detail(a, st, "name", json_new_string(a, d->name));
	status_detail(a, st, "kind", json_new_string(a, d->kind->kind));
	return -EREMOTEIO;
}

/* The finalizers that the propagation policy asks for: `orphan` and `foregroundDeletion` are the
 * garbage collector's to remove. */
static void set_policy_finalizers(struct deletion *d, struct json *doc)
{
	struct arena *a = d->req->arena;
	struct json *meta = json_get(doc, "metadata");
	const struct json *have = json_get(meta, "finalizers");
	const char *policy = d->options.policy;
	bool orphan = policy			? streq(policy, "Orphan")
		      : d->options.orphan_given ? d->options.orphan
						: has_text(have, "orphan");
	bool foreground = policy		    ? streq(policy, "Foreground")
			  : d->options.orphan_given ? false
						    : has_text(have, "foregroundDeletion");
	if (!policy && !d->options.orphan_given && !orphan && !foreground)
		orphan = hooks_find(d->kind)->orphan_by_default;
	struct json *list = json_new_array(a);
	JSON_FOR_EACH_ITEM(f, have)
		if (!streq(json_str(f), "orphan") && !streq(json_str(f), "foregroundDeletion"))
			json_push(a, list, f);
	if (orphan)
		json_push(a, list, json_new_string(a, "orphan"));
	if (foreground)
		json_push(a, list, json_new_string(a, "foregroundDeletion"));
	if (json_count(list))
		json_set(a, meta, "finalizers", list);
	else
		json_remove(meta, "finalizers");
}

/* How long the object may go on; pods only. */
static int64_t grace_of(const struct deletion *d, const struct json *doc)
{
	if (!d->kind->graceful_deletion)
		return 0;
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	if (!*json_str_or(json_path(doc, "spec.nodeName"), "") || streq(phase, "Failed") ||
		streq(phase, "Succeeded"))
		return 0;
	int64_t grace = d->options.grace_given
				? d->options.grace_s
				: json_path_int(doc, "spec.terminationGracePeriodSeconds", 30);
	return grace < 0 ? 1 : MIN(grace, (int64_t)INT32_MAX);
}

static void set_deletion_time(struct deletion *d, struct json *meta, int64_t grace_s)
{
	char time[TIME_RFC3339_ROOM];
	int64_t was;
	const char *old = json_str(json_get(meta, "deletionTimestamp"));
	int64_t at = api_now_ns(d->req) + grace_s * NS_PER_S;
	/* A shorter grace counts from when the first one began. */
	if (old && time_parse_rfc3339(old, &was) == 0)
		at = was +
		     (grace_s - json_int_or(json_get(meta, "deletionGracePeriodSeconds"), 0)) *
			     NS_PER_S;
	time_format_rfc3339(at, time);
	json_set_str(d->req->arena, meta, "deletionTimestamp", time);
	json_set_int(d->req->arena, meta, "deletionGracePeriodSeconds", grace_s);
}

static void bump_generation(struct arena *a, struct json *meta)
{
	const struct json *g = json_get(meta, "generation");
	if (g)
		json_set_int(a, meta, "generation", json_int_or(g, 0) + 1);
}

/* Changes doc to what the deletion makes of it. */
static enum cache_verdict plan(struct deletion *d, struct json *doc)
{
	struct arena *a = d->req->arena;
	struct json *meta = json_get(doc, "metadata");
	const struct kind_hooks *hooks = hooks_find(d->kind);
	bool deleting = json_get(meta, "deletionTimestamp") != NULL;
	/* Only what is compared below: a collection may be large. */
	struct json *before = deleting ? json_copy(a, doc) : NULL;
	set_policy_finalizers(d, doc);
	if (!deleting) {
		int64_t grace = grace_of(d, doc);
		set_deletion_time(d, meta, grace);
		if (hooks->prepare_delete) {
			struct hook h = {
				d->req->api, d->req, a, NULL, &d->st, "", api_now_ns(d->req), NULL};
			hooks->prepare_delete(&h, doc);
		}
		if (write_may_vanish(d->kind, doc))
			return CACHE_REMOVE;
		bump_generation(a, meta);
		return CACHE_PUT;
	}
	int64_t had = json_int_or(json_get(meta, "deletionGracePeriodSeconds"), 0);
	if (d->options.grace_given && had > 0) {
		int64_t grace = d->options.grace_s < 0 ? 1 : d->options.grace_s;
		if (grace < had)
			set_deletion_time(d, meta, grace);
	}
	if (write_may_vanish(d->kind, doc))
		return CACHE_REMOVE;
	return json_equal(before, doc) ? CACHE_NOTHING : CACHE_PUT;
}

static int admit(struct deletion *d, const struct json *doc)
{
	int r = admission_delete(&(struct admission_review){
		.req = d->req,
		.kind = d->kind,
		.operation = ADMISSION_DELETE,
		.namespace = d->namespace,
		.name = d->name,
		.part = "",
		.old = doc,
	});
	if (r < 0) {
		d->st = d->req->st;
		d->req->st = (struct status){0};
	}
	return r;
}

static struct cache_change decide(void *user, const struct object *present)
{
	struct deletion *d = user;
	struct cache_change nothing = {.verdict = CACHE_NOTHING};
	if (!present) {
		status_not_found(d->req->arena, &d->st, d->kind, d->name);
		return nothing;
	}
	struct json *doc = object_doc(present, d->req->arena);
	const struct kind_hooks *hooks = hooks_find(d->kind);
	struct hook h = {
		d->req->api, d->req, d->req->arena, NULL, &d->st, "", api_now_ns(d->req), NULL};
	if (check_preconditions(d, doc) < 0 ||
		(hooks->check_delete && hooks->check_delete(&h, doc) < 0) || admit(d, doc) < 0)
		return nothing;
	enum cache_verdict verdict = plan(d, doc);
	d->doc = doc;
	d->removed = verdict == CACHE_REMOVE;
	if (verdict == CACHE_NOTHING || d->req->dry_run)
		return nothing;
	return (struct cache_change){.verdict = verdict,
		.stored = object_stored_form(d->kind->storage, d->req->arena, doc)};
}

static void done(void *user, int r, struct object *result, const struct err *err)
{
	struct deletion *d = user;
	if (r < 0)
		status_from_err(d->req->arena, &d->st, err);
	const struct kind_hooks *hooks = hooks_find(d->kind);
	if (!d->st.doc && d->removed && !d->req->dry_run && hooks->occupy)
		hooks->occupy(d->req->api, d->doc, false);
	d->done(d, result);
}

void deletion_run(struct deletion *d)
{
	cache_write(d->req->api->cache, d->kind, d->namespace, d->name, decide, done, d);
}

/* The state that the deletion leaves, as the client speaks of it. */
static struct json *deletion_doc(struct deletion *d)
{
	return kind_convert(d->req->arena, d->kind->storage, d->kind, d->doc);
}

static void reply(struct deletion *d, struct object *result)
{
	struct api_request *req = d->req;
	if (d->st.doc) {
		req->st = d->st;
		api_fail(req);
		return;
	}
	const struct kind_hooks *hooks = hooks_find(d->kind);
	if (d->removed && !hooks->delete_returns_object)
		api_respond_doc(req, 200,
			status_success(req->arena, d->kind, d->name,
				json_path_str(d->doc, "metadata.uid")));
	else if (req->dry_run)
		api_respond_unstored(req, 200, d->kind, deletion_doc(d));
	else
		api_respond_object(req, 200, result);
}

void api_delete(struct api_request *req)
{
	struct deletion *d = ARENA_NEW(req->arena, struct deletion);
	*d = (struct deletion){
		.req = req,
		.kind = req->kind,
		.namespace = req->kind->namespaced ? req->route.namespace : "",
		.name = req->route.name,
		.done = reply,
	};
	if (delete_options_parse(req, &d->options) < 0) {
		api_fail(req);
		return;
	}
	deletion_run(d);
}

/* Collections: every object that the selectors match, each on its own; one that can't be deleted
 * makes the request fail, after the others were tried. */
struct collection {
	struct api_request *req;
	struct json *items;
	size_t pending;
	struct status st;
};

static void collection_step(struct collection *c)
{
	if (--c->pending)
		return;
	struct api_request *req = c->req;
	if (c->st.doc) {
		req->st = c->st;
		api_fail(req);
		return;
	}
	struct json *list = json_new_object(req->arena);
	json_set_str(req->arena, list, "kind", req->kind->list_kind);
	json_set_str(req->arena, list, "apiVersion", req->kind->gv);
	json_path_set(req->arena, list, "metadata.resourceVersion",
		json_new_printf(
			req->arena, "%llu", (unsigned long long)cache_revision(req->api->cache)));
	json_set(req->arena, list, "items", c->items);
	api_respond_doc(req, 200, list);
}

static void collection_done(struct deletion *d, struct object *result)
{
	struct collection *c = d->user;
	if (!d->st.doc)
		json_push(d->req->arena, c->items, deletion_doc(d));
	else if (d->st.code != 404 && !c->st.doc)
		c->st = d->st;
	collection_step(c);
}

void api_delete_collection(struct api_request *req)
{
	struct delete_options options;
	struct list_options lo;
	if (delete_options_parse(req, &options) < 0 || list_options_parse(req, &lo) < 0) {
		api_fail(req);
		return;
	}
	struct cache_page page;
	cache_list(req->api->cache,
		&(struct cache_query){
			.kind = req->kind,
			.namespace = req->route.namespace,
			.labels = lo.labels.count ? &lo.labels : NULL,
			.fields = lo.fields.count ? &lo.fields : NULL,
			.limit = lo.limit,
		},
		req->arena, &page);
	struct collection *c = ARENA_NEW(req->arena, struct collection);
	*c = (struct collection){
		.req = req, .items = json_new_array(req->arena), .pending = page.count + 1};
	/* The page is borrowed and deletions may complete at once: names first. */
	struct deletion *all = arena_zalloc(req->arena, (page.count + 1) * sizeof(*all));
	for (size_t i = 0; i < page.count; i++)
		all[i] = (struct deletion){
			.req = req,
			.kind = req->kind,
			.namespace = arena_strdup(req->arena, page.items[i]->namespace),
			.name = arena_strdup(req->arena, page.items[i]->name),
			.options = options,
			.done = collection_done,
			.user = c,
		};
	for (size_t i = 0; i < page.count; i++)
		deletion_run(&all[i]);
	collection_step(c);
}
