/* messages.h - why a workload fits nowhere, in upstream's words, which users and tools look for. */
#pragma once

#include "server/scheduler/pass.h"

/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." From the refusals of
 * a pass that has looked at every node. In the arena. */
const char *message_refused(struct pass *p, struct arena *a);
