/* job.c - Job, and the job templates of CronJob: counts, indexes, and what becomes of failures. */
#include "server/api/hooks/job.h"

#define INDEXED_PARALLELISM_MAX 100000
#define FAILED_INDEXES_MAX 100000
#define COMPLETIONS_HIGH 100000 /* beyond, the next two hold */
#define PARALLELISM_MAX_AT_HIGH 10000
#define FAILED_INDEXES_MAX_AT_HIGH 10000
#define POLICY_RULES_MAX 20
#define POLICY_CONDITIONS_MAX 20
#define POLICY_EXIT_CODES_MAX 255
#define SUCCESS_RULES_MAX 20
#define SUCCEEDED_INDEXES_MAX_BYTES (64u << 10)
#define MANAGED_BY_MAX_BYTES 63

static bool is_indexed(const struct json *spec)
{
	return streq(json_str(json_get(spec, "completionMode")), "Indexed");
}

/* ---- what is filled in ---- */

static void set_default(struct arena *a, struct json *spec, const char *name, struct json *value)
{
	if (!present(json_get(spec, name)))
		json_set(a, spec, name, value);
}

static void set_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *spec = json_object_at(a, doc, "spec");
	if (!present(json_get(spec, "completions")) && !present(json_get(spec, "parallelism")))
		json_set_int(a, spec, "completions", 1);
	set_default(a, spec, "parallelism", json_new_int(a, 1));
	bool per_index = present(json_get(spec, "backoffLimitPerIndex"));
	set_default(a, spec, "backoffLimit", json_new_int(a, per_index ? INT32_MAX : 6));
	set_default(a, spec, "completionMode", json_new_string(a, "NonIndexed"));
	set_default(a, spec, "suspend", json_new_bool(a, false));
	set_default(a, spec, "manualSelector", json_new_bool(a, false));
	bool policy = present(json_get(spec, "podFailurePolicy"));
	set_default(a, spec, "podReplacementPolicy",
		json_new_string(a, policy ? "Failed" : "TerminatingOrFailed"));
	struct json *pod = json_path(spec, "template.spec");
	if (pod)
		pod_spec_default(a, pod);
}

static const char *const uid_labels[] = {"controller-uid", "batch.kubernetes.io/controller-uid"};
static const char *const name_labels[] = {"job-name", "batch.kubernetes.io/job-name"};

/* Pods of a job are found by its uid, so that nobody else's are. */
static void generate_selector(struct arena *a, struct json *doc)
{
	struct json *spec = json_get(doc, "spec"), *meta = json_get(doc, "metadata");
	struct json *template = json_object_at(a, spec, "template");
	struct json *labels = json_object_at(a, json_object_at(a, template, "metadata"), "labels");
	for (size_t i = 0; i < ARRAY_LEN(uid_labels); i++) {
		if (!json_get(labels, name_labels[i]))
			json_set(a, labels, name_labels[i], json_get(meta, "name"));
		if (!json_get(labels, uid_labels[i]))
			json_set(a, labels, uid_labels[i], json_get(meta, "uid"));
	}
	struct json *match = json_object_at(a, json_object_at(a, spec, "selector"), "matchLabels");
	if (!json_get(match, uid_labels[1]))
		json_set(a, match, uid_labels[1], json_get(meta, "uid"));
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	if (streq(h->part, "status"))
		job_status_prepare(h, doc, old);
	return 0;
}

static int prepare_create(struct hook *h, struct json *doc)
{
	struct json *spec = json_get(doc, "spec");
	if (!json_bool_or(json_get(spec, "manualSelector"), false) &&
		json_path(doc, "metadata.name"))
		generate_selector(h->arena, doc);
	const struct json *labels = json_path(spec, "template.metadata.labels");
	struct json *meta = json_get(doc, "metadata");
	if (json_count(labels) && !json_count(json_get(meta, "labels")))
		json_set(h->arena, meta, "labels", json_copy(h->arena, labels));
	return 0;
}

/* ---- policies ---- */

static bool names_container(const struct json *spec, const char *name)
{
	static const char *const lists[] = {"containers", "initContainers"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(json_path(spec, "template.spec"), lists[i]))
			if (streq(json_str(json_get(c, "name")), name))
				return true;
	return false;
}

static void exit_codes_validate(
	struct hook *h, const struct json *spec, const struct json *codes, const char *at)
{
	static const char *const operators[] = {"In", "NotIn", NULL};
	const char *operator= json_str_or(json_get(codes, "operator"), "");
	if (!*operator)
		required(h, at_child(h, at, "operator"), "valid values: [\"In\" \"NotIn\"]");
	else
		check_one_of(
			h, at_child(h, at, "operator"), json_get(codes, "operator"), operators);
	const struct json *name = json_get(codes, "containerName");
	if (present(name) && !names_container(spec, json_str_or(name, "")))
		invalid(h, at_child(h, at, "containerName"), name,
			"must be one of the container or initContainer names in the pod template");
	const struct json *values = json_get(codes, "values");
	const char *values_at = at_child(h, at, "values");
	if (!json_count(values)) {
		invalid(h, values_at, json_new_array(h->arena), "at least one value is required");
		return;
	}
	if (json_count(values) > POLICY_EXIT_CODES_MAX) {
		too_many(h, values_at, json_count(values), POLICY_EXIT_CODES_MAX);
		return;
	}
	bool ordered = true;
	struct json_seen seen = {.arena = h->arena};
	for (size_t i = 0; i < json_count(values); i++) {
		const struct json *v = json_at(values, i);
		if (streq(operator, "In") && json_int_or(v, 1) == 0)
			invalid(h, at_item(h, values_at, i), v,
				"must not be 0 for the In operator");
		if (json_seen_put(&seen, v))
			duplicate(h, at_item(h, values_at, i), v);
		if (i && json_int_or(json_at(values, i - 1), 0) > json_int_or(v, 0))
			ordered = false;
	}
	if (!ordered)
		invalid(h, values_at, values, "must be ordered");
}

static void conditions_validate(struct hook *h, const struct json *list, const char *at)
{
	static const char *const statuses[] = {"False", "True", "Unknown", NULL};
	if (json_count(list) > POLICY_CONDITIONS_MAX) {
		too_many(h, at, json_count(list), POLICY_CONDITIONS_MAX);
		return;
	}
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *c = json_at(list, i);
		check_rule_at(h, RULE_QUALIFIED_NAME, arena_printf(h->arena, "%s[%zu].type", at, i),
			json_get(c, "type"));
		check_one_of(h, arena_printf(h->arena, "%s[%zu].status", at, i),
			json_get(c, "status"), statuses);
	}
}

static void failure_rule_validate(
	struct hook *h, const struct json *spec, const struct json *rule, const char *at)
{
	static const char *const actions[] = {"Count", "FailIndex", "FailJob", "Ignore", NULL};
	const struct json *action = json_get(rule, "action");
	const char *action_at = at_child(h, at, "action");
	if (!*json_str_or(action, ""))
		required(h, action_at,
			"valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
	else if (streq(json_str(action), "FailIndex")) {
		if (!present(json_get(spec, "backoffLimitPerIndex")))
			invalid(h, action_at, action,
				"requires the backoffLimitPerIndex to be set");
	} else {
		check_one_of(h, action_at, action, actions);
	}
	const struct json *codes = json_get(rule, "onExitCodes");
	const struct json *conditions = json_get(rule, "onPodConditions");
	if (present(codes))
		exit_codes_validate(h, spec, codes, at_child(h, at, "onExitCodes"));
	if (json_count(conditions))
		conditions_validate(h, conditions, at_child(h, at, "onPodConditions"));
	if (present(codes) && json_count(conditions))
		field_error(h->errors, FIELD_INVALID, at, NULL,
			"specifying both OnExitCodes and OnPodConditions is not supported");
	if (!present(codes) && !json_count(conditions))
		field_error(h->errors, FIELD_INVALID, at, NULL,
			"specifying one of OnExitCodes and OnPodConditions is required");
}

static void failure_policy_validate(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *rules = json_path(spec, "podFailurePolicy.rules");
	if (json_count(rules) > POLICY_RULES_MAX) {
		too_many(h, at, json_count(rules), POLICY_RULES_MAX);
		return;
	}
	for (size_t i = 0; i < json_count(rules); i++)
		failure_rule_validate(h, spec, json_at(rules, i), at_item(h, at, i));
}

/* One "3" or "3-5". */
static int parse_interval(
	struct str text, int64_t completions, int64_t *ret_from, int64_t *ret_to, struct err *err)
{
	struct str rest = text, part = {0}, second = {0};
	str_split(&rest, '-', &part);
	bool has_second = str_split(&rest, '-', &second);
	struct str more;
	if (has_second && str_split(&rest, '-', &more))
		return err_set(err, -EINVAL,
			"the fragment \"" STR_FMT
			"\" violates the requirement that an index interval can have at most two "
			"parts separated by '-'",
			STR_ARG(text));
	struct str parts[] = {part, second};
	int64_t values[2] = {0, 0};
	for (size_t i = 0; i < (has_second ? 2u : 1u); i++) {
		if (parse_i64(parts[i], &values[i]) < 0)
			return err_set(err, -EINVAL,
				"cannot convert string to integer for index: \"" STR_FMT "\"",
				STR_ARG(parts[i]));
		if (values[i] >= completions)
			return err_set(err, -EINVAL, "too large index: \"" STR_FMT "\"",
				STR_ARG(parts[i]));
	}
	if (has_second && values[0] >= values[1])
		return err_set(err, -EINVAL, "non-increasing order, previous: %lld, current: %lld",
			(long long)values[0], (long long)values[1]);
	*ret_from = values[0];
	*ret_to = has_second ? values[1] : values[0];
	return 0;
}

int job_indexes_parse(const char *text, int64_t completions, int64_t *ret_count, struct err *err)
{
	struct str rest = str_from(text), part;
	int64_t count = 0, last = -1;
	bool any = false;
	while (*text && str_split(&rest, ',', &part)) {
		int64_t from = 0, to = 0;
		int r = parse_interval(part, completions, &from, &to, err);
		if (r < 0)
			return r;
		if (any && last >= from)
			return err_set(err, -EINVAL,
				"non-increasing order, previous: %lld, current: %lld",
				(long long)last, (long long)from);
		any = true;
		count += to - from + 1;
		last = to;
	}
	*ret_count = count;
	return 0;
}

static void success_rule_validate(
	struct hook *h, int64_t completions, const struct json *rule, const char *at)
{
	const struct json *count = json_get(rule, "succeededCount");
	const struct json *indexes = json_get(rule, "succeededIndexes");
	int64_t total = 0;
	struct err err = ERR_INIT;
	if (!present(count) && !present(indexes))
		required(h, at,
			"at least one of succeededCount or succeededIndexes must be specified");
	if (present(indexes)) {
		const char *field = at_child(h, at, "succeededIndexes");
		if (indexes->count > SUCCEEDED_INDEXES_MAX_BYTES)
			field_error(h->errors, FIELD_TOO_LONG, field, NULL,
				"may not be more than %u bytes", SUCCEEDED_INDEXES_MAX_BYTES);
		if (job_indexes_parse(json_str_or(indexes, ""), completions, &total, &err) < 0)
			invalid(h, field, indexes, "error parsing succeededIndexes: %s", err.msg);
	}
	if (!present(count))
		return;
	const char *field = at_child(h, at, "succeededCount");
	int64_t n = json_int_or(count, 0);
	check_nonnegative(h, field, count);
	if (n > completions)
		invalid(h, field, count,
			"must be less than or equal to %lld (the number of specified completions)",
			(long long)completions);
	if (present(indexes) && n > total)
		invalid(h, field, count,
			"must be less than or equal to %lld (the number of indexes in the "
			"specified succeededIndexes field)",
			(long long)total);
}

static void success_policy_validate(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *policy = json_get(spec, "successPolicy");
	const struct json *rules = json_get(policy, "rules");
	if (!is_indexed(spec)) {
		invalid(h, at, policy, "requires indexed completion mode");
		return;
	}
	const char *rules_at = at_child(h, at, "rules");
	if (!json_count(rules))
		required(h, rules_at,
			"at least one rules must be specified when the successPolicy is specified");
	if (json_count(rules) > SUCCESS_RULES_MAX) {
		too_many(h, rules_at, json_count(rules), SUCCESS_RULES_MAX);
		return;
	}
	int64_t completions = json_int_or(json_get(spec, "completions"), 0);
	for (size_t i = 0; i < json_count(rules); i++)
		success_rule_validate(h, completions, json_at(rules, i), at_item(h, rules_at, i));
}

/* ---- the spec ---- */

static void managed_by_validate(struct hook *h, const struct json *by, const char *at)
{
	const char *text = json_str_or(by, ""), *slash = strchr(text, '/');
	if (!*text)
		required(h, at, NULL);
	else if (!slash || slash == text || !slash[1])
		invalid(h, at, by, "must be a domain-prefixed path (such as \"acme.io/foo\")");
	else
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at,
			json_new_string_n(h->arena, text, (size_t)(slash - text)));
	if (strlen(text) > MANAGED_BY_MAX_BYTES)
		field_error(h->errors, FIELD_TOO_LONG, at, NULL, "may not be more than %d bytes",
			MANAGED_BY_MAX_BYTES);
}

static void at_most(struct hook *h, const struct json *spec, const char *at, const char *name,
	int64_t most, const char *when)
{
	const struct json *v = json_get(spec, name);
	if (present(v) && json_int_or(v, 0) > most)
		invalid(h, at_child(h, at, name), v, "must be less than or equal to %lld%s",
			(long long)most, when);
}

static void indexed_validate(struct hook *h, const struct json *spec, const char *at)
{
	static const char high[] = " when completions are above 100000 and used with backoff limit "
				   "per index";
	const struct json *completions = json_get(spec, "completions");
	const struct json *failed = json_get(spec, "maxFailedIndexes");
	int64_t count = json_int_or(completions, 0);
	if (!present(completions))
		required(h, at_child(h, at, "completions"), "when completion mode is Indexed");
	at_most(h, spec, at, "parallelism", INDEXED_PARALLELISM_MAX,
		" when completion mode is Indexed");
	if (present(completions) && present(failed) && json_int_or(failed, 0) > count)
		invalid(h, at_child(h, at, "maxFailedIndexes"), failed,
			"must be less than or equal to completions");
	at_most(h, spec, at, "maxFailedIndexes", FAILED_INDEXES_MAX, "");
	if (count <= COMPLETIONS_HIGH || !present(json_get(spec, "backoffLimitPerIndex")))
		return;
	if (!present(failed))
		required(h, at_child(h, at, "maxFailedIndexes"),
			"must be specified when completions is above 100000");
	at_most(h, spec, at, "parallelism", PARALLELISM_MAX_AT_HIGH, high);
	at_most(h, spec, at, "maxFailedIndexes", FAILED_INDEXES_MAX_AT_HIGH, high);
}

static void counts_validate(struct hook *h, const struct json *spec, const char *at)
{
	static const char *const modes[] = {"NonIndexed", "Indexed", NULL};
	const struct json *mode = json_get(spec, "completionMode");
	const struct json *per_index = json_get(spec, "backoffLimitPerIndex");
	const struct json *failed = json_get(spec, "maxFailedIndexes");
	if (present(failed) && !present(per_index))
		required(h, at_child(h, at, "backoffLimitPerIndex"),
			"when maxFailedIndexes is specified");
	if (present(json_get(spec, "managedBy")))
		managed_by_validate(h, json_get(spec, "managedBy"), at_child(h, at, "managedBy"));
	if (present(mode))
		check_one_of(h, at_child(h, at, "completionMode"), mode, modes);
	if (is_indexed(spec)) {
		indexed_validate(h, spec, at);
	} else if (!present(mode) || streq(json_str(mode), "NonIndexed")) {
		if (present(per_index))
			invalid(h, at_child(h, at, "backoffLimitPerIndex"), per_index,
				"requires indexed completion mode");
		if (present(failed))
			invalid(h, at_child(h, at, "maxFailedIndexes"), failed,
				"requires indexed completion mode");
	}
}

static void restart_policy_validate(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *policy = json_path(spec, "template.spec.restartPolicy");
	const char *text = json_str_or(policy, "");
	const char *field = at_child(h, at, "template.spec.restartPolicy");
	/* A client that says nothing has the pods' default. */
	if (!*text || streq(text, "Always"))
		required(h, field, "valid values: \"OnFailure\", \"Never\"");
	else if (present(json_get(spec, "podFailurePolicy")) && streq(text, "OnFailure"))
		invalid(h, field, policy,
			"only \"Never\" is supported when podFailurePolicy is specified");
}

void job_spec_validate(struct hook *h, const struct json *spec, const char *at)
{
	static const char *const replacements[] = {"Failed", "TerminatingOrFailed", NULL};
	static const char *const only_failed[] = {"Failed", NULL};
	bool policy = present(json_get(spec, "podFailurePolicy"));
	const struct json *replacement = json_get(spec, "podReplacementPolicy");
	counts_validate(h, spec, at);
	if (policy)
		failure_policy_validate(h, spec, at_child(h, at, "podFailurePolicy.rules"));
	if (present(json_get(spec, "successPolicy")))
		success_policy_validate(h, spec, at_child(h, at, "successPolicy"));
	if (present(replacement))
		check_one_of(h, at_child(h, at, "podReplacementPolicy"), replacement,
			policy ? only_failed : replacements);
	pod_template_validate(h, json_get(spec, "template"), at_child(h, at, "template"));
	restart_policy_validate(h, spec, at);
}

static void need_label(
	struct hook *h, const struct json *labels, const char *key, const struct json *wanted)
{
	const char *at = arena_printf(h->arena, "spec.template.metadata.labels[%s]", key);
	const struct json *have = json_get(labels, key);
	if (!have)
		required(h, at, arena_printf(h->arena, "must be '%s'", json_str_or(wanted, "")));
	else if (!json_equal(have, wanted))
		invalid(h, at, labels, "must be '%s'", json_str_or(wanted, ""));
}

static void selector_validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec"), *meta = json_get(doc, "metadata");
	struct json *labels = json_path(spec, "template.metadata.labels");
	const struct json *selector = json_get(spec, "selector");
	struct selector s;
	bool usable = present(selector) &&
		      selector_from_label_selector(h->arena, selector, &s, NULL) == 0;
	if (!json_bool_or(json_get(spec, "manualSelector"), false) && present(selector)) {
		struct json *expected = json_new_object(h->arena);
		for (size_t i = 0; i < ARRAY_LEN(uid_labels); i++) {
			need_label(h, labels, uid_labels[i], json_get(meta, "uid"));
			need_label(h, labels, name_labels[i], json_get(meta, "name"));
			json_set(h->arena, expected, uid_labels[i], json_get(meta, "uid"));
			json_set(h->arena, expected, name_labels[i], json_get(meta, "name"));
		}
		if (usable && !selector_matches_label_map(&s, expected))
			invalid(h, "spec.selector", selector, "`selector` not auto-generated");
	}
	if (!present(selector))
		required(h, "spec.selector", NULL);
	else
		check_label_selector(h, selector, "spec.selector");
	if (usable && !selector_matches_label_map(&s, labels))
		invalid(h, "spec.template.metadata.labels", labels,
			"`selector` does not match template `labels`");
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec"), *name = json_path(doc, "metadata.name");
	if (!name)
		return; /* said already; nothing to make labels of */
	job_spec_validate(h, spec, "spec");
	selector_validate(h, doc);
	int64_t completions = json_int_or(json_get(spec, "completions"), 0);
	if (!is_indexed(spec) || completions <= 0)
		return;
	/* Pods have the index in their host names. */
	char *longest = arena_printf(
		h->arena, "%s-%lld", json_str_or(name, ""), (long long)completions - 1);
	if (!rule_holds(RULE_DNS_LABEL, longest))
		invalid(h, "metadata.name", name,
			"will not able to create pod with invalid DNS label: %s", longest);
}

/* ---- updates ---- */

/* What a suspended job that never ran may change of its template: where its pods may go. */
static void allow_scheduling(struct arena *a, const struct json *from, struct json *to)
{
	static const char *const fields[] = {"nodeSelector", "tolerations", "schedulingGates"};
	static const char *const meta_fields[] = {"annotations", "labels"};
	struct json *pod = json_object_at(a, to, "spec");
	const struct json *now = json_get(from, "spec");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct json *v = json_get(now, fields[i]);
		if (v)
			json_set(a, pod, fields[i], v);
		else
			json_remove(pod, fields[i]);
	}
	struct json *meta = json_object_at(a, to, "metadata");
	for (size_t i = 0; i < ARRAY_LEN(meta_fields); i++) {
		struct json *v = json_get(json_get(from, "metadata"), meta_fields[i]);
		if (v)
			json_set(a, meta, meta_fields[i], v);
		else
			json_remove(meta, meta_fields[i]);
	}
	struct json *node = json_path(now, "affinity.nodeAffinity");
	struct json *affinity = json_object_at(a, pod, "affinity");
	if (node)
		json_set(a, affinity, "nodeAffinity", node);
	else
		json_remove(affinity, "nodeAffinity");
	if (!json_count(affinity) && !json_get(now, "affinity"))
		json_remove(pod, "affinity");
}

static void template_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *now = json_path(doc, "spec.template");
	struct json *was = json_path(old, "spec.template");
	bool unstarted =
		json_path_bool(old, "spec.suspend", false) && !json_path(old, "status.startTime");
	if (unstarted) {
		was = json_copy(h->arena, was);
		allow_scheduling(h->arena, now, was);
	}
	check_unchanged(h, "spec.template", now, was);
}

static void completions_validate_update(
	struct hook *h, const struct json *spec, const struct json *was)
{
	const struct json *now = json_get(spec, "completions");
	if (!is_indexed(spec)) {
		check_unchanged(h, "spec.completions", now, json_get(was, "completions"));
		return;
	}
	if (present(now) && !json_equal(now, json_get(was, "completions")) &&
		!json_equal(now, json_get(spec, "parallelism")))
		invalid(h, "spec.completions", now,
			"can only be modified in tandem with spec.parallelism");
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const fixed[] = {"completionMode", "podFailurePolicy",
		"backoffLimitPerIndex", "managedBy", "successPolicy"};
	if (streq(h->part, "status")) {
		job_status_validate(h, doc, old);
		return;
	}
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");
	completions_validate_update(h, spec, was);
	check_unchanged(h, "spec.selector", json_get(spec, "selector"), json_get(was, "selector"));
	template_validate_update(h, doc, old);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		check_unchanged(h, at_child(h, "spec", fixed[i]), json_get(spec, fixed[i]),
			json_get(was, fixed[i]));
}

/* ---- tables ---- */

static const char *job_state(const struct json *doc)
{
	const struct json *status = json_get(doc, "status");
	if (condition_true(status, "Complete"))
		return "Complete";
	if (condition_true(status, "Failed"))
		return "Failed";
	if (json_path(doc, "metadata.deletionTimestamp"))
		return "Terminating";
	static const char *const others[] = {"Suspended", "FailureTarget", "SuccessCriteriaMet"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (condition_true(status, others[i]))
			return others[i];
	return "Running";
}

static struct json *duration_cell(const struct table_row *row)
{
	const char *start = json_path_str(row->doc, "status.startTime");
	const char *end = json_path_str(row->doc, "status.completionTime");
	int64_t from, to = row->now_ns;
	if (!start || time_parse_rfc3339(start, &from) < 0 ||
		(end && time_parse_rfc3339(end, &to) < 0))
		return json_new_string(row->arena, "");
	return json_new_string(row->arena, duration_human(row->arena, to - from));
}

static struct json *completions_cell(const struct table_row *row)
{
	const struct json *wanted = json_path(row->doc, "spec.completions");
	long long done = json_path_int(row->doc, "status.succeeded", 0);
	long long parallel = json_path_int(row->doc, "spec.parallelism", 0);
	if (present(wanted))
		return cell_text(row, "%lld/%lld", done, (long long)json_int_or(wanted, 0));
	if (parallel > 1)
		return cell_text(row, "%lld/1 of %lld", done, parallel);
	return cell_text(row, "%lld/1", done);
}

static struct json *job_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Status"))
		return cell_text(row, "%s", job_state(row->doc));
	if (streq(column, "Completions"))
		return completions_cell(row);
	if (streq(column, "Duration"))
		return duration_cell(row);
	return cell_workload(row, column);
}

const struct kind_hooks hooks_job = {
	.group = "batch",
	.kind = "Job",
	.set_defaults = set_defaults,
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.validate = validate,
	.validate_update = validate_update,
	.cell = job_cell,
	.orphan_by_default = true,
};
