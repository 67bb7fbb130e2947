/* What volumes of downwardAPI tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vm/vm_fields.h"

static const char vmi[] = "{\"metadata\":{\"name\":\"vm\",\"labels\":{\"app\":\"web\"},"
			  "\"annotations\":{\"a\":\"b\"}}}";

static int read_fields(struct arena *a, const char *fields, struct vm_disk *d, struct err *err)
{
	struct vm_spec s = {0};
	struct json *object, *source;

	assert_int_equal(json_parse(a, vmi, strlen(vmi), NULL, &object, NULL), 0);
	assert_int_equal(json_parse(a, fields, strlen(fields), NULL, &source, NULL), 0);
	s.object = object;
	*d = (struct vm_disk){.cloud_init = source};
	return vm_fields_read(a, &s, d, err);
}

#define FIELD(path, field)                                                                         \
	"{\"fields\":[{\"path\":\"" path "\",\"fieldRef\":{\"fieldPath\":\"" field "\"}}]}"

static void fields(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct vm_disk d;

	assert_int_equal(read_fields(&a, FIELD("me/name", "metadata.name"), &d, &err), 0);
	assert_string_equal(json_str(json_get(d.fields, "me/name")), "vm");
	assert_int_equal(read_fields(&a, FIELD("l", "metadata.labels"), &d, &err), 0);
	assert_string_equal(json_str(json_get(d.fields, "l")), "app=\"web\"");
	assert_int_equal(read_fields(&a, FIELD("l", "metadata.labels['app']"), &d, &err), 0);
	assert_string_equal(json_str(json_get(d.fields, "l")), "web");
	assert_int_equal(read_fields(&a, "{}", &d, &err), 0);
	assert_int_equal(json_count(d.fields), 0);
}

static void refused(void **state)
{
	static const char *const bad[] = {FIELD("", "metadata.name"), FIELD("/a", "metadata.name"),
		FIELD("a/../../b", "metadata.name"), FIELD("a", "status.podIP"),
		FIELD("a", "metadata.finalizers"), FIELD("a", ""),
		"{\"fields\":[{\"path\":\"a\",\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}]"
		"}"};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct vm_disk d;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(read_fields(&a, bad[i], &d, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "downwardAPI.fields"));
		assert_null(d.fields);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(fields), cmocka_unit_test(refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
