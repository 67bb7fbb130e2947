/* patch.h - JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch (Kubernetes:
 * "Update API Objects in Place Using kubectl patch"). All are pure: target and patch are read, the
 * result is a new document in the arena (it may share parts with both). */
#pragma once

#include "lib/object/kind.h"
#include "lib/object/status.h"

/* At most 10,000 operations; copy operations may add 3 MiB in all. 400 for a malformed patch, 422
 * ("the server rejected our request due to an error in our request") when it does not apply. */
int patch_json(struct arena *a, const struct json *target, const struct json *patch,
	struct json **ret, struct status *st) _must_check_;
int patch_merge(struct arena *a, const struct json *target, const struct json *patch,
	struct json **ret, struct status *st) _must_check_;
/* Directives: $patch, $retainKeys, $deleteFromPrimitiveList/F, $setElementOrder/F. */
int patch_strategic(struct arena *a, const struct schema *schema, const struct json *target,
	const struct json *patch, struct json **ret, struct status *st) _must_check_;
