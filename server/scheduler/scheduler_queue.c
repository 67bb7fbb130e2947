#include "server/scheduler/scheduler_queue.h"

#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

#define BACKOFF_FIRST_NS NS_PER_S
#define BACKOFF_MAX_NS (10 * NS_PER_S)
#define UNSCHEDULABLE_MAX_NS (300 * NS_PER_S)
#define SWEEP_NS (30 * NS_PER_S) /* between looks at what has been unschedulable for long */

static const struct sm_state states[] = {
	[QUEUE_ACTIVE] = {"active", SM_ALLOW(QUEUE_TRYING) | SM_ALLOW(QUEUE_ACTIVE), false},
	[QUEUE_BACKOFF] = {"back-off", SM_ALLOW(QUEUE_ACTIVE), false},
	[QUEUE_UNSCHEDULABLE] = {"unschedulable", SM_ALLOW(QUEUE_BACKOFF) | SM_ALLOW(QUEUE_ACTIVE),
		false},
	[QUEUE_TRYING] = {"trying", SM_ALLOW(QUEUE_BACKOFF) | SM_ALLOW(QUEUE_UNSCHEDULABLE), false},
	[QUEUE_GATED] = {"gated", SM_ALLOW(QUEUE_ACTIVE), false},
};
static const struct sm_class queued_sm = {"queued workload", states, ARRAY_LEN(states), NULL};

/* A heap by `before`, or with NULL a list in no order. */
struct place {
	VEC(struct queued *) all;
	bool (*before)(const struct queued *a, const struct queued *b);
};

struct scheduler_queue {
	struct table by_uid;
	struct place places[QUEUE_STATES];
	uint64_t next_order;
	int64_t sweep_ns; /* 0 = none is due */
};

static bool more_urgent(const struct queued *a, const struct queued *b)
{
	if (a->workload->priority != b->workload->priority)
		return a->workload->priority > b->workload->priority;
	if (a->since_ns != b->since_ns)
		return a->since_ns < b->since_ns;
	return a->order < b->order;
}

static bool due_before(const struct queued *a, const struct queued *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

struct scheduler_queue *queue_create(void)
{
	struct scheduler_queue *q = xcalloc(1, sizeof(*q));
	q->places[QUEUE_ACTIVE].before = more_urgent;
	q->places[QUEUE_BACKOFF].before = due_before;
	return q;
}

static void queued_free(struct queued *w)
{
	workload_unref(w->workload);
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
	for (size_t n = 0; n < QUEUE_STATES; n++)
		VEC_FINISH(&q->places[n].all);
	free(q);
}

static void put(struct place *p, size_t at, struct queued *w)
{
	p->all.items[at] = w;
	w->at = at;
}

static void up(struct place *p, size_t at)
{
	struct queued *w = p->all.items[at];
	for (; at > 0 && p->before(w, p->all.items[(at - 1) / 2]); at = (at - 1) / 2)
		put(p, at, p->all.items[(at - 1) / 2]);
	put(p, at, w);
}

static void down(struct place *p, size_t at)
{
	struct queued *w = p->all.items[at];
	for (size_t child; (child = 2 * at + 1) < p->all.count; at = child) {
		if (child + 1 < p->all.count &&
			p->before(p->all.items[child + 1], p->all.items[child]))
			child++;
		if (!p->before(p->all.items[child], w))
			break;
		put(p, at, p->all.items[child]);
	}
	put(p, at, w);
}

static void insert(struct place *p, struct queued *w)
{
	VEC_PUSH(&p->all, w);
	w->at = p->all.count - 1;
	if (p->before)
		up(p, w->at);
}

static void take_out(struct place *p, struct queued *w)
{
	size_t at = w->at;
	struct queued *last = p->all.items[--p->all.count];
	if (last == w)
		return;
	put(p, at, last);
	if (!p->before)
		return;
	up(p, at);
	down(p, last->at);
}

static void move(struct scheduler_queue *q, struct queued *w, unsigned state, int64_t now_ns)
{
	take_out(&q->places[w->sm.state], w);
	sm_move(&w->sm, state, now_ns);
	if (state == QUEUE_ACTIVE) {
		w->since_ns = now_ns;
		w->order = q->next_order++;
	}
	insert(&q->places[state], w);
}

/* What was tried in vain is worth another try, though not before its back-off is over. */
static void reconsider(struct scheduler_queue *q, struct queued *w, int64_t now_ns)
{
	move(q, w, w->due_ns > now_ns ? QUEUE_BACKOFF : QUEUE_ACTIVE, now_ns);
}

struct queued *queue_add(
	struct scheduler_queue *q, struct workload *w, bool changed, int64_t now_ns)
{
	struct queued *e = table_get(&q->by_uid, w->uid);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->workload = workload_ref(w);
		e->added_ns = e->since_ns = now_ns;
		e->order = q->next_order++;
		table_set(&q->by_uid, w->uid, e);
		sm_init(&e->sm, &queued_sm, e, w->name, w->gated ? QUEUE_GATED : QUEUE_ACTIVE,
			now_ns);
		insert(&q->places[e->sm.state], e);
		return e;
	}
	struct workload *old = e->workload;
	e->workload = workload_ref(w);
	workload_unref(old);
	if (e->sm.state == QUEUE_ACTIVE) {
		up(&q->places[QUEUE_ACTIVE], e->at);
		down(&q->places[QUEUE_ACTIVE], e->at);
	} else if (e->sm.state == QUEUE_GATED && !w->gated) {
		move(q, e, QUEUE_ACTIVE, now_ns);
	} else if (e->sm.state == QUEUE_UNSCHEDULABLE && changed) {
		reconsider(q, e, now_ns);
	}
	return e;
}

struct queued *queue_find(struct scheduler_queue *q, const char *uid)
{
	return table_get(&q->by_uid, uid);
}

struct queued *queue_pop(struct scheduler_queue *q, int64_t now_ns)
{
	struct place *active = &q->places[QUEUE_ACTIVE];
	if (!active->all.count)
		return NULL;
	struct queued *w = active->all.items[0];
	move(q, w, QUEUE_TRYING, now_ns);
	w->attempts++;
	int64_t delay_ns = w->attempts > 4 ? BACKOFF_MAX_NS : BACKOFF_FIRST_NS << (w->attempts - 1);
	w->due_ns = now_ns + MIN(delay_ns, BACKOFF_MAX_NS);
	return w;
}

void queue_unschedulable(
	struct scheduler_queue *q, struct queued *w, uint32_t refused_by, int64_t now_ns)
{
	w->refused_by = refused_by;
	move(q, w, QUEUE_UNSCHEDULABLE, now_ns);
	if (!q->sweep_ns)
		q->sweep_ns = now_ns + SWEEP_NS;
}

void queue_retry(struct scheduler_queue *q, struct queued *w, int64_t now_ns)
{
	move(q, w, QUEUE_BACKOFF, now_ns);
}

bool queue_remove(struct scheduler_queue *q, const char *uid)
{
	struct queued *w = table_remove(&q->by_uid, uid);
	if (!w)
		return false;
	take_out(&q->places[w->sm.state], w);
	queued_free(w);
	return true;
}

void queue_move(struct scheduler_queue *q, queue_helps *helps, void *user, int64_t now_ns)
{
	struct place *p = &q->places[QUEUE_UNSCHEDULABLE];
	for (size_t n = p->all.count; n-- > 0;)
		if (!helps || helps(user, p->all.items[n]))
			reconsider(q, p->all.items[n], now_ns);
}

void queue_move_one(struct scheduler_queue *q, const char *uid, int64_t now_ns)
{
	struct queued *w = table_get(&q->by_uid, uid);
	if (w && w->sm.state == QUEUE_UNSCHEDULABLE)
		reconsider(q, w, now_ns);
}

static bool waited_long(void *user, const struct queued *w)
{
	return w->sm.since_ns + UNSCHEDULABLE_MAX_NS <= *(const int64_t *)user;
}

int64_t queue_next_due(struct scheduler_queue *q, int64_t now_ns)
{
	struct place *backoff = &q->places[QUEUE_BACKOFF];
	while (backoff->all.count && backoff->all.items[0]->due_ns <= now_ns)
		move(q, backoff->all.items[0], QUEUE_ACTIVE, now_ns);
	if (q->sweep_ns && q->sweep_ns <= now_ns) {
		queue_move(q, waited_long, &now_ns, now_ns);
		q->sweep_ns = queue_count(q, QUEUE_UNSCHEDULABLE) ? now_ns + SWEEP_NS : 0;
	}
	if (queue_count(q, QUEUE_ACTIVE))
		return now_ns;
	int64_t next_ns = backoff->all.count ? backoff->all.items[0]->due_ns : INT64_MAX;
	return q->sweep_ns ? MIN(next_ns, q->sweep_ns) : next_ns;
}

size_t queue_length(const struct scheduler_queue *q)
{
	return q->by_uid.count;
}

size_t queue_count(const struct scheduler_queue *q, unsigned state)
{
	return q->places[state].all.count;
}
