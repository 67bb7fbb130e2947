/* cpu_pool.h - host CPUs that a machine has alone (dedicatedCpuPlacement).
 *
 * The record is a file in the machine's own directory, DIRECTORY/UID/cpus ("4 5 12 emulator 6"):
 * what it has it has as long as the directory is there, whatever becomes of the agent, and who
 * looks at all directories knows all. The first CPU of the host is never given away. */
#pragma once

#include "node/vm/host/host_caps.h"
#include "node/vm/spec/vm_spec.h"

/* Pure. Chooses `count` CPUs, and one more for the emulator if `emulator`, that are not taken
 * (`taken` by index into caps->cpus): in the NUMA cell that they fill best, whole cores first.
 * -EBUSY when there are not enough; the message says how many are free. */
int cpu_pool_choose(const struct host_caps *caps, const bool *taken, unsigned count, bool emulator,
	unsigned *ret_indexes, unsigned *ret_emulator, struct err *err) _must_check_;

/* Fills s->placement (texts and lists in the arena): for a machine with dedicated CPUs those that
 * its record has, else newly chosen and recorded ones; for others the CPUs that are left, when some
 * are taken. */
int cpu_pool_place(const struct host_caps *caps, const char *directory, struct vm_spec *s,
	struct arena *a, struct err *err) _must_check_;
/* "0,3-5" of the CPUs that nobody has alone; NULL when nobody has any. In the arena. */
const char *cpu_pool_shared(const struct host_caps *caps, const char *directory, struct arena *a);
