/* pod_manager.h - the pods of this node: one worker (pod_worker.h) for each Pod whose spec.nodeName
 * is ours, on the container runtime.
 *
 * What runs belongs to the runtime: sandboxes and containers carry the pod's uid and the
 * container's name in labels, so a new agent adopts what it finds; what has no Pod any more is
 * taken down. Destroying the manager leaves everything running. */
#pragma once

#include "lib/object/machine_requests.h"
#include "node/cri/cri.h"
#include "node/node.h"

int pod_manager_create(struct node *n, struct pod_manager **ret, struct err *err) _must_check_;
void pod_manager_destroy(struct pod_manager *m); /* NULL allowed */

/* For the node's server: where a container's stream or log is to be had. */
struct pod_container_at {
	const char *container_id; /* NULL = never created */
	bool running;
	const char *log_path;	       /* on this host; of the newest instance; NULL = none */
	const char *previous_log_path; /* NULL = there was none before */
	const char *waiting_reason;    /* "ContainerCreating", ... when it has no log yet */
	bool tty;
};
/* uid may be NULL. container NULL or "" = the first. -ENOENT with err "pod ... not found" or
 * "container ... not found in pod ...". Strings live in the arena. */
int pod_manager_find(struct pod_manager *m, struct arena *a, const char *ns, const char *pod,
	const char *uid, const char *container, struct pod_container_at *ret,
	struct err *err) _must_check_;
/* The sandbox of a pod; NULL when it has none that is ready. */
const char *pod_manager_sandbox(struct pod_manager *m, const char *ns, const char *pod);
/* Its address, "" when not known yet; NULL as above. */
const char *pod_manager_ip(struct pod_manager *m, const char *ns, const char *pod);
/* PodList of all pods, as bytes. */
void pod_manager_list(struct pod_manager *m, struct buf *out);
/* All pods that the API has for this node are known: pod_manager_walk misses none. */
bool pod_manager_synced(const struct pod_manager *m);
/* All pods here, for what looks at every one: `each` must not end pods. */
struct pod_here {
	struct object *object;
	const char *uid, *dir; /* dir: what the agent keeps for it, DATA/pods/UID */
	bool ended;	       /* Succeeded or Failed, or about to be */
	bool leaving;	       /* being deleted */
	bool stopped;	       /* nothing of it runs */
	bool has_volumes;      /* or they are being made; or nobody knows yet what runs of it */
	int64_t start_ns;      /* wall clock: when the agent took it */
};
void pod_manager_walk(
	struct pod_manager *m, void (*each)(void *user, const struct pod_here *p), void *user);
/* A pod whose object is gone, and that is not walked over, has this directory of the host as a
 * volume, and may run: one that was deleted by force while no agent was there to see it. */
bool pod_manager_left_with(struct pod_manager *m, const char *directory);
/* Ends a pod: phase Failed with this reason and message, and containers are stopped within grace_s
 * (0: at once). False when there is no such pod or it was over before. */
struct pod_end {
	const char *reason, *message;
	const char *event;	/* reason of a Warning about it with the same text; NULL = none */
	const char *disruption; /* message of a condition DisruptionTarget; NULL = none */
	int64_t grace_s;	/* -1 = the pod's own */
};
bool pod_manager_end(struct pod_manager *m, const char *uid, const struct pod_end *e);
/* Of what was ended for this reason, static pods are made anew: nobody else would. */
void pod_manager_again(struct pod_manager *m, const char *reason);
/* prober_probe_total in Prometheus' text form: how the probes of all containers here went. */
void pod_manager_probe_metrics(struct pod_manager *m, struct buf *out);
/* All images that the runtime has: what was noted of others is forgotten. */
void pod_manager_images_seen(struct pod_manager *m, const Cri__ListImagesResponse *list);
/* Removes what is left of pods that are over: containers, volumes, logs; their status stays. done
 * is called later, once; not when the manager is destroyed meanwhile. */
void pod_manager_clear_finished(struct pod_manager *m, void (*done)(void *user), void *user);
/* Asked before anything of a new pod runs: false refuses it, with a reason and a message (in the
 * arena or constant). */
typedef bool pod_check(void *user, struct arena *a, const struct json *pod, const char **ret_reason,
	const char **ret_message);
void pod_manager_add_check(struct pod_manager *m, pod_check *check, void *user);
/* Machines of this node take room, too. */
typedef size_t machine_list(struct node *n, struct arena *a, struct machine_request **ret);
void pod_manager_count_machines(struct pod_manager *m, machine_list *machines);
struct cri *pod_manager_cri(struct pod_manager *m);
/* The runtime can't be asked: node_report() has been told. */
bool pod_manager_runtime_ready(const struct pod_manager *m);
const char *pod_manager_runtime_version(const struct pod_manager *m); /* "containerd://1.6.20" */
