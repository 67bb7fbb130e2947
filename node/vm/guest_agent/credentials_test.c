/* accessCredentials and their Secrets as commands to the agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vm/guest_agent/credentials.h"

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v;

	assert_int_equal(json_parse(a, text, strlen(text), NULL, &v, NULL), 0);
	return v;
}

static const char spec_text[] =
	"{\"accessCredentials\":["
	"{\"sshPublicKey\":{\"source\":{\"secret\":{\"secretName\":\"k1\"}},\"propagationMethod\":"
	"{\"qemuGuestAgent\":{\"users\":[\"root\",\"ann\"]}}}},"
	"{\"sshPublicKey\":{\"source\":{\"secret\":{\"secretName\":\"k2\"}},\"propagationMethod\":"
	"{\"qemuGuestAgent\":{\"users\":[\"ann\"]}}}},"
	"{\"sshPublicKey\":{\"source\":{\"secret\":{\"secretName\":\"k3\"}},\"propagationMethod\":"
	"{\"configDrive\":{}}}},"
	"{\"userPassword\":{\"source\":{\"secret\":{\"secretName\":\"p\"}},\"propagationMethod\":"
	"{\"qemuGuestAgent\":{}}}}]}";

static const struct json *secret(void *user, const char *name)
{
	return json_get(user, name);
}

static int read_all(struct arena *a, const char *secrets, struct credential ret[CREDENTIALS_MAX],
	struct err *err)
{
	return credentials_read(a, parse(a, spec_text), secret, parse(a, secrets), ret, err);
}

static void commands(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct credential c[CREDENTIALS_MAX];
	struct err err = ERR_INIT;

	/* "ssh-a one\n\n# x\nssh-b two" and "ssh-c three"; "sesame\n" */
	assert_int_equal(
		read_all(&a,
			"{\"k1\":{\"data\":{\"key\":\"c3NoLWEgb25lCgojIHgKc3NoLWIgdHdv\"}},"
			"\"k2\":{\"data\":{\"key\":\"c3NoLWMgdGhyZWU=\"}},"
			"\"p\":{\"data\":{\"root\":\"c2VzYW1lCg==\",\"none\":\"\"}}}",
			c, &err),
		3);
	assert_string_equal(c[0].command, "guest-ssh-add-authorized-keys");
	assert_string_equal(json_text(&a, c[0].arguments),
		"{\"username\":\"root\",\"keys\":[\"ssh-a one\",\"ssh-b two\"],\"reset\":true}");
	assert_string_equal(json_text(&a, c[1].arguments),
		"{\"username\":\"ann\",\"keys\":[\"ssh-a one\",\"ssh-b two\",\"ssh-c three\"],"
		"\"reset\":true}");
	assert_string_equal(c[2].command, "guest-set-user-password");
	assert_string_equal(json_text(&a, c[2].arguments),
		"{\"username\":\"root\",\"password\":\"c2VzYW1l\",\"crypted\":false}");
}

static void problems(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct credential c[CREDENTIALS_MAX];
	struct err err = ERR_INIT;

	assert_int_equal(read_all(&a, "{}", c, &err), -ENOENT);
	assert_string_equal(err.msg, "secret 'k1' is not there");
	assert_int_equal(read_all(&a, "{\"k1\":{\"data\":{\"key\":\"*\"}}}", c, &err), -EINVAL);
	assert_string_equal(err.msg, "secret 'k1': 'key' is not base64");
	assert_int_equal(
		read_all(&a, "{\"k1\":{},\"k2\":{},\"p\":{\"data\":{\"a:b\":\"c2VzYW1lCg==\"}}}", c,
			&err),
		-EINVAL);
	assert_string_equal(err.msg, "accessCredentials: 'a:b' is not the name of a user");
}

static void which_secrets(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	assert_true(credentials_wanted(parse(&a, spec_text)));
	assert_false(credentials_wanted(parse(&a, "{}")));
	assert_string_equal(json_text(&a, credentials_secrets(&a, parse(&a, spec_text))),
		"{\"spec\":{\"imagePullSecrets\":[{\"name\":\"k1\"},{\"name\":\"k2\"},{\"name\":"
		"\"p\"}]}}");
}

static void old_agents(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct credential c = {.keys = true,
		.user = "ann",
		.arguments = parse(&a, "{\"username\":\"ann\",\"keys\":[\"one\",\"two\"]}")};
	const char *input;
	struct json *command = credentials_keys_program(&a, &c, &input);

	assert_string_equal(json_str(json_at(command, 0)), "su");
	/* A name that looks like an option is none. */
	assert_string_equal(json_str(json_at(command, json_count(command) - 2)), "--");
	assert_string_equal(json_str(json_at(command, json_count(command) - 1)), "ann");
	assert_string_equal(input, "one\ntwo\n");

	assert_false(credentials_need_program(NULL));
	assert_true(credentials_need_program(
		parse(&a, "{\"supportedCommands\":[{\"name\":\"guest-exec\",\"enabled\":true},"
			  "{\"name\":\"guest-exec-status\",\"enabled\":true},"
			  "{\"name\":\"guest-ssh-add-authorized-keys\"}]}")));
	assert_false(credentials_need_program(
		parse(&a, "{\"supportedCommands\":[{\"name\":\"guest-exec\",\"enabled\":true},"
			  "{\"name\":\"guest-exec-status\",\"enabled\":true},"
			  "{\"name\":\"guest-ssh-add-authorized-keys\",\"enabled\":true}]}")));
	assert_false(credentials_need_program(
		parse(&a, "{\"supportedCommands\":[{\"name\":\"guest-exec\",\"enabled\":true}]}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands),
		cmocka_unit_test(problems),
		cmocka_unit_test(which_secrets),
		cmocka_unit_test(old_agents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
