#include "lib/base/str.h"
#include "node/disk/disk_probe.h"

#include <string.h>

#define VMDK_DESCRIPTOR_MAX (20 * 512)
#define SECTOR 512

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint64_t le64(const uint8_t *p)
{
	return (uint64_t)le32(p + 4) << 32 | le32(p);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool begins(const uint8_t *p, size_t size, const char *magic, size_t magic_size)
{
	return size >= magic_size && memcmp(p, magic, magic_size) == 0;
}

/* ---- VMDK ---- */

/* Text that a guest can't have put there names a parent, or none. */
static int check_vmdk_text(const struct disk_bytes *b, int64_t at, struct err *err)
{
	char text[VMDK_DESCRIPTOR_MAX + 1];
	const char *cid;
	ssize_t n;

	if (at <= 0 || at >= b->size_bytes)
		return 0;
	n = b->read(b->user, text, VMDK_DESCRIPTOR_MAX, at);
	if (n < 0)
		return err_errno(err, (int)n, "read the disk");
	/* NULs must not hide what follows them. */
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = '\n';
	text[n] = '\0';
	if (strcasestr(text, "parentFileNameHint"))
		return err_set(
			err, -EINVAL, "the VMDK disk has a parent disk, which is not allowed");
	for (cid = text; (cid = strcasestr(cid, "parentCID")); cid++) {
		const char *value = cid + 9 + strspn(cid + 9, " \t=");

		if (strncasecmp(value, "ffffffff", 8) != 0)
			return err_set(err, -EINVAL,
				"the VMDK disk has a parent disk, which is not allowed");
	}
	return 0;
}

static int check_vmdk_header(const uint8_t *h, size_t size, struct err *err)
{
	uint64_t capacity;

	if (size < SECTOR || !begins(h, size, "KDMV", 4))
		return err_set(err, -EINVAL, "the header of the VMDK disk is damaged");
	capacity = le64(h + 12);
	/* Then the data are in other files, which the descriptor names. */
	if (capacity == 0)
		return err_set(err, -EINVAL,
			"the VMDK disk has its data in other files, which is not allowed: give the "
			"data file, or convert it to qcow2");
	if (capacity > (uint64_t)DISK_SIZE_MAX_BYTES / SECTOR)
		return err_set(err, -EINVAL, "the size of the VMDK disk is not usable");
	return 0;
}

static int probe_vmdk(const struct disk_bytes *b, const uint8_t *head, size_t size, struct err *err)
{
	uint64_t text_at;
	int r = check_vmdk_header(head, size, err);

	if (r < 0)
		return r;
	/* Its header is at the end: the one in front is a copy that may differ. */
	if (le64(head + 56) == UINT64_MAX) {
		uint8_t footer[SECTOR];
		ssize_t n = b->size_bytes >= 1536
				    ? b->read(b->user, footer, sizeof(footer), b->size_bytes - 1024)
				    : 0;

		r = check_vmdk_header(footer, n > 0 ? (size_t)n : 0, err);
		if (r < 0)
			return r;
		text_at = le64(footer + 28);
		if (text_at < (uint64_t)b->size_bytes / SECTOR)
			r = check_vmdk_text(b, (int64_t)text_at * SECTOR, err);
		if (r < 0)
			return r;
	}
	text_at = le64(head + 28);
	r = check_vmdk_text(b, SECTOR, err);
	if (r == 0 && text_at < (uint64_t)b->size_bytes / SECTOR)
		r = check_vmdk_text(b, (int64_t)text_at * SECTOR, err);
	return r;
}

/* ---- the others ---- */

static int probe_qcow2(
	struct arena *a, const uint8_t *head, size_t size, struct disk_probe *p, struct err *err)
{
	struct qcow2_header h;
	int r = qcow2_header_read(a, head, size, &h, err);

	if (r < 0)
		return r;
	if (h.backing)
		return err_set(err, -EINVAL, "the disk has a backing file, which is not allowed");
	p->format = "qcow2";
	p->is_layer = be32(head + 4) == 3 && be32(head + 60) == 0 && !h.dirty;
	p->disk_bytes = h.size_bytes % SECTOR ? 0 : h.size_bytes;
	return 0;
}

static int probe_vdi(const uint8_t *head, size_t size, struct err *err)
{
	uint32_t type = size >= 0x180 ? le32(head + 0x4c) : 0;

	/* 1 = grows, 2 = fixed; the others stand on a parent. */
	return type == 1 || type == 2
		       ? 0
		       : err_set(err, -EINVAL,
				 "the VDI disk is neither of dynamic nor of fixed size: a disk "
				 "with a parent is not allowed");
}

static int check_vpc(const uint8_t *footer, size_t size, struct err *err)
{
	uint32_t type = size >= 64 ? be32(footer + 60) : 0;

	return type == 2 || type == 3
		       ? 0
		       : err_set(err, -EINVAL,
				 "the VHD disk is neither of dynamic nor of fixed size: a disk "
				 "with a parent is not allowed");
}

static bool has_vpc_footer(const struct disk_bytes *b, uint8_t footer[SECTOR])
{
	return b->size_bytes > SECTOR && b->size_bytes % SECTOR == 0 &&
	       b->read(b->user, footer, SECTOR, b->size_bytes - SECTOR) == SECTOR &&
	       memcmp(footer, "conectix", 8) == 0;
}

static const struct {
	const char *magic;
	size_t size;
	const char *program;
} packers[] = {
	{"\x1f\x8b", 2, "gzip"},
	{"\xfd"
	 "7zXZ\0",
		6, "xz"},
	{"\x28\xb5\x2f\xfd", 4, "zstd"},
};

static const struct {
	const char *magic;
	size_t size;
	const char *name;
} refused[] = {
	{"QED\0", 4, "QED"},
	{"WithoutFreeSpace", 16, "Parallels"},
	{"WithouFreSpacExt", 16, "Parallels"},
	{"COWD", 4, "VMDK of version 3"},
	{"PK\3\4", 4, "ZIP"},
	{"7z\xbc\xaf\x27\x1c", 6, "7z"},
	{"BZh", 3, "bzip2"},
};

static int probe_at(
	struct arena *a, const struct disk_bytes *b, struct disk_probe *p, struct err *err)
{
	uint8_t *head = arena_alloc(a, QCOW2_READ_BYTES), footer[SECTOR];
	ssize_t n = b->read(b->user, head, QCOW2_READ_BYTES, 0);
	size_t size;

	if (n < 0)
		return err_errno(err, (int)n, "read the disk");
	size = (size_t)n;
	if (size == 0)
		return err_set(err, -EINVAL, "the disk is empty: it has no bytes");
	for (size_t i = 0; i < ARRAY_LEN(packers); i++)
		if (begins(head, size, packers[i].magic, packers[i].size)) {
			p->unpack = packers[i].program;
			return 0;
		}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (begins(head, size, refused[i].magic, refused[i].size))
			return err_set(err, -EINVAL,
				"the format %s is not supported: use raw, qcow2, vmdk, vdi, vhdx, "
				"vhd or OVA, maybe packed by gzip, xz or zstd",
				refused[i].name);
	if (begins(head, size, "QFI\xfb", 4))
		return probe_qcow2(a, head, size, p, err);
	if (begins(head, size, "# Disk DescriptorFile", 21))
		return err_set(err, -EINVAL,
			"it is a VMDK descriptor, which names other files: give the file with the "
			"data, or an OVA");
	if (begins(head, size, "KDMV", 4)) {
		p->format = "vmdk";
		return probe_vmdk(b, head, size, err);
	}
	if (size > 0x44 && le32(head + 0x40) == 0xbeda107fu) {
		p->format = "vdi";
		return probe_vdi(head, size, err);
	}
	if (begins(head, size, "vhdxfile", 8)) {
		p->format = "vhdx"; /* QEMU refuses those with a parent */
		return 0;
	}
	if (begins(head, size, "conectix", 8)) {
		p->format = "vpc";
		return check_vpc(head, size, err);
	}
	if (has_vpc_footer(b, footer) && be32(footer + 60) == 2) {
		p->format = "vpc";
		return 0;
	}
	p->format = "raw";
	p->disk_bytes = (b->size_bytes + SECTOR - 1) / SECTOR * SECTOR;
	return 0;
}

struct member {
	const struct disk_bytes *whole;
	int64_t offset, length;
};

static ssize_t read_member(void *user, void *to, size_t size, int64_t offset)
{
	const struct member *m = user;

	if (offset < 0 || offset >= m->length)
		return 0;
	return m->whole->read(
		m->whole->user, to, MIN(size, (size_t)(m->length - offset)), m->offset + offset);
}

int disk_probe(struct arena *a, const struct disk_bytes *b, struct disk_probe *ret, struct err *err)
{
	struct disk_probe p = {.length = b->size_bytes};
	uint8_t head[SECTOR];
	ssize_t n = b->read(b->user, head, sizeof(head), 0);
	int r;

	if (n >= 0 && ova_is_tar(head, (size_t)n)) {
		struct member m = {.whole = b};
		struct disk_bytes inner = {.read = read_member, .user = &m};

		r = ova_find_disk(a, b, &p, err);
		if (r < 0)
			return r;
		m.offset = p.offset;
		m.length = inner.size_bytes = p.length;
		r = probe_at(a, &inner, &p, err);
		if (r == 0 && p.unpack)
			r = err_set(
				err, -EINVAL, "disks that are packed in an OVA are not supported");
		if (r < 0)
			return err_context(err, r, "'%s' in the archive", p.member);
		p.is_layer = false;
	} else {
		r = probe_at(a, b, &p, err);
		if (r < 0)
			return r;
	}
	*ret = p;
	return 0;
}
