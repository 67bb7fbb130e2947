/* Each check: pods that pass it, pods that fail, and the words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/api/admission/pod_security_policy.h"

/* A container that is fine at the restricted level. */
#define FINE                                                                                       \
	"\"securityContext\":{\"allowPrivilegeEscalation\":false,\"runAsNonRoot\":true,"           \
	"\"capabilities\":{\"drop\":[\"ALL\"]},\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}"

/* Specs begin with what is special about them; PLAIN is put behind. */
#define PLAIN "\"containers\":[{\"name\":\"c\"}]"
#define GOOD "\"containers\":[{\"name\":\"c\"," FINE "}]"
/* One container with this security context, or two. */
#define ONE(security) "\"containers\":[{\"name\":\"a\",\"securityContext\":{" security "}}]"
#define TWO(security)                                                                              \
	"\"initContainers\":[{\"name\":\"b\",\"securityContext\":{" security "}}]," ONE(security)
/* At the restricted level, with this instead of one of its requirements. */
#define STRICT(security)                                                                           \
	ONE("\"allowPrivilegeEscalation\":false,\"runAsNonRoot\":true,"                            \
	    "\"capabilities\":{\"drop\":[\"ALL\"]},\"seccompProfile\":{\"type\":\"Localhost\"}"    \
	    "," security)

enum { B = POD_SECURITY_BASELINE, R = POD_SECURITY_RESTRICTED, L = POD_SECURITY_LATEST };

static const struct {
	int level, minor;
	const char *spec, *annotations;
	const char *want; /* NULL = allowed */
} cases[] = {
	{POD_SECURITY_PRIVILEGED, L, "\"hostPID\":true," ONE("\"privileged\":true"), NULL, NULL},
	{B, L, PLAIN, NULL, NULL},
	{R, L, GOOD, NULL, NULL},
	/* host namespaces */
	{B, L, "\"hostNetwork\":false," PLAIN, NULL, NULL},
	{B, L, "\"hostNetwork\":true,\"hostPID\":true,\"hostIPC\":true," PLAIN, NULL,
		"host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"},
	/* privileged */
	{B, L, ONE("\"privileged\":false"), NULL, NULL},
	{B, L, ONE("\"privileged\":true"), NULL,
		"privileged (container \"a\" must not set securityContext.privileged=true)"},
	{B, L, TWO("\"privileged\":true"), NULL,
		"privileged (containers \"b\", \"a\" must not set "
		"securityContext.privileged=true)"},
	{B, L,
		"\"ephemeralContainers\":[{\"name\":\"e\",\"securityContext\":{\"privileged\":true}"
		"}"
		"]," PLAIN,
		NULL, "privileged (container \"e\" must not set securityContext.privileged=true)"},
	/* capabilities */
	{B, L, ONE("\"capabilities\":{\"add\":[\"CHOWN\",\"NET_BIND_SERVICE\"]}"), NULL, NULL},
	{B, L, ONE("\"capabilities\":{\"add\":[\"SYS_ADMIN\",\"NET_RAW\",\"CHOWN\"]}"), NULL,
		"non-default capabilities (container \"a\" must not include \"NET_RAW\", "
		"\"SYS_ADMIN\" in securityContext.capabilities.add)"},
	{R, 21, STRICT("\"capabilities\":{\"add\":[\"NET_RAW\"]}"), NULL,
		"non-default capabilities (container \"a\" must not include \"NET_RAW\" in "
		"securityContext.capabilities.add)"},
	{R, L,
		ONE("\"allowPrivilegeEscalation\":false,\"runAsNonRoot\":true,\"capabilities\":{"
		    "\"add\":[\"NET_RAW\",\"NET_BIND_SERVICE\"]},"
		    "\"seccompProfile\":{\"type\":\"Localhost\"}"),
		NULL,
		"unrestricted capabilities (container \"a\" must set "
		"securityContext.capabilities.drop=[\"ALL\"]; container \"a\" must not include "
		"\"NET_RAW\" in securityContext.capabilities.add)"},
	{R, L, STRICT("\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_BIND_SERVICE\"]}"), NULL,
		NULL},
	/* volumes */
	{B, L, "\"volumes\":[{\"name\":\"v\",\"nfs\":{}}]," PLAIN, NULL, NULL},
	{B, L,
		"\"volumes\":[{\"name\":\"v\",\"hostPath\":{}},{\"name\":\"w\",\"hostPath\":{}}]"
		"," PLAIN,
		NULL, "hostPath volumes (volumes \"v\", \"w\")"},
	{R, L,
		"\"volumes\":[{\"name\":\"v\",\"configMap\":{}},{\"name\":\"w\",\"projected\":{}},{"
		"\"name\":\"x\",\"image\":{}}]," GOOD,
		NULL, NULL},
	{R, L, "\"volumes\":[{\"name\":\"v\",\"hostPath\":{}}]," GOOD, NULL,
		"restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")"},
	{R, L, "\"volumes\":[{\"name\":\"v\",\"nfs\":{}},{\"name\":\"w\",\"hostPath\":{}}]," GOOD,
		NULL,
		"restricted volume types (volumes \"v\", \"w\" use restricted volume types "
		"\"hostPath\", \"nfs\")"},
	/* host ports */
	{B, L,
		"\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80,\"hostPort\":0}]}"
		"]",
		NULL, NULL},
	{B, L,
		"\"containers\":[{\"name\":\"a\",\"ports\":[{\"hostPort\":8080}]},{\"name\":\"b\","
		"\"ports\":[{\"hostPort\":80},{\"hostPort\":8080}]}]",
		NULL, "hostPort (containers \"a\", \"b\" use hostPorts 80, 8080)"},
	{B, L, "\"containers\":[{\"name\":\"a\",\"ports\":[{\"hostPort\":80}]}]", NULL,
		"hostPort (container \"a\" uses hostPort 80)"},
	/* AppArmor */
	{B, L, ONE("\"appArmorProfile\":{\"type\":\"Localhost\"}"),
		"\"container.apparmor.security.beta.kubernetes.io/a\":\"localhost/x\"", NULL},
	{B, L, PLAIN, "\"container.apparmor.security.beta.kubernetes.io/c\":\"unconfined\"",
		"forbidden AppArmor profile (annotation must not set AppArmor profile type to "
		"\"container.apparmor.security.beta.kubernetes.io/c=\"unconfined\"\")"},
	{B, L,
		"\"securityContext\":{\"appArmorProfile\":{\"type\":\"Unconfined\"}}," ONE(
			"\"appArmorProfile\":{\"type\":\"Unconfined\"}"),
		NULL,
		"forbidden AppArmor profile (pod and container \"a\" must not set AppArmor profile "
		"type to \"Unconfined\")"},
	/* SELinux */
	{B, L, ONE("\"seLinuxOptions\":{\"type\":\"container_t\",\"level\":\"s0\"}"), NULL, NULL},
	{B, L, ONE("\"seLinuxOptions\":{\"type\":\"container_engine_t\"}"), NULL, NULL},
	{B, 30, ONE("\"seLinuxOptions\":{\"type\":\"container_engine_t\"}"), NULL,
		"seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: "
		"type \"container_engine_t\")"},
	{B, L,
		"\"securityContext\":{\"seLinuxOptions\":{\"type\":\"foo\"}}," ONE(
			"\"seLinuxOptions\":{\"user\":\"u\",\"role\":\"r\",\"type\":\"bar\"}"),
		NULL,
		"seLinuxOptions (pod and container \"a\" set forbidden "
		"securityContext.seLinuxOptions: types \"bar\", \"foo\"; user may not be set; role "
		"may not be set)"},
	/* /proc */
	{B, L, ONE("\"procMount\":\"Default\""), NULL, NULL},
	{B, L, ONE("\"procMount\":\"Unmasked\""), NULL,
		"procMount (container \"a\" must not set securityContext.procMount to "
		"\"Unmasked\")"},
	/* seccomp */
	{B, L, ONE("\"seccompProfile\":{\"type\":\"RuntimeDefault\"}"), NULL, NULL},
	{B, L,
		"\"securityContext\":{\"seccompProfile\":{\"type\":\"Unconfined\"}}," TWO(
			"\"seccompProfile\":{\"type\":\"Unconfined\"}"),
		NULL,
		"seccompProfile (pod and containers \"b\", \"a\" must not set "
		"securityContext.seccompProfile.type to \"Unconfined\")"},
	{B, L, PLAIN, "\"seccomp.security.alpha.kubernetes.io/pod\":\"unconfined\"", NULL},
	{B, 18, PLAIN, "\"seccomp.security.alpha.kubernetes.io/pod\":\"unconfined\"",
		"seccompProfile (forbidden annotation "
		"seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"},
	{R, L,
		ONE("\"allowPrivilegeEscalation\":false,\"runAsNonRoot\":true,"
		    "\"capabilities\":{\"drop\":[\"ALL\"]}"),
		NULL,
		"seccompProfile (pod or container \"a\" must set "
		"securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"},
	{R, L,
		"\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\"}}," ONE(
			"\"allowPrivilegeEscalation\":false,\"runAsNonRoot\":true,"
			"\"capabilities\":{\"drop\":[\"ALL\"]}"),
		NULL, NULL},
	/* sysctls */
	{B, L,
		"\"securityContext\":{\"sysctls\":[{\"name\":\"kernel.shm_rmid_forced\"},{\"name\":"
		"\"net.ipv4.tcp_rmem\"}]}," PLAIN,
		NULL, NULL},
	{B, 26,
		"\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.ip_local_reserved_ports\"}]"
		"}," PLAIN,
		NULL, "forbidden sysctls (net.ipv4.ip_local_reserved_ports)"},
	{B, L,
		"\"securityContext\":{\"sysctls\":[{\"name\":\"x.y\"},{\"name\":\"kernel.z\"}]}"
		"," PLAIN,
		NULL, "forbidden sysctls (x.y, kernel.z)"},
	/* Windows */
	{B, L, ONE("\"windowsOptions\":{\"hostProcess\":false}"), NULL, NULL},
	{B, L, ONE("\"windowsOptions\":{\"hostProcess\":true}"), NULL,
		"hostProcess (container \"a\" must not set "
		"securityContext.windowsOptions.hostProcess=true)"},
	{R, L, "\"os\":{\"name\":\"windows\"}," ONE("\"runAsNonRoot\":true"), NULL, NULL},
	/* probes */
	{B, L, "\"containers\":[{\"name\":\"a\",\"livenessProbe\":{\"httpGet\":{\"port\":80}}}]",
		NULL, NULL},
	{B, 33,
		"\"containers\":[{\"name\":\"a\",\"livenessProbe\":{\"httpGet\":{\"host\":\"h\"}}}"
		"]",
		NULL, NULL},
	{B, L,
		"\"containers\":[{\"name\":\"a\",\"livenessProbe\":{\"httpGet\":{\"host\":\"h\"}},"
		"\"lifecycle\":{\"preStop\":{\"tcpSocket\":{\"host\":\"g\"}}}}]",
		NULL,
		"probe or lifecycle host (container \"a\" uses probe or lifecycle hosts \"g\", "
		"\"h\")"},
	/* privilege escalation */
	{R, L, STRICT("\"allowPrivilegeEscalation\":true"), NULL,
		"allowPrivilegeEscalation != false (container \"a\" must set "
		"securityContext.allowPrivilegeEscalation=false)"},
	{R, 7, STRICT("\"allowPrivilegeEscalation\":true"), NULL, NULL},
	/* users */
	{R, L,
		ONE("\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"]},"
		    "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}"),
		NULL,
		"runAsNonRoot != true (pod or container \"a\" must set "
		"securityContext.runAsNonRoot=true)"},
	{R, L, STRICT("\"runAsNonRoot\":false"), NULL,
		"runAsNonRoot != true (container \"a\" must not set "
		"securityContext.runAsNonRoot=false)"},
	{R, L, "\"securityContext\":{\"runAsNonRoot\":false}," STRICT("\"runAsNonRoot\":true"),
		NULL, "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"},
	{R, L, STRICT("\"runAsUser\":1000"), NULL, NULL},
	{R, L, "\"securityContext\":{\"runAsUser\":0}," STRICT("\"runAsUser\":0"), NULL,
		"runAsUser=0 (pod and container \"a\" must not set runAsUser=0)"},
	{R, 22, STRICT("\"runAsUser\":0"), NULL, NULL},
	/* all that is wrong is told, baseline first, by upstream's names of the checks */
	{R, L, "\"hostPID\":true," STRICT("\"privileged\":true,\"runAsUser\":0"), NULL,
		"host namespaces (hostPID=true), privileged (container \"a\" must not set "
		"securityContext.privileged=true), runAsUser=0 (container \"a\" must not set "
		"runAsUser=0)"},
};

static void test_checks(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		const char *reasons = NULL, *details = NULL;
		const char *text = arena_printf(&a, "{\"spec\":{%s},\"annotations\":{%s}}",
			cases[i].spec, cases[i].annotations ? cases[i].annotations : "");
		struct json *doc;
		if (json_parse(&a, text, strlen(text), NULL, &doc, NULL) < 0)
			fail_msg("case %zu is no JSON: %s", i, text);
		struct pod_security_policy p = {
			(enum pod_security_level)cases[i].level, cases[i].minor};
		bool allowed = pod_security_allows(&a, p, json_get(doc, "annotations"),
			json_get(doc, "spec"), &reasons, &details);
		if (allowed != !cases[i].want)
			fail_msg("case %zu, %s: %s", i, text, allowed ? "allowed" : details);
		if (!allowed)
			assert_string_equal(details, cases[i].want);
		arena_finish(&a);
	}
}

static void test_reasons(void **state)
{
	struct arena a = ARENA_INIT;
	static const char text[] =
		"{\"hostPID\":true,\"containers\":[{\"name\":\"a\",\"ports\":[{\"hostPort\":1}]}]}";
	const char *reasons = NULL, *details = NULL;
	struct json *spec;
	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &spec, NULL), 0);
	struct pod_security_policy p = {POD_SECURITY_BASELINE, POD_SECURITY_LATEST};
	assert_false(pod_security_allows(&a, p, NULL, spec, &reasons, &details));
	assert_string_equal(reasons, "host namespaces, hostPort");
	arena_finish(&a);
}

static void test_parse(void **state)
{
	struct arena a = ARENA_INIT;
	enum pod_security_level level;
	int minor;
	assert_int_equal(pod_security_level_parse("restricted", &level), 0);
	assert_int_equal(level, POD_SECURITY_RESTRICTED);
	assert_int_equal(pod_security_level_parse("Restricted", &level), -EINVAL);
	assert_int_equal(pod_security_level_parse("", &level), -EINVAL);
	assert_int_equal(pod_security_version_parse("latest", &minor), 0);
	assert_int_equal(minor, POD_SECURITY_LATEST);
	assert_int_equal(pod_security_version_parse("v1.25", &minor), 0);
	assert_int_equal(minor, 25);
	assert_int_equal(pod_security_version_parse("v1.0", &minor), 0);
	static const char *const bad[] = {
		"1.25", "v1.", "v1.05", "v2.1", "v1.x", "v1.99999999999", ""};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(pod_security_version_parse(bad[i], &minor), -EINVAL);
	assert_string_equal(pod_security_policy_text(
				    &a, (struct pod_security_policy){POD_SECURITY_BASELINE, 25}),
		"baseline:v1.25");
	assert_string_equal(
		pod_security_policy_text(&a,
			(struct pod_security_policy){POD_SECURITY_RESTRICTED, POD_SECURITY_LATEST}),
		"restricted:latest");
	arena_finish(&a);
}

/* A pod of any number of containers is told of by the first of them. */
static void test_many(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct json *spec = json_new_object(&a), *list = json_array_at(&a, spec, "containers");
	for (int i = 0; i < 20000; i++) {
		struct json *c = json_new_object(&a);
		json_set_str(&a, c, "name", arena_printf(&a, "c%d", i));
		struct json *adds = json_array_at(&a,
			json_object_at(
				&a, json_object_at(&a, c, "securityContext"), "capabilities"),
			"add");
		json_push(&a, adds, json_new_printf(&a, "CAP%d", i));
		json_push(&a, list, c);
	}
	const char *reasons, *details;
	size_t before = a.used_bytes;
	assert_false(
		pod_security_allows(&a, (struct pod_security_policy){POD_SECURITY_RESTRICTED, L},
			NULL, spec, &reasons, &details));
	assert_true(a.used_bytes - before < 4u << 20);
	assert_non_null(strstr(details, "\"c98\", \"c99\", ... must"));
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
