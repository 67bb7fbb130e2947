/* rbac.h - who may do what, by the roles and bindings in the cache.
 *
 * Roles are decoded when they change; bindings are kept by their subjects, so a question looks only
 * at what the asking user and his groups were granted:
 *
 *	subject (user or group) --> grants everywhere      --> binding --> role --> rules
 *	                        \-> grants by namespace   -/
 *
 * What was written before a question is asked counts for it: changes are taken from the cache's
 * events at the beginning of each question. */
#pragma once

#include "server/api/auth/policy.h"
#include "server/store/cache.h"

struct rbac;

/* Reads what the cache holds. The kinds of rbac.authorization.k8s.io must be registered. */
int rbac_create(struct cache *cache, const struct kind_registry *kinds, struct rbac **ret,
	struct err *err) _must_check_;
/* Stops following changes; questions are answered by what is known. Before the cache is closed. */
void rbac_close(struct rbac *r);
void rbac_destroy(struct rbac *r); /* NULL allowed */

/* Where a right comes from. Valid until the next turn of the loop. */
struct rbac_grant {
	const char *binding_namespace; /* NULL: a ClusterRoleBinding */
	const char *binding, *role_kind, *role;
	const char *subject_kind, *subject; /* as describes it: "ServiceAccount", "name/ns" */
};

/* ret_grant may be NULL. */
bool rbac_allows(struct rbac *r, const struct access *x, struct rbac_grant *ret_grant);
/* "RBAC: allowed by ClusterRoleBinding ..." */
const char *rbac_allowed_reason(struct arena *a, const struct rbac_grant *g);
/* "RBAC: role.rbac.authorization.k8s.io "x" not found" of bindings that would have counted; "" when
 * there are none. */
const char *rbac_denied_reason(struct arena *a, struct rbac *r, const struct access *x);

/* All rules that a user has in a namespace ("" = those that hold everywhere), those of a role once.
 * Borrowed as above. */
struct policy rbac_rules_of(
	struct arena *a, struct rbac *r, const struct api_user *user, const char *namespace);
/* The rules of a role (namespace "" for a ClusterRole). False when there is no such role. */
bool rbac_role_rules(struct rbac *r, const char *namespace, const char *name, struct policy *ret);
