#include "server/controllers/workloads/daemon_set_plan.h"

#include "server/controllers/meta.h"

struct daemon_limits daemon_limits(
	int64_t desired, const struct json *max_surge, const struct json *max_unavailable)
{
	struct daemon_limits l = {
		.surge = count_or_part(max_surge, desired, true),
		.unavailable = max_unavailable ? count_or_part(max_unavailable, desired, true) : 1,
	};
	if (!l.surge && !l.unavailable)
		l.unavailable = 1;
	return l;
}

/* Bound ones first, then the oldest. */
static int compare_pods(const void *pa, const void *pb)
{
	const struct daemon_pod *a = pa, *b = pb;
	if (a->scheduled != b->scheduled)
		return a->scheduled ? -1 : 1;
	if (a->created_ns != b->created_ns)
		return a->created_ns < b->created_ns ? -1 : 1;
	return strcmp(a->object->name, b->object->name);
}

struct actions {
	struct daemon_action *items;
	size_t count;
};

static struct actions actions_new(struct arena *a, const struct daemon_node *nodes, size_t count)
{
	size_t room = count;
	for (size_t n = 0; n < count; n++)
		room += nodes[n].count;
	return (struct actions){.items = arena_alloc(a, (room + 1) * sizeof(struct daemon_action))};
}

static struct daemon_action *add(
	struct actions *all, const struct daemon_node *node, const struct daemon_pod *pod)
{
	struct daemon_action *act = &all->items[all->count++];
	*act = (struct daemon_action){.what = pod ? DAEMON_DELETE : DAEMON_CREATE, .node = node};
	if (pod)
		act->pod = pod->object;
	return act;
}

/* With surging: the oldest new pod and the oldest old one, until the new one is available or the
 * old one is of no use. */
static void keep_two(struct actions *all, const struct daemon_node *node,
	const struct daemon_pod *const *live, size_t count)
{
	const struct daemon_pod *fresh = NULL, *old = NULL;
	for (size_t n = 0; n < count; n++) {
		const struct daemon_pod **place = live[n]->updated ? &fresh : &old;
		if (!*place)
			*place = live[n];
		else
			add(all, node, live[n]);
	}
	if (fresh && old && (!old->ready || fresh->available))
		add(all, node, old);
}

static void manage_node(
	struct arena *a, struct actions *all, const struct daemon_node *node, bool surge)
{
	const struct daemon_pod **live = arena_alloc(a, (node->count + 1) * sizeof(*live));
	size_t count = 0;
	for (size_t n = 0; n < node->count; n++) {
		const struct daemon_pod *pod = &node->pods[n];
		if (pod->deleting)
			continue;
		if (pod->failed) {
			if (!node->backs_off)
				add(all, node, pod)->why = DAEMON_FAILED;
		} else if (pod->succeeded) {
			add(all, node, pod)->why = DAEMON_SUCCEEDED;
		} else {
			live[count++] = pod;
		}
	}
	if (surge)
		keep_two(all, node, live, count);
	else
		for (size_t n = 1; n < count; n++)
			add(all, node, live[n]);
}

/* A pod that has ended and is going does not stand in the way of the next one. */
static bool is_there(const struct daemon_pod *pod)
{
	return !(pod->deleting && (pod->failed || pod->succeeded));
}

size_t daemon_manage(struct arena *a, struct daemon_node *nodes, size_t count, bool surge,
	struct daemon_action **ret)
{
	struct actions all = actions_new(a, nodes, count);
	for (size_t n = 0; n < count; n++) {
		struct daemon_node *node = &nodes[n];
		size_t there = 0;
		if (node->count > 1)
			qsort(node->pods, node->count, sizeof(*node->pods), compare_pods);
		for (size_t m = 0; m < node->count; m++)
			there += is_there(&node->pods[m]);
		if (!node->exists) {
			/* Those that were bound are the pod garbage collector's. */
			for (size_t m = 0; m < node->count; m++)
				if (!node->pods[m].scheduled && !node->pods[m].deleting)
					add(&all, node, &node->pods[m]);
		} else if (node->should_run && !there) {
			add(&all, node, NULL);
		} else if (node->may_stay) {
			manage_node(a, &all, node, surge);
		} else {
			for (size_t m = 0; m < node->count; m++)
				if (!node->pods[m].deleting)
					add(&all, node, &node->pods[m]);
		}
	}
	*ret = all.items;
	return all.count;
}

/* The new and the old pod of a node. False = there are several of a sort. */
static bool find_two(const struct daemon_node *node, const struct daemon_pod **ret_new,
	const struct daemon_pod **ret_old)
{
	*ret_new = *ret_old = NULL;
	for (size_t n = 0; n < node->count; n++) {
		const struct daemon_pod *pod = &node->pods[n];
		if (pod->deleting)
			continue;
		const struct daemon_pod **place = pod->updated ? ret_new : ret_old;
		if (*place)
			return false;
		*place = pod;
	}
	return true;
}

/* Old pods go so that new ones can be made in their place: those that are of no use at once, others
 * as far as pods may be unavailable. */
static void replace_old(struct arena *a, struct actions *all, const struct daemon_node *nodes,
	size_t count, int64_t most)
{
	struct actions candidates = actions_new(a, nodes, count);
	int64_t down = 0;
	for (size_t n = 0; n < count; n++) {
		const struct daemon_pod *fresh, *old;
		if (!nodes[n].exists || (!nodes[n].should_run && !nodes[n].count))
			continue;
		if (!find_two(&nodes[n], &fresh, &old) || !fresh == !old)
			down++;
		else if (fresh)
			down += !fresh->available;
		else
			add(old->available ? &candidates : all, &nodes[n], old);
	}
	for (size_t n = 0; n < candidates.count && down < most; n++, down++)
		all->items[all->count++] = candidates.items[n];
}

/* New pods are made beside old ones, as many as there may be too much; then the old ones go. */
static void surge_new(struct arena *a, struct actions *all, const struct daemon_node *nodes,
	size_t count, int64_t most)
{
	struct actions candidates = actions_new(a, nodes, count);
	int64_t surging = 0;
	for (size_t n = 0; n < count; n++) {
		const struct daemon_pod *fresh, *old;
		if (!nodes[n].exists)
			continue;
		if (!find_two(&nodes[n], &fresh, &old))
			surging++;
		else if (old && !fresh && nodes[n].should_run)
			add(old->available ? &candidates : all, &nodes[n], NULL);
		else if (old && fresh && fresh->available)
			add(all, &nodes[n], old);
		else if (old && fresh)
			surging++;
	}
	for (size_t n = 0; n < candidates.count && surging < most; n++, surging++)
		all->items[all->count++] = candidates.items[n];
}

size_t daemon_roll(struct arena *a, const struct daemon_node *nodes, size_t count,
	const struct daemon_limits *limits, struct daemon_action **ret)
{
	struct actions all = actions_new(a, nodes, count);
	if (limits->surge)
		surge_new(a, &all, nodes, count, limits->surge);
	else
		replace_old(a, &all, nodes, count, limits->unavailable);
	*ret = all.items;
	return all.count;
}

struct daemon_counts daemon_count(const struct daemon_node *nodes, size_t count)
{
	struct daemon_counts c = {0};
	for (size_t n = 0; n < count; n++) {
		const struct daemon_node *node = &nodes[n];
		if (!node->exists)
			continue;
		if (!node->should_run) {
			c.misscheduled += node->count > 0;
			continue;
		}
		c.desired++;
		if (!node->count)
			continue;
		c.current++;
		c.ready += node->pods[0].ready;
		c.available += node->pods[0].available;
		c.updated += node->pods[0].updated;
	}
	return c;
}
