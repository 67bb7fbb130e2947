/* Schedules and time zone files: the text up to the first NUL is a schedule, what is behind it a
 * zone file. Whatever is taken gives times that rise and come to an end. */
#include "lib/base/clock.h"
#include "lib/base/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, 0, size);
	size_t text_size = nul ? (size_t)(nul - data) : size;
	_cleanup_(free_p) char *schedule = xstrndup((const char *)data, text_size);
	struct zone *zone = NULL;
	struct err err = ERR_INIT;
	struct cron cron;
	if (!nul || zone_parse(nul + 1, size - text_size - 1, &zone, &err) < 0)
		if (zone_load("UTC", &zone, &err) < 0)
			abort();
	for (int64_t at = -(1ll << 40); at < 1ll << 40; at += 1ll << 36) {
		struct zone_span span = zone_at(zone, at);
		if (span.begin_s > at || span.end_s <= at)
			abort();
	}
	if (cron_parse(schedule, &cron, &err) == 0) {
		int64_t at_ns = 1767225600 * NS_PER_S;
		for (int n = 0; n < 3 && at_ns; n++) {
			int64_t next_ns = cron_next(&cron, zone, at_ns);
			if (next_ns && next_ns <= at_ns)
				abort();
			at_ns = next_ns;
		}
		unsigned count;
		int64_t until_ns = 1798761600 * NS_PER_S,
			last_ns =
				cron_last(&cron, zone, 1767225600 * NS_PER_S, until_ns, 20, &count);
		if (last_ns > until_ns || !last_ns != !count)
			abort();
	}
	zone_destroy(zone);
	return 0;
}
