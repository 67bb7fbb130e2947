/* control.h - what is done to a running guest on request, and what others do to its domain. The
 * handlers of subresources stand in the table of vm_actions.c; each answers its request, now or
 * later, in KubeVirt's words. */
#pragma once

#include "node/vm/vm_internal.h"

/* ---- answers.c ---- */

/* "Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "NAME": DETAIL" */
void vm_answer_conflict(struct vm_worker *w, struct http_request *req, const char *detail);
void vm_answer_forbidden(struct vm_worker *w, struct http_request *req, const char *detail);
/* A Status with this code and text. */
void vm_answer_status(struct http_request *req, int code, const char *reason, const char *fmt, ...)
	_printf_(4, 5);
/* A new agent does not know yet how the guest is. */
void vm_answer_unknown(struct http_request *req);
void vm_answer_done(struct http_request *req, int code); /* with an empty body */
/* libvirt said no, or nothing. */
void vm_answer_libvirt(struct http_request *req, const char *doing, const struct libvirt_reply *r);
/* The body's JSON or YAML, NULL = none. False: it can't be read, and the request is answered. */
bool vm_answer_body(struct http_request *req, struct json **ret);
bool vm_body_dry_run(const struct json *body); /* dryRun: [All] */

/* One call to libvirt for a request. Ends with the worker, or with the answer. */
struct vm_action_call {
	struct list link; /* in w->actions */
	struct vm_worker *w;
	struct http_request *req;
	struct libvirt_call *call;
	const char *doing;
	/* Instead of a plain 200 when libvirt did it; NULL = that. The call is gone after it. */
	void (*done)(struct vm_worker *w, struct http_request *req);
};
void vm_action_start(struct vm_worker *w, struct http_request *req, enum libvirt_proc proc,
	uint32_t flags, const char *doing, void (*done)(struct vm_worker *, struct http_request *));

/* All that is under way for requests ends: who waits is told. */
void vm_control_end(struct vm_worker *w);

/* ---- power.c ---- */
void vm_pause_serve(struct vm_worker *w, struct http_request *req, const char *more);
void vm_unpause_serve(struct vm_worker *w, struct http_request *req, const char *more);
void vm_reset_serve(struct vm_worker *w, struct http_request *req, const char *more);
void vm_soft_reboot_serve(struct vm_worker *w, struct http_request *req, const char *more);

/* ---- save.c ---- */
/* PUT save: 202 when it begins; the condition Paused (reason Saved) and an event tell the end. */
void vm_save_serve(struct vm_worker *w, struct http_request *req, const char *more);
/* PUT restore, and unpause of a saved guest. */
void vm_restore_serve(struct vm_worker *w, struct http_request *req, const char *more);
void vm_restore_start(struct vm_worker *w); /* VM_DO_RESTORE */
void vm_save_find(struct vm_worker *w);	    /* was one under way when the agent before ended? */
/* With each step: has it ended, and how? True: the domain is to be looked at again, now. */
bool vm_save_follow(struct vm_worker *w);
void vm_save_cancel(struct vm_worker *w); /* no more is heard of it; libvirt goes on */

/* ---- reboot.c ---- */
void vm_reboot_asked(struct vm_worker *w);  /* by the power button: libvirt resets it in the end */
void vm_reboot_over(struct vm_worker *w);   /* it has restarted, or ended otherwise */
void vm_reboot_save(struct vm_worker *w);   /* it is about to be saved */
void vm_reboot_find(struct vm_worker *w);   /* what an earlier agent left */
void vm_reboot_follow(struct vm_worker *w); /* with each step */

/* ---- screen.c ---- */
/* A WebSocket (plain.kubevirt.io) with the RFB protocol; each client has a connection of its own.
 */
void vm_vnc_serve(struct vm_worker *w, struct http_request *req, const char *more);
/* A PNG. */
void vm_screenshot_serve(struct vm_worker *w, struct http_request *req);
void vm_screens_end(struct vm_worker *w);

/* ---- forward.c ---- */
/* more: PORT[/tcp|udp]. A WebSocket with the bytes of a connection to the guest's address; for UDP
 * each message is a datagram. */
void vm_port_forward_serve(struct vm_worker *w, struct http_request *req, const char *more);
void vm_dials_end(struct vm_worker *w);

/* What is not there: usbredir, vsock. */
void vm_unavailable_serve(struct vm_worker *w, struct http_request *req, const char *more);

/* ---- watch.c ---- */
/* Any of libvirt's events of this domain. */
void vm_watch_event(struct vm_worker *w, const struct libvirt_event *e);
/* Why the guest is paused, asked anew: the event does not say all. */
void vm_watch_paused(struct vm_worker *w);
/* The guest stopped because it was saved: into libvirt's file, or into one of somebody's own? */
void vm_watch_saved(struct vm_worker *w);
void vm_watch_end(struct vm_worker *w);
/* Reason and message of the condition Paused; *ret_reason NULL = such a pause is not shown. */
void vm_pause_words(const struct vm_worker *w, const char **ret_reason, const char **ret_message);

/* ---- space.c ---- */
void vm_space_told(struct vm_worker *w, const char *path); /* libvirt named the file that is full */
void vm_space_follow(struct vm_worker *w); /* with each step: did QEMU pause it for want of room? */
void vm_space_end(struct vm_worker *w);
/* What is full, for the condition Paused; NULL = that is not why. */
const char *vm_space_message(const struct vm_worker *w);

/* ---- grow.c ---- */
/* Disks of running guests grow with their claims. n->claims is there, and not started. */
void vm_grow_start(struct vm_manager *m);
void vm_grow_end(struct vm_manager *m);

/* ---- machine_type.c ---- */
void vm_machine_follow(struct vm_worker *w); /* with each step: which machine has libvirt made? */
void vm_machine_end(struct vm_worker *w);

/* ---- outside_disks.c ---- */
void vm_outside_disks_follow(struct vm_worker *w);
void vm_outside_disks_job(struct vm_worker *w); /* a block job ended, somebody's */
void vm_outside_disks_end(struct vm_worker *w);

/* ---- outside.c ---- */
void vm_outside_follow(struct vm_worker *w); /* with each step: does libvirt keep its definition? */
void vm_outside_end(struct vm_worker *w);
void vm_outside_defined(struct vm_worker *w, int detail);
void vm_outside_undefined(struct vm_worker *w);
void vm_outside_device(struct vm_worker *w, const char *alias, bool added);
void vm_outside_balloon(struct vm_worker *w, uint64_t bytes);
/* Reason and message of the condition ChangedOutside; NULL = nothing was changed that is known. */
const char *vm_outside_changed(const struct vm_worker *w, const char **ret_message);
/* Something is different now; and it is as it should be again, if that was what was told. */
void vm_outside_tell(struct vm_worker *w, const char *reason, const char *fmt, ...) _printf_(3, 4);
void vm_outside_untell(struct vm_worker *w, const char *reason);
bool vm_outside_undone(const struct vm_worker *w); /* the condition goes */
uint64_t vm_outside_memory(
	const struct vm_worker *w); /* the guest's, by its balloon; 0 = unknown */

/* ---- nfs_watch.c: servers that running guests have disks on ---- */
struct vm_nfs_watch *vm_nfs_watch_create(struct vm_manager *m);
void vm_nfs_watch_destroy(struct vm_nfs_watch *watch); /* NULL allowed */
/* A server of this guest's does not answer: what to say; NULL = all do. */
const char *vm_nfs_problem(struct vm_worker *w);
