#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/vm/host/vm_state.h"
#include "node/vm/image/image_files.h"

#define MACHINE "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define DOMAIN "33333333-3333-4333-8333-333333333333"

static char root[] = "/tmp/vm_state_test.XXXXXX";

static int place(const char *ns, const char *uid, const char *name, const char *uuid)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(free_p) char *directory = xasprintf("%s/state", root);
	_cleanup_(free_p) char *tpm = xasprintf("%s/tpm", root);
	_cleanup_(free_p) char *text = xasprintf("{\"metadata\":{\"ownerReferences\":[{\"kind\":"
						 "\"VirtualMachine\",\"controller\":true,"
						 "\"name\":\"%s\",\"uid\":\"%s\"}]}}",
		name, uid);
	struct vm_states *v = vm_states_create(NULL, NULL, NULL, directory, tpm);
	struct vm_spec *s = arena_zalloc(&a, sizeof(*s));
	struct json *doc;
	const char *where;
	struct err err = ERR_INIT;

	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &doc, &err), 0);
	s->object = doc;
	s->namespace = ns;
	s->firmware.tpm_persistent = true;
	snprintf(s->uuid, sizeof(s->uuid), "%s", uuid);
	int r = vm_states_place(v, s, &a, &where, &err);
	vm_states_destroy(v);
	return r;
}

static bool is_there(const char *name)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", root, name);

	return access(path, F_OK) == 0;
}

static void make(const char *name)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", root, name);

	assert_int_equal(mkdir(path, 0700), 0);
}

static void a_machine_has_what_it_kept(void **state)
{
	make("tpm");
	assert_int_equal(place("a", MACHINE, "web", DOMAIN), 0);
	make("tpm/" DOMAIN);
	assert_int_equal(place("a", MACHINE, "web", DOMAIN), 0);
	assert_true(is_there("tpm/" DOMAIN));
	/* Its next instance has another UUID. */
	assert_int_equal(place("a", MACHINE, "web", OTHER), 0);
	assert_false(is_there("tpm/" DOMAIN));
	assert_true(is_there("tpm/" OTHER));
	assert_int_equal(place("a", MACHINE, "web", DOMAIN), 0);
}

static void nobody_else_gets_it(void **state)
{
	/* An instance of another namespace names the machine as its owner. */
	assert_int_equal(place("b", MACHINE, "web", DOMAIN), -EPERM);
	assert_int_equal(place("b", MACHINE, "web", OTHER), -EPERM);
	assert_true(is_there("tpm/" DOMAIN));
	assert_int_equal(place("a", MACHINE, "web", DOMAIN), 0);
}

static void nobody_else_removes_it(void **state)
{
	assert_int_equal(place("b", OTHER, "mine", DOMAIN), -EEXIST);
	assert_true(is_there("tpm/" DOMAIN));
	assert_int_equal(place("b", OTHER, "mine", OTHER), 0);
}

static int begin(void **state)
{
	return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
	files_remove_tree(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_has_what_it_kept),
		cmocka_unit_test(nobody_else_gets_it),
		cmocka_unit_test(nobody_else_removes_it),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
