/* Addresses out of the store of CNI's host-local, kept by machines that are stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/str.h"
#include "node/net/lease.h"

static char store[] = "/tmp/hanok-lease.XXXXXX";

static void put(const char *name, const char *content)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", store, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(content, f);
	fclose(f);
}

static const char *holder(const char *address)
{
	static char text[256];
	char path[128];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", store, address);
	f = fopen(path, "r");
	if (!f)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void an_address_stays_with_its_machine(void **state)
{
	struct lease_kept_list kept = {0};
	char address[16];

	put("10.244.0.2", "uid1-0\r\neth0");
	put("10.244.0.3", "uid10-0\r\neth0");
	put("last_reserved_ip.0", "10.244.0.3");
	put("lock", "");
	assert_int_equal(lease_keep(store, "uid1", "ns_vm"), -ENOENT);
	assert_int_equal(lease_keep(store, "uid1-0", "ns_vm"), 0);
	assert_int_equal(lease_find(store, "uid1-0", address), -ENOENT);
	assert_string_equal(holder("10.244.0.2"), "hanok-kept_ns_vm\r\neth0");
	/* A second one of the same machine is not kept beside it. */
	assert_int_equal(lease_keep(store, "uid10-0", "ns_vm"), -EEXIST);
	lease_kept_list_read(store, &kept);
	assert_int_equal(kept.count, 1);
	assert_string_equal(kept.items[0], "ns_vm");
	lease_kept_list_finish(&kept);
	/* The next instance. */
	assert_int_equal(lease_kept_take(store, "ns_v", "uid2-0", address), -ENOENT);
	assert_int_equal(lease_kept_take(store, "ns_vm", "uid2-0", address), 0);
	assert_string_equal(address, "10.244.0.2");
	assert_string_equal(holder("10.244.0.2"), "uid2-0\r\neth0");
	assert_int_equal(lease_kept_take(store, "ns_vm", "uid3-0", address), -ENOENT);
	/* The machine goes. */
	assert_int_equal(lease_keep(store, "uid2-0", "ns_vm"), 0);
	lease_kept_drop(store, "ns_other");
	assert_non_null(holder("10.244.0.2"));
	lease_kept_drop(store, "ns_vm");
	assert_null(holder("10.244.0.2"));
	assert_non_null(holder("10.244.0.3"));
	lease_kept_list_read(store, &kept);
	assert_int_equal(kept.count, 0);
	lease_kept_list_finish(&kept);
}

static int setup(void **state)
{
	return mkdtemp(store) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {
		"10.244.0.2", "10.244.0.3", "last_reserved_ip.0", "lock"};
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", store, names[i]);
		unlink(path);
	}
	return rmdir(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(an_address_stays_with_its_machine)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
