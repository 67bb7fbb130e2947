/* live.h - a guest that runs follows changes of its VMI: what libvirt has is compared with what the
 * specification asks for now (live_plan.h), one step is done, and it is compared again, until
 * nothing differs.
 *
 *                 +------------------- a step ended; the domain's devices changed ---------+
 *                 v                                                                        |
 *   SETTLED --> READING --- differs ---> CALLING (libvirt) --------------------------------+
 *      ^  spec    |  |                                                                     |
 *      |  changed |  `--- waits for a claim, for the guest, for a pause to pass ---> WAITING
 *      +----------+ nothing differs
 *
 * Nothing of it is kept: a new agent, or one that lost libvirt, begins with READING. */
#pragma once

#include "node/vm/vm_internal.h"

void vm_live_follow(struct vm_worker *w); /* with each step of the worker */
void vm_live_end(struct vm_worker *w);
/* A device left the domain, or (failed) the guest would not let it go. */
void vm_live_removed(struct vm_worker *w, const char *alias, bool failed);
/* The guest had a disk at `path`, or in that directory, when its domain was looked at last. */
bool vm_live_has(const struct vm_worker *w, const char *path);
/* Whether it was looked at, so that the word above is one. */
bool vm_live_known(const struct vm_worker *w);
/* It was looked at, and has no disk of that name: one that is to be plugged, or was let go. */
bool vm_live_lacks(const struct vm_worker *w, const char *name);
/* Into the facts that make the status: phases of hot-plugged volumes, processors. */
void vm_live_facts(const struct vm_worker *w, struct arena *a, struct vm_facts *f);
