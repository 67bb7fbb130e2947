/* machine_type.c - which machine a running guest has: "q35" was asked for, "pc-q35-7.2" is what
 * libvirt made of it. Looked up once a start.
 *
 *   UNKNOWN -> ASKED -> known (w->machine)
 *      ^---------'  it failed; with the next step of the worker again
 */
#include "node/vm/control/control.h"

#include <stdio.h>

#include "node/vm/libvirt/live_xml.h"

static void xml_here(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;
	struct str xml;

	w->machine_call = NULL;
	if (!r->ok)
		return;
	xml.p = xdr_get_string(&body, &xml.size);
	if (!live_xml_attribute(xml, "type", NULL, NULL, "machine", w->machine, sizeof(w->machine)))
		snprintf(w->machine, sizeof(w->machine), "%s", w->has_spec ? w->spec.machine : "");
	if (*w->machine)
		vm_worker_step(w);
}

void vm_machine_follow(struct vm_worker *w)
{
	if (!vm_core_alive(&w->core)) {
		vm_machine_end(w);
		w->machine[0] = '\0';
		return;
	}
	if (*w->machine || w->machine_call || w->core.sm.state != VM_RUNNING ||
		!libvirt_is_up(w->m->libvirt))
		return;
	w->machine_call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC, &w->domain, 0, xml_here, w);
}

void vm_machine_end(struct vm_worker *w)
{
	if (w->machine_call)
		libvirt_call_cancel(TAKE_PTR(w->machine_call));
}
