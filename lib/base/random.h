/* random.h - randomness as a parameter, so that simulations repeat. */
#pragma once

#include "lib/base/util.h"

struct random {
	bool seeded;   /* true: the deterministic generator below; false: getrandom(2) */
	uint64_t s[4]; /* xoshiro256** state when seeded */
};

#define RANDOM_SYSTEM ((struct random){0})

struct random random_seeded(uint64_t seed);
uint64_t random_u64(struct random *r);
uint64_t random_below(struct random *r, uint64_t limit); /* [0, limit), unbiased; limit > 0 */
void random_bytes(struct random *r, void *p, size_t size);
void random_uuid(struct random *r, char ret[37]); /* version 4, lower case, RFC 9562 */
/* `count` characters of bcdfghjklmnpqrstvwxz2456789 (the alphabet of generated object names) and
 * a NUL. */
void random_name_suffix(struct random *r, char *ret, size_t count);
