#include "server/scheduler/scheduler_queue.h"

#include "lib/base/clock.h"
#include "lib/base/table.h"

#define BACKOFF_FIRST_NS NS_PER_S
#define BACKOFF_MAX_NS (10 * NS_PER_S)
#define UNSCHEDULABLE_MAX_NS (300 * NS_PER_S)

static const struct sm_state states[] = {
	[QUEUE_ACTIVE] = {"active", SM_ALLOW(QUEUE_TRYING) | SM_ALLOW(QUEUE_ACTIVE), false},
	[QUEUE_BACKOFF] = {"back-off", SM_ALLOW(QUEUE_ACTIVE), false},
	[QUEUE_UNSCHEDULABLE] = {"unschedulable", SM_ALLOW(QUEUE_BACKOFF) | SM_ALLOW(QUEUE_ACTIVE),
		false},
	[QUEUE_TRYING] = {"trying", SM_ALLOW(QUEUE_BACKOFF) | SM_ALLOW(QUEUE_UNSCHEDULABLE), false},
};
static const struct sm_class queued_sm = {"queued workload", states, ARRAY_LEN(states), NULL};

struct scheduler_queue {
	struct table by_uid;
	struct queued **heap; /* active ones */
	size_t heap_count, heap_room;
	uint64_t next_order;
};

struct scheduler_queue *queue_create(void)
{
	return xcalloc(1, sizeof(struct scheduler_queue));
}

static void queued_free(struct queued *w)
{
	object_unref(w->object);
	arena_finish(&w->arena);
	free(w);
}

void queue_destroy(struct scheduler_queue *q)
{
	if (!q)
		return;
	struct table_iter it = table_iterate(&q->by_uid);
	while (table_next(&it))
		queued_free(it.value);
	table_finish(&q->by_uid);
	free(q->heap);
	free(q);
}

struct queued *queued_new(struct object *o)
{
	struct queued *w = xcalloc(1, sizeof(*w));
	w->object = object_ref(o);
	return w;
}

static bool before(const struct queued *a, const struct queued *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->since_ns != b->since_ns)
		return a->since_ns < b->since_ns;
	return a->order < b->order;
}

static void put(struct scheduler_queue *q, size_t at, struct queued *w)
{
	q->heap[at] = w;
	w->heap_at = at + 1;
}

static void up(struct scheduler_queue *q, size_t at)
{
	struct queued *w = q->heap[at];
	for (; at > 0 && before(w, q->heap[(at - 1) / 2]); at = (at - 1) / 2)
		put(q, at, q->heap[(at - 1) / 2]);
	put(q, at, w);
}

static void down(struct scheduler_queue *q, size_t at)
{
	struct queued *w = q->heap[at];
	for (size_t child; (child = 2 * at + 1) < q->heap_count; at = child) {
		if (child + 1 < q->heap_count && before(q->heap[child + 1], q->heap[child]))
			child++;
		if (!before(q->heap[child], w))
			break;
		put(q, at, q->heap[child]);
	}
	put(q, at, w);
}

static void heap_insert(struct scheduler_queue *q, struct queued *w)
{
	if (q->heap_count == q->heap_room) {
		q->heap_room = q->heap_room ? 2 * q->heap_room : 64;
		q->heap = xrealloc(q->heap, q->heap_room * sizeof(struct queued *));
	}
	put(q, q->heap_count++, w);
	up(q, q->heap_count - 1);
}

static void heap_remove(struct scheduler_queue *q, struct queued *w)
{
	if (!w->heap_at)
		return;
	size_t at = w->heap_at - 1;
	struct queued *last = q->heap[--q->heap_count];
	w->heap_at = 0;
	if (last == w)
		return;
	put(q, at, last);
	up(q, at);
	down(q, last->heap_at - 1);
}

static void activate(struct scheduler_queue *q, struct queued *w, int64_t now_ns)
{
	sm_move(&w->sm, QUEUE_ACTIVE, now_ns);
	w->since_ns = now_ns;
	w->order = q->next_order++;
	heap_insert(q, w);
}

void queue_add(struct scheduler_queue *q, struct queued *w, int64_t now_ns)
{
	struct queued *old = table_get(&q->by_uid, w->object->uid);
	if (!old) {
		table_set(&q->by_uid, w->object->uid, w);
		sm_init(&w->sm, &queued_sm, w, w->object->name, QUEUE_ACTIVE, now_ns);
		activate(q, w, now_ns);
		return;
	}
	/* The same workload in a newer state. */
	struct queued swap = *old;
	old->object = w->object;
	old->arena = w->arena;
	old->workload = w->workload;
	old->priority = w->priority;
	w->object = swap.object;
	w->arena = swap.arena;
	queued_free(w);
	if (old->heap_at) {
		up(q, old->heap_at - 1);
		down(q, old->heap_at - 1);
	}
}

struct queued *queue_find(struct scheduler_queue *q, const char *uid)
{
	return table_get(&q->by_uid, uid);
}

struct queued *queue_pop(struct scheduler_queue *q, int64_t now_ns)
{
	if (!q->heap_count)
		return NULL;
	struct queued *w = q->heap[0];
	heap_remove(q, w);
	sm_move(&w->sm, QUEUE_TRYING, now_ns);
	w->attempts++;
	int64_t delay_ns = w->attempts > 4 ? BACKOFF_MAX_NS : BACKOFF_FIRST_NS << (w->attempts - 1);
	w->due_ns = now_ns + MIN(delay_ns, BACKOFF_MAX_NS);
	return w;
}

void queue_unschedulable(struct scheduler_queue *q, struct queued *w, int64_t now_ns)
{
	sm_move(&w->sm, QUEUE_UNSCHEDULABLE, now_ns);
}

void queue_retry(struct scheduler_queue *q, struct queued *w, int64_t now_ns)
{
	sm_move(&w->sm, QUEUE_BACKOFF, now_ns);
}

bool queue_remove(struct scheduler_queue *q, const char *uid)
{
	struct queued *w = table_remove(&q->by_uid, uid);
	if (!w)
		return false;
	heap_remove(q, w);
	queued_free(w);
	return true;
}

static void move(struct scheduler_queue *q, struct queued *w, int64_t now_ns)
{
	if (w->sm.state != QUEUE_UNSCHEDULABLE)
		return;
	if (w->due_ns > now_ns)
		sm_move(&w->sm, QUEUE_BACKOFF, now_ns);
	else
		activate(q, w, now_ns);
}

void queue_move(struct scheduler_queue *q, const char *uid, int64_t now_ns)
{
	struct queued *w = table_get(&q->by_uid, uid);
	if (w)
		move(q, w, now_ns);
}

void queue_move_all(struct scheduler_queue *q, int64_t now_ns)
{
	struct table_iter it = table_iterate(&q->by_uid);
	while (table_next(&it))
		move(q, it.value, now_ns);
}

int64_t queue_next_due(struct scheduler_queue *q, int64_t now_ns)
{
	int64_t next_ns = INT64_MAX;
	if (q->heap_count)
		return now_ns;
	struct table_iter it = table_iterate(&q->by_uid);
	while (table_next(&it)) {
		struct queued *w = it.value;
		int64_t due_ns;
		if (w->sm.state == QUEUE_BACKOFF)
			due_ns = w->due_ns;
		else if (w->sm.state == QUEUE_UNSCHEDULABLE)
			due_ns = w->sm.since_ns + UNSCHEDULABLE_MAX_NS;
		else
			continue;
		if (due_ns <= now_ns)
			activate(q, w, now_ns);
		else
			next_ns = MIN(next_ns, due_ns);
	}
	return q->heap_count ? now_ns : next_ns;
}

size_t queue_length(const struct scheduler_queue *q)
{
	return q->by_uid.count;
}
