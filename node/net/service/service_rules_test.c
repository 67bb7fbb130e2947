#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "node/net/service/service_rules.h"

#define ENDPOINT(ip, node, conditions, more)                                                       \
	"{\"addresses\":[\"" ip "\"],\"nodeName\":\"" node "\",\"conditions\":{" conditions        \
	"}" more "}"
#define READY "\"ready\":true,\"serving\":true,\"terminating\":false"
#define ENDING "\"ready\":false,\"serving\":true,\"terminating\":true"
#define ENDED "\"ready\":false,\"serving\":false,\"terminating\":true"
#define ZONE(z) ",\"hints\":{\"forZones\":[{\"name\":\"" z "\"}]}"
#define SLICE(endpoints)                                                                           \
	"{\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"port\":8080,\"protocol\":\"TCP\"}]" \
	","                                                                                        \
	"\"endpoints\":[" endpoints "]}"
#define SERVICE(more)                                                                              \
	"{\"metadata\":{\"name\":\"s\"},\"spec\":{\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"" \
	"10.96.0.10\"],\"ports\":[{\"port\":80,\"protocol\":\"TCP\",\"nodePort\":30080}]," more    \
	"}}"

static struct arena arena;
static struct service_desc d;
static struct service_health health;

static struct json *parse(const char *text)
{
	struct json *doc;

	assert_int_equal(json_parse(&arena, text, strlen(text), NULL, &doc, NULL), 0);
	return doc;
}

static void build(const char *service, const char *slice)
{
	struct service_place place = {.node = "here", .zone = "a", .has = {true, false}};
	struct json *slices[1] = {parse(slice)};

	service_rules_build(&arena, parse(service), slices, 1, &place, &d, &health);
}

/* "10.244.0.1 10.244.0.2" of the group that a front leads to. */
static const char *targets_of(int group)
{
	static char text[256];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < d.groups[group].target_count; i++) {
		char ip[NET_ADDRESS_TEXT];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "",
			net_address_format(&d.groups[group].targets[i].address, ip));
	}
	return text;
}

#define TWO                                                                                        \
	SLICE(ENDPOINT("10.244.0.1", "here", READY, "") "," ENDPOINT(                              \
		"10.244.1.1", "there", READY, ""))

static void policies(void **state)
{
	build(SERVICE("\"type\":\"ClusterIP\""), TWO);
	assert_int_equal(d.front_count, 1);
	assert_string_equal(targets_of(0), "10.244.0.1 10.244.1.1");
	build(SERVICE("\"type\":\"NodePort\",\"internalTrafficPolicy\":\"Local\""), TWO);
	assert_int_equal(d.front_count, 2);
	assert_string_equal(targets_of(d.fronts[0].group), "10.244.0.1");
	assert_string_equal(targets_of(d.fronts[1].group), "10.244.0.1 10.244.1.1");
	assert_int_equal(d.groups[d.fronts[1].group].kind, NETD_OUTSIDE);
	build(SERVICE("\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\""), TWO);
	assert_string_equal(targets_of(d.fronts[1].group), "10.244.0.1");
	assert_string_equal(targets_of(d.fronts[1].inside), "10.244.0.1 10.244.1.1");
	assert_int_equal(d.groups[d.fronts[1].group].kind, NETD_KEEP);
	assert_int_equal(d.fronts[1].empty, NETD_DROP);
	build(SERVICE("\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\""), SLICE(""));
	assert_int_equal(d.fronts[1].empty, NETD_REFUSE);
}

static void who_is_about_to_end(void **state)
{
	build(SERVICE("\"type\":\"ClusterIP\""),
		SLICE(ENDPOINT("10.244.0.1", "here", READY, "") "," ENDPOINT(
			"10.244.0.2", "here", ENDING, "")));
	assert_string_equal(targets_of(0), "10.244.0.1");
	build(SERVICE("\"type\":\"ClusterIP\""),
		SLICE(ENDPOINT("10.244.0.1", "here", ENDED, "") "," ENDPOINT(
			"10.244.0.2", "here", ENDING, "")));
	assert_string_equal(targets_of(0), "10.244.0.2");
	/* Local: one that ends here goes before one elsewhere. */
	build(SERVICE("\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\""),
		SLICE(ENDPOINT("10.244.0.1", "here", ENDING, "") "," ENDPOINT(
			"10.244.1.2", "there", READY, "")));
	assert_string_equal(targets_of(d.fronts[1].group), "10.244.0.1");
}

static void zones(void **state)
{
	build(SERVICE("\"type\":\"ClusterIP\""),
		SLICE(ENDPOINT("10.244.0.1", "here", READY, ZONE("a")) "," ENDPOINT(
			"10.244.0.2", "there", READY, ZONE("b"))));
	assert_string_equal(targets_of(0), "10.244.0.1");
	/* One without hints, or none for us: all. */
	build(SERVICE("\"type\":\"ClusterIP\""),
		SLICE(ENDPOINT("10.244.0.1", "here", READY, ZONE("a")) "," ENDPOINT(
			"10.244.0.2", "there", READY, "")));
	assert_string_equal(targets_of(0), "10.244.0.1 10.244.0.2");
	build(SERVICE("\"type\":\"ClusterIP\""),
		SLICE(ENDPOINT("10.244.0.1", "here", READY, ZONE("b")) "," ENDPOINT(
			"10.244.0.2", "there", READY, ZONE("b"))));
	assert_string_equal(targets_of(0), "10.244.0.1 10.244.0.2");
}

static void what_is_not_ours(void **state)
{
	static const char *const others[] = {
		SERVICE("\"type\":\"ExternalName\""),
		"{\"metadata\":{},\"spec\":{\"clusterIP\":\"None\",\"ports\":[{\"port\":80}]}}",
		"{\"metadata\":{},\"spec\":{\"ports\":[{\"port\":80}]}}",
		"{\"metadata\":{\"labels\":{\"service.kubernetes.io/service-proxy-name\":\"x\"}},"
		"\"spec\":{\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		build(others[i], TWO);
		assert_int_equal(d.front_count, 0);
	}
}

/* Another API server than ours may let such a slice through: netd would refuse all services. */
static void endpoints_of_another_family(void **state)
{
	build(SERVICE("\"type\":\"ClusterIP\""),
		SLICE(ENDPOINT("fd00::1", "here", READY, "") "," ENDPOINT(
			"10.244.0.2", "there", READY, "")));
	assert_string_equal(targets_of(0), "10.244.0.2");
}

static void load_balancers(void **state)
{
	struct json *doc;

	build(SERVICE("\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\","
		      "\"healthCheckNodePort\":31000,\"externalIPs\":[\"198.51.100.7\",\"127.0.0."
		      "1\"],"
		      "\"loadBalancerSourceRanges\":[\" "
		      "192.0.2.5/24\",\"192.0.2.0/25\",\"fd00::/8\"]"),
		TWO);
	assert_int_equal(health.port, 31000);
	assert_int_equal(health.local_endpoints, 1);
	assert_int_equal(d.front_count, 3); /* loopback is nobody's */
	doc = parse(
		SERVICE("\"type\":\"LoadBalancer\",\"loadBalancerSourceRanges\":[\" 192.0.2.5/24\","
			"\"192.0.2.0/25\",\"fd00::/8\"]"));
	json_path_set(&arena, doc, "status",
		parse("{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.1\",\"ipMode\":\"VIP\"},"
		      "{\"ip\":\"203.0.113.2\",\"ipMode\":\"Proxy\"},{\"hostname\":\"x\"}]}}"));
	service_rules_build(&arena, doc, NULL, 0,
		&(struct service_place){.node = "here", .has = {true, true}}, &d, &health);
	assert_int_equal(d.front_count, 3);
	assert_int_equal(d.fronts[2].source_count, 1); /* the second is within the first */
	assert_int_equal(d.fronts[2].sources[0].prefix, 24);
	assert_int_equal(d.fronts[1].source_count, 0); /* a node port is open */
	assert_int_equal(health.port, 0);
}

static void affinity(void **state)
{
	build(SERVICE("\"sessionAffinity\":\"ClientIP\",\"sessionAffinityConfig\":{\"clientIP\":{"
		      "\"timeoutSeconds\":77}}"),
		TWO);
	assert_int_equal(d.groups[0].seconds, 120); /* on a scale */
	build(SERVICE("\"sessionAffinity\":\"ClientIP\",\"sessionAffinityConfig\":{\"clientIP\":{"
		      "\"timeoutSeconds\":59}}"),
		TWO);
	assert_int_equal(d.groups[0].seconds, 59);
	build(SERVICE("\"sessionAffinity\":\"ClientIP\",\"sessionAffinityConfig\":{\"clientIP\":{"
		      "\"timeoutSeconds\":86399}}"),
		TWO);
	assert_int_equal(d.groups[0].seconds, 86400);
	build(SERVICE("\"sessionAffinity\":\"ClientIP\""), TWO);
	assert_int_equal(d.groups[0].seconds, 10800);
}

static int finish(void **state)
{
	arena_finish(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies),
		cmocka_unit_test(who_is_about_to_end),
		cmocka_unit_test(zones),
		cmocka_unit_test(what_is_not_ours),
		cmocka_unit_test(endpoints_of_another_family),
		cmocka_unit_test(load_balancers),
		cmocka_unit_test(affinity),
	};

	return cmocka_run_group_tests(tests, NULL, finish);
}
