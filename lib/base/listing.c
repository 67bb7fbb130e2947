#include "lib/base/listing.h"

#include "lib/base/str.h"

void listing_add(struct listing *l, const char *fmt, ...)
{
	if (l->full)
		return;
	if (l->count++)
		buf_add_str(&l->text, l->between);
	l->full = l->count > LISTING_MAX;
	if (!l->full) {
		va_list ap;
		va_start(ap, fmt);
		buf_vprintf(&l->text, fmt, ap);
		va_end(ap);
	}
	if (l->text.size > LISTING_BYTES_MAX) {
		l->full = true;
		l->text.size = LISTING_BYTES_MAX;
		utf8_repair(l->text.data, l->text.size); /* a character may have been cut */
	}
	if (l->full)
		buf_add_str(&l->text, "...");
}

char *listing_take(struct listing *l, struct arena *a)
{
	char *text = arena_memdup(a, l->text.size ? l->text.data : "", l->text.size);
	buf_finish(&l->text);
	*l = (struct listing){.between = l->between};
	return text;
}
