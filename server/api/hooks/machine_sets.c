/* machine_sets.c - VirtualMachineInstanceReplicaSet and VirtualMachinePool: their selector must
 * select what they make, and their template must make something. */
#include "server/api/hooks/hooks_internal.h"

#include "server/api/machines/clone_rights.h"
#include "server/api/machines/rules.h"

static void check_selector(struct hook *h, const struct json *doc, const char *labels)
{
	const struct json *wanted = json_path(doc, "spec.selector");
	struct selector selector;
	struct err err = ERR_INIT;
	if (selector_from_label_selector(h->arena, wanted, &selector, &err) < 0)
		field_error(h->errors, FIELD_INVALID, "spec.selector", wanted, "%s", err.msg);
	else if (!selector.count || !selector_matches_label_map(&selector, json_path(doc, labels)))
		field_error(h->errors, FIELD_INVALID, "spec.selector", wanted,
			"selector does not match labels.");
	if (json_path_int(doc, "spec.replicas", 1) < 0)
		field_error(h->errors, FIELD_INVALID, "spec.replicas",
			json_path(doc, "spec.replicas"), "must be greater than or equal to 0");
}

static void set_validate(struct hook *h, const struct json *doc)
{
	check_selector(h, doc, "spec.template.metadata.labels");
	machine_rules_check(h, json_path(doc, "spec.template.spec"), "spec.template.spec");
	machine_rules_annotations(h, json_path(doc, "spec.template"), "spec.template");
}

/* What a pool does not do is not taken for done: machines go with the disks that they own, and stay
 * when their guests fail. */
static void check_pool_wishes(struct hook *h, const struct json *doc)
{
	static const char *const kept[] = {
		"spec.scaleInStrategy.proactive.statePreservation",
		"spec.scaleInStrategy.opportunistic.statePreservation",
	};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const struct json *v = json_path(doc, kept[i]);
		if (*json_str_or(v, "") && !streq(json_str(v), "Disabled"))
			field_error(h->errors, FIELD_INVALID, kept[i], v,
				"the disks of machines that are taken away are not kept here: "
				"only 'Disabled' is supported");
	}
	if (json_path(doc, "spec.autohealing"))
		field_error(h->errors, FIELD_FORBIDDEN, "spec.autohealing", NULL,
			"pools do not replace failing machines here: leave it out, and let "
			"runStrategy start guests again");
}

static void pool_validate(struct hook *h, const struct json *doc)
{
	check_selector(h, doc, "spec.virtualMachineTemplate.metadata.labels");
	check_pool_wishes(h, doc);
	machine_rules_check(h, json_path(doc, "spec.virtualMachineTemplate.spec.template.spec"),
		"spec.virtualMachineTemplate.spec.template.spec");
	machine_rules_annotations(h, json_path(doc, "spec.virtualMachineTemplate.spec.template"),
		"spec.virtualMachineTemplate.spec.template");
}

static void check_selector_kept(struct hook *h, const struct json *doc, const struct json *old)
{
	if (!json_equal(json_path(doc, "spec.selector"), json_path(old, "spec.selector")))
		field_error(h->errors, FIELD_INVALID, "spec.selector", NULL,
			"selector is immutable after creation.");
}

const struct kind_hooks hooks_machine_set = {
	.group = "kubevirt.io",
	.kind = "VirtualMachineInstanceReplicaSet",
	.validate = set_validate,
	.validate_update = check_selector_kept,
};

static void check_clone_rights(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char at[] = "spec.virtualMachineTemplate.spec.dataVolumeTemplates";

	clone_rights_check_templates(h, json_path(doc, at), json_path(old, at),
		json_str_or(json_path(doc, "metadata.namespace"), ""), at);
}

static int pool_prepare_create(struct hook *h, struct json *doc)
{
	check_clone_rights(h, doc, NULL);
	return 0;
}

static int pool_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	check_clone_rights(h, doc, old);
	return 0;
}

const struct kind_hooks hooks_machine_pool = {
	.group = "pool.kubevirt.io",
	.kind = "VirtualMachinePool",
	.prepare_create = pool_prepare_create,
	.prepare_update = pool_prepare_update,
	.validate = pool_validate,
	.validate_update = check_selector_kept,
};
