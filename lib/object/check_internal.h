/* check_internal.h - one walk over a document against its schema, split over check.c (structure)
 * and check_value.c (scalars). */
#pragma once

#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/object/object.h"

/* Where the walk is: a chain from the current value up to the root. */
struct place {
	const struct place *up; /* NULL at the root */
	enum { PLACE_ROOT, PLACE_FIELD, PLACE_KEY, PLACE_ITEM, PLACE_NOWHERE } type;
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

/* Alternatives within alternatives make the work grow by powers: what a document may cost. */
#define CHECK_STEPS_MAX (2u << 20)

struct check {
	struct arena *arena;
	const struct kind *kind;
	const struct decode_options *options;
	struct status *st;
	struct field_errors found; /* in the order of the walk */
	VEC(struct found_error) order;
	size_t used_before; /* of the arena, when the check began */
	size_t steps;	    /* of the validation of a custom resource, each of some 100 ns */
	size_t next_look;   /* the step at which the arena is looked at again */
	unsigned quiet;	    /* errors are only counted, in quiet_errors */
	size_t quiet_errors;
	struct json *problems; /* unknown and duplicate fields: array of texts, NULL while none */
};

int check_value(struct check *c, const struct place *at, const struct schema *s,
	struct json *v) _must_check_;
/* The same for a custom resource (check_custom.c), by upstream's rules for those: what is unknown
 * is pruned, what is wrong is a field error, null is a value. */
int check_custom(struct check *c, const struct place *root, struct json *doc) _must_check_;
/* A value that is no resource, such as a default: what its schema would prune is an error, too. */
void check_custom_value(const struct schema *s, struct arena *a, struct json *value,
	const struct decode_options *options, const char *field, struct field_errors *errors);
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
/* "spec.items[0].name" */
const char *check_path(struct check *c, const struct place *at);
/* The errors found so far, in the order of the kind file. */
void check_hand_out(struct check *c, struct field_errors *ret);
/* True when the check has put more into the arena than it may; st is filled then. */
bool check_too_large(struct check *c);

/* object_check with the paths of duplicate members that the parser met (array of texts or NULL). */
int object_check_with(const struct kind *k, struct arena *a, struct json *doc,
	const struct decode_options *options, const struct json *duplicates,
	struct field_errors *errors, struct status *st) _must_check_;
