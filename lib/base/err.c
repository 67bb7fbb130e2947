#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>

/* A cut message must not end inside a UTF-8 sequence: it is shown to API clients as JSON. */
static void trim_partial_utf8(char *msg, size_t size)
{
	size_t i = size, back = 0;

	while (i > 0 && back < 4 && ((unsigned char)msg[i - 1] & 0xc0) == 0x80) {
		i--;
		back++;
	}
	if (i == 0)
		return;
	unsigned char lead = (unsigned char)msg[i - 1];
	size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;

	if (want != back)
		msg[i - 1] = '\0';
}

static _printf_(2, 0) void set_message(struct err *err, const char *fmt, va_list ap)
{
	int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);

	if (n < 0)
		err->msg[0] = '\0';
	else if ((size_t)n >= sizeof(err->msg))
		trim_partial_utf8(err->msg, sizeof(err->msg) - 1);
}

static void append_message(struct err *err, const char *sep, const char *text)
{
	size_t size = strlen(err->msg);
	int n = snprintf(err->msg + size, sizeof(err->msg) - size, "%s%s", sep, text);

	if (n > 0 && (size_t)n >= sizeof(err->msg) - size)
		trim_partial_utf8(err->msg, sizeof(err->msg) - 1);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	set_message(err, fmt, ap);
	va_end(ap);
	err->code = code;
	return code;
}

int err_errno(struct err *err, int code, const char *fmt, ...)
{
	char room[128];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	set_message(err, fmt, ap);
	va_end(ap);
	append_message(err, ": ", strerror_r(-code, room, sizeof(room)));
	err->code = code;
	return code;
}

int err_context(struct err *err, int code, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return code;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	set_message(err, fmt, ap);
	va_end(ap);
	if (old[0])
		append_message(err, ": ", old);
	if (!err->code)
		err->code = code;
	return code;
}
