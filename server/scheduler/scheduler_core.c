#include "server/scheduler/scheduler_core.h"

#include <inttypes.h>

#include "lib/base/table.h"
#include "lib/base/vec.h"

#define NOWHERE SIZE_MAX

/* Columns that every placement walks over stand in arrays of their own. */
struct scheduler_core {
	size_t count, room;
	struct resources *allocatable, *used, *scored;
	int64_t *pods, *pods_used;
	struct info **info;
	struct table by_name;	  /* name -> info */
	struct table assignments; /* uid -> assignment */
};

struct info {
	struct arena arena; /* of node */
	struct core_node node;
	size_t at;				/* row in the arrays */
	VEC(const struct assignment *) holders; /* of host ports */
};

struct assignment {
	struct resources request, scored;
	struct host_port *ports;
	size_t port_count;
	char node[];
};

static void assignment_destroy(struct assignment *as)
{
	if (!as)
		return;
	free(as->ports);
	free(as);
}

static void info_destroy(struct info *i)
{
	arena_finish(&i->arena);
	VEC_FINISH(&i->holders);
	free(i);
}

struct scheduler_core *core_create(void)
{
	return xcalloc(1, sizeof(struct scheduler_core));
}

void core_destroy(struct scheduler_core *c)
{
	if (!c)
		return;
	for (size_t n = 0; n < c->count; n++)
		info_destroy(c->info[n]);
	struct table_iter it = table_iterate(&c->assignments);
	while (table_next(&it))
		assignment_destroy(it.value);
	table_finish(&c->assignments);
	table_finish(&c->by_name);
	free(c->allocatable);
	free(c->used);
	free(c->scored);
	free(c->pods);
	free(c->pods_used);
	free(c->info);
	free(c);
}

size_t core_node_count(const struct scheduler_core *c)
{
	return c->count;
}

static void account(struct scheduler_core *c, size_t at, const struct assignment *as, int64_t sign)
{
	c->used[at].milli_cpu += sign * as->request.milli_cpu;
	c->used[at].memory_bytes += sign * as->request.memory_bytes;
	c->scored[at].milli_cpu += sign * as->scored.milli_cpu;
	c->scored[at].memory_bytes += sign * as->scored.memory_bytes;
	c->pods_used[at] += sign;
	if (!as->port_count)
		return;
	struct info *i = c->info[at];
	if (sign > 0) {
		VEC_PUSH(&i->holders, as);
		return;
	}
	for (size_t n = 0; n < i->holders.count; n++)
		if (i->holders.items[n] == as) {
			i->holders.items[n] = i->holders.items[--i->holders.count];
			return;
		}
}

static void grow(struct scheduler_core *c)
{
	if (c->count < c->room)
		return;
	c->room = c->room ? 2 * c->room : 16;
	c->allocatable = xrealloc(c->allocatable, c->room * sizeof(*c->allocatable));
	c->used = xrealloc(c->used, c->room * sizeof(*c->used));
	c->scored = xrealloc(c->scored, c->room * sizeof(*c->scored));
	c->pods = xrealloc(c->pods, c->room * sizeof(*c->pods));
	c->pods_used = xrealloc(c->pods_used, c->room * sizeof(*c->pods_used));
	c->info = xrealloc(c->info, c->room * sizeof(struct info *));
}

static struct info *add_row(struct scheduler_core *c, const char *name)
{
	grow(c);
	struct info *i = xcalloc(1, sizeof(*i));
	i->at = c->count++;
	c->info[i->at] = i;
	c->used[i->at] = c->scored[i->at] = (struct resources){0};
	c->pods_used[i->at] = 0;
	table_set(&c->by_name, name, i);
	/* What was placed here before the node was known (or while it was gone). */
	struct table_iter it = table_iterate(&c->assignments);
	while (table_next(&it)) {
		const struct assignment *as = it.value;
		if (streq(as->node, name))
			account(c, i->at, as, 1);
	}
	return i;
}

static struct core_node copy_node(struct arena *a, const struct core_node *n)
{
	struct object_label *labels = arena_alloc(a, (n->label_count + 1) * sizeof(*labels));
	struct taint *taints = arena_alloc(a, (n->taint_count + 1) * sizeof(*taints));
	for (size_t m = 0; m < n->label_count; m++)
		labels[m] = (struct object_label){
			arena_strdup(a, n->labels[m].key), arena_strdup(a, n->labels[m].value)};
	for (size_t m = 0; m < n->taint_count; m++)
		taints[m] = (struct taint){arena_strdup(a, n->taints[m].key),
			arena_strdup(a, n->taints[m].value), n->taints[m].effect};
	struct core_node copy = *n;
	copy.name = arena_strdup(a, n->name);
	copy.labels = labels;
	copy.taints = taints;
	return copy;
}

static bool same_labels(const struct core_node *a, const struct core_node *b)
{
	if (a->label_count != b->label_count)
		return false;
	for (size_t n = 0; n < a->label_count; n++)
		if (!streq(a->labels[n].key, b->labels[n].key) ||
			!streq(a->labels[n].value, b->labels[n].value))
			return false;
	return true;
}

static bool has_taint(const struct core_node *n, const struct taint *t)
{
	for (size_t m = 0; m < n->taint_count; m++)
		if (streq(n->taints[m].key, t->key) && streq(n->taints[m].value, t->value) &&
			n->taints[m].effect == t->effect)
			return true;
	return false;
}

static bool opens(const struct core_node *was, const struct core_node *is)
{
	if ((was->unschedulable && !is->unschedulable) || is->pods > was->pods ||
		is->allocatable.milli_cpu > was->allocatable.milli_cpu ||
		is->allocatable.memory_bytes > was->allocatable.memory_bytes ||
		!same_labels(was, is))
		return true;
	for (size_t n = 0; n < was->taint_count; n++)
		if (!has_taint(is, &was->taints[n]))
			return true;
	return false;
}

bool core_node_set(struct scheduler_core *c, const struct core_node *n)
{
	struct info *i = table_get(&c->by_name, n->name);
	bool better = !i || opens(&i->node, n);
	if (!i)
		i = add_row(c, n->name);
	struct arena old = i->arena;
	i->arena = ARENA_INIT;
	i->node = copy_node(&i->arena, n);
	arena_finish(&old);
	c->allocatable[i->at] = n->allocatable;
	c->pods[i->at] = n->pods;
	return better;
}

void core_node_remove(struct scheduler_core *c, const char *name)
{
	struct info *i = table_remove(&c->by_name, name);
	if (!i)
		return;
	size_t at = i->at, last = --c->count;
	c->allocatable[at] = c->allocatable[last];
	c->used[at] = c->used[last];
	c->scored[at] = c->scored[last];
	c->pods[at] = c->pods[last];
	c->pods_used[at] = c->pods_used[last];
	c->info[at] = c->info[last];
	c->info[at]->at = at;
	info_destroy(i);
}

static size_t row_of(const struct scheduler_core *c, const char *node)
{
	const struct info *i = table_get(&c->by_name, node);
	return i ? i->at : NOWHERE;
}

bool core_unassign(struct scheduler_core *c, const char *uid)
{
	struct assignment *as = table_remove(&c->assignments, uid);
	if (!as)
		return false;
	size_t at = row_of(c, as->node);
	if (at != NOWHERE)
		account(c, at, as, -1);
	assignment_destroy(as);
	return true;
}

void core_assign(
	struct scheduler_core *c, const char *uid, const char *node, const struct workload *w)
{
	core_unassign(c, uid);
	size_t size = strlen(node) + 1;
	struct assignment *as = xmalloc(sizeof(*as) + size);
	as->request = w->request;
	as->scored = w->scored;
	as->ports = w->port_count ? xmalloc(w->port_count * sizeof(*as->ports)) : NULL;
	as->port_count = w->port_count;
	if (w->port_count)
		memcpy(as->ports, w->ports, w->port_count * sizeof(*as->ports));
	memcpy(as->node, node, size);
	table_set(&c->assignments, uid, as);
	size_t at = row_of(c, node);
	if (at != NOWHERE)
		account(c, at, as, 1);
}

bool core_assigned(const struct scheduler_core *c, const char *uid)
{
	return table_get(&c->assignments, uid) != NULL;
}

/* Filters, in the order in which reasons are reported. */

bool core_tolerates(const struct workload *w, const struct taint *t)
{
	for (size_t n = 0; n < w->toleration_count; n++) {
		const struct toleration *to = &w->tolerations[n];
		if (to->effect != TAINT_ANY && to->effect != t->effect)
			continue;
		if (!to->key[0] ? to->exists
				: streq(to->key, t->key) &&
					  (to->exists || streq(to->value, t->value)))
			return true;
	}
	return false;
}

static bool term_matches(const struct node_term *t, const struct core_node *n)
{
	const struct object_label name = {"metadata.name", n->name};
	return !t->empty && selector_matches_labels(&t->labels, n->labels, n->label_count) &&
	       selector_matches_labels(&t->fields, &name, 1);
}

static bool affinity_matches(const struct workload *w, const struct core_node *n)
{
	if (w->selector.count && !selector_matches_labels(&w->selector, n->labels, n->label_count))
		return false;
	for (size_t m = 0; m < w->term_count; m++)
		if (term_matches(&w->terms[m], n))
			return true;
	return !w->has_terms;
}

static bool ports_collide(const struct host_port *a, const struct host_port *b)
{
	return a->port == b->port && streq(a->protocol, b->protocol) &&
	       (!*a->ip || !*b->ip || streq(a->ip, b->ip));
}

static bool ports_are_free(const struct info *i, const struct workload *w)
{
	for (size_t n = 0; n < i->holders.count; n++) {
		const struct assignment *as = i->holders.items[n];
		for (size_t m = 0; m < as->port_count; m++)
			for (size_t k = 0; k < w->port_count; k++)
				if (ports_collide(&as->ports[m], &w->ports[k]))
					return false;
	}
	return true;
}

enum refusal {
	FITS,
	UNSCHEDULABLE,
	OTHER_NAME,
	TAINTED,
	AFFINITY,
	PORTS,
	/* resources: several may apply to one node */
	NO_CPU = 8,
	NO_MEMORY = 16,
	TOO_MANY = 32,
};

static unsigned check(const struct scheduler_core *c, size_t at, const struct workload *w,
	const struct taint **ret_taint)
{
	const struct core_node *n = &c->info[at]->node;
	static const struct taint cordon = {
		"node.kubernetes.io/unschedulable", "", TAINT_NO_SCHEDULE};
	if (n->unschedulable && !core_tolerates(w, &cordon))
		return UNSCHEDULABLE;
	if (w->node_name && !streq(w->node_name, n->name))
		return OTHER_NAME;
	for (size_t m = 0; m < n->taint_count; m++) {
		if (n->taints[m].effect == TAINT_PREFER_NO_SCHEDULE ||
			core_tolerates(w, &n->taints[m]))
			continue;
		*ret_taint = &n->taints[m];
		return TAINTED;
	}
	if ((w->selector.count || w->has_terms) && !affinity_matches(w, n))
		return AFFINITY;
	if (w->port_count && !ports_are_free(c->info[at], w))
		return PORTS;
	unsigned lacks = FITS;
	if (c->pods_used[at] + 1 > c->pods[at])
		lacks |= TOO_MANY;
	if (w->request.milli_cpu &&
		w->request.milli_cpu > c->allocatable[at].milli_cpu - c->used[at].milli_cpu)
		lacks |= NO_CPU;
	if (w->request.memory_bytes && w->request.memory_bytes > c->allocatable[at].memory_bytes -
									 c->used[at].memory_bytes)
		lacks |= NO_MEMORY;
	return lacks;
}

/* Scores: 0 to 100 each, times a weight. */

static double used_part(int64_t used, int64_t more, int64_t of)
{
	if (of <= 0)
		return 1;
	double part = (double)(used + more) / (double)of;
	return part > 1 ? 1 : part;
}

/* Least allocated and balanced allocation. */
static double resource_score(const struct scheduler_core *c, size_t at, const struct workload *w)
{
	double cpu = used_part(
		c->scored[at].milli_cpu, w->scored.milli_cpu, c->allocatable[at].milli_cpu);
	double memory = used_part(c->scored[at].memory_bytes, w->scored.memory_bytes,
		c->allocatable[at].memory_bytes);
	double apart = cpu > memory ? cpu - memory : memory - cpu;
	return 100 * (1 - (cpu + memory) / 2) + 100 * (1 - apart / 2);
}

struct candidate {
	size_t at;
	double score;
	int64_t preferred; /* sum of the weights of matching preferred terms */
	int64_t avoided;   /* PreferNoSchedule taints that are not tolerated */
};

static void look_closer(
	const struct scheduler_core *c, const struct workload *w, struct candidate *x)
{
	const struct core_node *n = &c->info[x->at]->node;
	for (size_t m = 0; m < w->preferred_count; m++)
		if (term_matches(&w->preferred[m], n))
			x->preferred += w->preferred[m].weight;
	for (size_t m = 0; m < n->taint_count; m++)
		if (n->taints[m].effect == TAINT_PREFER_NO_SCHEDULE &&
			!core_tolerates(w, &n->taints[m]))
			x->avoided++;
}

static size_t best(struct candidate *all, size_t count, struct random *random)
{
	int64_t most_preferred = 0, most_avoided = 0;
	for (size_t n = 0; n < count; n++) {
		most_preferred = MAX(most_preferred, all[n].preferred);
		most_avoided = MAX(most_avoided, all[n].avoided);
	}
	size_t winner = 0;
	uint64_t ties = 0;
	for (size_t n = 0; n < count; n++) {
		if (most_preferred)
			all[n].score += 200.0 * (double)all[n].preferred / (double)most_preferred;
		if (most_avoided)
			all[n].score -= 300.0 * (double)all[n].avoided / (double)most_avoided;
		double ahead = all[n].score - all[winner].score;
		if (ahead > 1e-9) {
			winner = n;
			ties = 1;
		} else if (ahead > -1e-9 && random_below(random, ++ties) == 0) {
			winner = n;
		}
	}
	return all[winner].at;
}

/* The message. */

struct reasons {
	struct table counts; /* text -> count as pointer */
};

static void add_reason(struct reasons *r, const char *text)
{
	uintptr_t count = (uintptr_t)table_get(&r->counts, text);
	table_set(&r->counts, text, (void *)(count + 1));
}

static void add_refusal(
	struct reasons *r, struct arena *a, unsigned refusal, const struct taint *taint)
{
	if (refusal == UNSCHEDULABLE)
		add_reason(r, "node(s) were unschedulable");
	else if (refusal == OTHER_NAME)
		add_reason(r, "node(s) didn't match the requested node name");
	else if (refusal == TAINTED)
		add_reason(r, arena_printf(a, "node(s) had untolerated taint {%s: %s}", taint->key,
				      taint->value));
	else if (refusal == AFFINITY)
		add_reason(r, "node(s) didn't match Pod's node affinity/selector");
	else if (refusal == PORTS)
		add_reason(r, "node(s) didn't have free ports for the requested pod ports");
	if (refusal & NO_CPU)
		add_reason(r, "Insufficient cpu");
	if (refusal & NO_MEMORY)
		add_reason(r, "Insufficient memory");
	if (refusal & TOO_MANY)
		add_reason(r, "Too many pods");
}

static int by_text(const void *pa, const void *pb)
{
	return strcmp(*(char *const *)pa, *(char *const *)pb);
}

static const char *message(struct reasons *r, struct arena *a, size_t node_count)
{
	char **lines = arena_alloc(a, (r->counts.count + 1) * sizeof(*lines));
	size_t count = 0;
	struct table_iter it = table_iterate(&r->counts);
	while (table_next(&it))
		lines[count++] = arena_printf(a, "%" PRIuPTR " %s", (uintptr_t)it.value, it.key);
	if (count > 1)
		qsort(lines, count, sizeof(*lines), by_text);
	char *text = arena_printf(a, "0/%zu nodes are available:", node_count);
	for (size_t n = 0; n < count; n++)
		text = arena_printf(a, "%s %s%s", text, lines[n], n + 1 < count ? "," : ".");
	return text;
}

static const char *explain(struct scheduler_core *c, const struct workload *w, struct arena *a)
{
	if (!c->count)
		return "no nodes available to schedule pods";
	struct reasons r = {0};
	for (size_t at = 0; at < c->count; at++) {
		const struct taint *taint = NULL;
		unsigned refusal = check(c, at, w, &taint);
		add_refusal(&r, a, refusal, taint);
	}
	const char *text = message(&r, a, c->count);
	table_finish(&r.counts);
	return text;
}

const char *core_place(struct scheduler_core *c, const struct workload *w, struct random *random,
	struct arena *a, const char **ret_message)
{
	struct candidate *all = arena_alloc(a, (c->count + 1) * sizeof(*all));
	size_t count = 0;
	const struct taint *taint;
	for (size_t at = 0; at < c->count; at++) {
		if (check(c, at, w, &taint) != FITS)
			continue;
		struct candidate *x = &all[count++];
		*x = (struct candidate){.at = at, .score = resource_score(c, at, w)};
		if (w->preferred_count || c->info[at]->node.taint_count)
			look_closer(c, w, x);
	}
	if (count)
		return c->info[best(all, count, random)]->node.name;
	*ret_message = explain(c, w, a);
	return NULL;
}
