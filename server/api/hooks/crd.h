/* crd.h - the checks of CustomResourceDefinitions, in two files. */
#pragma once

#include "server/api/hooks/hooks_internal.h"

/* Structural rules, defaults and patterns of a schema at the path. True when it has rules
 * (x-kubernetes-validations), which are not enforced. */
bool crd_schema_validate(struct hook *h, const char *path, const struct json *schema);
