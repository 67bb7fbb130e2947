/* dns_cache.c - see dns_cache.h. */
#include "node/dns/dns_cache.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/table.h"

struct entry {
	struct list link; /* the one used last is at the end */
	char *key;
	void *wire;
	size_t size;
	int64_t set_ns, until_ns;
};

struct dns_cache {
	struct table entries;
	struct list used;
	size_t bytes;
};

struct dns_cache *dns_cache_create(void)
{
	struct dns_cache *c = xcalloc(1, sizeof(*c));

	list_init(&c->used);
	return c;
}

static size_t weight(const struct entry *e)
{
	return sizeof(*e) + e->size + 2 * strlen(e->key);
}

static void drop(struct dns_cache *c, struct entry *e)
{
	c->bytes -= weight(e);
	table_remove(&c->entries, e->key);
	list_remove(&e->link);
	free(e->key);
	free(e->wire);
	free(e);
}

void dns_cache_destroy(struct dns_cache *c)
{
	if (!c)
		return;
	LIST_FOR_EACH(e, &c->used, struct entry, link)
		drop(c, e);
	table_finish(&c->entries);
	free(c);
}

void dns_cache_set(struct dns_cache *c, const char *key, const void *wire, size_t size,
	uint32_t ttl_s, int64_t now_ns)
{
	struct entry *e = table_get(&c->entries, key);

	if (e)
		drop(c, e);
	if (!ttl_s || size > DNS_CACHE_BYTES_MAX / 64)
		return;
	e = xcalloc(1, sizeof(*e));
	e->key = xstrdup(key);
	e->wire = xmalloc(size + 1);
	memcpy(e->wire, wire, size);
	e->size = size;
	e->set_ns = now_ns;
	e->until_ns = now_ns + ttl_s * NS_PER_S;
	table_set(&c->entries, key, e);
	list_append(&c->used, &e->link);
	c->bytes += weight(e);
	while (c->entries.count > DNS_CACHE_ENTRIES_MAX || c->bytes > DNS_CACHE_BYTES_MAX)
		drop(c, CONTAINER_OF(c->used.next, struct entry, link));
}

const void *dns_cache_get(
	struct dns_cache *c, const char *key, int64_t now_ns, size_t *ret_size, uint32_t *ret_age_s)
{
	struct entry *e = table_get(&c->entries, key);

	if (!e)
		return NULL;
	if (now_ns >= e->until_ns) {
		drop(c, e);
		return NULL;
	}
	list_remove(&e->link);
	list_append(&c->used, &e->link);
	*ret_size = e->size;
	*ret_age_s = (uint32_t)((now_ns - e->set_ns) / NS_PER_S);
	return e->wire;
}

size_t dns_cache_count(const struct dns_cache *c)
{
	return c->entries.count;
}

size_t dns_cache_bytes(const struct dns_cache *c)
{
	return c->bytes;
}
