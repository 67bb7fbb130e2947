#include "lib/object/object.h"
#include "lib/object/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COMMON                                                                                     \
	"\"kind\":\"Thing\",\"listKind\":\"ThingList\",\"plural\":\"things\",\"verbs\":[\"get\"],"

static const char bundle[] =
	"{\"definitions\":{\"org.v1.Thing\":{\"type\":\"object\","
	"\"x-kubernetes-preserve-unknown-fields\":true}},\"kinds\":["
	"{\"group\":\"example.org\",\"version\":\"v1\"," COMMON
	"\"definition\":\"org.v1.Thing\",\"storage\":{\"apiVersion\":\"example.org/v2\","
	"\"kind\":\"Thing\"},\"selectableFields\":[{\"name\":\"spec.size\","
	"\"stored\":\"spec.width\"}]},"
	"{\"group\":\"example.org\",\"version\":\"v2\"," COMMON
	"\"definition\":\"org.v1.Thing\",\"selectableFields\":[\"spec.width\"]}]}";

static const char thing[] = "{\"kind\":\"Thing\",\"apiVersion\":\"example.org/v1\","
			    "\"metadata\":{\"name\":\"a\"},\"spec\":{\"size\":\"5\"}}";

static struct json *rename_to(struct arena *a, struct json *doc, const char *from, const char *to)
{
	struct json *spec = json_get(doc, "spec"), *v = json_get(spec, from);

	if (v) {
		json_remove(spec, from);
		json_set(a, spec, to, v);
	}
	return doc;
}

static struct json *from_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	assert_string_equal(k->version, "v1");
	return rename_to(a, doc, "width", "size");
}

static struct json *to_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	assert_string_equal(k->version, "v1");
	return rename_to(a, doc, "size", "width");
}

static const struct kind_conversion conversion = {from_storage, to_storage};

static struct kind_registry *load(void)
{
	struct kind_registry *r = kind_registry_create();
	struct err err = ERR_INIT;

	assert_int_equal(kind_registry_load(r, bundle, sizeof(bundle) - 1, &err), 0);
	return r;
}

static void two_kinds_share_a_storage(void **state)
{
	struct kind_registry *r = load();
	struct kind *v1 = kind_by_resource(r, "example.org", "v1", "things");
	struct kind *v2 = kind_by_resource(r, "example.org", "v2", "things");
	struct arena a = ARENA_INIT;
	struct json *doc;
	struct object *o;

	assert_true(kind_is_storage(v2));
	assert_false(kind_is_storage(v1));
	assert_ptr_equal(v1->storage, v2);
	assert_ptr_equal(v1->checked_as, v2);
	v1->conversion = &conversion;

	assert_int_equal(json_parse(&a, thing, sizeof(thing) - 1, NULL, &doc, NULL), 0);
	doc = kind_convert(&a, v1, v2, doc);
	assert_string_equal(json_path_str(doc, "apiVersion"), "example.org/v2");
	assert_string_equal(json_path_str(doc, "spec.width"), "5");
	assert_null(json_path(doc, "spec.size"));

	o = object_new(v2, &a, doc, 7);
	assert_string_equal(object_field(o, "spec.width"), "5");
	doc = object_doc_as(o, v1, &a);
	assert_string_equal(json_path_str(doc, "apiVersion"), "example.org/v1");
	assert_string_equal(json_path_str(doc, "spec.size"), "5");
	assert_string_equal(json_path_str(doc, "metadata.resourceVersion"), "7");
	object_unref(o);
	arena_finish(&a);
	kind_registry_destroy(r);
}

static void field_selectors_speak_of_stored_fields(void **state)
{
	struct kind_registry *r = load();
	struct kind *v1 = kind_by_resource(r, "example.org", "v1", "things");
	struct arena a = ARENA_INIT;
	struct selector s;
	struct status st = {0};

	assert_int_equal(selector_parse_fields(&a, v1, "spec.size=5,metadata.name!=b", &s, &st), 0);
	assert_int_equal(s.count, 2);
	for (size_t i = 0; i < s.count; i++)
		assert_true(streq(s.items[i].key, "spec.width") ||
			    streq(s.items[i].key, "metadata.name"));
	assert_true(selector_parse_fields(&a, v1, "spec.width=5", &s, &st) < 0);
	assert_string_equal(
		json_str(json_get(st.doc, "message")), "field label not supported: spec.width");
	arena_finish(&a);
	kind_registry_destroy(r);
}

static void a_storage_must_exist(void **state)
{
	static const char bad[] =
		"{\"definitions\":{\"T\":{\"type\":\"object\"}},\"kinds\":[{\"group\":\"g\","
		"\"version\":\"v1\",\"kind\":\"T\",\"plural\":\"ts\",\"definition\":\"T\","
		"\"storage\":{\"apiVersion\":\"g/v2\",\"kind\":\"T\"}}]}";
	struct kind_registry *r = kind_registry_create();
	struct err err = ERR_INIT;

	assert_true(kind_registry_load(r, bad, sizeof(bad) - 1, &err) < 0);
	assert_string_equal(err.msg, "load kinds: kind T: storage 'g/v2 T' is missing");
	kind_registry_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_kinds_share_a_storage),
		cmocka_unit_test(field_selectors_speak_of_stored_fields),
		cmocka_unit_test(a_storage_must_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
