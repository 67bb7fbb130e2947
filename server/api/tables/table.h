/* table.h - the Table form of objects (meta.k8s.io): what `kubectl get` prints. Columns and most
 * cells come from the kind's data; the kind's hook computes the rest. Rows are written one by one,
 * so that a long list needs the memory of one parsed object. */
#pragma once

#include "lib/object/object.h"
#include "server/api/hooks/hooks.h"

enum table_include { INCLUDE_METADATA, INCLUDE_NONE, INCLUDE_OBJECT };

struct table_writer {
	const struct kind *kind;
	const char *version; /* "v1" or "v1beta1" */
	enum table_include include;
	int64_t now_ns;
	struct buf *out;
	size_t row_count;
	size_t steps; /* that paths of custom columns may still take */
};

/* list_meta: text inside the braces of metadata, such as "\"resourceVersion\":\"5\"". columns false
 * writes "columnDefinitions":null, as later events of a watch have it. */
void table_begin(struct table_writer *t, const char *list_meta, bool columns);
/* doc as t->kind has it. */
void table_add(struct table_writer *t, struct arena *scratch, const struct json *doc);
void table_end(struct table_writer *t);

/* {"kind":"PartialObjectMetadata",...} of a document. */
struct json *partial_metadata(struct arena *a, const struct json *doc, const char *version);
/* The column's jsonPath (server/api/tables/jsonpath.h), without the hook. NULL = nothing there. */
struct json *table_path(struct arena *a, const struct json *doc, const char *path);
/* "5d" of an RFC 3339 text; "<unknown>" when NULL or bad. */
const char *table_age(struct arena *a, const char *time, int64_t now_ns);
