/* Aggregated cluster roles, token secrets and bootstrap tokens. */
#include "lib/base/str.h"
#include "test/sim/sim.h"

#define ROLE(name, labels, rest)                                                                   \
	"{'apiVersion':'rbac.authorization.k8s.io/"                                                \
	"v1','kind':'ClusterRole','metadata':{'name':'" name "','labels':{" labels "}}," rest "}"
#define RULES(resource) "'rules':[{'apiGroups':[''],'resources':['" resource "'],'verbs':['get']}]"
#define GATHERS(label)                                                                             \
	"'aggregationRule':{'clusterRoleSelectors':[{'matchLabels':{'" label "':'true'}}]}"

/* The role's resources, in the order of its rules: "a,b". */
static bool has(struct sim *s, const char *role, const char *wanted)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = fake_api_get(s->api, "ClusterRole", "", role);
	const char *text = "";
	JSON_FOR_EACH_ITEM(rule, json_get(o ? object_doc(o, &a) : NULL, "rules"))
		text = arena_printf(&a, "%s%s%s", text, *text ? "," : "",
			json_str(json_at(json_get(rule, "resources"), 0)));
	return o && streq(text, wanted);
}

static bool chained(struct sim *s)
{
	return has(s, "view", "pods,services") && has(s, "admin", "pods,services,secrets");
}

static bool shrunk(struct sim *s)
{
	return has(s, "view", "endpoints") && has(s, "admin", "endpoints,secrets");
}

static bool emptied(struct sim *s)
{
	return has(s, "view", "") && has(s, "admin", "secrets") && has(s, "plain", "nodes");
}

static void test_aggregation(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "clusterrole-aggregation", false);
		sim_faults(&s, true);
		fake_api_create_text(s.api, "%s", ROLE("admin", "", GATHERS("to-admin")));
		fake_api_create_text(
			s.api, "%s", ROLE("view", "'to-admin':'true'", GATHERS("to-view")));
		fake_api_create_text(s.api, "%s", ROLE("a", "'to-view':'true'", RULES("pods")));
		fake_api_create_text(s.api, "%s", ROLE("b", "'to-view':'true'", RULES("services")));
		fake_api_create_text(s.api, "%s", ROLE("c", "'to-view':'true'", RULES("pods")));
		fake_api_create_text(s.api, "%s", ROLE("z", "'to-admin':'true'", RULES("secrets")));
		fake_api_create_text(s.api, "%s", ROLE("plain", "'to-x':'true'", RULES("nodes")));
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, chained, 300000);
		sim_faults(&s, true);
		fake_api_delete(s.api, "ClusterRole", "", "a", -1, NULL);
		fake_api_patch_text(s.api, "ClusterRole", "", "b",
			"{'rules':[{'apiGroups':[''],'resources':['endpoints'],'verbs':['get']}]}");
		fake_api_patch_text(
			s.api, "ClusterRole", "", "c", "{'metadata':{'labels':{'to-view':null}}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, shrunk, 300000);
		fake_api_delete(s.api, "ClusterRole", "", "b", -1, NULL);
		sim_until(&s, emptied, 300000);
		/* Nothing more is written once all is as it should be. */
		size_t writes = fake_api_write_count(s.api);
		sim_run_ms(&s, 60000);
		assert_int_equal(fake_api_write_count(s.api), writes);
		sim_end(&s);
	}
}

static void add_secret(struct sim *s, const char *name, const char *account, const char *uid)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Secret','metadata':{'name':'%s','namespace':'default',"
		"'annotations':{'kubernetes.io/service-account.name':'%s',"
		"'kubernetes.io/service-account.uid':'%s'}},"
		"'type':'kubernetes.io/service-account-token'}",
		name, account, uid);
}

static const char *add_account(struct sim *s, const char *name)
{
	return fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'ServiceAccount','metadata':{'name':'%s','namespace':"
		"'default'}}",
		name)
		->uid;
}

static bool there(struct sim *s, const char *secret)
{
	return fake_api_get(s->api, "Secret", "default", secret) != NULL;
}

static bool only_good_ones(struct sim *s)
{
	return there(s, "good") && there(s, "opaque") && !there(s, "orphan") && !there(s, "older");
}

static bool only_opaque(struct sim *s)
{
	return there(s, "opaque") && !there(s, "good");
}

static void test_token_secrets(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "serviceaccount-token", false);
		char uid[64];
		snprintf(uid, sizeof(uid), "%s", add_account(&s, "robot"));
		sim_run_ms(&s, 1000);
		sim_faults(&s, true);
		add_secret(&s, "good", "robot", uid);
		add_secret(&s, "older", "robot", "another-uid");
		add_secret(&s, "orphan", "nobody", "");
		fake_api_create_text(s.api, "{'apiVersion':'v1','kind':'Secret','metadata':{'name':"
					    "'opaque','namespace':'default'},'type':'Opaque'}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, only_good_ones, 300000);
		sim_holds(&s, only_good_ones, 30000);
		sim_faults(&s, true);
		fake_api_delete(s.api, "ServiceAccount", "default", "robot", -1, NULL);
		(void)add_account(&s, "robot"); /* another one of the name */
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, only_opaque, 300000);
		sim_end(&s);
	}
}

static bool boot_there(struct sim *s)
{
	return fake_api_get(s->api, "Secret", "kube-system", "bootstrap-token-aaaaaa") &&
	       fake_api_get(s->api, "Secret", "kube-system", "bootstrap-token-bbbbbb");
}

static bool boot_ended(struct sim *s)
{
	return !fake_api_get(s->api, "Secret", "kube-system", "bootstrap-token-aaaaaa") &&
	       fake_api_get(s->api, "Secret", "kube-system", "bootstrap-token-bbbbbb");
}

static void test_bootstrap_tokens(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "tokencleaner", false);
	char time[TIME_RFC3339_ROOM];
	struct arena a = ARENA_INIT;
	int64_t now_ns = s.clock.clock.wall_ns(&s.clock.clock);
	time_format_rfc3339(now_ns + 7200 * NS_PER_S, time);
	fake_api_create_text(
		s.api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'kube-system'}}");
	fake_api_create_text(s.api,
		"{'apiVersion':'v1','kind':'Secret','metadata':{'name':'bootstrap-token-aaaaaa',"
		"'namespace':'kube-system'},'type':'bootstrap.kubernetes.io/token',"
		"'data':{'expiration':'%s'}}",
		base64_encode(&a, time, strlen(time)));
	fake_api_create_text(s.api,
		"{'apiVersion':'v1','kind':'Secret','metadata':{'name':'bootstrap-token-bbbbbb',"
		"'namespace':'kube-system'},'type':'bootstrap.kubernetes.io/token'}");
	sim_run_ms(&s, 1000);
	assert_true(boot_there(&s));
	sim_run_ms(&s, 7190000);
	assert_true(boot_there(&s));
	sim_until(&s, boot_ended, 30000);
	arena_finish(&a);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aggregation),
		cmocka_unit_test(test_token_secrets),
		cmocka_unit_test(test_bootstrap_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
