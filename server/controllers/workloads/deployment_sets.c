#include "server/controllers/workloads/deployment_sets.h"

#include <inttypes.h>

#include "server/controllers/meta.h"

static int64_t number_annotation(const struct json *doc, const char *name, int64_t fallback)
{
	int64_t n;
	const char *text = json_str(json_get(json_path(doc, "metadata.annotations"), name));
	return text && parse_i64(str_from(text), &n) == 0 ? n : fallback;
}

struct deployment_set deployment_set_read(struct arena *a, struct object *o)
{
	struct json *doc = object_doc(o, a);
	return (struct deployment_set){
		.object = o,
		.doc = doc,
		.size =
			{
				.name = o->name,
				.replicas = json_path_int(doc, "spec.replicas", 1),
				.available = json_path_int(doc, "status.availableReplicas", 0),
				.max_replicas = number_annotation(doc, MAX_REPLICAS, 0),
				.created_ns =
					meta_time_ns(json_path(doc, "metadata.creationTimestamp")),
			},
		.status_replicas = json_path_int(doc, "status.replicas", 0),
		.ready = json_path_int(doc, "status.readyReplicas", 0),
		.revision = number_annotation(doc, REVISION, 0),
		.desired = number_annotation(doc, DESIRED_REPLICAS, -1),
	};
}

bool deployment_template_equal(
	struct arena *a, const struct json *deployment, const struct json *set)
{
	struct json *x = json_copy(a, json_path(deployment, "spec.template"));
	struct json *y = json_copy(a, json_path(set, "spec.template"));
	json_remove(json_path(x, "metadata.labels"), TEMPLATE_HASH);
	json_remove(json_path(y, "metadata.labels"), TEMPLATE_HASH);
	return json_equal(x, y);
}

char *deployment_template_hash(struct arena *a, const struct json *template, int64_t collisions)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	json_write(&text, template);
	if (collisions)
		buf_printf(&text, "%" PRId64, collisions);
	char *hash = arena_printf(a, "%" PRIu32, fnv1a_32(text.data, text.size));
	for (char *c = hash; *c; c++)
		*c = alphabet[(unsigned char)*c % (sizeof(alphabet) - 1)];
	return hash;
}

/* Annotations that say something about one object only. */
static bool copied(const char *annotation)
{
	static const char *const own[] = {"kubectl.kubernetes.io/last-applied-configuration",
		REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS,
		"deprecated.deployment.rollback.to"};
	for (size_t n = 0; n < ARRAY_LEN(own); n++)
		if (streq(annotation, own[n]))
			return false;
	return true;
}

static struct json *decimal(struct arena *a, int64_t n)
{
	return json_new_printf(a, "%" PRId64, n);
}

static struct json *with_hash(struct arena *a, const struct json *labels, const char *hash)
{
	struct json *all = labels ? json_copy(a, labels) : json_new_object(a);
	json_set_str(a, all, TEMPLATE_HASH, hash);
	return all;
}

struct json *deployment_new_set(struct arena *a, const struct object *deployment,
	const struct json *doc, const char *hash, int64_t replicas, int64_t revision,
	int64_t max_replicas)
{
	struct json *set = json_new_object(a), *meta = json_new_object(a),
		    *spec = json_new_object(a);
	struct json *template = json_copy(a, json_path(doc, "spec.template"));
	struct json *template_meta = json_object_at(a, template, "metadata");
	json_set(a, template_meta, "labels", with_hash(a, json_get(template_meta, "labels"), hash));

	json_set_str(a, set, "apiVersion", "apps/v1");
	json_set_str(a, set, "kind", "ReplicaSet");
	json_set(a, set, "metadata", meta);
	json_set(a, set, "spec", spec);
	json_set(a, meta, "name", json_new_printf(a, "%s-%s", deployment->name, hash));
	json_set_str(a, meta, "namespace", deployment->namespace);
	json_set(a, meta, "labels", json_get(template_meta, "labels"));
	struct json *refs = json_array_at(a, meta, "ownerReferences");
	json_push(a, refs, owner_reference(a, deployment));
	struct json *annotations = json_object_at(a, meta, "annotations");
	JSON_FOR_EACH_MEMBER(m, json_path(doc, "metadata.annotations"))
		if (copied(m->name))
			json_set(a, annotations, m->name, m->value);
	json_set(a, annotations, REVISION, decimal(a, revision));
	json_set(a, annotations, DESIRED_REPLICAS,
		decimal(a, json_path_int(doc, "spec.replicas", 1)));
	json_set(a, annotations, MAX_REPLICAS, decimal(a, max_replicas));

	json_set_int(a, spec, "replicas", replicas);
	int64_t min_ready_s = json_path_int(doc, "spec.minReadySeconds", 0);
	if (min_ready_s)
		json_set_int(a, spec, "minReadySeconds", min_ready_s);
	struct json *selector = json_copy(a, json_path(doc, "spec.selector"));
	json_set(a, selector, "matchLabels", with_hash(a, json_get(selector, "matchLabels"), hash));
	json_set(a, spec, "selector", selector);
	json_set(a, spec, "template", template);
	return set;
}

struct json *deployment_set_annotations(struct arena *a, const struct json *doc,
	const struct deployment_set *set, int64_t revision, int64_t max_replicas)
{
	struct json *has = json_path(set->doc, "metadata.annotations");
	struct json *wanted = json_new_object(a), *patch = NULL;
	JSON_FOR_EACH_MEMBER(m, json_path(doc, "metadata.annotations"))
		if (copied(m->name))
			json_set(a, wanted, m->name, m->value);
	if (revision > set->revision) {
		json_set(a, wanted, REVISION, decimal(a, revision));
		/* An old template is in use again: the set remembers which revisions it was. */
		const char *history = json_str_or(json_get(has, REVISION_HISTORY), "");
		if (set->revision)
			json_set(a, wanted, REVISION_HISTORY,
				json_new_printf(a, "%s%s%" PRId64, history, history[0] ? "," : "",
					set->revision));
	}
	json_set(a, wanted, DESIRED_REPLICAS, decimal(a, json_path_int(doc, "spec.replicas", 1)));
	json_set(a, wanted, MAX_REPLICAS, decimal(a, max_replicas));
	JSON_FOR_EACH_MEMBER(m, wanted) {
		if (json_equal(json_get(has, m->name), m->value))
			continue;
		if (!patch)
			patch = json_new_object(a);
		json_set(a, patch, m->name, m->value);
	}
	return patch;
}
