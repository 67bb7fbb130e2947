/* key_revisions.h - the revision of every live key, by the key's hash: 16 bytes a slot instead of
 * an index over texts on disk. Two keys of one hash (64 bits, keyed by chance: never within the
 * life of the universe at these sizes) would be taken for one key, and a creation be refused. */
#pragma once

#include "lib/base/util.h"

struct key_slot {
	uint64_t hash, revision; /* revision 0: empty */
};
struct key_revisions {
	struct key_slot *slots; /* open addressing, room is 0 or a power of two */
	size_t room, count;
};

void key_revisions_finish(struct key_revisions *m);
uint64_t key_revisions_get(const struct key_revisions *m, uint64_t hash); /* 0 = absent */
/* revision 0 removes. */
void key_revisions_set(struct key_revisions *m, uint64_t hash, uint64_t revision);
