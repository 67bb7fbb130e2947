/* migration.h - whether a guest may move to another node. */
#pragma once

#include "lib/base/arena.h"
#include "lib/json/json.h"

/* Why an instance (its document) does not move, in the words of KubeVirt's admission: what its node
 * says by the condition LiveMigratable. */
const char *machine_migration_refusal(struct arena *a, const struct json *instance);
