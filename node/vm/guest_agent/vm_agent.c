#include "node/vm/vm_internal.h"

/* The agent in the guest of a worker. */

static void changed(void *user)
{
	vm_worker_step(user);
}

void vm_agent_follow(struct vm_worker *w)
{
	bool runs = vm_core_alive(&w->core) && w->core.sm.state != VM_LOOKING;

	if (!runs) {
		vm_agent_stop(w);
	} else if (!w->agent) {
		w->agent = guest_agent_create(
			w->m->node->loop, w->m->node->clock, w->m->agents, &w->domain, changed, w);
		guest_agent_look(w->agent);
	}
}

void vm_agent_stop(struct vm_worker *w)
{
	guest_agent_destroy(TAKE_PTR(w->agent));
}

void vm_agent_event(struct vm_worker *w, bool connected)
{
	if (w->agent)
		guest_agent_connected(w->agent, connected);
}

static void asked(void *user, const struct json *value, const struct err *err)
{
}

bool vm_agent_power_off(struct vm_worker *w)
{
	static const struct agent_command command = {
		.name = "guest-shutdown", .urgent = true, .silent = true};

	if (!guest_agent_present(w->agent))
		return false;
	guest_agent_call(w->agent, &command, asked, NULL);
	return true;
}

void vm_agent_look(struct vm_worker *w)
{
	if (w->agent)
		guest_agent_look(w->agent);
}

void vm_agent_facts(const struct vm_worker *w, struct arena *a, struct vm_facts *f)
{
	const struct guest_agent *g = w->agent;
	const struct json *info = guest_agent_fact(g, a, AGENT_FACT_INFO);

	f->agent = guest_agent_present(g);
	if (!f->agent)
		return;
	if (info)
		f->agent_unsupported = agent_unsupported(
			info, w->object ? json_get(object_doc(w->object, a), "spec") : NULL);
	f->agent_os = guest_agent_fact(g, a, AGENT_FACT_OS);
	f->agent_interfaces = guest_agent_fact(g, a, AGENT_FACT_INTERFACES);
	f->agent_freeze = guest_agent_fact(g, a, AGENT_FACT_FREEZE);
}
