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
bool jsonpath_valid(const char *path);
