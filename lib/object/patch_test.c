#include "lib/object/patch.h"

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

enum form { JSON, MERGE, STRATEGIC };

/* Texts are written with ' for " to be readable. */
static struct json *parse(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);
	struct json *v;

	for (char *s = copy; *s; s++)
		if (*s == '\'')
			*s = '"';
	assert_int_equal(json_parse(a, copy, strlen(copy), NULL, &v, NULL), 0);
	return v;
}

static int apply(struct arena *a, enum form form, const char *kind, const struct json *target,
	const struct json *patch, struct json **ret, struct status *st)
{
	const struct kind *k = kind_by_name(registry, "apps", "v1", kind);

	if (!k)
		k = kind_by_name(registry, "", "v1", kind);
	if (!k)
		k = kind_by_name(registry, "policy", "v1", kind);
	assert_non_null(k);
	if (form == JSON)
		return patch_json(a, target, patch, ret, st);
	if (form == MERGE)
		return patch_merge(a, target, patch, ret, st);
	return patch_strategic(a, k->schema, target, patch, ret, st);
}

static void gives(enum form form, const char *kind, const char *target, const char *patch,
	const char *expected)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *t = parse(&a, target), *p = parse(&a, patch), *result;
	char *t_before = json_text(&a, t), *p_before = json_text(&a, p);
	struct status st = {0};

	if (apply(&a, form, kind, t, p, &result, &st) < 0)
		fail_msg("%s", json_str(json_get(st.doc, "message")));
	if (!json_equal(result, parse(&a, expected)))
		assert_string_equal(json_text(&a, result), json_text(&a, parse(&a, expected)));
	assert_string_equal(json_text(&a, t), t_before);
	assert_string_equal(json_text(&a, p), p_before);
}

static void fails(enum form form, const char *kind, const char *target, const char *patch, int code,
	const char *message)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *result;
	struct status st = {0};
	int r = apply(&a, form, kind, parse(&a, target), parse(&a, patch), &result, &st);

	assert_int_equal(r, -EREMOTEIO);
	assert_int_equal(st.code, code);
	if (message)
		assert_string_equal(json_str(json_get(st.doc, "message")), message);
}

#define REJECTED "the server rejected our request due to an error in our request"

static void test_json_patch(void **state)
{
	gives(JSON, "Pod", "{'a':{'b':[1,2]}}", "[{'op':'add','path':'/a/b/1','value':9}]",
		"{'a':{'b':[1,9,2]}}");
	gives(JSON, "Pod", "{'a':[1]}", "[{'op':'add','path':'/a/-','value':2}]", "{'a':[1,2]}");
	gives(JSON, "Pod", "{'a':1}", "[{'op':'replace','path':'/a','value':{'x':[]}}]",
		"{'a':{'x':[]}}");
	gives(JSON, "Pod", "{'a~b':{'c/d':1}}", "[{'op':'remove','path':'/a~0b/c~1d'}]",
		"{'a~b':{}}");
	gives(JSON, "Pod", "{'a':{'x':1},'b':{}}",
		"[{'op':'copy','from':'/a','path':'/b/a'},{'op':'replace','path':'/a/"
		"x','value':2}]",
		"{'a':{'x':2},'b':{'a':{'x':1}}}");
	gives(JSON, "Pod", "{'a':[1,2,3]}", "[{'op':'move','from':'/a/0','path':'/a/2'}]",
		"{'a':[2,3,1]}");
	gives(JSON, "Pod", "{'a':1}",
		"[{'op':'test','path':'/a','value':1.0},{'op':'add','path':'','value':{'z':0}}]",
		"{'z':0}");
	gives(JSON, "Pod", "{'a':1}", "[{'op':'test','path':'/nope','value':null}]", "{'a':1}");
}

static void test_json_patch_that_does_not_apply(void **state)
{
	fails(JSON, "Pod", "{}", "[{'op':'test','path':'/data/zz','value':'x'}]", 422, REJECTED);
	fails(JSON, "Pod", "{'data':{}}", "[{'op':'remove','path':'/data/zz'}]", 422, REJECTED);
	fails(JSON, "Pod", "{}", "[{'op':'add','path':'/a/b','value':1}]", 422, REJECTED);
	fails(JSON, "Pod", "{'a':[]}", "[{'op':'add','path':'/a/1','value':1}]", 422, REJECTED);
	fails(JSON, "Pod", "{'a':[1,2]}", "[{'op':'remove','path':'/a/01'}]", 422, REJECTED);
	fails(JSON, "Pod", "{'a':{}}", "[{'op':'move','from':'/a','path':'/a/b'}]", 422, REJECTED);
	fails(JSON, "Pod", "{}", "[{'op':'frob','path':'/a'}]", 422, REJECTED);
	fails(JSON, "Pod", "{}", "[{'op':'add','path':'/a~2','value':1}]", 422, REJECTED);
	fails(JSON, "Pod", "{}", "{'a':1}", 400,
		"json: cannot unmarshal object into Go value of type jsonpatch.Patch");
}

static void test_json_patch_limits(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *target = parse(&a, "{'a':{'x':'0123456789'}}"), *patch = json_new_array(&a),
		    *result;
	struct json *doubling = parse(&a, "{'op':'copy','from':'','path':'/a/x'}");
	struct json *nesting = json_new_array(&a);
	struct buf path = BUF_INIT;
	struct status st = {0};

	for (int i = 0; i < 1000; i++)
		json_push(&a, patch, doubling);
	assert_int_equal(patch_json(&a, target, patch, &result, &st), -EREMOTEIO);
	assert_int_equal(st.code, 413);
	for (int i = 0; i < 1000; i++) {
		struct json *op = json_new_object(&a);

		buf_add_str(&path, "/n");
		json_set_str(&a, op, "op", "add");
		json_set_str(&a, op, "path", path.data);
		json_set(&a, op, "value", json_new_object(&a));
		json_push(&a, nesting, op);
	}
	buf_finish(&path);
	assert_int_equal(patch_json(&a, target, nesting, &result, &st), -EREMOTEIO);
	assert_int_equal(st.code, 413);
	for (int i = 0; i < 10000; i++)
		json_push(&a, patch, doubling);
	assert_int_equal(patch_json(&a, target, patch, &result, &st), -EREMOTEIO);
	assert_int_equal(st.code, 413);
}

/* The examples of RFC 7386, appendix A, that have objects. */
static void test_merge_patch(void **state)
{
	gives(MERGE, "Pod", "{'a':'b'}", "{'a':'c'}", "{'a':'c'}");
	gives(MERGE, "Pod", "{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}");
	gives(MERGE, "Pod", "{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}");
	gives(MERGE, "Pod", "{'a':['b']}", "{'a':'c'}", "{'a':'c'}");
	gives(MERGE, "Pod", "{'a':'c'}", "{'a':['b']}", "{'a':['b']}");
	gives(MERGE, "Pod", "{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}");
	gives(MERGE, "Pod", "{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}");
	gives(MERGE, "Pod", "{'e':null}", "{'a':1}", "{'e':null,'a':1}");
	gives(MERGE, "Pod", "{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}");
	fails(MERGE, "Pod", "{}", "['c']", 400, NULL);
}

static void test_strategic_merges_lists_by_key(void **state)
{
	gives(STRATEGIC, "Pod",
		"{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'2'}]}}",
		"{'spec':{'containers':[{'name':'b','image':'3'}]}}",
		"{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'3'}]}}");
	/* What is new goes to the front, unless an order is given. */
	gives(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
		"{'spec':{'containers':[{'name':'c'}]}}",
		"{'spec':{'containers':[{'name':'c'},{'name':'a'},{'name':'b'}]}}");
	gives(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
		"{'spec':{'$setElementOrder/containers':[{'name':'a'},{'name':'b'},{'name':'c'}],"
		"'containers':[{'name':'c'}]}}",
		"{'spec':{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}}");
	gives(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'s'},{'name':'b'}]}}",
		"{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}}",
		"{'spec':{'containers':[{'name':'s'},{'name':'b'},{'name':'a'}]}}");
	gives(STRATEGIC, "Service", "{'spec':{'ports':[{'port':80,'name':'a'}]}}",
		"{'spec':{'ports':[{'port':80,'targetPort':8080},{'port':443}]}}",
		"{'spec':{'ports':[{'port':80,'name':'a','targetPort':8080},{'port':443}]}}");
	/* Lists without a strategy are replaced. */
	gives(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a','args':['x','y']}]}}",
		"{'spec':{'containers':[{'name':'a','args':['z']}]}}",
		"{'spec':{'containers':[{'name':'a','args':['z']}]}}");
	gives(STRATEGIC, "Deployment",
		"{'status':{'conditions':[{'type':'Available','status':'True'}]}}",
		"{'status':{'conditions':[{'type':'Progressing','status':'True'},{'type':'"
		"Available',"
		"'status':'False'}]}}",
		"{'status':{'conditions':[{'type':'Progressing','status':'True'},{'type':'"
		"Available',"
		"'status':'False'}]}}");
	fails(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a'}]}}",
		"{'spec':{'containers':[{'image':'x'}]}}", 400,
		"error decoding patch: map does not contain declared merge key: name");
}

static void test_strategic_directives(void **state)
{
	gives(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
		"{'spec':{'containers':[{'name':'a','$patch':'delete'}]}}",
		"{'spec':{'containers':[{'name':'b'}]}}");
	gives(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
		"{'spec':{'containers':[{'name':'c'},{'$patch':'replace'}]}}",
		"{'spec':{'containers':[{'name':'c'}]}}");
	gives(STRATEGIC, "Pod", "{'metadata':{'labels':{'a':'1','b':'2'}}}",
		"{'metadata':{'labels':{'$patch':'replace','c':'3'}}}",
		"{'metadata':{'labels':{'c':'3'}}}");
	gives(STRATEGIC, "Pod", "{'metadata':{'labels':{'a':'1'}}}",
		"{'metadata':{'labels':{'$patch':'delete'}}}", "{'metadata':{'labels':{}}}");
	gives(STRATEGIC, "Pod", "{'metadata':{'finalizers':['a','b','c']}}",
		"{'metadata':{'$deleteFromPrimitiveList/finalizers':['b'],"
		"'$setElementOrder/finalizers':['c','a']}}",
		"{'metadata':{'finalizers':['c','a']}}");
	gives(STRATEGIC, "Pod", "{'metadata':{'finalizers':['a']}}",
		"{'metadata':{'finalizers':['b','a']}}", "{'metadata':{'finalizers':['b','a']}}");
	/* $retainKeys: a union whose member changes. */
	gives(STRATEGIC, "Deployment",
		"{'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
		"{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}",
		"{'spec':{'strategy':{'type':'Recreate'}}}");
	gives(STRATEGIC, "Pod", "{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
		"{'spec':{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v','hostPath':{'"
		"path':'/x'}}]}}",
		"{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}");
	fails(STRATEGIC, "Deployment", "{'spec':{'strategy':{'type':'RollingUpdate'}}}",
		"{'spec':{'strategy':{'$retainKeys':[],'type':'Recreate'}}}", 400, NULL);
	fails(STRATEGIC, "Pod", "{'spec':{}}", "{'spec':{'$patch':'frob'}}", 400, NULL);
	fails(STRATEGIC, "Pod", "{'spec':{}}", "[]", 400, NULL);
}

/* Objects that are one value: a selector with one more label would be another selector. */
static void test_strategic_replaces(void **state)
{
	gives(STRATEGIC, "PodDisruptionBudget",
		"{'spec':{'minAvailable':1,'selector':{'matchLabels':{'a':'1'}}}}",
		"{'spec':{'selector':{'matchLabels':{'b':'2'}}}}",
		"{'spec':{'minAvailable':1,'selector':{'matchLabels':{'b':'2'}}}}");
}

static void test_strategic_nulls(void **state)
{
	gives(STRATEGIC, "Pod", "{'spec':{'nodeName':'a','hostname':'h'}}",
		"{'spec':{'nodeName':null}}", "{'spec':{'hostname':'h'}}");
	gives(STRATEGIC, "Pod", "{}",
		"{'spec':{'nodeName':null,'securityContext':{'runAsUser':null}}}",
		"{'spec':{'securityContext':{}}}");
	gives(STRATEGIC, "Pod", "{'spec':{'containers':[{'name':'a','image':'i'}]}}",
		"{'spec':{'containers':[{'name':'a','image':null},{'name':'b','image':null}]}}",
		"{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}");
	/* Directives never reach the result, even where nothing was. */
	gives(STRATEGIC, "Pod", "{}",
		"{'spec':{'$setElementOrder/"
		"containers':[{'name':'b'},{'name':'a'}],'containers':[{'name':'a'},"
		"{'name':'b'},{'$patch':'delete','name':'c'}],'volumes':[{'$retainKeys':['name'],'"
		"name':'v'}]}}",
		"{'spec':{'containers':[{'name':'a'},{'name':'b'}],'volumes':[{'name':'v'}]}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_patch),
		cmocka_unit_test(test_json_patch_that_does_not_apply),
		cmocka_unit_test(test_json_patch_limits),
		cmocka_unit_test(test_merge_patch),
		cmocka_unit_test(test_strategic_merges_lists_by_key),
		cmocka_unit_test(test_strategic_directives),
		cmocka_unit_test(test_strategic_nulls),
		cmocka_unit_test(test_strategic_replaces),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
