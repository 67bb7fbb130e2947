/* volume_plan.c - what the volumes of a pod are to be, from its spec and what that refers to. No
 * file is touched here. */
#include "node/volume/volume.h"

#include <inttypes.h>

#include "lib/object/quantity.h"
#include "node/volume/claim_volume.h"

static int64_t pod_group(const struct json *pod)
{
	return json_path_int(pod, "spec.securityContext.fsGroup", -1);
}

static int64_t user_of(const struct json *pod, const struct json *container)
{
	return json_path_int(container, "securityContext.runAsUser",
		json_path_int(pod, "spec.securityContext.runAsUser", -1));
}

/* The user that all containers have, -1 when they differ or one says none. */
static int64_t common_user(const struct json *pod)
{
	static const char *const lists[] = {"spec.initContainers", "spec.containers"};
	int64_t user = -1;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		JSON_FOR_EACH_ITEM(c, json_path(pod, lists[i])) {
			int64_t own = user_of(pod, c);
			if (own < 0 || (user >= 0 && own != user))
				return -1;
			user = own;
		}
	}
	return user;
}

/* ---- contents ---- */

struct fill {
	struct arena *a;
	const struct json *pod;
	const struct volume_source *source;
	struct payload *payload;
	unsigned default_mode;
};

static void fill_add(
	struct fill *f, const char *path, const char *data, size_t size, const struct json *mode)
{
	payload_add(f->a, f->payload,
		(struct payload_file){
			.path = path,
			.data = data,
			.size = size,
			.mode = (unsigned)json_int_or(mode, f->default_mode) & 0777,
		});
}

/* A value of data, or (encoded) of a ConfigMap's binaryData or a Secret. */
static int plain_value(struct arena *a, const char *key, const struct json *v, bool encoded,
	const char **ret, size_t *ret_size, struct err *err)
{
	char *plain;

	if (!encoded) {
		*ret = v->s;
		*ret_size = v->count;
		return 0;
	}
	if (base64_decode(a, (struct str){v->s, v->count}, &plain, ret_size) < 0)
		return err_set(err, -EINVAL, "key '%s' is no base64", key);
	*ret = plain;
	return 0;
}

/* data before binaryData; NULL when there is none. */
static const struct json *find_key(
	const struct json *o, bool secret, const char *key, bool *ret_encoded)
{
	const struct json *v = json_get(json_get(o, "data"), key);

	*ret_encoded = secret;
	if (!v && !secret) {
		v = json_get(json_get(o, "binaryData"), key);
		*ret_encoded = true;
	}
	return json_is(v, JSON_STRING) ? v : NULL;
}

static int fill_item(struct fill *f, const struct json *o, const struct json *item, bool secret,
	bool optional, struct err *err)
{
	const char *key = json_str_or(json_get(item, "key"), ""), *data = "";
	bool encoded;
	const struct json *v = find_key(o, secret, key, &encoded);
	size_t size = 0;

	if (!v)
		return optional ? 0
				: err_set(err, -ENOENT,
					  secret ? "references non-existent secret key: %s"
						 : "configmap references non-existent config key: "
						   "%s",
					  key);
	int r = plain_value(f->a, key, v, encoded, &data, &size, err);
	if (r >= 0)
		fill_add(f, json_str_or(json_get(item, "path"), key), data, size,
			json_get(item, "mode"));
	return r;
}

static int fill_items(struct fill *f, const struct json *o, const struct json *items, bool secret,
	bool optional, struct err *err)
{
	JSON_FOR_EACH_ITEM(item, items) {
		int r = fill_item(f, o, item, secret, optional, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_all(struct fill *f, const struct json *o, bool secret, struct err *err)
{
	static const char *const maps[] = {"data", "binaryData"};

	for (size_t i = 0; i < (secret ? 1 : ARRAY_LEN(maps)); i++) {
		JSON_FOR_EACH_MEMBER(m, json_get(o, maps[i])) {
			const char *data = "";
			size_t size = 0;
			if (!json_is(m->value, JSON_STRING))
				continue;
			int r = plain_value(
				f->a, m->name, m->value, secret || i > 0, &data, &size, err);
			if (r < 0)
				return r;
			fill_add(f, arena_strdup(f->a, m->name), data, size, NULL);
		}
	}
	return 0;
}

static int fill_object(
	struct fill *f, const struct json *spec, const char *name, bool secret, struct err *err)
{
	bool optional = json_bool_or(json_get(spec, "optional"), false);
	const struct json *items = json_get(spec, "items"), *o = NULL;
	const struct volume_source *s = f->source;
	int r = (secret ? s->secret : s->config_map)(s->user, name, &o, err);

	if (r < 0)
		return r;
	if (!o)
		return optional ? 0
				: err_set(err, -ENOENT, "%s \"%s\" not found",
					  secret ? "secret" : "configmap", name);
	return json_count(items) > 0 ? fill_items(f, o, items, secret, optional, err)
				     : fill_all(f, o, secret, err);
}

static int fill_downward(struct fill *f, const struct json *items, struct err *err)
{
	JSON_FOR_EACH_ITEM(item, items) {
		const struct json *field = json_get(item, "fieldRef");
		const char *value;
		int r = field ? f->source->field(f->source->user, f->a,
					json_str_or(json_get(field, "fieldPath"), ""), &value, err)
			      : f->source->resource(f->source->user, f->a,
					json_get(item, "resourceFieldRef"), &value, err);
		if (r < 0)
			return r;
		fill_add(f, json_str_or(json_get(item, "path"), ""), value, strlen(value),
			json_get(item, "mode"));
	}
	return 0;
}

/* Nobody but the pod's users may read a token: whoever they are when the pod does not say, its only
 * user, or its group. */
static int fill_token(struct fill *f, const struct json *part, struct err *err)
{
	int64_t user = common_user(f->pod);
	const char *token = "";
	int r = f->source->token(f->source->user, f->a, part, &token, err);

	if (r < 0)
		return r;
	fill_add(f, json_str_or(json_get(part, "path"), "token"), token, strlen(token), NULL);
	struct payload_file *file = &f->payload->items[f->payload->count - 1];
	if (user >= 0 || pod_group(f->pod) >= 0)
		file->mode = 0600;
	file->owned = user >= 0;
	file->user = user >= 0 ? (uint32_t)user : 0;
	return 0;
}

static int fill_projected(struct fill *f, const struct json *projected, struct err *err)
{
	int r = 0;

	JSON_FOR_EACH_ITEM(src, json_get(projected, "sources")) {
		const struct json *part;
		if ((part = json_get(src, "configMap")))
			r = fill_object(
				f, part, json_str_or(json_get(part, "name"), ""), false, err);
		else if ((part = json_get(src, "secret")))
			r = fill_object(
				f, part, json_str_or(json_get(part, "name"), ""), true, err);
		else if ((part = json_get(src, "downwardAPI")))
			r = fill_downward(f, json_get(part, "items"), err);
		else if ((part = json_get(src, "serviceAccountToken")))
			r = fill_token(f, part, err);
		else if (json_get(src, "clusterTrustBundle"))
			r = err_set(err, -ENOTSUP,
				"this cluster has no ClusterTrustBundles: project a configMap "
				"instead of clusterTrustBundle");
		if (r < 0)
			return r;
	}
	return 0;
}

static int plan_files(
	struct fill *f, const struct json *v, struct volume_step *step, struct err *err)
{
	const struct json *part;

	step->type = VOLUME_FILES;
	step->group = pod_group(f->pod);
	f->payload = &step->payload;
	if ((part = json_get(v, "configMap"))) {
		f->default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
		return fill_object(f, part, json_str_or(json_get(part, "name"), ""), false, err);
	}
	step->sticky = true;
	if ((part = json_get(v, "downwardAPI"))) {
		f->default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
		return fill_downward(f, json_get(part, "items"), err);
	}
	/* Never on a disk. */
	step->filesystem = "tmpfs";
	step->options = "mode=0777";
	if ((part = json_get(v, "secret"))) {
		f->default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
		return fill_object(
			f, part, json_str_or(json_get(part, "secretName"), ""), true, err);
	}
	part = json_get(v, "projected");
	f->default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
	return fill_projected(f, part, err);
}

/* ---- emptyDir ---- */

#define HUGE_PREFIX "hugepages-"
#define MEDIUM_HUGE "HugePages"

/* Of the page size that the containers ask for. */
static int huge_page_size(
	const struct json *pod, const char *medium, int64_t *ret_bytes, struct err *err)
{
	static const char *const lists[] = {"spec.containers", "spec.initContainers"};
	int64_t wanted = 0, found = 0;
	struct quantity q;

	if (str_has_prefix(medium, MEDIUM_HUGE "-")) {
		if (quantity_parse(medium + strlen(MEDIUM_HUGE "-"), &q) < 0)
			return err_set(err, -EINVAL, "medium %s: no page size", medium);
		wanted = quantity_value(q);
	}
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		JSON_FOR_EACH_ITEM(c, json_path(pod, lists[i])) {
			JSON_FOR_EACH_MEMBER(m, json_path(c, "resources.requests")) {
				if (!str_has_prefix(m->name, HUGE_PREFIX) ||
					quantity_parse(m->name + strlen(HUGE_PREFIX), &q) < 0)
					continue;
				int64_t size = quantity_value(q);
				if (wanted ? size != wanted : found && size != found) {
					if (!wanted)
						return err_set(err, -EINVAL,
							"medium: %s can't be used if container "
							"requests multiple huge page sizes",
							medium);
					continue;
				}
				found = size;
			}
		}
	}
	if (!found)
		return err_set(err, -EINVAL,
			"medium %s: hugePages storage requested, but there is no resource request "
			"for huge pages",
			medium);
	*ret_bytes = found;
	return 0;
}

/* The sum of the containers' memory limits, 0 when one of them has none. */
static int64_t memory_limit(const struct json *pod)
{
	int64_t sum = 0;

	JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.containers")) {
		int64_t one = quantity_json_value(json_path(c, "resources.limits.memory"), 0);
		if (one <= 0 || __builtin_add_overflow(sum, one, &sum))
			return 0;
	}
	return sum;
}

/* The smallest of what the node has, the pod may take, and the volume says. */
static int64_t memory_size(
	const struct volume_source *s, const struct json *pod, const struct json *spec)
{
	int64_t sizes[] = {s->memory_bytes, memory_limit(pod),
		quantity_json_value(json_get(spec, "sizeLimit"), 0)};
	int64_t size = 0;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (sizes[i] > 0 && (size == 0 || sizes[i] < size))
			size = sizes[i];
	}
	return size;
}

static int plan_empty_dir(
	struct fill *f, const struct json *spec, struct volume_step *step, struct err *err)
{
	const char *medium = json_str_or(json_get(spec, "medium"), "");
	int64_t size = 0;

	step->type = VOLUME_EMPTY_DIR;
	step->group = pod_group(f->pod);
	if (streq(medium, "Memory")) {
		size = memory_size(f->source, f->pod, spec);
		step->filesystem = "tmpfs";
		step->options = size > 0 ? arena_printf(f->a, "mode=0777,size=%" PRId64, size)
					 : "mode=0777";
	} else if (streq(medium, MEDIUM_HUGE) || str_has_prefix(medium, MEDIUM_HUGE "-")) {
		int r = huge_page_size(f->pod, medium, &size, err);
		if (r < 0)
			return r;
		step->filesystem = "hugetlbfs";
		step->options = arena_printf(f->a, "mode=0777,pagesize=%" PRId64, size);
	} else if (*medium) {
		return err_set(err, -EINVAL, "unknown storage medium \"%s\"", medium);
	}
	return 0;
}

/* ---- all ---- */

static const char *type_name(const struct json *volume)
{
	JSON_FOR_EACH_MEMBER(m, volume) {
		if (!streq(m->name, "name"))
			return m->name;
	}
	return "emptyDir";
}

static void failed(struct volume_step *step, const struct err *why)
{
	err_set(&step->err, why->code, "MountVolume.SetUp failed for volume \"%s\" : %s",
		step->title, why->msg);
}

static bool is_files(const struct json *v)
{
	return json_get(v, "configMap") || json_get(v, "secret") || json_get(v, "downwardAPI") ||
	       json_get(v, "projected");
}

static void plan_one(struct fill *f, const struct json *v, struct volume_step *step)
{
	struct err why = ERR_INIT;
	int r = 0;

	if (json_get(v, "hostPath")) {
		step->type = VOLUME_HOST_PATH;
		step->target = json_str_or(json_path(v, "hostPath.path"), "");
		step->check = json_str_or(json_path(v, "hostPath.type"), "");
	} else if (is_files(v)) {
		r = plan_files(f, v, step, &why);
	} else if (*claim_volume_name(f->a, f->pod, v)) {
		step->type = VOLUME_CLAIM;
		claim_volume_plan(f->a, f->pod, v, f->source, step);
	} else if (json_get(v, "emptyDir") || json_count(v) == 1) {
		r = plan_empty_dir(f, json_get(v, "emptyDir"), step, &why);
	} else {
		r = err_set(&why, -ENOTSUP,
			"no volume plugin matched: this node has no support for volumes of type "
			"%s, it has configMap, downwardAPI, emptyDir, ephemeral, hostPath, "
			"persistentVolumeClaim, projected and secret",
			type_name(v));
	}
	if (r < 0)
		failed(step, &why);
}

struct volume_plan *volumes_plan(struct arena *a, const char *pod_dir, const struct json *pod,
	const struct volume_source *source, bool contents_only)
{
	struct volume_plan *p = ARENA_NEW(a, struct volume_plan);
	const struct json *volumes = json_path(pod, "spec.volumes");

	p->pod_dir = arena_strdup(a, pod_dir);
	p->steps = arena_zalloc(a, (json_count(volumes) + 1) * sizeof(*p->steps));
	JSON_FOR_EACH_ITEM(v, volumes) {
		if (contents_only && !is_files(v))
			continue;
		struct volume_step *step = &p->steps[p->count++];
		struct fill f = {.a = a, .pod = pod, .source = source};
		step->name = step->title = json_str_or(json_get(v, "name"), "");
		step->path = arena_printf(a, "%s/volumes/%s", pod_dir, step->name);
		step->group = -1;
		if (!payload_path_valid(step->name) || strchr(step->name, '/'))
			err_set(&step->err, -EINVAL, "invalid volume name '%s'", step->name);
		else
			plan_one(&f, v, step);
	}
	return p;
}

bool volumes_need_refresh(const struct json *pod)
{
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		if (is_files(v))
			return true;
	}
	return false;
}

const struct err *volumes_failure(const struct volume_plan *p)
{
	if (p->err.code)
		return &p->err;
	for (size_t i = 0; i < p->count; i++) {
		if (p->steps[i].err.code)
			return &p->steps[i].err;
	}
	return NULL;
}
