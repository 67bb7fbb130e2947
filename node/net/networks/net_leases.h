/* net_leases.h - who has which address of a network: a file an address, named for it, that holds
 * the guest's key. An address stays with its key when the guest stops; only when the range has no
 * other is that of the key that was away for longest given to somebody else.
 *
 * The files are the only record: nothing to get out of step after a crash. */
#pragma once

#include "node/net/networks/net_config.h"

struct net_leases_user {
	bool (*in_use)(void *user, const char *key); /* its guest is here now */
	void *user;
};
/* `directory` exists. The fixed address of the MAC address, else the one that `key` has, else a
 * free one, noted from now on. -ENOSPC when every address is in use. */
int net_leases_choose(const char *directory, const struct net_config *c, const char *key,
	const uint8_t mac[6], const struct net_leases_user *u, struct net_address *ret,
	struct err *err) _must_check_;
/* The key is away from now on. */
void net_leases_touch(const char *directory, const struct net_address *address);
