/* Ports that are kept to their addresses, in a real kernel, inside namespaces of our own:
 *
 *     a, b, c -- va, vb, vc of hanok0 [this process: the node, netd]
 *
 * a tries to be c. Needs root, nft and ip; without them, or without rules for bridges in the
 * kernel, the test says why it is skipped (exit code 77). */
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "node/net/netd/netd_live.h"
#include "node/net/ports.h"

#define B4 "10.244.0.3"
#define B6 "fd00::3"
#define C4 "10.244.0.4"
#define C6 "fd00::4"
#define WAIT_MS 30000 /* for what comes */
#define NONE_MS 200   /* for what does not */

static struct net_address ip(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

static int configure(void)
{
	struct {
		struct netd_config config;
		struct net_range other;
	} c = {.config.net_count = 1};

	assert_int_equal(net_range_parse("10.244.0.0/24", &c.config.v4.pods), 0);
	assert_int_equal(net_range_parse("fd00::/64", &c.config.v6.pods), 0);
	assert_int_equal(net_range_parse("10.244.1.0/24", &c.other), 0);
	return tell_netd(NETD_CONFIG, &c, sizeof(c));
}

/* Ports from the first on: a, b, c. */
static void tell_ports(unsigned first, uint32_t type)
{
	struct netd_port list[6];
	size_t n = 0;

	for (unsigned i = first; i < 3; i++) {
		struct netd_port p = {.mac = {2, 0, 0, 0, 0, (uint8_t)(2 + i)}};

		snprintf(p.name, sizeof(p.name), "v%c", 'a' + (char)i);
		p.address = net_address_plus(
			&(struct net_address){.family = AF_INET, .bytes = {10, 244, 0, 0}}, 2 + i);
		list[n++] = p;
		p.address = ip("fd00::");
		p.address = net_address_plus(&p.address, 2 + i);
		list[n++] = p;
	}
	assert_int_equal(tell_netd(type, list, n * sizeof(*list)), 0);
}

static int bound(const char *ns, const char *address, uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t size = to_sockaddr(address, port, &at);
	int s = socket_in(ns, at.ss_family, SOCK_DGRAM, 0);

	assert_int_equal(bind(s, (struct sockaddr *)&at, size), 0);
	return s;
}

/* A packet from that address of one gets to that of the other; sent until it does. */
static bool reaches(const char *from_ns, const char *from, uint16_t from_port, const char *to_ns,
	const char *to, uint16_t to_port, int ms)
{
	int rx = bound(to_ns, to, to_port), tx = bound(from_ns, from, from_port);
	struct pollfd p = {.fd = rx, .events = POLLIN};
	struct sockaddr_storage at;
	socklen_t size = to_sockaddr(to, to_port, &at);
	bool got = false;

	for (int waited = 0; !got && waited < ms; waited += 50) {
		(void)!sendto(tx, "x", 1, 0, (struct sockaddr *)&at, size);
		got = poll(&p, 1, 50) == 1;
	}
	close(rx);
	close(tx);
	return got;
}

static bool own_reaches_b(bool v6, int ms)
{
	return v6 ? reaches("a", "fd00::2", 5000, "b", B6, 6000, ms)
		  : reaches("a", "10.244.0.2", 5000, "b", B4, 6000, ms);
}

static bool as_c_reaches_b(bool v6, int ms)
{
	return v6 ? reaches("a", C6, 5000, "b", B6, 6000, ms)
		  : reaches("a", C4, 5000, "b", B4, 6000, ms);
}

/* a has c's addresses, and c is away. */
static void be_c(bool on)
{
	sh(on ? "ip -n a addr add " C4 "/24 dev eth0 && ip -n a addr add " C6
		"/64 dev eth0 nodad && "
		"ip -n c link set eth0 down"
	      : "ip -n a addr del " C4 "/24 dev eth0 && ip -n a addr del " C6 "/64 dev eth0 && "
		"ip -n c link set eth0 up && ip -n c addr replace " C6 "/64 dev eth0 nodad");
	sh("ip -n b neigh flush all");
}

static void everybody_reaches_everybody_as_itself(void **state)
{
	tell_ports(0, NETD_PORTS);
	assert_true(own_reaches_b(false, WAIT_MS) && own_reaches_b(true, WAIT_MS));
	assert_true(reaches("b", B4, 5000, "c", C4, 6000, WAIT_MS));
	assert_true(reaches("b", B6, 5000, "c", C6, 6000, WAIT_MS));
}

static void nobody_sends_from_anothers_address(void **state)
{
	tell_ports(1, NETD_PORTS); /* a's port is not known */
	be_c(true);
	assert_true(as_c_reaches_b(false, WAIT_MS) && as_c_reaches_b(true, WAIT_MS));
	tell_ports(0, NETD_PORTS_MORE);
	assert_false(as_c_reaches_b(false, NONE_MS) || as_c_reaches_b(true, NONE_MS));
	assert_true(own_reaches_b(false, WAIT_MS) && own_reaches_b(true, WAIT_MS));
	be_c(false);
}

static void nobody_answers_for_anothers_address(void **state)
{
	tell_ports(1, NETD_PORTS);
	be_c(true);
	assert_true(reaches("b", B4, 5000, "a", C4, 6000, WAIT_MS));
	assert_true(reaches("b", B6, 5000, "a", C6, 6000, WAIT_MS));
	tell_ports(0, NETD_PORTS);
	sh("ip -n b neigh flush all");
	assert_false(reaches("b", B4, 5000, "a", C4, 6000, NONE_MS));
	assert_false(reaches("b", B6, 5000, "a", C6, 6000, NONE_MS));
	be_c(false);
	assert_true(reaches("b", B4, 5000, "c", C4, 6000, WAIT_MS));
	assert_true(reaches("b", B6, 5000, "c", C6, 6000, WAIT_MS));
}

static void addresses_of_other_nodes_are_not_taken_either(void **state)
{
	sh("ip -n a addr add 10.244.1.9/24 dev eth0 && ip -n a addr add 192.168.7.1/24 dev eth0");
	sh("ip -n b addr add 192.168.7.2/24 dev eth0 && ip -n b route add 10.244.1.0/24 dev eth0");
	tell_ports(0, NETD_PORTS);
	assert_false(reaches("a", "10.244.1.9", 5000, "b", B4, 6000, NONE_MS));
	/* A network of the guests' own is their matter. */
	assert_true(reaches("a", "192.168.7.1", 5000, "b", "192.168.7.2", 6000, WAIT_MS));
	tell_ports(1, NETD_PORTS);
	assert_true(reaches("a", "10.244.1.9", 5000, "b", B4, 6000, WAIT_MS));
	sh("ip -n a addr del 10.244.1.9/24 dev eth0; ip -n a addr del 192.168.7.1/24 dev eth0; "
	   "ip -n b addr del 192.168.7.2/24 dev eth0; ip -n b route del 10.244.1.0/24 dev eth0");
}

static void nobody_uses_anothers_mac(void **state)
{
	tell_ports(0, NETD_PORTS);
	sh("ip -n a link set eth0 address 02:00:00:00:00:04");
	assert_false(own_reaches_b(false, NONE_MS));
	sh("ip -n a link set eth0 address 02:00:00:00:00:77");
	assert_true(own_reaches_b(false, WAIT_MS)); /* nobody's */
	sh("ip -n a link set eth0 address 02:00:00:00:00:02 && ip -n b neigh flush all");
	assert_true(own_reaches_b(false, WAIT_MS));
}

/* An ICMPv6 message of a type, from a to all nodes. */
static bool advertises(uint8_t type, int ms)
{
	int rx = socket_in("b", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	int tx = socket_in("a", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	uint8_t message[16] = {type}, room[256];
	struct pollfd p = {.fd = rx, .events = POLLIN};
	struct sockaddr_storage to;
	socklen_t size = to_sockaddr("ff02::1", 0, &to);
	bool got = false;

	assert_int_equal(setsockopt(tx, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
	for (int waited = 0; !got && waited < ms; waited += 50) {
		(void)!sendto(tx, message, sizeof(message), 0, (struct sockaddr *)&to, size);
		while (!got && poll(&p, 1, 50) == 1)
			got = recv(rx, room, sizeof(room), 0) > 0 && room[0] == type;
	}
	close(rx);
	close(tx);
	return got;
}

/* A frame from a to all nodes: a neighbour message about an address, from one or from none. */
static bool speaks_of(uint8_t type, const char *from, const char *target, int ms)
{
	static const uint8_t all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1}, mac[6] = {2, 0, 0, 0, 0, 2};
	struct net_address src = from ? ip(from) : (struct net_address){.family = AF_INET6};
	struct net_address dst = ip("ff02::1"), about = ip(target);
	int rx = socket_in("b", AF_PACKET, SOCK_RAW, htons(ETH_P_IPV6));
	int tx = socket_in("a", AF_PACKET, SOCK_RAW, 0);
	struct ifreq eth0 = {.ifr_name = "eth0"};
	struct pollfd p = {.fd = rx, .events = POLLIN};
	uint8_t frame[14 + 40 + 24] = {[12] = 0x86, 0xdd, 0x60}, room[2048];
	bool got = false;

	memcpy(frame, all_nodes, 6);
	memcpy(frame + 6, mac, 6);
	frame[14 + 5] = 24;
	frame[14 + 6] = IPPROTO_ICMPV6;
	frame[14 + 7] = 255;
	memcpy(frame + 14 + 8, src.bytes, 16);
	memcpy(frame + 14 + 24, dst.bytes, 16);
	frame[14 + 40] = type;
	memcpy(frame + 14 + 40 + 8, about.bytes, 16);
	assert_int_equal(ioctl(tx, SIOCGIFINDEX, &eth0), 0);
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = eth0.ifr_ifindex};
	for (int waited = 0; !got && waited < ms; waited += 50) {
		(void)!sendto(tx, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to));
		while (!got && poll(&p, 1, 50) == 1)
			got = recv(rx, room, sizeof(room), 0) == sizeof(frame) &&
			      memcmp(room, frame, sizeof(frame)) == 0;
	}
	close(rx);
	close(tx);
	return got;
}

/* Else whoever answers first could keep each new pod from its address. */
static void nobody_speaks_of_addresses_that_are_free(void **state)
{
	tell_ports(1, NETD_PORTS);
	assert_true(speaks_of(136, "fd00::2", "fd00::44", WAIT_MS));
	assert_true(speaks_of(135, NULL, "fd00::44", WAIT_MS));
	tell_ports(0, NETD_PORTS);
	assert_false(speaks_of(136, "fd00::2", "fd00::44", NONE_MS));
	assert_false(speaks_of(135, NULL, "fd00::44", NONE_MS));
	assert_false(speaks_of(136, "fd00::2", C6, NONE_MS));
	/* Its own, what it asks for, and what is no pod's. */
	assert_true(speaks_of(136, "fd00::2", "fd00::2", WAIT_MS));
	assert_true(speaks_of(135, NULL, "fd00::2", WAIT_MS));
	assert_true(speaks_of(135, "fd00::2", C6, WAIT_MS));
	assert_true(speaks_of(136, "fe80::2", "fe80::2", WAIT_MS));
	assert_true(speaks_of(135, NULL, "fe80::44", WAIT_MS));
	assert_true(speaks_of(136, "fd77::2", "fd77::2", WAIT_MS));
}

static void nobody_plays_router_or_dhcp_server(void **state)
{
	tell_ports(1, NETD_PORTS);
	assert_true(advertises(134, WAIT_MS));
	assert_true(reaches("a", "10.244.0.2", 67, "b", B4, 68, WAIT_MS));
	tell_ports(0, NETD_PORTS);
	assert_false(advertises(134, NONE_MS) || advertises(137, NONE_MS));
	assert_true(advertises(200, WAIT_MS)); /* for private experimentation */
	assert_false(reaches("a", "10.244.0.2", 67, "b", B4, 68, NONE_MS));
	assert_true(reaches("a", "10.244.0.2", 68, "b", B4, 67, WAIT_MS));
}

/* A port of another bridge: no address of it is judged, its MAC is. */
static void some_send_from_their_own_mac_alone(void **state)
{
	struct netd_port p = {.name = "va", .mac = {2, 0, 0, 0, 0, 2}};

	assert_int_equal(tell_netd(NETD_PORTS, &p, sizeof(p)), 0);
	assert_true(own_reaches_b(false, WAIT_MS) && own_reaches_b(true, WAIT_MS));
	sh("ip -n a addr add 192.168.7.1/24 dev eth0 && ip -n b addr add 192.168.7.2/24 dev eth0");
	assert_true(reaches("a", "192.168.7.1", 5000, "b", "192.168.7.2", 6000, WAIT_MS));
	sh("ip -n a link set eth0 address 02:00:00:00:00:77 && ip -n b neigh flush all");
	assert_false(own_reaches_b(false, NONE_MS));
	assert_false(reaches("a", "192.168.7.1", 5000, "b", "192.168.7.2", 6000, NONE_MS));
	sh("ip -n a link set eth0 address 02:00:00:00:00:02 && ip -n b neigh flush all; "
	   "ip -n a addr del 192.168.7.1/24 dev eth0; ip -n b addr del 192.168.7.2/24 dev eth0");
	assert_true(own_reaches_b(false, WAIT_MS));
	p.mac[0] = 3;
	assert_int_equal(tell_netd(NETD_PORTS, &p, sizeof(p)), -EINVAL);
	p.mac[0] = 2;
	p.address.bytes[0] = 1; /* of no family */
	assert_int_equal(tell_netd(NETD_PORTS, &p, sizeof(p)), -EINVAL);
	tell_ports(0, NETD_PORTS);
}

static void networks_are_a_table_as_long_as_there_are_some(void **state)
{
	struct netd_network n[2] = {{.bridge = "hkb1", .range = {.prefix = 24}},
		{.bridge = "alone0", .kind = NETD_ISOLATED}};

	n[0].range.address = ip("192.168.150.0");
	assert_int_equal(tell_netd(NETD_NETWORKS, n, sizeof(n)), 0);
	sh("nft list chain ip hanok-networks postrouting | grep -q '192.168.150.0/24.*masquerade'");
	sh("nft list chain ip hanok-networks input | grep -q '\"alone0\" drop'");
	assert_int_equal(tell_netd(NETD_NETWORKS, n, sizeof(n[0])), 0);
	sh("! nft list table ip hanok-networks | grep -q alone0");
	n[0].bridge[1] = '"';
	assert_int_equal(tell_netd(NETD_NETWORKS, n, sizeof(n[0])), -EINVAL);
	assert_int_equal(tell_netd(NETD_NETWORKS, n, 3), -EINVAL);
	assert_int_equal(tell_netd(NETD_NETWORKS, NULL, 0), 0);
	sh("! nft list table ip hanok-networks 2>/dev/null");
}

static void a_second_configuration_keeps_the_ports(void **state)
{
	tell_ports(0, NETD_PORTS);
	assert_int_equal(configure(), 0);
	sh("nft list set bridge hanok-ports known | grep -q '\"vc\"'");
	assert_int_equal(tell_netd(NETD_PORTS, NULL, 0), 0);
	sh("! nft list set bridge hanok-ports known | grep -q '\"vc\"'");
	assert_int_equal(tell_netd(NETD_PORTS, "x", 1), -EINVAL);
	struct netd_port bad = {.name = "v/a", .address = ip(B4)};
	assert_int_equal(tell_netd(NETD_PORTS, &bad, sizeof(bad)), -EINVAL);
	sh("nft delete table bridge hanok-ports");
	tell_netd(NETD_PORTS, NULL, 0); /* -ENOENT, and then: */
	assert_int_equal(configure(), 0);
	assert_int_equal(netd_lost_count, 1);
	tell_ports(0, NETD_PORTS);
}

static int setup(void **state)
{
	sh("ip link set lo up; ip link add hanok0 type bridge && ip addr add 10.244.0.1/24 dev "
	   "hanok0 && ip addr add fd00::1/64 dev hanok0 nodad && ip link set hanok0 up");
	sh("i=2; for p in a b c; do ip netns add $p; ip link add v$p type veth peer name eth0 "
	   "netns $p; ip link set v$p master hanok0 up; ip -n $p link set lo up; "
	   "ip -n $p link set eth0 address 02:00:00:00:00:0$i up; "
	   "ip -n $p addr add 10.244.0.$i/24 dev eth0; "
	   "ip -n $p addr add fd00::$i/64 dev eth0 nodad; i=$((i+1)); done");
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
		cmocka_unit_test(everybody_reaches_everybody_as_itself),
		cmocka_unit_test(nobody_sends_from_anothers_address),
		cmocka_unit_test(nobody_answers_for_anothers_address),
		cmocka_unit_test(addresses_of_other_nodes_are_not_taken_either),
		cmocka_unit_test(nobody_uses_anothers_mac),
		cmocka_unit_test(nobody_speaks_of_addresses_that_are_free),
		cmocka_unit_test(nobody_plays_router_or_dhcp_server),
		cmocka_unit_test(some_send_from_their_own_mac_alone),
		cmocka_unit_test(networks_are_a_table_as_long_as_there_are_some),
		cmocka_unit_test(a_second_configuration_keeps_the_ports),
	};

	if (!netd_live_enter() || mount("sysfs", "/sys", "sysfs", 0, NULL) < 0) {
		printf("skipped: needs root, namespaces, nft and ip\n");
		return 77;
	}
	if (system("nft add table bridge probe 2>/dev/null && nft delete table bridge probe")) {
		printf("skipped: this kernel has no rules for bridges\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
