/* str.h - string views and the text helpers that several modules need. */
#pragma once

#include "lib/base/arena.h"

/* A view: not owned, not NUL-terminated. */
struct str {
	const char *p;
	size_t size;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).size, (s).p

struct str str_from(const char *s); /* NULL gives an empty view */
bool str_eq(struct str a, const char *b);
bool streq(const char *a, const char *b); /* NULL equals only NULL */
bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);
/* Splits off what stands before `sep` and moves *rest behind it. False when *rest.p is NULL (all
 * consumed); "a,,b" gives "a", "", "b". */
bool str_split(struct str *rest, char sep, struct str *ret_part);
/* Decimal only, whole text, in range; else -EINVAL / -ERANGE. No sign for u64. */
int parse_i64(struct str s, int64_t *ret) _must_check_;
int parse_u64(struct str s, uint64_t *ret) _must_check_;

/* Encodings. Decoders allocate in the arena and refuse bad input with -EINVAL. */
char *base64_encode(struct arena *a, const void *p, size_t size); /* RFC 4648 section 4, padded */
int base64_decode(struct arena *a, struct str in, char **ret, size_t *ret_size) _must_check_;
char *base64url_encode(struct arena *a, const void *p, size_t size); /* section 5, no padding */
int base64url_decode(struct arena *a, struct str in, char **ret, size_t *ret_size) _must_check_;
char *hex_encode(struct arena *a, const void *p, size_t size);
/* %XX and, if plus_is_space, '+'. Refuses bad escapes and NUL bytes. */
int percent_decode(struct arena *a, struct str in, bool plus_is_space, char **ret) _must_check_;
char *percent_encode(struct arena *a, struct str in); /* all but unreserved (RFC 3986 2.3) */
/* How much of a text to show: at most `most` bytes of it, no character cut in two. */
size_t utf8_cut(const char *p, size_t size, size_t most);
bool utf8_valid(const char *p, size_t size); /* RFC 3629: no surrogates, no overlongs */
/* Puts a '?' in place of each byte that is no part of a character: for texts of other programs
 * (error messages, output), which may also be cut anywhere, on their way into JSON. */
void utf8_repair(char *p, size_t size);

/* Hashes that are stable across versions (used in names that clients see). */
uint32_t fnv1a_32(const void *p, size_t size);
uint64_t fnv1a_64(const void *p, size_t size);
