/* kubevirt.c - the KubeVirt object: there is one, and who sets what nothing here follows hears it.
 */
#include "server/api/hooks/validate.h"

#include "server/platform/platform.h"

static int check_alone(struct hook *h, const struct json *doc)
{
	const struct kind *k = kind_by_name(h->api->kinds, "kubevirt.io", "v1", "KubeVirt");
	struct cache_page page;
	if (!h->req)
		return 0;
	cache_list(h->api->cache, &(struct cache_query){.kind = k}, h->arena, &page);
	for (size_t i = 0; i < page.count; i++)
		if (!streq(page.items[i]->name, json_path_str(doc, "metadata.name")) ||
			!streq(page.items[i]->namespace, json_path_str(doc, "metadata.namespace")))
			return status_forbidden(h->arena, h->st, k,
				json_str_or(json_path(doc, "metadata.name"), ""),
				at(h, "Kubevirt is already created: '%s' in namespace '%s'",
					page.items[i]->name, page.items[i]->namespace));
	return 0;
}

static void warn(struct hook *h, const struct json *doc)
{
	const char *ignored =
		platform_ignored_settings(h->arena, json_path(doc, "spec.configuration"));
	if (ignored && h->req && h->req->http)
		api_warn(h->req, at(h, "spec.configuration: these settings have no effect here: %s",
					 ignored));
}

static int prepare_create(struct hook *h, struct json *doc)
{
	warn(h, doc);
	return check_alone(h, doc);
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	if (!json_equal(json_get(doc, "spec"), json_get(old, "spec")))
		warn(h, doc);
	return 0;
}

const struct kind_hooks hooks_kubevirt = {
	.group = "kubevirt.io",
	.kind = "KubeVirt",
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
};
