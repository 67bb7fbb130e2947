/* merge.h - the structured merge of server-side apply: an applied configuration into the live
 * object, and the removal of what was applied before and is not any more. By the schema, as
 * fields.h says. Pure: what is given is read only, results may share parts with it. */
#pragma once

#include "lib/object/fields.h"

/* Whether the configuration fits the schema: no field that it does not know, no value of another
 * type, no two items with the same keys. -EINVAL with upstream's words (".spec.x: field not
 * declared in schema"; several as a list of lines). */
int merge_check(const struct schema *schema, const struct json *config,
	struct buf *ret_errors) _must_check_;

/* Values of `config` win; items of associative lists are merged by their keys and come in the
 * configuration's order, those of `live` alone keep their places between. */
const struct json *merge_apply(struct arena *a, const struct schema *schema,
	const struct json *live, const struct json *config);

/* Without the fields, items and entries of the set. NULL when nothing remains. */
const struct json *merge_remove(struct arena *a, const struct schema *schema,
	const struct json *doc, const struct json *set);
/* Without what `last` (what the manager applied before) has and nobody in `owned` has now. */
const struct json *merge_prune(struct arena *a, const struct schema *schema, const struct json *doc,
	const struct json *last, const struct json *owned);
