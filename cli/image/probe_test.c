#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/image/probe.h"

static int probe(const void *data, size_t size, off_t length, struct probe *p, struct err *err)
{
	char path[] = "/tmp/hanok-probe.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(ftruncate(fd, length), 0);
	close(fd);
	int r = probe_image(path, p, err);
	unlink(path);
	return r;
}

static void put_be(unsigned char *p, uint64_t v, unsigned bytes)
{
	while (bytes-- > 0) {
		p[bytes] = (unsigned char)v;
		v >>= 8;
	}
}

static void qcow2_header(unsigned char *h)
{
	memset(h, 0, 512);
	memcpy(h, "QFI\xfb", 4);
	put_be(h + 4, 3, 4);
	put_be(h + 24, 1 << 30, 8);
}

static void test_qcow2(void **state)
{
	unsigned char h[1024] = {0};
	struct probe p;
	struct err err = ERR_INIT;
	qcow2_header(h);
	assert_int_equal(probe(h, sizeof(h), 4096, &p, &err), 0);
	assert_string_equal(p.format, "qcow2");
	assert_int_equal(p.virtual_bytes, 1 << 30);
	assert_string_equal(p.backing, "");
	put_be(h + 8, 600, 8);
	put_be(h + 16, 11, 4);
	memcpy(h + 600, "/etc/shadow", 11);
	put_be(h + 72, 4, 8);
	assert_int_equal(probe(h, sizeof(h), 4096, &p, &err), 0);
	assert_string_equal(p.backing, "/etc/shadow");
	assert_true(p.data_file);
}

static void test_qcow2_lies(void **state)
{
	unsigned char h[512];
	struct probe p;
	struct err err = ERR_INIT;
	qcow2_header(h);
	put_be(h + 8, UINT64_MAX - 3, 8);
	put_be(h + 16, 100, 4);
	assert_true(probe(h, sizeof(h), 4096, &p, &err) < 0);
	qcow2_header(h);
	put_be(h + 8, 512, 8);
	put_be(h + 16, UINT32_MAX, 4);
	assert_true(probe(h, sizeof(h), 4096, &p, &err) < 0);
	qcow2_header(h);
	put_be(h + 4, 9, 4);
	assert_true(probe(h, sizeof(h), 4096, &p, &err) < 0);
}

static void test_raw(void **state)
{
	unsigned char h[512] = {0};
	struct probe p;
	struct err err = ERR_INIT;
	static const unsigned char entry[] = {
		0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0xf8, 1, 0};
	memcpy(h + 446, entry, sizeof(entry));
	h[510] = 0x55;
	h[511] = 0xaa;
	assert_int_equal(probe(h, sizeof(h), 64 << 20, &p, &err), 0);
	assert_string_equal(p.format, "raw");
	assert_string_equal(p.table, "mbr");
	assert_int_equal(p.partition_count, 1);
	assert_string_equal(p.partitions[0].type, "Linux");
	assert_int_equal(p.partitions[0].start_bytes, 1 << 20);
	assert_true(p.partitions[0].bootable);
	assert_int_equal(probe("", 0, 0, &p, &err), 0);
	assert_null(p.table);
}

/* A table that points outside, with entries of no size. */
static void test_gpt_lies(void **state)
{
	unsigned char h[1024] = {0};
	struct probe p;
	struct err err = ERR_INIT;
	memcpy(h + 512, "EFI PART", 8);
	memset(h + 512 + 72, 0xff, 16);
	assert_int_equal(probe(h, sizeof(h), 1 << 20, &p, &err), 0);
	assert_string_equal(p.table, "gpt");
	assert_int_equal(p.partition_count, 0);
}

static void put_le(unsigned char *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

static void test_vhdx(void **state)
{
	static unsigned char h[2 << 20];
	unsigned char *region = h + (192 << 10) + 16 + 32, *item = h + (1 << 20) + 32;
	struct probe p;
	struct err err = ERR_INIT;
	memset(h, 0, sizeof(h));
	memcpy(h, "vhdxfile", 8);
	assert_int_equal(probe(h, sizeof(h), sizeof(h), &p, &err), 0);
	assert_string_equal(p.format, "vhdx");
	assert_int_equal(p.virtual_bytes, 0);
	memcpy(region, "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e", 16);
	put_le(region + 16, 1 << 20, 8);
	memcpy(item, "\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8", 16);
	put_le(item + 16, 65536, 4);
	put_le(h + (1 << 20) + 65536, 3 << 20, 8);
	assert_int_equal(probe(h, sizeof(h), sizeof(h), &p, &err), 0);
	assert_int_equal(p.virtual_bytes, 3 << 20);
	put_le(region + 16, UINT64_MAX, 8);
	assert_int_equal(probe(h, sizeof(h), sizeof(h), &p, &err), 0);
	assert_int_equal(p.virtual_bytes, 0);
}

/* A descriptor of 700 bytes, and a VMDK behind it. */
static void test_ova(void **state)
{
	unsigned char h[4096] = {0};
	struct probe p;
	struct err err = ERR_INIT;
	memcpy(h + 257, "ustar", 5);
	memcpy(h + 124, "00000001274", 11);
	memcpy(h + 3 * 512 + 257, "ustar", 5);
	memcpy(h + 3 * 512 + 124, "00000002000", 11);
	memcpy(h + 4 * 512, "KDMV", 4);
	put_le(h + 4 * 512 + 12, 2048, 8);
	assert_int_equal(probe(h, sizeof(h), sizeof(h), &p, &err), 0);
	assert_string_equal(p.format, "ova");
	assert_int_equal(p.virtual_bytes, 1 << 20);
	h[124] = 0x80;
	memset(h + 125, 0xff, 11);
	assert_int_equal(probe(h, sizeof(h), sizeof(h), &p, &err), 0);
	assert_int_equal(p.virtual_bytes, 0);
}

static void test_packed(void **state)
{
	struct probe p;
	struct err err = ERR_INIT;
	assert_int_equal(probe("\x1f\x8b\x08", 3, 5000, &p, &err), 0);
	assert_string_equal(p.format, "gzip");
	assert_int_equal(p.virtual_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qcow2),
		cmocka_unit_test(test_qcow2_lies),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_gpt_lies),
		cmocka_unit_test(test_vhdx),
		cmocka_unit_test(test_ova),
		cmocka_unit_test(test_packed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
