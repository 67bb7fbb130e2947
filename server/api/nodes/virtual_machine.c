#include "server/api/nodes/virtual_machine.h"

#include "server/api/api_internal.h"
#include "server/api/verbs/delete.h"
#include "server/api/nodes/node_proxy.h"

static void vm_start(struct api_request *req);
static void vm_stop(struct api_request *req);
static void vm_restart(struct api_request *req);
static void vmi_stream(struct api_request *req);

const struct vm_subresource vm_subresources[] = {
	{"virtualmachineinstances", "console", "VirtualMachineInstance", "GET", vmi_stream},
	{"virtualmachineinstances", "vnc", "VirtualMachineInstance", "GET", vmi_stream},
	{"virtualmachines", "restart", "VirtualMachine", "PUT", vm_restart},
	{"virtualmachines", "start", "VirtualMachine", "PUT", vm_start},
	{"virtualmachines", "stop", "VirtualMachine", "PUT", vm_stop},
};
const size_t vm_subresource_count = ARRAY_LEN(vm_subresources);

const char *vm_subresource_verb(const struct vm_subresource *s)
{
	return streq(s->method, "PUT") ? "update" : "get";
}

void api_virtual_machine(struct api_request *req)
{
	const struct route *r = &req->route;
	if (!streq(r->version, "v1") && !streq(r->version, "v1alpha3")) {
		api_respond_text(
			req, 404, "text/plain; charset=utf-8", NULL, "404 page not found\n", 19);
		return;
	}
	for (size_t i = 0; i < vm_subresource_count; i++) {
		const struct vm_subresource *s = &vm_subresources[i];
		if (!streq(s->resource, r->resource) || !streq(s->name, r->subresource) ||
			!r->namespace || r->rest)
			continue;
		req->kind = kind_by_resource(req->api->kinds, "kubevirt.io", "v1", r->resource);
		if (!req->kind)
			break;
		if (streq(s->method, req->method))
			s->handle(req);
		else
			api_fail_method(req);
		return;
	}
	api_fail_unknown_resource(req);
}

/* start, stop and restart change the VirtualMachine, and the controller does the rest. KubeVirt's
 * rules: what "running" is to be is the run strategy where that says so, else a request in
 * status.stateChangeRequests. */
enum verb { VM_START, VM_STOP, VM_RESTART };

struct lifecycle {
	struct api_request *req;
	enum verb verb;
	struct json *options; /* StartOptions and so on; NULL = none */
	/* The instance, as it was when the request came. */
	const struct kind *instances;
	const char *uid; /* NULL = there is none */
	bool final, deleting;
};

static const char *strategy_of(const struct json *vm)
{
	const char *s = json_path_str(vm, "spec.runStrategy");
	if (s && *s)
		return s;
	return json_path_bool(vm, "spec.running", false) ? "Always" : "Halted";
}

static void set_strategy(struct arena *a, struct json *vm, const char *strategy)
{
	struct json *spec = json_object_at(a, vm, "spec");
	if (json_get(spec, "running"))
		json_set_bool(a, spec, "running", streq(strategy, "Always"));
	else
		json_set_str(a, spec, "runStrategy", strategy);
}

static void add_request(struct lifecycle *l, struct json *vm, const char *action, bool with_uid)
{
	struct arena *a = l->req->arena;
	struct json *list =
		json_array_at(a, json_object_at(a, vm, "status"), "stateChangeRequests");
	struct json *r = json_new_object(a);
	json_set_str(a, r, "action", action);
	if (with_uid && l->uid)
		json_set_str(a, r, "uid", l->uid);
	json_push(a, list, r);
}

static int refuse(struct lifecycle *l, const char *detail)
{
	return status_conflict(
		l->req->arena, &l->req->st, l->req->kind, l->req->route.name, detail);
}

static bool is_final(const char *phase)
{
	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static int change_start(struct lifecycle *l, struct json *vm)
{
	const char *strategy = strategy_of(vm);
	bool running = l->uid && !l->deleting && !l->final;
	if (running)
		return refuse(l, "VM is already running");
	if (streq(strategy, "Always") || streq(strategy, "Once"))
		return refuse(l, arena_printf(l->req->arena,
					 "%s does not support manual start requests", strategy));
	if (json_count(json_path(vm, "status.stateChangeRequests")))
		return refuse(l, "unable to complete request: stop/start already underway");
	if (streq(strategy, "Halted"))
		set_strategy(l->req->arena, vm, "Always");
	else
		add_request(l, vm, "Start", false);
	return 0;
}

static int change_stop(struct lifecycle *l, struct json *vm)
{
	const char *strategy = strategy_of(vm);
	bool running = l->uid && !l->final;
	if (!running && (streq(strategy, "Halted") || streq(strategy, "Manual")))
		return refuse(l, "VM is not running");
	if (streq(strategy, "Halted"))
		return refuse(l, "Halted does not support manual stop requests");
	if (streq(strategy, "Always") || streq(strategy, "Once") ||
		streq(strategy, "RerunOnFailure"))
		set_strategy(l->req->arena, vm, "Halted");
	else if (json_count(json_path(vm, "status.stateChangeRequests")))
		return refuse(l, "unable to complete request: stop/start already underway");
	else
		add_request(l, vm, "Stop", true);
	return 0;
}

static int change_restart(struct lifecycle *l, struct json *vm)
{
	const char *strategy = strategy_of(vm);
	if (streq(strategy, "Halted"))
		return refuse(l, "Halted does not support manual restart requests");
	if (!l->uid || l->final)
		return refuse(l, "VM is not running");
	if (json_count(json_path(vm, "status.stateChangeRequests")))
		return refuse(l, "unable to complete request: stop/start already underway");
	add_request(l, vm, "Stop", true);
	add_request(l, vm, "Start", false);
	return 0;
}

static int change(struct update *u, const struct json *present, struct json **ret)
{
	struct lifecycle *l = u->user;
	struct json *vm = json_copy(u->req->arena, present);
	static int (*const verbs[])(struct lifecycle *, struct json *) = {
		[VM_START] = change_start, [VM_STOP] = change_stop, [VM_RESTART] = change_restart};
	int r = verbs[l->verb](l, vm);
	if (r < 0)
		return r;
	*ret = vm;
	return 0;
}

static void lifecycle_end(struct lifecycle *l)
{
	api_respond_text(l->req, 202, "application/json", NULL, "", 0);
}

/* A stop with gracePeriodSeconds also says how long the guest may take. */
static void instance_deleted(struct deletion *d, struct object *result)
{
	lifecycle_end(d->user);
}

static void reply(struct update *u, int code, struct object *o, struct json *doc)
{
	struct lifecycle *l = u->user;
	const struct json *grace = json_get(l->options, "gracePeriodSeconds");
	if (l->verb == VM_START || !json_is(grace, JSON_INT) || !l->uid || u->req->dry_run) {
		lifecycle_end(l);
		return;
	}
	struct deletion *d = ARENA_NEW(u->req->arena, struct deletion);
	*d = (struct deletion){
		.req = u->req,
		.kind = l->instances,
		.namespace = u->namespace,
		.name = u->name,
		.options = {.grace_given = true, .grace_s = grace->i, .uid = l->uid},
		.done = instance_deleted,
		.user = l,
	};
	deletion_run(d);
}

static void run(struct api_request *req, enum verb verb)
{
	struct lifecycle *l = ARENA_NEW(req->arena, struct lifecycle);
	struct err err = ERR_INIT;
	*l = (struct lifecycle){.req = req, .verb = verb};
	if (write_options(req, "UpdateOptions") < 0) {
		api_fail(req);
		return;
	}
	if (req->body_size &&
		yaml_parse(req->arena, req->body, req->body_size, NULL, &l->options, &err) < 0) {
		status_bad_request(req->arena, &req->st, "the options can't be read: %s", err.msg);
		api_fail(req);
		return;
	}
	if (json_count(json_get(l->options, "dryRun")))
		req->dry_run = true;
	l->instances =
		kind_by_resource(req->api->kinds, "kubevirt.io", "v1", "virtualmachineinstances");
	const struct object *vmi =
		cache_get(req->api->cache, l->instances, req->route.namespace, req->route.name);
	if (vmi) {
		l->uid = arena_strdup(req->arena, vmi->uid);
		l->deleting = vmi->deleting;
		l->final = is_final(object_field(vmi, "status.phase"));
	}
	struct update *u = ARENA_NEW(req->arena, struct update);
	*u = (struct update){
		.req = req,
		.kind = req->kind,
		.namespace = req->route.namespace,
		.name = req->route.name,
		.part = "lifecycle",
		.change = change,
		.reply = reply,
		.user = l,
	};
	update_run(u);
}

static void vm_start(struct api_request *req)
{
	run(req, VM_START);
}

static void vm_stop(struct api_request *req)
{
	run(req, VM_STOP);
}

static void vm_restart(struct api_request *req)
{
	run(req, VM_RESTART);
}

static void vmi_stream(struct api_request *req)
{
	const struct object *vmi =
		cache_get(req->api->cache, req->kind, req->route.namespace, req->route.name);
	if (!vmi) {
		status_not_found(req->arena, &req->st, req->kind, req->route.name);
		api_fail(req);
		return;
	}
	const char *phase = object_field(vmi, "status.phase");
	if (!streq(phase, "Running")) {
		status_set(req->arena, &req->st, 409, "Conflict",
			"Operation cannot be fulfilled on %s \"%s\": VMI is not running",
			req->kind->resource, req->route.name);
		api_fail(req);
		return;
	}
	node_proxy(req, object_field(vmi, "status.nodeName"),
		arena_printf(req->arena, "/%s/%s/%s", req->route.subresource, vmi->namespace,
			vmi->name));
}
