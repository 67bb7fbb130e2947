/* virtual_machine_plan.h - what is to be done about a VirtualMachine and how its state is called,
 * from its run strategy, its instance and the requests of users. Pure. (KubeVirt user guide: "Run
 * Strategies", "Lifecycle".) */
#pragma once

#include "lib/json/json.h"

struct vm_instance {
	const char *uid;   /* NULL = there is none */
	const char *phase; /* "" = not looked at yet */
	bool deleting;
	const struct json *conditions;
	bool migrating;
	int64_t running_since_ns; /* wall; 0 = has not run */
};

struct vm_facts {
	const char *strategy;	  /* Always Halted Manual RerunOnFailure Once WaitAsReceiver */
	const char *strategy_was; /* status.runStrategy: that of the last instance; "" = none yet */
	bool deleting;		  /* the VirtualMachine itself */
	bool locked;		  /* a restore works on its disks: nothing is started */
	/* Its volumes (virtual_machine_volumes.h). */
	bool volumes_ready, volume_error, volume_lost, volumes_provisioning, volumes_unbound;
	struct vm_instance instance;
	const struct json *requests;	  /* status.stateChangeRequests; may be NULL */
	const struct json *start_failure; /* status.startFailure; may be NULL */
	int64_t now_ns;			  /* wall */
};

struct vm_plan {
	bool start;	  /* create the instance */
	bool stop;	  /* delete it */
	bool paused;	  /* start it paused */
	bool to_always;	  /* a start was asked of a halted machine: change the run strategy first */
	int64_t again_ms; /* look again after this; < 0 = no need */
	const char *printable_status;
	const struct json *requests;	  /* what remains; JSON null = none */
	const struct json *start_failure; /* JSON null = none */
};

const char *vm_strategy(const struct json *vm);
bool vm_phase_final(const char *phase);
/* New JSON is made in the arena. */
struct vm_plan vm_plan(struct arena *a, const struct vm_facts *f);
