/* ServiceAccount: every pod runs as an account of its namespace and finds that account's token, the
 * cluster's certificate authority and its namespace in files (Kubernetes: "Configure Service
 * Accounts for Pods"). */
#include "server/api/admission/admission_internal.h"
#include "server/api/auth/auth.h"

#define DEFAULT_NAME "default"
#define MOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"
#define VOLUME_PREFIX "kube-api-access-"
#define TOKEN_SECONDS 3607 /* upstream's: an hour, told from one that a user wrote */

static const char *const container_lists[] = {"initContainers", "containers"};

/* ---- mirror pods: copies of what a node runs by its own files; they may refer to nothing ---- */

static bool mentions_secret(const struct json *container)
{
	JSON_FOR_EACH_ITEM(e, json_get(container, "env"))
		if (json_path(e, "valueFrom.secretKeyRef"))
			return true;
	JSON_FOR_EACH_ITEM(from, json_get(container, "envFrom"))
		if (json_get(from, "secretRef"))
			return true;
	return false;
}

static bool pod_mentions_secret(const struct json *spec)
{
	if (json_count(json_get(spec, "imagePullSecrets")))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(container_lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, container_lists[i]))
			if (mentions_secret(c))
				return true;
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		if (json_get(v, "secret"))
			return true;
		JSON_FOR_EACH_ITEM(s, json_path(v, "projected.sources"))
			if (json_get(s, "secret"))
				return true;
	}
	return false;
}

static int check_mirror(const struct admission_review *r, const struct json *spec)
{
	if (*json_str_or(json_get(spec, "serviceAccountName"), ""))
		return admission_forbid(r, "a mirror pod may not reference service accounts");
	if (pod_mentions_secret(spec))
		return admission_forbid(r, "a mirror pod may not reference secrets");
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
		JSON_FOR_EACH_ITEM(s, json_path(v, "projected.sources"))
			if (json_get(s, "serviceAccountToken"))
				return admission_forbid(r,
					"a mirror pod may not use ServiceAccountToken volume "
					"projections");
	return 0;
}

/* ---- accounts that list the secrets their pods may use ---- */

static bool names(const struct json *list, const char *name)
{
	JSON_FOR_EACH_ITEM(i, list)
		if (streq(json_str(json_get(i, "name")), name))
			return true;
	return false;
}

static int check_container(const struct admission_review *r, const struct json *account,
	const struct json *container, const char *what)
{
	const char *owner = json_path_str(account, "metadata.name");
	const char *name = json_str_or(json_get(container, "name"), "");
	JSON_FOR_EACH_ITEM(e, json_get(container, "env")) {
		const char *secret = json_path_str(e, "valueFrom.secretKeyRef.name");
		if (secret && !names(json_get(account, "secrets"), secret))
			return admission_forbid(r,
				"%s %s with envVar %s referencing secret.secretName=\"%s\" is not "
				"allowed because service account %s does not reference that "
				"secret",
				what, name, json_str_or(json_get(e, "name"), ""), secret, owner);
	}
	JSON_FOR_EACH_ITEM(from, json_get(container, "envFrom")) {
		const char *secret = json_path_str(from, "secretRef.name");
		if (secret && !names(json_get(account, "secrets"), secret))
			return admission_forbid(r,
				"%s %s with envFrom referencing secret.secretName=\"%s\" is not "
				"allowed because service account %s does not reference that "
				"secret",
				what, name, secret, owner);
	}
	return 0;
}

static int check_secrets(
	const struct admission_review *r, const struct json *account, const struct json *spec)
{
	const char *owner = json_path_str(account, "metadata.name");
	int result = 0;
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *secret = json_path_str(v, "secret.secretName");
		if (secret && !names(json_get(account, "secrets"), secret))
			return admission_forbid(r,
				"volume with secret.secretName=\"%s\" is not allowed because "
				"service account %s does not reference that secret",
				secret, owner);
	}
	JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers"))
		if (result == 0)
			result = check_container(r, account, c, "init container");
	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers"))
		if (result == 0)
			result = check_container(r, account, c, "container");
	if (result < 0)
		return result;
	size_t i = 0;
	JSON_FOR_EACH_ITEM(s, json_get(spec, "imagePullSecrets")) {
		const char *secret = json_str_or(json_get(s, "name"), "");
		if (!names(json_get(account, "imagePullSecrets"), secret))
			return admission_forbid(r,
				"imagePullSecrets[%zu].name=\"%s\" is not allowed because service "
				"account %s does not reference that imagePullSecret",
				i, secret, owner);
		i++;
	}
	return 0;
}

static bool limits_secrets(const struct json *account)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	const char *v = json_str(json_get(json_path(account, "metadata.annotations"),
		"kubernetes.io/enforce-mountable-secrets"));
	for (size_t i = 0; v && i < ARRAY_LEN(yes); i++)
		if (streq(v, yes[i]))
			return true;
	return false;
}

/* ---- the token's volume ---- */

static bool wants_token(const struct json *account, const struct json *spec)
{
	const struct json *own = json_get(spec, "automountServiceAccountToken");
	if (json_is(own, JSON_BOOL))
		return own->b;
	return json_bool_or(json_get(account, "automountServiceAccountToken"), true);
}

/* Mounts it into each container that has nothing there; true when one has not. */
static bool mount_into(struct arena *a, struct json *container, const char *volume)
{
	JSON_FOR_EACH_ITEM(m, json_get(container, "volumeMounts"))
		if (streq(json_str(json_get(m, "mountPath")), MOUNT_PATH))
			return false;
	struct json *mount = json_new_object(a);
	json_set_str(a, mount, "name", volume);
	json_set_bool(a, mount, "readOnly", true);
	json_set_str(a, mount, "mountPath", MOUNT_PATH);
	json_push(a, json_array_at(a, container, "volumeMounts"), mount);
	return true;
}

static struct json *source(struct arena *a, struct json *sources, const char *name)
{
	struct json *item = json_new_object(a), *content = json_new_object(a);
	json_set(a, item, name, content);
	json_push(a, sources, item);
	return content;
}

static struct json *first_item(struct arena *a, struct json *source)
{
	struct json *item = json_new_object(a);
	json_push(a, json_array_at(a, source, "items"), item);
	return item;
}

static struct json *token_volume(struct arena *a, const char *name)
{
	struct json *volume = json_new_object(a), *projected = json_new_object(a);
	struct json *sources = json_new_array(a);
	json_set_str(a, volume, "name", name);
	json_set(a, volume, "projected", projected);
	json_set(a, projected, "sources", sources);
	json_set_int(a, projected, "defaultMode", 0644);

	struct json *token = source(a, sources, "serviceAccountToken");
	json_set_int(a, token, "expirationSeconds", TOKEN_SECONDS);
	json_set_str(a, token, "path", "token");

	struct json *authority = source(a, sources, "configMap");
	json_set_str(a, authority, "name", "kube-root-ca.crt");
	struct json *item = first_item(a, authority);
	json_set_str(a, item, "key", "ca.crt");
	json_set_str(a, item, "path", "ca.crt");

	item = first_item(a, source(a, sources, "downwardAPI"));
	json_set_str(a, item, "path", "namespace");
	struct json *field = json_object_at(a, item, "fieldRef");
	json_set_str(a, field, "apiVersion", "v1");
	json_set_str(a, field, "fieldPath", "metadata.namespace");
	return volume;
}

static void mount_token(const struct admission_review *r, struct json *spec)
{
	struct arena *a = r->req->arena;
	const char *name = NULL;
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *have = json_str_or(json_get(v, "name"), "");
		if (str_has_prefix(have, VOLUME_PREFIX)) {
			name = have;
			break;
		}
	}
	bool made = name != NULL, used = false;
	if (!made) {
		char suffix[6];
		random_name_suffix(&r->req->api->random, suffix, 5);
		name = arena_printf(a, VOLUME_PREFIX "%s", suffix);
	}
	for (size_t i = 0; i < ARRAY_LEN(container_lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, container_lists[i]))
			used |= mount_into(a, c, name);
	if (used && !made)
		json_push(a, json_array_at(a, spec, "volumes"), token_volume(a, name));
}

static int mutate(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	if (!admission_is_pod(r) || *r->part || r->operation != ADMISSION_CREATE)
		return 0;
	struct json *spec = json_get(r->doc, "spec");
	if (json_get(json_path(r->doc, "metadata.annotations"), "kubernetes.io/config.mirror"))
		return check_mirror(r, spec);
	const char *name = json_str_or(json_get(spec, "serviceAccountName"), "");
	if (!*name) {
		name = DEFAULT_NAME;
		json_set_str(a, spec, "serviceAccountName", name);
		json_set_str(a, spec, "serviceAccount", name);
	}
	const struct object *o = cache_get(
		r->req->api->cache, admission_of(r)->kinds.service_accounts, r->namespace, name);
	if (!o) {
		/* The one that each namespace gets may be on its way. */
		if (streq(name, DEFAULT_NAME))
			r->req->awaits = admission_of(r)->kinds.service_accounts;
		return admission_forbid(r,
			"error looking up service account %s/%s: serviceaccount \"%s\" not found",
			r->namespace, name, name);
	}
	struct json *account = object_doc(o, a);
	if (limits_secrets(account)) {
		int result = check_secrets(r, account, spec);
		if (result < 0)
			return result;
	}
	if (auth_tokens(r->req->api->auth) && wants_token(account, spec))
		mount_token(r, spec);
	struct json *secrets = json_get(account, "imagePullSecrets");
	if (json_count(secrets) && !json_count(json_get(spec, "imagePullSecrets")))
		json_set(a, spec, "imagePullSecrets", secrets);
	return 0;
}

const struct admission_plugin admission_service_account = {
	.name = "ServiceAccount",
	.mutate = mutate,
};
