/* json.h - the JSON document: parse, look, change, write. Everything lives in one arena.
 *
 * Strict RFC 8259: UTF-8 only (no surrogate halves, no overlong forms), no comments, no trailing
 * commas, one value and nothing behind it. Integers that fit int64 stay exact (JSON_INT); other
 * numbers are doubles. Depth and size are limited. Member order is kept; a duplicate member name
 * is kept out (last wins, as Go's decoder has it) and can be reported. Values are mutable; strings
 * are immutable, NUL-terminated, and may contain "\u0000" (so `size` counts).
 *
 * Lookups on the wrong type or on NULL return NULL/default, so paths can be chained without
 * checks: json_str(json_get(json_get(pod, "spec"), "nodeName")). */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,
	JSON_DOUBLE,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

struct json;

struct json_member {
	const char
		*name; /* NUL-terminated; never changed in place, big objects are indexed by it */
	uint32_t name_size;
	struct json *value; /* never NULL */
};

struct json {
	enum json_type type : 8;
	uint32_t room : 24; /* allocated items or members; json.c owns its meaning */
	uint32_t count;	    /* bytes of a string, items of an array, members of an object */
	union {
		bool b;
		int64_t i;
		double d;
		const char *s;
		struct json **items;
		struct json_member *members;
	};
};

#define JSON_COUNT_MAX ((1u << 24) - 1) /* items or members of one array or object */

struct json_limits {
	unsigned depth;	   /* nested arrays and objects; default 256. At most some thousands:
			      copying and writing recurse */
	size_t size_bytes; /* of the text; default 3 MiB, Kubernetes' request limit */
	/* Called for each duplicate member (the first JSON_DUPLICATES_MAX of them) with its dotted
	 * path
	 * ("spec.replicas"); may be NULL. */
	void (*on_duplicate)(void *user, const char *path);
	void *user;
};
#define JSON_DUPLICATES_MAX 1000 /* a path takes time by its depth, and texts may be hostile */
#define JSON_LIMITS_DEFAULT ((struct json_limits){.depth = 256, .size_bytes = 3u << 20})

/* Parses text; limits NULL = defaults. Paths given to on_duplicate have [N] for items; of very
 * long ones only the last 511 bytes. Text is copied: it need not outlive the call.
 * -EINVAL with "offset N: what" on bad text, -E2BIG over a limit or JSON_COUNT_MAX. */
int json_parse(struct arena *a, const char *text, size_t size, const struct json_limits *limits,
	struct json **ret, struct err *err) _must_check_;

/* YAML 1.1 resolution as kubectl has it (yes/no/on/off are booleans, 0o/0x/octal integers, ~ is
 * null, timestamps stay strings), first document of the text. Aliases are limited so that a small
 * text can't expand without bound (-E2BIG). */
int yaml_parse(struct arena *a, const char *text, size_t size, const struct json_limits *limits,
	struct json **ret, struct err *err) _must_check_;
/* All documents of a stream; empty ones are left out. ret is a JSON_ARRAY. */
int yaml_parse_all(struct arena *a, const char *text, size_t size, const struct json_limits *limits,
	struct json **ret, struct err *err) _must_check_;
void yaml_write(struct buf *out, const struct json *v); /* block style, keys in given order */

void json_write(struct buf *out, const struct json *v);	       /* compact */
void json_write_pretty(struct buf *out, const struct json *v); /* two spaces, as kubectl --raw */
void json_write_string(struct buf *out, const char *s, size_t size); /* quoted and escaped */
char *json_text(struct arena *a, const struct json *v);		     /* compact, NUL-terminated */

/* Constructors. */
struct json *json_new_null(struct arena *a);
struct json *json_new_bool(struct arena *a, bool b);
struct json *json_new_int(struct arena *a, int64_t i);
struct json *json_new_double(struct arena *a, double d);
struct json *json_new_string(struct arena *a, const char *s); /* copies; NULL gives "" */
struct json *json_new_string_n(struct arena *a, const char *s, size_t size);
struct json *json_new_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
struct json *json_new_array(struct arena *a);
struct json *json_new_object(struct arena *a);
struct json *json_copy(struct arena *a, const struct json *v); /* deep; NULL gives NULL */
/* A copy that lives no longer than `v`: texts are shared, and so is `shared` (NULL: nothing), the
 * value of a member somewhere in `v`. */
struct json *json_copy_beside(struct arena *a, const struct json *v, const struct json *shared);
/* With room for `room` members. */
struct json *json_new_object_room(struct arena *a, size_t room);

/* Reading. */
struct json *json_get_n(const struct json *object, const char *name, size_t size);
/* NULL when absent. Inline so that the size of a literal name is known when compiling. */
static inline struct json *json_get(const struct json *object, const char *name)
{
	return json_get_n(object, name, strlen(name));
}
/* Dotted path with [N] for items: "spec.containers[0].image". Names with dots: use json_get. */
struct json *json_path(const struct json *v, const char *path);
struct json *json_at(const struct json *array, size_t i);
size_t json_count(const struct json *v); /* items or members; 0 for others and NULL */
bool json_is(const struct json *v, enum json_type type); /* false for NULL */
const char *json_str(const struct json *v);		 /* NULL when not a string */
const char *json_str_or(const struct json *v, const char *fallback);
int64_t json_int_or(const struct json *v, int64_t fallback); /* exact integers (5.0 counts) */
bool json_bool_or(const struct json *v, bool fallback);
/* Shorthand for json_str(json_path(v, path)) and so on. */
const char *json_path_str(const struct json *v, const char *path);
int64_t json_path_int(const struct json *v, const char *path, int64_t fallback);
bool json_path_bool(const struct json *v, const char *path, bool fallback);

/* The body may change the current item, not add or remove any; break and continue work. */
#define JSON_FOR_EACH_ITEM(it, array)                                                              \
	for (struct json *_a_##it = (struct json *)(array), **_p_##it = json_items(_a_##it),       \
			 **_e_##it = _p_##it ? _p_##it + json_count(_a_##it) : NULL,               \
			 *it _unused_ = NULL;                                                      \
		_p_##it < _e_##it && ((it = *_p_##it), true); _p_##it++)
#define JSON_FOR_EACH_MEMBER(it, object)                                                           \
	for (struct json_member *it = json_members(object),                                        \
				*_e_##it = it ? it + json_count(object) : NULL;                    \
		it < _e_##it; it++)
struct json **json_items(const struct json *array);	     /* NULL when not an array */
struct json_member *json_members(const struct json *object); /* NULL when not an object */

/* Changing. `a` must be the arena of the document or one that lives as long. */
void json_set(struct arena *a, struct json *object, const char *name, struct json *value);
void json_set_n(
	struct arena *a, struct json *object, const char *name, size_t size, struct json *value);
/* Adds a member that is not there yet. The name is not copied: it is NUL-terminated and lives as
 * long as the arena. */
void json_add_n(
	struct arena *a, struct json *object, const char *name, size_t size, struct json *value);
/* After the members of an object were put into another order in place. */
void json_reindex(struct json *object);
void json_set_str(struct arena *a, struct json *object, const char *name, const char *value);
void json_set_int(struct arena *a, struct json *object, const char *name, int64_t value);
void json_set_bool(struct arena *a, struct json *object, const char *name, bool value);
bool json_remove(struct json *object, const char *name); /* true when it was there */
void json_push(struct arena *a, struct json *array, struct json *value);
void json_insert(
	struct arena *a, struct json *array, size_t i, struct json *value); /* i <= count */
void json_remove_at(struct json *array, size_t i);
/* Makes objects on the way of a dotted path (no [N]) and sets the last name. */
void json_path_set(struct arena *a, struct json *object, const char *path, struct json *value);
/* The object at `name`, created when absent or not an object. */
struct json *json_object_at(struct arena *a, struct json *object, const char *name);
struct json *json_array_at(struct arena *a, struct json *object, const char *name);

/* Deep equality: member order does not matter, 1 equals 1.0. NULL equals only NULL. */
bool json_equal(const struct json *a, const struct json *b);
