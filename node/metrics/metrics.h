/* metrics.h - what the agent counts about itself, for /metrics: counters, gauges, histograms with
 * labels, in Prometheus' text format. A metric is a static struct; it joins the process's list when
 * it is first touched (or told to by metric_show), and costs nothing before.
 *
 *	static struct metric pulls = METRIC_COUNTER("x_pulls_total", "Pulls of images", "result");
 *	metric_add(&pulls, 1, "ok");
 *
 * Label values are given in the order of the names. A metric has at most METRIC_SERIES_MAX
 * combinations of them: what comes beyond is counted in none, as labels may come from outside.
 * One thread. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/table.h"

#define METRIC_SERIES_MAX 1000
#define METRIC_LABELS_MAX 6

enum metric_type { METRIC_IS_COUNTER, METRIC_IS_GAUGE, METRIC_IS_HISTOGRAM };

struct metric {
	const char *name, *help;
	enum metric_type type;
	const char *labels;    /* "a,b"; "" = none */
	const double *buckets; /* upper bounds by size, 0 at the end */
	/* The registry's own. */
	struct table series; /* label text -> struct series */
	struct list link;
	bool shown;
};

#define METRIC_COUNTER(n, h, l)                                                                    \
	{                                                                                          \
		.name = (n), .help = (h), .type = METRIC_IS_COUNTER, .labels = (l)                 \
	}
#define METRIC_GAUGE(n, h, l)                                                                      \
	{                                                                                          \
		.name = (n), .help = (h), .type = METRIC_IS_GAUGE, .labels = (l)                   \
	}
#define METRIC_HISTOGRAM(n, h, l, b)                                                               \
	{                                                                                          \
		.name = (n), .help = (h), .type = METRIC_IS_HISTOGRAM, .labels = (l),              \
		.buckets = (b)                                                                     \
	}

/* Prometheus' usual bounds for seconds: 5 ms to 10 s. */
extern const double metric_seconds[];

/* The label values follow as const char *, as many as there are names; NULL for none. */
#define metric_add(m, by, ...) metric_add_(m, by, (const char *const[]){__VA_ARGS__, NULL})
#define metric_set(m, to, ...) metric_set_(m, to, (const char *const[]){__VA_ARGS__, NULL})
#define metric_observe(m, v, ...) metric_observe_(m, v, (const char *const[]){__VA_ARGS__, NULL})
void metric_add_(struct metric *m, double by, const char *const *values);
void metric_set_(struct metric *m, double to, const char *const *values);
void metric_observe_(struct metric *m, double value, const char *const *values);
/* Shown from now on, with 0 where it has no labels. */
void metric_show(struct metric *m);
/* Gauges whose label values come and go: forgets all of them. */
void metric_clear(struct metric *m);

/* All of them, by name. */
void metric_write_all(struct buf *out);
void metric_forget_all(void); /* forgets everything */

/* For those who write metrics of their own: the value of a label, escaped. */
void metric_escape(struct buf *out, const char *value);
void metric_head(struct buf *out, const char *name, const char *type, const char *help);
void metric_number(struct buf *out, double v);

/* process_*: of this process. */
void metric_write_process(struct buf *out);
