/* volume_filter.c - what a workload's claims demand of a node. */
#include "server/scheduler/pass.h"

/* ---- before nodes are looked at ---- */

static void refuse(struct pass *p, const char *why)
{
	if (p->refused)
		return;
	p->refused = why;
	p->refused_by = REFUSED_NO_VOLUME;
}

static struct node_test *make_tests(struct pass *p, const struct node_term *terms, size_t count)
{
	struct node_test *all = arena_alloc(p->a, (count + 1) * sizeof(*all));
	for (size_t n = 0; n < count; n++)
		all[n] = node_term_test(p->s, p->a, &terms[n]);
	return all;
}

/* A volume's own labels say where it is, too. */
static void find_zones(struct pass *p, struct bound_volume *b)
{
	static const char *const keys[] = {"topology.kubernetes.io/zone",
		"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
		"failure-domain.beta.kubernetes.io/region"};
	struct volume_zone *zones = arena_alloc(p->a, ARRAY_LEN(keys) * sizeof(*zones));
	for (size_t n = 0; n < ARRAY_LEN(keys); n++) {
		const char *values = object_label(b->volume->object, keys[n]);
		if (values)
			zones[b->zone_count++] =
				(struct volume_zone){snapshot_column(p->s, keys[n]), values};
	}
	b->zones = zones;
}

static void add_bound(struct pass *p, const struct claim *c)
{
	struct bound_volume b = {.volume = table_get(&p->volumes.volumes->volumes, c->volume)};
	if (b.volume) {
		b.terms = make_tests(p, b.volume->terms, b.volume->term_count);
		find_zones(p, &b);
	}
	p->volumes.bound[p->volumes.bound_count++] = b;
}

static bool holds(const struct workload *w, const char *claim)
{
	for (size_t n = 0; n < w->claim_count; n++)
		if (streq(w->claims[n].name, claim))
			return true;
	return false;
}

static int64_t count_holders(const struct pass *p, const char *claim)
{
	const struct pods_of_namespace *ns = snapshot_namespace(p->s, p->w->ns);
	int64_t count = 0;
	for (size_t n = 0; ns && n < ns->pods.count; n++)
		count += ns->pods.items[n]->workload->claim_count > 0 &&
			 holds(ns->pods.items[n]->workload, claim);
	return count;
}

static bool suits(const struct claim *c, const struct volume *v)
{
	bool for_it = streq(v->claim, c->key) &&
		      (!v->claim_uid[0] || streq(v->claim_uid, c->object->uid));
	if (v->object->deleting || (v->claim[0] && !for_it) ||
		(v->assumed_claim && !streq(v->assumed_claim, c->key)))
		return false;
	return (v->available || for_it) && streq(v->class, c->class) && streq(v->mode, c->mode) &&
	       v->bytes >= c->bytes && !(c->access & ~v->access) &&
	       (!c->has_selector || selector_matches_labels(&c->selector, v->object->labels,
					    v->object->label_count));
}

/* The smallest that will do; one that names the claim before all others. */
static int compare_candidates(const void *va, const void *vb)
{
	const struct volume *a = ((const struct volume_candidate *)va)->volume,
			    *b = ((const struct volume_candidate *)vb)->volume;
	bool named = a->claim[0];
	if (named != (b->claim[0] != 0))
		return named ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? -1 : 1;
	return strcmp(a->object->name, b->object->name);
}

/* Once for all nodes: volumes may be as many as nodes are. */
static void add_unbound(struct pass *p, struct claim *c)
{
	const struct table *volumes = &p->volumes.volumes->volumes;
	struct unbound_claim *u = &p->volumes.unbound[p->volumes.unbound_count++];
	*u = (struct unbound_claim){.claim = c};
	for (struct table_iter it = table_iterate(volumes); table_next(&it);)
		u->candidate_count += suits(c, it.value);
	u->candidates = arena_alloc(p->a, (u->candidate_count + 1) * sizeof(*u->candidates));
	size_t count = 0;
	for (struct table_iter it = table_iterate(volumes); table_next(&it);) {
		struct volume *v = it.value;
		if (suits(c, v))
			u->candidates[count++] = (struct volume_candidate){
				v, make_tests(p, v->terms, v->term_count)};
	}
	if (count)
		qsort(u->candidates, count, sizeof(*u->candidates), compare_candidates);
}

static void add_claim(struct pass *p, const struct workload_claim *wanted)
{
	struct claim *c = volumes_claim(p->volumes.volumes, p->w->ns, wanted->name);
	if (!c && wanted->ephemeral) {
		refuse(p, arena_printf(p->a,
				  "waiting for ephemeral volume controller to create the "
				  "persistentvolumeclaim \"%s\"",
				  wanted->name));
	} else if (!c) {
		refuse(p,
			arena_printf(p->a, "persistentvolumeclaim \"%s\" not found", wanted->name));
	} else if (c->lost) {
		refuse(p, arena_printf(p->a,
				  "persistentvolumeclaim \"%s\" bound to non-existent "
				  "persistentvolume \"%s\"",
				  wanted->name, c->volume));
	} else if (c->object->deleting) {
		refuse(p, arena_printf(p->a, "persistentvolumeclaim \"%s\" is being deleted",
				  wanted->name));
	} else if (c->bound) {
		add_bound(p, c);
	} else {
		const struct storage_class *class =
			table_get(&p->volumes.volumes->classes, c->class);
		if (class && class->waits && !c->volume[0])
			add_unbound(p, c);
		else
			refuse(p, "pod has unbound immediate PersistentVolumeClaims");
	}
	if (c && c->access & ACCESS_RWOP)
		p->volumes.in_use += count_holders(p, wanted->name);
}

void volume_begin(struct pass *p, const struct volumes *v)
{
	size_t count = p->w->claim_count;
	p->volumes = (struct volume_pass){.volumes = v, .active = count > 0};
	p->volumes.bound = arena_alloc(p->a, (count + 1) * sizeof(*p->volumes.bound));
	p->volumes.unbound = arena_alloc(p->a, (count + 1) * sizeof(*p->volumes.unbound));
	p->volumes.chosen = arena_alloc(p->a, (count + 1) * sizeof(*p->volumes.chosen));
	for (size_t n = 0; n < count; n++)
		add_claim(p, &p->w->claims[n]);
}

/* ---- nodes ---- */

static bool any_passes(
	const struct pass *p, const struct node_test *tests, size_t count, uint32_t slot)
{
	for (size_t n = 0; n < count; n++)
		if (node_test_passes(&tests[n], p->s, slot))
			return true;
	return false;
}

/* One, or several with "__" between. */
static bool is_one_of(const char *values, const char *value)
{
	size_t size = strlen(value);
	for (const char *at = values; at;) {
		const char *end = strstr(at, "__");
		size_t here = end ? (size_t)(end - at) : strlen(at);
		if (here == size && memcmp(at, value, size) == 0)
			return true;
		at = end ? end + 2 : NULL;
	}
	return false;
}

static bool in_zones(const struct bound_volume *b, uint32_t slot)
{
	bool any = false;
	for (size_t n = 0; n < b->zone_count; n++)
		any |= b->zones[n].column->at[slot] >= 0;
	for (size_t n = 0; n < b->zone_count && any; n++) {
		const struct column *c = b->zones[n].column;
		int32_t at = c->at[slot];
		if (at < 0 || !is_one_of(b->zones[n].values, c->domains.items[at].value))
			return false;
	}
	return true;
}

static bool reachable(const struct pass *p, const struct volume_candidate *c, uint32_t slot)
{
	return !c->volume->has_terms || any_passes(p, c->terms, c->volume->term_count, slot);
}

static bool taken(const struct volume_choice *chosen, size_t count, const struct volume *v)
{
	for (size_t n = 0; n < count; n++)
		if (chosen[n].volume == v)
			return true;
	return false;
}

static struct volume *find_volume(struct pass *p, const struct unbound_claim *u, uint32_t slot,
	const struct volume_choice *chosen, size_t count)
{
	for (size_t n = 0; n < u->candidate_count; n++) {
		const struct volume_candidate *c = &u->candidates[n];
		if (!taken(chosen, count, c->volume) && reachable(p, c, slot))
			return c->volume;
	}
	return NULL;
}

static bool can_make(struct pass *p, const struct claim *c, uint32_t slot)
{
	const struct storage_class *class = table_get(&p->volumes.volumes->classes, c->class);
	if (!class || !class->provisions)
		return false;
	if (!class->topology_count)
		return true;
	struct node_test *tests = make_tests(p, class->topologies, class->topology_count);
	return any_passes(p, tests, class->topology_count, slot);
}

/* False when some claim can be bound nowhere near this node. */
static bool choose(struct pass *p, uint32_t slot, struct volume_choice *chosen)
{
	for (size_t n = 0; n < p->volumes.unbound_count; n++) {
		struct claim *c = p->volumes.unbound[n].claim;
		chosen[n] = (struct volume_choice){.claim = c};
		if (c->selected_node[0]) {
			if (!streq(c->selected_node, p->s->info[slot]->name))
				return false;
			continue;
		}
		chosen[n].volume = find_volume(p, &p->volumes.unbound[n], slot, chosen, n);
		if (!chosen[n].volume && !can_make(p, c, slot))
			return false;
	}
	return true;
}

uint32_t volume_check(struct pass *p, uint32_t slot)
{
	const struct volume_pass *f = &p->volumes;
	if (f->in_use > 0)
		return REFUSED_CLAIM_IN_USE;
	for (size_t n = 0; n < f->bound_count; n++) {
		const struct bound_volume *b = &f->bound[n];
		if (!b->volume)
			return REFUSED_VOLUME_GONE;
		if (b->volume->has_terms && !any_passes(p, b->terms, b->volume->term_count, slot))
			return REFUSED_VOLUME_AFFINITY;
	}
	if (f->unbound_count && !choose(p, slot, f->chosen))
		return REFUSED_NO_VOLUME;
	for (size_t n = 0; n < f->bound_count; n++)
		if (!in_zones(&f->bound[n], slot))
			return REFUSED_VOLUME_ZONE;
	return FITS;
}

void volume_account(struct pass *p, const struct assigned *as, int sign)
{
	if (!streq(as->workload->ns, p->w->ns) || !as->workload->claim_count)
		return;
	for (size_t n = 0; n < p->w->claim_count; n++) {
		const struct claim *c =
			volumes_claim(p->volumes.volumes, p->w->ns, p->w->claims[n].name);
		if (c && c->access & ACCESS_RWOP && holds(as->workload, p->w->claims[n].name))
			p->volumes.in_use += sign;
	}
}

size_t volume_choose(struct pass *p, uint32_t slot, struct volume_choice **ret)
{
	*ret = arena_zalloc(p->a, (p->volumes.unbound_count + 1) * sizeof(**ret));
	return choose(p, slot, *ret) ? p->volumes.unbound_count : 0;
}
