/* policy.h - PolicyRules (rbac.authorization.k8s.io/v1): decoded, matched, compared. Nothing here
 * knows who holds a rule. */
#pragma once

#include "server/api/auth/access.h"

struct texts {
	const char **items;
	size_t count;
};

struct policy_rule {
	struct texts verbs, groups, resources, names, urls;
	uint32_t verb_mask; /* access_verb_bit of the verbs; all bits for "*" */
	bool unusual_verbs; /* some verb has no bit: compare the texts */
};

struct policy {
	const struct policy_rule *rules;
	size_t count;
};

/* From a role's `rules`, in the arena; texts are copied. What is malformed counts as absent. */
struct policy policy_decode(struct arena *a, const struct json *rules);
/* One allocation with everything in it: free() it. NULL-ruled policies give NULL. */
struct policy_rule *policy_pack(const struct policy *p);
size_t policy_rule_size(const struct policy_rule *r); /* bytes of its texts */
struct json *policy_encode(struct arena *a, const struct policy *p);

bool policy_rule_allows(const struct policy_rule *r, const struct access *x);
/* The rule of that policy which allows it, NULL = none. */
const struct policy_rule *policy_find(const struct policy *p, const struct access *x);

/* Does `have` allow everything that `wanted` does? If not, ret_missing are the parts that it does
 * not, put together by resource. -E2BIG when `wanted` has more combinations than can be looked at,
 * or looking at them would take too long. */
int policy_covers(struct arena *a, const struct policy *have, const struct policy *wanted,
	struct policy *ret_missing) _must_check_;
/* {APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]} */
const char *policy_rule_text(struct arena *a, const struct policy_rule *r);
