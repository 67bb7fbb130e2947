/* populate_room.h - whether a disk that is made on this node, but is not to stay there, may be.
 * Pure.
 */
#pragma once

#include "node/node_config.h"

#define POPULATE_SPARE_BYTES (INT64_C(64) << 20) /* for the others, until a disk hears of them */

/* What stays free of a file system of so many bytes: pods are evicted below the threshold. */
static inline int64_t populate_kept(const struct node_threshold *t, int64_t capacity_bytes)
{
	return POPULATE_SPARE_BYTES + (t->set ? node_amount_of(&t->below, capacity_bytes) : 0);
}

static inline bool populate_has_room(int64_t free_bytes, int64_t kept_bytes, int64_t needed_bytes)
{
	return free_bytes - kept_bytes >= needed_bytes;
}
