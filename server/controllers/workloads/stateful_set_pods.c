#include "server/controllers/workloads/stateful_set_pods.h"

#include <inttypes.h>

#include "server/controllers/meta.h"
#include "server/controllers/workloads/pod_template.h"
#include "server/controllers/workloads/revisions.h"

char *stateful_claim_name(
	struct arena *a, const struct object *set, const struct json *claim, int64_t ordinal)
{
	return arena_printf(a, "%s-%s-%" PRId64, json_str_or(json_path(claim, "metadata.name"), ""),
		set->name, ordinal);
}

/* A volume for each claim, before the template's own; one of the same name gives way. */
static struct json *volumes(struct arena *a, const struct object *set, const struct json *claims,
	const struct json *own, int64_t ordinal)
{
	struct json *all = json_new_array(a);
	JSON_FOR_EACH_ITEM(claim, claims) {
		struct json *volume = json_new_object(a), *source = json_new_object(a);
		json_set_str(a, volume, "name", json_path_str(claim, "metadata.name"));
		json_set_str(a, source, "claimName", stateful_claim_name(a, set, claim, ordinal));
		json_set(a, volume, "persistentVolumeClaim", source);
		json_push(a, all, volume);
	}
	size_t claim_count = json_count(all);
	JSON_FOR_EACH_ITEM(volume, own) {
		bool replaced = false;
		for (size_t n = 0; n < claim_count; n++)
			replaced |= json_equal(
				json_get(json_at(all, n), "name"), json_get(volume, "name"));
		if (!replaced)
			json_push(a, all, volume);
	}
	return all;
}

struct json *stateful_new_pod(struct arena *a, const struct object *set, const struct json *doc,
	const struct json *template, const char *revision, int64_t ordinal)
{
	struct json *pod = pod_from_template(a, set, template), *meta = json_get(pod, "metadata");
	struct json *spec = json_copy(a, json_get(pod, "spec"));
	char *name = arena_printf(a, "%s-%" PRId64, set->name, ordinal);
	struct json *labels = json_copy(a, json_get(meta, "labels"));
	if (!labels)
		labels = json_new_object(a);
	json_set_str(a, labels, POD_NAME_LABEL, name);
	json_set(a, labels, POD_INDEX_LABEL, json_new_printf(a, "%" PRId64, ordinal));
	json_set_str(a, labels, REVISION_LABEL, revision);
	json_set_str(a, meta, "name", name);
	json_set(a, meta, "labels", labels);
	json_set(a, pod, "spec", spec);
	json_set_str(a, spec, "hostname", name);
	const char *service = json_path_str(doc, "spec.serviceName");
	if (service && service[0])
		json_set_str(a, spec, "subdomain", service);
	const struct json *claims = json_path(doc, "spec.volumeClaimTemplates");
	if (json_count(claims))
		json_set(a, spec, "volumes",
			volumes(a, set, claims, json_get(spec, "volumes"), ordinal));
	return pod;
}

struct json *stateful_identity_patch(struct arena *a, const struct object *pod, int64_t ordinal)
{
	char *index = arena_printf(a, "%" PRId64, ordinal);
	if (streq(object_label(pod, POD_NAME_LABEL), pod->name) &&
		streq(object_label(pod, POD_INDEX_LABEL), index))
		return NULL;
	struct json *patch = json_new_object(a), *labels = json_new_object(a);
	json_set_str(a, labels, POD_NAME_LABEL, pod->name);
	json_set_str(a, labels, POD_INDEX_LABEL, index);
	json_set(a, json_object_at(a, patch, "metadata"), "labels", labels);
	return patch;
}

struct json *stateful_new_claim(struct arena *a, const struct object *set, const struct json *doc,
	const struct json *claim, int64_t ordinal)
{
	struct json *new = json_copy(a, claim), *meta = json_object_at(a, new, "metadata");
	json_set_str(a, new, "apiVersion", "v1");
	json_set_str(a, new, "kind", "PersistentVolumeClaim");
	json_set_str(a, meta, "name", stateful_claim_name(a, set, claim, ordinal));
	json_set_str(a, meta, "namespace", set->namespace);
	json_remove(meta, "creationTimestamp");
	json_remove(new, "status");
	struct json *labels = json_object_at(a, meta, "labels");
	JSON_FOR_EACH_MEMBER(m, json_path(doc, "spec.selector.matchLabels"))
		json_set(a, labels, m->name, m->value);
	return new;
}

static struct json *reference_json(struct arena *a, const struct object_owner *o)
{
	struct json *ref = json_new_object(a);
	json_set_str(a, ref, "apiVersion", o->api_version);
	json_set_str(a, ref, "kind", o->kind);
	json_set_str(a, ref, "name", o->name);
	json_set_str(a, ref, "uid", o->uid);
	if (o->controller)
		json_set_bool(a, ref, "controller", true);
	if (o->block_owner_deletion)
		json_set_bool(a, ref, "blockOwnerDeletion", true);
	return ref;
}

struct json *stateful_claim_owners(struct arena *a, const struct object *claim,
	const struct object *set, const struct object *pod, enum claim_keeper keeper)
{
	struct json *refs = json_new_array(a);
	const struct object *wanted = keeper == KEEPER_SET   ? set
				      : keeper == KEEPER_POD ? pod
							     : NULL;
	bool had = false, changed = false, others = false;
	for (size_t n = 0; n < claim->owner_count; n++) {
		const struct object_owner *o = &claim->owners[n];
		bool ours = streq(o->uid, set->uid) || (pod && streq(o->uid, pod->uid));
		others |= o->controller && !ours;
	}
	if (others)
		wanted = NULL;
	for (size_t n = 0; n < claim->owner_count; n++) {
		const struct object_owner *o = &claim->owners[n];
		bool ours = streq(o->uid, set->uid) || (pod && streq(o->uid, pod->uid));
		bool stays = !ours || (wanted && streq(o->uid, wanted->uid) && o->controller);
		had |= ours && stays;
		changed |= !stays;
		if (stays)
			json_push(a, refs, reference_json(a, o));
	}
	if (wanted && !had) {
		json_push(a, refs, owner_reference(a, wanted));
		changed = true;
	}
	return changed ? refs : NULL;
}

bool stateful_claim_stale(const struct object *claim, const char *pod, const char *pod_uid)
{
	for (size_t n = 0; n < claim->owner_count; n++) {
		const struct object_owner *o = &claim->owners[n];
		if (streq(o->kind, "Pod") && streq(o->name, pod) && !streq(o->uid, pod_uid))
			return true;
	}
	return false;
}
