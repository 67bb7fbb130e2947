#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/net/pod_ranges.h"

static struct net_range range(const char *text)
{
	struct net_range r;

	assert_int_equal(net_range_parse(text, &r), 0);
	return r;
}

static struct net_address address(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

/* wanted: '+' believed, '-' refused. */
static void check(const char *const *ranges, const char *wanted)
{
	struct net_range taken[] = {range("10.96.0.0/16"), range("10.244.0.0/24"),
		range("fd00:10:96::/112"), {.prefix = 0}};
	struct net_address here[2] = {address("192.168.5.1")};
	struct pod_range list[8];
	size_t count = strlen(wanted);

	for (size_t i = 0; i < count; i++)
		list[i] = (struct pod_range){
			.range = range(ranges[i]), .node = address("192.168.7.2")};
	pod_ranges_check(list, count, taken, 4, here);
	for (size_t i = 0; i < count; i++)
		if (!list[i].refused != (wanted[i] == '+'))
			fail_msg("%s: %s", ranges[i],
				list[i].refused ? list[i].refused : "believed");
}

static void what_nodes_have(void **state)
{
	check((const char *[]){"10.244.1.0/24", "10.244.2.0/24", "fd00:10:244:1::/64"}, "+++");
	check(NULL, "");
}

static void what_is_no_range_for_pods(void **state)
{
	check((const char *[]){"0.0.0.0/1", "10.244.1.0/24", "0.0.0.0/0", "224.0.0.0/8",
		      "127.0.0.0/8", "10.0.0.1/32", "::/0"},
		"-+-----");
}

static void what_is_taken(void **state)
{
	check((const char *[]){"10.96.4.0/24", "10.0.0.0/8", "10.244.0.0/24", "10.244.0.128/25",
		      "fd00::/16", "10.244.3.0/24"},
		"-----+");
}

static void of_two_that_overlap_the_narrower(void **state)
{
	check((const char *[]){"10.244.128.0/17", "10.244.129.0/24", "10.244.130.0/24",
		      "10.244.129.0/24", "10.244.4.0/24", "10.244.128.0/18"},
		"-++-+-");
	check((const char *[]){"10.244.4.0/22", "10.244.4.0/24"}, "-+");
}

static void addresses_of_nodes_are_no_pods(void **state)
{
	check((const char *[]){"192.168.7.0/24", "10.244.4.0/24"}, "-+");
	check((const char *[]){"192.168.5.0/24", "192.168.6.0/24"}, "-+");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nodes_have),
		cmocka_unit_test(what_is_no_range_for_pods),
		cmocka_unit_test(what_is_taken),
		cmocka_unit_test(of_two_that_overlap_the_narrower),
		cmocka_unit_test(addresses_of_nodes_are_no_pods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
