/* dns_zone_data.h - what dns_zone.c keeps and dns_find.c looks through, and the names and addresses
 * that both of them make. */
#pragma once

#include <arpa/inet.h>

#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "node/dns/dns_zone.h"

enum { LABEL_MAX = 63, NAME_MAX_BYTES = 255, LABELS_MAX = 128, ADDRESS_KEY_ROOM = 33 };
enum { ADDRESS_LABEL_ROOM = INET6_ADDRSTRLEN + 4 };

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

/* "a.b.c" or "a.b.c." -> wire form with the root label; 0 when it is none. */
size_t name_from_text(const char *text, uint8_t ret[NAME_MAX_BYTES + 1]);
size_t name_size(const uint8_t *name);
/* Labels (the last NULL) and the domain; NULL when it becomes too long. */
uint8_t *name_make(
	struct arena *a, const struct dns_zone *z, const char *const *labels, size_t *ret_size);
size_t split_labels(const uint8_t *name, struct str ret[LABELS_MAX]);
/* What a name of an object may look like; keeps '/' and NUL out of our keys. */
bool plain_label(struct str s);
bool address_parse(const char *text, struct address *ret);
void address_key(const struct address *a, char ret[ADDRESS_KEY_ROOM]);
bool address_from_label(struct str label, struct address *ret);
const char *endpoint_label(const struct endpoint *e, char room[ADDRESS_LABEL_ROOM]);
