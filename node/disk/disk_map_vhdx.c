/* VHDX ([MS-VHDX] 2.2 to 2.5): what the block allocation table says. The log is not looked at: QEMU
 * opens no disk for reading whose log has something to be replayed. */
#include <string.h>

#include "node/disk/disk_map.h"
#include "node/disk/disk_probe.h"
#include "node/disk/qcow2_write.h"

#define REGIONS_AT (192 << 10)
#define TABLE_BYTES (64 << 10)
#define ENTRY_BYTES 32
#define MIB (INT64_C(1) << 20)
#define BLOCK_MAX_BYTES (256 * MIB)
#define BAT_READ_ENTRIES 4096

enum { BLOCK_FULLY_PRESENT = 6, BLOCK_PARTIALLY_PRESENT = 7 };

static const uint8_t region_bat[16] =
	"\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08",
		     region_metadata[16] =
			     "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e",
		     item_file[16] =
			     "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b",
		     item_size[16] =
			     "\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8",
		     item_sector[16] =
			     "\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f";

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint64_t le64(const uint8_t *p)
{
	return (uint64_t)le32(p + 4) << 32 | le32(p);
}

static bool read_all(const struct disk_bytes *b, void *to, size_t size, uint64_t at)
{
	return at <= (uint64_t)b->size_bytes && size <= (uint64_t)b->size_bytes - at &&
	       b->read(b->user, to, size, (int64_t)at) == (ssize_t)size;
}

/* The entry of a table with this GUID; NULL = there is none. */
static const uint8_t *find(const uint8_t *table, size_t head, size_t count, const uint8_t guid[16])
{
	for (size_t i = 0; i < count && head + (i + 1) * ENTRY_BYTES <= TABLE_BYTES; i++)
		if (memcmp(table + head + i * ENTRY_BYTES, guid, 16) == 0)
			return table + head + i * ENTRY_BYTES;
	return NULL;
}

static bool read_item(const struct disk_bytes *b, const uint8_t *table, uint64_t table_at,
	const uint8_t guid[16], void *to, size_t size)
{
	const uint8_t *e = find(table, 32, (size_t)table[10] | (size_t)table[11] << 8, guid);

	return e && le32(e + 20) >= size && read_all(b, to, size, table_at + le32(e + 16));
}

static void add(struct disk_map *map, int64_t start, int64_t length, int64_t offset)
{
	struct disk_extent *last = map->count ? &map->extents[map->count - 1] : NULL;

	if (last && last->start + last->length == start && last->offset + last->length == offset)
		last->length += length;
	else
		map->extents[map->count++] = (struct disk_extent){start, length, offset};
}

struct vhdx {
	uint64_t bat_at;
	int64_t bat_bytes, block_bytes, disk_bytes, chunk_blocks;
};

static bool read_layout(struct arena *a, const struct disk_bytes *b, struct vhdx *v)
{
	uint8_t *table = arena_alloc(a, TABLE_BYTES), file[8], size[8], sector[4];
	const uint8_t *bat, *metadata;
	uint64_t metadata_at;

	if (!read_all(b, table, TABLE_BYTES, REGIONS_AT) || memcmp(table, "regi", 4) != 0)
		return false;
	bat = find(table, 16, le32(table + 8), region_bat);
	metadata = find(table, 16, le32(table + 8), region_metadata);
	if (!bat || !metadata)
		return false;
	v->bat_at = le64(bat + 16);
	v->bat_bytes = le32(bat + 24);
	metadata_at = le64(metadata + 16);
	if (!read_all(b, table, TABLE_BYTES, metadata_at) || memcmp(table, "metadata", 8) != 0 ||
		!read_item(b, table, metadata_at, item_file, file, sizeof(file)) ||
		!read_item(b, table, metadata_at, item_size, size, sizeof(size)) ||
		!read_item(b, table, metadata_at, item_sector, sector, sizeof(sector)))
		return false;
	v->block_bytes = le32(file);
	/* Bit 1: with a parent. */
	if (v->block_bytes < MIB || v->block_bytes > BLOCK_MAX_BYTES || v->block_bytes % MIB ||
		(le32(file + 4) & 2) || (le32(sector) != 512 && le32(sector) != 4096) ||
		le64(size) == 0 || le64(size) > (uint64_t)QCOW2_WRAP_MAX_BYTES)
		return false;
	v->disk_bytes = (int64_t)le64(size);
	/* After so many there is an entry of a bitmap, which only disks with parents need. */
	v->chunk_blocks = (INT64_C(1) << 23) * (int64_t)le32(sector) / v->block_bytes;
	return v->chunk_blocks > 0;
}

int disk_map_vhdx(struct arena *a, const struct disk_bytes *b, struct disk_map *ret,
	int64_t *ret_bytes, struct err *err)
{
	struct disk_map map = {0};
	struct vhdx v;
	int64_t blocks, first = -1;
	uint8_t *room;
	int r;

	if (!read_layout(a, b, &v))
		return err_set(err, -EOPNOTSUPP, "the tables of the VHDX disk are not as usual");
	blocks = (v.disk_bytes + v.block_bytes - 1) / v.block_bytes;
	map.extents = arena_alloc(a, (size_t)blocks * sizeof(*map.extents));
	room = arena_alloc(a, BAT_READ_ENTRIES * 8);
	for (int64_t i = 0; i < blocks; i++) {
		int64_t index = i + i / v.chunk_blocks, start = i * v.block_bytes;
		uint64_t entry;

		if (index >= v.bat_bytes / 8)
			return err_set(err, -EOPNOTSUPP, "the VHDX disk's table is short");
		if (first < 0 || index >= first + BAT_READ_ENTRIES) {
			int64_t left = v.bat_bytes / 8 - index;

			first = index;
			if (!read_all(b, room, (size_t)MIN(left, (int64_t)BAT_READ_ENTRIES) * 8,
				    v.bat_at + (uint64_t)index * 8))
				return err_set(
					err, -EOPNOTSUPP, "the VHDX disk's table is cut off");
		}
		entry = le64(room + (index - first) * 8);
		if ((entry & 7) == BLOCK_PARTIALLY_PRESENT || entry >> 63)
			return err_set(err, -EOPNOTSUPP, "a block of the VHDX disk is not its own");
		if ((entry & 7) == BLOCK_FULLY_PRESENT)
			add(&map, start, MIN(v.block_bytes, v.disk_bytes - start),
				(int64_t)(entry & ~(uint64_t)(MIB - 1)));
	}
	r = disk_map_settle(a, &map, v.disk_bytes, b->size_bytes, err);
	if (r == 0) {
		*ret = map;
		*ret_bytes = v.disk_bytes;
	}
	return r;
}
