/* allocator.h - numbers out of a fixed range, each given once: service addresses, node ports, pod
 * ranges. A request claims numbers while it is checked; the claims are kept when the write is
 * durable and given back when it fails. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/random.h"

struct allocator {
	uint64_t *bits; /* set = taken */
	uint32_t count;
	uint32_t taken;
};

void allocator_init(struct allocator *a, uint32_t count);
void allocator_finish(struct allocator *a);
bool allocator_taken(const struct allocator *a, uint32_t n);
int allocator_take(struct allocator *a, uint32_t n) _must_check_; /* -EEXIST, -ERANGE */
void allocator_give(struct allocator *a, uint32_t n); /* not taken or out of range: nothing */
/* The lowest free number from `first` on; -ENOSPC. */
int allocator_take_first(struct allocator *a, uint32_t first, uint32_t *ret) _must_check_;
/* Any free number in [first, count), by chance, so that a number is not soon used again. */
int allocator_take_any(
	struct allocator *a, uint32_t first, struct random *r, uint32_t *ret) _must_check_;

/* What a request took (undone on failure) or will give back (done on success). */
struct claim {
	struct claim *next;
	struct allocator *from;
	uint32_t n;
	bool give; /* give back when the write succeeds */
};
void claim_add(struct arena *a, struct claim **list, struct allocator *from, uint32_t n, bool give);
void claims_settle(struct claim **list, bool committed);

/* An IPv4 range. */
struct ip_range {
	uint32_t base; /* host order */
	unsigned prefix;
};
int ip_range_parse(const char *cidr, struct ip_range *ret) _must_check_;
int ip_parse(const char *text, uint32_t *ret) _must_check_; /* dotted quad, no leading zeros */
char *ip_format(struct arena *a, uint32_t ip);

/* An address or a range of either family, as texts give them: ip_read, cidr_read of
 * hooks/validate.h. */
struct ip {
	int family; /* 4, 6; 0 = no address */
	unsigned char bytes[16];
	unsigned prefix; /* of ranges: bits of the mask */
};
