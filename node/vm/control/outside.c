/* outside.c - changes that others make to a running domain: its definition, its devices, its
 * memory. docs/virtual-machines.md has the table.
 *
 * The definition of a running guest that somebody removed is made anew, from what runs:
 *
 *   NOT_LOOKED -> LOOKING -> PERSISTENT
 *        ^           `-> READING -> DEFINING -> PERSISTENT
 *        +---- told that it was removed; libvirt was away; a call failed
 */
#include "node/vm/control/control.h"

#include <stdio.h>

#define XML_INACTIVE_SECURE 3u /* virDomainXMLFlags: as it would be started, with secrets */

enum definition_state { NOT_LOOKED, LOOKING, PERSISTENT, READING, DEFINING };

struct vm_outside {
	struct vm_worker *w;
	enum definition_state state;
	struct libvirt_call *call;
	char reason[32], message[512]; /* of the condition ChangedOutside; "" = nothing known */
	bool undone;		       /* what was told is no longer so */
	uint64_t memory_bytes;	       /* the guest's now, 0 = as it was started */
};

static struct vm_outside *outside_of(struct vm_worker *w)
{
	if (!w->outside) {
		w->outside = xcalloc(1, sizeof(*w->outside));
		w->outside->w = w;
	}
	return w->outside;
}

void vm_outside_end(struct vm_worker *w)
{
	struct vm_outside *o = TAKE_PTR(w->outside);

	vm_outside_disks_end(w);
	if (o && o->call)
		libvirt_call_cancel(o->call);
	free(o);
}

void vm_outside_tell(struct vm_worker *w, const char *reason, const char *fmt, ...)
{
	struct vm_outside *o = outside_of(w);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(o->message, sizeof(o->message), fmt, ap);
	va_end(ap);
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
	o->undone = false;
	vm_say(w, "Warning", reason, "%s", o->message);
	vm_worker_step(w);
}

/* Perhaps by an agent before this one. */
static bool said_before(const struct vm_worker *w, const char *reason)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!w->object)
		return false;
	JSON_FOR_EACH_ITEM(it, json_path(object_doc(w->object, &a), "status.conditions"))
		if (streq(json_str(json_get(it, "type")), "ChangedOutside"))
			return streq(json_str(json_get(it, "reason")), reason);
	return false;
}

void vm_outside_untell(struct vm_worker *w, const char *reason)
{
	struct vm_outside *o = outside_of(w);

	if (o->undone || !(o->reason[0] ? streq(o->reason, reason) : said_before(w, reason)))
		return;
	o->reason[0] = '\0';
	o->undone = true;
	vm_worker_step(w);
}

const char *vm_outside_changed(const struct vm_worker *w, const char **ret_message)
{
	if (!w->outside || !w->outside->reason[0])
		return NULL;
	*ret_message = w->outside->message;
	return w->outside->reason;
}

bool vm_outside_undone(const struct vm_worker *w)
{
	return w->outside && w->outside->undone;
}

uint64_t vm_outside_memory(const struct vm_worker *w)
{
	return w->outside ? w->outside->memory_bytes : 0;
}

/* ---- the definition ---- */

static void failed(struct vm_outside *o)
{
	o->state = NOT_LOOKED; /* with the next step; there is one when libvirt comes back */
}

static void defined(void *user, const struct libvirt_reply *r)
{
	struct vm_outside *o = user;

	o->call = NULL;
	if (!r->ok) {
		failed(o);
		return;
	}
	o->state = PERSISTENT;
	vm_say(o->w, "Warning", "DefinitionRestored",
		"The definition of the running domain had been removed (virsh undefine): it was "
		"made "
		"anew. Delete the VirtualMachine to be rid of it");
}

static void xml_here(void *user, const struct libvirt_reply *r)
{
	struct vm_outside *o = user;
	struct xdr_reader body = r->body;
	_cleanup_(free_p) char *xml = NULL;
	const char *text;
	size_t size;

	o->call = NULL;
	if (!r->ok) {
		failed(o);
		return;
	}
	text = xdr_get_string(&body, &size);
	xml = xcalloc(1, size + 1);
	memcpy(xml, text, size);
	o->state = DEFINING;
	o->call = libvirt_call_xml(
		o->w->m->libvirt, LIBVIRT_DOMAIN_DEFINE_XML_FLAGS, xml, 0, defined, o);
}

static void persistent_here(void *user, const struct libvirt_reply *r)
{
	struct vm_outside *o = user;
	struct xdr_reader body = r->body;

	o->call = NULL;
	if (!r->ok) {
		failed(o);
	} else if (xdr_get_u32(&body)) {
		o->state = PERSISTENT;
	} else {
		o->state = READING;
		o->call = libvirt_call_domain(o->w->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC,
			&o->w->domain, XML_INACTIVE_SECURE, xml_here, o);
	}
}

void vm_outside_follow(struct vm_worker *w)
{
	struct vm_outside *o = outside_of(w);
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	vm_outside_disks_follow(w);
	if (!libvirt_is_up(w->m->libvirt)) {
		if (!o->call)
			o->state = NOT_LOOKED;
		/* What the balloon does meanwhile nobody tells: the domain itself is asked. */
		o->memory_bytes = 0;
		return;
	}
	if (o->state != NOT_LOOKED || o->call || w->core.sm.state != VM_RUNNING ||
		!vm_core_alive(&w->core))
		return;
	o->state = LOOKING;
	xdr_put_domain(&args, &w->domain);
	o->call = libvirt_call(
		w->m->libvirt, LIBVIRT_DOMAIN_IS_PERSISTENT, &args, 0, persistent_here, o);
}

void vm_outside_defined(struct vm_worker *w, int detail)
{
	if (detail == LIBVIRT_DEFINED_UPDATED && w->core.sm.state == VM_RUNNING &&
		vm_core_alive(&w->core))
		vm_outside_tell(w, "DefinitionChanged",
			"The definition of the domain was changed outside of hanok (virsh edit, "
			"virt-manager): that is lost when the guest stops. Change the "
			"VirtualMachine instead");
}

void vm_outside_undefined(struct vm_worker *w)
{
	struct vm_outside *o = outside_of(w);

	if (o->call)
		libvirt_call_cancel(TAKE_PTR(o->call));
	o->state = NOT_LOOKED;
	vm_worker_step(w);
}

/* ---- devices ---- */

/* An interface that is to go stays in the list, with the state absent. */
static bool names(const struct json *list, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "name")), name) &&
			!streq(json_str(json_get(it, "state")), "absent"))
			return true;
	return false;
}

/* What the VMI asks for has the alias ua-NAME; what is plugged into it live is made known in its
 * specification first. */
static bool is_asked_for(const struct vm_worker *w, const char *alias)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *spec = w->object ? json_get(object_doc(w->object, &a), "spec") : NULL;
	const struct json *devices = json_path(spec, "domain.devices");

	if (!str_has_prefix(alias, "ua-"))
		return false;
	return names(json_get(devices, "disks"), alias + 3) ||
	       names(json_get(devices, "interfaces"), alias + 3) ||
	       names(json_get(spec, "volumes"), alias + 3);
}

/* Processors and memory come and go as devices too, and what has no alias of ours was made by
 * libvirt itself: controllers. */
static bool is_plain(const char *alias)
{
	static const char *const others[] = {"vcpu", "dimm", "memdimm", "virtiomem", "pci.", "scsi",
		"usb", "virtio-serial", "ide", "sata"};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (str_has_prefix(alias, others[i]))
			return true;
	return false;
}

void vm_outside_device(struct vm_worker *w, const char *alias, bool added)
{
	const char *name = str_has_prefix(alias, "ua-") ? alias + 3 : alias;
	bool wanted = is_asked_for(w, alias);

	if (w->core.sm.state != VM_RUNNING || wanted == added || is_plain(alias))
		return;
	if (added)
		vm_outside_tell(w, "DeviceAttached",
			"Device '%s' was attached outside of hanok (virsh, virt-manager): it goes "
			"when the guest stops",
			name);
	else if (wanted)
		vm_outside_tell(w, "DeviceDetached",
			"Device '%s' was detached outside of hanok (virsh, virt-manager): it is "
			"back at the next start",
			name);
}

void vm_outside_balloon(struct vm_worker *w, uint64_t bytes)
{
	outside_of(w)->memory_bytes = bytes;
	vm_worker_step(w);
}
