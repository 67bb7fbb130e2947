#include "server/api/machines/mac_pool.h"

#include <stdio.h>

#include "lib/base/str.h"
#include "lib/base/table.h"

/* Two of one address are there only where an earlier version let them in. */
struct holder {
	struct holder *next;
	char *owner;
	unsigned count;
};

struct mac_pool {
	struct mac_range range;
	struct table holders; /* text of the address -> struct holder, first of a list */
};

int mac_range_parse(const char *text, struct mac_range *ret)
{
	char first[MACHINE_MAC_TEXT];
	struct mac_range r;

	/* The first address of a range may be zero but for its kind; no other check is needed. */
	if (strlen(text) != 35 || text[17] != '-')
		return -EINVAL;
	memcpy(first, text, 17);
	first[17] = '\0';
	if (machine_mac_parse(first, &r.first) < 0 || machine_mac_parse(text + 18, &r.last) < 0 ||
		r.first > r.last || (r.first ^ r.last) >> 40)
		return -EINVAL;
	*ret = r;
	return 0;
}

struct mac_pool *mac_pool_create(const struct mac_range *range)
{
	struct mac_pool *p = xcalloc(1, sizeof(*p));

	p->range = *range;
	return p;
}

void mac_pool_destroy(struct mac_pool *p)
{
	if (!p)
		return;
	for (struct table_iter i = table_iterate(&p->holders); table_next(&i);) {
		for (struct holder *h = i.value, *next; h; h = next) {
			next = h->next;
			free(h->owner);
			free(h);
		}
	}
	table_finish(&p->holders);
	free(p);
}

const char *mac_pool_other(const struct mac_pool *p, uint64_t mac, const char *owner)
{
	char key[MACHINE_MAC_TEXT];

	machine_mac_format(mac, key);
	for (const struct holder *h = table_get(&p->holders, key); h; h = h->next)
		if (!streq(h->owner, owner))
			return h->owner;
	return NULL;
}

void mac_pool_hold(struct mac_pool *p, uint64_t mac, const char *owner)
{
	char key[MACHINE_MAC_TEXT];
	struct holder *first, *h;

	machine_mac_format(mac, key);
	first = table_get(&p->holders, key);
	for (h = first; h; h = h->next) {
		if (streq(h->owner, owner)) {
			h->count++;
			return;
		}
	}
	h = xcalloc(1, sizeof(*h));
	h->owner = xstrdup(owner);
	h->count = 1;
	if (first) {
		h->next = first->next;
		first->next = h;
	} else {
		table_set(&p->holders, key, h);
	}
}

void mac_pool_release(struct mac_pool *p, uint64_t mac, const char *owner)
{
	char key[MACHINE_MAC_TEXT];
	struct holder *first, *h, **at;

	machine_mac_format(mac, key);
	first = table_get(&p->holders, key);
	for (at = &first; *at && !streq((*at)->owner, owner); at = &(*at)->next)
		;
	h = *at;
	if (!h || --h->count)
		return;
	*at = h->next;
	if (first)
		table_set(&p->holders, key, first);
	else
		table_remove(&p->holders, key);
	free(h->owner);
	free(h);
}

int mac_pool_choose(const struct mac_pool *p, const char *owner, size_t index, uint64_t *ret)
{
	uint64_t size = p->range.last - p->range.first + 1, at;
	_cleanup_(free_p) char *domain = xstrdup(owner);
	char *slash = strchr(domain, '/');

	if (slash)
		*slash = '_';
	at = machine_mac_of_name(domain, index);
	if (at < p->range.first || at > p->range.last)
		at = p->range.first + at % size;
	/* There can't be more holders than that many in a row. */
	for (uint64_t tries = MIN(size, (uint64_t)p->holders.count + 1); tries; tries--) {
		if (at && !mac_pool_other(p, at, owner)) {
			*ret = at;
			return 0;
		}
		at = at == p->range.last ? p->range.first : at + 1;
	}
	return -ENOSPC;
}

void mac_claim_add(struct arena *a, struct mac_claim **list, struct mac_pool *p, uint64_t mac,
	const char *owner, bool give)
{
	struct mac_claim *c = arena_alloc(a, sizeof(*c));

	*c = (struct mac_claim){.next = *list, .pool = p, .owner = owner, .mac = mac, .give = give};
	*list = c;
	if (!give)
		mac_pool_hold(p, mac, owner);
}

void mac_claims_settle(struct mac_claim **list, bool committed)
{
	for (struct mac_claim *c = *list; c; c = c->next)
		if (c->give == committed)
			mac_pool_release(c->pool, c->mac, c->owner);
	*list = NULL;
}
