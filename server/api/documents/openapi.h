/* openapi.h - OpenAPI documents of the kinds. A document is made when it is asked for and let go
 * again; only its hash is kept, for URLs and ETags. */
#pragma once

#include "lib/object/kind.h"

struct buf;
struct openapi;

struct openapi *openapi_create(const struct kind_registry *kinds);
void openapi_destroy(struct openapi *o);

/* OpenAPI 3.0 of a group and version ("" for core). False when there is none. */
bool openapi_v3_write(
	const struct kind_registry *kinds, const char *group, const char *version, struct buf *out);
/* OpenAPI 2.0 of everything. */
void openapi_v2_write_json(const struct kind_registry *kinds, struct buf *out);
/* The same as the protobuf message openapi.v2.Document (gnostic) that kubectl
 * before 1.29 insists on. */
void openapi_v2_write_protobuf(const struct kind_registry *kinds, struct buf *out);

/* All definitions that the kinds of a group and version (NULL = of all) reach, each once; for both
 * writers. The schema's own name, or the kind's definition, is its key. */
typedef void openapi_visit(
	void *user, const char *name, const struct schema *s, const struct kind *k);
void openapi_visit_definitions(const struct kind_registry *kinds, const char *group,
	const char *version, openapi_visit *visit, void *user);
/* True when the schema is written as a $ref to its definition. */
bool openapi_is_shared(const struct schema *s);
/* "object", ...; NULL where OpenAPI has no single type. */
const char *openapi_type_name(enum schema_type t);
/* x-kubernetes-patch-strategy or NULL. */
const char *openapi_patch_strategy(const struct schema *s);

/* Names of definitions: of a kind, of its lists, of what a subresource speaks of. */
#define OPENAPI_NAME_ROOM 300
void openapi_definition_name(const struct kind *k, char ret[OPENAPI_NAME_ROOM]);
void openapi_list_name(const struct kind *k, char ret[OPENAPI_NAME_ROOM + 8]);
void openapi_subresource_name(const struct kind_subresource *sub, char ret[OPENAPI_NAME_ROOM]);
/* True when a subresource has a path in the documents: those that speak of the object itself. */
bool openapi_describes_subresource(const struct kind *k, const struct kind_subresource *sub);
