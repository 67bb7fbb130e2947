#include "server/api/machines/machines.h"

#include <stdio.h>

#define VM "virtualmachines"
#define VMI "virtualmachineinstances"

const struct vm_subresource vm_subresources[] = {
	{VMI, "addvolume", "VirtualMachineInstance", "PUT", machines_add_volume, NULL},
	{VMI, "console", "VirtualMachineInstance", "GET", machines_pass, machines_may_console},
	{VMI, "evacuate/cancel", "VirtualMachineInstance", "PUT", machines_evacuate_cancel, NULL},
	{VMI, "exec", "VirtualMachineInstance", "PUT", machines_pass, machines_has_agent},
	{VMI, "filesystemlist", "VirtualMachineInstance", "GET", machines_pass, machines_has_agent},
	{VMI, "freeze", "VirtualMachineInstance", "PUT", machines_pass, NULL},
	{VMI, "guestosinfo", "VirtualMachineInstance", "GET", machines_pass, machines_has_agent},
	{VMI, "objectgraph", "VirtualMachineInstance", "GET", machines_object_graph, NULL},
	{VMI, "pause", "VirtualMachineInstance", "PUT", machines_pass, machines_may_pause},
	{VMI, "portforward", "VirtualMachineInstance", "GET", machines_pass, machines_may_forward},
	{VMI, "removevolume", "VirtualMachineInstance", "PUT", machines_remove_volume, NULL},
	{VMI, "reset", "VirtualMachineInstance", "PUT", machines_pass, NULL},
	{VMI, "restore", "VirtualMachineInstance", "PUT", machines_pass, NULL},
	{VMI, "save", "VirtualMachineInstance", "PUT", machines_pass, NULL},
	{VMI, "softreboot", "VirtualMachineInstance", "PUT", machines_pass, machines_may_reboot},
	{VMI, "unfreeze", "VirtualMachineInstance", "PUT", machines_pass, NULL},
	{VMI, "unpause", "VirtualMachineInstance", "PUT", machines_pass, machines_may_unpause},
	{VMI, "usbredir", "VirtualMachineInstance", "GET", machines_pass, NULL},
	{VMI, "userlist", "VirtualMachineInstance", "GET", machines_pass, machines_has_agent},
	{VMI, "vnc", "VirtualMachineInstance", "GET", machines_pass, machines_may_vnc},
	{VMI, "vnc/screenshot", "VirtualMachineInstance", "GET", machines_pass, machines_may_vnc},
	{VMI, "vsock", "VirtualMachineInstance", "GET", machines_pass, NULL},
	{VM, "addvolume", "VirtualMachine", "PUT", machines_add_volume, NULL},
	{VM, "evacuate/cancel", "VirtualMachine", "PUT", machines_evacuate_cancel, NULL},
	{VM, "expand-spec", "VirtualMachine", "GET", machines_expand, NULL},
	{VM, "memorydump", "VirtualMachine", "PUT", machines_memory_dump, NULL},
	{VM, "migrate", "VirtualMachine", "PUT", machines_migrate, NULL},
	{VM, "objectgraph", "VirtualMachine", "GET", machines_object_graph, NULL},
	{VM, "portforward", "VirtualMachine", "GET", machines_pass, machines_may_forward},
	{VM, "removememorydump", "VirtualMachine", "PUT", machines_remove_memory_dump, NULL},
	{VM, "removevolume", "VirtualMachine", "PUT", machines_remove_volume, NULL},
	{VM, "restart", "VirtualMachine", "PUT", machines_restart, NULL},
	{VM, "start", "VirtualMachine", "PUT", machines_start, NULL},
	{VM, "stop", "VirtualMachine", "PUT", machines_stop, NULL},
};
const size_t vm_subresource_count = ARRAY_LEN(vm_subresources);

const char *vm_subresource_verb(const struct vm_subresource *s)
{
	return streq(s->method, "PUT") ? "update" : "get";
}

static struct kind singular(const char *resource)
{
	struct kind k = {.plural = resource, .group = "kubevirt.io"};
	snprintf(k.resource, sizeof(k.resource), "%s.kubevirt.io", resource);
	return k;
}

int machines_conflict(struct api_request *req, const char *resource, const char *detail)
{
	struct kind k = singular(resource);
	return status_conflict(req->arena, &req->st, &k, req->route.name, detail);
}

int machines_not_found(struct api_request *req, const char *resource, const char *name)
{
	struct kind k = singular(resource);
	return status_not_found(req->arena, &req->st, &k, name);
}

int machines_options(struct api_request *req, struct json **ret)
{
	struct err err = ERR_INIT;
	*ret = NULL;
	int r = write_options(req, "UpdateOptions");
	if (r < 0)
		return r;
	if (req->body_size &&
		yaml_parse(req->arena, req->body, req->body_size, NULL, ret, &err) < 0)
		return status_bad_request(req->arena, &req->st,
			"Can not unmarshal Request body to struct, error: %s", err.msg);
	if (*ret && !json_is(*ret, JSON_OBJECT) && !json_is(*ret, JSON_NULL))
		return status_bad_request(req->arena, &req->st,
			"Can not unmarshal Request body to struct, error: it is no object");
	if (json_count(json_get(*ret, "dryRun")))
		req->dry_run = true;
	return 0;
}

static const struct object *find(struct api_request *req, const char *resource)
{
	return cache_get(req->api->cache,
		kind_by_resource(req->api->kinds, "kubevirt.io", "v1", resource),
		req->route.namespace, req->route.name);
}

const struct object *machines_instance(struct api_request *req)
{
	return find(req, VMI);
}

const struct object *machines_machine(struct api_request *req)
{
	return find(req, VM);
}

void machines_accepted(struct api_request *req)
{
	api_respond_text(req, 202, "application/json", NULL, "", 0);
}

static void update_accepted(struct update *u, int code, struct object *o, struct json *doc)
{
	machines_accepted(u->req);
}

void machines_update(struct api_request *req, const struct machines_change *c)
{
	struct update *u = ARENA_NEW(req->arena, struct update);

	*u = (struct update){
		.req = req,
		.kind = c->kind,
		.namespace = req->route.namespace,
		.name = req->route.name,
		.part = c->part,
		.change = c->change,
		.reply = c->reply ? c->reply : update_accepted,
		.user = c->user,
	};
	update_run(u);
}

/* "vnc" and "vnc/screenshot" are rows; of "portforward/8080/tcp" the first word is. */
static bool row_matches(const struct vm_subresource *s, const struct route *r)
{
	const char *slash = strchr(s->name, '/');
	size_t first = slash ? (size_t)(slash - s->name) : strlen(s->name);
	if (!streq(s->resource, r->resource) || strlen(r->subresource) != first ||
		memcmp(s->name, r->subresource, first) != 0)
		return false;
	if (streq(s->name, "portforward"))
		return r->rest != NULL;
	return slash ? streq(r->rest, slash + 1) : !r->rest;
}

void api_virtual_machine(struct api_request *req)
{
	const struct route *r = &req->route;
	if (!streq(r->version, "v1") && !streq(r->version, "v1alpha3")) {
		api_respond_text(
			req, 404, "text/plain; charset=utf-8", NULL, "404 page not found\n", 19);
		return;
	}
	if (!r->subresource) {
		if (!machines_platform(req))
			api_fail_unknown_resource(req);
		return;
	}
	for (size_t i = 0; i < vm_subresource_count; i++) {
		const struct vm_subresource *s = &vm_subresources[i];
		if (!r->namespace || !row_matches(s, r))
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
