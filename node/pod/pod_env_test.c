/* pod_env_test.c - environment, expansion, downward fields, service variables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <time.h>

#include "node/pod/pod_env.h"

static struct arena a;
static const struct json *config_map, *secret;

static struct json *parse(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (json_parse(&a, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

static const struct json *find_config_map(void *user, const char *name)
{
	return streq(name, "cfg") ? config_map : NULL;
}

static const struct json *find_secret(void *user, const char *name)
{
	return streq(name, "sec") ? secret : NULL;
}

static const struct node_amounts allocatable = {
	.cpu_milli = 2000,
	.memory_bytes = INT64_C(4) << 30,
	.ephemeral_bytes = INT64_C(9) << 30,
};

static struct env_context context(void)
{
	return (struct env_context){
		.config_map = find_config_map,
		.secret = find_secret,
		.host_ip = "172.31.0.1",
		.pod_ip = "10.244.0.9",
		.allocatable = &allocatable,
	};
}

static const char *value(const struct env_vars *v, const char *name)
{
	for (size_t i = 0; i < v->count; i++) {
		if (streq(v->items[i].name, name))
			return v->items[i].value;
	}
	return NULL;
}

static int setup(void **state)
{
	arena_init(&a);
	config_map = parse("{\"data\":{\"k\":\"v1\",\"bad name\":\"x\",\"A_B\":\"y\"}}");
	secret = parse("{\"data\":{\"pw\":\"czNjcmV0\"}}");
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&a);
	return 0;
}

static void expansion(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain", "plain"},
		{"$(A)", "1"},
		{"x$(A)y$(B)z", "x1y2z"},
		{"$(NONE)", "$(NONE)"},
		{"$$(A)", "$(A)"},
		{"$$$(A)", "$1"},
		{"$", "$"},
		{"a$", "a$"},
		{"$A", "$A"},
		{"$(A", "$(A"},
		{"$()", "$()"},
		{"$(A)$(A)", "11"},
		{"$$$$", "$$"},
	};
	struct env_var items[] = {{"A", "1"}, {"B", "2"}};
	struct env_vars vars = {.items = items, .count = 2};
	size_t room = ENV_TEXT_MAX_BYTES;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(env_expand(&a, cases[i].in, &vars, &room), cases[i].out);
}

static const char pod_text[] =
	"{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u-1\","
	"\"labels\":{\"app\":\"web\",\"b\":\"2\"},\"annotations\":{\"note\":\"n\\\"q\"}},"
	"\"spec\":{\"nodeName\":\"node1\",\"serviceAccountName\":\"sa\",\"containers\":["
	"{\"name\":\"c\",\"resources\":{\"limits\":{\"cpu\":\"1500m\",\"memory\":\"64Mi\"},"
	"\"requests\":{\"cpu\":\"250m\"}},"
	"\"envFrom\":[{\"prefix\":\"P_\",\"configMapRef\":{\"name\":\"cfg\"}},"
	"{\"secretRef\":{\"name\":\"sec\"}},{\"secretRef\":{\"name\":\"no\",\"optional\":true}}],"
	"\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"$(A)-$(P_k)-$(LATER)"
	"\"},"
	"{\"name\":\"LATER\",\"value\":\"x\"},{\"name\":\"pw\",\"value\":\"own\"},"
	"{\"name\":\"NODE\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.nodeName\"}}},"
	"{\"name\":\"IP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}},"
	"{\"name\":\"APP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['app']\"}}}"
	","
	"{\"name\":\"CPU\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}},"
	"{\"name\":\"CPUM\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"requests.cpu\","
	"\"divisor\":\"1m\"}}},"
	"{\"name\":\"MEM\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\","
	"\"divisor\":\"1Mi\"}}},"
	"{\"name\":\"KEY\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"sec\",\"key\":\"pw\"}}},"
	"{\"name\":\"OPT\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cfg\",\"key\":\"zz\","
	"\"optional\":true}}}]},"
	"{\"name\":\"d\"}]}}";

static void all_sources(void **state)
{
	const struct json *pod = parse(pod_text);
	struct env_context ctx = context();
	struct env_vars v;
	struct err err = ERR_INIT;

	assert_int_equal(
		env_make(&a, pod, json_path(pod, "spec.containers[0]"), &ctx, &v, &err), 0);
	assert_string_equal(value(&v, "P_k"), "v1");
	assert_string_equal(value(&v, "P_A_B"), "y");
	assert_null(value(&v, "P_bad name"));
	assert_string_equal(value(&v, "B"), "1-v1-$(LATER)");
	/* env wins over envFrom. */
	assert_string_equal(value(&v, "pw"), "own");
	assert_string_equal(value(&v, "NODE"), "node1");
	assert_string_equal(value(&v, "IP"), "10.244.0.9");
	assert_string_equal(value(&v, "APP"), "web");
	assert_string_equal(value(&v, "CPU"), "2");
	assert_string_equal(value(&v, "CPUM"), "250");
	assert_string_equal(value(&v, "MEM"), "64");
	assert_string_equal(value(&v, "KEY"), "s3cret");
	assert_null(value(&v, "OPT"));
}

static void missing_references_say_which(void **state)
{
	static const struct {
		const char *env, *message;
	} cases[] = {
		{"{\"env\":[{\"name\":\"X\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"nope\","
		 "\"key\":\"k\"}}}]}",
			"configmap \"nope\" not found"},
		{"{\"env\":[{\"name\":\"X\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cfg\","
		 "\"key\":\"zz\"}}}]}",
			"couldn't find key zz in ConfigMap ns/cfg"},
		{"{\"env\":[{\"name\":\"X\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"sec\","
		 "\"key\":\"zz\"}}}]}",
			"couldn't find key zz in Secret ns/sec"},
		{"{\"envFrom\":[{\"secretRef\":{\"name\":\"nope\"}}]}",
			"secret \"nope\" not found"},
	};
	const struct json *pod = parse(pod_text);
	struct env_context ctx = context();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct env_vars v;
		struct err err = ERR_INIT;
		assert_true(env_make(&a, pod, parse(cases[i].env), &ctx, &v, &err) < 0);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void fields(void **state)
{
	const struct json *pod = parse(pod_text);
	struct env_context ctx = context();
	const char *s;

	assert_int_equal(env_field(&a, pod, "metadata.labels", &ctx, &s, NULL), 0);
	assert_string_equal(s, "app=\"web\"\nb=\"2\"");
	assert_int_equal(env_field(&a, pod, "metadata.annotations", &ctx, &s, NULL), 0);
	assert_string_equal(s, "note=\"n\\\"q\"");
	assert_int_equal(env_field(&a, pod, "metadata.annotations['none']", &ctx, &s, NULL), 0);
	assert_string_equal(s, "");
	assert_int_equal(env_field(&a, pod, "metadata.uid", &ctx, &s, NULL), 0);
	assert_string_equal(s, "u-1");
	assert_true(env_field(&a, pod, "spec.bogus", &ctx, &s, NULL) < 0);
}

static void limits_default_to_the_node(void **state)
{
	const struct json *pod = parse(pod_text);
	struct env_context ctx = context();
	const struct json *d = json_path(pod, "spec.containers[1]");
	const char *s;

	assert_int_equal(
		env_resource(&a, pod, d, parse("{\"resource\":\"limits.cpu\"}"), &ctx, &s, NULL),
		0);
	assert_string_equal(s, "2");
	assert_int_equal(
		env_resource(&a, pod, d, parse("{\"resource\":\"limits.memory\"}"), &ctx, &s, NULL),
		0);
	assert_string_equal(s, "4294967296");
	assert_int_equal(env_resource(&a, pod, NULL,
				 parse("{\"containerName\":\"c\",\"resource\":\"limits.memory\"}"),
				 &ctx, &s, NULL),
		0);
	assert_string_equal(s, "67108864");
	/* As much as can be written, in large parts. */
	d = parse("{\"resources\":{\"limits\":{\"memory\":\"9223372036854775807\"}}}");
	assert_int_equal(env_resource(&a, pod, d,
				 parse("{\"resource\":\"limits.memory\",\"divisor\":\"1Gi\"}"),
				 &ctx, &s, NULL),
		0);
	assert_string_equal(s, "8589934592");
}

/* Half a million of them are looked through once, not each to the end. */
static void open_references(void **state)
{
	enum { COUNT = 500000 };
	struct env_vars vars = {0};
	size_t room = ENV_TEXT_MAX_BYTES;
	char *text = arena_alloc(&a, 2 * COUNT + 1);

	for (size_t i = 0; i < COUNT; i++)
		memcpy(text + 2 * i, "$(", 2);
	text[2 * COUNT] = '\0';
	clock_t before = clock();
	assert_string_equal(env_expand(&a, text, &vars, &room), text);
	assert_null(env_missing(&a, text, &vars));
	assert_true(clock() - before < CLOCKS_PER_SEC);
}

static void services(void **state)
{
	const struct json *list[] = {
		parse("{\"metadata\":{\"name\":\"my-db\",\"namespace\":\"ns\"},\"spec\":{"
		      "\"clusterIP\":\"10.96.0.7\",\"ports\":[{\"name\":\"sql\",\"port\":5432,"
		      "\"protocol\":\"TCP\"},{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"}]}"
		      "}"),
		parse("{\"metadata\":{\"name\":\"headless\",\"namespace\":\"ns\"},\"spec\":{"
		      "\"clusterIP\":\"None\",\"ports\":[{\"port\":1}]}}"),
		parse("{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\"},\"spec\":{"
		      "\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"name\":\"https\",\"port\":443}]}"
		      "}"),
	};
	struct env_context ctx = context();
	struct env_vars v = {0};

	ctx.services = list;
	ctx.service_count = ARRAY_LEN(list);
	env_services(&a, &ctx, true, &v);
	assert_string_equal(value(&v, "MY_DB_SERVICE_HOST"), "10.96.0.7");
	assert_string_equal(value(&v, "MY_DB_SERVICE_PORT"), "5432");
	assert_string_equal(value(&v, "MY_DB_SERVICE_PORT_DNS"), "53");
	assert_string_equal(value(&v, "MY_DB_PORT"), "tcp://10.96.0.7:5432");
	assert_string_equal(value(&v, "MY_DB_PORT_53_UDP"), "udp://10.96.0.7:53");
	assert_string_equal(value(&v, "MY_DB_PORT_53_UDP_PROTO"), "udp");
	assert_string_equal(value(&v, "MY_DB_PORT_5432_TCP_ADDR"), "10.96.0.7");
	assert_null(value(&v, "HEADLESS_SERVICE_HOST"));
	assert_string_equal(value(&v, "KUBERNETES_SERVICE_HOST"), "10.96.0.1");
	/* Without links the API server's is still there. */
	v = (struct env_vars){0};
	env_services(&a, &ctx, false, &v);
	assert_null(value(&v, "MY_DB_SERVICE_HOST"));
	assert_string_equal(value(&v, "KUBERNETES_SERVICE_PORT_HTTPS"), "443");
}

/* Each variable twice the one before it: 40 of them would be 8 TiB. */
static void growth_is_bounded(void **state)
{
	struct env_context ctx = context();
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct env_vars vars;
	struct err err = ERR_INIT;

	buf_add_str(&b, "{\"env\":[{\"name\":\"V0\",\"value\":\"12345678\"}");
	for (int i = 1; i <= 40; i++)
		buf_printf(&b, ",{\"name\":\"V%d\",\"value\":\"$(V%d)$(V%d)\"}", i, i - 1, i - 1);
	buf_add_str(&b, "]}");
	assert_int_equal(env_make(&a, parse("{}"), parse(b.data), &ctx, &vars, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "more than a process can be given"));
}

static void text_of_one_name_set_again_counts(void **state)
{
	struct env_context ctx = context();
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct env_vars vars;
	struct err err = ERR_INIT;

	buf_add_str(&b, "{\"env\":[{\"name\":\"V\",\"value\":\"x\"}");
	for (int i = 0; i < ENV_SET_MAX; i++)
		buf_add_str(&b, ",{\"name\":\"V\",\"value\":\"y\"}");
	buf_add_str(&b, "]}");
	assert_int_equal(env_make(&a, parse("{}"), parse(b.data), &ctx, &vars, &err), -E2BIG);
}

/* As many references as fit, beside as many variables as may be set. */
static void references_among_many(void **state)
{
	enum { REFERENCES = 150000 };
	struct env_context ctx = context();
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct env_vars vars;
	struct err err = ERR_INIT;
	clock_t before = clock();

	buf_add_str(&b, "{\"env\":[");
	for (int i = 0; i < ENV_SET_MAX - 2; i++)
		buf_printf(&b, "{\"name\":\"VARIABLE_%d\",\"value\":\"%d\"},", i, i);
	buf_add_str(&b, "{\"name\":\"VARIABLE_7\",\"value\":\"again\"},"
			"{\"name\":\"ALL\",\"value\":\"");
	for (int i = 0; i < REFERENCES; i++)
		buf_add_str(&b, "$(VARIABLE_8189)");
	buf_add_str(&b, "\"}]}");
	assert_int_equal(env_make(&a, parse("{}"), parse(b.data), &ctx, &vars, &err), 0);
	assert_int_equal(vars.count, ENV_SET_MAX - 1);
	assert_string_equal(value(&vars, "VARIABLE_7"), "again");
	const char *all = value(&vars, "ALL");
	assert_int_equal(strlen(all), REFERENCES * 4);
	assert_memory_equal(all, "81898189", 8);
	assert_true(clock() - before < 5 * CLOCKS_PER_SEC);
}

static void expansion_within_its_room(void **state)
{
	struct env_var one = {"A", "0123456789"};
	struct env_vars vars = {.items = &one, .count = 1};
	size_t room = 25;

	assert_string_equal(env_expand(&a, "$(A)$(A)", &vars, &room), "01234567890123456789");
	assert_int_equal(room, 5);
	assert_null(env_expand(&a, "$(A)", &vars, &room));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(expansion, setup, teardown),
		cmocka_unit_test_setup_teardown(all_sources, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_references_say_which, setup, teardown),
		cmocka_unit_test_setup_teardown(fields, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_default_to_the_node, setup, teardown),
		cmocka_unit_test_setup_teardown(open_references, setup, teardown),
		cmocka_unit_test_setup_teardown(services, setup, teardown),
		cmocka_unit_test_setup_teardown(growth_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(text_of_one_name_set_again_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(expansion_within_its_room, setup, teardown),
		cmocka_unit_test_setup_teardown(references_among_many, setup, teardown),
	};

	return cmocka_run_group_tests_name("pod_env", tests, NULL, NULL);
}
