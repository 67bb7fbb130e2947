/* data_volume.c - DataVolume (CDI): one source, one claim that is asked for, and neither changes.
 * The words are those of CDI's webhook. */
#include "lib/object/quantity.h"
#include "server/api/hooks/validate.h"
#include "server/api/machines/clone_rights.h"

#define POPULATED_FOR "cdi.kubevirt.io/storage.populatedFor"
/* On data volumes that are made for a claim that is there: of restored machines, and of machines
 * that come back to their disks. Whether the claim is theirs shows later. */
#define PREPOPULATED "cdi.kubevirt.io/storage.prePopulated"
#define ADOPTS "cdi.kubevirt.io/allowClaimAdoption"

static const char *text_of(const struct json *doc, const char *name)
{
	return json_str_or(json_get(doc, name), "");
}

/* ---- the claim that is asked for ---- */

static void check_size(
	struct hook *h, const struct json *claim, const char *field, const char *word)
{
	const struct json *size = json_path(claim, "resources.requests.storage");
	const char *at = at(h, "%s.resources.requests.storage", field);

	if (!present(size))
		invalid(h, at, NULL, "%s size is missing", word);
	else if (quantity_json_value(size, 0) <= 0)
		invalid(h, at, size, "%s size can't be equal or less than zero", word);
}

static void check_modes(struct hook *h, const struct json *claim, const char *field)
{
	static const char *const known[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", NULL};
	const char *at = at_child(h, field, "accessModes");

	JSON_FOR_EACH_ITEM(mode, json_get(claim, "accessModes"))
		if (!is_one_of(json_str_or(mode, ""), known)) {
			unsupported(h, at, mode, known);
			return;
		}
}

static bool is_copy(const struct json *spec)
{
	return present(json_path(spec, "source.pvc")) ||
	       present(json_path(spec, "source.snapshot")) || present(json_get(spec, "sourceRef"));
}

static void check_claim(struct hook *h, const struct json *spec)
{
	const struct json *pvc = json_get(spec, "pvc"), *storage = json_get(spec, "storage"),
			  *modes;

	if (!present(pvc) && !present(storage)) {
		invalid(h, "spec.pvc", NULL,
			"Missing Data volume PVC: say in spec.storage or spec.pvc how large the "
			"disk "
			"is to be");
		return;
	}
	if (present(pvc) && present(storage)) {
		invalid(h, "spec.pvc", NULL,
			"Duplicate storage definition, both target storage and target pvc defined");
		return;
	}
	if (!present(pvc)) {
		/* A copy is as large as what it is a copy of. */
		if (!is_copy(spec) || present(json_path(storage, "resources.requests.storage")))
			check_size(h, storage, "spec.storage", "Storage");
		check_modes(h, storage, "spec.storage");
		return;
	}
	check_size(h, pvc, "spec.pvc", "PVC");
	modes = json_get(pvc, "accessModes");
	if (!json_count(modes))
		required(h, "spec.pvc.accessModes", "at least 1 access mode is required");
	else if (json_count(modes) > 1)
		invalid(h, "spec.pvc.accessModes", modes, "PVC multiple accessModes");
	else
		check_modes(h, pvc, "spec.pvc");
}

/* ---- the source ---- */

static void check_url(struct hook *h, const struct json *source, const char *field)
{
	const struct json *url = json_get(source, "url");
	const char *text = json_str_or(url, ""), *at = at_child(h, field, "url");
	const char *rest = strstr(text, "://");

	if (!*text)
		invalid(h, at, url, "spec.source source URL is empty");
	else if (!rest)
		invalid(h, at, url, "spec.source Invalid source URL: %s", text);
	else if (!str_has_prefix(text, "http://") && !str_has_prefix(text, "https://"))
		invalid(h, at, url, "spec.source Invalid source URL scheme: %s", text);
	else if (!rest[3] || rest[3] == '/')
		invalid(h, at, url, "spec.source Invalid source URL: %s", text);
}

static void check_registry(struct hook *h, const struct json *source, const char *content)
{
	static const char *const methods[] = {"", "pod", "node", NULL};
	const struct json *url = json_get(source, "url");
	const char *method = text_of(source, "pullMethod"), *text = json_str_or(url, "");

	if (*content && !streq(content, "kubevirt"))
		invalid(h, "spec.contentType", NULL,
			"ContentType must be kubevirt when Source is Registry");
	if (url && !str_has_prefix(text, "docker://") && !str_has_prefix(text, "oci-archive://"))
		invalid(h, "spec.source.registry.url", url, "Illegal registry source URL scheme %s",
			text);
	if (!url && !*text_of(source, "imageStream"))
		required(h, "spec.source.registry.url", "which image? docker://HOST/NAME:TAG");
	if (!is_one_of(method, methods))
		invalid(h, "spec.source.registry.pullMethod", json_get(source, "pullMethod"),
			"ImportMethod %s is neither pod, node or \"\"", method);
}

static void check_members(struct hook *h, const struct json *source, const char *field,
	const char *word, const char *const *members)
{
	for (; *members; members++)
		if (!*text_of(source, *members)) {
			invalid(h, field, NULL, "%s source %s is not valid: it needs %s", field,
				word, *members);
			return;
		}
}

static void check_source(struct hook *h, const struct json *source, const char *content)
{
	static const char *const with_url[] = {"http", "s3", "imageio", "vddk", "gcs"};
	static const char *const pvc[] = {"namespace", "name", NULL};
	static const char *const imageio[] = {"secretRef", "certConfigMap", "diskId", NULL};
	static const char *const vddk[] = {"secretRef", "uuid", "backingFile", "thumbprint", NULL};
	size_t count = 0;

	JSON_FOR_EACH_MEMBER(m, source)
		count += present(m->value);
	if (count != 1) {
		invalid(h, "spec.source", NULL, "%s",
			count ? "Multiple Data volume sources" : "Missing Data volume source");
		return;
	}
	for (size_t i = 0; i < 4; i++)
		if (json_get(source, with_url[i]))
			check_url(h, json_get(source, with_url[i]),
				at_child(h, "spec.source", with_url[i]));
	check_rule_at(
		h, RULE_CHECKSUM, "spec.source.http.checksum", json_path(source, "http.checksum"));
	if (json_get(source, "registry"))
		check_registry(h, json_get(source, "registry"), content);
	if (json_get(source, "imageio"))
		check_members(
			h, json_get(source, "imageio"), "spec.source.imageio", "Imageio", imageio);
	if (json_get(source, "vddk"))
		check_members(h, json_get(source, "vddk"), "spec.source.vddk", "VDDK", vddk);
	if (json_get(source, "pvc"))
		check_members(h, json_get(source, "pvc"), "spec.source.pvc", "PVC", pvc);
	if (json_get(source, "blank") && streq(content, "archive"))
		invalid(h, "spec.contentType", NULL,
			"SourceType cannot be blank and the contentType be archive");
}

static void check_source_ref(struct hook *h, const struct json *ref)
{
	const char *kind = text_of(ref, "kind");

	if (!*kind)
		invalid(h, "spec.sourceRef.kind", NULL, "Missing sourceRef kind");
	else if (!streq(kind, "DataSource"))
		invalid(h, "spec.sourceRef.kind", json_get(ref, "kind"),
			"Unsupported sourceRef kind %s, currently only DataSource is supported",
			kind);
	else if (!*text_of(ref, "name"))
		invalid(h, "spec.sourceRef.name", NULL, "Missing sourceRef name");
}

/* ---- a claim of that name that is another's ---- */

/* A data volume that the claim itself has asked for (an upload into a claim) belongs to it. */
static bool belongs_to(const struct json *doc, const struct object *claim)
{
	JSON_FOR_EACH_ITEM(owner, json_path(doc, "metadata.ownerReferences"))
		if (streq(json_str(json_get(owner, "uid")), claim->uid))
			return true;
	return false;
}

static void check_no_claim(struct hook *h, const struct json *doc)
{
	const struct kind *k = kind_by_name(h->api->kinds, "", "v1", "PersistentVolumeClaim");
	const char *ns = json_path_str(doc, "metadata.namespace");
	const char *name = json_path_str(doc, "metadata.name");
	const struct object *claim = k && ns && name ? cache_get(h->api->cache, k, ns, name) : NULL;
	const struct object_owner *owner = claim ? object_controller(claim) : NULL;
	const struct json *notes;

	notes = json_path(doc, "metadata.annotations");
	if (json_get(notes, PREPOPULATED) || streq(json_str(json_get(notes, ADOPTS)), "true"))
		return;
	if (!claim || belongs_to(doc, claim) || (owner && streq(owner->kind, "DataVolume")))
		return;
	notes = json_path(object_doc(claim, h->arena), "metadata.annotations");
	if (!streq(json_str(json_get(notes, POPULATED_FOR)), name))
		invalid(h, "metadata.name", json_path(doc, "metadata.name"),
			"Destination PVC %s/%s already exists", ns, name);
}

/* The source stays what it was when its maker was asked for his rights. */
static void check_rights(struct hook *h, struct json *doc)
{
	struct json *spec = json_get(doc, "spec"), *source;
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	const char *why = clone_rights_refusal(h, spec, ns);

	if (why)
		invalid(h, "spec.source.PVC.namespace", NULL, "%s", why);
	if (why || !h->api || !present(json_get(spec, "sourceRef")))
		return;
	source = clone_rights_resolve(h, json_get(spec, "sourceRef"), ns);
	if (source) {
		json_set(h->arena, spec, "source", source);
		json_remove(spec, "sourceRef");
	}
}

/* Only new ones are judged: what is stored already is to go on, and end. */
static int prepare_create(struct hook *h, struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	const struct json *source = json_get(spec, "source"), *ref = json_get(spec, "sourceRef");
	const char *content = text_of(spec, "contentType");

	check_no_claim(h, doc);
	check_claim(h, spec);
	if (*content && !streq(content, "kubevirt") && !streq(content, "archive"))
		invalid(h, "spec.contentType", json_get(spec, "contentType"),
			"ContentType not one of: kubevirt, archive");
	else if (streq(content, "archive"))
		invalid(h, "spec.contentType", json_get(spec, "contentType"),
			"archives of files are not supported here: use the image of a disk "
			"(contentType kubevirt; virtctl image-upload --image-path)");
	if (present(source) == present(ref))
		invalid(h, "spec.source", NULL,
			"Data volume should have either Source or SourceRef");
	else if (present(ref))
		check_source_ref(h, ref);
	else
		check_source(h, source, content);
	check_rights(h, doc);
	return 0;
}

/* What a sourceRef means is put in its place, once. */
static bool is_resolved(const struct hook *h, const struct json *spec, const struct json *old)
{
	struct json *now, *was;

	if (!present(json_get(old, "sourceRef")) || present(json_get(spec, "sourceRef")) ||
		present(json_get(old, "source")))
		return false;
	now = json_copy(h->arena, spec);
	was = json_copy(h->arena, old);
	json_remove(now, "source");
	json_remove(now, "sourceRef");
	json_remove(was, "source");
	json_remove(was, "sourceRef");
	return json_equal(now, was);
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");

	if (!*h->part && !json_equal(spec, was) && !is_resolved(h, spec, was))
		forbidden(h, "spec",
			"Cannot update DataVolume Spec: make another DataVolume, or change the "
			"claim");
	else if (!*h->part && !json_equal(spec, was)) {
		const char *why = clone_rights_refusal(
			h, spec, json_str_or(json_path(doc, "metadata.namespace"), ""));
		if (why)
			invalid(h, "spec.source.PVC.namespace", NULL, "%s", why);
	}
}

/* Whose DataVolumes name it need not be asked for more than its namespace. */
static void source_validate(struct hook *h, const struct json *doc)
{
	const char *why = clone_rights_refusal(
		h, json_get(doc, "spec"), json_str_or(json_path(doc, "metadata.namespace"), ""));

	if (why && !*h->part)
		invalid(h, "spec.source", NULL, "%s", why);
}

const struct kind_hooks hooks_data_source = {
	.group = "cdi.kubevirt.io",
	.kind = "DataSource",
	.validate = source_validate,
};

const struct kind_hooks hooks_data_volume = {
	.group = "cdi.kubevirt.io",
	.kind = "DataVolume",
	.prepare_create = prepare_create,
	.validate_update = validate_update,
};
