/* sqlite_private.h - what sqlite.c (threads, commits), sqlite_file.c (the file: opening, checking,
 * loading) and sqlite_backup.c share. */
#pragma once

#include <sqlite3.h>
#include <stdatomic.h>

#include "lib/base/list.h"
#include "server/store/key_revisions.h"
#include "server/store/store.h"

#define STORE_APPLICATION_ID 0x68616e6b /* "hank": PRAGMA application_id of our files */
#define STORE_SCHEMA 1			/* PRAGMA user_version */

/* The names of the threads, as top -H shows them. */
#define STORE_WRITER "store-write"
#define STORE_CHECKPOINTER "store-copy"

/* An open file of ours, and what the writer prepares on it. */
struct store_file {
	char *path;
	const char *vfs; /* NULL = the system's */
	int lock_fd;	 /* flock(2) on PATH.lock; -1 = not held */
	sqlite3 *db;
	sqlite3_stmt *begin, *commit, *rollback;
	sqlite3_stmt *insert, *remove, *set_revision, *newest;
	uint64_t revision;	   /* newest ever given out, as the file has it */
	struct key_revisions keys; /* of all rows */
};

/* 0, or a negative errno with what SQLite and the system say. */
int store_sqlite_err(struct err *err, sqlite3 *db, const char *what);
/* Against flipped bits, which SQLite doesn't look for: over key, revision and value. */
int64_t store_row_sum(const char *key, uint64_t revision, const void *value, size_t size);
uint64_t store_key_hash(const char *key);

/* Locks, creates or checks, and prepares. On failure everything is as before. */
int store_file_open(
	const char *path, const char *vfs, struct store_file *ret, struct err *err) _must_check_;
/* For looking at it: no lock, no log, nothing of it changes (an older schema is refused). */
int store_file_open_readonly(
	const char *path, struct store_file *ret, struct err *err) _must_check_;
void store_file_close(struct store_file *f);
int store_file_load(struct store_file *f, store_row *row, void *user, struct err *err) _must_check_;
/* The newest revision that the file knows. Returns an SQLite code. */
int store_file_newest(struct store_file *f, uint64_t *ret);
int store_file_set_newest(struct store_file *f, uint64_t revision);
/* sqlite_backup.c: a consistent copy of a file that is in use, from any thread. Blocking. The file
 * has no name any more when this returns; PATH.backup is its name until then. -ENOSPC when the disk
 * has not room for two of them: what writers need is not taken by a copy. */
struct store_copying {
	atomic_bool stop; /* ends it soon with -ECANCELED; may be set by another thread */
	uint64_t (*free_bytes)(int fd);
};
int store_file_copy(const struct store_file *f, const struct store_copying *c, int *ret_fd,
	struct err *err) _must_check_;
