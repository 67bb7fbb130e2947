/* source_refs.h - the Secrets and ConfigMaps that a source names, fetched when they are needed. */
#pragma once

#include "node/disk/populate/populate.h"

#define SOURCE_REFS_MAX 18

struct source_refs;
/* Later, once; r is valid until source_refs_destroy. */
typedef void source_refs_done(void *user, const struct err *err);
/* kinds "Secret" | "ConfigMap"; names are the caller's until done. NULL names are left out. */
struct source_ref {
	const char *kind, *name;
};
struct source_refs *source_refs_fetch(struct populate_job *j, const struct source_ref *list,
	size_t count, source_refs_done *done, void *user);
void source_refs_destroy(struct source_refs *r); /* NULL allowed; done is not called any more */
/* A value, decoded, in the arena; NULL = there is none. key NULL = all values in one. */
const char *source_refs_value(
	const struct source_refs *r, const char *kind, const char *name, const char *key);
