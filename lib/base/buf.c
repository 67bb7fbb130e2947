#include "lib/base/buf.h"

#include <stdio.h>

void buf_finish(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT;
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t need, room;

	if (more < b->room - b->size)
		return;
	if (more > SIZE_MAX / 4 || b->size > SIZE_MAX / 4)
		abort();
	need = b->size + more + 1;
	room = b->room ? b->room : 64;
	while (room < need)
		room *= 2;
	b->data = xrealloc(b->data, room);
	b->room = room;
	b->data[b->size] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t size)
{
	buf_reserve(b, size);
	if (size)
		memcpy(b->data + b->size, p, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_reserve(b, 1);
	b->data[b->size++] = c;
	b->data[b->size] = '\0';
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	buf_reserve(b, 64);
	n = vsnprintf(b->data + b->size, b->room - b->size, fmt, ap);
	if (n < 0)
		abort();
	if ((size_t)n >= b->room - b->size) {
		buf_reserve(b, (size_t)n);
		vsnprintf(b->data + b->size, b->room - b->size, fmt, again);
	}
	va_end(again);
	b->size += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_drop_front(struct buf *b, size_t size)
{
	if (size > b->size)
		size = b->size;
	if (!size)
		return;
	memmove(b->data, b->data + size, b->size - size + 1);
	b->size -= size;
}

void buf_clear(struct buf *b)
{
	b->size = 0;
	if (b->data)
		b->data[0] = '\0';
}

char *buf_take(struct buf *b)
{
	char *s;

	buf_reserve(b, 0);
	s = b->data;
	*b = BUF_INIT;
	return s;
}
