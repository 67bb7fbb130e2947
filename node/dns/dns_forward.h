/* dns_forward.h - names that are not the cluster's: asked of the host's own resolvers
 * (resolv.conf), and remembered. One question at a time for each name and type, whoever asks;
 * answers are taken only from the resolver that was asked, by the port and number of the question.
 *
 * Bounds: 1,000 questions under way, 10,000 answers and 16 MiB remembered. */
#pragma once

#include <uv.h>

#include "lib/base/clock.h"
#include "node/dns/dns_wire.h"

struct dns_forward;
struct dns_forward *dns_forward_create(uv_loop_t *loop, struct clock *clock);
/* Ends questions under way silently. */
void dns_forward_destroy(struct dns_forward *f);

/* The resolvers to ask, in their order, "ADDRESS" or "ADDRESS:PORT" / "[ADDRESS]:PORT"; at most 8.
 * Those that are not addresses are left out. */
void dns_forward_set_resolvers(struct dns_forward *f, const char *const *addresses, size_t count);

struct dns_forward_answer {
	const void *wire; /* NULL: no resolver answered */
	size_t size;
	uint32_t age_s;
};
/* done is called once: inside the call when the answer is remembered (then NULL is returned), else
 * later. It may not ask again itself. */
typedef void dns_forward_done(void *user, const struct dns_forward_answer *answer);
struct dns_wait;
struct dns_wait *dns_forward_ask(struct dns_forward *f, const uint8_t *name, uint16_t type,
	bool dnssec, bool checking_disabled, dns_forward_done *done, void *user);
void dns_forward_cancel(struct dns_wait *w); /* done is not called */

struct dns_forward_figures {
	uint64_t hits, misses, failures;
	size_t entries, bytes, under_way;
};
struct dns_forward_figures dns_forward_figures(const struct dns_forward *f);

/* Addresses after "nameserver" in a resolv.conf; zones (%eth0) kept; in the arena. */
size_t dns_resolv_conf_read(
	struct arena *a, const char *text, size_t size, const char *const **ret);
