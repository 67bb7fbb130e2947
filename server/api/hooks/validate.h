/* validate.h - checks that the hooks of several kinds make, in upstream's words. `at` is the path
 * of the value: "spec.rules[0].host". An absent value counts as "". */
#pragma once

#include "lib/json/json_seen.h" /* for what comes twice */
#include "server/api/hooks/hooks_internal.h"

/* A path: at(h, "%s.rules[%zu]", outer, i). */
#define at(h, ...) arena_printf((h)->arena, __VA_ARGS__)

void invalid(struct hook *h, const char *field, const struct json *value, const char *fmt, ...)
	_printf_(4, 5);
void required(struct hook *h, const char *field, const char *detail); /* detail NULL = none */
void forbidden(struct hook *h, const char *field, const char *detail);
void forbid(struct hook *h, const char *field, const char *fmt, ...) _printf_(3, 4);
void duplicate(struct hook *h, const char *field, const struct json *value);
/* True when the text is there and not empty; else an error. */
bool require_text(struct hook *h, const char *field, const struct json *value);

/* The rule's messages as errors; the empty text is checked like any other. */
void check_rule_at(struct hook *h, enum rule rule, const char *field, const struct json *value);
/* The same, and an empty text is missing. */
void check_name_at(struct hook *h, enum rule rule, const char *field, const struct json *value);
/* Messages of the rule joined by ",", NULL when the text is good. */
const char *rule_text(struct arena *a, enum rule rule, const char *s);

/* `supported` is in the order in which it is told and ends with NULL. False when it is an error. */
bool check_one_of(
	struct hook *h, const char *field, const struct json *value, const char *const *supported);
bool is_one_of(const char *s, const char *const *supported);
void check_fixed(struct hook *h, const char *field, const struct json *doc, const struct json *old,
	const char *path); /* "field is immutable" */

void check_label_selector(struct hook *h, const struct json *selector, const char *field);

/* An IPv4 address in IPv6 form counts as IPv4. -EINVAL. */
int ip_read(const char *s, struct ip *ret) _must_check_;
int cidr_read(const char *s, struct ip *ret) _must_check_;
bool cidr_contains(const struct ip *range, const struct ip *address);
void check_ip_at(struct hook *h, const char *field, const struct json *value);
void check_cidr_at(struct hook *h, const char *field, const struct json *value);
/* "*.example.com" or a plain name. */
void check_host_at(struct hook *h, const char *field, const struct json *value);
/* "example.com/path", as controllers are named. */
void check_domain_path_at(struct hook *h, const char *field, const struct json *value);
/* A name with so many dots that it has `segments` parts: "a.example.com". */
void check_full_name_at(struct hook *h, const char *field, const struct json *value, int segments);
void check_port_at(struct hook *h, const char *field, const struct json *value);

bool has_text(const struct json *list, const char *s);
char *lower_text(struct arena *a, const char *s); /* ASCII */

/* Paths below a path, for checks that get theirs handed in. */
char *at_child(struct hook *h, const char *path, const char *name);		   /* PATH.NAME */
char *at_item(struct hook *h, const char *path, size_t i);			   /* PATH[I] */
char *at_child_item(struct hook *h, const char *path, const char *name, size_t i); /* both */
char *at_key(struct hook *h, const char *path, const char *key);		   /* PATH[KEY] */
bool present(const struct json *v); /* neither absent nor null */
/* The same as invalid(), with a text as the value. */
void invalid_text(struct hook *h, const char *field, const char *value, const char *fmt, ...)
	_printf_(4, 5);
/* Not one of `supported`, which are told in their order. */
void unsupported(
	struct hook *h, const char *field, const struct json *value, const char *const *supported);
void too_many(struct hook *h, const char *field, size_t count, size_t most);
/* A number that must not be negative; absent passes. */
void check_nonnegative(struct hook *h, const char *field, const struct json *number);
/* "50%" may not say more than 100. */
void check_percent_at(struct hook *h, const char *field, const struct json *value);
int64_t count_or_percent(const struct json *value); /* 5 of 5, 50 of "50%" */
/* Two values that must be equal: "field is immutable". */
void check_unchanged(
	struct hook *h, const char *field, const struct json *now, const struct json *was);
/* A condition of the status has the status "True". */
bool condition_true(const struct json *status, const char *type);
