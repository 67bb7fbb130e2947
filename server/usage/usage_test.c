#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "server/usage/samples.h"

static struct figures parse(const char *text)
{
	struct figures f;
	struct err err = ERR_INIT;
	if (figures_parse(text, strlen(text), 42 * NS_PER_S, &f, &err) < 0)
		fail_msg("%s", err.msg);
	return f;
}

static void test_parse(void **state)
{
	struct figures f =
		parse("# HELP x y\n# TYPE x counter\n\n"
		      "container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod="
		      "\"p\"} 5e3 7\r\n"
		      "container_cpu_usage_seconds_total { namespace = \"n\" , "
		      "pod=\"p\",container=\"c\",} "
		      "1.25 1700000000123\n"
		      "node_cpu_usage_seconds_total 3\nnode_memory_working_set_bytes +2.0\n"
		      "other{a=\"x\\\\\\\"\\n}\"} NaN\nother_without 1\n"
		      "container_cpu_usage_seconds_total{pod=\"lonely\"} 1\n"
		      "node_cpu_usage_seconds_total NaN");
	assert_int_equal(f.count, 2);
	assert_int_equal(f.items[0].type, FIGURE_NODE);
	assert_int_equal(f.items[0].cpu_ns, 3 * NS_PER_S);
	assert_int_equal(f.items[0].time_ns, 42 * NS_PER_S);
	assert_int_equal(f.items[0].memory_bytes, 2);
	assert_int_equal(f.items[1].type, FIGURE_CONTAINER);
	assert_string_equal(f.items[1].owner, "p");
	assert_int_equal(f.items[1].cpu_ns, 1250000000);
	assert_int_equal(f.items[1].time_ns, INT64_C(1700000000123) * NS_PER_MS);
	assert_int_equal(f.items[1].memory_bytes, 5000);
	figures_finish(&f);
}

static void test_parse_refuses(void **state)
{
	static const char *const bad[] = {"{", "a", "a ", "a{", "a{b", "a{b=", "a{b=\"", "a{b=\"c",
		"a{b=\"c\"", "a{b=\"c\"}", "a{b=\"\\x\"} 1", "a{=\"c\"} 1", "a{b=\"c\" d=\"e\"} 1",
		"a x", "a 0x10", "a 1x", "a 1 2 3", "a 1 -5", "a 1 99999999999999999999",
		"a 1 9223372036854775807", "\x01 1"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct figures f;
		struct err err = ERR_INIT;
		if (figures_parse(bad[i], strlen(bad[i]), 0, &f, &err) != -EBADMSG)
			fail_msg("'%s' passes", bad[i]);
		assert_string_equal(err.msg, "line 1 is no line of figures");
	}
}

static struct figures told(unsigned seconds, double cpu, unsigned memory)
{
	char text[512];
	snprintf(text, sizeof(text),
		"container_cpu_usage_seconds_total{container=\"a\",namespace=\"n\",pod=\"p\"} %f "
		"%u000\n"
		"container_memory_working_set_bytes{container=\"a\",namespace=\"n\",pod=\"p\"} "
		"%u\n",
		cpu, seconds, memory);
	return parse(text);
}

static void test_rates(void **state)
{
	struct usage_samples *s = usage_samples_create();
	struct arena a = ARENA_INIT;
	struct usage_rate *r;
	struct figures f = told(100, 10, 1);
	usage_samples_put(s, "n1", &f, 0);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 0);
	/* So soon that no rate is taken: it stands in for the first. */
	f = told(101, 10.5, 1);
	usage_samples_put(s, "n1", &f, NS_PER_S);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 0);
	f = told(111, 15.5, 77);
	usage_samples_put(s, "n1", &f, 11 * NS_PER_S);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 1);
	assert_int_equal(r[0].cpu_nano_cores, 500000000);
	assert_int_equal(r[0].memory_bytes, 77);
	assert_int_equal(r[0].window_ns, 10 * NS_PER_S);
	assert_int_equal(r[0].time_ns, 111 * NS_PER_S);
	assert_string_equal(r[0].container, "a");
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p2", &a, &r), 0);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_MACHINE, "n", "p", &a, &r), 0);
	assert_int_equal(usage_samples_get(s, "n2", FIGURE_CONTAINER, "n", "p", &a, &r), 0);
	/* Started anew: no rate until it told twice again. */
	f = told(131, 0.5, 5);
	usage_samples_put(s, "n1", &f, 31 * NS_PER_S);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 0);
	f = told(141, 1.5, 5);
	usage_samples_put(s, "n1", &f, 41 * NS_PER_S);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 1);
	assert_int_equal(r[0].cpu_nano_cores, 100000000);
	/* More than there are CPUs is no rate. */
	f = told(142, 9e9, 5);
	usage_samples_put(s, "n1", &f, 51 * NS_PER_S);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 0);
	f = told(161, 1.5, 5);
	usage_samples_put(s, "n1", &f, 61 * NS_PER_S);
	f = told(171, 2.5, 5);
	usage_samples_put(s, "n1", &f, 71 * NS_PER_S);
	usage_samples_expire(s, 71 * NS_PER_S);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 1);
	usage_samples_expire(s, 71 * NS_PER_S + 1);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 0);
	arena_finish(&a);
	usage_samples_destroy(s);
}

/* A container that came in between has no rate, and so the pod has none. */
static void test_part_known(void **state)
{
	struct usage_samples *s = usage_samples_create();
	struct arena a = ARENA_INIT;
	struct usage_rate *r;
	struct figures f = told(100, 10, 1);
	usage_samples_put(s, "n1", &f, 0);
	f = parse(
		"container_cpu_usage_seconds_total{container=\"a\",namespace=\"n\",pod=\"p\"} 20 "
		"120000\n"
		"container_memory_working_set_bytes{container=\"a\",namespace=\"n\",pod=\"p\"} 1\n"
		"container_cpu_usage_seconds_total{container=\"b\",namespace=\"n\",pod=\"p\"} 1 "
		"120000\n"
		"container_memory_working_set_bytes{container=\"b\",namespace=\"n\",pod=\"p\"} "
		"1\n");
	usage_samples_put(s, "n1", &f, 20 * NS_PER_S);
	assert_int_equal(usage_samples_get(s, "n1", FIGURE_CONTAINER, "n", "p", &a, &r), 0);
	arena_finish(&a);
	usage_samples_destroy(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_part_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
