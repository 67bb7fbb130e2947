/* pod_internal.h - what the files of this folder share: the worker and the manager from inside.
 *
 *   pod_manager.c   which pods there are; lists of what runs; orphans
 *   pod_worker.c    one pod: keeps the view, decides, publishes the status
 *   pod_ops.c       actions are operations: chains of calls to the runtime, volumes and API;
 *                   sandboxes
 *   pod_volumes.c   operations that bring volumes up, to date, and away
 *   pod_start.c     operations that bring containers up
 *   pod_leave.c     operations that take containers and pods down
 *   pod_image.c     the action that makes an image present
 *   pod_probe.c     liveness, readiness, startup
 *   pod_hook.c      postStart and preStop
 *   pod_admission.c whether a new pod fits the node
 *   pod_gc.c        what the runtime keeps of them and nobody needs
 *   pod_end.c       pods that the node ends, not they themselves
 *   pod_stop_time.c until when it has to have stopped, remembered
 *   pod_finished.c  what ends with a pod that is over, before it is deleted
 *   pod_resize.c    resources that change while containers run
 *   pod_runtime.c   what the container runtime can do
 *   pod_sandbox.c   what a sandbox is made of, and the steps before it
 *   pod_files.c     growing logs, left-over directories */
#pragma once

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/net/address.h"
#include "node/net/ports.h"
#include "lib/http/tls.h"
#include "node/image/image_puller.h"
#include "node/pod/pod_config.h"
#include "node/pod/pod_manager.h"
#include "node/pod/pod_refs.h"
#include "node/pod/pod_status.h"
#include "node/volume/file_work.h"

struct pod_worker;
struct pod_op;
struct pod_probe;
struct pod_hook;
struct pod_ask;

/* Host facts that containers are told and sized by. */
struct pod_manager {
	struct node *n;
	struct cri *cri;
	struct informer *pods, *services;
	struct ref_watches *watches;
	struct table workers; /* uid -> struct pod_worker */
	struct static_pods *statics;
	void (*worker_gone)(struct pod_manager *m, const char *uid); /* NULL = nobody asks */
	const struct kind *pod_kind;

	/* relist */
	struct wakeup *relist, *rotate, *sweep;
	struct grpc_call *list_sandboxes, *list_containers, *version, *watch;
	Cri__ListPodSandboxResponse *sandboxes; /* copy kept until the containers are in */
	struct arena list_arena;
	int64_t relist_due_ns;	 /* while relist is armed; monotonic */
	int64_t list_started_ns; /* monotonic */
	int64_t end_seen_ns;	 /* likewise, the first that no list has shown yet; 0 = none */
	bool relist_again;	 /* something happened while listing */
	bool relist_later;	 /* something started while listing */
	bool watching;		 /* the runtime tells us of changes */
	bool no_watch;		 /* it can't */
	bool runtime_up, ever_listed;
	struct pod_runtime {
		bool known, driver_told, systemd, supplemental_groups_policy;
		VEC(char *) user_namespaces; /* handlers that can; "" = the default */
		struct grpc_call *call;
		void (*done)(struct pod_manager *m, const char *failure);
	} runtime;
	char *runtime_version;
	struct list orphan_ops;
	void (*worker_ended)(struct pod_manager *m, const struct object *pod);
	struct list clearances; /* pod_gc.c */
	VEC(struct pod_manager_check {
		pod_check *check;
		void *user;
	})
	checks;
	SSL_CTX *probe_tls; /* for HTTPS probes; NULL = none was yet */
	struct image_puller *puller;
	machine_list *machines;	     /* NULL = there are none */
	struct log_tending *tending; /* pod_files.c: under way */
	struct list log_reopens;
};

struct pod_worker {
	struct pod_manager *m;
	int64_t seen_ns;       /* monotonic: when the agent first knew of it */
	bool is_static;	       /* from a file, not from the API */
	struct object *mirror; /* of a static pod, in the API; NULL = none known */
	struct node *n;
	struct object *pod; /* the newest known */
	char *uid, *ns, *name, *dir;
	struct sm sm;
	struct pod_view view;
	struct pod_container *containers; /* view.container_count of them, like view.containers */
	struct backoff *pulls;		  /* by container */
	struct pod_probe **probes;	  /* three a container: liveness, readiness, startup */
	char *sandbox_id;
	char *runtime_handler;	      /* of the pod's runtime class; NULL = the default */
	char pod_ip[64], pod_ip6[64]; /* the second is of the other family, "" = none */
	struct list ops;	      /* under way */
	struct wakeup *wake;
	bool dirty;		    /* wake was asked for a decision as soon as possible */
	int64_t start_ns;	    /* wall clock */
	int64_t sandbox_touched_ns; /* monotonic: lists begun before know less than we do */
	int64_t *touched_ns;	    /* the same, by container */
	bool sandbox_unread; /* PodSandboxStatus could not be had: ask again at the next list */
	struct pod_tokens *tokens;
	int64_t refresh_ns; /* volumes: next look at their contents, monotonic; 0 = never */
	unsigned refresh_failures;
	bool refs_changed; /* while they were being set up, or brought up to date */
	bool has_downward; /* volumes show what the pod's own object says */
	struct backoff sandbox_backoff, remove_backoff;
	enum pod_phase ended_phase;
	char *ended_reason, *ended_message;
	struct pod_ask *ask;	/* what it asks for; NULL until somebody wanted to know */
	bool admitted, refused; /* by the node; neither = not asked yet */
	char *disruption;	/* message of the condition DisruptionTarget; NULL = none */
	struct resize_state resize;
	bool resize_look;	 /* the spec, or what stands in the way, may have changed */
	int64_t resize_retry_ns; /* monotonic */
	struct client_call *patch;
	bool patch_again;
	int64_t patch_retry_ns; /* monotonic */
	/* The latest patch, and the revision that the object had after it: a server that leaves out
	 * what it does not know is not told the same again. */
	uint64_t patch_hash, patched_revision;
	bool applied; /* a list of what runs has been seen */
	struct pod_finished {
		bool volumes_gone, busy;
		int64_t retry_ns, delay_ns; /* monotonic; after a removal that failed */
	} finished;
	unsigned setup_failures;
	struct {
		unsigned now;		   /* images that are being pulled */
		int64_t since_ns, took_ns; /* monotonic; in which at least one was */
	} pulling;
	int64_t stop_by_noted_ns;  /* that the next agent will know */
	int64_t stop_by_recall_ns; /* that an earlier agent noted; INT64_MAX = none did */
};

static inline int64_t wall(struct node *n)
{
	return n->clock->wall_ns(n->clock);
}

static inline int64_t mono(struct node *n)
{
	return n->clock->mono_ns(n->clock);
}

/* pod_manager.c: its containers are being taken down because it has no object. */
bool pod_manager_is_orphan(struct pod_manager *m, const char *uid);

/* The manager's second source of pods, beside the API. A pod with a uid that is known is changed.
 */
void pod_manager_offer(struct pod_manager *m, struct object *pod);
void pod_manager_set_mirror(struct pod_manager *m, const char *uid, struct object *mirror);

/* pod_worker.c */
void pod_worker_set_mirror(struct pod_worker *w, struct object *mirror); /* NULL = gone */
struct pod_worker *pod_worker_create(struct pod_manager *m, struct object *pod);
void pod_worker_destroy(struct pod_worker *w);
/* new NULL = the object is gone. */
void pod_worker_changed(struct pod_worker *w, struct object *new);
/* Decide again soon (never inside the call). */
void pod_worker_poke(struct pod_worker *w);
void pod_worker_event(struct pod_worker *w, long container, const char *type, const char *reason,
	const char *fmt, ...) _printf_(5, 6);
/* pod_admission.c: before anything of it runs; a refused pod is over. */
void pod_worker_admit(struct pod_worker *w);
/* pod_end.c: the pod is over and Failed, whatever its containers do; they are stopped. False when
 * it was over before. */
bool pod_worker_end(struct pod_worker *w, const struct pod_end *e);
/* What the runtime has of this pod, newest knowledge. */
void pod_worker_apply(struct pod_worker *w, Cri__PodSandbox **sandboxes, size_t sandbox_count,
	Cri__Container **containers, size_t container_count, int64_t list_started_ns);
/* True while something is on its way, so that the runtime should be looked at more often. */
bool pod_worker_busy(const struct pod_worker *w);
/* The instance's state goes into the view. */
void pod_worker_show(struct pod_worker *w, size_t i);
void pod_worker_show_all(struct pod_worker *w);

/* Each begins an operation that ends by changing the view and pod_worker_poke(). */
void pod_op_setup(struct pod_worker *w);
void pod_op_refresh(struct pod_worker *w); /* contents of volumes */
void pod_op_run_sandbox(struct pod_worker *w);
void pod_op_stop_sandbox(struct pod_worker *w);
void pod_op_image(struct pod_worker *w, size_t container);
void pod_op_start(struct pod_worker *w, size_t container);
void pod_op_kill(struct pod_worker *w, size_t container, enum pod_kill_why why, int64_t grace_s);
void pod_op_remove(struct pod_worker *w);
void pod_op_confirm(struct pod_worker *w);
void pod_op_detail(struct pod_worker *w, size_t container); /* reads ContainerStatus of cur */
void pod_tell_held(struct pod_worker *w, size_t container); /* BackOff, once for an instance */
void pod_op_remove_dead(struct pod_worker *w, size_t container, const char *id);
void pod_op_sandbox_detail(struct pod_worker *w);
void pod_ops_cancel(struct pod_worker *w);
/* The pod is to stop: what still brings containers up (a pull, a hook) is given up. */
void pod_ops_give_up(struct pod_worker *w);

/* One operation under way. */
struct pod_op {
	struct list link; /* in the worker */
	struct pod_worker *w;
	size_t container;
	const char *what; /* "start container", for traces */
	/* at most one of these at a time */
	struct grpc_call *grpc;
	struct pod_refs_fetch *fetch;
	struct client_call *client;
	struct pod_hook *hook;
	struct resources_call *cgroup;
	struct wakeup *timer;
	struct image_pull_wait *pull;
	struct policy_admission *admission;
	struct file_job *job;
	/* operation's own */
	struct net_address addresses[4]; /* of the sandbox; then goes on here: */
	struct net_port port;		 /* likewise; no name: it is not known */
	size_t address_count;
	unsigned address_tries; /* without one */
	void (*network_known)(struct pod_op *op);
	struct pod_refs *refs;
	char *id; /* container, sandbox or image */
	char *image_user;
	enum pod_kill_why why;
	int64_t grace_s, started_ns, pull_ns, image_uid;
	unsigned attempt;		  /* of the container that is being made */
	struct container_amounts amounts; /* that it gets */
	VEC(char *) queue;		  /* ids still to be removed: containers, then sandboxes */
	size_t container_ids;		  /* how many of them are containers */
	bool pulled;
};
/* "10.244.0.2,fd00:10:244::2": as the downward API has both. */
const char *pod_worker_ips(struct arena *a, const char *one, const char *two);
struct pod_op *pod_op_new(struct pod_worker *w, size_t container, const char *what);
void pod_op_end(struct pod_op *op); /* frees; pokes the worker */
int pod_file_write(const char *path, const char *text, unsigned mode, struct err *err) _must_check_;
/* Copies what the runtime says of a container; reads its termination message. */
void pod_instance_fill(
	struct pod_worker *w, size_t container, struct instance *to, const Cri__ContainerStatus *s);
const struct json *pod_worker_doc(struct pod_worker *w, struct arena *a);

/* pod_stop_time.c: once in each step of the worker; what an earlier agent noted. */
void pod_stop_time_note(struct pod_worker *w);
int64_t pod_stop_time_recall(const struct pod_worker *w);
/* pod_finished.c: once in each step of the worker; how long until it wants another one. */
int64_t pod_finished_step(struct pod_worker *w);

/* pod_resize.c: once in each step of the worker. */
void pod_resize_step(struct pod_worker *w);
/* The pod with the resources that its containers may have, not those that somebody wishes. */
const struct json *pod_resize_pod(struct pod_worker *w, struct arena *a);
/* A container was created with what pod_resize_doc() said. */
void pod_resize_created(struct pod_worker *w, size_t container);
/* The container's definition with the resources that it may have now. */
const struct json *pod_resize_doc(
	struct pod_worker *w, struct arena *a, const struct json *pod, size_t container);
/* pod_runtime.c: asks; failure NULL = m->runtime is known now. */
void pod_runtime_ask(
	struct pod_manager *m, void (*done)(struct pod_manager *m, const char *failure));
void pod_runtime_finish(struct pod_runtime *r);
bool pod_runtime_has_user_namespaces(const struct pod_runtime *r, const char *handler);
/* True when containerd's configuration says that it makes its groups through systemd. */
bool pod_runtime_info_systemd(struct arena *a, const char *config);

/* pod_sandbox.c: of admission, whether a pod asks for what this node can't give. */
bool pod_sandbox_check(void *user, struct arena *a, const struct json *pod, const char **ret_reason,
	const char **ret_message);
void pod_worker_security(struct pod_worker *w, struct arena *a, struct security_rules *ret);
Cri__PodSandboxConfig *pod_worker_sandbox_config(struct pod_worker *w, struct arena *a);
void pod_worker_write_hosts(struct pod_worker *w, const char *const *ips, size_t count);
/* The steps up to RunPodSandbox, whose answer goes to pod_sandbox_on_run. */
void pod_sandbox_run(struct pod_op *op);
/* pod_ops.c */
void pod_sandbox_on_run(void *user, const struct grpc_result *r);
void pod_sandbox_failed(struct pod_op *op, const char *text); /* ends it */

/* pod_running.c: for /metrics. */
void pod_count_started(struct pod_worker *w, size_t container, bool ok);
void pod_count_operation(const struct pod_op *op);
void pod_count_pull(struct pod_worker *w, bool begins);

/* pod_network.c: waits until network policies have the sandbox's addresses, then calls `then`;
 * false: there is nothing to wait for. */
/* The pod must have an address, and the runtime told none; something will start in it: ask again.
 */
bool pod_network_missing(struct pod_op *op, const Cri__PodSandboxStatus *s);
bool pod_network_wait(
	struct pod_op *op, const Cri__PodSandboxStatus *s, void (*then)(struct pod_op *op));
void pod_network_cancel(struct pod_op *op);
void pod_network_ended(struct pod_worker *w); /* nothing of the pod is left */

/* pod_image.c */
void pod_image_check(struct pod_op *op); /* the whole operation */

/* pod_hook.c: exec, httpGet, tcpSocket or sleep of a lifecycle handler. done is called later, once;
 * err NULL = it succeeded. */
struct pod_hook *pod_hook_run(struct pod_worker *w, size_t container, const struct json *handler,
	int64_t timeout_ms, void (*done)(void *user, const struct err *err), void *user);
void pod_hook_cancel(struct pod_hook *h);
/* A port of a container: number, or name of one of its ports. -1 = unknown. */
int pod_port_number(const struct json *container, const struct json *port);

/* pod_probe.c */
/* After the container started, or was seen to run: tells what probes could not ask of it. */
void pod_probes_start(struct pod_worker *w, size_t container);
void pod_probes_stop(struct pod_worker *w, size_t container);
/* The container is to end: it need not be alive any more, but whether it is ready still counts. */
void pod_probes_leave(struct pod_worker *w, size_t container);
