#include "lib/base/arena.h"

#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

/* Under AddressSanitizer the free room is poisoned and a gap follows each allocation, so that
 * running over the end of one is caught as with malloc. */
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define GAP_SIZE 16
#define POISON(p, size) ASAN_POISON_MEMORY_REGION(p, size)
#define UNPOISON(p, size) ASAN_UNPOISON_MEMORY_REGION(p, size)
#else
#define GAP_SIZE 0
#define POISON(p, size) ((void)(p), (void)(size))
#define UNPOISON(p, size) ((void)(p), (void)(size))
#endif

#define ALIGNMENT 16
#define BLOCK_SIZE_MIN 4096
#define BLOCK_SIZE_MAX ((size_t)1 << 20)
#define KEEP_SIZE_MAX ((size_t)256 << 10) /* what a reset may keep, so idle arenas stay small */

struct arena_block {
	struct arena_block *next; /* older */
	size_t size;		  /* of data */
	_Alignas(ALIGNMENT) char data[];
};

static size_t round_up(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

void arena_init(struct arena *a)
{
	*a = ARENA_INIT;
}

static void block_free(struct arena_block *b)
{
	UNPOISON(b->data, b->size);
	free(b);
}

void arena_finish(struct arena *a)
{
	for (struct arena_block *b = a->head, *next; b; b = next) {
		next = b->next;
		block_free(b);
	}
	*a = (struct arena){.first_size = a->first_size};
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = NULL;

	for (struct arena_block *b = a->head, *next; b; b = next) {
		next = b->next;
		if (b->size <= KEEP_SIZE_MAX && (!keep || b->size > keep->size)) {
			if (keep)
				block_free(keep);
			keep = b;
		} else {
			block_free(b);
		}
	}
	*a = (struct arena){.first_size = a->first_size};
	if (keep) {
		keep->next = NULL;
		a->head = keep;
		a->pos = keep->data;
		a->end = keep->data + keep->size;
		POISON(keep->data, keep->size);
	}
}

static struct arena_block *block_new(size_t size)
{
	struct arena_block *b = xmalloc(sizeof(*b) + size);

	b->next = NULL;
	b->size = size;
	POISON(b->data, b->size);
	return b;
}

/* Makes room for `step` bytes. A big request gets a block of its own behind the newest one, whose
 * free room stays in use. */
static void *alloc_slow(struct arena *a, size_t step)
{
	size_t first = a->first_size ? a->first_size : BLOCK_SIZE_MIN;
	size_t size = a->head ? MIN(a->head->size * 2, BLOCK_SIZE_MAX) : first;

	if (a->head && step > size / 2) {
		struct arena_block *b = block_new(step);

		b->next = a->head->next;
		a->head->next = b;
		return b->data;
	}
	while (size < step)
		size *= 2;

	struct arena_block *b = block_new(size);

	b->next = a->head;
	a->head = b;
	a->pos = b->data + step;
	a->end = b->data + b->size;
	return b->data;
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t step;
	void *p;

	if (size > SIZE_MAX / 4)
		abort();
	step = round_up(size ? size : 1) + GAP_SIZE;
	if ((size_t)(a->end - a->pos) >= step) {
		p = a->pos;
		a->pos += step;
	} else {
		p = alloc_slow(a, step);
	}
	a->used_bytes += size;
	UNPOISON(p, size);
	return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
	void *p = arena_alloc(a, size);

	memset(p, 0, size);
	return p;
}

char *arena_memdup(struct arena *a, const void *p, size_t size)
{
	char *q = arena_alloc(a, size + 1);

	if (size)
		memcpy(q, p, size);
	q[size] = '\0';
	return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_memdup(a, s, strlen(s));
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	char room[256];
	va_list again;
	char *s;
	int n;

	va_copy(again, ap);
	n = vsnprintf(room, sizeof(room), fmt, ap);
	if (n < 0)
		abort();
	if ((size_t)n < sizeof(room)) {
		s = arena_memdup(a, room, (size_t)n);
	} else {
		s = arena_alloc(a, (size_t)n + 1);
		vsnprintf(s, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	return s;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}

void *arena_grow(struct arena *a, void *p, size_t old_size, size_t new_size)
{
	if (p && new_size <= SIZE_MAX / 4) {
		size_t old_step = round_up(old_size ? old_size : 1) + GAP_SIZE;
		size_t new_step = round_up(new_size ? new_size : 1) + GAP_SIZE;
		bool newest = a->pos && (char *)p + old_step == a->pos;

		if (new_size <= old_size)
			return p;
		if (newest && (size_t)(a->end - (char *)p) >= new_step) {
			a->pos = (char *)p + new_step;
			a->used_bytes += new_size - old_size;
			UNPOISON(p, new_size);
			return p;
		}
	}
	void *q = arena_alloc(a, new_size);

	if (p)
		memcpy(q, p, MIN(old_size, new_size));
	return q;
}
