#include "node/vm/guest_agent/vm_credentials.h"
#include "node/vm/guest_agent/vm_freeze.h"
#include "node/vm/vm_internal.h"

/* The agent in the guest of a worker, and what works through it. */

static void changed(void *user)
{
	struct vm_worker *w = user;

	vm_credentials_changed(w->credentials);
	vm_worker_step(w);
}

static void credentials_told(void *user, bool ok, const char *message)
{
	struct vm_worker *w = user;

	if (ok)
		vm_say(w, "Normal", "AccessCredentialsSyncSuccess",
			"Access credentials sync successful.");
	else
		vm_say(w, "Warning", "AccessCredentialsSyncFailed",
			"Access credentials sync failed: %s", message);
	vm_worker_step(w);
}

static void start(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s/thaw-at", w->m->directory, w->uid);
	struct node *n = w->m->node;

	w->agent = guest_agent_create(n->loop, n->clock, w->m->agents, &w->domain, changed, w);
	w->freeze = vm_freeze_create(&(struct vm_freeze_options){.loop = n->loop,
		.clock = n->clock,
		.agent = w->agent,
		.path = path,
		.label = w->core.sm.label});
	if (w->has_spec && w->object)
		w->credentials = vm_credentials_create(&(struct vm_credentials_options){
			.node = n,
			.watches = w->m->secrets,
			.agent = w->agent,
			.spec = json_get(w->doc, "spec"),
			.namespace = w->object->namespace,
			.uid = w->uid,
			.told = credentials_told,
			.user = w,
		});
	guest_agent_look(w->agent);
}

void vm_agent_follow(struct vm_worker *w)
{
	bool runs = vm_core_alive(&w->core) && w->core.sm.state != VM_LOOKING;

	/* libvirt is back, and has yet to say whether the guest runs. */
	if (w->core.domain == VM_DOMAIN_UNKNOWN && w->agent)
		return;
	if (!runs) {
		vm_agent_stop(w);
	} else if (!w->agent) {
		start(w);
	}
}

void vm_agent_stop(struct vm_worker *w)
{
	vm_credentials_destroy(TAKE_PTR(w->credentials));
	vm_freeze_destroy(TAKE_PTR(w->freeze));
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

void vm_agent_secrets(struct vm_worker *w)
{
	vm_credentials_changed(w->credentials);
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
	f->credentials =
		vm_credentials_state(w->credentials, &f->credentials_ok, &f->credentials_message);
	if (!f->agent)
		return;
	if (info)
		f->agent_unsupported = agent_unsupported(
			info, w->object ? json_get(object_doc(w->object, a), "spec") : NULL);
	f->agent_os = guest_agent_fact(g, a, AGENT_FACT_OS);
	f->agent_interfaces = guest_agent_fact(g, a, AGENT_FACT_INTERFACES);
	f->agent_freeze = guest_agent_fact(g, a, AGENT_FACT_FREEZE);
}
