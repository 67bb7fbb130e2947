/* dns_find.c - answers to names of the zone: see dns_zone.h. */
#include "node/dns/dns_zone_data.h"

enum { ALIAS_HOPS_MAX = 8 };

struct query {
	const struct dns_zone *z;
	struct arena *a;
	uint16_t type;
	struct dns_found *ret;
};

static void record_add(struct arena *a, struct dns_record **list, size_t *count,
	const uint8_t *owner, uint16_t type, const void *data, size_t size)
{
	/* In powers of two: grown by the arena. */
	if ((*count & (*count - 1)) == 0)
		*list = arena_grow(a, *list, *count * sizeof(**list),
			MAX(*count * 2, (size_t)1) * sizeof(**list));
	(*list)[(*count)++] = (struct dns_record){owner, type, (uint16_t)size, data};
}

static void answer(struct query *q, uint16_t type, const void *data, size_t size)
{
	record_add(q->a, &q->ret->answers, &q->ret->answer_count, NULL, type, data, size);
}

static uint16_t address_type(const struct address *a)
{
	return a->size == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA;
}

/* Records point into the zone: it does not change before the packet is written. */
static void answer_address(struct query *q, const struct address *a)
{
	if (address_type(a) == q->type)
		answer(q, q->type, a->bytes, a->size);
}

static void extra_address(struct query *q, const uint8_t *owner, const struct address *a)
{
	record_add(q->a, &q->ret->extra, &q->ret->extra_count, owner, address_type(a), a->bytes,
		a->size);
}

static enum dns_verdict verdict(const struct query *q)
{
	return q->ret->answer_count ? DNS_FOUND : DNS_NO_DATA;
}

static void answer_srv(struct query *q, uint16_t port, const uint8_t *target, size_t size)
{
	enum { PRIORITY = 0, WEIGHT = 100 };
	uint8_t *data = arena_alloc(q->a, size + 6);
	uint16_t head[3] = {htons(PRIORITY), htons(WEIGHT), htons(port)};

	memcpy(data, head, sizeof(head));
	memcpy(data + sizeof(head), target, size);
	answer(q, DNS_TYPE_SRV, data, size + sizeof(head));
}

static bool port_wanted(const struct port *p, struct str name, struct str proto)
{
	if (!name.p)
		return true;
	return str_eq(name, p->name) && str_eq(proto, p->proto);
}

/* name and proto without '_'; name.p NULL = all ports. *seen: such a port is there. */
static void answer_ports(
	struct query *q, const struct service *s, struct str name, struct str proto, bool *seen)
{
	char room[ADDRESS_LABEL_ROOM];
	size_t size = 0;

	if (!s->headless) {
		const char *labels[] = {s->name, s->ns, "svc", NULL};
		uint8_t *target = name_make(q->a, q->z, labels, &size);
		bool any = false;
		for (size_t i = 0; target && i < s->ports.count; i++) {
			if (!port_wanted(&s->ports.items[i], name, proto))
				continue;
			*seen = any = true;
			if (q->type == DNS_TYPE_SRV)
				answer_srv(q, s->ports.items[i].number, target, size);
		}
		for (size_t i = 0; any && q->type == DNS_TYPE_SRV && i < s->addresses.count; i++)
			extra_address(q, target, &s->addresses.items[i]);
		return;
	}
	for (size_t i = 0; i < s->slices.count; i++) {
		const struct slice *l = s->slices.items[i];
		for (size_t k = 0; k < l->ports.count; k++) {
			if (!port_wanted(&l->ports.items[k], name, proto))
				continue;
			*seen = true;
			for (size_t e = 0; q->type == DNS_TYPE_SRV && e < l->endpoints.count; e++) {
				const struct endpoint *to = &l->endpoints.items[e];
				const char *labels[] = {
					endpoint_label(to, room), s->name, s->ns, "svc", NULL};
				uint8_t *target =
					to->ready ? name_make(q->a, q->z, labels, &size) : NULL;
				if (!target)
					continue;
				answer_srv(q, l->ports.items[k].number, target, size);
				extra_address(q, target, &to->address);
			}
		}
	}
}

static enum dns_verdict find_in_service(
	struct query *q, const struct service *s, const struct str *labels, size_t count, int hops);

/* From a name of the zone: its labels below the domain, the last one first to be looked at. */
static enum dns_verdict find_below(
	struct query *q, const struct str *labels, size_t count, int hops);

static enum dns_verdict find_alias(struct query *q, const struct service *s, int hops)
{
	struct str labels[LABELS_MAX];
	size_t size = name_size(s->external);

	answer(q, DNS_TYPE_CNAME, s->external, size);
	if (q->type == DNS_TYPE_CNAME)
		return DNS_FOUND;
	if (size > q->z->domain_size && memcmp(s->external + size - q->z->domain_size, q->z->domain,
						q->z->domain_size) == 0) {
		/* Another name of this zone: its records follow, under its own name. */
		size_t from = q->ret->answer_count, domain = 0;
		struct str all[LABELS_MAX];
		domain = split_labels(q->z->domain, all);
		size_t n = split_labels(s->external, labels);
		if (hops < ALIAS_HOPS_MAX && n > domain)
			(void)find_below(q, labels, n - domain, hops + 1);
		for (size_t i = from; i < q->ret->answer_count; i++)
			if (!q->ret->answers[i].owner)
				q->ret->answers[i].owner = s->external;
		return DNS_FOUND;
	}
	q->ret->alias = s->external;
	return DNS_FOUND;
}

static void answer_endpoints(struct query *q, const struct service *s, const char *host, bool *seen)
{
	char room[ADDRESS_LABEL_ROOM];

	for (size_t i = 0; i < s->slices.count; i++) {
		const struct slice *l = s->slices.items[i];
		for (size_t k = 0; k < l->endpoints.count; k++) {
			const struct endpoint *e = &l->endpoints.items[k];
			if (!e->ready || (host && !streq(host, endpoint_label(e, room))))
				continue;
			*seen = true;
			answer_address(q, &e->address);
		}
	}
}

static enum dns_verdict find_in_service(
	struct query *q, const struct service *s, const struct str *labels, size_t count, int hops)
{
	bool seen = false;

	if (s->external)
		return count == 0 ? find_alias(q, s, hops) : DNS_NAME_ERROR;
	if (count == 0) {
		if (q->type == DNS_TYPE_SRV) {
			answer_ports(q, s, (struct str){0}, (struct str){0}, &seen);
		} else if (s->headless) {
			answer_endpoints(q, s, NULL, &seen);
			/* A headless service without endpoints is a name without anything. */
		} else {
			for (size_t i = 0; i < s->addresses.count; i++)
				answer_address(q, &s->addresses.items[i]);
		}
		return verdict(q);
	}
	struct str last = labels[count - 1];
	if (count <= 2 && last.size > 1 && last.p[0] == '_') {
		struct str proto = {last.p + 1, last.size - 1};
		struct str port = {"", 0};
		if (count == 1) /* _tcp alone is a name on the way */
			return str_eq(proto, "tcp") || str_eq(proto, "udp") || str_eq(proto, "sctp")
				       ? DNS_NO_DATA
				       : DNS_NAME_ERROR;
		if (labels[0].size < 2 || labels[0].p[0] != '_')
			return DNS_NAME_ERROR;
		port = (struct str){labels[0].p + 1, labels[0].size - 1};
		answer_ports(q, s, port, proto, &seen);
		return seen ? verdict(q) : DNS_NAME_ERROR;
	}
	if (count == 1 && plain_label(last)) {
		char host[LABEL_MAX + 1];
		memcpy(host, last.p, last.size);
		host[last.size] = '\0';
		answer_endpoints(q, s, host, &seen);
		return seen ? verdict(q) : DNS_NAME_ERROR;
	}
	return DNS_NAME_ERROR;
}

static const struct namespace *namespace_named(const struct dns_zone *z, struct str name)
{
	return plain_label(name) ? table_get_n(&z->namespaces, name.p, name.size) : NULL;
}

static enum dns_verdict find_below(
	struct query *q, const struct str *labels, size_t count, int hops)
{
	const struct dns_zone *z = q->z;
	struct str top = labels[count - 1];
	char key[2 * LABEL_MAX + 2];

	if (count == 1 && str_eq(top, "dns-version")) {
		static const char version[] = "\0051.1.0";
		if (q->type == DNS_TYPE_TXT)
			answer(q, DNS_TYPE_TXT, version, sizeof(version) - 1);
		return verdict(q);
	}
	if (str_eq(top, "dns")) { /* ns.dns.DOMAIN, this server */
		if (count > 2 || (count == 2 && !str_eq(labels[0], "ns")))
			return DNS_NAME_ERROR;
		for (size_t i = 0; count == 2 && i < z->self.count; i++)
			answer_address(q, &z->self.items[i]);
		return verdict(q);
	}
	bool svc = str_eq(top, "svc");
	if (!svc && !str_eq(top, "pod"))
		return DNS_NAME_ERROR;
	if (count == 1)
		return DNS_NO_DATA;
	const struct namespace *ns = namespace_named(z, labels[count - 2]);
	if (!ns)
		return DNS_NAME_ERROR;
	if (count == 2)
		return DNS_NO_DATA;
	if (!svc) {
		struct address address, *kept;
		if (count != 3 || !address_from_label(labels[0], &address))
			return DNS_NAME_ERROR;
		kept = (struct address *)(void *)arena_memdup(q->a, &address, sizeof(address));
		answer_address(q, kept);
		return verdict(q);
	}
	if (!plain_label(labels[count - 3]))
		return DNS_NAME_ERROR;
	struct str n = labels[count - 2], s = labels[count - 3];
	memcpy(key, n.p, n.size);
	key[n.size] = '/';
	memcpy(key + n.size + 1, s.p, s.size);
	const struct service *service = table_get_n(&z->services, key, n.size + 1 + s.size);
	if (!service || !service->known)
		return DNS_NAME_ERROR;
	return find_in_service(q, service, labels, count - 3, hops);
}

/* 3.2.1.10.in-addr.arpa, and 32 digits under ip6.arpa. */
static bool reverse_address(const struct str *labels, size_t count, struct address *ret)
{
	if (count == 6 && str_eq(labels[4], "in-addr") && str_eq(labels[5], "arpa")) {
		ret->size = 4;
		for (size_t i = 0; i < 4; i++) {
			uint64_t n;
			if (labels[i].size > 3 || parse_u64(labels[i], &n) < 0 || n > 255)
				return false;
			ret->bytes[3 - i] = (uint8_t)n;
		}
		return true;
	}
	if (count == 34 && str_eq(labels[32], "ip6") && str_eq(labels[ADDRESS_KEY_ROOM], "arpa")) {
		static const char digits[] = "0123456789abcdef";
		*ret = (struct address){.size = 16};
		for (size_t i = 0; i < 32; i++) {
			const char *d = labels[i].size == 1 ? strchr(digits, labels[i].p[0]) : NULL;
			if (!d || !*d)
				return false;
			ret->bytes[15 - i / 2] |= (uint8_t)((d - digits) << (i % 2 ? 4 : 0));
		}
		return true;
	}
	return false;
}

static enum dns_verdict find_reverse(struct query *q, const struct address *address)
{
	char key[ADDRESS_KEY_ROOM], room[ADDRESS_LABEL_ROOM];
	const struct holders *list;

	address_key(address, key);
	list = table_get(&q->z->by_address, key);
	if (!list)
		return DNS_OUTSIDE;
	for (size_t i = 0; q->type == DNS_TYPE_PTR && i < list->items.count; i++) {
		const struct holder *h = &list->items.items[i];
		const char *of_service[] = {h->service->name, h->service->ns, "svc", NULL};
		const char *of_endpoint[] = {h->endpoint ? endpoint_label(h->endpoint, room) : NULL,
			h->service->name, h->service->ns, "svc", NULL};
		size_t size = 0;
		if (!h->service->known)
			continue;
		uint8_t *name =
			name_make(q->a, q->z, h->endpoint ? of_endpoint : of_service, &size);
		if (name)
			answer(q, DNS_TYPE_PTR, name, size);
	}
	return verdict(q);
}

enum dns_verdict dns_zone_find(const struct dns_zone *z, struct arena *a, const uint8_t *name,
	uint16_t type, struct dns_found *ret)
{
	struct query q = {.z = z, .a = a, .type = type, .ret = ret};
	struct str labels[LABELS_MAX], domain[LABELS_MAX];
	size_t count = split_labels(name, labels), zone = split_labels(z->domain, domain);
	struct address address;

	*ret = (struct dns_found){0};
	if (reverse_address(labels, count, &address))
		return find_reverse(&q, &address);
	size_t size = name_size(name);
	if (count < zone || size < z->domain_size ||
		memcmp(name + size - z->domain_size, z->domain, z->domain_size) != 0)
		return DNS_OUTSIDE;
	/* The bytes may agree without being the same labels. */
	for (size_t i = 0; i < zone; i++) {
		struct str l = labels[count - zone + i];
		if (l.size != domain[i].size || memcmp(l.p, domain[i].p, l.size) != 0)
			return DNS_OUTSIDE;
	}
	if (count == zone) {
		if (type == DNS_TYPE_SOA)
			answer(&q, DNS_TYPE_SOA, z->soa, z->soa_size);
		if (type == DNS_TYPE_NS)
			answer(&q, DNS_TYPE_NS, z->name_server, name_size(z->name_server));
		return verdict(&q);
	}
	return find_below(&q, labels, count - zone, 0);
}
