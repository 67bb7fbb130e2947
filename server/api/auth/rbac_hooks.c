/* rbac_hooks.c - roles and bindings as objects: defaults, checks, columns, and that nobody grants
 * what he does not have. */
#include "server/api/auth/auth.h"
#include "server/api/hooks/hooks_internal.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"
#define RULES_MAX                                                                                  \
	10000 /* of one role: each request of whom it is bound to looks at all of them             \
	       */
#define DESCRIBED_MAX 1000 /* missing rights that a refusal lists */
#define DESCRIBED_BYTES_MAX (256u << 10)

/* Escalation. */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *groups_text(struct arena *a, const struct api_user *u)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	buf_add_char(&out, '[');
	for (size_t i = 0; i < u->group_count; i++)
		buf_printf(&out, "%s%s", i ? " " : "", text_quoted(a, u->groups[i]));
	buf_add_char(&out, ']');
	return arena_memdup(a, out.data, out.size);
}

/* What the user lacks of these rules in that namespace, as a text; NULL = nothing. */
static const char *lacking(struct hook *h, const struct policy *wanted, const char *namespace)
{
	struct arena *a = h->arena;
	const struct api_user *u = &h->req->user;
	struct policy have = rbac_rules_of(a, auth_rbac(h->api->auth), u, namespace), missing;
	if (policy_covers(a, &have, wanted, &missing) < 0)
		return "there are too many combinations of verbs and resources to check that they "
		       "are held: use fewer, or '*'";
	if (!missing.count)
		return NULL;
	const char **texts = arena_alloc(a, DESCRIBED_MAX * sizeof(*texts));
	size_t count = 0, bytes = 0;
	while (count < MIN(missing.count, (size_t)DESCRIBED_MAX) && bytes < DESCRIBED_BYTES_MAX) {
		texts[count] = policy_rule_text(a, &missing.rules[count]);
		bytes += strlen(texts[count++]);
	}
	qsort(texts, count, sizeof(*texts), compare_texts);
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	buf_printf(&out,
		"user %s (groups=%s) is attempting to grant RBAC permissions not currently held:",
		text_quoted(a, u->name), groups_text(a, u));
	for (size_t i = 0; i < count; i++)
		if (i == 0 || !streq(texts[i], texts[i - 1]))
			buf_printf(&out, "\n%s", texts[i]);
	return arena_memdup(a, out.data, out.size);
}

/* Nobody needs to hold what he grants when the request is this process's own, an administrator's,
 * or when he may do `verb` (escalate, bind) to the role. */
static bool is_free(struct hook *h, const char *verb, const char *namespace, const char *resource,
	const char *name)
{
	if (!h->req || !h->req->http || user_in_group(&h->req->user, GROUP_MASTERS))
		return true;
	struct access x = {.user = &h->req->user,
		.is_resource = true,
		.namespace = namespace,
		.group = RBAC_GROUP,
		.version = "v1",
		.resource = resource,
		.subresource = "",
		.name = name};
	access_set_verb(&x, verb);
	return auth_allows(h->api, &x);
}

static int refuse(struct hook *h, const struct json *doc, const char *kind, const char *why)
{
	return status_forbidden(h->arena, h->st,
		kind_by_name(h->api->kinds, RBAC_GROUP, "v1", kind),
		json_str_or(json_path(doc, "metadata.name"), ""), why);
}

static bool text_in(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (streq(s, *list))
			return true;
	return false;
}

static bool same_but(const struct json *x, const struct json *y, const char *const *but)
{
	JSON_FOR_EACH_MEMBER(m, x)
		if (!text_in(m->name, but) &&
			!json_equal(m->value, json_get_n(y, m->name, m->name_size)))
			return false;
	JSON_FOR_EACH_MEMBER(m, y)
		if (!text_in(m->name, but) && !json_get_n(x, m->name, m->name_size))
			return false;
	return true;
}

/* Nothing changes but what garbage collection and the server itself write. A label is more than
 * that: it can make the role part of another, which the user may hold. */
static bool same_role(const struct json *doc, const struct json *old)
{
	static const char *const apart[] = {"metadata", NULL};
	static const char *const free_fields[] = {"finalizers", "ownerReferences", "managedFields",
		"resourceVersion", "generation", NULL};
	return same_but(doc, old, apart) &&
	       same_but(json_get(doc, "metadata"), json_get(old, "metadata"), free_fields);
}

static int check_role(
	struct hook *h, const struct json *doc, const struct json *old, const char *kind)
{
	bool cluster = streq(kind, "ClusterRole");
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	if (is_free(h, "escalate", ns, cluster ? "clusterroles" : "roles",
		    h->req && h->req->route.name ? h->req->route.name : ""))
		return 0;
	if (old && same_role(doc, old))
		return 0;
	const struct json *aggregation = json_get(doc, "aggregationRule");
	const struct json *had = json_get(old, "aggregationRule");
	struct policy wanted = policy_decode(h->arena, json_get(doc, "rules"));
	const char *why = lacking(h, &wanted, ns);
	if (why)
		return refuse(h, doc, kind, why);
	/* It can gather anything. */
	if (!json_count(json_get(aggregation, "clusterRoleSelectors")) &&
		!json_count(json_get(had, "clusterRoleSelectors")))
		return 0;
	static const char *star[] = {"*"};
	struct texts all = {star, 1};
	struct policy_rule full[2] = {
		{.verbs = all, .groups = all, .resources = all}, {.verbs = all, .urls = all}};
	if (lacking(h, &(struct policy){full, 2}, ""))
		return refuse(h, doc, kind,
			"must have cluster-admin privileges to use the aggregationRule");
	return 0;
}

static int check_binding(
	struct hook *h, const struct json *doc, const struct json *old, const char *kind)
{
	const struct json *ref = json_get(doc, "roleRef");
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	const char *role = json_str_or(json_get(ref, "name"), "");
	bool cluster = streq(json_str(json_get(ref, "kind")), "ClusterRole");
	if (is_free(h, "bind", ns, cluster ? "clusterroles" : "roles", role))
		return 0;
	if (old && json_equal(ref, json_get(old, "roleRef")) &&
		json_equal(json_get(doc, "subjects"), json_get(old, "subjects")))
		return 0;
	struct policy wanted;
	if (!rbac_role_rules(auth_rbac(h->api->auth), cluster ? "" : ns, role, &wanted))
		return status_not_found(h->arena, h->st,
			kind_by_name(
				h->api->kinds, RBAC_GROUP, "v1", cluster ? "ClusterRole" : "Role"),
			role);
	const char *why = lacking(h, &wanted, ns);
	return why ? refuse(h, doc, kind, why) : 0;
}

/* Roles. */

static void validate_rule(struct hook *h, const struct json *rule, const char *at, bool namespaced)
{
	struct arena *a = h->arena;
	const struct json *urls = json_get(rule, "nonResourceURLs");
	if (!json_count(json_get(rule, "verbs")))
		field_error(h->errors, FIELD_REQUIRED, arena_printf(a, "%s.verbs", at), NULL,
			"verbs must contain at least one value");
	const char *field = arena_printf(a, "%s.nonResourceURLs", at);
	if (json_count(urls)) {
		if (namespaced)
			field_error(h->errors, FIELD_INVALID, field, urls,
				"namespaced rules cannot apply to non-resource URLs");
		if (json_count(json_get(rule, "apiGroups")) ||
			json_count(json_get(rule, "resources")) ||
			json_count(json_get(rule, "resourceNames")))
			field_error(h->errors, FIELD_INVALID, field, urls,
				"rules cannot apply to both regular resources and non-resource "
				"URLs");
		return;
	}
	if (!json_count(json_get(rule, "apiGroups")))
		field_error(h->errors, FIELD_REQUIRED, arena_printf(a, "%s.apiGroups", at), NULL,
			"resource rules must supply at least one api group");
	if (!json_count(json_get(rule, "resources")))
		field_error(h->errors, FIELD_REQUIRED, arena_printf(a, "%s.resources", at), NULL,
			"resource rules must supply at least one resource");
}

static void validate_rules(struct hook *h, const struct json *doc, bool namespaced)
{
	const struct json *rules = json_get(doc, "rules");
	size_t i = 0;
	if (json_count(rules) > RULES_MAX) {
		field_error(h->errors, FIELD_TOO_MANY, "rules",
			json_new_int(h->arena, (int64_t)json_count(rules)),
			"must have at most %d items", RULES_MAX);
		return;
	}
	JSON_FOR_EACH_ITEM(rule, rules)
		validate_rule(h, rule, arena_printf(h->arena, "rules[%zu]", i++), namespaced);
}

static void role_validate(struct hook *h, const struct json *doc)
{
	validate_rules(h, doc, true);
}

static void cluster_role_validate(struct hook *h, const struct json *doc)
{
	validate_rules(h, doc, false);
	const struct json *aggregation = json_get(doc, "aggregationRule");
	if (json_is(aggregation, JSON_OBJECT) &&
		!json_count(json_get(aggregation, "clusterRoleSelectors")))
		field_error(h->errors, FIELD_REQUIRED, "aggregationRule.clusterRoleSelectors", NULL,
			"at least one clusterRoleSelector required if aggregationRule is non-nil");
}

static int role_prepare_create(struct hook *h, struct json *doc)
{
	return check_role(h, doc, NULL, "Role");
}

static int role_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	return check_role(h, doc, old, "Role");
}

static int cluster_role_prepare_create(struct hook *h, struct json *doc)
{
	return check_role(h, doc, NULL, "ClusterRole");
}

static int cluster_role_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	return check_role(h, doc, old, "ClusterRole");
}

/* Bindings. */

static void default_binding_fields(struct hook *h, struct json *doc)
{
	struct json *ref = json_get(doc, "roleRef");
	if (json_is(ref, JSON_OBJECT) && !*json_str_or(json_get(ref, "apiGroup"), ""))
		json_set_str(h->arena, ref, "apiGroup", RBAC_GROUP);
	JSON_FOR_EACH_ITEM(s, json_get(doc, "subjects")) {
		const char *kind = json_str_or(json_get(s, "kind"), "");
		if (!*json_str_or(json_get(s, "apiGroup"), "")) {
			if (streq(kind, "User") || streq(kind, "Group"))
				json_set_str(h->arena, s, "apiGroup", RBAC_GROUP);
			else
				json_remove(s, "apiGroup");
		}
	}
}

static void validate_ref(struct hook *h, const struct json *ref, bool namespaced)
{
	const char *kind = json_str_or(json_get(ref, "kind"), "");
	const char *name = json_str_or(json_get(ref, "name"), "");
	struct json *empty = json_new_string(h->arena, "");
	if (!streq(json_str_or(json_get(ref, "apiGroup"), ""), RBAC_GROUP))
		field_error(h->errors, FIELD_NOT_SUPPORTED, "roleRef.apiGroup",
			json_get(ref, "apiGroup"), "supported values: \"" RBAC_GROUP "\"");
	if (!streq(kind, "ClusterRole") && !(namespaced && streq(kind, "Role")))
		field_error(h->errors, FIELD_NOT_SUPPORTED, "roleRef.kind",
			json_get(ref, "kind") ? json_get(ref, "kind") : empty,
			namespaced ? "supported values: \"Role\", \"ClusterRole\""
				   : "supported values: \"ClusterRole\"");
	const char *messages[RULE_MESSAGES_MAX];
	if (!*name)
		field_error(h->errors, FIELD_REQUIRED, "roleRef.name", NULL, NULL);
	else if (rule_check(RULE_PATH_SEGMENT, name, strlen(name), messages))
		field_error(h->errors, FIELD_INVALID, "roleRef.name", json_get(ref, "name"), "%s",
			messages[0]);
}

static void validate_subject(struct hook *h, const struct json *s, const char *at, bool namespaced)
{
	struct arena *a = h->arena;
	const char *kind = json_str_or(json_get(s, "kind"), "");
	const char *name = json_str_or(json_get(s, "name"), "");
	const char *group = json_str_or(json_get(s, "apiGroup"), "");
	bool account = streq(kind, "ServiceAccount");
	if (!*name)
		field_error(h->errors, FIELD_REQUIRED, arena_printf(a, "%s.name", at), NULL, NULL);
	if (!account && !streq(kind, "User") && !streq(kind, "Group")) {
		field_error(h->errors, FIELD_NOT_SUPPORTED, arena_printf(a, "%s.kind", at),
			json_new_string(a, kind),
			"supported values: \"Group\", \"ServiceAccount\", \"User\"");
		return;
	}
	const char *messages[RULE_MESSAGES_MAX];
	if (account && *name && rule_check(RULE_DNS_SUBDOMAIN, name, strlen(name), messages))
		field_error(h->errors, FIELD_INVALID, arena_printf(a, "%s.name", at),
			json_get(s, "name"), "%s", messages[0]);
	const char *wanted = account ? "" : RBAC_GROUP;
	if (!streq(group, wanted))
		field_error(h->errors, FIELD_NOT_SUPPORTED, arena_printf(a, "%s.apiGroup", at),
			json_new_string(a, group), "supported values: \"%s\"", wanted);
	if (account && !namespaced && !*json_str_or(json_get(s, "namespace"), ""))
		field_error(
			h->errors, FIELD_REQUIRED, arena_printf(a, "%s.namespace", at), NULL, NULL);
}

static void validate_binding(struct hook *h, const struct json *doc, bool namespaced)
{
	validate_ref(h, json_get(doc, "roleRef"), namespaced);
	size_t i = 0;
	JSON_FOR_EACH_ITEM(s, json_get(doc, "subjects"))
		validate_subject(h, s, arena_printf(h->arena, "subjects[%zu]", i++), namespaced);
}

static void binding_validate(struct hook *h, const struct json *doc)
{
	validate_binding(h, doc, true);
}

static void cluster_binding_validate(struct hook *h, const struct json *doc)
{
	validate_binding(h, doc, false);
}

static void binding_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (!json_equal(json_get(doc, "roleRef"), json_get(old, "roleRef")))
		field_error(h->errors, FIELD_INVALID, "roleRef", json_get(doc, "roleRef"),
			"cannot change roleRef");
}

/* A document whose shape is wrong is refused by validation, not by the question whether its rights
 * are held. */
static int prepare_binding(
	struct hook *h, struct json *doc, const struct json *old, const char *kind)
{
	default_binding_fields(h, doc);
	bool shaped = json_str(json_path(doc, "roleRef.name")) &&
		      streq(json_str_or(json_path(doc, "roleRef.apiGroup"), ""), RBAC_GROUP);
	return shaped ? check_binding(h, doc, old, kind) : 0;
}

static int binding_prepare_create(struct hook *h, struct json *doc)
{
	return prepare_binding(h, doc, NULL, "RoleBinding");
}

static int binding_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	return prepare_binding(h, doc, old, "RoleBinding");
}

static int cluster_binding_prepare_create(struct hook *h, struct json *doc)
{
	return prepare_binding(h, doc, NULL, "ClusterRoleBinding");
}

static int cluster_binding_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	return prepare_binding(h, doc, old, "ClusterRoleBinding");
}

/* Columns. */

static struct json *subjects_cell(const struct table_row *row, const char *kind)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	JSON_FOR_EACH_ITEM(s, json_path(row->doc, "subjects")) {
		if (!streq(json_str(json_get(s, "kind")), kind))
			continue;
		buf_add_str(&out, out.size ? ", " : "");
		if (streq(kind, "ServiceAccount"))
			buf_printf(&out, "%s/", json_str_or(json_get(s, "namespace"), ""));
		buf_add_str(&out, json_str_or(json_get(s, "name"), ""));
	}
	return json_new_string(row->arena, out.size ? out.data : "");
}

static struct json *binding_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Role"))
		return cell_text(row, "%s/%s", json_str_or(json_path(row->doc, "roleRef.kind"), ""),
			json_str_or(json_path(row->doc, "roleRef.name"), ""));
	return streq(column, "Users")		  ? subjects_cell(row, "User")
	       : streq(column, "Groups")	  ? subjects_cell(row, "Group")
	       : streq(column, "ServiceAccounts") ? subjects_cell(row, "ServiceAccount")
						  : NULL;
}

const struct kind_hooks hooks_role = {
	.group = RBAC_GROUP,
	.kind = "Role",
	.prepare_create = role_prepare_create,
	.prepare_update = role_prepare_update,
	.validate = role_validate,
};

const struct kind_hooks hooks_cluster_role = {
	.group = RBAC_GROUP,
	.kind = "ClusterRole",
	.prepare_create = cluster_role_prepare_create,
	.prepare_update = cluster_role_prepare_update,
	.validate = cluster_role_validate,
};

const struct kind_hooks hooks_role_binding = {
	.group = RBAC_GROUP,
	.kind = "RoleBinding",
	.prepare_create = binding_prepare_create,
	.prepare_update = binding_prepare_update,
	.validate = binding_validate,
	.validate_update = binding_validate_update,
	.cell = binding_cell,
};

const struct kind_hooks hooks_cluster_role_binding = {
	.group = RBAC_GROUP,
	.kind = "ClusterRoleBinding",
	.prepare_create = cluster_binding_prepare_create,
	.prepare_update = cluster_binding_prepare_update,
	.validate = cluster_binding_validate,
	.validate_update = binding_validate_update,
	.cell = binding_cell,
};
