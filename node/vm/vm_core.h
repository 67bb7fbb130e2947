/* vm_core.h - what to do next with one virtual machine. Pure: facts and `now` go in, one action at
 * a time comes out; tested by simulation with lost, repeated and late events.
 *
 *                    found running
 *   LOOKING ----------------------------------> RUNNING ---- guest ended ---> CLEANING
 *      | nothing runs        ok         ok        ^  |                          ^  |
 *      +------> PREPARING -----> DEFINING ----> STARTING --- ended at once -----+  | all is gone
 *      |          ^  |              |             |  |                          |  v
 *      |          |  +---- failed --+---- failed -+  | deleting                 | CLEAN
 *      |  pause   |  v                               v         gone             |  | deleting
 *      |  over    +-- WAITING                     STOPPING ---------------------+  v
 *      |                 | deleting                  | grace over          |    RELEASED
 *      +-----------------+---------> CLEANING <--- KILLING <---------------+
 *        deleting or finished
 *
 * RUNNING <---- runs ---- SAVED (also from LOOKING): memory and devices are in a file, nothing runs
 *         ---- saved --->        and the disks rest; RESTORE brings it back, what is deleted goes
 * to CLEANING, and so does one whose file somebody removed. A guest that was restarting when it was
 * saved and has powered off after that goes from RUNNING (or LOOKING) to STARTING.
 *
 * STOPPING: the guest was asked to power off; KILLING: it no longer is asked. CLEANING removes the
 * domain's definition, files and address; CLEAN waits for the object's deletion; RELEASED has let
 * it go. */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/sm.h"

enum vm_state {
	VM_LOOKING,
	VM_PREPARING,
	VM_DEFINING,
	VM_STARTING,
	VM_RUNNING,
	VM_SAVED,
	VM_STOPPING,
	VM_KILLING,
	VM_WAITING,
	VM_CLEANING,
	VM_CLEAN,
	VM_RELEASED,
};

/* What libvirt knows of the domain. */
enum vm_domain {
	VM_DOMAIN_UNKNOWN, /* not asked since the connection came up */
	VM_DOMAIN_ABSENT,
	VM_DOMAIN_DEFINED, /* never ran, or its start failed */
	VM_DOMAIN_RUNNING,
	VM_DOMAIN_PAUSED,
	VM_DOMAIN_SAVED,  /* does not run, and libvirt has its memory in a file */
	VM_DOMAIN_ENDED,  /* in order: powered off, destroyed by somebody */
	VM_DOMAIN_BROKEN, /* crashed */
};

enum vm_action {
	VM_DO_NOTHING,
	VM_DO_LOOKUP,  /* ask libvirt for the domain */
	VM_DO_PREPARE, /* disks, images, address */
	VM_DO_ABORT, /* stop preparing: answered by vm_core_done(VM_DO_PREPARE, failure) at once */
	VM_DO_DEFINE,
	VM_DO_START,
	VM_DO_RESTORE,	/* start from the saved state */
	VM_DO_RESUME,	/* a paused guest that is to power off must hear it */
	VM_DO_SHUTDOWN, /* ask the guest */
	VM_DO_DESTROY,
	VM_DO_CLEAN,   /* undefine, remove files, give the address back */
	VM_DO_RELEASE, /* remove the finalizer */
};

enum vm_outcome { VM_OUTCOME_NONE, VM_OUTCOME_SUCCEEDED, VM_OUTCOME_FAILED };

struct vm_core {
	struct sm sm;
	/* Facts from outside. */
	enum vm_domain domain;
	bool libvirt_up;
	bool deleting;	  /* the object has a deletion timestamp */
	bool was_running; /* the object's phase says that it ran (an agent before us saw it) */
	bool finished;	  /* the object's phase is final */
	bool restore;	  /* a saved guest is wanted back; false again once it was tried */
	/* One that powers itself off before this was on its way to restart; 0 = it was not. */
	int64_t reboot_until_ns;
	int64_t grace_ns;
	bool unhealthy; /* its liveness probe failed: it is stopped */
	/* The host is about to go down: guests are asked to power off, none is started. */
	bool host_ends;
	int64_t host_grace_ns; /* how long they have at most */
	/* Own. */
	enum vm_action busy; /* under way, not done */
	enum vm_outcome outcome;
	bool restarts;	     /* STARTING: what was started before, for that reason */
	unsigned failures;   /* in a row; gives the pause */
	int64_t retry_at_ns; /* WAITING, KILLING, CLEANING: not before */
	int64_t look_at_ns;  /* the next lookup: not before */
	int64_t kill_at_ns;  /* STOPPING */
	int64_t ask_at_ns;   /* STOPPING: when the guest is asked again */
	unsigned asks;	     /* STOPPING: how often it was */
	bool resumed;	     /* STOPPING */
};

struct vm_step {
	enum vm_action action;
	int64_t wake_ns; /* call again then, if nothing happened before; INT64_MAX = no need */
};

void vm_core_init(struct vm_core *c, const char *label, int64_t now_ns);
/* Moves on as far as the facts allow and says what to do; the action counts as under way until
 * vm_core_done. Call after any change of facts and at wake_ns. */
struct vm_step vm_core_next(struct vm_core *c, int64_t now_ns);
/* The action ended; ok false = failed (to be tried again). LOOKUP's result goes to `domain` before.
 */
void vm_core_done(struct vm_core *c, enum vm_action action, bool ok, int64_t now_ns);
/* libvirt told (or an answer said) what the domain does now. */
void vm_core_domain(struct vm_core *c, enum vm_domain domain, int64_t now_ns);
void vm_core_libvirt(struct vm_core *c, bool up);
/* How long the guest may take to stop. A shorter one holds for a stop that is under way, too. */
void vm_core_grace(struct vm_core *c, int64_t grace_ns, int64_t now_ns);
/* The guest has power: its domain runs or is paused. */
bool vm_core_alive(const struct vm_core *c);
const char *vm_action_name(enum vm_action a);
