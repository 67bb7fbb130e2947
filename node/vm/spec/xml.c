#include "node/vm/spec/xml.h"

#include <stdarg.h>

#include "lib/base/str.h"

static void add_escaped(struct xml *x, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		switch (c) {
		case '<':
			buf_add_str(x->out, "&lt;");
			break;
		case '>':
			buf_add_str(x->out, "&gt;");
			break;
		case '&':
			buf_add_str(x->out, "&amp;");
			break;
		case '\'':
			buf_add_str(x->out, "&apos;");
			break;
		case '"':
			buf_add_str(x->out, "&quot;");
			break;
		case '\t':
		case '\n':
		case '\r': /* as they are, a parser would make blanks of them in attributes */
			buf_printf(x->out, "&#%d;", c);
			break;
		default:
			/* U+FFFE and U+FFFF are no XML characters either. */
			if (c < 0x20 || c == 0x7f ||
				(c == 0xef && (unsigned char)s[1] == 0xbf &&
					(unsigned char)s[2] >= 0xbe))
				x->bad = true;
			buf_add_char(x->out, (char)c);
		}
	}
}

void xml_add(struct xml *x, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	while (*fmt) {
		size_t plain = strcspn(fmt, "%");

		buf_add(x->out, fmt, plain);
		fmt += plain;
		if (str_has_prefix(fmt, "%s")) {
			add_escaped(x, va_arg(ap, const char *));
			fmt += 2;
		} else if (str_has_prefix(fmt, "%lld")) {
			buf_printf(x->out, "%lld", va_arg(ap, long long));
			fmt += 4;
		} else if (*fmt) {
			abort(); /* a format that this function does not know */
		}
	}
	va_end(ap);
}
