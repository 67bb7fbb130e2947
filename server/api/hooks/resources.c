/* resources.c - names of resources and what amounts of them are right. */
#include "lib/base/listing.h"
#include "server/api/hooks/workload.h"

#include "lib/object/quantity.h"

#define HUGEPAGES "hugepages-"

static const char *const standard[] = {"cpu", "memory", "ephemeral-storage", "requests.cpu",
	"requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
	"limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers",
	"secrets", "configmaps", "persistentvolumeclaims", "storage", "requests.storage",
	"services.nodeports", "services.loadbalancers", NULL};
static const char *const of_containers[] = {"cpu", "memory", "ephemeral-storage", NULL};
static const char *const counted[] = {"pods", "resourcequotas", "services",
	"replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
	"services.nodeports", "services.loadbalancers", NULL};

bool resource_is_hugepages(const char *name)
{
	return str_has_prefix(name, HUGEPAGES);
}

static bool is_native(const char *name)
{
	return !strchr(name, '/') || strstr(name, "kubernetes.io/");
}

static bool is_extended(const char *name)
{
	/* With "requests." before it, it must still be a name, for quotas. */
	return !is_native(name) && !str_has_prefix(name, "requests.") &&
	       strlen(name) + strlen("requests.") <= 253 + 1 + 63;
}

bool resource_may_overcommit(const char *name)
{
	return is_native(name) && !resource_is_hugepages(name);
}

/* True when the name is well-formed; else that is told. */
static bool qualified(struct hook *h, const char *at, const char *name)
{
	const char *messages[RULE_MESSAGES_MAX];
	size_t n = rule_check(RULE_QUALIFIED_NAME, name, strlen(name), messages);
	for (size_t i = 0; i < n; i++)
		invalid_text(h, at, name, "%s", messages[i]);
	return n == 0;
}

void resource_name_validate(struct hook *h, const char *at, const char *name)
{
	if (is_one_of(name, of_containers) || !qualified(h, at, name))
		return;
	if (!strchr(name, '/') && !is_one_of(name, standard) && !resource_is_hugepages(name))
		invalid_text(h, at, name, "must be a standard resource type or fully qualified");
}

void container_resource_name_validate(struct hook *h, const char *at, const char *name)
{
	if (is_one_of(name, of_containers))
		return;
	resource_name_validate(h, at, name);
	if (!strchr(name, '/') && !resource_is_hugepages(name))
		invalid_text(h, at, name, "must be a standard resource for containers");
	else if (strchr(name, '/') && !is_native(name) && !is_extended(name))
		invalid_text(h, at, name, "doesn't follow extended resource name standard");
}

void resource_amount_validate(
	struct hook *h, const char *at, const char *name, const struct json *amount)
{
	struct quantity q;
	const char *text = json_str_or(amount, "");
	if (quantity_parse(text, &q) < 0)
		return; /* the schema has said so */
	if (q.nano < 0)
		invalid(h, at, amount, "must be greater than or equal to 0");
	if ((is_one_of(name, counted) || is_extended(name)) && q.nano % 1000000000 != 0)
		invalid(h, at, amount, "must be an integer");
}

void resources_validate(struct hook *h, const struct json *resources, const char *at)
{
	static const char *const lists[] = {"limits", "requests"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_MEMBER(m, json_get(resources, lists[i]))
			if (!resource_is_positive(m->value))
				resource_amount_validate(h,
					arena_printf(h->arena, "%s.%s[%s]", at, lists[i], m->name),
					m->name, m->value);
}

int resource_compare(const struct json *a, const struct json *b)
{
	struct quantity x = {0}, y = {0};
	if (quantity_parse(json_str_or(a, ""), &x) < 0)
		x.nano = 0;
	if (quantity_parse(json_str_or(b, ""), &y) < 0)
		y.nano = 0;
	return x.nano < y.nano ? -1 : x.nano > y.nano;
}

bool resource_is_positive(const struct json *amount)
{
	struct quantity q;
	return quantity_parse(json_str_or(amount, ""), &q) == 0 && q.nano > 0;
}

/* "hugepages-2Mi" comes in multiples of its size. */
static void hugepages_validate(
	struct hook *h, const char *at, const char *name, const struct json *amount)
{
	struct quantity size, q;
	const char *text = json_str_or(amount, "");
	if (quantity_parse(name + strlen(HUGEPAGES), &size) < 0 || size.nano <= 0 ||
		quantity_parse(text, &q) < 0 || q.nano < 0 || q.nano % size.nano != 0)
		invalid(h, at, amount, "%s is not positive integer multiple of %s", text, name);
}

struct requirements {
	struct hook *h;
	const struct json *limits, *requests;
	const char *at;
	bool compute, hugepages;
};

static void one_validate(struct requirements *r, const char *list, const struct json_member *m)
{
	/* Only resources that are not everyday ones need a path for their checks. */
	bool plain = is_one_of(m->name, of_containers) && resource_is_positive(m->value);
	r->compute |= streq(m->name, "cpu") || streq(m->name, "memory");
	if (plain)
		return;
	const char *at = arena_printf(r->h->arena, "%s.%s[%s]", r->at, list, m->name);
	container_resource_name_validate(r->h, at, m->name);
	resource_amount_validate(r->h, at, m->name, m->value);
	if (resource_is_hugepages(m->name)) {
		r->hugepages = true;
		hugepages_validate(r->h, at, m->name, m->value);
	}
}

static void request_validate(struct requirements *r, const struct json_member *m)
{
	const struct json *limit = json_get_n(r->limits, m->name, m->name_size);
	bool overcommit = resource_may_overcommit(m->name);
	if (!limit) {
		if (!overcommit)
			required(r->h, at_child(r->h, r->at, "limits"),
				"Limit must be set for non overcommitable resources");
		return;
	}
	int order = resource_compare(m->value, limit);
	if (order != 0 && !overcommit)
		invalid(r->h, at_child(r->h, r->at, "requests"), m->value,
			"must be equal to %s limit of %s", m->name, json_str_or(limit, ""));
	else if (order > 0)
		invalid(r->h, at_child(r->h, r->at, "requests"), m->value,
			"must be less than or equal to %s limit of %s", m->name,
			json_str_or(limit, ""));
}

static const char *claim_names(struct arena *a, const struct json *claims)
{
	struct listing list = {.between = ", "};
	JSON_FOR_EACH_ITEM(c, claims)
		listing_add(&list, "%s", json_str_or(json_get(c, "name"), ""));
	return listing_take(&list, a);
}

static void claims_validate(struct hook *h, const struct json *used, const struct json *claims,
	const struct json_seen *known, const char *at)
{
	const char *names = NULL; /* of the claims, for messages */
	struct json_seen seen = {.arena = h->arena, .by = {"name", "request"}};
	for (size_t i = 0; i < json_count(used); i++) {
		const struct json *name = json_get(json_at(used, i), "name");
		const char *field = at_item(h, at, i);
		if (!*json_str_or(name, "")) {
			required(h, field, NULL);
			continue;
		}
		if (json_seen_put(&seen, json_at(used, i)))
			duplicate(h, field, name);
		bool found = known && json_seen_find(known, name);
		if (!found && !names)
			names = claim_names(h->arena, claims);
		if (!found)
			field_error(h->errors, FIELD_NOT_FOUND, field, name,
				"must be one of the names in pod.spec.resourceClaims%s%s",
				*names ? ": " : " which is empty", names);
	}
}

void container_resources_validate(struct hook *h, const struct json *resources,
	const struct json *claims, const struct json_seen *names, const char *at)
{
	struct requirements r = {
		.h = h,
		.limits = json_get(resources, "limits"),
		.requests = json_get(resources, "requests"),
		.at = at,
	};
	JSON_FOR_EACH_MEMBER(m, r.limits)
		one_validate(&r, "limits", m);
	JSON_FOR_EACH_MEMBER(m, r.requests) {
		one_validate(&r, "requests", m);
		request_validate(&r, m);
	}
	if (r.hugepages && !r.compute)
		forbid(h, at, "HugePages require cpu or memory");
	const struct json *used = json_get(resources, "claims");
	if (json_count(used))
		claims_validate(h, used, claims, names, at_child(h, at, "claims"));
}
