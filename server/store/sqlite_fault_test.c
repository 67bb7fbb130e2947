/* Failing disks and failing memory: the n-th call of each kind fails, for every n of a script,
 * once, a while, or until the end. Whatever happens:
 *
 *   - no crash; a failed change says why, and changes nothing;
 *   - when the disk takes writes again, so does the store;
 *   - what was acknowledged is there afterwards, also when the power is cut in the end (a sync that
 *     failed once must not make a later one lie), and nothing else.
 *
 * HANOK_TEST_LONG=1 tries every n; else every 5th (of the allocations a dozen). */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "server/store/memory_vfs.h"
#include "server/store/sqlite_private.h"

enum { STEPS = 60, KEYS = 8 };

static char dir[64], path[96];

/* ---- allocations of SQLite ---- */

/* Who asks decides what a refusal does, and how the threads take turns is the scheduler's affair:
 * so each thread's allocations are counted by themselves. */
enum asker { ASK_LOOP, ASK_WRITER, ASK_CHECKPOINTER, ASKERS };

static sqlite3_mem_methods system_memory;
static uint64_t allocations[ASKERS], fail_at, fail_count;
static enum asker fail_asker;
static __thread int asker = -1;

static bool allocation_fails(void)
{
	if (asker < 0) {
		char name[16] = "";
		pthread_getname_np(pthread_self(), name, sizeof(name));
		asker = strcmp(name, STORE_WRITER) == 0		? ASK_WRITER
			: strcmp(name, STORE_CHECKPOINTER) == 0 ? ASK_CHECKPOINTER
								: ASK_LOOP;
	}
	uint64_t n = __atomic_add_fetch(&allocations[asker], 1, __ATOMIC_RELAXED);
	uint64_t at = __atomic_load_n(&fail_at, __ATOMIC_ACQUIRE);
	return at && (enum asker)asker == __atomic_load_n(&fail_asker, __ATOMIC_RELAXED) &&
	       n >= at && n - at < __atomic_load_n(&fail_count, __ATOMIC_RELAXED);
}

static void *hooked_malloc(int size)
{
	return allocation_fails() ? NULL : system_memory.xMalloc(size);
}

static void *hooked_realloc(void *p, int size)
{
	return allocation_fails() ? NULL : system_memory.xRealloc(p, size);
}

static void fail_allocations(enum asker who, uint64_t at, uint64_t count)
{
	__atomic_store_n(&fail_at, 0, __ATOMIC_RELEASE);
	for (size_t i = 0; i < ASKERS; i++)
		__atomic_store_n(&allocations[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_asker, who, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_count, count, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_at, at, __ATOMIC_RELEASE);
}

/* ---- the script ---- */

/* What is known of a key: its newest acknowledged state, and a later one that was refused (its
 * fate is open until the next acknowledged change or the next opening). */
struct known {
	uint64_t revision; /* 0 = absent */
	size_t step;
};

struct session {
	uv_loop_t loop;
	struct store *store;
	struct known keys[KEYS];
	uint64_t newest; /* acknowledged */
	size_t step, failures, acknowledged, under_way;
	int last_result;
};

struct change {
	struct session *s;
	size_t key, step;
	bool remove;
};

static size_t value_of(size_t step, char room[12000])
{
	size_t size = step % 9 == 0 ? 11000 : 100 + step * 37 % 900;
	memset(room, (int)('a' + step % 26), size);
	return size;
}

static void on_done(void *user, int r, uint64_t revision, const struct err *err)
{
	struct change *c = user;
	struct session *s = c->s;
	s->under_way--;
	s->last_result = r;
	if (r == 0) {
		assert_true(revision > s->newest);
		s->newest = revision;
		s->keys[c->key] = (struct known){c->remove ? 0 : revision, c->step};
		s->acknowledged++;
	} else {
		assert_true(r == -EIO || r == -ENOSPC || r == -ENOMEM || r == -EROFS);
		assert_non_null(err);
		assert_non_null(strstr(err->msg, path)); /* which file */
		s->failures++;
	}
	free(c);
}

static void submit(struct session *s, size_t key)
{
	static char room[12000];
	struct change *c = xmalloc(sizeof(*c));
	size_t step = ++s->step;
	*c = (struct change){s, key, step, s->keys[key].revision && step % 4 == 0};
	struct blob *value = c->remove ? NULL : blob_new(room, value_of(step, room));
	char text[16];
	snprintf(text, sizeof(text), "/k/%zu", key);
	struct store_change change = {
		.key = text, .expect_revision = s->keys[key].revision, .value = value};
	s->under_way++;
	s->store->ops->txn(s->store, &change, on_done, c);
	blob_unref(value);
}

static void wait_for_all(struct session *s)
{
	while (s->under_way > 0)
		uv_run(&s->loop, UV_RUN_ONCE);
}

static int open_session(struct session *s, struct err *err)
{
	*s = (struct session){0};
	uv_loop_init(&s->loop);
	struct store_sqlite_options o = {
		.loop = &s->loop, .path = path, .vfs = "memory", .checkpoint_pages = 8};
	int r = store_sqlite_open_with(&o, &s->store, err);
	if (r < 0)
		assert_int_equal(uv_loop_close(&s->loop), 0);
	return r;
}

static void run_steps(struct session *s, size_t steps)
{
	for (size_t i = 0; i < steps; i++) {
		/* Alone, or three in one commit. */
		submit(s, i % KEYS);
		if (i % 3 == 0) {
			submit(s, (i + 3) % KEYS);
			submit(s, (i + 5) % KEYS);
		}
		wait_for_all(s);
	}
}

static void close_session(struct session *s)
{
	s->store->ops->close(s->store, NULL, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s->loop), 0);
}

struct found {
	struct session *s;
	size_t count;
};

static void on_row(void *user, const char *key, const void *value, size_t size, uint64_t revision)
{
	static char room[12000];
	struct found *f = user;
	const struct known *k = &f->s->keys[strtoul(key + 3, NULL, 10)];
	assert_int_equal(revision, k->revision);
	assert_int_equal(size, value_of(k->step, room));
	assert_memory_equal(value, room, size);
	f->count++;
}

static void check_file(struct session *s)
{
	struct store_file file;
	struct err err = ERR_INIT;
	struct found f = {.s = s};
	size_t expected = 0;
	for (size_t i = 0; i < KEYS; i++)
		expected += s->keys[i].revision != 0;
	if (store_file_open(path, "memory", &file, &err) < 0)
		fail_msg("%s", err.msg);
	if (store_file_load(&file, on_row, &f, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(f.count, expected);
	assert_int_equal(file.revision, s->newest);
	store_file_close(&file);
}

static bool is_long(void)
{
	const char *s = getenv("HANOK_TEST_LONG");
	return s && *s && strcmp(s, "0") != 0;
}

static void clear_faults(void)
{
	memory_vfs_fail(FAULT_NONE, 0, 0);
	fail_allocations(ASK_LOOP, 0, 0);
}

struct run_result {
	size_t failures; /* changes that were refused */
	bool opening_refused;
};

/* One run with faults that are already set. */
static struct run_result run_once(bool opened_before, struct session *s)
{
	struct err err = ERR_INIT;
	struct run_result result = {0};
	if (!opened_before) {
		int r = open_session(s, &err);
		if (r < 0) {
			result.opening_refused = true;
			/* Refused, with the file's name; nothing is lost by trying again. */
			assert_non_null(strstr(err.msg, path));
			clear_faults();
			if (open_session(s, &err) < 0)
				fail_msg("%s", err.msg);
		}
	}
	run_steps(s, STEPS);
	clear_faults();
	/* The first attempt may find out what the last failure left; after that all is well. */
	submit(s, 0);
	wait_for_all(s);
	for (size_t i = 0; i < 10; i++) {
		submit(s, i % KEYS);
		wait_for_all(s);
		assert_int_equal(s->last_result, 0);
	}
	result.failures = s->failures;
	/* The server is killed and the power cut, before anything is put in order. */
	close_session(s);
	return result;
}

static void sweep(enum memory_fault_type type, uint64_t count, const char *name)
{
	size_t runs = 0, with_failures = 0;
	/* Most reads are those of opening; later the pages are in SQLite's cache. */
	uint64_t step = is_long() || type == FAULT_READ_EIO ? 1 : 5, last = 0;
	for (uint64_t n = 1; runs == 0 || n <= last + 5; n += step, runs++) {
		static struct session s;
		struct err err = ERR_INIT;
		memory_vfs_reset();
		bool before = n % 2 == 0;
		if (before && open_session(&s, &err) < 0)
			fail_msg("%s", err.msg);
		memory_vfs_fail(type, n, count);
		with_failures += run_once(before, &s).failures > 0;
		check_file(&s);
		if (last == 0) { /* how many calls there are */
			memory_vfs_reset();
			if (open_session(&s, &err) < 0)
				fail_msg("%s", err.msg);
			run_steps(&s, STEPS);
			last = memory_vfs_calls(type);
			close_session(&s);
		}
	}
	print_message("%s: %zu runs of %lu, refused changes in %zu\n", name, runs,
		(unsigned long)last, with_failures);
	assert_true(
		last > (type == FAULT_READ_EIO ? 0 : 20)); /* reads depend on the copying thread */
	assert_true(with_failures > 0 || type == FAULT_READ_EIO);
}

static void test_full_disk(void **state)
{
	sweep(FAULT_WRITE_FULL, 1, "no space, once");
	sweep(FAULT_WRITE_FULL, 40, "no space, for a while");
	sweep(FAULT_WRITE_SHORT, 1, "short write, once");
	sweep(FAULT_WRITE_SHORT, 40, "short writes, for a while");
}

static void test_write_errors(void **state)
{
	sweep(FAULT_WRITE_EIO, 1, "EIO on write, once");
	sweep(FAULT_WRITE_EIO, 40, "EIO on writes, for a while");
	sweep(FAULT_READ_ONLY, UINT64_MAX, "read-only from then on");
}

static void test_sync_errors(void **state)
{
	sweep(FAULT_SYNC_EIO, 1, "EIO on fsync, once");
	sweep(FAULT_SYNC_EIO, 5, "EIO on fsync, for a while");
}

static void test_read_errors(void **state)
{
	sweep(FAULT_READ_EIO, 1, "EIO on read, once");
	sweep(FAULT_READ_EIO, 20, "EIO on reads, for a while");
}

/* A sync fails, the kernel forgets the pages, later writes and syncs go well; then the power fails.
 * Everything that was acknowledged must be on the disk. */
static void test_failed_sync_is_not_forgotten(void **state)
{
	size_t cut = 0;
	for (uint64_t n = 1; n <= 60; n++) {
		static struct session s;
		struct err err = ERR_INIT;
		struct memory_image image = {0};
		memory_vfs_reset();
		if (open_session(&s, &err) < 0)
			fail_msg("%s", err.msg);
		memory_vfs_fail(FAULT_SYNC_EIO, n, 1 + n % 3);
		run_steps(&s, 40);
		/* What the disk has at this moment, while the store is still open. */
		memory_vfs_image_synced(&image);
		cut += s.failures > 0;
		clear_faults();
		close_session(&s);
		memory_vfs_install(&image);
		memory_image_finish(&image);
		/* The refused ones since the last acknowledged change may be there or not. */
		struct store_file file;
		if (store_file_open(path, "memory", &file, &err) < 0)
			fail_msg("%s", err.msg);
		assert_true(file.revision >= s.newest);
		struct found f = {.s = &s};
		if (file.revision == s.newest && store_file_load(&file, on_row, &f, &err) < 0)
			fail_msg("%s", err.msg);
		store_file_close(&file);
	}
	assert_true(cut > 10);
}

struct memory_sweep {
	size_t runs, refused_openings, with_failures;
	uint64_t last; /* how many allocations of that thread there are */
};

/* The loop thread's are those of opening: there is none later. */
static struct memory_sweep sweep_memory(enum asker who, uint64_t count, size_t most_runs)
{
	static struct session s;
	struct err err = ERR_INIT;
	struct memory_sweep m = {0};
	memory_vfs_reset();
	if (who == ASK_LOOP)
		fail_allocations(who, 0, 0);
	if (open_session(&s, &err) < 0)
		fail_msg("%s", err.msg);
	if (who != ASK_LOOP)
		fail_allocations(who, 0, 0);
	run_steps(&s, STEPS);
	close_session(&s);
	m.last = __atomic_load_n(&allocations[who], __ATOMIC_RELAXED);
	uint64_t step = is_long() ? 1 : m.last / most_runs + 1;
	for (uint64_t n = 1; m.runs == 0 || n <= m.last; n += step, m.runs++) {
		memory_vfs_reset();
		clear_faults();
		bool before = who != ASK_LOOP;
		if (before && open_session(&s, &err) < 0)
			fail_msg("%s", err.msg);
		fail_allocations(who, n, count);
		struct run_result r = run_once(before, &s);
		m.refused_openings += r.opening_refused;
		m.with_failures += r.failures > 0;
		check_file(&s);
	}
	return m;
}

static void test_memory(void **state)
{
	const uint64_t counts[] = {1, 30};
	const struct {
		const char *what;
		size_t runs;
	} askers[ASKERS] = {
		[ASK_LOOP] = {"opening", 12},
		[ASK_WRITER] = {"writing", 12},
		[ASK_CHECKPOINTER] = {"copying the log", 6},
	};
	for (size_t i = 0; i < ARRAY_LEN(counts) * ASKERS; i++) {
		enum asker who = (enum asker)(i % ASKERS);
		uint64_t count = counts[i / ASKERS];
		struct memory_sweep m = sweep_memory(who, count, askers[who].runs);
		print_message("%lu allocations of %s failing: %zu runs of %lu, refused openings in "
			      "%zu, refused changes in %zu\n",
			(unsigned long)count, askers[who].what, m.runs, (unsigned long)m.last,
			m.refused_openings, m.with_failures);
		/* The first allocation of opening, and that of the first change, is needed. What
		 * can't be copied stays in the log, and refuses nothing. */
		assert_int_equal(m.refused_openings > 0, who == ASK_LOOP);
		assert_int_equal(m.with_failures > 0, who == ASK_WRITER);
	}
}

/* ---- damage at rest ---- */

/* Any flipped byte, and any cut, is either harmless or refused by name, with what to do. */
static void test_damaged_files(void **state)
{
	static struct session s;
	struct err err = ERR_INIT;
	struct memory_image whole = {0};
	unsigned seed = 5;
	size_t refused = 0, tried = is_long() ? 20000 : 3000;
	memory_vfs_reset();
	if (open_session(&s, &err) < 0)
		fail_msg("%s", err.msg);
	run_steps(&s, STEPS);
	close_session(&s);
	memory_vfs_image_synced(&whole);
	size_t size = whole.files[0].size, expected = 0;
	for (size_t i = 0; i < KEYS; i++)
		expected += s.keys[i].revision != 0;
	for (size_t i = 0; i < tried; i++) {
		struct memory_image image = memory_image_copy(&whole);
		char *data = image.files[0].data;
		if (i % 10 == 0) {
			image.files[0].size = (size_t)rand_r(&seed) % size;
		} else if (i % 10 == 1) {
			size_t at = (size_t)rand_r(&seed) % size / 512 * 512;
			memset(data + at, 0, MIN((size_t)512, size - at));
		} else {
			data[(size_t)rand_r(&seed) % size] ^= (char)(1 << rand_r(&seed) % 8);
		}
		memory_vfs_install(&image);
		struct store_file f = {0};
		struct found found = {.s = &s};
		err = ERR_INIT;
		int r = store_file_open(path, "memory", &f, &err);
		uint64_t revision = f.revision;
		if (r == 0) {
			r = store_file_load(&f, on_row, &found, &err);
			store_file_close(&f);
		}
		if (r == 0) {
			assert_int_equal(found.count, expected);
			assert_int_equal(revision, s.newest);
		} else {
			refused++;
			assert_non_null(strstr(err.msg, path));
			assert_true(r != -EBADMSG || strstr(err.msg, "hanok restore"));
		}
		memory_image_finish(&image);
	}
	memory_image_finish(&whole);
	print_message("%zu of %zu damaged files refused\n", refused, tried);
	assert_true(refused > tried / 4);
}

static int setup(void **unused)
{
	strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/hanok-fault-XXXXXX"
						  : "/tmp/hanok-fault-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/hanok.db", dir);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	memory_vfs_init();
	log_set_level((enum log_level)(LOG_ERROR + 1)); /* thousands of failures are wanted here */
	return 0;
}

static int teardown(void **unused)
{
	const char *const suffixes[] = {"", ".lock"};
	memory_vfs_reset();
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[128];
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
	return rmdir(dir);
}

int main(void)
{
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_memory) != SQLITE_OK)
		return 1;
	sqlite3_mem_methods memory = system_memory;
	memory.xMalloc = hooked_malloc;
	memory.xRealloc = hooked_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) != SQLITE_OK)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_sync_errors),
		cmocka_unit_test(test_read_errors),
		cmocka_unit_test(test_failed_sync_is_not_forgotten),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_damaged_files),
	};
	return cmocka_run_group_tests_name("sqlite_fault", tests, setup, teardown);
}
