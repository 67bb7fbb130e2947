/* platform.c - paths that name no machine: what clients ask of the platform itself. */
#include "server/api/machines/machines.h"
#include "server/platform/platform.h"

static void version(struct api_request *req)
{
	struct json *v = json_new_object(req->arena);
	json_set_str(req->arena, v, "gitVersion", platform_kubevirt_version());
	json_set_str(req->arena, v, "gitCommit", "");
	json_set_str(req->arena, v, "gitTreeState", "clean");
	json_set_str(req->arena, v, "buildDate", "1970-01-01T00:00:00Z");
	json_set_str(req->arena, v, "goVersion", "none");
	json_set_str(req->arena, v, "compiler", __VERSION__);
	json_set_str(req->arena, v, "platform", "linux/amd64");
	api_respond_doc(req, 200, v);
}

/* This request was answered, and everything that it asks for is in this process. */
static void healthz(struct api_request *req)
{
	struct json *v = json_new_object(req->arena), *server = json_new_object(req->arena);
	json_set_str(req->arena, server, "connectivity", "ok");
	json_set(req->arena, v, "apiserver", server);
	api_respond_doc(req, 200, v);
}

static void guestfs(struct api_request *req)
{
	status_set(req->arena, &req->st, 404, "NotFound",
		"hanok has no image of libguestfs-tools: inspect disks with `hanok image inspect`");
	api_fail(req);
}

bool machines_platform(struct api_request *req)
{
	static const struct {
		const char *resource, *method;
		bool namespaced;
		void (*handle)(struct api_request *req);
	} all[] = {
		{"version", "GET", false, version},
		{"healthz", "GET", false, healthz},
		{"guestfs", "GET", false, guestfs},
		{"expand-vm-spec", "PUT", true, machines_expand_sent},
	};
	const struct route *r = &req->route;
	if (r->name)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (streq(all[i].resource, r->resource) &&
			all[i].namespaced == (r->namespace != NULL)) {
			if (streq(req->method, all[i].method))
				all[i].handle(req);
			else
				api_fail_method(req);
			return true;
		}
	return false;
}
