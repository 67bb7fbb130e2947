#include "server/scheduler/messages.h"

#include <inttypes.h>

static const char *const texts[REFUSALS] = {
	[REFUSED_UNSCHEDULABLE] = "node(s) were unschedulable",
	[REFUSED_NAME] = "node(s) didn't match the requested node name",
	[REFUSED_AFFINITY] = "node(s) didn't match Pod's node affinity/selector",
	[REFUSED_PORTS] = "node(s) didn't have free ports for the requested pod ports",
	[REFUSED_CLAIM_IN_USE] = "node has pod using PersistentVolumeClaim with the same name and "
				 "ReadWriteOncePod access mode",
	[REFUSED_VOLUME_LIMIT] = "node(s) exceed max volume count",
	[REFUSED_VOLUME_AFFINITY] = "node(s) had volume node affinity conflict",
	[REFUSED_VOLUME_GONE] =
		"node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
	[REFUSED_NO_VOLUME] = "node(s) didn't find available persistent volumes to bind",
	[REFUSED_VOLUME_ZONE] = "node(s) had no available volume zone",
	[REFUSED_SPREAD] = "node(s) didn't match pod topology spread constraints",
	[REFUSED_SPREAD_LABEL] = "node(s) didn't match pod topology spread constraints (missing "
				 "required label)",
	[REFUSED_BY_OTHERS] = "node(s) didn't satisfy existing pods anti-affinity rules",
	[REFUSED_POD_AFFINITY] = "node(s) didn't match pod affinity rules",
	[REFUSED_POD_ANTI_AFFINITY] = "node(s) didn't match pod anti-affinity rules",
	[REFUSED_NO_VICTIMS] = "No preemption victims found for incoming pod",
	[REFUSED_NOT_HELPFUL] = "Preemption is not helpful for scheduling",
};

struct reason {
	uint32_t refusal; /* one bit of detail at most */
	size_t count;
};
typedef VEC(struct reason) reasons;

static void count_reason(reasons *all, uint32_t refusal)
{
	for (size_t n = 0; n < all->count; n++)
		if (all->items[n].refusal == refusal) {
			all->items[n].count++;
			return;
		}
	VEC_PUSH(all, ((struct reason){refusal, 1}));
}

static void count_refusal(reasons *all, uint32_t refusal)
{
	if (REFUSAL_CODE(refusal) != REFUSED_RESOURCES) {
		count_reason(all, refusal);
		return;
	}
	for (uint32_t bit = 1; bit <= REFUSAL_DETAIL(refusal); bit <<= 1)
		if (REFUSAL_DETAIL(refusal) & bit)
			count_reason(all, REFUSAL(REFUSED_RESOURCES, bit));
}

static const char *lack(const struct workload *w, uint32_t bit, struct arena *a)
{
	static const char *const names[RESOURCES] = {"cpu", "memory", "ephemeral-storage"};
	if (bit == LACKS_PODS)
		return "Too many pods";
	for (size_t n = 0; n < RESOURCES; n++)
		if (bit == LACKS_FIRST << n)
			return arena_printf(a, "Insufficient %s", names[n]);
	size_t n = 0;
	while (bit != LACKS_EXTENDED << n)
		n++;
	return arena_printf(a, "Insufficient %s", w->extended[n].name);
}

static const char *text_of(const struct pass *p, uint32_t refusal, struct arena *a)
{
	uint32_t detail = REFUSAL_DETAIL(refusal);
	if (REFUSAL_CODE(refusal) == REFUSED_RESOURCES)
		return lack(p->w, detail, a);
	if (REFUSAL_CODE(refusal) != REFUSED_TAINT)
		return texts[REFUSAL_CODE(refusal)];
	const struct taint *t = &p->s->taint_sets.items[detail >> 8].taints[detail & 0xff];
	return arena_printf(a, "node(s) had untolerated taint {%s: %s}", t->key, t->value);
}

static int by_text(const void *pa, const void *pb)
{
	return strcmp(*(char *const *)pa, *(char *const *)pb);
}

/* Reasons of the same text are one. */
static const char *join(const struct pass *p, const reasons *all, struct arena *a)
{
	struct table counts = TABLE_INIT;
	for (size_t n = 0; n < all->count; n++) {
		const char *text = text_of(p, all->items[n].refusal, a);
		uintptr_t count = (uintptr_t)table_get(&counts, text);
		table_set(&counts, text, (void *)(count + all->items[n].count));
	}
	char **lines = arena_alloc(a, (counts.count + 1) * sizeof(*lines));
	size_t count = 0;
	struct table_iter it = table_iterate(&counts);
	while (table_next(&it))
		lines[count++] = arena_printf(a, "%" PRIuPTR " %s", (uintptr_t)it.value, it.key);
	table_finish(&counts);
	if (count > 1)
		qsort(lines, count, sizeof(*lines), by_text);
	char *text = "";
	for (size_t n = 0; n < count; n++)
		text = arena_printf(a, "%s %s%s", text, lines[n], n + 1 < count ? "," : ".");
	return text;
}

const char *message_refused(struct pass *p, struct arena *a)
{
	if (!p->s->alive_count)
		return "no nodes available to schedule pods";
	if (p->refused)
		return arena_printf(
			a, "0/%u nodes are available: %s.", p->s->alive_count, p->refused);
	reasons all = {0};
	const uint32_t *order = snapshot_order(p->s);
	for (uint32_t n = 0; n < p->s->alive_count; n++)
		if (REFUSAL_CODE(p->refusals[order[n]]) != REFUSED_NOT_ASKED)
			count_refusal(&all, p->refusals[order[n]]);
	const char *text =
		arena_printf(a, "0/%u nodes are available:%s", p->s->alive_count, join(p, &all, a));
	VEC_FINISH(&all);
	return text;
}
