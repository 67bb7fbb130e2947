/* config_parts.h - parts of the configuration as the API has them. */
#pragma once

#include "lib/json/json.h"

/* "key=value:Effect" as [{effect, key, value}]. */
struct json *config_taints_doc(struct arena *a, const char *const *taints);
