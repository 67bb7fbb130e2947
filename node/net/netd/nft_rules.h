/* nft_rules.h - the rules of our tables that nft(8) 1.0.6 can't be given: it has no type for a
 * chosen number in the key of a map, except by words that it does not understand when it reads them
 * back, and it writes over a part of an IPv6 key when it remembers a client. All else is text
 * (netd_ruleset_write). */
#pragma once

#include "node/net/netd/nft_batch.h"

/* The rules of the chains pick-N and sticky-anew-N in the table of a family, whatever there was, in
 * one transaction. They are the same always. */
int nft_pick_rules(struct nft_socket *s, uint32_t family, struct err *err) _must_check_;
/* A chain `remember-SECONDS` with the one rule that keeps a client's slot for so long, whatever
 * there was. */
int nft_remember_rule(
	struct nft_socket *s, uint32_t family, uint32_t seconds, struct err *err) _must_check_;
