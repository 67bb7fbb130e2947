/* quota.h - one ResourceQuota and the account of who uses it: what each object of its namespace
 * counts for, and the sums. Objects come by quota_observe() as they are known to be; writes on
 * their way are reserved, so that many at once can't exceed it together:
 *
 *     absent --reserve--> reserved --release--> absent        (the write failed)
 *        |                   | observe
 *        | observe           v
 *        +--------------> counted (and reserved: the greater counts)
 *
 * Pure: no input but what it is told. */
#pragma once

#include "server/quota/usage.h"

struct quota;

/* From a ResourceQuota's document. */
struct quota *quota_create(const struct json *doc);
void quota_destroy(struct quota *q); /* NULL allowed */
const char *quota_name(const struct quota *q);
/* False when it is the same bounds and scopes, so that the account can go on. */
bool quota_differs(const struct quota *q, const struct json *doc);
/* Can objects of the kind count? */
bool quota_covers(const struct quota *q, const struct kind *k);

/* The object is as doc says; NULL = it is gone. */
void quota_observe(struct quota *q, const struct kind *k, const char *name, const struct json *doc);
/* All objects of the kind, anew: what is not observed between these two calls is gone. */
void quota_scan_begin(struct quota *q, const struct kind *k);
void quota_scan_end(struct quota *q, const struct kind *k);

/* May the object be written so? NULL, or upstream's words: "exceeded quota: ..." */
const char *quota_refuses(const struct quota *q, struct arena *a, const struct kind *k,
	const char *name, const struct json *doc);
/* Counts it (at least) like that until it is released. */
void quota_reserve(struct quota *q, const struct kind *k, const char *name, const struct json *doc);
void quota_release(struct quota *q, const struct kind *k, const char *name);

/* status.hard and status.used. */
struct json *quota_hard(const struct quota *q, struct arena *a);
struct json *quota_used(const struct quota *q, struct arena *a);
