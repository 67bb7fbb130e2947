#include "server/scheduler/core_test_util.h"

#define CPU_2 "'resources':{'requests':{'cpu':'2'}}"

static void try_case(struct cluster *c, const char *spec, const char *container, const char *want)
{
	struct workload *w = cluster_pod(c, "p", "'app':'p'", spec, container);
	assert_string_equal(cluster_try(c, w), want);
	workload_unref(w);
}

#define SELECT(term)                                                                               \
	"'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{"           \
	"'nodeSelectorTerms':[" term "]}}},"
#define NO_MATCH "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."

static void test_labels_and_names(void **state)
{
	static const struct {
		const char *spec, *want;
	} cases[] = {
		{"'nodeSelector':{'disk':'ssd'},", "n1"},
		{"'nodeSelector':{'disk':'tape'},", NO_MATCH},
		{"'nodeSelector':{'disk':'ssd','n':'7'},", NO_MATCH},
		{"'nodeName':'n2',", "n2"},
		{"'nodeName':'n3',",
			"0/2 nodes are available: 2 node(s) didn't match the requested node name."},
		{SELECT("{'matchExpressions':[{'key':'disk','operator':'NotIn','values':['ssd']}]"
			"}"),
			"n2"},
		{SELECT("{'matchExpressions':[{'key':'disk','operator':'In','values':['a','ssd']}]"
			"}"),
			"n1"},
		{SELECT("{'matchExpressions':[{'key':'n','operator':'Exists'}]}"), "n2"},
		{SELECT("{'matchExpressions':[{'key':'n','operator':'DoesNotExist'}]}"), "n1"},
		{SELECT("{'matchExpressions':[{'key':'n','operator':'Gt','values':['6']}]}"), "n2"},
		{SELECT("{'matchExpressions':[{'key':'n','operator':'Lt','values':['7']}]}"),
			NO_MATCH},
		{SELECT("{'matchExpressions':[{'key':'n','operator':'Lt','values':['7']}]},"
			"{'matchExpressions':[{'key':'disk','operator':'Exists'}]}"),
			"n1"},
		{SELECT("{}"), NO_MATCH},
		{SELECT("{'matchFields':[{'key':'metadata.name','operator':'In','values':['n2']}]"
			"}"),
			"n2"},
		{SELECT("{'matchFields':[{'key':'metadata.name','operator':'NotIn','values':['n2']}"
			"]}"),
			"n1"},
	};
	struct cluster c;
	cluster_begin(&c);
	cluster_node(&c, "n1", "'disk':'ssd'", "", "'cpu':'4','memory':'4Gi'");
	cluster_node(&c, "n2", "'n':'7'", "", "'cpu':'4','memory':'4Gi'");
	for (size_t n = 0; n < ARRAY_LEN(cases); n++)
		try_case(&c, cases[n].spec, "", cases[n].want);
	cluster_end(&c);
}

static void test_taints(void **state)
{
	static const struct {
		const char *spec, *want;
	} cases[] = {
		{"", "0/3 nodes are available: 1 node(s) had untolerated taint {only: vms}, 1 "
		     "node(s) had untolerated taint {out: }, 1 node(s) were unschedulable."},
		{"'tolerations':[{'key':'only','operator':'Equal','value':'vms'}],", "n1"},
		{"'tolerations':[{'key':'only','operator':'Equal','value':'pods'}],",
			"0/3 nodes are available: 1 node(s) had untolerated taint {only: vms}, 1 "
			"node(s) had untolerated taint {out: }, 1 node(s) were unschedulable."},
		{"'tolerations':[{'key':'only','operator':'Exists','effect':'NoExecute'}],",
			"0/3 nodes are available: 1 node(s) had untolerated taint {only: vms}, 1 "
			"node(s) had untolerated taint {out: }, 1 node(s) were unschedulable."},
		{"'tolerations':[{'key':'out','operator':'Exists'}],", "n2"},
		{"'tolerations':[{'key':'node.kubernetes.io/unschedulable','operator':'Exists'}],",
			"n3"},
	};
	struct cluster c;
	cluster_begin(&c);
	cluster_node(&c, "n1", "",
		"'taints':[{'key':'only','value':'vms','effect':'NoSchedule'},{'key':'a','effect':"
		"'PreferNoSchedule'}]",
		"'cpu':'4'");
	cluster_node(&c, "n2", "", "'taints':[{'key':'out','effect':'NoExecute'}]", "'cpu':'4'");
	cluster_node(&c, "n3", "", "'unschedulable':true", "'cpu':'4'");
	for (size_t n = 0; n < ARRAY_LEN(cases); n++)
		try_case(&c, cases[n].spec, "", cases[n].want);
	cluster_end(&c);
}

static void test_resources(void **state)
{
	static const struct {
		const char *spec, *container, *want;
	} cases[] = {
		{"", "'resources':{'requests':{'cpu':'3','memory':'1Gi'}}", "n1"},
		{"", "'resources':{'requests':{'cpu':'3001m'}}",
			"0/1 nodes are available: 1 Insufficient cpu."},
		{"",
			"'resources':{'requests':{'cpu':'5','memory':'5Gi','ephemeral-storage':'"
			"2Gi'}}",
			"0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient "
			"ephemeral-storage, 1 Insufficient memory."},
		{"", "'resources':{'limits':{'cpu':'4'}}",
			"0/1 nodes are available: 1 Insufficient cpu."},
		{"", "'resources':{'requests':{'example.com/gpu':'1'}}", "n1"},
		{"", "'resources':{'requests':{'example.com/gpu':'2'}}",
			"0/1 nodes are available: 1 Insufficient example.com/gpu."},
		{"", "'resources':{'requests':{'hugepages-2Mi':'4Mi'}}",
			"0/1 nodes are available: 1 Insufficient hugepages-2Mi."},
		{"'overhead':{'cpu':'1500m'},", CPU_2,
			"0/1 nodes are available: 1 Insufficient cpu."},
		/* Init containers run one after the other, sidecars beside all that comes later. */
		{"'initContainers':[{'name':'a'," CPU_2 "},{'name':'b'," CPU_2 "}],", CPU_2, "n1"},
		{"'initContainers':[{'name':'a','restartPolicy':'Always'," CPU_2 "}],", CPU_2,
			"0/1 nodes are available: 1 Insufficient cpu."},
		{"'initContainers':[{'name':'a','restartPolicy':'Always'," CPU_2
		 "},{'name':'b'," CPU_2 "}],",
			"", "0/1 nodes are available: 1 Insufficient cpu."},
		{"'initContainers':[{'name':'b'," CPU_2 "},{'name':'a','restartPolicy':'Always',"
		 "'resources':{'requests':{'cpu':'1'}}}],",
			CPU_2, "n1"},
		{"'resources':{'requests':{'cpu':'4'}},", "",
			"0/1 nodes are available: 1 Insufficient cpu."},
		{"'resources':{'requests':{'cpu':'1'}},", "'resources':{'requests':{'cpu':'500m'}}",
			"n1"},
	};
	struct cluster c;
	cluster_begin(&c);
	cluster_node(&c, "n1", "", "",
		"'cpu':'4','memory':'4Gi','ephemeral-storage':'1Gi','example.com/gpu':'2','"
		"hugepages-2Mi':'2Mi'");
	cluster_put(&c, "there", "", "",
		"'resources':{'requests':{'cpu':'1','example.com/gpu':'1'}}", "n1");
	for (size_t n = 0; n < ARRAY_LEN(cases); n++)
		try_case(&c, cases[n].spec, cases[n].container, cases[n].want);
	cluster_node(&c, "n1", "", "", "'cpu':'4','pods':'1'");
	try_case(&c, "", "", "0/1 nodes are available: 1 Too many pods.");
	core_unassign(&c.core, "there");
	try_case(&c, "", "", "n1");
	snapshot_node_remove(&c.core.snapshot, "n1");
	try_case(&c, "", "", "no nodes available to schedule pods");
	cluster_end(&c);
}

/* The guest has all of its memory in these, also where the machine asks for less. */
static void test_huge_pages_of_machines(void **state)
{
	static const char text[] =
		"{'metadata':{'name':'vm','namespace':'default','uid':'vm'},'spec':{'domain':{"
		"'memory':{'guest':'768Mi','hugepages':{'pageSize':'2Mi'}},"
		"'resources':{'requests':{'memory':'512Mi'}}}}}";
	struct cluster c;
	cluster_begin(&c);
	struct object *o = cluster_object(
		&c, "kubevirt.io", "v1", "VirtualMachineInstance", arena_strdup(&c.arena, text));
	struct workload *w = workload_create(o);
	cluster_node(&c, "n1", "", "", "'cpu':'4','memory':'4Gi','hugepages-2Mi':'600Mi'");
	assert_string_equal(
		cluster_try(&c, w), "0/1 nodes are available: 1 Insufficient hugepages-2Mi.");
	cluster_node(&c, "n1", "", "", "'cpu':'4','memory':'4Gi','hugepages-2Mi':'768Mi'");
	assert_string_equal(cluster_try(&c, w), "n1");
	workload_unref(w);
	object_unref(o);
	cluster_end(&c);
}

#define PORT(ip, protocol, port)                                                                   \
	"'ports':[{'containerPort':1,'hostPort':" port ",'hostIP':'" ip "','protocol':'" protocol  \
	"'}]"

static void test_ports(void **state)
{
	static const char taken[] = "0/1 nodes are available: 1 node(s) didn't have free ports for "
				    "the requested pod ports.";
	static const struct {
		const char *container, *want;
	} cases[] = {
		{PORT("10.0.0.1", "TCP", "80"), taken},
		{PORT("10.0.0.2", "TCP", "80"), "n1"},
		{PORT("0.0.0.0", "TCP", "80"), taken},
		{PORT("", "TCP", "80"), taken},
		{PORT("", "UDP", "80"), "n1"},
		{PORT("", "TCP", "81"), "n1"},
		{"", "n1"},
	};
	struct cluster c;
	cluster_begin(&c);
	cluster_node(&c, "n1", "", "", "'cpu':'4'");
	cluster_put(&c, "there", "", "", PORT("10.0.0.1", "TCP", "80"), "n1");
	for (size_t n = 0; n < ARRAY_LEN(cases); n++)
		try_case(&c, "", cases[n].container, cases[n].want);
	cluster_end(&c);
}

/* Nodes a and b in zone 1, c in zone 2. */
static void three_nodes(struct cluster *c)
{
	cluster_begin(c);
	cluster_node(c, "a", "'zone':'1','host':'a'", "", "'cpu':'8'");
	cluster_node(c, "b", "'zone':'1','host':'b'", "", "'cpu':'8'");
	cluster_node(c, "c", "'zone':'2','host':'c'", "", "'cpu':'8'");
}

#define POD_TERM(kind, key, labels, more)                                                          \
	"'affinity':{'" kind "':{'requiredDuringSchedulingIgnoredDuringExecution':[{"              \
	"'topologyKey':'" key "','labelSelector':{'matchLabels':{" labels "}}" more "}]}},"
#define REFUSED(text) "0/3 nodes are available: " text

static void test_pod_affinity(void **state)
{
	struct cluster c;
	three_nodes(&c);
	/* Nobody is there to be with: only who would be with itself may begin. */
	try_case(&c, POD_TERM("podAffinity", "zone", "'app':'db'", ""), "",
		REFUSED("3 node(s) didn't match pod affinity rules."));
	cluster_put(&c, "db", "'app':'db'", "", "", "c");
	try_case(&c, POD_TERM("podAffinity", "zone", "'app':'db'", ""), "", "c");
	try_case(&c, POD_TERM("podAffinity", "zone", "'app':'db'", ",'namespaces':['other']"), "",
		REFUSED("3 node(s) didn't match pod affinity rules."));
	try_case(&c, POD_TERM("podAffinity", "zone", "'app':'db'", ",'namespaceSelector':{}"), "",
		"c");
	try_case(&c,
		POD_TERM("podAffinity", "zone", "'app':'db'",
			",'namespaceSelector':{'matchLabels':{'team':'x'}}"),
		"", REFUSED("3 node(s) didn't match pod affinity rules."));
	snapshot_namespace_set(
		&c.core.snapshot, "default", &(struct object_label){"team", "x"}, 1, true);
	try_case(&c,
		POD_TERM("podAffinity", "zone", "'app':'db'",
			",'namespaceSelector':{'matchLabels':{'team':'x'}}"),
		"", "c");
	try_case(&c, POD_TERM("podAffinity", "rack", "'app':'db'", ""), "",
		REFUSED("3 node(s) didn't match pod affinity rules."));
	/* The other way round. */
	cluster_put(&c, "web", "'app':'web'", "", "", "a");
	try_case(&c, POD_TERM("podAntiAffinity", "zone", "'app':'web'", ""), "", "c");
	cluster_put(&c, "web2", "'app':'web'", "", "", "c");
	try_case(&c, POD_TERM("podAntiAffinity", "host", "'app':'web'", ""), "", "b");
	try_case(&c, POD_TERM("podAntiAffinity", "zone", "'app':'web'", ""), "",
		REFUSED("3 node(s) didn't match pod anti-affinity rules."));
	/* What others want counts as well. */
	cluster_put(&c, "loner", "'app':'loner'",
		POD_TERM("podAntiAffinity", "zone", "'app':'p'", ""), "", "b");
	try_case(&c, "", "", "c");
	cluster_put(&c, "loner2", "'app':'loner'",
		POD_TERM("podAntiAffinity", "zone", "'app':'p'", ""), "", "c");
	try_case(
		&c, "", "", REFUSED("3 node(s) didn't satisfy existing pods anti-affinity rules."));
	core_unassign(&c.core, "loner");
	core_unassign(&c.core, "loner2");
	try_case(&c, POD_TERM("podAntiAffinity", "host", "'app':'p'", ""), "", "b");
	cluster_end(&c);
}

#define SPREAD(key, more)                                                                          \
	"'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'" key                            \
	"','whenUnsatisfiable':'DoNotSchedule','labelSelector':{'matchLabels':{'app':'p'}}" more   \
	"}],"

static void test_spread(void **state)
{
	struct cluster c;
	three_nodes(&c);
	cluster_put(&c, "p1", "'app':'p'", "", "", "a");
	try_case(&c, SPREAD("zone", ""), "", "c");
	cluster_put(&c, "p2", "'app':'p'", "", "", "c");
	cluster_put(&c, "p3", "'app':'p'", "", "", "c");
	cluster_node(&c, "b", "'zone':'1','host':'b'", "'unschedulable':true", "'cpu':'8'");
	try_case(&c, SPREAD("zone", ""), "", "a");
	/* The least of all nodes is b's none, to which it can't go. */
	try_case(&c, SPREAD("host", ""), "",
		REFUSED("1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread "
			"constraints."));
	try_case(&c, "'nodeSelector':{'host':'c'}," SPREAD("host", ""), "", "c");
	try_case(&c,
		"'nodeSelector':{'host':'c'}," SPREAD("host", ",'nodeAffinityPolicy':'Ignore'"), "",
		REFUSED("1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't "
			"match "
			"pod topology spread constraints, 1 node(s) were unschedulable."));
	try_case(&c, SPREAD("rack", ""), "",
		REFUSED("1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread "
			"constraints (missing required label)."));
	/* With fewer domains than are wanted, none may have more than maxSkew. */
	try_case(&c, SPREAD("zone", ",'minDomains':3"), "",
		REFUSED("1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread "
			"constraints."));
	/* A tainted node is no reason to wait when taints are honoured. */
	cluster_node(&c, "b", "'zone':'1','host':'b'",
		"'taints':[{'key':'t','effect':'NoSchedule'}]", "'cpu':'8'");
	try_case(&c, SPREAD("host", ",'nodeTaintsPolicy':'Honor'"), "", "a");
	/* Pods of an earlier template do not count. */
	cluster_put(&c, "old", "'app':'p','hash':'1'", "", "", "a");
	struct workload *w = cluster_pod(&c, "p", "'app':'p','hash':'2'",
		SPREAD("host", ",'matchLabelKeys':['hash'],'nodeTaintsPolicy':'Honor'"), "");
	assert_string_not_equal(cluster_try(&c, w), "b");
	assert_true(strlen(cluster_try(&c, w)) == 1);
	workload_unref(w);
	cluster_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels_and_names),
		cmocka_unit_test(test_taints),
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_huge_pages_of_machines),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_pod_affinity),
		cmocka_unit_test(test_spread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
