/* policy_map.c - see policy_map.h and policy_state.h */
#include "node/net/policy/policy_map.h"

#include <stdio.h>

#include "node/net/policy/policy_state.h"

/* ---- operations ---- */

static void put_all(struct policy_map *m);

static void forget_phases(struct policy_map *m, enum phase until)
{
	for (int p = 0; p < (int)until; p++)
		m->phases[p].count = 0;
}

/* The end of each change. */
static void deliver(struct policy_map *m, netd_policy_ops *ops)
{
	bool wanted = m->chains.count != 0;

	if (!wanted) {
		forget_phases(m, PHASE_COUNT);
		if (m->there)
			policy_say(m, SETS_NEW, (struct netd_policy_op){.type = NETD_POLICY_CLEAR});
	} else if (!m->there || m->rebuild) {
		forget_phases(m, LAST);
		put_all(m);
	}
	m->there = wanted;
	m->rebuild = false;
	for (int p = 0; p < PHASE_COUNT; p++) {
		for (size_t i = 0; i < m->phases[p].count; i++)
			VEC_PUSH(ops, m->phases[p].items[i]);
		/* What a large change took is not kept for small ones. */
		VEC_FINISH(&m->phases[p]);
	}
}

/* ---- chains of pods ---- */

static void say_pod_chain(struct policy_map *m, const struct pod_chain *c)
{
	policy_say_chain(m, CHAINS_NEW, NETD_POLICY_CHAIN_NEW, c->id);
	for (size_t i = 0; i < c->policies.count; i++)
		policy_say(m, RULES,
			(struct netd_policy_op){.type = NETD_POLICY_JUMP,
				.id = c->id,
				.peers = c->policies.items[i]->in[c->direction].chain});
	policy_say(m, RULES, (struct netd_policy_op){.type = NETD_POLICY_DROP, .id = c->id});
}

/* The chain for a pod, NULL when no policy isolates it. */
static struct pod_chain *take_chain(
	struct policy_map *m, const struct pod *p, enum policy_direction d)
{
	const struct namespace *ns = table_get(&m->namespaces, p->is.ns);
	_cleanup_(buf_finish) struct buf key = BUF_INIT;
	VEC(struct known_policy *) list = {0};
	struct pod_chain *c;

	/* A namespace's policies are in the order of their serial numbers. */
	for (size_t i = 0; ns && i < ns->policies.count; i++) {
		struct known_policy *k = ns->policies.items[i];

		if (!k->policy || !k->policy->isolates[d] ||
			!selector_matches_labels(&k->policy->pods, p->is.labels, p->is.label_count))
			continue;
		VEC_PUSH(&list, k);
		buf_printf(&key, "%s%u",
			key.size	      ? ","
			: d == POLICY_INGRESS ? "in "
					      : "out ",
			k->serial);
	}
	if (!list.count)
		return NULL;
	c = table_get(&m->chains, key.data);
	if (c) {
		c->refs++;
		VEC_FINISH(&list);
		return c;
	}
	c = xcalloc(1, sizeof(*c));
	c->key = buf_take(&key);
	c->refs = 1;
	c->direction = d;
	c->policies.items = list.items;
	c->policies.count = list.count;
	c->policies.room = list.room;
	for (size_t i = 0; i < c->policies.count; i++)
		policy_compile(m, c->policies.items[i], d);
	c->id = ++m->last_id;
	table_set(&m->chains, c->key, c);
	say_pod_chain(m, c);
	return c;
}

static void drop_chain(struct policy_map *m, struct pod_chain *c)
{
	if (!c || --c->refs)
		return;
	policy_say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_EMPTY, c->id);
	policy_say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_DELETE, c->id);
	for (size_t i = 0; i < c->policies.count; i++)
		policy_compiled_drop(m, c->policies.items[i], c->direction);
	table_remove(&m->chains, c->key);
	VEC_FINISH(&c->policies);
	free(c->key);
	free(c);
}

static void say_isolate(struct policy_map *m, const struct address *a, enum policy_direction d,
	const struct pod_chain *c, bool remove)
{
	policy_say(m, remove ? ISOLATE_OUT : ISOLATE_IN,
		(struct netd_policy_op){.type = NETD_POLICY_ISOLATE,
			.remove = remove,
			.direction = (uint8_t)d,
			.id = c->id,
			.address = a->is});
}

static void say_self(struct policy_map *m, const struct address *a, bool remove)
{
	policy_say(m, remove ? ISOLATE_OUT : ISOLATE_IN,
		(struct netd_policy_op){
			.type = NETD_POLICY_SELF, .remove = remove, .address = a->is});
}

static void say_groups(struct policy_map *m)
{
	for (size_t i = 0; i < m->group_count; i++)
		policy_say(m, ISOLATE_IN,
			(struct netd_policy_op){.type = NETD_POLICY_GROUP,
				.family = m->group[i].first.family,
				.address = m->group[i].first,
				.last = m->group[i].last});
	for (size_t i = 0; i < m->own_count; i++)
		policy_say(m, ISOLATE_IN,
			(struct netd_policy_op){.type = NETD_POLICY_OWN, .address = m->own[i]});
}

/* Brings the address into the chains that its pod should have. */
static void isolate(struct policy_map *m, struct address *a)
{
	struct pod *p = m->held ? NULL : policy_owner(a);
	bool was = a->chains[0] || a->chains[1], is = false;

	for (int d = 0; d < 2; d++) {
		struct pod_chain *old = a->chains[d];
		struct pod_chain *new =
			p && p->is.local ? take_chain(m, p, (enum policy_direction)d) : NULL;

		if (new != old) {
			if (old)
				say_isolate(m, a, (enum policy_direction)d, old, true);
			if (new)
				say_isolate(m, a, (enum policy_direction)d, new, false);
		}
		a->chains[d] = new;
		drop_chain(m, old);
		is |= new != NULL;
	}
	if (is == was)
		return;
	if (a->is.family == AF_INET6 && is && !m->v6)
		m->v6 = m->rebuild = true;
	m->isolated[a->is.family == AF_INET6] += is ? 1 : (size_t)-1;
}

/* ---- everything ---- */

/* As it would have to be said to a kernel that has nothing of it. */
static void put_all(struct policy_map *m)
{
	policy_say(m, SETS_NEW,
		(struct netd_policy_op){.type = NETD_POLICY_RESET, .bridge = m->bridge});
	for (struct table_iter i = table_iterate(&m->sets); table_next(&i);) {
		struct set *s = i.value;

		if (m->v6 && !s->id[1] && s->kind != NETD_SET_PORTS)
			s->id[1] = ++m->last_id;
		policy_say_set(m, s);
	}
	for (struct table_iter i = table_iterate(&m->policies); table_next(&i);) {
		struct known_policy *k = i.value;

		for (int d = 0; d < 2; d++) {
			if (k->in[d].refs)
				policy_say_compiled(m, k, (enum policy_direction)d);
		}
	}
	for (struct table_iter i = table_iterate(&m->chains); table_next(&i);)
		say_pod_chain(m, i.value);
	for (size_t i = 0; i < m->local.count; i++) {
		const struct address *a = m->local.items[i];

		for (int d = 0; d < 2; d++)
			if (a->chains[d])
				say_isolate(m, a, (enum policy_direction)d, a->chains[d], false);
		say_self(m, a, false);
	}
	say_groups(m);
}

void policy_map_all(struct policy_map *m, netd_policy_ops *ops)
{
	m->there = true; /* perhaps: whatever an earlier agent left */
	m->rebuild = true;
	deliver(m, ops);
}

/* ---- pods ---- */

static struct pod *copy_pod(const struct policy_pod *from)
{
	struct pod *p = xcalloc(1, sizeof(*p));
	struct arena *a = &p->arena;
	struct object_label *labels;
	struct policy_port_name *ports;

	a->first_size = 256;
	p->is = *from;
	p->is.uid = arena_strdup(a, from->uid);
	p->is.ns = arena_strdup(a, from->ns);
	labels = arena_alloc(a, (from->label_count + 1) * sizeof(*labels));
	for (size_t i = 0; i < from->label_count; i++)
		labels[i] = (struct object_label){arena_strdup(a, from->labels[i].key),
			arena_strdup(a, from->labels[i].value)};
	p->is.labels = labels;
	p->is.address_count = MIN(from->address_count, (size_t)POLICY_POD_ADDRESSES_MAX);
	p->is.addresses = p->is.address_count
				  ? (const struct net_address *)arena_memdup(a, from->addresses,
					    p->is.address_count * sizeof(*from->addresses))
				  : NULL;
	ports = arena_alloc(a, (from->port_count + 1) * sizeof(*ports));
	for (size_t i = 0; i < from->port_count; i++) {
		ports[i] = from->ports[i];
		ports[i].name = arena_strdup(a, from->ports[i].name);
	}
	p->is.ports = ports;
	return p;
}

static void free_pod(struct pod *p)
{
	if (!p)
		return;
	arena_finish(&p->arena);
	free(p);
}

static bool same_pod(const struct policy_pod *a, const struct policy_pod *b)
{
	if (a->local != b->local || a->gone != b->gone || a->address_count != b->address_count ||
		a->port_count != b->port_count || !streq(a->ns, b->ns) ||
		(a->address_count && memcmp(a->addresses, b->addresses,
					     a->address_count * sizeof(*a->addresses)) != 0) ||
		!object_labels_equal(a->labels, a->label_count, b->labels, b->label_count))
		return false;
	for (size_t i = 0; i < a->port_count; i++)
		if (a->ports[i].port != b->ports[i].port ||
			a->ports[i].proto != b->ports[i].proto ||
			!streq(a->ports[i].name, b->ports[i].name))
			return false;
	return true;
}

static struct address *address_at(struct policy_map *m, const struct net_address *is)
{
	char key[NET_ADDRESS_TEXT];
	struct address *a = table_get(&m->addresses, net_address_format(is, key));

	if (!a) {
		a = xcalloc(1, sizeof(*a));
		a->is = *is;
		table_set(&m->addresses, key, a);
	}
	return a;
}

static void set_local(struct policy_map *m, struct address *a, bool local)
{
	if (a->local == local)
		return;
	a->local = local;
	say_self(m, a, !local);
	if (local) {
		VEC_PUSH(&m->local, a);
		return;
	}
	for (size_t i = 0; i < m->local.count; i++)
		if (m->local.items[i] == a) {
			m->local.items[i] = m->local.items[--m->local.count];
			return;
		}
}

static void replace_claim(struct address *a, const struct pod *old, struct pod *new)
{
	for (size_t i = 0; old && i < a->pods.count; i++) {
		if (a->pods.items[i] != old)
			continue;
		if (new)
			a->pods.items[i] = new;
		else
			VEC_REMOVE(&a->pods, i);
		return;
	}
	if (new)
		VEC_PUSH(&a->pods, new);
}

/* One address of a pod that changed, both its records being there. */
static void settle(
	struct policy_map *m, const struct net_address *is, const struct pod *old, struct pod *new)
{
	struct address *a = address_at(m, is);
	struct pod *before = policy_owner(a), *after;
	bool isolated;

	replace_claim(a, old, new);
	after = policy_owner(a);
	for (size_t i = 0; i < m->dynamic.count; i++) {
		const struct set *s = m->dynamic.items[i];
		struct pod *was = before && policy_is_peer(m, &s->group, before) ? before : NULL;
		struct pod *now = after && policy_is_peer(m, &s->group, after) ? after : NULL;

		policy_say_elements(m, ELEMENTS_OUT, s, is, was, now);
		policy_say_elements(m, ELEMENTS_IN, s, is, now, was);
	}
	set_local(m, a, after && after->is.local);
	isolate(m, a);
	isolated = a->chains[0] || a->chains[1];
	if (isolated && (!before || !streq(before->is.uid, after->is.uid)))
		policy_say(m, LAST,
			(struct netd_policy_op){.type = NETD_POLICY_FORGET, .address = *is});
	if (!a->pods.count) {
		char key[NET_ADDRESS_TEXT];

		table_remove(&m->addresses, net_address_format(is, key));
		VEC_FINISH(&a->pods);
		free(a);
	}
}

static bool lists(const struct pod *p, const struct net_address *a, size_t before)
{
	for (size_t i = 0; p && i < before; i++)
		if (net_address_eq(&p->is.addresses[i], a))
			return true;
	return false;
}

static void change_pod(struct policy_map *m, struct pod *old, struct pod *new)
{
	for (size_t i = 0; old && i < old->is.address_count; i++) {
		const struct net_address *a = &old->is.addresses[i];

		if (!lists(old, a, i) && !(new &&lists(new, a, new->is.address_count)))
			settle(m, a, old, NULL);
	}
	for (size_t i = 0; new &&i < new->is.address_count; i++)
		if (!lists(new, &new->is.addresses[i], i))
			settle(m, &new->is.addresses[i], old, new);
}

void policy_map_set_pod(struct policy_map *m, const struct policy_pod *from, netd_policy_ops *ops)
{
	struct pod *old = table_get(&m->pods, from->uid), *new;

	if (old && same_pod(&old->is, from))
		return;
	new = copy_pod(from);
	table_set(&m->pods, new->is.uid, new);
	change_pod(m, old, new);
	free_pod(old);
	deliver(m, ops);
}

void policy_map_remove_pod(struct policy_map *m, const char *uid, netd_policy_ops *ops)
{
	struct pod *old = table_remove(&m->pods, uid);

	if (!old)
		return;
	change_pod(m, old, NULL);
	free_pod(old);
	deliver(m, ops);
}

/* ---- namespaces ---- */

static struct namespace *namespace_at(struct policy_map *m, const char *name)
{
	struct namespace *n = table_get(&m->namespaces, name);

	if (!n) {
		n = xcalloc(1, sizeof(*n));
		n->name = xstrdup(name);
		n->arena.first_size = 128;
		table_set(&m->namespaces, name, n);
	}
	return n;
}

static void free_namespace(struct namespace *n)
{
	arena_finish(&n->arena);
	VEC_FINISH(&n->policies);
	free(n->name);
	free(n);
}

static void drop_namespace(struct policy_map *m, struct namespace *n)
{
	if (n->known || n->policies.count)
		return;
	table_remove(&m->namespaces, n->name);
	free_namespace(n);
}

static void set_labels(struct namespace *n, const struct object_label *labels, size_t count)
{
	struct object_label *copy;

	arena_finish(&n->arena);
	n->arena.first_size = 128;
	n->known = labels != NULL;
	n->label_count = labels ? count : 0;
	copy = arena_alloc(&n->arena, (n->label_count + 1) * sizeof(*copy));
	for (size_t i = 0; i < n->label_count; i++)
		copy[i] = (struct object_label){arena_strdup(&n->arena, labels[i].key),
			arena_strdup(&n->arena, labels[i].value)};
	n->labels = copy;
}

void policy_map_set_namespace(struct policy_map *m, const char *name,
	const struct object_label *labels, size_t count, netd_policy_ops *ops)
{
	struct namespace *n = namespace_at(m, name);
	_cleanup_(free_p) bool *was = xcalloc(m->dynamic.count + 1, sizeof(*was));
	bool any = false;

	for (size_t i = 0; i < m->dynamic.count; i++)
		was[i] = policy_namespace_matches(&m->dynamic.items[i]->group, name, n);
	set_labels(n, labels, count);
	for (size_t i = 0; i < m->dynamic.count; i++)
		any |= was[i] != policy_namespace_matches(&m->dynamic.items[i]->group, name, n);
	for (struct table_iter it = table_iterate(&m->addresses); any && table_next(&it);) {
		const struct address *a = it.value;
		struct pod *p = policy_owner(a);

		if (!p || p->is.gone || !streq(p->is.ns, name))
			continue;
		for (size_t i = 0; i < m->dynamic.count; i++) {
			const struct set *s = m->dynamic.items[i];
			bool is = policy_namespace_matches(&s->group, name, n);

			if (is == was[i] || (s->group.local && !p->is.local) ||
				!selector_matches_labels(
					&s->group.pods, p->is.labels, p->is.label_count))
				continue;
			policy_say_elements(m, is ? ELEMENTS_IN : ELEMENTS_OUT, s, &a->is, p, NULL);
		}
	}
	drop_namespace(m, n);
	deliver(m, ops);
}

/* ---- policies ---- */

static void free_known(struct known_policy *k)
{
	policy_destroy(k->policy);
	VEC_FINISH(&k->in[0].sets);
	VEC_FINISH(&k->in[1].sets);
	free(k);
}

static bool selects(const struct policy *policy, const struct pod *p)
{
	return policy && selector_matches_labels(&policy->pods, p->is.labels, p->is.label_count);
}

/* For others than those that it selected or selects nothing changes. */
static void isolate_selected(
	struct policy_map *m, const char *ns, const struct policy *old, const struct policy *new)
{
	for (size_t i = 0; i < m->local.count; i++) {
		const struct pod *p = policy_owner(m->local.items[i]);

		if (p && streq(p->is.ns, ns) && (selects(old, p) || selects(new, p)))
			isolate(m, m->local.items[i]);
	}
}

void policy_map_set_policy(struct policy_map *m, const char *ns, const char *name,
	struct policy *policy, netd_policy_ops *ops)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", ns, name);
	struct known_policy *k = table_get(&m->policies, key);
	struct namespace *n;
	struct policy *old;

	if (!k && !policy)
		return;
	n = namespace_at(m, ns);
	if (!k) {
		k = xcalloc(1, sizeof(*k));
		k->serial = ++m->last_serial;
		table_set(&m->policies, key, k);
		VEC_PUSH(&n->policies, k);
	}
	old = k->policy;
	k->policy = policy;
	for (int d = 0; d < 2; d++)
		k->in[d].stale = k->in[d].refs != 0;
	isolate_selected(m, ns, old, policy);
	for (int d = 0; d < 2; d++)
		if (k->in[d].refs && k->in[d].stale)
			policy_compile_again(m, k, (enum policy_direction)d);
	policy_destroy(old);
	if (!policy) {
		table_remove(&m->policies, key);
		for (size_t i = 0; i < n->policies.count; i++)
			if (n->policies.items[i] == k) {
				VEC_REMOVE(&n->policies, i);
				break;
			}
		free_known(k);
		drop_namespace(m, n);
	}
	deliver(m, ops);
}

void policy_map_hold(struct policy_map *m)
{
	m->held = true;
}

void policy_map_release(struct policy_map *m, netd_policy_ops *ops)
{
	if (!m->held)
		return;
	m->held = false;
	for (size_t i = 0; i < m->local.count; i++)
		isolate(m, m->local.items[i]);
	deliver(m, ops);
}

/* ---- life ---- */

struct policy_map *policy_map_create(void)
{
	return xcalloc(1, sizeof(struct policy_map));
}

void policy_map_set_host(
	struct policy_map *m, bool bridge, const struct policy_range *group, size_t group_count)
{
	m->bridge = bridge;
	m->group_count = MIN(group_count, (size_t)GROUP_MAX);
	for (size_t i = 0; i < m->group_count; i++)
		m->group[i] = group[i];
}

void policy_map_set_own(struct policy_map *m, const struct net_address *own, size_t count)
{
	m->own_count = MIN(count, (size_t)OWN_MAX);
	for (size_t i = 0; i < m->own_count; i++)
		m->own[i] = own[i];
}

bool policy_map_applies(const struct policy_map *m, const char *ns, const char *name)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", ns, name);
	const struct known_policy *k = table_get(&m->policies, key);

	return k && (k->in[0].refs || k->in[1].refs);
}

void policy_map_destroy(struct policy_map *m)
{
	if (!m)
		return;
	for (struct table_iter i = table_iterate(&m->chains); table_next(&i);) {
		struct pod_chain *c = i.value;

		VEC_FINISH(&c->policies);
		free(c->key);
		free(c);
	}
	for (struct table_iter i = table_iterate(&m->policies); table_next(&i);)
		free_known(i.value);
	for (struct table_iter i = table_iterate(&m->sets); table_next(&i);)
		policy_set_free(i.value);
	for (struct table_iter i = table_iterate(&m->addresses); table_next(&i);) {
		struct address *a = i.value;

		VEC_FINISH(&a->pods);
		free(a);
	}
	for (struct table_iter i = table_iterate(&m->pods); table_next(&i);)
		free_pod(i.value);
	for (struct table_iter i = table_iterate(&m->namespaces); table_next(&i);)
		free_namespace(i.value);
	table_finish(&m->chains);
	table_finish(&m->policies);
	table_finish(&m->sets);
	table_finish(&m->addresses);
	table_finish(&m->pods);
	table_finish(&m->namespaces);
	VEC_FINISH(&m->dynamic);
	VEC_FINISH(&m->local);
	for (int p = 0; p < PHASE_COUNT; p++)
		VEC_FINISH(&m->phases[p]);
	free(m);
}

bool policy_map_needs_pods(const struct policy_map *m)
{
	for (size_t i = 0; i < m->dynamic.count; i++)
		if (!m->dynamic.items[i]->group.local)
			return true;
	return false;
}

bool policy_map_needs_namespaces(const struct policy_map *m)
{
	for (size_t i = 0; i < m->dynamic.count; i++) {
		const struct policy_group *g = &m->dynamic.items[i]->group;

		if (!g->ns && !g->all_namespaces)
			return true;
	}
	return false;
}

struct policy_map_counts policy_map_count(const struct policy_map *m)
{
	struct policy_map_counts c = {
		.policies = m->policies.count,
		.pods = m->pods.count,
		.isolated = m->isolated[0] + m->isolated[1],
		.sets = m->sets.count,
		.chains = m->chains.count,
	};

	for (struct table_iter i = table_iterate(&m->policies); table_next(&i);) {
		const struct known_policy *k = i.value;

		c.compiled += k->in[0].refs || k->in[1].refs;
	}
	return c;
}
