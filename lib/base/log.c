#include "lib/base/log.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int min_level = LOG_INFO;
static atomic_bool as_json;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
	min_level = (int)level;
}

void log_set_json(bool json)
{
	as_json = json;
}

int log_level_parse(const char *s, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (streq(s, level_names[i])) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* A quoted string that both JSON and logfmt readers take. Bytes that are no UTF-8 become '?': a
 * log must stay readable whatever a container or client put into a name. */
static void add_quoted(struct buf *out, const char *s)
{
	bool valid = utf8_valid(s, strlen(s));

	buf_add_char(out, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			buf_add_char(out, '\\');
			buf_add_char(out, *s);
		} else if (c == '\n') {
			buf_add_str(out, "\\n");
		} else if (c == '\t') {
			buf_add_str(out, "\\t");
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(out, "\\u%04x", c);
		} else if (c >= 0x80 && !valid) {
			buf_add_char(out, '?');
		} else {
			buf_add_char(out, *s);
		}
	}
	buf_add_char(out, '"');
}

static bool needs_quotes(const char *s)
{
	if (!*s)
		return true;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return true;
	}
	return false;
}

static void add_pair(struct buf *out, bool json, const char *key, const char *value)
{
	if (json) {
		buf_add_char(out, out->size ? ',' : '{');
		add_quoted(out, key);
		buf_add_char(out, ':');
		add_quoted(out, value);
		return;
	}
	if (out->size)
		buf_add_char(out, ' ');
	buf_add_str(out, key);
	buf_add_char(out, '=');
	if (needs_quotes(value))
		add_quoted(out, value);
	else
		buf_add_str(out, value);
}

void log_event(enum log_level level, const char *msg, ...)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	char now[TIME_RFC3339_MICRO_ROOM];
	struct clock *clock = clock_system();
	bool json = as_json;
	int saved_errno = errno;
	const char *key;
	va_list ap;

	if ((int)level < min_level)
		return;
	time_format_rfc3339_micro(clock->wall_ns(clock), now);
	add_pair(&out, json, "time", now);
	add_pair(&out, json, "level", level_names[level]);
	if (json) {
		add_pair(&out, json, "msg", msg);
	} else {
		buf_add_str(&out, " msg=");
		add_quoted(&out, msg);
	}
	va_start(ap, msg);
	while ((key = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);

		add_pair(&out, json, key, value ? value : "");
	}
	va_end(ap);
	buf_add_str(&out, json ? "}\n" : "\n");
	/* A log that can't be written has nowhere to be reported. */
	if (write(STDERR_FILENO, out.data, out.size) < 0)
		errno = saved_errno;
	errno = saved_errno;
}

const char *log_i64(char room[24], int64_t n)
{
	snprintf(room, 24, "%lld", (long long)n);
	return room;
}
