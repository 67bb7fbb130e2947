/* mac_pool.h - which machine of the cluster has which MAC address. Part of the API server.
 *
 * An owner is a machine, "NAMESPACE/NAME": its VirtualMachine and its VirtualMachineInstance hold
 * the same addresses, each for itself, and an address is free when neither is left. What is held
 * follows from the objects that are stored; addresses that a request takes are held until its
 * outcome is known (struct mac_claim). */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/object/machine_mac.h"

#define MAC_POOL_RANGE "02:00:00:00:00:00-02:ff:ff:ff:ff:ff"

struct mac_range {
	uint64_t first, last; /* as of machine_mac_parse */
};
/* "02:00:00:00:00:00-02:00:00:ff:ff:ff"; -EINVAL. */
int mac_range_parse(const char *text, struct mac_range *ret) _must_check_;

struct mac_pool;
struct mac_pool *mac_pool_create(const struct mac_range *range);
void mac_pool_destroy(struct mac_pool *p); /* NULL allowed */
/* Somebody else who holds it; NULL. */
const char *mac_pool_other(const struct mac_pool *p, uint64_t mac, const char *owner);
/* Counted: each hold wants its release. */
void mac_pool_hold(struct mac_pool *p, uint64_t mac, const char *owner);
void mac_pool_release(struct mac_pool *p, uint64_t mac, const char *owner);
/* One out of the range that nobody else holds; for the same machine and interface the same while it
 * is free. -ENOSPC. */
int mac_pool_choose(
	const struct mac_pool *p, const char *owner, size_t index, uint64_t *ret) _must_check_;

/* What a request took (released when it fails) or gives up (released when it succeeds). */
struct mac_claim {
	struct mac_claim *next;
	struct mac_pool *pool;
	const char *owner; /* in the request's arena */
	uint64_t mac;
	bool give;
};
/* Takes it at once, unless it is to be given up. */
void mac_claim_add(struct arena *a, struct mac_claim **list, struct mac_pool *p, uint64_t mac,
	const char *owner, bool give);
void mac_claims_settle(struct mac_claim **list, bool committed);
