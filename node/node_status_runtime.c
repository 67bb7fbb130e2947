/* node_status_runtime.c - what the runtime says of itself, as the Node's status has it. Pure. */
#include "node/node_status.h"

#include "node/config/config_parts.h"

enum { NAMES_MAX = 5 }; /* of one image */

static int by_size(const void *x, const void *y)
{
	const Cri__Image *const *a = x, *const *b = y;

	if ((*a)->size != (*b)->size)
		return (*a)->size > (*b)->size ? -1 : 1;
	return strcmp((*a)->id, (*b)->id);
}

static void add_names(struct arena *a, struct json *names, char **list, size_t count)
{
	for (size_t i = 0; i < count && json_count(names) < NAMES_MAX; i++)
		json_push(a, names, json_new_string(a, list[i]));
}

struct json *node_images_make(struct arena *a, const Cri__ListImagesResponse *list, int64_t most)
{
	struct json *all = json_new_array(a);
	size_t count = list->n_images;
	Cri__Image **sorted = arena_alloc(a, (count + 1) * sizeof(*sorted));

	if (count)
		memcpy(sorted, list->images, count * sizeof(*sorted));
	/* The largest tell the scheduler most: pulling them takes longest. */
	if (count > 1)
		qsort(sorted, count, sizeof(*sorted), by_size);
	for (size_t i = 0; i < count && (most < 0 || json_count(all) < (size_t)most); i++) {
		struct json *o = json_new_object(a), *names = json_new_array(a);
		add_names(a, names, sorted[i]->repo_digests, sorted[i]->n_repo_digests);
		add_names(a, names, sorted[i]->repo_tags, sorted[i]->n_repo_tags);
		json_set(a, o, "names", names);
		json_set_int(a, o, "sizeBytes", (int64_t)MIN(sorted[i]->size, INT64_MAX));
		json_push(a, all, o);
	}
	return all;
}

struct json *node_handlers_make(struct arena *a, const Cri__StatusResponse *st)
{
	struct json *all = json_new_array(a);

	for (size_t i = 0; i < st->n_runtime_handlers; i++) {
		const Cri__RuntimeHandler *h = st->runtime_handlers[i];
		struct json *o = json_new_object(a), *features = json_new_object(a);
		json_set_str(a, o, "name", h->name);
		json_set_bool(a, features, "recursiveReadOnlyMounts",
			h->features && h->features->recursive_read_only_mounts);
		json_set_bool(
			a, features, "userNamespaces", h->features && h->features->user_namespaces);
		json_set(a, o, "features", features);
		json_push(a, all, o);
	}
	return all;
}

struct json *node_features_make(struct arena *a, const Cri__StatusResponse *st)
{
	struct json *o = json_new_object(a);

	/* Of runtimes from before the field nothing is known but that they lack it. */
	json_set_bool(a, o, "supplementalGroupsPolicy",
		st->features && st->features->supplemental_groups_policy);
	return o;
}

/* ---- registration ---- */

void node_add_labels(struct arena *a, struct json *labels, const char *const *list)
{
	for (size_t i = 0; list[i]; i++) {
		size_t key = strcspn(list[i], "=");
		json_set_n(a, labels, list[i], key, json_new_string(a, list[i] + key + 1));
	}
}

struct json *node_annotations(struct arena *a)
{
	struct json *o = json_new_object(a);

	json_set_str(a, o, "volumes.kubernetes.io/controller-managed-attach-detach", "true");
	return o;
}

struct json *node_make(
	struct arena *a, const struct node_config *c, const char *name, struct json *labels)
{
	struct json *doc = json_new_object(a), *meta = json_new_object(a);
	struct json *taints = config_taints_doc(a, c->register_taints);

	json_set_str(a, doc, "apiVersion", "v1");
	json_set_str(a, doc, "kind", "Node");
	json_set_str(a, meta, "name", name);
	json_set(a, meta, "labels", labels);
	json_set(a, meta, "annotations", node_annotations(a));
	json_set(a, doc, "metadata", meta);
	if (json_count(taints))
		json_path_set(a, doc, "spec.taints", taints);
	if (*c->provider_id)
		json_path_set(a, doc, "spec.providerID", json_new_string(a, c->provider_id));
	return doc;
}
