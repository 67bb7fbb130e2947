/* policy_sets.c - see policy_state.h */
#include "node/net/policy/policy_state.h"

#include <stdio.h>

/* ---- sets ---- */

bool policy_namespace_matches(
	const struct policy_group *g, const char *ns, const struct namespace *n)
{
	if (g->ns)
		return streq(g->ns, ns);
	if (g->all_namespaces)
		return true;
	return n && n->known && selector_matches_labels(&g->namespaces, n->labels, n->label_count);
}

bool policy_is_peer(const struct policy_map *m, const struct policy_group *g, const struct pod *p)
{
	if (!p || p->is.gone || (g->local && !p->is.local))
		return false;
	if (g->ns ? !streq(g->ns, p->is.ns)
		  : !policy_namespace_matches(g, p->is.ns, table_get(&m->namespaces, p->is.ns)))
		return false;
	return selector_matches_labels(&g->pods, p->is.labels, p->is.label_count);
}

struct pod *policy_owner(const struct address *a)
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

void policy_say_elements(struct policy_map *m, enum phase phase, const struct set *s,
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
			policy_say(m, phase, op);
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
		policy_say(m, phase, op);
	}
}

void policy_say_set(struct policy_map *m, const struct set *s)
{
	for (int f = 0; f < 2; f++)
		if (s->id[f])
			policy_say(m, SETS_NEW,
				(struct netd_policy_op){.type = NETD_POLICY_SET_NEW,
					.set = s->kind,
					.id = s->id[f],
					.family =
						s->kind == NETD_SET_PORTS ? 0 : policy_family(f)});
	if (s->kind == NETD_SET_PEERS || s->kind == NETD_SET_NAMED) {
		for (struct table_iter i = table_iterate(&m->addresses); table_next(&i);) {
			const struct address *a = i.value;
			const struct pod *p = policy_owner(a);

			if (policy_is_peer(m, &s->group, p))
				policy_say_elements(m, ELEMENTS_IN, s, &a->is, p, NULL);
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
				policy_say(m, ELEMENTS_IN, op);
		}
		return;
	}
	op.id = s->id[0];
	for (size_t i = 0; i < s->rule->port_count; i++) {
		op.proto = s->rule->ports[i].proto;
		op.port = s->rule->ports[i].first;
		op.last_port = s->rule->ports[i].last;
		policy_say(m, ELEMENTS_IN, op);
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
		policy_say_set(m, s);
	}
	s->refs++;
	VEC_PUSH(&c->sets, s);
	return s;
}

void policy_set_free(struct set *s)
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
			policy_say(m, SETS_GONE,
				(struct netd_policy_op){.type = NETD_POLICY_SET_DELETE,
					.set = s->kind,
					.id = s->id[f],
					.family =
						s->kind == NETD_SET_PORTS ? 0 : policy_family(f)});
	table_remove(&m->sets, s->key);
	for (size_t i = 0; i < m->dynamic.count; i++)
		if (m->dynamic.items[i] == s) {
			m->dynamic.items[i] = m->dynamic.items[--m->dynamic.count];
			break;
		}
	policy_set_free(s);
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
		policy_say(m, RULES, op);
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
		op.family = policy_family(f);
		op.peers = peers ? peers->id[f] : 0;
		op.ports = ports ? ports->id[ports->kind == NETD_SET_PORTS ? 0 : f] : 0;
		policy_say(m, RULES, op);
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

void policy_say_chain(struct policy_map *m, enum phase phase, uint8_t type, uint32_t id)
{
	policy_say(m, phase, (struct netd_policy_op){.type = type, .id = id});
}

void policy_compile(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	struct compiled *c = &k->in[d];

	if (c->refs++)
		return;
	c->chain = ++m->last_id;
	policy_say_chain(m, CHAINS_NEW, NETD_POLICY_CHAIN_NEW, c->chain);
	compile_rules(m, k, d);
}

static void drop_sets(struct policy_map *m, struct set **sets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		drop_set(m, sets[i]);
}

void policy_compiled_drop(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	struct compiled *c = &k->in[d];

	if (--c->refs)
		return;
	policy_say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_EMPTY, c->chain);
	policy_say_chain(m, CHAINS_GONE, NETD_POLICY_CHAIN_DELETE, c->chain);
	drop_sets(m, c->sets.items, c->sets.count);
	VEC_FINISH(&c->sets);
	c->chain = 0;
	c->stale = false;
}

/* Sets of the same content stay: none of those is new or goes. */
static void replace_rules(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	struct compiled *c = &k->in[d], old = *c;

	memset(&c->sets, 0, sizeof(c->sets));
	compile_rules(m, k, d);
	drop_sets(m, old.sets.items, old.sets.count);
	VEC_FINISH(&old.sets);
}

void policy_say_compiled(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	policy_say_chain(m, CHAINS_NEW, NETD_POLICY_CHAIN_NEW, k->in[d].chain);
	replace_rules(m, k, d);
}

void policy_compile_again(struct policy_map *m, struct known_policy *k, enum policy_direction d)
{
	policy_say_chain(m, RULES, NETD_POLICY_CHAIN_EMPTY, k->in[d].chain);
	replace_rules(m, k, d);
}
