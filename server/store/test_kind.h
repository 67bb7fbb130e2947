/* test_kind.h - a small kind for the tests of this folder, and objects of it. */
#pragma once

#include "lib/object/object.h"

/* The registry has one namespaced kind "Thing" (example.org/v1 things) with the selectable field
 * spec.nodeName and free content. The caller destroys it. */
struct kind_registry *test_kinds_create(void);
const struct kind *test_kind(const struct kind_registry *r);
/* Stored form of a Thing; label app and spec.nodeName may be NULL. */
struct blob *test_thing(const struct kind *k, const char *namespace, const char *name,
	const char *app, const char *node);
