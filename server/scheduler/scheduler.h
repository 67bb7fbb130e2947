/* scheduler.h - places pods and virtual machine instances on nodes. It sees the API only, through a
 * client; several processes must not run it at the same time. */
#pragma once

#include "lib/base/buf.h"
#include "lib/client/client.h"

struct scheduler;
struct scheduler *scheduler_create(struct client *c); /* begins at once: lists, then places */
/* Its figures, for /metrics; user is the scheduler. */
void scheduler_write_metrics(void *user, struct buf *out);
void scheduler_destroy(struct scheduler *s); /* stops at once; NULL allowed. The client stays. */
