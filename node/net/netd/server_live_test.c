/* Servers that trust this node by its address, in a real kernel, inside namespaces of our own:
 *
 *     pod -- hanok0 --+
 *     nat -- hkb1   --+-- [this process: the node, netd] -- up -- server
 *     lan -- br9    --+                                   -- out -- outside
 *     near -- br9
 *
 * Needs root, nft and ip; without them the test says why it is skipped (exit code 77). */
#include <errno.h>
#include <poll.h>

#include "node/net/netd/netd_live.h"

#define SERVER "192.0.2.2"
#define SERVER6 "2001:db8::2"
#define WAIT_MS 10000

static struct net_address ip(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

static struct netd_server server(const char *address, uint8_t proto, uint16_t port)
{
	struct netd_server s;

	memset(&s, 0, sizeof(s));
	if (*address)
		s.address = ip(address);
	s.port = port;
	s.proto = proto;
	return s;
}

static int configure(void)
{
	struct netd_config c = {.net_count = 0};

	assert_int_equal(net_range_parse("10.244.0.0/24", &c.v4.pods), 0);
	assert_int_equal(net_range_parse("fd00::/64", &c.v6.pods), 0);
	return tell_netd(NETD_CONFIG, &c, sizeof(c));
}

/* A connection from one to `port` of `to`, which listens in `at`; at `by`, when that is another
 * way to the same. */
static bool connects_by(const char *from, const char *at, const char *to, uint16_t port,
	const char *by, uint16_t by_port)
{
	struct sockaddr_storage a;
	socklen_t size = to_sockaddr(to, port, &a);
	int listener = socket_in(at, a.ss_family, SOCK_STREAM, 0), on = 1, s, error = 0;
	socklen_t error_size = sizeof(error);
	struct pollfd p;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(listener, (struct sockaddr *)&a, size), 0);
	assert_int_equal(listen(listener, 5), 0);
	size = to_sockaddr(by, by_port, &a);
	s = socket_in(from, a.ss_family, SOCK_STREAM, 0);
	if (connect(s, (struct sockaddr *)&a, size) < 0)
		error = errno;
	if (error == EINPROGRESS) {
		p = (struct pollfd){.fd = s, .events = POLLOUT};
		assert_int_equal(poll(&p, 1, WAIT_MS), 1); /* refused is told, not dropped */
		getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &error_size);
	}
	close(s);
	close(listener);
	/* By the rules, not by a mistake of the test. */
	assert_true(error == 0 || error == EHOSTUNREACH || error == EACCES);
	return error == 0;
}

static bool connects(const char *from, const char *at, const char *to, uint16_t port)
{
	return connects_by(from, at, to, port, to, port);
}

static void pods_do_not_reach_them_and_the_node_does(void **state)
{
	struct netd_server list[3] = {server(SERVER, IPPROTO_TCP, 2049),
		server(SERVER, IPPROTO_UDP, 2049), server(SERVER6, IPPROTO_TCP, 2049)};

	assert_true(connects("pod", "server", SERVER, 2049));
	assert_true(connects("pod", "server", SERVER6, 2049));
	assert_int_equal(tell_netd(NETD_SERVERS, list, sizeof(list)), 0);
	assert_false(connects("pod", "server", SERVER, 2049));
	assert_false(connects("pod", "server", SERVER6, 2049));
	assert_true(connects("pod", "server", SERVER, 2050));
	assert_true(connects("pod", "server", SERVER6, 2050));
	assert_true(connects("", "server", SERVER, 2049));
	assert_true(connects("", "server", SERVER6, 2049));
	/* What is not ours passes through the node as ever. */
	assert_true(connects("outside", "server", SERVER, 2049));
	assert_int_equal(tell_netd(NETD_SERVERS, NULL, 0), 0);
	assert_true(connects("pod", "server", SERVER, 2049));
	sh("! nft list table inet hanok-servers 2>/dev/null");
}

static void guests_of_other_networks_neither(void **state)
{
	struct netd_server list[2] = {
		server(SERVER, IPPROTO_TCP, 2049), server("192.168.160.3", IPPROTO_TCP, 2049)};
	struct netd_network n[2] = {
		{.bridge = "hkb1", .range = {.prefix = 24}}, {.bridge = "br9", .kind = NETD_GIVEN}};

	n[0].range.address = ip("192.168.150.0");
	assert_int_equal(tell_netd(NETD_SERVERS, list, sizeof(list)), 0);
	assert_true(connects("lan", "server", SERVER, 2049));
	assert_int_equal(tell_netd(NETD_NETWORKS, n, sizeof(n)), 0);
	assert_false(connects("nat", "server", SERVER, 2049));
	assert_true(connects("nat", "server", SERVER, 2050));
	assert_false(connects("lan", "server", SERVER, 2049));
	/* With its own address, and not through the node. */
	assert_true(connects("lan", "near", "192.168.160.3", 2049));
	sh("nft list table ip hanok-networks | grep -q hkb1");
	assert_int_equal(tell_netd(NETD_NETWORKS, &n[1], sizeof(n[1])), 0);
	sh("! nft list table ip hanok-networks 2>/dev/null");
	assert_true(connects("nat", "server", SERVER, 2049));
	assert_int_equal(tell_netd(NETD_NETWORKS, NULL, 0), 0);
	assert_true(connects("lan", "server", SERVER, 2049));
}

static void ports_of_the_node_do_not_lead_there(void **state)
{
	struct netd_server s = server(SERVER, IPPROTO_TCP, 2049);
	struct netd_op op[2] = {
		{.type = NETD_HOST_PORT, .proto = IPPROTO_TCP, .port = 30049, .to_port = 2049},
		{.type = NETD_HOST_PORT, .proto = IPPROTO_TCP, .port = 30050, .to_port = 2050}};

	op[0].address.family = op[1].address.family = AF_INET;
	op[0].to = op[1].to = ip(SERVER);
	assert_int_equal(tell_netd(NETD_OPS, op, sizeof(op)), 0);
	assert_int_equal(tell_netd(NETD_SERVERS, &s, sizeof(s)), 0);
	assert_false(connects_by("outside", "server", SERVER, 2049, "198.51.100.1", 30049));
	assert_true(connects_by("outside", "server", SERVER, 2050, "198.51.100.1", 30050));
	op[0].remove = op[1].remove = 1;
	assert_int_equal(tell_netd(NETD_OPS, op, sizeof(op)), 0);
}

static void nor_a_server_on_the_node(void **state)
{
	struct netd_server s = server("", IPPROTO_TCP, 2049);

	assert_int_equal(tell_netd(NETD_SERVERS, &s, sizeof(s)), 0);
	assert_false(connects("pod", "", "10.244.0.1", 2049));
	assert_false(connects("pod", "", "192.0.2.1", 2049));
	assert_true(connects("pod", "", "10.244.0.1", 2050));
	assert_true(connects("", "", "127.0.0.1", 2049));
	assert_true(connects("pod", "server", SERVER, 2049));
}

static void another_netd_keeps_what_is_not_known_yet(void **state)
{
	struct netd_server list[2] = {
		server(SERVER, IPPROTO_TCP, 2049), server(SERVER, IPPROTO_TCP, 111)};

	assert_int_equal(tell_netd(NETD_SERVERS, list, sizeof(list[0])), 0);
	netd_end();
	netd_begin();
	assert_int_equal(configure(), 0);
	assert_false(connects("pod", "server", SERVER, 2049));
	assert_int_equal(tell_netd(NETD_SERVERS_MORE, &list[1], sizeof(list[1])), 0);
	assert_false(connects("pod", "server", SERVER, 2049));
	assert_false(connects("pod", "server", SERVER, 111));
	assert_int_equal(tell_netd(NETD_SERVERS, &list[1], sizeof(list[1])), 0);
	assert_true(connects("pod", "server", SERVER, 2049));
	assert_false(connects("pod", "server", SERVER, 111));
}

static void what_is_no_server_is_refused(void **state)
{
	struct netd_server s = server("127.0.0.1", IPPROTO_TCP, 2049);

	assert_int_equal(tell_netd(NETD_SERVERS, &s, sizeof(s)), -EINVAL);
	s = server(SERVER, IPPROTO_SCTP, 2049);
	assert_int_equal(tell_netd(NETD_SERVERS, &s, sizeof(s)), -EINVAL);
	s = server(SERVER, IPPROTO_TCP, 0);
	assert_int_equal(tell_netd(NETD_SERVERS, &s, sizeof(s)), -EINVAL);
	assert_int_equal(tell_netd(NETD_SERVERS, "x", 1), -EINVAL);
	assert_false(connects("pod", "server", SERVER, 111)); /* as before */
}

static int setup(void **state)
{
	sh("ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward; "
	   "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; "
	   "for b in hanok0 hkb1 br9; do ip link add $b type bridge && ip link set $b up; done; "
	   "ip addr add 10.244.0.1/24 dev hanok0; ip addr add fd00::1/64 dev hanok0 nodad; "
	   "ip addr add 192.168.150.1/24 dev hkb1; ip addr add 192.168.160.1/24 dev br9");
	sh("while read ns bridge address gateway; do ip netns add $ns; "
	   "ip link add v$ns type veth peer name eth0 netns $ns; "
	   "[ $bridge = none ] || ip link set v$ns master $bridge; ip link set v$ns up; "
	   "ip -n $ns link set lo up; ip -n $ns link set eth0 up; "
	   "ip -n $ns addr add $address/24 dev eth0; ip -n $ns route add default via $gateway; "
	   "done <<END\n"
	   "pod hanok0 10.244.0.2 10.244.0.1\n"
	   "nat hkb1 192.168.150.2 192.168.150.1\n"
	   "lan br9 192.168.160.2 192.168.160.1\n"
	   "near br9 192.168.160.3 192.168.160.1\n"
	   "server none 192.0.2.2 192.0.2.1\n"
	   "outside none 198.51.100.2 198.51.100.1\n"
	   "END\n");
	sh("ip addr add 192.0.2.1/24 dev vserver; ip addr add 198.51.100.1/24 dev voutside; "
	   "ip addr add 2001:db8::1/64 dev vserver nodad; "
	   "ip -n server addr add 2001:db8::2/64 dev eth0 nodad; "
	   "ip -n server route add default via 2001:db8::1; "
	   "ip -n pod addr add fd00::2/64 dev eth0 nodad; ip -n pod route add default via fd00::1");
	netd_begin();
	return configure();
}

static int teardown(void **state)
{
	netd_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pods_do_not_reach_them_and_the_node_does),
		cmocka_unit_test(guests_of_other_networks_neither),
		cmocka_unit_test(ports_of_the_node_do_not_lead_there),
		cmocka_unit_test(nor_a_server_on_the_node),
		cmocka_unit_test(another_netd_keeps_what_is_not_known_yet),
		cmocka_unit_test(what_is_no_server_is_refused),
	};

	if (!netd_live_enter() || mount("sysfs", "/sys", "sysfs", 0, NULL) < 0) {
		printf("skipped: needs root, namespaces, nft and ip\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
