/* migration.c - migrate and evacuate/cancel. A node's guests stay on it: who asks for more is told
 * why, and there is no evacuation that could be cancelled. */
#include "server/api/machines/migration.h"

#include "server/api/machines/machines.h"

const char *machine_migration_refusal(struct arena *a, const struct json *instance)
{
	const char *phase = json_str_or(json_path(instance, "status.phase"), "");
	const char *reason = "LiveMigrateNotSupported", *message = "it does not run yet";
	if (streq(phase, "Succeeded") || streq(phase, "Failed"))
		return "Cannot migrated VMI in finalized state."; /* (Upstream's spelling.) */
	JSON_FOR_EACH_ITEM(c, json_path(instance, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "LiveMigratable") &&
			streq(json_str(json_get(c, "status")), "False")) {
			reason = json_str_or(json_get(c, "reason"), "");
			message = json_str_or(json_get(c, "message"), "");
		}
	return arena_printf(a, "Cannot migrate VMI, Reason: %s, Message: %s", reason, message);
}

/* Of the machine or the instance of the path; NULL = req->st says that there is none. */
static const struct object *find(struct api_request *req)
{
	const struct object *vmi = machines_instance(req);
	int r = 0;
	if (streq(req->route.resource, "virtualmachines") && !machines_machine(req))
		r = machines_not_found(req, "virtualmachine", req->route.name);
	else if (!vmi)
		r = machines_not_found(req, "virtualmachineinstance", req->route.name);
	return r < 0 ? NULL : vmi;
}

void machines_migrate(struct api_request *req)
{
	struct json *options;
	const struct object *vmi;
	int r = machines_options(req, &options);
	if (r == 0 && (vmi = find(req)) != NULL)
		r = machines_conflict(req, "virtualmachine",
			streq(object_field(vmi, "status.phase"), "Running")
				? machine_migration_refusal(req->arena, object_doc(vmi, req->arena))
				: "VM is not running");
	api_fail(req);
}

void machines_evacuate_cancel(struct api_request *req)
{
	struct json *options;
	if (machines_options(req, &options) < 0 || !find(req))
		api_fail(req);
	else
		api_respond_text(req, 200, "application/json", NULL, "", 0);
}
