/* reboot.c - a guest that was asked to restart by its power button, and is saved before it has. The
 * button can only be pressed: libvirt remembers that the guest is to be reset when it has shut
 * down, and forgets that with the process that it saves. Restored, the guest would go on shutting
 * down, and be off.
 *
 * DATA/vms/UID/rebooting      asked for at its time; goes with the restart
 * DATA/vms/UID/reboot-saved   ... and saved before that: if the guest powers itself off within five
 *                             minutes after it was restored (the file's time), it is started again
 */
#include "node/vm/control/control.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/vm/image/image_files.h"

/* A system that is asked to shut down does so, or is forced to by its own init, in this time; one
 * that has not by then did not hear. */
#define PENDING_NS (300 * NS_PER_S)

static char *path_of(const struct vm_worker *w, const char *name)
{
	return xasprintf("%s/%s/%s", w->m->directory, w->uid, name);
}

/* How long ago the file was made or touched; < 0 = there is none. */
static int64_t age_ns(const struct vm_worker *w, const char *name)
{
	_cleanup_(free_p) char *path = path_of(w, name);
	struct clock *clock = w->m->node->clock;
	struct stat st;

	if (stat(path, &st) < 0)
		return -1;
	return MAX(clock->wall_ns(clock) -
			   ((int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec),
		0);
}

void vm_reboot_asked(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = path_of(w, "rebooting");
	struct err err = ERR_INIT;

	w->rebooting = true;
	if (files_write(path, "", 0, 0600, &err) < 0)
		log_warn("soft reboot of a virtual machine", "vmi", w->core.sm.label, "error",
			err.msg, NULL);
}

void vm_reboot_over(struct vm_worker *w)
{
	_cleanup_(free_p) char *asked = path_of(w, "rebooting");
	_cleanup_(free_p) char *saved = path_of(w, "reboot-saved");

	(void)unlink(asked);
	(void)unlink(saved);
	w->rebooting = false;
	w->core.reboot_until_ns = 0;
}

void vm_reboot_save(struct vm_worker *w)
{
	_cleanup_(free_p) char *from = path_of(w, "rebooting");
	_cleanup_(free_p) char *to = path_of(w, "reboot-saved");

	if (!w->rebooting)
		return;
	if (age_ns(w, "rebooting") > PENDING_NS) {
		vm_reboot_over(w);
		return;
	}
	if (rename(from, to) < 0)
		return;
	w->rebooting = false;
	w->core.reboot_until_ns = INT64_MAX;
}

void vm_reboot_find(struct vm_worker *w)
{
	struct clock *clock = w->m->node->clock;
	int64_t age = age_ns(w, "reboot-saved");

	w->rebooting = age_ns(w, "rebooting") >= 0;
	w->core.reboot_until_ns =
		age < 0 ? 0 : clock->mono_ns(clock) + MAX(PENDING_NS - age, INT64_C(1));
}

void vm_reboot_follow(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = NULL;
	struct clock *clock = w->m->node->clock;

	switch ((enum vm_state)w->core.sm.state) {
	case VM_SAVED: /* by us, or by somebody's virsh */
		vm_reboot_save(w);
		if (w->core.reboot_until_ns)
			w->core.reboot_until_ns = INT64_MAX;
		break;
	case VM_RUNNING:
		if (w->core.reboot_until_ns != INT64_MAX || w->saving)
			break;
		path = path_of(w, "reboot-saved");
		(void)utimensat(AT_FDCWD, path, NULL, 0);
		w->core.reboot_until_ns = clock->mono_ns(clock) + PENDING_NS;
		break;
	default:
		break;
	}
}
