/* Pure pieces: what answers' headers say, and what a DataVolume's status is to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "node/disk/populate/http_headers.h"
#include "node/disk/populate/nfs_deliver.h"
#include "node/disk/populate/populate_room.h"
#include "node/disk/populate/populate_status.h"

static struct arena arena;

static int done(void **state)
{
	arena_finish(&arena);
	return 0;
}

static void the_last_answer_counts(void **state)
{
	struct http_headers h;

	http_headers_read(&arena,
		"HTTP/1.1 302 Found\r\nETag: \"old\"\r\nContent-Length: 5\r\n\r\n"
		"HTTP/2 200\r\ncontent-length: 700\r\netag: \"new\"\r\n\r\n",
		&h);
	assert_int_equal(h.code, 200);
	assert_int_equal(h.total, 700);
	assert_string_equal(h.validator, "\"new\"");
}

static void a_part_tells_the_whole(void **state)
{
	struct http_headers h;

	http_headers_read(&arena,
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-199/200\r\n"
		"Content-Length: 100\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n\r\n",
		&h);
	assert_int_equal(h.total, 200);
	assert_string_equal(h.validator, "Sat, 21 Nov 2026 10:00:00 GMT");
}

static void a_weak_tag_is_no_proof(void **state)
{
	struct http_headers h;

	http_headers_read(&arena, "HTTP/1.1 200 OK\r\nETag: W/\"x\"\r\n\r\n", &h);
	assert_null(h.validator);
	assert_int_equal(h.total, 0);
	http_headers_read(&arena, "", &h);
	assert_int_equal(h.code, 0);
	http_headers_read(&arena, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n", &h);
	assert_int_equal(h.length, -1);
	http_headers_read(&arena, "HTTP/1.1 206 OK\r\nContent-Range: bytes 1-2/*\r\n", &h);
	assert_int_equal(h.total, 0);
}

/* The directory may be a pod's: what is there need not be a file. */
static void only_files_are_read(void **state)
{
	char directory[] = "/tmp/hanok-populate-XXXXXX";
	_cleanup_(free_p) char *path = NULL, *other = NULL;
	struct http_headers h;
	FILE *f;

	assert_non_null(mkdtemp(directory));
	path = xasprintf("%s/headers", directory);
	other = xasprintf("%s/other", directory);
	http_headers_load(&arena, path, &h);
	assert_int_equal(h.code, 0);
	f = fopen(other, "we");
	assert_non_null(f);
	assert_int_equal(fputs("HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n", f) < 0, 0);
	assert_int_equal(fclose(f), 0);
	http_headers_load(&arena, other, &h);
	assert_int_equal(h.code, 200);
	assert_string_equal(h.validator, "\"x\"");
	assert_int_equal(symlink(other, path), 0);
	http_headers_load(&arena, path, &h);
	assert_int_equal(h.code, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(10); /* it would wait for a writer */
	http_headers_load(&arena, path, &h);
	alarm(0);
	assert_int_equal(h.code, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(rmdir(directory), 0);
}

static struct json *parse(const char *text)
{
	struct json *doc;

	assert_int_equal(json_parse(&arena, text, strlen(text), NULL, &doc, NULL), 0);
	return doc;
}

static const char *condition(const struct json *patch, const char *type, const char *field)
{
	JSON_FOR_EACH_ITEM(c, json_path(patch, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), type))
			return json_str_or(json_get(c, field), "");
	return "none";
}

static void progress_is_told_as_cdi_does(void **state)
{
	struct populate_state s = {.phase = "ImportInProgress",
		.part = 0.42171,
		.running = true,
		.reason = "Pod is running",
		.message = "half"};
	struct json *doc =
		parse("{\"metadata\":{\"resourceVersion\":\"7\"},\"status\":{\"phase\":"
		      "\"PVCBound\",\"conditions\":[{\"type\":\"Bound\",\"status\":\"True\"}]}}");
	struct json *patch = populate_status_patch(&arena, doc, &s, 0);

	assert_non_null(patch);
	assert_string_equal(json_path_str(patch, "metadata.resourceVersion"), "7");
	assert_string_equal(json_path_str(patch, "status.progress"), "42.17%");
	assert_string_equal(json_path_str(patch, "status.phase"), "ImportInProgress");
	assert_string_equal(condition(patch, "Running", "status"), "True");
	assert_string_equal(condition(patch, "Ready", "status"), "False");
	assert_string_equal(condition(patch, "Ready", "reason"), "TransferRunning");
	assert_string_equal(condition(patch, "Bound", "status"), "True"); /* the server's stays */
}

static void nothing_is_told_twice(void **state)
{
	struct populate_state s = {.phase = "Succeeded",
		.part = 1,
		.reason = "Completed",
		.message = "Import Complete"};
	struct json *doc = parse("{\"metadata\":{\"resourceVersion\":\"7\"},\"status\":{}}"),
		    *patch;

	patch = populate_status_patch(&arena, doc, &s, 0);
	assert_non_null(patch);
	assert_string_equal(json_path_str(patch, "status.progress"), "100.0%");
	assert_string_equal(condition(patch, "Ready", "status"), "True");
	json_set(&arena, doc, "status", json_get(patch, "status"));
	assert_null(populate_status_patch(&arena, doc, &s, NS_PER_S));
	s.restarts = 1;
	patch = populate_status_patch(&arena, doc, &s, NS_PER_S);
	assert_int_equal(json_path_int(patch, "status.restartCount", 0), 1);
}

/* A disk.img that is on a server is one's own when it is the file that was noted before. */
static void only_what_was_noted_is_ours(void **state)
{
	char directory[] = "/tmp/hanok-populate-XXXXXX";
	_cleanup_(free_p) char *path = NULL;
	FILE *f;

	assert_non_null(mkdtemp(directory));
	path = xasprintf("%s/delivered", directory);
	assert_false(nfs_deliver_made(directory, "12345678901"));
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fputs("12345678901", f) < 0, 0);
	assert_int_equal(fclose(f), 0);
	assert_true(nfs_deliver_made(directory, "12345678901"));
	assert_false(nfs_deliver_made(directory, "1234567890"));
	assert_false(nfs_deliver_made(directory, ""));
	assert_int_equal(remove(path), 0);
	assert_false(nfs_deliver_made(directory, "12345678901"));
	assert_int_equal(rmdir(directory), 0);
}

static void pods_keep_their_room(void **state)
{
	struct node_threshold none = {.set = false};
	struct node_threshold tenth = {.set = true, .below = {.is_percent = true, .percent = 10}};
	struct node_threshold bytes = {.set = true, .below = {.value = 5000}};
	int64_t spare = POPULATE_SPARE_BYTES, gib = INT64_C(1) << 30;

	assert_true(populate_kept(&none, 100 * gib) == spare);
	assert_true(populate_kept(&tenth, 100 * gib) == spare + 10 * gib);
	assert_true(populate_kept(&bytes, 100 * gib) == spare + 5000);
	assert_true(populate_has_room(11 * gib, 10 * gib, gib));
	assert_false(populate_has_room(11 * gib, 10 * gib, gib + 1));
	assert_false(populate_has_room(9 * gib, 10 * gib, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_answer_counts),
		cmocka_unit_test(a_part_tells_the_whole),
		cmocka_unit_test(a_weak_tag_is_no_proof),
		cmocka_unit_test(only_files_are_read),
		cmocka_unit_test(progress_is_told_as_cdi_does),
		cmocka_unit_test(nothing_is_told_twice),
		cmocka_unit_test(pods_keep_their_room),
		cmocka_unit_test(only_what_was_noted_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
