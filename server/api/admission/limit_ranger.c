/* LimitRanger: the bounds that LimitRange objects of a namespace set to what one container, one pod
 * or one claim may ask for, and what containers get that ask for nothing (Kubernetes: "Limit
 * Ranges"). */
#include "server/api/admission/admission_internal.h"
#include "server/api/hooks/hooks_internal.h"
#include "server/quota/amounts.h"

#define FILLED_MAX 100000 /* requests and limits put into one pod */

/* The namespace's LimitRanges, as documents; empty where none is asked for. */
static struct json *limit_ranges(const struct admission_review *r)
{
	struct admission *admission = admission_of(r);
	const struct kind *k = admission->kinds.limit_ranges;
	struct cache *cache = r->req->api->cache;
	if (!k || cache_count(cache, k) == 0)
		return NULL;
	struct cache_page page;
	cache_list(cache, &(struct cache_query){.kind = k, .namespace = r->namespace},
		r->req->arena, &page);
	struct json *list = json_new_array(r->req->arena);
	for (size_t i = 0; i < page.count; i++)
		json_push(r->req->arena, list, object_doc(page.items[i], r->req->arena));
	return list;
}

static bool applies(const struct admission_review *r)
{
	/* What a pod asks for never changes, but by its resize subresource. */
	return admission_is_pod(r) &&
	       ((r->operation == ADMISSION_CREATE && !*r->part) || streq(r->part, "resize"));
}

/* ---- defaults ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "cpu, memory" */
static const char *join_sorted(struct arena *a, const char **names, size_t count)
{
	struct listing list = {.between = ", "};
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++)
		listing_add(&list, "%s", names[i]);
	return listing_take(&list, a);
}

/* Puts in what is missing; the names of that, sorted, or NULL. */
static const char *fill(
	struct arena *a, struct json *container, const char *part, const struct json *defaults)
{
	size_t count = 0, room = json_count(defaults);
	if (!room)
		return NULL;
	const char **names = arena_alloc(a, room * sizeof(*names));
	struct json *resources = json_object_at(a, container, "resources");
	JSON_FOR_EACH_MEMBER(m, defaults) {
		struct json *map = json_object_at(a, resources, part);
		if (json_get_n(map, m->name, m->name_size))
			continue;
		json_set_n(a, map, m->name, m->name_size, m->value);
		names[count++] = m->name;
	}
	return count ? join_sorted(a, names, count) : NULL;
}

static void tell(struct listing *told, const char *names, const char *part, const char *what,
	const struct json *container)
{
	if (names)
		listing_add(told, "%s %s for %s %s", names, part, what,
			json_str_or(json_get(container, "name"), ""));
}

static void fill_containers(const struct admission_review *r, const char *list, const char *what,
	const struct json *requests, const struct json *limits, struct listing *told)
{
	struct arena *a = r->req->arena;
	JSON_FOR_EACH_ITEM(c, json_get(json_get(r->doc, "spec"), list)) {
		const char *set_limits = fill(a, c, "limits", limits);
		tell(told, fill(a, c, "requests", requests), "request", what, c);
		tell(told, set_limits, "limit", what, c);
	}
}

/* What is put in is put in for each container. */
static int check_size(const struct admission_review *r, const struct json *range, size_t defaults)
{
	const struct json *spec = json_get(r->doc, "spec");
	size_t containers = json_count(json_get(spec, "containers")) +
			    json_count(json_get(spec, "initContainers"));
	if (!defaults || containers <= FILLED_MAX / defaults)
		return 0;
	return admission_forbid(r,
		"limit range %s has %zu defaults for each of %zu containers: together they may be "
		"at most %d",
		json_str_or(json_path(range, "metadata.name"), ""), defaults, containers,
		FILLED_MAX);
}

static int mutate(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	if (!applies(r) || *r->part)
		return 0;
	const char *told = NULL;
	JSON_FOR_EACH_ITEM(range, limit_ranges(r)) {
		struct json *requests = json_new_object(a), *limits = json_new_object(a);
		JSON_FOR_EACH_ITEM(limit, json_path(range, "spec.limits")) {
			if (!streq(json_str(json_get(limit, "type")), "Container"))
				continue;
			JSON_FOR_EACH_MEMBER(m, json_get(limit, "defaultRequest"))
				json_set_n(a, requests, m->name, m->name_size, m->value);
			JSON_FOR_EACH_MEMBER(m, json_get(limit, "default"))
				json_set_n(a, limits, m->name, m->name_size, m->value);
		}
		int result = check_size(r, range, json_count(requests) + json_count(limits));
		if (result < 0)
			return result;
		struct listing said = {.between = "; "};
		fill_containers(r, "containers", "container", requests, limits, &said);
		fill_containers(r, "initContainers", "init container", requests, limits, &said);
		if (said.count)
			told = listing_take(&said, a);
	}
	if (!told)
		return 0;
	json_set_str(a, json_object_at(a, json_object_at(a, r->doc, "metadata"), "annotations"),
		"kubernetes.io/limit-ranger", arena_printf(a, "LimitRanger plugin set: %s", told));
	json_path_set(a, r->doc, "status.qosClass",
		json_new_string(a, pod_qos_class(json_get(r->doc, "spec"))));
	return 0;
}

/* ---- bounds ---- */

struct bounds {
	const struct admission_review *review;
	struct admission_errors *errors;
	const char *type;		 /* "Container", ... */
	struct amounts requests, limits; /* what is asked for */
};

static const char *text_of(const struct bounds *b, const struct amount *amount)
{
	return amount_text(b->errors->arena, amount);
}

static void check_min(const struct bounds *b, const struct amount *bound)
{
	const struct amount *request = amounts_find(&b->requests, bound->name);
	const struct amount *limit = amounts_find(&b->limits, bound->name);
	const char *text = text_of(b, bound);
	if (!request)
		admission_error(b->errors,
			"minimum %s usage per %s is %s.  No request is specified", bound->name,
			b->type, text);
	else if (request->value.nano < bound->value.nano)
		admission_error(b->errors, "minimum %s usage per %s is %s, but request is %s",
			bound->name, b->type, text, text_of(b, request));
	else if (limit && limit->value.nano < bound->value.nano)
		admission_error(b->errors, "minimum %s usage per %s is %s, but limit is %s",
			bound->name, b->type, text, text_of(b, limit));
}

static void check_max(const struct bounds *b, const struct amount *bound)
{
	const struct amount *request = amounts_find(&b->requests, bound->name);
	const struct amount *limit = amounts_find(&b->limits, bound->name);
	const char *text = text_of(b, bound);
	if (!limit)
		admission_error(b->errors, "maximum %s usage per %s is %s.  No limit is specified",
			bound->name, b->type, text);
	else if (limit->value.nano > bound->value.nano)
		admission_error(b->errors, "maximum %s usage per %s is %s, but limit is %s",
			bound->name, b->type, text, text_of(b, limit));
	else if (request && request->value.nano > bound->value.nano)
		admission_error(b->errors, "maximum %s usage per %s is %s, but request is %s",
			bound->name, b->type, text, text_of(b, request));
}

/* Claims have no limits. */
static void check_max_request(const struct bounds *b, const struct amount *bound)
{
	const struct amount *request = amounts_find(&b->requests, bound->name);
	const char *text = text_of(b, bound);
	if (!request)
		admission_error(b->errors,
			"maximum %s usage per %s is %s.  No request is specified", bound->name,
			b->type, text);
	else if (request->value.nano > bound->value.nano)
		admission_error(b->errors, "maximum %s usage per %s is %s, but request is %s",
			bound->name, b->type, text, text_of(b, request));
}

static void check_ratio(const struct bounds *b, const struct amount *bound)
{
	const struct amount *request = amounts_find(&b->requests, bound->name);
	const struct amount *limit = amounts_find(&b->limits, bound->name);
	const char *text = text_of(b, bound);
	if (!request || request->value.nano == 0) {
		admission_error(b->errors,
			"%s max limit to request ratio per %s is %s, but no request is specified "
			"or request is 0",
			bound->name, b->type, text);
		return;
	}
	if (!limit || limit->value.nano == 0) {
		admission_error(b->errors,
			"%s max limit to request ratio per %s is %s, but no limit is specified or "
			"limit is 0",
			bound->name, b->type, text);
		return;
	}
	double ratio = (double)limit->value.nano / (double)request->value.nano;
	if (ratio * 1e9 > (double)bound->value.nano)
		admission_error(b->errors,
			"%s max limit to request ratio per %s is %s, but provided ratio is %f",
			bound->name, b->type, text, ratio);
}

static void check(const struct bounds *b, const struct json *bounds,
	void (*one)(const struct bounds *b, const struct amount *bound))
{
	struct amount bound;
	JSON_FOR_EACH_MEMBER(m, bounds)
		if (!b->errors->list.full && amount_of(m->name, m->value, &bound))
			one(b, &bound);
}

static void check_all(const struct bounds *b, const struct json *limit)
{
	check(b, json_get(limit, "min"), check_min);
	check(b, json_get(limit, "max"), check_max);
	check(b, json_get(limit, "maxLimitRequestRatio"), check_ratio);
}

static void check_pod(struct bounds *b, const struct json *limit)
{
	static const char *const lists[] = {"containers", "initContainers"};
	struct arena *a = b->errors->arena;
	const struct json *spec = json_get(b->review->doc, "spec");
	if (streq(b->type, "Pod")) {
		b->requests = pod_amounts(a, spec, "requests");
		b->limits = pod_amounts(a, spec, "limits");
		check_all(b, limit);
		return;
	}
	if (!streq(b->type, "Container"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, lists[i])) {
			const struct json *resources = json_get(c, "resources");
			b->requests = b->limits = (struct amounts){0};
			amounts_add_map(a, &b->requests, json_get(resources, "requests"));
			amounts_add_map(a, &b->limits, json_get(resources, "limits"));
			check_all(b, limit);
		}
}

static void check_claim(struct bounds *b, const struct json *limit)
{
	if (!streq(b->type, "PersistentVolumeClaim"))
		return;
	amounts_add_map(b->errors->arena, &b->requests,
		json_path(b->review->doc, "spec.resources.requests"));
	check(b, json_get(limit, "min"), check_min);
	check(b, json_get(limit, "max"), check_max_request);
}

static int validate(const struct admission_review *r)
{
	bool pod = applies(r);
	if (!pod && (*r->part || !r->kind || r->kind != admission_of(r)->kinds.claims))
		return 0;
	struct admission_errors errors = {.arena = r->req->arena};
	JSON_FOR_EACH_ITEM(range, limit_ranges(r)) {
		JSON_FOR_EACH_ITEM(limit, json_path(range, "spec.limits")) {
			struct bounds b = {
				.review = r,
				.errors = &errors,
				.type = json_str_or(json_get(limit, "type"), ""),
			};
			pod ? check_pod(&b, limit) : check_claim(&b, limit);
		}
		/* One LimitRange at a time tells what is wrong. */
		if (errors.list.count)
			break;
	}
	return admission_refuse(r, &errors);
}

const struct admission_plugin admission_limit_ranger = {
	.name = "LimitRanger",
	.mutate = mutate,
	.validate = validate,
};
