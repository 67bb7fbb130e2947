#include "server/api/documents/metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/str.h"

static const int64_t bucket_us[METRICS_BUCKETS - 1] = {
	50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 250000, 1000000};

struct latency {
	uint64_t buckets[METRICS_BUCKETS]; /* the last one: above all bounds */
	uint64_t count;
	int64_t total_ns;
};

void metrics_init(struct metrics *m)
{
	*m = (struct metrics){.requests = TABLE_INIT, .latencies = TABLE_INIT};
}

static void free_values(struct table *t)
{
	for (struct table_iter it = table_iterate(t); table_next(&it);)
		free(it.value);
	table_finish(t);
}

void metrics_finish(struct metrics *m)
{
	free_values(&m->requests);
	free_values(&m->latencies);
}

void metrics_count(struct metrics *m, const char *verb, const char *resource,
	const char *subresource, int code, int64_t took_ns)
{
	char key[256];
	snprintf(key, sizeof(key), "%s\t%s\t%s\t%d", verb, resource, subresource, code);
	uint64_t *n = table_get(&m->requests, key);
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		table_set(&m->requests, key, n);
	}
	(*n)++;
	snprintf(key, sizeof(key), "%s\t%s", verb, resource);
	struct latency *l = table_get(&m->latencies, key);
	if (!l) {
		l = xcalloc(1, sizeof(*l));
		table_set(&m->latencies, key, l);
	}
	size_t i = 0;
	while (i < ARRAY_LEN(bucket_us) && took_ns > bucket_us[i] * 1000)
		i++;
	l->buckets[i]++;
	l->count++;
	l->total_ns += took_ns;
}

static struct str part(struct str *rest)
{
	struct str p = STR("");
	str_split(rest, '\t', &p);
	return p;
}

void metrics_write(const struct metrics *m, struct buf *out)
{
	buf_add_str(out, "# HELP apiserver_request_total Requests by verb, resource and code.\n"
			 "# TYPE apiserver_request_total counter\n");
	for (struct table_iter it = table_iterate(&m->requests); table_next(&it);) {
		struct str rest = str_from(it.key);
		struct str verb = part(&rest), resource = part(&rest), sub = part(&rest);
		struct str code = part(&rest);
		buf_printf(out,
			"apiserver_request_total{verb=\"" STR_FMT "\",resource=\"" STR_FMT
			"\",subresource=\"" STR_FMT "\",code=\"" STR_FMT "\"} %" PRIu64 "\n",
			STR_ARG(verb), STR_ARG(resource), STR_ARG(sub), STR_ARG(code),
			*(uint64_t *)it.value);
	}
	buf_add_str(out,
		"# HELP apiserver_request_duration_seconds Time to answer, watches left out.\n"
		"# TYPE apiserver_request_duration_seconds histogram\n");
	for (struct table_iter it = table_iterate(&m->latencies); table_next(&it);) {
		const struct latency *l = it.value;
		struct str rest = str_from(it.key);
		struct str verb = part(&rest), resource = part(&rest);
		char labels[200];
		snprintf(labels, sizeof(labels), "verb=\"" STR_FMT "\",resource=\"" STR_FMT "\"",
			STR_ARG(verb), STR_ARG(resource));
		uint64_t sum = 0;
		for (size_t i = 0; i < METRICS_BUCKETS; i++) {
			sum += l->buckets[i];
			char bound[32] = "+Inf";
			if (i < ARRAY_LEN(bucket_us))
				snprintf(bound, sizeof(bound), "%g", (double)bucket_us[i] / 1e6);
			buf_printf(out,
				"apiserver_request_duration_seconds_bucket{%s,le=\"%s\"} %" PRIu64
				"\n",
				labels, bound, sum);
		}
		buf_printf(out, "apiserver_request_duration_seconds_sum{%s} %.9f\n", labels,
			(double)l->total_ns / 1e9);
		buf_printf(out, "apiserver_request_duration_seconds_count{%s} %" PRIu64 "\n",
			labels, l->count);
	}
	buf_printf(out,
		"# HELP apiserver_longrunning_requests Watches that are open.\n"
		"# TYPE apiserver_longrunning_requests gauge\n"
		"apiserver_longrunning_requests{verb=\"WATCH\"} %" PRId64 "\n",
		m->watches);
}
