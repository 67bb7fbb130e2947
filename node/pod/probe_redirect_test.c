/* probe_redirect_test.c - places, and places that are not to be followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/pod/probe_redirect.h"

static void places(void **state)
{
	static const struct {
		const char *location, *host, *path;
		bool tls;
		const char *to; /* NULL = not to be followed */
		int port;
		bool to_tls;
	} cases[] = {
		{"/b", "10.0.0.1", "/a", false, "/b", 8080, false},
		{"/b?x=1#frag", "10.0.0.1", "/a", true, "/b?x=1", 8080, true},
		{"b", "10.0.0.1", "/dir/a?q=/z", false, "/dir/b", 8080, false},
		{"../b", "10.0.0.1", "/dir/a", false, "/dir/../b", 8080, false},
		{"b", "10.0.0.1", "", false, "/b", 8080, false},
		{"?y", "10.0.0.1", "/a?x", false, "/a?y", 8080, false},
		{"", "10.0.0.1", "/dir/a", false, "/dir/", 8080, false},
		{"http://10.0.0.1/b", "10.0.0.1", "/a", false, "/b", 80, false},
		{"https://10.0.0.1:8443/b", "10.0.0.1", "/a", false, "/b", 8443, true},
		{"https://10.0.0.1", "10.0.0.1", "/a", false, "/", 443, true},
		{"http://10.0.0.1?x", "10.0.0.1", "/a", true, "/?x", 80, false},
		{"//10.0.0.1:81/b", "10.0.0.1", "/a", false, "/b", 81, false},
		{"http://u@10.0.0.1/b", "10.0.0.1", "/a", false, "/b", 80, false},
		{"http://[fd00::1]:81/b", "fd00::1", "/a", false, "/b", 81, false},
		{"http://[FD00::1]/b", "fd00::1", "/a", false, "/b", 80, false},
		{"http://[fd00::1", "fd00::1", "/a", false, NULL, 0, false},
		{"http://elsewhere/b", "10.0.0.1", "/a", false, NULL, 0, false},
		{"//10.0.0.11/b", "10.0.0.1", "/a", false, NULL, 0, false},
		{"http://10.0.0.1:99999/", "10.0.0.1", "/a", false, NULL, 0, false},
		{"http://10.0.0.1:x/", "10.0.0.1", "/a", false, NULL, 0, false},
		{"ftp://10.0.0.1/", "10.0.0.1", "/a", false, NULL, 0, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const char *to = NULL;
		bool tls = cases[i].tls;
		int port = 8080;
		bool followed = probe_redirect(
			&a, cases[i].location, cases[i].host, cases[i].path, &tls, &port, &to);
		assert_int_equal(followed, cases[i].to != NULL);
		if (!followed)
			continue;
		assert_string_equal(to, cases[i].to);
		assert_int_equal(port, cases[i].port);
		assert_int_equal(tls, cases[i].to_tls);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(places)};

	return cmocka_run_group_tests_name("probe_redirect", tests, NULL, NULL);
}
