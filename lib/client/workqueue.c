#include "lib/client/workqueue.h"

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/client/wakeup.h"

/* Back-off after the n-th failure in a row. */
#define BACKOFF_FIRST_MS 5
#define BACKOFF_MAX_MS 1000000
/* Keys started in one turn of the loop, so that a long queue does not hold up everything else. */
#define KEYS_PER_TURN 64

/* A key is known while any of these holds:
 *
 *            add                 worker free              done
 *   (none) ------> READY list ------------------> running ------> (none), or READY again if it was
 *      ^  add_after  ^                                            added meanwhile, or the heap if
 *      '------> heap-' due                                        it failed or rests
 */
struct item {
	struct list link; /* in q->ready while ready */
	bool ready, running;
	bool dirty;	   /* added while running */
	unsigned failures; /* in a row */
	int64_t wanted_ns; /* of the delayed add; INT64_MAX = none */
	int64_t rest_ns;   /* it does not run before; 0 = it does not rest */
	int64_t due_ns;	   /* when one of these is to be looked at; meaningful in the heap */
	size_t heap_at;	   /* place in the heap plus one; 0 = none */
	char key[];
};

struct workqueue {
	struct clock *clock;
	const char *name;
	struct wakeup *wakeup;
	unsigned workers, running;
	workqueue_work *work;
	void *user;
	bool started;
	struct table items; /* key -> item */
	struct list ready;
	size_t ready_count;
	struct item **heap; /* by due_ns */
	size_t heap_count, heap_room;
};

static void heap_put(struct workqueue *q, size_t at, struct item *it)
{
	q->heap[at] = it;
	it->heap_at = at + 1;
}

static void heap_up(struct workqueue *q, size_t at)
{
	struct item *it = q->heap[at];
	for (; at > 0 && q->heap[(at - 1) / 2]->due_ns > it->due_ns; at = (at - 1) / 2)
		heap_put(q, at, q->heap[(at - 1) / 2]);
	heap_put(q, at, it);
}

static void heap_down(struct workqueue *q, size_t at)
{
	struct item *it = q->heap[at];
	for (size_t child; (child = 2 * at + 1) < q->heap_count; at = child) {
		if (child + 1 < q->heap_count &&
			q->heap[child + 1]->due_ns < q->heap[child]->due_ns)
			child++;
		if (q->heap[child]->due_ns >= it->due_ns)
			break;
		heap_put(q, at, q->heap[child]);
	}
	heap_put(q, at, it);
}

static void heap_remove(struct workqueue *q, struct item *it)
{
	size_t at = it->heap_at - 1;
	struct item *last = q->heap[--q->heap_count];
	it->heap_at = 0;
	if (last == it)
		return;
	heap_put(q, at, last);
	heap_up(q, at);
	heap_down(q, last->heap_at - 1);
}

static struct item *item_of(struct workqueue *q, const char *key)
{
	struct item *it = table_get(&q->items, key);
	if (it)
		return it;
	size_t size = strlen(key) + 1;
	it = xcalloc(1, sizeof(*it) + size);
	memcpy(it->key, key, size);
	it->wanted_ns = INT64_MAX;
	list_init(&it->link);
	table_set(&q->items, key, it);
	return it;
}

static void item_drop_if_idle(struct workqueue *q, struct item *it)
{
	if (it->ready || it->running || it->heap_at || it->failures)
		return;
	table_remove(&q->items, it->key);
	free(it);
}

static void arm(struct workqueue *q)
{
	if (!q->started)
		return;
	if (q->ready_count && q->running < q->workers)
		wakeup_in(q->wakeup, 0);
	else if (q->heap_count)
		wakeup_at(q->wakeup, q->heap[0]->due_ns);
}

/* Puts the item to its place in the heap, or takes it out when there is nothing to wait for. */
static void wait_for_next(struct workqueue *q, struct item *it)
{
	int64_t due_ns = it->wanted_ns == INT64_MAX ? it->rest_ns : MAX(it->wanted_ns, it->rest_ns);
	if (!due_ns) {
		if (it->heap_at)
			heap_remove(q, it);
		return;
	}
	it->due_ns = due_ns;
	if (!it->heap_at) {
		if (q->heap_count == q->heap_room) {
			q->heap_room = q->heap_room ? 2 * q->heap_room : 16;
			q->heap = xrealloc(q->heap, q->heap_room * sizeof(*q->heap));
		}
		heap_put(q, q->heap_count++, it);
	}
	heap_up(q, it->heap_at - 1);
	heap_down(q, it->heap_at - 1);
}

static void make_ready(struct workqueue *q, struct item *it)
{
	if (it->running) {
		it->dirty = true;
	} else if (it->rest_ns) {
		it->wanted_ns = 0;
		wait_for_next(q, it);
	} else if (!it->ready) {
		it->ready = true;
		list_append(&q->ready, &it->link);
		q->ready_count++;
	}
}

int64_t workqueue_run_due(struct workqueue *q)
{
	if (!q->started)
		return INT64_MAX;
	int64_t now = q->clock->mono_ns(q->clock);
	while (q->heap_count && q->heap[0]->due_ns <= now) {
		struct item *it = q->heap[0];
		bool wanted = it->wanted_ns <= now;
		it->rest_ns = 0;
		if (wanted)
			it->wanted_ns = INT64_MAX;
		wait_for_next(q, it);
		if (wanted)
			make_ready(q, it);
		item_drop_if_idle(q, it);
	}
	for (unsigned n = 0; n < KEYS_PER_TURN && q->ready_count && q->running < q->workers; n++) {
		struct item *it = CONTAINER_OF(q->ready.next, struct item, link);
		list_remove(&it->link);
		it->ready = false;
		q->ready_count--;
		it->running = true;
		q->running++;
		q->work(q->user, it->key);
	}
	if (q->ready_count && q->running < q->workers)
		return now;
	return q->heap_count ? q->heap[0]->due_ns : INT64_MAX;
}

static void on_wakeup(void *user)
{
	struct workqueue *q = user;
	workqueue_run_due(q);
	arm(q);
}

struct workqueue *workqueue_create(uv_loop_t *loop, struct clock *clock, const char *name,
	unsigned workers, workqueue_work *work, void *user)
{
	struct workqueue *q = xcalloc(1, sizeof(*q));
	q->clock = clock;
	q->name = name;
	q->wakeup = wakeup_create(loop, clock, on_wakeup, q);
	q->workers = workers;
	q->work = work;
	q->user = user;
	list_init(&q->ready);
	return q;
}

void workqueue_destroy(struct workqueue *q)
{
	if (!q)
		return;
	wakeup_destroy(q->wakeup);
	struct table_iter it = table_iterate(&q->items);
	while (table_next(&it))
		free(it.value);
	table_finish(&q->items);
	free(q->heap);
	free(q);
}

void workqueue_add(struct workqueue *q, const char *key)
{
	make_ready(q, item_of(q, key));
	arm(q);
}

void workqueue_add_after(struct workqueue *q, const char *key, int64_t delay_ms)
{
	if (delay_ms <= 0) {
		workqueue_add(q, key);
		return;
	}
	struct item *it = item_of(q, key);
	it->wanted_ns = MIN(it->wanted_ns, q->clock->mono_ns(q->clock) + delay_ms * NS_PER_MS);
	wait_for_next(q, it);
	arm(q);
}

void workqueue_done(struct workqueue *q, const char *key, bool failed)
{
	struct item *it = table_get(&q->items, key);
	if (!it || !it->running)
		return;
	it->running = false;
	q->running--;
	if (!failed) {
		it->failures = 0;
	} else {
		int64_t delay_ms = BACKOFF_MAX_MS;
		if (it->failures < 18)
			delay_ms = MIN((int64_t)BACKOFF_FIRST_MS << it->failures, BACKOFF_MAX_MS);
		it->failures++;
		workqueue_add_after(q, it->key, delay_ms);
	}
	if (it->dirty) {
		it->dirty = false;
		make_ready(q, it);
	}
	item_drop_if_idle(q, it);
	arm(q);
}

void workqueue_rest(struct workqueue *q, const char *key, int64_t rest_ms)
{
	struct item *it = table_get(&q->items, key);
	if (!it || !it->running)
		return;
	it->rest_ns = q->clock->mono_ns(q->clock) + rest_ms * NS_PER_MS;
	wait_for_next(q, it);
}

void workqueue_start(struct workqueue *q)
{
	q->started = true;
	arm(q);
}

size_t workqueue_length(const struct workqueue *q)
{
	return q->ready_count + q->running;
}
