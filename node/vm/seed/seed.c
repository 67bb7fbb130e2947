#include "node/vm/seed/seed.h"

#include <strings.h>

#include "node/vm/seed/iso9660.h"

#define FILES_MAX 1024

struct seed {
	struct arena arena;
	const struct vm_spec *spec;
	const struct vm_disk *disk;
	seed_lookup *lookup;
	void *user;
	struct iso_file files[FILES_MAX];
	size_t count;
	struct buf meta;   /* the meta data's text */
	struct buf vendor; /* the config drive's vendor data */
	unsigned mode;
};

static int add(struct seed *s, const char *path, const char *p, size_t size, struct err *err)
{
	if (s->count == FILES_MAX)
		return err_set(err, -E2BIG, "more than %d files", FILES_MAX);
	s->files[s->count++] = (struct iso_file){.path = path, .data = p, .size = size};
	return 0;
}

/* A value of a Secret or ConfigMap; NULL when it has no such key. */
static int value(struct seed *s, bool config_map, const char *object, const char *key,
	const struct json *v, const char **ret, size_t *ret_size, struct err *err)
{
	char *out;

	if (!json_is(v, JSON_STRING))
		return err_set(err, -EINVAL, "'%s' in '%s' is not text", key, object);
	if (config_map) {
		*ret = v->s;
		*ret_size = v->count;
	} else if (base64_decode(&s->arena, (struct str){v->s, v->count}, &out, ret_size) < 0) {
		return err_set(err, -EINVAL, "'%s' in secret '%s' is not base64", key, object);
	} else {
		*ret = out;
	}
	return 0;
}

/* ---- cloud-init ---- */

struct document {
	const char *plain, *base64, *ref;
	const char *keys[2]; /* in the Secret */
};

/* One of the three ways to give a document; *ret NULL when none was used. */
static int read_document(struct seed *s, const struct document *d, const char **ret,
	size_t *ret_size, struct err *err)
{
	const struct json *source = s->disk->cloud_init;
	const struct json *plain = json_get(source, d->plain), *data, *v = NULL;
	const struct json *encoded = json_get(source, d->base64);
	const char *secret = json_str(json_path(json_get(source, d->ref), "name"));
	char *out;

	*ret = NULL;
	*ret_size = 0;
	if (secret && *secret) {
		data = s->lookup(s->user, false, secret);
		for (int i = 0; i < 2 && !v; i++)
			v = json_get(data, d->keys[i]);
		if (!v)
			return err_set(err, -ENOENT, "secret '%s' has no %s", secret, d->keys[0]);
		if (value(s, false, secret, d->keys[0], v, ret, ret_size, err) < 0)
			return -EINVAL;
	} else if (json_is(plain, JSON_STRING) && plain->count) {
		*ret = plain->s;
		*ret_size = plain->count;
	} else if (json_is(encoded, JSON_STRING) && encoded->count) {
		if (base64_decode(&s->arena, (struct str){encoded->s, encoded->count}, &out,
			    ret_size) < 0)
			return err_set(err, -EINVAL, "%s is not base64", d->base64);
		*ret = out;
	}
	if (*ret_size > SEED_DOCUMENT_MAX_BYTES)
		return err_set(err, -E2BIG, "%s has %zu bytes, more than %u", d->plain, *ret_size,
			SEED_DOCUMENT_MAX_BYTES);
	return 0;
}

static const char *key_method(const struct vm_disk *d)
{
	return d->seed == VM_SEED_CONFIG_DRIVE ? "configDrive" : "noCloud";
}

/* The Secret of ssh keys that this disk is to carry; NULL. */
static const char *key_secret(const struct json *credential, const struct vm_disk *d)
{
	const struct json *key = json_get(credential, "sshPublicKey");

	if (!json_get(json_get(key, "propagationMethod"), key_method(d)))
		return NULL;
	return json_path_str(key, "source.secret.secretName");
}

static int add_keys(struct seed *s, struct json *meta, const char *name, struct err *err)
{
	const struct json *all = json_path(s->spec->object, "spec.accessCredentials");
	struct json *keys = json_new_object(&s->arena);

	JSON_FOR_EACH_ITEM(it, all) {
		const char *secret = key_secret(it, s->disk);
		const struct json *data = secret ? s->lookup(s->user, false, secret) : NULL;

		if (secret && !data)
			return err_set(err, -ENOENT, "secret '%s' is not there", secret);
		JSON_FOR_EACH_MEMBER(m, data) {
			const char *text;
			size_t size;
			int r = value(s, false, secret, m->name, m->value, &text, &size, err);

			if (r == 0 && (size > SEED_DOCUMENT_MAX_BYTES || !utf8_valid(text, size)))
				r = err_set(err, -EINVAL, "'%s' in secret '%s' is not a public key",
					m->name, secret);
			if (r < 0)
				return r;
			if (size)
				json_set(&s->arena, keys,
					arena_printf(&s->arena, "%zu", json_count(keys)),
					json_new_string_n(&s->arena, text, size));
		}
	}
	if (json_count(keys))
		json_set(&s->arena, meta, name, keys);
	return 0;
}

static void put_instance_type(struct seed *s, struct json *meta, const char *name)
{
	static const char *const from[] = {
		"kubevirt.io/cluster-instancetype-name", "kubevirt.io/instancetype-name"};
	const struct json *annotations = json_path(s->spec->object, "metadata.annotations");

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		const char *type = json_str(json_get(annotations, from[i]));

		if (type && *type) {
			json_set_str(&s->arena, meta, name, type);
			return;
		}
	}
}

/* By name, so that a machine that is started again is the same instance to cloud-init, and a clone
 * is another. */
static struct json *instance_id(struct seed *s)
{
	return json_new_printf(&s->arena, "%s.%s", s->spec->name, s->spec->namespace);
}

static const struct document user_document = {
	"userData", "userDataBase64", "secretRef", {"userdata", "userData"}};
static const struct document network_document = {
	"networkData", "networkDataBase64", "networkDataSecretRef", {"networkdata", "networkData"}};

/* A disk that another instance has booted from before is a copy (or its machine got another name):
 * its system must not go on as the other one. cloud-init keeps a directory for each instance that
 * it has seen. A boot hook, because a user's own cloud-config replaces a vendor's of the same keys,
 * but not this. */
static const char vendor_data[] =
	"#cloud-boothook\n"
	"#!/bin/sh\n"
	"set -- /var/lib/cloud/instances/*\n"
	"[ $# -gt 1 ] || exit 0\n"
	"exec cloud-init-per instance machine-id sh -c '\n"
	"if command -v systemd-machine-id-setup >/dev/null; then\n"
	"\trm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup\n"
	"elif command -v dbus-uuidgen >/dev/null; then\n"
	"\trm -f /etc/machine-id /var/lib/dbus/machine-id\n"
	"\tdbus-uuidgen --ensure=/etc/machine-id && dbus-uuidgen --ensure\n"
	"fi'\n";

/* What comes from the platform, not from the user. */
static int add_vendor_data(struct seed *s, bool drive, struct err *err)
{
	if (!drive)
		return add(s, "vendor-data", vendor_data, strlen(vendor_data), err);
	struct json *doc = json_new_object(&s->arena);
	json_set_str(&s->arena, doc, "cloud-init", vendor_data);
	json_write(&s->vendor, doc);
	return add(s, "openstack/latest/vendor_data.json", s->vendor.data, s->vendor.size, err);
}

static int add_cloud_init(struct seed *s, struct err *err)
{
	bool drive = s->disk->seed == VM_SEED_CONFIG_DRIVE;
	const char *user, *network;
	struct json *meta = json_new_object(&s->arena);
	size_t user_size, network_size;
	int r;

	put_instance_type(s, meta, drive ? "instance_type" : "instance-type");
	json_set(&s->arena, meta, drive ? "instance_id" : "instance-id", instance_id(s));
	json_set_str(&s->arena, meta, drive ? "hostname" : "local-hostname", s->spec->hostname);
	if (drive)
		json_set_str(&s->arena, meta, "uuid", s->spec->uuid);
	r = add_keys(s, meta, drive ? "public_keys" : "public-keys", err);
	if (r == 0)
		r = read_document(s, &user_document, &user, &user_size, err);
	if (r == 0)
		r = read_document(s, &network_document, &network, &network_size, err);
	if (r < 0)
		return r;
	json_write_pretty(&s->meta, meta); /* JSON is YAML */
	r = add(s, drive ? "openstack/latest/meta_data.json" : "meta-data", s->meta.data,
		s->meta.size, err);
	/* Without the file cloud-init does not take a disk for a NoCloud seed. */
	if (r == 0 && (user || !drive))
		r = add(s, drive ? "openstack/latest/user_data" : "user-data", user ? user : "",
			user_size, err);
	if (r == 0 && network)
		r = add(s, drive ? "openstack/latest/network_data.json" : "network-config", network,
			network_size, err);
	return r < 0 ? r : add_vendor_data(s, drive, err);
}

/* ---- ConfigMaps and Secrets ---- */

/* Which object, and whether it may be absent. */
static const char *object_of(const struct vm_disk *d, bool *ret_config_map, bool *ret_optional)
{
	const struct json *source = d->cloud_init, *ref;

	*ret_optional = json_bool_or(json_get(source, "optional"), false);
	switch (d->seed) {
	case VM_SEED_CONFIG_MAP:
		*ret_config_map = true;
		return json_str(json_get(source, "name"));
	case VM_SEED_SECRET:
		*ret_config_map = false;
		return json_str(json_get(source, "secretName"));
	case VM_SEED_SYSPREP:
		ref = json_get(source, "configMap");
		*ret_config_map = ref != NULL;
		return json_str(json_get(ref ? ref : json_get(source, "secret"), "name"));
	case VM_SEED_NO_CLOUD:
	case VM_SEED_CONFIG_DRIVE:
	case VM_SEED_DOWNWARD_API:
	case VM_SEED_SERVICE_ACCOUNT:
		break;
	}
	return NULL;
}

static bool is_answer_file(const char *name)
{
	return !strcasecmp(name, "autounattend.xml") || !strcasecmp(name, "unattend.xml");
}

static int add_object(struct seed *s, struct err *err)
{
	bool config_map, optional, answered = s->disk->seed != VM_SEED_SYSPREP;
	const char *name = object_of(s->disk, &config_map, &optional);
	const struct json *data = name ? s->lookup(s->user, config_map, name) : NULL;
	int r = 0;

	if (!data && !optional)
		return err_set(err, -ENOENT, "%s '%s' is not there or empty",
			config_map ? "configmap" : "secret", name ? name : "");
	JSON_FOR_EACH_MEMBER(m, data) {
		const char *text;
		size_t size;

		answered |= is_answer_file(m->name);
		r = value(s, config_map, name, m->name, m->value, &text, &size, err);
		if (r == 0)
			r = add(s, m->name, text, size, err);
		if (r < 0)
			return r;
	}
	return answered ? 0
			: err_set(err, -EINVAL,
				  "Sysprep drive should contain autounattend.xml or unattend.xml "
				  "but neither were found.");
}

/* What the machine may know of itself, or show for itself. */
static int add_fields(struct seed *s, struct err *err)
{
	int r = 0;

	JSON_FOR_EACH_MEMBER(m, s->disk->fields)
		if ((r = add(s, m->name, m->value->s, m->value->count, err)) < 0)
			return r;
	return r;
}

/* ---- all of them ---- */

void seed_refs(const struct vm_spec *s, const struct vm_disk *d, seed_visit *each, void *user)
{
	static const char *const refs[] = {"secretRef", "networkDataSecretRef"};
	bool config_map, optional;
	const char *name;

	if (d->seed != VM_SEED_NO_CLOUD && d->seed != VM_SEED_CONFIG_DRIVE) {
		name = object_of(d, &config_map, &optional);
		if (name && *name)
			each(user, config_map, name, optional);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		name = json_str(json_path(json_get(d->cloud_init, refs[i]), "name"));
		if (name && *name)
			each(user, false, name, false);
	}
	JSON_FOR_EACH_ITEM(it, json_path(s->object, "spec.accessCredentials")) {
		name = key_secret(it, d);
		if (name && *name)
			each(user, false, name, false);
	}
}

static const char *label_of(const struct vm_disk *d)
{
	const char *given = json_str(json_get(d->cloud_init, "volumeLabel"));

	switch (d->seed) {
	case VM_SEED_NO_CLOUD:
		return "cidata";
	case VM_SEED_CONFIG_DRIVE:
		return "config-2";
	case VM_SEED_SYSPREP:
		return "unattendCD";
	case VM_SEED_CONFIG_MAP:
	case VM_SEED_SECRET:
	case VM_SEED_DOWNWARD_API:
	case VM_SEED_SERVICE_ACCOUNT:
		break;
	}
	return given && *given ? given : "cfgdata";
}

int seed_build(struct buf *out, const struct vm_spec *spec, const struct vm_disk *d,
	seed_lookup *lookup, void *user, int64_t wall_ns, struct err *err)
{
	struct seed *s = xcalloc(1, sizeof(*s));
	int r;

	s->spec = spec;
	s->disk = d;
	s->lookup = lookup;
	s->user = user;
	s->mode = d->seed == VM_SEED_CONFIG_MAP || d->seed == VM_SEED_DOWNWARD_API ? 0444 : 0400;
	if (d->seed == VM_SEED_NO_CLOUD || d->seed == VM_SEED_CONFIG_DRIVE)
		r = add_cloud_init(s, err);
	else if (d->seed == VM_SEED_DOWNWARD_API || d->seed == VM_SEED_SERVICE_ACCOUNT)
		r = add_fields(s, err);
	else
		r = add_object(s, err);
	if (r == 0)
		r = iso9660_write(out, label_of(d), s->files, s->count, s->mode, wall_ns, err);
	arena_finish(&s->arena);
	buf_finish(&s->meta);
	buf_finish(&s->vendor);
	free(s);
	return r;
}
