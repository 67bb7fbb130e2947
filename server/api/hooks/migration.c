/* migration.c - VirtualMachineInstanceMigration: asks for what an instance's node must be able to.
 */
#include "server/api/hooks/validate.h"

#include "server/api/machines/migration.h"

static int prepare_create(struct hook *h, struct json *doc)
{
	const char *name = json_str_or(json_path(doc, "spec.vmiName"), "");
	const struct object *vmi;
	if (!h->req)
		return 0;
	if (!*name)
		return status_bad_request(h->arena, h->st, "vmiName is missing");
	vmi = cache_get(h->api->cache,
		kind_by_name(h->api->kinds, "kubevirt.io", "v1", "VirtualMachineInstance"),
		json_str_or(json_path(doc, "metadata.namespace"), ""), name);
	if (!vmi)
		return status_bad_request(
			h->arena, h->st, "the VMI %s does not exist under the cache", name);
	return status_bad_request(h->arena, h->st, "%s",
		machine_migration_refusal(h->arena, object_doc(vmi, h->arena)));
}

const struct kind_hooks hooks_machine_migration = {
	.group = "kubevirt.io",
	.kind = "VirtualMachineInstanceMigration",
	.prepare_create = prepare_create,
};
