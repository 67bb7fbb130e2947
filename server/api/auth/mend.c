/* mend.c - what is missing in a stored default role or binding. */
#include "lib/base/str.h"
#include "server/api/auth/default_roles.h"
#include "server/api/auth/policy.h"

static bool is_protected(const struct json *have)
{
	return streq(json_str(json_get(json_path(have, "metadata.annotations"),
			     "rbac.authorization.kubernetes.io/autoupdate")),
		"false");
}

/* Adds the wanted labels or annotations; true when something changed. */
static bool mend_map(struct arena *a, struct json *doc, const struct json *wanted, const char *name)
{
	bool changed = false;
	struct json *meta = json_object_at(a, doc, "metadata");
	JSON_FOR_EACH_MEMBER(m, json_get(json_get(wanted, "metadata"), name)) {
		if (json_equal(json_get_n(json_get(meta, name), m->name, m->name_size), m->value))
			continue;
		json_set_n(a, json_object_at(a, meta, name), m->name, m->name_size, m->value);
		changed = true;
	}
	return changed;
}

/* Adds the items that are not there. */
static bool mend_list(
	struct arena *a, struct json *owner, const struct json *wanted, const char *name)
{
	bool changed = false;
	JSON_FOR_EACH_ITEM(item, json_get(wanted, name)) {
		bool there = false;
		JSON_FOR_EACH_ITEM(have, json_get(owner, name))
			there |= json_equal(have, item);
		if (there)
			continue;
		json_push(a, json_array_at(a, owner, name), item);
		changed = true;
	}
	return changed;
}

static bool mend_rules(struct arena *a, struct json *doc, const struct json *wanted)
{
	struct policy have = policy_decode(a, json_get(doc, "rules"));
	struct policy want = policy_decode(a, json_get(wanted, "rules")), missing;
	if (policy_covers(a, &have, &want, &missing) < 0 || !missing.count)
		return false;
	struct json *more = policy_encode(a, &missing);
	JSON_FOR_EACH_ITEM(rule, more)
		json_push(a, json_array_at(a, doc, "rules"), rule);
	return true;
}

struct json *default_role_mend(struct arena *a, const struct json *have, const struct json *wanted)
{
	if (is_protected(have))
		return NULL;
	struct json *doc = json_copy(a, have);
	bool changed = mend_map(a, doc, wanted, "labels");
	changed |= mend_map(a, doc, wanted, "annotations");
	const struct json *aggregation = json_get(wanted, "aggregationRule");
	if (aggregation)
		changed |= mend_list(a, json_object_at(a, doc, "aggregationRule"), aggregation,
			"clusterRoleSelectors");
	else
		changed |= mend_rules(a, doc, wanted);
	return changed ? doc : NULL;
}

struct json *default_binding_mend(
	struct arena *a, const struct json *have, const struct json *wanted, bool *ret_replace)
{
	*ret_replace = false;
	if (is_protected(have))
		return NULL;
	if (!json_equal(json_get(have, "roleRef"), json_get(wanted, "roleRef"))) {
		*ret_replace = true;
		return NULL;
	}
	struct json *doc = json_copy(a, have);
	bool changed = mend_map(a, doc, wanted, "labels");
	changed |= mend_map(a, doc, wanted, "annotations");
	changed |= mend_list(a, doc, wanted, "subjects");
	return changed ? doc : NULL;
}
