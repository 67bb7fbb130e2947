/* MAC addresses: whose they are, and which are chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/str.h"
#include "server/api/machines/mac_pool.h"

static uint64_t mac_of(const char *text)
{
	uint64_t mac;

	assert_int_equal(machine_mac_parse(text, &mac), 0);
	return mac;
}

static void texts(void **state)
{
	char text[MACHINE_MAC_TEXT];
	struct mac_range r;
	uint64_t mac;

	machine_mac_format(mac_of("02:AB:cd:00:00:1F"), text);
	assert_string_equal(text, "02:ab:cd:00:00:1f");
	assert_true(mac_of("02-00-00-00-00-01") == mac_of("02:00:00:00:00:01"));
	assert_int_equal(machine_mac_parse("03:00:00:00:00:01", &mac), -EINVAL);
	assert_int_equal(machine_mac_parse("00:00:00:00:00:00", &mac), -EINVAL);
	assert_int_equal(machine_mac_parse("02:00:00:00:00:0", &mac), -EINVAL);
	assert_int_equal(machine_mac_parse("02:00:00:00:00:01:", &mac), -EINVAL);
	assert_int_equal(machine_mac_parse("", &mac), -EINVAL);
	assert_int_equal(mac_range_parse(MAC_POOL_RANGE, &r), 0);
	assert_int_equal(mac_range_parse("02:00:00:00:00:05-02:00:00:00:00:01", &r), -EINVAL);
	assert_int_equal(mac_range_parse("02:00:00:00:00:05-04:00:00:00:00:01", &r), -EINVAL);
	assert_int_equal(mac_range_parse("02:00:00:00:00:05", &r), -EINVAL);
}

static void an_address_is_free_when_nobody_holds_it(void **state)
{
	struct mac_range r = {mac_of("02:00:00:00:00:01"), mac_of("02:00:00:00:00:03")};
	struct mac_pool *p = mac_pool_create(&r);
	uint64_t m = mac_of("02:00:00:00:00:02");

	assert_null(mac_pool_other(p, m, "a/vm"));
	mac_pool_hold(p, m, "a/vm"); /* the machine */
	mac_pool_hold(p, m, "a/vm"); /* and its instance */
	mac_pool_hold(p, m, "b/vm"); /* let in by an earlier version */
	assert_string_equal(mac_pool_other(p, m, "b/vm"), "a/vm");
	assert_string_equal(mac_pool_other(p, m, "a/vm"), "b/vm");
	mac_pool_release(p, m, "a/vm");
	assert_string_equal(mac_pool_other(p, m, "b/vm"), "a/vm");
	mac_pool_release(p, m, "a/vm");
	assert_null(mac_pool_other(p, m, "b/vm"));
	mac_pool_release(p, m, "a/vm"); /* nothing more */
	assert_string_equal(mac_pool_other(p, m, "a/vm"), "b/vm");
	mac_pool_release(p, m, "b/vm");
	assert_null(mac_pool_other(p, m, "a/vm"));
	mac_pool_destroy(p);
}

static void each_gets_one_while_there_are_some(void **state)
{
	struct mac_range r = {mac_of("02:00:00:00:00:01"), mac_of("02:00:00:00:00:03")};
	struct mac_pool *p = mac_pool_create(&r);
	uint64_t mac[4], again;
	static const char *const owners[] = {"a/1", "a/2", "a/3", "a/4"};

	for (int i = 0; i < 3; i++) {
		assert_int_equal(mac_pool_choose(p, owners[i], 0, &mac[i]), 0);
		assert_true(mac[i] >= r.first && mac[i] <= r.last);
		assert_null(mac_pool_other(p, mac[i], owners[i]));
		mac_pool_hold(p, mac[i], owners[i]);
	}
	assert_int_equal(mac_pool_choose(p, owners[3], 0, &mac[3]), -ENOSPC);
	mac_pool_release(p, mac[1], owners[1]);
	assert_int_equal(mac_pool_choose(p, owners[3], 0, &mac[3]), 0);
	assert_true(mac[3] == mac[1]);
	assert_int_equal(mac_pool_choose(p, owners[0], 0, &again), 0);
	mac_pool_destroy(p);
	/* In the default range it is the one that follows from the name. */
	assert_int_equal(mac_range_parse(MAC_POOL_RANGE, &r), 0);
	p = mac_pool_create(&r);
	assert_int_equal(mac_pool_choose(p, "ns/vm", 1, &again), 0);
	assert_true(again == machine_mac_of_name("ns_vm", 1));
	mac_pool_destroy(p);
}

static void a_request_that_fails_leaves_nothing(void **state)
{
	struct mac_range r = {mac_of("02:00:00:00:00:01"), mac_of("02:00:00:00:00:03")};
	struct mac_pool *p = mac_pool_create(&r);
	struct arena a = ARENA_INIT;
	struct mac_claim *claims = NULL;

	mac_pool_hold(p, r.first, "a/vm");
	mac_claim_add(&a, &claims, p, r.last, "a/vm", false);
	mac_claim_add(&a, &claims, p, r.first, "a/vm", true);
	assert_non_null(mac_pool_other(p, r.last, "b/vm"));
	mac_claims_settle(&claims, false);
	assert_null(mac_pool_other(p, r.last, "b/vm"));
	assert_non_null(mac_pool_other(p, r.first, "b/vm"));
	mac_claim_add(&a, &claims, p, r.last, "a/vm", false);
	mac_claim_add(&a, &claims, p, r.first, "a/vm", true);
	mac_claims_settle(&claims, true);
	assert_non_null(mac_pool_other(p, r.last, "b/vm"));
	assert_null(mac_pool_other(p, r.first, "b/vm"));
	arena_finish(&a);
	mac_pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(an_address_is_free_when_nobody_holds_it),
		cmocka_unit_test(each_gets_one_while_there_are_some),
		cmocka_unit_test(a_request_that_fails_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
