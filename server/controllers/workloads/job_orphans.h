/* job_orphans.h - the finalizer of a job's pods outlives neither the job nor its end: pods that no
 * job counts any more let go of it. */
#pragma once

#include "server/controllers/controller.h"

struct job_orphans;
struct job_orphans *job_orphans_create(
	struct shared *sh, struct informer *jobs, struct informer *pods);
void job_orphans_start(struct job_orphans *o);
void job_orphans_destroy(struct job_orphans *o);
/* A pod that may be one. */
void job_orphans_consider(struct job_orphans *o, const struct object *pod);
/* All pods of a job that is over or gone. */
void job_orphans_of(struct job_orphans *o, const struct object *job);

/* Takes the finalizer off. */
struct json *job_untracking_patch(struct arena *a, const struct object *pod);
/* spec.managedBy names no other controller. */
bool job_is_ours(const struct json *job);
