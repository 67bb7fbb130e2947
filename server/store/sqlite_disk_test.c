/* The disk under an hour of a cluster's life, as fast as it goes: 1,000 nodes renew their leases
 * every ten seconds (360,000 writes), 5,000 pods report their status every five minutes (60,000),
 * and 20 events a second come and go after a quarter of an hour (72,000 and as many deletions less
 * those that stay). The file must level off once everything is there, and the log must stay short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "server/store/store.h"

enum {
	NODES = 1000,
	PODS = 5000,
	SECONDS = 3600,
	EVENTS_A_SECOND = 20,
	EVENT_LIFE_S = 900,
	EVENTS = EVENTS_A_SECOND * EVENT_LIFE_S, /* places, used again */
	OUTSTANDING = 2000,
	KEYS = NODES + PODS + EVENTS,
};

struct hour {
	uv_loop_t loop;
	struct store *store;
	struct blob *lease, *pod, *event;
	uint64_t revision[KEYS]; /* 0 = absent */
	bool busy[KEYS];
	size_t under_way, writes;
};

struct write {
	struct hour *h;
	size_t key;
	bool remove;
};

static void on_done(void *user, int r, uint64_t revision, const struct err *err)
{
	struct write *w = user;
	assert_int_equal(r, 0);
	w->h->revision[w->key] = w->remove ? 0 : revision;
	w->h->busy[w->key] = false;
	w->h->under_way--;
	free(w);
}

static void submit(struct hour *h, size_t key, bool remove)
{
	char text[80];
	while (h->busy[key] || h->under_way >= OUTSTANDING)
		uv_run(&h->loop, UV_RUN_ONCE);
	bool lease = key < NODES, pod = !lease && key < NODES + PODS;
	snprintf(text, sizeof(text), "/%s/default/%s-%zu",
		lease ? "coordination.k8s.io/leases"
		: pod ? "core/pods"
		      : "core/events",
		lease ? "node" : "object", key);
	struct write *w = xmalloc(sizeof(*w));
	*w = (struct write){h, key, remove};
	struct store_change change = {.key = text,
		.expect_revision = h->revision[key],
		.value = remove	 ? NULL
			 : lease ? h->lease
			 : pod	 ? h->pod
				 : h->event};
	h->busy[key] = true;
	h->under_way++;
	h->writes++;
	h->store->ops->txn(h->store, &change, on_done, w);
}

static void second(struct hour *h, size_t at)
{
	for (size_t i = at % 10; i < NODES; i += 10)
		submit(h, i, false);
	for (size_t i = at % 300; i < PODS; i += 300)
		submit(h, NODES + i, false);
	for (size_t i = 0; i < EVENTS_A_SECOND; i++) {
		size_t key = NODES + PODS + (at * EVENTS_A_SECOND + i) % EVENTS;
		if (at >= EVENT_LIFE_S)
			submit(h, key, true);
		submit(h, key, false);
	}
}

static struct blob *blob_of(size_t size)
{
	_cleanup_(free_p) char *text = xmalloc(size);
	memset(text, 'x', size);
	return blob_new(text, size);
}

static off_t size_of(const char *path, const char *suffix)
{
	_cleanup_(free_p) char *name = xasprintf("%s%s", path, suffix);
	struct stat st;
	return stat(name, &st) == 0 ? st.st_size : 0;
}

static void test_an_hour_levels_off(void **state)
{
	static struct hour h;
	char dir[] = "/var/tmp/hanok-disk-XXXXXX";
	struct err err = ERR_INIT;
	assert_non_null(mkdtemp(dir));
	_cleanup_(free_p) char *path = xasprintf("%s/hanok.db", dir);
	uv_loop_init(&h.loop);
	if (store_sqlite_open(&h.loop, path, &h.store, &err) < 0)
		fail_msg("%s", err.msg);
	h.lease = blob_of(420);
	h.pod = blob_of(4000);
	h.event = blob_of(900);

	/* Everything is there once after the first quarter and a bit. */
	off_t levelled = 0, largest = 0, largest_log = 0;
	for (size_t at = 0; at < SECONDS; at++) {
		second(&h, at);
		if (at == EVENT_LIFE_S + 300)
			levelled = size_of(path, "");
		largest = MAX(largest, size_of(path, ""));
		largest_log = MAX(largest_log, size_of(path, "-wal"));
	}
	while (h.under_way > 0)
		uv_run(&h.loop, UV_RUN_ONCE);
	size_t live = NODES * 420 + PODS * 4000 + EVENTS * 900;
	print_message("%zu writes; %.1f MB of objects; file %.1f MB after 20 minutes, at most %.1f "
		      "MB; log at most %.1f MB\n",
		h.writes, (double)live / 1e6, (double)levelled / 1e6, (double)largest / 1e6,
		(double)largest_log / 1e6);
	assert_true(largest < levelled + levelled / 10);
	assert_true((size_t)largest < live * 2);
	/* Without anybody who shortens it, it would be as long as all that was written. Who does
	 * that gets his share of a busy machine, too. */
	assert_true(largest_log < 200 << 20);

	h.store->ops->close(h.store, NULL, NULL);
	uv_run(&h.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&h.loop), 0);
	assert_int_equal(size_of(path, "-wal"), 0);
	blob_unref(h.lease);
	blob_unref(h.pod);
	blob_unref(h.event);
	const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		_cleanup_(free_p) char *name = xasprintf("%s%s", path, suffixes[i]);
		unlink(name);
	}
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_an_hour_levels_off)};
	return cmocka_run_group_tests_name("sqlite_disk", tests, NULL, NULL);
}
