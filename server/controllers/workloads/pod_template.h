/* pod_template.h - the pod that a workload makes from its template. Pure. */
#pragma once

#include "lib/object/object.h"

/* Labels, annotations, finalizers and spec of the template, which they share; generateName
 * "OWNER-", the owner's namespace, and the owner as controller. */
struct json *pod_from_template(
	struct arena *a, const struct object *owner, const struct json *template);
