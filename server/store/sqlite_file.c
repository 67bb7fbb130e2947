/* sqlite_file.c - the store's file: what is in it, how it is opened, checked and read.
 *
 *	kv    revision (the row's id), sum, key, value: one row an object. A change of an object
 *	      removes its row and adds one at the end: there is no second index to keep, what is
 *	      written together lies together, and pages that became empty are used again.
 *	meta  the newest revision, written when that was a removal (else it is the newest row's),
 *	      and its sum.
 *
 * That there is one row a key is seen to in memory (key_revisions.h), where the conditions of
 * changes are decided, too. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "server/store/sqlite_private.h"

#define MEND                                                                                       \
	"restore a backup (hanok restore), or move the file with its -wal and -shm away to start " \
	"empty"

static int code_to_errno(int code, int system)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return system == ENOSPC || system == EDQUOT || system == EROFS ? -system : -EIO;
	}
}

int store_sqlite_err(struct err *err, sqlite3 *db, const char *what)
{
	int code = sqlite3_extended_errcode(db), system = sqlite3_system_errno(db);
	bool io = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_FULL ||
		  (code & 0xff) == SQLITE_CANTOPEN;
	return err_set(err, code_to_errno(code, io ? system : 0), "%s: %s%s%s (SQLite %d)", what,
		sqlite3_errmsg(db), io && system ? ": " : "", io && system ? strerror(system) : "",
		code);
}

static int exec(sqlite3 *db, const char *sql, struct err *err)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_sqlite_err(err, db, sql);
	return 0;
}

uint64_t store_key_hash(const char *key)
{
	return table_hash(key, strlen(key));
}

int64_t store_row_sum(const char *key, uint64_t revision, const void *value, size_t size)
{
	const char *parts[] = {key, value};
	const size_t sizes[] = {strlen(key), size};
	uint64_t h = revision * UINT64_C(0x9e3779b97f4a7c15) + size;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const char *p = parts[i];
		size_t left = sizes[i];
		for (uint64_t word; left > 0;
			p += MIN(left, sizeof(word)), left -= MIN(left, sizeof(word))) {
			word = 0;
			memcpy(&word, p, MIN(left, sizeof(word)));
			h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
			h ^= h >> 32;
		}
	}
	return (int64_t)(h >> 32); /* few bytes in the file */
}

/* ---- opening ---- */

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
				"choose another --data directory",
				path);
		return err_errno(err, code, "lock '%s'", lock_path);
	}
	*ret_fd = fd;
	return 0;
}

/* Made before SQLite does, so that it and its log never were readable by others; and so that the
 * name is as durable as what will be acknowledged. */
static int create_file(const char *path, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "open the store '%s'", path);
	_cleanup_(free_p) char *parent = xstrdup(path);
	char *slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = '\0';
	_cleanup_(close_p) int dir = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) < 0)
		return err_errno(err, -errno, "sync the directory of the store '%s'", path);
	return 0;
}

static int read_number(sqlite3 *db, const char *sql, int64_t *ret, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW)
		r = store_sqlite_err(err, db, sql);
	else
		*ret = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return r;
}

static int check_pages(sqlite3 *db, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;
	if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW) {
		r = store_sqlite_err(err, db, "check");
	} else {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);
		if (!text || strcmp(text, "ok") != 0)
			r = err_set(err, -EBADMSG, "check: %s", text ? text : "no answer");
	}
	sqlite3_finalize(stmt);
	return r;
}

#define CREATE_KV                                                                                  \
	"CREATE TABLE kv (revision INTEGER PRIMARY KEY, sum INTEGER NOT NULL, key TEXT NOT NULL, " \
	"value BLOB NOT NULL);"
#define CREATE_META                                                                                \
	"CREATE TABLE meta (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, sum INTEGER NOT "   \
	"NULL);"

static int64_t revision_sum(uint64_t revision)
{
	return store_row_sum("meta", revision, "", 0);
}

static int set_newest(sqlite3 *db, int64_t revision, struct err *err)
{
	char sql[128];
	snprintf(sql, sizeof(sql),
		"INSERT INTO meta (id, revision, sum) VALUES (1, %" PRId64 ", %" PRId64 ")",
		revision, revision_sum((uint64_t)revision));
	return exec(db, sql, err);
}

/* A file from before schemas were numbered: rows with an id and an index over keys. */
static int convert_rows(sqlite3 *db, struct err *err)
{
	int r = exec(db,
		"ALTER TABLE kv RENAME TO kv_old; ALTER TABLE meta RENAME TO "
		"meta_old;" CREATE_KV CREATE_META,
		err);
	sqlite3_stmt *from = NULL, *to = NULL;
	if (r == 0 &&
		(sqlite3_prepare_v2(db, "SELECT revision, key, value FROM kv_old ORDER BY revision",
			 -1, &from, NULL) != SQLITE_OK ||
			sqlite3_prepare_v2(db, "INSERT INTO kv VALUES (?1, ?2, ?3, ?4)", -1, &to,
				NULL) != SQLITE_OK))
		r = store_sqlite_err(err, db, "convert");
	int code = SQLITE_DONE;
	while (r == 0 && (code = sqlite3_step(from)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(from, 1);
		const void *value = sqlite3_column_blob(from, 2);
		int size = sqlite3_column_bytes(from, 2);
		int64_t revision = sqlite3_column_int64(from, 0);
		sqlite3_bind_int64(to, 1, revision);
		sqlite3_bind_int64(
			to, 2, store_row_sum(key, (uint64_t)revision, value, (size_t)size));
		sqlite3_bind_text(to, 3, key, -1, SQLITE_STATIC);
		sqlite3_bind_blob(to, 4, value, size, SQLITE_STATIC);
		code = sqlite3_step(to);
		sqlite3_reset(to);
		if (code != SQLITE_DONE)
			break;
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_sqlite_err(err, db, "convert");
	sqlite3_finalize(from);
	sqlite3_finalize(to);
	int64_t newest = 0;
	if (r == 0)
		r = read_number(db, "SELECT revision FROM meta_old WHERE id = 1", &newest, err);
	if (r == 0)
		r = set_newest(db, newest, err);
	return r < 0 ? r : exec(db, "DROP TABLE kv_old; DROP TABLE meta_old", err);
}

#define STRING(x) STRING_(x)
#define STRING_(x) #x

static int set_up(sqlite3 *db, bool old, struct err *err)
{
	int r = exec(db, "BEGIN IMMEDIATE", err);
	if (r == 0 && old)
		r = convert_rows(db, err);
	else if (r == 0)
		r = exec(db, CREATE_KV CREATE_META, err);
	if (r == 0 && !old)
		r = set_newest(db, 0, err);
	if (r == 0)
		r = exec(db,
			"PRAGMA application_id = " STRING(
				STORE_APPLICATION_ID) ";"
						      "PRAGMA user_version = " STRING(
							      STORE_SCHEMA) "; COMMIT",
			err);
	if (r < 0 && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static int check_schema(sqlite3 *db, bool may_write, struct err *err)
{
	int64_t id = 0, schema = 0, tables = 0;
	int r = read_number(db, "PRAGMA application_id", &id, err);
	if (r == 0)
		r = read_number(db, "PRAGMA user_version", &schema, err);
	if (r == 0)
		r = read_number(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (r < 0)
		return r;
	if (id == STORE_APPLICATION_ID && schema == STORE_SCHEMA)
		return 0;
	if (id == STORE_APPLICATION_ID)
		return err_set(err, -EPROTO,
			"it was written by a newer hanok (schema %" PRId64 ", this one knows %d): "
			"start that version, or restore a backup of this one",
			schema, STORE_SCHEMA);
	if (id != 0 || schema != 0 || !may_write)
		return err_set(err, -EBADMSG, "it is the database of another program");
	int64_t old = 0;
	if (tables > 0) {
		r = read_number(db,
			"SELECT count(*) FROM pragma_table_info('kv') WHERE name IN ('id', 'key', "
			"'value', 'revision')",
			&old, err);
		if (r < 0)
			return r;
		if (old != 4)
			return err_set(err, -EBADMSG, "it is the database of another program");
	}
	return set_up(db, old == 4, err);
}

static int prepare_statements(struct store_file *f, struct err *err)
{
	const struct {
		sqlite3_stmt **stmt;
		const char *sql;
	} all[] = {
		{&f->begin, "BEGIN IMMEDIATE"},
		{&f->commit, "COMMIT"},
		{&f->rollback, "ROLLBACK"},
		{&f->insert, "INSERT INTO kv (revision, sum, key, value) VALUES (?1, ?2, ?3, ?4)"},
		{&f->remove, "DELETE FROM kv WHERE revision = ?1"},
		{&f->set_revision, "UPDATE meta SET revision = ?1, sum = ?2 WHERE id = 1"},
		{&f->newest, "SELECT revision, sum, (SELECT max(revision) FROM kv) FROM meta WHERE "
			     "id = 1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (sqlite3_prepare_v3(f->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
			    all[i].stmt, NULL) != SQLITE_OK)
			return store_sqlite_err(err, f->db, all[i].sql);
	return 0;
}

int store_file_newest(struct store_file *f, uint64_t *ret)
{
	int code = sqlite3_step(f->newest);
	uint64_t noted = (uint64_t)sqlite3_column_int64(f->newest, 0);
	bool sound = sqlite3_column_int64(f->newest, 1) == revision_sum(noted);
	uint64_t row = (uint64_t)sqlite3_column_int64(f->newest, 2);
	int reset = sqlite3_reset(f->newest);
	if (code != SQLITE_ROW)
		return reset != SQLITE_OK ? reset : SQLITE_CORRUPT;
	if (!sound)
		return SQLITE_CORRUPT;
	*ret = MAX(noted, row);
	return SQLITE_OK;
}

int store_file_set_newest(struct store_file *f, uint64_t revision)
{
	sqlite3_bind_int64(f->set_revision, 1, (sqlite3_int64)revision);
	sqlite3_bind_int64(f->set_revision, 2, revision_sum(revision));
	int code = sqlite3_step(f->set_revision);
	int reset = sqlite3_reset(f->set_revision);
	return code == SQLITE_DONE ? SQLITE_OK : reset;
}

static int read_newest(struct store_file *f, struct err *err)
{
	int code = store_file_newest(f, &f->revision);
	if (code == SQLITE_CORRUPT)
		return err_set(err, -EBADMSG, "the newest revision is not what was written");
	return code == SQLITE_OK ? 0 : store_sqlite_err(err, f->db, "read the newest revision");
}

static int read_keys(struct store_file *f, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(f->db, "SELECT revision, key FROM kv", -1, &stmt, NULL) != SQLITE_OK)
		return store_sqlite_err(err, f->db, "read the keys");
	int code, r = 0;
	while (r == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(stmt, 1);
		uint64_t hash = store_key_hash(key ? key : "");
		if (!key || key_revisions_get(&f->keys, hash))
			r = err_set(err, -EBADMSG, "two rows have the key '%s'", key ? key : "");
		else
			key_revisions_set(&f->keys, hash, (uint64_t)sqlite3_column_int64(stmt, 0));
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_sqlite_err(err, f->db, "read the keys");
	sqlite3_finalize(stmt);
	return r;
}

static int open_database(struct store_file *f, struct err *err)
{
	int r = create_file(f->path, err);
	if (r < 0)
		return r;
	if (sqlite3_open_v2(f->path, &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, f->vfs) !=
		SQLITE_OK)
		return store_sqlite_err(err, f->db, "open the store");
	sqlite3_busy_timeout(f->db, 10000);
	r = exec(f->db,
		"PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
		"PRAGMA wal_autocheckpoint = "
		"0; PRAGMA cache_size = -1024; PRAGMA journal_size_limit = 16777216; PRAGMA "
		"temp_store = MEMORY",
		err);
	if (r == 0)
		r = check_pages(f->db, err);
	if (r == 0)
		r = check_schema(f->db, true, err);
	if (r == 0)
		r = prepare_statements(f, err);
	if (r == 0)
		r = read_newest(f, err);
	if (r == 0)
		r = read_keys(f, err);
	return r;
}

/* Which file, and the mend where there is one. */
static int blame(const char *path, const struct err *why, struct err *err)
{
	if (why->code == -EBADMSG)
		return err_set(err, why->code,
			"the store '%s' is damaged or no hanok store: %s; " MEND, path, why->msg);
	return err_set(err, why->code, "the store '%s': %s", path, why->msg);
}

int store_file_open(const char *path, const char *vfs, struct store_file *ret, struct err *err)
{
	struct store_file f = {.path = xstrdup(path), .vfs = vfs, .lock_fd = -1};
	struct err why = ERR_INIT;
	int r = lock_file(path, &f.lock_fd, err);
	if (r == 0 && (r = open_database(&f, &why)) < 0)
		r = blame(path, &why, err);
	if (r < 0) {
		store_file_close(&f);
		return r;
	}
	*ret = f;
	return 0;
}

int store_file_open_readonly(const char *path, struct store_file *ret, struct err *err)
{
	struct store_file f = {.path = xstrdup(path), .lock_fd = -1};
	struct err why = ERR_INIT;
	/* As a URI for the sake of `immutable`: SQLite then neither locks nor looks for a log. */
	_cleanup_(free_p) char *uri = xcalloc(1, 3 * strlen(path) + 32);
	char *p = uri + sprintf(uri, "file:");
	for (const char *c = path; *c; c++)
		p += sprintf(p, strchr("?#%", *c) ? "%%%02x" : "%c", *c);
	strcpy(p, "?immutable=1");
	int r = 0;
	if (sqlite3_open_v2(uri, &f.db,
		    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
		    NULL) != SQLITE_OK)
		r = store_sqlite_err(&why, f.db, "open");
	if (r == 0)
		r = check_pages(f.db, &why);
	if (r == 0)
		r = check_schema(f.db, false, &why);
	if (r == 0)
		r = prepare_statements(&f, &why);
	if (r == 0)
		r = read_newest(&f, &why);
	if (r < 0) {
		r = err_set(err, why.code, "'%s' is no sound backup of a store: %s", path, why.msg);
		store_file_close(&f);
		return r;
	}
	*ret = f;
	return 0;
}

void store_file_close(struct store_file *f)
{
	sqlite3_stmt **statements[] = {&f->begin, &f->commit, &f->rollback, &f->insert, &f->remove,
		&f->set_revision, &f->newest};
	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		sqlite3_finalize(*statements[i]);
	sqlite3_close(f->db);
	if (f->lock_fd >= 0)
		close(f->lock_fd);
	key_revisions_finish(&f->keys);
	free(f->path);
	*f = (struct store_file){.lock_fd = -1};
}

/* ---- reading ---- */

static int load(struct store_file *f, store_row *row, void *user, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(f->db, "SELECT revision, sum, key, value FROM kv", -1, &stmt,
		    NULL) != SQLITE_OK)
		return store_sqlite_err(err, f->db, "load");
	int code, r = 0;
	while (r == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t revision = (uint64_t)sqlite3_column_int64(stmt, 0);
		const char *key = (const char *)sqlite3_column_text(stmt, 2);
		const void *value = sqlite3_column_blob(stmt, 3);
		size_t size = (size_t)sqlite3_column_bytes(stmt, 3);
		if (!key || (size && !value) ||
			sqlite3_column_int64(stmt, 1) != store_row_sum(key, revision, value, size))
			r = err_set(err, -EBADMSG,
				"the bytes of '%s' are not those that were written",
				key ? key : "");
		else
			row(user, key, value, size, revision);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_sqlite_err(err, f->db, "load");
	sqlite3_finalize(stmt);
	return r;
}

int store_file_load(struct store_file *f, store_row *row, void *user, struct err *err)
{
	struct err why = ERR_INIT;
	return load(f, row, user, &why) < 0 ? blame(f->path, &why, err) : 0;
}
