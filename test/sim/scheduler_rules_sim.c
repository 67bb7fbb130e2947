/* scheduler_rules_sim.c - rules that must hold after every change, whatever is lost, repeated or
 * overtaken on the way: no more than a node has, one workload a host port, nobody beside whom it
 * must not be, a volume for one claim. Pods come and go, nodes too. */
#include "test/sim/sim.h"

#define NODES 4
#define PODS 36

struct placed {
	char node[16], zone[8], app[8];
	int cpu, port, anti; /* anti: 0 none, 1 on the node, 2 in the zone */
};

struct rules {
	struct sim s;
	struct random random;
	int next;
};

static int below(struct rules *r, unsigned limit)
{
	return (int)random_below(&r->random, limit);
}

static void read_placed(struct sim *s, const struct object *o, struct placed *p)
{
	const char *node = object_field(o, "spec.nodeName");
	*p = (struct placed){0};
	snprintf(p->node, sizeof(p->node), "%s", node);
	snprintf(p->app, sizeof(p->app), "%s", object_label(o, "app"));
	p->cpu = atoi(object_label(o, "cpu"));
	p->port = atoi(object_label(o, "port"));
	p->anti = atoi(object_label(o, "anti"));
	snprintf(p->zone, sizeof(p->zone), "%c", (p->node[1] - '0') % 2 + '0');
}

static bool ended(const struct object *o)
{
	const char *phase = object_field(o, "status.phase");
	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static bool minds(const struct placed *a, const struct placed *b)
{
	return a->anti && streq(a->app, b->app) &&
	       (a->anti == 1 ? streq(a->node, b->node) : streq(a->zone, b->zone));
}

static void check_rules(void *user, const struct object *old, const struct object *new)
{
	struct rules *r = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	if (!new || !streq(new->kind->kind, "Pod"))
		return;
	struct placed placed[PODS];
	size_t count = 0, many = fake_api_list(r->s.api, "Pod", NULL, &a, &all);
	int cpu[10] = {0};
	for (size_t n = 0; n < many; n++) {
		const char *node = object_field(all[n], "spec.nodeName");
		if (!node || !node[0] || ended(all[n]) || count == PODS)
			continue;
		read_placed(&r->s, all[n], &placed[count]);
		int *used = &cpu[placed[count].node[1] - '0'];
		*used += placed[count++].cpu;
		assert_true(*used <= 4);
	}
	for (size_t n = 0; n < count; n++)
		for (size_t m = 0; m < count; m++) {
			const struct placed *x = &placed[n], *y = &placed[m];
			if (n == m)
				continue;
			assert_false(x->port && x->port == y->port && streq(x->node, y->node));
			assert_false(minds(x, y));
		}
}

static void make_pod(struct rules *r)
{
	char ports[80] = "", affinity[300] = "";
	int cpu = below(r, 3), port = below(r, 3) ? 0 : 80 + below(r, 2), app = below(r, 4);
	int anti = below(r, 2) ? 0 : 1 + below(r, 2);
	if (port)
		snprintf(
			ports, sizeof(ports), ",'ports':[{'containerPort':1,'hostPort':%d}]", port);
	if (anti)
		snprintf(affinity, sizeof(affinity),
			"'affinity':{'podAntiAffinity':{"
			"'requiredDuringSchedulingIgnoredDuringExecution':[{'topologyKey':'%s','"
			"labelSelector':{'matchLabels':{'app':'a%d'}}}]}},",
			anti == 1 ? "host" : "zone", app);
	fake_api_create_text(r->s.api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p%d','labels':{'app':'a%d',"
		"'cpu':'%d','port':'%d','anti':'%d'}},'spec':{%s'priority':%d,"
		"'terminationGracePeriodSeconds':1,'containers':[{'name':'c','image':'i','"
		"resources'"
		":{'requests':{'cpu':'%d'}}%s}]}}",
		r->next++, app, cpu, port, anti, affinity, below(r, 4) ? 0 : 10, cpu, ports);
}

static void delete_one(struct rules *r)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(r->s.api, "Pod", NULL, &a, &all);
	if (count)
		fake_api_delete(r->s.api, "Pod", "default",
			all[random_below(&r->random, count)]->name, -1, NULL);
}

static void test_rules(void **state)
{
	sim_for_seeds(seed)
	{
		struct rules r = {.random = random_seeded(seed)};
		char name[8];
		sim_begin(&r.s, seed, "-*", true);
		sim_faults(&r.s, true);
		for (int n = 0; n < NODES; n++) {
			snprintf(name, sizeof(name), "n%d", n);
			fake_node_add(r.s.nodes, name, "4", "64Gi", 110);
			fake_api_patch_text(r.s.api, "Node", "", name,
				"{'metadata':{'labels':{'host':'%s','zone':'%d'}}}", name, n % 2);
		}
		fake_api_on_change(r.s.api, check_rules, &r);
		for (int step = 0; step < 150; step++) {
			if (sim_count(&r.s, "Pod") < PODS && below(&r, 3))
				make_pod(&r);
			else
				delete_one(&r);
			sim_run_ms(&r.s, below(&r, 1500));
		}
		/* What fits is placed in the end: a pod that wants nothing but a place. */
		sim_faults(&r.s, false);
		fake_api_create_text(r.s.api,
			"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'last','labels':{'app':"
			"'last','cpu':'0','port':'0','anti':'0'}},'spec':{'containers':[{'name':'c'"
			","
			"'image':'i'}]}}");
		sim_run_ms(&r.s, 30000);
		assert_false(sim_text_is(&r.s, "Pod", "last", "spec.nodeName", NULL));
		sim_end(&r.s);
	}
}

static bool asked_for_volume(struct sim *s)
{
	return sim_text_is(s, "PersistentVolume", "disk", "spec.claimRef.name", "data");
}

static bool asked_for_node(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *notes =
		json_path(sim_doc(s, &a, "PersistentVolumeClaim", "made"), "metadata.annotations");
	return streq(json_str(json_get(notes, "volume.kubernetes.io/selected-node")), "n0");
}

static bool both_run(struct sim *s)
{
	return sim_text_is(s, "Pod", "with-data", "spec.nodeName", "n1") &&
	       sim_text_is(s, "Pod", "with-made", "spec.nodeName", "n0");
}

static void make_claim(struct sim *s, const char *name, const char *class)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':'%s'},'spec':"
		"{'accessModes':['ReadWriteOnce'],'storageClassName':'%s','resources':{'requests':{"
		"'storage':'1Gi'}}}}",
		name, class);
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'with-%s'},'spec':{%s"
		"'containers':[{'name':'c','image':'i'}],'volumes':[{'name':'v',"
		"'persistentVolumeClaim':{'claimName':'%s'}}]}}",
		name, streq(name, "made") ? "'nodeSelector':{'host':'n0'}," : "", name);
}

static void bind_claim(struct sim *s, const char *name, const char *volume)
{
	fake_api_patch_text(s->api, "PersistentVolumeClaim", "default", name,
		"{'metadata':{'annotations':{'pv.kubernetes.io/bind-completed':'yes'}},'spec':{"
		"'volumeName':'%s'},'status':{'phase':'Bound'}}",
		volume);
}

/* One claim gets a volume that is there, one has its volume made where the pod goes. */
static void test_volumes(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "-*", true);
		for (int n = 0; n < 2; n++) {
			char name[8];
			snprintf(name, sizeof(name), "n%d", n);
			fake_node_add(s.nodes, name, "4", "4Gi", 110);
			fake_api_patch_text(s.api, "Node", "", name,
				"{'metadata':{'labels':{'host':'%s'}}}", name);
		}
		fake_api_create_text(s.api,
			"{'apiVersion':'storage.k8s.io/"
			"v1','kind':'StorageClass','metadata':{'name':"
			"'local'},'provisioner':'kubernetes.io/no-provisioner','volumeBindingMode':"
			"'WaitForFirstConsumer'}");
		fake_api_create_text(s.api,
			"{'apiVersion':'storage.k8s.io/"
			"v1','kind':'StorageClass','metadata':{'name':"
			"'made'},'provisioner':'example.com/x','volumeBindingMode':"
			"'WaitForFirstConsumer'}");
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'disk'},"
			"'spec':{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce'],"
			"'storageClassName':'local','local':{'path':'/"
			"x'},'nodeAffinity':{'required'"
			":{'nodeSelectorTerms':[{'matchExpressions':[{'key':'host','operator':'In',"
			"'values':['n1']}]}]}}}}");
		sim_faults(&s, true);
		make_claim(&s, "data", "local");
		make_claim(&s, "made", "made");
		sim_until(&s, asked_for_volume, 60000);
		sim_until(&s, asked_for_node, 60000);
		sim_run_ms(&s, 5000);
		assert_true(sim_text_is(&s, "Pod", "with-data", "spec.nodeName", NULL));
		bind_claim(&s, "data", "disk");
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'new'},"
			"'spec':{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce'],"
			"'storageClassName':'made','hostPath':{'path':'/y'}}}");
		bind_claim(&s, "made", "new");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, both_run, 400000);
		sim_end(&s);
	}
}

static bool both_asked(struct sim *s)
{
	for (int n = 0; n < 2; n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct json *notes =
			json_path(sim_doc(s, &a, "PersistentVolumeClaim", n ? "b" : "a"),
				"metadata.annotations");
		if (!json_get(notes, "volume.kubernetes.io/selected-node"))
			return false;
	}
	return true;
}

/* Claims show the choice of the node one after the other: nothing failed. */
static void test_two_claims(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "-*", true);
		fake_node_add(s.nodes, "n0", "4", "4Gi", 110);
		fake_api_create_text(s.api,
			"{'apiVersion':'storage.k8s.io/"
			"v1','kind':'StorageClass','metadata':{'name':"
			"'made'},'provisioner':'example.com/x','volumeBindingMode':"
			"'WaitForFirstConsumer'}");
		for (int n = 0; n < 2; n++)
			fake_api_create_text(s.api,
				"{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'"
				"name':'%s'}"
				",'spec':{'accessModes':['ReadWriteOnce'],'storageClassName':'made'"
				","
				"'resources':{'requests':{'storage':'1Gi'}}}}",
				n ? "b" : "a");
		sim_run_ms(&s, 2000);
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'"
			"containers':["
			"{'name':'c','image':'i'}],'volumes':[{'name':'v','persistentVolumeClaim':{"
			"'claimName':'a'}},{'name':'w','persistentVolumeClaim':{'claimName':'b'}}]}"
			"}");
		sim_until(&s, both_asked, 60000);
		sim_run_ms(&s, 5000);
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct object **all;
		size_t count = fake_api_list(s.api, "Event", NULL, &a, &all);
		for (size_t i = 0; i < count; i++)
			assert_string_not_equal(json_path_str(object_doc(all[i], &a), "reason"),
				"FailedScheduling");
		assert_true(sim_text_is(&s, "Pod", "p", "spec.nodeName", NULL));
		sim_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_volumes),
		cmocka_unit_test(test_two_claims),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
