/* xml.h - writing XML into a buffer: what comes from outside can never act as markup. */
#pragma once

#include "lib/base/buf.h"

struct xml {
	struct buf *out;
	bool bad; /* some text can't be written in XML 1.0 (control characters) */
};

/* printf for XML: %s is escaped; %lld; nothing else. */
_printf_(2, 3) void xml_add(struct xml *x, const char *fmt, ...);
