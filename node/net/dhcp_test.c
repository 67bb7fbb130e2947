/* What guests are told of name servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "node/net/dhcp.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect(const char *const *servers, const char *const *searches, const char *expected)
{
	_cleanup_(free_p) char *text = dhcp_resolver_options(
		"u-0", &(struct dhcp_resolvers){.servers = servers, .searches = searches});

	assert_string_equal(text, expected);
}

static void resolvers_of_a_guest(void **state)
{
	expect(LIST("10.96.0.10", "fd00::a", "10.0.0.1"), LIST("a.svc.cluster.local", "local"),
		"tag:u-0,option:dns-server,10.96.0.10,10.0.0.1\n"
		"tag:u-0,option:domain-search,a.svc.cluster.local,local\n"
		"tag:u-0,option:domain-name,a.svc.cluster.local\n");
	expect(LIST(NULL), LIST(NULL), "");
	expect(LIST("127.0.0.53", "::1"), LIST(NULL), "");
}

/* dnsmasq reads lines and commas; what a spec or the host's file has must not be more of them. */
static void words_that_are_no_domains(void **state)
{
	expect(LIST("10.0.0.1,6.6.6.6", "x"),
		LIST(".", "", "a,b", "a\ntag:x,option:router,6.6.6.6", "-x", "good.one"),
		"tag:u-0,option:domain-search,good.one\ntag:u-0,option:domain-name,good.one\n");
}

static void expect_boot(const char *file, const char *server, const char *expected)
{
	_cleanup_(free_p) char *text = dhcp_resolver_options(
		"u-0", &(struct dhcp_resolvers){LIST(NULL), LIST(NULL), file, server});

	assert_string_equal(text, expected);
}

static void where_to_boot_from(void **state)
{
	expect_boot("http://10.244.0.1:8080/boot.ipxe?a=b", NULL,
		"tag:u-0,option:bootfile-name,http://10.244.0.1:8080/boot.ipxe?a=b\n");
	expect_boot("pxelinux.0", "10.0.0.9",
		"tag:u-0,option:bootfile-name,pxelinux.0\ntag:u-0,option:server-ip-address,10.0.0."
		"9\n"
		"tag:u-0,option:tftp-server,10.0.0.9\n");
	expect_boot("a,b", "10.0.0.9", "");
	expect_boot("a\nb", NULL, "");
	expect_boot("a", "10.0.0.9,x", "tag:u-0,option:bootfile-name,a\n");
	expect_boot(NULL, "10.0.0.9", "");
}

static void no_more_than_an_option_holds(void **state)
{
	char hundred[101], exact[300];

	memset(hundred, 'a', 100);
	hundred[100] = '\0';
	hundred[50] = '.';
	/* 102 + 102 bytes; the third has no room, the last has: 255 bytes in all. */
	snprintf(exact, sizeof(exact), "%.49s",
		"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	_cleanup_(free_p) char *expected =
		xasprintf("tag:u-0,option:domain-search,%s,%s,%s\ntag:u-0,option:domain-name,%s\n",
			hundred, hundred, exact, hundred);
	expect(LIST(NULL), LIST(hundred, hundred, hundred, exact, "c"), expected);
}

static bool is_b(void *user, const char *id)
{
	return streq(id, "b");
}

static void who_went_is_forgotten(void **state)
{
	static const char *const files[] = {"hosts/a", "hosts/b", "options/a", "options/b"};
	char directory[] = "/tmp/hanok-dhcp-XXXXXX", path[64];

	assert_non_null(mkdtemp(directory));
	dhcp_forget_others(directory, is_b, NULL); /* there is nothing yet */
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, i ? "options" : "hosts");
		assert_int_equal(mkdir(path, 0755), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		FILE *f = fopen(path, "we");

		assert_non_null(f);
		assert_int_equal(fclose(f), 0);
	}
	dhcp_forget_others(directory, is_b, NULL);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		assert_int_equal(unlink(path), i % 2 ? 0 : -1);
	}
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, i ? "options" : "hosts");
		assert_int_equal(rmdir(path), 0);
	}
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolvers_of_a_guest),
		cmocka_unit_test(words_that_are_no_domains),
		cmocka_unit_test(where_to_boot_from),
		cmocka_unit_test(no_more_than_an_option_holds),
		cmocka_unit_test(who_went_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
