#include "lib/object/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct kind_registry *registry;

static int setup(void **state)
{
	struct err err = ERR_INIT;

	registry = kind_registry_create();
	return kind_registry_load_builtin(registry, &err);
}

static int teardown(void **state)
{
	kind_registry_destroy(registry);
	return 0;
}

/* ---- kinds ---- */

/* What a client has of the kinds: all names, a Pod's schema as the server has it. */
static void test_client_kinds(void **state)
{
	struct kind_registry *client = kind_registry_create();
	struct err err = ERR_INIT;

	assert_int_equal(kind_registry_load_client(client, &err), 0);
	assert_int_equal(kind_count(client), kind_count(registry));
	for (size_t i = 0; i < kind_count(client); i++) {
		const struct kind *a = kind_at(client, i), *b = kind_at(registry, i);
		assert_string_equal(a->gv, b->gv);
		assert_string_equal(a->kind, b->kind);
		assert_string_equal(a->plural, b->plural);
		assert_int_equal(a->namespaced, b->namespaced);
		assert_int_equal(a->selectable_field_count, b->selectable_field_count);
		assert_non_null(a->schema);
	}
	assert_int_equal(
		kind_by_name(client, "apps", "v1", "Deployment")->schema->type, SCHEMA_ANY);
	const struct schema *pod = kind_by_name(client, "", "v1", "Pod")->schema;
	const struct schema *whole = kind_by_name(registry, "", "v1", "Pod")->schema;
	assert_int_equal(pod->property_count, whole->property_count);
	assert_string_equal(
		schema_property(schema_property(pod, "spec", 4), "volumes", 7)->items->name,
		"io.k8s.api.core.v1.Volume");
	kind_registry_destroy(client);
}

static void test_builtin_kinds(void **state)
{
	const struct kind *d = kind_by_resource(registry, "apps", "v1", "deployments");
	const struct kind *pod = kind_by_name(registry, "", "v1", "Pod");

	assert_non_null(d);
	assert_string_equal(d->gv, "apps/v1");
	assert_string_equal(d->resource, "deployments.apps");
	assert_string_equal(d->list_kind, "DeploymentList");
	assert_true(d->namespaced && d->served && d->has_status && d->has_generation);
	assert_string_equal(d->scale_spec_path, "spec.replicas");
	assert_string_equal(kind_subresource(d, "scale")->group, "autoscaling");
	assert_string_equal(kind_subresource(d, "scale")->kind, "Scale");
	assert_true(kind_has_verb(d, "deletecollection"));
	assert_false(
		kind_has_verb(kind_by_name(registry, "", "v1", "Namespace"), "deletecollection"));
	assert_ptr_equal(kind_at(registry, d->index), d);
	assert_string_equal(pod->resource, "pods");
	assert_true(pod->graceful_deletion);
	assert_null(kind_by_name(registry, "apps", "v1", "Pod"));
	assert_null(kind_at(registry, kind_count(registry)));
	assert_false(
		kind_by_name(registry, "kubevirt.io", "v1", "VirtualMachine")->strategic_patch);
	assert_true(pod->strategic_patch);
}

/* Shared definitions are one struct, however many kinds use them. */
static void test_definitions_are_shared(void **state)
{
	const struct schema *spec = kind_definition(registry, "io.k8s.api.core.v1.PodSpec");
	const struct schema *template =
		kind_definition(registry, "io.k8s.api.core.v1.PodTemplateSpec");
	const struct schema *s;

	assert_non_null(spec);
	s = schema_property(template, "spec", 4);
	assert_ptr_equal(s->properties, spec->properties);
	assert_string_equal(s->name, "io.k8s.api.core.v1.PodSpec");
	s = schema_property(spec, "containers", 10);
	assert_true(s->patch_merge);
	assert_string_equal(s->patch_merge_key, "name");
	assert_int_equal(s->list_type, LIST_MAP);
	assert_string_equal(s->items->name, "io.k8s.api.core.v1.Container");
	assert_null(schema_property(spec, "nope", 4));
	assert_null(schema_property(NULL, "nope", 4));
}

static void load_fails(const char *text, const char *message)
{
	struct kind_registry *r = kind_registry_create();
	struct err err = ERR_INIT;

	assert_true(kind_registry_load(r, text, strlen(text), &err) < 0);
	assert_string_equal(err.msg, message);
	kind_registry_destroy(r);
}

static void test_bad_bundles(void **state)
{
	load_fails("{\"definitions\":{\"a\":{\"type\":\"objekt\"}}}",
		"load kinds: a: unknown type 'objekt'");
	load_fails("{\"definitions\":{\"a\":{\"type\":\"object\",\"properties\":{\"b\":{\"$ref\":"
		   "\"c\"}}}}}",
		"load kinds: a: .b: refers to 'c', which nothing defines");
	load_fails("{\"definitions\":{\"a\":{\"type\":\"object\",\"required\":[\"b\"],"
		   "\"properties\":{\"c\":{}}}}}",
		"load kinds: a: requires 'b', which it does not have");
	load_fails("{\"definitions\":{\"a\":{\"type\":\"string\",\"pattern\":\"(\"}}}",
		"load kinds: a: pattern '(' is wrong at offset 1");
	load_fails("{\"kinds\":[{\"kind\":\"A\",\"version\":\"v1\"}]}",
		"load kinds: kind A: definition '' is missing");
}

/* A kind that none of the built-in ones is like: patterns, bounds, null, free parts. */
static void test_custom_schema(void **state)
{
	static const char bundle[] = "{\"definitions\":{\"T\":{\"type\":\"object\",\"properties\":{"
				     "\"metadata\":{\"type\":\"object\","
				     "\"x-kubernetes-preserve-unknown-fields\":true},\"p\":{"
				     "\"type\":\"string\",\"pattern\":"
				     "\"^a+$\",\"maxLength\":3},\"n\":{\"type\":\"number\","
				     "\"maximum\":2},\"o\":{\"type\":"
				     "\"string\",\"nullable\":true},\"l\":{\"type\":\"array\","
				     "\"maxItems\":1,\"items\":{\"type\":"
				     "\"integer\"}}}}},\"kinds\":[{\"group\":\"x.io\",\"version\":"
				     "\"v1\",\"kind\":\"T\",\"plural\":"
				     "\"ts\",\"definition\":\"T\"}]}";
	static const char bad[] = "{\"p\":\"aaab\",\"n\":2.5,\"l\":[1,2]}";
	static const char good[] =
		"{\"p\":\"aaa\",\"n\":2,\"o\":null,\"l\":[1],\"metadata\":{\"z\":{}}}";
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct kind_registry *r = kind_registry_create();
	struct field_errors errors = {.arena = &a};
	struct status st = {0};
	struct json *doc;
	const struct kind *k;

	assert_int_equal(kind_registry_load(r, bundle, strlen(bundle), NULL), 0);
	k = kind_by_name(r, "x.io", "v1", "T");
	assert_int_equal(json_parse(&a, bad, strlen(bad), NULL, &doc, NULL), 0);
	assert_int_equal(object_check(k, &a, doc, NULL, &errors, &st), 0);
	assert_int_equal(field_error_count(&errors), 4);
	assert_string_equal(json_path_str(errors.causes, "[1].message"),
		"Invalid value: \"aaab\": must match '^a+$'");
	assert_string_equal(json_path_str(errors.causes, "[2].message"),
		"Invalid value: 2.5: must be less than or equal to 2");
	errors.causes = NULL;
	assert_int_equal(json_parse(&a, good, strlen(good), NULL, &doc, NULL), 0);
	assert_int_equal(object_check(k, &a, doc, NULL, &errors, &st), 0);
	assert_int_equal(field_error_count(&errors), 0);
	assert_string_equal(json_text(&a, doc), good);
	kind_registry_destroy(r);
}

/* ---- objects ---- */

static const char pod_text[] = "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\","
			       "\"labels\":{\"z\":\"1\",\"a\":\"2\"},"
			       "\"ownerReferences\":[{\"uid\":\"o1\",\"kind\":\"ReplicaSet\","
			       "\"apiVersion\":\"apps/v1\",\"name\":"
			       "\"rs\",\"controller\":true}],\"resourceVersion\":\"5\"},\"spec\":{"
			       "\"nodeName\":\"node\"},\"kind\":"
			       "\"Pod\",\"apiVersion\":\"v1\"}";

static void check_header(const struct object *o)
{
	assert_string_equal(o->namespace, "n");
	assert_string_equal(o->name, "p");
	assert_string_equal(o->uid, "u");
	assert_false(o->deleting);
	assert_int_equal(o->label_count, 2);
	assert_string_equal(o->labels[0].key, "a");
	assert_string_equal(object_label(o, "z"), "1");
	assert_null(object_label(o, "y"));
	assert_string_equal(object_controller(o)->name, "rs");
	assert_string_equal(object_field(o, "spec.nodeName"), "node");
	assert_string_equal(object_field(o, "spec.hostNetwork"), "false");
	assert_string_equal(object_field(o, "status.phase"), "");
	assert_string_equal(object_field(o, "metadata.name"), "p");
	assert_null(object_field(o, "spec.x"));
}

static void test_stored_form(void **state)
{
	static const char served[] =
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"77\","
		"\"name\":\"p\","
		"\"namespace\":\"n\",\"uid\":\"u\",\"labels\":{\"z\":\"1\",\"a\":\"2\"},"
		"\"ownerReferences\":[{"
		"\"uid\":\"o1\",\"kind\":\"ReplicaSet\",\"apiVersion\":\"apps/v1\",\"name\":\"rs\","
		"\"controller\":true}]},\"spec\":{\"nodeName\":\"node\"}}";
	const struct kind *k = kind_by_name(registry, "", "v1", "Pod");
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(object_unref_p) struct object *o = NULL, *made = NULL, *received = NULL;
	struct err err = ERR_INIT;
	struct json *doc;
	struct blob *stored;

	assert_int_equal(json_parse(&a, pod_text, strlen(pod_text), NULL, &doc, NULL), 0);
	stored = object_stored_form(k, &a, doc);
	assert_non_null(strstr(stored->data, "\"resourceVersion\":\"\""));
	assert_int_equal(object_from_stored(k, stored->data, stored->size, 77, &o, &err), 0);
	assert_string_equal(o->bytes->data, served);
	assert_int_equal(o->revision, 77);
	check_header(o);
	assert_int_equal(object_from_stored(k, stored->data, stored->size - 1, 77, &received, &err),
		-EBADMSG);
	assert_int_equal(object_from_stored(k, "{}", 2, 77, &received, &err), -EBADMSG);
	blob_unref(stored);

	made = object_new(k, &a, doc, 77);
	assert_string_equal(made->bytes->data, served);
	assert_string_equal(json_path_str(doc, "metadata.resourceVersion"), "77");
	assert_true(json_equal(object_doc(made, &a), doc));

	assert_int_equal(object_from_bytes(k, served, strlen(served), &received, &err), 0);
	assert_int_equal(received->revision, 77);
	check_header(received);
	assert_ptr_equal(object_ref(received), received);
	object_unref(received);
}

/* The header that is picked out of bytes is the one of the parsed document. */
static void test_written_form(void **state)
{
	static const char *const docs[] = {
		"{}",
		"{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"a\",\"labels\":{\"z\":\"1\",\"a\":\"2\",\"m\":\"\"},"
		"\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"annotations\":{\"q\":\"\\\"}{"
		"\\\\\"}}}",
		"{\"metadata\":{\"name\":\"a\",\"deletionTimestamp\":null,\"ownerReferences\":[{"
		"\"uid\":"
		"\"o\",\"kind\":\"K\",\"apiVersion\":\"v1\",\"name\":\"n\",\"controller\":true,"
		"\"blockOwnerDeletion\":false,\"more\":[1,{}]},{\"uid\":\"p\"}]}}",
		"{\"metadata\":{\"name\":\"quote\\\"\",\"labels\":{\"\\u0041\":\"b\"}}}",
		"{\"spec\":{\"nodeName\":\"n1\",\"hostNetwork\":true,\"containers\":[{\"nodeName\":"
		"\"no\"}],"
		"\"restartPolicy\":\"Always\",\"x\":{\"nodeName\":\"no\"}},\"status\":{\"phase\":"
		"\"Run\\nning\"}}",
		"{\"spec\":{\"nodeName\":5,\"schedulerName\":null,\"restartPolicy\":-1.5e3},"
		"\"status\":[]}",
		"{\"spec\":\"text\",\"status\":{\"phase\":{\"a\":[[],[{}]]},\"podIP\":\"1.2.3.4\"}"
		"}",
		"{\"metadata\":{\"name\":7,\"labels\":[\"a\"],\"ownerReferences\":\"none\"}}",
	};
	const struct kind *k = kind_by_name(registry, "", "v1", "Pod");
	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		struct arena a = ARENA_INIT;
		struct json *doc;
		struct object *parsed, *picked;
		assert_int_equal(json_parse(&a, docs[i], strlen(docs[i]), NULL, &doc, NULL), 0);
		struct blob *b = object_stored_form(k, &a, doc);
		assert_int_equal(object_from_stored(k, b->data, b->size, 7, &parsed, NULL), 0);
		assert_int_equal(object_from_written(k, b->data, b->size, 7, &picked, NULL), 0);
		assert_string_equal(picked->bytes->data, parsed->bytes->data);
		assert_string_equal(picked->name, parsed->name);
		assert_string_equal(picked->namespace, parsed->namespace);
		assert_string_equal(picked->uid, parsed->uid);
		assert_int_equal(picked->deleting, parsed->deleting);
		assert_int_equal(picked->label_count, parsed->label_count);
		for (size_t j = 0; j < parsed->label_count; j++) {
			assert_string_equal(picked->labels[j].key, parsed->labels[j].key);
			assert_string_equal(picked->labels[j].value, parsed->labels[j].value);
		}
		assert_int_equal(picked->owner_count, parsed->owner_count);
		for (size_t j = 0; j < parsed->owner_count; j++) {
			assert_string_equal(picked->owners[j].uid, parsed->owners[j].uid);
			assert_string_equal(picked->owners[j].kind, parsed->owners[j].kind);
			assert_string_equal(picked->owners[j].name, parsed->owners[j].name);
			assert_int_equal(
				picked->owners[j].controller, parsed->owners[j].controller);
			assert_int_equal(picked->owners[j].block_owner_deletion,
				parsed->owners[j].block_owner_deletion);
		}
		for (size_t j = 0; j < k->selectable_field_count; j++)
			assert_string_equal(picked->fields[j], parsed->fields[j]);
		object_unref(parsed);
		object_unref(picked);
		blob_unref(b);
		arena_finish(&a);
	}
}

static void test_object_that_is_not_stored(void **state)
{
	const struct kind *k = kind_by_name(registry, "", "v1", "Pod");
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(object_unref_p) struct object *o = NULL;
	struct json *doc = json_new_object(&a);

	o = object_new(k, &a, doc, 0);
	assert_string_equal(
		o->bytes->data, "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{}}");
	assert_string_equal(o->name, "");
	assert_int_equal(o->label_count, 0);
	assert_null(object_controller(o));
}

/* ---- Status ---- */

static const char *text_of(struct arena *a, const struct status *st)
{
	return json_text(a, st->doc);
}

static void test_status_documents(void **state)
{
	const struct kind *d = kind_by_name(registry, "apps", "v1", "Deployment");
	const struct kind *cm = kind_by_name(registry, "", "v1", "ConfigMap");
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct field_errors errors = {.arena = &a};
	struct err err = ERR_INIT;
	struct status st = {0};

	assert_int_equal(status_not_found(&a, &st, d, "nope"), -EREMOTEIO);
	assert_int_equal(st.code, 404);
	assert_string_equal(text_of(&a, &st),
		"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
		"\"message\":"
		"\"deployments.apps \\\"nope\\\" not "
		"found\",\"reason\":\"NotFound\",\"details\":{\"name\":"
		"\"nope\",\"group\":\"apps\",\"kind\":\"deployments\"},\"code\":404}");
	status_conflict(&a, &st, cm, "e1", NULL);
	assert_string_equal(json_path_str(st.doc, "message"),
		"Operation cannot be fulfilled on configmaps \"e1\": the object has been modified; "
		"please "
		"apply your changes to the latest version and try again");
	status_forbidden(&a, &st, cm, "", "no");
	assert_string_equal(json_path_str(st.doc, "message"), "configmaps is forbidden: no");
	status_already_exists(&a, &st, cm, "e1");
	assert_string_equal(json_path_str(st.doc, "message"), "configmaps \"e1\" already exists");
	status_not_found(&a, &st, NULL, "");
	assert_string_equal(json_path_str(st.doc, "message"),
		"the server could not find the requested resource");
	status_bad_request(&a, &st, "a %d", 1);
	status_detail(&a, &st, "retryAfterSeconds", json_new_int(&a, 1));
	assert_string_equal(text_of(&a, &st), "{\"kind\":\"Status\",\"apiVersion\":\"v1\","
					      "\"metadata\":{},\"status\":\"Failure\",\"message\":"
					      "\"a "
					      "1\",\"reason\":\"BadRequest\",\"details\":{"
					      "\"retryAfterSeconds\":1},\"code\":400}");
	err_set(&err, -EIO, "disk");
	status_from_err(&a, &st, &err);
	assert_string_equal(json_path_str(st.doc, "message"), "Internal error occurred: disk");

	field_error(
		&errors, FIELD_REQUIRED, "metadata.name", NULL, "name or generateName is required");
	status_invalid(&a, &st, cm, "", &errors);
	assert_string_equal(text_of(&a, &st), "{\"kind\":\"Status\",\"apiVersion\":\"v1\","
					      "\"metadata\":{},\"status\":\"Failure\",\"message\":"
					      "\"ConfigMap \\\"\\\" is invalid: metadata.name: "
					      "Required value: name or generateName is "
					      "required\",\"reason\":\"Invalid\",\"details\":{"
					      "\"kind\":\"ConfigMap\",\"causes\":[{\"reason\":"
					      "\"FieldValueRequired\",\"message\":\"Required "
					      "value: name or generateName is required\","
					      "\"field\":\"metadata.name\"}]},\"code\":422}");
	assert_string_equal(json_text(&a, status_success(&a, cm, "y1", "u")),
		"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\","
		"\"details\":{"
		"\"name\":\"y1\",\"kind\":\"configmaps\",\"uid\":\"u\"}}");
}

static void field_message(const char *json, enum field_error_type type, const char *expected)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct field_errors errors = {.arena = &a};
	struct json *v;

	assert_int_equal(json_parse(&a, json, strlen(json), NULL, &v, NULL), 0);
	field_error(&errors, type, "f", v, "why");
	assert_string_equal(json_path_str(errors.causes, "[0].message"), expected);
}

/* An error is left out when it was told already, not when its text is a part of another one's. */
static void test_errors_are_told_once(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct field_errors errors = {.arena = &a};
	struct status st = {0};

	field_error(&errors, FIELD_REQUIRED, "spec.name", NULL, NULL);
	field_error(&errors, FIELD_REQUIRED, "name", NULL, NULL);
	field_error(&errors, FIELD_REQUIRED, "spec.name", NULL, NULL);
	status_invalid(&a, &st, kind_by_name(registry, "", "v1", "ConfigMap"), "x", &errors);
	assert_string_equal(json_str(json_get(st.doc, "message")),
		"ConfigMap \"x\" is invalid: [spec.name: Required value, name: Required value]");
}

static void test_shown_values(void **state)
{
	field_message("\"a\\\"b\\n\"", FIELD_INVALID, "Invalid value: \"a\\\"b\\n\": why");
	field_message("5", FIELD_INVALID, "Invalid value: 5: why");
	field_message("{\"c\":\"d\",\"a\":\"b\"}", FIELD_INVALID,
		"Invalid value: map[string]string{\"a\":\"b\", \"c\":\"d\"}: why");
	field_message(
		"[\"10.0.0.1\"]", FIELD_INVALID, "Invalid value: []string{\"10.0.0.1\"}: why");
	field_message("{\"a\":1}", FIELD_DUPLICATE, "Duplicate value: {\"a\":1}: why");
	field_message("1", FIELD_FORBIDDEN, "Forbidden: why");
	field_message("1", FIELD_TOO_LONG, "Too long: why");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtin_kinds),
		cmocka_unit_test(test_client_kinds),
		cmocka_unit_test(test_definitions_are_shared),
		cmocka_unit_test(test_bad_bundles),
		cmocka_unit_test(test_custom_schema),
		cmocka_unit_test(test_stored_form),
		cmocka_unit_test(test_written_form),
		cmocka_unit_test(test_object_that_is_not_stored),
		cmocka_unit_test(test_status_documents),
		cmocka_unit_test(test_errors_are_told_once),
		cmocka_unit_test(test_shown_values),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
