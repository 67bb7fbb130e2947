/* metrics_test.c - the text of counters, gauges and histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/metrics/node_metrics.h"

static void texts(void **state)
{
	static const double bounds[] = {0.1, 1, 0};
	static struct metric counter = METRIC_COUNTER("b_total", "Things", "kind,place");
	static struct metric gauge = METRIC_GAUGE("a_now", "Now", "");
	static struct metric times = METRIC_HISTOGRAM("c_seconds", "Times", "what", bounds);
	static struct metric untouched = METRIC_COUNTER("d_total", "Never", "x");
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	metric_add(&counter, 1, "z", "\"q\"\\\n");
	metric_add(&counter, 2, "a", "");
	metric_add(&counter, 2, "a", "");
	metric_set(&gauge, 1.5, NULL);
	metric_observe(&times, 0.05, "w");
	metric_observe(&times, 1, "w");
	metric_observe(&times, 7, "w");
	metric_show(&untouched);
	metric_write_all(&b);
	assert_string_equal(b.data, "# HELP a_now Now\n# TYPE a_now gauge\na_now 1.5\n"
				    "# HELP b_total Things\n# TYPE b_total counter\n"
				    "b_total{kind=\"a\",place=\"\"} 4\n"
				    "b_total{kind=\"z\",place=\"\\\"q\\\"\\\\\\n\"} 1\n"
				    "# HELP c_seconds Times\n# TYPE c_seconds histogram\n"
				    "c_seconds_bucket{what=\"w\",le=\"0.1\"} 1\n"
				    "c_seconds_bucket{what=\"w\",le=\"1\"} 2\n"
				    "c_seconds_bucket{what=\"w\",le=\"+Inf\"} 3\n"
				    "c_seconds_sum{what=\"w\"} 8.05\n"
				    "c_seconds_count{what=\"w\"} 3\n"
				    "# HELP d_total Never\n# TYPE d_total counter\n");
	metric_forget_all();
	buf_clear(&b);
	metric_write_all(&b);
	assert_int_equal(b.size, 0);
}

static void are_bounded(void **state)
{
	static struct metric m = METRIC_COUNTER("m_total", "Many", "n");
	char text[16];

	for (int i = 0; i < METRIC_SERIES_MAX + 10; i++) {
		snprintf(text, sizeof(text), "%d", i);
		metric_add(&m, 1, text);
	}
	assert_int_equal(m.series.count, METRIC_SERIES_MAX);
	metric_forget_all();
}

static void of_the_runtime(void **state)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	node_metrics_init("n1");
	node_metrics_runtime("/runtime.v1.RuntimeService/RunPodSandbox", false, 2000000000);
	node_metrics_runtime("/runtime.v1.RuntimeService/Unheard", true, 1);
	metric_write_all(&b);
	assert_non_null(strstr(b.data, "kubelet_node_name{node=\"n1\"} 1\n"));
	assert_non_null(strstr(b.data, "kubelet_runtime_operations_total{operation_type="
				       "\"run_podsandbox\"} 1\n"));
	assert_non_null(strstr(b.data, "kubelet_runtime_operations_errors_total{operation_type="
				       "\"run_podsandbox\"} 1\n"));
	assert_null(strstr(b.data, "Unheard"));
	metric_forget_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(are_bounded),
		cmocka_unit_test(of_the_runtime),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
