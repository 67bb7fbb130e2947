#include "node/vm/vm_actions.h"

#include "node/vm/control/control.h"
#include "node/vm/guest_agent/guest_actions.h"

static vm_action_handler console, screenshot;

static const struct {
	const char *name; /* "console", "vnc/screenshot" */
	const char *method;
	bool more; /* segments follow, which the handler gets: "portforward/8080/tcp" */
	vm_action_handler *handle;
} actions[] = {
	{"console", "GET", false, console},
	{"exec", "PUT", false, guest_action_exec},
	{"filesystemlist", "GET", false, guest_action_filesystemlist},
	{"freeze", "PUT", false, guest_action_freeze},
	{"guestosinfo", "GET", false, guest_action_osinfo},
	{"pause", "PUT", false, vm_pause_serve},
	{"portforward", "GET", true, vm_port_forward_serve},
	{"reset", "PUT", false, vm_reset_serve},
	{"restore", "PUT", false, vm_restore_serve},
	{"save", "PUT", false, vm_save_serve},
	{"softreboot", "PUT", false, vm_soft_reboot_serve},
	{"unfreeze", "PUT", false, guest_action_unfreeze},
	{"unpause", "PUT", false, vm_unpause_serve},
	{"usbredir", "GET", false, vm_unavailable_serve},
	{"userlist", "GET", false, guest_action_userlist},
	{"vnc", "GET", false, vm_vnc_serve},
	{"vnc/screenshot", "GET", false, screenshot},
	{"vsock", "GET", false, vm_unavailable_serve},
};

static void console(struct vm_worker *w, struct http_request *req, const char *more)
{
	vm_console_serve(w, req);
}

static void screenshot(struct vm_worker *w, struct http_request *req, const char *more)
{
	vm_screenshot_serve(w, req);
}

static const char *join(struct arena *a, const char *const *parts, size_t count)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	for (size_t i = 0; i < count; i++)
		buf_printf(&b, i ? "/%s" : "%s", parts[i]);
	return arena_memdup(a, b.data ? b.data : "", b.size);
}

void vm_actions_serve(struct vm_manager *m, struct http_request *req, const char *ns,
	const char *vmi, const char *const *parts, size_t count)
{
	struct object *o = informer_get(m->instances, ns, vmi);
	struct vm_worker *w = o ? table_get(&m->workers, o->uid) : NULL;
	const char *whole = join(&req->arena, parts, count);
	const char *more = join(&req->arena, parts + 1, count - 1);
	bool known = false;

	if (!w) {
		vm_answer_status(req, 404, "NotFound",
			"virtualmachineinstance.kubevirt.io \"%s\" not found on this node", vmi);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		const char *path = actions[i].more && count > 1 ? parts[0] : whole;

		if (!streq(actions[i].name, path) || (actions[i].more && count == 1))
			continue;
		known = true;
		if (!streq(actions[i].method, req->method))
			continue;
		actions[i].handle(w, req, actions[i].more ? more : whole);
		return;
	}
	if (known)
		vm_answer_status(req, 405, "MethodNotAllowed",
			"the server does not allow this method on the requested resource");
	else
		vm_answer_status(req, 501, "NotImplemented",
			"%s of virtual machines is not available on this node", whole);
}
