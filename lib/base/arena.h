/* arena.h - memory that is freed all at once: one per request or per reconcile.
 *
 * Blocks grow geometrically; nothing is freed singly. Not thread-safe. Allocation never returns
 * NULL: out of memory aborts (bound outside sizes before). Alignment is 16 bytes. */
#pragma once

#include "lib/base/util.h"

#include <stdarg.h>

struct arena_block;

struct arena {
	struct arena_block *head; /* newest block, NULL when empty */
	char *pos, *end;	  /* free room in the newest block */
	size_t used_bytes;	  /* handed out since init/reset, for limits and tests */
	size_t first_size; /* of the first block; 0 = 4 KiB. For those that live long and small */
};

#define ARENA_INIT ((struct arena){0})

void arena_init(struct arena *a);
void arena_finish(struct arena *a); /* frees everything; the arena may be used again */
void arena_reset(struct arena *a);  /* as finish, but keeps one block for reuse */

void *arena_alloc(struct arena *a, size_t size);  /* uninitialised */
void *arena_zalloc(struct arena *a, size_t size); /* zeroed */
char *arena_strdup(struct arena *a, const char *s);
char *arena_memdup(struct arena *a, const void *p, size_t size); /* adds a NUL after size bytes */
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) _printf_(2, 0);
/* Grows the allocation in place when it is the newest one, else copies. */
void *arena_grow(struct arena *a, void *p, size_t old_size, size_t new_size);

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
