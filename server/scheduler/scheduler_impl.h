/* scheduler_impl.h - what the files of the scheduler that talk to the API share. */
#pragma once

#include "lib/base/list.h"
#include "lib/client/informer.h"
#include "lib/client/wakeup.h"
#include "server/scheduler/default_spread.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/scheduler_core.h"
#include "server/scheduler/scheduler_metrics.h"
#include "server/scheduler/scheduler_queue.h"

struct announcement {
	struct object *object; /* a reference */
	char *node;
};

struct scheduler {
	struct client *client;
	struct informers *informers;
	struct informer *nodes, *pods, *instances, *namespaces, *budgets, *claims, *volumes,
		*classes;
	struct default_spread *default_spread;
	struct scheduler_core core;
	struct scheduler_queue *queue;
	struct random random; /* for ties: quick, and seeded by the client's */
	struct wakeup *wakeup;
	bool synced;
	struct scheduler_metrics metrics;
	struct list calls, volume_waits;
	size_t binding; /* calls that bind, under way */
	VEC(struct announcement) announcements;
	size_t announced; /* of these, already */
};

/* An API call under way, so that destroying the scheduler can cancel it. */
struct call {
	struct list link;
	struct scheduler *s;
	struct client_call *client_call;
	struct workload *workload; /* that is being bound; NULL for others */
	char *node;
	int64_t begun_ns, added_ns;
	unsigned tries;
};

int64_t scheduler_now(const struct scheduler *s); /* monotonic */
void scheduler_arm(struct scheduler *s);
bool workload_is_pod(const struct workload *w);

/* binding.c: writes. */
void scheduler_bind(struct scheduler *s, const struct queued *q, const char *node);
/* Says why it waits, and on which node room is being made for it (NULL: on none). */
void scheduler_refused(
	struct scheduler *s, const struct workload *w, const char *message, const char *nominated);
void scheduler_write_nomination(struct scheduler *s, const struct workload *w, const char *node);
struct scheduler_condition {
	const char *type, *status, *reason, *message; /* reason NULL: none, nor a message */
};
struct json *scheduler_with_condition(struct scheduler *s, struct arena *a,
	const struct json *conditions, const struct scheduler_condition *c);
/* The beginning of a merge patch that is for this state of the object only. */
struct json *scheduler_patch_of(struct arena *a, const struct object *o);
struct call *scheduler_call(struct scheduler *s);
void scheduler_call_free(struct call *call);
/* Events about what was bound, when there is nothing better to do. True when some are left. */
bool scheduler_announce(struct scheduler *s, bool idle);
void scheduler_cancel_calls(struct scheduler *s);

/* volume_binding.c: in place of scheduler_bind when claims are not bound yet. */
void scheduler_bind_volumes(struct scheduler *s, const struct queued *q, const char *node,
	const struct volume_choice *choices, size_t count);
void scheduler_check_volume_waits(struct scheduler *s); /* claims have changed, or time passed */
void scheduler_drop_volume_wait(struct scheduler *s, const char *uid); /* NULL: all */
int64_t scheduler_volume_deadline(const struct scheduler *s);	       /* INT64_MAX = none */

/* eviction.c: right after core_place found nothing. NULL: room is being made on *ret_node; else why
 * not, as it follows "preemption: ". */
const char *scheduler_preempt(
	struct scheduler *s, struct workload *w, struct arena *a, const char **ret_node);
