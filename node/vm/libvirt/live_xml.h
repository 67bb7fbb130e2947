/* live_xml.h - single facts out of the XML that libvirt gives of a domain. libvirt writes it in one
 * form always (attributes in single or double quotes, no comments inside elements); this is no
 * reader of XML at large. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

/* The value of `attribute` in the first element of that name (whose attribute `where` has the value
 * `is`; where NULL = any). False when there is none or it does not fit. */
bool live_xml_attribute(struct str xml, const char *element, const char *where, const char *is,
	const char *attribute, char *ret, size_t room);
