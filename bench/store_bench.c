/* store_bench.c - what a durable write costs in the SQLite store, beside the least that the disk
 * asks for: a log written by one pwrite() and one fdatasync() a group.
 *
 *     store-bench DIR WRITERS ROUNDS
 *
 * Prints microseconds a write: "hanok" with WRITERS writes outstanding at any time, "peer" with
 * groups of that many. Sides alternate. The peer's log is there in full size before the clock
 * starts, as a careful log would have it. */
#include <fcntl.h>
#include <stdio.h>

#include "bench/common.h"
#include "lib/base/clock.h"
#include "server/store/store.h"

#define VALUE_BYTES 1500
#define RECORD_BYTES 1600 /* with key, revision and what else a log notes */
#define ROUND_NS NS_PER_S
#define LOG_BYTES (64u << 20)

struct load {
	struct store *store;
	struct blob *value;
	uint64_t submitted, completed;
	int64_t end_ns, cpu_ns;
	unsigned outstanding;
	bool done;
};

static void submit(struct load *l);

static void on_done(void *user, int r, uint64_t revision, const struct err *err)
{
	struct load *l = user;
	bench_must(r, err, "write");
	l->completed++;
	l->outstanding--;
	if (bench_now_ns() < l->end_ns)
		submit(l);
	l->done = l->outstanding == 0;
}

static void submit(struct load *l)
{
	char key[64];
	snprintf(key, sizeof(key), "/core/pods/default/pod-%08lu", (unsigned long)l->submitted++);
	struct store_change change = {.key = key, .expect_revision = 0, .value = l->value};
	l->outstanding++;
	l->store->ops->txn(l->store, &change, on_done, l);
}

static double store_round(uv_loop_t *loop, struct load *l, unsigned writers)
{
	int64_t start = bench_now_ns(), cpu = bench_cpu_ns(getpid());
	uint64_t before = l->completed;
	l->end_ns = start + ROUND_NS;
	l->done = false;
	for (unsigned i = 0; i < writers; i++)
		submit(l);
	bench_wait(loop, &l->done, 60, "the last write");
	l->cpu_ns += bench_cpu_ns(getpid()) - cpu;
	return (double)(bench_now_ns() - start) / 1e3 / (double)(l->completed - before);
}

static int open_log(const char *path)
{
	static const char zeros[1 << 20];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		bench_die("%s: %s", path, strerror(errno));
	for (size_t at = 0; at < LOG_BYTES; at += sizeof(zeros))
		if (pwrite(fd, zeros, sizeof(zeros), (off_t)at) < 0)
			bench_die("%s: %s", path, strerror(errno));
	if (fsync(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
	return fd;
}

static double log_round(int fd, size_t *at, unsigned writers)
{
	size_t group = (size_t)writers * RECORD_BYTES, count = 0;
	_cleanup_(free_p) char *records = xcalloc(writers, RECORD_BYTES);
	memset(records, 'r', group);
	int64_t start = bench_now_ns(), now;
	do {
		if (*at + group > LOG_BYTES)
			*at = 0;
		if (pwrite(fd, records, group, (off_t)*at) != (ssize_t)group || fdatasync(fd) < 0)
			bench_die("log: %s", strerror(errno));
		*at += group;
		count += writers;
		now = bench_now_ns();
	} while (now < start + ROUND_NS);
	return (double)(now - start) / 1e3 / (double)count;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		bench_die("usage: store-bench DIR WRITERS ROUNDS");
	unsigned writers = bench_number(argv[2], "WRITERS"),
		 rounds = bench_number(argv[3], "ROUNDS");
	_cleanup_(free_p) char *db = xasprintf("%s/store-%u.db", argv[1], writers);
	_cleanup_(free_p) char *log = xasprintf("%s/log-%u", argv[1], writers);
	uv_loop_t loop;
	uv_loop_init(&loop);
	char value[VALUE_BYTES];
	memset(value, 'v', sizeof(value));
	struct load l = {.value = blob_new(value, sizeof(value))};
	struct err err = ERR_INIT;
	bench_must(store_sqlite_open(&loop, db, &l.store, &err), &err, "open the store");
	int fd = open_log(log);
	size_t at = 0;
	for (unsigned i = 0; i < rounds; i++) {
		printf("hanok %.2f\n", store_round(&loop, &l, writers));
		printf("peer %.2f\n", log_round(fd, &at, writers));
		fflush(stdout);
	}
	struct store_stats stats = store_sqlite_stats(l.store);
	fprintf(stderr,
		"%.1f writes a commit; commit %.0f us, at most %.1f ms; %.1f us of CPU a write\n",
		(double)stats.txns / (double)stats.commits,
		(double)stats.commit_ns_total / 1e3 / (double)stats.commits,
		(double)stats.commit_ns_max / 1e6, (double)l.cpu_ns / 1e3 / (double)stats.txns);
	l.store->ops->close(l.store, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	blob_unref(l.value);
	close(fd);
	return 0;
}
