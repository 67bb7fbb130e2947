/* config_parts.h - parts of the configuration as the API has them. */
#pragma once

#include "node/node_config.h"

/* "memory.available", ... */
const char *node_signal_name(enum node_signal s);
/* "key=value:Effect" as [{effect, key, value}]. */
struct json *config_taints_doc(struct arena *a, const char *const *taints);
