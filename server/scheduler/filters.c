/* filters.c - whether a node will do: names, taints, labels, ports, resources; and the order in
 * which all filters are asked. */
#include "server/scheduler/pass.h"

/* ---- labels of nodes ---- */

static bool value_passes(const struct requirement *r, const char *value)
{
	const struct object_label label = {r->key, value};
	const struct selector one = {.items = r, .count = 1};
	return selector_matches_labels(&one, &label, 1);
}

static struct label_test label_test(
	struct snapshot *s, struct arena *a, const struct requirement *r)
{
	struct label_test t = {.column = snapshot_column(s, r->key), .value = -1};
	t.absent = r->op == SEL_NE || r->op == SEL_NOT_IN || r->op == SEL_NOT_EXISTS;
	if ((r->op == SEL_EQ || r->op == SEL_IN) && r->value_count == 1) {
		t.value = column_domain(t.column, r->values[0]);
		if (t.value < 0)
			t.value = INT32_MAX;
		return t;
	}
	size_t count = t.column->domains.count;
	uint8_t *passes = arena_zalloc(a, count + 1);
	for (size_t n = 0; n < count; n++)
		if (t.column->domains.items[n].value)
			passes[n] = value_passes(r, t.column->domains.items[n].value);
	t.passes = passes;
	return t;
}

struct node_test node_test_make(struct snapshot *s, struct arena *a, const struct selector *labels)
{
	struct node_test t = {.never = labels->nothing};
	t.labels = arena_alloc(a, (labels->count + 1) * sizeof(*t.labels));
	for (size_t n = 0; n < labels->count; n++)
		t.labels[t.count++] = label_test(s, a, &labels->items[n]);
	return t;
}

struct node_test node_term_test(struct snapshot *s, struct arena *a, const struct node_term *term)
{
	struct node_test t = node_test_make(s, a, &term->labels);
	t.never |= term->empty || term->fields.nothing;
	t.fields = term->fields.count ? &term->fields : NULL;
	t.weight = term->weight;
	return t;
}

bool node_test_passes(const struct node_test *t, const struct snapshot *s, uint32_t slot)
{
	if (t->never)
		return false;
	for (size_t n = 0; n < t->count; n++) {
		const struct label_test *l = &t->labels[n];
		int32_t at = l->column->at[slot];
		if (at < 0 ? !l->absent : l->passes ? !l->passes[at] : at != l->value)
			return false;
	}
	const struct object_label name = {"metadata.name", s->info[slot]->name};
	return !t->fields || selector_matches_labels(t->fields, &name, 1);
}

bool pass_node_selected(const struct pass *p, uint32_t slot)
{
	if (p->has_selector && !node_test_passes(&p->selector, p->s, slot))
		return false;
	if (!p->w->has_terms)
		return true;
	for (size_t n = 0; n < p->w->term_count; n++)
		if (node_test_passes(&p->terms[n], p->s, slot))
			return true;
	return false;
}

/* The nodes that a term names by matchFields; NULL when it names none. */
static const struct requirement *named_nodes(const struct node_term *t)
{
	for (size_t n = 0; n < t->fields.count; n++)
		if (t->fields.items[n].op == SEL_IN)
			return &t->fields.items[n];
	return NULL;
}

/* Workloads for one node, as daemons are, need not look at all of them. */
static void find_named(struct pass *p)
{
	size_t room = 0;
	for (size_t n = 0; n < p->w->term_count; n++) {
		const struct requirement *r = named_nodes(&p->w->terms[n]);
		if (!r)
			return;
		room += r->value_count;
	}
	uint32_t *only = arena_alloc(p->a, (room + 1) * sizeof(*only));
	for (size_t n = 0; n < p->w->term_count; n++) {
		const struct requirement *r = named_nodes(&p->w->terms[n]);
		for (size_t m = 0; m < r->value_count; m++) {
			const struct node_info *i = table_get(&p->s->by_name, r->values[m]);
			bool again = !i || !p->s->rows[i->slot].alive;
			for (size_t k = 0; k < p->only_count && !again; k++)
				again = only[k] == i->slot;
			if (!again)
				only[p->only_count++] = i->slot;
		}
	}
	p->only = only;
	p->only_some = true;
}

/* ---- taints ---- */

int32_t pass_untolerated(struct pass *p, uint32_t taint_set)
{
	int32_t *verdict = &p->taint_verdicts[taint_set];
	if (*verdict != -2)
		return *verdict;
	const struct taint_set *set = &p->s->taint_sets.items[taint_set];
	*verdict = -1;
	for (size_t n = 0; n < set->count; n++) {
		const struct taint *t = &set->taints[n];
		if ((t->effect == TAINT_NO_SCHEDULE || t->effect == TAINT_NO_EXECUTE) &&
			!workload_tolerates(p->w, t)) {
			*verdict = (int32_t)n;
			break;
		}
	}
	return *verdict;
}

/* ---- ports and resources ---- */

static bool in_the_way(const struct host_port *a, const struct host_port *b)
{
	return a->port == b->port && streq(a->protocol, b->protocol) &&
	       (!a->ip[0] || !b->ip[0] || streq(a->ip, b->ip));
}

static bool ports_free(const struct pass *p, const struct node_info *i)
{
	for (size_t n = 0; n < i->assigned.count; n++) {
		const struct assigned *as = i->assigned.items[n];
		if (as->removed)
			continue;
		for (size_t m = 0; m < as->workload->port_count; m++)
			for (size_t k = 0; k < p->w->port_count; k++)
				if (in_the_way(&as->workload->ports[m], &p->w->ports[k]))
					return false;
	}
	return true;
}

static uint32_t lacks_extended(const struct pass *p, struct node_info *i)
{
	uint32_t lacks = 0;
	for (size_t n = 0; n < p->w->extended_count; n++) {
		const struct extended *e = &p->w->extended[n];
		int64_t room = node_extended_allocatable(i, e->name) -
			       *node_extended_used(i, e->name, false);
		if (e->amount > 0 && e->amount > room)
			lacks |= LACKS_EXTENDED << MIN(n, (size_t)LACKS_EXTENDED_MAX);
	}
	return lacks;
}

static uint32_t lacks(const struct pass *p, uint32_t slot)
{
	const struct node_row *row = &p->s->rows[slot];
	uint32_t bits = row->pods_used + 1 > row->pods ? LACKS_PODS : 0;
	if (!p->w->asks_for_something)
		return bits;
	for (size_t n = 0; n < RESOURCES; n++) {
		int64_t asked = p->w->request[n];
		if (asked > 0 && asked > row->allocatable[n] - row->used[n])
			bits |= LACKS_FIRST << n;
	}
	if (p->w->extended_count)
		bits |= lacks_extended(p, p->s->info[slot]);
	return bits & 0xffffff;
}

/* ---- all of them ---- */

uint32_t pass_check_node(struct pass *p, uint32_t slot)
{
	const struct node_row *row = &p->s->rows[slot];
	const struct workload *w = p->w;
	if (row->unschedulable && !p->tolerates_unschedulable)
		return REFUSED_UNSCHEDULABLE;
	if (w->node_name && !streq(w->node_name, p->s->info[slot]->name))
		return REFUSED_NAME;
	int32_t taint = row->taints ? pass_untolerated(p, row->taints) : -1;
	if (taint >= 0)
		return REFUSAL(
			REFUSED_TAINT, MIN(row->taints, 0xffffu) << 8 | (uint32_t)MIN(taint, 0xff));
	if ((p->has_selector || w->has_terms) && !pass_node_selected(p, slot))
		return REFUSED_AFFINITY;
	if (w->port_count && p->s->info[slot]->port_holders && !ports_free(p, p->s->info[slot]))
		return REFUSED_PORTS;
	uint32_t bits = lacks(p, slot);
	return bits ? REFUSAL(REFUSED_RESOURCES, bits) : FITS;
}

uint32_t pass_check_plain(struct pass *p, uint32_t slot)
{
	uint32_t refusal = pass_check_node(p, slot);
	if (refusal)
		return refusal;
	if (p->volumes.active && (refusal = volume_check(p, slot)))
		return refusal;
	if (p->spread.count && (refusal = spread_check(p, slot)))
		return refusal;
	return p->affinity.active ? affinity_check(p, slot) : FITS;
}

/* A node that others wait for, who come first, must do with them there too. */
uint32_t pass_check(struct pass *p, uint32_t slot)
{
	if (!p->s->rows[slot].nominated)
		return pass_check_plain(p, slot);
	struct node_info *i = p->s->info[slot];
	struct assigned **added =
		arena_alloc(p->a, (i->nominated.count + 1) * sizeof(struct assigned *));
	size_t count = 0;
	for (size_t n = 0; n < i->nominated.count; n++) {
		struct workload *w = i->nominated.items[n];
		if (w->priority < p->w->priority || streq(w->uid, p->w->uid) ||
			snapshot_assigned(p->s, w->uid))
			continue;
		added[count] = snapshot_try(p->s, w, slot);
		volume_account(p, added[count], 1);
		spread_account(p, added[count], 1);
		affinity_account(p, added[count++], 1);
	}
	uint32_t refusal = count ? pass_check_plain(p, slot) : FITS;
	while (count > 0) {
		volume_account(p, added[--count], -1);
		spread_account(p, added[count], -1);
		affinity_account(p, added[count], -1);
		snapshot_unassign(p->s, added[count]);
	}
	return refusal ? refusal : pass_check_plain(p, slot);
}

void pass_account(struct pass *p, struct assigned *as, bool there)
{
	snapshot_account(p->s, as, there);
	volume_account(p, as, there ? 1 : -1);
	spread_account(p, as, there ? 1 : -1);
	affinity_account(p, as, there ? 1 : -1);
}

bool refusal_is_final(uint32_t refusal)
{
	static const uint32_t may_change =
		REFUSAL_BIT(REFUSED_PORTS) | REFUSAL_BIT(REFUSED_RESOURCES) |
		REFUSAL_BIT(REFUSED_CLAIM_IN_USE) | REFUSAL_BIT(REFUSED_VOLUME_LIMIT) |
		REFUSAL_BIT(REFUSED_SPREAD) | REFUSAL_BIT(REFUSED_BY_OTHERS) |
		REFUSAL_BIT(REFUSED_POD_ANTI_AFFINITY);
	return !(REFUSAL_BIT(REFUSAL_CODE(refusal)) & may_change);
}

void pass_begin_node(struct pass *p, struct snapshot *s, const struct workload *w, struct arena *a)
{
	static const struct taint cordon = {
		"node.kubernetes.io/unschedulable", "", TAINT_NO_SCHEDULE};
	*p = (struct pass){.s = s, .w = w, .a = a};
	s->pass++;
	p->tolerates_unschedulable = workload_tolerates(w, &cordon);
	p->taint_verdicts = arena_alloc(a, s->taint_sets.count * sizeof(*p->taint_verdicts));
	for (size_t n = 0; n < s->taint_sets.count; n++)
		p->taint_verdicts[n] = -2;
	p->has_selector = w->selector.count > 0;
	if (p->has_selector)
		p->selector = node_test_make(s, a, &w->selector);
	p->terms = arena_alloc(a, (w->term_count + 1) * sizeof(*p->terms));
	for (size_t n = 0; n < w->term_count; n++)
		p->terms[n] = node_term_test(s, a, &w->terms[n]);
}

void pass_begin(struct pass *p, struct snapshot *s, const struct volumes *v,
	const struct workload *w, struct arena *a)
{
	pass_begin_node(p, s, w, a);
	p->preferred = arena_alloc(a, (w->preferred_count + 1) * sizeof(*p->preferred));
	for (size_t n = 0; n < w->preferred_count; n++)
		p->preferred[n] = node_term_test(s, a, &w->preferred[n]);
	if (w->has_terms && w->term_count)
		find_named(p);
	p->refusals = arena_alloc(a, (s->slot_count + 1) * sizeof(*p->refusals));
	if (w->claim_count)
		volume_begin(p, v);
	if (w->spread_count)
		spread_begin(p);
	affinity_begin(p);
}
