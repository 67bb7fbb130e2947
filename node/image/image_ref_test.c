/* Names of images that are taken, and why others are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/image/image_ref.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void good_names(void **state)
{
	static const char *const good[] = {"busybox", "busybox:1.36", "library/busybox",
		"registry.lab:5000/a/b_c/d-e.f:tag", "localhost/x", "[::1]:5000/x", "[fd00::1]/x",
		"x@sha256:" HEX64, "a__b", "a--b", "HOST/x", "h.example/x:_1", "x:1@sha256:" HEX64};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct err err = ERR_INIT;
		if (image_ref_check(good[i], &err) < 0)
			fail_msg("'%s' was refused: %s", good[i], err.msg);
	}
}

static void bad_names(void **state)
{
	static const struct {
		const char *name, *why;
	} bad[] = {
		{"", "couldn't parse image name \"\": invalid reference format"},
		{"BAD", "couldn't parse image name \"BAD\": invalid reference format: repository "
			"name (library/BAD) must be lowercase"},
		{"h.example/team/App:1",
			"couldn't parse image name \"h.example/team/App:1\": invalid "
			"reference format: repository name (team/App) must be "
			"lowercase"},
		{HEX64, "couldn't parse image name \"" HEX64 "\": invalid repository name (" HEX64
			"), cannot specify 64-byte hexadecimal strings"},
		{"x@sha256:" HEX64 "00", "couldn't parse image name \"x@sha256:" HEX64
					 "00\": invalid checksum digest length"},
		{"x@md5:" HEX64, "couldn't parse image name \"x@md5:" HEX64
				 "\": unsupported digest algorithm"},
		{"a//b", NULL},
		{"/a", NULL},
		{"a/", NULL},
		{"a:", NULL},
		{"a:-x", NULL},
		{"a b", NULL},
		{"a..b", NULL},
		{"a___b", NULL},
		{"-a", NULL},
		{"x@sha256:12", NULL},
		{"host:port/x", NULL},
		{"a:b:c", NULL},
		{"[]/x", NULL},
		{"[::1/x", NULL},
		{"[::1]x/y", NULL},
		{"-h.x/y", NULL},
		{"nginx:lat est", NULL},
		{"a\xc3\xa4", NULL},
		{"x@", NULL},
		{"@sha256:" HEX64, NULL},
		{":tag", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		if (image_ref_check(bad[i].name, &err) == 0)
			fail_msg("'%s' was accepted", bad[i].name);
		if (bad[i].why)
			assert_string_equal(err.msg, bad[i].why);
		else
			assert_true(str_has_suffix(err.msg, ": invalid reference format"));
	}
	char name[600];
	memset(name, 'a', sizeof(name));
	name[300] = '\0';
	struct err err = ERR_INIT;
	assert_int_equal(image_ref_check(name, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "must not be more than 255 characters"));
}

static void parts(void **state)
{
	struct arena a = ARENA_INIT;
	static const char *const repositories[][2] = {{"a", "docker.io/library/a"},
		{"a:1", "docker.io/library/a"}, {"a/b:1", "docker.io/a/b"},
		{"index.docker.io/a", "docker.io/library/a"}, {"h:1/b@sha256:" HEX64, "h:1/b"},
		{"localhost/b:x", "localhost/b"}};

	assert_true(image_ref_is_latest("registry.lab:5000/a"));
	assert_true(image_ref_is_latest("a:latest"));
	assert_false(image_ref_is_latest("registry.lab:5000/a:1"));
	assert_false(image_ref_is_latest("a@sha256:" HEX64));
	assert_string_equal(image_ref_host(&a, "a/b"), "docker.io");
	assert_string_equal(image_ref_host(&a, "h:1/b"), "h:1");
	for (size_t i = 0; i < ARRAY_LEN(repositories); i++)
		assert_string_equal(
			image_ref_repository(&a, repositories[i][0]), repositories[i][1]);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_names),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(parts),
	};

	return cmocka_run_group_tests_name("image_ref", tests, NULL, NULL);
}
