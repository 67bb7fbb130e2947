/* node_health.h - what follows from a node's heartbeats: its conditions' state, its taints, and
 * when a pod must leave. Pure. (Kubernetes: "Nodes", "Taint based Evictions".) */
#pragma once

#include "lib/json/json.h"

#define NODE_GRACE_S 40		/* without a heartbeat: state unknown */
#define NODE_STARTUP_GRACE_S 60 /* before the first one */

enum node_state { NODE_READY, NODE_NOT_READY, NODE_UNKNOWN };
enum node_state node_state(const struct json *node);
/* The conditions of a node that has gone silent: all that the agent keeps become Unknown. The same
 * array when nothing changes. */
struct json *node_conditions_unknown(struct arena *a, const struct json *node, int64_t now_ns);
/* spec.taints as they should be; the same array when nothing changes. `evict`: NoExecute may be
 * added; `drop`: and must not be there at all. */
struct json *node_taints(
	struct arena *a, const struct json *node, bool evict, bool drop, int64_t now_ns);
bool node_has_taint(const struct json *taints, const char *key, const char *effect);

/* Seconds that the toleration allows; INT64_MAX = for ever, -1 = does not tolerate. */
int64_t taint_tolerated_s(const struct json *taint, const struct json *toleration);
/* When a pod must leave its node by the node's NoExecute taints: wall time, INT64_MAX = never. */
int64_t node_eviction_time_ns(
	const struct json *taints, const struct json *tolerations, int64_t now_ns);

/* How fast nodes of a zone may be given up. */
enum zone_state { ZONE_NORMAL, ZONE_PARTIAL, ZONE_FULL };
enum zone_state zone_state(size_t nodes, size_t not_ready);
/* Time between two nodes; INT64_MAX = none may be given up. */
int64_t zone_interval_ns(enum zone_state state, size_t nodes);
