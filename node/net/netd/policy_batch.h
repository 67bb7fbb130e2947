/* policy_batch.h - operations of network policies to nf_tables, by netlink alone: the table that
 * takes an older one's place is there in the same transaction, so that there is no moment without
 * rules. */
#pragma once

#include "node/net/netd/nft_batch.h"
#include "node/net/policy/policy_ops.h"

/* What the kernel has of ours. */
struct policy_tables {
	bool there;  /* the tables were made */
	bool bridge; /* that of family bridge too */
	uint32_t sets, chains;
	uint64_t elements; /* at most: those of a set that goes stay counted until a reset */
};

/* One transaction: all of the ops or none. -EINVAL for ops that are wrong, -E2BIG when there are
 * more sets or chains than netd gives out; else what the kernel says. `bridge_name`: multicast
 * between ports of this bridge is what NETD_POLICY_GROUP is about. */
int policy_apply(struct nft_socket *s, struct policy_tables *t, const char *bridge_name,
	const struct netd_policy_op *ops, size_t count, struct err *err) _must_check_;
/* 1 = the tables that should be there are; 0 = not all, or negative. */
int policy_tables_exist(
	struct nft_socket *s, const struct policy_tables *t, struct err *err) _must_check_;
