/* default_roles.h - the roles and bindings that every cluster has, as data. */
#pragma once

#include "lib/json/json.h"

#define DEFAULT_RULES_MAX 24

struct default_role {
	const char *namespace; /* NULL: a ClusterRole */
	const char *name;
	const char *labels;    /* "aggregate-to-view", comma separated; NULL = none */
	const char *aggregate; /* gathers the roles with this label; then there are no rules */
	/* "VERBS GROUPS RESOURCES [NAMES]", each a list with commas, the core
	 * group written "core"; or "VERBS URLS", URLs beginning with a slash. */
	const char *rules[DEFAULT_RULES_MAX];
};

struct default_binding {
	const char *namespace; /* NULL: a ClusterRoleBinding */
	const char *name;
	const char *role; /* in the same scope */
	/* One subject a line: "Group NAME", "User NAME", "ServiceAccount NAMESPACE NAME". */
	const char *subjects;
};

extern const struct default_role default_roles[];
extern const size_t default_role_count;
extern const struct default_binding default_bindings[];
extern const size_t default_binding_count;

/* As API objects, without what the server sets. */
struct json *default_role_doc(struct arena *a, const struct default_role *r);
struct json *default_binding_doc(struct arena *a, const struct default_binding *b);

/* What a stored role or binding must become so that it grants at least what it should: labels,
 * annotations, rules and subjects that are missing are added, nothing is taken away. NULL when
 * nothing is missing, or when its annotation autoupdate is "false". ret_replace is set when the
 * object must be deleted and made anew: another roleRef. */
struct json *default_role_mend(struct arena *a, const struct json *have, const struct json *wanted);
struct json *default_binding_mend(
	struct arena *a, const struct json *have, const struct json *wanted, bool *ret_replace);
