/* pressure_decide.c - see pressure_decide.h. */
#include "node/pressure/pressure_decide.h"

#include "lib/base/clock.h"
#include "lib/object/quantity.h"
#include "node/pod/pod_model.h"
#include "node/pod/pod_resources.h"

enum { HARD_GRACE_S = 1 };

const char *pressure_condition_name(enum pressure_condition c)
{
	static const char *const names[] = {
		[PRESSURE_MEMORY] = "MemoryPressure",
		[PRESSURE_DISK] = "DiskPressure",
		[PRESSURE_PID] = "PIDPressure",
	};
	return names[c];
}

const char *pressure_resource_name(enum pressure_resource r)
{
	static const char *const names[] = {
		[RES_MEMORY] = "memory",
		[RES_STORAGE] = "ephemeral-storage",
		[RES_INODES] = "inodes",
		[RES_PIDS] = "pids",
	};
	return names[r];
}

enum pressure_resource pressure_resource_of(enum node_signal s)
{
	switch (s) {
	case SIGNAL_MEMORY_AVAILABLE:
		return RES_MEMORY;
	case SIGNAL_NODEFS_AVAILABLE:
	case SIGNAL_IMAGEFS_AVAILABLE:
		return RES_STORAGE;
	case SIGNAL_NODEFS_INODES_FREE:
	case SIGNAL_IMAGEFS_INODES_FREE:
		return RES_INODES;
	case SIGNAL_PID_AVAILABLE:
	case SIGNAL_COUNT:
		break;
	}
	return RES_PIDS;
}

enum pressure_condition pressure_of_signal(enum node_signal s)
{
	switch (pressure_resource_of(s)) {
	case RES_MEMORY:
		return PRESSURE_MEMORY;
	case RES_STORAGE:
	case RES_INODES:
		return PRESSURE_DISK;
	case RES_PIDS:
	case RES_COUNT:
		break;
	}
	return PRESSURE_PID;
}

static void mark(struct pressure_mark *m, const struct node_threshold *t,
	const struct signal_value *v, int64_t now_ns)
{
	int64_t below = node_amount_of(&t->below, v->capacity);

	/* Once met, it is over only when the reclaim is there as well. */
	if (m->met)
		below += node_amount_of(&t->min_reclaim, v->capacity);
	bool met = t->set && v->known && v->available < below;
	if (met && !m->met)
		m->since_ns = now_ns;
	m->met = met;
}

static void consider(struct pressure_due *due, const struct node_threshold *t, enum node_signal s,
	const struct signal_value *v, bool hard)
{
	if (due->any)
		return;
	*due = (struct pressure_due){
		.any = true,
		.hard = hard,
		.signal = s,
		.threshold = node_amount_of(&t->below, v->capacity),
		.available = v->available,
	};
}

void pressure_observe(const struct node_config *config, struct pressure_state *state,
	const struct signals *now, int64_t now_ns, struct pressure_due *due)
{
	*due = (struct pressure_due){0};
	for (enum node_signal s = 0; s < SIGNAL_COUNT; s++) {
		enum pressure_condition c = pressure_of_signal(s);
		mark(&state->hard[s], &config->eviction_hard[s], &now->of[s], now_ns);
		mark(&state->soft[s], &config->eviction_soft[s], &now->of[s], now_ns);
		if (state->hard[s].met || state->soft[s].met) {
			state->seen[c] = true;
			state->seen_ns[c] = now_ns;
		}
	}
	for (enum pressure_condition c = 0; c < PRESSURE_COUNT; c++)
		state->condition[c] =
			state->seen[c] &&
			(state->seen_ns[c] == now_ns ||
				now_ns - state->seen_ns[c] <
					config->eviction_pressure_transition_ms * NS_PER_MS);
	/* The signal of memory is the first of them. */
	for (enum node_signal s = 0; s < SIGNAL_COUNT; s++) {
		const struct node_threshold *soft = &config->eviction_soft[s];
		if (state->hard[s].met)
			consider(due, &config->eviction_hard[s], s, &now->of[s], true);
		if (state->soft[s].met &&
			now_ns - state->soft[s].since_ns >= soft->grace_ms * NS_PER_MS)
			consider(due, soft, s, &now->of[s], false);
	}
}

/* ---- who goes first ---- */

/* qsort has no place for an argument. */
struct ranked {
	struct pod_load load;
	enum pressure_resource by;
	size_t at; /* equals keep their order */
};

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int by_rank(const void *x, const void *y)
{
	const struct ranked *rx = x, *ry = y;
	const struct pod_load *a = &rx->load, *b = &ry->load;
	enum pressure_resource r = rx->by;
	int c = 0;

	/* Nobody knows what these use: they are thought the worst of. */
	if (a->known != b->known)
		c = a->known ? 1 : -1;
	if (!c && a->known && r != RES_PIDS)
		c = compare(b->usage[r] > b->request[r], a->usage[r] > a->request[r]);
	if (!c)
		c = compare(a->priority, b->priority);
	if (!c && a->known)
		c = compare(b->usage[r] - b->request[r], a->usage[r] - a->request[r]);
	return c ? c : compare((int64_t)rx->at, (int64_t)ry->at);
}

void pressure_rank(struct pod_load *pods, size_t count, enum pressure_resource r)
{
	struct ranked *all = xcalloc(count + 1, sizeof(*all));

	for (size_t i = 0; i < count; i++)
		all[i] = (struct ranked){pods[i], r, i};
	if (count > 1)
		qsort(all, count, sizeof(*all), by_rank);
	for (size_t i = 0; i < count; i++)
		pods[i] = all[i].load;
	free(all);
}

/* ---- words ---- */

static char *amount_text(struct arena *a, int64_t n)
{
	return quantity_text(a, (struct quantity){(__int128)n * 1000000000}, true);
}

char *pressure_message(struct arena *a, const struct pressure_due *due, const struct json *pod,
	const struct container_load *containers, size_t count)
{
	const char *resource = pressure_resource_name(pressure_resource_of(due->signal));
	_cleanup_(buf_finish) struct buf b = BUF_INIT;

	buf_printf(&b, "The node was low on resource: %s. ", resource);
	buf_printf(&b, "Threshold quantity: %s, available: %s. ", amount_text(a, due->threshold),
		amount_text(a, due->available));
	for (size_t i = 0; i < count; i++) {
		const struct json *c = pod_container_doc_named(pod, containers[i].name);
		const struct json *request = json_get(json_path(c, "resources.requests"), resource);
		if (!c || containers[i].usage <= quantity_json_value(request, 0))
			continue;
		buf_printf(&b,
			"Container %s was using %s, request is %s, has larger consumption of %s. ",
			containers[i].name, amount_text(a, containers[i].usage),
			json_str(request) ? json_str(request) : "0", resource);
	}
	return arena_strdup(a, b.data);
}

int64_t pressure_grace_s(const struct node_config *config, bool hard, const struct json *pod)
{
	int64_t own = pod_seconds(pod, "spec.terminationGracePeriodSeconds", 30);

	return hard ? HARD_GRACE_S : MIN(config->eviction_max_pod_grace_s, own);
}

bool pressure_admits(struct arena *a, const bool condition[PRESSURE_COUNT], const struct json *pod,
	const char **ret_message)
{
	_cleanup_(buf_finish) struct buf names = BUF_INIT;

	for (enum pressure_condition c = 0; c < PRESSURE_COUNT; c++) {
		if (condition[c])
			buf_printf(
				&names, "%s%s", names.size ? " " : "", pressure_condition_name(c));
	}
	if (!names.size || pod_is_critical(pod))
		return true;
	/* Short memory is no reason against pods that said how much they need. */
	if (streq(names.data, "MemoryPressure") &&
		(pod_qos(pod) != QOS_BEST_EFFORT ||
			pod_tolerates(pod, "node.kubernetes.io/memory-pressure", "", "NoSchedule")))
		return true;
	*ret_message = arena_printf(a, "The node had condition: [%s]. ", names.data);
	return false;
}
