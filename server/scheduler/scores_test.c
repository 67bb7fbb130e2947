/* scores_test.c - what each score adds up to, by hand; and whom preemption sends away. */
#include "server/scheduler/core_test_util.h"
#include "server/scheduler/preemption.h"

/* The scores of the nodes a, b, c for a pod. */
static void scores_of(struct cluster *c, struct workload *w, int64_t ret[3])
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pass p;
	uint32_t slots[3];
	static const char *const names[] = {"a", "b", "c"};
	pass_begin(&p, &c->core.snapshot, &c->core.volumes, w, &a);
	for (size_t n = 0; n < 3; n++) {
		const struct node_info *i = table_get(&c->core.snapshot.by_name, names[n]);
		slots[n] = i->slot;
	}
	pass_scores(&p, slots, 3, ret);
}

static void check_scores(
	struct cluster *c, const char *spec, const char *container, int64_t a, int64_t b, int64_t d)
{
	int64_t scores[3];
	struct workload *w = cluster_pod(c, "p", "'app':'p'", spec, container);
	scores_of(c, w, scores);
	assert_int_equal(scores[0], a);
	assert_int_equal(scores[1], b);
	assert_int_equal(scores[2], d);
	workload_unref(w);
}

#define ASKS "'resources':{'requests':{'cpu':'1','memory':'1Gi'}}"

static void begin(struct cluster *c, const char *spec_of_b)
{
	cluster_begin(c);
	cluster_node(c, "a", "'zone':'1','host':'a'", "", "'cpu':'4','memory':'4Gi'");
	cluster_node(c, "b", "'zone':'1','host':'b'", spec_of_b, "'cpu':'4','memory':'4Gi'");
	cluster_node(c, "c", "'zone':'2','host':'c'", "", "'cpu':'4','memory':'8Gi'");
}

/* a and b: a quarter of both is used then: 75 of 100 are left, and the balance is perfect. c: 75
 * and 87 are left; shares of 0.25 and 0.125 are 0.0625 from their middle. */
#define PLAIN_A 175
#define PLAIN_C (81 + 93)

static void test_resources(void **state)
{
	struct cluster c;
	begin(&c, "");
	check_scores(&c, "", ASKS, PLAIN_A, PLAIN_A, PLAIN_C);
	cluster_put(&c, "q", "", "", "'resources':{'requests':{'cpu':'2'}}", "a");
	/* CPU 3 of 4: 25 left. Memory 1 GiB and the stand-in of 200 MiB: 70 left. Shares of 0.75
	 * and 0.25 are a quarter from their middle. */
	check_scores(&c, "", ASKS, (25 + 70) / 2 + 75, PLAIN_A, PLAIN_C);
	cluster_end(&c);
}

static void test_wishes(void **state)
{
	struct cluster c;
	begin(&c, "'taints':[{'key':'t','effect':'PreferNoSchedule'}]");
	check_scores(&c, "", ASKS, PLAIN_A + 300, PLAIN_A, PLAIN_C + 300);
	check_scores(&c, "'tolerations':[{'key':'t','operator':'Exists'}],", ASKS, PLAIN_A, PLAIN_A,
		PLAIN_C);
	check_scores(&c,
		"'tolerations':[{'operator':'Exists'}],'affinity':{'nodeAffinity':{'"
		"preferredDuringSchedulingIgnoredDuringExecution':[{'weight':30,'preference':{'"
		"matchExpressions':[{'key':'zone','operator':'In','values':['1']}]}},{'weight':60,"
		"'preference':{'matchExpressions':[{'key':'host','operator':'In','values':['b']}]}}"
		"]}},",
		ASKS, PLAIN_A + 2 * 33, PLAIN_A + 200, PLAIN_C);
	cluster_end(&c);
}

#define WISH(kind, weight)                                                                         \
	"'affinity':{'" kind                                                                       \
	"':{'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':" #weight                 \
	",'podAffinityTerm':{'topologyKey':'zone','labelSelector':{'matchLabels':{'app':"          \
	"'p'}}}}]}},"

static void test_company(void **state)
{
	struct cluster c;
	begin(&c, "");
	cluster_put(&c, "q", "'app':'p'", "", "'resources':{'requests':{'cpu':'0'}}", "c");
	int64_t plain[3];
	struct workload *w = cluster_pod(&c, "p", "'app':'p'", "", ASKS);
	scores_of(&c, w, plain);
	workload_unref(w);
	check_scores(&c, WISH("podAffinity", 5), ASKS, plain[0], plain[1], plain[2] + 200);
	check_scores(
		&c, WISH("podAntiAffinity", 5), ASKS, plain[0] + 200, plain[1] + 200, plain[2]);
	/* One pod in zone 2, none in zone 1: 100 for zone 1; for zone 2 100 * (1 + 0 - 1) / 1. */
	check_scores(&c,
		"'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'zone','whenUnsatisfiable'"
		":'ScheduleAnyway','labelSelector':{'matchLabels':{'app':'p'}}}],",
		ASKS, plain[0] + 200, plain[1] + 200, plain[2]);
	/* Others like it near them. */
	cluster_put(&c, "r", "'app':'r'", WISH("podAffinity", 7),
		"'resources':{'requests':{'cpu':'0','memory':'0'}}", "a");
	check_scores(&c, "", ASKS, plain[0] + 200, plain[1] + 200, plain[2]);
	cluster_end(&c);
}

/* ---- preemption ---- */

static void put_with(struct cluster *c, const char *name, int priority, const char *started,
	const char *cpu, const char *node)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = cluster_object(c, "", "v1", "Pod",
		arena_printf(&a,
			"{'metadata':{'name':'%s','namespace':'default','uid':'%s','labels':{'app':"
			"'%s'}},'spec':{'priority':%d,'containers':[{'name':'c','image':'i','"
			"resources':{'requests':{'cpu':'%s'}}}]},'status':{'startTime':'%s'}}",
			name, name, name, priority, cpu, started));
	struct workload *w = workload_create(o);
	core_assign(&c->core, w, node);
	workload_unref(w);
	object_unref(o);
}

static const char *victims_of(
	struct cluster *c, const char *cpu, const struct budget *budgets, size_t count)
{
	struct workload *w = cluster_pod(c, "high", "", "'priority':100,",
		arena_printf(&c->arena, "'resources':{'requests':{'cpu':'%s'}}", cpu));
	struct placement p = core_place(&c->core, w, &c->random, &c->arena);
	assert_null(p.node);
	struct preemption r = preempt(&c->core, w, budgets, count, &c->random, &c->arena);
	char *text = r.node ? arena_printf(&c->arena, "%s:", r.node)
			    : arena_strdup(&c->arena, r.message);
	for (size_t n = 0; n < r.count; n++)
		text = arena_printf(&c->arena, "%s %s", text, r.victims[n]->workload->name);
	workload_unref(w);
	return text;
}

static void test_victims(void **state)
{
	static const char old[] = "2026-01-01T00:00:00Z", new[] = "2026-02-01T00:00:00Z";
	struct cluster c;
	begin(&c, "");
	put_with(&c, "a1", 10, old, "2", "a");
	put_with(&c, "a2", 5, old, "2", "a");
	put_with(&c, "b1", 10, old, "4", "b");
	put_with(&c, "c1", 200, old, "4", "c");
	assert_string_equal(victims_of(&c, "1", NULL, 0), "a: a2"); /* the least of the highest */
	assert_string_equal(victims_of(&c, "3", NULL, 0), "b: b1"); /* lower sum: one, not two */
	assert_string_equal(victims_of(&c, "5", NULL, 0),
		"0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 "
		"Insufficient cpu.");
	struct budget guard = {.ns = "default"};
	const char *values[] = {"a2"};
	const struct requirement item = {"app", SEL_EQ, values, 1};
	guard.pods = (struct selector){&item, 1, false};
	assert_string_equal(victims_of(&c, "1", &guard, 1), "a: a1"); /* a2 is spared first */
	guard.allowed = 1;
	assert_string_equal(victims_of(&c, "1", &guard, 1), "a: a2");
	/* Among equals the one that began last goes. */
	core_unassign(&c.core, "b1");
	core_unassign(&c.core, "a1");
	put_with(&c, "b2", 5, old, "2", "b");
	put_with(&c, "b3", 5, new, "2", "b");
	put_with(&c, "a3", 5, old, "2", "a");
	assert_string_equal(victims_of(&c, "2", NULL, 0), "b: b3");
	/* Trials have left everything as it was. */
	const struct node_info *b = table_get(&c.core.snapshot.by_name, "b");
	assert_int_equal(c.core.snapshot.rows[b->slot].used[CPU], 4000);
	assert_int_equal(c.core.snapshot.rows[b->slot].pods_used, 2);
	cluster_end(&c);
}

/* A node that was made free for one is not given to another of no higher priority. */
static void test_promised(void **state)
{
	struct cluster c;
	cluster_begin(&c);
	cluster_node(&c, "a", "", "", "'cpu':'2'");
	struct workload *first = cluster_pod(&c, "first", "", "'priority':10,", ASKS);
	struct workload *same = cluster_pod(
		&c, "same", "", "'priority':10,", "'resources':{'requests':{'cpu':'2'}}");
	struct workload *higher = cluster_pod(
		&c, "higher", "", "'priority':11,", "'resources':{'requests':{'cpu':'2'}}");
	cluster_node(&c, "a", "", "", "'cpu':'2','memory':'4Gi'");
	snapshot_nominate(&c.core.snapshot, first, "a");
	assert_string_equal(cluster_try(&c, same), "0/1 nodes are available: 1 Insufficient cpu.");
	assert_string_equal(cluster_try(&c, higher), "a");
	assert_string_equal(cluster_try(&c, first), "a");
	snapshot_nominate(&c.core.snapshot, first, NULL);
	assert_string_equal(cluster_try(&c, same), "a");
	workload_unref(first);
	workload_unref(same);
	workload_unref(higher);
	cluster_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_company),
		cmocka_unit_test(test_victims),
		cmocka_unit_test(test_promised),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
