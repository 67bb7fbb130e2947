#include "server/api/allocator.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/str.h"

void allocator_init(struct allocator *a, uint32_t count)
{
	*a = (struct allocator){
		.bits = xcalloc((count + 63) / 64, sizeof(*a->bits)), .count = count};
}

void allocator_finish(struct allocator *a)
{
	free(a->bits);
	*a = (struct allocator){0};
}

bool allocator_taken(const struct allocator *a, uint32_t n)
{
	return n < a->count && (a->bits[n / 64] >> (n % 64) & 1);
}

int allocator_take(struct allocator *a, uint32_t n)
{
	if (n >= a->count)
		return -ERANGE;
	if (allocator_taken(a, n))
		return -EEXIST;
	a->bits[n / 64] |= UINT64_C(1) << (n % 64);
	a->taken++;
	return 0;
}

void allocator_give(struct allocator *a, uint32_t n)
{
	if (!allocator_taken(a, n))
		return;
	a->bits[n / 64] &= ~(UINT64_C(1) << (n % 64));
	a->taken--;
}

int allocator_take_first(struct allocator *a, uint32_t first, uint32_t *ret)
{
	for (uint32_t n = first; n < a->count; n++) {
		if (n % 64 == 0 && a->bits[n / 64] == UINT64_MAX) {
			n += 63;
			continue;
		}
		if (allocator_take(a, n) == 0) {
			*ret = n;
			return 0;
		}
	}
	return -ENOSPC;
}

int allocator_take_any(struct allocator *a, uint32_t first, struct random *r, uint32_t *ret)
{
	if (first >= a->count)
		return -ENOSPC;
	uint32_t start = first + (uint32_t)random_below(r, a->count - first);
	if (allocator_take_first(a, start, ret) == 0)
		return 0;
	return allocator_take_first(a, first, ret);
}

void claim_add(struct arena *a, struct claim **list, struct allocator *from, uint32_t n, bool give)
{
	struct claim *c = ARENA_NEW(a, struct claim);
	*c = (struct claim){.next = *list, .from = from, .n = n, .give = give};
	*list = c;
}

void claims_settle(struct claim **list, bool committed)
{
	for (struct claim *c = *list; c; c = c->next)
		if (c->give == committed)
			allocator_give(c->from, c->n);
	*list = NULL;
}

int ip_parse(const char *text, uint32_t *ret)
{
	struct in_addr in;
	if (!text || inet_pton(AF_INET, text, &in) != 1)
		return -EINVAL;
	*ret = ntohl(in.s_addr);
	return 0;
}

int ip_range_parse(const char *cidr, struct ip_range *ret)
{
	struct str rest = str_from(cidr), address;
	if (!str_split(&rest, '/', &address) || !rest.p || address.size >= 16)
		return -EINVAL;
	char text[16];
	memcpy(text, address.p, address.size);
	text[address.size] = '\0';
	uint64_t prefix;
	uint32_t base;
	if (parse_u64(rest, &prefix) < 0 || prefix > 32 || ip_parse(text, &base) < 0)
		return -EINVAL;
	uint32_t mask = prefix ? UINT32_MAX << (32 - prefix) : 0;
	*ret = (struct ip_range){.base = base & mask, .prefix = (unsigned)prefix};
	return 0;
}

char *ip_format(struct arena *a, uint32_t ip)
{
	return arena_printf(a, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}
