/* dns_cache.h - answers of other resolvers by name and type, until their time is over. Bounded in
 * number and bytes: the one that was not used for the longest time goes first. */
#pragma once

#include "lib/base/util.h"

#define DNS_CACHE_ENTRIES_MAX 10000
#define DNS_CACHE_BYTES_MAX (16u << 20)

struct dns_cache;
struct dns_cache *dns_cache_create(void);
void dns_cache_destroy(struct dns_cache *c);
/* Times are monotonic nanoseconds. A ttl of 0 is not kept. */
void dns_cache_set(struct dns_cache *c, const char *key, const void *wire, size_t size,
	uint32_t ttl_s, int64_t now_ns);
/* NULL = nothing, or it is too old. Valid until the next call. */
const void *dns_cache_get(struct dns_cache *c, const char *key, int64_t now_ns, size_t *ret_size,
	uint32_t *ret_age_s);
size_t dns_cache_count(const struct dns_cache *c);
size_t dns_cache_bytes(const struct dns_cache *c);
