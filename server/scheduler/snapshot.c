#include "server/scheduler/snapshot.h"

#include "server/scheduler/columns.h"

void snapshot_init(struct snapshot *s)
{
	*s = (struct snapshot){0};
	VEC_PUSH(&s->taint_sets, (struct taint_set){.refs = 1}); /* number 0: none */
	counters_init(&s->counters);
}

static void info_destroy(struct node_info *i)
{
	if (!i)
		return;
	for (size_t n = 0; n < i->nominated.count; n++)
		workload_unref(i->nominated.items[n]);
	VEC_FINISH(&i->nominated);
	VEC_FINISH(&i->assigned);
	arena_finish(&i->arena);
	free(i->used);
	free(i->name);
	free(i);
}

static void assigned_destroy(struct assigned *as)
{
	workload_unref(as->workload);
	free(as->held);
	free(as);
}

void snapshot_finish(struct snapshot *s)
{
	for (uint32_t n = 0; n < s->slot_count; n++)
		info_destroy(s->info[n]);
	counters_finish(&s->counters);
	columns_finish(s);
	struct table_iter it = table_iterate(&s->assigned);
	while (table_next(&it))
		assigned_destroy(it.value);
	it = table_iterate(&s->namespaces);
	while (table_next(&it)) {
		struct pods_of_namespace *ns = it.value;
		VEC_FINISH(&ns->pods);
		arena_finish(&ns->arena);
		free(ns);
	}
	for (size_t n = 0; n < s->taint_sets.count; n++) {
		arena_finish(&s->taint_sets.items[n].arena);
		free(s->taint_sets.items[n].key);
	}
	VEC_FINISH(&s->taint_sets);
	VEC_FINISH(&s->free_slots);
	VEC_FINISH(&s->priorities);
	table_finish(&s->by_name);
	table_finish(&s->taint_set_by_key);
	table_finish(&s->images);
	table_finish(&s->assigned);
	table_finish(&s->namespaces);
	table_finish(&s->nominated);
	free(s->rows);
	free(s->info);
	free(s->order);
}

/* ---- slots ---- */

static void grow(struct snapshot *s)
{
	uint32_t old = s->slot_room, room = old ? 2 * old : 64;
	s->rows = xrealloc(s->rows, room * sizeof(*s->rows));
	s->info = xrealloc(s->info, room * sizeof(struct node_info *));
	s->order = xrealloc(s->order, room * sizeof(*s->order));
	s->slot_room = room;
	columns_grow(s, old, room);
	counters_grow(s, old, room);
}

static struct node_info *info_of(struct snapshot *s, const char *name)
{
	struct node_info *i = table_get(&s->by_name, name);
	if (i)
		return i;
	i = xcalloc(1, sizeof(*i));
	i->name = xstrdup(name);
	if (s->free_slots.count) {
		i->slot = s->free_slots.items[--s->free_slots.count];
	} else {
		if (s->slot_count == s->slot_room)
			grow(s);
		i->slot = s->slot_count++;
	}
	s->info[i->slot] = i;
	s->rows[i->slot] = (struct node_row){0};
	table_set(&s->by_name, name, i);
	return i;
}

/* Only what is neither known nor in use goes. */
static void release(struct snapshot *s, struct node_info *i)
{
	if (s->rows[i->slot].alive || i->assigned.count || i->nominated.count)
		return;
	s->info[i->slot] = NULL;
	VEC_PUSH(&s->free_slots, i->slot);
	table_remove(&s->by_name, i->name);
	info_destroy(i);
}

/* ---- sets of taints ---- */

static uint32_t taint_set_take(struct snapshot *s, const struct taint *taints, size_t count)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (!count)
		return 0;
	char *key = "";
	for (size_t n = 0; n < count; n++)
		key = arena_printf(&a, "%s%s\x01%s\x01%d\x02", key, taints[n].key, taints[n].value,
			(int)taints[n].effect);
	uint32_t number = (uint32_t)(uintptr_t)table_get(&s->taint_set_by_key, key);
	if (number) {
		s->taint_sets.items[number].refs++;
		return number;
	}
	for (number = 1; number < s->taint_sets.count; number++)
		if (!s->taint_sets.items[number].refs)
			break;
	if (number == s->taint_sets.count)
		VEC_PUSH(&s->taint_sets, (struct taint_set){0});
	struct taint_set set = {.refs = 1, .count = count, .key = xstrdup(key)};
	set.arena.first_size = 256;
	struct taint *copy = arena_alloc(&set.arena, count * sizeof(*copy));
	for (size_t n = 0; n < count; n++)
		copy[n] = (struct taint){arena_strdup(&set.arena, taints[n].key),
			arena_strdup(&set.arena, taints[n].value), taints[n].effect};
	set.taints = copy;
	s->taint_sets.items[number] = set;
	table_set(&s->taint_set_by_key, key, (void *)(uintptr_t)number);
	return number;
}

static void taint_set_drop(struct snapshot *s, uint32_t number)
{
	struct taint_set *set = &s->taint_sets.items[number];
	if (!number || --set->refs > 0)
		return;
	table_remove(&s->taint_set_by_key, set->key);
	free(set->key);
	arena_finish(&set->arena);
	*set = (struct taint_set){0};
}

/* ---- nodes ---- */

static void count_images(struct snapshot *s, const struct node_state *n, int sign)
{
	for (size_t m = 0; m < n->image_count; m++) {
		intptr_t was = (intptr_t)table_get(&s->images, n->images[m].name), is = was + sign;
		if (is > 0)
			table_set(&s->images, n->images[m].name, (void *)is);
		else if (was)
			table_remove(&s->images, n->images[m].name);
	}
}

static bool same_labels(const struct node_state *a, const struct node_state *b)
{
	return object_labels_equal(a->labels, a->label_count, b->labels, b->label_count);
}

static bool has_taint(const struct node_state *n, const struct taint *t)
{
	for (size_t m = 0; m < n->taint_count; m++)
		if (streq(n->taints[m].key, t->key) && streq(n->taints[m].value, t->value) &&
			n->taints[m].effect == t->effect)
			return true;
	return false;
}

static int64_t amount_of(const struct node_state *n, const char *name)
{
	for (size_t m = 0; m < n->extended_count; m++)
		if (streq(n->extended[m].name, name))
			return n->extended[m].amount;
	return 0;
}

static unsigned what_opens(const struct node_state *was, const struct node_state *is)
{
	unsigned what = same_labels(was, is) ? 0 : NODE_LABELS;
	if (is->pods > was->pods)
		what |= NODE_ALLOCATABLE;
	for (size_t n = 0; n < RESOURCES; n++)
		if (is->allocatable[n] > was->allocatable[n])
			what |= NODE_ALLOCATABLE;
	for (size_t n = 0; n < is->extended_count; n++)
		if (is->extended[n].amount > amount_of(was, is->extended[n].name))
			what |= NODE_ALLOCATABLE;
	if (was->unschedulable && !is->unschedulable)
		what |= NODE_TAINTS;
	for (size_t n = 0; n < was->taint_count; n++)
		if (!has_taint(is, &was->taints[n]))
			what |= NODE_TAINTS;
	return what;
}

unsigned snapshot_node_set(struct snapshot *s, const struct node_state *n, uint32_t *ret_slot)
{
	struct node_info *i = info_of(s, n->name);
	struct node_row *row = &s->rows[i->slot];
	unsigned what = row->alive ? what_opens(&i->state, n) : NODE_ADDED;
	if (what & (NODE_ADDED | NODE_LABELS))
		s->order_stale = true;
	if (!row->alive)
		s->alive_count++;
	count_images(s, &i->state, -1);
	uint32_t taints = taint_set_take(s, n->taints, n->taint_count);
	taint_set_drop(s, row->taints);
	struct arena old = i->arena;
	i->arena = (struct arena){.first_size = 1024};
	i->state = node_state_copy(&i->arena, n);
	count_images(s, &i->state, 1);
	memcpy(row->allocatable, n->allocatable, sizeof(row->allocatable));
	row->pods = n->pods;
	row->taints = taints;
	row->unschedulable = n->unschedulable;
	row->alive = true;
	columns_node_changed(s, i->slot);
	arena_finish(&old);
	*ret_slot = i->slot;
	return what;
}

void snapshot_node_remove(struct snapshot *s, const char *name)
{
	struct node_info *i = table_get(&s->by_name, name);
	if (!i || !s->rows[i->slot].alive)
		return;
	struct node_row *row = &s->rows[i->slot];
	count_images(s, &i->state, -1);
	taint_set_drop(s, row->taints);
	row->taints = 0;
	row->alive = row->unschedulable = false;
	memset(row->allocatable, 0, sizeof(row->allocatable));
	row->pods = 0;
	i->state = (struct node_state){0};
	arena_finish(&i->arena);
	i->arena = ARENA_INIT;
	columns_node_changed(s, i->slot);
	s->alive_count--;
	s->order_stale = true;
	while (i->nominated.count) {
		struct workload *w = i->nominated.items[--i->nominated.count];
		table_remove(&s->nominated, w->uid);
		workload_unref(w);
	}
	row->nominated = false;
	release(s, i);
}

/* ---- workloads on nodes ---- */

int64_t node_extended_allocatable(const struct node_info *i, const char *name)
{
	return amount_of(&i->state, name);
}

int64_t *node_extended_used(struct node_info *i, const char *name, bool add)
{
	static int64_t none;
	for (size_t n = 0; n < i->used_count; n++)
		if (streq(i->used[n].name, name))
			return &i->used[n].amount;
	if (!add) {
		none = 0;
		return &none;
	}
	if (i->used_count == i->used_room) {
		i->used_room = i->used_room ? 2 * i->used_room : 4;
		i->used = xrealloc(i->used, i->used_room * sizeof(*i->used));
	}
	i->used[i->used_count] = (struct extended){name, 0};
	return &i->used[i->used_count++].amount;
}

/* Names in i->used are those of workloads that are there: one that goes leaves its name to the next
 * that asks for the same, or takes the entry along. */
static void account_extended(
	struct node_info *i, const struct assigned *except, const struct workload *w, int sign)
{
	for (size_t n = 0; n < w->extended_count; n++) {
		const struct extended *e = &w->extended[n];
		int64_t *used = node_extended_used(i, e->name, true);
		*used += sign * e->amount;
		if (sign > 0)
			continue;
		struct extended *entry = CONTAINER_OF(used, struct extended, amount);
		const char *name = NULL;
		for (size_t m = 0; m < i->assigned.count && !name; m++) {
			const struct assigned *other = i->assigned.items[m];
			for (size_t k = 0; k < other->workload->extended_count && other != except;
				k++)
				if (streq(other->workload->extended[k].name, e->name))
					name = other->workload->extended[k].name;
		}
		if (name)
			entry->name = name;
		else
			*entry = i->used[--i->used_count];
	}
}

void snapshot_account(struct snapshot *s, struct assigned *as, bool there)
{
	const struct workload *w = as->workload;
	struct node_row *row = &s->rows[as->slot];
	struct node_info *i = s->info[as->slot];
	int sign = there ? 1 : -1;
	for (size_t n = 0; n < RESOURCES; n++)
		row->used[n] += sign * w->request[n];
	for (size_t n = 0; n < ARRAY_LEN(row->scored); n++)
		row->scored[n] += sign * w->scored[n];
	row->pods_used += sign;
	if (w->extended_count)
		account_extended(i, as, w, sign);
	i->port_holders += (size_t)(w->port_count ? sign : 0);
	i->claim_holders += (size_t)(w->claim_count ? sign : 0);
	as->removed = !there;
	counters_account(s, as, sign);
}

static void count_priority(struct snapshot *s, int64_t priority, int sign)
{
	for (size_t n = 0; n < s->priorities.count; n++) {
		struct priority_count *p = &s->priorities.items[n];
		if (p->priority != priority)
			continue;
		p->count += (size_t)sign;
		if (!p->count)
			*p = s->priorities.items[--s->priorities.count];
		return;
	}
	VEC_PUSH(&s->priorities, ((struct priority_count){priority, 1}));
}

bool snapshot_has_lower(const struct snapshot *s, int64_t priority)
{
	for (size_t n = 0; n < s->priorities.count; n++)
		if (s->priorities.items[n].priority < priority)
			return true;
	return false;
}

static struct pods_of_namespace *namespace_of(struct snapshot *s, const char *name)
{
	struct pods_of_namespace *ns = table_get(&s->namespaces, name);
	if (!ns) {
		ns = xcalloc(1, sizeof(*ns));
		table_set(&s->namespaces, name, ns);
	}
	return ns;
}

struct pods_of_namespace *snapshot_namespace(const struct snapshot *s, const char *name)
{
	return table_get(&s->namespaces, name);
}

static void forget_namespace(struct snapshot *s, const char *name, struct pods_of_namespace *ns)
{
	if (ns->known || ns->pods.count)
		return;
	table_remove(&s->namespaces, name);
	VEC_FINISH(&ns->pods);
	arena_finish(&ns->arena);
	free(ns);
}

void snapshot_namespace_set(struct snapshot *s, const char *name, const struct object_label *labels,
	size_t count, bool known)
{
	struct pods_of_namespace *ns = namespace_of(s, name);
	const struct node_state was = {.labels = ns->labels, .label_count = ns->label_count},
				is = {.labels = labels, .label_count = count};
	ns->known = known;
	if (!same_labels(&was, &is)) {
		struct arena old = ns->arena;
		ns->arena = (struct arena){.first_size = 256};
		struct node_state copy = node_state_copy(&ns->arena,
			&(struct node_state){.name = "", .labels = labels, .label_count = count});
		ns->labels = copy.labels;
		ns->label_count = count;
		arena_finish(&old);
		counters_namespace_changed(s);
	}
	forget_namespace(s, name, ns);
}

struct assigned *snapshot_assigned(const struct snapshot *s, const char *uid)
{
	return table_get(&s->assigned, uid);
}

struct assigned *snapshot_try(struct snapshot *s, struct workload *w, uint32_t slot)
{
	struct node_info *i = s->info[slot];
	struct pods_of_namespace *ns = namespace_of(s, w->ns);
	struct assigned *as = xcalloc(1, sizeof(*as));
	as->workload = workload_ref(w);
	as->slot = i->slot;
	as->at_node = (uint32_t)i->assigned.count;
	as->at_namespace = (uint32_t)ns->pods.count;
	VEC_PUSH(&i->assigned, as);
	VEC_PUSH(&ns->pods, as);
	table_set(&s->assigned, w->uid, as);
	count_priority(s, w->priority, 1);
	snapshot_account(s, as, true);
	return as;
}

struct assigned *snapshot_assign(struct snapshot *s, struct workload *w, const char *node)
{
	uint32_t slot = info_of(s, node)->slot;
	struct assigned *as = snapshot_try(s, w, slot);
	snapshot_nominate(s, w, NULL);
	return as;
}

void snapshot_unassign(struct snapshot *s, struct assigned *as)
{
	struct node_info *i = s->info[as->slot];
	struct pods_of_namespace *ns = namespace_of(s, as->workload->ns);
	snapshot_account(s, as, false);
	struct assigned *last = i->assigned.items[--i->assigned.count];
	i->assigned.items[as->at_node] = last;
	last->at_node = as->at_node;
	last = ns->pods.items[--ns->pods.count];
	ns->pods.items[as->at_namespace] = last;
	last->at_namespace = as->at_namespace;
	table_remove(&s->assigned, as->workload->uid);
	count_priority(s, as->workload->priority, -1);
	forget_namespace(s, as->workload->ns, ns);
	release(s, i);
	assigned_destroy(as);
}

/* ---- nominated nodes ---- */

void snapshot_nominate(struct snapshot *s, struct workload *w, const char *node)
{
	struct node_info *old = table_remove(&s->nominated, w->uid);
	for (size_t n = 0; old && n < old->nominated.count; n++) {
		if (!streq(old->nominated.items[n]->uid, w->uid))
			continue;
		struct workload *was = old->nominated.items[n];
		old->nominated.items[n] = old->nominated.items[--old->nominated.count];
		s->rows[old->slot].nominated = old->nominated.count > 0;
		workload_unref(was); /* the caller has a reference of its own to w */
		release(s, old);
		break;
	}
	if (!node)
		return;
	struct node_info *i = table_get(&s->by_name, node);
	if (!i || !s->rows[i->slot].alive)
		return;
	VEC_PUSH(&i->nominated, workload_ref(w));
	s->rows[i->slot].nominated = true;
	table_set(&s->nominated, w->uid, i);
}

/* ---- the order in which nodes are looked at ---- */

static const char *zone_of(const struct node_info *i)
{
	for (size_t n = 0; n < i->state.label_count; n++)
		if (streq(i->state.labels[n].key, "topology.kubernetes.io/zone"))
			return i->state.labels[n].value;
	return "";
}

struct zoned {
	const char *zone, *name;
	uint32_t slot, turn;
};

static int by_zone(const void *pa, const void *pb)
{
	const struct zoned *a = pa, *b = pb;
	int r = strcmp(a->zone, b->zone);
	return r ? r : strcmp(a->name, b->name);
}

static int by_turn(const void *pa, const void *pb)
{
	const struct zoned *a = pa, *b = pb;
	return a->turn != b->turn ? (a->turn < b->turn ? -1 : 1) : by_zone(pa, pb);
}

const uint32_t *snapshot_order(struct snapshot *s)
{
	if (!s->order_stale)
		return s->order;
	s->order_stale = false;
	struct zoned *all = xmalloc((s->alive_count + 1) * sizeof(*all));
	uint32_t count = 0;
	for (uint32_t slot = 0; slot < s->slot_count; slot++)
		if (s->info[slot] && s->rows[slot].alive)
			all[count++] = (struct zoned){
				zone_of(s->info[slot]), s->info[slot]->name, slot, 0};
	qsort(all, count, sizeof(*all), by_zone);
	for (uint32_t n = 1; n < count; n++)
		all[n].turn = streq(all[n].zone, all[n - 1].zone) ? all[n - 1].turn + 1 : 0;
	qsort(all, count, sizeof(*all), by_turn);
	for (uint32_t n = 0; n < count; n++)
		s->order[n] = all[n].slot;
	s->start = count ? s->start % count : 0;
	free(all);
	return s->order;
}
