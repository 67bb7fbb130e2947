/* vm_lookup.c - which domain belongs to a VMI, and what libvirt knows of it. */
#include "node/vm/control/control.h"
#include "node/vm/vm_internal.h"

#include <stdio.h>

#include "lib/base/log.h"

static int64_t now_of(const struct vm_worker *w)
{
	return w->m->node->clock->mono_ns(w->m->node->clock);
}

static enum vm_domain domain_of(int state, int reason)
{
	switch ((enum libvirt_domain_state)state) {
	case LIBVIRT_STATE_RUNNING:
	case LIBVIRT_STATE_BLOCKED:
	case LIBVIRT_STATE_SHUTDOWN:
	case LIBVIRT_STATE_PMSUSPENDED:
		return VM_DOMAIN_RUNNING;
	case LIBVIRT_STATE_PAUSED:
		return VM_DOMAIN_PAUSED;
	case LIBVIRT_STATE_CRASHED:
		return VM_DOMAIN_BROKEN;
	case LIBVIRT_STATE_SHUTOFF:
		switch ((enum libvirt_shutoff_reason)reason) {
		case LIBVIRT_SHUTOFF_SHUTDOWN:
		case LIBVIRT_SHUTOFF_DESTROYED:
		case LIBVIRT_SHUTOFF_SAVED:
		case LIBVIRT_SHUTOFF_FROM_SNAPSHOT:
		case LIBVIRT_SHUTOFF_MIGRATED:
			return VM_DOMAIN_ENDED;
		case LIBVIRT_SHUTOFF_CRASHED:
			return VM_DOMAIN_BROKEN;
		case LIBVIRT_SHUTOFF_UNKNOWN:
		case LIBVIRT_SHUTOFF_FAILED:
		case LIBVIRT_SHUTOFF_DAEMON:
			break;
		}
		return VM_DOMAIN_DEFINED;
	case LIBVIRT_STATE_NONE:
		break;
	}
	return VM_DOMAIN_DEFINED;
}

bool vm_lookup_know(struct vm_worker *w)
{
	char uuid[37], name[384];

	if (vm_prepare_domain(w->m->directory, w->uid, uuid, name) == 0 &&
		libvirt_uuid_parse(uuid, w->uuid) == 0) {
		snprintf(w->domain.name, sizeof(w->domain.name), "%s", name);
		return true;
	}
	/* No directory: a domain of ours could only have the uid itself, which nobody else makes
	 * up. */
	if (!w->object || libvirt_uuid_parse(w->uid, w->uuid) < 0)
		return false;
	snprintf(w->domain.name, sizeof(w->domain.name), "%s_%s", w->object->namespace,
		w->object->name);
	return true;
}

static void looked(struct vm_worker *w, enum vm_domain domain)
{
	vm_core_domain(&w->core, domain, now_of(w));
	vm_worker_done(w, VM_DO_LOOKUP, true);
}

/* ---- what was saved ----
 *
 * A domain that does not run is saved if libvirt has a file for it, and that is whole; the reason
 * why it stopped is forgotten with each restart of the daemon. A daemon, or a host, that dies while
 * it writes such a file leaves half of one, which libvirt takes for a saved guest, and a start of
 * that boots. Beside a domain that runs there is never a whole one, but one that is being written.
 */

static bool found_alive(const struct vm_worker *w)
{
	return w->found == VM_DOMAIN_RUNNING || w->found == VM_DOMAIN_PAUSED;
}

static void half_removed(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	if (!r->ok)
		log_warn("half of a saved guest", "vmi", w->core.sm.label, "error", r->message,
			NULL);
	if (!r->ok && !found_alive(w))
		vm_worker_done(w, VM_DO_LOOKUP, false);
	else
		looked(w, w->found);
}

static void remove_half(struct vm_worker *w)
{
	w->call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_MANAGED_SAVE_REMOVE, &w->domain, 0, half_removed, w);
}

/* A paused guest that is saved, by an agent before this one or by somebody's virsh, is paused for
 * the reason for which it was before: then only its job tells that the file is being written. */
static void job_here(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;

	w->call = NULL;
	/* It may have ended in between. */
	if (!r->ok)
		vm_worker_done(w, VM_DO_LOOKUP, false);
	else if (!w->saver && xdr_get_u32(&body) == LIBVIRT_JOB_NONE)
		remove_half(w);
	else if (w->saving && !w->saver)
		vm_worker_done(w, VM_DO_LOOKUP, false); /* looked at until that has ended */
	else
		looked(w, w->found);
}

static void ask_for_job(struct vm_worker *w)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, &w->domain);
	w->call = libvirt_call(w->m->libvirt, LIBVIRT_DOMAIN_GET_JOB_INFO, &args, 0, job_here, w);
}

static void saved_read(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;

	w->call = NULL;
	if (r->ok) {
		looked(w, VM_DOMAIN_SAVED);
	} else if (r->code == LIBVIRT_ERR_OPERATION_FAILED) {
		vm_say(w, "Warning", "SaveFailed", "What was saved of the guest is of no use: %s",
			r->message);
		remove_half(w);
	} else {
		vm_worker_done(w, VM_DO_LOOKUP, false);
	}
}

static void saved_here(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;

	w->call = NULL;
	if (!r->ok)
		vm_worker_done(w, VM_DO_LOOKUP, false);
	else if (!xdr_get_u32(&body))
		looked(w, w->found);
	else if (found_alive(w))
		ask_for_job(w);
	else
		w->call = libvirt_call_domain(w->m->libvirt,
			LIBVIRT_DOMAIN_MANAGED_SAVE_GET_XML_DESC, &w->domain, 0, saved_read, w);
}

static void state_here(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;

	w->call = NULL;
	if (!r->ok) {
		if (r->code == LIBVIRT_ERR_NO_DOMAIN)
			looked(w, VM_DOMAIN_ABSENT);
		else
			vm_worker_done(w, VM_DO_LOOKUP, false);
		return;
	}
	int state = (int)xdr_get_u32(&body), reason = (int)xdr_get_u32(&body);
	w->found = domain_of(state, reason);
	if (state == LIBVIRT_STATE_PAUSED)
		w->pause_reason = (enum libvirt_paused_reason)reason;
	if (state == LIBVIRT_STATE_SHUTOFF && reason == LIBVIRT_SHUTOFF_DESTROYED)
		vm_reboot_over(w);
	/* Being saved at this moment: what there is of the file is being written. */
	bool midway = w->found == VM_DOMAIN_PAUSED && w->pause_reason == LIBVIRT_PAUSED_SAVE;
	if ((state == LIBVIRT_STATE_SHUTOFF || found_alive(w)) && !midway && !w->saver)
		w->call = libvirt_call_domain(w->m->libvirt, LIBVIRT_DOMAIN_HAS_MANAGED_SAVE_IMAGE,
			&w->domain, 0, saved_here, w);
	else
		looked(w, w->found);
}

static void domain_here(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;
	struct libvirt_domain d;

	w->call = NULL;
	if (r->ok) {
		xdr_get_domain(&body, &d);
		/* Another's domain, with a UUID that this VMI asks for too: defining will say so.
		 */
		if (!body.bad && streq(d.name, w->domain.name)) {
			w->domain = d;
			w->call = libvirt_call_domain(w->m->libvirt, LIBVIRT_DOMAIN_GET_STATE,
				&w->domain, 0, state_here, w);
			return;
		}
	}
	if (r->ok || r->code == LIBVIRT_ERR_NO_DOMAIN)
		vm_core_domain(&w->core, VM_DOMAIN_ABSENT, now_of(w));
	vm_worker_done(w, VM_DO_LOOKUP, r->ok || r->code == LIBVIRT_ERR_NO_DOMAIN);
}

void vm_lookup(struct vm_worker *w)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	if (!vm_lookup_know(w)) {
		vm_core_domain(&w->core, VM_DOMAIN_ABSENT, now_of(w));
		vm_worker_done(w, VM_DO_LOOKUP, true);
		return;
	}
	buf_add(&args, w->uuid, sizeof(w->uuid));
	w->call = libvirt_call(
		w->m->libvirt, LIBVIRT_DOMAIN_LOOKUP_BY_UUID, &args, 0, domain_here, w);
}
