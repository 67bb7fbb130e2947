#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/net/address.h"

static struct net_address addr(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

static void addresses_of_both_families(void **state)
{
	static const char *const good[] = {"10.244.0.2", "fd00:10:244::2", "::1", "0.0.0.0"};
	static const char *const bad[] = {"", "10.244.0", "10.244.0.256", "fd00::g", "10.0.0.1/8"};
	char text[NET_ADDRESS_TEXT];
	struct net_address a;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		a = addr(good[i]);
		assert_string_equal(net_address_format(&a, text), good[i]);
		assert_true(net_address_is_valid(&a));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(net_address_parse(bad[i], &a), -EINVAL);
	assert_int_equal(net_address_parse(NULL, &a), -EINVAL);
	a = addr("10.244.0.255");
	a = net_address_plus(&a, 2);
	assert_string_equal(net_address_format(&a, text), "10.244.1.1");
	a = addr("fd00::ffff");
	a = net_address_plus(&a, 1);
	assert_string_equal(net_address_format(&a, text), "fd00::1:0");
}

static void what_may_be_sent_to(void **state)
{
	static const char *const yes[] = {"10.0.0.1", "192.0.2.7", "fd00::1", "fe80::1"};
	static const char *const no[] = {
		"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		assert_true(net_address_is_unicast(&(struct net_address[]){addr(yes[i])}[0]));
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		assert_false(net_address_is_unicast(&(struct net_address[]){addr(no[i])}[0]));
}

static void ranges(void **state)
{
	static const char *const bad[] = {"10.244.0.1/24", "10.244.0.0", "10.0.0.0/33",
		"fd00::/129", "fd00::1/64", "/8", "10.0.0.0/"};
	struct net_range r;
	struct net_address a;
	char text[NET_ADDRESS_TEXT + 4];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(net_range_parse(bad[i], &r), -EINVAL);
	assert_int_equal(net_range_parse("10.244.16.0/20", &r), 0);
	assert_string_equal(net_range_format(&r, text), "10.244.16.0/20");
	a = addr("10.244.31.255");
	assert_true(net_range_has(&r, &a));
	a = addr("10.244.32.0");
	assert_false(net_range_has(&r, &a));
	a = addr("fd00::1");
	assert_false(net_range_has(&r, &a));
	assert_int_equal(net_range_parse("fd00:10:96::/108", &r), 0);
	a = addr("fd00:10:96::f:ffff");
	assert_true(net_range_has(&r, &a));
	a = addr("fd00:10:96::10:0");
	assert_false(net_range_has(&r, &a));
	assert_int_equal(net_range_parse("0.0.0.0/0", &r), 0);
	a = addr("255.255.255.255");
	assert_true(net_range_has(&r, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_both_families),
		cmocka_unit_test(what_may_be_sent_to),
		cmocka_unit_test(ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
