/* workloads.c - Deployment, ReplicaSet, ReplicationController: a selector, a template, a count; and
 * what the other kinds that make pods share with them. */
#include "server/api/hooks/workload.h"

void pod_template_validate(struct hook *h, const struct json *template, const char *at)
{
	const struct json *spec = json_get(template, "spec");
	if (!spec)
		return;
	pod_annotations_validate(h, template, at_child(h, at, "metadata.annotations"));
	pod_spec_validate(h, spec, at_child(h, at, "spec"));
	if (json_count(json_get(spec, "ephemeralContainers")))
		forbid(h, at_child(h, at, "spec.ephemeralContainers"),
			"ephemeral containers not allowed in pod template");
}

void always_running_validate(struct hook *h, const struct json *spec, const char *what)
{
	static const char *const always[] = {"Always", NULL};
	const struct json *pod = json_path(spec, "template.spec");
	const struct json *policy = json_get(pod, "restartPolicy");
	if (policy)
		check_one_of(h, "spec.template.spec.restartPolicy", policy, always);
	if (present(json_get(pod, "activeDeadlineSeconds")))
		forbid(h, "spec.template.spec.activeDeadlineSeconds",
			"activeDeadlineSeconds in %s is not Supported", what);
}

static void labels_validate(struct hook *h, const struct json *spec, const struct selector *s)
{
	struct json *labels = json_path(spec, "template.metadata.labels");
	if (!selector_matches_label_map(s, labels))
		invalid(h, "spec.template.metadata.labels",
			labels ? labels : json_new_null(h->arena),
			"`selector` does not match template `labels`");
}

void workload_selector_validate(struct hook *h, const struct json *spec, const char *what)
{
	const struct json *selector = json_get(spec, "selector");
	struct selector s;
	struct err err = ERR_INIT;
	if (!selector)
		return; /* the schema has said so */
	check_label_selector(h, selector, "spec.selector");
	if (json_count(json_get(selector, "matchLabels")) +
			json_count(json_get(selector, "matchExpressions")) ==
		0)
		invalid(h, "spec.selector", selector, "empty selector is invalid for %s", what);
	else if (selector_from_label_selector(h->arena, selector, &s, &err) < 0)
		invalid(h, "spec.selector", selector, "%s", err.msg);
	else
		labels_validate(h, spec, &s);
}

static void replicated_validate(struct hook *h, const struct json *doc, const char *what)
{
	const struct json *spec = json_get(doc, "spec");
	workload_selector_validate(h, spec, what);
	pod_template_validate(h, json_get(spec, "template"), "spec.template");
	always_running_validate(h, spec, "ReplicaSet");
}

static void template_defaults(struct hook *h, struct json *doc)
{
	struct json *spec = json_path(doc, "spec.template.spec");
	if (spec)
		pod_spec_default(h->arena, spec);
}

static int prepare_counted(struct hook *h, struct json *doc)
{
	json_path_set(h->arena, doc, "status.replicas", json_new_int(h->arena, 0));
	return 0;
}

/* No more pods are ready than there are, and so on. */
static void counts_validate(
	struct hook *h, const struct json *doc, const struct json *old, bool labeled)
{
	static const char *const parts[] = {
		"fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "availableReplicas"};
	const struct json *status = json_get(doc, "status");
	int64_t all = json_path_int(status, "replicas", 0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (i != (labeled ? 1 : 0) && json_path_int(status, parts[i], 0) > all)
			invalid(h, at_child(h, "status", parts[i]), json_get(status, parts[i]),
				"cannot be greater than status.replicas");
	if (json_path_int(status, "availableReplicas", 0) >
		json_path_int(status, "readyReplicas", 0))
		invalid(h, "status.availableReplicas", json_get(status, "availableReplicas"),
			"cannot be greater than readyReplicas");
	int64_t collisions = json_path_int(status, "collisionCount", 0);
	if (collisions < json_path_int(old, "status.collisionCount", 0))
		invalid(h, "status.collisionCount", json_new_int(h->arena, collisions),
			"cannot be decremented");
}

static void deployment_validate_update(
	struct hook *h, const struct json *doc, const struct json *old)
{
	if (streq(h->part, "status"))
		counts_validate(h, doc, old, false);
	else
		fixed_selector_validate(h, doc, old);
}

static void replica_set_validate_update(
	struct hook *h, const struct json *doc, const struct json *old)
{
	if (streq(h->part, "status"))
		counts_validate(h, doc, old, true);
	else
		fixed_selector_validate(h, doc, old);
}

static void controller_validate_update(
	struct hook *h, const struct json *doc, const struct json *old)
{
	if (streq(h->part, "status"))
		counts_validate(h, doc, old, true);
}

void fixed_selector_validate(struct hook *h, const struct json *doc, const struct json *old)
{
	if (!json_equal(json_path(doc, "spec.selector"), json_path(old, "spec.selector")))
		field_immutable(h, "spec.selector", json_path(doc, "spec.selector"));
}

static bool is_zero(const struct json *v)
{
	if (json_is(v, JSON_INT))
		return v->i == 0;
	return streq(json_str(v), "0%") || streq(json_str(v), "0");
}

static void deployment_defaults(struct hook *h, struct json *doc)
{
	struct json *strategy = json_path(doc, "spec.strategy");
	if (streq(json_str(json_get(strategy, "type")), "RollingUpdate")) {
		struct json *rolling = json_object_at(h->arena, strategy, "rollingUpdate");
		static const char *const limits[] = {"maxUnavailable", "maxSurge"};
		for (size_t i = 0; i < ARRAY_LEN(limits); i++)
			if (!json_get(rolling, limits[i]))
				json_set_str(h->arena, rolling, limits[i], "25%");
	}
	template_defaults(h, doc);
}

static void deployment_validate(struct hook *h, const struct json *doc)
{
	replicated_validate(h, doc, "deployment");
	const struct json *spec = json_get(doc, "spec"), *strategy = json_get(spec, "strategy");
	const struct json *rolling = json_get(strategy, "rollingUpdate");
	if (streq(json_str(json_get(strategy, "type")), "Recreate") && rolling)
		field_error(h->errors, FIELD_FORBIDDEN, "spec.strategy.rollingUpdate", NULL,
			"may not be specified when strategy `type` is 'Recreate'");
	else if (is_zero(json_get(rolling, "maxSurge")) &&
		 is_zero(json_get(rolling, "maxUnavailable")))
		field_error(h->errors, FIELD_INVALID, "spec.strategy.rollingUpdate.maxUnavailable",
			json_get(rolling, "maxUnavailable"), "may not be 0 when `maxSurge` is 0");
	check_percent_at(h, "spec.strategy.rollingUpdate.maxUnavailable",
		json_get(rolling, "maxUnavailable"));
	const struct json *deadline = json_get(spec, "progressDeadlineSeconds");
	if (json_is(deadline, JSON_INT) && deadline->i <= json_path_int(spec, "minReadySeconds", 0))
		field_error(h->errors, FIELD_INVALID, "spec.progressDeadlineSeconds", deadline,
			"must be greater than minReadySeconds");
}

static struct json *deployment_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Ready"))
		return cell_text(row, "%lld/%lld",
			(long long)json_path_int(row->doc, "status.readyReplicas", 0),
			(long long)json_path_int(row->doc, "spec.replicas", 0));
	if (streq(column, "Up-to-date"))
		return cell_int(row, "status.updatedReplicas");
	if (streq(column, "Available"))
		return cell_int(row, "status.availableReplicas");
	return cell_workload(row, column);
}

const struct kind_hooks hooks_deployment = {
	.group = "apps",
	.kind = "Deployment",
	.set_defaults = deployment_defaults,
	.validate = deployment_validate,
	.validate_update = deployment_validate_update,
	.cell = deployment_cell,
};

static void replica_set_validate(struct hook *h, const struct json *doc)
{
	replicated_validate(h, doc, "replicaset");
}

static struct json *counted_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Desired"))
		return cell_int(row, "spec.replicas");
	if (streq(column, "Current"))
		return cell_int(row, "status.replicas");
	if (streq(column, "Ready"))
		return cell_int(row, "status.readyReplicas");
	return cell_workload(row, column);
}

const struct kind_hooks hooks_replica_set = {
	.group = "apps",
	.kind = "ReplicaSet",
	.set_defaults = template_defaults,
	.prepare_create = prepare_counted,
	.validate = replica_set_validate,
	.validate_update = replica_set_validate_update,
	.cell = counted_cell,
};

/* The oldest of them: selector and labels come from the template when they are left out. */
static void rc_defaults(struct hook *h, struct json *doc)
{
	struct json *labels = json_path(doc, "spec.template.metadata.labels");
	template_defaults(h, doc);
	if (!json_count(labels))
		return;
	struct json *spec = json_get(doc, "spec"), *meta = json_get(doc, "metadata");
	if (!json_count(json_get(spec, "selector")))
		json_set(h->arena, spec, "selector", json_copy(h->arena, labels));
	if (!json_count(json_get(meta, "labels")))
		json_set(h->arena, meta, "labels", json_copy(h->arena, labels));
}

static void rc_validate(struct hook *h, const struct json *doc)
{
	const struct json *selector = json_path(doc, "spec.selector");
	if (!json_path(doc, "spec.template")) {
		field_error(h->errors, FIELD_REQUIRED, "spec.template", NULL, NULL);
		return;
	}
	if (!json_count(selector)) {
		field_error(h->errors, FIELD_REQUIRED, "spec.selector", NULL, NULL);
		return;
	}
	struct selector s;
	selector_from_map(h->arena, selector, &s);
	labels_validate(h, json_get(doc, "spec"), &s);
	pod_template_validate(h, json_path(doc, "spec.template"), "spec.template");
	always_running_validate(h, json_get(doc, "spec"), "ReplicationController");
}

const struct kind_hooks hooks_replication_controller = {
	.group = "",
	.kind = "ReplicationController",
	.set_defaults = rc_defaults,
	.prepare_create = prepare_counted,
	.validate = rc_validate,
	.validate_update = controller_validate_update,
	.cell = counted_cell,
	.orphan_by_default = true,
};
