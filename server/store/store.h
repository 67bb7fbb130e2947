/* store.h - durable key/value with one total order of revisions. Knows no kind: keys are paths
 * ("/core/pods/default/web-1"), values are bytes.
 *
 * A backend fills in store_ops. Calls come from the loop's thread; completions and events are
 * delivered on it, in revision order, and only once the change is durable. A failed commit (-EIO,
 * -ENOSPC, -EROFS) keeps nothing of its txns, except that after a crash they may be found all the
 * same; each later txn tries anew, and reads from the cache go on. */
#pragma once

#include <uv.h>

#include "lib/base/blob.h"
#include "lib/base/err.h"

struct store;

#define STORE_ANY UINT64_MAX /* no condition on the present revision */

struct store_change {
	const char *key;	  /* at most 1024 bytes */
	uint64_t expect_revision; /* 0 = must not exist, STORE_ANY, or the exact revision */
	struct blob *value;	  /* NULL = delete */
};

/* r: 0; -ESTALE when the condition failed (revision is then the present one, 0 = absent); -EIO,
 * -ENOSPC, -EROFS with err filled. */
typedef void store_done(void *user, int r, uint64_t revision, const struct err *err);
typedef void store_row(
	void *user, const char *key, const void *value, size_t size, uint64_t revision);

struct store_ops {
	const char *name;
	/* Every live row, in no order, and the newest revision ever given out. Blocking; at start
	 * only. */
	int (*load)(struct store *s, store_row *row, void *user, uint64_t *ret_revision,
		struct err *err);
	/* One change. (A transaction over several keys has one revision: not needed so far.) */
	void (*txn)(
		struct store *s, const struct store_change *change, store_done *done, void *user);
	/* Forgets what is older than the revision, where the backend keeps history. */
	void (*compact)(struct store *s, uint64_t revision);
	/* Finishes what is queued, then calls done and frees the store. */
	void (*close)(struct store *s, void (*done)(void *user), void *user);
};

struct store {
	const struct store_ops *ops;
};

/* SQLite: WAL, synchronous=FULL, one writer thread, group commit. Creates the file (0600); refuses
 * a damaged one (pages and the sum of each row are checked), one of a newer schema and one locked
 * by another server, naming the file and the mend. The file grows to what was needed at one time
 * and uses its free pages again; its log stays around 16 MiB. */
int store_sqlite_open(
	uv_loop_t *loop, const char *path, struct store **ret, struct err *err) _must_check_;
struct store_sqlite_options {
	uv_loop_t *loop;
	const char *path;
	const char *vfs;      /* file layer by SQLite's name for it; NULL = the system's */
	int checkpoint_pages; /* of the log, after which it is copied back; 0 = 500 */
	/* On the disk of an open file, for those who are not root; NULL = as fstatvfs(3) has it. */
	uint64_t (*free_bytes)(int fd);
};
int store_sqlite_open_with(
	const struct store_sqlite_options *o, struct store **ret, struct err *err) _must_check_;

struct store_stats {
	uint64_t txns, commits, failed; /* commits = groups */
	uint64_t commit_ns_total, commit_ns_max;
};
struct store_stats store_sqlite_stats(const struct store *s);

/* Makes a consistent copy of the running store, off the loop and beside its file, and hands it out
 * as an open file that has no name any more; it is a store's file itself. Writers go on meanwhile.
 * One at a time: -EBUSY. -ENOSPC unless the disk has room for two of them. `done` comes from the
 * loop, and before the store has closed. */
void store_sqlite_backup(struct store *s,
	void (*done)(void *user, int r, int fd, const struct err *err), void *user);

/* What is under way ends soon with -ECANCELED, as it does when the store is closed. */
void store_sqlite_backup_cancel(struct store *s);

struct store_backup_info {
	uint64_t objects, revision;
};
/* Reads all of a file that no server has open. */
int store_sqlite_check(
	const char *path, struct store_backup_info *ret, struct err *err) _must_check_;
/* The newest revision of a store that no server has open; 0 when it can't be read. */
uint64_t store_sqlite_newest(const char *path);
/* Restoring is two steps, so that the store that is there need not be touched before the new one is
 * on the disk. The first makes `path`.restoring of a backup, whole and synced. Its revisions go on
 * at least STORE_RESTORE_STEP above the backup's and above `above`, and above those of any restore
 * before, so that none that a client has seen comes again with another meaning: not below the
 * microseconds since 1970. The second gives it its name, in `directory`; -EEXIST when there is a
 * store or the log of one. */
#define STORE_RESTORE_STEP UINT64_C(1000000000)
int store_sqlite_restore_prepare(const char *backup, const char *path, uint64_t above,
	struct store_backup_info *ret, struct err *err) _must_check_;
int store_sqlite_restore_finish(
	const char *directory, const char *path, struct err *err) _must_check_;
