/* Which credentials go with which image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/str.h"
#include "node/image/image_keyring.h"

static struct arena a;
static struct image_keyring k;

static int setup(void **state)
{
	image_keyring_init(&k, &a);
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&a);
	return 0;
}

static void add_secret(const char *name, const char *field, const char *config)
{
	char *text = arena_printf(&a,
		"{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\",\"uid\":\"uid-%s\"},"
		"\"data\":{\"%s\":\"%s\"}}",
		name, name, field, base64_encode(&a, config, strlen(config)));
	struct json *doc;

	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &doc, NULL), 0);
	image_keyring_add_secret(&k, doc);
}

/* {"auths":{KEY:{"username":USER,"password":"p"}}} */
static void add_user(const char *key, const char *user)
{
	add_secret(user, ".dockerconfigjson",
		arena_printf(&a, "{\"auths\":{\"%s\":{\"username\":\"%s\",\"password\":\"p\"}}}",
			key, user));
}

/* "u1 u2": users in the order in which they are tried. */
static const char *users(const char *image)
{
	struct image_auth found[8];
	size_t n = image_keyring_find(&k, image, found, ARRAY_LEN(found));
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_printf(&a, "%s%s%s", text, i ? " " : "", found[i].username);
	return text;
}

static void forms(void **state)
{
	const char *auth = base64_encode(&a, "bob:se:cret", 11);
	struct image_auth found[4];

	add_secret("old", ".dockercfg",
		arena_printf(&a, "{\"https://h.example/v1/\":{\"auth\":\"%s\"}}", auth));
	add_secret("bad", ".dockerconfigjson", "no json");
	add_secret("other", "password", "x");
	add_secret("empty", ".dockerconfigjson", "{\"auths\":{\"h.example\":{}}}");
	add_secret("broken", ".dockerconfigjson", "{\"auths\":{\"h.example\":{\"auth\":\"!!\"}}}");
	add_secret("token", ".dockerconfigjson",
		"{\"auths\":{\"t.example\":{\"identitytoken\":\"tok\"}}}");
	assert_int_equal(image_keyring_find(&k, "h.example/x:1", found, 4), 1);
	assert_string_equal(found[0].username, "bob");
	assert_string_equal(found[0].password, "se:cret");
	assert_string_equal(found[0].secret_name, "old");
	assert_string_equal(found[0].secret_uid, "uid-old");
	assert_int_equal(strlen(found[0].hash), 64);
	assert_int_equal(image_keyring_find(&k, "t.example/x", found, 4), 1);
	assert_string_equal(found[0].identity_token, "tok");
	assert_string_equal(users("h.example:5000/x"), "");
	assert_string_equal(users("h2.example/x"), "");
}

static void most_specific_first(void **state)
{
	add_user("h.example", "host");
	add_user("*.example", "glob");
	add_user("h.example/team/app", "app");
	add_user("h.example/team", "team");
	add_user("h.example:5000", "port");
	add_user("h.example/v2/", "versioned");
	assert_string_equal(users("h.example/team/app:1"), "app team host versioned glob");
	assert_string_equal(users("h.example/team/other"), "team host versioned glob");
	assert_string_equal(users("h.example/x"), "host versioned glob");
	assert_string_equal(users("h.example:5000/x"), "port");
	assert_string_equal(users("g.example/x"), "glob");
	/* A star is one part of a name. */
	assert_string_equal(users("a.b.example/x"), "");
	assert_string_equal(users("example/x"), "");
}

static void default_registry(void **state)
{
	add_user("https://index.docker.io/v1/", "hub");
	add_user("docker.io/library", "library");
	assert_string_equal(users("nginx"), "library hub");
	assert_string_equal(users("someone/app:2"), "hub");
	assert_string_equal(users("docker.io/someone/app"), "hub");
	assert_string_equal(users("quay.example/nginx"), "");
}

static void node_comes_last_and_once(void **state)
{
	const char *file = "{\"auths\":{\"h.example/team/app\":{\"username\":\"node\","
			   "\"password\":\"p\"},"
			   "\"h.example/team\":{\"username\":\"host\",\"password\":\"p\"}}}";
	struct image_auth found[4];
	struct err err = ERR_INIT;

	assert_int_equal(image_keyring_add_file(&k, file, strlen(file), &err), 0);
	add_user("h.example", "host");
	assert_string_equal(users("h.example/team/app"), "host node");
	assert_int_equal(image_keyring_find(&k, "h.example/team/app", found, 4), 2);
	assert_null(found[1].secret_uid);
	assert_string_equal(users("h.example/x"), "host");
	assert_int_equal(image_keyring_add_file(&k, "{", 1, &err), -EINVAL);
	/* Room is kept to. */
	assert_int_equal(image_keyring_find(&k, "h.example/team/app", found, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(forms, setup, teardown),
		cmocka_unit_test_setup_teardown(most_specific_first, setup, teardown),
		cmocka_unit_test_setup_teardown(default_registry, setup, teardown),
		cmocka_unit_test_setup_teardown(node_comes_last_and_once, setup, teardown),
	};

	return cmocka_run_group_tests_name("image_keyring", tests, NULL, NULL);
}
