/* pod_index.h - the workloads on nodes by the value of a label, for those labels that selectors ask
 * for: made for a label at its first use, kept up from then on. */
#pragma once

#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "server/scheduler/workload.h"

struct assigned;
struct snapshot;

struct pod_list {
	VEC(struct assigned *) pods;
};

struct pod_index {
	struct table labels; /* key -> what is known of it */
};

void pod_index_finish(struct pod_index *x);
/* A workload comes (1) or goes (-1). */
void pod_index_account(struct pod_index *x, struct assigned *as, int sign);
/* Those in this namespace that have the label with this value; NULL = none. */
const struct pod_list *pod_index_get(
	struct snapshot *s, const char *ns, const char *label, const char *value);
