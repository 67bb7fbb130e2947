/* Power cuts. A script of 2,000 changes runs once on a file layer that notes every write, sync and
 * acknowledgement. Then the disk is rebuilt as it may look after a cut:
 *
 *   - at every boundary between two calls, with everything before it (a killed process);
 *   - at random points, with only a part of what was not synced: whole writes, or single sectors of
 *     512 bytes, dropped, kept, in any order.
 *
 * Each such disk must open, hold exactly the state of some revision (changes are whole, and in
 * order), and that revision must not be older than the newest acknowledged one.
 *
 * HANOK_TEST_LONG=1 looks at every boundary and at 50,000 random disks; else at every 8th and at
 * 10,000. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/store/memory_vfs.h"
#include "server/store/sqlite_private.h"

enum { OPS = 2000, KEYS = 60, OUTSTANDING = 10, SECTOR = 512 };

static char dir[64], path[96];
static unsigned seed = 20;

struct op {
	size_t key;
	bool remove;
	uint64_t expect, revision; /* revision 0: its condition does not hold */
};
static struct op ops[OPS];
static uint64_t state[OPS + 1][KEYS]; /* by revision: each key's revision, 0 = absent */
static size_t op_of[OPS + 1];
static uint64_t last_revision;

static unsigned below(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static const char *key_text(size_t key)
{
	static char text[40];
	snprintf(text, sizeof(text), "/core/things/ns%zu/thing-%zu", key % 7, key);
	return text;
}

/* What the change writes: of a size of its own, sometimes more than a page. */
static size_t value_of(size_t op, char room[20000])
{
	size_t size = 20 + op * 7919 % 700;
	if (op % 23 == 0)
		size += op * 31 % 9000;
	for (size_t i = 0; i < size; i++)
		room[i] = (char)('a' + (op * 131 + i) % 26);
	snprintf(room, 16, "%zu", op);
	return size;
}

static void write_script(void)
{
	uint64_t now[KEYS] = {0};
	for (size_t i = 0; i < OPS; i++) {
		struct op *op = &ops[i];
		op->key = below(KEYS);
		op->expect = now[op->key];
		op->remove = op->expect && below(4) == 0;
		if (below(40) == 0) {
			op->expect += 1; /* nothing has this revision */
			continue;
		}
		op->revision = ++last_revision;
		now[op->key] = op->remove ? 0 : op->revision;
		memcpy(state[last_revision], now, sizeof(now));
		op_of[last_revision] = i;
	}
}

/* ---- the run ---- */

struct run {
	struct store *store;
	size_t next, done;
};
struct pending {
	struct run *run;
	size_t op;
};

static void submit(struct run *r);

static void on_done(void *user, int code, uint64_t revision, const struct err *err)
{
	struct pending *p = user;
	struct run *r = p->run;
	const struct op *op = &ops[p->op];
	assert_int_equal(code, op->revision ? 0 : -ESTALE);
	if (op->revision) {
		assert_int_equal(revision, op->revision);
		memory_vfs_mark((size_t)revision);
	}
	r->done++;
	free(p);
	/* Sometimes alone, sometimes many in one commit. */
	if (r->next - r->done <= below(OUTSTANDING))
		for (unsigned n = 1 + below(OUTSTANDING); n > 0 && r->next < OPS; n--)
			submit(r);
}

static void submit(struct run *r)
{
	static char room[20000];
	struct pending *p = xmalloc(sizeof(*p));
	const struct op *op = &ops[r->next];
	*p = (struct pending){r, r->next++};
	struct blob *value = op->remove ? NULL : blob_new(room, value_of(p->op, room));
	struct store_change change = {
		.key = key_text(op->key), .expect_revision = op->expect, .value = value};
	r->store->ops->txn(r->store, &change, on_done, p);
	blob_unref(value);
}

static void record(void)
{
	uv_loop_t loop;
	struct run r = {0};
	struct err err = ERR_INIT;
	uv_loop_init(&loop);
	memory_vfs_reset();
	memory_vfs_record(true);
	struct store_sqlite_options o = {
		.loop = &loop, .path = path, .vfs = "memory", .checkpoint_pages = 24};
	if (store_sqlite_open_with(&o, &r.store, &err) < 0)
		fail_msg("%s", err.msg);
	submit(&r);
	while (r.done < OPS)
		uv_run(&loop, UV_RUN_ONCE);
	r.store->ops->close(r.store, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	memory_vfs_record(false);
}

/* ---- looking at what is left ---- */

struct found {
	uint64_t revision[KEYS];
	size_t rows;
	bool wrong;
};

static void on_row(void *user, const char *key, const void *value, size_t size, uint64_t revision)
{
	static char room[20000];
	struct found *f = user;
	f->rows++;
	if (revision == 0 || revision > last_revision) {
		f->wrong = true;
		return;
	}
	size_t op = op_of[revision];
	f->wrong = f->wrong || strcmp(key, key_text(ops[op].key)) != 0 ||
		   size != value_of(op, room) || memcmp(value, room, size) != 0;
	f->revision[ops[op].key] = revision;
}

static void check_disk(const struct memory_image *image, uint64_t acknowledged, size_t at)
{
	struct store_file f;
	struct found found = {0};
	struct err err = ERR_INIT;
	memory_vfs_install(image);
	if (store_file_open(path, "memory", &f, &err) < 0)
		fail_msg("call %zu: %s", at, err.msg);
	if (store_file_load(&f, on_row, &found, &err) < 0)
		fail_msg("call %zu: %s", at, err.msg);
	if (f.revision < acknowledged || f.revision > last_revision)
		fail_msg("call %zu: revision %lu, acknowledged was %lu", at,
			(unsigned long)f.revision, (unsigned long)acknowledged);
	if (found.wrong || memcmp(found.revision, state[f.revision], sizeof(state[0])) != 0)
		fail_msg("call %zu: not the state of revision %lu", at, (unsigned long)f.revision);
	store_file_close(&f);
}

static bool is_long(void)
{
	const char *s = getenv("HANOK_TEST_LONG");
	return s && *s && strcmp(s, "0") != 0;
}

static void test_every_boundary(void **unused)
{
	size_t count, cuts = 0, step = is_long() ? 1 : 8;
	const struct memory_io *log = memory_vfs_log(&count);
	struct memory_image disk = {0};
	uint64_t acknowledged = 0;
	for (size_t i = 0; i < count; i++) {
		memory_image_apply(&disk, &log[i]);
		if (log[i].type == MEMORY_MARK)
			acknowledged = MAX(acknowledged, log[i].offset);
		else if (i % step == 0 && ++cuts)
			check_disk(&disk, acknowledged, i);
	}
	assert_int_equal(acknowledged, last_revision);
	check_disk(&disk, acknowledged, count);
	memory_image_finish(&disk);
	print_message("%zu cuts of %zu calls\n", cuts, count);
	assert_true(cuts > 100); /* commits are fewer and larger on a busy machine */
}

/* ---- what is not synced, in parts ---- */

struct unsynced {
	const struct memory_io *calls[8192];
	size_t count;
};

static void apply_sectors(struct memory_image *disk, const struct memory_io *io, unsigned percent)
{
	size_t end = io->offset + io->size;
	for (size_t at = io->offset; at < end;) {
		size_t next = MIN((at / SECTOR + 1) * SECTOR, end);
		if (below(100) < percent)
			memory_image_apply(disk, &(struct memory_io){.type = MEMORY_WRITE,
							 .file = io->file,
							 .offset = at,
							 .size = next - at,
							 .data = io->data + (at - io->offset)});
		at = next;
	}
}

/* A disk may take the writes in any order, and any of them only in part. */
static struct memory_image lose(const struct memory_image *synced, const struct unsynced *u)
{
	struct memory_image disk = memory_image_copy(synced);
	bool sectors = below(2), shuffled = below(2);
	unsigned percent = (unsigned[]){10, 50, 90, 99}[below(4)];
	size_t order[8192];
	for (size_t i = 0; i < u->count; i++)
		order[i] = i;
	for (size_t i = u->count; shuffled && i > 1; i--) {
		size_t j = below((unsigned)i), other = order[i - 1];
		order[i - 1] = order[j];
		order[j] = other;
	}
	for (size_t i = 0; i < u->count; i++) {
		const struct memory_io *io = u->calls[order[i]];
		if (io->type == MEMORY_WRITE && sectors)
			apply_sectors(&disk, io, percent);
		else if (below(100) < percent)
			memory_image_apply(&disk, io);
	}
	return disk;
}

static void advance(struct memory_image *synced, struct unsynced *u, const struct memory_io *io)
{
	if (io->type == MEMORY_WRITE || io->type == MEMORY_TRUNCATE) {
		assert_true(u->count < ARRAY_LEN(u->calls));
		u->calls[u->count++] = io;
		return;
	}
	if (io->type != MEMORY_SYNC && io->type != MEMORY_DELETE)
		return;
	size_t kept = 0;
	for (size_t i = 0; i < u->count; i++) {
		if (u->calls[i]->file == io->file)
			memory_image_apply(synced, u->calls[i]);
		else
			u->calls[kept++] = u->calls[i];
	}
	u->count = kept;
	memory_image_apply(synced, io);
}

static void test_random_losses(void **unused)
{
	size_t count, disks = 0, with_loss = 0, wanted = is_long() ? 50000 : 10000;
	const struct memory_io *log = memory_vfs_log(&count);
	struct memory_image synced = {0};
	static struct unsynced u;
	uint64_t acknowledged = 0;
	u.count = 0;
	for (size_t i = 0; i < count; i++) {
		advance(&synced, &u, &log[i]);
		if (log[i].type == MEMORY_MARK)
			acknowledged = MAX(acknowledged, log[i].offset);
		/* As many at each point as it takes to get the number wanted. */
		for (size_t until = (i + 1) * wanted / count; disks < until; disks++) {
			struct memory_image disk = lose(&synced, &u);
			check_disk(&disk, acknowledged, i);
			memory_image_finish(&disk);
			with_loss += u.count > 0;
		}
	}
	memory_image_finish(&synced);
	print_message("%zu disks, %zu of them with something unsynced\n", disks, with_loss);
	assert_int_equal(disks, wanted);
	assert_true(with_loss > wanted / 2);
}

static int setup(void **unused)
{
	/* Only the lock and an empty file are there; memory is quicker. */
	strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/hanok-crash-XXXXXX"
						  : "/tmp/hanok-crash-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/hanok.db", dir);
	/* Thousands of copies of megabytes: not to be given back and cleared each time. */
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	memory_vfs_init();
	write_script();
	record();
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_boundary),
		cmocka_unit_test(test_random_losses),
	};
	return cmocka_run_group_tests_name("sqlite_crash", tests, setup, teardown);
}
