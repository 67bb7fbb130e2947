/* dns_zone.h - the cluster's names: what Services and EndpointSlices say, as DNS records.
 *
 * Pure: no sockets, no API. Names follow the Kubernetes DNS specification 1.1.0 and, where it is
 * silent, CoreDNS's habits:
 *
 *   SVC.NS.svc.DOMAIN                   A, AAAA: cluster addresses, or ready endpoints (headless);
 *                                       CNAME (ExternalName)
 *   HOST.SVC.NS.svc.DOMAIN              an endpoint by its hostname, else by its address (10-1-2-3)
 *   _PORT._PROTO.SVC.NS.svc.DOMAIN      SRV
 *   A-B-C-D.NS.pod.DOMAIN               that address, if the namespace is there
 *   dns-version.DOMAIN                  TXT
 *   reverse names                       PTR of cluster addresses and endpoints
 *
 * Names are domain names in wire form, lower case, uncompressed. */
#pragma once

#include "lib/base/arena.h"
#include "lib/json/json.h"

#define DNS_TTL_S 5 /* of our own records, also of negative answers */

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_SRV = 33,
};

enum dns_verdict {
	DNS_OUTSIDE,	/* not a name of this zone */
	DNS_NAME_ERROR, /* there is no such name */
	DNS_NO_DATA,	/* the name is there, but nothing of this type */
	DNS_FOUND,
};

struct dns_record {
	const uint8_t *owner; /* NULL = the name that was asked for */
	uint16_t type, size;
	const uint8_t *data; /* as in the packet, names uncompressed */
};

/* In the arena of the query. alias: an ExternalName leads there, and the record's CNAME is in
 * `answers`; the target itself is for the caller to look up. */
struct dns_found {
	struct dns_record *answers, *extra;
	size_t answer_count, extra_count;
	const uint8_t *alias;
};

struct dns_zone;
/* domain "cluster.local"; NULL when it is no domain name. */
struct dns_zone *dns_zone_create(const char *domain);
void dns_zone_destroy(struct dns_zone *z); /* NULL allowed */

/* Documents as the API has them; doc NULL = gone. Slices that name no service are ignored. */
void dns_zone_set_service(
	struct dns_zone *z, const char *ns, const char *name, const struct json *doc);
void dns_zone_set_slice(struct dns_zone *z, const char *ns, const char *name, const char *service,
	const struct json *doc);
void dns_zone_set_namespace(struct dns_zone *z, const char *name, bool there);
/* Addresses of this server itself: ns.dns.DOMAIN. */
void dns_zone_set_self(struct dns_zone *z, const char *const *addresses, size_t count);

enum dns_verdict dns_zone_find(const struct dns_zone *z, struct arena *a, const uint8_t *name,
	uint16_t type, struct dns_found *ret);
/* Owner and data of the SOA record that goes with negative answers. */
struct dns_record dns_zone_soa(const struct dns_zone *z);
size_t dns_zone_service_count(const struct dns_zone *z);
