/* dns_zone.c - see dns_zone.h. */
#include "node/dns/dns_zone.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

enum { LABEL_MAX = 63, NAME_MAX_BYTES = 255, LABELS_MAX = 128, KEY_ROOM = 160 };
enum { ALIAS_HOPS_MAX = 8 };

struct address {
	uint8_t size; /* 4 or 16 */
	uint8_t bytes[16];
};

struct port {
	char *name; /* "" when it has none */
	char proto[5];
	uint16_t number;
};

struct endpoint {
	struct address address;
	char *hostname; /* NULL: by address */
	bool ready;
};

struct slice {
	char *name;
	VEC(struct endpoint) endpoints;
	VEC(struct port) ports;
};

struct service {
	char *ns, *name;
	bool known; /* the Service is there, not only slices of it */
	bool headless;
	uint8_t *external; /* ExternalName as a domain name; NULL = none */
	VEC(struct address) addresses;
	VEC(struct port) ports;
	VEC(struct slice *) slices;
};

struct namespace
{
	bool there;
	size_t services;
};

/* Who has an address: services by cluster address, endpoints. */
struct holder {
	const struct service *service;
	const struct endpoint *endpoint; /* NULL: the service itself */
};
struct holders {
	VEC(struct holder) items;
};

struct dns_zone {
	uint8_t domain[NAME_MAX_BYTES + 1];
	size_t domain_size; /* with the root label */
	uint8_t soa[2 * (NAME_MAX_BYTES + 1) + 20];
	uint16_t soa_size;
	uint8_t name_server[NAME_MAX_BYTES + 1];
	struct table services;	 /* "ns/name" */
	struct table slice_keys; /* "ns/slice" -> key of its service (char *) */
	struct table namespaces;
	struct table by_address; /* hexadecimal digits -> struct holders */
	size_t known_count;
	VEC(struct address) self;
};

/* ---- domain names ---- */

/* Appends a label; false when it does not fit. The root label is not part of *size. */
static bool label_add(uint8_t *name, size_t *size, const char *p, size_t length)
{
	if (length == 0 || length > LABEL_MAX || *size + length + 2 > NAME_MAX_BYTES)
		return false;
	name[(*size)++] = (uint8_t)length;
	for (size_t i = 0; i < length; i++)
		name[(*size)++] = (uint8_t)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]);
	return true;
}

/* "a.b.c" or "a.b.c." -> wire form with the root label; 0 when it is none. */
static size_t name_from_text(const char *text, uint8_t ret[NAME_MAX_BYTES + 1])
{
	struct str rest = str_from(text), part;
	size_t size = 0;

	if (rest.size && rest.p[rest.size - 1] == '.')
		rest.size--;
	if (!rest.size)
		return 0;
	while (str_split(&rest, '.', &part))
		if (!label_add(ret, &size, part.p, part.size))
			return 0;
	ret[size++] = 0;
	return size;
}

static size_t name_size(const uint8_t *name)
{
	size_t n = 0;

	while (name[n])
		n += name[n] + 1u;
	return n + 1;
}

/* Labels (the last NULL) and the domain; NULL when it becomes too long. */
static uint8_t *name_make(
	struct arena *a, const struct dns_zone *z, const char *const *labels, size_t *ret_size)
{
	uint8_t room[NAME_MAX_BYTES + 1];
	size_t size = 0;

	for (size_t i = 0; labels[i]; i++)
		if (!label_add(room, &size, labels[i], strlen(labels[i])))
			return NULL;
	if (size + z->domain_size > NAME_MAX_BYTES)
		return NULL;
	memcpy(room + size, z->domain, z->domain_size);
	size += z->domain_size;
	if (ret_size)
		*ret_size = size;
	return (uint8_t *)arena_memdup(a, room, size);
}

static size_t split_labels(const uint8_t *name, struct str ret[LABELS_MAX])
{
	size_t n = 0;

	for (; *name && n < LABELS_MAX; name += *name + 1)
		ret[n++] = (struct str){(const char *)name + 1, *name};
	return n;
}

/* What a name of an object may look like; keeps '/' and NUL out of our keys. */
static bool plain_label(struct str s)
{
	for (size_t i = 0; i < s.size; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.size > 0;
}

/* ---- addresses ---- */

static bool address_parse(const char *text, struct address *ret)
{
	if (inet_pton(AF_INET, text, ret->bytes) == 1)
		ret->size = 4;
	else if (inet_pton(AF_INET6, text, ret->bytes) == 1)
		ret->size = 16;
	else
		return false;
	return true;
}

static void address_key(const struct address *a, char ret[33])
{
	for (size_t i = 0; i < a->size; i++)
		snprintf(ret + 2 * i, 3, "%02x", a->bytes[i]);
}

/* 10.1.2.3 -> 10-1-2-3, fd00::1 -> fd00--1. */
static void address_label(const struct address *a, char ret[INET6_ADDRSTRLEN + 4])
{
	inet_ntop(a->size == 4 ? AF_INET : AF_INET6, a->bytes, ret, INET6_ADDRSTRLEN);
	for (char *p = ret; *p; p++)
		if (*p == '.' || *p == ':')
			*p = '-';
}

static bool address_from_label(struct str label, struct address *ret)
{
	char text[INET6_ADDRSTRLEN];

	if (label.size >= sizeof(text))
		return false;
	for (int v6 = 0; v6 < 2; v6++) {
		memcpy(text, label.p, label.size);
		text[label.size] = '\0';
		for (size_t i = 0; i < label.size; i++)
			if (text[i] == '-')
				text[i] = v6 ? ':' : '.';
		if (address_parse(text, ret))
			return ret->size == (v6 ? 16 : 4);
	}
	return false;
}

static const char *endpoint_label(const struct endpoint *e, char room[INET6_ADDRSTRLEN + 4])
{
	if (e->hostname)
		return e->hostname;
	address_label(&e->address, room);
	return room;
}

/* ---- what is known ---- */

static void hold(struct dns_zone *z, const struct address *a, struct holder h)
{
	char key[33];
	struct holders *list;

	address_key(a, key);
	list = table_get(&z->by_address, key);
	if (!list) {
		list = xcalloc(1, sizeof(*list));
		table_set(&z->by_address, key, list);
	}
	VEC_PUSH(&list->items, h);
}

static void unhold(struct dns_zone *z, const struct address *a, struct holder h)
{
	char key[33];
	struct holders *list;

	address_key(a, key);
	list = table_get(&z->by_address, key);
	for (size_t i = 0; list && i < list->items.count; i++) {
		if (list->items.items[i].service != h.service ||
			list->items.items[i].endpoint != h.endpoint)
			continue;
		VEC_REMOVE(&list->items, i);
		break;
	}
	if (list && !list->items.count) {
		table_remove(&z->by_address, key);
		VEC_FINISH(&list->items);
		free(list);
	}
}

static struct namespace *namespace_of(struct dns_zone *z, const char *name)
{
	struct namespace *n = table_get(&z->namespaces, name);

	if (!n) {
		n = xcalloc(1, sizeof(*n));
		table_set(&z->namespaces, name, n);
	}
	return n;
}

static void namespace_release(struct dns_zone *z, const char *name)
{
	struct namespace *n = table_get(&z->namespaces, name);

	if (n && !n->there && !n->services) {
		table_remove(&z->namespaces, name);
		free(n);
	}
}

void dns_zone_set_namespace(struct dns_zone *z, const char *name, bool there)
{
	namespace_of(z, name)->there = there;
	namespace_release(z, name);
}

static void key_of(const char *ns, const char *name, char ret[KEY_ROOM])
{
	snprintf(ret, KEY_ROOM, "%.63s/%.63s", ns, name);
}

static struct service *service_of(struct dns_zone *z, const char *ns, const char *name)
{
	char key[KEY_ROOM];
	struct service *s;

	key_of(ns, name, key);
	s = table_get(&z->services, key);
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->ns = xstrdup(ns);
		s->name = xstrdup(name);
		table_set(&z->services, key, s);
		namespace_of(z, ns)->services++;
	}
	return s;
}

static void ports_clear(struct port *ports, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(ports[i].name);
}

static void service_clear(struct dns_zone *z, struct service *s)
{
	for (size_t i = 0; i < s->addresses.count; i++)
		unhold(z, &s->addresses.items[i], (struct holder){s, NULL});
	s->addresses.count = 0;
	ports_clear(s->ports.items, s->ports.count);
	s->ports.count = 0;
	free(s->external);
	s->external = NULL;
	s->headless = false;
	z->known_count -= s->known;
	s->known = false;
}

/* Forgets a service that nothing is known of any more. */
static void service_release(struct dns_zone *z, struct service *s)
{
	char key[KEY_ROOM];

	if (s->known || s->slices.count)
		return;
	key_of(s->ns, s->name, key);
	table_remove(&z->services, key);
	namespace_of(z, s->ns)->services--;
	namespace_release(z, s->ns);
	VEC_FINISH(&s->addresses);
	VEC_FINISH(&s->ports);
	VEC_FINISH(&s->slices);
	free(s->ns);
	free(s->name);
	free(s);
}

static struct port port_read(const struct json *p)
{
	struct port port = {.name = xstrdup(json_str_or(json_get(p, "name"), ""))};
	const char *proto = json_str_or(json_get(p, "protocol"), "TCP");
	int64_t number = json_int_or(json_get(p, "port"), 0);

	for (size_t i = 0; i < sizeof(port.proto) - 1 && proto[i]; i++)
		port.proto[i] = (char)(proto[i] | 0x20);
	port.number = number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
	return port;
}

void dns_zone_set_service(
	struct dns_zone *z, const char *ns, const char *name, const struct json *doc)
{
	struct service *s = service_of(z, ns, name);
	const struct json *spec = json_get(doc, "spec");
	const char *ip = json_str_or(json_get(spec, "clusterIP"), "");
	uint8_t target[NAME_MAX_BYTES + 1];
	struct address address;
	size_t size;

	service_clear(z, s);
	if (!doc) {
		service_release(z, s);
		return;
	}
	s->known = true;
	z->known_count++;
	if (streq(json_str(json_get(spec, "type")), "ExternalName")) {
		size = name_from_text(json_str_or(json_get(spec, "externalName"), ""), target);
		if (size) {
			s->external = xmalloc(size);
			memcpy(s->external, target, size);
		}
		return;
	}
	s->headless = streq(ip, "None");
	const struct json *ips = json_get(spec, "clusterIPs");
	if (json_count(ips) > 0) {
		JSON_FOR_EACH_ITEM(item, ips)
			if (address_parse(json_str_or(item, ""), &address))
				VEC_PUSH(&s->addresses, address);
	} else if (address_parse(ip, &address)) {
		VEC_PUSH(&s->addresses, address);
	}
	JSON_FOR_EACH_ITEM(p, json_get(spec, "ports"))
		VEC_PUSH(&s->ports, port_read(p));
	for (size_t i = 0; i < s->addresses.count; i++)
		hold(z, &s->addresses.items[i], (struct holder){s, NULL});
}

static void slice_free(struct slice *l)
{
	for (size_t i = 0; i < l->endpoints.count; i++)
		free(l->endpoints.items[i].hostname);
	ports_clear(l->ports.items, l->ports.count);
	VEC_FINISH(&l->endpoints);
	VEC_FINISH(&l->ports);
	free(l->name);
	free(l);
}

static void slice_remove(struct dns_zone *z, const char *ns, const char *name)
{
	char key[2 * KEY_ROOM + 256];
	char *service;

	snprintf(key, sizeof(key), "%s/%s", ns, name);
	service = table_remove(&z->slice_keys, key);
	if (!service)
		return;
	struct service *s = service_of(z, ns, service);
	free(service);
	for (size_t i = 0; i < s->slices.count; i++) {
		struct slice *l = s->slices.items[i];
		if (!streq(l->name, name))
			continue;
		for (size_t k = 0; k < l->endpoints.count; k++)
			unhold(z, &l->endpoints.items[k].address,
				(struct holder){s, &l->endpoints.items[k]});
		VEC_REMOVE(&s->slices, i);
		slice_free(l);
		break;
	}
	service_release(z, s);
}

void dns_zone_set_slice(struct dns_zone *z, const char *ns, const char *name, const char *service,
	const struct json *doc)
{
	char key[2 * KEY_ROOM + 256];

	slice_remove(z, ns, name);
	if (!doc || !service || !*service)
		return;
	struct service *s = service_of(z, ns, service);
	struct slice *l = xcalloc(1, sizeof(*l));
	l->name = xstrdup(name);
	JSON_FOR_EACH_ITEM(p, json_get(doc, "ports"))
		VEC_PUSH(&l->ports, port_read(p));
	JSON_FOR_EACH_ITEM(item, json_get(doc, "endpoints")) {
		const char *hostname = json_str(json_get(item, "hostname"));
		bool ready = json_bool_or(json_path(item, "conditions.ready"), true);
		/* Consumers of slices use the first address only. */
		struct endpoint e = {.ready = ready};
		JSON_FOR_EACH_ITEM(text, json_get(item, "addresses")) {
			if (!address_parse(json_str_or(text, ""), &e.address))
				continue;
			e.hostname = hostname && *hostname ? xstrdup(hostname) : NULL;
			VEC_PUSH(&l->endpoints, e);
			break;
		}
	}
	VEC_PUSH(&s->slices, l);
	for (size_t i = 0; i < l->endpoints.count; i++)
		hold(z, &l->endpoints.items[i].address, (struct holder){s, &l->endpoints.items[i]});
	snprintf(key, sizeof(key), "%s/%s", ns, name);
	table_set(&z->slice_keys, key, xstrdup(service));
}

void dns_zone_set_self(struct dns_zone *z, const char *const *addresses, size_t count)
{
	struct address address;

	z->self.count = 0;
	for (size_t i = 0; i < count; i++)
		if (address_parse(addresses[i], &address))
			VEC_PUSH(&z->self, address);
}

/* ---- answers ---- */

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
	char room[INET6_ADDRSTRLEN + 4];
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
	char room[INET6_ADDRSTRLEN + 4];

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
	if (count == 34 && str_eq(labels[32], "ip6") && str_eq(labels[33], "arpa")) {
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
	char key[33], room[INET6_ADDRSTRLEN + 4];
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
	if (count < zone || memcmp(name + size - z->domain_size, z->domain, z->domain_size) != 0)
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

struct dns_record dns_zone_soa(const struct dns_zone *z)
{
	return (struct dns_record){z->domain, DNS_TYPE_SOA, z->soa_size, z->soa};
}

size_t dns_zone_service_count(const struct dns_zone *z)
{
	return z->known_count;
}

static void make_soa(struct dns_zone *z)
{
	static const uint32_t numbers[5] = {1, 7200, 1800, 86400, DNS_TTL_S};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *server[] = {"ns", "dns", NULL}, *mailbox[] = {"hostmaster", NULL};
	size_t first = 0, second = 0;
	uint8_t *ns = name_make(&a, z, server, &first), *mail = name_make(&a, z, mailbox, &second);

	memcpy(z->name_server, ns, first);
	memcpy(z->soa, ns, first);
	memcpy(z->soa + first, mail, second);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uint32_t n = htonl(numbers[i]);
		memcpy(z->soa + first + second + 4 * i, &n, sizeof(n));
	}
	z->soa_size = (uint16_t)(first + second + sizeof(numbers));
}

struct dns_zone *dns_zone_create(const char *domain)
{
	enum { LONGEST_PREFIX = 64 }; /* room for names of ours below it */
	struct dns_zone *z = xcalloc(1, sizeof(*z));

	z->domain_size = name_from_text(domain, z->domain);
	if (!z->domain_size || z->domain_size > NAME_MAX_BYTES - LONGEST_PREFIX) {
		free(z);
		return NULL;
	}
	make_soa(z);
	return z;
}

void dns_zone_destroy(struct dns_zone *z)
{
	if (!z)
		return;
	for (struct table_iter i = table_iterate(&z->services); table_next(&i);) {
		struct service *s = i.value;
		for (size_t k = 0; k < s->slices.count; k++)
			slice_free(s->slices.items[k]);
		ports_clear(s->ports.items, s->ports.count);
		VEC_FINISH(&s->slices);
		VEC_FINISH(&s->ports);
		VEC_FINISH(&s->addresses);
		free(s->external);
		free(s->ns);
		free(s->name);
		free(s);
	}
	for (struct table_iter i = table_iterate(&z->slice_keys); table_next(&i);)
		free(i.value);
	for (struct table_iter i = table_iterate(&z->namespaces); table_next(&i);)
		free(i.value);
	for (struct table_iter i = table_iterate(&z->by_address); table_next(&i);) {
		struct holders *list = i.value;
		VEC_FINISH(&list->items);
		free(list);
	}
	table_finish(&z->services);
	table_finish(&z->slice_keys);
	table_finish(&z->namespaces);
	table_finish(&z->by_address);
	VEC_FINISH(&z->self);
	free(z);
}
