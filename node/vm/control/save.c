/* save.c - a guest's memory and devices into a file, and back: libvirt's managed save. The file
 * lies in libvirt's own directory and goes with the domain's definition; DATA/vms/UID/saving stands
 * while one is being written, so that an agent that comes later says how it ended.
 *
 * Both take as long as the guest's memory is large, and libvirt serves only a few calls of a
 * connection at a time: each has a connection of its own. */
#include "node/vm/control/control.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/vm/image/image_files.h"

struct vm_saver {
	struct vm_worker *w;
	struct libvirt_stream *call; /* its answer opens it */
	bool restore;
};

static char *marker_path(const struct vm_worker *w)
{
	return xasprintf("%s/%s/saving", w->m->directory, w->uid);
}

static void mark(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = marker_path(w);
	struct err err = ERR_INIT;

	w->saving = true;
	if (files_write(path, "", 0, 0600, &err) < 0)
		log_warn("save of a virtual machine", "vmi", w->core.sm.label, "error", err.msg,
			NULL);
}

static void unmark(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = marker_path(w);

	w->saving = false;
	unlink(path);
}

void vm_save_find(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = marker_path(w);

	w->saving = access(path, F_OK) == 0;
}

void vm_save_cancel(struct vm_worker *w)
{
	if (!w->saver)
		return;
	libvirt_stream_close(w->saver->call);
	free(TAKE_PTR(w->saver));
}

static void ended(struct vm_saver *s, const char *problem)
{
	struct vm_worker *w = s->w;
	bool restore = s->restore;

	w->saver = NULL;
	free(s);
	if (restore) {
		if (problem)
			vm_say(w, "Warning", "RestoreFailed",
				"The saved guest could not be restored and stays saved: %s",
				problem);
		else
			net_ports_changed(w->m->node->net);
		if (!problem)
			vm_say(w, "Normal", "Restored",
				"The guest goes on from where it was saved");
		vm_core_done(&w->core, VM_DO_RESTORE, !problem,
			w->m->node->clock->mono_ns(w->m->node->clock));
	} else if (problem && w->saving) {
		vm_say(w, "Warning", "SaveFailed", "The guest could not be saved: %s", problem);
		unmark(w);
	} else if (!w->core.busy && vm_core_alive(&w->core)) {
		/* The event comes by another connection, perhaps later. */
		w->core.domain = VM_DOMAIN_UNKNOWN;
	}
	vm_worker_step(w);
}

static void on_opened(void *user)
{
	struct vm_saver *s = user;

	libvirt_stream_close(TAKE_PTR(s->call));
	ended(s, NULL);
}

static void on_data(void *user, const char *p, size_t size)
{
}

static void on_closed(void *user, const struct err *err)
{
	struct vm_saver *s = user;

	s->call = NULL;
	/* libvirt went away: what came of it shows when it is back. */
	if (err && err->code != -EIO && !s->restore) {
		struct vm_worker *w = s->w;

		w->saver = NULL;
		free(s);
		vm_worker_step(w);
		return;
	}
	ended(s, err ? err->msg : "libvirt did not say why");
}

static void begin(struct vm_worker *w, bool restore)
{
	static const struct libvirt_stream_handler handler = {
		.opened = on_opened, .data = on_data, .closed = on_closed};
	struct vm_saver *s = xcalloc(1, sizeof(*s));
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	s->w = w;
	s->restore = restore;
	w->saver = s;
	xdr_put_domain(&args, &w->domain);
	xdr_put_u32(&args, 0);
	s->call = libvirt_stream_open(w->m->node->loop, w->m->node->libvirt_address,
		restore ? LIBVIRT_DOMAIN_CREATE_WITH_FLAGS : LIBVIRT_DOMAIN_MANAGED_SAVE, &args,
		&handler, s);
}

void vm_restore_start(struct vm_worker *w)
{
	begin(w, true);
}

bool vm_save_follow(struct vm_worker *w)
{
	bool midway = w->core.domain == VM_DOMAIN_PAUSED && w->pause_reason == LIBVIRT_PAUSED_SAVE;

	if (!w->saving || w->saver)
		return false;
	switch ((enum vm_state)w->core.sm.state) {
	case VM_SAVED:
		vm_say(w, "Normal", "Saved", "The guest is saved on disk; unpause restores it");
		unmark(w);
		break;
	case VM_RUNNING:
	case VM_STOPPING:
		if (w->core.domain == VM_DOMAIN_UNKNOWN || !vm_core_alive(&w->core) || midway)
			break;
		vm_say(w, "Warning", "SaveFailed",
			"Saving the guest was interrupted: it runs on as before");
		unmark(w);
		/* Half of a file may be left, which goes when the domain is looked at. */
		if (w->core.busy)
			break;
		w->core.domain = VM_DOMAIN_UNKNOWN;
		return true;
	default:
		break;
	}
	return false;
}

static bool body_is_dry_run(struct http_request *req, bool *ret)
{
	struct json *body;

	if (!vm_answer_body(req, &body))
		return false;
	*ret = vm_body_dry_run(body);
	return true;
}

void vm_save_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	bool dry_run;

	if (!body_is_dry_run(req, &dry_run))
		return;
	if (w->core.sm.state == VM_LOOKING) {
		vm_answer_unknown(req);
	} else if (w->core.sm.state == VM_SAVED) {
		vm_answer_conflict(w, req, "VMI is already saved");
	} else if (w->core.sm.state != VM_RUNNING || !vm_core_alive(&w->core)) {
		vm_answer_conflict(w, req, "VMI is not running");
	} else if (w->saving) {
		vm_answer_conflict(w, req, "VMI is being saved");
	} else {
		if (!dry_run) {
			mark(w);
			vm_reboot_save(w);
			vm_say(w, "Normal", "Saving", "The guest is being saved to disk");
			begin(w, false);
		}
		vm_answer_done(req, 202);
	}
}

void vm_restore_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	bool dry_run;

	if (!body_is_dry_run(req, &dry_run))
		return;
	/* A new agent that has not looked yet takes it too. */
	if (w->core.sm.state != VM_SAVED && w->core.sm.state != VM_LOOKING) {
		vm_answer_conflict(w, req, "VMI is not saved");
		return;
	}
	if (!dry_run) {
		w->core.restore = true;
		/* Is what was saved still there? Nobody tells when it is removed. */
		if (!w->core.busy)
			w->core.domain = VM_DOMAIN_UNKNOWN;
	}
	vm_answer_done(req, 202);
	if (!dry_run)
		vm_worker_step(w);
}
