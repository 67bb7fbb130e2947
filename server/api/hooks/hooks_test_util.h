/* hooks_test_util.h - what a write does with a document, for tests of the hooks' rules. */
#pragma once

#include "server/api/hooks/hooks.h"

/* After cmocka.h. Schema, defaults, preparation and validation, as on a creation (old NULL) or an
 * update; errors are in h->errors. */
static inline void hooks_run(
	struct hook *h, const struct kind *k, struct json *doc, const struct json *old)
{
	const struct kind_hooks *hooks = hooks_find(k);
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	if (object_check(k, h->arena, doc, &options, h->errors, h->st) < 0)
		fail_msg("%s", json_text(h->arena, h->st->doc));
	if (hooks->set_defaults)
		hooks->set_defaults(h, doc);
	if (!old && hooks->prepare_create)
		assert_int_equal(hooks->prepare_create(h, doc), 0);
	if (old && hooks->prepare_update)
		assert_int_equal(hooks->prepare_update(h, doc, old), 0);
	if (hooks->validate && !streq(h->part, "status"))
		hooks->validate(h, doc);
	if (old && hooks->validate_update)
		hooks->validate_update(h, doc, old);
}
