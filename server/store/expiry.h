/* expiry.h - removes the objects of one kind that nobody has written for a while, as Kubernetes
 * does with Events an hour after the last write.
 *
 * Revisions tell the age: those of now are noted at intervals, and whatever has none above that of
 * the time-to-live ago has not been written since. Nothing is kept an object. After a restart the
 * time begins anew. */
#pragma once

#include "server/store/cache.h"

struct expiry;

/* ttl_ns: at least a second. An object goes between ttl and ttl + ttl/32 + 1 s after its last
 * write. */
struct expiry *expiry_create(uv_loop_t *loop, struct cache *cache, const struct kind *kind,
	struct clock *clock, int64_t ttl_ns);
/* NULL allowed. Removals on their way are let finish: before the cache is closed. */
void expiry_destroy(struct expiry *e);
/* What the timer calls; for tests with a clock of their own. */
void expiry_tick(struct expiry *e);
