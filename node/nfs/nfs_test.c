#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lib/base/str.h"
#include "node/nfs/nfs_place.h"

static int reads(struct arena *a, const char *text, struct nfs_place *ret, struct err *err)
{
	struct json *volume;

	assert_int_equal(json_parse(a, text, strlen(text), NULL, &volume, NULL), 0);
	return nfs_place_read(a, volume, ret, err);
}

static void places(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct nfs_place p;
	struct err err = ERR_INIT;

	assert_int_equal(reads(&a,
				 "{\"spec\":{\"nfs\":{\"server\":\"NAS.example.com\",\"path\":"
				 "\"//srv///vms//\"}}}",
				 &p, &err),
		0);
	assert_string_equal(p.server, "nas.example.com");
	assert_string_equal(p.path, "/srv/vms");
	assert_int_equal(p.uid, 107);
	assert_int_equal(p.gid, 107);
	assert_false(p.read_only);
	assert_string_equal(nfs_url(&a, &p, NULL), "nfs://nas.example.com/srv/vms");
	assert_string_equal(nfs_url_as(&a, &p, "disk.img"),
		"nfs://nas.example.com/srv/vms/disk.img?uid=107&gid=107");

	assert_int_equal(
		reads(&a,
			"{\"metadata\":{\"annotations\":{\"hanok.io/nfs-uid\":\"0\",\"hanok.io/"
			"nfs-gid\":"
			"\"36\"}},\"spec\":{\"nfs\":{\"server\":\"10.0.0.1\",\"path\":\"/\","
			"\"readOnly\":true}}}",
			&p, &err),
		0);
	assert_int_equal(p.uid, 0);
	assert_int_equal(p.gid, 36);
	assert_true(p.read_only);
	assert_string_equal(nfs_url(&a, &p, "disk.img"), "nfs://10.0.0.1/disk.img");

	assert_int_equal(
		reads(&a,
			"{\"metadata\":{\"annotations\":{\"hanok.io/nfs-uid\":\"root\"}},\"spec\":{"
			"\"nfs\":{\"server\":\"a\",\"path\":\"/b\"}}}",
			&p, &err),
		-EINVAL);
	assert_non_null(strstr(err.msg, "annotation hanok.io/nfs-uid: 'root'"));
}

/* Nothing of a place may be taken for another part of a URL, an option, or markup. */
static void refused(void **state)
{
	static const struct {
		const char *server, *path, *says;
	} bad[] = {
		{"", "/a", "nfs.server"},
		{"-o", "/a", "nfs.server"},
		{"a/b", "/a", "nfs.server"},
		{"a@b", "/a", "nfs.server"},
		{"::1", "/a", "nfs.server"},
		{"a", "", "nfs.path"},
		{"a", "b", "nfs.path"},
		{"a", "/b?uid=0", "nfs.path"},
		{"a", "/b#c", "nfs.path"},
		{"a", "/b/../c", "nfs.path"},
		{"a", "/b/.", "nfs.path"},
		{"a", "/b c", "nfs.path"},
		{"a", "/b'c", "nfs.path"},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(nfs_place_check(bad[i].server, bad[i].path, &err), -EINVAL);
		assert_non_null(strstr(err.msg, bad[i].says));
	}
	assert_int_equal(nfs_place_check(NULL, NULL, NULL), -EINVAL);
	assert_int_equal(nfs_place_check("192.0.2.7", "/srv/a..b/pvc-1", NULL), 0);
}

static void ids(void **state)
{
	uint32_t id = 7;

	assert_int_equal(nfs_id_read("4294967294", &id, NULL), 0);
	assert_int_equal(id, 4294967294u);
	assert_int_equal(nfs_id_read("4294967295", &id, NULL), -EINVAL);
	assert_int_equal(nfs_id_read("-1", &id, NULL), -EINVAL);
	assert_int_equal(nfs_id_read("1x", &id, NULL), -EINVAL);
	assert_int_equal(nfs_id_read("", &id, NULL), -EINVAL);
	assert_int_equal(id, 4294967294u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
		cmocka_unit_test(refused),
		cmocka_unit_test(ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
