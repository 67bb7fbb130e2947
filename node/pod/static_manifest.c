/* static_manifest.c - see static_manifest.h. */
#include "node/pod/static_manifest.h"

#include <ctype.h>
#include <openssl/sha.h>

#include "lib/base/clock.h"
#include "lib/object/rule.h"

#define ANNOTATION_HASH "kubernetes.io/config.hash"
#define ANNOTATION_MIRROR "kubernetes.io/config.mirror"
#define ANNOTATION_SEEN "kubernetes.io/config.seen"
#define ANNOTATION_SOURCE "kubernetes.io/config.source"
enum { UID_BYTES = 16 };

static const char *const container_lists[] = {
	"containers", "initContainers", "ephemeralContainers"};

static struct json *annotations_of(struct arena *a, struct json *pod)
{
	return json_object_at(a, json_object_at(a, pod, "metadata"), "annotations");
}

/* ---- references ---- */

static const char *container_reference(const struct json *c)
{
	static const char *const values[][2] = {
		{"configMapKeyRef", "configmaps"}, {"secretKeyRef", "secrets"}};
	static const char *const froms[][2] = {
		{"configMapRef", "configmaps"}, {"secretRef", "secrets"}};

	JSON_FOR_EACH_ITEM(e, json_get(c, "env")) {
		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			if (json_get(json_get(e, "valueFrom"), values[i][0]))
				return values[i][1];
		}
	}
	JSON_FOR_EACH_ITEM(e, json_get(c, "envFrom")) {
		for (size_t i = 0; i < ARRAY_LEN(froms); i++) {
			if (json_get(e, froms[i][0]))
				return froms[i][1];
		}
	}
	return NULL;
}

/* The kind of API object that it refers to; NULL = none. */
static const char *reference(const struct json *spec)
{
	static const char *const volumes[][2] = {
		{"configMap", "configmaps"},
		{"secret", "secrets"},
		{"persistentVolumeClaim", "persistentvolumeclaims"},
		{"ephemeral", "persistentvolumeclaims"},
	};
	static const char *const sources[][2] = {
		{"configMap", "configmaps"},
		{"secret", "secrets"},
		{"serviceAccountToken", "serviceaccounts"},
		{"clusterTrustBundle", "clustertrustbundles"},
	};

	if (*json_str_or(json_get(spec, "serviceAccountName"), "") ||
		*json_str_or(json_get(spec, "serviceAccount"), ""))
		return "serviceaccounts";
	if (json_count(json_get(spec, "imagePullSecrets")))
		return "secrets";
	if (json_count(json_get(spec, "resourceClaims")))
		return "resourceclaims";
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		for (size_t i = 0; i < ARRAY_LEN(volumes); i++) {
			if (json_get(v, volumes[i][0]))
				return volumes[i][1];
		}
		JSON_FOR_EACH_ITEM(s, json_path(v, "projected.sources")) {
			for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
				if (json_get(s, sources[i][0]))
					return sources[i][1];
			}
		}
	}
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		JSON_FOR_EACH_ITEM(c, json_get(spec, container_lists[l])) {
			const char *found = container_reference(c);
			if (found)
				return found;
		}
	}
	return NULL;
}

/* ---- a manifest ---- */

/* What the server would fill in by rules of its own. */
static void set_pull_policies(struct arena *a, struct json *spec)
{
	static const char *const lists[] = {"containers", "initContainers"};

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		JSON_FOR_EACH_ITEM(c, json_get(spec, lists[l])) {
			const char *image = json_str_or(json_get(c, "image"), "");
			const char *slash = strrchr(image, '/');
			const char *tag = strchr(slash ? slash : image, ':');
			bool latest = !strchr(image, '@') && (!tag || streq(tag, ":latest"));
			if (!*json_str_or(json_get(c, "imagePullPolicy"), ""))
				json_set_str(a, c, "imagePullPolicy",
					latest ? "Always" : "IfNotPresent");
		}
	}
}

static void tolerate_all(struct arena *a, struct json *spec)
{
	struct json *t = json_new_object(a);

	json_set_str(a, t, "effect", "NoExecute");
	json_set_str(a, t, "operator", "Exists");
	json_push(a, json_array_at(a, spec, "tolerations"), t);
}

static char *uid_for(struct arena *a, const struct static_origin *o, const struct json *doc)
{
	const char *text =
		arena_printf(a, "host:%s\nfile:%s\n%s", o->node_name, o->path, json_text(a, doc));
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text, strlen(text), digest);
	return hex_encode(a, digest, UID_BYTES);
}

static int check_doc(const struct json *doc, struct err *err)
{
	const char *name = json_path_str(doc, "metadata.name");
	const char *ns = json_path_str(doc, "metadata.namespace");

	if (!name || !rule_holds(RULE_DNS_SUBDOMAIN, name))
		return err_set(err, -EINVAL,
			"metadata.name: \"%s\": give a name in lower case letters, digits, '-' and "
			"'.'",
			name ? name : "");
	if (ns && *ns && !rule_holds(RULE_DNS_LABEL, ns))
		return err_set(err, -EINVAL, "metadata.namespace: \"%s\": not a namespace", ns);
	if (json_count(json_path(doc, "spec.containers")) == 0)
		return err_set(err, -EINVAL, "spec.containers: Required value");
	/* Names become parts of paths. */
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		JSON_FOR_EACH_ITEM(c, json_get(json_get(doc, "spec"), container_lists[l])) {
			if (!rule_holds(RULE_DNS_LABEL, json_str_or(json_get(c, "name"), "")) ||
				!*json_str_or(json_get(c, "image"), ""))
				return err_set(err, -EINVAL,
					"spec.%s: each needs a name (a DNS label) and an image",
					container_lists[l]);
		}
	}
	const char *found = reference(json_get(doc, "spec"));
	return found ? err_set(err, -EINVAL, "static pods may not reference %s", found) : 0;
}

int static_manifest_read(const struct static_origin *o, const char *text, size_t size,
	struct object **ret, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *given, *doc;
	struct status st = {0};
	char seen[TIME_RFC3339_MICRO_ROOM];
	_cleanup_(buf_finish) struct buf plain = BUF_INIT;

	int r = yaml_parse(&a, text, size, NULL, &given, err);
	if (r < 0)
		return r;
	if (!json_is(given, JSON_OBJECT) || !streq(json_str(json_get(given, "kind")), "Pod") ||
		!streq(json_str(json_get(given, "apiVersion")), "v1"))
		return err_set(err, -EINVAL, "not a Pod of apiVersion v1");
	json_remove(given, "status");
	json_write(&plain, given);
	r = object_decode(o->kinds, o->pod_kind, &a, "application/json", plain.data, plain.size,
		&(struct decode_options){.field_validation = FIELD_VALIDATION_IGNORE}, &doc, &st);
	if (r < 0)
		return err_set(
			err, -EINVAL, "%s", json_str_or(json_get(st.doc, "message"), "not a Pod"));
	r = check_doc(doc, err);
	if (r < 0)
		return r;

	struct json *meta = json_object_at(&a, doc, "metadata");
	struct json *spec = json_object_at(&a, doc, "spec");
	struct json *notes = annotations_of(&a, doc);
	const char *uid = uid_for(&a, o, given);
	char *node = arena_strdup(&a, o->node_name);
	for (char *p = node; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	static const char *const others[] = {"resourceVersion", "generateName", "selfLink",
		"deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers",
		"managedFields"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		json_remove(meta, others[i]);
	json_set_str(&a, meta, "name",
		arena_printf(&a, "%s-%s", json_str(json_get(meta, "name")), node));
	if (!*json_str_or(json_get(meta, "namespace"), ""))
		json_set_str(&a, meta, "namespace", "default");
	json_set_str(&a, meta, "uid", uid);
	time_format_rfc3339_micro(o->seen_ns, seen);
	json_remove(notes, ANNOTATION_MIRROR);
	json_set_str(&a, notes, ANNOTATION_HASH, uid);
	json_set_str(&a, notes, ANNOTATION_SEEN, seen);
	json_set_str(&a, notes, ANNOTATION_SOURCE, "file");
	json_set_str(&a, spec, "nodeName", o->node_name);
	json_set_bool(&a, spec, "enableServiceLinks",
		json_bool_or(json_get(spec, "enableServiceLinks"), true));
	set_pull_policies(&a, spec);
	tolerate_all(&a, spec);
	*ret = object_new(o->pod_kind, &a, doc, 0);
	return 0;
}

/* ---- the mirror ---- */

struct json *static_mirror_make(
	struct arena *a, const struct object *pod, const char *node_name, const char *node_uid)
{
	struct json *doc = json_copy(a, object_doc(pod, a));
	struct json *meta = json_object_at(a, doc, "metadata"), *owner = json_new_object(a);
	struct json *owners = json_new_array(a);

	json_set_str(a, annotations_of(a, doc), ANNOTATION_MIRROR, pod->uid);
	json_set_str(a, owner, "apiVersion", "v1");
	json_set_str(a, owner, "kind", "Node");
	json_set_str(a, owner, "name", node_name);
	json_set_str(a, owner, "uid", node_uid);
	json_set_bool(a, owner, "controller", true);
	json_push(a, owners, owner);
	json_set(a, meta, "ownerReferences", owners);
	json_remove(meta, "uid");
	json_remove(meta, "resourceVersion");
	json_remove(meta, "creationTimestamp");
	json_remove(doc, "status");
	return doc;
}

const char *static_mirror_hash(struct arena *a, const struct object *pod)
{
	/* Most pods are none, and need not be parsed to know. */
	if (!memmem(pod->bytes->data, pod->bytes->size, ANNOTATION_MIRROR,
		    sizeof(ANNOTATION_MIRROR) - 1))
		return NULL;
	return json_str(
		json_get(json_path(object_doc(pod, a), "metadata.annotations"), ANNOTATION_MIRROR));
}

struct object *static_leaving(const struct object *pod, int64_t now_ns)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = json_copy(&a, object_doc(pod, &a));
	struct json *meta = json_object_at(&a, doc, "metadata");
	char now[TIME_RFC3339_ROOM];

	time_format_rfc3339(now_ns, now);
	json_set_str(&a, meta, "deletionTimestamp", now);
	json_set_int(&a, meta, "deletionGracePeriodSeconds",
		json_path_int(doc, "spec.terminationGracePeriodSeconds", 30));
	return object_new(pod->kind, &a, doc, 0);
}
