/* network_attachment.c - NetworkAttachmentDefinition: one that guests are attached to stays. */
#include "server/api/hooks/hooks_internal.h"

/* "NAME" in the namespace of the instance, or "NAMESPACE/NAME". */
static bool is_named(const char *network, const char *instance_namespace, const char *namespace,
	const char *name)
{
	const char *slash = network ? strchr(network, '/') : NULL;
	struct str in = slash ? (struct str){network, (size_t)(slash - network)}
			      : str_from(instance_namespace);

	return network && str_eq(in, namespace) && streq(slash ? slash + 1 : network, name);
}

static bool uses(const struct object *o, const char *namespace, const char *name)
{
	struct arena a = ARENA_INIT;
	const struct json *doc = object_doc(o, &a);
	const char *phase = json_path_str(doc, "status.phase");
	bool found = false;

	if (!streq(phase, "Succeeded") && !streq(phase, "Failed"))
		JSON_FOR_EACH_ITEM(it, json_path(doc, "spec.networks"))
			found |= is_named(json_path_str(it, "multus.networkName"), o->namespace,
				namespace, name);
	arena_finish(&a);
	return found;
}

static int check_delete(struct hook *h, const struct json *doc)
{
	const char *namespace = json_path_str(doc, "metadata.namespace"),
		   *name = json_path_str(doc, "metadata.name");
	const struct kind *instances =
		kind_by_name(h->api->kinds, "kubevirt.io", "v1", "VirtualMachineInstance");
	struct cache_page page = {.count = 0};

	if (instances)
		cache_list(
			h->api->cache, &(struct cache_query){.kind = instances}, h->arena, &page);
	for (size_t i = 0; i < page.count; i++)
		if (uses(page.items[i], namespace, name))
			return status_set(h->arena, h->st, 409, "Conflict",
				"network-attachment-definitions.k8s.cni.cncf.io \"%s\" is in use "
				"by "
				"virtual machine instance %s/%s: stop it first",
				name, page.items[i]->namespace, page.items[i]->name);
	return 0;
}

const struct kind_hooks hooks_network_attachment_definition = {
	.group = "k8s.cni.cncf.io",
	.kind = "NetworkAttachmentDefinition",
	.check_delete = check_delete,
};
