/* What each form of path and method asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/api/auth/access.h"

struct row {
	const char *method, *path, *query;
	const char *verb, *namespace, *group, *resource, *subresource, *name; /* verb NULL: no
										 resource */
};

static const struct row rows[] = {
	/* Objects and collections. */
	{"GET", "/api/v1/namespaces/t/pods", "", "list", "t", "", "pods", "", ""},
	{"GET", "/api/v1/namespaces/t/pods/", "", "list", "t", "", "pods", "", ""},
	{"GET", "/api/v1/pods", "", "list", "", "", "pods", "", ""},
	{"GET", "/api/v1/pods", "watch=true", "watch", "", "", "pods", "", ""},
	{"GET", "/api/v1/pods", "watch=1", "watch", "", "", "pods", "", ""},
	{"GET", "/api/v1/pods", "watch", "watch", "", "", "pods", "", ""},
	{"GET", "/api/v1/pods", "watch=false", "list", "", "", "pods", "", ""},
	{"GET", "/api/v1/pods", "watch=0&watch=1", "list", "", "", "pods", "", ""},
	{"HEAD", "/api/v1/pods", "", "list", "", "", "pods", "", ""},
	{"HEAD", "/api/v1/namespaces/t/pods/p", "", "get", "t", "", "pods", "", "p"},
	{"GET", "/api/v1/namespaces/t/pods/p", "", "get", "t", "", "pods", "", "p"},
	{"GET", "/api/v1/namespaces/t/pods/p", "watch=true", "get", "t", "", "pods", "", "p"},
	{"POST", "/api/v1/namespaces/t/pods", "", "create", "t", "", "pods", "", ""},
	{"PUT", "/api/v1/namespaces/t/pods/p", "", "update", "t", "", "pods", "", "p"},
	{"PATCH", "/api/v1/namespaces/t/pods/p", "", "patch", "t", "", "pods", "", "p"},
	{"DELETE", "/api/v1/namespaces/t/pods/p", "", "delete", "t", "", "pods", "", "p"},
	{"DELETE", "/api/v1/namespaces/t/pods", "", "deletecollection", "t", "", "pods", "", ""},
	{"DELETE", "/api/v1/pods", "", "deletecollection", "", "", "pods", "", ""},
	{"GET", "/apis/apps/v1/namespaces/t/deployments/d", "", "get", "t", "apps", "deployments",
		"", "d"},
	{"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "", "list", "",
		"rbac.authorization.k8s.io", "clusterroles", "", ""},
	/* Subresources. */
	{"GET", "/api/v1/namespaces/t/pods/p/log", "", "get", "t", "", "pods", "log", "p"},
	{"GET", "/api/v1/namespaces/t/pods/p/exec", "command=sh", "get", "t", "", "pods", "exec",
		"p"},
	{"POST", "/api/v1/namespaces/t/pods/p/exec", "", "create", "t", "", "pods", "exec", "p"},
	{"PUT", "/api/v1/namespaces/t/pods/p/status", "", "update", "t", "", "pods", "status", "p"},
	{"POST", "/api/v1/namespaces/t/pods/p/proxy/a/b", "", "create", "t", "", "pods", "proxy",
		"p"},
	{"DELETE", "/api/v1/namespaces/t/services/s/proxy/x", "", "delete", "t", "", "services",
		"proxy", "s"},
	{"GET", "/api/v1/nodes/n/proxy/metrics", "", "get", "", "", "nodes", "proxy", "n"},
	{"PATCH", "/apis/apps/v1/namespaces/t/deployments/d/scale", "", "patch", "t", "apps",
		"deployments", "scale", "d"},
	/* Namespaces themselves. */
	{"GET", "/api/v1/namespaces", "", "list", "", "", "namespaces", "", ""},
	{"POST", "/api/v1/namespaces", "", "create", "", "", "namespaces", "", ""},
	{"GET", "/api/v1/namespaces/t", "", "get", "t", "", "namespaces", "", "t"},
	{"DELETE", "/api/v1/namespaces/t", "", "delete", "t", "", "namespaces", "", "t"},
	{"PUT", "/api/v1/namespaces/t/finalize", "", "update", "t", "", "namespaces", "finalize",
		"t"},
	{"GET", "/api/v1/namespaces/t/status", "", "get", "t", "", "namespaces", "status", "t"},
	/* A cluster-wide kind through a namespace is asked for as such, and then not found. */
	{"GET", "/api/v1/namespaces/t/nodes/n", "", "get", "t", "", "nodes", "", "n"},
	{"GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/t/clusterroles/c", "", "get", "t",
		"rbac.authorization.k8s.io", "clusterroles", "", "c"},
	{"GET", "/api/v1/namespaces/t/status/x", "", "get", "t", "", "status", "", "x"},
	/* The old form of watches, whatever the method. */
	{"GET", "/api/v1/watch/pods", "", "watch", "", "", "pods", "", ""},
	{"GET", "/api/v1/watch/namespaces/t/pods/p", "", "watch", "t", "", "pods", "", "p"},
	{"POST", "/api/v1/watch/namespaces/t/pods", "", "watch", "t", "", "pods", "", ""},
	{"GET", "/apis/apps/v1/watch/deployments", "", "watch", "", "apps", "deployments", "", ""},
	/* One name by a field selector. */
	{"GET", "/api/v1/namespaces/t/secrets", "fieldSelector=metadata.name%3Da", "list", "t", "",
		"secrets", "", "a"},
	{"GET", "/api/v1/namespaces/t/secrets", "watch=true&fieldSelector=metadata.name==a",
		"watch", "t", "", "secrets", "", "a"},
	{"GET", "/api/v1/namespaces/t/secrets", "fieldSelector=type=x,metadata.name=a", "list", "t",
		"", "secrets", "", "a"},
	{"GET", "/api/v1/namespaces/t/secrets", "fieldSelector=metadata.name!=a", "list", "t", "",
		"secrets", "", ""},
	{"GET", "/api/v1/namespaces/t/secrets", "fieldSelector=metadata.name=", "list", "t", "",
		"secrets", "", ""},
	{"GET", "/api/v1/namespaces/t/secrets", "fieldSelector=metadata.name=a%2Fb", "list", "t",
		"", "secrets", "", ""},
	{"GET", "/api/v1/namespaces/t/secrets", "fieldSelector=metadata.namespace=a", "list", "t",
		"", "secrets", "", ""},
	{"DELETE", "/api/v1/namespaces/t/secrets", "fieldSelector=metadata.name=a",
		"deletecollection", "t", "", "secrets", "", ""},
	/* Unknown methods have no verb, which nothing but '*' allows. */
	{"BREW", "/api/v1/pods", "", "", "", "", "pods", "", ""},
	/* Paths that are no resources. */
	{"GET", "/", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"GET", "/api", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"GET", "/api/v1", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"GET", "/apis/apps", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"GET", "/apis/apps/v1", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"GET", "/metrics", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"POST", "/metrics", "", NULL, "post", NULL, NULL, NULL, NULL},
	{"HEAD", "/version", "", NULL, "head", NULL, NULL, NULL, NULL},
	{"GET", "/openapi/v3/apis/apps/v1", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"GET", "/api/v1//pods", "", NULL, "get", NULL, NULL, NULL, NULL},
	{"GET", "/apiservers", "", NULL, "get", NULL, NULL, NULL, NULL},
};

static void test_rows(void **state)
{
	(void)state;
	struct api_user user = {.name = "u"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *w = &rows[i];
		struct arena a = ARENA_INIT;
		struct route route = route_parse(&a, w->path);
		struct query query = query_parse(&a, w->query);
		struct access x = access_of_request(&a, &user, w->method, w->path, &route, &query);
		if (!w->verb) {
			if (x.is_resource || !streq(x.verb, w->namespace) ||
				!streq(x.path, w->path))
				fail_msg("%s %s: %s", w->method, w->path, x.verb);
		} else if (!x.is_resource || !streq(x.verb, w->verb) ||
			   !streq(x.namespace, w->namespace) || !streq(x.group, w->group) ||
			   !streq(x.resource, w->resource) ||
			   !streq(x.subresource, w->subresource) || !streq(x.name, w->name)) {
			fail_msg("%s %s?%s: %s '%s' '%s' '%s' '%s' '%s'", w->method, w->path,
				w->query, x.verb, x.namespace, x.group, x.resource, x.subresource,
				x.name);
		}
		arena_finish(&a);
	}
}

static void expect_refusal(const char *method, const char *path, const char *message)
{
	struct arena a = ARENA_INIT;
	struct status st = {0};
	struct api_user user = {.name = "al\"ice"};
	struct route route = route_parse(&a, path);
	struct query query = query_parse(&a, "");
	struct access x = access_of_request(&a, &user, method, path, &route, &query);
	assert_int_equal(access_forbidden(&a, &st, &x, ""), -EREMOTEIO);
	assert_int_equal(st.code, 403);
	assert_string_equal(json_str(json_get(st.doc, "message")), message);
	arena_finish(&a);
}

static void test_refusals(void **state)
{
	(void)state;
	expect_refusal("GET", "/api/v1/namespaces/t/pods",
		"pods is forbidden: User \"al\\\"ice\" cannot list resource \"pods\" in API group "
		"\"\" in the namespace \"t\"");
	expect_refusal("GET", "/api/v1/namespaces/t/pods/p/log",
		"pods \"p\" is forbidden: User \"al\\\"ice\" cannot get resource \"pods/log\" in "
		"API group \"\" in the namespace \"t\"");
	expect_refusal("DELETE", "/apis/apps/v1/namespaces/t/deployments/d",
		"deployments.apps \"d\" is forbidden: User \"al\\\"ice\" cannot delete resource "
		"\"deployments\" in API group \"apps\" in the namespace \"t\"");
	expect_refusal("GET", "/api/v1/nodes",
		"nodes is forbidden: User \"al\\\"ice\" cannot list resource \"nodes\" in API "
		"group \"\" at the cluster scope");
	expect_refusal(
		"GET", "/metrics", "forbidden: User \"al\\\"ice\" cannot get path \"/metrics\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
