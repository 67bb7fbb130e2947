/* vm_status.h - the status of a VirtualMachineInstance from what the worker knows. Pure. Phases,
 * condition types and reasons are KubeVirt's. */
#pragma once

#include "node/vm/spec/vm_spec.h"

/* A volume that was plugged in, or goes. */
struct vm_volume_fact {
	const char *name, *target, *phase, *reason, *message;
	bool leaves; /* the VMI does not ask for it any more */
};

struct vm_facts {
	const char *phase; /* NULL = as it is */
	bool alive;	   /* the guest has power */
	bool saved;	   /* it has no power, but its state is on disk */
	bool paused;
	/* The condition Paused; NULL while a pause is only part of something else. */
	const char *pause_reason, *pause_message;
	/* Why Ready is False although the guest runs ("" = it is ready). */
	const char *not_ready_reason, *not_ready_message;
	/* What keeps the VMI from its wanted state; NULL = nothing. Condition Synchronized. */
	const char *problem_reason, *problem_message;
	/* Condition ChangedOutside; NULL = none known: one that is there stays while it runs. */
	const char *outside_reason, *outside_message;
	bool outside_undone; /* and what was said of it no longer holds */
	/* How QEMU is shut in: condition Confined; NULL or "" = not known. */
	const char *confinement;
	bool confined;		    /* nothing is missing */
	int64_t runtime_user;	    /* QEMU's; <= 0 = not known, or root */
	const char *machine;	    /* as libvirt resolved it; NULL or "" = as it was asked for */
	uint64_t memory_now_bytes;  /* that the guest has; 0 = as it was started */
	const char *address;	    /* of the first interface, "" = none yet */
	const struct vm_spec *spec; /* NULL while it could not be read */
	/* What the guest agent says; NULL = nothing (guest_agent/agent_facts.h has the forms). */
	bool agent;
	const char *agent_unsupported; /* why it does not do for this VMI */
	/* accessCredentials that go through the agent: false = there are none, or nothing yet. */
	bool credentials, credentials_ok;
	const char *credentials_message;
	const struct vm_volume_fact *volumes;
	size_t volume_count;
	unsigned vcpus_now; /* that the guest has; 0 = as it was started */
	/* Conditions HotVCPUChange and HotMemoryChange: it is to have others than it has. */
	bool vcpus_change, memory_change;
	bool memory_failed; /* QEMU does not take them; it is tried again */
	const struct json *agent_os, *agent_interfaces, *agent_freeze;
};

/* The new status as a merge patch {"status": {...}} against `vmi`, or NULL when nothing changes. */
struct json *vm_status_patch(
	struct arena *a, const struct json *vmi, const struct vm_facts *f, int64_t wall_ns);
