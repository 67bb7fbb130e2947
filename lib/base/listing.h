/* listing.h - names and reasons in one message: "a, b, c". What people read is bounded: the first
 * 100 of them, cut at 16 KiB, then "...", for the names come from outside and may be any number. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"

#define LISTING_MAX 100
#define LISTING_BYTES_MAX (16u << 10)

struct listing {
	const char *between; /* ", " */
	size_t count;	     /* of all that were added */
	struct buf text;
	bool full; /* ends in "..." */
};

void listing_add(struct listing *l, const char *fmt, ...) _printf_(2, 3);
/* The text ("" of none); the listing is empty after. */
char *listing_take(struct listing *l, struct arena *a);
