/* placement_defaults.h - what a criticality means for how replicas run: for the parts of an
 * Application, and for workloads of others that are annotated hanok.io/criticality. */
#pragma once

#include "lib/placement/placement.h"

#define PLACEMENT_ANNOTATION_CRITICALITY "hanok.io/criticality"

/* The priority class, which every cluster has from its beginning; NULL = the cluster's default. */
const char *placement_priority_class(const char *criticality);
/* An affinity: preferably not on a node that runs another replica with these labels. */
struct json *placement_spread(struct arena *a, const struct json *match_labels);
