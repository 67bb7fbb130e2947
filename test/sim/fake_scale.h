/* fake_scale.h - the scale subresource of the API server in memory. */
#pragma once

#include "lib/object/object.h"

/* The Scale of an object, or NULL when its kind has none. */
struct json *fake_scale_of(struct arena *a, const struct object *o);
/* The object's document with the size that the Scale says. */
struct json *fake_scale_set(struct arena *a, const struct object *o, const struct json *scale);
