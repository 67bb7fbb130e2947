#include "lib/object/object.h"
#include "lib/object/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Bodies as kubectl 1.32 sends them. */
#define META_ZEROS "12001a0022002a00320038004200"
static const char
	deployment[] = /* create deployment web --image=nginx:1.25 --replicas=3 --port=80 */
	"6b3873000a150a07617070732f7631120a4465706c6f796d656e7412bd010a1f0a03776562" META_ZEROS
	"5a0a0a036170701203776562128b010803120c0a0a0a0361707012037765621a710a1c0a00" META_ZEROS
	"5a0a0a036170701203776562125112330a056e67696e78120a6e67696e783a312e32352a00320a0a0010001850"
	"2200"
	"2a0042006a007200800100880100900100a201001a00320042004a005200580060006800820100"
	"8a01009a0100c2010022020a00280038001a0c08001000180020002800380"
	"01a002200";
static const char config_map[] = /* create configmap cm --from-literal=a=b --from-literal=empty= */
	"6b3873000a0f0a0276311209436f6e6669674d617012270a120a02636d" META_ZEROS
	"12060a016112016212090a05656d70747912001a002200";
static const char secret[] = /* create secret generic s --from-literal=user=admin */
	"6b3873000a0c0a02763112065365637265741224"
	"0a110a0173" META_ZEROS "120d0a0475736572120561646d696e1a001a002200";
static const char namespace[] = /* create namespace ns1 */
	"6b3873000a0f0a02763112094e616d657370616365121b0a130a036e7331" META_ZEROS
	"12001a020a001a002200";
static const char service[] = /* create service clusterip svc --tcp=80:8080 */
	"6b3873000a0d0a0276311207536572766963651269"
	"0a1f0a03737663" META_ZEROS
	"5a0a0a03617070120373766312420a1b0a0738302d38303830120354435018502207"
	"080010903f1a002800120a0a0361707012037376631a002209436c757374657249503a00420052005a006000"
	"68001a020a001a002200";

static struct str from_hex(struct arena *a, const char *hex)
{
	size_t size = strlen(hex) / 2;
	char *out = arena_alloc(a, size + 1);

	for (size_t i = 0; i < size; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1]};

		out[i] = (char)strtol(digits, NULL, 16);
	}
	return (struct str){out, size};
}

static void decodes_to(const char *hex, const char *expected)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct str body = from_hex(&a, hex);
	struct err err = ERR_INIT;
	struct json *doc;

	if (protobuf_decode(&a, body.p, body.size, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(json_text(&a, doc), expected);
}

static void test_bodies_of_kubectl(void **state)
{
	decodes_to(config_map,
		"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"cm\"},"
		"\"data\":{\"a\":\"b\",\"empty\":\"\"}}");
	decodes_to(secret,
		"{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"s\"},"
		"\"data\":{\"user\":\"YWRtaW4=\"}}");
	decodes_to(namespace,
		"{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":"
		"\"ns1\"},\"spec\":{},\"status\":{}}");
	decodes_to(service, "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":"
			    "\"svc\",\"labels\":{"
			    "\"app\":\"svc\"}},\"spec\":{\"ports\":[{\"name\":\"80-8080\","
			    "\"protocol\":\"TCP\",\"port\":"
			    "80,\"targetPort\":8080}],\"selector\":{\"app\":\"svc\"},\"type\":"
			    "\"ClusterIP\"},\"status\":{"
			    "\"loadBalancer\":{}}}");
	decodes_to(deployment, "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/"
			       "v1\",\"metadata\":{\"name\":\"web\","
			       "\"labels\":{\"app\":\"web\"}},\"spec\":{\"replicas\":3,"
			       "\"selector\":{\"matchLabels\":{"
			       "\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":"
			       "\"web\"}},\"spec\":{"
			       "\"containers\":[{\"name\":\"nginx\",\"image\":\"nginx:1.25\","
			       "\"ports\":[{\"containerPort\":"
			       "80}],\"resources\":{}}]}},\"strategy\":{}},\"status\":{}}");
}

static void test_zero_of_a_pointer_is_kept(void **state)
{
	/* spec {replicas: 0, minReadySeconds: 0} */
	decodes_to("6b3873000a150a07617070732f7631120a4465706c6f796d656e74120612040800280"
		   "0",
		"{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"spec\":{\"replicas\":0}}");
}

static void test_special_messages(void **state)
{
	/* spec {acquireTime {1577934245 s, 600000000 ns}, renewTime {}} */
	decodes_to(
		"6b3873000a1f0a16636f6f7264696e6174696f6e2e6b38732e696f2f763112054c65617365121212"
		"101a0c08a5bbb5f00510808c8d9e022200",
		"{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/"
		"v1\",\"spec\":{\"acquireTime\":"
		"\"2020-01-02T03:04:05.600000Z\"}}");
}

static void test_nested_special_messages(void **state)
{
	decodes_to(
		"6b3873000a090a0276311203506f6412480a170a01708a01110a016d3a0c0a0a7b22663a61223a7b"
		"7d7d122d122b0a016342140a0d0a0363707512060a043530306d0a030a01785a100a0e1a0c0a0a08"
		"0110001a0468747470",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\","
		"\"managedFields\":[{"
		"\"manager\":\"m\",\"fieldsV1\":{\"f:a\":{}}}]},\"spec\":{\"containers\":[{"
		"\"name\":\"c\","
		"\"resources\":{\"limits\":{\"cpu\":\"500m\",\"x\":\"0\"}},\"readinessProbe\":{"
		"\"tcpSocket\":{"
		"\"port\":\"http\"}}}]}}");
}

static void test_decoded_objects_pass_the_checks(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct kind_registry *r = kind_registry_create();
	struct decode_options options = {.field_validation = FIELD_VALIDATION_STRICT};
	struct str body = from_hex(&a, deployment);
	struct status st = {0};
	struct json *doc;

	assert_int_equal(kind_registry_load_builtin(r, NULL), 0);
	assert_int_equal(object_decode(r, kind_by_name(r, "apps", "v1", "Deployment"), &a,
				 "application/vnd.kubernetes.protobuf", body.p, body.size, &options,
				 &doc, &st),
		0);
	assert_string_equal(json_path_str(doc, "spec.template.spec.restartPolicy"), "Always");
	assert_string_equal(
		json_path_str(doc, "spec.template.spec.containers[0].ports[0].protocol"), "TCP");
	assert_int_equal(object_decode(r, kind_by_name(r, "", "v1", "Secret"), &a,
				 "application/vnd.kubernetes.protobuf", body.p, body.size, &options,
				 &doc, &st),
		-EREMOTEIO);
	kind_registry_destroy(r);
}

static void is_refused(const char *hex, int code)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct str body = from_hex(&a, hex);
	struct err err = ERR_INIT;
	struct json *doc;

	assert_int_equal(protobuf_decode(&a, body.p, body.size, &doc, &err), code);
	assert_true(err.msg[0] != '\0');
}

static void test_bad_bodies(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct str body = from_hex(&a, deployment);
	struct json *doc;

	is_refused("", -EINVAL);
	is_refused("7b7d", -EINVAL);
	is_refused("6b387300", -ENOTSUP);
	is_refused("6b3873000aff", -EINVAL);
	/* name that is not UTF-8 */
	is_refused("6b3873000a0f0a0276311209436f6e6669674d617012050a030a01ff", -EINVAL);
	/* metadata as a number */
	is_refused("6b3873000a0f0a0276311209436f6e6669674d617012020801", -EINVAL);
	/* Cut anywhere: refused or, between fields, less of it, never worse. */
	for (size_t i = 0; i < body.size; i++) {
		char *cut = malloc(i + 1);
		int r;

		memcpy(cut, body.p, i);
		r = protobuf_decode(&a, cut, i, &doc, NULL);
		assert_true(r == 0 || r == -EINVAL || r == -ENOTSUP);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies_of_kubectl),
		cmocka_unit_test(test_zero_of_a_pointer_is_kept),
		cmocka_unit_test(test_special_messages),
		cmocka_unit_test(test_nested_special_messages),
		cmocka_unit_test(test_decoded_objects_pass_the_checks),
		cmocka_unit_test(test_bad_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
