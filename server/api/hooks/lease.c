/* lease.c - Lease: how its holder is chosen. */
#include "server/api/hooks/validate.h"

static void lease_validate(struct hook *h, const struct json *doc)
{
	static const char *const strategies[] = {"OldestEmulationVersion", NULL};
	const struct json *spec = json_get(doc, "spec"), *strategy = json_get(spec, "strategy");
	const char *name = json_str_or(strategy, "");
	if (strategy && strchr(name, '/'))
		check_rule_at(h, RULE_QUALIFIED_NAME, "spec.strategy", strategy);
	else if (strategy)
		check_one_of(h, "spec.strategy", strategy, strategies);
	if (*json_str_or(json_get(spec, "preferredHolder"), "") && !*name)
		forbidden(h, "spec.preferredHolder",
			"may only be specified if `strategy` is defined");
}

const struct kind_hooks hooks_lease = {
	.group = "coordination.k8s.io",
	.kind = "Lease",
	.validate = lease_validate,
};
