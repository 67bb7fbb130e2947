/* sqlite_backup.c - copies of the store's file: one of the running store, and back again. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "server/store/sqlite_private.h"

#define PROGRESS_STEPS 1000 /* of SQLite's machine, after which it asks whether to go on */

static int on_progress(void *user)
{
	const struct store_copying *c = user;
	return atomic_load(&c->stop);
}

static uint64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static int check_room(const char *path, const struct store_copying *c, int fd, struct err *err)
{
	_cleanup_(free_p) char *log = xasprintf("%s-wal", path);
	uint64_t wanted = 2 * (size_of(path) + size_of(log)), there = c->free_bytes(fd);
	if (there >= wanted)
		return 0;
	return err_set(err, -ENOSPC,
		"a copy of the store needs %" PRIu64 " MiB of free space beside '%s', and there "
		"are %" PRIu64,
		(wanted >> 20) + 1, path, there >> 20);
}

int store_file_copy(
	const struct store_file *f, const struct store_copying *c, int *ret_fd, struct err *err)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	int r = 0;
	_cleanup_(free_p) char *to = xasprintf("%s.backup", f->path);
	/* One that a crash left may be there. */
	unlink(to);
	/* There as ours, before SQLite fills it: nobody else may read it. */
	_cleanup_(close_p) int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", to);
	r = check_room(f->path, c, fd, err);
	if (r < 0) {
		unlink(to);
		return r;
	}
	if (sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, f->vfs) ==
		SQLITE_OK)
		sqlite3_progress_handler(
			db, PROGRESS_STEPS, on_progress, (struct store_copying *)(uintptr_t)c);
	if (sqlite3_busy_timeout(db, 10000) != SQLITE_OK ||
		sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &stmt, NULL) != SQLITE_OK ||
		sqlite3_bind_text(stmt, 1, to, -1, SQLITE_STATIC) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_DONE) {
		r = store_sqlite_err(err, db, "copy the store");
		r = atomic_load(&c->stop) ? err_set(err, -ECANCELED, "the copy was given up")
					  : err_context(err, r, "'%s'", to);
	}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	unlink(to);
	if (r < 0)
		return r;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static void count_row(
	void *user, const char *key, const void *value, size_t size, uint64_t revision)
{
	uint64_t *count = user;
	(*count)++;
}

int store_sqlite_check(const char *path, struct store_backup_info *ret, struct err *err)
{
	struct store_backup_info info = {0};
	struct stat st;
	if (stat(path, &st) < 0)
		return err_errno(err, -errno, "open '%s'", path);
	if (st.st_size == 0)
		return err_set(err, -EBADMSG, "'%s' is empty: it is no backup of a store", path);
	struct store_file f;
	int r = store_file_open_readonly(path, &f, err);
	if (r < 0)
		return r;
	r = store_file_load(&f, count_row, &info.objects, err);
	info.revision = f.revision;
	store_file_close(&f);
	if (r == 0)
		*ret = info;
	return r;
}

uint64_t store_sqlite_newest(const char *path)
{
	struct store_file f;
	if (store_file_open(path, NULL, &f, NULL) < 0)
		return 0;
	uint64_t revision = f.revision;
	store_file_close(&f);
	return revision;
}

static int copy_bytes(const char *from, const char *to, struct err *err)
{
	_cleanup_(close_p) int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return err_errno(err, -errno, "open '%s'", from);
	_cleanup_(close_p) int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0)
		return err_errno(err, -errno, "create '%s'", to);
	char piece[65536];
	for (;;) {
		ssize_t n = TEMP_FAILURE_RETRY(read(in, piece, sizeof(piece)));
		if (n == 0)
			return 0;
		if (n < 0)
			return err_errno(err, -errno, "read '%s'", from);
		for (ssize_t at = 0, wrote; at < n; at += wrote) {
			wrote = TEMP_FAILURE_RETRY(write(out, piece + at, (size_t)(n - at)));
			if (wrote <= 0)
				return err_errno(err, wrote < 0 ? -errno : -EIO, "write '%s'", to);
		}
	}
}

/* Revisions of before stay with the objects; new ones begin where no client can have seen any. */
static int raise_revision(const char *path, uint64_t revision, struct err *err)
{
	struct store_file f;
	int r = store_file_open(path, NULL, &f, err);
	if (r < 0)
		return r;
	if (store_file_set_newest(&f, revision) != SQLITE_OK)
		r = store_sqlite_err(err, f.db, "set the revision");
	/* All in the file itself: no log stays beside it. */
	if (r == 0 &&
		sqlite3_exec(f.db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) != SQLITE_OK)
		r = store_sqlite_err(err, f.db, "finish the file");
	store_file_close(&f);
	_cleanup_(free_p) char *lock = xasprintf("%s.lock", path);
	unlink(lock);
	return r;
}

static int sync_path(const char *path, int flags, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, -errno, "sync '%s'", path);
	return 0;
}

static char *fresh_of(const char *path)
{
	return xasprintf("%s.restoring", path);
}

static void remove_fresh(const char *fresh)
{
	static const char *const suffixes[] = {"-wal", "-shm", ".lock", ""};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		_cleanup_(free_p) char *name = xasprintf("%s%s", fresh, suffixes[i]);
		unlink(name);
	}
}

int store_sqlite_restore_prepare(const char *backup, const char *path, uint64_t above,
	struct store_backup_info *ret, struct err *err)
{
	struct store_backup_info info;
	struct clock *clock = clock_system();
	int r = store_sqlite_check(backup, &info, err);
	if (r < 0)
		return r;
	_cleanup_(free_p) char *fresh = fresh_of(path);
	uint64_t now_us = (uint64_t)clock->wall_ns(clock) / 1000;
	info.revision = MAX(MAX(info.revision, above) + STORE_RESTORE_STEP, now_us);
	/* What a restore that was cut has left. */
	remove_fresh(fresh);
	r = copy_bytes(backup, fresh, err);
	if (r == 0)
		r = raise_revision(fresh, info.revision, err);
	if (r == 0)
		r = sync_path(fresh, 0, err);
	if (r < 0)
		remove_fresh(fresh);
	else
		*ret = info;
	return r;
}

int store_sqlite_restore_finish(const char *directory, const char *path, struct err *err)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	_cleanup_(free_p) char *fresh = fresh_of(path);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		_cleanup_(free_p) char *name = xasprintf("%s%s", path, suffixes[i]);
		if (access(name, F_OK) < 0)
			continue;
		remove_fresh(fresh);
		return err_set(err, -EEXIST, "'%s' is there already", name);
	}
	if (rename(fresh, path) < 0)
		return err_errno(err, -errno, "rename '%s' to '%s'", fresh, path);
	return sync_path(directory, O_DIRECTORY, err);
}
