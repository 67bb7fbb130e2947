/* pressure.h - watches what this node has left of memory, disk and processes; while a threshold of
 * eviction is met it gives back what nobody uses, then ends pods, one after the other, until enough
 * is free. Virtual machines count in what is used and are never ended for it.
 *
 * Decisions are in pressure_decide.h; this part asks and acts. */
#pragma once

#include "node/node.h"
#include "node/pressure/pressure_decide.h"

struct pressure *pressure_create(struct node *n);
void pressure_destroy(struct pressure *p); /* NULL allowed */

/* For the Node's conditions; p NULL = no. */
bool pressure_holds(const struct pressure *p, enum pressure_condition c);
/* Images, and what containers write over them, are on a file system of their own. */
bool pressure_images_apart(const struct pressure *p);
