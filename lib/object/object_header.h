/* object_header.h - what an object's header is made of, found in a document or, without parsing, in
 * compact bytes that this program wrote. Only for object.c. */
#pragma once

#include "lib/object/object.h"

struct header_label {
	struct str key, value;
};
struct header_owner {
	struct str uid, kind, api_version, name;
	bool controller, block_owner_deletion;
};
/* Texts are borrowed from the document or the bytes. */
struct object_header {
	struct str namespace, name, uid;
	bool deleting;
	struct header_label *labels;
	size_t label_count;
	struct header_owner *owners;
	size_t owner_count;
	struct str *fields; /* as many as the kind's selectable fields */
};

/* Most objects fit; those that don't are parsed. */
#define HEADER_LABELS 32
#define HEADER_OWNERS 8
#define HEADER_FIELDS 32
struct header_room {
	struct header_label labels[HEADER_LABELS];
	struct header_owner owners[HEADER_OWNERS];
	struct str fields[HEADER_FIELDS];
};

/* One pass that looks at nothing but structure and the few members that matter, about ten times as
 * fast as parsing. False: there is something in it that needs a parser (escapes in a text that
 * matters, whitespace, too many labels, anything malformed). */
bool header_scan(const struct kind *k, const char *text, size_t size, struct header_room *room,
	struct object_header *ret);
void header_from_doc(
	const struct kind *k, const struct json *doc, struct arena *a, struct object_header *ret);
