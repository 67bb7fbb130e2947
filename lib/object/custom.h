/* custom.h - kinds that come, change and go at run time: the versions of a
 * CustomResourceDefinition, each a struct kind like the built-in ones.
 *
 * A struct kind is never freed before its registry: objects, watches and requests keep pointers to
 * it over turns of the loop. What it says (schema, columns, names) belongs to the definition's
 * present revision and is replaced in place when that changes; it must be read afresh after every
 * turn. A definition that is gone leaves its (empty, not served) kinds behind, which come back to
 * life with a definition of the same name: they cost about a kilobyte for each name that was ever
 * used. */
#pragma once

#include "lib/base/list.h"
#include "lib/object/object.h"

/* Schemas of one definition, over all versions: bounds what a hostile one can make of 3 MiB. */
#define CUSTOM_SCHEMAS_MAX 100000

/* Makes the kinds of a definition (a checked CustomResourceDefinition document, with the names in
 * status.acceptedNames) or brings them up to date. `ret` is the storage kind. */
int kind_registry_set_custom(struct kind_registry *r, const struct json *definition,
	struct kind **ret, struct err *err) _must_check_;
/* Takes the kinds out of the registry. NULL when there are none of that name
 * ("things.example.org"), else the storage kind, which stays valid. */
struct kind *kind_registry_remove_custom(struct kind_registry *r, const char *name);
/* Marks the kinds of a definition that is being deleted, or is not after all. */
void kind_registry_set_terminating(struct kind_registry *r, const char *name, bool terminating);
/* The storage kind of a definition, NULL when it has none at present. */
struct kind *kind_registry_custom(const struct kind_registry *r, const char *name);
/* Builds a schema as kind_registry_set_custom() would and lets it go; tells what can't be built
 * (patterns) and defaults that their own schema refuses, at paths that begin with `path`. */
void custom_schema_check(const struct kind_registry *r, const struct json *schema, const char *path,
	struct field_errors *errors);

/* From bytes of the resource in whatever version and state: as the (storage) kind shows it now,
 * pruned and defaulted. -EBADMSG when it can't be read. */
int object_adopt(const struct kind *k, const char *text, size_t size, uint64_t revision,
	struct object **ret, struct err *err) _must_check_;

/* Counts the changes of the registry since it was made. */
uint64_t kind_registry_generation(const struct kind_registry *r);

/* Told after each change, with the storage kind of the definition. */
struct kind_observer {
	struct list in;
	void (*changed)(struct kind_observer *o, const struct kind *storage);
};
void kind_registry_observe(struct kind_registry *r, struct kind_observer *o);
void kind_registry_unobserve(struct kind_observer *o);
void kind_registry_notify(struct kind_registry *r, const struct kind *storage);
