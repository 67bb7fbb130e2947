#include "node/vm/control/control.h"

#include <stdio.h>

#include "lib/object/status.h"

#define ACTIONS_MAX 2

/* As KubeVirt names it in its messages: in the singular. */
#define RESOURCE "virtualmachineinstance.kubevirt.io"

void vm_answer_status(struct http_request *req, int code, const char *reason, const char *fmt, ...)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	struct status st = {0};
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	status_set(&req->arena, &st, code, reason, "%s", text);
	json_write(&body, st.doc);
	http_respond(req, code, "application/json", NULL, body.data, body.size);
}

void vm_answer_conflict(struct vm_worker *w, struct http_request *req, const char *detail)
{
	vm_answer_status(req, 409, "Conflict",
		"Operation cannot be fulfilled on " RESOURCE " \"%s\": %s",
		w->object ? w->object->name : "", detail);
}

void vm_answer_forbidden(struct vm_worker *w, struct http_request *req, const char *detail)
{
	vm_answer_status(req, 403, "Forbidden", RESOURCE " \"%s\" is forbidden: %s",
		w->object ? w->object->name : "", detail);
}

void vm_answer_unknown(struct http_request *req)
{
	vm_answer_status(req, 503, "ServiceUnavailable",
		"the node agent has just started and still asks libvirt for the guest: try again");
}

void vm_answer_done(struct http_request *req, int code)
{
	http_respond(req, code, "application/json", NULL, "", 0);
}

void vm_answer_libvirt(struct http_request *req, const char *doing, const struct libvirt_reply *r)
{
	bool away = r->code == LIBVIRT_RPC_DOWN || r->code == LIBVIRT_RPC_TIMEOUT;

	vm_answer_status(req, away ? 503 : 500, away ? "ServiceUnavailable" : "InternalError",
		"%s: %s", doing, r->message);
}

bool vm_answer_body(struct http_request *req, struct json **ret)
{
	struct err err = ERR_INIT;

	*ret = NULL;
	if (!req->body_size ||
		yaml_parse(&req->arena, req->body, req->body_size, NULL, ret, &err) == 0)
		return true;
	vm_answer_status(req, 400, "BadRequest", "the options can't be read: %s", err.msg);
	return false;
}

bool vm_body_dry_run(const struct json *body)
{
	return streq(json_str(json_at(json_get(body, "dryRun"), 0)), "All");
}

static void answered(void *user, const struct libvirt_reply *r)
{
	struct vm_action_call *c = user;
	struct vm_worker *w = c->w;
	struct http_request *req = c->req;
	void (*done)(struct vm_worker *, struct http_request *) = c->done;
	const char *doing = c->doing;

	list_remove(&c->link);
	free(c);
	if (!r->ok)
		vm_answer_libvirt(req, doing, r);
	else if (done)
		done(w, req);
	else
		vm_answer_done(req, 200);
}

void vm_action_start(struct vm_worker *w, struct http_request *req, enum libvirt_proc proc,
	uint32_t flags, const char *doing, void (*done)(struct vm_worker *, struct http_request *))
{
	struct vm_action_call *c;
	unsigned count = 0;

	/* A guest that hangs has none of them answered, and libvirt takes few at a time. */
	LIST_FOR_EACH(other, &w->actions, struct vm_action_call, link)
		count++;
	if (count >= ACTIONS_MAX) {
		vm_answer_status(req, 429, "TooManyRequests",
			"%s: %u operations of this guest have not ended yet", doing, count);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct vm_action_call){.w = w, .req = req, .doing = doing, .done = done};
	list_append(&w->actions, &c->link);
	c->call = libvirt_call_domain(w->m->libvirt, proc, &w->domain, flags, answered, c);
}

void vm_control_end(struct vm_worker *w)
{
	LIST_FOR_EACH(c, &w->actions, struct vm_action_call, link) {
		list_remove(&c->link);
		libvirt_call_cancel(c->call);
		vm_answer_status(c->req, 503, "ServiceUnavailable",
			"%s: the node agent stopped waiting for it", c->doing);
		free(c);
	}
	vm_screens_end(w);
	vm_dials_end(w);
	vm_watch_end(w);
	vm_save_cancel(w);
	vm_space_end(w);
	vm_outside_end(w);
	vm_machine_end(w);
}
