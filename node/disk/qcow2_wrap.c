/* The file afterwards, in clusters; n = those of the raw image:
 *
 *	0		header
 *	1 ... n-1	the image's own, at the same place; zeros are holes, and free
 *	n		what was in cluster 0
 *	n+1 ...		second tables, the first table, blocks of refcounts, their table */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "node/disk/disk_map.h"
#include "node/disk/qcow2_write.h"

#define COPIED (UINT64_C(1) << 63) /* the only reference to it: may be written in place */
#define LOOK_CLUSTERS 16	   /* before it is asked for holes again */
#define HEAD_BYTES 4096
#define MOVE_BYTES ((size_t)1 << 20)
#define MOVE_OUT_BYTES (INT64_C(16) << 20)
#define PAGE_BYTES 4096

enum content { DATA, ZEROS, HOLE };

struct wrap {
	int fd;
	const char *path;
	uint64_t clusters; /* of the raw image */
	uint64_t free;	   /* the next cluster that is nobody's */
	struct buf l1, l2, refcounts;
	bool l2_used;
	uint64_t zeros_from, zeros_count; /* clusters that are not punched out yet */
	struct err *err;
};

static int write_bytes(struct wrap *w, int64_t at, const void *p, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n =
			pwrite(w->fd, (const char *)p + done, size - done, (off_t)at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(w->err, n < 0 ? -errno : -EIO, "write '%s'", w->path);
		done += (size_t)n;
	}
	return 0;
}

static int write_at(struct wrap *w, uint64_t cluster, const void *p, size_t size)
{
	return write_bytes(w, (int64_t)(cluster * QCOW2_CLUSTER), p, size);
}

/* As many clusters as it takes, at the end. */
static int append(struct wrap *w, struct buf *b, uint64_t *ret_at)
{
	uint64_t count = (b->size + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER;

	qcow2_fill(b, count * QCOW2_CLUSTER);
	*ret_at = w->free;
	w->free += count;
	return write_at(w, *ret_at, b->data, b->size);
}

static int end_l2(struct wrap *w)
{
	uint64_t at = 0;
	int r = 0;

	if (w->l2_used)
		r = append(w, &w->l2, &at);
	qcow2_put64(&w->l1, at ? at * QCOW2_CLUSTER | COPIED : 0);
	w->l2.size = 0;
	w->l2_used = false;
	return r;
}

static void end_zeros(struct wrap *w)
{
	/* A file system that has no holes keeps the zeros: the cluster is free all the same. */
	if (w->zeros_count)
		(void)!fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)(w->zeros_from * QCOW2_CLUSTER),
			(off_t)(w->zeros_count * QCOW2_CLUSTER));
	w->zeros_count = 0;
}

/* data: of cluster 0, which moves, if that is not zero. */
static int add_cluster(struct wrap *w, uint64_t index, enum content content, const char *data)
{
	bool zero = content != DATA;
	uint64_t at = index;
	int r = 0;

	if (index == 0 && !zero) {
		at = w->free++;
		r = write_at(w, at, data, QCOW2_CLUSTER);
	}
	qcow2_put64(&w->l2, zero ? 0 : at * QCOW2_CLUSTER | COPIED);
	/* The header is in the first one. */
	buf_add(&w->refcounts, zero && index ? "\0" : "\0\1", 2);
	w->l2_used |= !zero;
	if (content != ZEROS) {
		end_zeros(w);
	} else if (index) {
		if (!w->zeros_count)
			w->zeros_from = index;
		w->zeros_count++;
	}
	if (r == 0 && w->l2.size == QCOW2_CLUSTER)
		r = end_l2(w);
	return r;
}

/* From the cluster on; -1 = only holes follow. */
static int64_t next_data(const struct wrap *w, uint64_t index)
{
	off_t at = lseek(w->fd, (off_t)(index * QCOW2_CLUSTER), SEEK_DATA);

	if (at < 0)
		return errno == ENXIO ? -1 : (int64_t)index;
	return (int64_t)at / QCOW2_CLUSTER;
}

static int read_bytes(struct wrap *w, uint64_t at, char *to, size_t size)
{
	for (size_t have = 0; have < size;) {
		ssize_t n = pread(w->fd, to + have, size - have, (off_t)at + (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(w->err, n < 0 ? -errno : -EIO, "read '%s'", w->path);
		have += (size_t)n;
	}
	return 0;
}

static bool is_zero(const char *p, size_t size)
{
	return !p[0] && memcmp(p, p + 1, size - 1) == 0;
}

/* Clusters with data begin with some as a rule: then the rest is not read. room: of a cluster; the
 * whole of the first one is in it afterwards. */
static int look_at(struct wrap *w, uint64_t index, char *room, enum content *ret)
{
	uint64_t at = index * QCOW2_CLUSTER;
	int r = read_bytes(w, at, room, HEAD_BYTES);

	*ret = r == 0 && is_zero(room, HEAD_BYTES) ? ZEROS : DATA;
	if (r == 0 && (*ret == ZEROS || index == 0))
		r = read_bytes(w, at + HEAD_BYTES, room + HEAD_BYTES, QCOW2_CLUSTER - HEAD_BYTES);
	if (*ret == ZEROS && !(r == 0 && is_zero(room, QCOW2_CLUSTER)))
		*ret = DATA;
	return r;
}

static int add_data(struct wrap *w)
{
	_cleanup_(free_p) char *room = xmalloc(QCOW2_CLUSTER);
	uint64_t index = 0;
	int r = 0;

	while (r == 0 && index < w->clusters) {
		int64_t data = next_data(w, index);
		uint64_t until = data < 0 ? w->clusters : MIN((uint64_t)data, w->clusters);

		for (; r == 0 && index < until; index++)
			r = add_cluster(w, index, HOLE, NULL);
		until = MIN(w->clusters, index + LOOK_CLUSTERS);
		for (; r == 0 && index < until; index++) {
			enum content content;

			r = look_at(w, index, room, &content);
			if (r == 0)
				r = add_cluster(w, index, content, room);
		}
	}
	end_zeros(w);
	return r;
}

/* Everything behind the image is used; the blocks count themselves and their table too. */
static int add_refcounts(struct wrap *w, struct qcow2_layout *l)
{
	_cleanup_(buf_finish) struct buf table = BUF_INIT;
	uint64_t blocks = 0, tables = 0, all, at;
	int r;

	do {
		all = w->free + blocks + tables;
		blocks = (all + QCOW2_PER_REFCOUNTS - 1) / QCOW2_PER_REFCOUNTS;
		tables = (blocks + QCOW2_PER_TABLE - 1) / QCOW2_PER_TABLE;
	} while (all != w->free + blocks + tables);
	while (w->refcounts.size < all * 2)
		buf_add(&w->refcounts, "\0\1", 2);
	r = append(w, &w->refcounts, &at);
	for (uint64_t i = 0; i < blocks; i++)
		qcow2_put64(&table, (at + i) * QCOW2_CLUSTER);
	if (r == 0)
		r = append(w, &table, &at);
	l->refcount_at = at * QCOW2_CLUSTER;
	l->refcount_count = (uint32_t)tables;
	return r;
}

/* What is behind the data, and the header in front. */
static int end_wrap(struct wrap *w, int64_t size_bytes)
{
	_cleanup_(buf_finish) struct buf header = BUF_INIT;
	struct qcow2_layout l = {.size_bytes = size_bytes};
	uint64_t at;
	int r;

	if (w->l2.size) {
		qcow2_fill(&w->l2, QCOW2_CLUSTER);
		r = end_l2(w);
		if (r < 0)
			return r;
	}
	l.l1_entries = qcow2_l1_entries(l.size_bytes);
	qcow2_fill(&w->l1, (size_t)l.l1_entries * 8);
	r = append(w, &w->l1, &at);
	l.l1_at = at * QCOW2_CLUSTER;
	if (r == 0)
		r = add_refcounts(w, &l);
	qcow2_put_header(&header, &l);
	return r < 0 ? r : write_at(w, 0, header.data, header.size);
}

static int begin_wrap(struct wrap *w, int64_t size_bytes)
{
	w->free = w->clusters = (uint64_t)(size_bytes + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER;
	if (ftruncate(w->fd, (off_t)(w->clusters * QCOW2_CLUSTER)) < 0)
		return err_errno(w->err, -errno, "enlarge '%s'", w->path);
	return 0;
}

static int open_wrap(struct wrap *w, int64_t *ret_size)
{
	struct stat st;

	w->fd = open(w->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return err_errno(w->err, -errno, "open '%s'", w->path);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > QCOW2_WRAP_MAX_BYTES)
		return err_set(w->err, -EINVAL, "'%s' is no disk of a usable size", w->path);
	*ret_size = st.st_size;
	return 0;
}

static void close_wrap(struct wrap *w)
{
	if (w->fd >= 0)
		close(w->fd);
	buf_finish(&w->l1);
	buf_finish(&w->l2);
	buf_finish(&w->refcounts);
}

int qcow2_wrap_raw(const char *path, int64_t disk_bytes, struct err *err)
{
	struct wrap w = {.path = path, .err = err};
	int64_t size = 0;
	int r = open_wrap(&w, &size);

	if (r == 0)
		r = begin_wrap(&w, size);
	if (r == 0)
		r = add_data(&w);
	if (r == 0)
		r = end_wrap(&w, (MAX(size, disk_bytes) + 511) / 512 * 512);
	close_wrap(&w);
	return r;
}

/* ---- of other formats ---- */

/* Counts what is used. */
static int count_mapped(struct wrap *w, const struct disk_map *map)
{
	qcow2_fill(&w->refcounts, (size_t)w->clusters * 2);
	w->refcounts.data[1] = 1; /* the header's */
	for (size_t i = 0; i < map->count; i++) {
		const struct disk_extent *e = &map->extents[i];
		uint64_t at = (uint64_t)e->offset / QCOW2_CLUSTER;
		uint64_t end = at + (uint64_t)e->length / QCOW2_CLUSTER;

		for (; at < end; at++) {
			if (at >= w->clusters || w->refcounts.data[2 * at + 1])
				return err_set(w->err, -EINVAL,
					"two parts of the disk are at the same place of '%s'",
					w->path);
			w->refcounts.data[2 * at + 1] = 1;
		}
	}
	return 0;
}

static int add_entry(struct wrap *w, uint64_t at)
{
	qcow2_put64(&w->l2, at ? at * QCOW2_CLUSTER | COPIED : 0);
	w->l2_used |= at != 0;
	return w->l2.size == QCOW2_CLUSTER ? end_l2(w) : 0;
}

static int add_mapped(struct wrap *w, const struct disk_map *map, uint64_t disk_clusters)
{
	uint64_t index = 0;
	int r = 0;

	for (size_t i = 0; i < map->count; i++) {
		const struct disk_extent *e = &map->extents[i];
		uint64_t at = (uint64_t)e->offset / QCOW2_CLUSTER;

		while (r == 0 && index < (uint64_t)e->start / QCOW2_CLUSTER)
			r = add_entry(w, 0), index++;
		while (r == 0 && index < (uint64_t)(e->start + e->length) / QCOW2_CLUSTER)
			r = add_entry(w, at++), index++;
	}
	while (r == 0 && index < disk_clusters)
		r = add_entry(w, 0), index++;
	return r;
}

/* Tables of the other format, and what it had left out. */
static void punch_unused(struct wrap *w)
{
	for (uint64_t at = 1; at < w->clusters; at++) {
		if (w->refcounts.data[2 * at + 1]) {
			end_zeros(w);
			continue;
		}
		if (!w->zeros_count)
			w->zeros_from = at;
		w->zeros_count++;
	}
	end_zeros(w);
}

/* From the end on down: what is behind is there twice meanwhile, never overwritten unread. Pieces
 * go to the disk while others are moved. */
static int move_up(struct wrap *w, int64_t from, int64_t end, int64_t by)
{
	_cleanup_(free_p) char *room = xmalloc(MOVE_BYTES);
	int64_t out_to = end + by; /* from here on it is being written */

	while (end > from) {
		size_t size = (size_t)MIN(end - from, (int64_t)MOVE_BYTES);
		int r;

		end -= (int64_t)size;
		r = read_bytes(w, (uint64_t)end, room, size);
		if (r < 0)
			return r;
		r = write_bytes(w, end + by, room, size);
		if (r < 0)
			return r;
		if (out_to - (end + by) >= MOVE_OUT_BYTES) {
			/* But for the page that the next piece ends in. */
			int64_t out_from = (end + by + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;

			(void)!sync_file_range(
				w->fd, out_from, out_to - out_from, SYNC_FILE_RANGE_WRITE);
			out_to = out_from;
		}
	}
	return 0;
}

int qcow2_wrap_mapped(const char *path, int64_t image_bytes, int64_t disk_bytes,
	const struct disk_map *map, struct err *err)
{
	struct wrap w = {.path = path, .err = err};
	int64_t size = 0;
	int r = open_wrap(&w, &size);

	if (r == 0 && map->shift_bytes) {
		r = move_up(&w, map->shift_from, size, map->shift_bytes);
		size += map->shift_bytes;
	}
	if (r == 0) {
		w.clusters = (uint64_t)(size + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER;
		r = count_mapped(&w, map);
	}
	if (r == 0)
		r = begin_wrap(&w, size);
	if (r == 0)
		punch_unused(&w);
	if (r == 0)
		r = add_mapped(&w, map, (uint64_t)image_bytes / QCOW2_CLUSTER);
	if (r == 0)
		r = end_wrap(&w, (MAX(image_bytes, disk_bytes) + 511) / 512 * 512);
	close_wrap(&w);
	return r;
}
