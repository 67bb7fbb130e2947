/* metrics.c - see metrics.h. */
#include "node/metrics/metrics.h"

#include <math.h>
#include <stdio.h>

#include "lib/base/str.h"
#include "lib/base/vec.h"

struct series {
	double value;	  /* of a histogram: the sum */
	uint64_t *counts; /* by bucket, and one for all */
};

static struct list metrics = {&metrics, &metrics};

const double metric_seconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 0};

static size_t bucket_count(const struct metric *m)
{
	size_t n = 0;

	while (m->buckets && m->buckets[n] > 0)
		n++;
	return n;
}

void metric_escape(struct buf *out, const char *value)
{
	for (const char *p = value; *p; p++) {
		if (*p == '\\' || *p == '"')
			buf_add_char(out, '\\');
		if (*p == '\n')
			buf_add_str(out, "\\n");
		else
			buf_add_char(out, *p);
	}
}

/* a="x",b="y" */
static void write_labels(struct buf *out, const struct metric *m, const char *const *values)
{
	struct str rest = str_from(m->labels), name;

	for (size_t i = 0; m->labels[0] && values[i] && str_split(&rest, ',', &name); i++) {
		buf_printf(out, "%s" STR_FMT "=\"", i ? "," : "", STR_ARG(name));
		metric_escape(out, values[i]);
		buf_add_char(out, '"');
	}
}

static struct series *series_of(struct metric *m, const char *const *values)
{
	_cleanup_(buf_finish) struct buf key = BUF_INIT;

	if (!m->shown) {
		m->shown = true;
		list_init(&m->link);
		list_append(&metrics, &m->link);
	}
	write_labels(&key, m, values);
	const char *text = key.size ? key.data : "";
	struct series *s = table_get(&m->series, text);
	if (!s && m->series.count < METRIC_SERIES_MAX) {
		s = xcalloc(1, sizeof(*s));
		if (m->type == METRIC_IS_HISTOGRAM)
			s->counts = xcalloc(bucket_count(m) + 1, sizeof(*s->counts));
		table_set(&m->series, text, s);
	}
	return s;
}

void metric_add_(struct metric *m, double by, const char *const *values)
{
	struct series *s = series_of(m, values);

	if (s)
		s->value += by;
}

void metric_set_(struct metric *m, double to, const char *const *values)
{
	struct series *s = series_of(m, values);

	if (s)
		s->value = to;
}

void metric_observe_(struct metric *m, double value, const char *const *values)
{
	struct series *s = series_of(m, values);
	size_t n = bucket_count(m);

	if (!s)
		return;
	s->value += value;
	for (size_t i = 0; i < n; i++)
		s->counts[i] += value <= m->buckets[i];
	s->counts[n]++;
}

void metric_clear(struct metric *m)
{
	for (struct table_iter i = table_iterate(&m->series); table_next(&i);) {
		struct series *s = i.value;
		free(s->counts);
		free(s);
	}
	table_finish(&m->series);
	m->series = TABLE_INIT;
}

void metric_show(struct metric *m)
{
	static const char *const none[] = {NULL};

	if (!*m->labels) {
		series_of(m, none);
	} else if (!m->shown) {
		m->shown = true;
		list_init(&m->link);
		list_append(&metrics, &m->link);
	}
}

void metric_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metric_number(struct buf *out, double v)
{
	if (isnan(v))
		buf_add_str(out, "NaN");
	else if (v == floor(v) && fabs(v) < 1e15)
		buf_printf(out, "%.0f", v);
	else
		buf_printf(out, "%.15g", v);
}

static void write_line(struct buf *out, const char *name, const char *suffix, const char *labels,
	const char *bound, double value)
{
	const char *comma = *labels && bound ? "," : "";

	buf_printf(out, "%s%s", name, suffix);
	if (*labels || bound) {
		buf_printf(out, "{%s%s", labels, comma);
		if (bound)
			buf_printf(out, "le=\"%s\"", bound);
		buf_add_char(out, '}');
	}
	buf_add_char(out, ' ');
	metric_number(out, value);
	buf_add_char(out, '\n');
}

static void write_histogram(
	struct buf *out, const struct metric *m, const char *labels, const struct series *s)
{
	size_t n = bucket_count(m);
	char bound[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(bound, sizeof(bound), "%g", m->buckets[i]);
		write_line(out, m->name, "_bucket", labels, bound, (double)s->counts[i]);
	}
	write_line(out, m->name, "_bucket", labels, "+Inf", (double)s->counts[n]);
	write_line(out, m->name, "_sum", labels, NULL, s->value);
	write_line(out, m->name, "_count", labels, NULL, (double)s->counts[n]);
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void write_metric(struct buf *out, const struct metric *m)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	VEC(const char *) keys = {0};

	metric_head(out, m->name, types[m->type], m->help);
	for (struct table_iter i = table_iterate(&m->series); table_next(&i);)
		VEC_PUSH(&keys, i.key);
	if (keys.count > 1)
		qsort(keys.items, keys.count, sizeof(*keys.items), by_text);
	for (size_t i = 0; i < keys.count; i++) {
		const struct series *s = table_get(&m->series, keys.items[i]);
		if (m->type == METRIC_IS_HISTOGRAM)
			write_histogram(out, m, keys.items[i], s);
		else
			write_line(out, m->name, "", keys.items[i], NULL, s->value);
	}
	VEC_FINISH(&keys);
}

static int by_name(const void *x, const void *y)
{
	const struct metric *const *a = x, *const *b = y;

	return strcmp((*a)->name, (*b)->name);
}

void metric_write_all(struct buf *out)
{
	VEC(struct metric *) all = {0};

	LIST_FOR_EACH(m, &metrics, struct metric, link)
		VEC_PUSH(&all, m);
	if (all.count > 1)
		qsort(all.items, all.count, sizeof(struct metric *), by_name);
	for (size_t i = 0; i < all.count; i++)
		write_metric(out, all.items[i]);
	VEC_FINISH(&all);
}

void metric_forget_all(void)
{
	LIST_FOR_EACH(m, &metrics, struct metric, link) {
		list_remove(&m->link);
		m->shown = false;
		metric_clear(m);
	}
}
