#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/image/recipe.h"

static int parse(const char *text, struct recipe *r, struct err *err)
{
	return recipe_parse(text, strlen(text), "/nowhere", r, err);
}

static void test_whole(void **state)
{
	struct recipe r;
	struct err err = ERR_INIT;
	assert_int_equal(parse("suite: bookworm\n"
			       "packages: [systemd-sysv, openssh-server]\n"
			       "hostname: web\n"
			       "users:\n- {name: admin, password: \"it's\", groups: [sudo], "
			       "sshKeys: ['ssh-ed25519 A b']}\n"
			       "files:\n- {path: /etc/note, content: hello, mode: '0600'}\n"
			       "run: ['echo it''s done']\n"
			       "firstBoot: [date]\n"
			       "disk: {kernel: linux-image-cloud-amd64, size: 2Gi, firmware: efi}\n"
			       "image: {Cmd: [/bin/sh]}\n",
				 &r, &err),
		0);
	assert_string_equal(r.packages, "systemd-sysv,openssh-server");
	assert_string_equal(r.variant, "minbase");
	assert_true(r.efi);
	assert_false(r.bios);
	assert_int_equal(r.size_bytes, 2ll << 30);
	struct arena a = ARENA_INIT;
	const char *script = recipe_script(&r, &a, "/work dir");
	assert_non_null(strstr(script, "useradd -m -s /bin/bash -G sudo admin\n"));
	assert_non_null(strstr(script, "'admin:it'\\''s' | chroot"));
	assert_non_null(strstr(script, "' sh '/etc/note' <'/work dir'/0\n"));
	assert_non_null(strstr(script, "-ec 'echo it'\\''s done'"));
	assert_non_null(strstr(script, "hanok-first-boot.service"));
	arena_finish(&a);
	recipe_finish(&r);
}

static void test_refused(void **state)
{
	static const char *const bad[][2] = {
		{"packages: [a]", "suite"},
		{"suite: 'a b'", "suite"},
		{"suite: a\nnonsense: 1", "nonsense"},
		{"suite: a\npackages: ['--hook=x']", "packages"},
		{"suite: a\npackages: ['a;b']", "packages"},
		{"suite: a\nfiles: [{path: ../etc/x, content: a}]", "files.path"},
		{"suite: a\nfiles: [{path: /a/../b, content: a}]", "files.path"},
		{"suite: a\nfiles: [{path: /a}]", "content or source"},
		{"suite: a\nfiles: [{path: /a, source: none}]", "none"},
		{"suite: a\nusers: [{name: 'a:b'}]", "users.name"},
		{"suite: a\nusers: [{name: a, sshKeys: [\"x\\ny\"]}]", "sshKeys"},
		{"suite: a\ndisk: {firmware: coreboot}", "disk.firmware"},
		{"suite: a\ndisk: {size: 1Mi}", "disk.size"},
		{"suite: a\ndisk: {kernelArguments: \"a\\nboot\"}", "kernelArguments"},
		{"suite: a\ntimezone: ../../etc/shadow", "timezone"},
		{"suite: a\nimage: text", "image"},
		{"[]", "mapping"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct recipe r;
		struct err err = ERR_INIT;
		assert_true(parse(bad[i][0], &r, &err) < 0);
		if (!strstr(err.msg, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], err.msg);
	}
}

/* Equal recipes are one build, other contents another. */
static void test_canonical(void **state)
{
	static const char *const texts[] = {
		"suite: a\nfiles: [{path: /x, content: one}]",
		"{suite: 'a', files: [{path: /x, content: one}]}",
		"suite: a\nfiles: [{path: /x, content: two}]",
	};
	struct arena a = ARENA_INIT;
	const char *made[3];
	for (size_t i = 0; i < 3; i++) {
		struct recipe r;
		struct err err = ERR_INIT;
		assert_int_equal(parse(texts[i], &r, &err), 0);
		made[i] = recipe_canonical(&r, &a);
		recipe_finish(&r);
	}
	assert_string_equal(made[0], made[1]);
	assert_string_not_equal(made[0], made[2]);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_canonical),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
