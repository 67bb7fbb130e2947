#include "server/store/memory_vfs.h"

#include <pthread.h>
#include <stdio.h>

#define SHM_LOCKS SQLITE_SHM_NLOCK
#define SHM_REGIONS 64

struct file {
	char *name;
	struct memory_bytes bytes, synced; /* what is seen; what is on the disk */
	struct memory_io *pending;	   /* writes since the last sync */
	size_t pending_count, pending_room;
	/* Locks on the file, and what connections share of its log's index. */
	int shared, level;
	void *shm[SHM_REGIONS];
	unsigned shm_users;
	int shm_shared[SHM_LOCKS];
	bool shm_exclusive[SHM_LOCKS];
};

struct handle {
	sqlite3_file base;
	struct file *file;
	int level;
	bool has_shm;
	unsigned shm_shared, shm_exclusive; /* masks */
};

static struct {
	pthread_mutex_t mutex;
	struct file files[MEMORY_FILES];
	bool recording;
	struct memory_io *log;
	size_t log_count, log_room;
	enum memory_fault_type fault;
	uint64_t fault_at, fault_count;
	uint64_t writes, syncs, reads;
} vfs = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- bytes ---- */

/* By powers of two: a log grows by small pieces. */
static size_t bytes_room(size_t size)
{
	size_t room = 4096;
	while (room < size)
		room *= 2;
	return room;
}

static void bytes_resize(struct memory_bytes *b, size_t size)
{
	if (size > b->size) {
		size_t room = bytes_room(size);
		if (!b->data || room != bytes_room(b->size))
			b->data = xrealloc(b->data, room);
		memset(b->data + b->size, 0, size - b->size);
	}
	b->size = size;
}

static void bytes_write(struct memory_bytes *b, size_t offset, const void *data, size_t size)
{
	b->exists = true;
	if (offset + size > b->size)
		bytes_resize(b, offset + size);
	memcpy(b->data + offset, data, size);
}

static void bytes_clear(struct memory_bytes *b)
{
	free(b->data);
	*b = (struct memory_bytes){0};
}

static struct memory_bytes bytes_copy(const struct memory_bytes *b)
{
	struct memory_bytes copy = {.exists = b->exists, .size = b->size};
	if (b->size) {
		copy.data = xmalloc(bytes_room(b->size));
		memcpy(copy.data, b->data, b->size);
	}
	return copy;
}

static void bytes_apply(struct memory_bytes *b, const struct memory_io *io)
{
	if (io->type == MEMORY_WRITE)
		bytes_write(b, io->offset, io->data, io->size);
	else if (io->type == MEMORY_TRUNCATE)
		bytes_resize(b, io->offset);
	else if (io->type == MEMORY_DELETE)
		bytes_clear(b);
}

void memory_image_apply(struct memory_image *image, const struct memory_io *io)
{
	if (io->type != MEMORY_MARK)
		bytes_apply(&image->files[io->file], io);
}

struct memory_image memory_image_copy(const struct memory_image *image)
{
	struct memory_image copy;
	for (size_t i = 0; i < MEMORY_FILES; i++)
		copy.files[i] = bytes_copy(&image->files[i]);
	return copy;
}

void memory_image_finish(struct memory_image *image)
{
	for (size_t i = 0; i < MEMORY_FILES; i++)
		bytes_clear(&image->files[i]);
}

/* ---- notes and faults; all with the mutex held ---- */

static void push(struct memory_io **list, size_t *count, size_t *room, struct memory_io io)
{
	if (*count == *room) {
		*room = *room ? *room * 2 : 64;
		*list = xrealloc(*list, *room * sizeof(**list));
	}
	if (io.data) {
		char *data = xmalloc(io.size);
		memcpy(data, io.data, io.size);
		io.data = data;
	}
	(*list)[(*count)++] = io;
}

static void forget(struct memory_io **list, size_t *count, size_t *room)
{
	for (size_t i = 0; i < *count; i++)
		free((*list)[i].data);
	free(*list);
	*list = NULL;
	*count = *room = 0;
}

static void happened(struct file *f, struct memory_io io)
{
	io.file = (unsigned)(f - vfs.files);
	if (vfs.recording)
		push(&vfs.log, &vfs.log_count, &vfs.log_room, io);
	if (io.type == MEMORY_SYNC) {
		for (size_t i = 0; i < f->pending_count; i++)
			bytes_apply(&f->synced, &f->pending[i]);
		forget(&f->pending, &f->pending_count, &f->pending_room);
	} else if (io.type == MEMORY_DELETE) {
		bytes_clear(&f->synced);
		forget(&f->pending, &f->pending_count, &f->pending_room);
	} else {
		push(&f->pending, &f->pending_count, &f->pending_room, io);
	}
	bytes_apply(&f->bytes, &io);
}

static bool fails(bool is_fault, uint64_t count)
{
	return is_fault && count >= vfs.fault_at && count - vfs.fault_at < vfs.fault_count;
}

/* ---- files ---- */

static struct file *find(const char *name, bool make)
{
	for (size_t i = 0; i < MEMORY_FILES; i++)
		if (vfs.files[i].name && strcmp(vfs.files[i].name, name) == 0)
			return &vfs.files[i];
	for (size_t i = 0; make && i < MEMORY_FILES; i++)
		if (!vfs.files[i].name) {
			vfs.files[i].name = xstrdup(name);
			return &vfs.files[i];
		}
	return NULL;
}

static int m_close(sqlite3_file *h)
{
	return SQLITE_OK;
}

static int m_read(sqlite3_file *h, void *to, int size, sqlite3_int64 offset)
{
	struct file *f = ((struct handle *)h)->file;
	int code = SQLITE_OK;
	pthread_mutex_lock(&vfs.mutex);
	if (fails(vfs.fault == FAULT_READ_EIO, ++vfs.reads)) {
		code = SQLITE_IOERR_READ;
	} else {
		size_t at = (size_t)offset, have = at < f->bytes.size ? f->bytes.size - at : 0;
		size_t n = MIN(have, (size_t)size);
		if (n)
			memcpy(to, f->bytes.data + at, n);
		if (n < (size_t)size) {
			memset((char *)to + n, 0, (size_t)size - n);
			code = SQLITE_IOERR_SHORT_READ;
		}
	}
	pthread_mutex_unlock(&vfs.mutex);
	return code;
}

static int m_write(sqlite3_file *h, const void *from, int size, sqlite3_int64 offset)
{
	struct file *f = ((struct handle *)h)->file;
	int code = SQLITE_OK;
	pthread_mutex_lock(&vfs.mutex);
	uint64_t n = ++vfs.writes;
	struct memory_io io = {.type = MEMORY_WRITE,
		.offset = (size_t)offset,
		.size = (size_t)size,
		.data = (char *)(uintptr_t)from};
	if (fails(vfs.fault == FAULT_WRITE_FULL, n))
		code = SQLITE_FULL;
	else if (fails(vfs.fault == FAULT_WRITE_EIO || vfs.fault == FAULT_READ_ONLY, n))
		code = SQLITE_IOERR_WRITE;
	if (fails(vfs.fault == FAULT_WRITE_SHORT, n)) {
		code = SQLITE_FULL;
		io.size /= 2;
		if (io.size)
			happened(f, io);
	} else if (code == SQLITE_OK) {
		happened(f, io);
	}
	pthread_mutex_unlock(&vfs.mutex);
	return code;
}

static int m_truncate(sqlite3_file *h, sqlite3_int64 size)
{
	struct file *f = ((struct handle *)h)->file;
	pthread_mutex_lock(&vfs.mutex);
	bool failed =
		fails(vfs.fault == FAULT_WRITE_EIO || vfs.fault == FAULT_READ_ONLY, ++vfs.writes);
	if (!failed && (size_t)size < f->bytes.size)
		happened(f, (struct memory_io){.type = MEMORY_TRUNCATE, .offset = (size_t)size});
	pthread_mutex_unlock(&vfs.mutex);
	return failed ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int m_sync(sqlite3_file *h, int flags)
{
	struct file *f = ((struct handle *)h)->file;
	pthread_mutex_lock(&vfs.mutex);
	bool failed =
		fails(vfs.fault == FAULT_SYNC_EIO || vfs.fault == FAULT_READ_ONLY, ++vfs.syncs);
	if (failed)
		forget(&f->pending, &f->pending_count, &f->pending_room);
	else
		happened(f, (struct memory_io){.type = MEMORY_SYNC});
	pthread_mutex_unlock(&vfs.mutex);
	return failed ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int m_size(sqlite3_file *h, sqlite3_int64 *ret)
{
	pthread_mutex_lock(&vfs.mutex);
	*ret = (sqlite3_int64)((struct handle *)h)->file->bytes.size;
	pthread_mutex_unlock(&vfs.mutex);
	return SQLITE_OK;
}

/* One holder of more than SHARED at a time; EXCLUSIVE when nobody else has any. */
static int m_lock(sqlite3_file *base, int level)
{
	struct handle *h = (struct handle *)base;
	struct file *f = h->file;
	int code = SQLITE_OK;
	pthread_mutex_lock(&vfs.mutex);
	if (level > h->level) {
		bool mine = h->level > SQLITE_LOCK_SHARED;
		if (level == SQLITE_LOCK_SHARED && f->level >= SQLITE_LOCK_PENDING && !mine)
			code = SQLITE_BUSY;
		else if (level > SQLITE_LOCK_SHARED && f->level > SQLITE_LOCK_SHARED && !mine)
			code = SQLITE_BUSY;
		else if (level == SQLITE_LOCK_EXCLUSIVE &&
			 f->shared > (h->level >= SQLITE_LOCK_SHARED))
			code = SQLITE_BUSY;
		if (code == SQLITE_OK) {
			f->shared += h->level < SQLITE_LOCK_SHARED;
			h->level = level;
			f->level = MAX(f->level, level);
		}
	}
	pthread_mutex_unlock(&vfs.mutex);
	return code;
}

static int m_unlock(sqlite3_file *base, int level)
{
	struct handle *h = (struct handle *)base;
	struct file *f = h->file;
	pthread_mutex_lock(&vfs.mutex);
	if (level < h->level) {
		if (h->level > SQLITE_LOCK_SHARED)
			f->level = f->shared ? SQLITE_LOCK_SHARED : SQLITE_LOCK_NONE;
		f->shared -= level < SQLITE_LOCK_SHARED && h->level >= SQLITE_LOCK_SHARED;
		if (!f->shared)
			f->level = SQLITE_LOCK_NONE;
		h->level = level;
	}
	pthread_mutex_unlock(&vfs.mutex);
	return SQLITE_OK;
}

static int m_reserved(sqlite3_file *base, int *ret)
{
	pthread_mutex_lock(&vfs.mutex);
	*ret = ((struct handle *)base)->file->level >= SQLITE_LOCK_RESERVED;
	pthread_mutex_unlock(&vfs.mutex);
	return SQLITE_OK;
}

static int m_control(sqlite3_file *base, int op, void *arg)
{
	return SQLITE_NOTFOUND;
}

static int m_sector(sqlite3_file *base)
{
	return 512;
}

static int m_device(sqlite3_file *base)
{
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as the system's layer says */
}

static int m_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **ret)
{
	struct handle *h = (struct handle *)base;
	pthread_mutex_lock(&vfs.mutex);
	if (!h->has_shm)
		h->file->shm_users++;
	h->has_shm = true;
	if (region >= SHM_REGIONS)
		abort();
	if (!h->file->shm[region] && extend)
		h->file->shm[region] = xcalloc(1, (size_t)size);
	*ret = h->file->shm[region];
	pthread_mutex_unlock(&vfs.mutex);
	return SQLITE_OK;
}

static int m_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
	struct handle *h = (struct handle *)base;
	struct file *f = h->file;
	int code = SQLITE_OK;
	pthread_mutex_lock(&vfs.mutex);
	for (int i = offset; i < offset + n && (flags & SQLITE_SHM_LOCK); i++) {
		unsigned bit = 1u << i;
		bool others = f->shm_shared[i] > ((h->shm_shared & bit) != 0);
		if (f->shm_exclusive[i] && !(h->shm_exclusive & bit))
			code = SQLITE_BUSY;
		if ((flags & SQLITE_SHM_EXCLUSIVE) && others)
			code = SQLITE_BUSY;
	}
	for (int i = offset; i < offset + n && code == SQLITE_OK; i++) {
		unsigned bit = 1u << i;
		bool shared = flags & SQLITE_SHM_SHARED, lock = flags & SQLITE_SHM_LOCK;
		unsigned *mask = shared ? &h->shm_shared : &h->shm_exclusive;
		bool had = *mask & bit;
		*mask = lock ? *mask | bit : *mask & ~bit;
		if (shared)
			f->shm_shared[i] += lock - had;
		else if (lock || had)
			f->shm_exclusive[i] = lock;
	}
	pthread_mutex_unlock(&vfs.mutex);
	return code;
}

static void m_shm_barrier(sqlite3_file *base)
{
	__sync_synchronize();
	pthread_mutex_lock(&vfs.mutex);
	pthread_mutex_unlock(&vfs.mutex);
}

static int m_shm_unmap(sqlite3_file *base, int delete)
{
	struct handle *h = (struct handle *)base;
	pthread_mutex_lock(&vfs.mutex);
	if (h->has_shm && --h->file->shm_users == 0)
		for (size_t i = 0; i < SHM_REGIONS; i++) {
			free(h->file->shm[i]);
			h->file->shm[i] = NULL;
		}
	h->has_shm = false;
	pthread_mutex_unlock(&vfs.mutex);
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = m_close,
	.xRead = m_read,
	.xWrite = m_write,
	.xTruncate = m_truncate,
	.xSync = m_sync,
	.xFileSize = m_size,
	.xLock = m_lock,
	.xUnlock = m_unlock,
	.xCheckReservedLock = m_reserved,
	.xFileControl = m_control,
	.xSectorSize = m_sector,
	.xDeviceCharacteristics = m_device,
	.xShmMap = m_shm_map,
	.xShmLock = m_shm_lock,
	.xShmBarrier = m_shm_barrier,
	.xShmUnmap = m_shm_unmap,
};

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *base, int flags, int *ret_flags)
{
	struct handle *h = (struct handle *)base;
	*h = (struct handle){0};
	pthread_mutex_lock(&vfs.mutex);
	struct file *f = name ? find(name, true) : NULL;
	if (f && (f->bytes.exists || (flags & (SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB)))) {
		f->bytes.exists = true;
		h->file = f;
		h->base.pMethods = &methods;
	}
	pthread_mutex_unlock(&vfs.mutex);
	if (ret_flags)
		*ret_flags = flags;
	return h->file ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int v_delete(sqlite3_vfs *v, const char *name, int sync)
{
	pthread_mutex_lock(&vfs.mutex);
	struct file *f = find(name, false);
	if (f && f->bytes.exists)
		happened(f, (struct memory_io){.type = MEMORY_DELETE});
	pthread_mutex_unlock(&vfs.mutex);
	return SQLITE_OK;
}

static int v_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
	pthread_mutex_lock(&vfs.mutex);
	struct file *f = find(name, false);
	*ret = f && f->bytes.exists;
	pthread_mutex_unlock(&vfs.mutex);
	return SQLITE_OK;
}

static int v_full(sqlite3_vfs *v, const char *name, int room, char *ret)
{
	snprintf(ret, (size_t)room, "%s", name);
	return SQLITE_OK;
}

static int v_random(sqlite3_vfs *v, int size, char *ret)
{
	return sqlite3_vfs_find("unix")->xRandomness(sqlite3_vfs_find("unix"), size, ret);
}

static int v_sleep(sqlite3_vfs *v, int us)
{
	usleep((useconds_t)us);
	return us;
}

static int v_time(sqlite3_vfs *v, double *ret)
{
	return sqlite3_vfs_find("unix")->xCurrentTime(sqlite3_vfs_find("unix"), ret);
}

static int v_error(sqlite3_vfs *v, int size, char *ret)
{
	return 0;
}

void memory_vfs_init(void)
{
	static sqlite3_vfs v = {
		.iVersion = 1,
		.szOsFile = sizeof(struct handle),
		.mxPathname = 512,
		.zName = "memory",
		.xOpen = v_open,
		.xDelete = v_delete,
		.xAccess = v_access,
		.xFullPathname = v_full,
		.xRandomness = v_random,
		.xSleep = v_sleep,
		.xCurrentTime = v_time,
		.xGetLastError = v_error,
	};
	if (sqlite3_vfs_register(&v, 0) != SQLITE_OK)
		abort();
}

void memory_vfs_reset(void)
{
	for (size_t i = 0; i < MEMORY_FILES; i++) {
		struct file *f = &vfs.files[i];
		forget(&f->pending, &f->pending_count, &f->pending_room);
		bytes_clear(&f->bytes);
		bytes_clear(&f->synced);
		free(f->name);
		*f = (struct file){0};
	}
	forget(&vfs.log, &vfs.log_count, &vfs.log_room);
	vfs.recording = false;
	memory_vfs_fail(FAULT_NONE, 0, 0);
}

void memory_vfs_record(bool on)
{
	pthread_mutex_lock(&vfs.mutex);
	vfs.recording = on;
	pthread_mutex_unlock(&vfs.mutex);
}

void memory_vfs_mark(size_t number)
{
	struct memory_io io = {.type = MEMORY_MARK, .offset = number};
	pthread_mutex_lock(&vfs.mutex);
	if (vfs.recording)
		push(&vfs.log, &vfs.log_count, &vfs.log_room, io);
	pthread_mutex_unlock(&vfs.mutex);
}

const struct memory_io *memory_vfs_log(size_t *ret_count)
{
	*ret_count = vfs.log_count;
	return vfs.log;
}

void memory_vfs_fail(enum memory_fault_type type, uint64_t at, uint64_t count)
{
	pthread_mutex_lock(&vfs.mutex);
	vfs.fault = type;
	vfs.fault_at = at;
	vfs.fault_count = count;
	vfs.writes = vfs.syncs = vfs.reads = 0;
	pthread_mutex_unlock(&vfs.mutex);
}

uint64_t memory_vfs_calls(enum memory_fault_type type)
{
	pthread_mutex_lock(&vfs.mutex);
	uint64_t n = type == FAULT_SYNC_EIO   ? vfs.syncs
		     : type == FAULT_READ_EIO ? vfs.reads
					      : vfs.writes;
	pthread_mutex_unlock(&vfs.mutex);
	return n;
}

void memory_vfs_install(const struct memory_image *image)
{
	for (size_t i = 0; i < MEMORY_FILES; i++) {
		struct file *f = &vfs.files[i];
		forget(&f->pending, &f->pending_count, &f->pending_room);
		bytes_clear(&f->bytes);
		bytes_clear(&f->synced);
		f->bytes = bytes_copy(&image->files[i]);
		f->shared = 0;
		f->level = SQLITE_LOCK_NONE;
	}
}

void memory_vfs_image_synced(struct memory_image *ret)
{
	pthread_mutex_lock(&vfs.mutex);
	for (size_t i = 0; i < MEMORY_FILES; i++) {
		ret->files[i] = bytes_copy(&vfs.files[i].synced);
		ret->files[i].exists = vfs.files[i].bytes.exists;
	}
	pthread_mutex_unlock(&vfs.mutex);
}
