/* static_manifest_test.c - pods from files: what they are made into, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/pod/static_manifest.h"

static struct kind_registry *kinds;

static int read_text(const char *path, const char *text, struct object **ret, struct err *err)
{
	struct static_origin o = {
		.kinds = kinds,
		.pod_kind = kind_by_resource(kinds, "", "v1", "pods"),
		.node_name = "Node1",
		.path = path,
		.seen_ns = 1700000000 * INT64_C(1000000000),
	};

	return static_manifest_read(&o, text, strlen(text), ret, err);
}

#define POD(more)                                                                                  \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n"                 \
	"  - {name: c, image: img}\n" more

static void is_read(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct object *o, *again, *other;

	assert_int_equal(read_text("/m/a.yaml", POD(""), &o, &err), 0);
	assert_string_equal(o->name, "web-node1");
	assert_string_equal(o->namespace, "default");
	assert_int_equal(strlen(o->uid), 32);
	const struct json *doc = object_doc(o, &a), *notes = json_path(doc, "metadata.annotations");
	assert_string_equal(json_str(json_get(notes, "kubernetes.io/config.hash")), o->uid);
	assert_string_equal(json_str(json_get(notes, "kubernetes.io/config.source")), "file");
	assert_string_equal(json_path_str(doc, "spec.nodeName"), "Node1");
	assert_string_equal(json_path_str(doc, "spec.restartPolicy"), "Always");
	assert_string_equal(json_path_str(doc, "spec.containers[0].imagePullPolicy"), "Always");
	assert_string_equal(json_path_str(doc, "spec.tolerations[0].operator"), "Exists");

	/* The same words are the same pod, in YAML or JSON; others, or elsewhere, another. */
	assert_int_equal(
		read_text("/m/a.yaml",
			"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\"},"
			"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"img\"}]}}",
			&again, &err),
		0);
	assert_string_equal(again->uid, o->uid);
	assert_int_equal(read_text("/m/b.yaml", POD(""), &other, &err), 0);
	assert_string_not_equal(other->uid, o->uid);
	object_unref(other);
	assert_int_equal(read_text("/m/a.yaml", POD("  hostNetwork: true\n"), &other, &err), 0);
	assert_string_not_equal(other->uid, o->uid);
	object_unref(other);
	object_unref(again);

	struct json *mirror = static_mirror_make(&a, o, "Node1", "u1");
	assert_null(json_path(mirror, "metadata.uid"));
	assert_string_equal(json_path_str(mirror, "metadata.ownerReferences[0].uid"), "u1");
	struct object *m = object_new(o->kind, &a, mirror, 7);
	assert_string_equal(static_mirror_hash(&a, m), o->uid);
	assert_null(static_mirror_hash(&a, o));
	object_unref(m);

	other = static_leaving(o, 1700000000 * INT64_C(1000000000));
	assert_true(other->deleting);
	assert_string_equal(other->uid, o->uid);
	object_unref(other);
	object_unref(o);
}

static void is_refused(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "not a Pod"},
		{"a: [", ""},
		{"apiVersion: v1\nkind: PodList\nitems: []\n", "not a Pod of apiVersion v1"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {containers: [{name: a, image: "
		 "b}]}\n",
			"metadata.name: "},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: ../x}\nspec: {containers: [{name: a, "
		 "image: b}]}\n",
			"metadata.name: \"../x\""},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: a/b}\nspec: "
		 "{containers: [{name: a, image: b}]}\n",
			"metadata.namespace: \"a/b\""},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\n", ""},
		{POD("  serviceAccountName: x\n"), "static pods may not reference serviceaccounts"},
		{POD("  imagePullSecrets: [{name: x}]\n"), "static pods may not reference secrets"},
		{POD("  volumes: [{name: v, configMap: {name: x}}]\n"),
			"static pods may not reference configmaps"},
		{POD("  volumes: [{name: v, projected: {sources: [{secret: {name: x}}]}}]\n"),
			"static pods may not reference secrets"},
		{POD("  volumes: [{name: v, persistentVolumeClaim: {claimName: x}}]\n"),
			"static pods may not reference persistentvolumeclaims"},
		{POD("  initContainers: [{name: i, image: j, envFrom: [{secretRef: {name: "
		     "x}}]}]\n"),
			"static pods may not reference secrets"},
		{POD("  initContainers: [{name: i, image: j, env: [{name: E, valueFrom: "
		     "{configMapKeyRef: {name: x, key: k}}}]}]\n"),
			"static pods may not reference configmaps"},
		{POD("  initContainers: [{name: ../x, image: j}]\n"),
			"Pod \"web\" is invalid: spec.initContainers[0].name"},
		{POD("  ephemeralContainers: [{name: a/b, image: j}]\n"), ""},
		{POD("  restartPolicy: Sometimes\n"), ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct object *o = NULL;
		if (read_text("/m/a", cases[i].text, &o, &err) >= 0)
			fail_msg("taken: %s", cases[i].text);
		assert_true(*err.msg);
		if (!str_has_prefix(err.msg, cases[i].message))
			fail_msg("'%s' gave '%s'", cases[i].text, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_read),
		cmocka_unit_test(is_refused),
	};
	struct err err = ERR_INIT;

	kinds = kind_registry_create();
	if (kind_registry_load_client(kinds, &err) < 0)
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	kind_registry_destroy(kinds);
	return r;
}
