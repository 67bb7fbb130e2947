/* local_watch.h - ends pods that use more of the node's disk than their limits say. Only pods with
 * such limits are looked at, each 10 s, less often when counting takes long. */
#pragma once

#include "node/node.h"

struct local_watch;
struct local_watch *local_watch_create(struct node *n);
void local_watch_destroy(struct local_watch *l); /* NULL allowed */
