#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/str.h"
#include "node/vm/libvirt/xml_tree.h"

static void reads_what_libvirt_writes(void **state)
{
	static const char text[] =
		"<?xml version='1.0'?>\n<!-- made -->\n<a x='1' y=\"it&apos;s\">\n"
		"  <b/>\n  <c n='1'> one &lt; two </c><!-- > --><c n='2'/>\n</a>\n";
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct xml_node *n;
	struct err err = ERR_INIT;

	assert_int_equal(xml_tree_parse(&a, text, sizeof(text) - 1, &n, &err), 0);
	assert_string_equal(n->name, "a");
	assert_string_equal(xml_attr(n, "y"), "it's");
	assert_null(xml_attr(n, "z"));
	assert_non_null(xml_find(n, "b"));
	assert_null(xml_find(n, "b/c"));
	assert_string_equal(xml_text(xml_find(n, "c")), "one < two");
	assert_string_equal(xml_attr(xml_next(xml_find(n, "c")), "n"), "2");
	assert_null(xml_next(xml_next(xml_find(n, "c"))));
	assert_string_equal(xml_text(NULL), "");
}

static void refuses_what_is_cut(void **state)
{
	static const char *const texts[] = {"", "a", "<", "<a", "<a>", "<a b", "<a b=", "<a b='",
		"<a b='c'", "<a><b></a>", "<a></a", "<a><!-- ", "<a/", "<!DOCTYPE a>", "<?"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct xml_node *n = NULL;
		struct err err = ERR_INIT;

		if (xml_tree_parse(&a, texts[i], strlen(texts[i]), &n, &err) != -EINVAL)
			fail_msg("'%s' was taken", texts[i]);
		assert_non_null(strstr(err.msg, "XML, offset"));
	}
}

static void depth_is_bounded(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char text[3000] = "";
	struct xml_node *n;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < 900; i++)
		memcpy(text + i * 3, "<a>", 3);
	assert_int_equal(xml_tree_parse(&a, text, 2700, &n, &err), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_libvirt_writes),
		cmocka_unit_test(refuses_what_is_cut),
		cmocka_unit_test(depth_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
