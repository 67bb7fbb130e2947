/* Who may use an image that lies here already; also after a new start, and of a file gone bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/str.h"
#include "node/image/image_records.h"

static char path[64];
static struct image_records *r;

static const struct image_auth alice = {
	.secret_namespace = "a", .secret_name = "s", .secret_uid = "1", .hash = "aaaa"};
static const struct image_auth alice_later = {
	.secret_namespace = "a", .secret_name = "s", .secret_uid = "1", .hash = "bbbb"};
static const struct image_auth same_password = {
	.secret_namespace = "b", .secret_name = "t", .secret_uid = "2", .hash = "aaaa"};
static const struct image_auth bob = {
	.secret_namespace = "b", .secret_name = "s", .secret_uid = "3", .hash = "cccc"};
static const struct image_auth of_node = {.hash = "dddd"};

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/image_records_test.%d", getpid());
	unlink(path);
	r = image_records_open(path);
	return 0;
}

static int teardown(void **state)
{
	image_records_close(r);
	unlink(path);
	return 0;
}

static void reopen(void)
{
	image_records_close(r);
	r = image_records_open(path);
}

static bool allows(const char *id, const char *image, const struct image_auth *auth)
{
	return image_records_allow(r, id, image, auth, auth ? 1 : 0);
}

static void preloaded_is_for_all(void **state)
{
	assert_false(image_records_restricted(r, "id", "h.example/x:1"));
	assert_true(allows("id", "h.example/x:1", NULL));
	image_records_pulled(r, "id", "h.example/x:1", NULL);
	assert_false(image_records_restricted(r, "id", "h.example/x:1"));
	assert_int_equal(access(path, F_OK), -1); /* nothing to be remembered */
}

static void pulled_with_a_secret(void **state)
{
	image_records_begin(r, "h.example/x:1");
	image_records_pulled(r, "id", "h.example/x:1", &alice);
	for (int i = 0; i < 2; i++) {
		assert_true(image_records_restricted(r, "id", "h.example/x:1"));
		/* By another tag, too, but not by another name. */
		assert_true(allows("id", "h.example/x:2", &alice));
		assert_false(allows("id", "h.example/y:1", &alice));
		assert_false(allows("id", "h.example/x:1", NULL));
		assert_false(allows("id", "h.example/x:1", &bob));
		assert_false(allows("id", "h.example/x:1", &of_node));
		assert_true(allows("id", "h.example/x:1", &same_password));
		assert_true(allows("id", "h.example/x:1", &alice_later));
		reopen();
	}
	image_records_pulled(r, "id", "h.example/x:1", &bob);
	assert_true(allows("id", "h.example/x:1", &bob));
	assert_true(allows("id", "h.example/x:1", &alice));
	/* Then it turned out to be public. */
	image_records_pulled(r, "id", "h.example/x:1", &of_node);
	assert_false(image_records_restricted(r, "id", "h.example/x:1"));
	assert_true(allows("id", "h.example/x:1", NULL));
}

static void broken_off(void **state)
{
	image_records_begin(r, "h.example/x:1");
	reopen();
	assert_true(image_records_restricted(r, "id", "h.example/x:1"));
	assert_false(allows("id", "h.example/x:1", &alice));
	assert_false(image_records_restricted(r, "id", "h.example/y"));
	image_records_failed(r, "h.example/x:1");
	assert_false(image_records_restricted(r, "id", "h.example/x:1"));
}

static bool only_two(void *user, const char *id)
{
	return streq(id, "two");
}

static void swept(void **state)
{
	image_records_pulled(r, "one", "h.example/x:1", &alice);
	image_records_pulled(r, "two", "h.example/x:2", &alice);
	image_records_pulled(r, "three", "h.example/x:3", &alice);
	image_records_sweep(r, only_two, NULL);
	image_records_pulled(r, "four", "h.example/x:4", &alice);
	image_records_sweep(r, only_two, NULL);
	reopen();
	assert_false(image_records_restricted(r, "one", "h.example/x"));
	assert_true(image_records_restricted(r, "two", "h.example/x"));
	assert_false(image_records_restricted(r, "three", "h.example/x"));
	assert_true(image_records_restricted(r, "four", "h.example/x"));
}

static void bad_file(void **state)
{
	static const char *const texts[] = {"", "{", "[1]", "{\"images\":[]}",
		"{\"images\":{\"id\":7},\"pulling\":3}",
		"{\"images\":{\"id\":{\"h.example/x\":{\"secrets\":\"no\"}}}}"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fputs(texts[i], f);
		fclose(f);
		reopen();
		assert_false(allows("id", "h.example/x", &bob) &&
			     image_records_restricted(r, "id", "h.example/x"));
		image_records_begin(r, "h.example/x");
		image_records_pulled(r, "id", "h.example/x", &alice);
		assert_true(allows("id", "h.example/x", &alice));
		assert_false(allows("id", "h.example/x", &bob));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(preloaded_is_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(pulled_with_a_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_off, setup, teardown),
		cmocka_unit_test_setup_teardown(swept, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_file, setup, teardown),
	};

	return cmocka_run_group_tests_name("image_records", tests, NULL, NULL);
}
