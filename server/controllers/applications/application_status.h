/* application_status.h - the status of an Application from what a pass of its loop has found. Pure.
 */
#pragma once

#include "server/controllers/applications/application_plan.h"
#include "server/controllers/controller.h"

struct application_findings {
	const struct object *object;
	const struct json *doc;
	const struct placement_decision *decision;
	const struct application_view *view;
	const struct application_plan *plan;
	/* Why the target is not the decision's: "Fixed", "Recommended", "WeightsInvalid"; NULL = it
	 * is. */
	const char *stays;
	const struct placement_constraint *excluded;  /* of the side where it stays; NULL = none */
	const struct json *weight_problems;	      /* texts; NULL = none */
	const char *failure_reason, *failure_message; /* of a write, or a name that is taken; NULL =
							 none */
	const char *waits_for; /* what the replicas that are missing say; NULL = nothing */
};
/* *ret_again_ms: look again after this; < 0 = no need. */
struct json *application_status(struct arena *a, const struct application_findings *f,
	int64_t now_ns, int64_t *ret_again_ms);
