/* columns.h - labels of nodes as columns of numbers; inside the snapshot. */
#pragma once

#include "server/scheduler/snapshot.h"

void columns_finish(struct snapshot *s);
void columns_grow(struct snapshot *s, uint32_t old_room, uint32_t room);
void columns_node_changed(struct snapshot *s, uint32_t slot);
