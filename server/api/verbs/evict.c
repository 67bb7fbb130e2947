/* evict.c - eviction: a deletion that a PodDisruptionBudget may refuse.
 *
 * A budget that lets a pod go counts it at once, in its own status, so that two evictions never
 * share what one of them took. */
#include "lib/object/protobuf.h"
#include "server/api/api_internal.h"
#include "server/api/verbs/delete.h"

#define DISRUPTED_PODS_MAX 2000
#define UNSETTLED_RETRY_S 10 /* the budget's controller has not looked at it yet */

struct eviction {
	struct api_request *req;
	struct deletion deletion;
	const struct kind *budgets;
	const char *budget; /* name */
	bool marked;	    /* the pod has its condition */
};

static void evict_reply(struct deletion *d, struct object *result)
{
	struct api_request *req = d->req;
	if (d->st.doc) {
		req->st = d->st;
		api_fail(req);
		return;
	}
	struct json *doc = json_new_object(req->arena);
	json_set_str(req->arena, doc, "kind", "Status");
	json_set_str(req->arena, doc, "apiVersion", "v1");
	json_set(req->arena, doc, "metadata", json_new_object(req->arena));
	json_set_str(req->arena, doc, "status", "Success");
	json_set_int(req->arena, doc, "code", 201);
	api_respond_doc(req, 201, doc);
}

/* ---- which budget guards the pod ---- */

static bool guards(struct arena *a, const struct object *budget, const struct object *pod)
{
	struct selector s;
	const struct json *selector = json_path(object_doc(budget, a), "spec.selector");
	return selector_from_label_selector(a, selector, &s, NULL) == 0 &&
	       selector_matches_labels(&s, pod->labels, pod->label_count);
}

/* How many do; *ret is one of them. */
static size_t find_budgets(struct eviction *e, const struct object *pod, const struct object **ret)
{
	struct api_request *req = e->req;
	struct cache_page page;
	size_t count = 0;
	if (!e->budgets || !pod->label_count)
		return 0;
	cache_list(req->api->cache,
		&(struct cache_query){.kind = e->budgets, .namespace = pod->namespace}, req->arena,
		&page);
	for (size_t i = 0; i < page.count; i++)
		if (guards(req->arena, page.items[i], pod)) {
			*ret = page.items[i];
			count++;
		}
	return count;
}

static bool is_ready(const struct json *pod)
{
	JSON_FOR_EACH_ITEM(c, json_path(pod, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Ready"))
			return streq(json_str(json_get(c, "status")), "True");
	return false;
}

/* A pod that does no work, or ends anyway. */
static bool is_idle(const struct object *o, const struct json *pod)
{
	const char *phase = json_path_str(pod, "status.phase");
	return o->deleting || streq(phase, "Succeeded") || streq(phase, "Failed") ||
	       streq(phase, "Pending");
}

/* A pod that is not ready is not among those that the budget has; it may go when those suffice. */
static bool may_go_unready(const struct json *budget)
{
	int64_t wanted = json_path_int(budget, "status.desiredHealthy", 0);
	if (streq(json_path_str(budget, "spec.unhealthyPodEvictionPolicy"), "AlwaysAllow"))
		return true;
	return wanted > 0 && json_path_int(budget, "status.currentHealthy", 0) >= wanted;
}

/* ---- taking one disruption from the budget ---- */

static int too_many(struct eviction *e, int64_t retry_s, const char *cause_text)
{
	struct api_request *req = e->req;
	struct arena *a = req->arena;
	struct json *causes = json_new_array(a), *cause = json_new_object(a);
	int r = status_set(a, &req->st, 429, "TooManyRequests",
		"Cannot evict pod as it would violate the pod's disruption budget.");
	json_set_str(a, cause, "reason", "DisruptionBudget");
	json_set_str(a, cause, "message", cause_text);
	json_push(a, causes, cause);
	status_detail(a, &req->st, "causes", causes);
	if (retry_s)
		status_detail(a, &req->st, "retryAfterSeconds", json_new_int(a, retry_s));
	return r;
}

static int check_budget(struct eviction *e, const struct json *budget)
{
	struct arena *a = e->req->arena;
	const struct json *status = json_get(budget, "status");
	int64_t allowed = json_path_int(status, "disruptionsAllowed", 0);
	if (json_path_int(status, "observedGeneration", 0) <
		json_path_int(budget, "metadata.generation", 0))
		return too_many(e, UNSETTLED_RETRY_S,
			arena_printf(a,
				"The disruption budget %s is still being processed by the server.",
				e->budget));
	const char *broken = allowed < 0 ? "pdb disruptions allowed is negative"
			     : json_count(json_get(status, "disruptedPods")) > DISRUPTED_PODS_MAX
				     ? "DisruptedPods map too big - too many evictions not "
				       "confirmed by PDB controller"
				     : NULL;
	if (broken)
		return status_forbidden(a, &e->req->st, e->budgets, e->budget, broken);
	if (allowed == 0)
		return too_many(e, 0,
			arena_printf(a,
				"The disruption budget %s needs %lld healthy pods and has %lld "
				"currently",
				e->budget, (long long)json_path_int(status, "desiredHealthy", 0),
				(long long)json_path_int(status, "currentHealthy", 0)));
	return 0;
}

/* The condition follows the number; the budget's controller sees to all other changes of it. */
static void set_condition(struct eviction *e, struct json *budget, bool allowed)
{
	struct arena *a = e->req->arena;
	char time[TIME_RFC3339_ROOM];
	JSON_FOR_EACH_ITEM(c, json_path(budget, "status.conditions")) {
		if (!streq(json_str(json_get(c, "type")), "DisruptionAllowed"))
			continue;
		time_format_rfc3339(api_now_ns(e->req), time);
		if (streq(json_str(json_get(c, "status")), "True") != allowed)
			json_set_str(a, c, "lastTransitionTime", time);
		json_set_str(a, c, "status", allowed ? "True" : "False");
		json_set_str(a, c, "reason", allowed ? "SufficientPods" : "InsufficientPods");
	}
}

static struct cache_change take_disruption(void *user, const struct object *present)
{
	struct eviction *e = user;
	struct api_request *req = e->req;
	struct cache_change nothing = {.verdict = CACHE_NOTHING};
	char time[TIME_RFC3339_ROOM];
	if (!present)
		return nothing; /* no budget any more, nothing to ask */
	struct json *budget = object_doc(present, req->arena);
	if (check_budget(e, budget) < 0 || req->dry_run)
		return nothing;
	struct json *status = json_object_at(req->arena, budget, "status");
	int64_t left = json_path_int(status, "disruptionsAllowed", 0) - 1;
	json_set_int(req->arena, status, "disruptionsAllowed", left);
	if (left == 0)
		set_condition(e, budget, false);
	time_format_rfc3339(api_now_ns(req), time);
	json_set_str(req->arena, json_object_at(req->arena, status, "disruptedPods"),
		e->deletion.name, time);
	return (struct cache_change){
		.verdict = CACHE_PUT,
		.stored = object_stored_form(present->kind, req->arena, budget),
	};
}

/* ---- the pod's own condition, so that its controller knows why it went ---- */

static struct cache_change mark_pod(void *user, const struct object *present)
{
	struct eviction *e = user;
	struct api_request *req = e->req;
	struct arena *a = req->arena;
	const struct delete_options *o = &e->deletion.options;
	char time[TIME_RFC3339_ROOM];
	/* What does not meet the preconditions is left to the deletion, which says so. */
	if (!present || present->deleting || req->dry_run ||
		(o->uid && !streq(o->uid, present->uid)))
		return (struct cache_change){.verdict = CACHE_NOTHING};
	struct json *pod = object_doc(present, a);
	const char *phase = json_path_str(pod, "status.phase");
	if ((o->revision && !streq(o->revision, json_path_str(pod, "metadata.resourceVersion"))) ||
		streq(phase, "Succeeded") || streq(phase, "Failed"))
		return (struct cache_change){.verdict = CACHE_NOTHING};
	struct json *status = json_object_at(a, pod, "status"), *conditions = json_new_array(a),
		    *target = json_new_object(a);
	JSON_FOR_EACH_ITEM(c, json_get(status, "conditions"))
		if (!streq(json_str(json_get(c, "type")), "DisruptionTarget"))
			json_push(a, conditions, c);
	time_format_rfc3339(api_now_ns(req), time);
	json_set_str(a, target, "type", "DisruptionTarget");
	json_set_str(a, target, "status", "True");
	json_set(a, target, "lastProbeTime", json_new_null(a));
	json_set_str(a, target, "lastTransitionTime", time);
	json_set_str(a, target, "reason", "EvictionByEvictionAPI");
	json_set_str(a, target, "message", "Eviction API: evicting");
	json_push(a, conditions, target);
	json_set(a, status, "conditions", conditions);
	e->marked = true;
	return (struct cache_change){
		.verdict = CACHE_PUT, .stored = object_stored_form(present->kind, a, pod)};
}

static void marked(void *user, int r, struct object *result, const struct err *err)
{
	struct eviction *e = user;
	if (r < 0) {
		write_fail_store(e->req, r, err);
		return;
	}
	/* The revision that was asked for is the one before the mark. */
	if (e->deletion.options.revision && e->marked)
		e->deletion.options.revision =
			arena_printf(e->req->arena, "%llu", (unsigned long long)result->revision);
	deletion_run(&e->deletion);
}

static void remove_pod(struct eviction *e)
{
	struct api_request *req = e->req;
	cache_write(req->api->cache, req->kind, req->route.namespace, e->deletion.name, mark_pod,
		marked, e);
}

static void taken(void *user, int r, struct object *result, const struct err *err)
{
	struct eviction *e = user;
	if (r < 0)
		write_fail_store(e->req, r, err);
	else if (e->req->st.doc)
		api_fail(e->req);
	else
		remove_pod(e);
}

static void run(struct eviction *e)
{
	struct api_request *req = e->req;
	const struct object *pod =
		cache_get(req->api->cache, req->kind, req->route.namespace, req->route.name);
	const struct object *found = NULL;
	struct json *doc = pod ? object_doc(pod, req->arena) : NULL;
	if (!pod || is_idle(pod, doc)) {
		remove_pod(e); /* tells that there is none, too */
		return;
	}
	size_t count = find_budgets(e, pod, &found);
	if (count > 1) {
		status_set(req->arena, &req->st, 500, "InternalError",
			"This pod has more than one PodDisruptionBudget, which the eviction "
			"subresource does not support.");
		api_fail(req);
		return;
	}
	if (count == 1 && !is_ready(doc) && may_go_unready(object_doc(found, req->arena))) {
		/* Only as it is now: it may become ready in the meantime. */
		if (!e->deletion.options.revision)
			e->deletion.options.revision =
				json_path_str(doc, "metadata.resourceVersion");
	} else if (count == 1) {
		e->budget = arena_strdup(req->arena, found->name);
		cache_write(req->api->cache, e->budgets, req->route.namespace, e->budget,
			take_disruption, taken, e);
		return;
	}
	remove_pod(e);
}

static int parse_body(struct api_request *req, struct json **ret)
{
	struct err err = ERR_INIT;
	const char *type = req->content_type ? req->content_type : "application/json";
	bool binary = str_has_prefix(type, "application/vnd.kubernetes.protobuf");
	int r = binary ? protobuf_decode(req->arena, req->body, req->body_size, ret, &err)
		       : yaml_parse(req->arena, req->body, req->body_size, NULL, ret, &err);
	if (r < 0)
		return status_bad_request(
			req->arena, &req->st, "Eviction can't be read: %s", err.msg);
	if (!json_is(*ret, JSON_OBJECT))
		return status_bad_request(
			req->arena, &req->st, "Eviction can't be read: it is no object");
	const char *name = json_path_str(*ret, "metadata.name");
	if (name && *name && !streq(name, req->route.name))
		return status_bad_request(
			req->arena, &req->st, "name in URL does not match name in Eviction object");
	return 0;
}

void api_evict(struct api_request *req)
{
	struct json *body;
	struct delete_options options;
	if (write_options(req, "CreateOptions") < 0 || parse_body(req, &body) < 0 ||
		delete_options_read(req, json_get(body, "deleteOptions"), &options) < 0) {
		api_fail(req);
		return;
	}
	struct eviction *e = ARENA_NEW(req->arena, struct eviction);
	*e = (struct eviction){
		.req = req,
		.budgets = kind_by_name(req->api->kinds, "policy", "v1", "PodDisruptionBudget"),
		.deletion =
			{
				.req = req,
				.kind = req->kind,
				.namespace = req->route.namespace,
				.name = req->route.name,
				.done = evict_reply,
				.user = e,
				.options = options,
			},
	};
	run(e);
}
