/* scheduler.h - places pods and virtual machine instances on nodes. It sees the API only, through a
 * client; several processes must not run it at the same time. */
#pragma once

#include "lib/client/client.h"

struct scheduler;
struct scheduler *scheduler_create(struct client *c); /* begins at once: lists, then places */
void scheduler_destroy(struct scheduler *s); /* stops at once; NULL allowed. The client stays. */
