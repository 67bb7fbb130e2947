/* watch.c - what happens to a domain that was not asked for here: virsh and virt-manager on the
 * same host, QEMU, the guest itself. docs/virtual-machines.md has the table of what follows. */
#include "node/vm/control/control.h"
#include "node/vm/live/live.h"
#include "node/vm/snapshot/snapshots.h"

#include <stdio.h>

void vm_pause_words(const struct vm_worker *w, const char **ret_reason, const char **ret_message)
{
	switch (w->pause_reason) {
	case LIBVIRT_PAUSED_IOERROR:
		*ret_reason = "PausedIOError";
		*ret_message = vm_space_message(w);
		if (!*ret_message)
			*ret_message = "VMI was paused, low-level IO error detected";
		break;
	case LIBVIRT_PAUSED_WATCHDOG:
		*ret_reason = "PausedByWatchdog";
		*ret_message = "VMI was paused by its watchdog";
		break;
	case LIBVIRT_PAUSED_CRASHED:
		*ret_reason = "GuestPanicked";
		*ret_message = "VMI was paused because the guest's system crashed";
		break;
	case LIBVIRT_PAUSED_MIGRATION:
		/* Of one that was paused when it was saved libvirt says so, too, when it is back.
		 */
		if (!vm_snapshots_under_way(w->m->snapshots)) {
			*ret_reason = "PausedByUser";
			*ret_message = "VMI was paused by user";
			break;
		}
		*ret_reason = *ret_message = NULL;
		break;
	/* For a moment, as part of something else. */
	case LIBVIRT_PAUSED_SAVE:
	case LIBVIRT_PAUSED_DUMP:
	case LIBVIRT_PAUSED_SHUTTING_DOWN:
	case LIBVIRT_PAUSED_SNAPSHOT:
		*ret_reason = *ret_message = NULL;
		break;
	case LIBVIRT_PAUSED_UNKNOWN:
	case LIBVIRT_PAUSED_USER:
	case LIBVIRT_PAUSED_FROM_SNAPSHOT:
	default:
		*ret_reason = "PausedByUser";
		*ret_message = "VMI was paused by user";
	}
}

static void paused_here(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;

	w->pause_call = NULL;
	if (r->ok && !w->pause_again) {
		int state = (int)xdr_get_u32(&body), reason = (int)xdr_get_u32(&body);

		if (!body.bad && state == LIBVIRT_STATE_PAUSED) {
			w->pause_reason = (enum libvirt_paused_reason)reason;
			vm_core_domain(&w->core, VM_DOMAIN_PAUSED,
				w->m->node->clock->mono_ns(w->m->node->clock));
		}
	}
	if (w->pause_again)
		vm_watch_paused(w);
	else
		vm_worker_step(w);
}

void vm_watch_paused(struct vm_worker *w)
{
	w->pause_again = w->pause_call != NULL;
	if (!w->pause_call)
		w->pause_call = libvirt_call_domain(
			w->m->libvirt, LIBVIRT_DOMAIN_GET_STATE, &w->domain, 0, paused_here, w);
}

static void saved_here(void *user, const struct libvirt_reply *r)
{
	struct vm_worker *w = user;
	struct xdr_reader body = r->body;
	bool managed = r->ok && xdr_get_u32(&body);

	w->pause_call = NULL;
	if (r->ok && !managed)
		vm_say(w, "Warning", "SavedElsewhere",
			"The guest was saved into a file that is not hanok's (virsh save): it "
			"counts as powered off");
	vm_core_domain(&w->core,
		!r->ok	  ? VM_DOMAIN_UNKNOWN
		: managed ? VM_DOMAIN_SAVED
			  : VM_DOMAIN_ENDED,
		w->m->node->clock->mono_ns(w->m->node->clock));
	vm_worker_step(w);
}

void vm_watch_saved(struct vm_worker *w)
{
	if (w->pause_call)
		libvirt_call_cancel(w->pause_call);
	w->pause_again = false;
	w->pause_call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &w->domain, 0, saved_here, w);
}

void vm_watch_end(struct vm_worker *w)
{
	if (w->pause_call)
		libvirt_call_cancel(TAKE_PTR(w->pause_call));
}

static void on_watchdog(struct vm_worker *w, int action)
{
	static const char *const words[] = {
		[LIBVIRT_WATCHDOG_NONE] = "nothing was done",
		[LIBVIRT_WATCHDOG_PAUSE] = "the guest was paused",
		[LIBVIRT_WATCHDOG_RESET] = "the guest was reset",
		[LIBVIRT_WATCHDOG_POWEROFF] = "the guest was switched off",
		[LIBVIRT_WATCHDOG_SHUTDOWN] = "the guest was asked to power off",
		[LIBVIRT_WATCHDOG_DEBUG] = "nothing was done",
		[LIBVIRT_WATCHDOG_INJECTNMI] = "the guest was sent an NMI",
	};

	vm_say(w, "Warning", "WatchdogExpired", "The watchdog of the guest expired: %s",
		action >= 0 && action < (int)ARRAY_LEN(words) ? words[action] : "action unknown");
}

static void on_io_error(struct vm_worker *w, const struct libvirt_event *e)
{
	if (streq(e->reason, "enospc"))
		vm_space_told(w, e->path);
	const char *disk = str_has_prefix(e->device, "ua-") ? e->device + 3 : e->device;

	if (e->what == LIBVIRT_IO_ERROR_PAUSE)
		vm_say(w, "Warning", "IOerror", "VM Paused due to %s on disk '%s' (%s)",
			streq(e->reason, "enospc") ? "not enough space" : "IO error", disk,
			e->path);
	else
		vm_say(w, "Warning", "IOerror", "I/O error on disk '%s' (%s)%s", disk, e->path,
			e->what == LIBVIRT_IO_ERROR_REPORT ? ": told to the guest" : "");
}

static void on_lifecycle(struct vm_worker *w, const struct libvirt_event *e)
{
	if (e->what == LIBVIRT_EVENT_CRASHED)
		vm_say(w, "Warning", "GuestPanicked", "The system of the guest crashed");
	if (e->what == LIBVIRT_EVENT_DEFINED)
		vm_outside_defined(w, e->detail);
	if (e->what == LIBVIRT_EVENT_UNDEFINED && e->detail == LIBVIRT_UNDEFINED_REMOVED &&
		vm_core_alive(&w->core))
		vm_outside_undefined(w);
	vm_worker_lifecycle(w, e->what, e->detail);
}

void vm_watch_event(struct vm_worker *w, const struct libvirt_event *e)
{
	switch (e->id) {
	case LIBVIRT_EVENT_ID_LIFECYCLE:
		on_lifecycle(w, e);
		break;
	case LIBVIRT_EVENT_ID_REBOOT:
		vm_reboot_over(w);
		vm_say(w, "Normal", "Rebooted", "The guest restarted");
		break;
	case LIBVIRT_EVENT_ID_WATCHDOG:
		on_watchdog(w, e->what);
		break;
	case LIBVIRT_EVENT_ID_IO_ERROR_REASON:
		on_io_error(w, e);
		break;
	case LIBVIRT_EVENT_ID_CONTROL_ERROR:
		vm_say(w, "Warning", "ControlError",
			"libvirt lost control of the guest: its QEMU does not answer");
		break;
	case LIBVIRT_EVENT_ID_AGENT_LIFECYCLE:
		vm_agent_event(w, e->what == LIBVIRT_AGENT_CONNECTED);
		break;
	case LIBVIRT_EVENT_ID_BALLOON_CHANGE:
		vm_outside_balloon(w, e->bytes);
		break;
	case LIBVIRT_EVENT_ID_DEVICE_ADDED:
	case LIBVIRT_EVENT_ID_DEVICE_REMOVED:
		vm_outside_device(w, e->device, e->id == LIBVIRT_EVENT_ID_DEVICE_ADDED);
		if (e->id == LIBVIRT_EVENT_ID_DEVICE_REMOVED)
			vm_live_removed(w, e->device, false);
		break;
	case LIBVIRT_EVENT_ID_DEVICE_REMOVAL_FAILED:
		vm_live_removed(w, e->device, true);
		break;
	case LIBVIRT_EVENT_ID_BLOCK_JOB_2:
		vm_outside_disks_job(w);
		break;
	/* What is tuned or noted there does no harm. */
	case LIBVIRT_EVENT_ID_TUNABLE:
	case LIBVIRT_EVENT_ID_METADATA_CHANGE:
	case LIBVIRT_EVENT_ID_BLOCK_THRESHOLD:
		break;
	}
}
