#include "server/store/test_kind.h"

#include <stdio.h>

static const char bundle[] =
	"{\"definitions\":{\"org.example.v1.Thing\":"
	"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}},"
	"\"kinds\":[{\"group\":\"example.org\",\"version\":\"v1\",\"kind\":\"Thing\","
	"\"listKind\":\"ThingList\",\"plural\":\"things\",\"singular\":\"thing\","
	"\"scope\":\"Namespaced\",\"definition\":\"org.example.v1.Thing\","
	"\"verbs\":[\"get\",\"list\",\"watch\",\"create\",\"update\",\"delete\"],"
	"\"selectableFields\":[\"spec.nodeName\"]}]}";

struct kind_registry *test_kinds_create(void)
{
	struct kind_registry *r = kind_registry_create();
	struct err err = ERR_INIT;
	if (kind_registry_load(r, bundle, sizeof(bundle) - 1, &err) < 0) {
		fprintf(stderr, "test kinds: %s\n", err.msg);
		abort();
	}
	return r;
}

const struct kind *test_kind(const struct kind_registry *r)
{
	return kind_by_resource(r, "example.org", "v1", "things");
}

struct blob *test_thing(const struct kind *k, const char *namespace, const char *name,
	const char *app, const char *node)
{
	struct arena a = ARENA_INIT;
	struct json *doc = json_new_object(&a);
	struct json *meta = json_object_at(&a, doc, "metadata");
	json_set_str(&a, meta, "name", name);
	json_set_str(&a, meta, "namespace", namespace);
	json_set_str(&a, meta, "uid", arena_printf(&a, "uid-%s-%s", namespace, name));
	if (app)
		json_set_str(&a, json_object_at(&a, meta, "labels"), "app", app);
	if (node)
		json_set_str(&a, json_object_at(&a, doc, "spec"), "nodeName", node);
	struct blob *b = object_stored_form(k, &a, doc);
	arena_finish(&a);
	return b;
}
