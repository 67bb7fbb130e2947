#include "node/net/policy_map.h"

#include <stdio.h>

#include "lib/base/table.h"

#define GROUP_MAX 8
#define OWN_MAX 4

/* What a transaction is made of, in the order in which the kernel takes it: nothing is used before
 * it is there, or gone before its last use. */
enum phase {
	SETS_NEW,
	ELEMENTS_OUT,
	ELEMENTS_IN,
	CHAINS_NEW,
	RULES,
	ISOLATE_OUT,
	ISOLATE_IN,
	CHAINS_GONE,
	SETS_GONE,
	LAST,
	PHASE_COUNT,
};

/* In the kernel, for as long as rules look into it. */
struct set {
	char *key; /* in m->sets */
	unsigned refs;
	uint8_t kind;
	uint32_t id[2]; /* IPv4, IPv6; of PORTS the first alone */
	struct arena arena;
	struct policy_group group;	/* PEERS, NAMED: pods that are in it */
	struct policy_port_name port;	/* NAMED */
	const struct policy_rule *rule; /* RANGES, PORTS: a copy of these parts */
};

struct compiled {
	uint32_t chain; /* 0: no pod here is selected by it */
	unsigned refs;	/* chains of pods that jump to it */
	bool stale;	/* the policy is another one since */
	VEC(struct set *) sets;
};

struct known_policy {
	struct policy *policy;
	uint32_t serial; /* keeps lists of policies in one order */
	struct compiled in[2];
};

struct namespace
{
	char *name;
	bool known; /* its labels are */
	struct arena arena;
	const struct object_label *labels;
	size_t label_count;
	VEC(struct known_policy *) policies;
};

/* Of all pods that the same policies select. */
struct pod_chain {
	char *key; /* in m->chains */
	uint32_t id;
	unsigned refs; /* addresses */
	enum policy_direction direction;
	VEC(struct known_policy *) policies;
};

struct pod {
	struct arena arena;
	struct policy_pod is;
};

struct address {
	struct net_address is;
	VEC(struct pod *) pods; /* who says to have it; newest last */
	struct pod_chain *chains[2];
	bool local; /* in m->local */
};

struct policy_map {
	bool bridge;
	struct policy_range group[GROUP_MAX];
	size_t group_count;
	struct net_address own[OWN_MAX];
	size_t own_count;
	struct table namespaces, pods, addresses, policies, sets, chains;
	VEC(struct set *) dynamic; /* PEERS and NAMED */
	VEC(struct address *) local;
	size_t isolated[2]; /* addresses by family, in either direction */
	uint32_t last_id, last_serial;
	bool v6;      /* sets of IPv6 are kept too: an isolated pod has such an address */
	bool there;   /* the kernel has tables */
	bool rebuild; /* this change can't be said as a difference */
	bool held;    /* nobody is isolated before policy_map_release */
	netd_policy_ops phases[PHASE_COUNT];
};

/* ---- operations ---- */

static void say(struct policy_map *m, enum phase p, struct netd_policy_op op)
{
	VEC_PUSH(&m->phases[p], op);
}

static uint32_t family_of(int f)
{
	return f ? AF_INET6 : AF_INET;
}

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
			say(m, SETS_NEW, (struct netd_policy_op){.type = NETD_POLICY_CLEAR});
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

/* ---- sets ---- */

static bool namespace_matches(
	const struct policy_group *g, const char *ns, const struct namespace *n)
{
	if (g->ns)
		return streq(g->ns, ns);
	if (g->all_namespaces)
		return true;
	return n && n->known && selector_matches_labels(&g->namespaces, n->labels, n->label_count);
}

static bool is_peer(const struct policy_map *m, const struct policy_group *g, const struct pod *p)
{
	if (!p || p->is.gone || (g->local && !p->is.local))
		return false;
	if (g->ns ? !streq(g->ns, p->is.ns)
		  : !namespace_matches(g, p->is.ns, table_get(&m->namespaces, p->is.ns)))
		return false;
	return selector_matches_labels(&g->pods, p->is.labels, p->is.label_count);
}

/* Of several that say to have the address. */
static struct pod *owner_of(const struct address *a)
{
	struct pod *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < a->pods.count; i++) {
		struct pod *p = a->pods.items[i];
		int rank = !p->is.gone ? 2 + p->is.local : p->is.local;

		if (rank >= best_rank && (rank || !best)) {
			best = p;
			best_rank = rank;
		}
	}
	return best;
}

static bool has_port(
	const struct pod *p, const struct policy_port_name *port, size_t before, uint16_t number)
{
	for (size_t i = 0; p && i < before; i++)
		if (p->is.ports[i].proto == port->proto && p->is.ports[i].port == number &&
			streq(p->is.ports[i].name, port->name))
			return true;
	return false;
}

/* The elements that `now` has in the set at this address, and `was` had not. */
static void say_elements(struct policy_map *m, enum phase phase, const struct set *s,
	const struct net_address *address, const struct pod *now, const struct pod *was)
{
	int f = address->family == AF_INET6;
	struct netd_policy_op op = {
		.type = NETD_POLICY_ELEMENT,
		.remove = phase == ELEMENTS_OUT,
		.set = s->kind,
		.family = address->family,
		.id = s->id[f],
		.address = *address,
	};

	if (!now || !op.id)
		return;
	if (s->kind == NETD_SET_PEERS) {
		if (!was)
			say(m, phase, op);
		return;
	}
	for (size_t i = 0; i < now->is.port_count; i++) {
		const struct policy_port_name *port = &now->is.ports[i];

		if (port->proto != s->port.proto || !streq(port->name, s->port.name) ||
			has_port(now, port, i, port->port) ||
			(was && has_port(was, port, was->is.port_count, port->port)))
			continue;
		op.proto = port->proto;
		op.port = port->port;
		say(m, phase, op);
	}
}

static void say_set(struct policy_map *m, const struct set *s)
{
	for (int f = 0; f < 2; f++)
		if (s->id[f])
			say(m, SETS_NEW,
				(struct netd_policy_op){.type = NETD_POLICY_SET_NEW,
					.set = s->kind,
					.id = s->id[f],
					.family = s->kind == NETD_SET_PORTS ? 0 : family_of(f)});
	if (s->kind == NETD_SET_PEERS || s->kind == NETD_SET_NAMED) {
		for (struct table_iter i = table_iterate(&m->addresses); table_next(&i);) {
			const struct address *a = i.value;
			const struct pod *p = owner_of(a);

			if (is_peer(m, &s->group, p))
				say_elements(m, ELEMENTS_IN, s, &a->is, p, NULL);
		}
		return;
	}
	struct netd_policy_op op = {.type = NETD_POLICY_ELEMENT, .set = s->kind};
	if (s->kind == NETD_SET_RANGES) {
		for (size_t i = 0; i < s->rule->range_count; i++) {
			op.address = s->rule->ranges[i].first;
			op.last = s->rule->ranges[i].last;
			op.family = op.address.family;
			op.id = s->id[op.family == AF_INET6];
			if (op.id)
				say(m, ELEMENTS_IN, op);
		}
		return;
	}
	op.id = s->id[0];
	for (size_t i = 0; i < s->rule->port_count; i++) {
		op.proto = s->rule->ports[i].proto;
		op.port = s->rule->ports[i].first;
		op.last_port = s->rule->ports[i].last;
		say(m, ELEMENTS_IN, op);
	}
}

static void group_key(struct buf *out, const struct policy_group *g)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	buf_add_str(out, g->local ? "local " : "");
	if (g->ns)
		buf_printf(out, "in %s", g->ns);
	else if (!g->all_namespaces)
		buf_printf(out, "%s namespaces %s", g->namespaces.nothing ? "no" : "of",
			selector_text(&a, &g->namespaces));
	buf_printf(out, " %s pods %s", g->pods.nothing ? "no" : "the", selector_text(&a, &g->pods));
}

static struct policy_group copy_group(struct arena *a, const struct policy_group *g)
{
	struct policy_group copy = *g;

	copy.ns = g->ns ? arena_strdup(a, g->ns) : NULL;
	copy.namespaces = selector_copy(a, &g->namespaces);
	copy.pods = selector_copy(a, &g->pods);
	return copy;
}

static struct policy_rule *copy_lists(struct arena *a, const struct policy_rule *r)
{
	struct policy_rule *copy = ARENA_NEW(a, struct policy_rule);

	copy->range_count = r->range_count;
	copy->range4_count = r->range4_count;
	copy->port_count = r->port_count;
	copy->ranges = (struct policy_range *)arena_memdup(
		a, r->ranges, r->range_count * sizeof(*r->ranges));
	copy->ports = (struct policy_port_range *)arena_memdup(
		a, r->ports, r->port_count * sizeof(*r->ports));
	return copy;
}

static void lists_key(struct buf *out, const struct policy_rule *r, uint8_t kind)
{
	if (kind == NETD_SET_PORTS)
		for (size_t i = 0; i < r->port_count; i++)
			buf_printf(out, " %u:%u-%u", r->ports[i].proto, r->ports[i].first,
				r->ports[i].last);
	else
		for (size_t i = 0; i < r->range_count; i++) {
			char first[NET_ADDRESS_TEXT], last[NET_ADDRESS_TEXT];

			buf_printf(out, " %s-%s", net_address_format(&r->ranges[i].first, first),
				net_address_format(&r->ranges[i].last, last));
		}
}

/* The set of this content; kept with c until the policy is compiled again. */
static struct set *take_set(struct policy_map *m, struct compiled *c, uint8_t kind,
	const struct policy_group *g, const struct policy_port_name *port,
	const struct policy_rule *rule)
{
	_cleanup_(buf_finish) struct buf key = BUF_INIT;
	struct set *s;

	buf_printf(&key, "%u", kind);
	if (port)
		buf_printf(&key, " %u %s ", port->proto, port->name);
	if (g)
		group_key(&key, g);
	else
		lists_key(&key, rule, kind);
	s = table_get(&m->sets, key.data);
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->key = buf_take(&key);
		s->kind = kind;
		s->arena.first_size = 256;
		s->id[0] = ++m->last_id;
		if (kind != NETD_SET_PORTS && m->v6)
			s->id[1] = ++m->last_id;
		if (g)
			s->group = copy_group(&s->arena, g);
		else
			s->rule = copy_lists(&s->arena, rule);
		if (port)
			s->port = (struct policy_port_name){
				arena_strdup(&s->arena, port->name), port->proto, 0};
		table_set(&m->sets, s->key, s);
		if (g)
			VEC_PUSH(&m->dynamic, s);
		say_set(m, s);
	}
	s->refs++;
	VEC_PUSH(&c->sets, s);
	return s;
}

static void free_set(struct set *s)
{
	arena_finish(&s->arena);
	free(s->key);
	free(s);
}

static void drop_set(struct policy_map *m, struct set *s)
{
	if (--s->refs)
		return;
	for (int f = 0; f < 2; f++)
		if (s->id[f])
			say(m, SETS_GONE,
				(struct netd_policy_op){.type = NETD_POLICY_SET_DELETE,
					.set = s->kind,
					.id = s->id[f],
					.family = s->kind == NETD_SET_PORTS ? 0 : family_of(f)});
	table_remove(&m->sets, s->key);
	for (size_t i = 0; i < m->dynamic.count; i++)
		if (m->dynamic.items[i] == s) {
			m->dynamic.items[i] = m->dynamic.items[--m->dynamic.count];
			break;
		}
	free_set(s);
}

/* ---- policies ---- */

/* One rule of the kernel for each family that it is about. */
static void say_allow(struct policy_map *m, uint32_t chain, enum policy_direction d,
	const struct set *peers, const struct set *ports)
{
	struct netd_policy_op op = {.type = NETD_POLICY_ALLOW,
		.direction = (uint8_t)d,
		.id = chain,
		.set = peers ? peers->kind : 0,
		.ports_set = ports ? ports->kind : 0};

	if (!peers && (!ports || ports->kind == NETD_SET_PORTS)) {
		op.ports = ports ? ports->id[0] : 0;
		say(m, RULES, op);
		return;
	}
	for (int f = 0; f < 2; f++) {
		if (f && !m->v6)
			continue;
		/* A range of one family says nothing about the other one. */
		if (peers && peers->kind == NETD_SET_RANGES &&
			(f ? peers->rule->range4_count == peers->rule->range_count
			   : peers->rule->range4_count == 0))
			continue;
		op.family = family_of(f);
		op.peers = peers ? peers->id[f] : 0;
		op.ports = ports ? ports->id[ports->kind == NETD_SET_PORTS ? 0 : f] : 0;
		say(m, RULES, op);
	}
}

/* A named port is a number at each destination: here pods that the policy selects (ingress), or
 * those that the peer is (egress), any for ranges. */
static void compile_names(struct policy_map *m, struct known_policy *k, enum policy_direction d,
	const struct policy_rule *rule, const struct set *peers)
{
	struct policy_group g = {.all_namespaces = true};

	if (d == POLICY_INGRESS)
		g = (struct policy_group){
			.ns = k->policy->ns, .pods = k->policy->pods, .local = true};
	else if (peers && peers->kind == NETD_SET_PEERS)
		g = peers->group;
	for (size_t i = 0; i < rule->name_count; i++)
		say_allow(m, k->in[d].chain, d, peers,
			take_set(m, &k->in[d], NETD_SET_NAMED, &g, &rule->names[i], NULL));
}

static void compile_peer(struct policy_map *m, struct known_policy *k, enum policy_direction d,
	const struct policy_rule *rule, const struct set *peers)
{
	if (rule->any_port) {
		say_allow(m, k->in[d].chain, d, peers, NULL);
		return;
	}
	if (rule->port_count)
		say_allow(m, k->in[d].chain, d, peers,
			take_set(m, &k->in[d], NETD_SET_PORTS, NULL, NULL, rule));
	compile_names(m, k, d, rule, peers);
}

static void compile_rules(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	struct compiled *c = &k->in[d];

	c->stale = false;
	for (size_t i = 0; i < k->policy->rule_count[d]; i++) {
		const struct policy_rule *rule = &k->policy->rules[d][i];

		if (rule->any_peer)
			compile_peer(m, k, d, rule, NULL);
		for (size_t g = 0; g < rule->group_count; g++)
			compile_peer(m, k, d, rule,
				take_set(m, c, NETD_SET_PEERS, &rule->groups[g], NULL, NULL));
		if (rule->range_count)
			compile_peer(
				m, k, d, rule, take_set(m, c, NETD_SET_RANGES, NULL, NULL, rule));
	}
}

static void say_chain(struct policy_map *m, enum phase phase, uint8_t type, uint32_t id)
{
	say(m, phase, (struct netd_policy_op){.type = type, .id = id});
}

static void take_policy(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	struct compiled *c = &k->in[d];

	if (c->refs++)
		return;
	c->chain = ++m->last_id;
	say_chain(m, CHAINS_NEW, NETD_POLICY_CHAIN_NEW, c->chain);
	compile_rules(m, k, d);
}

static void drop_sets(struct policy_map *m, struct set **sets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		drop_set(m, sets[i]);
}

static void drop_policy(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	struct compiled *c = &k->in[d];

	if (--c->refs)
		return;
	say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_EMPTY, c->chain);
	say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_DELETE, c->chain);
	drop_sets(m, c->sets.items, c->sets.count);
	VEC_FINISH(&c->sets);
	c->chain = 0;
	c->stale = false;
}

/* The policy changed while pods stayed with it. */
static void compile_again(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	struct compiled *c = &k->in[d], old = *c;

	memset(&c->sets, 0, sizeof(c->sets));
	say_chain(m, RULES, NETD_POLICY_CHAIN_EMPTY, c->chain);
	compile_rules(m, k, d);
	drop_sets(m, old.sets.items, old.sets.count);
	VEC_FINISH(&old.sets);
}

/* ---- chains of pods ---- */

static void say_pod_chain(struct policy_map *m, const struct pod_chain *c)
{
	say_chain(m, CHAINS_NEW, NETD_POLICY_CHAIN_NEW, c->id);
	for (size_t i = 0; i < c->policies.count; i++)
		say(m, RULES,
			(struct netd_policy_op){.type = NETD_POLICY_JUMP,
				.id = c->id,
				.peers = c->policies.items[i]->in[c->direction].chain});
	say(m, RULES, (struct netd_policy_op){.type = NETD_POLICY_DROP, .id = c->id});
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
		take_policy(m, c->policies.items[i], d);
	c->id = ++m->last_id;
	table_set(&m->chains, c->key, c);
	say_pod_chain(m, c);
	return c;
}

static void drop_chain(struct policy_map *m, struct pod_chain *c)
{
	if (!c || --c->refs)
		return;
	say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_EMPTY, c->id);
	say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_DELETE, c->id);
	for (size_t i = 0; i < c->policies.count; i++)
		drop_policy(m, c->policies.items[i], c->direction);
	table_remove(&m->chains, c->key);
	VEC_FINISH(&c->policies);
	free(c->key);
	free(c);
}

static void say_isolate(struct policy_map *m, const struct address *a, enum policy_direction d,
	const struct pod_chain *c, bool remove)
{
	say(m, remove ? ISOLATE_OUT : ISOLATE_IN,
		(struct netd_policy_op){.type = NETD_POLICY_ISOLATE,
			.remove = remove,
			.direction = (uint8_t)d,
			.id = c->id,
			.address = a->is});
}

static void say_self(struct policy_map *m, const struct address *a, bool remove)
{
	say(m, remove ? ISOLATE_OUT : ISOLATE_IN,
		(struct netd_policy_op){
			.type = NETD_POLICY_SELF, .remove = remove, .address = a->is});
}

static void say_groups(struct policy_map *m)
{
	for (size_t i = 0; i < m->group_count; i++)
		say(m, ISOLATE_IN,
			(struct netd_policy_op){.type = NETD_POLICY_GROUP,
				.family = m->group[i].first.family,
				.address = m->group[i].first,
				.last = m->group[i].last});
	for (size_t i = 0; i < m->own_count; i++)
		say(m, ISOLATE_IN,
			(struct netd_policy_op){.type = NETD_POLICY_OWN, .address = m->own[i]});
}

/* Brings the address into the chains that its pod should have. */
static void isolate(struct policy_map *m, struct address *a)
{
	struct pod *p = m->held ? NULL : owner_of(a);
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
	say(m, SETS_NEW, (struct netd_policy_op){.type = NETD_POLICY_RESET, .bridge = m->bridge});
	for (struct table_iter i = table_iterate(&m->sets); table_next(&i);) {
		struct set *s = i.value;

		if (m->v6 && !s->id[1] && s->kind != NETD_SET_PORTS)
			s->id[1] = ++m->last_id;
		say_set(m, s);
	}
	for (struct table_iter i = table_iterate(&m->policies); table_next(&i);) {
		struct known_policy *k = i.value;

		for (int d = 0; d < 2; d++) {
			if (!k->in[d].refs)
				continue;
			say_chain(m, CHAINS_NEW, NETD_POLICY_CHAIN_NEW, k->in[d].chain);
			struct compiled old = k->in[d];
			/* The same sets again: none of them is new or goes. */
			memset(&k->in[d].sets, 0, sizeof(k->in[d].sets));
			compile_rules(m, k, (enum policy_direction)d);
			drop_sets(m, old.sets.items, old.sets.count);
			VEC_FINISH(&old.sets);
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
	struct pod *before = owner_of(a), *after;
	bool isolated;

	replace_claim(a, old, new);
	after = owner_of(a);
	for (size_t i = 0; i < m->dynamic.count; i++) {
		const struct set *s = m->dynamic.items[i];
		struct pod *was = before && is_peer(m, &s->group, before) ? before : NULL;
		struct pod *now = after && is_peer(m, &s->group, after) ? after : NULL;

		say_elements(m, ELEMENTS_OUT, s, is, was, now);
		say_elements(m, ELEMENTS_IN, s, is, now, was);
	}
	set_local(m, a, after && after->is.local);
	isolate(m, a);
	isolated = a->chains[0] || a->chains[1];
	if (isolated && (!before || !streq(before->is.uid, after->is.uid)))
		say(m, LAST, (struct netd_policy_op){.type = NETD_POLICY_FORGET, .address = *is});
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
		was[i] = namespace_matches(&m->dynamic.items[i]->group, name, n);
	set_labels(n, labels, count);
	for (size_t i = 0; i < m->dynamic.count; i++)
		any |= was[i] != namespace_matches(&m->dynamic.items[i]->group, name, n);
	for (struct table_iter it = table_iterate(&m->addresses); any && table_next(&it);) {
		const struct address *a = it.value;
		struct pod *p = owner_of(a);

		if (!p || p->is.gone || !streq(p->is.ns, name))
			continue;
		for (size_t i = 0; i < m->dynamic.count; i++) {
			const struct set *s = m->dynamic.items[i];
			bool is = namespace_matches(&s->group, name, n);

			if (is == was[i] || (s->group.local && !p->is.local) ||
				!selector_matches_labels(
					&s->group.pods, p->is.labels, p->is.label_count))
				continue;
			say_elements(m, is ? ELEMENTS_IN : ELEMENTS_OUT, s, &a->is, p, NULL);
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
		const struct pod *p = owner_of(m->local.items[i]);

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
			compile_again(m, k, (enum policy_direction)d);
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
		free_set(i.value);
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
