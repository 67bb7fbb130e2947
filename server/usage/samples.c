#include "server/usage/samples.h"

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"

/* Rates over less than this say little: the newer telling takes the newest's place. */
#define WINDOW_MIN_NS (5 * NS_PER_S)
#define NANO_CORES_MAX 1e15 /* a million CPUs */

struct node_samples {
	struct figures old, new;
	bool has_new, has_old;
	int64_t told_ns; /* monotonic */
	int64_t shifted_ns;
};

struct usage_samples {
	struct table nodes;
};

struct usage_samples *usage_samples_create(void)
{
	struct usage_samples *s = xcalloc(1, sizeof(*s));
	s->nodes = TABLE_INIT;
	return s;
}

static void node_free(struct node_samples *n)
{
	if (!n)
		return;
	if (n->has_old)
		figures_finish(&n->old);
	if (n->has_new)
		figures_finish(&n->new);
	free(n);
}

void usage_samples_destroy(struct usage_samples *s)
{
	if (!s)
		return;
	for (struct table_iter i = table_iterate(&s->nodes); table_next(&i);)
		node_free(i.value);
	table_finish(&s->nodes);
	free(s);
}

void usage_samples_put(struct usage_samples *s, const char *node, struct figures *f, int64_t now_ns)
{
	struct node_samples *n = table_get(&s->nodes, node);
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		table_set(&s->nodes, node, n);
	}
	bool shift = n->has_new && now_ns - n->shifted_ns >= WINDOW_MIN_NS;
	if (shift) {
		if (n->has_old)
			figures_finish(&n->old);
		n->old = n->new;
		n->has_old = true;
	} else if (n->has_new) {
		figures_finish(&n->new);
	}
	if (shift || !n->has_new)
		n->shifted_ns = now_ns;
	n->new = *f;
	n->has_new = true;
	n->told_ns = now_ns;
}

void usage_samples_expire(struct usage_samples *s, int64_t before_ns)
{
	VEC(const char *) gone = {0};
	for (struct table_iter i = table_iterate(&s->nodes); table_next(&i);)
		if (((struct node_samples *)i.value)->told_ns < before_ns)
			VEC_PUSH(&gone, xstrdup(i.key));
	for (size_t i = 0; i < gone.count; i++) {
		node_free(table_remove(&s->nodes, gone.items[i]));
		free((char *)gone.items[i]);
	}
	VEC_FINISH(&gone);
}

/* First figure that is not before `key`. */
static size_t first_of(const struct figures *f, const struct figure *key)
{
	size_t low = 0, high = f->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (figure_compare(&f->items[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool rate(const struct node_samples *n, const struct figure *new, struct usage_rate *ret)
{
	size_t at = first_of(&n->old, new);
	const struct figure *old = at < n->old.count ? &n->old.items[at] : NULL;
	/* A counter that went back was begun anew. */
	if (!old || figure_compare(old, new) != 0 || !old->has_cpu || !new->has_cpu ||
		!new->has_memory || new->time_ns <= old->time_ns || new->cpu_ns < old->cpu_ns)
		return false;
	double nano_cores =
		(double)(new->cpu_ns - old->cpu_ns) * 1e9 / (double)(new->time_ns - old->time_ns);
	/* More than any machine has: sums of it must stay numbers. */
	if (nano_cores > NANO_CORES_MAX)
		return false;
	*ret = (struct usage_rate){
		.container = new->container,
		.cpu_nano_cores = (uint64_t)nano_cores,
		.memory_bytes = new->memory_bytes,
		.time_ns = new->time_ns,
		.window_ns = new->time_ns - old->time_ns,
	};
	return true;
}

size_t usage_samples_get(const struct usage_samples *s, const char *node, enum figure_type type,
	const char *ns, const char *owner, struct arena *a, struct usage_rate **ret)
{
	const struct node_samples *n = table_get(&s->nodes, node);
	struct figure key = {.type = type, .ns = ns, .owner = owner, .container = ""};
	*ret = NULL;
	if (!n || !n->has_old)
		return 0;
	size_t begin = first_of(&n->new, &key), end = begin;
	while (end < n->new.count &&
		n->new.items[end].type == type &&streq(n->new.items[end].ns, ns) &&
		streq(n->new.items[end].owner, owner))
		end++;
	if (begin == end)
		return 0;
	*ret = arena_alloc(a, (end - begin) * sizeof(**ret));
	for (size_t i = begin; i < end; i++) {
		if (!rate(n, &n->new.items[i], &(*ret)[i - begin]))
			return 0;
		(*ret)[i - begin].container = arena_strdup(a, n->new.items[i].container);
	}
	return end - begin;
}
