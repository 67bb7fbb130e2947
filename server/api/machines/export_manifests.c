#include "server/api/machines/export_manifests.h"

#include <string.h>

#include "lib/base/buf.h"

/* The snapshot that a machine stands on, and what a restore noted, mean nothing elsewhere. */
#define OWN_ANNOTATIONS "hanok.io/"
#define RESTORE_ANNOTATIONS "restore.kubevirt.io/"

static struct json *new_object(
	struct arena *a, const char *version, const char *kind, const char *name)
{
	struct json *o = json_new_object(a);

	json_set_str(a, o, "apiVersion", version);
	json_set_str(a, o, "kind", kind);
	json_set_str(a, json_object_at(a, o, "metadata"), "name", name);
	return o;
}

static const char *ca_name(struct arena *a, const char *export)
{
	return arena_printf(a, "export-ca-cm-%s", export);
}

static const char *secret_name(struct arena *a, const char *export)
{
	return arena_printf(a, "header-secret-%s", export);
}

static struct json *ca_config_map(struct arena *a, const struct export_of *e)
{
	struct json *o = new_object(a, "v1", "ConfigMap", ca_name(a, e->name));

	json_set_str(a, json_object_at(a, o, "data"), "ca.pem",
		json_str_or(json_get(e->link, "cert"), ""));
	return o;
}

/* Where the disk is; NULL = the export does not have it. */
static const char *url_of(const struct export_of *e, const char *claim)
{
	JSON_FOR_EACH_ITEM(v, json_get(e->link, "volumes")) {
		if (!streq(json_str(json_get(v, "name")), claim))
			continue;
		JSON_FOR_EACH_ITEM(f, json_get(v, "formats"))
			if (streq(json_str(json_get(f, "format")), "gzip"))
				return json_str(json_get(f, "url"));
	}
	return NULL;
}

static struct json *http_source(struct arena *a, const struct export_of *e, const char *url)
{
	struct json *source = json_new_object(a), *http = json_object_at(a, source, "http");

	json_set_str(a, http, "url", url);
	json_set_str(a, http, "certConfigMap", ca_name(a, e->name));
	json_push(a, json_array_at(a, http, "secretExtraHeaders"),
		json_new_string(a, secret_name(a, e->name)));
	return source;
}

/* ---- the machine ---- */

static struct json *kept_annotations(struct arena *a, const struct json *all)
{
	struct json *kept = json_new_object(a);

	JSON_FOR_EACH_MEMBER(m, all)
		if (!str_has_prefix(m->name, OWN_ANNOTATIONS) &&
			!str_has_prefix(m->name, RESTORE_ANNOTATIONS))
			json_set(a, kept, m->name, json_copy(a, m->value));
	return kept;
}

static struct json *machine(struct arena *a, const struct export_of *e)
{
	const struct json *was = json_get(e->machine, "metadata");
	struct json *o = new_object(
		a, "kubevirt.io/v1", "VirtualMachine", json_str_or(json_get(was, "name"), ""));
	struct json *meta = json_get(o, "metadata"), *spec, *annotations;

	json_set_str(a, meta, "namespace", json_str_or(json_get(was, "namespace"), ""));
	if (json_count(json_get(was, "labels")))
		json_set(a, meta, "labels", json_copy(a, json_get(was, "labels")));
	annotations = kept_annotations(a, json_get(was, "annotations"));
	if (json_count(annotations))
		json_set(a, meta, "annotations", annotations);
	spec = json_copy(a, json_get(e->machine, "spec"));
	json_set(a, o, "spec", spec);
	JSON_FOR_EACH_ITEM(t, json_get(spec, "dataVolumeTemplates")) {
		const char *url = url_of(e, json_str_or(json_path(t, "metadata.name"), ""));
		struct json *of = json_get(t, "spec");

		if (!url || !json_is(of, JSON_OBJECT))
			continue;
		json_remove(of, "sourceRef");
		json_set(a, of, "source", http_source(a, e, url));
	}
	return o;
}

static bool has_template(const struct export_of *e, const char *claim)
{
	JSON_FOR_EACH_ITEM(t, json_path(e->machine, "spec.dataVolumeTemplates"))
		if (streq(json_path_str(t, "metadata.name"), claim))
			return true;
	return false;
}

static struct json *data_volume(
	struct arena *a, const struct export_of *e, const char *claim, const char *url)
{
	/* Of a place, a class and a way to be filled, there may be none elsewhere. */
	static const char *const gone[] = {
		"volumeName", "storageClassName", "dataSource", "dataSourceRef"};
	struct json *o = new_object(a, "cdi.kubevirt.io/v1beta1", "DataVolume", claim), *spec, *pvc;

	json_set_str(a, json_get(o, "metadata"), "namespace",
		json_str_or(json_path(e->machine, "metadata.namespace"), ""));
	spec = json_object_at(a, o, "spec");
	json_set(a, spec, "source", http_source(a, e, url));
	pvc = json_object_at(a, spec, "pvc");
	JSON_FOR_EACH_MEMBER(m, json_get(e->claim(e->user, claim), "spec"))
		json_set(a, pvc, m->name, json_copy(a, m->value));
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		json_remove(pvc, gone[i]);
	return o;
}

struct json *export_manifests_all(struct arena *a, const struct export_of *e)
{
	struct json *all = json_new_array(a);

	json_push(a, all, ca_config_map(a, e));
	json_push(a, all, machine(a, e));
	JSON_FOR_EACH_ITEM(v, json_path(e->machine, "spec.template.spec.volumes")) {
		const char *claim = json_path_str(v, "dataVolume.name");
		const char *url;

		if (!claim)
			claim = json_path_str(v, "persistentVolumeClaim.claimName");
		url = claim ? url_of(e, claim) : NULL;
		if (url && !has_template(e, claim) && e->claim(e->user, claim))
			json_push(a, all, data_volume(a, e, claim, url));
	}
	return all;
}

struct json *export_manifests_secret(struct arena *a, const char *name, const char *token)
{
	struct json *all = json_new_array(a);
	struct json *o = new_object(a, "v1", "Secret", secret_name(a, name));

	json_set_str(a, json_object_at(a, o, "stringData"), "token",
		arena_printf(a, "x-kubevirt-export-token:%s", token));
	json_push(a, all, o);
	return all;
}

void export_manifests_write(struct buf *out, struct arena *a, struct json *all, bool yaml)
{
	struct json *list;

	if (yaml) {
		JSON_FOR_EACH_ITEM(o, all) {
			yaml_write(out, o);
			buf_printf(out, "---\n");
		}
		return;
	}
	list = json_new_object(a);
	json_set_str(a, list, "apiVersion", "v1");
	json_set_str(a, list, "kind", "List");
	json_set(a, list, "metadata", json_new_object(a));
	json_set(a, list, "items", all);
	json_write_pretty(out, list);
}
