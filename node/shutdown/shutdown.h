/* shutdown.h - graceful shutdown of the node: when the host is about to go down, no new pods come,
 * the node is not ready, and what runs is ended in order while logind holds the host up. Virtual
 * machines are asked to power off at once and have all of the time. */
#pragma once

#include "node/node.h"

/* NULL when it is not configured (shutdownGracePeriod). n->pods and n->vms must exist. */
struct node_shutdown *node_shutdown_create(struct node *n);
void node_shutdown_destroy(struct node_shutdown *s); /* NULL allowed */
