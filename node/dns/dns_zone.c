/* dns_zone.c - what is known of services: see dns_zone.h. */
#include <stdio.h>

#include "node/dns/dns_zone_data.h"

enum { KEY_ROOM = 160 };

static void hold(struct dns_zone *z, const struct address *a, struct holder h)
{
	char key[ADDRESS_KEY_ROOM];
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
	char key[ADDRESS_KEY_ROOM];
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
