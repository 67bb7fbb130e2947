#include "cli/image/probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define SECTOR 512u
#define MBR_ENTRIES 446u

static uint64_t be(const unsigned char *p, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static uint64_t le(const unsigned char *p, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

/* What is not there reads as zeroes. */
static void read_at(int fd, uint64_t offset, unsigned char *to, size_t size)
{
	memset(to, 0, size);
	if (offset > INT64_MAX - size)
		return;
	for (size_t have = 0; have < size;) {
		ssize_t n = pread(fd, to + have, size - have, (off_t)(offset + have));
		if (n <= 0)
			break;
		have += (size_t)n;
	}
}

static int probe_qcow2(int fd, const unsigned char *h, struct probe *p, struct err *err)
{
	p->format = "qcow2";
	p->version = (unsigned)be(h + 4, 4);
	p->virtual_bytes = be(h + 24, 8);
	p->encrypted = be(h + 32, 4) != 0;
	if (p->version < 2 || p->version > 3)
		return err_set(err, -EINVAL, "qcow2 version %u is not known", p->version);
	uint64_t at = be(h + 8, 8), size = be(h + 16, 4);
	if (p->version >= 3)
		p->data_file = (be(h + 72, 8) & 4) != 0;
	if (at == 0)
		return 0;
	if (size > 1023 || at > p->file_bytes || size > p->file_bytes - at)
		return err_set(err, -EINVAL, "the name of its backing file lies outside of it");
	read_at(fd, at, (unsigned char *)p->backing, size);
	utf8_repair(p->backing, size);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)p->backing[i] < ' ')
			p->backing[i] = '?';
	return 0;
}

static const char *mbr_type(unsigned type)
{
	switch (type) {
	case 0x07:
		return "NTFS";
	case 0x0b:
	case 0x0c:
		return "FAT";
	case 0x82:
		return "Linux swap";
	case 0x83:
		return "Linux";
	case 0x8e:
		return "Linux LVM";
	case 0xef:
		return "EFI system";
	default:
		return NULL;
	}
}

static struct probe_partition *new_partition(struct probe *p)
{
	return p->partition_count < ARRAY_LEN(p->partitions) ? &p->partitions[p->partition_count++]
							     : NULL;
}

static void probe_mbr(const unsigned char *sector, struct probe *p)
{
	p->table = "mbr";
	for (unsigned i = 0; i < 4; i++) {
		const unsigned char *e = sector + MBR_ENTRIES + 16 * i;
		struct probe_partition *part = e[4] ? new_partition(p) : NULL;
		if (!part)
			continue;
		part->start_bytes = le(e + 8, 4) * SECTOR;
		part->size_bytes = le(e + 12, 4) * SECTOR;
		part->bootable = e[0] == 0x80;
		const char *type = mbr_type(e[4]);
		snprintf(part->type, sizeof(part->type), "%s", type ? type : "");
		if (!type)
			snprintf(part->type, sizeof(part->type), "0x%02x", e[4]);
	}
}

static void gpt_type(const unsigned char *g, char *to, size_t room)
{
	static const char *const known[][2] = {
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"},
		{"21686148-6449-6e6f-744e-656564454649", "BIOS boot"},
		{"0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux"},
		{"4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root"},
		{"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"},
		{"e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"},
		{"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft data"},
	};
	snprintf(to, room, "%08x-%04x-%04x-%04x-%012llx", (unsigned)le(g, 4),
		(unsigned)le(g + 4, 2), (unsigned)le(g + 6, 2), (unsigned)be(g + 8, 2),
		(unsigned long long)be(g + 10, 6));
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(to, known[i][0]))
			snprintf(to, room, "%s", known[i][1]);
}

static void probe_gpt(int fd, const unsigned char *header, struct probe *p)
{
	uint64_t at = le(header + 72, 8), count = le(header + 80, 4), size = le(header + 84, 4);
	p->table = "gpt";
	if (size < 128 || size > 4096 || at > p->file_bytes / SECTOR)
		return;
	for (uint64_t i = 0; i < MIN(count, 128); i++) {
		unsigned char e[128];
		read_at(fd, at * SECTOR + i * size, e, sizeof(e));
		uint64_t first = le(e + 32, 8), last = le(e + 40, 8);
		if (be(e, 8) == 0 || last < first || last > UINT64_MAX / SECTOR - 1)
			continue;
		struct probe_partition *part = new_partition(p);
		part->start_bytes = first * SECTOR;
		part->size_bytes = (last - first + 1) * SECTOR;
		gpt_type(e, part->type, sizeof(part->type));
		for (unsigned c = 0; c < 36; c++) {
			unsigned code = (unsigned)le(e + 56 + 2 * c, 2);
			part->name[c] = code == 0		    ? '\0'
					: code >= ' ' && code < 127 ? (char)code
								    : '?';
			if (code == 0)
				break;
		}
	}
}

static void probe_raw(int fd, const unsigned char *h, struct probe *p)
{
	unsigned char second[SECTOR], volume[8];
	p->format = "raw";
	p->virtual_bytes = p->file_bytes;
	read_at(fd, 0x8000, volume, sizeof(volume));
	read_at(fd, SECTOR, second, sizeof(second));
	if (memcmp(volume + 1, "CD001", 5) == 0)
		p->format = "iso";
	if (memcmp(second, "EFI PART", 8) == 0)
		probe_gpt(fd, second, p);
	else if (h[510] == 0x55 && h[511] == 0xaa && streq(p->format, "raw"))
		probe_mbr(h, p);
}

static uint64_t vmdk_bytes(const unsigned char *h)
{
	uint64_t sectors = le(h + 12, 8);
	return sectors > UINT64_MAX / SECTOR ? 0 : sectors * SECTOR;
}

/* [MS-VHDX] 2.2.3, 2.6: the table of regions names the metadata, which have an item for the size.
 */
static uint64_t vhdx_bytes(int fd)
{
	static const unsigned char metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
		0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
	static const unsigned char size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2,
		0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
	unsigned char e[32], v[8];
	uint64_t table = 0;
	for (unsigned i = 0; i < 16 && !table; i++) {
		read_at(fd, (192u << 10) + 16 + 32 * i, e, sizeof(e));
		if (memcmp(e, metadata, 16) == 0)
			table = le(e + 16, 8);
	}
	for (unsigned i = 0; i < 16 && table && table < INT64_MAX / 2; i++) {
		read_at(fd, table + 32 + 32 * i, e, sizeof(e));
		if (memcmp(e, size, 16) != 0)
			continue;
		read_at(fd, table + le(e + 16, 4), v, sizeof(v));
		return le(v, 8);
	}
	return 0;
}

/* A tar with a VMDK in it: the first one's size. */
static bool probe_ova(int fd, const unsigned char *h, struct probe *p)
{
	unsigned char entry[SECTOR], head[SECTOR];
	uint64_t at = 0;
	if (memcmp(h + 257, "ustar", 5) != 0)
		return false;
	p->format = "ova";
	for (unsigned i = 0; i < 1000 && !p->virtual_bytes && at < p->file_bytes; i++) {
		uint64_t size = 0;
		read_at(fd, at, entry, sizeof(entry));
		if (memcmp(entry + 257, "ustar", 5) != 0)
			break;
		/* Of 8 GiB and more: in base 256. */
		if (entry[124] & 0x80)
			size = be(entry + 128, 8);
		else
			for (unsigned c = 124; c < 136 && entry[c] >= '0' && entry[c] <= '7'; c++)
				size = size << 3 | (entry[c] - (uint64_t)'0');
		read_at(fd, at + SECTOR, head, sizeof(head));
		if (memcmp(head, "KDMV", 4) == 0)
			p->virtual_bytes = vmdk_bytes(head);
		if (size > p->file_bytes)
			break;
		at += SECTOR + (size + SECTOR - 1) / SECTOR * SECTOR;
	}
	return true;
}

static int probe_open(int fd, struct probe *p, struct err *err)
{
	static const struct {
		const char *magic;
		size_t size;
		const char *format;
	} packed[] = {{"\x1f\x8b", 2, "gzip"},
		{"\xfd"
		 "7zXZ\0",
			6, "xz"},
		{"\x28\xb5\x2f\xfd", 4, "zstd"}};
	unsigned char h[SECTOR], footer[SECTOR] = {0};
	read_at(fd, 0, h, sizeof(h));
	if (p->file_bytes >= SECTOR)
		read_at(fd, p->file_bytes - SECTOR, footer, sizeof(footer));
	if (memcmp(h, "QFI\xfb", 4) == 0)
		return probe_qcow2(fd, h, p, err);
	for (size_t i = 0; i < ARRAY_LEN(packed); i++)
		if (memcmp(h, packed[i].magic, packed[i].size) == 0) {
			p->format = packed[i].format;
			return 0;
		}
	if (memcmp(h, "KDMV", 4) == 0) {
		p->format = "vmdk";
		p->version = (unsigned)le(h + 4, 4);
		p->virtual_bytes = vmdk_bytes(h);
	} else if (memcmp(h, "# Disk DescriptorFile", 21) == 0) {
		return err_set(err, -EINVAL,
			"a VMDK that only names other files: give the file with the data");
	} else if (le(h + 64, 4) == 0xbeda107fu) {
		p->format = "vdi";
		p->version = (unsigned)le(h + 68, 4) >> 16;
		p->virtual_bytes = le(h + 368, 8);
	} else if (memcmp(h, "vhdxfile", 8) == 0) {
		p->format = "vhdx";
		p->virtual_bytes = vhdx_bytes(fd);
	} else if (memcmp(h, "conectix", 8) == 0 || memcmp(footer, "conectix", 8) == 0) {
		p->format = "vpc";
		p->virtual_bytes = be((h[0] == 'c' ? h : footer) + 48, 8);
	} else if (!probe_ova(fd, h, p)) {
		probe_raw(fd, h, p);
	}
	return 0;
}

int probe_image(const char *path, struct probe *ret, struct err *err)
{
	*ret = (struct probe){0};
	/* A pipe or device would make open wait, or more. */
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, -errno, "read '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "'%s' is no file", path);
	ret->file_bytes = (uint64_t)st.st_size;
	int r = probe_open(fd, ret, err);
	return r < 0 ? err_context(err, r, "'%s'", path) : 0;
}
