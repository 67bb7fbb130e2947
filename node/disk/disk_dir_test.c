#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "node/disk/disk_dir.h"
#include "node/volume/volume.h"

#define TOP "aaaaaaaa-0000-4000-8000-000000000001.qcow2"
#define MIDDLE "aaaaaaaa-0000-4000-8000-000000000002.qcow2"
#define BOTTOM "aaaaaaaa-0000-4000-8000-000000000003.qcow2"

struct fixture {
	char dir[64];
	struct arena arena;
	struct disk_chain chain;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/disk_dir_test.XXXXXX");
	*state = f;
	return mkdtemp(f->dir) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_finish(&f->arena);
	(void)!volume_remove_tree(f->dir, NULL);
	free(f);
	return 0;
}

static char *in(struct fixture *f, const char *name)
{
	return arena_printf(&f->arena, "%s/%s", f->dir, name);
}

static void put(struct fixture *f, const char *name, const void *p, size_t size)
{
	FILE *file = fopen(in(f, name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(p, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void put_text(struct fixture *f, const char *name, const char *text)
{
	put(f, name, text, strlen(text));
}

static void set32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A header as qemu-img writes it: extensions at 104, the name behind them. */
static size_t header(uint8_t p[1024], uint32_t mib, const char *backing, const char *format)
{
	size_t at = 104;

	memset(p, 0, 1024);
	memcpy(p, "QFI\xfb", 4);
	set32(p + 4, 3);
	set32(p + 20, 16);
	set32(p + 24, mib >> 12);
	set32(p + 28, mib << 20);
	set32(p + 100, 104);
	if (format) {
		set32(p + at, 0xe2792aca);
		set32(p + at + 4, (uint32_t)strlen(format));
		memcpy(p + at + 8, format, strlen(format));
		at += 8 + (strlen(format) + 7) / 8 * 8;
	}
	at += 8;
	if (backing) {
		set32(p + 12, (uint32_t)at);
		set32(p + 16, (uint32_t)strlen(backing));
		memcpy(p + at, backing, strlen(backing));
		at += strlen(backing);
	}
	return at;
}

static void put_layer(
	struct fixture *f, const char *name, uint32_t mib, const char *backing, const char *format)
{
	uint8_t p[1024];
	size_t size = header(p, mib, backing, format);

	put(f, name, p, size);
}

static int get(struct fixture *f)
{
	f->err = ERR_INIT;
	return disk_dir_read(&f->arena, f->dir, &f->chain, &f->err);
}

static void refused(struct fixture *f, int code, const char *why)
{
	assert_int_equal(get(f), code);
	if (!strstr(f->err.msg, why))
		fail_msg("'%s' is not in: %s", why, f->err.msg);
}

static void nothing_there_is_no_disk(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f), -ENOENT);
	put_layer(f, TOP, 16, NULL, NULL); /* not published */
	put_layer(f, ".new-" MIDDLE, 16, NULL, NULL);
	assert_int_equal(get(f), -ENOENT);
	disk_dir_sweep(f->dir);
	assert_int_equal(access(in(f, ".new-" MIDDLE), F_OK), -1);
	assert_int_equal(access(in(f, TOP), F_OK), 0);
	put(f, "mine", "x", 1);
	disk_dir_sweep_layers(f->dir);
	assert_int_equal(access(in(f, TOP), F_OK), -1);
	assert_int_equal(access(in(f, "mine"), F_OK), 0);
}

static void a_raw_image_is_raw_whatever_it_has(void **state)
{
	struct fixture *f = *state;
	uint8_t p[1024];

	header(p, 16, "/etc/shadow", "raw");
	put(f, "disk.img", p, 1000);
	assert_int_equal(get(f), 0);
	assert_string_equal(f->chain.layers[0].format, "raw");
	assert_int_equal(f->chain.count, 1);
	assert_int_equal(f->chain.size_bytes, 1024);
}

static void links_are_not_followed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(symlink("/etc/passwd", in(f, "disk.img")), 0);
	assert_true(get(f) < 0 && get(f) != -ENOENT);
	assert_int_equal(unlink(in(f, "disk.img")), 0);
	assert_int_equal(mkfifo(in(f, "disk.img"), 0600), 0);
	refused(f, -EINVAL, "not a regular file");
}

static void a_chain_is_read_from_the_top(void **state)
{
	struct fixture *f = *state;

	put_layer(f, BOTTOM, 8, NULL, NULL);
	put_layer(f, MIDDLE, 8, BOTTOM, "qcow2");
	put_layer(f, TOP, 16, MIDDLE, "qcow2");
	put_text(f, "disk.img", "an older way");
	assert_int_equal(disk_dir_publish(f->dir, TOP, 16 << 20, &f->err), 0);
	assert_int_equal(get(f), 0);
	assert_int_equal(f->chain.count, 3);
	assert_string_equal(f->chain.layers[0].name, TOP);
	assert_string_equal(f->chain.layers[2].path, in(f, BOTTOM));
	assert_false(f->chain.layers[0].frozen);
	assert_true(f->chain.layers[1].frozen);
	assert_int_equal(f->chain.size_bytes, 16 << 20);
	assert_int_equal(access(in(f, ".new-disk.json"), F_OK), -1);
}

static void a_chain_stays_in_its_directory(void **state)
{
	static const char *const bad[] = {"/etc/passwd", "../x.qcow2", "disk.img",
		"nbd://127.0.0.1/x", "json:{\"driver\":\"raw\"}", "a/" BOTTOM};
	struct fixture *f = *state;

	put_layer(f, BOTTOM, 8, NULL, NULL);
	put_layer(f, TOP, 8, BOTTOM, "qcow2");
	assert_int_equal(disk_dir_publish(f->dir, TOP, 8 << 20, &f->err), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put_layer(f, TOP, 8, bad[i], "qcow2");
		refused(f, -EINVAL, "not allowed");
	}
	put_layer(f, TOP, 8, BOTTOM, NULL);
	refused(f, -EINVAL, "does not say that its backing file is qcow2");
	put_layer(f, TOP, 8, BOTTOM, "raw");
	refused(f, -EINVAL, "does not say that its backing file is qcow2");
	put_layer(f, TOP, 8, TOP, "qcow2");
	refused(f, -ELOOP, "below itself");
	put_layer(f, TOP, 8, MIDDLE, "qcow2");
	refused(f, -EINVAL, "layer 1 of the disk");
}

static void headers_that_open_other_things_are_refused(void **state)
{
	struct fixture *f = *state;
	struct qcow2_header h;
	uint8_t p[1024];
	size_t size;

	size = header(p, 8, NULL, NULL);
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), 0);
	assert_int_equal(h.size_bytes, 8 << 20);
	p[79] = 4; /* external data file */
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), -EINVAL);
	p[79] = 2; /* corrupt */
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), -EINVAL);
	p[79] = 1 | 8 | 16; /* dirty, zstd, extended L2 */
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), 0);
	assert_true(h.dirty);
	p[79] = 32; /* tomorrow's */
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), -EINVAL);
	p[79] = 0;
	set32(p + 32, 1); /* AES */
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), -EINVAL);
	set32(p + 32, 0);
	for (size_t n = 0; n < 104; n++)
		assert_int_equal(qcow2_header_read(&f->arena, p, n, &h, &f->err), -EINVAL);
	size = header(p, 8, NULL, "raw");
	set32(p + 104, 0x44415441); /* names a data file */
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), -EINVAL);
	set32(p + 104, 0xe2792aca);
	set32(p + 108, 0xfffffff0); /* beyond the end */
	assert_int_equal(qcow2_header_read(&f->arena, p, size, &h, &f->err), -EINVAL);
}

static void a_record_that_is_none_is_no_missing_disk(void **state)
{
	static const char *const bad[] = {"", "{", "{}", "{\"top\":5}", "{\"top\":\"../x.qcow2\"}",
		"{\"top\":\"" TOP "x\"}", "{\"top\":\"disk.img\"}"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put_text(f, "disk.json", bad[i]);
		refused(f, -EINVAL, "disk.json");
	}
	put_text(f, "disk.json", "{\"top\":\"" TOP "\"}");
	refused(f, -EINVAL, "layer 0 of the disk");
}

static void a_shared_top_is_not_written(void **state)
{
	struct fixture *f = *state;

	put_layer(f, TOP, 8, NULL, NULL);
	assert_int_equal(disk_dir_publish(f->dir, TOP, 8 << 20, &f->err), 0);
	assert_int_equal(link(in(f, TOP), in(f, MIDDLE)), 0);
	refused(f, -EBUSY, "shared");
}

static void owners_change_of_the_file_itself(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	put(f, "other", "x", 1);
	assert_int_equal(chmod(in(f, "other"), 0644), 0);
	assert_int_equal(symlink(in(f, "other"), in(f, ".new-a")), 0);
	assert_true(disk_dir_set_owner(in(f, ".new-a"), getuid(), 0600, &f->err) < 0);
	assert_int_equal(link(in(f, "other"), in(f, ".new-b")), 0);
	assert_true(disk_dir_set_owner(in(f, ".new-b"), getuid(), 0600, &f->err) < 0);
	assert_int_equal(stat(in(f, "other"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(unlink(in(f, ".new-b")), 0);
	assert_int_equal(disk_dir_set_owner(in(f, "other"), getuid(), 0600, &f->err), 0);
	assert_int_equal(stat(in(f, "other"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_there_is_no_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_raw_image_is_raw_whatever_it_has, setup, teardown),
		cmocka_unit_test_setup_teardown(links_are_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_chain_is_read_from_the_top, setup, teardown),
		cmocka_unit_test_setup_teardown(a_chain_stays_in_its_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(
			headers_that_open_other_things_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_record_that_is_none_is_no_missing_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(a_shared_top_is_not_written, setup, teardown),
		cmocka_unit_test_setup_teardown(owners_change_of_the_file_itself, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
