/* job_pods.h - the pods that a job makes. Pure. */
#pragma once

#include "lib/object/object.h"
#include "server/controllers/workloads/job_plan.h"

/* index < 0: without one. replaced: the failed pod of the same index before; NULL = none. */
struct json *job_pod_new(const struct job_pass *p, const struct object *job, int64_t index,
	const struct job_pod *replaced);
