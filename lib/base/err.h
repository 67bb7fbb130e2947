/* err.h - the error object that is the last parameter of whatever can fail.
 *
 * A function returns 0 or a negative errno and, on failure, has filled *err; on success *err is
 * untouched. `err` may be NULL when the caller does not care. Each layer may add context once:
 *
 *     r = volume_mount(v, err);
 *     if (r < 0)
 *             return err_context(err, r, "mount volume '%s' of pod '%s'", v->name, pod->name);
 *
 * reads "mount volume 'data' of pod 'a/b': no such directory '/x'". No allocation: the message
 * lives in the object (cut at its size), so reporting an error cannot fail. */
#pragma once

#include "lib/base/util.h"

struct err {
	int code;	/* negative errno of the first failure, 0 when unset */
	char msg[1024]; /* NUL-terminated text for people, without a final newline */
};

#define ERR_INIT ((struct err){0})

/* Fills err (if not NULL) and returns `code`, which must be a negative errno. */
int err_set(struct err *err, int code, const char *fmt, ...) _printf_(3, 4);
/* As err_set, and appends ": " and strerror(-code). */
int err_errno(struct err *err, int code, const char *fmt, ...) _printf_(3, 4);
/* Puts "context: " before what is there; returns `code`. */
int err_context(struct err *err, int code, const char *fmt, ...) _printf_(3, 4);
