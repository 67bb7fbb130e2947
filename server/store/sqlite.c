/* sqlite.c - the embedded store: one file in WAL mode, synchronous=FULL.
 *
 *     loop thread                     writer thread                 checkpoint thread
 *     txn() -> queue --- signal --->  BEGIN; all queued; COMMIT
 *                                     (fsync of the WAL)  --------> WAL grew: copy it back into
 *     done() <- results <-- async --  results                       the file, off the commit path
 *
 * Whatever is queued while one commit's fsync runs goes into the next commit (group commit), so the
 * rate is not bound by the disk's latency. Revisions are given out by the writer in queue order.
 *
 * What a failed write means: nothing of the group is kept (SQLite undoes it, and so do we in the
 * keys' revisions), and the next group tries anew. Its frames are written again and synced again,
 * so a failed fsync is never taken for a later good one. Before that next group the file is asked
 * whether it has the revision that we think; a file that has more is not written any more. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <uv.h>

#include "lib/base/log.h"
#include "server/store/sqlite_private.h"

#define KEY_MAX_BYTES 1024
#define CHECKPOINT_PAGES 500	 /* of 8 KiB: start copying back */
#define CHECKPOINT_WAIT_FACTOR 4 /* times that: the writer waits until all is copied */
#define CHECKPOINT_RETRY_NS 1000000000u
#define COMPLAIN_EVERY_NS 10000000000u /* of what goes on failing */

struct txn {
	struct list link;
	char *key;
	uint64_t expect_revision;
	struct blob *value; /* NULL = delete */
	store_done *done;
	void *user;
	int result;
	uint64_t revision;
	uint64_t hash, before; /* of the key; the revision it had, for undoing */
	bool applied;
};

struct sqlite_store {
	struct store base;
	struct store_file file; /* the writer's after open */
	int checkpoint_pages;

	uv_thread_t writer, checkpointer;
	uv_mutex_t commit; /* held by the writer while it writes, by the checkpointer to catch up */
	uv_mutex_t mutex;  /* guards everything down to `stats` */
	uv_cond_t work, checkpoint_work;
	struct list queue;   /* struct txn, oldest first */
	struct list results; /* struct txn, in commit order */
	struct err failure;  /* why the last commit failed */
	bool stopping, checkpoint_stopping;
	int wal_pages;
	unsigned backups; /* under way */
	struct store_copying copying;
	struct store_stats stats;

	bool suspect;	      /* the writer's: the last group failed */
	bool broken;	      /* and the file is not what it should be: no more writes */
	uint64_t complain_at; /* the next failure from then on is logged */
	uint64_t suppressed;  /* failures since the last one in the log */

	uv_async_t wake; /* results are there, or the writer has ended */
	bool writer_ended;
	void (*closed)(void *user);
	void *closed_user;
};

/* Steps a statement that returns no row, and resets it. */
static int run(sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int remove_row(struct store_file *f, uint64_t revision)
{
	sqlite3_bind_int64(f->remove, 1, (sqlite3_int64)revision);
	int code = run(f->remove);
	if (code == SQLITE_OK && sqlite3_changes(f->db) != 1)
		return SQLITE_CORRUPT;
	return code;
}

static int insert_row(struct store_file *f, const struct txn *t, uint64_t revision)
{
	sqlite3_bind_int64(f->insert, 1, (sqlite3_int64)revision);
	sqlite3_bind_int64(
		f->insert, 2, store_row_sum(t->key, revision, t->value->data, t->value->size));
	sqlite3_bind_text(f->insert, 3, t->key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(f->insert, 4, t->value->data, (int)t->value->size, SQLITE_STATIC);
	int code = run(f->insert);
	sqlite3_clear_bindings(f->insert);
	return code;
}

/* Applies one change inside the open transaction. A condition that does not hold is a result of
 * this change alone (-ESTALE); a failing disk (returned) is one of the whole group. */
static int apply(struct store_file *f, struct txn *t, uint64_t revision)
{
	uint64_t present = key_revisions_get(&f->keys, t->hash);
	bool holds = t->expect_revision == STORE_ANY ? t->value || present
						     : t->expect_revision == present;
	if (!holds || (!t->value && !present)) {
		t->result = -ESTALE;
		t->revision = present;
		return SQLITE_OK;
	}
	int code = present ? remove_row(f, present) : SQLITE_OK;
	if (code == SQLITE_OK && t->value)
		code = insert_row(f, t, revision);
	if (code != SQLITE_OK)
		return code;
	key_revisions_set(&f->keys, t->hash, t->value ? revision : 0);
	t->before = present;
	t->applied = true;
	t->result = 0;
	t->revision = revision;
	return SQLITE_OK;
}

static void undo(struct store_file *f, struct list *group)
{
	/* Newest first: a key may have been changed more than once. */
	for (struct list *l = group->prev; l != group; l = l->prev) {
		struct txn *t = CONTAINER_OF(l, struct txn, link);
		if (t->applied)
			key_revisions_set(&f->keys, t->hash, t->before);
		t->applied = false;
	}
}

static int apply_group(struct store_file *f, struct list *group, uint64_t *revision)
{
	bool newest_is_row = true;
	int code = run(f->begin);
	if (code != SQLITE_OK)
		return code;
	LIST_FOR_EACH(t, group, struct txn, link) {
		code = apply(f, t, *revision + 1);
		if (code != SQLITE_OK)
			return code;
		if (t->applied) {
			newest_is_row = t->value != NULL;
			(*revision)++;
		}
	}
	if (!newest_is_row) {
		code = store_file_set_newest(f, *revision);
		if (code != SQLITE_OK)
			return code;
	}
	return run(f->commit);
}

/* After a failure: is the file still at our revision? What was told to have failed may not turn up
 * later under numbers that others get. */
static int check_suspect(struct sqlite_store *s, struct err *err)
{
	uint64_t newest = 0;
	if (!sqlite3_get_autocommit(s->file.db) && run(s->file.rollback) != SQLITE_OK)
		return store_sqlite_err(err, s->file.db, "roll back");
	if (store_file_newest(&s->file, &newest) != SQLITE_OK)
		return store_sqlite_err(err, s->file.db, "read the newest revision");
	s->suspect = false;
	if (newest == s->file.revision)
		return 0;
	s->broken = true;
	return 0;
}

static void complain(struct sqlite_store *s, const struct err *why)
{
	uint64_t now = uv_hrtime();
	if (now < s->complain_at) {
		s->suppressed++;
		return;
	}
	char count[24];
	log_error("writes to the store fail; nothing of them was kept, reading goes on", "file",
		s->file.path, "reason", why->msg, "failures_not_logged",
		log_i64(count, (int64_t)s->suppressed), NULL);
	s->complain_at = now + COMPLAIN_EVERY_NS;
	s->suppressed = 0;
}

/* Writes one group. Negative: nothing of it was kept. */
static int write_group(struct sqlite_store *s, struct list *group, struct err *err)
{
	struct store_file *f = &s->file;
	uint64_t revision = f->revision;
	int r = s->suspect ? check_suspect(s, err) : 0;
	if (s->broken)
		return err_set(err, -EIO,
			"the store '%s' is not as the server left it: restart the server", f->path);
	if (r < 0)
		return err_context(err, r, "the store '%s' can't be written", f->path);
	if (apply_group(f, group, &revision) == SQLITE_OK) {
		f->revision = revision;
		if (s->complain_at) {
			log_info("the store takes writes again", "file", f->path, NULL);
			s->complain_at = 0;
		}
		return 0;
	}
	r = store_sqlite_err(err, f->db, "commit");
	r = err_context(err, r, "the store '%s' can't be written, nothing was changed", f->path);
	s->suspect = true;
	/* Nothing of the group stays, or the file is unusable and says so at the next try. */
	if (!sqlite3_get_autocommit(f->db))
		run(f->rollback);
	undo(f, group);
	return r;
}

static void commit_group(struct sqlite_store *s, struct list *group)
{
	struct err failure = ERR_INIT;
	uint64_t start = uv_hrtime();
	uv_mutex_lock(&s->commit);
	int r = write_group(s, group, &failure);
	uv_mutex_unlock(&s->commit);
	uint64_t took = uv_hrtime() - start;
	if (r < 0) {
		LIST_FOR_EACH(t, group, struct txn, link)
			t->result = r;
		complain(s, &failure);
	}

	uv_mutex_lock(&s->mutex);
	s->stats.commits++;
	s->stats.commit_ns_total += took;
	s->stats.commit_ns_max = MAX(s->stats.commit_ns_max, took);
	if (r < 0)
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

static void take_all(struct list *from, struct list *to)
{
	list_init(to);
	while (!list_empty(from)) {
		struct list *first = from->next;
		list_remove(first);
		list_append(to, first);
	}
}

static void writer_main(void *arg)
{
	struct sqlite_store *s = arg;
	pthread_setname_np(pthread_self(), STORE_WRITER);
	for (;;) {
		struct list group;
		uv_mutex_lock(&s->mutex);
		while (list_empty(&s->queue) && !s->stopping)
			uv_cond_wait(&s->work, &s->mutex);
		if (list_empty(&s->queue)) {
			s->writer_ended = true;
			uv_mutex_unlock(&s->mutex);
			uv_async_send(&s->wake);
			return;
		}
		take_all(&s->queue, &group);
		uv_mutex_unlock(&s->mutex);
		commit_group(s, &group);
	}
}

static int on_wal_commit(void *user, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_store *s = user;
	uv_mutex_lock(&s->mutex);
	s->wal_pages = pages;
	if (pages >= s->checkpoint_pages)
		uv_cond_signal(&s->checkpoint_work);
	uv_mutex_unlock(&s->mutex);
	return SQLITE_OK;
}

/* A connection that has read nothing yet does not know that there is a log, and copies nothing. */
static int open_checkpointer(const struct sqlite_store *s, sqlite3 **db)
{
	int code = sqlite3_open_v2(
		s->file.path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, s->file.vfs);
	return code != SQLITE_OK
		       ? code
		       : sqlite3_exec(*db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
}

/* Copies what is in the log into the file, and lets the writer begin the log anew if it can. While
 * commits go on, some are always missed; when the log has grown large, they wait for the rest. */
static bool checkpoint(struct sqlite_store *s, sqlite3 **db, bool wait)
{
	int pages = 0, code = *db ? SQLITE_OK : open_checkpointer(s, db);
	if (code == SQLITE_OK)
		code = sqlite3_wal_checkpoint_v2(
			*db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, NULL);
	if (code == SQLITE_OK && wait) {
		uv_mutex_lock(&s->commit);
		code = sqlite3_wal_checkpoint_v2(
			*db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, NULL);
		uv_mutex_unlock(&s->commit);
	}
	if ((code == SQLITE_OK && pages >= 0) || code == SQLITE_BUSY)
		return true;
	struct err err = ERR_INIT;
	(void)store_sqlite_err(&err, *db, "checkpoint");
	log_warn("the store's log can't be copied into its file; tried again in a second", "file",
		s->file.path, "reason", err.msg, NULL);
	sqlite3_close(*db);
	*db = NULL;
	return false;
}

static void checkpointer_main(void *arg)
{
	struct sqlite_store *s = arg;
	sqlite3 *db = NULL;
	int step = s->checkpoint_pages;
	int done_pages = 0; /* of the log, as of the last round */
	pthread_setname_np(pthread_self(), STORE_CHECKPOINTER);
	uv_mutex_lock(&s->mutex);
	for (;;) {
		while (!s->checkpoint_stopping &&
			(s->wal_pages < step ||
				(s->wal_pages >= done_pages && s->wal_pages - done_pages < step)))
			uv_cond_wait(&s->checkpoint_work, &s->mutex);
		if (s->checkpoint_stopping)
			break;
		bool wait = s->wal_pages >= CHECKPOINT_WAIT_FACTOR * step;
		int pages = s->wal_pages;
		uv_mutex_unlock(&s->mutex);
		bool ok = checkpoint(s, &db, wait);
		uv_mutex_lock(&s->mutex);
		done_pages = ok ? pages : 0;
		if (!ok && !s->checkpoint_stopping)
			uv_cond_timedwait(&s->checkpoint_work, &s->mutex, CHECKPOINT_RETRY_NS);
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

static void on_wake_closed(uv_handle_t *h)
{
	struct sqlite_store *s = h->data;
	void (*closed)(void *) = s->closed;
	void *user = s->closed_user;
	uv_mutex_destroy(&s->mutex);
	uv_mutex_destroy(&s->commit);
	uv_cond_destroy(&s->work);
	uv_cond_destroy(&s->checkpoint_work);
	store_file_close(&s->file);
	free(s);
	if (closed)
		closed(user);
}

static void on_wake(uv_async_t *h)
{
	struct sqlite_store *s = h->data;
	struct list results;
	uv_mutex_lock(&s->mutex);
	take_all(&s->results, &results);
	struct err failure = s->failure;
	bool ended = s->writer_ended && s->backups == 0;
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
	t->hash = store_key_hash(change->key);
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
	int r = store_file_load(&s->file, row, user, err);
	if (r == 0)
		*ret_revision = s->file.revision;
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
	atomic_store(&s->copying.stop, true);
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

static uint64_t free_bytes(int fd)
{
	struct statvfs st;
	return fstatvfs(fd, &st) < 0 ? 0 : (uint64_t)st.f_bavail * st.f_frsize;
}

int store_sqlite_open_with(
	const struct store_sqlite_options *o, struct store **ret, struct err *err)
{
	struct sqlite_store *s = xcalloc(1, sizeof(*s));
	s->base.ops = &sqlite_ops;
	s->checkpoint_pages = o->checkpoint_pages ? o->checkpoint_pages : CHECKPOINT_PAGES;
	s->copying.free_bytes = o->free_bytes ? o->free_bytes : free_bytes;
	list_init(&s->queue);
	list_init(&s->results);
	int r = store_file_open(o->path, o->vfs, &s->file, err);
	if (r < 0) {
		free(s);
		return r;
	}
	sqlite3_wal_hook(s->file.db, on_wal_commit, s);
	uv_mutex_init(&s->mutex);
	uv_mutex_init(&s->commit);
	uv_cond_init(&s->work);
	uv_cond_init(&s->checkpoint_work);
	uv_async_init(o->loop, &s->wake, on_wake);
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

int store_sqlite_open(uv_loop_t *loop, const char *path, struct store **ret, struct err *err)
{
	return store_sqlite_open_with(
		&(struct store_sqlite_options){.loop = loop, .path = path}, ret, err);
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

/* ---- backup ---- */

struct backup {
	struct sqlite_store *store;
	uv_work_t work;
	bool refused;
	int r, fd;
	struct err err;
	void (*done)(void *user, int r, int fd, const struct err *err);
	void *user;
};

static void backup_work(uv_work_t *work)
{
	struct backup *b = work->data;
	if (b->refused)
		b->r = err_set(&b->err, -EBUSY, "another backup is being made");
	else
		b->r = store_file_copy(&b->store->file, &b->store->copying, &b->fd, &b->err);
}

static void backup_done(uv_work_t *work, int status)
{
	struct backup *b = work->data;
	struct sqlite_store *s = b->store;
	b->done(b->user, b->r, b->fd, &b->err);
	uv_mutex_lock(&s->mutex);
	s->backups--;
	uv_mutex_unlock(&s->mutex);
	uv_async_send(&s->wake); /* closing may have waited for it */
	free(b);
}

void store_sqlite_backup_cancel(struct store *base)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	atomic_store(&s->copying.stop, true);
}

void store_sqlite_backup(struct store *base,
	void (*done)(void *user, int r, int fd, const struct err *err), void *user)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	struct backup *b = xcalloc(1, sizeof(*b));
	b->store = s;
	b->work.data = b;
	b->fd = -1;
	b->done = done;
	b->user = user;
	uv_mutex_lock(&s->mutex);
	b->refused = s->backups++ > 0;
	if (!b->refused)
		atomic_store(&s->copying.stop, s->stopping);
	uv_mutex_unlock(&s->mutex);
	if (uv_queue_work(s->wake.loop, &b->work, backup_work, backup_done) < 0)
		abort();
}
