#include "test/sim/fake_scale.h"

#include <inttypes.h>

#include "lib/object/selector.h"

static const char *dotted(const char *path)
{
	return path + (*path == '.');
}

struct json *fake_scale_of(struct arena *a, const struct object *o)
{
	const struct kind *k = o->kind;
	if (!k->scale_spec_path)
		return NULL;
	struct json *doc = object_doc(o, a), *s = json_new_object(a);
	struct selector selector;
	json_set_str(a, s, "kind", "Scale");
	json_set_str(a, s, "apiVersion", "autoscaling/v1");
	json_path_set(a, s, "metadata.name", json_new_string(a, o->name));
	json_path_set(a, s, "metadata.namespace", json_new_string(a, o->namespace));
	json_path_set(a, s, "metadata.uid", json_new_string(a, o->uid));
	json_path_set(
		a, s, "metadata.resourceVersion", json_new_printf(a, "%" PRIu64, o->revision));
	json_path_set(a, s, "spec.replicas",
		json_new_int(a, json_path_int(doc, dotted(k->scale_spec_path), 0)));
	json_path_set(a, s, "status.replicas",
		json_new_int(a, json_path_int(doc, dotted(k->scale_status_path), 0)));
	const struct json *labels =
		k->scale_selector_path ? json_path(doc, dotted(k->scale_selector_path)) : NULL;
	if (labels && selector_from_label_selector(a, labels, &selector, NULL) == 0)
		json_path_set(
			a, s, "status.selector", json_new_string(a, selector_text(a, &selector)));
	return s;
}

struct json *fake_scale_set(struct arena *a, const struct object *o, const struct json *scale)
{
	struct json *doc = object_doc(o, a);
	json_path_set(a, doc, dotted(o->kind->scale_spec_path),
		json_new_int(a, json_path_int(scale, "spec.replicas", 0)));
	return doc;
}
