/* Rules of the kinds of networking, storage, scheduling, node, certificates, events, admission
 * registration and flow control: each row is an object, or a change of one, and all errors that it
 * meets, in their order. */
#include "server/api/hooks/certificate_pem.h"
#include "server/api/hooks/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/api/hooks/hooks_test_util.h"

static struct kind_registry *kinds;

static int setup(void **state)
{
	kinds = kind_registry_create();
	return kind_registry_load_builtin(kinds, NULL);
}

static int teardown(void **state)
{
	kind_registry_destroy(kinds);
	return 0;
}

struct row {
	const char *group, *kind;
	const char *doc;    /* members beside apiVersion, kind and metadata */
	const char *was;    /* the same, before; NULL = a creation */
	const char *part;   /* NULL = the object itself */
	const char *errors; /* "FIELD: MESSAGE", one a line; only the beginning of each counts */
};

static struct json *parse(struct arena *a, const char *members)
{
	struct json *doc;
	struct err err = ERR_INIT;
	const char *text = arena_printf(a,
		"{\"metadata\":{\"name\":\"x\",\"namespace\":\"default\",\"uid\":\"u\"}%s%s}",
		*members ? "," : "", members);
	if (json_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return doc;
}

static const char *line(const char *text, size_t n, size_t *ret_size)
{
	while (n-- && text)
		text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL;
	*ret_size = text ? strcspn(text, "\n") : 0;
	return text;
}

static void check(const struct row *row)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct status st = {0};
	struct field_errors errors = {.arena = &a}, ignored = {.arena = &a};
	struct hook h = {.arena = &a,
		.errors = &ignored,
		.st = &st,
		.part = "",
		.now_ns = 1700000000000000000};
	const struct kind *k = kind_by_name(kinds, row->group, "v1", row->kind);
	assert_non_null(k);
	struct json *old = row->was ? parse(&a, row->was) : NULL;
	if (old)
		hooks_run(&h, k, old, NULL);
	h.errors = &errors;
	h.part = row->part ? row->part : "";
	hooks_run(&h, k, parse(&a, row->doc), old);
	size_t count = json_count(errors.causes), size;
	for (size_t i = 0; i < count; i++) {
		const struct json *c = json_at(errors.causes, i);
		const char *text = arena_printf(
			&a, "%s: %s", json_path_str(c, "field"), json_path_str(c, "message"));
		const char *want = line(row->errors, i, &size);
		if (!want || !size || strncmp(text, want, size) != 0)
			fail_msg("%s {%s}:\nmeets  %s\nwanted %.*s", row->kind, row->doc, text,
				(int)size, want ? want : "");
	}
	const char *rest = line(row->errors, count, &size);
	if (rest && size)
		fail_msg("%s {%s}: does not meet %s", row->kind, row->doc, rest);
}

#define NET "networking.k8s.io"
#define STO "storage.k8s.io"
#define ADM "admissionregistration.k8s.io"
#define FLOW "flowcontrol.apiserver.k8s.io"
#define BACKEND "\"backend\":{\"service\":{\"name\":\"s\",\"port\":{\"number\":80}}}"

static void test_networking(void **state)
{
	static const struct row rows[] = {
		{NET, "Ingress",
			"\"spec\":{\"rules\":[{\"host\":\"*.a.b\",\"http\":{\"paths\":[{"
			"\"path\":\"/a\",\"pathType\":\"Exact\"," BACKEND "}]}}]}",
			NULL, NULL, ""},
		{NET, "Ingress", "\"spec\":{\"rules\":[{\"http\":{\"paths\":[]}}]}", NULL, NULL,
			"spec.rules[0].http.paths: Required value"},
		{NET, "Ingress",
			"\"spec\":{\"rules\":[{\"http\":{\"paths\":[{\"path\":\"/a/..\","
			"\"pathType\":\"Prefix\"," BACKEND "}]}}]}",
			NULL, NULL,
			"spec.rules[0].http.paths[0].path: Invalid value: \"/a/..\": cannot end "
			"with '/..'"},
		{NET, "Ingress",
			"\"spec\":{\"rules\":[{\"http\":{\"paths\":[{\"path\":\"\","
			"\"pathType\":\"ImplementationSpecific\"," BACKEND "}]}}]}",
			NULL, NULL, ""},
		{NET, "Ingress",
			"\"spec\":{\"rules\":[{\"http\":{\"paths\":[{\"path\":\"/\","
			"\"pathType\":\"Odd\"," BACKEND "}]}}]}",
			NULL, NULL,
			"spec.rules[0].http.paths[0].pathType: Unsupported value: \"Odd\": "
			"supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\""},
		{NET, "Ingress",
			"\"spec\":{\"defaultBackend\":{\"service\":{\"name\":\"s\"}},\"tls\":[{"
			"\"hosts\":[\"A\"],\"secretName\":\"_\"}]}",
			NULL, NULL,
			"spec.defaultBackend: Required value: port name or number is required\n"
			"spec.tls[0].hosts[0]: Invalid value: \"A\": a lowercase RFC 1123 "
			"subdomain\n"
			"spec.tls[0].secretName: Invalid value: \"_\": a lowercase RFC 1123 "
			"subdomain"},
		{NET, "Ingress",
			"\"spec\":{\"defaultBackend\":{\"service\":{\"name\":\"s\",\"port\":{"
			"\"number\":1}}}},\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"x\"}"
			","
			"{\"hostname\":\"1.2.3.4\"}]}}",
			"\"spec\":{\"defaultBackend\":{\"service\":{\"name\":\"s\",\"port\":{"
			"\"number\":1}}}}",
			"status",
			"status.loadBalancer.ingress[0].ip: Invalid value: \"x\": must be a valid "
			"IP address\n"
			"status.loadBalancer.ingress[1].hostname: Invalid value: \"1.2.3.4\": must "
			"be a DNS name, not an IP address"},
		{NET, "IngressClass", "\"spec\":{\"controller\":\"a.b/\"}", NULL, NULL,
			"spec.controller: Invalid value: \"a.b/\": must be a domain-prefixed path"},
		{NET, "IngressClass",
			"\"spec\":{\"controller\":\"a.b/"
			"c\",\"parameters\":{\"kind\":\"K\",\"name\":"
			"\"n\",\"scope\":\"Namespace\"}}",
			NULL, NULL,
			"spec.parameters.namespace: Required value: `parameters.scope` is set to "
			"'Namespace'"},
		{NET, "NetworkPolicy",
			"\"spec\":{\"podSelector\":{},\"egress\":[{\"ports\":[{\"port\":\"a_\"},{"
			"\"port\":0},{\"endPort\":5},{\"port\":\"dns\",\"endPort\":5}]}]}",
			NULL, NULL,
			"spec.egress[0].ports[0].port: Invalid value: \"a_\": must contain only\n"
			"spec.egress[0].ports[1].port: Invalid value: 0: must be between 1 and "
			"65535, inclusive\n"
			"spec.egress[0].ports[2].endPort: Invalid value: 5: may not be specified "
			"when `port` is not specified\n"
			"spec.egress[0].ports[3].endPort: Invalid value: 5: may not be specified "
			"when `port` is non-numeric"},
		{NET, "NetworkPolicy",
			"\"spec\":{\"podSelector\":{},\"ingress\":[{\"from\":[{\"ipBlock\":{"
			"\"cidr\":\"2001:db8::/32\",\"except\":[\"2001:db8:1::/48\",\"x\"]}}]}]}",
			NULL, NULL,
			"spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"x\": must be "
			"a "
			"valid CIDR value"},
		{NET, "ServiceCIDR", "\"spec\":{\"cidrs\":[\"10.0.0.0/8\",\"11.0.0.0/8\"]}", NULL,
			NULL,
			"spec.cidrs: Invalid value: []string{\"10.0.0.0/8\", \"11.0.0.0/8\"}: may "
			"specify no more than one IP for each IP family"},
		{NET, "ServiceCIDR", "\"spec\":{\"cidrs\":[\"10.0.0.0/8\",\"2001:db8::/64\"]}",
			"\"spec\":{\"cidrs\":[\"10.0.0.0/8\"]}", NULL, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

static void test_storage(void **state)
{
	static const struct row rows[] = {
		{STO, "StorageClass",
			"\"provisioner\":\"p\",\"allowedTopologies\":[{\"matchLabelExpressions\":[{"
			"\"key\":\"a\",\"values\":[\"b\",\"b\"]},{\"key\":\"a\",\"values\":[]}]}]",
			NULL, NULL,
			"allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "
			"\"b\"\n"
			"allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "
			"\"a\"\n"
			"allowedTopologies[0].matchLabelExpressions[1].values: Required value"},
		{STO, "StorageClass", "\"provisioner\":\"q\",\"reclaimPolicy\":\"Retain\"",
			"\"provisioner\":\"p\"", NULL,
			"provisioner: Forbidden: updates to provisioner are forbidden.\n"
			"reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."},
		{STO, "VolumeAttachment",
			"\"spec\":{\"attacher\":\"a\",\"nodeName\":\"\",\"source\":{"
			"\"persistentVolumeName\":\"\"}}",
			NULL, NULL,
			"spec.source.persistentVolumeName: Required value: must specify non empty\n"
			"spec.nodeName: Invalid value: \"\": a lowercase RFC 1123 subdomain"},
		{STO, "CSIDriver",
			"\"spec\":{\"tokenRequests\":[{\"audience\":\"a\",\"expirationSeconds\":5},"
			"{"
			"\"audience\":\"a\"}],\"fsGroupPolicy\":\"x\","
			"\"nodeAllocatableUpdatePeriodSeconds\":9}",
			NULL, NULL,
			"spec.fsGroupPolicy: Unsupported value: \"x\"\n"
			"spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not "
			"specify "
			"a duration less than 10 minutes\n"
			"spec.tokenRequests[1].audience: Duplicate value: \"a\"\n"
			"spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be "
			"greater "
			"than or equal to 10 seconds"},
		{STO, "CSINode", "\"spec\":{\"drivers\":[{\"name\":\"a\",\"nodeID\":\"2\"}]}",
			"\"spec\":{\"drivers\":[{\"name\":\"a\",\"nodeID\":\"1\"}]}", NULL,
			"spec.drivers: Invalid value: "},
		{STO, "CSINode", "\"spec\":{\"drivers\":[{\"name\":\"b\",\"nodeID\":\"2\"}]}",
			"\"spec\":{\"drivers\":[{\"name\":\"a\",\"nodeID\":\"1\"}]}", NULL, ""},
		{STO, "CSIStorageCapacity", "\"storageClassName\":\"b\",\"capacity\":\"-1\"",
			"\"storageClassName\":\"a\"", NULL,
			"capacity: Invalid value: \"-1\": must be greater than or equal to 0\n"
			"storageClassName: Invalid value: \"b\": field is immutable"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

static void test_classes_and_flows(void **state)
{
	static const struct row rows[] = {
		{"scheduling.k8s.io", "PriorityClass", "\"value\":1,\"preemptionPolicy\":\"Never\"",
			"\"value\":1", NULL,
			"preemptionPolicy: Invalid value: \"Never\": field is "
			"immutable"},
		{"node.k8s.io", "RuntimeClass",
			"\"handler\":\"a.b\",\"overhead\":{\"podFixed\":{\"cpu\":\"-1\"}},"
			"\"scheduling\":{\"tolerations\":[{\"operator\":\"Equal\",\"value\":\"a\"}]"
			"}",
			NULL, NULL,
			"handler: Invalid value: \"a.b\": a lowercase RFC 1123 label\n"
			"overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or "
			"equal "
			"to 0\n"
			"scheduling.tolerations[0].operator: Invalid value: \"Equal\": operator "
			"must be Exists when `key` is empty"},
		{FLOW, "FlowSchema", "\"spec\":{\"matchingPrecedence\":1}", NULL, NULL,
			"spec.matchingPrecedence: Invalid value: 1: only the schema named "
			"'exempt'\n"
			"spec.priorityLevelConfiguration.name: Required value: must reference a "
			"priority level"},
		{FLOW, "FlowSchema",
			"\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"p\"},\"rules\":[{"
			"\"subjects\":[{\"kind\":\"Group\",\"group\":{\"name\":\"g\"}}],"
			"\"resourceRules\":[{\"verbs\":[\"*\",\"get\"],\"apiGroups\":[\"\"],"
			"\"resources\":[\"pods\"]}],\"nonResourceRules\":[{\"verbs\":[\"get\"],"
			"\"nonResourceURLs\":[\"/a*\",\"x\",\"/b/*\"]}]}]}",
			NULL, NULL,
			"spec.rules[0].resourceRules[0].verbs: Invalid value: []string{\"*\", "
			"\"get\"}: if '*' is present, must not specify other verbs\n"
			"spec.rules[0].resourceRules[0].namespaces: Required value: resource rules "
			"that are not cluster scoped\n"
			"spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "
			"\"/a*\": wildcard can only do suffix matching\n"
			"spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "
			"\"x\": must start with slash"},
		{FLOW, "PriorityLevelConfiguration",
			"\"spec\":{\"type\":\"Limited\",\"limited\":{\"lendablePercent\":101,"
			"\"limitResponse\":{\"type\":\"Queue\",\"queuing\":{\"queues\":1000,"
			"\"handSize\":7}}}}",
			NULL, NULL,
			"spec.limited.lendablePercent: Invalid value: 101: must be between 0 and "
			"100, inclusive\n"
			"spec.limited.limitResponse.queuing.handSize: Invalid value: 7: required "
			"entropy bits of deckSize 1000 and handSize 7 should not be greater than "
			"60"},
		{"coordination.k8s.io", "Lease", "\"spec\":{\"strategy\":\"x\"}", NULL, NULL,
			"spec.strategy: Unsupported value: \"x\""},
		{"discovery.k8s.io", "EndpointSlice",
			"\"addressType\":\"IPv6\",\"endpoints\":[{\"addresses\":[\"fe80::1\","
			"\"::\"],\"hints\":{\"forZones\":[{\"name\":\"a\"},{\"name\":\"a\"}]}}]",
			NULL, NULL,
			"endpoints[0].addresses[0]: Invalid value: \"fe80::1\": may not be in the "
			"link-local range\n"
			"endpoints[0].addresses[1]: Invalid value: \"::\": may not be unspecified "
			"(::)\n"
			"endpoints[0].hints.forZones[1].name: Duplicate value: \"a\""},
		{"", "Event", "\"involvedObject\":{\"namespace\":\"other\"}", NULL, NULL,
			"involvedObject.namespace: Invalid value: \"other\": does not match "
			"event.namespace"},
		{"", "Event", "\"involvedObject\":{},\"eventTime\":\"2030-01-01T00:00:00.000000Z\"",
			NULL, NULL,
			"reportingComponent: Required value\n"
			"reportingComponent: Invalid value: \"\": name part must be non-empty\n"
			"reportingComponent: Invalid value: \"\": name part must consist\n"
			"reportingInstance: Required value\n"
			"action: Required value\n"
			"reason: Required value"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

#define HOOK                                                                                       \
	"\"name\":\"a.b.c\",\"clientConfig\":{\"url\":\"https://a/b\"},\"sideEffects\":\"None\","  \
	"\"admissionReviewVersions\":[\"v1\"]"
#define MATCH                                                                                      \
	"\"matchConstraints\":{\"resourceRules\":[{\"operations\":[\"*\"],\"apiGroups\":[\"*\"],"  \
	"\"apiVersions\":[\"*\"],\"resources\":[\"*\"]}]}"

static void test_admission(void **state)
{
	static const struct row rows[] = {
		{ADM, "MutatingWebhookConfiguration", "\"webhooks\":[{" HOOK "}]", NULL, NULL, ""},
		{ADM, "MutatingWebhookConfiguration",
			"\"webhooks\":[{\"name\":\"a.b.c\",\"clientConfig\":{\"url\":"
			"\"https://u@/b#f\"},\"sideEffects\":\"None\",\"admissionReviewVersions\":["
			"\"v1\",\"v1\"],\"reinvocationPolicy\":\"x\"}]",
			NULL, NULL,
			"webhooks[0].reinvocationPolicy: Unsupported value: \"x\"\n"
			"webhooks[0].clientConfig.url: Invalid value: \"\": host must be "
			"specified\n"
			"webhooks[0].clientConfig.url: Invalid value: \"u\": user information is "
			"not permitted in the URL\n"
			"webhooks[0].clientConfig.url: Invalid value: \"f\": fragments are not "
			"permitted in the URL\n"
			"webhooks[0].admissionReviewVersions[1]: Invalid value: \"v1\": duplicate "
			"version"},
		{ADM, "ValidatingWebhookConfiguration",
			"\"webhooks\":[{\"name\":\"a.b.c\",\"clientConfig\":{\"service\":{\"name\":"
			"\"\",\"namespace\":\"ns\",\"path\":\"a//B/\",\"port\":70000}},"
			"\"sideEffects\":\"None\",\"admissionReviewVersions\":[\"v1\"]}]",
			NULL, NULL,
			"webhooks[0].clientConfig.service.name: Required value: service name is "
			"required\n"
			"webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not "
			"valid: must be between 1 and 65535, inclusive\n"
			"webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": must "
			"start with a '/'\n"
			"webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": "
			"segment[0] may not be empty\n"
			"webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": "
			"segment[1] may not be empty\n"
			"webhooks[0].clientConfig.service.path: Invalid value: \"a//B/\": "
			"segment[2]: a lowercase RFC 1123 subdomain"},
		{ADM, "ValidatingWebhookConfiguration",
			"\"webhooks\":[{" HOOK ",\"rules\":[{\"operations\":[\"*\",\"CREATE\"],"
			"\"apiGroups\":[],\"apiVersions\":[\"\"],\"resources\":[\"pods/*\","
			"\"pods/log\",\"*\",\"nodes\"]}]}]",
			NULL, NULL,
			"webhooks[0].rules[0].operations: Invalid value: []string{\"*\", "
			"\"CREATE\"}: if '*' is present, must not specify other operations\n"
			"webhooks[0].rules[0].apiGroups: Required value\n"
			"webhooks[0].rules[0].apiVersions[0]: Required value\n"
			"webhooks[0].rules[0].resources[1]: Invalid value: \"pods/log\": if "
			"'pods/*' is present, must not specify pods/log\n"
			"webhooks[0].rules[0].resources: Invalid value: []string{\"pods/*\", "
			"\"pods/log\", \"*\", \"nodes\"}: if '*' is present, must not specify "
			"other "
			"resources without subresources"},
		{ADM, "ValidatingAdmissionPolicy",
			"\"spec\":{" MATCH ",\"paramKind\":{\"apiVersion\":\"a/b/c\",\"kind\":"
			"\"1\"},\"matchConditions\":[{\"name\":\"a\",\"expression\":\" \"},{"
			"\"name\":\"a\",\"expression\":\"x\"}],\"validations\":[{\"expression\":"
			"\"x\",\"message\":\"a\\nb\",\"reason\":\"Odd\"}],\"auditAnnotations\":[{"
			"\"key\":\"k\",\"valueExpression\":\"\"}]}",
			NULL, NULL,
			"spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected "
			"GroupVersion string: a/b/c\n"
			"spec.paramKind.kind: Invalid value: \"1\": may have mixed case, but "
			"should "
			"otherwise match: a DNS-1035 label\n"
			"spec.matchConditions[0].expression: Required value\n"
			"spec.matchConditions[1].name: Duplicate value: \"a\"\n"
			"spec.validations[0].message: Invalid value: \"a\\nb\": message must not "
			"contain line breaks\n"
			"spec.validations[0].reason: Unsupported value: \"Odd\"\n"
			"spec.auditAnnotations[0].valueExpression: Required value: valueExpression "
			"is not specified"},
		{ADM, "ValidatingAdmissionPolicyBinding",
			"\"spec\":{\"policyName\":\"p\",\"paramRef\":{},\"validationActions\":["
			"\"Deny\",\"Deny\"]}",
			NULL, NULL,
			"spec.paramRef: Required value: one of name or selector must be specified\n"
			"spec.paramRef.parameterNotFoundAction: Required value\n"
			"spec.validationActions[1]: Duplicate value: \"Deny\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

static void test_addresses(void **state)
{
	struct ip a, b;
	assert_int_equal(ip_read("10.1.2.3", &a), 0);
	assert_int_equal(a.family, 4);
	assert_int_equal(ip_read("::ffff:10.1.2.3", &b), 0);
	assert_int_equal(b.family, 4);
	assert_memory_equal(a.bytes, b.bytes, 4);
	assert_int_equal(ip_read("2001:db8::1", &a), 0);
	assert_int_equal(a.family, 6);
	static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "x", "1.2.3.4/8", ":::"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(ip_read(bad[i], &a), -EINVAL);
	static const char *const bad_ranges[] = {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "/8",
		"10.0.0.0/-1", "10.0.0.0/0008", "2001:db8::/129",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/1"};
	for (size_t i = 0; i < ARRAY_LEN(bad_ranges); i++)
		assert_int_equal(cidr_read(bad_ranges[i], &a), -EINVAL);
	static const struct {
		const char *range, *address;
		bool within;
	} rows[] = {
		{"10.0.0.0/8", "10.255.0.1", true},
		{"10.0.0.0/9", "10.128.0.1", false},
		{"10.0.0.0/31", "10.0.0.1", true},
		{"0.0.0.0/0", "1.2.3.4", true},
		{"2001:db8::/33", "2001:db8:8000::", false},
		{"::/0", "1.2.3.4", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(cidr_read(rows[i].range, &a), 0);
		assert_int_equal(ip_read(rows[i].address, &b), 0);
		assert_int_equal(cidr_contains(&a, &b), rows[i].within);
	}
}

static void test_certificate_texts(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const char pem[] = "-----BEGIN %s-----\nMIIB\n-----END %s-----\n";
	static const struct {
		const char *type, *request, *chain;
	} rows[] = {
		{"CERTIFICATE REQUEST", "x509: malformed certificate request",
			"only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\""},
		{"CERTIFICATE", "PEM block type must be CERTIFICATE REQUEST",
			"x509: malformed certificate"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *text = arena_printf(&a, pem, rows[i].type, rows[i].type);
		const char *base64 = base64_encode(&a, text, strlen(text));
		assert_string_equal(certificate_request_problem(&a, base64), rows[i].request);
		assert_string_equal(certificates_problem(&a, base64), rows[i].chain);
		assert_false(certificate_request_has_organization(&a, base64, "x"));
	}
	assert_string_equal(
		certificate_request_problem(&a, ""), "PEM block type must be CERTIFICATE REQUEST");
	assert_string_equal(
		certificates_problem(&a, "***"), "must contain at least one CERTIFICATE PEM block");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networking),
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_classes_and_flows),
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_certificate_texts),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
