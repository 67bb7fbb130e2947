/* pod_model.h - what the agent knows of one pod's containers beyond the decision's view: instances
 * as the runtime reports them, and why something waits. Heap memory, freed by pod_container_finish.
 */
#pragma once

#include "lib/json/json.h"
#include "node/pod/pod_decide.h"
#include "node/pod/resize.h"
#include "node/resources/qos.h"

/* One container of the runtime. Strings are NULL until known. */
struct instance {
	char *id, *sandbox_id;
	unsigned attempt;
	uint64_t hash;
	enum container_run run;
	int64_t created_ns, started_ns, finished_ns;
	int exit_code;
	char *reason, *message; /* of its end */
	char *image, *image_ref;
	bool detailed;	 /* ContainerStatus was read for this `run` */
	bool log_linked; /* in /var/log/containers */
};

enum probe_kind { PROBE_LIVENESS, PROBE_READINESS, PROBE_STARTUP, PROBE_KINDS };
enum probe_outcome { PROBE_SUCCESSFUL, PROBE_FAILED, PROBE_UNKNOWN, PROBE_OUTCOMES };

struct pod_container {
	char *name;
	struct instance cur;		  /* the newest; id NULL = none */
	struct instance last;		  /* the newest that ended before it; id NULL = none */
	char *wait_reason, *wait_message; /* why it does not run; NULL = nothing special */
	char *held_id;			  /* the instance whose back-off has been told */
	int64_t wait_show_ns;		  /* until then it is shown rather than the back-off */
	bool ready;			  /* as last computed by readiness */
	bool has_readiness, has_startup;
	bool probe_ready;				     /* readiness probe's latest verdict */
	uint32_t probe_results[PROBE_KINDS][PROBE_OUTCOMES]; /* how often, since the agent began */
	struct probe_times *probe_times[PROBE_KINDS];	     /* how long they took; NULL = none */
	bool amounts_known;				     /* the next two are */
	struct container_amounts allocated, actual;	     /* allowed, and in force */
	unsigned logs_from; /* logs of instances before this one have been removed */
	int64_t image_uid;  /* user of the image; -1 = not known as a number */
	char *image_user;   /* its name; NULL = none */
};

void instance_finish(struct instance *i);
void pod_container_finish(struct pod_container *c);
/* reason NULL clears. */
void pod_container_wait(struct pod_container *c, const char *reason, const char *fmt, ...)
	_printf_(3, 4);

/* Identity of a container's definition: a running container of another one is replaced. Only what
 * the API lets change counts: the image. */
uint64_t container_hash(const struct json *container);
/* A number of seconds that somebody wrote, 0 to ten years, so that it can be counted in
 * nanoseconds. */
int64_t pod_seconds(const struct json *o, const char *path, int64_t fallback);
/* Containers in the decision's order: init containers, then the others, then ephemeral ones. NULL
 * past the end. */
const struct json *pod_container_doc(const struct json *pod, size_t i);
/* NULL when none has the name. */
const struct json *pod_container_doc_named(const struct json *pod, const char *name);
/* What the object's status says of a container; NULL = nothing. */
const struct json *pod_container_status(const struct json *pod, const char *name);
/* Init and main containers: what the pod was made with; at most POD_CONTAINER_MAX. */
size_t pod_container_count(const struct json *pod);
/* With the ephemeral ones. */
size_t pod_container_total(const struct json *pod);
