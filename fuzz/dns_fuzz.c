/* DNS packets: questions of clients, answers of other resolvers. First byte: which. */
#include "lib/base/arena.h"
#include "node/dns/dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dns_zone *zone(void)
{
	static const char service[] = "{\"spec\":{\"clusterIP\":\"10.96.1.2\",\"ports\":["
				      "{\"name\":\"http\",\"port\":80}]}}",
			  headless[] = "{\"spec\":{\"clusterIP\":\"None\"}}",
			  slice[] = "{\"ports\":[{\"name\":\"p\",\"port\":1}],\"endpoints\":["
				    "{\"addresses\":[\"10.1.1.1\"],\"hostname\":\"h\"},"
				    "{\"addresses\":[\"10.1.1.2\"]}]}";
	static struct dns_zone *z;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;

	if (z)
		return z;
	z = dns_zone_create("cluster.local");
	dns_zone_set_namespace(z, "default", true);
	if (json_parse(&a, service, sizeof(service) - 1, NULL, &doc, NULL) == 0)
		dns_zone_set_service(z, "default", "web", doc);
	if (json_parse(&a, headless, sizeof(headless) - 1, NULL, &doc, NULL) == 0)
		dns_zone_set_service(z, "default", "db", doc);
	if (json_parse(&a, slice, sizeof(slice) - 1, NULL, &doc, NULL) == 0)
		dns_zone_set_slice(z, "default", "db-1", "db", doc);
	return z;
}

static void check_reply(const uint8_t *out, size_t size, size_t room)
{
	if (size > room || (size > 0 && size < DNS_HEADER_BYTES))
		abort();
}

static void as_question(struct arena *a, const uint8_t *data, size_t size)
{
	static uint8_t out[DNS_PACKET_MAX_BYTES];
	struct dns_found found;
	struct dns_query q;

	if (dns_query_parse(a, data, size, &q) < 0)
		return;
	if (q.refuse != DNS_NOERROR) {
		check_reply(out, dns_reply_refused(a, &q, q.refuse, out, q.room), q.room);
		return;
	}
	enum dns_verdict v = dns_zone_find(zone(), a, q.name, q.type, &found);
	check_reply(out, dns_reply_found(a, &q, v, &found, dns_zone_soa(zone()), 1, out, q.room),
		q.room);
}

/* The question that the packet itself holds is taken for ours, so that most get through. */
static void as_answer(struct arena *a, const uint8_t *data, size_t size)
{
	static uint8_t out[DNS_PACKET_MAX_BYTES], question[600];
	struct dns_answer_info info;
	struct dns_query q;
	uint8_t *copy;

	if (size < DNS_HEADER_BYTES)
		return;
	copy = (uint8_t *)arena_memdup(a, data, size);
	copy[2] &= 0x7f;
	if (dns_query_parse(a, copy, size, &q) < 0 || q.refuse != DNS_NOERROR)
		return;
	uint16_t id = (uint16_t)(data[0] << 8 | data[1]);
	if (!dns_question_make(a, q.name, q.type, id, q.dnssec, true, question, sizeof(question)))
		abort();
	if (dns_answer_check(a, q.name, q.type, id, data, size, &info) < 0 || info.truncated)
		return;
	check_reply(out, dns_reply_forwarded(a, &q, NULL, data, size, 3, out, sizeof(out)),
		sizeof(out));
	check_reply(out, dns_reply_forwarded(a, &q, NULL, data, size, 3, out, q.room), q.room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (size < 1)
		return 0;
	if (data[0] & 1)
		as_answer(&a, data + 1, size - 1);
	else
		as_question(&a, data + 1, size - 1);
	return 0;
}
