/* conversions_beta.c - beta versions that Kubernetes served until 1.24, for clients of that age:
 * the same members as in v1 but for what is told here. */
#include "server/api/kinds/conversions_impl.h"

static struct json *as_it_is(const struct kind *k, struct arena *a, struct json *doc)
{
	return doc;
}

const struct kind_conversion conversion_same_members = {
	.from_storage = as_it_is,
	.to_storage = as_it_is,
};

/* ---- disruption budgets: an empty selector is about no pods in v1beta1, about all in v1 ---- */

#define EMPTY_SELECTOR_KEY "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"

static bool is_empty_selector(const struct json *selector)
{
	return json_is(selector, JSON_OBJECT) && !json_count(json_get(selector, "matchLabels")) &&
	       !json_count(json_get(selector, "matchExpressions"));
}

/* Only `operator` of the label that no pod has. */
static bool is_marked_selector(const struct json *selector, const char *operator)
{
	const struct json *expressions = json_get(selector, "matchExpressions");
	return !json_count(json_get(selector, "matchLabels")) && json_count(expressions) == 1 &&
	       streq(json_str(json_get(json_at(expressions, 0), "key")), EMPTY_SELECTOR_KEY) &&
	       streq(json_str(json_get(json_at(expressions, 0), "operator")), operator);
}

static struct json *marked_selector(struct arena *a, const char *operator)
{
	struct json *selector = json_new_object(a), *expressions = json_new_array(a);
	struct json *e = json_new_object(a);
	json_set_str(a, e, "key", EMPTY_SELECTOR_KEY);
	json_set_str(a, e, "operator", operator);
	json_push(a, expressions, e);
	json_set(a, selector, "matchExpressions", expressions);
	return selector;
}

/* `mark` stands in one form for the empty selector of the other, and the reverse. */
static struct json *swap_empty_selector(
	struct arena *a, struct json *doc, const char *is, const char *becomes)
{
	struct json *spec = json_get(doc, "spec");
	const struct json *selector = json_get(spec, "selector");
	if (is_empty_selector(selector))
		json_set(a, spec, "selector", marked_selector(a, becomes));
	else if (is_marked_selector(selector, is))
		json_set(a, spec, "selector", json_new_object(a));
	return doc;
}

static struct json *budget_from_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	return swap_empty_selector(a, doc, "Exists", "DoesNotExist");
}

static struct json *budget_to_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	return swap_empty_selector(a, doc, "DoesNotExist", "Exists");
}

const struct kind_conversion conversion_disruption_budget_beta = {
	.from_storage = budget_from_storage,
	.to_storage = budget_to_storage,
};

/* ---- endpoint slices: v1 has fields for the zone and the node, v1beta1 labels ---- */

#define ZONE "topology.kubernetes.io/zone"
#define HOSTNAME "kubernetes.io/hostname"

static void endpoint_from_storage(struct arena *a, struct json *endpoint)
{
	struct json *topology = json_get(endpoint, "deprecatedTopology");
	struct json *zone = json_get(endpoint, "zone"), *node = json_get(endpoint, "nodeName");
	if (!topology && (zone || node))
		topology = json_new_object(a);
	if (zone)
		json_set(a, topology, ZONE, zone);
	if (node && !json_get(topology, HOSTNAME))
		json_set(a, topology, HOSTNAME, node);
	json_remove(endpoint, "zone");
	json_remove(endpoint, "deprecatedTopology");
	if (topology)
		json_set(a, endpoint, "topology", topology);
}

static void endpoint_to_storage(struct arena *a, struct json *endpoint)
{
	struct json *topology = json_get(endpoint, "topology");
	const char *node = json_str(json_get(endpoint, "nodeName"));
	json_remove(endpoint, "topology");
	if (!json_is(topology, JSON_OBJECT))
		return;
	if (json_get(topology, ZONE))
		json_set(a, endpoint, "zone", json_get(topology, ZONE));
	json_remove(topology, ZONE);
	if (node && streq(json_str(json_get(topology, HOSTNAME)), node))
		json_remove(topology, HOSTNAME);
	if (json_count(topology))
		json_set(a, endpoint, "deprecatedTopology", topology);
}

static struct json *slice_from_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	JSON_FOR_EACH_ITEM(e, json_get(doc, "endpoints"))
		endpoint_from_storage(a, e);
	return doc;
}

static struct json *slice_to_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	JSON_FOR_EACH_ITEM(e, json_get(doc, "endpoints"))
		if (json_is(e, JSON_OBJECT))
			endpoint_to_storage(a, e);
	return doc;
}

const struct kind_conversion conversion_endpoint_slice_beta = {
	.from_storage = slice_from_storage,
	.to_storage = slice_to_storage,
};
