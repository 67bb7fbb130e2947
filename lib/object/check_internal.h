/* check_internal.h - one walk over a document against its schema, split over check.c (structure)
 * and check_value.c (scalars). */
#pragma once

#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/object/object.h"

/* Where the walk is: a chain from the current value up to the root. */
struct place {
	const struct place *up; /* NULL at the root */
	enum { PLACE_ROOT, PLACE_FIELD, PLACE_KEY, PLACE_ITEM } type;
	const char *name; /* of a field or key */
	uint32_t size;
	uint32_t rank; /* among its siblings: the order in which errors are told */
	const struct schema *schema;
};

struct found_error {
	uint32_t *ranks; /* of the places from the root down */
	size_t rank_count;
	size_t at; /* number of the error: keeps equal places in order */
};

struct check {
	struct arena *arena;
	const struct kind *kind;
	const struct decode_options *options;
	struct status *st;
	struct field_errors found; /* in the order of the walk */
	VEC(struct found_error) order;
	size_t used_before;    /* of the arena, when the check began */
	struct json *problems; /* unknown and duplicate fields: array of texts, NULL while none */
};

int check_value(struct check *c, const struct place *at, const struct schema *s,
	struct json *v) _must_check_;
/* Strings, numbers, booleans. */
int check_scalar(struct check *c, const struct place *at, const struct schema *s,
	struct json *v) _must_check_;
void check_labels(struct check *c, const struct place *at, const struct json *map);
void check_config_keys(struct check *c, const struct place *at, const struct json *map);
void check_annotations(struct check *c, const struct place *at, const struct json *map);

/* A field error at the place. */
void check_error(struct check *c, const struct place *at, enum field_error_type type,
	const struct json *value, const char *fmt, ...) _printf_(5, 6);
/* 400 "KIND in version V cannot be handled as a KIND: ..." */
int check_refuse(struct check *c, const char *fmt, ...) _printf_(2, 3);
/* 400 in the words of Go's JSON decoder for a value of the wrong type. */
int check_type_error(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v);
void check_problem(struct check *c, const char *what, const struct place *at);

/* object_check with the paths of duplicate members that the parser met (array of texts or NULL). */
int object_check_with(const struct kind *k, struct arena *a, struct json *doc,
	const struct decode_options *options, const struct json *duplicates,
	struct field_errors *errors, struct status *st) _must_check_;
