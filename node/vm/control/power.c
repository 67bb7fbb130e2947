/* power.c - pause, unpause, reset, soft reboot. What is refused and in which words: KubeVirt's. */
#include "node/vm/control/control.h"

static bool runs(const struct vm_worker *w)
{
	return w->core.sm.state == VM_RUNNING && vm_core_alive(&w->core);
}

static bool paused(const struct vm_worker *w)
{
	return w->core.domain == VM_DOMAIN_PAUSED;
}

static bool seen_saved(const struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = w->object ? object_doc(w->object, &a) : NULL;

	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Paused"))
			return streq(json_str(json_get(c, "reason")), "Saved");
	return false;
}

void vm_pause_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	const struct json *probe = json_path(w->has_spec ? w->doc : NULL, "spec.livenessProbe");
	struct json *body;

	if (!vm_answer_body(req, &body))
		return;
	if (w->core.sm.state == VM_LOOKING)
		vm_answer_unknown(req);
	else if (!runs(w))
		vm_answer_conflict(w, req, "VM is not running");
	else if (probe && !json_get(probe, "guestAgentPing"))
		vm_answer_forbidden(w, req,
			"Pausing VMIs with a non-GuestAgentPing LivenessProbe is not supported");
	else if (w->saving)
		vm_answer_conflict(w, req, "VMI is being saved");
	else if (paused(w))
		vm_answer_conflict(w, req, "VMI is already paused");
	else if (vm_body_dry_run(body))
		vm_answer_done(req, 200);
	else
		vm_action_start(w, req, LIBVIRT_DOMAIN_SUSPEND, 0, "pause the guest", NULL);
}

void vm_unpause_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	struct json *body;

	/* A new agent that has not looked yet takes it as it was last seen. */
	if (w->core.sm.state == VM_SAVED || (w->core.sm.state == VM_LOOKING && seen_saved(w))) {
		vm_restore_serve(w, req, more);
		return;
	}
	if (!vm_answer_body(req, &body))
		return;
	if (w->core.sm.state == VM_LOOKING)
		vm_answer_unknown(req);
	else if (!runs(w))
		vm_answer_conflict(w, req, "VMI is not running");
	else if (!paused(w))
		vm_answer_conflict(w, req, "VMI is not paused");
	else if (vm_body_dry_run(body))
		vm_answer_done(req, 200);
	else
		vm_action_start(w, req, LIBVIRT_DOMAIN_RESUME, 0, "unpause the guest", NULL);
}

static void was_reset(struct vm_worker *w, struct http_request *req)
{
	vm_say(w, "Normal", "Reset", "The guest was reset");
	vm_answer_done(req, 200);
}

void vm_reset_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	if (w->core.sm.state == VM_LOOKING)
		vm_answer_unknown(req);
	else if (!runs(w))
		vm_answer_conflict(w, req, "VMI is not running");
	else
		vm_action_start(w, req, LIBVIRT_DOMAIN_RESET, 0, "reset the guest", was_reset);
}

static void was_asked(struct vm_worker *w, struct http_request *req)
{
	if (!guest_agent_present(w->agent))
		vm_reboot_asked(w);
	vm_say(w, "Normal", "SoftReboot", "Asked the guest to restart");
	vm_answer_done(req, 200);
}

void vm_soft_reboot_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	bool agent = guest_agent_present(w->agent);

	if (w->core.sm.state == VM_LOOKING)
		vm_answer_unknown(req);
	else if (!runs(w))
		vm_answer_conflict(w, req, "VM is not running");
	else if (paused(w))
		vm_answer_conflict(w, req, "VMI is paused");
	else if (!agent && w->has_spec && !w->spec.features.acpi)
		vm_answer_conflict(w, req,
			"VMI neither have the agent connected nor the ACPI feature enabled");
	else
		vm_action_start(w, req, LIBVIRT_DOMAIN_REBOOT,
			agent ? LIBVIRT_SHUTDOWN_AGENT : LIBVIRT_SHUTDOWN_ACPI,
			"ask the guest to restart", was_asked);
}
