/* default_spread.h - how workloads that say nothing of it are spread: over hosts and zones, each
 * among the pods that its services and its controller select. (Kubernetes: "Cluster-level default
 * constraints", the built-in ones.) */
#pragma once

#include "lib/client/informer.h"
#include "server/scheduler/workload.h"

struct default_spread;
/* Before the informers start; destroyed after them. */
struct default_spread *default_spread_create(struct informers *f);
void default_spread_destroy(struct default_spread *d);
/* Right before a workload is placed: services come and go. */
void default_spread_apply(struct default_spread *d, struct workload *w);
