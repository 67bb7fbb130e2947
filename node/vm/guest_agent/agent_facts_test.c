/* What guest agents answer, well and badly, and what becomes of it in a VMI's status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vm/guest_agent/agent_facts.h"
#include "node/vm/guest_agent/agent_link.h"
#include "node/vm/guest_agent/agent_status.h"

static const char *fact(struct arena *a, enum agent_fact f, const char *answer)
{
	const struct json *value;
	struct json *v;

	assert_int_equal(agent_answer_read(a, answer, strlen(answer), &value, NULL), 0);
	v = agent_fact_read(a, f, value);
	return v ? json_text(a, v) : NULL;
}

static void answers(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	assert_string_equal(
		fact(&a, AGENT_FACT_INFO,
			"{\"return\":{\"version\":\"7.2.0\",\"supported_commands\":["
			"{\"enabled\":true,\"name\":\"guest-ping\",\"success-response\":true},"
			"{\"enabled\":false,\"name\":\"guest-exec\",\"success-response\":true}]}}"),
		"{\"guestAgentVersion\":\"7.2.0\",\"supportedCommands\":["
		"{\"name\":\"guest-ping\",\"enabled\":true},{\"name\":\"guest-exec\",\"enabled\":"
		"false}]}");
	assert_string_equal(
		fact(&a, AGENT_FACT_INTERFACES,
			"{\"return\":[{\"name\":\"lo\",\"ip-addresses\":[{\"ip-address-type\":"
			"\"ipv4\","
			"\"ip-address\":\"127.0.0.1\",\"prefix\":8}],\"hardware-address\":\"00:00:"
			"00:00:00:00\"},"
			"{\"name\":\"eth0\",\"ip-addresses\":[{\"ip-address-type\":\"ipv6\",\"ip-"
			"address\":"
			"\"fe80::1\",\"prefix\":64},{\"ip-address-type\":\"ipv4\",\"ip-address\":"
			"\"10.0.2.2\","
			"\"prefix\":24}],\"hardware-address\":\"02:00:00:AB:cd:ef\"}]}"),
		"[{\"interfaceName\":\"eth0\",\"mac\":\"02:00:00:ab:cd:ef\",\"ipAddress\":\"10.0.2."
		"2\","
		"\"ipAddresses\":[\"fe80::1\",\"10.0.2.2\"]}]");
	assert_string_equal(
		fact(&a, AGENT_FACT_OS,
			"{\"return\":{\"name\":\"Debian "
			"GNU/Linux\",\"kernel-release\":\"6.1\",\"version\":"
			"\"12 (bookworm)\",\"pretty-name\":\"Debian GNU/Linux 12 "
			"(bookworm)\",\"version-id\":\"12\","
			"\"kernel-version\":\"#1 SMP\",\"machine\":\"x86_64\",\"id\":\"debian\"}}"),
		"{\"id\":\"debian\",\"kernelRelease\":\"6.1\",\"kernelVersion\":\"#1 "
		"SMP\",\"machine\":\"x86_64\","
		"\"name\":\"Debian GNU/Linux\",\"prettyName\":\"Debian GNU/Linux 12 (bookworm)\","
		"\"version\":\"12 (bookworm)\",\"versionId\":\"12\"}");
	assert_string_equal(
		fact(&a, AGENT_FACT_HOSTNAME, "{\"return\":{\"host-name\":\"web\"}}"), "\"web\"");
	assert_string_equal(
		fact(&a, AGENT_FACT_TIMEZONE, "{\"return\":{\"zone\":\"CET\",\"offset\":3600}}"),
		"\"CET, 3600\"");
	assert_string_equal(fact(&a, AGENT_FACT_FREEZE, "{\"return\":\"frozen\"}"), "\"frozen\"");
	assert_string_equal(fact(&a, AGENT_FACT_USERS,
				    "{\"return\":[{\"login-time\":1577836800.5,\"user\":\"root\"},"
				    "{\"domain\":\"D\",\"login-time\":7,\"user\":\"b\"}]}"),
		"[{\"userName\":\"root\",\"loginTime\":1577836800.5},"
		"{\"userName\":\"b\",\"domain\":\"D\",\"loginTime\":7}]");
	assert_string_equal(
		fact(&a, AGENT_FACT_FILESYSTEMS,
			"{\"return\":[{\"name\":\"vda1\",\"mountpoint\":\"/\",\"type\":\"ext4\","
			"\"used-bytes\":5,\"total-bytes\":10,\"disk\":[{\"serial\":\"s\",\"bus-"
			"type\":"
			"\"virtio\",\"bus\":0,\"unit\":0,\"target\":0}]}]}"),
		"[{\"diskName\":\"vda1\",\"mountPoint\":\"/"
		"\",\"fileSystemType\":\"ext4\",\"usedBytes\":5,"
		"\"totalBytes\":10,\"disk\":[{\"serial\":\"s\",\"busType\":\"virtio\"}]}]");
}

/* The guest is somebody else's: what it says is cut, cleaned, or nothing. */
static void hostile_answers(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *value;
	struct err err = ERR_INIT;
	struct json *list;
	char *text;

	assert_int_equal(agent_answer_read(&a, "{\"return\":", 10, &value, &err), -EBADMSG);
	assert_int_equal(agent_answer_read(&a, "{}", 2, &value, &err), -EBADMSG);
	assert_int_equal(
		agent_answer_read(&a, "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]", 40, &value, &err),
		-EBADMSG);
	assert_int_equal(agent_answer_read(&a, "{\"error\":{\"desc\":\"no\"}}", 23, &value, &err),
		-EREMOTEIO);
	assert_string_equal(err.msg, "the guest agent refused: no");
	assert_null(fact(&a, AGENT_FACT_OS, "{\"return\":[]}"));
	assert_null(fact(&a, AGENT_FACT_INTERFACES, "{\"return\":{\"name\":\"eth0\"}}"));
	assert_null(fact(&a, AGENT_FACT_FREEZE, "{\"return\":\"boiling\"}"));
	assert_string_equal(
		fact(&a, AGENT_FACT_HOSTNAME, "{\"return\":{\"host-name\":\"a\\u001b[2Jb\"}}"),
		"\"a?[2Jb\"");
	/* No address, no MAC address: left out. */
	assert_string_equal(
		fact(&a, AGENT_FACT_INTERFACES,
			"{\"return\":[{\"name\":\"e\",\"hardware-address\":\"x\",\"ip-addresses\":"
			"[{\"ip-address\":\"10.0.0.1; rm\"},{\"ip-address\":7}]},{\"name\":5},7]}"),
		"[{\"interfaceName\":\"e\"}]");
	list = json_new_array(&a);
	for (int i = 0; i < 1000; i++) {
		struct json *one = json_new_object(&a);

		json_set(&a, one, "user", json_new_printf(&a, "%0300d", i));
		json_push(&a, list, one);
	}
	text = arena_printf(&a, "{\"return\":%s}", json_text(&a, list));
	assert_int_equal(agent_answer_read(&a, text, strlen(text), &value, NULL), 0);
	list = agent_fact_read(&a, AGENT_FACT_USERS, value);
	assert_int_equal(json_count(list), AGENT_USERS_MAX);
	assert_int_equal(json_path(list, "[0].userName")->count, AGENT_TEXT_MAX_BYTES);
}

static const char *interfaces(struct arena *a, const char *own, const char *guest)
{
	struct json *list, *said = NULL;

	assert_int_equal(json_parse(a, own, strlen(own), NULL, &list, NULL), 0);
	if (guest)
		assert_int_equal(json_parse(a, guest, strlen(guest), NULL, &said, NULL), 0);
	agent_status_interfaces(a, list, said);
	return json_text(a, list);
}

static void status_of_interfaces(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const char own[] =
		"[{\"name\":\"default\",\"mac\":\"02:00:00:00:00:01\",\"infoSource\":\"domain\","
		"\"ipAddress\":\"10.244.0.9\",\"ipAddresses\":[\"10.244.0.9\"]}]";

	assert_string_equal(interfaces(&a, own, NULL), own);
	/* The guest can't put another's address before its own. */
	assert_string_equal(interfaces(&a, own,
				    "[{\"interfaceName\":\"eth0\",\"mac\":\"02:00:00:00:00:01\","
				    "\"ipAddress\":\"10.244.0.1\","
				    "\"ipAddresses\":[\"10.244.0.1\",\"10.244.0.9\"]},{"
				    "\"interfaceName\":\"docker0\"}]"),
		"[{\"name\":\"default\",\"mac\":\"02:00:00:00:00:01\",\"infoSource\":\"domain, "
		"guest-agent\","
		"\"ipAddress\":\"10.244.0.9\",\"ipAddresses\":[\"10.244.0.9\",\"10.244.0.1\"],"
		"\"interfaceName\":\"eth0\"},{\"interfaceName\":\"docker0\",\"infoSource\":\"guest-"
		"agent\"}]");
}

static void status_without_agent(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *status = json_new_object(&a), *old = json_new_object(&a);

	agent_status_set(&a, status, old, NULL, NULL);
	assert_string_equal(json_text(&a, status), "{}");
	/* What it said goes with it. */
	json_path_set(&a, old, "guestOSInfo.id", json_new_string(&a, "debian"));
	json_set_str(&a, old, "fsFreezeStatus", "frozen");
	agent_status_set(&a, status, old, NULL, NULL);
	assert_string_equal(
		json_text(&a, status), "{\"guestOSInfo\":{\"id\":null},\"fsFreezeStatus\":null}");
}

static void supported(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const char *const basic[] = {"guest-ping", "guest-get-time", "guest-info",
		"guest-shutdown", "guest-network-get-interfaces", "guest-get-fsinfo",
		"guest-get-host-name", "guest-get-users", "guest-get-timezone", "guest-get-osinfo"};
	struct json *info = json_new_object(&a),
		    *list = json_array_at(&a, info, "supportedCommands");
	struct json *spec = json_new_object(&a), *credential;

	assert_string_equal(agent_unsupported(info, spec),
		"This guest agent doesn't support required basic commands");
	for (size_t i = 0; i < ARRAY_LEN(basic); i++) {
		struct json *command = json_new_object(&a);

		json_set_str(&a, command, "name", basic[i]);
		json_set_bool(&a, command, "enabled", true);
		json_push(&a, list, command);
	}
	assert_null(agent_unsupported(info, spec));
	credential = json_new_object(&a);
	json_path_set(&a, credential, "userPassword.propagationMethod.qemuGuestAgent",
		json_new_object(&a));
	json_push(&a, json_array_at(&a, spec, "accessCredentials"), credential);
	assert_string_equal(agent_unsupported(info, spec),
		"This guest agent doesn't support required password commands");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(hostile_answers),
		cmocka_unit_test(status_of_interfaces),
		cmocka_unit_test(status_without_agent),
		cmocka_unit_test(supported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
