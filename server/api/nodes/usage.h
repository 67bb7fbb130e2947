/* usage.h - asks all nodes' agents every 15 s what their guests use, for metrics.k8s.io and through
 * it `kubectl top` and the autoscaler. Nodes that are ready and tell a port are asked. */
#pragma once

#include "server/usage/samples.h"

struct api;
struct api_usage;
struct api_usage *api_usage_create(struct api *api);
void api_usage_stop(struct api_usage *u);    /* asks no more; NULL allowed */
void api_usage_destroy(struct api_usage *u); /* NULL allowed */
const struct usage_samples *api_usage_samples(const struct api *api);
