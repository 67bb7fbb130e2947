/* sqlite.c - the embedded store: one file in WAL mode, synchronous=FULL.
 *
 *     loop thread                     writer thread                 checkpoint thread
 *     txn() -> queue --- signal --->  BEGIN; all queued; COMMIT
 *                                     (fsync of the WAL)  --------> WAL grew: copy it back into
 *     done() <- results <-- async --  results                       the file, off the commit path
 *
 * Whatever is queued while one commit's fsync runs goes into the next commit (group commit), so the
 * rate is not bound by the disk's latency. Revisions are given out by the writer in queue order and
 * survive the deletion of the newest row in table meta. */
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <uv.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "server/store/store.h"

#define KEY_MAX_BYTES 1024
#define CHECKPOINT_PAGES 1000	     /* of 4 KiB: start copying back */
#define CHECKPOINT_FORCE_PAGES 16384 /* 64 MiB: hold writers until the log is empty */

struct txn {
	struct list link;
	char *key;
	uint64_t expect_revision;
	struct blob *value; /* NULL = delete */
	store_done *done;
	void *user;
	int result;
	uint64_t revision;
};

struct sqlite_store {
	struct store base;
	char *path;
	int lock_fd;
	sqlite3 *db; /* the writer's after open */
	sqlite3_stmt *begin, *commit, *rollback;
	sqlite3_stmt *insert, *update, *upsert, *remove, *remove_any, *revision_of, *set_revision;

	uv_thread_t writer, checkpointer;
	uv_mutex_t mutex; /* guards everything down to `stats` */
	uv_cond_t work, checkpoint_work;
	struct list queue;   /* struct txn, oldest first */
	struct list results; /* struct txn, in commit order */
	struct err failure;  /* why the last commit failed */
	bool stopping, checkpoint_stopping;
	int wal_pages;
	struct store_stats stats;

	uv_async_t wake; /* results are there, or the writer has ended */
	bool writer_ended;
	uint64_t revision; /* the writer's: newest committed */
	void (*closed)(void *user);
	void *closed_user;
};

static int code_to_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

static int set_sqlite_err(struct err *err, sqlite3 *db, const char *what)
{
	int code = sqlite3_extended_errcode(db);
	return err_set(
		err, code_to_errno(code), "%s: %s (SQLite %d)", what, sqlite3_errmsg(db), code);
}

static int exec(sqlite3 *db, const char *sql, struct err *err)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return set_sqlite_err(err, db, sql);
	return 0;
}

/* Steps a statement that returns no row, and resets it. */
static int run(sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The revision of a key's row, 0 when there is none. */
static int read_revision(struct sqlite_store *s, const char *key, uint64_t *ret)
{
	sqlite3_bind_text(s->revision_of, 1, key, -1, SQLITE_STATIC);
	int code = sqlite3_step(s->revision_of);
	if (code == SQLITE_ROW) {
		*ret = (uint64_t)sqlite3_column_int64(s->revision_of, 0);
		code = SQLITE_OK;
	} else if (code == SQLITE_DONE) {
		*ret = 0;
		code = SQLITE_OK;
	}
	sqlite3_reset(s->revision_of);
	sqlite3_clear_bindings(s->revision_of);
	return code;
}

static sqlite3_stmt *statement_for(const struct sqlite_store *s, const struct txn *t)
{
	bool any = t->expect_revision == STORE_ANY;
	if (!t->value)
		return any ? s->remove_any : s->remove;
	if (any)
		return s->upsert;
	return t->expect_revision == 0 ? s->insert : s->update;
}

/* Applies one change inside the open transaction. A condition that does not hold is a result of
 * this change alone (-ESTALE); a failing disk (returned) is one of the whole group. */
static int apply(struct sqlite_store *s, struct txn *t, uint64_t revision)
{
	sqlite3_stmt *stmt = statement_for(s, t);
	sqlite3_bind_text(stmt, 1, t->key, -1, SQLITE_STATIC);
	if (t->value) {
		sqlite3_bind_blob(stmt, 2, t->value->data, (int)t->value->size, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 3, (sqlite3_int64)revision);
	}
	if (stmt == s->update)
		sqlite3_bind_int64(stmt, 4, (sqlite3_int64)t->expect_revision);
	else if (stmt == s->remove)
		sqlite3_bind_int64(stmt, 2, (sqlite3_int64)t->expect_revision);
	int code = run(stmt);
	if (code != SQLITE_OK)
		return code;
	if (sqlite3_changes(s->db) == 1) {
		t->result = 0;
		t->revision = revision;
		return SQLITE_OK;
	}
	t->result = -ESTALE;
	return read_revision(s, t->key, &t->revision);
}

static int apply_group(struct sqlite_store *s, struct list *group, uint64_t *revision)
{
	int code = run(s->begin);
	if (code != SQLITE_OK)
		return code;
	LIST_FOR_EACH(t, group, struct txn, link) {
		code = apply(s, t, *revision + 1);
		if (code != SQLITE_OK)
			return code;
		if (t->result == 0)
			(*revision)++;
	}
	sqlite3_bind_int64(s->set_revision, 1, (sqlite3_int64)*revision);
	code = run(s->set_revision);
	if (code != SQLITE_OK)
		return code;
	return run(s->commit);
}

static void commit_group(struct sqlite_store *s, struct list *group)
{
	uint64_t start = uv_hrtime();
	uint64_t revision = s->revision;
	struct err failure = ERR_INIT;
	int code = apply_group(s, group, &revision);
	if (code == SQLITE_OK) {
		s->revision = revision;
	} else {
		int r = set_sqlite_err(&failure, s->db, "commit");
		/* Nothing of the group stays, or the file is unusable and says so at the next try.
		 */
		if (!sqlite3_get_autocommit(s->db))
			run(s->rollback);
		LIST_FOR_EACH(t, group, struct txn, link)
			t->result = r;
		log_error("write to the store failed; nothing of it was kept", "file", s->path,
			"reason", failure.msg, NULL);
	}
	uint64_t took = uv_hrtime() - start;

	uv_mutex_lock(&s->mutex);
	s->stats.commits++;
	s->stats.commit_ns_total += took;
	s->stats.commit_ns_max = MAX(s->stats.commit_ns_max, took);
	if (code != SQLITE_OK)
		s->failure = failure;
	while (!list_empty(group)) {
		struct txn *t = CONTAINER_OF(group->next, struct txn, link);
		s->stats.txns++;
		s->stats.failed += t->result != 0;
		list_remove(&t->link);
		list_append(&s->results, &t->link);
	}
	uv_mutex_unlock(&s->mutex);
	uv_async_send(&s->wake);
}

static void writer_main(void *arg)
{
	struct sqlite_store *s = arg;
	for (;;) {
		struct list group;
		list_init(&group);
		uv_mutex_lock(&s->mutex);
		while (list_empty(&s->queue) && !s->stopping)
			uv_cond_wait(&s->work, &s->mutex);
		if (list_empty(&s->queue)) {
			s->writer_ended = true;
			uv_mutex_unlock(&s->mutex);
			uv_async_send(&s->wake);
			return;
		}
		while (!list_empty(&s->queue)) {
			struct list *first = s->queue.next;
			list_remove(first);
			list_append(&group, first);
		}
		uv_mutex_unlock(&s->mutex);
		commit_group(s, &group);
	}
}

static int on_wal_commit(void *user, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_store *s = user;
	uv_mutex_lock(&s->mutex);
	s->wal_pages = pages;
	if (pages >= CHECKPOINT_PAGES)
		uv_cond_signal(&s->checkpoint_work);
	uv_mutex_unlock(&s->mutex);
	return SQLITE_OK;
}

static void checkpointer_main(void *arg)
{
	struct sqlite_store *s = arg;
	sqlite3 *db = NULL;
	int open_code =
		sqlite3_open_v2(s->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (open_code == SQLITE_OK)
		sqlite3_busy_timeout(db, 2000);
	else
		log_error("the store's log can't be copied back and will grow", "file", s->path,
			"reason", sqlite3_errstr(open_code), NULL);
	int done_pages = 0; /* of the log, as of the last round */
	uv_mutex_lock(&s->mutex);
	for (;;) {
		while (!s->checkpoint_stopping &&
			(s->wal_pages < CHECKPOINT_PAGES ||
				(s->wal_pages >= done_pages &&
					s->wal_pages - done_pages < CHECKPOINT_PAGES)))
			uv_cond_wait(&s->checkpoint_work, &s->mutex);
		if (s->checkpoint_stopping)
			break;
		bool force = s->wal_pages >= CHECKPOINT_FORCE_PAGES;
		done_pages = s->wal_pages;
		uv_mutex_unlock(&s->mutex);
		if (open_code == SQLITE_OK) {
			int mode = force ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
			int code = sqlite3_wal_checkpoint_v2(db, NULL, mode, NULL, NULL);
			if (code != SQLITE_OK && code != SQLITE_BUSY)
				log_warn("checkpoint of the store failed; it is tried again",
					"file", s->path, "reason", sqlite3_errmsg(db), NULL);
		}
		uv_mutex_lock(&s->mutex);
	}
	uv_mutex_unlock(&s->mutex);
	sqlite3_close(db);
}

static void txn_free(struct txn *t)
{
	blob_unref(t->value);
	free(t->key);
	free(t);
}

static void store_free(struct sqlite_store *s)
{
	sqlite3_stmt **statements[] = {&s->begin, &s->commit, &s->rollback, &s->insert, &s->update,
		&s->upsert, &s->remove, &s->remove_any, &s->revision_of, &s->set_revision};
	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		sqlite3_finalize(*statements[i]);
	sqlite3_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->path);
	free(s);
}

static void on_wake_closed(uv_handle_t *h)
{
	struct sqlite_store *s = h->data;
	void (*closed)(void *) = s->closed;
	void *user = s->closed_user;
	uv_mutex_destroy(&s->mutex);
	uv_cond_destroy(&s->work);
	uv_cond_destroy(&s->checkpoint_work);
	store_free(s);
	if (closed)
		closed(user);
}

static void on_wake(uv_async_t *h)
{
	struct sqlite_store *s = h->data;
	struct list results;
	list_init(&results);
	uv_mutex_lock(&s->mutex);
	while (!list_empty(&s->results)) {
		struct list *first = s->results.next;
		list_remove(first);
		list_append(&results, first);
	}
	struct err failure = s->failure;
	bool ended = s->writer_ended;
	uv_mutex_unlock(&s->mutex);

	while (!list_empty(&results)) {
		struct txn *t = CONTAINER_OF(results.next, struct txn, link);
		list_remove(&t->link);
		bool failed = t->result < 0 && t->result != -ESTALE;
		t->done(t->user, t->result, t->revision, failed ? &failure : NULL);
		txn_free(t);
	}
	if (!ended || uv_is_closing((uv_handle_t *)h))
		return;
	uv_thread_join(&s->writer);
	uv_mutex_lock(&s->mutex);
	s->checkpoint_stopping = true;
	uv_cond_signal(&s->checkpoint_work);
	uv_mutex_unlock(&s->mutex);
	uv_thread_join(&s->checkpointer);
	uv_close((uv_handle_t *)h, on_wake_closed);
}

static void sqlite_txn(
	struct store *base, const struct store_change *change, store_done *done, void *user)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	struct txn *t = xcalloc(1, sizeof(*t));
	list_init(&t->link);
	t->key = xstrdup(change->key);
	t->expect_revision = change->expect_revision;
	t->value = change->value ? blob_ref(change->value) : NULL;
	t->done = done;
	t->user = user;
	uv_mutex_lock(&s->mutex);
	if (strlen(t->key) > KEY_MAX_BYTES) {
		t->result = err_set(
			&s->failure, -ENAMETOOLONG, "key is longer than %d bytes", KEY_MAX_BYTES);
		list_append(&s->results, &t->link);
		uv_async_send(&s->wake);
	} else {
		list_append(&s->queue, &t->link);
		uv_cond_signal(&s->work);
	}
	uv_mutex_unlock(&s->mutex);
}

static int sqlite_load(
	struct store *base, store_row *row, void *user, uint64_t *ret_revision, struct err *err)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(s->db, "SELECT key, value, revision FROM kv ORDER BY key", -1, &stmt,
		    NULL) != SQLITE_OK)
		return set_sqlite_err(err, s->db, "load");
	int code;
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		row(user, (const char *)sqlite3_column_text(stmt, 0), sqlite3_column_blob(stmt, 1),
			(size_t)sqlite3_column_bytes(stmt, 1),
			(uint64_t)sqlite3_column_int64(stmt, 2));
	int r = code == SQLITE_DONE ? 0 : set_sqlite_err(err, s->db, "load");
	sqlite3_finalize(stmt);
	if (r == 0)
		*ret_revision = s->revision;
	return r;
}

/* Only the present state is kept: there is no history to forget. */
static void sqlite_compact(struct store *base, uint64_t revision)
{
}

static void sqlite_close(struct store *base, void (*done)(void *), void *user)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	uv_mutex_lock(&s->mutex);
	s->closed = done;
	s->closed_user = user;
	s->stopping = true;
	uv_cond_signal(&s->work);
	uv_mutex_unlock(&s->mutex);
}

static const struct store_ops sqlite_ops = {
	.name = "sqlite",
	.load = sqlite_load,
	.txn = sqlite_txn,
	.compact = sqlite_compact,
	.close = sqlite_close,
};

static int lock_file(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_(free_p) char *lock_path = xasprintf("%s.lock", path);
	int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", lock_path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int code = -errno;
		close(fd);
		if (code == -EWOULDBLOCK)
			return err_set(err, -EBUSY,
				"'%s' is in use by another hanok server; stop that one first or "
				"choose "
				"another --data directory",
				path);
		return err_errno(err, code, "lock '%s'", lock_path);
	}
	*ret_fd = fd;
	return 0;
}

static int first_cell_is(sqlite3 *db, const char *sql, const char *expected, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW) {
		r = set_sqlite_err(err, db, sql);
	} else {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);
		if (!text || strcmp(text, expected) != 0)
			r = err_set(err, -EBADMSG, "%s: %s", sql, text ? text : "no answer");
	}
	sqlite3_finalize(stmt);
	return r;
}

static int read_meta_revision(struct sqlite_store *s, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(s->db, "SELECT revision FROM meta WHERE id = 1", -1, &stmt, NULL) !=
			SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW) {
		int r = set_sqlite_err(err, s->db, "read the revision");
		sqlite3_finalize(stmt);
		return r;
	}
	s->revision = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return 0;
}

static int prepare_statements(struct sqlite_store *s, struct err *err)
{
	const struct {
		sqlite3_stmt **stmt;
		const char *sql;
	} all[] = {
		{&s->begin, "BEGIN IMMEDIATE"},
		{&s->commit, "COMMIT"},
		{&s->rollback, "ROLLBACK"},
		{&s->insert, "INSERT INTO kv (key, value, revision) VALUES (?1, ?2, ?3) ON "
			     "CONFLICT DO NOTHING"},
		{&s->update,
			"UPDATE kv SET value = ?2, revision = ?3 WHERE key = ?1 AND revision = ?4"},
		{&s->upsert, "INSERT INTO kv (key, value, revision) VALUES (?1, ?2, ?3) "
			     "ON CONFLICT (key) DO UPDATE SET value = ?2, revision = ?3"},
		{&s->remove, "DELETE FROM kv WHERE key = ?1 AND revision = ?2"},
		{&s->remove_any, "DELETE FROM kv WHERE key = ?1"},
		{&s->revision_of, "SELECT revision FROM kv WHERE key = ?1"},
		{&s->set_revision, "UPDATE meta SET revision = ?1 WHERE id = 1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (sqlite3_prepare_v3(s->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
			    all[i].stmt, NULL) != SQLITE_OK)
			return set_sqlite_err(err, s->db, all[i].sql);
	return 0;
}

static int open_database(struct sqlite_store *s, struct err *err)
{
	/* Made before SQLite does, so that it and its log never were readable by others. */
	int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "open the store '%s'", s->path);
	close(fd);
	if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
		SQLITE_OK)
		return set_sqlite_err(err, s->db, "open the store");
	sqlite3_busy_timeout(s->db, 10000);
	int r = exec(s->db,
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = "
		"0;"
		"PRAGMA cache_size = -1024; PRAGMA journal_size_limit = 67108864; PRAGMA "
		"temp_store = MEMORY;",
		err);
	if (r == 0)
		r = first_cell_is(s->db, "PRAGMA quick_check(1)", "ok", err);
	if (r < 0)
		return err_context(err, r,
			"the store '%s' is damaged or no hanok store: restore a backup, or move it "
			"away to start "
			"empty",
			s->path);
	r = exec(s->db,
		"CREATE TABLE IF NOT EXISTS kv (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
		" value BLOB NOT NULL, revision INTEGER NOT NULL);"
		"CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY, revision INTEGER NOT "
		"NULL);"
		"INSERT OR IGNORE INTO meta (id, revision) VALUES (1, 0);",
		err);
	if (r == 0)
		r = read_meta_revision(s, err);
	if (r == 0)
		r = prepare_statements(s, err);
	if (r < 0)
		return err_context(err, r, "open the store '%s'", s->path);
	sqlite3_wal_hook(s->db, on_wal_commit, s);
	return 0;
}

int store_sqlite_open(uv_loop_t *loop, const char *path, struct store **ret, struct err *err)
{
	struct sqlite_store *s = xcalloc(1, sizeof(*s));
	s->base.ops = &sqlite_ops;
	s->path = xstrdup(path);
	s->lock_fd = -1;
	list_init(&s->queue);
	list_init(&s->results);
	int r = lock_file(path, &s->lock_fd, err);
	if (r == 0)
		r = open_database(s, err);
	if (r < 0) {
		store_free(s);
		return r;
	}
	uv_mutex_init(&s->mutex);
	uv_cond_init(&s->work);
	uv_cond_init(&s->checkpoint_work);
	uv_async_init(loop, &s->wake, on_wake);
	s->wake.data = s;
	uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = 256 << 10};
	if (uv_thread_create_ex(&s->writer, &options, writer_main, s) < 0 ||
		uv_thread_create_ex(&s->checkpointer, &options, checkpointer_main, s) < 0) {
		log_error("no thread for the store", NULL);
		abort();
	}
	*ret = &s->base;
	return 0;
}

struct store_stats store_sqlite_stats(const struct store *base)
{
	struct sqlite_store *s =
		CONTAINER_OF((struct store *)(uintptr_t)base, struct sqlite_store, base);
	uv_mutex_lock(&s->mutex);
	struct store_stats stats = s->stats;
	uv_mutex_unlock(&s->mutex);
	return stats;
}
