/* conversions.h - the built-in kinds that are stored as another one (lib/object/kind.h). To add
 * one: name the storage in its kind file (`storage: {apiVersion, kind}`), write its struct
 * kind_conversion in a file of its own beside this one, and list it in conversions.c. */
#pragma once

#include "lib/object/kind.h"

/* Gives each such kind of the registry its conversion. -EINVAL when one has none. */
int conversions_attach(struct kind_registry *kinds, struct err *err) _must_check_;
