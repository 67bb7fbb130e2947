#include "server/controllers/nodes/node_health.h"

#include "server/controllers/meta.h"

#define NOT_READY "node.kubernetes.io/not-ready"
#define UNREACHABLE "node.kubernetes.io/unreachable"
#define LARGE_ZONE 50

enum node_state node_state(const struct json *node)
{
	const char *status = json_str_or(
		json_get(condition_find(json_path(node, "status.conditions"), "Ready"), "status"),
		"Unknown");
	return streq(status, "True")	? NODE_READY
	       : streq(status, "False") ? NODE_NOT_READY
					: NODE_UNKNOWN;
}

struct json *node_conditions_unknown(struct arena *a, const struct json *node, int64_t now_ns)
{
	static const char *const kept[] = {
		"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
	struct json *conditions = json_path(node, "status.conditions");
	for (size_t n = 0; n < ARRAY_LEN(kept); n++) {
		struct json *old = condition_find(conditions, kept[n]);
		if (streq(json_str(json_get(old, "status")), "Unknown"))
			continue;
		struct condition c = {kept[n], "Unknown", "NodeStatusUnknown",
			"Kubelet stopped posting node status.", false};
		if (!old) {
			c.reason = "NodeStatusNeverUpdated";
			c.message = "Kubelet never posted node status.";
		}
		struct json *heartbeat = json_get(old, "lastHeartbeatTime");
		conditions = condition_set(a, conditions, &c, now_ns);
		json_set(a, condition_find(conditions, kept[n]), "lastHeartbeatTime",
			heartbeat ? heartbeat : meta_time(a, now_ns));
	}
	return conditions;
}

bool node_has_taint(const struct json *taints, const char *key, const char *effect)
{
	JSON_FOR_EACH_ITEM(t, taints)
		if (streq(json_str(json_get(t, "key")), key) &&
			streq(json_str(json_get(t, "effect")), effect))
			return true;
	return false;
}

static struct json *without(
	struct arena *a, struct json *taints, const char *key, const char *effect)
{
	if (!node_has_taint(taints, key, effect))
		return taints;
	struct json *rest = json_new_array(a);
	JSON_FOR_EACH_ITEM(t, taints)
		if (!streq(json_str(json_get(t, "key")), key) ||
			!streq(json_str(json_get(t, "effect")), effect))
			json_push(a, rest, t);
	return rest;
}

static struct json *with(
	struct arena *a, struct json *taints, const char *key, const char *effect, int64_t now_ns)
{
	if (node_has_taint(taints, key, effect))
		return taints;
	struct json *all = json_new_array(a), *taint = json_new_object(a);
	JSON_FOR_EACH_ITEM(t, taints)
		json_push(a, all, t);
	json_set_str(a, taint, "key", key);
	json_set_str(a, taint, "effect", effect);
	json_set(a, taint, "timeAdded", meta_time(a, now_ns));
	json_push(a, all, taint);
	return all;
}

static struct json *set(struct arena *a, struct json *taints, const char *key, const char *effect,
	bool on, int64_t now_ns)
{
	return on ? with(a, taints, key, effect, now_ns) : without(a, taints, key, effect);
}

struct json *node_taints(
	struct arena *a, const struct json *node, bool evict, bool drop, int64_t now_ns)
{
	static const struct {
		const char *condition, *key;
	} pressures[] = {
		{"MemoryPressure", "node.kubernetes.io/memory-pressure"},
		{"DiskPressure", "node.kubernetes.io/disk-pressure"},
		{"PIDPressure", "node.kubernetes.io/pid-pressure"},
		{"NetworkUnavailable", "node.kubernetes.io/network-unavailable"},
	};
	struct json *taints = json_path(node, "spec.taints"),
		    *conditions = json_path(node, "status.conditions");
	enum node_state state = node_state(node);
	taints = set(a, taints, NOT_READY, "NoSchedule", state == NODE_NOT_READY, now_ns);
	taints = set(a, taints, UNREACHABLE, "NoSchedule", state == NODE_UNKNOWN, now_ns);
	/* Evicting: what is there stays while its reason does; what changes its reason is not
	 * slowed down a second time. */
	bool has = node_has_taint(taints, NOT_READY, "NoExecute") ||
		   node_has_taint(taints, UNREACHABLE, "NoExecute");
	bool execute = !drop && (evict || has);
	taints = set(a, taints, NOT_READY, "NoExecute", execute && state == NODE_NOT_READY, now_ns);
	taints = set(a, taints, UNREACHABLE, "NoExecute", execute && state == NODE_UNKNOWN, now_ns);
	for (size_t n = 0; n < ARRAY_LEN(pressures); n++)
		taints = set(a, taints, pressures[n].key, "NoSchedule",
			condition_is(conditions, pressures[n].condition, "True"), now_ns);
	return set(a, taints, "node.kubernetes.io/unschedulable", "NoSchedule",
		json_path_bool(node, "spec.unschedulable", false), now_ns);
}

int64_t taint_tolerated_s(const struct json *taint, const struct json *toleration)
{
	const char *effect = json_str_or(json_get(toleration, "effect"), "");
	const char *key = json_str_or(json_get(toleration, "key"), "");
	bool exists = streq(json_str(json_get(toleration, "operator")), "Exists");
	if (effect[0] && !streq(effect, json_str(json_get(taint, "effect"))))
		return -1;
	if (key[0] ? !streq(key, json_str(json_get(taint, "key"))) : !exists)
		return -1;
	if (!exists && !streq(json_str_or(json_get(toleration, "value"), ""),
			       json_str_or(json_get(taint, "value"), "")))
		return -1;
	const struct json *seconds = json_get(toleration, "tolerationSeconds");
	if (!seconds || json_is(seconds, JSON_NULL))
		return INT64_MAX;
	return MAX(json_int_or(seconds, 0), 0);
}

int64_t node_eviction_time_ns(
	const struct json *taints, const struct json *tolerations, int64_t now_ns)
{
	int64_t at_ns = INT64_MAX;
	JSON_FOR_EACH_ITEM(taint, taints) {
		if (!streq(json_str(json_get(taint, "effect")), "NoExecute"))
			continue;
		int64_t least_s = -1;
		JSON_FOR_EACH_ITEM(toleration, tolerations) {
			int64_t s = taint_tolerated_s(taint, toleration);
			if (s >= 0)
				least_s = least_s < 0 ? s : MIN(least_s, s);
		}
		if (least_s < 0)
			return now_ns;
		int64_t since_ns = meta_time_ns(json_get(taint, "timeAdded"));
		if (!since_ns)
			since_ns = now_ns;
		if (least_s < INT64_C(1) << 32)
			at_ns = MIN(at_ns, since_ns + least_s * NS_PER_S);
	}
	return at_ns;
}

enum zone_state zone_state(size_t nodes, size_t not_ready)
{
	if (not_ready && not_ready == nodes)
		return ZONE_FULL;
	return not_ready > 2 && not_ready * 100 >= nodes * 55 ? ZONE_PARTIAL : ZONE_NORMAL;
}

int64_t zone_interval_ns(enum zone_state state, size_t nodes)
{
	if (state != ZONE_PARTIAL)
		return 10 * NS_PER_S;
	return nodes > LARGE_ZONE ? 100 * NS_PER_S : INT64_MAX;
}
