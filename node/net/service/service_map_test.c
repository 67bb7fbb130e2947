#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "lib/base/random.h"
#include "lib/base/table.h"
#include "node/net/service/service_map.h"

/* What the kernel would do with the operations: removing what is not there, or adding what is there
 * already, fails a transaction. */
struct kernel {
	struct table elements; /* key text -> struct netd_op */
};

static void key_text(const struct netd_op *op, char ret[200])
{
	bool endpoint = op->type == NETD_ENDPOINT, grouped = endpoint || op->type == NETD_GROUP;
	char address[NET_ADDRESS_TEXT], to[NET_ADDRESS_TEXT] = "";

	if (op->type == NETD_HAIRPIN || op->type == NETD_SOURCE)
		net_address_format(&op->to, to);
	snprintf(ret, 200, "%u %s %u %u %08x %u %u %s/%u", op->type,
		net_address_format(&op->address, address), op->proto, op->port,
		grouped ? op->group : 0, endpoint ? op->slot : 0, endpoint && op->seconds, to,
		op->to_prefix);
}

static void kernel_flush(struct kernel *k)
{
	for (struct table_iter i = table_iterate(&k->elements); table_next(&i);)
		free(i.value);
	table_finish(&k->elements);
}

/* Removals first, as nft_apply sends them. */
static void kernel_apply(struct kernel *k, const netd_ops *ops)
{
	struct netd_config c = {.net_count = 0};
	char key[200];

	assert_int_equal(net_range_parse("10.244.0.0/24", &c.v4.pods), 0);
	assert_int_equal(net_range_parse("fd00:10:244::/64", &c.v6.pods), 0);
	for (size_t i = 0; i < ops->count; i++) {
		if (netd_check_op(&ops->items[i], &c, NULL) < 0)
			fail_msg("operation %zu would be refused", i);
		if (ops->items[i].type == NETD_FLUSH)
			kernel_flush(k);
	}
	for (size_t i = 0; i < ops->count; i++) {
		if (!ops->items[i].remove || ops->items[i].type == NETD_FORGET)
			continue;
		key_text(&ops->items[i], key);
		void *old = table_remove(&k->elements, key);
		if (!old)
			fail_msg("removes %s, which is not there", key);
		free(old);
	}
	for (size_t i = 0; i < ops->count; i++) {
		struct netd_op *copy;

		if (ops->items[i].remove || ops->items[i].type == NETD_FLUSH ||
			ops->items[i].type == NETD_FORGET)
			continue;
		key_text(&ops->items[i], key);
		if (table_get(&k->elements, key))
			fail_msg("adds %s, which is there", key);
		copy = xmalloc(sizeof(*copy));
		*copy = ops->items[i];
		table_set(&k->elements, key, copy);
	}
}

static const struct netd_op *kernel_get(const struct kernel *k, struct netd_op want)
{
	char key[200];

	key_text(&want, key);
	return table_get(&k->elements, key);
}

/* Each target of a group is reachable, with a fair share, and nothing else is. */
static void check_group(
	const struct kernel *k, uint32_t mark, const struct service_target *targets, size_t count)
{
	const struct netd_op *group =
		kernel_get(k, (struct netd_op){.type = NETD_GROUP,
				      .group = mark,
				      .address.family = targets[0].address.family});
	unsigned *hits = xcalloc(count + 1, sizeof(*hits));

	assert_non_null(group);
	assert_int_equal(group->slot_count, netd_slots_for(count));
	for (unsigned s = 0; s < group->slot_count; s++) {
		const struct netd_op *e;
		struct netd_op want = *group;
		size_t i;

		want.type = NETD_ENDPOINT;
		want.slot = (uint16_t)s;
		e = kernel_get(k, want);
		assert_non_null(e);
		for (i = 0; i < count; i++)
			if (net_address_eq(&targets[i].address, &e->to) &&
				targets[i].port == e->to_port)
				break;
		assert_true(i < count);
		hits[i]++;
		assert_non_null(kernel_get(k, (struct netd_op){.type = NETD_HAIRPIN,
						      .address.family = e->to.family,
						      .to = e->to}));
	}
	for (size_t i = 0; i < count; i++) {
		assert_true(hits[i] >= group->slot_count / count);
		assert_true(hits[i] <= group->slot_count / count + 1);
	}
	free(hits);
}

/* A front leads to these targets for sources outside; without any, it says so. */
static void check_front(const struct kernel *k, struct netd_op id,
	const struct service_target *targets, size_t count)
{
	const struct netd_op *front = kernel_get(k, id);

	assert_non_null(front);
	if (!count) {
		assert_int_not_equal(front->verdict, NETD_TRANSLATE);
		assert_int_equal(front->group, 0);
		return;
	}
	assert_int_equal(front->verdict, NETD_TRANSLATE);
	check_group(k, front->group, targets, count);
}

static struct net_address ip(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

static struct net_address nth(const char *base, uint32_t n)
{
	struct net_address a = ip(base);

	return net_address_plus(&a, n);
}

/* A service of one port: its cluster IP and, unless 0, its node port. */
struct simple {
	struct service_group groups[2];
	struct service_front fronts[2];
	struct service_desc d;
	struct netd_op id;
};

static struct service_desc *simple(struct simple *s, struct net_address address, uint8_t proto,
	uint16_t port, uint16_t node_port, uint32_t seconds, const struct service_target *targets,
	size_t count)
{
	struct service_group inside = {.name = "i",
		.kind = NETD_INSIDE,
		.seconds = seconds,
		.targets = targets,
		.target_count = count};
	struct service_group outside = inside;
	struct service_front cluster = {.address = address,
		.proto = proto,
		.port = port,
		.inside = -1,
		.empty = NETD_REFUSE};
	struct service_front node = {.address.family = address.family,
		.proto = proto,
		.port = node_port,
		.group = 1,
		.inside = -1,
		.empty = NETD_REFUSE};

	strcpy(outside.name, "o");
	outside.kind = NETD_OUTSIDE;
	s->groups[0] = inside;
	s->groups[1] = outside;
	s->fronts[0] = cluster;
	s->fronts[1] = node;
	s->d = (struct service_desc){s->groups, 2, s->fronts, node_port ? 2 : 1};
	s->id = (struct netd_op){
		.type = NETD_FRONT, .address = address, .proto = proto, .port = port};
	return &s->d;
}

static size_t count_ops(const netd_ops *ops, enum netd_op_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < ops->count; i++)
		n += ops->items[i].type == type;
	return n;
}

static void change_costs_little(const char *address, const char *endpoints)
{
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target t[3] = {
		{nth(endpoints, 0), 80}, {nth(endpoints, 1), 80}, {nth(endpoints, 2), 80}};
	struct simple s;

	assert_true(
		service_map_set(m, "a/web", simple(&s, ip(address), 6, 80, 30080, 0, t, 3), &ops));
	assert_int_equal(ops.count, 2 * (1 + 1 + 3) + 3);
	kernel_apply(&k, &ops);
	check_front(&k, s.id, t, 3);

	ops.count = 0;
	assert_true(service_map_set(m, "a/web", &s.d, &ops));
	assert_int_equal(ops.count, 0);

	/* The first of three goes: the last one takes its slot. The fronts stay. */
	simple(&s, ip(address), 6, 80, 30080, 0, t + 1, 2);
	assert_true(service_map_set(m, "a/web", &s.d, &ops));
	assert_int_equal(ops.count, 2 * (3 + 2) + 1);
	assert_int_equal(count_ops(&ops, NETD_FRONT), 0);
	kernel_apply(&k, &ops);
	check_front(&k, s.id, t + 1, 2);

	/* None left: clients are refused. */
	ops.count = 0;
	simple(&s, ip(address), 6, 80, 30080, 0, t, 0);
	assert_true(service_map_set(m, "a/web", &s.d, &ops));
	kernel_apply(&k, &ops);
	check_front(&k, s.id, t, 0);
	assert_int_equal(k.elements.count, 2);
	ops.count = 0;
	assert_true(service_map_set(m, "a/web", NULL, &ops));
	kernel_apply(&k, &ops);
	assert_int_equal(k.elements.count, 0);

	VEC_FINISH(&ops);
	kernel_flush(&k);
	service_map_destroy(m);
}

static void one_change_costs_little(void **state)
{
	change_costs_little("10.96.0.10", "10.244.0.2");
	change_costs_little("fd00:10:96::10", "fd00:10:244::2");
}

/* Many ports times many endpoints: bounded, and what is left out comes when there is room. */
static void one_service_takes_only_so_much(void **state)
{
	enum { PORTS = 200, TARGETS = 1000 };
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target *t = calloc(TARGETS, sizeof(*t));
	struct service_group groups[PORTS];
	struct service_front fronts[PORTS];
	struct service_desc d = {groups, PORTS, fronts, PORTS};

	for (uint32_t i = 0; i < TARGETS; i++)
		t[i] = (struct service_target){nth("10.244.0.2", i), 80};
	for (unsigned i = 0; i < PORTS; i++) {
		groups[i] = (struct service_group){
			.kind = NETD_INSIDE, .targets = t, .target_count = TARGETS};
		snprintf(groups[i].name, sizeof(groups[i].name), "%u", i);
		fronts[i] = (struct service_front){.address = ip("10.96.0.10"),
			.proto = 6,
			.port = (uint16_t)(1 + i),
			.group = (int)i,
			.inside = -1,
			.empty = NETD_REFUSE};
	}
	assert_true(service_map_set(m, "a/wide", &d, &ops));
	assert_int_equal(
		service_map_slots(m), SERVICE_SLOTS_MAX / NETD_SLOTS_MOST * NETD_SLOTS_MOST);
	assert_true(ops.count < SERVICE_SLOTS_MAX + 2 * PORTS + TARGETS);
	kernel_apply(&k, &ops);

	ops.count = 0;
	for (unsigned i = 0; i < PORTS; i++)
		groups[i].target_count = 3;
	assert_true(service_map_set(m, "a/wide", &d, &ops));
	assert_int_equal(service_map_slots(m), 3 * PORTS);
	kernel_apply(&k, &ops);

	ops.count = 0;
	assert_true(service_map_set(m, "a/wide", NULL, &ops));
	kernel_apply(&k, &ops);
	assert_int_equal(k.elements.count, 0);
	VEC_FINISH(&ops);
	kernel_flush(&k);
	service_map_destroy(m);
	free(t);
}

static void affinity_is_removed_as_it_was_added(void **state)
{
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target t[2] = {{ip("10.244.0.2"), 80}, {ip("10.244.0.3"), 80}};
	struct simple s;

	assert_true(
		service_map_set(m, "a/web", simple(&s, ip("10.96.0.10"), 6, 80, 0, 7, t, 2), &ops));
	kernel_apply(&k, &ops);
	check_front(&k, s.id, t, 2);
	ops.count = 0;
	assert_true(service_map_set(
		m, "a/web", simple(&s, ip("10.96.0.10"), 6, 80, 0, 86400, t, 2), &ops));
	kernel_apply(&k, &ops);
	ops.count = 0;
	assert_true(
		service_map_set(m, "a/web", simple(&s, ip("10.96.0.10"), 6, 80, 0, 0, t, 1), &ops));
	kernel_apply(&k, &ops);
	check_front(&k, s.id, t, 1);
	ops.count = 0;
	assert_true(service_map_set(m, "a/web", NULL, &ops));
	kernel_apply(&k, &ops);
	assert_int_equal(k.elements.count, 0);
	VEC_FINISH(&ops);
	kernel_flush(&k);
	service_map_destroy(m);
}

/* Who is inside goes another way, and what there is for it is the same element by element. */
static void inside_and_outside(void **state)
{
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target t[2] = {{ip("10.244.0.2"), 80}, {ip("10.244.1.3"), 80}};
	struct net_range sources[2];
	struct simple s;
	const struct netd_op *front;

	assert_int_equal(net_range_parse("192.0.2.0/24", &sources[0]), 0);
	assert_int_equal(net_range_parse("198.51.100.0/25", &sources[1]), 0);
	simple(&s, ip("198.51.100.9"), 6, 80, 0, 0, t, 2);
	s.groups[1].kind = NETD_KEEP;
	s.groups[1].target_count = 1;
	s.fronts[0].inside = 0;
	s.fronts[0].group = 1;
	s.fronts[0].empty = NETD_DROP;
	s.fronts[0].sources = sources;
	s.fronts[0].source_count = 2;
	assert_true(service_map_set(m, "a/lb", &s.d, &ops));
	kernel_apply(&k, &ops);
	assert_int_equal(count_ops(&ops, NETD_FIREWALL), 1);
	assert_int_equal(count_ops(&ops, NETD_SOURCE), 2);
	front = kernel_get(&k, s.id);
	check_group(&k, front->group, t, 1);
	check_group(&k, front->inside, t, 2);
	ops.count = 0;
	s.groups[1].target_count = 0;
	s.fronts[0].source_count = 1;
	assert_true(service_map_set(m, "a/lb", &s.d, &ops));
	kernel_apply(&k, &ops);
	front = kernel_get(&k, s.id);
	assert_int_equal(front->verdict, NETD_DROP);
	check_group(&k, front->inside, t, 2);
	ops.count = 0;
	s.groups[0].target_count = 0;
	s.fronts[0].empty = NETD_REFUSE;
	s.fronts[0].sources = NULL;
	s.fronts[0].source_count = 0;
	assert_true(service_map_set(m, "a/lb", &s.d, &ops));
	kernel_apply(&k, &ops);
	front = kernel_get(&k, s.id);
	assert_int_equal(front->verdict, NETD_REFUSE);
	assert_int_equal(front->inside, 0);
	assert_int_equal(k.elements.count, 1);
	VEC_FINISH(&ops);
	kernel_flush(&k);
	service_map_destroy(m);
}

/* Clients of UDP leave what is gone, and find what came. */
static void udp_is_forgotten(void **state)
{
	struct service_map *m = service_map_create();
	netd_ops ops = {0};
	struct service_target t[2] = {{ip("10.244.0.2"), 53}, {ip("10.244.0.3"), 53}};
	struct simple s;

	assert_true(service_map_set(
		m, "a/dns", simple(&s, ip("10.96.0.10"), 17, 53, 30053, 0, t, 0), &ops));
	assert_int_equal(count_ops(&ops, NETD_FORGET), 0);
	ops.count = 0;
	simple(&s, ip("10.96.0.10"), 17, 53, 30053, 0, t, 1);
	assert_true(service_map_set(m, "a/dns", &s.d, &ops));
	assert_int_equal(count_ops(&ops, NETD_FORGET), 2); /* all that was sent to nowhere */
	assert_int_equal(ops.items[ops.count - 1].to.family, 0);
	ops.count = 0;
	simple(&s, ip("10.96.0.10"), 17, 53, 30053, 0, t, 2);
	assert_true(service_map_set(m, "a/dns", &s.d, &ops));
	assert_int_equal(count_ops(&ops, NETD_FORGET), 0); /* another one harms nobody */
	ops.count = 0;
	simple(&s, ip("10.96.0.10"), 17, 53, 30053, 0, t + 1, 1);
	assert_true(service_map_set(m, "a/dns", &s.d, &ops));
	assert_int_equal(count_ops(&ops, NETD_FORGET), 2);
	for (size_t i = 0; i < ops.count; i++)
		if (ops.items[i].type == NETD_FORGET)
			assert_true(net_address_eq(&ops.items[i].to, &t[0].address));
	ops.count = 0;
	assert_true(service_map_set(m, "a/dns", NULL, &ops));
	assert_int_equal(count_ops(&ops, NETD_FORGET), 2);
	ops.count = 0;
	simple(&s, ip("10.96.0.10"), 6, 53, 30053, 0, t, 2);
	assert_true(service_map_set(m, "a/dns", &s.d, &ops));
	assert_true(service_map_set(m, "a/dns", NULL, &ops));
	assert_int_equal(count_ops(&ops, NETD_FORGET), 0); /* TCP ends by itself */
	VEC_FINISH(&ops);
	service_map_destroy(m);
}

static void an_address_has_one_owner(void **state)
{
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target t = {ip("10.244.0.2"), 80}, u = {ip("10.244.0.3"), 80};
	struct simple old, new;

	simple(&old, ip("10.96.0.10"), 6, 80, 0, 0, &t, 1);
	simple(&new, ip("10.96.0.10"), 6, 80, 0, 0, &u, 1);
	assert_true(service_map_set(m, "a/old", &old.d, &ops));
	assert_false(service_map_set(m, "a/new", &new.d, &ops));
	kernel_apply(&k, &ops);
	check_front(&k, old.id, &t, 1);
	ops.count = 0;
	assert_true(service_map_set(m, "a/old", NULL, &ops));
	kernel_apply(&k, &ops);
	ops.count = 0;
	assert_true(service_map_set(m, "a/new", &new.d, &ops));
	kernel_apply(&k, &ops);
	check_front(&k, new.id, &u, 1);
	ops.count = 0;
	assert_true(service_map_set(m, "a/new", NULL, &ops));
	kernel_apply(&k, &ops);
	assert_int_equal(k.elements.count, 0);
	VEC_FINISH(&ops);
	kernel_flush(&k);
	service_map_destroy(m);
}

/* Endpoints come and go at random, small and large sets; the kernel always ends with what was
 * asked. */
static void random_changes(void **state)
{
	struct random r = random_seeded(7);
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	static struct service_target t[4][700];
	size_t counts[4] = {0};

	for (int round = 0; round < 300; round++) {
		size_t s = random_below(&r, 4);
		char key[16];
		struct simple one;
		size_t want = random_below(&r, 10) ? random_below(&r, 70) : random_below(&r, 700);

		snprintf(key, sizeof(key), "n/s%zu", s);
		/* Keep some of the old ones, in another order. */
		while (counts[s] > want / 2)
			t[s][random_below(&r, counts[s])] = t[s][counts[s] - 1], counts[s]--;
		while (counts[s] < want) {
			bool there = false;
			struct service_target fresh = {
				nth("10.244.0.0", (uint32_t)random_below(&r, 2000)), 80};

			for (size_t i = 0; i < counts[s]; i++)
				there |= net_address_eq(&t[s][i].address, &fresh.address);
			if (!there)
				t[s][counts[s]++] = fresh;
		}
		simple(&one, nth("10.96.0.1", (uint32_t)s), 6, 80,
			(uint16_t)(s % 2 ? 30000 + s : 0), random_below(&r, 3) ? 0 : 600, t[s],
			counts[s]);
		ops.count = 0;
		assert_true(service_map_set(m, key, &one.d, &ops));
		kernel_apply(&k, &ops);
		check_front(&k, one.id, t[s], counts[s]);
	}
	/* A full synchronisation says the same. */
	size_t before = k.elements.count;

	ops.count = 0;
	service_map_all(m, &ops);
	kernel_apply(&k, &ops);
	assert_int_equal(k.elements.count, before);
	for (size_t s = 0; s < 4; s++) {
		char key[16];

		snprintf(key, sizeof(key), "n/s%zu", s);
		ops.count = 0;
		assert_true(service_map_set(m, key, NULL, &ops));
		kernel_apply(&k, &ops);
	}
	assert_int_equal(k.elements.count, 0);
	assert_int_equal(service_map_slots(m), 0);
	assert_int_equal(service_map_fronts(m), 0);
	VEC_FINISH(&ops);
	kernel_flush(&k);
	service_map_destroy(m);
}

/* With many endpoints a change of one moves only its share. */
static void large_services_move_little(void **state)
{
	struct service_map *m = service_map_create();
	netd_ops ops = {0};
	static struct service_target t[101];
	struct simple s;

	for (uint32_t i = 0; i < 101; i++)
		t[i] = (struct service_target){nth("10.244.0.2", i), 80};
	simple(&s, ip("10.96.0.10"), 6, 80, 0, 0, t, 100);
	assert_true(service_map_set(m, "a/big", &s.d, &ops));
	ops.count = 0;
	simple(&s, ip("10.96.0.10"), 6, 80, 0, 0, t, 101);
	assert_true(service_map_set(m, "a/big", &s.d, &ops));
	assert_true(ops.count <= 2 * (1024 / 100 + 1) + 1 + 1024 / 100 * 2);
	VEC_FINISH(&ops);
	service_map_destroy(m);
}

/* An agent that starts anew gives the groups the same marks: clients are remembered by them. */
static void groups_keep_their_marks(void **state)
{
	struct service_target t = {ip("10.244.0.2"), 80};
	uint32_t marks[2] = {0};

	for (int run = 0; run < 2; run++) {
		struct service_map *m = service_map_create();
		netd_ops ops = {0};
		struct simple s;

		if (run)
			assert_true(service_map_set(m, "a/other",
				simple(&s, ip("10.96.0.11"), 6, 80, 0, 600, &t, 1), &ops));
		ops.count = 0;
		assert_true(service_map_set(
			m, "a/web", simple(&s, ip("10.96.0.10"), 6, 80, 0, 600, &t, 1), &ops));
		for (size_t i = 0; i < ops.count; i++)
			if (ops.items[i].type == NETD_GROUP)
				marks[run] = ops.items[i].group;
		VEC_FINISH(&ops);
		service_map_destroy(m);
	}
	assert_int_not_equal(marks[0], 0);
	assert_int_equal(marks[0], marks[1]);
}

/* Each operation leads back to its service, those of others to nobody. */
static void an_operation_has_an_owner(void **state)
{
	struct service_target t[2] = {{ip("10.244.0.2"), 80}, {ip("10.244.0.3"), 80}};
	struct service_map *m = service_map_create();
	netd_ops ops = {0};
	struct simple s;

	assert_true(service_map_set(
		m, "a/web", simple(&s, ip("10.96.0.10"), 6, 80, 0, 600, &t[0], 1), &ops));
	size_t of_web = ops.count;
	assert_true(service_map_set(
		m, "a/other", simple(&s, ip("10.96.0.11"), 6, 80, 30080, 0, &t[1], 1), &ops));
	assert_true(of_web > 2 && ops.count > of_web + 2);
	for (size_t i = 0; i < ops.count; i++)
		if (ops.items[i].type != NETD_FORGET)
			assert_string_equal(service_map_owner(m, &ops.items[i]),
				i < of_web ? "a/web" : "a/other");
	assert_null(service_map_owner(m, &(struct netd_op){.type = NETD_FLUSH}));
	assert_null(service_map_owner(m,
		&(struct netd_op){
			.type = NETD_FRONT, .address = ip("10.96.0.12"), .proto = 6, .port = 80}));
	VEC_FINISH(&ops);
	service_map_destroy(m);
}

static int check(struct netd_op op)
{
	struct netd_config c = {.net_count = 0};

	assert_int_equal(net_range_parse("10.244.0.0/24", &c.v4.pods), 0);
	return netd_check_op(&op, &c, NULL);
}

static void netd_refuses_what_it_should(void **state)
{
	struct {
		struct netd_config c;
		struct net_range nets[1];
	} config = {.c = {.net_count = 1}};
	uint32_t group = netd_group(NETD_INSIDE, 7);
	struct netd_op front = {.type = NETD_FRONT,
		.proto = 6,
		.address = ip("10.96.0.1"),
		.port = 443,
		.group = group};
	struct netd_op endpoint = {.type = NETD_ENDPOINT,
		.address.family = AF_INET,
		.group = group,
		.to = ip("10.244.0.2"),
		.to_port = 22};
	struct netd_op bad;

	assert_int_equal(net_range_parse("10.244.0.0/24", &config.c.v4.pods), 0);
	assert_int_equal(net_range_parse("10.96.0.0/16", &config.c.v4.services), 0);
	assert_int_equal(net_range_parse("10.244.1.0/24", &config.nets[0]), 0);
	assert_int_equal(netd_check_config(&config.c, sizeof(config), NULL), 0);
	assert_int_equal(netd_check_config(&config.c, sizeof(config) - 1, NULL), -EINVAL);
	assert_int_equal(netd_check_config(&config.c, 3, NULL), -EINVAL);
	config.nets[0].prefix = 0;
	assert_int_equal(netd_check_config(&config.c, sizeof(config), NULL), -EINVAL);
	config.nets[0].prefix = 24;
	config.c.v4.services = config.c.v4.pods;
	assert_int_equal(netd_check_config(&config.c, sizeof(config), NULL), -EINVAL);

	assert_int_equal(check(front), 0);
	assert_int_equal(check(endpoint), 0);
#define REFUSED(from, change)                                                                      \
	do {                                                                                       \
		bad = from;                                                                        \
		bad.change;                                                                        \
		assert_int_equal(check(bad), -EINVAL);                                             \
	} while (0)
	REFUSED(front,
		address = ip("127.0.0.1")); /* nobody may redirect what the host says to itself */
	REFUSED(front, address = ip("fd00::1")); /* there is no such table */
	REFUSED(front, address.bytes[9] = 1);
	REFUSED(front, proto = 1);
	REFUSED(front, port = 0);
	REFUSED(front, group = 0);
	REFUSED(front, group |= 1);
	REFUSED(front, inside = 5);
	REFUSED(front, verdict = 3);
	REFUSED(front, verdict = NETD_DROP); /* and a group all the same */
	REFUSED(front, type = NETD_OP_TYPES);
	REFUSED(front, remove = 2);
	REFUSED(endpoint, to = ip("127.0.0.1"));
	REFUSED(endpoint, to = ip("fd00::1"));
	REFUSED(endpoint, to_port = 0);
	REFUSED(endpoint, slot = NETD_SLOTS_MOST);
	bad = (struct netd_op){.type = NETD_GROUP,
		.address.family = AF_INET,
		.group = group,
		.slot_count = 64,
		.seconds = 86400};
	assert_int_equal(check(bad), 0);
	bad.slot_count = 65; /* there is no such chain */
	assert_int_equal(check(bad), -EINVAL);
	bad.slot_count = 64;
	bad.seconds++;
	assert_int_equal(check(bad), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_change_costs_little),
		cmocka_unit_test(one_service_takes_only_so_much),
		cmocka_unit_test(affinity_is_removed_as_it_was_added),
		cmocka_unit_test(inside_and_outside),
		cmocka_unit_test(udp_is_forgotten),
		cmocka_unit_test(an_address_has_one_owner),
		cmocka_unit_test(random_changes),
		cmocka_unit_test(large_services_move_little),
		cmocka_unit_test(groups_keep_their_marks),
		cmocka_unit_test(an_operation_has_an_owner),
		cmocka_unit_test(netd_refuses_what_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
