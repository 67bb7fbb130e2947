#include "server/api/requests/negotiate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ALL                                                                                        \
	(SERVES(ACCEPT_TABLE) | SERVES(ACCEPT_PARTIAL) | SERVES(ACCEPT_PARTIAL_LIST) |             \
		SERVES(ACCEPT_DISCOVERY))

static void expect(const char *accept, enum accept_form form, const char *version, bool yaml)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct accept got;
	assert_int_equal(accept_parse(&a, accept, ALL, &got), 0);
	assert_int_equal(got.form, form);
	assert_string_equal(got.version, version);
	assert_int_equal(got.yaml, yaml);
}

static void refused(const char *accept, unsigned serves)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct accept got;
	assert_int_equal(accept_parse(&a, accept, serves, &got), -ENOTSUP);
}

static void test_forms(void **state)
{
	expect(NULL, ACCEPT_OBJECT, "", false);
	expect("*/*", ACCEPT_OBJECT, "", false);
	expect("application/json, */*", ACCEPT_OBJECT, "", false);
	expect("application/yaml", ACCEPT_OBJECT, "", true);
	/* Replies are never protobuf: the next range is taken. */
	expect("application/vnd.kubernetes.protobuf,application/json", ACCEPT_OBJECT, "", false);
	expect("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;"
	       "g=meta.k8s.io,application/json",
		ACCEPT_TABLE, "v1", false);
	expect("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", ACCEPT_OBJECT, "",
		false);
	expect("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/"
	       "json",
		ACCEPT_DISCOVERY, "v2", false);
	expect("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
		ACCEPT_PARTIAL_LIST, "v1", false);
	expect("application/json;stream=watch", ACCEPT_OBJECT, "", false);
	expect("Application/JSON ; AS=Table; V=v1 ;G=meta.k8s.io", ACCEPT_TABLE, "v1", false);
}

static void test_refusals(void **state)
{
	refused("application/vnd.kubernetes.protobuf", ALL);
	refused("text/html", ALL);
	refused("application/json;as=Table;v=v1;g=meta.k8s.io", 0);
	refused("application/json;q=0", ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
