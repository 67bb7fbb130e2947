/* status.h - Kubernetes Status objects and field errors (API conventions: "Response Status Kind",
 * k8s field validation errors). The one place where failures get their API words. */
#pragma once

#include "lib/object/kind.h"

enum field_error_type {
	FIELD_REQUIRED,	     /* "Required value[: detail]" */
	FIELD_INVALID,	     /* "Invalid value: VALUE: detail" */
	FIELD_NOT_SUPPORTED, /* "Unsupported value: VALUE: supported values: "A", "B"" */
	FIELD_DUPLICATE,     /* "Duplicate value: VALUE" */
	FIELD_FORBIDDEN,     /* "Forbidden: detail" */
	FIELD_TOO_LONG,	     /* "Too long: detail" */
	FIELD_TOO_MANY,	     /* "Too many: ..." */
	FIELD_NOT_FOUND,     /* "Not found: VALUE" */
	FIELD_TYPE_INVALID,  /* "Invalid value: VALUE: detail", reason FieldValueTypeInvalid */
};

/* Errors of one object, collected in the order of the walk. */
#define FIELD_ERRORS_MAX 500 /* more are not told */

struct field_errors {
	struct arena *arena;
	struct json *causes; /* array of {reason, message, field}; NULL while empty */
};

/* `value` is shown Go-quoted ("x", 5, {...}); NULL where the type shows none. */
void field_error(struct field_errors *e, enum field_error_type type, const char *field,
	const struct json *value, const char *detail_fmt, ...) _printf_(5, 6);
void field_error_v(struct field_errors *e, enum field_error_type type, const char *field,
	const struct json *value, const char *detail_fmt, va_list ap) _printf_(5, 0);
size_t field_error_count(const struct field_errors *e);

/* A failure on its way to the client: HTTP code, reason and Status document (in the arena). */
struct status {
	int code;
	struct json *doc; /* NULL while unset (success) */
};

/* Each fills *st and returns -EREMOTEIO, so that `return status_not_found(...)` reads well.
 * `k` may be NULL where no kind is known. */
int status_set(struct arena *a, struct status *st, int code, const char *reason, const char *fmt,
	...) _printf_(5, 6);
int status_not_found(struct arena *a, struct status *st, const struct kind *k, const char *name);
int status_already_exists(
	struct arena *a, struct status *st, const struct kind *k, const char *name);
int status_conflict(struct arena *a, struct status *st, const struct kind *k, const char *name,
	const char *detail); /* NULL = "the object has been modified; please apply ..." */
int status_forbidden(struct arena *a, struct status *st, const struct kind *k, const char *name,
	const char *detail);
int status_invalid(struct arena *a, struct status *st, const struct kind *k, const char *name,
	const struct field_errors *errors);
int status_bad_request(struct arena *a, struct status *st, const char *fmt, ...) _printf_(3, 4);
int status_internal(struct arena *a, struct status *st, const char *fmt, ...) _printf_(3, 4);
int status_from_err(struct arena *a, struct status *st, const struct err *err);
/* Adds details.name/group/kind/uid/causes/retryAfterSeconds to a filled status. */
void status_detail(struct arena *a, struct status *st, const char *key, struct json *value);
struct json *status_success(
	struct arena *a, const struct kind *k, const char *name, const char *uid);
