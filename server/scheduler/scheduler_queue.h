/* scheduler_queue.h - workloads that wait for a node. Pure: time is passed in.
 *
 *               add                 pop                       placed
 *   (absent) ---------> ACTIVE -----------------> TRYING ---------------> (removed)
 *                         ^  ^                      | |
 *          back-off over  |  '----------------------' |  does not fit
 *                         |      bind failed: BACKOFF |
 *                      BACKOFF <------------- UNSCHEDULABLE
 *                               something changed (or five minutes passed)
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/sm.h"
#include "server/scheduler/scheduler_core.h"

enum { QUEUE_ACTIVE, QUEUE_BACKOFF, QUEUE_UNSCHEDULABLE, QUEUE_TRYING };

struct queued {
	struct object *object; /* newest state known; a reference */
	struct arena arena;    /* of the workload */
	struct workload workload;
	int64_t priority;
	/* inside scheduler_queue.c */
	struct sm sm;
	unsigned attempts;
	int64_t since_ns; /* when it became active: first come, first served */
	int64_t due_ns;	  /* end of its back-off */
	uint64_t order;
	size_t heap_at; /* plus one; 0 = not in the heap */
};

struct scheduler_queue;
struct scheduler_queue *queue_create(void);
void queue_destroy(struct scheduler_queue *q);
/* A new workload, or its newest state: made by the caller, owned by the queue from now on. */
void queue_add(struct scheduler_queue *q, struct queued *w, int64_t now_ns);
struct queued *queued_new(struct object *o);
/* Highest priority first; NULL when nothing is active. It is TRYING until one of the next three. */
struct queued *queue_pop(struct scheduler_queue *q, int64_t now_ns);
void queue_unschedulable(struct scheduler_queue *q, struct queued *w, int64_t now_ns);
void queue_retry(
	struct scheduler_queue *q, struct queued *w, int64_t now_ns); /* after its back-off */
bool queue_remove(struct scheduler_queue *q, const char *uid);
struct queued *queue_find(struct scheduler_queue *q, const char *uid);
/* Something changed that may let unschedulable workloads fit. */
void queue_move_all(struct scheduler_queue *q, int64_t now_ns);
void queue_move(struct scheduler_queue *q, const char *uid, int64_t now_ns); /* this one only */
/* When the queue wants to be looked at: now_ns when something is active; INT64_MAX = never. Moves
 * what is due. */
int64_t queue_next_due(struct scheduler_queue *q, int64_t now_ns);
size_t queue_length(const struct scheduler_queue *q);
