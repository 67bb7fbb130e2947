/* What policy_map.c makes of policies, against two others: a kernel of our own that does what the
 * operations say and refuses what a real one would, and a naive reading of the policies' documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "node/net/policy/policy_map.h"

/* ---- a kernel ---- */

struct kset {
	uint32_t id, family;
	uint8_t kind;
	VEC(struct netd_policy_op) elements;
};

struct kchain {
	uint32_t id;
	VEC(struct netd_policy_op) rules;
};

static struct kernel {
	bool there;
	VEC(struct kset) sets;
	VEC(struct kchain) chains;
	VEC(struct netd_policy_op) isolated, self, group;
	size_t forgotten, transactions, ops;
} kernel;

static struct kset *kset_at(uint32_t id)
{
	for (size_t i = 0; i < kernel.sets.count; i++)
		if (kernel.sets.items[i].id == id)
			return &kernel.sets.items[i];
	return NULL;
}

static struct kchain *kchain_at(uint32_t id)
{
	for (size_t i = 0; i < kernel.chains.count; i++)
		if (kernel.chains.items[i].id == id)
			return &kernel.chains.items[i];
	return NULL;
}

static void kernel_clear(void)
{
	for (size_t i = 0; i < kernel.sets.count; i++)
		VEC_FINISH(&kernel.sets.items[i].elements);
	for (size_t i = 0; i < kernel.chains.count; i++)
		VEC_FINISH(&kernel.chains.items[i].rules);
	VEC_FINISH(&kernel.sets);
	VEC_FINISH(&kernel.chains);
	VEC_FINISH(&kernel.isolated);
	VEC_FINISH(&kernel.self);
	VEC_FINISH(&kernel.group);
	kernel.there = false;
}

static bool same_element(const struct netd_policy_op *a, const struct netd_policy_op *b)
{
	return net_address_eq(&a->address, &b->address) && net_address_eq(&a->last, &b->last) &&
	       a->proto == b->proto && a->port == b->port && a->last_port == b->last_port;
}

static void kernel_element(const struct netd_policy_op *op)
{
	struct kset *s = kset_at(op->id);

	assert_non_null(s);
	assert_int_equal(s->kind, op->set);
	assert_int_equal(s->family, op->family);
	for (size_t i = 0; i < s->elements.count; i++) {
		if (!same_element(&s->elements.items[i], op))
			continue;
		assert_true(op->remove); /* twice */
		VEC_REMOVE(&s->elements, i);
		return;
	}
	assert_false(op->remove); /* it is not there */
	VEC_PUSH(&s->elements, *op);
}

static void kernel_isolate(const struct netd_policy_op *op)
{
	assert_non_null(kchain_at(op->id));
	for (size_t i = 0; i < kernel.isolated.count; i++) {
		struct netd_policy_op *it = &kernel.isolated.items[i];

		if (it->direction != op->direction || !net_address_eq(&it->address, &op->address))
			continue;
		assert_true(op->remove && it->id == op->id);
		VEC_REMOVE(&kernel.isolated, i);
		return;
	}
	assert_false(op->remove);
	VEC_PUSH(&kernel.isolated, *op);
}

static void kernel_self(const struct netd_policy_op *op)
{
	for (size_t i = 0; i < kernel.self.count; i++) {
		if (!net_address_eq(&kernel.self.items[i].address, &op->address))
			continue;
		assert_true(op->remove);
		VEC_REMOVE(&kernel.self, i);
		return;
	}
	assert_false(op->remove);
	VEC_PUSH(&kernel.self, *op);
}

static bool chain_used(uint32_t id)
{
	for (size_t i = 0; i < kernel.isolated.count; i++)
		if (kernel.isolated.items[i].id == id)
			return true;
	for (size_t i = 0; i < kernel.chains.count; i++)
		for (size_t n = 0; n < kernel.chains.items[i].rules.count; n++) {
			const struct netd_policy_op *r = &kernel.chains.items[i].rules.items[n];

			if (r->type == NETD_POLICY_JUMP && r->peers == id)
				return true;
		}
	return false;
}

static bool set_used(uint32_t id)
{
	for (size_t i = 0; i < kernel.chains.count; i++)
		for (size_t n = 0; n < kernel.chains.items[i].rules.count; n++) {
			const struct netd_policy_op *r = &kernel.chains.items[i].rules.items[n];

			if (r->type == NETD_POLICY_ALLOW && (r->peers == id || r->ports == id))
				return true;
		}
	return false;
}

static void kernel_rule(const struct netd_policy_op *op)
{
	struct kchain *c = kchain_at(op->id);
	const struct kset *s;

	assert_non_null(c);
	if (op->type == NETD_POLICY_JUMP)
		assert_non_null(kchain_at(op->peers));
	if (op->type == NETD_POLICY_ALLOW && op->peers) {
		s = kset_at(op->peers);
		assert_true(s && s->kind == op->set && s->family == op->family);
	}
	if (op->type == NETD_POLICY_ALLOW && op->ports) {
		s = kset_at(op->ports);
		assert_true(s && s->kind == op->ports_set);
		assert_true(s->kind == NETD_SET_PORTS || s->family == op->family);
	}
	VEC_PUSH(&c->rules, *op);
}

static void kernel_do(const struct netd_policy_op *op)
{
	struct err err = ERR_INIT;

	if (netd_check_policy_op(op, &err) < 0)
		fail_msg("netd would refuse: %s", err.msg);
	if (op->type == NETD_POLICY_RESET || op->type == NETD_POLICY_CLEAR) {
		kernel_clear();
		kernel.there = op->type == NETD_POLICY_RESET;
		return;
	}
	assert_true(kernel.there);
	switch ((enum netd_policy_type)op->type) {
	case NETD_POLICY_SET_NEW:
		assert_null(kset_at(op->id));
		VEC_PUSH(&kernel.sets, ((struct kset){op->id, op->family, op->set, {0}}));
		break;
	case NETD_POLICY_SET_DELETE:
		assert_non_null(kset_at(op->id));
		assert_false(set_used(op->id));
		VEC_FINISH(&kset_at(op->id)->elements);
		VEC_REMOVE(&kernel.sets, (size_t)(kset_at(op->id) - kernel.sets.items));
		break;
	case NETD_POLICY_ELEMENT:
		kernel_element(op);
		break;
	case NETD_POLICY_CHAIN_NEW:
		assert_null(kchain_at(op->id));
		VEC_PUSH(&kernel.chains, ((struct kchain){op->id, {0}}));
		break;
	case NETD_POLICY_CHAIN_EMPTY:
		assert_non_null(kchain_at(op->id));
		VEC_FINISH(&kchain_at(op->id)->rules);
		break;
	case NETD_POLICY_CHAIN_DELETE:
		assert_non_null(kchain_at(op->id));
		assert_int_equal(kchain_at(op->id)->rules.count, 0);
		assert_false(chain_used(op->id));
		VEC_REMOVE(&kernel.chains, (size_t)(kchain_at(op->id) - kernel.chains.items));
		break;
	case NETD_POLICY_ALLOW:
	case NETD_POLICY_JUMP:
	case NETD_POLICY_DROP:
		kernel_rule(op);
		break;
	case NETD_POLICY_ISOLATE:
		kernel_isolate(op);
		break;
	case NETD_POLICY_SELF:
		kernel_self(op);
		break;
	case NETD_POLICY_GROUP:
		VEC_PUSH(&kernel.group, *op);
		break;
	case NETD_POLICY_OWN:
		break;
	case NETD_POLICY_FORGET:
		kernel.forgotten++;
		break;
	case NETD_POLICY_RESET:
	case NETD_POLICY_CLEAR:
		break;
	}
}

static void kernel_take(netd_policy_ops *ops)
{
	kernel.transactions += ops->count != 0;
	kernel.ops += ops->count;
	for (size_t i = 0; i < ops->count; i++)
		kernel_do(&ops->items[i]);
	VEC_FINISH(ops);
}

struct packet {
	struct net_address from, to;
	uint8_t proto;
	uint16_t port;
};

static bool in_set(uint32_t id, const struct net_address *a, const struct packet *p)
{
	const struct kset *s = kset_at(id);

	for (size_t i = 0; i < s->elements.count; i++) {
		const struct netd_policy_op *e = &s->elements.items[i];

		switch (s->kind) {
		case NETD_SET_PEERS:
			if (net_address_eq(&e->address, a))
				return true;
			break;
		case NETD_SET_RANGES:
			if (memcmp(a->bytes, e->address.bytes, 16) >= 0 &&
				memcmp(a->bytes, e->last.bytes, 16) <= 0)
				return true;
			break;
		case NETD_SET_PORTS:
			if (p->proto == e->proto && p->port >= e->port && p->port <= e->last_port)
				return true;
			break;
		default:
			if (net_address_eq(&e->address, &p->to) && p->proto == e->proto &&
				p->port == e->port)
				return true;
		}
	}
	return false;
}

enum verdict { ON, ACCEPT, DROP };

static enum verdict run_chain(uint32_t id, const struct packet *p)
{
	const struct kchain *c = kchain_at(id);

	for (size_t i = 0; i < c->rules.count; i++) {
		const struct netd_policy_op *r = &c->rules.items[i];
		enum verdict v;

		if (r->type == NETD_POLICY_DROP)
			return DROP;
		if (r->type == NETD_POLICY_JUMP) {
			v = run_chain(r->peers, p);
			if (v != ON)
				return v;
			continue;
		}
		if (r->family && r->family != p->to.family)
			continue;
		if (r->peers &&
			!in_set(r->peers, r->direction == POLICY_INGRESS ? &p->from : &p->to, p))
			continue;
		if (r->ports && !in_set(r->ports, NULL, p))
			continue;
		return ACCEPT;
	}
	return ON;
}

static bool kernel_passes(const struct packet *p)
{
	if (net_address_eq(&p->from, &p->to))
		for (size_t i = 0; i < kernel.self.count; i++)
			if (net_address_eq(&kernel.self.items[i].address, &p->from))
				return true;
	for (size_t i = 0; i < kernel.isolated.count; i++) {
		const struct netd_policy_op *e = &kernel.isolated.items[i];

		if (net_address_eq(
			    &e->address, e->direction == POLICY_INGRESS ? &p->to : &p->from) &&
			run_chain(e->id, p) == DROP)
			return false;
	}
	return true;
}

/* ---- a naive reading ---- */

#define PODS 14
#define NAMESPACES 3
#define POLICIES 8

struct npod {
	bool there, local, gone;
	unsigned ns;
	struct object_label labels[2];
	size_t label_count;
	struct net_address addresses[2];
	size_t address_count;
	struct policy_port_name ports[2];
	size_t port_count;
};

static struct world {
	struct npod pods[PODS];
	struct object_label ns_labels[NAMESPACES][1];
	bool ns_known[NAMESPACES];
	struct json *policies[POLICIES];
	unsigned policy_ns[POLICIES];
	struct arena arenas[POLICIES];
} world;

static const char *const ns_names[] = {"red", "green", "blue"};
static const char *const words[] = {"a", "b", "c"};

static const char *label_of(const struct object_label *l, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (streq(l[i].key, key))
			return l[i].value;
	return NULL;
}

static bool naive_selects(const struct json *s, const struct object_label *l, size_t count)
{
	JSON_FOR_EACH_MEMBER(it, json_get(s, "matchLabels"))
		if (!streq(label_of(l, count, it->name), json_str(it->value)))
			return false;
	JSON_FOR_EACH_ITEM(e, json_get(s, "matchExpressions")) {
		const char *value = label_of(l, count, json_str(json_get(e, "key")));
		const char *op = json_str(json_get(e, "operator"));
		bool in = false;

		JSON_FOR_EACH_ITEM(v, json_get(e, "values"))
			in |= streq(value, json_str(v));
		if (streq(op, "In")	      ? !in
			: streq(op, "NotIn")  ? in
			: streq(op, "Exists") ? !value
					      : value != NULL)
			return false;
	}
	return true;
}

static struct npod *npod_of(const struct net_address *a)
{
	for (size_t i = 0; i < PODS; i++)
		for (size_t n = 0; world.pods[i].there && n < world.pods[i].address_count; n++)
			if (net_address_eq(&world.pods[i].addresses[n], a))
				return &world.pods[i];
	return NULL;
}

static bool naive_block(const struct json *block, const struct net_address *a)
{
	struct net_range r;

	assert_int_equal(net_range_parse(json_str(json_get(block, "cidr")), &r), 0);
	if (!net_range_has(&r, a))
		return false;
	JSON_FOR_EACH_ITEM(e, json_get(block, "except")) {
		assert_int_equal(net_range_parse(json_str(e), &r), 0);
		if (net_range_has(&r, a))
			return false;
	}
	return true;
}

static bool naive_peer(const struct json *peers, unsigned ns, const struct net_address *a)
{
	const struct npod *p = npod_of(a);

	if (!json_count(peers))
		return true;
	JSON_FOR_EACH_ITEM(it, peers) {
		const struct json *by_ns = json_get(it, "namespaceSelector");
		const struct json *by_pod = json_get(it, "podSelector");

		if (json_get(it, "ipBlock")) {
			if (naive_block(json_get(it, "ipBlock"), a))
				return true;
			continue;
		}
		if (!p || p->gone)
			continue;
		if (by_ns ? !((json_count(by_ns) == 0 || world.ns_known[p->ns]) &&
				    naive_selects(by_ns, world.ns_labels[p->ns], 1))
			  : p->ns != ns)
			continue;
		if (!by_pod || naive_selects(by_pod, p->labels, p->label_count))
			return true;
	}
	return false;
}

static bool naive_port(const struct json *ports, const struct packet *k)
{
	const struct npod *to = npod_of(&k->to);

	if (!json_count(ports))
		return true;
	JSON_FOR_EACH_ITEM(it, ports) {
		const struct json *port = json_get(it, "port");
		int64_t first = json_int_or(port, 0);

		if (policy_protocol(json_str(json_get(it, "protocol"))) != k->proto)
			continue;
		if (!port)
			return true;
		if (json_is(port, JSON_INT) && k->port >= first &&
			k->port <= json_int_or(json_get(it, "endPort"), first))
			return true;
		for (size_t i = 0; to && !to->gone && i < to->port_count; i++)
			if (streq(to->ports[i].name, json_str(port)) &&
				to->ports[i].proto == k->proto && to->ports[i].port == k->port)
				return true;
	}
	return false;
}

static bool naive_direction(const struct npod *p, const struct packet *k, bool ingress)
{
	bool isolated = false;

	for (size_t i = 0; i < POLICIES; i++) {
		const struct json *spec = json_get(world.policies[i], "spec");
		bool about = false;

		if (!world.policies[i] || world.policy_ns[i] != p->ns ||
			!naive_selects(json_get(spec, "podSelector"), p->labels, p->label_count))
			continue;
		JSON_FOR_EACH_ITEM(t, json_get(spec, "policyTypes"))
			about |= streq(json_str(t), ingress ? "Ingress" : "Egress");
		if (!about)
			continue;
		isolated = true;
		JSON_FOR_EACH_ITEM(r, json_get(spec, ingress ? "ingress" : "egress"))
			if (naive_peer(json_get(r, ingress ? "from" : "to"), p->ns,
				    ingress ? &k->from : &k->to) &&
				naive_port(json_get(r, "ports"), k))
				return true;
	}
	return !isolated;
}

static bool naive_passes(const struct packet *k)
{
	const struct npod *from = npod_of(&k->from), *to = npod_of(&k->to);

	if (from && net_address_eq(&k->from, &k->to))
		return true;
	if (from && from->local && !naive_direction(from, k, false))
		return false;
	return !(to && to->local && !naive_direction(to, k, true));
}

/* ---- random worlds ---- */

static uint64_t dice_state = 88172645463325252ull;

static unsigned dice(unsigned sides)
{
	dice_state ^= dice_state << 13;
	dice_state ^= dice_state >> 7;
	dice_state ^= dice_state << 17;
	return (unsigned)(dice_state >> 33) % sides;
}

static struct net_address random_address(void)
{
	struct net_address a;
	char text[64];

	if (dice(4) == 0)
		snprintf(text, sizeof(text), "fd00::%x", 1 + dice(30));
	else
		snprintf(text, sizeof(text), "10.244.%u.%u", dice(2), 1 + dice(30));
	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

static void random_selector(struct buf *b)
{
	switch (dice(5)) {
	case 0:
		buf_add_str(b, "{}");
		break;
	case 1:
		buf_printf(b, "{\"matchLabels\":{\"k\":\"%s\"}}", words[dice(3)]);
		break;
	case 2:
		buf_printf(b,
			"{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"%s\",\"values\":["
			"\"%s\",\"%s\"]}]}",
			dice(2) ? "In" : "NotIn", words[dice(3)], words[dice(3)]);
		break;
	case 3:
		buf_printf(b, "{\"matchExpressions\":[{\"key\":\"%s\",\"operator\":\"%s\"}]}",
			dice(2) ? "k" : "l", dice(2) ? "Exists" : "DoesNotExist");
		break;
	default:
		buf_printf(b,
			"{\"matchLabels\":{\"l\":\"%s\"},\"matchExpressions\":[{\"key\":\"k\","
			"\"operator\":\"NotIn\",\"values\":[\"%s\"]}]}",
			words[dice(3)], words[dice(3)]);
	}
}

static void random_peer(struct buf *b)
{
	static const char *const blocks[] = {
		"{\"cidr\":\"10.244.0.0/24\",\"except\":[\"10.244.0.8/29\",\"10.244.0.4/30\"]}",
		"{\"cidr\":\"10.244.0.0/16\",\"except\":[\"10.244.1.0/24\"]}",
		"{\"cidr\":\"0.0.0.0/0\",\"except\":[\"10.244.0.0/28\",\"255.255.255.0/24\"]}",
		"{\"cidr\":\"10.244.1.16/28\"}",
		"{\"cidr\":\"::/0\",\"except\":[\"fd00::10/124\"]}",
		"{\"cidr\":\"fd00::8/125\"}",
	};
	unsigned which = dice(5);

	if (which == 4) {
		buf_printf(b, "{\"ipBlock\":%s}", blocks[dice(ARRAY_LEN(blocks))]);
		return;
	}
	buf_add_char(b, '{');
	if (which != 1) {
		buf_add_str(b, "\"podSelector\":");
		random_selector(b);
	}
	if (which != 0) {
		buf_add_str(b, which == 1 ? "\"namespaceSelector\":" : ",\"namespaceSelector\":");
		random_selector(b);
	}
	buf_add_char(b, '}');
}

static void random_port(struct buf *b)
{
	static const char *const protocols[] = {"TCP", "UDP", "SCTP"};

	buf_printf(b, "{\"protocol\":\"%s\"", protocols[dice(3)]);
	switch (dice(4)) {
	case 0:
		buf_printf(b, ",\"port\":\"%s\"", words[dice(3)]);
		break;
	case 1:
		buf_printf(b, ",\"port\":%u", 80 + dice(4));
		break;
	case 2:
		buf_printf(b, ",\"port\":%u,\"endPort\":%u", 79 + dice(3), 82 + dice(3));
		break;
	default:
		break;
	}
	buf_add_char(b, '}');
}

static void random_rules(struct buf *b, const char *direction, const char *peers)
{
	unsigned rules = dice(3);

	buf_printf(b, ",\"%s\":[", direction);
	for (unsigned i = 0; i < rules; i++) {
		buf_printf(b, "%s{\"%s\":[", i ? "," : "", peers);
		for (unsigned n = 0, count = dice(3); n < count; n++) {
			buf_add_str(b, n ? "," : "");
			random_peer(b);
		}
		buf_add_str(b, "],\"ports\":[");
		for (unsigned n = 0, count = dice(3); n < count; n++) {
			buf_add_str(b, n ? "," : "");
			random_port(b);
		}
		buf_add_str(b, "]}");
	}
	buf_add_char(b, ']');
}

static struct json *read_doc(struct arena *a, const char *text, size_t size)
{
	struct json *doc;
	struct err err = ERR_INIT;

	if (json_parse(a, text, size, NULL, &doc, &err) < 0)
		fail_msg("%s: %s", err.msg, text);
	return doc;
}

static void change_policy(struct policy_map *m, unsigned i)
{
	static const char *const types[] = {"\"Ingress\"", "\"Egress\"", "\"Ingress\",\"Egress\""};
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	netd_policy_ops ops = {0};
	char name[16];

	snprintf(name, sizeof(name), "p%u", i);
	if (world.policies[i] && dice(3) == 0) {
		world.policies[i] = NULL;
		policy_map_set_policy(m, ns_names[world.policy_ns[i]], name, NULL, &ops);
		kernel_take(&ops);
		return;
	}
	if (!world.policies[i])
		world.policy_ns[i] = dice(NAMESPACES);
	buf_printf(&b, "{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\"},\"spec\":{",
		ns_names[world.policy_ns[i]], name);
	buf_add_str(&b, "\"podSelector\":");
	random_selector(&b);
	buf_printf(&b, ",\"policyTypes\":[%s]", types[dice(3)]);
	random_rules(&b, "ingress", "from");
	random_rules(&b, "egress", "to");
	buf_add_str(&b, "}}");
	arena_finish(&world.arenas[i]);
	world.policies[i] = read_doc(&world.arenas[i], b.data, b.size);
	policy_map_set_policy(
		m, ns_names[world.policy_ns[i]], name, policy_create(world.policies[i]), &ops);
	kernel_take(&ops);
}

static void tell_pod(struct policy_map *m, unsigned i)
{
	const struct npod *n = &world.pods[i];
	struct policy_pod p = {.ns = ns_names[n->ns],
		.labels = n->labels,
		.label_count = n->label_count,
		.addresses = n->addresses,
		.address_count = n->address_count,
		.ports = n->ports,
		.port_count = n->port_count,
		.local = n->local,
		.gone = n->gone};
	netd_policy_ops ops = {0};
	char uid[16];

	snprintf(uid, sizeof(uid), "uid-%u", i);
	p.uid = uid;
	if (n->there)
		policy_map_set_pod(m, &p, &ops);
	else
		policy_map_remove_pod(m, uid, &ops);
	kernel_take(&ops);
}

static void change_pod(struct policy_map *m, unsigned i)
{
	struct npod *n = &world.pods[i];

	if (n->there && dice(4) == 0) {
		n->there = false;
	} else if (n->there && dice(5) == 0) {
		n->gone = !n->gone;
	} else {
		struct npod fresh = {.there = true};

		fresh.ns = n->there ? n->ns : dice(NAMESPACES);
		fresh.local = n->there ? n->local : dice(2);
		for (unsigned l = 0; l < 2; l++)
			if (dice(3))
				fresh.labels[fresh.label_count++] =
					(struct object_label){l ? "l" : "k", words[dice(3)]};
		n->there = false;
		for (unsigned tries = 0; tries < 1 + dice(3); tries++) {
			struct net_address a = random_address();

			if (!npod_of(&a) && fresh.address_count < 2 &&
				!(fresh.address_count && net_address_eq(&a, &fresh.addresses[0])))
				fresh.addresses[fresh.address_count++] = a;
		}
		for (unsigned p = 0; p < dice(3); p++)
			fresh.ports[fresh.port_count++] = (struct policy_port_name){words[dice(3)],
				dice(2) ? IPPROTO_TCP : IPPROTO_UDP, (uint16_t)(80 + dice(4))};
		*n = fresh;
	}
	tell_pod(m, i);
}

static void change_namespace(struct policy_map *m, unsigned i)
{
	netd_policy_ops ops = {0};

	world.ns_known[i] = dice(4) != 0;
	world.ns_labels[i][0] = (struct object_label){"k", words[dice(3)]};
	policy_map_set_namespace(
		m, ns_names[i], world.ns_known[i] ? world.ns_labels[i] : NULL, 1, &ops);
	kernel_take(&ops);
}

static unsigned seen[2]; /* packets that were dropped, and that passed */

static void compare(unsigned packets)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP};
	VEC(struct net_address) all = {0};

	for (size_t i = 0; i < PODS; i++)
		for (size_t n = 0; world.pods[i].there && n < world.pods[i].address_count; n++)
			VEC_PUSH(&all, world.pods[i].addresses[n]);
	for (int i = 0; i < 4; i++)
		VEC_PUSH(&all, random_address());
	for (unsigned i = 0; i < packets; i++) {
		struct packet k = {.from = all.items[dice((unsigned)all.count)],
			.to = all.items[dice((unsigned)all.count)],
			.proto = protocols[dice(4)],
			.port = (uint16_t)(78 + dice(8))};
		char from[NET_ADDRESS_TEXT], to[NET_ADDRESS_TEXT];

		if (k.from.family != k.to.family)
			continue;
		if (k.proto == IPPROTO_ICMP)
			k.port = 0;
		seen[naive_passes(&k)]++;
		if (kernel_passes(&k) != naive_passes(&k))
			fail_msg("%s -> %s %u/%u: the kernel says %d, the policies %d",
				net_address_format(&k.from, from), net_address_format(&k.to, to),
				k.proto, k.port, kernel_passes(&k), naive_passes(&k));
	}
	VEC_FINISH(&all);
}

static struct policy_map *new_map(void)
{
	struct policy_range group = {0};
	struct policy_map *m;

	assert_int_equal(net_address_parse("224.0.0.0", &group.first), 0);
	assert_int_equal(net_address_parse("239.255.255.255", &group.last), 0);
	m = policy_map_create();
	policy_map_set_host(m, false, &group, 1);
	return m;
}

static void end_world(struct policy_map *m)
{
	policy_map_destroy(m);
	kernel_clear();
	for (unsigned i = 0; i < POLICIES; i++)
		arena_finish(&world.arenas[i]);
	memset(&world, 0, sizeof(world));
}

static void random_worlds_are_judged_as_written(void **state)
{
	for (unsigned round = 0; round < 60; round++) {
		struct policy_map *m = new_map();

		for (unsigned step = 0; step < 150; step++) {
			unsigned what = dice(10);

			if (what < 5)
				change_pod(m, dice(PODS));
			else if (what < 9)
				change_policy(m, dice(POLICIES));
			else
				change_namespace(m, dice(NAMESPACES));
			compare(40);
			if (dice(50) == 0) {
				netd_policy_ops ops = {0};

				policy_map_all(m, &ops);
				kernel_take(&ops);
				compare(200);
			}
		}
		/* All goes, in any order: nothing is left. */
		for (unsigned i = 0; i < POLICIES; i++) {
			netd_policy_ops ops = {0};
			char name[16];

			snprintf(name, sizeof(name), "p%u", i);
			policy_map_set_policy(m, ns_names[world.policy_ns[i]], name, NULL, &ops);
			kernel_take(&ops);
		}
		assert_int_equal(policy_map_count(m).sets, 0);
		assert_int_equal(policy_map_count(m).chains, 0);
		assert_int_equal(policy_map_count(m).isolated, 0);
		assert_false(kernel.there);
		end_world(m);
	}
	print_message("%u packets were dropped, %u passed\n", seen[0], seen[1]);
	assert_true(seen[0] > 10000 && seen[1] > 10000);
}

/* ---- single cases ---- */

static void set_policy(struct policy_map *m, const char *name, const char *spec)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *text = arena_printf(&a,
		"{\"metadata\":{\"namespace\":\"red\",\"name\":\"%s\"},\"spec\":%s}", name, spec);
	netd_policy_ops ops = {0};

	policy_map_set_policy(
		m, "red", name, policy_create(read_doc(&a, text, strlen(text))), &ops);
	kernel_take(&ops);
}

static void add_pod(struct policy_map *m, const char *uid, const char *ns, const char *k,
	const char *address, bool local, bool gone)
{
	struct object_label label = {"k", k};
	struct net_address a;
	struct policy_port_name port = {"web", IPPROTO_TCP, 8080};
	netd_policy_ops ops = {0};

	assert_int_equal(net_address_parse(address, &a), 0);
	policy_map_set_pod(m,
		&(struct policy_pod){.uid = uid,
			.ns = ns,
			.labels = &label,
			.label_count = 1,
			.addresses = &a,
			.address_count = 1,
			.ports = &port,
			.port_count = 1,
			.local = local,
			.gone = gone},
		&ops);
	kernel_take(&ops);
}

static void remove_pod(struct policy_map *m, const char *uid)
{
	netd_policy_ops ops = {0};

	policy_map_remove_pod(m, uid, &ops);
	kernel_take(&ops);
}

static bool passes(const char *from, const char *to, uint16_t port)
{
	struct packet k = {.proto = IPPROTO_TCP, .port = port};

	assert_int_equal(net_address_parse(from, &k.from), 0);
	assert_int_equal(net_address_parse(to, &k.to), 0);
	return kernel_passes(&k);
}

static void nothing_is_said_without_need(void **state)
{
	struct policy_map *m = new_map();
	size_t before;

	kernel.transactions = 0;
	add_pod(m, "1", "red", "a", "10.244.0.2", true, false);
	add_pod(m, "2", "green", "a", "10.244.0.3", true, false);
	set_policy(m, "other", "{\"podSelector\":{\"matchLabels\":{\"k\":\"z\"}}}");
	assert_int_equal(kernel.transactions, 0);
	assert_false(policy_map_needs_pods(m));
	set_policy(m, "deny", "{\"podSelector\":{}}");
	assert_int_equal(kernel.transactions, 1);
	assert_false(passes("10.244.0.3", "10.244.0.2", 80));
	assert_true(passes("10.244.0.2", "10.244.0.3", 80));
	assert_true(passes("10.244.0.2", "10.244.0.2", 80)); /* through a service */
	assert_false(policy_map_needs_pods(m));		     /* nobody's peers are asked for */
	before = kernel.transactions;
	add_pod(m, "1", "red", "a", "10.244.0.2", true, false);
	add_pod(m, "3", "green", "b", "10.244.7.3", false, false);
	assert_int_equal(kernel.transactions, before);
	set_policy(m, "allow",
		"{\"podSelector\":{},\"ingress\":[{\"from\":[{\"namespaceSelector\":{"
		"\"matchLabels\":"
		"{\"k\":\"x\"}},\"podSelector\":{\"matchLabels\":{\"k\":\"b\"}}}]}]}");
	assert_true(policy_map_needs_pods(m) && policy_map_needs_namespaces(m));
	assert_false(passes("10.244.7.3", "10.244.0.2", 80)); /* its namespace is not known */
	struct object_label x = {"k", "x"};
	netd_policy_ops ops = {0};
	policy_map_set_namespace(m, "green", &x, 1, &ops);
	assert_int_equal(ops.count, 1); /* one element */
	kernel_take(&ops);
	assert_true(passes("10.244.7.3", "10.244.0.2", 80));
	before = kernel.ops;
	add_pod(m, "4", "green", "b", "10.244.7.4", false, false);
	assert_int_equal(kernel.ops, before + 1);
	assert_true(passes("10.244.7.4", "10.244.0.2", 80));
	end_world(m);
}

/* First lists come object by object; each is compared once they are there. */
static void what_is_held_is_not_compared(void **state)
{
	struct policy_map *m = new_map();
	netd_policy_ops ops = {0};

	policy_map_hold(m);
	add_pod(m, "1", "red", "a", "10.244.0.2", true, false);
	for (int i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%d", i);
		set_policy(m, name, "{\"podSelector\":{}}");
	}
	for (int i = 0; i < 100; i++) {
		char uid[16], address[32];

		snprintf(uid, sizeof(uid), "u%d", i);
		snprintf(address, sizeof(address), "10.244.0.%d", 10 + i);
		add_pod(m, uid, "red", "b", address, true, false);
	}
	assert_int_equal(policy_map_count(m).compiled, 0);
	assert_int_equal(policy_map_count(m).isolated, 0);
	assert_false(kernel.there);
	policy_map_release(m, &ops);
	VEC_FINISH(&ops); /* as policies.c does: the kernel gets everything */
	assert_int_equal(policy_map_count(m).compiled, 300);
	assert_int_equal(policy_map_count(m).isolated, 101);
	policy_map_all(m, &ops);
	kernel_take(&ops);
	assert_false(passes("10.244.0.10", "10.244.0.2", 80));
	for (int i = 0; i < 300; i++) {
		_cleanup_(free_p) char *name = xasprintf("p%d", i);

		policy_map_set_policy(m, "red", name, NULL, &ops);
		VEC_FINISH(&ops);
	}
	policy_map_all(m, &ops);
	kernel_take(&ops);
	assert_false(kernel.there);
	end_world(m);
}

static void an_address_is_its_newest_pods(void **state)
{
	struct policy_map *m = new_map();

	set_policy(m, "deny",
		"{\"podSelector\":{\"matchLabels\":{\"k\":\"a\"}},\"ingress\":[{\"from\":[{"
		"\"podSelector\":{\"matchLabels\":{\"k\":\"friend\"}}}]}]}");
	add_pod(m, "1", "red", "a", "10.244.0.2", true, false);
	add_pod(m, "2", "red", "friend", "10.244.0.3", true, false);
	assert_true(passes("10.244.0.3", "10.244.0.2", 80));
	/* The friend ended, and another pod has its address, before its object goes. */
	kernel.forgotten = 0;
	add_pod(m, "3", "red", "stranger", "10.244.0.3", true, false);
	assert_false(passes("10.244.0.3", "10.244.0.2", 80));
	remove_pod(m, "2");
	assert_false(passes("10.244.0.3", "10.244.0.2", 80));
	assert_int_equal(kernel.forgotten, 0); /* it is not isolated */
	/* A pod that has no object any more may still run: it stays isolated, and nobody's peer. */
	add_pod(m, "1", "red", "a", "10.244.0.2", true, true);
	assert_false(passes("10.244.0.3", "10.244.0.2", 80));
	add_pod(m, "4", "red", "free", "10.244.0.2", true, false);
	assert_true(passes("10.244.0.3", "10.244.0.2", 80));
	remove_pod(m, "4");
	remove_pod(m, "1");
	assert_false(kernel.there);
	/* Connections of whoever had the address before are not the new pod's. */
	kernel.forgotten = 0;
	add_pod(m, "5", "red", "a", "10.244.0.2", true, false);
	assert_int_equal(kernel.forgotten, 1);
	end_world(m);
}

static void named_ports_are_each_pods_own(void **state)
{
	struct policy_map *m = new_map();

	add_pod(m, "1", "red", "a", "10.244.0.2", true, false);
	set_policy(m, "web", "{\"podSelector\":{},\"ingress\":[{\"ports\":[{\"port\":\"web\"}]}]}");
	assert_true(passes("10.9.9.9", "10.244.0.2", 8080));
	assert_false(passes("10.9.9.9", "10.244.0.2", 80));
	assert_false(policy_map_needs_pods(m)); /* those of this node are enough */
	set_policy(m, "web",
		"{\"podSelector\":{},\"policyTypes\":[\"Egress\"],\"egress\":[{\"to\":[{"
		"\"podSelector\":{}}],"
		"\"ports\":[{\"port\":\"web\"}]}]}");
	assert_true(policy_map_needs_pods(m));
	add_pod(m, "2", "red", "b", "10.244.5.2", false, false);
	assert_true(passes("10.244.0.2", "10.244.5.2", 8080));
	assert_false(passes("10.244.0.2", "10.244.5.2", 80));
	assert_false(passes("10.244.0.2", "10.244.5.3", 8080));
	end_world(m);
}

static struct policy *read_policy(struct arena *a, const char *spec)
{
	char *text = arena_printf(
		a, "{\"metadata\":{\"namespace\":\"red\",\"name\":\"p\"},\"spec\":%s}", spec);
	_cleanup_(arena_finish) struct arena mine = ARENA_INIT;

	return policy_create(read_doc(&mine, text, strlen(text)));
}

static void ranges_are_joined_and_cut(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char first[NET_ADDRESS_TEXT], last[NET_ADDRESS_TEXT];
	struct policy *p = read_policy(&a,
		"{\"podSelector\":{},\"ingress\":[{\"from\":["
		"{\"ipBlock\":{\"cidr\":\"0.0.0.0/0\",\"except\":[\"0.0.0.0/8\",\"10.0.0.0/8\","
		"\"10.1.0.0/16\",\"255.0.0.0/8\"]}},"
		"{\"ipBlock\":{\"cidr\":\"10.0.5.7/24\"}},{\"ipBlock\":{\"cidr\":\"::/0\"}}],"
		"\"ports\":[{\"port\":80,\"endPort\":90},{\"port\":91},{\"port\":85},{\"protocol\":"
		"\"UDP\",\"port\":92},{\"port\":93}]}]}");
	const struct policy_rule *r = &p->rules[POLICY_INGRESS][0];
	static const char *const want[][2] = {{"1.0.0.0", "9.255.255.255"},
		{"10.0.5.0", "10.0.5.255"}, {"11.0.0.0", "254.255.255.255"},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}};

	assert_null(p->problem);
	assert_int_equal(p->rule_count[POLICY_INGRESS], 1);
	assert_true(p->isolates[POLICY_INGRESS] && !p->isolates[POLICY_EGRESS]);
	assert_int_equal(r->range_count, 4);
	assert_int_equal(r->range4_count, 3);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(net_address_format(&r->ranges[i].first, first), want[i][0]);
		assert_string_equal(net_address_format(&r->ranges[i].last, last), want[i][1]);
	}
	assert_int_equal(r->port_count, 3);
	assert_true(r->ports[0].first == 80 && r->ports[0].last == 91);
	assert_true(r->ports[1].first == 93 && r->ports[1].last == 93);
	assert_true(r->ports[2].proto == IPPROTO_UDP && r->ports[2].first == 92);
	policy_destroy(p);
	/* Types that are not said. */
	p = read_policy(&a, "{\"podSelector\":{},\"egress\":[{}]}");
	assert_true(p->isolates[POLICY_INGRESS] && p->isolates[POLICY_EGRESS]);
	assert_true(p->rules[POLICY_EGRESS][0].any_peer && p->rules[POLICY_EGRESS][0].any_port);
	policy_destroy(p);
}

static void too_much_is_left_out(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct policy *p;

	buf_add_str(&b, "{\"podSelector\":{},\"ingress\":[{\"ports\":[");
	for (int i = 0; i < 10000; i++)
		buf_printf(&b, "%s{\"port\":%d}", i ? "," : "", 1 + 2 * i);
	buf_add_str(&b, "]},{\"ports\":[");
	for (int i = 0; i < 10000; i++)
		buf_printf(&b, "%s{\"port\":%d}", i ? "," : "", 1 + i);
	buf_add_str(&b, "]},{\"from\":[");
	for (int i = 0; i < 10001; i++)
		buf_printf(&b, "%s{\"ipBlock\":{\"cidr\":\"10.%d.%d.%d/32\"}}", i ? "," : "",
			i >> 14, i >> 6 & 255, (i & 63) * 2);
	buf_add_str(&b, "]},{\"from\":[{\"ipBlock\":{\"cidr\":\"nonsense\"}}]}]}");
	p = read_policy(&a, b.data);
	assert_int_equal(p->problem_count, 3);
	assert_string_equal(p->problem,
		"spec.ingress[0] is left out and allows nothing: 10000 ranges "
		"of ports, more than the 1000 that are offered");
	/* Ten thousand ports in a row are one range. */
	assert_int_equal(p->rule_count[POLICY_INGRESS], 1);
	assert_int_equal(p->rules[POLICY_INGRESS][0].port_count, 1);
	policy_destroy(p);
}

static void netd_refuses_what_it_should_not_do(void **state)
{
	struct net_address pod, loopback;
	struct err err = ERR_INIT;
	struct netd_policy_op bad[16] = {
		{.type = 0}, {.type = NETD_POLICY_FORGET + 1}, {.type = NETD_POLICY_DROP}};
	size_t n = 3;

	assert_int_equal(net_address_parse("10.0.0.1", &pod), 0);
	assert_int_equal(net_address_parse("127.0.0.1", &loopback), 0);
	bad[n++] =
		(struct netd_policy_op){.type = NETD_POLICY_ISOLATE, .id = 1, .address = loopback};
	bad[n++] = (struct netd_policy_op){.type = NETD_POLICY_ELEMENT,
		.id = 1,
		.set = NETD_SET_PEERS,
		.family = AF_INET6,
		.address = pod};
	bad[n++] = (struct netd_policy_op){.type = NETD_POLICY_ELEMENT,
		.id = 1,
		.set = NETD_SET_PORTS,
		.proto = IPPROTO_TCP,
		.port = 2,
		.last_port = 1};
	bad[n++] = (struct netd_policy_op){.type = NETD_POLICY_ELEMENT,
		.id = 1,
		.set = NETD_SET_RANGES,
		.family = AF_INET,
		.remove = 1,
		.address = pod,
		.last = pod};
	bad[n++] = (struct netd_policy_op){
		.type = NETD_POLICY_SET_NEW, .id = 1, .set = NETD_SET_PORTS, .family = AF_INET};
	bad[n++] = (struct netd_policy_op){.type = NETD_POLICY_SET_NEW, .id = 1, .set = 9};
	bad[n++] = (struct netd_policy_op){
		.type = NETD_POLICY_ALLOW, .id = 1, .set = NETD_SET_PEERS, .peers = 2};
	bad[n++] = (struct netd_policy_op){.type = NETD_POLICY_ALLOW, .id = 1, .ports = 2};
	bad[n++] = (struct netd_policy_op){.type = NETD_POLICY_JUMP, .id = 1};
	for (size_t i = 0; i < n; i++)
		assert_int_equal(netd_check_policy_op(&bad[i], &err), -EINVAL);
}

/* 1,000 policies and 10,000 pods, 110 of them here. */
static void a_large_cluster(void **state)
{
	struct policy_map *m = new_map();
	struct clock *c = clock_system();
	int64_t t0, t1;
	size_t ops = 0;

	for (unsigned i = 0; i < 10000; i++) {
		netd_policy_ops o = {0};
		char uid[16], ns[16], address[32], value[16];
		struct object_label l[2] = {{"app", value}, {"k", words[i % 3]}};
		struct net_address a;

		snprintf(uid, sizeof(uid), "u%u", i);
		snprintf(ns, sizeof(ns), "n%u", i % 50);
		snprintf(value, sizeof(value), "app%u", i % 20);
		snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		assert_int_equal(net_address_parse(address, &a), 0);
		policy_map_set_pod(m,
			&(struct policy_pod){.uid = uid,
				.ns = ns,
				.labels = l,
				.label_count = 2,
				.addresses = &a,
				.address_count = 1,
				.local = i >= 256 && i < 366},
			&o);
		VEC_FINISH(&o);
	}
	for (unsigned i = 0; i < 1000; i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		netd_policy_ops o = {0};
		char *ns = arena_printf(&a, "n%u", i % 50), *name = arena_printf(&a, "p%u", i);
		char *text = arena_printf(&a,
			"{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\"},\"spec\":{"
			"\"podSelector\":{"
			"\"matchLabels\":{\"app\":\"app%u\"}},\"ingress\":[{\"from\":[{"
			"\"podSelector\":{"
			"\"matchLabels\":{\"app\":\"app%u\"}}},{\"namespaceSelector\":{},"
			"\"podSelector\":{"
			"\"matchLabels\":{\"k\":\"a\",\"app\":\"app%u\"}}}],\"ports\":[{\"port\":"
			"80}]}]}}",
			ns, name, i % 20, (i + 10) % 20, i % 20);

		policy_map_set_policy(
			m, ns, name, policy_create(read_doc(&a, text, strlen(text))), &o);
		ops += o.count;
		VEC_FINISH(&o);
	}
	struct policy_map_counts n = policy_map_count(m);
	assert_int_equal(n.policies, 1000);
	assert_int_equal(n.isolated, 110);
	print_message("%zu policies apply here, %zu sets, %zu chains, %zu operations\n", n.compiled,
		n.sets, n.chains, ops);
	t0 = c->mono_ns(c);
	for (unsigned i = 0; i < 1000; i++) {
		netd_policy_ops o = {0};
		struct object_label l[2] = {{"app", "app6"}, {"k", words[i % 3]}};
		struct net_address a;

		assert_int_equal(net_address_parse("10.200.0.1", &a), 0);
		policy_map_set_pod(m,
			&(struct policy_pod){.uid = "new",
				.ns = "n6",
				.labels = l,
				.label_count = 2,
				.addresses = &a,
				.address_count = 1},
			&o);
		assert_true(o.count < 100);
		VEC_FINISH(&o);
	}
	t1 = c->mono_ns(c);
	print_message("a change of a pod: %lld us\n", (long long)(t1 - t0) / 1000 / 1000);
	assert_true(t1 - t0 < 1000 * 2 * NS_PER_MS);
	end_world(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_said_without_need),
		cmocka_unit_test(what_is_held_is_not_compared),
		cmocka_unit_test(an_address_is_its_newest_pods),
		cmocka_unit_test(named_ports_are_each_pods_own),
		cmocka_unit_test(ranges_are_joined_and_cut),
		cmocka_unit_test(too_much_is_left_out),
		cmocka_unit_test(netd_refuses_what_it_should_not_do),
		cmocka_unit_test(random_worlds_are_judged_as_written),
		cmocka_unit_test(a_large_cluster),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
