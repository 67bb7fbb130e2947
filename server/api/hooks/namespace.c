#include "server/api/hooks/hooks_internal.h"

static void set_name_label(struct hook *h, struct json *doc)
{
	struct json *meta = json_get(doc, "metadata");
	struct json *name = json_get(meta, "name");
	if (name)
		json_set(h->arena, json_object_at(h->arena, meta, "labels"),
			"kubernetes.io/metadata.name", name);
}

static int prepare_create(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *list = json_array_at(a, json_object_at(a, doc, "spec"), "finalizers");
	bool has = false;
	JSON_FOR_EACH_ITEM(f, list)
		has |= streq(json_str(f), "kubernetes");
	if (!has)
		json_push(a, list, json_new_string(a, "kubernetes"));
	json_path_set(a, doc, "status.phase", json_new_string(a, "Active"));
	return 0;
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	if (!streq(h->part, "finalize")) {
		struct json *was = json_path(old, "spec.finalizers");
		struct json *spec = json_object_at(h->arena, doc, "spec");
		if (was)
			json_set(h->arena, spec, "finalizers", was);
		else
			json_remove(spec, "finalizers");
	}
	return 0;
}

static int check_delete(struct hook *h, const struct json *doc)
{
	static const char *const kept[] = {"default", "kube-system", "kube-public"};
	const char *name = json_path_str(doc, "metadata.name");
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (streq(kept[i], name))
			return status_forbidden(h->arena, h->st, h->api->namespaces, name,
				"this namespace may not be deleted");
	return 0;
}

static void prepare_delete(struct hook *h, struct json *doc)
{
	json_path_set(h->arena, doc, "status.phase", json_new_string(h->arena, "Terminating"));
}

static bool kept(const struct json *doc)
{
	return json_count(json_path(doc, "spec.finalizers")) > 0;
}

const struct kind_hooks hooks_namespace = {
	.group = "",
	.kind = "Namespace",
	.set_defaults = set_name_label,
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.check_delete = check_delete,
	.prepare_delete = prepare_delete,
	.kept = kept,
};
