/* advise.h - what is to be advised about a workload that runs: stay, or move to the other side. A
 * pure function from its description and what was measured of it; `hanok advise` gathers both.
 * docs/placement.md is the manual. */
#pragma once

#include "lib/placement/placement.h"

/* A move costs somebody work: it is advised when the other side leads by so many points, or when
 * this side is ruled out. */
#define ADVISE_LEAD 75
/* Fewer samples say nothing about how the load swings. */
#define ADVISE_SAMPLES_MIN 5
#define ADVISE_PROCESS_BYTES ((int64_t)16 << 20) /* what anything needs */
/* What a virtual machine takes beside what runs in it, roughly. */
#define ADVISE_GUEST_BYTES ((int64_t)128 << 20)	  /* the guest's kernel and services */
#define ADVISE_EMULATOR_BYTES ((int64_t)64 << 20) /* QEMU's own */

struct placement_advice {
	enum placement_isolation current, recommended;
	bool move; /* recommended is not current */
	struct placement_facts facts;
	struct placement_decision decision;
	/* Of a move, for all replicas; negative = it costs so much more. */
	int64_t memory_saved_bytes, cpu_saved_milli;
	struct json *reasons; /* for what is recommended */
	struct json *notes;   /* what else is worth knowing; texts */
};

/* The workload:
 *     kind         Deployment, StatefulSet, DaemonSet, ReplicaSet, Pod, VirtualMachine, ...
 *     spec         of its pods, or of its VirtualMachineInstances
 *     annotations  of the workload, over those of its template
 *     replicas, restarts (of the worst replica), autoscaler {min, max}, claims (it has disks of its
 *     own)
 *     usage        {samples, cpuMeanMilli, cpuPeakMilli, cpuDeviationMilli, memoryPeakBytes}, of
 * one replica; absent = was not measured All but kind may be absent. Texts are in the arena, or
 * live as long as the workload. */
struct placement_advice placement_advise(
	struct arena *a, const struct json *workload, const struct placement_weights *weights);
/* {current, recommended, move, scores, constraints, reasons, saving, notes} */
struct json *placement_advice_doc(struct arena *a, const struct placement_advice *advice);
