/* util.h - small things every file needs: attributes, cleanup, sizes.
 *
 * Cleanup follows the _cleanup_(fn) idiom: `_cleanup_(free_p) char *s = ...;` frees s when the
 * scope ends, and `return TAKE_PTR(s);` hands it out instead. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h> /* MIN, MAX */
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _noreturn_ __attribute__((noreturn))
#define _unused_ __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Returns the pointer and leaves NULL behind, so that a _cleanup_ does nothing. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})

static inline void free_p(void *p)
{
	free(*(void **)p);
}

static inline void close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Allocation of sizes that the program itself chose: these abort when memory is out, so callers
 * never check. A size that came from outside must be bounded before it gets here. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t size);
char *xasprintf(const char *fmt, ...) _printf_(1, 2);
