/* The authorization matrix: every subject, verb, resource and scope of a small world, asked of the
 * index and of a plain reading of the roles and bindings, while both change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/random.h"
#include "server/api/auth/default_roles.h"
#include "server/api/auth/rbac.h"
#include "server/api/auth/test_cache.h"

#define ROLES_MAX 256
#define BINDINGS_MAX 192
#define ROUNDS 4

/* What is there, as documents: all that the plain reading looks at. */
struct world {
	struct test_cache cache;
	struct rbac *rbac;
	struct arena arena;
	struct random random;
	struct json *roles[ROLES_MAX], *bindings[BINDINGS_MAX]; /* NULL = free */
	size_t role_count, binding_count;
};

/* The plain reading: straight from the documentation, no index, nothing shared with the code under
 * test. */

static bool listed(const struct json *list, const char *s)
{
	JSON_FOR_EACH_ITEM(i, list)
		if (strcmp(json_str(i), s) == 0)
			return true;
	return false;
}

static bool plain_rule(const struct json *rule, const struct access *x)
{
	const struct json *verbs = json_get(rule, "verbs");
	if (!listed(verbs, "*") && !listed(verbs, x->verb))
		return false;
	if (!x->is_resource) {
		JSON_FOR_EACH_ITEM(i, json_get(rule, "nonResourceURLs")) {
			const char *url = json_str(i);
			size_t size = strlen(url);
			if (strcmp(url, x->path) == 0)
				return true;
			if (size && url[size - 1] == '*' && strncmp(url, x->path, size - 1) == 0)
				return true;
		}
		return false;
	}
	const struct json *groups = json_get(rule, "apiGroups");
	const struct json *resources = json_get(rule, "resources");
	const struct json *names = json_get(rule, "resourceNames");
	char full[256], any[256];
	snprintf(full, sizeof(full), "%s%s%s", x->resource, *x->subresource ? "/" : "",
		x->subresource);
	snprintf(any, sizeof(any), "*/%s", x->subresource);
	if (!listed(groups, "*") && !listed(groups, x->group))
		return false;
	if (!listed(resources, "*") && !listed(resources, full) &&
		!(*x->subresource && listed(resources, any)))
		return false;
	return json_count(names) == 0 || listed(names, x->name);
}

static bool plain_subject(
	const struct json *s, const char *binding_namespace, const struct api_user *u)
{
	const char *kind = json_str(json_get(s, "kind")), *name = json_str(json_get(s, "name"));
	if (strcmp(kind, "User") == 0)
		return strcmp(name, u->name) == 0;
	if (strcmp(kind, "Group") == 0) {
		for (size_t i = 0; i < u->group_count; i++)
			if (strcmp(name, u->groups[i]) == 0)
				return true;
		return false;
	}
	const char *ns = json_str_or(json_get(s, "namespace"), binding_namespace);
	char user[512];
	snprintf(user, sizeof(user), "system:serviceaccount:%s:%s", ns, name);
	return *ns && strcmp(user, u->name) == 0;
}

static const struct json *plain_role(
	const struct world *w, const char *namespace, const char *kind, const char *name)
{
	for (size_t i = 0; i < w->role_count; i++) {
		const struct json *r = w->roles[i];
		if (r && strcmp(json_str(json_get(r, "kind")), kind) == 0 &&
			strcmp(json_path_str(r, "metadata.name"), name) == 0 &&
			(strcmp(kind, "ClusterRole") == 0 ||
				strcmp(json_path_str(r, "metadata.namespace"), namespace) == 0))
			return r;
	}
	return NULL;
}

/* The rules that a user has, and where. */
struct holding {
	const char *namespace; /* "" = everywhere */
	const struct json *rules;
};

static size_t plain_holdings(
	const struct world *w, const struct api_user *u, struct holding ret[BINDINGS_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < w->binding_count; i++) {
		const struct json *b = w->bindings[i];
		if (!b)
			continue;
		const char *ns = json_str_or(json_path(b, "metadata.namespace"), "");
		bool applies = false;
		JSON_FOR_EACH_ITEM(s, json_get(b, "subjects"))
			applies |= plain_subject(s, ns, u);
		const struct json *role = plain_role(
			w, ns, json_path_str(b, "roleRef.kind"), json_path_str(b, "roleRef.name"));
		if (applies && role)
			ret[n++] = (struct holding){ns, json_get(role, "rules")};
	}
	return n;
}

static bool plain_allows(const struct holding *h, size_t count, const struct access *x)
{
	for (size_t i = 0; i < count; i++) {
		if (*h[i].namespace &&
			(!x->is_resource || strcmp(h[i].namespace, x->namespace) != 0))
			continue;
		JSON_FOR_EACH_ITEM(rule, h[i].rules)
			if (plain_rule(rule, x))
				return true;
	}
	return false;
}

/* The world. */

static const char *const namespaces[] = {"", "default", "prod", "kube-system"};
static const char *const verbs[] = {"get", "list", "watch", "create", "update", "patch", "delete",
	"deletecollection", "impersonate", "bind", "escalate", "approve", "use", "proxy",
	"frobnicate", ""};
static const struct {
	const char *group, *resource, *subresource;
} resources[] = {{"", "pods", ""}, {"", "pods", "log"}, {"", "pods", "exec"},
	{"", "pods", "status"}, {"", "podsx", ""}, {"", "secrets", ""}, {"", "nodes", ""},
	{"", "nodes", "proxy"}, {"", "services", "proxy"}, {"", "serviceaccounts", "token"},
	{"", "users", ""}, {"apps", "deployments", ""}, {"apps", "deployments", "scale"},
	{"apps", "pods", ""}, {"batch", "jobs", "status"}, {"example.com", "things", ""},
	{"example.com", "things", "scale"}, {"rbac.authorization.k8s.io", "clusterroles", ""},
	{"certificates.k8s.io", "signers", ""}, {"kubevirt.io", "virtualmachines", ""}};
static const char *const names[] = {"", "a", "kubernetes.io/kubelet-serving"};
static const char *const paths[] = {"/", "/api", "/apis/apps", "/healthz", "/healthz/etcd",
	"/metrics", "/version", "/version/", "/openapi/v3/api/v1", "/logs", "/api/v1//pods"};

#define GROUPS(...)                                                                                \
	.groups = (const char *[]){__VA_ARGS__},                                                   \
	.group_count = sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)
static const struct api_user users[] = {
	{.name = "alice", GROUPS("devs", "system:authenticated")},
	{.name = "bob", GROUPS("system:authenticated")},
	{.name = "carol", GROUPS("devs", "ops", "system:authenticated")},
	{.name = "system:anonymous", GROUPS("system:unauthenticated")},
	{.name = "system:node:n1", GROUPS("system:nodes", "system:authenticated")},
	{.name = "system:kube-scheduler", GROUPS("system:authenticated")},
	{.name = "system:kube-controller-manager", GROUPS("system:authenticated")},
	{.name = "system:serviceaccount:default:default",
		GROUPS("system:serviceaccounts", "system:serviceaccounts:default",
			"system:authenticated")},
	{.name = "system:serviceaccount:prod:deployer",
		GROUPS("system:serviceaccounts", "system:serviceaccounts:prod",
			"system:authenticated")},
	{.name = "system:serviceaccount:kube-system:job-controller",
		GROUPS("system:serviceaccounts", "system:serviceaccounts:kube-system",
			"system:authenticated")},
	{.name = "boss", GROUPS("system:masters", "system:authenticated")},
	{.name = "", .groups = NULL, .group_count = 0},
};

#define PICK(w, list) (list)[random_below(&(w)->random, ARRAY_LEN(list))]

static struct json *some(struct world *w, const char *const *of, size_t count, size_t most)
{
	struct json *list = json_new_array(&w->arena);
	size_t n = random_below(&w->random, most + 1);
	for (size_t i = 0; i < n; i++)
		json_push(&w->arena, list,
			json_new_string(&w->arena, of[random_below(&w->random, count)]));
	return list;
}
#define SOME(w, list, most) some(w, list, ARRAY_LEN(list), most)

static struct json *random_rule(struct world *w, bool namespaced)
{
	static const char *const rule_groups[] = {"", "", "", "apps", "batch", "*", "example.com"};
	static const char *const rule_resources[] = {"pods", "pods/log", "pods/*", "*", "*/scale",
		"*/status", "pods/exec", "secrets", "deployments", "deployments/scale", "nodes",
		"nodes/proxy", "things", "log", "/scale", "*/", "services/proxy", "users"};
	static const char *const rule_names[] = {"a", "b", "kubernetes.io/kubelet-serving", ""};
	static const char *const rule_verbs[] = {"get", "list", "watch", "create", "update",
		"patch", "delete", "deletecollection", "*", "use", "frobnicate", "impersonate"};
	static const char *const rule_urls[] = {
		"/healthz", "/healthz*", "/healthz/*", "*", "/api*", "/", "/metrics", "/logs", ""};
	struct arena *a = &w->arena;
	struct json *rule = json_new_object(a);
	json_set(a, rule, "verbs", SOME(w, rule_verbs, 4));
	if (!namespaced && random_below(&w->random, 4) == 0) {
		json_set(a, rule, "nonResourceURLs", SOME(w, rule_urls, 3));
		return rule;
	}
	json_set(a, rule, "apiGroups", SOME(w, rule_groups, 2));
	json_set(a, rule, "resources", SOME(w, rule_resources, 4));
	if (random_below(&w->random, 3) == 0)
		json_set(a, rule, "resourceNames", SOME(w, rule_names, 2));
	return rule;
}

static struct json *new_doc(
	struct world *w, const char *kind, const char *namespace, const char *name)
{
	struct json *doc = json_new_object(&w->arena);
	json_set_str(&w->arena, doc, "apiVersion", "rbac.authorization.k8s.io/v1");
	json_set_str(&w->arena, doc, "kind", kind);
	struct json *meta = json_object_at(&w->arena, doc, "metadata");
	json_set_str(&w->arena, meta, "name", name);
	if (*namespace)
		json_set_str(&w->arena, meta, "namespace", namespace);
	return doc;
}

static struct json *random_role(struct world *w, const char *namespace, const char *name)
{
	bool namespaced = *namespace;
	struct json *doc = new_doc(w, namespaced ? "Role" : "ClusterRole", namespace, name);
	struct json *rules = json_array_at(&w->arena, doc, "rules");
	size_t n = random_below(&w->random, 5);
	for (size_t i = 0; i < n; i++)
		json_push(&w->arena, rules, random_rule(w, namespaced));
	return doc;
}

static struct json *random_binding(struct world *w, const char *namespace, const char *name)
{
	static const char *const kinds[] = {"User", "User", "Group", "ServiceAccount"};
	static const char *const user_names[] = {"alice", "bob", "carol", "system:anonymous",
		"system:serviceaccount:prod:deployer", "devs", "nobody"};
	static const char *const group_names[] = {"devs", "ops", "system:authenticated",
		"system:unauthenticated", "system:serviceaccounts:prod", "alice"};
	static const char *const account_names[] = {"default", "deployer", "job-controller"};
	struct arena *a = &w->arena;
	bool namespaced = *namespace;
	struct json *doc =
		new_doc(w, namespaced ? "RoleBinding" : "ClusterRoleBinding", namespace, name);
	struct json *subjects = json_array_at(a, doc, "subjects");
	size_t n = random_below(&w->random, 4);
	for (size_t i = 0; i < n; i++) {
		struct json *s = json_new_object(a);
		const char *kind = PICK(w, kinds);
		json_set_str(a, s, "kind", kind);
		json_set_str(a, s, "name",
			strcmp(kind, "User") == 0    ? PICK(w, user_names)
			: strcmp(kind, "Group") == 0 ? PICK(w, group_names)
						     : PICK(w, account_names));
		if (strcmp(kind, "ServiceAccount") == 0 && random_below(&w->random, 3))
			json_set_str(
				a, s, "namespace", namespaces[1 + random_below(&w->random, 3)]);
		json_push(a, subjects, s);
	}
	static const char *const role_names[] = {
		"r0", "r1", "r2", "r3", "r4", "r5", "r6", "missing", "view", "edit"};
	bool cluster = !namespaced || random_below(&w->random, 2);
	struct json *ref = json_object_at(a, doc, "roleRef");
	json_set_str(a, ref, "kind", cluster ? "ClusterRole" : "Role");
	json_set_str(a, ref, "name", PICK(w, role_names));
	return doc;
}

static void put(struct world *w, struct json **list, size_t *count, size_t room, struct json *doc)
{
	size_t place = *count;
	for (size_t i = 0; i < *count; i++) {
		const struct json *d = list[i];
		if (!d)
			place = place == *count ? i : place;
		else if (json_equal(json_get(d, "kind"), json_get(doc, "kind")) &&
			 json_equal(
				 json_path(d, "metadata.name"), json_path(doc, "metadata.name")) &&
			 json_equal(json_path(d, "metadata.namespace"),
				 json_path(doc, "metadata.namespace")))
			place = i;
	}
	assert_true(place < room);
	list[place] = doc;
	*count = MAX(*count, place + 1);
	struct arena a = ARENA_INIT;
	test_cache_put_doc(&w->cache, &a, json_copy(&a, doc));
	arena_finish(&a);
}

static void put_role(struct world *w, struct json *doc)
{
	put(w, w->roles, &w->role_count, ROLES_MAX, doc);
}

static void put_binding(struct world *w, struct json *doc)
{
	put(w, w->bindings, &w->binding_count, BINDINGS_MAX, doc);
}

static void remove_random(struct world *w, struct json **list, size_t count)
{
	size_t i = random_below(&w->random, count);
	const struct json *doc = list[i];
	if (!doc)
		return;
	test_cache_remove(&w->cache,
		kind_by_name(w->cache.kinds, "rbac.authorization.k8s.io", "v1",
			json_str(json_get(doc, "kind"))),
		json_str_or(json_path(doc, "metadata.namespace"), ""),
		json_path_str(doc, "metadata.name"));
	list[i] = NULL;
}

static void change(struct world *w)
{
	char name[16];
	for (int i = 0; i < 24; i++) {
		const char *ns = PICK(w, namespaces);
		snprintf(name, sizeof(name), "r%d", (int)random_below(&w->random, 7));
		put_role(w, random_role(w, ns, name));
		ns = PICK(w, namespaces);
		snprintf(name, sizeof(name), "b%d", (int)random_below(&w->random, 10));
		put_binding(w, random_binding(w, ns, name));
	}
	for (int i = 0; i < 12; i++) {
		remove_random(w, w->roles, w->role_count);
		remove_random(w, w->bindings, w->binding_count);
	}
}

struct tally {
	size_t cells, allowed;
	struct holding holdings[BINDINGS_MAX]; /* of the user who is asked about */
	size_t holding_count;
};

static void ask(struct world *w, struct rbac *fresh, const struct access *x, struct tally *t)
{
	bool expected = plain_allows(t->holdings, t->holding_count, x),
	     told = rbac_allows(w->rbac, x, NULL);
	t->cells++;
	t->allowed += expected;
	if (told != expected || (fresh && rbac_allows(fresh, x, NULL) != expected))
		fail_msg("%s: %s %s/%s/%s in '%s' name '%s' path '%s': the index says %d, the "
			 "roles %d",
			x->user->name, x->verb, x->group, x->resource, x->subresource, x->namespace,
			x->name, x->path ? x->path : "", told, expected);
}

static void ask_all(struct world *w, struct rbac *fresh, struct tally *t)
{
	for (size_t u = 0; u < ARRAY_LEN(users); u++) {
		t->holding_count = plain_holdings(w, &users[u], t->holdings);
		for (size_t v = 0; v < ARRAY_LEN(verbs); v++) {
			struct access x = {.user = &users[u], .version = "v1"};
			access_set_verb(&x, verbs[v]);
			for (size_t p = 0; p < ARRAY_LEN(paths); p++) {
				x.path = paths[p];
				x.namespace = x.group = x.resource = x.subresource = x.name = "";
				ask(w, fresh, &x, t);
			}
			x.is_resource = true;
			x.path = NULL;
			for (size_t r = 0; r < ARRAY_LEN(resources); r++)
				for (size_t n = 0; n < ARRAY_LEN(namespaces); n++)
					for (size_t i = 0; i < ARRAY_LEN(names); i++) {
						x.group = resources[r].group;
						x.resource = resources[r].resource;
						x.subresource = resources[r].subresource;
						x.namespace = namespaces[n];
						x.name = names[i];
						ask(w, fresh, &x, t);
					}
		}
	}
}

static struct world *world_new(uint64_t seed)
{
	struct world *w = xcalloc(1, sizeof(*w));
	w->random = random_seeded(seed);
	test_cache_open(&w->cache);
	assert_int_equal(rbac_create(w->cache.cache, w->cache.kinds, &w->rbac, NULL), 0);
	return w;
}

static void world_free(struct world *w)
{
	rbac_destroy(w->rbac);
	test_cache_close(&w->cache);
	arena_finish(&w->arena);
	free(w);
}

static void add_defaults(struct world *w)
{
	for (size_t i = 0; i < default_role_count; i++)
		put_role(w, default_role_doc(&w->arena, &default_roles[i]));
	for (size_t i = 0; i < default_binding_count; i++)
		put_binding(w, default_binding_doc(&w->arena, &default_bindings[i]));
}

static void test_matrix(void **state)
{
	(void)state;
	struct world *w = world_new(7);
	struct tally t = {0};
	add_defaults(w);
	for (int round = 0; round < ROUNDS; round++) {
		if (round)
			change(w);
		/* An index that never saw the changes one by one must say the same. */
		struct rbac *fresh = NULL;
		if (round % 4 == 3)
			assert_int_equal(
				rbac_create(w->cache.cache, w->cache.kinds, &fresh, NULL), 0);
		ask_all(w, fresh, &t);
		rbac_destroy(fresh);
	}
	print_message("# %zu cells, %zu allowed\n", t.cells, t.allowed);
	assert_true(t.cells >= 50000);
	assert_true(t.allowed > t.cells / 100 && t.allowed < t.cells / 2);
	world_free(w);
}

/* More changes at once than the cache keeps events for, and none at all after closing. */
static void test_flood(void **state)
{
	(void)state;
	struct world *w = world_new(8);
	struct tally t = {0};
	for (int i = 0; i < 60; i++)
		change(w);
	ask_all(w, NULL, &t);
	rbac_close(w->rbac);
	ask_all(w, NULL, &t);
	world_free(w);
}

static void expect_default(
	struct world *w, bool expected, const char *user, const char *group, struct access x)
{
	const char *groups[] = {group, "system:authenticated"};
	struct api_user u = {.name = user, .groups = groups, .group_count = 2};
	x.user = &u;
	x.version = "v1";
	x.is_resource = !x.path;
	access_set_verb(&x, x.verb);
	if (rbac_allows(w->rbac, &x, NULL) != expected)
		fail_msg("%s of %s: %s %s%s", user, group, x.verb, x.path ? x.path : x.resource,
			expected ? " is refused" : " is allowed");
}

/* What the components need, and what they must not have. */
static void test_defaults(void **state)
{
	(void)state;
	struct world *w = world_new(9);
	add_defaults(w);
#define ON(v, g, r, s, ns, n)                                                                      \
	((struct access){.verb = v,                                                                \
		.group = g,                                                                        \
		.resource = r,                                                                     \
		.subresource = s,                                                                  \
		.namespace = ns,                                                                   \
		.name = n})
#define URL(v, p) ((struct access){.verb = v, .path = p})
	const char *node = "system:node:n", *nodes = "system:nodes";
	expect_default(w, true, "x", "system:masters", ON("delete", "x", "y", "z", "", ""));
	expect_default(w, true, "x", "system:masters", URL("post", "/anything"));
	expect_default(w, true, node, nodes, ON("patch", "", "pods", "status", "t", "p"));
	expect_default(w, true, node, nodes, ON("get", "", "secrets", "", "t", "s"));
	expect_default(
		w, true, node, nodes, ON("create", "", "serviceaccounts", "token", "t", "a"));
	expect_default(w, true, node, nodes,
		ON("patch", "kubevirt.io", "virtualmachineinstances", "status", "t", "v"));
	expect_default(w, true, node, nodes,
		ON("watch", "discovery.k8s.io", "endpointslices", "", "", ""));
	expect_default(w, false, node, nodes, ON("create", "", "secrets", "", "t", ""));
	expect_default(w, false, node, nodes, ON("patch", "", "pods", "", "t", "p"));
	expect_default(w, false, node, nodes,
		ON("create", "rbac.authorization.k8s.io", "clusterrolebindings", "", "", ""));
	expect_default(w, false, node, nodes, ON("create", "apps", "deployments", "", "t", ""));
	expect_default(w, true, "u", "g",
		ON("create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "", ""));
	expect_default(w, true, "u", "g", URL("get", "/apis/apps/v1"));
	expect_default(w, true, "u", "g", URL("get", "/version"));
	expect_default(w, false, "u", "g", URL("get", "/metrics"));
	expect_default(w, false, "u", "g", URL("put", "/version"));
	expect_default(w, true, "u", "system:monitoring", URL("get", "/metrics"));
	expect_default(w, false, "u", "g", ON("list", "", "pods", "", "t", ""));
	expect_default(
		w, false, "u", "g", ON("impersonate", "", "users", "", "", "kubernetes-admin"));
	expect_default(w, true, "u", "system:serviceaccounts", URL("get", "/openid/v1/jwks"));
	world_free(w);
}

static void test_reasons(void **state)
{
	(void)state;
	struct world *w = world_new(10);
	struct arena *a = &w->arena;
	test_cache_put(&w->cache,
		"{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"RoleBinding\","
		"\"metadata\":{\"namespace\":\"t\",\"name\":\"b\"},\"roleRef\":{\"kind\":\"Role\","
		"\"name\":\"r\"},\"subjects\":[{\"kind\":\"ServiceAccount\",\"name\":\"a\"},"
		"{\"kind\":\"Group\",\"name\":\"g\"}]}");
	const char *groups[] = {"x", "g"};
	struct api_user account = {.name = "system:serviceaccount:t:a"},
			member = {.name = "m", .groups = groups, .group_count = 2};
	struct access x = ON("get", "", "pods", "", "t", "p");
	x.is_resource = true;
	x.user = &account;
	access_set_verb(&x, "get");
	struct rbac_grant g;
	assert_false(rbac_allows(w->rbac, &x, &g));
	assert_string_equal(rbac_denied_reason(a, w->rbac, &x),
		"RBAC: role.rbac.authorization.k8s.io \"r\" not found");
	test_cache_put(&w->cache,
		"{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"Role\",\"metadata\":"
		"{\"namespace\":\"t\",\"name\":\"r\"},\"rules\":[{\"apiGroups\":[\"\"],"
		"\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]}");
	assert_true(rbac_allows(w->rbac, &x, &g));
	assert_string_equal(rbac_allowed_reason(a, &g),
		"RBAC: allowed by RoleBinding \"b/t\" of Role \"r\" to ServiceAccount \"a/t\"");
	x.user = &member;
	assert_true(rbac_allows(w->rbac, &x, &g));
	assert_string_equal(rbac_allowed_reason(a, &g),
		"RBAC: allowed by RoleBinding \"b/t\" of Role \"r\" to Group \"g\"");
	access_set_verb(&x, "list");
	assert_false(rbac_allows(w->rbac, &x, &g));
	assert_string_equal(rbac_denied_reason(a, w->rbac, &x), "");
	world_free(w);
}

/* However many bindings lead to a role, its rules are told and looked at once. */
static void test_many_bindings(void **state)
{
	(void)state;
	struct world *w = world_new(7);
	struct arena a = ARENA_INIT;
	struct json *role = new_doc(w, "ClusterRole", "", "shared");
	json_push(&w->arena, json_array_at(&w->arena, role, "rules"), random_rule(w, true));
	put_role(w, role);
	for (int i = 0; i < 30; i++) {
		char name[16];
		snprintf(name, sizeof(name), "b%d", i);
		struct json *doc = new_doc(w, i % 2 ? "RoleBinding" : "ClusterRoleBinding",
			i % 2 ? "default" : "", name);
		struct json *s = json_new_object(&w->arena);
		json_set_str(&w->arena, s, "kind", "User");
		json_set_str(&w->arena, s, "name", "alice");
		json_push(&w->arena, json_array_at(&w->arena, doc, "subjects"), s);
		struct json *ref = json_object_at(&w->arena, doc, "roleRef");
		json_set_str(&w->arena, ref, "kind", "ClusterRole");
		json_set_str(&w->arena, ref, "name", "shared");
		put_binding(w, doc);
	}
	assert_int_equal(rbac_rules_of(&a, w->rbac, &users[0], "default").count, 1);
	assert_int_equal(rbac_rules_of(&a, w->rbac, &users[0], "").count, 1);
	assert_int_equal(rbac_rules_of(&a, w->rbac, &users[1], "default").count, 0);
	arena_finish(&a);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_many_bindings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
