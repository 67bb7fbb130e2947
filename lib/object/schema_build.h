/* schema_build.h - from the JSON form of schemas to struct schema (internal to lib/object).
 *
 * Definitions may refer to each other in circles, so each gets its struct first and is filled
 * later; a use that adds something to a definition (a default, a patch strategy) is a copy made
 * last. */
#pragma once

#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/object/kind.h"

struct schema_overlay {
	struct schema *schema; /* to become a copy of `of` with `json` on top */
	const struct schema *of;
	const struct json *json;
};

/* Compiled patterns, freed with the registry. Matching has limits: patterns come from clients. */
typedef VEC(struct schema_regex *) schema_regexes;
int schema_regex_compile(schema_regexes *all, const char *pattern, const struct schema_regex **ret,
	struct err *err) _must_check_;
/* 1 = it matches, 0 = it does not, -E2BIG = it takes too long to tell. What it cost is added to
 * steps, in units of about a hundred nanoseconds. */
int schema_regex_matches(
	const struct schema_regex *re, const char *s, size_t size, size_t *steps) _must_check_;
void schema_regexes_finish(schema_regexes *all);

struct schema_builder {
	struct arena *arena;	   /* of the registry: what is built lives here */
	struct table *definitions; /* name -> struct schema * */
	struct table texts;	   /* interned strings */
	struct table leaves;	   /* JSON text -> struct schema *, for equal small schemas */
	VEC(struct schema_overlay) overlays;
	schema_regexes *regexes;
	struct arena scratch;
	bool custom;	   /* schemas of a CustomResourceDefinition */
	size_t made, room; /* schemas, and how many there may be (0 = any number) */
};

/* What nothing describes. */
extern const struct schema schema_anything;

void schema_builder_init(struct schema_builder *b, struct arena *arena, struct table *definitions,
	schema_regexes *regexes);
void schema_builder_finish(struct schema_builder *b);
const char *schema_intern(struct schema_builder *b, const char *s); /* NULL stays NULL */
/* Declares all names of {NAME: schema}, then fills them. */
int schema_build_definitions(
	struct schema_builder *b, const struct json *definitions, struct err *err) _must_check_;
int schema_build(struct schema_builder *b, const struct json *json, const struct schema **ret,
	struct err *err) _must_check_;
/* The root schema of a custom resource: with apiVersion, kind and metadata. The definition of
 * ObjectMeta must be among b->definitions. */
int schema_build_resource(struct schema_builder *b, const struct json *json,
	const struct schema **ret, struct err *err) _must_check_;
/* For a schema that is no definition, once it and all it refers to are built. */
void schema_build_expected(struct schema_builder *b, const struct schema *s);
/* Call once after all schemas of a bundle are built. */
int schema_build_overlays(struct schema_builder *b, struct err *err) _must_check_;
