/* format.h - the `format` of strings in schemas of custom resources. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* False when the text is not of the format. Formats that Kubernetes does not know allow any text.
 */
bool format_holds(const char *format, const char *s, size_t size);
