/* What definitions of networks say, and who gets which address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/net/netd/network_rules.h"
#include "node/net/networks/net_leases.h"

static struct arena arena;

static int read_text(const char *text, struct net_config *c, struct err *err)
{
	*err = ERR_INIT;
	return net_config_read(&arena, "ns/lan", text, strlen(text), c, err);
}

static struct net_config good(const char *text)
{
	struct net_config c;
	struct err err;
	int r = read_text(text, &c, &err);

	if (r < 0)
		print_message("%s: %s\n", text, err.msg);
	assert_int_equal(r, 0);
	return c;
}

static void bad(const char *text, int code, const char *words)
{
	struct net_config c;
	struct err err;

	assert_int_equal(read_text(text, &c, &err), code);
	if (!strstr(err.msg, words))
		print_message("'%s' is not in '%s'\n", words, err.msg);
	assert_non_null(strstr(err.msg, words));
}

static int setup(void **state)
{
	arena = (struct arena)ARENA_INIT;
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&arena);
	return 0;
}

static void bridges(void **state)
{
	struct net_config c = good("{\"cniVersion\":\"0.3.1\",\"name\":\"lan\",\"type\":\"bridge\","
				   "\"bridge\":\"br0\",\"ipam\":{}}");

	assert_int_equal(c.kind, NET_KIND_BRIDGE);
	assert_string_equal(c.bridge, "br0");
	assert_false(c.mac_check);
	assert_int_equal(c.range.address.family, 0);
	c = good("{\"type\":\"cnv-bridge\",\"bridge\":\"br1\",\"macspoofchk\":true,\"mtu\":1400}");
	assert_true(c.mac_check);
	assert_int_equal(c.mtu, 1400);
	c = good("{\"cniVersion\":\"0.4.0\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"br2\","
		 "\"ipam\":{\"type\":\"dhcp\"}},{\"type\":\"tuning\"}]}");
	assert_string_equal(c.bridge, "br2");
	bad("{\"type\":\"bridge\"}", -EINVAL, "bridge: must be the name");
	bad("{\"type\":\"bridge\",\"bridge\":\"../../etc\"}", -EINVAL, "bridge");
	bad("{\"type\":\"bridge\",\"bridge\":\"hanok0\"}", -EINVAL, "pod network");
	bad("{\"type\":\"bridge\",\"bridge\":\"a-name-of-16-char\"}", -EINVAL, "15");
	bad("{\"type\":\"bridge\",\"bridge\":\"br0\",\"vlan\":100}", -EOPNOTSUPP, "vlan");
	bad("{\"type\":\"bridge\",\"bridge\":\"br0\",\"isGateway\":true}", -EOPNOTSUPP,
		"hanok-nat");
	bad("{\"type\":\"bridge\",\"bridge\":\"br0\",\"ipam\":{\"type\":\"host-local\","
	    "\"subnet\":\"10.1.0.0/24\"}}",
		-EOPNOTSUPP, "ipam");
	bad("{\"type\":\"bridge\",\"bridge\":\"br0\",\"portMappings\":[{\"hostPort\":1}]}", -EINVAL,
		"hanok-nat");
	bad("{\"type\":\"ovs\",\"bridge\":\"br0\"}", -EOPNOTSUPP, "'ovs'");
	bad("[]", -EINVAL, "object");
	bad("{", -EINVAL, "not JSON");
	bad("{\"plugins\":[]}", -EINVAL, "object");
}

#define NAT(more)                                                                                  \
	"{\"type\":\"hanok-nat\",\"ipam\":{\"type\":\"host-local\",\"subnet\":\"10.9.0.0/"         \
	"29\"" more

static void networks_of_their_own(void **state)
{
	struct net_config c = good(NAT("}}"));
	char text[NET_ADDRESS_TEXT];

	assert_int_equal(c.kind, NET_KIND_NAT);
	assert_true(c.mac_check && c.default_route);
	assert_int_equal(strlen(c.bridge), 14);
	assert_string_equal(net_address_format(&c.gateway, text), "10.9.0.1");
	assert_string_equal(net_address_format(&c.to, text), "10.9.0.6");
	c = good(NAT(
		",\"rangeStart\":\"10.9.0.4\",\"hosts\":[{\"mac\":\"02:00:00:00:00:01\",\"ip\":"
		"\"10.9.0.3\"}]},\"isDefaultGateway\":false,\"dns\":{\"nameservers\":[\"9.9.9.9\"]}"
		","
		"\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,\"ip\":\"10.9.0.3\"},"
		"{\"hostPort\":8080,\"containerPort\":80,\"ip\":\"10.9.0.3\",\"protocol\":\"UDP\","
		"\"hostIP\":\"192.0.2.1\"}]}"));
	assert_false(c.default_route);
	assert_int_equal(c.host_count, 1);
	assert_int_equal(c.port_count, 2);
	assert_int_equal(c.ports[0].host.family, 0);
	assert_int_equal(c.ports[1].proto, IPPROTO_UDP);
	assert_string_equal(c.servers[0], "9.9.9.9");
	c = good("{\"type\":\"hanok-isolated\"}");
	assert_int_equal(c.range.address.family, 0);
	c = good("{\"type\":\"hanok-isolated\",\"bridge\":\"virbr7\",\"ipam\":{\"ranges\":[[{"
		 "\"subnet\":\"10.9.0.0/24\"}]]}}");
	assert_string_equal(c.bridge, "virbr7");
	assert_false(c.default_route);
	bad("{\"type\":\"hanok-nat\"}", -EINVAL, "ipam.subnet");
	bad(NAT(",\"gateway\":\"10.8.0.1\"}}"), -EINVAL, "ipam.gateway");
	bad(NAT(",\"gateway\":\"10.9.0.7\"}}"), -EINVAL, "broadcast");
	bad(NAT(",\"rangeStart\":\"10.9.0.5\",\"rangeEnd\":\"10.9.0.4\"}}"), -EINVAL,
		"before rangeStart");
	bad(NAT(",\"hosts\":[{\"mac\":\"03:00:00:00:00:01\",\"ip\":\"10.9.0.3\"}]}}"), -EINVAL,
		"hosts[0].mac");
	bad(NAT(",\"hosts\":[{\"mac\":\"02:00:00:00:00:01\",\"ip\":\"10.9.0.1\"}]}}"), -EINVAL,
		"gateway's");
	bad(NAT("},\"portMappings\":[{\"hostPort\":80,\"containerPort\":0,\"ip\":\"10.9.0.3\"}]}"),
		-EINVAL, "portMappings[0]");
	bad(NAT("},\"portMappings\":[{\"hostPort\":80,\"containerPort\":80,\"ip\":\"10.7.0.3\"}]}"),
		-EINVAL, "in the subnet");
	bad("{\"type\":\"hanok-nat\",\"ipam\":{\"subnet\":\"fd00::/64\"}}", -EINVAL, "IPv4");
	bad("{\"type\":\"hanok-nat\",\"ipam\":{\"subnet\":\"10.0.0.0/31\"}}", -EINVAL, "/30");
}

static bool is_listed(void *user, const char *key)
{
	const char *const *list = user;

	for (; *list; list++)
		if (streq(*list, key))
			return true;
	return false;
}

static const char *choose(const char *directory, const struct net_config *c, const char *key,
	uint8_t last, const char *const *in_use)
{
	static char text[NET_ADDRESS_TEXT];
	const struct net_leases_user u = {is_listed, (void *)in_use};
	struct net_address got;
	struct err err = ERR_INIT;

	if (net_leases_choose(
		    directory, c, key, (uint8_t[6]){2, 0, 0, 0, 0, last}, &u, &got, &err) < 0)
		return NULL;
	return net_address_format(&got, text);
}

static void addresses_stay_with_their_keys(void **state)
{
	static const char *const nobody[] = {NULL}, *const ac[] = {"a", "c", "d", NULL},
				 *const all[] = {"b", "a", "c", "d", "e", NULL};
	struct net_config c =
		good(NAT(",\"hosts\":[{\"mac\":\"02:00:00:00:00:09\",\"ip\":\"10.9.0.4\"}]}}"));
	char directory[] = "/tmp/hanok-leases.XXXXXX", path[64];
	struct net_address b;

	assert_non_null(mkdtemp(directory));
	/* .1 is the gateway's, .4 a fixed one: .2, .3, .5, .6 are to be had. */
	assert_string_equal(choose(directory, &c, "a", 1, nobody), "10.9.0.2");
	assert_string_equal(choose(directory, &c, "b", 2, nobody), "10.9.0.3");
	assert_string_equal(choose(directory, &c, "x", 9, nobody), "10.9.0.4");
	assert_string_equal(choose(directory, &c, "c", 3, nobody), "10.9.0.5");
	assert_string_equal(choose(directory, &c, "d", 4, nobody), "10.9.0.6");
	assert_string_equal(choose(directory, &c, "a", 1, nobody), "10.9.0.2");
	assert_int_equal(net_address_parse("10.9.0.3", &b), 0);
	net_leases_touch(directory, &b);
	/* Full: the one that is away is given on. */
	assert_string_equal(choose(directory, &c, "e", 5, ac), "10.9.0.3");
	assert_null(choose(directory, &c, "b", 2, all));
	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "%s/10.9.0.%d", directory, i);
		unlink(path);
	}
	assert_int_equal(rmdir(directory), 0);
}

static void rules_are_about_good_names_alone(void **state)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	struct netd_network n[2] = {
		{.bridge = "hkb1"}, {.bridge = "virbr7", .kind = NETD_ISOLATED}};
	struct err err = ERR_INIT;

	assert_int_equal(net_range_parse("10.9.0.0/24", &n[0].range), 0);
	assert_int_equal(netd_check_network(&n[0], &err), 0);
	assert_int_equal(netd_check_network(&n[1], &err), 0);
	network_rules_write(&out, n, 2);
	assert_non_null(strstr(out.data, "ip saddr 10.9.0.0/24 ip daddr != 10.9.0.0/24 oifname != "
					 "\"hkb1\" masquerade"));
	assert_non_null(strstr(out.data, "iifname \"virbr7\" oifname != \"virbr7\" drop"));
	assert_null(strstr(out.data, "ip saddr (null)"));
	n[0].bridge[2] = '"';
	assert_int_equal(netd_check_network(&n[0], &err), -EINVAL);
	n[0].bridge[2] = 'b';
	n[0].range.prefix = 3;
	assert_int_equal(netd_check_network(&n[0], &err), -EINVAL);
	n[1].kind = NETD_NAT;
	assert_int_equal(netd_check_network(&n[1], &err), -EINVAL);
	buf_clear(&out);
	network_rules_write(&out, NULL, 0);
	assert_null(strstr(out.data, "chain"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bridges, setup, teardown),
		cmocka_unit_test_setup_teardown(networks_of_their_own, setup, teardown),
		cmocka_unit_test_setup_teardown(addresses_stay_with_their_keys, setup, teardown),
		cmocka_unit_test(rules_are_about_good_names_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
