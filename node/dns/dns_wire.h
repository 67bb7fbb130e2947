/* dns_wire.h - DNS packets, by libknot: what clients ask, what they get, what goes to other
 * resolvers. The only file that knows the library.
 *
 * Packets come from anybody: every function takes them as they are. Memory of a packet is the
 * arena's. */
#pragma once

#include "node/dns/dns_zone.h"

#define DNS_UDP_MAX_BYTES 1232 /* what crosses every network in one piece */
#define DNS_PACKET_MAX_BYTES 65535
#define DNS_HEADER_BYTES 12

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16,
};

struct dns_query {
	const uint8_t *name; /* lower case, uncompressed */
	uint16_t type;
	bool edns, dnssec, checking_disabled;
	uint16_t room;	       /* what an answer by UDP may have */
	enum dns_rcode refuse; /* not DNS_NOERROR: answer that, nothing else of this is valid */
	void *packet;
};

/* -EBADMSG: not worth an answer (no question, or itself an answer). */
int dns_query_parse(
	struct arena *a, const void *wire, size_t size, struct dns_query *ret) _must_check_;

/* Each writes the answer to `out` of `room` bytes and returns its size; 0 = impossible. What does
 * not fit is left out and said so (TC). */
size_t dns_reply_refused(struct arena *a, const struct dns_query *q, enum dns_rcode rcode,
	uint8_t *out, size_t room);
/* start: where a rotation of the answers begins. */
size_t dns_reply_found(struct arena *a, const struct dns_query *q, enum dns_verdict verdict,
	const struct dns_found *found, struct dns_record soa, unsigned start, uint8_t *out,
	size_t room);
/* With what another resolver answered (a packet that dns_answer_check took), `age_s` seconds ago.
 * found: answers that come first (an alias), NULL = none. */
size_t dns_reply_forwarded(struct arena *a, const struct dns_query *q,
	const struct dns_found *found, const void *answer, size_t answer_size, uint32_t age_s,
	uint8_t *out, size_t room);

/* A question to another resolver. */
size_t dns_question_make(struct arena *a, const uint8_t *name, uint16_t type, uint16_t id,
	bool dnssec, bool checking_disabled, uint8_t *out, size_t room);
struct dns_answer_info {
	bool truncated;
	enum dns_rcode rcode;
	uint32_t ttl_s; /* how long it may be kept */
};
/* -EBADMSG: not an answer to this question. */
int dns_answer_check(struct arena *a, const uint8_t *name, uint16_t type, uint16_t id,
	const void *wire, size_t size, struct dns_answer_info *ret) _must_check_;

/* "web.default.svc.cluster.local." for logs and keys; in the arena. */
const char *dns_name_text(struct arena *a, const uint8_t *name);
