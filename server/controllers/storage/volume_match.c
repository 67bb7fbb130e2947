#include "server/controllers/storage/volume_match.h"

#include "lib/object/quantity.h"

const char *volume_annotation(const struct json *doc, const char *name)
{
	return json_str(json_get(json_path(doc, "metadata.annotations"), name));
}

const char *volume_class(const struct json *doc)
{
	const char *beta = volume_annotation(doc, ANNOTATION_CLASS_BETA);
	return beta ? beta : json_str_or(json_path(doc, "spec.storageClassName"), "");
}

void volume_wish_read(struct arena *a, const struct object *claim, struct volume_wish *ret)
{
	*ret = (struct volume_wish){.claim = claim, .doc = object_doc(claim, a)};
	const struct json *selector = json_path(ret->doc, "spec.selector");
	if (selector && selector_from_label_selector(a, selector, &ret->selector, NULL) < 0)
		ret->selector.nothing = true;
}

static bool has_item(const struct json *list, const char *text)
{
	JSON_FOR_EACH_ITEM(i, list)
		if (streq(json_str(i), text))
			return true;
	return false;
}

static bool has_modes(const struct json *wanted, const struct json *offered)
{
	JSON_FOR_EACH_ITEM(mode, wanted)
		if (!has_item(offered, json_str_or(mode, "")))
			return false;
	return true;
}

const char *volume_unfit(struct arena *a, const struct volume_wish *w, const struct object *volume,
	const struct json *doc)
{
	const struct json *want = json_get(w->doc, "spec"), *have = json_get(doc, "spec");
	if (!streq(json_str_or(json_get(want, "volumeMode"), "Filesystem"),
		    json_str_or(json_get(have, "volumeMode"), "Filesystem")))
		return "incompatible volumeMode";
	if (!streq(volume_class(w->doc), volume_class(doc)))
		return "storageClassName does not match";
	if (!has_modes(json_get(want, "accessModes"), json_get(have, "accessModes")))
		return "incompatible accessMode";
	if (quantity_json_value(json_path(have, "capacity.storage"), 0) <
		quantity_json_value(json_path(want, "resources.requests.storage"), 0))
		return "requested PV is too small";
	if (!selector_matches_labels(&w->selector, volume->labels, volume->label_count))
		return "its labels do not match the claim's selector";
	if (w->node &&
		!selector_node_terms_hold(
			a, json_path(doc, "spec.nodeAffinity.required.nodeSelectorTerms"), w->node))
		return "it is not reached from the selected node";
	return NULL;
}

enum volume_owner volume_owner_of(const struct object *claim, const struct json *doc)
{
	const struct json *ref = json_path(doc, "spec.claimRef");
	const char *uid = json_str_or(json_get(ref, "uid"), "");
	if (!json_count(ref))
		return VOLUME_FREE;
	return streq(json_str(json_get(ref, "namespace")), claim->namespace) &&
			       streq(json_str(json_get(ref, "name")), claim->name) &&
			       (!*uid || streq(uid, claim->uid))
		       ? VOLUME_OURS
		       : VOLUME_OTHERS;
}

struct object *volume_find(struct arena *a, const struct volume_wish *w, struct object **volumes,
	size_t count, bool reserved)
{
	struct object *best = NULL;
	int64_t least = 0;
	for (size_t i = 0; i < count; i++) {
		const struct json *doc = object_doc(volumes[i], a);
		enum volume_owner owner = volume_owner_of(w->claim, doc);
		if (owner == VOLUME_OTHERS || volumes[i]->deleting)
			continue;
		/* By hand it may be given to a claim whose selector it does not match. */
		if (owner == VOLUME_OURS) {
			const char *why = volume_unfit(a, w, volumes[i], doc);
			if (!why || str_has_prefix(why, "its labels"))
				return volumes[i];
			continue;
		}
		if (reserved || !streq(json_str(json_path(doc, "status.phase")), "Available") ||
			volume_unfit(a, w, volumes[i], doc))
			continue;
		int64_t size = quantity_json_value(json_path(doc, "spec.capacity.storage"), 0);
		if (!best || size < least) {
			best = volumes[i];
			least = size;
		}
	}
	return best;
}
