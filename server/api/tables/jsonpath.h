/* jsonpath.h - JSONPath as columns of tables use it (Kubernetes: "JSONPath Support"), as far as it
 * names values: the first one that the path finds.
 *
 *	.spec.replicas  .metadata.annotations['a.b/c']  .a\.b  .items[0].x  .items[-1]  .items[1:3]
 *	.items[*].host  .items[?(@.type=="Ready")].status  [?(@.count>2)]  [?(@.name)]  ..image
 *
 * In braces or not. */
#pragma once

#include "lib/json/json.h"

/* NULL: nothing there, or no such path. */
const struct json *jsonpath_first(const struct json *doc, const char *path);
/* The same, with an allowance that many searches share: what this one looks at is taken from it,
 * and nothing is found any more when it is used up. */
const struct json *jsonpath_first_within(
	const struct json *doc, const char *path, size_t *allowance);
bool jsonpath_valid(const char *path);
