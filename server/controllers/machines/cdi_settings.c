/* What clients of CDI read before they make claims and uploads:
 *
 *   StorageProfile NAME   of each StorageClass: which claims it gives, and how they are cloned; its
 *                         spec comes before what is known of the provisioner
 *   CDIConfig config      the address for uploads and the class for scratch space, of which there
 * is none: imports work in the claim itself. spec overrides both
 *
 * The server has put its own address there (bootstrap.c). */
#include "server/controllers/machines/cdi_settings.h"

#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define OWN_PROVISIONER "hanok.io/local"
#define NFS_PROVISIONER "hanok.io/nfs"
#define DEFAULT_CLASS "storageclass.kubernetes.io/is-default-class"
#define CONFIG "config"
#define OWN_URL "hanok.io/upload-url"

struct cdi_settings {
	struct loop *profiles_loop, *config_loop;
	struct informer *classes, *profiles, *configs;
};

/* ---- profiles ---- */

static const struct json *wanted_or(
	struct arena *a, const struct json *spec, const char *name, const char *own)
{
	const struct json *v = json_get(spec, name);

	return v ? v : own ? json_new_string(a, own) : NULL;
}

static struct json *property_sets(struct arena *a, const char *mode)
{
	struct json *sets = json_new_array(a), *set = json_new_object(a), *modes;

	modes = json_new_array(a);
	json_push(a, modes, json_new_string(a, mode));
	json_set(a, set, "accessModes", modes);
	json_set_str(a, set, "volumeMode", "Filesystem");
	json_push(a, sets, set);
	return sets;
}

static struct json *profile_status(
	struct arena *a, const struct object *class, const struct json *spec)
{
	const char *provisioner = json_str_or(json_path(object_doc(class, a), "provisioner"), "");
	bool own = streq(provisioner, OWN_PROVISIONER);
	bool nfs = streq(provisioner, NFS_PROVISIONER);
	struct json *status = json_new_object(a);
	const struct json *sets = json_get(spec, "claimPropertySets"), *v;

	json_set_str(a, status, "storageClass", class->name);
	json_set_str(a, status, "provisioner", provisioner);
	/* Of own classes a copy is made by its provisioner, of links to the same layers. */
	v = wanted_or(a, spec, "cloneStrategy", own ? "csi-clone" : "copy");
	json_set(a, status, "cloneStrategy", json_copy(a, v));
	if (sets || own || nfs)
		json_set(a, status, "claimPropertySets",
			sets ? json_copy(a, sets)
			     : property_sets(a, nfs ? "ReadWriteMany" : "ReadWriteOnce"));
	v = wanted_or(a, spec, "dataImportCronSourceFormat", own ? "pvc" : NULL);
	if (v)
		json_set(a, status, "dataImportCronSourceFormat", json_copy(a, v));
	v = json_get(spec, "snapshotClass");
	if (v)
		json_set(a, status, "snapshotClass", json_copy(a, v));
	return status;
}

static void make_profile(struct sync *s, struct cdi_settings *c)
{
	struct arena *a = &s->arena;
	struct json *doc = json_new_object(a), *meta;

	json_set_str(a, doc, "apiVersion", "cdi.kubevirt.io/v1beta1");
	json_set_str(a, doc, "kind", "StorageProfile");
	meta = json_object_at(a, doc, "metadata");
	json_set_str(a, meta, "name", s->name);
	json_set_str(a, json_object_at(a, meta, "labels"), "cdi.kubevirt.io", "");
	json_set(a, doc, "spec", json_new_object(a));
	sync_create(s, informer_kind(c->profiles), "", doc, NULL, NULL);
}

static void reconcile_profile(struct sync *s)
{
	struct cdi_settings *c = s->self;
	struct object *class = informer_get(c->classes, "", s->name);
	struct object *profile = informer_get(c->profiles, "", s->name);
	const struct json *doc;

	if (profile)
		profile = sync_hold(s, profile);
	if (!class || class->deleting) {
		if (profile && !profile->deleting)
			sync_delete(s, profile, -1, NULL, NULL, NULL);
		return;
	}
	if (!profile) {
		make_profile(s, c);
		return;
	}
	doc = object_doc(profile, &s->arena);
	sync_status(s, profile, doc,
		profile_status(&s->arena, sync_hold(s, class), json_path(doc, "spec")), NULL, NULL);
}

/* ---- the config ---- */

const char *storage_class_default(struct informer *classes, struct arena *a)
{
	struct object **all;
	size_t count = informer_list(classes, NULL, a, &all);

	for (size_t i = 0; i < count; i++) {
		const struct json *notes = json_path(object_doc(all[i], a), "metadata.annotations");

		if (streq(json_str(json_get(notes, DEFAULT_CLASS)), "true"))
			return all[i]->name;
	}
	return NULL;
}

static void reconcile_config(struct sync *s)
{
	struct cdi_settings *c = s->self;
	struct object *config = informer_get(c->configs, "", CONFIG);
	struct arena *a = &s->arena;
	struct json *doc, *patch, *status;
	const char *url, *class;
	bool changed = false;

	if (!config || config->deleting)
		return;
	config = sync_hold(s, config);
	doc = object_doc(config, a);
	status = json_new_object(a);
	url = json_path_str(doc, "spec.uploadProxyURLOverride");
	if (!url || !*url)
		url = json_str(json_get(json_path(doc, "metadata.annotations"), OWN_URL));
	if (url)
		json_set_str(a, status, "uploadProxyURL", url);
	class = json_path_str(doc, "spec.scratchSpaceStorageClass");
	if (!class || !*class)
		class = storage_class_default(c->classes, a);
	json_set_str(a, status, "scratchSpaceStorageClass", class ? class : "");
	json_set(a, status, "preallocation",
		json_new_bool(a, json_path_bool(doc, "spec.preallocation", false)));
	/* CDI has its status beside its spec, not below /status. */
	JSON_FOR_EACH_MEMBER(m, status)
		changed = changed ||
			  !json_equal(json_get(json_get(doc, "status"), m->name), m->value);
	patch = json_new_object(a);
	json_set(a, patch, "status", status);
	if (changed)
		sync_patch(s, config, NULL, patch, NULL, NULL);
}

static void on_config(void *user, const struct object *old, const struct object *new)
{
	struct cdi_settings *c = user;

	loop_add(c->config_loop, "", CONFIG);
}

static void on_profile(void *user, const struct object *old, const struct object *new)
{
	struct cdi_settings *c = user;

	loop_add_object(c->profiles_loop, new ? new : old);
}

static void on_class(void *user, const struct object *old, const struct object *new)
{
	on_profile(user, old, new);
	on_config(user, old, new);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler class = {.changed = on_class},
					     profile = {.changed = on_profile},
					     config = {.changed = on_config};
	struct cdi_settings *c = xcalloc(1, sizeof(*c));

	c->profiles_loop =
		loop_create(sh->client, "storageprofile-controller", 1, reconcile_profile, c);
	c->config_loop = loop_create(sh->client, "cdiconfig-controller", 1, reconcile_config, c);
	c->classes = shared_informer(sh, "storage.k8s.io", "v1", "StorageClass");
	c->profiles = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "StorageProfile");
	c->configs = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "CDIConfig");
	informer_add_handler(c->classes, &class, c);
	informer_add_handler(c->profiles, &profile, c);
	informer_add_handler(c->configs, &config, c);
	return c;
}

static void start(void *self)
{
	struct cdi_settings *c = self;

	loop_start(c->profiles_loop);
	loop_start(c->config_loop);
}

static void destroy(void *self)
{
	struct cdi_settings *c = self;

	loop_destroy(c->profiles_loop);
	loop_destroy(c->config_loop);
	free(c);
}

const struct controller_class cdi_settings_controller = {"storageprofile", create, start, destroy};
