/* instance.c - what the node of a running instance answers: streams, the guest agent's data, pause,
 * reset and the like. The request goes there as it came, to /virtualmachineinstances/NS/NAME/...,
 * once the instance is in a state for it. */
#include "server/api/machines/machines.h"

#include "server/api/nodes/node_proxy.h"

#define VMI "virtualmachineinstance"

/* Of a program in the guest (timeoutSeconds), as the node's agent has it. EXEC_MORE_S is the most
 * that a slow guest's agent is waited for besides: until it is started, and for its last answer. */
#define EXEC_DEFAULT_S 30
#define EXEC_MAX_S 3600
#define EXEC_MORE_S 180
#define ANSWER_MS 120000

/* KubeVirt takes the presence of these conditions for their truth. */
static bool has_condition(const struct json *instance, const char *type)
{
	JSON_FOR_EACH_ITEM(c, json_path(instance, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), type))
			return !streq(json_str(json_get(c, "status")), "False");
	return false;
}

int machines_may_pause(struct api_request *req, const struct json *instance)
{
	if (json_path(instance, "spec.livenessProbe")) {
		status_set(req->arena, &req->st, 403, "Forbidden",
			"virtualmachineinstance.kubevirt.io \"%s\" is forbidden: Pausing VMIs with "
			"LivenessProbe is currently not supported",
			req->route.name);
		return -EPERM;
	}
	if (has_condition(instance, "Paused"))
		return machines_conflict(req, VMI, "VMI is already paused");
	return 0;
}

int machines_may_unpause(struct api_request *req, const struct json *instance)
{
	const struct object *vm = machines_machine(req);
	const struct json *doc = vm ? object_doc(vm, req->arena) : NULL;
	if (json_str(json_path(doc, "status.snapshotInProgress")))
		return machines_conflict(req, "virtualmachine", "VM snapshot is in progress");
	if (!has_condition(instance, "Paused"))
		return machines_conflict(req, VMI, "VMI is not paused");
	return 0;
}

int machines_may_reboot(struct api_request *req, const struct json *instance)
{
	if (has_condition(instance, "Paused"))
		return machines_conflict(req, VMI, "VMI is paused");
	if (!has_condition(instance, "AgentConnected") &&
		!json_path_bool(instance, "spec.domain.features.acpi.enabled", true))
		return machines_conflict(req, VMI,
			"VMI neither have the agent connected nor the ACPI feature enabled");
	return 0;
}

int machines_may_console(struct api_request *req, const struct json *instance)
{
	if (!json_path_bool(instance, "spec.domain.devices.autoattachSerialConsole", true))
		return status_bad_request(req->arena, &req->st, "No serial consoles are present.");
	return 0;
}

int machines_may_vnc(struct api_request *req, const struct json *instance)
{
	if (!json_path_bool(instance, "spec.domain.devices.autoattachGraphicsDevice", true))
		return status_bad_request(req->arena, &req->st, "No graphics devices are present.");
	return 0;
}

int machines_may_forward(struct api_request *req, const struct json *instance)
{
	char *end;
	unsigned long port = strtoul(req->route.rest, &end, 10);
	if (port == 0 || port > 65535 || req->route.rest[0] < '0' || req->route.rest[0] > '9' ||
		(*end && !streq(end, "/tcp") && !streq(end, "/udp")))
		return status_bad_request(req->arena, &req->st,
			"\"%s\" is no PORT or PORT/PROTOCOL with the protocol tcp or udp",
			req->route.rest);
	if (has_condition(instance, "Paused"))
		return machines_conflict(req, VMI, "VMI is paused");
	return 0;
}

int machines_has_agent(struct api_request *req, const struct json *instance)
{
	if (!has_condition(instance, "AgentConnected"))
		return machines_conflict(req, VMI, "VMI does not have guest agent connected");
	return 0;
}

static const struct vm_subresource *row_of(const struct api_request *req)
{
	const struct route *r = &req->route;
	const char *whole = r->rest && !streq(r->subresource, "portforward")
				    ? arena_printf(req->arena, "%s/%s", r->subresource, r->rest)
				    : r->subresource;
	for (size_t i = 0; i < vm_subresource_count; i++)
		if (streq(vm_subresources[i].resource, r->resource) &&
			streq(vm_subresources[i].name, whole))
			return &vm_subresources[i];
	return NULL;
}

/* Of the instance, or of the instance of a machine. */
static int find(struct api_request *req, const struct object **ret)
{
	if (streq(req->route.resource, "virtualmachines")) {
		const struct object *vm = machines_machine(req);
		if (!vm)
			return machines_not_found(req, "virtualmachine", req->route.name);
		const struct object *vmi = machines_instance(req);
		const struct object_owner *owner = vmi ? object_controller(vmi) : NULL;
		if (!owner || !streq(owner->uid, vm->uid))
			return machines_conflict(req, "virtualmachine", "VMI is not started");
		*ret = vmi;
		return 0;
	}
	*ret = machines_instance(req);
	return *ret ? 0 : machines_not_found(req, VMI, req->route.name);
}

/* What clients open as a stream: they take 400 for "not yet" and ask again, as virtctl console does
 * while its machine starts; 409 ends them. */
static bool is_stream(const struct vm_subresource *row)
{
	return row->check == machines_may_console || row->check == machines_may_vnc ||
	       row->check == machines_may_forward;
}

static int check_stream(
	struct api_request *req, const struct object *vmi, const struct vm_subresource *row)
{
	const char *phase = object_field(vmi, "status.phase");
	int r = row->check(req, object_doc(vmi, req->arena));
	if (r < 0 || streq(phase, "Running"))
		return r;
	if (streq(phase, "Failed") && row->check == machines_may_console)
		return machines_conflict(req, VMI, "VMI is in failed status");
	return status_bad_request(req->arena, &req->st, "VMI is not running");
}

static int check(
	struct api_request *req, const struct object *vmi, const struct vm_subresource *row)
{
	struct json *options = NULL;
	int r = streq(req->method, "PUT") ? machines_options(req, &options) : 0;
	if (r < 0)
		return r;
	if (row && is_stream(row))
		return check_stream(req, vmi, row);
	if (!streq(object_field(vmi, "status.phase"), "Running"))
		return machines_conflict(req, VMI, "VMI is not running");
	return row && row->check ? row->check(req, object_doc(vmi, req->arena)) : 0;
}

/* What the node's agent may take for its answer. A request for anything but a program ends by the
 * server's own limit, and need not end here before. */
static unsigned answer_ms(struct api_request *req)
{
	struct json *body;
	int64_t seconds = EXEC_DEFAULT_S;

	if (!streq(req->route.subresource, "exec"))
		return ANSWER_MS;
	if (json_parse(req->arena, req->body, req->body_size, NULL, &body, NULL) == 0)
		seconds = json_int_or(json_get(body, "timeoutSeconds"), seconds);
	seconds = MIN(MAX(seconds, 1), EXEC_MAX_S) + EXEC_MORE_S;
	return (unsigned)seconds * 1000;
}

void machines_pass(struct api_request *req)
{
	const struct object *vmi;
	int r = find(req, &vmi);
	if (r == 0)
		r = check(req, vmi, row_of(req));
	if (r < 0) {
		api_fail(req);
		return;
	}
	if (req->dry_run) {
		api_respond_text(req, 200, "application/json", NULL, "", 0);
		return;
	}
	const char *query = req->http ? req->http->query : "";
	node_proxy_within(req, object_field(vmi, "status.nodeName"),
		arena_printf(req->arena, "/virtualmachineinstances/%s/%s/%s%s%s%s%s",
			vmi->namespace, vmi->name, req->route.subresource,
			req->route.rest ? "/" : "", req->route.rest ? req->route.rest : "",
			*query ? "?" : "", query),
		answer_ms(req));
}

bool machines_restore_saved(struct api_request *req)
{
	const struct object *vm = machines_machine(req), *vmi = machines_instance(req);
	const struct object_owner *owner = vmi ? object_controller(vmi) : NULL;
	bool saved = false;
	if (!vm || !owner || !streq(owner->uid, vm->uid) || vmi->deleting ||
		!streq(object_field(vmi, "status.phase"), "Running"))
		return false;
	const struct json *doc = object_doc(vmi, req->arena);
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		saved |= streq(json_str(json_get(c, "type")), "Paused") &&
			 streq(json_str(json_get(c, "reason")), "Saved");
	if (!saved)
		return false;
	node_proxy(req, object_field(vmi, "status.nodeName"),
		arena_printf(req->arena, "/virtualmachineinstances/%s/%s/restore", vmi->namespace,
			vmi->name));
	return true;
}
