#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/vm/host/ksm.h"
#include "node/vm/image/image_files.h"

static char root[] = "/tmp/ksm_test.XXXXXX";

static void put(const char *name, const char *text)
{
	_cleanup_(free_p) char *path = xasprintf("%s/sys/kernel/mm/ksm/%s", root, name);
	struct err err = ERR_INIT;

	assert_int_equal(files_write(path, text, strlen(text), 0644, &err), 0);
}

static void expect(const char *name, const char *text)
{
	_cleanup_(free_p) char *path = xasprintf("%s/sys/kernel/mm/ksm/%s", root, name);
	char is[32];

	assert_true(files_read(path, is, sizeof(is)) > 0);
	assert_memory_equal(is, text, strlen(text));
}

static void only_where_it_is_wanted(void **state)
{
	static const struct {
		const char *configuration;
		bool wanted;
	} cases[] = {
		{"{}", false},
		{"{ksmConfiguration: {}}", false},
		{"{ksmConfiguration: {nodeLabelSelector: {}}}", true},
		{"{ksmConfiguration: {nodeLabelSelector: {matchLabels: {dense: yes-please}}}}",
			true},
		{"{ksmConfiguration: {nodeLabelSelector: {matchLabels: {dense: never}}}}", false},
	};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *labels = json_new_object(&a), *doc;
	struct err err = ERR_INIT;

	json_set_str(&a, labels, "dense", "yes-please");
	assert_false(ksm_wanted(NULL, labels));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(yaml_parse(&a, cases[i].configuration,
					 strlen(cases[i].configuration), NULL, &doc, &err),
			0);
		if (ksm_wanted(doc, labels) != cases[i].wanted)
			fail_msg("%s", cases[i].configuration);
	}
}

static void switches_what_is_its_own(void **state)
{
	_cleanup_(free_p) char *record = NULL;
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct ksm k;

	assert_non_null(mkdtemp(root));
	record = xasprintf("%s/record", root);
	ksm_read(root, &k);
	assert_false(k.there);
	assert_int_equal(ksm_switch(root, record, true), -EOPNOTSUPP);
	assert_int_equal(ksm_switch(root, record, false), 0);
	for (const char *p = "/sys/kernel/mm/ksm/", *slash = p; (slash = strchr(slash + 1, '/'));) {
		_cleanup_(free_p) char *path = xasprintf("%s%.*s", root, (int)(slash - p), p);
		mkdir(path, 0755);
	}
	put("run", "0\n");
	put("pages_to_scan", "100\n");
	put("sleep_millisecs", "20\n");
	put("pages_shared", "10\n");
	put("pages_sharing", "300\n");
	assert_int_equal(ksm_switch(root, record, true), 0);
	expect("run", "1");
	expect("pages_to_scan", "1000");
	ksm_read(root, &k);
	assert_true(k.there && k.running);
	assert_int_equal(k.saved_bytes, 300 * sysconf(_SC_PAGESIZE));
	ksm_write_metrics(root, &b);
	assert_non_null(strstr(b.data, "\nnode_ksmd_pages_sharing 300\n"));
	assert_int_equal(ksm_switch(root, record, false), 0);
	expect("run", "0");
	/* Somebody else's stays. */
	put("run", "1\n");
	assert_int_equal(ksm_switch(root, record, false), 0);
	expect("run", "1");
	files_remove_tree(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_where_it_is_wanted),
		cmocka_unit_test(switches_what_is_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
