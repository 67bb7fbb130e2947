#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/str.h"
#include "server/api/requests/query.h"
#include "server/api/requests/router.h"

static void expect(const char *path, enum route_type type, const char *group, const char *version,
	const char *namespace, const char *resource, const char *name, const char *subresource,
	const char *rest)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct route r = route_parse(&a, path);
	assert_int_equal(r.type, type);
	assert_true(streq(r.group, group));
	assert_true(streq(r.version, version));
	assert_true(streq(r.namespace, namespace));
	assert_true(streq(r.resource, resource));
	assert_true(streq(r.name, name));
	assert_true(streq(r.subresource, subresource));
	assert_true(streq(r.rest, rest));
}

static void test_resources(void **state)
{
	expect("/api/v1/pods", ROUTE_RESOURCE, "", "v1", NULL, "pods", NULL, NULL, NULL);
	expect("/api/v1/nodes/n1", ROUTE_RESOURCE, "", "v1", NULL, "nodes", "n1", NULL, NULL);
	expect("/api/v1/namespaces/t/pods/p/log", ROUTE_RESOURCE, "", "v1", "t", "pods", "p", "log",
		NULL);
	expect("/apis/apps/v1/namespaces/t/deployments/d/scale", ROUTE_RESOURCE, "apps", "v1", "t",
		"deployments", "d", "scale", NULL);
	expect("/api/v1/namespaces/t/services/s/proxy/a/b", ROUTE_RESOURCE, "", "v1", "t",
		"services", "s", "proxy", "a/b");
	expect("/api/v1/pods/", ROUTE_RESOURCE, "", "v1", NULL, "pods", NULL, NULL, NULL);
}

static void test_namespaces(void **state)
{
	expect("/api/v1/namespaces", ROUTE_RESOURCE, "", "v1", NULL, "namespaces", NULL, NULL,
		NULL);
	expect("/api/v1/namespaces/t", ROUTE_RESOURCE, "", "v1", NULL, "namespaces", "t", NULL,
		NULL);
	expect("/api/v1/namespaces/t/finalize", ROUTE_RESOURCE, "", "v1", NULL, "namespaces", "t",
		"finalize", NULL);
	expect("/api/v1/namespaces/t/status", ROUTE_RESOURCE, "", "v1", NULL, "namespaces", "t",
		"status", NULL);
	expect("/api/v1/namespaces/t/pods", ROUTE_RESOURCE, "", "v1", "t", "pods", NULL, NULL,
		NULL);
	expect("/api/v1/namespaces/t/pods/status", ROUTE_RESOURCE, "", "v1", "t", "pods", "status",
		NULL, NULL);
}

static void test_other_paths(void **state)
{
	expect("/api", ROUTE_API, "", NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/api/", ROUTE_API, "", NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/apis", ROUTE_APIS, "", NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/apis/apps", ROUTE_GROUP, "apps", NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/apis/apps/v1", ROUTE_VERSION_LIST, "apps", "v1", NULL, NULL, NULL, NULL, NULL);
	expect("/api/v1", ROUTE_VERSION_LIST, "", "v1", NULL, NULL, NULL, NULL, NULL);
	expect("/openapi/v3/api/v1", ROUTE_OPENAPI, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/readyz/ping", ROUTE_HEALTH, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/version", ROUTE_SERVER_VERSION, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/apiserver", ROUTE_NONE, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/api/v1//pods", ROUTE_NONE, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/", ROUTE_NONE, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	expect("/api/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o", ROUTE_NONE, NULL, NULL, NULL, NULL, NULL, NULL,
		NULL);
}

static void test_watch_form(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct route r = route_parse(&a, "/api/v1/watch/namespaces/t/pods");
	assert_int_equal(r.type, ROUTE_RESOURCE);
	assert_true(r.watch);
	assert_string_equal(r.namespace, "t");
	assert_string_equal(r.resource, "pods");
	assert_int_equal(route_parse(&a, "/api/v1/watch").type, ROUTE_NONE);
}

static void test_query(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct query q = query_parse(&a, "a=1&b=x%3Dy&a=2&empty&flag=true&off=false&bad=%zz&s=a+b");
	assert_string_equal(query_get(&q, "a"), "1");
	assert_string_equal(query_get(&q, "b"), "x=y");
	assert_string_equal(query_get(&q, "empty"), "");
	assert_string_equal(query_get(&q, "s"), "a b");
	assert_null(query_get(&q, "bad"));
	assert_null(query_get(&q, "none"));
	assert_true(query_bool(&q, "flag"));
	assert_true(query_bool(&q, "empty"));
	assert_false(query_bool(&q, "off"));
	assert_false(query_bool(&q, "none"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_other_paths),
		cmocka_unit_test(test_watch_form),
		cmocka_unit_test(test_query),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
