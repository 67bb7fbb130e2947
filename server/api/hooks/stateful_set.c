/* stateful_set.c - StatefulSet: pods with names, an order and claims of their own. */
#include "server/api/hooks/workload.h"

static void default_strategy(struct arena *a, struct json *spec)
{
	struct json *strategy = json_object_at(a, spec, "updateStrategy");
	if (!streq(json_str(json_get(strategy, "type")), "RollingUpdate"))
		return;
	struct json *rolling = json_object_at(a, strategy, "rollingUpdate");
	if (!present(json_get(rolling, "partition")))
		json_set_int(a, rolling, "partition", 0);
}

static void default_claims(struct arena *a, struct json *spec)
{
	JSON_FOR_EACH_ITEM(claim, json_get(spec, "volumeClaimTemplates")) {
		json_set_str(a, claim, "kind", "PersistentVolumeClaim");
		json_set_str(a, claim, "apiVersion", "v1");
		claim_spec_default(a, json_object_at(a, claim, "spec"));
	}
}

static void set_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *spec = json_object_at(a, doc, "spec"), *pod = json_path(spec, "template.spec");
	default_strategy(a, spec);
	default_claims(a, spec);
	struct json *retention = json_object_at(a, spec, "persistentVolumeClaimRetentionPolicy");
	static const char *const times[] = {"whenDeleted", "whenScaled"};
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (!*json_str_or(json_get(retention, times[i]), ""))
			json_set_str(a, retention, times[i], "Retain");
	if (pod)
		pod_spec_default(a, pod);
}

static void strategy_validate(struct hook *h, const struct json *strategy)
{
	static const char at[] = "spec.updateStrategy";
	const char *type = json_str_or(json_get(strategy, "type"), "");
	const struct json *rolling = json_get(strategy, "rollingUpdate");
	if (streq(type, "OnDelete")) {
		if (present(rolling))
			invalid(h, "spec.updateStrategy.rollingUpdate", rolling,
				"only allowed for updateStrategy 'RollingUpdate'");
	} else if (streq(type, "RollingUpdate")) {
		const struct json *most = json_get(rolling, "maxUnavailable");
		if (!present(most))
			return;
		if (count_or_percent(most) == 0)
			invalid(h, "spec.updateStrategy.rollingUpdate.maxUnavailable", most,
				"cannot be 0");
		check_percent_at(h, "spec.updateStrategy.rollingUpdate.maxUnavailable", most);
	} else {
		invalid(h, at, strategy, "must be 'RollingUpdate' or 'OnDelete'");
	}
}

/* The template as its pods will be: with a volume for each claim, names not yet set. */
static struct json *template_of_pods(struct arena *a, const struct json *spec)
{
	struct json *template = json_copy(a, json_get(spec, "template"));
	struct json *pod = json_get(template, "spec"), *volumes = json_new_array(a);
	const struct json *claims = json_get(spec, "volumeClaimTemplates");
	json_remove(pod, "subdomain");
	json_remove(pod, "hostname");
	JSON_FOR_EACH_ITEM(claim, claims) {
		struct json *volume = json_new_object(a), *source = json_new_object(a);
		struct json *name = json_path(claim, "metadata.name");
		if (!name)
			continue;
		json_set(a, volume, "name", name);
		json_set(a, source, "claimName", name);
		json_set(a, volume, "persistentVolumeClaim", source);
		json_push(a, volumes, volume);
	}
	size_t from_claims = json_count(volumes);
	JSON_FOR_EACH_ITEM(v, json_get(pod, "volumes")) {
		bool replaced = false;
		for (size_t i = 0; i < from_claims; i++)
			replaced |= json_equal(
				json_get(json_at(volumes, i), "name"), json_get(v, "name"));
		if (!replaced)
			json_push(a, volumes, v);
	}
	if (pod && json_count(volumes))
		json_set(a, pod, "volumes", volumes);
	return template;
}

static void validate(struct hook *h, const struct json *doc)
{
	static const char *const orders[] = {"OrderedReady", "Parallel", NULL};
	const struct json *spec = json_get(doc, "spec");
	const struct json *order = json_get(spec, "podManagementPolicy");
	if (!is_one_of(json_str_or(order, ""), orders))
		invalid(h, "spec.podManagementPolicy", order,
			"must be 'OrderedReady' or 'Parallel'");
	strategy_validate(h, json_get(spec, "updateStrategy"));
	workload_selector_validate(h, spec, "statefulset");
	pod_template_validate(h, template_of_pods(h->arena, spec), "spec.template");
	always_running_validate(h, spec, "StatefulSet");
}

/* What only new sets are checked for: it can't change. */
static int prepare_create(struct hook *h, struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	size_t i = 0;
	json_path_set(h->arena, doc, "status.replicas", json_new_int(h->arena, 0));
	json_path_set(h->arena, doc, "status.availableReplicas", json_new_int(h->arena, 0));
	JSON_FOR_EACH_ITEM(claim, json_get(spec, "volumeClaimTemplates"))
		claim_spec_validate(h, json_get(claim, "spec"),
			arena_printf(h->arena, "spec.volumeClaimTemplates[%zu].spec", i++));
	if (*json_str_or(json_get(spec, "serviceName"), ""))
		check_rule_at(h, RULE_DNS_LABEL, "spec.serviceName", json_get(spec, "serviceName"));
	return 0;
}

static void status_validate(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const counts[] = {
		"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"};
	const struct json *status = json_get(doc, "status");
	int64_t replicas = json_path_int(status, "replicas", 0);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (json_path_int(status, counts[i], 0) > replicas)
			invalid(h, at_child(h, "status", counts[i]), json_get(status, counts[i]),
				"cannot be greater than status.replicas");
	if (json_path_int(status, "availableReplicas", 0) >
		json_path_int(status, "readyReplicas", 0))
		invalid(h, "status.availableReplicas", json_get(status, "availableReplicas"),
			"cannot be greater than status.readyReplicas");
	if (json_path_int(status, "collisionCount", 0) <
		json_path_int(old, "status.collisionCount", 0))
		invalid(h, "status.collisionCount",
			json_new_int(h->arena, json_path_int(status, "collisionCount", 0)),
			"cannot be decremented");
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const free_fields[] = {"replicas", "ordinals", "template",
		"updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
		"minReadySeconds", NULL};
	if (streq(h->part, "status")) {
		status_validate(h, doc, old);
		return;
	}
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");
	bool same = true;
	JSON_FOR_EACH_MEMBER(m, spec)
		same &= is_one_of(m->name, free_fields) ||
			json_equal(m->value, json_get_n(was, m->name, m->name_size));
	JSON_FOR_EACH_MEMBER(m, was)
		same &= is_one_of(m->name, free_fields) ||
			json_get_n(spec, m->name, m->name_size) != NULL;
	if (!same)
		forbid(h, "spec",
			"updates to statefulset spec for fields other than 'replicas', "
			"'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
			"'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
			"forbidden");
}

static struct json *cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Ready"))
		return cell_text(row, "%lld/%lld",
			(long long)json_path_int(row->doc, "status.readyReplicas", 0),
			(long long)json_path_int(row->doc, "spec.replicas", 0));
	return cell_workload(row, column);
}

const struct kind_hooks hooks_stateful_set = {
	.group = "apps",
	.kind = "StatefulSet",
	.set_defaults = set_defaults,
	.prepare_create = prepare_create,
	.validate = validate,
	.validate_update = validate_update,
	.cell = cell,
};
