/* service_families.h - IPv4 and IPv6 of services: which families a service has, and its addresses
 * of the second range (--service-cidr A,B). */
#pragma once

#include "server/api/hooks/service_rules.h"

#define SERVICE_IPS6_MAX_BITS 20 /* of a range: 2^20 addresses */

/* Policy and families by what was asked for: Kubernetes' rules. */
void service_families_default(struct hook *h, struct json *doc, const struct json *old);
void service_families_validate(struct hook *h, const struct json *doc);
/* The second address: taken for those that shall have one and have none, given back by those that
 * had one. For services of IPv6 alone it is the only one. */
int service_families_allocate(struct hook *h, struct json *doc, const struct json *old);
void service_families_occupy(struct api *api, const struct json *doc, bool taken);
/* The position of an address in clusterIPs, -1 = there is none of that family. */
int service_families_find(const struct json *doc, int family);
/* Whether the service wants an address of this family (4, 6). */
bool service_families_wants(const struct json *doc, int family);
