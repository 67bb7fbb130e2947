#include "lib/object/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct kind_registry *registry;

static int setup(void **state)
{
	struct err err = ERR_INIT;

	registry = kind_registry_create();
	return kind_registry_load_builtin(registry, &err);
}

static int teardown(void **state)
{
	kind_registry_destroy(registry);
	return 0;
}

static const struct kind *kind(const char *group, const char *name)
{
	const struct kind *k = kind_by_name(registry, group, "v1", name);

	assert_non_null(k);
	return k;
}

/* Decodes JSON text; the message of the Status or NULL. */
static const char *decode(struct arena *a, const struct kind *k, const char *text,
	enum field_validation validation, struct json **ret)
{
	struct decode_options options = {.field_validation = validation};
	struct status st = {0};
	struct json *doc = NULL;
	int r = object_decode(
		registry, k, a, "application/json", text, strlen(text), &options, &doc, &st);

	if (r < 0) {
		assert_int_equal(r, -EREMOTEIO);
		assert_true(st.code >= 400);
		return json_str(json_get(st.doc, "message"));
	}
	if (ret)
		*ret = doc;
	return NULL;
}

static void refused(const char *group, const char *name, const char *text, const char *message)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *said = decode(&a, kind(group, name), text, FIELD_VALIDATION_WARN, NULL);

	assert_non_null(said);
	assert_string_equal(said, message);
}

static void becomes(const char *group, const char *name, const char *text, const char *expected)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc, *want;
	const char *said = decode(&a, kind(group, name), text, FIELD_VALIDATION_WARN, &doc);

	if (said)
		fail_msg("%s", said);
	assert_int_equal(json_parse(&a, expected, strlen(expected), NULL, &want, NULL), 0);
	if (!json_equal(doc, want))
		assert_string_equal(json_text(&a, doc), json_text(&a, want));
}

static void test_defaults_of_a_pod(void **state)
{
	becomes("", "Pod",
		"{\"metadata\":{\"name\":\"x\"},\"spec\":{\"containers\":[{\"name\":\"c\","
		"\"image\":\"i\","
		"\"ports\":[{\"containerPort\":80}],\"livenessProbe\":{\"httpGet\":{\"port\":80}}}]"
		","
		"\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"m\"}}]}}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
		"\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,"
		"\"protocol\":\"TCP\"}],\"livenessProbe\":{\"httpGet\":{\"port\":80,\"path\":\"/\","
		"\"scheme\":\"HTTP\"},\"timeoutSeconds\":1,\"periodSeconds\":10,"
		"\"successThreshold\":1,"
		"\"failureThreshold\":3},\"resources\":{},\"terminationMessagePath\":"
		"\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\"}],"
		"\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"m\",\"defaultMode\":420}}],"
		"\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,"
		"\"dnsPolicy\":\"ClusterFirst\",\"securityContext\":{},\"schedulerName\":"
		"\"default-scheduler\"},\"status\":{}}");
}

static void test_field_errors_of_a_pod(void **state)
{
#define LABEL_WORDS                                                                                \
	"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "   \
	"and "                                                                                     \
	"must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex " \
	"used "                                                                                    \
	"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
	refused("", "Pod",
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
		"\"restartPolicy\":\"Foo\",\"containers\":[{\"name\":\"A\",\"image\":\"\"},{"
		"\"name\":\"A\","
		"\"image\":\"x\",\"ports\":[{\"containerPort\":99999}]}]}}",
		"Pod \"x\" is invalid: [spec.containers[0].name: Invalid value: \"A\": " LABEL_WORDS
		", spec.containers[0].image: Required value, spec.containers[1].name: Invalid "
		"value: "
		"\"A\": " LABEL_WORDS ", spec.containers[1].name: Duplicate value: \"A\", "
		"spec.containers[1].ports[0].containerPort: Invalid value: 99999: must be between "
		"1 and "
		"65535, inclusive, spec.restartPolicy: Unsupported value: \"Foo\": supported "
		"values: "
		"\"Always\", \"OnFailure\", \"Never\"]");
	refused("", "Pod",
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
		"\"containers\":[]}}",
		"Pod \"x\" is invalid: spec.containers: Required value");
	refused("", "Pod", "{\"metadata\":{\"name\":\"x\"}}",
		"Pod \"x\" is invalid: spec.containers: Required value");
}

static void test_wrong_kinds(void **state)
{
	refused("", "ConfigMap",
		"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"x\"}}",
		"Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) "
		"to "
		"(core.ConfigMap): unknown conversion");
	refused("", "ConfigMap",
		"{\"apiVersion\":\"v2\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}",
		"ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind "
		"\"ConfigMap\" is "
		"registered for version \"v2\" in scheme "
		"\"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"");
	becomes("", "ConfigMap", "{\"metadata\":{\"name\":\"nokind\"}}",
		"{\"metadata\":{\"name\":\"nokind\"},\"kind\":\"ConfigMap\",\"apiVersion\":"
		"\"v1\"}");
	becomes("meta.k8s.io", "DeleteOptions",
		"{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}",
		"{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}");
}

static void test_bad_text(void **state)
{
	refused("", "ConfigMap", "{\"a\":",
		"the object provided is unrecognized (must be of type ConfigMap): couldn't get "
		"version/kind; json parse error: unexpected end of JSON input ({\"a\":)");
	refused("", "ConfigMap", "",
		"the object provided is unrecognized (must be of type ConfigMap): couldn't get "
		"version/kind; json parse error: unexpected end of JSON input (<empty>)");
}

static void test_labels_and_keys(void **state)
{
	refused("", "ConfigMap",
		"{\"metadata\":{\"name\":\"k1\",\"labels\":{\"a\":\"b c\"}},\"data\":{}}",
		"ConfigMap \"k1\" is invalid: metadata.labels: Invalid value: \"b c\": a valid "
		"label must be "
		"an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
		"start and "
		"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
		"regex used "
		"for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
	refused("", "ConfigMap", "{\"metadata\":{\"name\":\"k1\"},\"data\":{\"a b\":\"c\"}}",
		"ConfigMap \"k1\" is invalid: data[a b]: Invalid value: \"a b\": a valid config "
		"key must "
		"consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
		"'KEY_NAME',  or "
		"'key-name', regex used for validation is '[-._a-zA-Z0-9]+')");
}

static void test_type_errors(void **state)
{
	refused("", "ConfigMap", "{\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":1}}",
		"ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot "
		"unmarshal number "
		"into Go struct field ConfigMap.data of type string");
	refused("apps", "Deployment",
		"{\"metadata\":{\"name\":\"x\"},\"spec\":{\"replicas\":\"a\"}}",
		"Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot "
		"unmarshal "
		"string into Go struct field DeploymentSpec.spec.replicas of type int32");
	refused("apps", "Deployment",
		"{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"env\":[{\"value\":1}]}]}}}}",
		"Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot "
		"unmarshal "
		"number into Go struct field EnvVar.spec.template.spec.containers.env.value of "
		"type string");
	refused("", "Pod",
		"{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"x\"}}}]}}",
		"Pod in version \"v1\" cannot be handled as a Pod: quantities must match the "
		"regular "
		"expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
	refused("", "Secret", "{\"data\":{\"a\":\"?\"}}",
		"Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at "
		"input byte 0");
}

static void test_unknown_fields(void **state)
{
	const char *text =
		"{\"metadata\":{\"name\":\"x\",\"foo\":1},\"spec\":{\"bar\":{},\"containers\":[{"
		"\"name\":\"c\",\"image\":\"i\",\"zap\":1}],\"nodeName\":\"a\",\"nodeName\":\"b\"}"
		"}";
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *warnings = NULL, *doc;
	struct decode_options options = {.ret_warnings = &warnings};
	struct status st = {0};

	assert_string_equal(decode(&a, kind("", "Pod"), text, FIELD_VALIDATION_STRICT, NULL),
		"Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown "
		"field "
		"\"metadata.foo\", unknown field \"spec.bar\", unknown field "
		"\"spec.containers[0].zap\", "
		"duplicate field \"spec.nodeName\"");
	assert_int_equal(
		object_decode(registry, kind("", "Pod"), &a, "application/json; charset=utf-8",
			text, strlen(text), &options, &doc, &st),
		0);
	assert_int_equal(json_count(warnings), 4);
	assert_string_equal(json_str(json_at(warnings, 1)), "unknown field \"spec.bar\"");
	assert_null(json_path(doc, "spec.bar"));
	assert_string_equal(json_path_str(doc, "spec.nodeName"), "b");
	assert_null(decode(&a, kind("", "Pod"), text, FIELD_VALIDATION_IGNORE, NULL));
}

static void test_values_take_their_canonical_form(void **state)
{
	becomes("", "Pod",
		"{\"metadata\":{\"name\":\"x\",\"creationTimestamp\":null,\"labels\":{\"a\":null}},"
		"\"spec\":{"
		"\"restartPolicy\":\"\",\"containers\":[{\"name\":\"c\",\"image\":\"i\","
		"\"resources\":{"
		"\"limits\":{\"cpu\":1.5,\"memory\":\"1024Mi\"}},\"livenessProbe\":{\"tcpSocket\":{"
		"\"port\":\"http\"},\"periodSeconds\":0}}]},\"status\":{\"startTime\":"
		"\"2020-01-02T03:04:05.6+01:00\"}}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\",\"labels\":{"
		"\"a\":\"\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
		"\"resources\":{"
		"\"limits\":{\"cpu\":\"1500m\",\"memory\":\"1Gi\"}},\"livenessProbe\":{"
		"\"tcpSocket\":{"
		"\"port\":\"http\"},\"timeoutSeconds\":1,\"periodSeconds\":10,\"successThreshold\":"
		"1,"
		"\"failureThreshold\":3},\"terminationMessagePath\":\"/dev/termination-log\","
		"\"terminationMessagePolicy\":\"File\"}],\"restartPolicy\":\"Always\","
		"\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\","
		"\"securityContext\":{},"
		"\"schedulerName\":\"default-scheduler\"},\"status\":{"
		"\"startTime\":\"2020-01-02T02:04:05Z\"}}");
}

static void test_defaults_of_a_deployment(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;

	assert_null(decode(&a, kind("apps", "Deployment"),
		"{\"metadata\":{\"name\":\"x\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":"
		"\"b\"}},"
		"\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{"
		"\"name\":"
		"\"c\",\"image\":\"i\"}]}}}}",
		FIELD_VALIDATION_STRICT, &doc));
	assert_int_equal(json_path_int(doc, "spec.replicas", 0), 1);
	assert_int_equal(json_path_int(doc, "spec.progressDeadlineSeconds", 0), 600);
	assert_int_equal(json_path_int(doc, "spec.revisionHistoryLimit", 0), 10);
	assert_string_equal(json_path_str(doc, "spec.strategy.type"), "RollingUpdate");
	refused("apps", "Deployment", "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"replicas\":-1}}",
		"Deployment.apps \"x\" is invalid: [spec.replicas: Invalid value: -1: must be "
		"greater than or "
		"equal to 0, spec.selector: Required value, spec.template.spec.containers: "
		"Required value]");
}

static void test_virtual_machine(void **state)
{
	refused("kubevirt.io", "VirtualMachine",
		"{\"metadata\":{\"name\":\"vm\"},\"spec\":{\"runStrategy\":\"Never\",\"template\":{"
		"\"spec\":{"
		"\"domain\":{\"devices\":{\"disks\":[{\"name\":\"d\",\"disk\":{\"bus\":\"ide\"}}]}}"
		"}}}}",
		"VirtualMachine.kubevirt.io \"vm\" is invalid: [spec.runStrategy: Unsupported "
		"value: "
		"\"Never\": supported values: \"Always\", \"Halted\", \"Manual\", \"Once\", "
		"\"RerunOnFailure\", \"WaitAsReceiver\", "
		"spec.template.spec.domain.devices.disks[0].disk.bus: Unsupported value: \"ide\": "
		"supported "
		"values: \"sata\", \"scsi\", \"usb\", \"virtio\"]");
	refused("kubevirt.io", "VirtualMachine", "{\"metadata\":{\"name\":\"vm\"}}",
		"VirtualMachine.kubevirt.io \"vm\" is invalid: spec: Required value");
}

static void test_hostile_sizes(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	/* Many equal names, many unknown members, many errors: all in bounded time and words. */
	buf_add_str(&text, "{\"metadata\":{\"name\":\"x\"},\"spec\":{");
	for (int i = 0; i < 20000; i++)
		buf_printf(&text, "\"u%d\":1,", i);
	buf_add_str(&text, "\"containers\":[");
	for (int i = 0; i < 20000; i++)
		buf_add_str(&text, "{\"name\":\"a\"},");
	buf_add_str(&text, "{}]}}");
	assert_true(strlen(decode(&a, kind("", "Pod"), text.data, FIELD_VALIDATION_WARN, NULL)) <
		    65536);
	assert_true(strlen(decode(&a, kind("", "Pod"), text.data, FIELD_VALIDATION_STRICT, NULL)) <
		    65536);
}

static void test_defaults_out_of_reason(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	const char *said;

	buf_add_str(&text, "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"containers\":[{}");
	while (text.size < 2u << 20)
		buf_add_str(&text, ",{}");
	buf_add_str(&text, "]}}");
	said = decode(&a, kind("", "Pod"), text.data, FIELD_VALIDATION_WARN, NULL);
	assert_string_equal(said, "Request entity too large: with its defaults");
	assert_true(a.used_bytes < 80u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_of_a_pod),
		cmocka_unit_test(test_field_errors_of_a_pod),
		cmocka_unit_test(test_wrong_kinds),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_labels_and_keys),
		cmocka_unit_test(test_type_errors),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_values_take_their_canonical_form),
		cmocka_unit_test(test_defaults_of_a_deployment),
		cmocka_unit_test(test_virtual_machine),
		cmocka_unit_test(test_hostile_sizes),
		cmocka_unit_test(test_defaults_out_of_reason),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
