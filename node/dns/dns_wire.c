/* dns_wire.c - see dns_wire.h. */
#include "node/dns/dns_wire.h"

#include <errno.h>
#include <libknot/libknot.h>

/* One question and its options: a longer one would only be kept for as long as it waits. */
enum { QUERY_MAX_BYTES = 4096 };
enum { OUR_TTL_MAX_S = 3600, NEGATIVE_TTL_MAX_S = 300, FAILURE_TTL_S = 5, SOA_MIN_BYTES = 22 };

static void *mm_alloc_in_arena(void *ctx, size_t size)
{
	return arena_alloc(ctx, MAX(size, (size_t)1));
}

static void mm_free_nothing(void *p)
{
}

static knot_mm_t mm_of(struct arena *a)
{
	return (knot_mm_t){a, mm_alloc_in_arena, mm_free_nothing};
}

/* The library keeps the context's address in the packet. */
static knot_mm_t *mm_new(struct arena *a)
{
	knot_mm_t mm = mm_of(a);

	return (knot_mm_t *)(void *)arena_memdup(a, &mm, sizeof(mm));
}

static knot_pkt_t *parse(struct arena *a, const void *wire, size_t size, int *ret_code)
{
	knot_pkt_t *p;

	/* Parsing may write to it, and what came from a cache is to stay. */
	if (size > DNS_PACKET_MAX_BYTES)
		return NULL;
	p = knot_pkt_new(arena_memdup(a, wire, size), (uint16_t)size, mm_new(a));
	if (p)
		*ret_code = knot_pkt_parse(p, KNOT_PF_NOCANON);
	return p;
}

/* ---- what clients ask ---- */

int dns_query_parse(struct arena *a, const void *wire, size_t size, struct dns_query *ret)
{
	const uint8_t *w = wire;
	knot_pkt_t *p;
	int code = KNOT_EOK;

	*ret = (struct dns_query){.room = KNOT_WIRE_MIN_PKTSIZE};
	if (size < DNS_HEADER_BYTES || size > QUERY_MAX_BYTES || knot_wire_get_qr(w))
		return -EBADMSG;
	p = parse(a, wire, size, &code);
	if (!p)
		return -EBADMSG;
	ret->packet = p;
	if (knot_wire_get_opcode(w) != KNOT_OPCODE_QUERY) {
		ret->refuse = DNS_NOTIMP;
		return 0;
	}
	if ((code != KNOT_EOK && code != KNOT_ETRAIL) || knot_wire_get_qdcount(w) != 1 ||
		p->qname_size == 0) {
		ret->refuse = DNS_FORMERR;
		return 0;
	}
	ret->name = knot_pkt_qname(p);
	ret->type = knot_pkt_qtype(p);
	ret->edns = knot_pkt_has_edns(p);
	ret->checking_disabled = knot_wire_get_cd(w) != 0;
	if (ret->edns) {
		ret->dnssec = knot_pkt_has_dnssec(p);
		ret->room =
			MIN(MAX(knot_edns_get_payload(p->opt_rr), (uint16_t)KNOT_WIRE_MIN_PKTSIZE),
				(uint16_t)DNS_UDP_MAX_BYTES);
		if (knot_edns_get_version(p->opt_rr) != 0) {
			ret->refuse = DNS_BADVERS;
			return 0;
		}
	}
	if (knot_pkt_qclass(p) != KNOT_CLASS_IN)
		ret->refuse = DNS_REFUSED;
	else if (ret->type == KNOT_RRTYPE_ANY || ret->type == KNOT_RRTYPE_AXFR ||
		 ret->type == KNOT_RRTYPE_IXFR)
		ret->refuse = DNS_NOTIMP;
	return 0;
}

/* ---- answers ---- */

struct reply {
	struct arena *a;
	const struct dns_query *q;
	knot_pkt_t *p;
	knot_rrset_t opt;
	bool with_opt;
};

static bool reply_begin(struct reply *r, struct arena *a, const struct dns_query *q, uint8_t *out,
	size_t room, enum dns_rcode rcode)
{
	*r = (struct reply){.a = a, .q = q};
	r->p = knot_pkt_new(out, (uint16_t)MIN(room, (size_t)DNS_PACKET_MAX_BYTES), mm_new(a));
	if (!r->p || knot_pkt_init_response(r->p, q->packet) != KNOT_EOK)
		return false;
	knot_wire_set_ra(out);
	knot_wire_set_rcode(out, (uint8_t)(rcode & 15));
	if (!q->edns)
		return true;
	if (knot_edns_init(&r->opt, DNS_UDP_MAX_BYTES, (uint8_t)(rcode >> 4), 0, mm_new(a)) !=
		KNOT_EOK)
		return false;
	if (q->dnssec)
		knot_edns_set_do(&r->opt);
	r->with_opt = true;
	return knot_pkt_reserve(r->p, (uint16_t)knot_edns_wire_size(&r->opt)) == KNOT_EOK;
}

static size_t reply_end(struct reply *r)
{
	if (r->with_opt) {
		(void)knot_pkt_reclaim(r->p, (uint16_t)knot_edns_wire_size(&r->opt));
		if (knot_pkt_begin(r->p, KNOT_ADDITIONAL) != KNOT_EOK ||
			knot_pkt_put(r->p, KNOT_COMPR_HINT_NONE, &r->opt, KNOT_PF_NOTRUNC) !=
				KNOT_EOK)
			return 0;
	}
	return r->p->size;
}

/* False when it does not fit. */
static bool put(struct reply *r, const struct dns_record *rec, uint32_t ttl, uint16_t flags)
{
	const uint8_t *owner = rec->owner ? rec->owner : r->q->name;
	knot_rrset_t rr;

	knot_rrset_init(&rr, (knot_dname_t *)(uintptr_t)owner, rec->type, KNOT_CLASS_IN, ttl);
	if (knot_rrset_add_rdata(&rr, rec->data, rec->size, mm_new(r->a)) != KNOT_EOK)
		return false;
	return knot_pkt_put(r->p, rec->owner ? KNOT_COMPR_HINT_NONE : KNOT_COMPR_HINT_QNAME, &rr,
		       flags) == KNOT_EOK;
}

size_t dns_reply_refused(
	struct arena *a, const struct dns_query *q, enum dns_rcode rcode, uint8_t *out, size_t room)
{
	struct reply r;

	return reply_begin(&r, a, q, out, room, rcode) ? reply_end(&r) : 0;
}

size_t dns_reply_found(struct arena *a, const struct dns_query *q, enum dns_verdict verdict,
	const struct dns_found *found, struct dns_record soa, unsigned start, uint8_t *out,
	size_t room)
{
	struct reply r;
	size_t count = found->answer_count;
	/* An alias stands before what it leads to. */
	bool rotate = count > 1 && found->answers[0].type != DNS_TYPE_CNAME;
	bool fits = true;

	if (!reply_begin(
		    &r, a, q, out, room, verdict == DNS_NAME_ERROR ? DNS_NXDOMAIN : DNS_NOERROR))
		return 0;
	knot_wire_set_aa(out);
	for (size_t i = 0; fits && i < count; i++)
		fits = put(&r, &found->answers[rotate ? (i + start) % count : i], DNS_TTL_S, 0);
	if (!count) {
		if (knot_pkt_begin(r.p, KNOT_AUTHORITY) != KNOT_EOK)
			return 0;
		(void)put(&r, &soa, DNS_TTL_S, 0);
	}
	if (found->extra_count && fits) {
		if (knot_pkt_begin(r.p, KNOT_ADDITIONAL) != KNOT_EOK)
			return 0;
		/* These are a kindness: without them the answer is whole all the same. */
		for (size_t i = 0; fits && i < found->extra_count; i++)
			fits = put(&r, &found->extra[i], DNS_TTL_S, KNOT_PF_NOTRUNC);
	}
	return reply_end(&r);
}

size_t dns_reply_forwarded(struct arena *a, const struct dns_query *q,
	const struct dns_found *found, const void *answer, size_t answer_size, uint32_t age_s,
	uint8_t *out, size_t room)
{
	static const knot_section_t sections[] = {KNOT_ANSWER, KNOT_AUTHORITY, KNOT_ADDITIONAL};
	struct reply r;
	int code = KNOT_EOK;
	knot_pkt_t *from = parse(a, answer, answer_size, &code);
	bool fits = true;

	if (!from || (code != KNOT_EOK && code != KNOT_ETRAIL))
		return dns_reply_refused(a, q, DNS_SERVFAIL, out, room);
	if (!reply_begin(&r, a, q, out, room, (enum dns_rcode)knot_wire_get_rcode(from->wire)))
		return 0;
	if (knot_wire_get_ad(from->wire))
		knot_wire_set_ad(out);
	for (size_t i = 0; found && i < found->answer_count; i++)
		fits = fits && put(&r, &found->answers[i], DNS_TTL_S, 0);
	for (size_t s = 0; fits && s < ARRAY_LEN(sections); s++) {
		const knot_pktsection_t *section = knot_pkt_section(from, sections[s]);
		uint16_t flags = sections[s] == KNOT_ADDITIONAL ? KNOT_PF_NOTRUNC : 0;
		if (s > 0 && knot_pkt_begin(r.p, sections[s]) != KNOT_EOK)
			return 0;
		for (uint16_t i = 0; fits && i < section->count; i++) {
			knot_rrset_t rr = *knot_pkt_rr(section, i);
			if (rr.type == KNOT_RRTYPE_OPT || rr.type == KNOT_RRTYPE_TSIG)
				continue;
			rr.ttl = rr.ttl > age_s ? rr.ttl - age_s : 0;
			fits = knot_pkt_put(r.p, KNOT_COMPR_HINT_NONE, &rr, flags) == KNOT_EOK;
		}
	}
	return reply_end(&r);
}

/* ---- other resolvers ---- */

size_t dns_question_make(struct arena *a, const uint8_t *name, uint16_t type, uint16_t id,
	bool dnssec, bool checking_disabled, uint8_t *out, size_t room)
{
	knot_pkt_t *p =
		knot_pkt_new(out, (uint16_t)MIN(room, (size_t)DNS_PACKET_MAX_BYTES), mm_new(a));
	knot_rrset_t opt;

	if (!p)
		return 0;
	knot_pkt_clear(p);
	memset(out, 0, DNS_HEADER_BYTES);
	knot_wire_set_id(out, id);
	knot_wire_set_rd(out);
	if (checking_disabled)
		knot_wire_set_cd(out);
	if (knot_pkt_put_question(p, name, KNOT_CLASS_IN, type) != KNOT_EOK ||
		knot_edns_init(&opt, DNS_UDP_MAX_BYTES, 0, 0, mm_new(a)) != KNOT_EOK)
		return 0;
	if (dnssec)
		knot_edns_set_do(&opt);
	if (knot_pkt_begin(p, KNOT_ADDITIONAL) != KNOT_EOK ||
		knot_pkt_put(p, KNOT_COMPR_HINT_NONE, &opt, 0) != KNOT_EOK)
		return 0;
	return p->size;
}

/* A negative answer lives as long as its SOA says. */
static uint32_t time_to_live(const knot_pkt_t *p)
{
	uint32_t ttl = OUR_TTL_MAX_S;
	bool any = false;

	if (knot_wire_get_rcode(p->wire) != KNOT_RCODE_NOERROR &&
		knot_wire_get_rcode(p->wire) != KNOT_RCODE_NXDOMAIN)
		return FAILURE_TTL_S;
	for (uint16_t i = 0; i < p->rrset_count; i++) {
		const knot_rrset_t *rr = &p->rr[i];
		if (rr->type == KNOT_RRTYPE_OPT)
			continue;
		any = true;
		ttl = MIN(ttl, rr->ttl);
		/* Records without data pass the library's parser: updates have them. */
		if (rr->type == KNOT_RRTYPE_SOA && rr->rrs.count == 1 &&
			rr->rrs.rdata->len >= SOA_MIN_BYTES && knot_wire_get_ancount(p->wire) == 0)
			ttl = MIN(MIN(ttl, knot_soa_minimum(rr->rrs.rdata)),
				(uint32_t)NEGATIVE_TTL_MAX_S);
	}
	return any ? ttl : FAILURE_TTL_S;
}

int dns_answer_check(struct arena *a, const uint8_t *name, uint16_t type, uint16_t id,
	const void *wire, size_t size, struct dns_answer_info *ret)
{
	const uint8_t *w = wire;
	int code = KNOT_EOK;
	knot_pkt_t *p;

	if (size < DNS_HEADER_BYTES || !knot_wire_get_qr(w) || knot_wire_get_id(w) != id)
		return -EBADMSG;
	p = parse(a, wire, size, &code);
	if (!p || p->qname_size == 0 || !knot_dname_is_equal(knot_pkt_qname(p), name) ||
		knot_pkt_qtype(p) != type || knot_pkt_qclass(p) != KNOT_CLASS_IN)
		return -EBADMSG;
	*ret = (struct dns_answer_info){
		.truncated = knot_wire_get_tc(w) != 0,
		.rcode = (enum dns_rcode)knot_wire_get_rcode(w),
	};
	if (ret->truncated)
		return 0; /* may be cut anywhere */
	if (code != KNOT_EOK && code != KNOT_ETRAIL)
		return -EBADMSG;
	ret->ttl_s = time_to_live(p);
	return 0;
}

const char *dns_name_text(struct arena *a, const uint8_t *name)
{
	char *text = arena_alloc(a, KNOT_DNAME_TXT_MAXLEN + 1);

	return knot_dname_to_str(text, name, KNOT_DNAME_TXT_MAXLEN + 1) ? text : "?";
}
