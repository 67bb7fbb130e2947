/* expand.c - expand-spec and expand-vm-spec: a machine with its instancetype and preference written
 * out, as it could be created without them. */
#include "server/api/machines/machines.h"
#include "server/api/machines/sizes.h"

/* What fails is the server's fault for a machine that it has, the client's for one that it sent. */
static int fail(struct api_request *req, bool stored, const char *why)
{
	return stored ? status_internal(req->arena, &req->st, "%s", why)
		      : status_bad_request(req->arena, &req->st, "%s", why);
}

static int expand(struct api_request *req, const char *ns, struct json *vm, bool stored)
{
	struct instancetype_source source = machine_sizes_source(req->api);
	const struct json *found[2];
	static const enum instancetype_role roles[] = {ROLE_INSTANCETYPE, ROLE_PREFERENCE};
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		struct err err = ERR_INIT;
		const char *revision;
		if (instancetype_find(
			    &source, req->arena, vm, ns, roles[i], &found[i], &revision, &err) < 0)
			return fail(req, stored, err.msg);
	}
	struct json *spec = json_object_at(req->arena, vm, "spec"),
		    *template = json_object_at(req->arena, spec, "template");
	if (instancetype_apply(req->arena, found[0], found[1], template, "spec.template.spec"))
		return fail(req, stored, "cannot expand instancetype to VM");
	json_remove(spec, "instancetype");
	json_remove(spec, "preference");
	return 0;
}

int machines_expand_stored(struct api_request *req, const char *ns, struct json *vm)
{
	return expand(req, ns, vm, true);
}

void machines_expand(struct api_request *req)
{
	const struct object *o = machines_machine(req);
	struct json *vm = o ? json_copy(req->arena, object_doc(o, req->arena)) : NULL;
	int r = o ? expand(req, req->route.namespace, vm, true)
		  : machines_not_found(req, "virtualmachine", req->route.name);
	if (r < 0)
		api_fail(req);
	else
		api_respond_doc(req, 200, vm);
}

static int read_machine(struct api_request *req, struct json **ret)
{
	struct field_errors errors = {.arena = req->arena};
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	if (!req->body_size)
		return status_bad_request(req->arena, &req->st, "empty request body");
	int r = write_decode(req, req->kind, ret);
	if (r == 0)
		r = object_check(req->kind, req->arena, *ret, &options, &errors, &req->st);
	if (r < 0)
		return r;
	if (field_error_count(&errors)) {
		r = status_invalid(req->arena, &req->st, req->kind, "", &errors);
		json_set_int(req->arena, req->st.doc, "code", 400);
		json_set_str(req->arena, req->st.doc, "reason", "BadRequest");
		json_set_str(
			req->arena, req->st.doc, "message", "Object is not a valid VirtualMachine");
		req->st.code = 400;
		return r;
	}
	const char *namespace = json_path_str(*ret, "metadata.namespace");
	if (namespace && *namespace && !streq(namespace, req->route.namespace))
		return status_bad_request(req->arena, &req->st, "VM namespace must be empty or %s",
			req->route.namespace);
	return 0;
}

void machines_expand_sent(struct api_request *req)
{
	struct json *vm;
	req->kind = kind_by_resource(req->api->kinds, "kubevirt.io", "v1", "virtualmachines");
	int r = read_machine(req, &vm);
	if (r == 0)
		r = expand(req, req->route.namespace, vm, false);
	if (r < 0)
		api_fail(req);
	else
		api_respond_doc(req, 200, vm);
}
