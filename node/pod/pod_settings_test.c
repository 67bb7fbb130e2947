/* pod_settings_test.c - what a container is given: resolver, names, security, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/pod/pod_dns.h"
#include "node/pod/pod_names.h"
#include "node/pod/pod_refusal.h"
#include "node/pod/pod_security.h"

static struct arena a;

static int setup(void **state)
{
	arena_init(&a);
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&a);
	return 0;
}

static struct json *parse(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;
	char *copy = arena_strdup(&a, text);

	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	if (json_parse(&a, copy, strlen(copy), NULL, &v, &err) < 0)
		fail_msg("%s: %s", err.msg, copy);
	return v;
}

static struct json *pod_of(const char *spec)
{
	return parse(arena_printf(
		&a, "{'metadata':{'name':'p','namespace':'ns','uid':'u'},'spec':{%s}}", spec));
}

static const char *line(char **items, size_t count)
{
	const char *s = "";

	for (size_t i = 0; i < count; i++)
		s = arena_printf(&a, "%s%s%s", s, i ? " " : "", items[i]);
	return s;
}

static const char *const cluster_dns[] = {"10.96.0.10", NULL};

static void resolver(void **state)
{
	static const char *const file =
		"# a comment\n; another\nnameserver 1.1.1.1 # mine\n\tnameserver\t1.1.1.2\r\n"
		"nameserver\nsearch gone\nsearch a.example. b.example\noptions rotate\n"
		"options ndots:3 timeout:1\nsortlist x\n";
	static const struct {
		const char *spec, *servers, *searches, *options;
	} cases[] = {
		{"'x':1", "10.96.0.10",
			"ns.svc.cluster.local svc.cluster.local cluster.local a.example b.example",
			"ndots:5"},
		{"'hostNetwork':true", "1.1.1.1 1.1.1.2", "a.example b.example",
			"ndots:3 timeout:1"},
		{"'hostNetwork':true,'dnsPolicy':'ClusterFirstWithHostNet'", "10.96.0.10",
			"ns.svc.cluster.local svc.cluster.local cluster.local a.example b.example",
			"ndots:5"},
		{"'dnsPolicy':'Default'", "1.1.1.1 1.1.1.2", "a.example b.example",
			"ndots:3 timeout:1"},
		{"'dnsPolicy':'None','dnsConfig':{'nameservers':['9.9.9.9','9.9.9.9'],"
		 "'searches':['s'],'options':[{'name':'edns0'},{'name':'ndots','value':'1'}]}",
			"9.9.9.9", "s", "edns0 ndots:1"},
		{"'dnsConfig':{'nameservers':['9.9.9.9'],'searches':['cluster.local','own'],"
		 "'options':[{'name':'ndots','value':'2'},{'name':'edns0'}]}",
			"10.96.0.10 9.9.9.9",
			"ns.svc.cluster.local svc.cluster.local cluster.local a.example b.example "
			"own",
			"ndots:2 edns0"},
	};
	struct resolv_conf host;

	resolv_conf_parse(&a, str_from(file), &host);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pod_dns_note notes[POD_DNS_NOTES_MAX];
		size_t count;
		Cri__DNSConfig *c = pod_dns_config(&a,
			&(struct pod_dns_input){
				pod_of(cases[i].spec), &host, true, cluster_dns, "cluster.local"},
			notes, &count);
		assert_string_equal(line(c->servers, c->n_servers), cases[i].servers);
		assert_string_equal(line(c->searches, c->n_searches), cases[i].searches);
		assert_string_equal(line(c->options, c->n_options), cases[i].options);
		assert_int_equal(count, 0);
	}
}

static void resolver_limits(void **state)
{
	static const char *const none[] = {NULL};
	struct pod_dns_note notes[POD_DNS_NOTES_MAX];
	struct resolv_conf host;
	const char *searches = "", *long_one = "";
	size_t count;

	for (int i = 0; i < 26; i++)
		long_one = arena_printf(&a, "%sabcdefghij", long_one);
	for (int i = 0; i < 40; i++)
		searches = arena_printf(&a, "%s s%d.%.60s", searches, i, long_one);
	resolv_conf_parse(&a,
		str_from(arena_printf(&a,
			"nameserver 1\nnameserver 2\nnameserver 3\nnameserver 4\nsearch %s%s\n",
			long_one, searches)),
		&host);
	Cri__DNSConfig *c = pod_dns_config(&a,
		&(struct pod_dns_input){pod_of("'x':1"), &host, true, none, "d"}, notes, &count);
	assert_int_equal(c->n_servers, 3);
	assert_true(strlen(line(c->searches, c->n_searches)) <= DNS_SEARCH_MAX_BYTES);
	assert_int_equal(c->n_searches, 31); /* of 32 one is too long to be used */
	assert_string_equal(c->searches[0], host.searches[1]);
	assert_int_equal(count, 3);
	assert_string_equal(notes[0].reason, "MissingClusterDNS");
	assert_string_equal(notes[1].message,
		"Nameserver limits were exceeded, some nameservers have been omitted, the applied "
		"nameserver line is: 1 2 3");
	assert_string_equal(notes[2].reason, "DNSConfigForming");
	/* A node without a file: no resolver, not the runtime's idea of one. */
	resolv_conf_parse(&a, str_from(""), &host);
	c = pod_dns_config(&a,
		&(struct pod_dns_input){
			pod_of("'dnsPolicy':'Default'"), &host, false, cluster_dns, "d"},
		notes, &count);
	assert_string_equal(line(c->servers, c->n_servers), "127.0.0.1");
}

static void names(void **state)
{
	const char *ips[] = {"10.0.0.1", "fd00::1"}, *name;
	struct err err = ERR_INIT;
	struct json *pod = parse("{'metadata':{'namespace':'ns','name':"
				 "'a23456789-123456789-123456789-123456789-123456789-123456789-1--x"
				 "y'},'spec':{}}");

	assert_string_equal(pod_hostname(&a, pod),
		"a23456789-123456789-123456789-123456789-123456789-123456789-1");
	pod = pod_of("'hostname':'h','subdomain':'s','setHostnameAsFQDN':true");
	assert_int_equal(pod_kernel_hostname(&a, pod, "cluster.local", &name, &err), 0);
	assert_string_equal(name, "h.s.ns.svc.cluster.local");
	assert_non_null(strstr(pod_hosts_file(&a, pod, "d", ips, 2, str_from("")),
		"10.0.0.1\th.s.ns.svc.d\th\nfd00::1\th.s.ns.svc.d\th\n"));
	pod = pod_of("'hostname':'h','subdomain':'a23456789-123456789-123456789-123456789-123',"
		     "'setHostnameAsFQDN':true");
	assert_int_equal(pod_kernel_hostname(&a, pod, "cluster.local", &name, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.msg, "(64 characters is the max, 66 characters requested)"));
	pod = pod_of("'hostNetwork':true,'hostAliases':[{'ip':'1.2.3.4','hostnames':['x','y']}]");
	assert_int_equal(pod_kernel_hostname(&a, pod, "cluster.local", &name, &err), 0);
	assert_string_equal(name, "");
	assert_string_equal(pod_hosts_file(&a, pod, "d", ips, 1, str_from("1.1.1.1 host\n")),
		"# Kubernetes-managed hosts file (host network).\n1.1.1.1 host\n"
		"\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n");
}

static void users(void **state)
{
	static const struct {
		const char *pod, *container;
		int64_t uid;
		const char *name, *why; /* NULL = fine */
	} cases[] = {
		{"", "", 0, NULL, NULL},
		{"'runAsNonRoot':true", "", 0, NULL,
			"container has runAsNonRoot and image will run as root (pod: \"p_ns(u)\", "
			"container: c)"},
		{"'runAsNonRoot':true", "'runAsNonRoot':false", 0, NULL, NULL},
		{"'runAsNonRoot':true", "", 7, NULL, NULL},
		{"'runAsNonRoot':true", "", -1, "www",
			"container has runAsNonRoot and image has non-numeric user (www), cannot "
			"verify user is non-root (pod: \"p_ns(u)\", container: c)"},
		{"'runAsNonRoot':true,'runAsUser':5", "'runAsUser':0", 7, NULL,
			"container's runAsUser breaks non-root policy (pod: \"p_ns(u)\", "
			"container: c)"},
		{"'runAsUser':5", "'runAsNonRoot':true", 0, NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *pod = pod_of(arena_printf(&a,
			"'securityContext':{%s},'containers':[{'name':'c','securityContext':{%s}}]",
			cases[i].pod, cases[i].container));
		struct image_user image = {cases[i].uid, cases[i].name};
		struct err err = ERR_INIT;
		int r = security_check_user(
			pod, json_at(json_path(pod, "spec.containers"), 0), &image, &err);
		assert_int_equal(r < 0, cases[i].why != NULL);
		if (cases[i].why)
			assert_string_equal(err.msg, cases[i].why);
	}
}

static void contexts(void **state)
{
	struct json *pod =
		pod_of("'hostPID':true,'securityContext':{'runAsGroup':7,'fsGroup':8,"
		       "'supplementalGroups':[9],'seLinuxOptions':{'level':'s0:c1'},"
		       "'seccompProfile':{'type':'Localhost','localhostProfile':'p/a.json'},"
		       "'appArmorProfile':{'type':'Localhost','localhostProfile':'mine'}},"
		       "'containers':[{'name':'c','securityContext':{'capabilities':"
		       "{'add':['CAP_NET_RAW','SYS_TIME'],'drop':['ALL']},"
		       "'allowPrivilegeEscalation':false,'procMount':'Unmasked'}},"
		       "{'name':'d','securityContext':{'privileged':true,"
		       "'seccompProfile':{'type':'RuntimeDefault'}}}]");
	struct security_rules rules = {.seccomp_dir = "/nowhere/seccomp"};
	const struct json *list = json_path(pod, "spec.containers");
	struct image_user image = {33, NULL};
	struct err err = ERR_INIT;
	Cri__LinuxContainerSecurityContext *s =
		security_of_container(&a, pod, json_at(list, 0), &image, &rules);

	/* The image's user, so that the group may be set. */
	assert_int_equal(s->run_as_user->value, 33);
	assert_int_equal(s->run_as_group->value, 7);
	assert_int_equal(s->n_supplemental_groups, 2);
	assert_string_equal(
		line(s->capabilities->add_capabilities, s->capabilities->n_add_capabilities),
		"NET_RAW SYS_TIME");
	assert_true(s->no_new_privs);
	assert_int_equal(s->namespace_options->pid, CRI__NAMESPACE_MODE__NODE);
	assert_string_equal(s->seccomp->localhost_ref, "/nowhere/seccomp/p/a.json");
	assert_string_equal(s->apparmor->localhost_ref, "mine");
	assert_string_equal(s->apparmor_profile, "localhost/mine");
	assert_string_equal(s->selinux_options->level, "s0:c1");
	/* Unmasked only for who has users of its own. */
	assert_true(s->n_masked_paths > 0);
	assert_int_equal(security_check_seccomp(pod, json_at(list, 0), &rules, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nowhere/seccomp/p/a.json"));
	s = security_of_container(&a, pod, json_at(list, 1), &image, &rules);
	assert_true(s->privileged);
	assert_int_equal(s->n_masked_paths, 0);
	assert_int_equal(
		s->seccomp->profile_type, CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault);
	assert_true(security_of_sandbox(&a, pod, &rules)->privileged);
	pod = parse("{'metadata':{'annotations':{"
		    "'container.apparmor.security.beta.kubernetes.io/c':'runtime/default'}},"
		    "'spec':{'containers':[{'name':'c'}]}}");
	s = security_of_container(
		&a, pod, json_at(json_path(pod, "spec.containers"), 0), &image, &rules);
	assert_string_equal(s->apparmor_profile, "runtime/default");
	assert_int_equal(s->seccomp->profile_type, CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined);
	/* seccompDefault is for who says nothing, */
	rules.seccomp_default = true;
	s = security_of_container(
		&a, pod, json_at(json_path(pod, "spec.containers"), 0), &image, &rules);
	assert_int_equal(
		s->seccomp->profile_type, CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault);
	/* not for who asks for none. */
	pod = pod_of("'securityContext':{'seccompProfile':{'type':'Unconfined'}},"
		     "'containers':[{'name':'c'}]");
	s = security_of_container(
		&a, pod, json_at(json_path(pod, "spec.containers"), 0), &image, &rules);
	assert_int_equal(s->seccomp->profile_type, CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined);
}

static void refusals(void **state)
{
	static const char *const allowed[] = {"kernel.msg*", "net/core/somaxconn", "vm.*", NULL};
	static const struct {
		const char *spec, *reason, *message; /* NULL = fine */
	} cases[] = {
		{"'x':1", NULL, NULL},
#define S(name) "'securityContext':{'sysctls':[{'name':'" name "','value':'1'}]}"
		{S("net.ipv4.tcp_syncookies"), NULL, NULL},
		{S("net/ipv4/tcp_syncookies"), NULL, NULL},
		{S("kernel.msgmax"), NULL, NULL},
		{S("net.core.somaxconn"), NULL, NULL},
		{S("net.core.somaxconn2"), "SysctlForbidden",
			"forbidden sysctl: \"net.core.somaxconn2\" not allowlisted"},
		{S("vm.swappiness"), "SysctlForbidden",
			"forbidden sysctl: \"vm.swappiness\" not allowlisted"},
		{"'hostNetwork':true," S("net.ipv4.tcp_syncookies"), "SysctlForbidden",
			"forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net "
			"enabled"},
		{"'hostIPC':true," S("kernel.shm_rmid_forced"), "SysctlForbidden",
			"forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host ipc "
			"enabled"},
		{"'containers':[{'name':'c','securityContext':{'appArmorProfile':"
		 "{'type':'RuntimeDefault'}}}]",
			"AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"},
		{"'containers':[{'name':'c','securityContext':{'appArmorProfile':"
		 "{'type':'Unconfined'}}}]",
			NULL, NULL},
		{"'securityContext':{'supplementalGroupsPolicy':'Strict'}",
			"SupplementalGroupsPolicyNotSupported",
			"SupplementalGroupsPolicy=Strict is not supported in this node"},
	};
	struct node_abilities node = {.allowed_sysctls = allowed};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pod_refusal why = {0};
		bool refused = pod_is_refused(&a, pod_of(cases[i].spec), &node, &why);
		if (refused != (cases[i].reason != NULL))
			fail_msg("%s", cases[i].spec);
		if (refused) {
			assert_string_equal(why.reason, cases[i].reason);
			assert_string_equal(why.message, cases[i].message);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(resolver, setup, teardown),
		cmocka_unit_test_setup_teardown(resolver_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(names, setup, teardown),
		cmocka_unit_test_setup_teardown(users, setup, teardown),
		cmocka_unit_test_setup_teardown(contexts, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
	};

	return cmocka_run_group_tests_name("pod_settings", tests, NULL, NULL);
}
