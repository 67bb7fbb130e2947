/* metrics.h - counts and latencies of requests, in the text form that Prometheus reads, under the
 * names that dashboards for Kubernetes' API server know. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/table.h"

#define METRICS_BUCKETS 12

struct metrics {
	struct table requests;	/* "verb\tresource\tsubresource\tcode" -> uint64_t * */
	struct table latencies; /* "verb\tresource" -> struct latency * */
	int64_t watches;	/* open now */
};

void metrics_init(struct metrics *m);
void metrics_finish(struct metrics *m);
void metrics_count(struct metrics *m, const char *verb, const char *resource,
	const char *subresource, int code, int64_t took_ns);
void metrics_write(const struct metrics *m, struct buf *out);
