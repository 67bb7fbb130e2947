#include "server/api/machines/clone_rights.h"

#include "server/api/auth/auth.h"
#include "server/api/hooks/hooks_internal.h"
#include "server/api/hooks/validate.h"

static const char *text(const struct json *doc, const char *name, const char *otherwise)
{
	const char *s = json_str_or(json_get(doc, name), "");

	return *s ? s : otherwise;
}

static bool may_create(struct hook *h, const char *namespace, const char *group,
	const char *version, const char *resource, const char *subresource, const char *name)
{
	struct access x = {.user = &h->req->user,
		.is_resource = true,
		.namespace = namespace,
		.group = group,
		.version = version,
		.resource = resource,
		.subresource = subresource,
		.name = name};

	access_set_verb(&x, "create");
	return auth_allows(h->api, &x);
}

static const char *refusal(struct hook *h, const char *namespace, const char *name, bool snapshot)
{
	if (may_create(h, namespace, "cdi.kubevirt.io", "v1beta1", "datavolumes", "source", name) ||
		(may_create(h, namespace, "", "v1", "pods", "", name) &&
			(!snapshot || may_create(h, namespace, "", "v1", "persistentvolumeclaims",
					      "", name))))
		return NULL;
	return arena_printf(h->arena,
		"User %s has insufficient permissions in clone source namespace %s",
		h->req->user.name, namespace);
}

static const char *of_source(
	struct hook *h, const struct json *source, const char *home, const char *namespace)
{
	static const char *const kinds[] = {"pvc", "snapshot"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct json *one = json_get(source, kinds[i]);
		const char *from = text(one, "namespace", home), *why;

		if (!json_is(one, JSON_OBJECT) || streq(from, namespace))
			continue;
		why = refusal(h, from, text(one, "name", ""), i == 1);
		if (why)
			return why;
	}
	return NULL;
}

struct json *clone_rights_resolve(struct hook *h, const struct json *ref, const char *namespace)
{
	static const char *const kinds[] = {"pvc", "snapshot"};
	const struct kind *k =
		kind_by_name(h->api->kinds, "cdi.kubevirt.io", "v1beta1", "DataSource");
	const char *home = text(ref, "namespace", namespace);
	const struct object *o =
		k ? cache_get(h->api->cache, k, home, text(ref, "name", "")) : NULL;
	const struct json *source = o ? json_path(object_doc(o, h->arena), "spec.source") : NULL;
	struct json *copy;

	if (!json_count(source))
		return NULL;
	copy = json_copy(h->arena, source);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct json *one = json_get(copy, kinds[i]);

		if (json_is(one, JSON_OBJECT) && !*text(one, "namespace", ""))
			json_set_str(h->arena, one, "namespace", home);
	}
	return copy;
}

const char *clone_rights_refusal(struct hook *h, const struct json *spec, const char *namespace)
{
	const struct json *ref = json_get(spec, "sourceRef");
	const char *home, *why;

	/* This process's own loops ask for what somebody was allowed. */
	if (!h->api || !h->req || !h->req->http)
		return NULL;
	if (!json_is(ref, JSON_OBJECT))
		return of_source(h, json_get(spec, "source"), namespace, namespace);
	home = text(ref, "namespace", namespace);
	/* What it means may change until it is resolved: within its own namespace. */
	why = streq(home, namespace) ? NULL : refusal(h, home, text(ref, "name", ""), false);
	return why ? why : of_source(h, clone_rights_resolve(h, ref, namespace), home, namespace);
}

void clone_rights_check_templates(struct hook *h, const struct json *templates,
	const struct json *old, const char *namespace, const char *field)
{
	size_t i = 0;

	if (!h->req || !h->req->http || json_equal(templates, old))
		return;
	JSON_FOR_EACH_ITEM(t, templates) {
		const char *why = clone_rights_refusal(h, json_get(t, "spec"), namespace);

		if (why)
			field_error(h->errors, FIELD_INVALID, at(h, "%s[%zu]", field, i), NULL,
				"Authorization failed, message is: %s", why);
		i++;
	}
}
