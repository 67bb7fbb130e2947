/* scheduler_queue.h - workloads that wait for a node. Pure: time is passed in.
 *
 *               add                 pop                       placed
 *   (absent) ---------> ACTIVE -----------------> TRYING ---------------> (removed)
 *      |                  ^  ^                      | |
 *      |   back-off over  |  '----------------------' |  does not fit
 *      | gated            |      bind failed: BACKOFF |
 *      v                  |                           v
 *    GATED ----> ACTIVE BACKOFF <------------- UNSCHEDULABLE
 *       gates are gone        something that may help happened (or five minutes passed)
 */
#pragma once

#include "lib/base/sm.h"
#include "server/scheduler/workload.h"

enum { QUEUE_ACTIVE, QUEUE_BACKOFF, QUEUE_UNSCHEDULABLE, QUEUE_TRYING, QUEUE_GATED, QUEUE_STATES };

struct queued {
	struct workload *workload; /* newest state known; a reference */
	uint32_t refused_by;	   /* what stood in the way last: bits by enum refusal */
	unsigned attempts;
	int64_t added_ns; /* when it was first seen */
	/* inside scheduler_queue.c */
	struct sm sm;
	int64_t since_ns; /* when it became active: first come, first served */
	int64_t due_ns;	  /* end of its back-off */
	uint64_t order;
	size_t at; /* in the heap or list of its state */
};

struct scheduler_queue;
struct scheduler_queue *queue_create(void);
void queue_destroy(struct scheduler_queue *q);
/* A new workload, or its newest state. `changed`: what it asks for is not what it was. */
struct queued *queue_add(
	struct scheduler_queue *q, struct workload *w, bool changed, int64_t now_ns);
/* Highest priority first; NULL when nothing is active. It is TRYING until one of the next three. */
struct queued *queue_pop(struct scheduler_queue *q, int64_t now_ns);
void queue_unschedulable(
	struct scheduler_queue *q, struct queued *w, uint32_t refused_by, int64_t now_ns);
void queue_retry(
	struct scheduler_queue *q, struct queued *w, int64_t now_ns); /* after its back-off */
bool queue_remove(struct scheduler_queue *q, const char *uid);
struct queued *queue_find(struct scheduler_queue *q, const char *uid);
/* Something changed: those unschedulable workloads for which it `helps` move. helps NULL: all. */
typedef bool queue_helps(void *user, const struct queued *w);
void queue_move_one(struct scheduler_queue *q, const char *uid, int64_t now_ns);
void queue_move(struct scheduler_queue *q, queue_helps *helps, void *user, int64_t now_ns);
/* When the queue wants to be looked at: now_ns when something is active; INT64_MAX = never. Moves
 * what is due. */
int64_t queue_next_due(struct scheduler_queue *q, int64_t now_ns);
size_t queue_length(const struct scheduler_queue *q);
size_t queue_count(const struct scheduler_queue *q, unsigned state);
