/* The SQLite store on a real file: conditions, order of revisions, group commit, restart, damage,
 * and what is left after kill -9 of a process that was writing. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "server/store/store.h"

static char dir[64];
static char path[96];

static int setup(void **state)
{
	strcpy(dir, "/tmp/hanok-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/hanok.db", dir);
	return 0;
}

static int teardown(void **state)
{
	const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[128];
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
	return rmdir(dir);
}

struct outcome {
	int r;
	uint64_t revision;
	int calls;
	uint64_t order; /* how many completions came before */
};
static uint64_t completions;

static void on_done(void *user, int r, uint64_t revision, const struct err *err)
{
	struct outcome *o = user;
	o->r = r;
	o->revision = revision;
	o->calls++;
	o->order = completions++;
}

static void submit(
	struct store *s, const char *key, uint64_t expect, const char *value, struct outcome *o)
{
	*o = (struct outcome){0};
	struct blob *b = value ? blob_new(value, strlen(value)) : NULL;
	struct store_change change = {.key = key, .expect_revision = expect, .value = b};
	s->ops->txn(s, &change, on_done, o);
	blob_unref(b);
}

static struct outcome put(
	uv_loop_t *loop, struct store *s, const char *key, uint64_t expect, const char *value)
{
	struct outcome o;
	submit(s, key, expect, value, &o);
	while (o.calls == 0)
		uv_run(loop, UV_RUN_ONCE);
	return o;
}

static struct store *open_store(uv_loop_t *loop)
{
	struct store *s = NULL;
	struct err err = ERR_INIT;
	if (store_sqlite_open(loop, path, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static void close_store(uv_loop_t *loop, struct store *s)
{
	s->ops->close(s, NULL, NULL);
	uv_run(loop, UV_RUN_DEFAULT);
}

struct rows {
	size_t count;
	char text[4096];
};

static void on_row(void *user, const char *key, const void *value, size_t size, uint64_t revision)
{
	struct rows *rows = user;
	size_t used = strlen(rows->text);
	snprintf(rows->text + used, sizeof(rows->text) - used, "%s=%.*s@%lu ", key, (int)size,
		(const char *)value, (unsigned long)revision);
	rows->count++;
}

static void test_conditions(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = open_store(&loop);
	struct outcome o = put(&loop, s, "/a/x", 0, "one");
	assert_int_equal(o.r, 0);
	assert_int_equal(o.revision, 1);
	o = put(&loop, s, "/a/x", 0, "two");
	assert_int_equal(o.r, -ESTALE);
	assert_int_equal(o.revision, 1);
	o = put(&loop, s, "/a/x", 7, "two");
	assert_int_equal(o.r, -ESTALE);
	o = put(&loop, s, "/a/x", 1, "two");
	assert_int_equal(o.r, 0);
	assert_int_equal(o.revision, 2);
	o = put(&loop, s, "/a/y", STORE_ANY, "any");
	assert_int_equal(o.revision, 3);
	o = put(&loop, s, "/a/x", 1, NULL);
	assert_int_equal(o.r, -ESTALE);
	o = put(&loop, s, "/a/x", 2, NULL);
	assert_int_equal(o.r, 0);
	assert_int_equal(o.revision, 4);
	o = put(&loop, s, "/a/x", 2, NULL);
	assert_int_equal(o.r, -ESTALE);
	assert_int_equal(o.revision, 0);
	struct rows rows = {0};
	uint64_t revision;
	assert_int_equal(s->ops->load(s, on_row, &rows, &revision, NULL), 0);
	assert_string_equal(rows.text, "/a/y=any@3 ");
	assert_int_equal(revision, 4);
	close_store(&loop, s);
	uv_loop_close(&loop);
}

static void test_restart_keeps_revision(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = open_store(&loop);
	put(&loop, s, "/k", 0, "v");
	struct outcome o = put(&loop, s, "/k", 1, NULL);
	assert_int_equal(o.revision, 2);
	close_store(&loop, s);
	/* The newest row is gone, its revision is not given out again. */
	s = open_store(&loop);
	o = put(&loop, s, "/k", 0, "w");
	assert_int_equal(o.revision, 3);
	close_store(&loop, s);
	uv_loop_close(&loop);
}

static void test_group_commit_keeps_order(void **state)
{
	enum { COUNT = 500 };
	static struct outcome o[COUNT];
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = open_store(&loop);
	completions = 0;
	for (int i = 0; i < COUNT; i++) {
		char key[32];
		snprintf(key, sizeof(key), "/g/%d", i);
		submit(s, key, 0, "value", &o[i]);
	}
	while (o[COUNT - 1].calls == 0)
		uv_run(&loop, UV_RUN_ONCE);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(o[i].calls, 1);
		assert_int_equal(o[i].r, 0);
		assert_int_equal(o[i].order, i);
		assert_int_equal(o[i].revision, i + 1);
	}
	struct store_stats stats = store_sqlite_stats(s);
	assert_int_equal(stats.txns, COUNT);
	assert_true(stats.commits < COUNT / 10);
	close_store(&loop, s);
	uv_loop_close(&loop);
}

static void test_second_opener_is_refused(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = open_store(&loop), *second = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(store_sqlite_open(&loop, path, &second, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "in use"));
	close_store(&loop, s);
	uv_loop_close(&loop);
}

static void test_damage_is_refused(void **state)
{
	FILE *f = fopen(path, "w");
	fputs("this is not a database, and long enough to look at: ", f);
	for (int i = 0; i < 1000; i++)
		fputs("0123456789", f);
	fclose(f);
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = NULL;
	struct err err = ERR_INIT;
	assert_true(store_sqlite_open(&loop, path, &s, &err) < 0);
	assert_non_null(strstr(err.msg, path));
	assert_non_null(strstr(err.msg, "backup"));
	uv_loop_close(&loop);
}

static void make_database(const char *sql)
{
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Files of the form before schemas had numbers are taken over, whole and with their revision. */
static void test_old_schema_is_converted(void **state)
{
	make_database("PRAGMA journal_mode = WAL;"
		      "CREATE TABLE kv (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value "
		      "BLOB NOT NULL, revision INTEGER NOT NULL);"
		      "CREATE TABLE meta (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL);"
		      "INSERT INTO meta VALUES (1, 9);"
		      "INSERT INTO kv VALUES (1, '/b', x'6f6e65', 7), (2, '/a', x'74776f', 5)");
	uv_loop_t loop;
	uv_loop_init(&loop);
	for (int round = 0; round < 2; round++) {
		struct store *s = open_store(&loop);
		struct rows rows = {0};
		uint64_t revision;
		assert_int_equal(s->ops->load(s, on_row, &rows, &revision, NULL), 0);
		assert_string_equal(
			rows.text, round ? "/a=two@5 /b=new@10 " : "/a=two@5 /b=one@7 ");
		assert_int_equal(revision, round ? 10 : 9);
		if (round == 0)
			assert_int_equal(put(&loop, s, "/b", 7, "new").revision, 10);
		close_store(&loop, s);
	}
	uv_loop_close(&loop);
}

static void test_other_databases_are_refused(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = NULL;
	struct err err = ERR_INIT;
	make_database("CREATE TABLE addresses (name TEXT)");
	assert_int_equal(store_sqlite_open(&loop, path, &s, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "another program"));
	make_database("DROP TABLE addresses; PRAGMA application_id = 0x68616e6b; PRAGMA "
		      "user_version = 99");
	err = ERR_INIT;
	assert_int_equal(store_sqlite_open(&loop, path, &s, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "newer hanok"));
	assert_non_null(strstr(err.msg, path));
	uv_loop_close(&loop);
}

static off_t wal_size(void)
{
	char wal[128];
	struct stat st;
	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_int_equal(stat(wal, &st), 0);
	return st.st_size;
}

/* A disk that takes no more: each commit says so and keeps nothing; with room again it goes on. */
static void test_full_disk_heals(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = open_store(&loop);
	struct outcome o = put(&loop, s, "/a", 0, "one"), many[20];
	assert_int_equal(o.revision, 1);

	struct rlimit before, full;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	full = before;
	full.rlim_cur = (rlim_t)wal_size() + 1000; /* within a frame: a short write first */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		char key[16];
		snprintf(key, sizeof(key), "/b%02zu", i);
		submit(s, key, 0, "many", &many[i]);
	}
	while (many[ARRAY_LEN(many) - 1].calls == 0)
		uv_run(&loop, UV_RUN_ONCE);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_int_equal(many[i].calls, 1);
		assert_true(many[i].r == -EIO || many[i].r == -ENOSPC);
	}
	o = put(&loop, s, "/a", 1, "two");
	assert_true(o.r == -EIO || o.r == -ENOSPC);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

	o = put(&loop, s, "/a", 1, "three");
	assert_int_equal(o.r, 0);
	assert_int_equal(o.revision, 2);
	assert_true(store_sqlite_stats(s).failed == 21);
	close_store(&loop, s);
	s = open_store(&loop);
	struct rows rows = {0};
	uint64_t revision;
	assert_int_equal(s->ops->load(s, on_row, &rows, &revision, NULL), 0);
	assert_string_equal(rows.text, "/a=three@2 ");
	assert_int_equal(revision, 2);
	close_store(&loop, s);
	uv_loop_close(&loop);
}

static void test_permissions(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = open_store(&loop);
	put(&loop, s, "/k", 0, "v");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	char wal[128];
	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close_store(&loop, s);
	uv_loop_close(&loop);
}

/* A child writes /n/0, /n/1, ... and counts in shared memory what was acknowledged; it is killed at
 * some moment. Everything acknowledged must be there, with its revision. */
struct shared {
	volatile uint64_t acknowledged;
};

struct child_writer {
	struct store *store;
	struct shared *shared;
	uint64_t next;
};

static void child_submit(struct child_writer *w);

static void child_done(void *user, int r, uint64_t revision, const struct err *err)
{
	struct child_writer *w = user;
	if (r != 0)
		_exit(3);
	w->shared->acknowledged++;
	child_submit(w);
}

static void child_submit(struct child_writer *w)
{
	char key[32];
	snprintf(key, sizeof(key), "/n/%08lu", (unsigned long)w->next++);
	struct blob *b = blob_new("some bytes of a value", 21);
	struct store_change change = {.key = key, .expect_revision = 0, .value = b};
	w->store->ops->txn(w->store, &change, child_done, w);
	blob_unref(b);
}

struct counted {
	uint64_t count, next;
	bool gap;
};

static void count_row(
	void *user, const char *key, const void *value, size_t size, uint64_t revision)
{
	struct counted *c = user;
	char expected[32];
	snprintf(expected, sizeof(expected), "/n/%08lu", (unsigned long)c->next++);
	c->gap = c->gap || strcmp(expected, key) != 0 || revision != c->next || size != 21;
	c->count++;
}

static void test_kill_loses_nothing_acknowledged(void **state)
{
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int round = 0; round < 20; round++) {
		setup(NULL);
		shared->acknowledged = 0;
		pid_t pid = fork();
		if (pid == 0) {
			uv_loop_t loop;
			uv_loop_init(&loop);
			struct child_writer w = {.store = open_store(&loop), .shared = shared};
			for (int i = 0; i < 8; i++)
				child_submit(&w);
			uv_run(&loop, UV_RUN_DEFAULT);
			_exit(4);
		}
		while (shared->acknowledged < (uint64_t)(round * 13 + 1)) {
			int status;
			assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
			usleep(200);
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		uint64_t acknowledged = shared->acknowledged;

		uv_loop_t loop;
		uv_loop_init(&loop);
		struct store *s = open_store(&loop);
		struct counted c = {0};
		uint64_t revision;
		assert_int_equal(s->ops->load(s, count_row, &c, &revision, NULL), 0);
		assert_false(c.gap);
		assert_true(c.count >= acknowledged);
		assert_int_equal(revision, c.count);
		close_store(&loop, s);
		uv_loop_close(&loop);
		teardown(NULL);
	}
	munmap(shared, sizeof(*shared));
}

struct copy {
	bool done;
	int r;
	off_t size;
	char text[1024];
};

static void on_copied(void *user, int r, int fd, const struct err *err)
{
	struct copy *c = user;
	struct stat st = {0};
	c->r = r;
	c->done = true;
	if (r < 0)
		snprintf(c->text, sizeof(c->text), "%s", err->msg);
	if (fd >= 0) {
		assert_int_equal(fstat(fd, &st), 0);
		close(fd);
	}
	c->size = st.st_size;
}

static struct copy wait_copy(uv_loop_t *loop, struct copy *c)
{
	while (!c->done)
		uv_run(loop, UV_RUN_ONCE);
	struct copy result = *c;
	*c = (struct copy){0};
	return result;
}

/* A copy takes a while: it is given up when nobody wants it any more, and when the store closes. */
static void test_backup_given_up(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = open_store(&loop);
	static struct outcome outcomes[6000];
	char key[32], *value = xcalloc(1, 8001);
	memset(value, 'v', 8000);
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		snprintf(key, sizeof(key), "/big/%zu", i);
		submit(s, key, 0, value, &outcomes[i]);
	}
	free(value);
	while (!outcomes[ARRAY_LEN(outcomes) - 1].calls)
		uv_run(&loop, UV_RUN_ONCE);
	struct copy c = {0}, second = {0};
	store_sqlite_backup(s, on_copied, &c);
	store_sqlite_backup(s, on_copied, &second);
	store_sqlite_backup_cancel(s);
	assert_int_equal(wait_copy(&loop, &second).r, -EBUSY);
	assert_int_equal(wait_copy(&loop, &c).r, -ECANCELED);
	store_sqlite_backup(s, on_copied, &c);
	struct copy whole = wait_copy(&loop, &c);
	assert_int_equal(whole.r, 0);
	assert_true(whole.size > (off_t)ARRAY_LEN(outcomes) * 8000);
	store_sqlite_backup(s, on_copied, &c);
	close_store(&loop, s);
	assert_true(c.done);
	assert_int_equal(c.r, -ECANCELED);
	char name[128];
	snprintf(name, sizeof(name), "%s.backup", path);
	assert_int_equal(access(name, F_OK), -1);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static uint64_t disk_free;

static uint64_t free_bytes(int fd)
{
	return disk_free;
}

/* What writers need is not taken by a copy. */
static void test_backup_needs_room(void **state)
{
	uv_loop_t loop;
	uv_loop_init(&loop);
	struct store *s = NULL;
	struct store_sqlite_options o = {.loop = &loop, .path = path, .free_bytes = free_bytes};
	assert_int_equal(store_sqlite_open_with(&o, &s, NULL), 0);
	put(&loop, s, "/a", 0, "1");
	struct copy c = {0};
	disk_free = 4096;
	store_sqlite_backup(s, on_copied, &c);
	struct copy refused = wait_copy(&loop, &c);
	assert_int_equal(refused.r, -ENOSPC);
	assert_non_null(strstr(refused.text, "MiB of free space"));
	disk_free = UINT64_MAX;
	store_sqlite_backup(s, on_copied, &c);
	assert_int_equal(wait_copy(&loop, &c).r, 0);
	close_store(&loop, s);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conditions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_keeps_revision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group_commit_keeps_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_opener_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_schema_is_converted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_databases_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk_heals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
		cmocka_unit_test(test_kill_loses_nothing_acknowledged),
		cmocka_unit_test_setup_teardown(test_backup_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backup_needs_room, setup, teardown),
	};
	return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
