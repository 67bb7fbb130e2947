#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "lib/base/random.h"
#include "lib/base/table.h"
#include "node/net/service_map.h"

/* What the kernel would do with the operations: removing what is not there, or adding what is there
 * already, fails a transaction. */
struct kernel {
	struct table elements; /* key text -> struct netd_op */
};

static void key_text(const struct netd_op *op, char ret[64])
{
	bool endpoint = op->type == NETD_ENDPOINT || op->type == NETD_NODE_PORT_ENDPOINT;

	snprintf(ret, 64, "%u %08x %u %u %u %08x", op->type, op->address, op->proto, op->port,
		endpoint ? op->slot : 0, op->type == NETD_HAIRPIN ? op->to_address : 0);
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
	struct netd_config c = {0};
	char key[64];

	assert_int_equal(netd_net_parse("10.96.0.0/16", &c.services), 0);
	for (size_t i = 0; i < ops->count; i++) {
		if (netd_check_op(&ops->items[i], &c, NULL) < 0)
			fail_msg("operation %zu would be refused", i);
		if (ops->items[i].type == NETD_FLUSH)
			kernel_flush(k);
	}
	for (size_t i = 0; i < ops->count; i++) {
		if (!ops->items[i].remove)
			continue;
		key_text(&ops->items[i], key);
		void *old = table_remove(&k->elements, key);
		if (!old)
			fail_msg("removes %s, which is not there", key);
		free(old);
	}
	for (size_t i = 0; i < ops->count; i++) {
		struct netd_op *copy;

		if (ops->items[i].remove || ops->items[i].type == NETD_FLUSH)
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
	char key[64];

	key_text(&want, key);
	return table_get(&k->elements, key);
}

/* Each target is reachable, with a fair share, and nothing else is. */
static void check_front(const struct kernel *k, struct netd_op id,
	const struct service_target *targets, size_t count)
{
	const struct netd_op *front = kernel_get(k, id);
	unsigned *hits = xcalloc(count + 1, sizeof(*hits));

	if (!count) {
		assert_null(front);
		free(hits);
		return;
	}
	assert_non_null(front);
	assert_int_equal(front->slot, netd_slots_for(count));
	for (unsigned s = 0; s < front->slot; s++) {
		const struct netd_op *e;
		struct netd_op want = id;
		size_t i;

		want.type = id.type == NETD_SERVICE ? NETD_ENDPOINT : NETD_NODE_PORT_ENDPOINT;
		want.slot = (uint16_t)s;
		e = kernel_get(k, want);
		assert_non_null(e);
		for (i = 0; i < count; i++)
			if (targets[i].address == e->to_address && targets[i].port == e->to_port)
				break;
		assert_true(i < count);
		hits[i]++;
		assert_non_null(kernel_get(
			k, (struct netd_op){.type = NETD_HAIRPIN, .to_address = e->to_address}));
	}
	for (size_t i = 0; i < count; i++) {
		assert_true(hits[i] >= front->slot / count);
		assert_true(hits[i] <= front->slot / count + 1);
	}
	free(hits);
}

static uint32_t ip(const char *text)
{
	struct in_addr a;

	assert_int_equal(inet_pton(AF_INET, text, &a), 1);
	return a.s_addr;
}

static void one_change_costs_little(void **state)
{
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target t[3] = {
		{ip("10.244.0.2"), 80}, {ip("10.244.0.3"), 80}, {ip("10.244.0.4"), 80}};
	struct service_port p = {IPPROTO_TCP, 80, 30080, t, 3};
	struct service_desc d = {ip("10.96.0.10"), 0, &p, 1};
	struct netd_op id = {.type = NETD_SERVICE, .address = d.address, .proto = 6, .port = 80};

	assert_true(service_map_set(m, "a/web", &d, &ops));
	assert_int_equal(ops.count, 2 * (1 + 3) + 3);
	kernel_apply(&k, &ops);
	check_front(&k, id, t, 3);

	ops.count = 0;
	assert_true(service_map_set(m, "a/web", &d, &ops));
	assert_int_equal(ops.count, 0);

	/* The first of three goes: the last one takes its slot. */
	p.targets = t + 1;
	p.target_count = 2;
	assert_true(service_map_set(m, "a/web", &d, &ops));
	assert_int_equal(ops.count, 2 * (3 + 2) + 1);
	kernel_apply(&k, &ops);
	check_front(&k, id, t + 1, 2);

	/* None left: the service itself goes, so that it is refused. */
	ops.count = 0;
	p.target_count = 0;
	assert_true(service_map_set(m, "a/web", &d, &ops));
	kernel_apply(&k, &ops);
	assert_int_equal(k.elements.count, 0);

	VEC_FINISH(&ops);
	kernel_flush(&k);
	service_map_destroy(m);
}

/* Many ports times many endpoints: bounded, and what is left out comes when there is room. */
static void one_service_takes_only_so_much(void **state)
{
	enum { PORTS = 200, TARGETS = 1000 };
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target *t = calloc(TARGETS, sizeof(*t));
	struct service_port p[PORTS];
	struct service_desc d = {ip("10.96.0.10"), 0, p, PORTS};

	for (uint32_t i = 0; i < TARGETS; i++)
		t[i] = (struct service_target){htonl(0x0af40002 + i), 80};
	for (unsigned i = 0; i < PORTS; i++)
		p[i] = (struct service_port){IPPROTO_TCP, (uint16_t)(1 + i), 0, t, TARGETS};
	assert_true(service_map_set(m, "a/wide", &d, &ops));
	assert_int_equal(service_map_count(m), SERVICE_SLOTS_MAX / NETD_SLOTS_MOST);
	assert_true(ops.count < SERVICE_SLOTS_MAX + 2 * PORTS + TARGETS);
	kernel_apply(&k, &ops);

	ops.count = 0;
	for (unsigned i = 0; i < PORTS; i++)
		p[i].target_count = 3;
	assert_true(service_map_set(m, "a/wide", &d, &ops));
	assert_int_equal(service_map_count(m), PORTS);
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
	netd_ops ops = {0};
	struct service_target t = {ip("10.244.0.2"), 80};
	struct service_port p = {IPPROTO_UDP, 53, 0, &t, 1};
	struct service_desc d = {ip("10.96.0.10"), netd_affinity_step(10800), &p, 1};

	assert_true(service_map_set(m, "a/dns", &d, &ops));
	ops.count = 0;
	d.affinity = 0;
	assert_true(service_map_set(m, "a/dns", &d, &ops));
	assert_int_equal(ops.count, 2);
	assert_true(ops.items[0].remove);
	assert_int_equal(ops.items[0].affinity, 6);
	assert_int_equal(ops.items[1].affinity, 0);
	VEC_FINISH(&ops);
	service_map_destroy(m);
}

static void an_address_has_one_owner(void **state)
{
	struct service_map *m = service_map_create();
	struct kernel k = {0};
	netd_ops ops = {0};
	struct service_target t = {ip("10.244.0.2"), 80}, u = {ip("10.244.0.3"), 80};
	struct service_port p = {IPPROTO_TCP, 80, 0, &t, 1}, q = {IPPROTO_TCP, 80, 0, &u, 1};
	struct service_desc d = {ip("10.96.0.10"), 0, &p, 1}, e = {ip("10.96.0.10"), 0, &q, 1};
	struct netd_op id = {.type = NETD_SERVICE, .address = d.address, .proto = 6, .port = 80};

	assert_true(service_map_set(m, "a/old", &d, &ops));
	assert_false(service_map_set(m, "a/new", &e, &ops));
	kernel_apply(&k, &ops);
	check_front(&k, id, &t, 1);
	ops.count = 0;
	assert_true(service_map_set(m, "a/old", NULL, &ops));
	kernel_apply(&k, &ops);
	ops.count = 0;
	assert_true(service_map_set(m, "a/new", &e, &ops));
	kernel_apply(&k, &ops);
	check_front(&k, id, &u, 1);
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
		struct service_port p = {
			IPPROTO_TCP, 80, (uint16_t)(s % 2 ? 30000 + s : 0), t[s], 0};
		struct service_desc d = {htonl(0x0a600001 + (uint32_t)s), 0, &p, 1};
		struct netd_op id = {
			.type = NETD_SERVICE, .address = d.address, .proto = 6, .port = 80};
		size_t want = random_below(&r, 10) ? random_below(&r, 70) : random_below(&r, 700);

		snprintf(key, sizeof(key), "n/s%zu", s);
		/* Keep some of the old ones, in another order. */
		while (counts[s] > want / 2)
			t[s][random_below(&r, counts[s])] = t[s][counts[s] - 1], counts[s]--;
		while (counts[s] < want) {
			bool there = false;
			struct service_target fresh = {
				htonl(0x0af40000 + (uint32_t)random_below(&r, 2000)), 80};

			for (size_t i = 0; i < counts[s]; i++)
				there |= t[s][i].address == fresh.address;
			if (!there)
				t[s][counts[s]++] = fresh;
		}
		p.target_count = counts[s];
		ops.count = 0;
		assert_true(service_map_set(m, key, &d, &ops));
		kernel_apply(&k, &ops);
		check_front(&k, id, t[s], counts[s]);
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
	assert_int_equal(service_map_count(m), 0);
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
	struct service_port p = {IPPROTO_TCP, 80, 0, t, 100};
	struct service_desc d = {ip("10.96.0.10"), 0, &p, 1};

	for (uint32_t i = 0; i < 101; i++)
		t[i] = (struct service_target){htonl(0x0af40002 + i), 80};
	assert_true(service_map_set(m, "a/big", &d, &ops));
	ops.count = 0;
	p.target_count = 101;
	assert_true(service_map_set(m, "a/big", &d, &ops));
	assert_true(ops.count <= 2 * (1024 / 100 + 1) + 1 + 1024 / 100 * 2);
	VEC_FINISH(&ops);
	service_map_destroy(m);
}

static void netd_refuses_what_it_should(void **state)
{
	struct {
		struct netd_config c;
		struct netd_net nets[1];
	} config = {.c = {.net_count = 1}};
	struct netd_op op = {.type = NETD_SERVICE,
		.proto = 6,
		.address = ip("10.96.0.1"),
		.port = 443,
		.slot = 1};

	assert_int_equal(netd_net_parse("10.244.0.0/24", &config.c.pods), 0);
	assert_int_equal(netd_net_parse("10.96.0.0/16", &config.c.services), 0);
	assert_int_equal(netd_net_parse("10.244.1.0/24", &config.nets[0]), 0);
	assert_int_equal(netd_check_config(&config.c, sizeof(config), NULL), 0);
	assert_int_equal(netd_check_config(&config.c, sizeof(config) - 1, NULL), -EINVAL);
	assert_int_equal(netd_check_config(&config.c, 3, NULL), -EINVAL);
	assert_int_equal(netd_check_op(&op, &config.c, NULL), 0);
	op.address = ip("192.0.2.1"); /* nobody may redirect what is no service */
	assert_int_equal(netd_check_op(&op, &config.c, NULL), -EINVAL);
	op.address = ip("10.96.0.1");
	op.slot = 65; /* there is no such chain */
	assert_int_equal(netd_check_op(&op, &config.c, NULL), -EINVAL);
	op.slot = 1;
	op.proto = 1;
	assert_int_equal(netd_check_op(&op, &config.c, NULL), -EINVAL);
	op = (struct netd_op){.type = NETD_ENDPOINT,
		.proto = 6,
		.address = ip("10.96.0.1"),
		.port = 443,
		.to_address = ip("127.0.0.1"),
		.to_port = 22};
	assert_int_equal(netd_check_op(&op, &config.c, NULL), -EINVAL);
	config.nets[0].prefix = 0;
	assert_int_equal(netd_check_config(&config.c, sizeof(config), NULL), -EINVAL);
	config.nets[0].prefix = 24;
	config.c.services = config.c.pods;
	assert_int_equal(netd_check_config(&config.c, sizeof(config), NULL), -EINVAL);
	assert_int_equal(netd_net_parse("10.244.0.1/24", &config.c.pods), -EINVAL);
	assert_int_equal(netd_net_parse("10.244.0.0", &config.c.pods), -EINVAL);
	assert_int_equal(netd_affinity_step(1), 1);
	assert_int_equal(netd_affinity_step(61), 2);
	assert_int_equal(netd_affinity_step(0), 0);
	assert_int_equal(netd_affinity_step(1 << 30), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_change_costs_little),
		cmocka_unit_test(one_service_takes_only_so_much),
		cmocka_unit_test(affinity_is_removed_as_it_was_added),
		cmocka_unit_test(an_address_has_one_owner),
		cmocka_unit_test(random_changes),
		cmocka_unit_test(large_services_move_little),
		cmocka_unit_test(netd_refuses_what_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
