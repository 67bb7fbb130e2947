/* buf.h - a growable byte buffer. Always NUL-terminated after `size` bytes once anything was
 * added, so text in it is also a C string. init is BUF_INIT; finish frees. */
#pragma once

#include "lib/base/util.h"
#include <stdarg.h>

struct buf {
	char *data;  /* NULL while empty */
	size_t size; /* bytes in use */
	size_t room; /* bytes allocated */
};

#define BUF_INIT ((struct buf){0})

void buf_finish(struct buf *b);		      /* frees and re-initialises; use with _cleanup_ */
void buf_reserve(struct buf *b, size_t more); /* room for `more` bytes and the NUL */
void buf_add(struct buf *b, const void *p, size_t size);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);
void buf_drop_front(struct buf *b, size_t size); /* removes the first `size` bytes */
void buf_clear(struct buf *b);			 /* size = 0, keeps the memory */
char *buf_take(struct buf *b);			 /* caller frees; never NULL; b is empty after */
