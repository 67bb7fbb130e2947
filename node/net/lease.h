/* lease.h - addresses for VMs out of the same store that CNI's host-local plugin keeps for pods.
 * The store (one file an address, named for it, holding the owner's id) is the only record: nothing
 * to get out of step after a crash. Pure reading here; changes are made by running the plugin. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define CNI_NETWORK "hanok"
#define CNI_STORE "/var/lib/cni/networks/" CNI_NETWORK

/* The address that `id` has in the store (16 bytes of room); -ENOENT. */
int lease_find(const char *store, const char *id, char ret[16]) _must_check_;
/* A machine that is stopped keeps its address: its holder becomes the machine's name (`domain`,
 * NAMESPACE_NAME) in place of the instance's `id`, and the other way round when it starts. -ENOENT
 * when the one has none, -EEXIST when the other has one already. */
int lease_keep(const char *store, const char *id, const char *domain) _must_check_;
int lease_kept_take(
	const char *store, const char *domain, const char *id, char ret[16]) _must_check_;
void lease_kept_drop(const char *store, const char *domain);
struct lease_kept_list {
	char **items; /* domains */
	size_t count, room;
};
void lease_kept_list_read(const char *store, struct lease_kept_list *ret);
void lease_kept_list_finish(struct lease_kept_list *l);
/* Network configuration for the bridge plugin (a conflist file; range6 "" = IPv4 alone) and for
 * host-local alone (its standard input). Host ports are not CNI's: see host_ports.h. */
void lease_write_conflist(
	struct buf *out, const char *bridge, const char *range, const char *range6);
/* For the bridge plugin alone. */
void lease_write_bridge(struct buf *out, const char *bridge, const char *range, const char *range6);
void lease_write_ipam(struct buf *out, const char *range);
/* Directory of the CNI plugin `name`, or NULL; `ret` is room for its path. */
const char *lease_plugin(const char *name, char *ret, size_t room);
/* Address in the plugin's answer. */
int lease_read_answer(const char *text, size_t size, char ret[16], struct err *err) _must_check_;
