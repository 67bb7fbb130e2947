/* json_internal.h - what the files of lib/json share: the layout of big objects and text scans. */
#pragma once

#include "lib/json/json.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* An object with more room than this has a hash index behind its members:
 *
 *     members[room] | uint32_t index[json_index_slots(room)]
 *
 * An index slot is 0 when free, else a member's position + 1; linear probing. */
#define JSON_INDEX_ROOM 32

size_t json_index_slots(size_t room);
/* Bytes of the member array with room for `room`, index included. */
size_t json_members_bytes(size_t room);
/* Position of the member called `name`, or -1. */
int64_t json_find(const struct json *object, const char *name, size_t size);
/* Clears and fills the index. Where `unique` is false a member whose name is there already is
 * reported by calling on_same(user, first, again) and left out of the index. */
void json_index_build(struct json *object,
	void (*on_same)(void *user, uint32_t first, uint32_t again), void *user);

/* Bytes from p on that stand for themselves in a JSON string: no control, quote, backslash, and,
 * with `ascii`, nothing above 0x7f. */
static inline bool json_byte_is_special(unsigned char c, bool ascii)
{
	return c < 0x20 || c == '"' || c == '\\' || (ascii && c >= 0x80);
}

static inline size_t json_plain_run(const char *p, size_t size)
{
	size_t i = 0;

#ifdef __SSE2__
	for (; size - i >= 16; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		/* min(v, 0x1f) == v tells unsigned v < 0x20. */
		__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
		__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
		__m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
		int mask = _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, slash)));

		if (mask)
			return i + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	for (; size - i >= 8; i += 8) {
		const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
		uint64_t w, quote, slash;

		memcpy(&w, p + i, 8);
		quote = w ^ (ones * '"');
		slash = w ^ (ones * '\\');
		/* A byte below n sets its top bit in (w - n) & ~w; borrows only give false alarms.
		 */
		if ((((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) |
			    ((slash - ones) & ~slash)) &
			tops)
			break;
	}
	while (i < size && !json_byte_is_special((unsigned char)p[i], false))
		i++;
	return i;
}

/* A member's dotted path, written from its end to its start as the caller climbs to the root; of a
 * long one the end is kept. */
struct path_text {
	char room[512];
	char *at;
	bool cut;
};

void path_text_start(struct path_text *path);
void path_text_name(struct path_text *path, const char *name);
void path_text_item(struct path_text *path, size_t i);
const char *path_text_done(struct path_text *path);

/* The double as JSON text; not finite ones as null. */
void json_write_double(struct buf *out, double d);
