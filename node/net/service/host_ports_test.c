/* What netd is told of host ports; netd itself is played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/net/service/host_ports.h"
#include "node/net/service/service_map.h"

static netd_ops said;
static uint32_t serial;

uint32_t netd_client_send(struct netd_client *c, enum netd_message type, const void *p, size_t size)
{
	const struct netd_op *ops = p;

	assert_int_equal(type, NETD_OPS);
	for (size_t i = 0; i < size / sizeof(*ops); i++)
		VEC_PUSH(&said, ops[i]);
	return ++serial;
}

static struct net_host_port port(uint8_t proto, uint16_t number, const char *to)
{
	struct net_host_port p = {
		.proto = proto, .port = number, .to_port = 80, .address.family = AF_INET};

	assert_int_equal(net_address_parse(to, &p.to), 0);
	return p;
}

/* One operation of each kind for a port: how often it is removed, added, forgotten. */
static void expect(uint16_t number, unsigned removed, unsigned added, unsigned forgotten)
{
	unsigned counts[3] = {0};

	for (size_t i = 0; i < said.count; i++)
		if (said.items[i].port == number)
			counts[said.items[i].type == NETD_FORGET ? 2 : !said.items[i].remove]++;
	assert_int_equal(counts[0], removed);
	assert_int_equal(counts[1], added);
	assert_int_equal(counts[2], forgotten);
}

static void only_differences_are_said(void **state)
{
	struct host_ports *h;
	uv_loop_t loop;
	struct net_host_port first[] = {port(6, 9000, "10.244.0.2"), port(17, 53, "10.244.0.2")};
	struct net_host_port second[] = {port(6, 9000, "10.244.0.3"), port(6, 8000, "10.244.0.3")};

	assert_int_equal(uv_loop_init(&loop), 0);
	h = host_ports_create(&loop, NULL);
	host_ports_set(h, "a", first, 2);
	host_ports_complete(h);
	assert_int_equal(said.count, 0); /* netd is not there */
	host_ports_resync(h);
	assert_int_equal(said.items[0].type, NETD_FLUSH);
	expect(9000, 0, 1, 0);
	expect(53, 0, 1, 0);
	VEC_FINISH(&said);
	/* The oldest keeps a port that two want. */
	host_ports_set(h, "b", second, 2);
	assert_int_equal(said.count, 1);
	expect(8000, 0, 1, 0);
	VEC_FINISH(&said);
	host_ports_set(h, "b", second, 2);
	assert_int_equal(said.count, 0);
	/* When it goes, the next has it. */
	host_ports_set(h, "a", NULL, 0);
	expect(9000, 1, 1, 0);
	expect(53, 1, 0, 1);
	expect(8000, 0, 0, 0);
	VEC_FINISH(&said);
	/* Another's answer is not ours; a refused change is followed by everything. */
	assert_false(host_ports_result(h, serial + 1, 0, ""));
	assert_true(host_ports_result(h, serial, -2, "gone"));
	assert_int_equal(said.items[0].type, NETD_FLUSH);
	expect(9000, 0, 1, 0);
	expect(8000, 0, 1, 0);
	VEC_FINISH(&said);
	/* So is a refused everything, a little later. */
	assert_true(host_ports_result(h, serial, -12, "no memory"));
	assert_int_equal(said.count, 0);
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(said.items[0].type, NETD_FLUSH);
	expect(9000, 0, 1, 0);
	VEC_FINISH(&said);
	host_ports_destroy(h);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_differences_are_said)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
