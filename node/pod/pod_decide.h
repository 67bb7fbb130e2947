/* pod_decide.h - what to do next for one pod: a pure function from what is wanted, what runs, and
 * the time, to actions. The worker (pod_worker.c) keeps the view up to date, carries the actions
 * out and asks again after every change; nothing here knows of the runtime, the API, or the clock.
 *
 * Rules are Kubernetes' (Pod lifecycle): restart policies, back-off 10 s doubling to 300 s and
 * forgotten after 600 s, init containers in order, sidecars (init containers with restartPolicy
 * Always) started in order and stopped last in reverse order. */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/sm.h"

#define POD_BACKOFF_FIRST_NS (10 * NS_PER_S)
#define POD_BACKOFF_MAX_NS (300 * NS_PER_S)
#define POD_BACKOFF_FORGET_NS (600 * NS_PER_S)

/* Doubling delay after failures that follow one another. All zero = no failure yet. */
struct backoff {
	int64_t delay_ns;   /* after the latest failure */
	int64_t updated_ns; /* when it was last raised */
};
/* Time until which something that failed (or ended) at since_ns must wait; 0 when it need not: what
 * went well for POD_BACKOFF_FORGET_NS after the delay was raised begins anew. */
int64_t backoff_until(const struct backoff *b, int64_t since_ns, int64_t now_ns);
void backoff_raise(struct backoff *b, int64_t now_ns);
/* The same, for something that failed at since_ns and is tried again now. */
void backoff_raise_since(struct backoff *b, int64_t since_ns, int64_t now_ns);
/* What the delay must have been, for an agent that finds a container in the runtime: its attempt,
 * when it was created, and when the instance before it was created and ended (0 = not known). */
struct backoff backoff_recall(
	unsigned attempt, int64_t created_ns, int64_t last_created_ns, int64_t last_finished_ns);

enum pod_restart_policy { POD_RESTART_ALWAYS, POD_RESTART_ON_FAILURE, POD_RESTART_NEVER };

enum container_run {
	RUN_NONE,    /* never created */
	RUN_CREATED, /* created, not started */
	RUN_RUNNING,
	RUN_EXITED,
	RUN_UNKNOWN,
};

enum image_state {
	IMAGE_UNKNOWN, /* to be looked for (again) */
	IMAGE_WORKING, /* being looked for or pulled */
	IMAGE_READY,
	IMAGE_FAILED, /* until retry_ns */
};

/* Why a container is taken down. */
enum pod_kill_why {
	KILL_NOT, /* it is well */
	KILL_STOPPING,
	KILL_CHANGED,
	KILL_LIVENESS,
	KILL_STARTUP,
	KILL_POST_START,
	KILL_RESIZED, /* its new resources need a restart */
	KILL_UNKNOWN, /* the runtime does not know its state */
	KILL_NO_SANDBOX,
};

/* One container: init containers come first, then main containers, then ephemeral ones, each in the
 * order of the spec. Ephemeral containers run once, whatever the others do. */
struct container_view {
	bool init, sidecar, ephemeral;
	/* the newest instance */
	enum container_run run;
	bool in_sandbox;   /* it belongs to the present sandbox */
	bool hash_differs; /* it was made from another definition */
	unsigned attempt;  /* 0 = the first instance */
	int exit_code;
	int64_t finished_ns; /* wall clock of the runtime */
	/* the worker's memory */
	bool busy;		/* being created, started, or hooked */
	bool unread;		/* it has ended, and how is not known yet */
	bool killing;		/* a stop is under way ... */
	int64_t kill_by_ns;	/* ... and its grace period ends then */
	int64_t kill_retry_ns;	/* the last stop did not work: not before */
	enum pod_kill_why sick; /* must be killed: LIVENESS, STARTUP, POST_START or RESIZED */
	bool started;		/* the startup probe, if any, has passed */
	enum image_state image;
	int64_t retry_ns; /* image or configuration failed: not before; 0 = at once */
	struct backoff restart;
};

/*
 *            listed                 volumes, references
 *   NEW ----------------> SETUP ------------------------> RUNNING
 *    | terminal, deleted    | deleted                        | done, deadline, deleted
 *    v                      v                                v
 *  STOPPING <----------------------------------------------- +
 *    |  \ nothing runs, sandbox stopped, not deleted
 *    |   +-----------------> FINISHED (waits for deletion; containers stay for their logs)
 *    | the same, deleted        | deleted
 *    v                          |
 *  REMOVING <-------------------+
 *    | containers, sandboxes and volumes are gone
 *    v
 *  CONFIRMING --object gone--> GONE
 */
enum pod_state {
	POD_NEW,
	POD_SETUP,
	POD_RUNNING,
	POD_STOPPING,
	POD_FINISHED,
	POD_REMOVING,
	POD_CONFIRMING,
	POD_GONE,
};
extern const struct sm_class pod_state_class;

enum pod_phase { PHASE_PENDING, PHASE_RUNNING, PHASE_SUCCEEDED, PHASE_FAILED };

struct pod_view {
	enum pod_state state;
	enum pod_restart_policy restart_policy;
	bool listed;   /* what runs is known */
	bool deleting; /* the API wants it gone */
	bool absent;   /* the API has no such object any more */
	bool ended;    /* its phase is Succeeded or Failed for good (in the API, or decided here) */
	int64_t stop_by_ns;  /* when the grace period of the stop in progress ends */
	int64_t deadline_ns; /* activeDeadlineSeconds after the start; 0 = none */
	/* volumes and references */
	bool setup_busy, setup_ready;
	int64_t setup_retry_ns;
	/* the newest sandbox */
	bool sandbox_exists, sandbox_ready, sandbox_busy;
	unsigned sandbox_attempt;
	int64_t sandbox_retry_ns;
	/* leaving */
	bool remove_busy, removed, confirm_busy;
	int64_t remove_retry_ns;

	struct container_view *containers;
	size_t container_count;
};

enum pod_action_type {
	POD_DO_SETUP,
	POD_DO_RUN_SANDBOX,
	POD_DO_STOP_SANDBOX,
	POD_DO_IMAGE, /* make the image present */
	POD_DO_START, /* create and start a new instance */
	POD_DO_KILL,  /* hooks, then stop within grace_s */
	POD_DO_REMOVE,
	POD_DO_CONFIRM,
};

struct pod_action {
	enum pod_action_type type;
	size_t container;      /* index, for IMAGE, START, KILL */
	enum pod_kill_why why; /* for KILL */
	int64_t grace_s;       /* for KILL; -1 = the pod's own */
};

#define POD_CONTAINER_MAX 256 /* of one pod; those with more are refused */

struct pod_decision {
	enum pod_state next;
	bool ended;	      /* all is done or failed for good: see phase and reason */
	enum pod_phase phase; /* valid when ended */
	const char *reason;   /* "DeadlineExceeded" or NULL */
	struct pod_action actions[2 * POD_CONTAINER_MAX + 4];
	size_t action_count;
	size_t held[POD_CONTAINER_MAX]; /* containers that ended and wait for their back-off */
	size_t held_count;
	int64_t wake_ns; /* ask again then even if nothing changes; INT64_MAX = no need */
};

/* One step: at most one move of the state. When `next` differs from v->state the caller moves and
 * asks again. Times are wall-clock nanoseconds. */
void pod_decide(const struct pod_view *v, int64_t now_ns, struct pod_decision *d);

/* One of spec.containers. */
bool container_is_main(const struct container_view *c);
/* It runs, and what goes with its start (the postStart hook) is over. */
bool container_is_up(const struct container_view *c);
/* Whether an exited container would run again under the policy. */
bool container_restarts(const struct pod_view *v, const struct container_view *c);
/* Time until which an exited container must wait before its restart; 0 = it need not. */
int64_t container_wait_until(const struct container_view *c, int64_t now_ns);
/* True when all init containers have done their part in the present sandbox. */
bool pod_initialized(const struct pod_view *v);
/* From what ran and runs, as Kubernetes derives it; not for `ended` pods. */
enum pod_phase pod_phase_compute(const struct pod_view *v);
/* Of a pod whose containers are all down for good. */
enum pod_phase pod_phase_at_end(const struct pod_view *v);
/* True while any container runs, or may. */
bool pod_runs(const struct pod_view *v);
