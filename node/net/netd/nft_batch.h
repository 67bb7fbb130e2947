/* nft_batch.h - elements of nftables maps by netlink: the short way for what changes often. A
 * transaction of a few elements costs some tens of microseconds, where starting nft(8) costs
 * milliseconds; and no text is made that could mean more than it should.
 *
 * (The table itself is made by nft(8) from netd_ruleset_write: it changes rarely and reads well.)
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "node/net/netd/netd_proto.h"

struct nft_socket;
int nft_socket_open(struct nft_socket **ret, struct err *err) _must_check_;
void nft_socket_close(struct nft_socket *s);

/* Tables there are: bits of nft_apply. */
#define NFT_TABLE_IP4 1u
#define NFT_TABLE_IP6 2u

/* One atomic transaction: all of the ops or none. -ENOENT when a table or a map is gone, or an
 * element to be removed is not there; -EEXIST when an element is there with another value. A flush
 * is done in `tables`. */
int nft_apply(struct nft_socket *s, const struct netd_op *ops, size_t count, unsigned tables,
	struct err *err) _must_check_;
/* 1 = the table is there, 0 = it is not, or negative. */
int nft_table_exists(
	struct nft_socket *s, uint8_t family, const char *name, struct err *err) _must_check_;

/* For other transactions: messages (NFT_MSG_*) between begin, which returns the first sequence
 * number, and commit. Attributes are put with libmnl; up to 64 KiB fit a message. */
struct nlmsghdr;
uint32_t nft_batch_begin(struct nft_socket *s, struct buf *out);
struct nlmsghdr *nft_message(
	struct buf *out, uint16_t type, uint16_t flags, uint8_t family, uint32_t *seq);
void nft_message_end(struct buf *out, const struct nlmsghdr *h);
int nft_batch_commit(
	struct nft_socket *s, struct buf *out, uint32_t seq, struct err *err) _must_check_;
