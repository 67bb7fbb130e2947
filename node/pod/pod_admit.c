/* pod_admit.c - see pod_admit.h. */
#include "node/pod/pod_admit.h"

#include <stdio.h>

#include "lib/base/table.h"
#include "lib/object/quantity.h"
#include "lib/object/selector.h"

/* ---- what a pod asks for ---- */

/* names: those that it has already, of which somebody may have written tens of thousands. */
static void add_amount(
	struct pod_ask *ask, struct table *names, const struct json *pod, const char *resource)
{
	if (table_get(names, resource))
		return;
	table_set(names, resource, ask);
	VEC_PUSH(&ask->amounts,
		((struct pod_amount){xstrdup(resource), pod_request(pod, resource)}));
}

static void add_names(struct pod_ask *ask, struct table *names, const struct json *pod,
	const struct json *resources)
{
	JSON_FOR_EACH_MEMBER(m, json_get(resources, "requests"))
		add_amount(ask, names, pod, m->name);
	JSON_FOR_EACH_MEMBER(m, json_get(resources, "limits"))
		add_amount(ask, names, pod, m->name);
}

static void add_ports(struct pod_ask *ask, const struct json *container)
{
	JSON_FOR_EACH_ITEM(p, json_get(container, "ports")) {
		const char *ip = json_str_or(json_get(p, "hostIP"), "");
		struct pod_host_port port = {.port = json_path_int(p, "hostPort", 0)};
		if (port.port <= 0)
			continue;
		snprintf(port.protocol, sizeof(port.protocol), "%s",
			json_str_or(json_get(p, "protocol"), "TCP"));
		port.ip = xstrdup(streq(ip, "0.0.0.0") || streq(ip, "::") ? "" : ip);
		VEC_PUSH(&ask->ports, port);
	}
}

struct pod_ask *pod_ask_make(const struct json *pod)
{
	static const char *const first[] = {"cpu", "memory", "ephemeral-storage"};
	struct pod_ask *ask = xcalloc(1, sizeof(*ask));
	struct table names = TABLE_INIT;
	size_t n = pod_container_count(pod);

	/* In this order a pod is told what it lacks. */
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		add_amount(ask, &names, pod, first[i]);
	for (size_t i = 0; i < n; i++) {
		const struct json *c = pod_container_doc(pod, i);
		add_names(ask, &names, pod, json_get(c, "resources"));
		add_ports(ask, c);
	}
	table_finish(&names);
	ask->priority = json_path_int(pod, "spec.priority", 0);
	ask->qos = pod_qos(pod);
	ask->critical = pod_is_critical(pod);
	return ask;
}

void pod_ask_destroy(struct pod_ask *ask)
{
	if (!ask)
		return;
	for (size_t i = 0; i < ask->amounts.count; i++)
		free(ask->amounts.items[i].resource);
	for (size_t i = 0; i < ask->ports.count; i++)
		free(ask->ports.items[i].ip);
	VEC_FINISH(&ask->amounts);
	VEC_FINISH(&ask->ports);
	free(ask);
}

static int64_t amount_of(const struct pod_ask *ask, const char *resource)
{
	if (streq(resource, "pods"))
		return 1;
	for (size_t i = 0; i < ask->amounts.count; i++) {
		if (streq(ask->amounts.items[i].resource, resource))
			return ask->amounts.items[i].amount;
	}
	return 0;
}

/* ---- room ---- */

struct lack {
	const char *resource;
	int64_t requested, used, capacity;
};

struct room {
	struct arena *a;
	const struct pod_ask *ask;
	const struct pod_resident *others;
	size_t count;
	const struct json *allocatable;
	VEC(struct lack) lacks;
};

static void check_room(struct room *r, const char *resource)
{
	const struct json *has = json_get(r->allocatable, resource);

	/* A resource that the node does not know is somebody else's to watch over. */
	if (!has)
		return;
	struct lack l = {resource, amount_of(r->ask, resource), 0,
		streq(resource, "cpu") ? quantity_json_milli(has, 0) : quantity_json_value(has, 0)};

	if (l.requested <= 0)
		return;
	for (size_t i = 0; i < r->count; i++)
		l.used += amount_of(r->others[i].ask, resource);
	if (l.requested > l.capacity - l.used)
		VEC_PUSH(&r->lacks, l);
}

/* ---- preemption ---- */

static bool may_preempt(const struct pod_ask *by, const struct pod_ask *victim)
{
	return !victim->critical || by->priority > victim->priority;
}

/* How far a pod's leaving is from giving what is lacking: 0 = all of it. */
static double distance(const struct room *r, const int64_t *need, const struct pod_ask *victim)
{
	double d = 0;

	for (size_t i = 0; i < r->lacks.count; i++) {
		double left = (double)(need[i] - amount_of(victim, r->lacks.items[i].resource));
		if (need[i] > 0 && left > 0)
			d += (left / (double)need[i]) * (left / (double)need[i]);
	}
	return d;
}

static bool any_need(const int64_t *need, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (need[i] > 0)
			return true;
	}
	return false;
}

static void give(const struct room *r, int64_t *need, const struct pod_ask *victim)
{
	for (size_t i = 0; i < r->lacks.count; i++)
		need[i] -= amount_of(victim, r->lacks.items[i].resource);
}

static bool asks_less(const struct pod_ask *x, const struct pod_ask *y)
{
	int64_t memory = amount_of(x, "memory") - amount_of(y, "memory");

	return memory < 0 || (memory == 0 && amount_of(x, "cpu") < amount_of(y, "cpu"));
}

/* Of these the nearest to the need, until it is met; equals: the one that asks for least. */
static void choose(const struct room *r, int64_t *need, bool *taken, enum pod_qos qos)
{
	while (any_need(need, r->lacks.count)) {
		size_t best = SIZE_MAX;
		double best_distance = 0;
		for (size_t i = 0; i < r->count; i++) {
			const struct pod_ask *v = r->others[i].ask;
			if (taken[i] || v->qos != qos || !may_preempt(r->ask, v))
				continue;
			double d = distance(r, need, v);
			if (best == SIZE_MAX || d < best_distance ||
				(d == best_distance && asks_less(v, r->others[best].ask))) {
				best = i;
				best_distance = d;
			}
		}
		if (best == SIZE_MAX)
			return;
		taken[best] = true;
		give(r, need, r->others[best].ask);
	}
}

/* As few as can be of the better classes: of each only what all of the lesser ones together could
 * not give. False when even all are not enough; need then says what is still lacking. */
static bool choose_victims(const struct room *r, int64_t *need, bool *taken)
{
	static const enum pod_qos classes[] = {QOS_GUARANTEED, QOS_BURSTABLE, QOS_BEST_EFFORT};

	for (size_t i = 0; i < r->lacks.count; i++) {
		const struct lack *l = &r->lacks.items[i];
		need[i] = l->requested - (l->capacity - l->used);
	}
	int64_t *all = arena_zalloc(r->a, (r->lacks.count + 1) * sizeof(*all));
	memcpy(all, need, r->lacks.count * sizeof(*all));
	for (size_t i = 0; i < r->count; i++) {
		if (may_preempt(r->ask, r->others[i].ask))
			give(r, all, r->others[i].ask);
	}
	if (any_need(all, r->lacks.count)) {
		memcpy(need, all, r->lacks.count * sizeof(*all));
		return false;
	}
	for (size_t k = 0; k < ARRAY_LEN(classes); k++) {
		int64_t *left = arena_zalloc(r->a, (r->lacks.count + 1) * sizeof(*left));
		memcpy(left, need, r->lacks.count * sizeof(*left));
		for (size_t i = 0; i < r->count; i++) {
			const struct pod_ask *v = r->others[i].ask;
			bool lesser = v->qos == QOS_BEST_EFFORT ? classes[k] != QOS_BEST_EFFORT
				      : v->qos == QOS_BURSTABLE ? classes[k] == QOS_GUARANTEED
								: false;
			if (taken[i] || (lesser && may_preempt(r->ask, v)))
				give(r, left, v);
		}
		choose(r, left, taken, classes[k]);
	}
	return true;
}

static void preempt(struct room *r, struct pod_verdict *ret)
{
	int64_t *need = arena_zalloc(r->a, (r->lacks.count + 1) * sizeof(*need));
	bool *taken = arena_zalloc(r->a, r->count + 1);
	_cleanup_(buf_finish) struct buf missing = BUF_INIT;

	if (choose_victims(r, need, taken)) {
		ret->victims = arena_alloc(r->a, (r->count + 1) * sizeof(*ret->victims));
		for (size_t i = 0; i < r->count; i++) {
			if (taken[i])
				ret->victims[ret->victim_count++] = r->others[i].uid;
		}
		ret->admitted = true;
		return;
	}
	for (size_t i = 0; i < r->lacks.count; i++) {
		if (need[i] > 0)
			buf_printf(&missing, "(res: %s, q: %lld), ", r->lacks.items[i].resource,
				(long long)need[i]);
	}
	ret->reason = "UnexpectedAdmissionError";
	ret->message = arena_printf(r->a,
		"Unexpected error while attempting to recover from admission failure: preemption: "
		"error finding a set of pods to preempt: no set of running pods found to reclaim "
		"resources: [%s]",
		missing.data);
}

/* ---- other rules ---- */

static bool node_matches(struct arena *a, const struct object *node, const struct json *pod)
{
	const struct json *spec = json_get(pod, "spec");
	const struct json *required = json_path(spec,
		"affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
		"nodeSelectorTerms");
	struct selector s;

	/* No selector at all would match nothing. */
	if (json_count(json_get(spec, "nodeSelector")) > 0) {
		selector_from_map(a, json_get(spec, "nodeSelector"), &s);
		if (!selector_matches_labels(&s, node->labels, node->label_count))
			return false;
	}
	return selector_node_terms_hold(a, required, node);
}

static bool ports_meet(const struct pod_ask *x, const struct pod_ask *y)
{
	for (size_t i = 0; i < x->ports.count; i++) {
		for (size_t k = 0; k < y->ports.count; k++) {
			const struct pod_host_port *p = &x->ports.items[i];
			const struct pod_host_port *q = &y->ports.items[k];
			if (p->port == q->port && streq(p->protocol, q->protocol) &&
				(!*p->ip || !*q->ip || streq(p->ip, q->ip)))
				return true;
		}
	}
	return false;
}

static bool tolerates_evicting_taints(const struct json *node, const struct json *pod)
{
	JSON_FOR_EACH_ITEM(t, json_path(node, "spec.taints")) {
		if (streq(json_str(json_get(t, "effect")), "NoExecute") &&
			!pod_tolerates(pod, json_str_or(json_get(t, "key"), ""),
				json_str_or(json_get(t, "value"), ""), "NoExecute"))
			return false;
	}
	return true;
}

static const char *failed_rule(struct arena *a, const struct object *node,
	const struct json *node_doc, const struct json *pod, const struct room *r)
{
	if (!node_matches(a, node, pod))
		return "NodeAffinity";
	for (size_t i = 0; i < r->count; i++) {
		if (ports_meet(r->ask, r->others[i].ask))
			return "NodePorts";
	}
	return pod_is_static(pod) || tolerates_evicting_taints(node_doc, pod) ? NULL
									      : "TaintToleration";
}

void pod_admit(struct arena *a, const struct object *node, const struct json *pod,
	const struct pod_ask *ask, const struct pod_resident *others, size_t count,
	struct pod_verdict *ret)
{
	struct room r = {.a = a, .ask = ask, .others = others, .count = count};

	*ret = (struct pod_verdict){.admitted = true};
	if (!node)
		return;
	const struct json *doc = object_doc(node, a);
	r.allocatable = json_path(doc, "status.allocatable");
	check_room(&r, "pods");
	for (size_t i = 0; i < ask->amounts.count; i++)
		check_room(&r, ask->amounts.items[i].resource);
	const char *rule = failed_rule(a, node, doc, pod, &r);
	ret->admitted = r.lacks.count == 0 && !rule;
	/* Room can be made, other rules can't be bent. */
	if (r.lacks.count > 0 && ask->critical && !rule) {
		preempt(&r, ret);
	} else if (r.lacks.count > 0 && !(ask->critical && rule)) {
		const struct lack *l = &r.lacks.items[0];
		ret->reason = arena_printf(a, "OutOf%s", l->resource);
		ret->message = arena_printf(a,
			"Node didn't have enough resource: %s, requested: %lld, used: %lld, "
			"capacity: %lld",
			l->resource, (long long)l->requested, (long long)l->used,
			(long long)l->capacity);
	} else if (rule) {
		ret->reason = rule;
		ret->message = arena_printf(a, "Predicate %s failed", rule);
	}
	VEC_FINISH(&r.lacks);
}
