#include "node/net/policy/policy_rules.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Addresses as numbers: an IPv6 address is all of it, an IPv4 address the low 32 bits. */
__extension__ typedef unsigned __int128 number;

struct span {
	number first, last;
};
typedef VEC(struct span) spans;

uint8_t policy_protocol(const char *name)
{
	if (!name || streq(name, "TCP"))
		return IPPROTO_TCP;
	return streq(name, "UDP") ? IPPROTO_UDP : streq(name, "SCTP") ? IPPROTO_SCTP : 0;
}

static number number_of(const struct net_address *a)
{
	number n = 0;

	for (size_t i = 0; i < net_address_size(a); i++)
		n = n << 8 | a->bytes[i];
	return n;
}

static struct net_address address_of(number n, uint32_t family)
{
	struct net_address a = {.family = family};

	for (size_t i = net_address_size(&a); i-- > 0; n >>= 8)
		a.bytes[i] = (uint8_t)n;
	return a;
}

/* Host bits may be set: API servers took that for long. */
static int read_block(const char *text, struct span *ret, uint32_t *ret_family)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	char address[NET_ADDRESS_TEXT];
	struct net_address a;
	uint64_t prefix;
	unsigned bits;
	number hosts;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	if (net_address_parse(address, &a) < 0 || parse_u64(str_from(slash + 1), &prefix) < 0)
		return -EINVAL;
	bits = (unsigned)net_address_size(&a) * 8;
	if (prefix > bits)
		return -EINVAL;
	hosts = prefix == 0 ? (bits == 128 ? ~(number)0 : ((number)1 << 32) - 1)
			    : ((number)1 << (bits - prefix)) - 1;
	ret->first = number_of(&a) & ~hosts;
	ret->last = ret->first | hosts;
	*ret_family = a.family;
	return 0;
}

static int by_first(const void *pa, const void *pb)
{
	const struct span *a = pa, *b = pb;

	return a->first < b->first ? -1 : a->first > b->first;
}

static void join(spans *s)
{
	size_t n = 0;

	if (s->count > 1)
		qsort(s->items, s->count, sizeof(*s->items), by_first);
	for (size_t i = 0; i < s->count; i++) {
		struct span *last = n ? &s->items[n - 1] : NULL;

		if (last &&
			(s->items[i].first <= last->last || s->items[i].first - 1 == last->last))
			last->last = MAX(last->last, s->items[i].last);
		else
			s->items[n++] = s->items[i];
	}
	s->count = n;
}

/* What is left of a block without its exceptions, which are joined. */
static void subtract(struct span block, const spans *except, spans *out)
{
	for (size_t i = 0; i < except->count; i++) {
		const struct span *e = &except->items[i];

		if (e->last < block.first || e->first > block.last)
			continue;
		if (e->first > block.first)
			VEC_PUSH(out, ((struct span){block.first, e->first - 1}));
		if (e->last >= block.last)
			return;
		block.first = e->last + 1;
	}
	VEC_PUSH(out, block);
}

static int add_block(const struct json *block, spans out[2], struct err *err)
{
	const char *text = json_str(json_get(block, "cidr"));
	spans except = {0};
	struct span whole, part;
	uint32_t family, other;
	int r = 0;

	if (read_block(text, &whole, &family) < 0)
		return err_set(
			err, -EINVAL, "\"%s\" is not a range of addresses", text ? text : "");
	JSON_FOR_EACH_ITEM(e, json_get(block, "except")) {
		text = json_str(e);
		if (read_block(text, &part, &other) < 0) {
			r = err_set(err, -EINVAL, "\"%s\" is not a range of addresses",
				text ? text : "");
			break;
		}
		if (other == family)
			VEC_PUSH(&except, part);
	}
	if (r == 0) {
		join(&except);
		subtract(whole, &except, &out[family == AF_INET6]);
	}
	VEC_FINISH(&except);
	return r;
}

static int add_group(
	struct policy *p, const struct json *peer, struct policy_group *g, struct err *err)
{
	struct json *namespaces = json_get(peer, "namespaceSelector");
	struct json *pods = json_get(peer, "podSelector");
	int r = 0;

	*g = (struct policy_group){.ns = namespaces ? NULL : p->ns};
	if (namespaces)
		r = selector_from_label_selector(&p->arena, namespaces, &g->namespaces, err);
	if (r == 0 && namespaces)
		g->namespaces = selector_copy(&p->arena, &g->namespaces);
	g->all_namespaces = namespaces && !g->namespaces.count && !g->namespaces.nothing;
	if (r == 0 && pods)
		r = selector_from_label_selector(&p->arena, pods, &g->pods, err);
	if (r == 0 && pods)
		g->pods = selector_copy(&p->arena, &g->pods);
	return r;
}

static int add_peers(
	struct policy *p, const struct json *peers, struct policy_rule *rule, struct err *err)
{
	spans blocks[2] = {{0}, {0}};
	size_t selectors = 0, n = 0;
	int r = 0;

	rule->any_peer = json_count(peers) == 0;
	JSON_FOR_EACH_ITEM(peer, peers)
		selectors += json_get(peer, "ipBlock") == NULL;
	if (selectors > POLICY_SELECTORS_MAX)
		return err_set(err, -E2BIG,
			"%zu selectors of peers, more than the %d that are offered", selectors,
			POLICY_SELECTORS_MAX);
	rule->groups = arena_zalloc(&p->arena, (selectors + 1) * sizeof(*rule->groups));
	JSON_FOR_EACH_ITEM(peer, peers) {
		const struct json *block = json_get(peer, "ipBlock");

		r = block ? add_block(block, blocks, err)
			  : add_group(p, peer, &rule->groups[rule->group_count++], err);
		if (r < 0)
			break;
	}
	join(&blocks[0]);
	join(&blocks[1]);
	if (r == 0 && blocks[0].count + blocks[1].count > POLICY_RANGES_MAX)
		r = err_set(err, -E2BIG,
			"%zu ranges of addresses, more than the %d that are offered",
			blocks[0].count + blocks[1].count, POLICY_RANGES_MAX);
	if (r == 0) {
		rule->range4_count = blocks[0].count;
		rule->range_count = blocks[0].count + blocks[1].count;
		rule->ranges =
			arena_zalloc(&p->arena, (rule->range_count + 1) * sizeof(*rule->ranges));
		for (int f = 0; f < 2; f++)
			for (size_t i = 0; i < blocks[f].count; i++) {
				uint32_t family = f ? AF_INET6 : AF_INET;

				rule->ranges[n++] = (struct policy_range){
					address_of(blocks[f].items[i].first, family),
					address_of(blocks[f].items[i].last, family)};
			}
	}
	VEC_FINISH(&blocks[0]);
	VEC_FINISH(&blocks[1]);
	return r;
}

static int by_port(const void *pa, const void *pb)
{
	const struct policy_port_range *a = pa, *b = pb;

	return a->proto != b->proto ? a->proto - b->proto : a->first - b->first;
}

static void join_ports(struct policy_rule *rule)
{
	size_t n = 0;

	if (rule->port_count > 1)
		qsort(rule->ports, rule->port_count, sizeof(*rule->ports), by_port);
	for (size_t i = 0; i < rule->port_count; i++) {
		struct policy_port_range *last = n ? &rule->ports[n - 1] : NULL,
					 *it = &rule->ports[i];

		if (last && last->proto == it->proto && it->first <= last->last + 1)
			last->last = MAX(last->last, it->last);
		else
			rule->ports[n++] = *it;
	}
	rule->port_count = n;
}

static void add_name(struct policy *p, struct policy_rule *rule, const char *name, uint8_t proto)
{
	for (size_t i = 0; i < rule->name_count; i++)
		if (rule->names[i].proto == proto && streq(rule->names[i].name, name))
			return;
	rule->names[rule->name_count++] =
		(struct policy_port_name){arena_strdup(&p->arena, name), proto, 0};
}

static int add_ports(
	struct policy *p, const struct json *ports, struct policy_rule *rule, struct err *err)
{
	size_t names = 0, numbers = 0;

	rule->any_port = json_count(ports) == 0;
	JSON_FOR_EACH_ITEM(it, ports) {
		names += json_is(json_get(it, "port"), JSON_STRING);
		numbers++;
	}
	/* Before they are kept: each is looked for among the others. */
	if (names > POLICY_NAMES_MAX)
		return err_set(err, -E2BIG, "%zu named ports, more than the %d that are offered",
			names, POLICY_NAMES_MAX);
	rule->ports = arena_zalloc(&p->arena, (numbers + 1) * sizeof(*rule->ports));
	rule->names = arena_zalloc(&p->arena, (names + 1) * sizeof(*rule->names));
	JSON_FOR_EACH_ITEM(it, ports) {
		const struct json *port = json_get(it, "port");
		uint8_t proto = policy_protocol(json_str(json_get(it, "protocol")));
		int64_t first = port ? json_int_or(port, -1) : 0;
		int64_t last = port ? json_int_or(json_get(it, "endPort"), first) : 65535;

		if (!proto)
			return err_set(err, -EINVAL, "protocol \"%s\" is not TCP, UDP or SCTP",
				json_str_or(json_get(it, "protocol"), ""));
		if (json_is(port, JSON_STRING)) {
			add_name(p, rule, json_str(port), proto);
			continue;
		}
		if (first < 0 || last < first || last > 65535)
			return err_set(err, -EINVAL, "ports %lld to %lld", (long long)first,
				(long long)last);
		rule->ports[rule->port_count++] =
			(struct policy_port_range){proto, (uint16_t)first, (uint16_t)last};
	}
	join_ports(rule);
	if (rule->port_count > POLICY_PORTS_MAX)
		return err_set(err, -E2BIG,
			"%zu ranges of ports, more than the %d that are offered", rule->port_count,
			POLICY_PORTS_MAX);
	return 0;
}

/* Rules that the kernel goes through for this one. */
static size_t steps_of(const struct policy_rule *r)
{
	size_t peers = r->any_peer ? 1 : r->group_count + (r->range_count ? 2 : 0);
	size_t ports = r->any_port ? 1 : (r->port_count != 0) + r->name_count;

	return peers * ports;
}

static void left_out(struct policy *p, const char *what, size_t i, const char *why)
{
	if (p->problem_count++ == 0)
		p->problem = arena_printf(
			&p->arena, "%s[%zu] is left out and allows nothing: %s", what, i, why);
}

static void add_rules(struct policy *p, const struct json *list, enum policy_direction d)
{
	const char *what = d == POLICY_INGRESS ? "spec.ingress" : "spec.egress";
	const char *peers = d == POLICY_INGRESS ? "from" : "to";
	size_t i = 0, steps = 0;

	p->rules[d] = arena_zalloc(&p->arena,
		(MIN(json_count(list), (size_t)POLICY_RULES_MAX) + 1) * sizeof(**p->rules));
	JSON_FOR_EACH_ITEM(it, list) {
		struct policy_rule *rule = &p->rules[d][p->rule_count[d]];
		struct err err = ERR_INIT;
		int r = 0;

		*rule = (struct policy_rule){0};
		if (i >= POLICY_RULES_MAX) {
			char why[80];

			snprintf(why, sizeof(why), "more than the %d rules that are offered",
				POLICY_RULES_MAX);
			left_out(p, what, i, why);
			break;
		}
		r = add_peers(p, json_get(it, peers), rule, &err);
		if (r == 0)
			r = add_ports(p, json_get(it, "ports"), rule, &err);
		if (r == 0 && steps + steps_of(rule) > POLICY_STEPS_MAX)
			r = err_set(&err, -E2BIG,
				"peers times ports are more than the %d that are offered for a "
				"policy",
				POLICY_STEPS_MAX);
		if (r == 0) {
			steps += steps_of(rule);
			p->rule_count[d]++;
		} else {
			left_out(p, what, i, err.msg);
		}
		i++;
	}
}

struct policy *policy_create(const struct json *doc)
{
	struct policy *p = xcalloc(1, sizeof(*p));
	const struct json *spec = json_get(doc, "spec"), *types = json_get(spec, "policyTypes");
	struct err err = ERR_INIT;

	p->arena.first_size = 512;
	p->ns = arena_strdup(&p->arena, json_str_or(json_path(doc, "metadata.namespace"), ""));
	p->name = arena_strdup(&p->arena, json_str_or(json_path(doc, "metadata.name"), ""));
	if (selector_from_label_selector(&p->arena, json_get(spec, "podSelector"), &p->pods, &err) <
		0) {
		/* Whom it is about is not known: it is about nobody. */
		p->pods = (struct selector){.nothing = true};
		p->problem =
			arena_printf(&p->arena, "spec.podSelector selects nothing: %s", err.msg);
		p->problem_count++;
	}
	p->pods = selector_copy(&p->arena, &p->pods);
	JSON_FOR_EACH_ITEM(t, types) {
		p->isolates[POLICY_INGRESS] |= streq(json_str(t), "Ingress");
		p->isolates[POLICY_EGRESS] |= streq(json_str(t), "Egress");
	}
	if (!json_count(types)) {
		p->isolates[POLICY_INGRESS] = true;
		p->isolates[POLICY_EGRESS] = json_count(json_get(spec, "egress")) > 0;
	}
	if (p->isolates[POLICY_INGRESS])
		add_rules(p, json_get(spec, "ingress"), POLICY_INGRESS);
	if (p->isolates[POLICY_EGRESS])
		add_rules(p, json_get(spec, "egress"), POLICY_EGRESS);
	return p;
}

void policy_destroy(struct policy *p)
{
	if (!p)
		return;
	arena_finish(&p->arena);
	free(p);
}
