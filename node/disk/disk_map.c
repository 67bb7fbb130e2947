#include "node/disk/disk_map.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json/json.h"
#include "node/disk/qcow2_write.h"

static bool is_cluster(int64_t bytes)
{
	return bytes >= 0 && bytes % QCOW2_CLUSTER == 0;
}

static bool is_zeros(const struct json *entry)
{
	return !json_bool_or(json_get(entry, "data"), true) ||
	       json_bool_or(json_get(entry, "zero"), false);
}

/* Nothing else than data has a place in the file. */
static bool is_plain(const struct json *entry)
{
	return json_int_or(json_get(entry, "depth"), 0) == 0 &&
	       !json_bool_or(json_get(entry, "compressed"), false);
}

static bool may_stay(const struct disk_extent *e, int64_t file_bytes)
{
	int64_t room = (file_bytes + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER * QCOW2_CLUSTER;

	/* The first cluster of the file is to have the header. */
	return is_cluster(e->start) && is_cluster(e->length) && is_cluster(e->offset) &&
	       e->offset >= QCOW2_CLUSTER && e->length <= room && e->offset <= room - e->length;
}

static int by_offset(const void *a, const void *b)
{
	const struct disk_extent *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool are_apart(struct arena *a, const struct disk_map *map)
{
	struct disk_extent *sorted;

	if (!map->count)
		return true;
	sorted = arena_alloc(a, map->count * sizeof(*sorted));
	memcpy(sorted, map->extents, map->count * sizeof(*sorted));
	qsort(sorted, map->count, sizeof(*sorted), by_offset);
	for (size_t i = 1; i < map->count; i++)
		if (sorted[i].offset < sorted[i - 1].offset + sorted[i - 1].length)
			return false;
	return true;
}

/* To where the first of the data would be in its place. */
static void shift(struct disk_map *map)
{
	int64_t by = map->count ? -map->extents[0].offset & (QCOW2_CLUSTER - 1) : 0;
	int64_t from = INT64_MAX;

	if (!by)
		return;
	for (size_t i = 0; i < map->count; i++) {
		struct disk_extent *e = &map->extents[i];

		if (e->offset < 0 || e->offset > QCOW2_WRAP_MAX_BYTES)
			return;
		from = MIN(from, e->offset);
	}
	for (size_t i = 0; i < map->count; i++)
		map->extents[i].offset += by;
	map->shift_from = from;
	map->shift_bytes = by;
}

int disk_map_settle(struct arena *a, struct disk_map *map, int64_t disk_bytes, int64_t file_bytes,
	struct err *err)
{
	if (!is_cluster(disk_bytes) || disk_bytes > QCOW2_WRAP_MAX_BYTES ||
		file_bytes > QCOW2_WRAP_MAX_BYTES)
		return err_set(err, -EOPNOTSUPP, "the disk's size is not one of whole clusters");
	shift(map);
	for (size_t i = 0; i < map->count; i++)
		if (!may_stay(&map->extents[i], file_bytes + map->shift_bytes))
			return err_set(err, -EOPNOTSUPP, "its data are not where clusters may be");
	if (!are_apart(a, map))
		return err_set(err, -EOPNOTSUPP, "two parts of it are at the same place");
	return 0;
}

int disk_map_read(struct arena *a, const char *text, size_t size, int64_t disk_bytes,
	int64_t file_bytes, struct disk_map *ret, struct err *err)
{
	struct disk_map map = {0};
	struct json *doc;
	int64_t from = 0;
	int r = json_parse(a, text, size, NULL, &doc, err);

	if (r < 0)
		return err_context(err, err->code = -EOPNOTSUPP, "the map of the disk");
	map.extents = arena_alloc(a, (json_count(doc) + 1) * sizeof(*map.extents));
	JSON_FOR_EACH_ITEM(it, doc) {
		struct disk_extent *e = &map.extents[map.count];

		e->start = json_int_or(json_get(it, "start"), -1);
		e->length = json_int_or(json_get(it, "length"), -1);
		e->offset = json_int_or(json_get(it, "offset"), -1);
		if (e->start != from || e->length <= 0 || e->length > disk_bytes - from)
			break;
		from += e->length;
		if (is_zeros(it))
			continue;
		if (!is_plain(it))
			return err_set(err, -EOPNOTSUPP, "its data are not plain");
		map.count++;
	}
	if (from != disk_bytes)
		return err_set(err, -EOPNOTSUPP, "the map is not one of the whole disk");
	r = disk_map_settle(a, &map, disk_bytes, file_bytes, err);
	if (r == 0)
		*ret = map;
	return r;
}
