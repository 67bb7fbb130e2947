#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "node/disk/disk_probe.h"

struct bytes {
	uint8_t p[16384];
	size_t size;
};

static struct arena arena;
static struct bytes file;
static struct disk_probe probe;
static struct err err;

static ssize_t read_bytes(void *user, void *to, size_t size, int64_t offset)
{
	if (offset < 0 || (size_t)offset >= file.size)
		return 0;
	size = MIN(size, file.size - (size_t)offset);
	memcpy(to, file.p + offset, size);
	return (ssize_t)size;
}

static int look(void)
{
	struct disk_bytes b = {.read = read_bytes, .size_bytes = (int64_t)file.size};

	err = ERR_INIT;
	probe = (struct disk_probe){0};
	return disk_probe(&arena, &b, &probe, &err);
}

static void begin(size_t size)
{
	memset(&file, 0, sizeof(file));
	file.size = size;
}

static void is_format(const char *format)
{
	if (look() < 0)
		fail_msg("%s: %s", format, err.msg);
	assert_string_equal(probe.format, format);
}

static void is_refused(const char *why)
{
	assert_int_equal(look(), -EINVAL);
	if (!strstr(err.msg, why))
		fail_msg("'%s' is not in: %s", why, err.msg);
}

static void put_le64(size_t at, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		file.p[at + (size_t)i] = (uint8_t)(v >> (8 * i));
}

static void make_vmdk(void)
{
	begin(16384);
	memcpy(file.p, "KDMV", 4);
	put_le64(12, 100); /* sectors */
	put_le64(28, 1);   /* the descriptor */
	put_le64(36, 20);
	strcpy((char *)file.p + 512,
		"# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff\n");
}

static void plain_ones_are_known(void **state)
{
	begin(4096);
	is_format("raw");
	assert_int_equal(probe.length, 4096);
	memcpy(file.p, "vhdxfile", 8);
	is_format("vhdx");
	begin(0);
	is_refused("empty");
}

static void packed_ones_are_told(void **state)
{
	begin(100);
	memcpy(file.p, "\x1f\x8b\x08", 3);
	assert_int_equal(look(), 0);
	assert_string_equal(probe.unpack, "gzip");
	assert_null(probe.format);
	memcpy(file.p,
		"\xfd"
		"7zXZ\0",
		6);
	assert_int_equal(look(), 0);
	assert_string_equal(probe.unpack, "xz");
	memcpy(file.p, "PK\3\4", 4);
	is_refused("ZIP");
}

static void a_vmdk_has_no_parent_and_no_other_files(void **state)
{
	make_vmdk();
	is_format("vmdk");
	put_le64(12, 0);
	is_refused("other files");
	make_vmdk();
	strcpy((char *)file.p + 600, "parentFileNameHint=\"/etc/shadow\"\n");
	is_refused("parent");
	make_vmdk();
	memcpy(strstr((char *)file.p + 512, "ffffffff"), "12345678", 8);
	is_refused("parent");
	/* A descriptor elsewhere, and NULs before the hint. */
	make_vmdk();
	put_le64(28, 8);
	strcpy((char *)file.p + 8 * 512 + 100, "PARENTFILENAMEHINT=x");
	is_refused("parent");
	begin(4096);
	strcpy((char *)file.p, "# Disk DescriptorFile\nRW 1 FLAT \"/etc/shadow\" 0\n");
	is_refused("descriptor");
	/* Its true header is at the end. */
	make_vmdk();
	put_le64(56, UINT64_MAX);
	is_refused("damaged");
	memcpy(file.p + file.size - 1024, file.p, 512);
	is_format("vmdk");
	put_le64(file.size - 1024 + 12, 0);
	is_refused("other files");
}

static void vdi_and_vhd_have_no_parent(void **state)
{
	begin(4096);
	memcpy(file.p + 0x40, "\x7f\x10\xda\xbe", 4);
	file.p[0x4c] = 1;
	is_format("vdi");
	file.p[0x4c] = 4; /* differencing */
	is_refused("parent");
	begin(4096);
	memcpy(file.p, "conectix", 8);
	file.p[63] = 3;
	is_format("vpc");
	file.p[63] = 4;
	is_refused("parent");
	begin(4096);
	memcpy(file.p + 4096 - 512, "conectix", 8);
	is_format("raw"); /* what a guest wrote at its end */
	file.p[4096 - 512 + 63] = 2;
	is_format("vpc");
}

/* ---- OVA ---- */

static size_t add_entry(size_t at, const char *name, const void *data, size_t size)
{
	uint8_t *h = file.p + at;
	unsigned sum = 0;

	memset(h, 0, 512);
	snprintf((char *)h, 100, "%s", name);
	snprintf((char *)h + 124, 12, "%011o", (unsigned)size);
	h[156] = '0';
	memcpy(h + 257,
		"ustar\0"
		"00",
		8);
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
	memcpy(h + 512, data, size);
	return at + 512 + (size + 511) / 512 * 512;
}

static const char descriptor[] =
	"<?xml version='1.0'?>\n<!-- <File ovf:id='file1' ovf:href='no.vmdk'/> -->\n"
	"<Envelope xmlns:ovf=\"x\"><References>"
	"<File ovf:href=\"other.vmdk\" ovf:id=\"file0\"/>"
	"<File ovf:href=\"disk.img\" ovf:id=\"file1\" ovf:size=\"5\"/></References>\n"
	"<DiskSection><Disk ovf:capacity=\"1\" ovf:diskId=\"d\" ovf:fileRef=\"file1\"/>"
	"</DiskSection></Envelope>";

static void make_ova(const char *text, const char *name)
{
	uint8_t data[1024];
	size_t at = 0;

	memset(data, 7, sizeof(data));
	begin(0);
	at = add_entry(at, "vm.ovf", text, strlen(text));
	at = add_entry(at, name, data, sizeof(data));
	file.size = at + 1024;
}

static void an_ova_leads_to_its_disk(void **state)
{
	make_ova(descriptor, "./disk.img");
	is_format("raw");
	assert_string_equal(probe.member, "./disk.img");
	assert_int_equal(probe.length, 1024);
	assert_int_equal(file.p[probe.offset], 7);
	assert_false(probe.is_layer);
}

static void an_ova_that_is_wrong_says_what(void **state)
{
	make_ova(descriptor, "another.img");
	is_refused("'disk.img' that its descriptor names is not in it");
	make_ova("<Envelope/>", "disk.img");
	is_refused("names no disk");
	make_ova(
		"<E><Disk ovf:fileRef='a'/><File ovf:id='b' ovf:href='disk.img'/></E>", "disk.img");
	is_refused("names no file for the disk 'a'");
	make_ova("<E><Disk fileRef='a'/><File id='a' href='disk.img' compression='gzip'/></E>",
		"disk.img");
	is_refused("packed");
	make_ova("<E><Disk fileRef='a'/><File id='a' href='d&amp;.img'/></E>", "d&.img");
	is_refused("names no file");
	make_ova(descriptor, "disk.img");
	file.p[0] ^= 1;
	is_refused("damaged");
	make_ova(descriptor, "disk.img");
	file.size = 1600;
	is_refused("cut off");
	begin(2048);
	file.size = add_entry(0, "a.txt", "x", 1);
	is_refused("without an OVF descriptor");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_ones_are_known),
		cmocka_unit_test(packed_ones_are_told),
		cmocka_unit_test(a_vmdk_has_no_parent_and_no_other_files),
		cmocka_unit_test(vdi_and_vhd_have_no_parent),
		cmocka_unit_test(an_ova_leads_to_its_disk),
		cmocka_unit_test(an_ova_that_is_wrong_says_what),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	arena_finish(&arena);
	return r;
}
