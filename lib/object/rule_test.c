#include "lib/object/rule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LONG_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_rules(void **state)
{
	static const struct {
		enum rule rule;
		const char *text;
		bool holds;
	} cases[] = {
		{RULE_DNS_LABEL, "a-1", true},
		{RULE_DNS_LABEL, "", false},
		{RULE_DNS_LABEL, "-a", false},
		{RULE_DNS_LABEL, "a-", false},
		{RULE_DNS_LABEL, "A", false},
		{RULE_DNS_LABEL, "a.b", false},
		{RULE_DNS_LABEL, LONG_63, true},
		{RULE_DNS_LABEL, LONG_63 "a", false},
		{RULE_DNS_LABEL_OPT, "", true},
		{RULE_DNS_SUBDOMAIN, "a.b-c.d", true},
		{RULE_DNS_SUBDOMAIN, "a..b", false},
		{RULE_DNS_SUBDOMAIN, ".a", false},
		{RULE_DNS_SUBDOMAIN, "a.", false},
		{RULE_DNS_SUBDOMAIN, "", false},
		{RULE_DNS_1035_LABEL, "a1", true},
		{RULE_DNS_1035_LABEL, "1a", false},
		{RULE_PATH_SEGMENT, "a:b", true},
		{RULE_PATH_SEGMENT, "..", false},
		{RULE_PATH_SEGMENT, "a/b", false},
		{RULE_QUALIFIED_NAME, "example.com/My_Name.x", true},
		{RULE_QUALIFIED_NAME, "/x", false},
		{RULE_QUALIFIED_NAME, "a/b/c", false},
		{RULE_QUALIFIED_NAME, "a/", false},
		{RULE_QUALIFIED_NAME, "Ex.com/a", false},
		{RULE_LABEL_VALUE, "", true},
		{RULE_LABEL_VALUE, "My_value.1-x", true},
		{RULE_LABEL_VALUE, "-x", false},
		{RULE_LABEL_VALUE, LONG_63 "a", false},
		{RULE_CONFIG_KEY, "a_b.C", true},
		{RULE_CONFIG_KEY, "..", false},
		{RULE_CONFIG_KEY, "..data", false},
		{RULE_CONFIG_KEY, "a b", false},
		{RULE_ENV_NAME, "MY_VAR.x", true},
		{RULE_ENV_NAME, "a=b", false},
		{RULE_PORT_NAME, "http-1", true},
		{RULE_PORT_NAME, "80", false},
		{RULE_PORT_NAME, "a--b", false},
		{RULE_PORT_NAME, "abcdefghijklmnop", false},
		{RULE_PORT, "", false},
		{RULE_COUNT_OR_PERCENT, "25%", true},
		{RULE_COUNT_OR_PERCENT, "%", false},
		{RULE_COUNT_OR_PERCENT, "25", false},
		{RULE_IP, "10.0.0.1", true},
		{RULE_IP, "fd00::1", true},
		{RULE_IP, "10.0.0.256", false},
		{RULE_MAC, "02:00:00:00:00:0a", true},
		{RULE_MAC, "02:00:00:00:00", false},
		{RULE_CHECKSUM, "", true},
		{RULE_CHECKSUM, "md5:D41d8cd98f00b204e9800998ecf8427e", true},
		{RULE_CHECKSUM, "md5:d41d8cd98f00b204e9800998ecf8427", false},
		{RULE_CHECKSUM, "md5:d41d8cd98f00b204e9800998ecf8427ez", false},
		{RULE_CHECKSUM, "sha256:zz", false},
		{RULE_CHECKSUM, "d41d8cd98f00b204e9800998ecf8427e", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (rule_holds(cases[i].rule, cases[i].text) != cases[i].holds)
			fail_msg("rule %d on '%s'", (int)cases[i].rule, cases[i].text);
}

static void test_several_messages(void **state)
{
	const char *messages[RULE_MESSAGES_MAX];

	assert_int_equal(rule_check(RULE_DNS_LABEL, LONG_63 "A", 64, messages), 2);
	assert_string_equal(messages[0], "must be no more than 63 characters");
	assert_int_equal(rule_check(RULE_QUALIFIED_NAME, "/", 1, messages), 3);
	assert_int_equal(rule_check(RULE_PORT_NAME, "-0123--456789012", 16, messages), 4);
}

static void test_names_of_rules(void **state)
{
	enum rule rule;

	assert_int_equal(rule_from_name("dns-1035-label", &rule), 0);
	assert_int_equal(rule, RULE_DNS_1035_LABEL);
	assert_int_equal(rule_from_name("nope", &rule), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_several_messages),
		cmocka_unit_test(test_names_of_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
