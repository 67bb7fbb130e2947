/* snapshot_test.c - random events; after each, what the snapshot that was kept up by them says of
 * every node is what plain loops over a plain list of pods say, and what a snapshot made anew says.
 */
#include "server/scheduler/core_test_util.h"

#include <stdio.h>

#define NODES 12
#define PODS 60
#define APPS 3
#define ZONES 3
#define STEPS 1500

enum by { BY_NONE, BY_HOST, BY_ZONE };
static const char *const keys[] = {"", "host", "zone"};

struct model_node {
	bool alive, tainted, cordoned;
	int zone; /* ZONES: has no such label */
	int cpu, pods;
};

struct model_pod {
	bool there;
	int node, app, cpu, port; /* port 0 = none */
	bool tolerates;
	enum by anti, with, spread;
	int anti_app, with_app, skew, zone_wanted; /* ZONES: any zone */
	int preferred_app;
};

struct model {
	struct cluster c;
	struct random random;
	struct model_node nodes[NODES];
	struct model_pod pods[PODS];
};

static int below(struct model *m, unsigned limit)
{
	return (int)random_below(&m->random, limit);
}

/* ---- documents ---- */

static void put_node(struct cluster *c, const struct model_node *n, int at)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *name = arena_printf(&a, "n%d", at), *zone = "";
	if (n->zone < ZONES)
		zone = arena_printf(&a, ",'zone':'%d'", n->zone);
	cluster_node(c, name, arena_printf(&a, "'host':'%s'%s", name, zone),
		arena_printf(&a, "'unschedulable':%s%s", n->cordoned ? "true" : "false",
			n->tainted ? ",'taints':[{'key':'t','effect':'NoSchedule'}]" : ""),
		arena_printf(&a, "'cpu':'%d','memory':'16Gi','pods':'%d'", n->cpu, n->pods));
}

static char *term(struct arena *a, const char *kind, enum by by, int app)
{
	if (by == BY_NONE)
		return "";
	return arena_printf(a,
		"'%s':{'requiredDuringSchedulingIgnoredDuringExecution':[{'topologyKey':'%s','"
		"labelSelector':{'matchLabels':{'app':'%d'}}}]},",
		kind, keys[by], app);
}

static struct workload *make_pod(struct cluster *c, const struct model_pod *p, int at)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *spec = arena_printf(&a, "'affinity':{%s%s'nodeAffinity':{}},",
		term(&a, "podAffinity", p->with, p->with_app),
		term(&a, "podAntiAffinity", p->anti, p->anti_app));
	if (p->anti == BY_NONE && p->with == BY_NONE)
		spec = arena_printf(&a,
			"'affinity':{'podAffinity':{'"
			"preferredDuringSchedulingIgnoredDuringExecution':[{'weight':10,'"
			"podAffinityTerm':{'topologyKey':'zone','labelSelector':{'matchLabels':{"
			"'app':'%d'}}}}]}},",
			p->preferred_app);
	if (p->spread != BY_NONE)
		spec = arena_printf(&a,
			"%s'topologySpreadConstraints':[{'maxSkew':%d,'topologyKey':'%s','"
			"whenUnsatisfiable':'DoNotSchedule','labelSelector':{'matchLabels':{'app':"
			"'%d'}}}],",
			spec, p->skew, keys[p->spread], p->app);
	if (p->tolerates)
		spec = arena_printf(&a, "%s'tolerations':[{'key':'t','operator':'Exists'}],", spec);
	if (p->zone_wanted < ZONES)
		spec = arena_printf(&a, "%s'nodeSelector':{'zone':'%d'},", spec, p->zone_wanted);
	char *container = arena_printf(&a, "'resources':{'requests':{'cpu':'%d'}}", p->cpu);
	if (p->port)
		container = arena_printf(
			&a, "%s,'ports':[{'containerPort':1,'hostPort':%d}]", container, p->port);
	return cluster_pod(c, arena_printf(&a, "p%d", at), arena_printf(&a, "'app':'%d'", p->app),
		spec, container);
}

/* ---- plain loops ---- */

/* What a node has for a label: -1 = nothing. */
static int value_of(const struct model *m, int node, enum by by)
{
	const struct model_node *n = &m->nodes[node];
	if (!n->alive)
		return -1;
	return by == BY_HOST ? node : n->zone < ZONES ? n->zone : -1;
}

static bool selected(const struct model *m, const struct model_pod *p, int node)
{
	return p->zone_wanted == ZONES || value_of(m, node, BY_ZONE) == p->zone_wanted;
}

/* Pods of an application on nodes with this value; value -1: with any. */
static int count_app(const struct model *m, enum by by, int value, int app)
{
	int count = 0;
	for (int n = 0; n < PODS; n++) {
		const struct model_pod *q = &m->pods[n];
		int v = q->there ? value_of(m, q->node, by) : -1;
		count += v >= 0 && q->app == app && (value < 0 || v == value);
	}
	return count;
}

static bool spread_fits(const struct model *m, const struct model_pod *p, int node)
{
	int value = value_of(m, node, p->spread), least = INT32_MAX, here = 0;
	if (value < 0)
		return false;
	for (int n = 0; n < NODES; n++) {
		int v = value_of(m, n, p->spread), count = 0;
		if (v < 0 || !selected(m, p, n))
			continue;
		/* Only pods on nodes that it could be on by their labels. */
		for (int k = 0; k < PODS; k++)
			count += m->pods[k].there && m->pods[k].app == p->app &&
				 value_of(m, m->pods[k].node, p->spread) == v &&
				 selected(m, p, m->pods[k].node);
		least = MIN(least, count);
		if (v == value)
			here = count;
	}
	return here + 1 - least <= p->skew;
}

static bool others_mind(const struct model *m, const struct model_pod *p, int node)
{
	for (int n = 0; n < PODS; n++) {
		const struct model_pod *q = &m->pods[n];
		if (!q->there || q->anti == BY_NONE || q->anti_app != p->app)
			continue;
		int v = value_of(m, q->node, q->anti);
		if (v >= 0 && v == value_of(m, node, q->anti))
			return true;
	}
	return false;
}

static bool affinity_fits(const struct model *m, const struct model_pod *p, int node)
{
	int value = value_of(m, node, p->with);
	if (p->with != BY_NONE && value < 0)
		return false;
	if (p->with != BY_NONE && !count_app(m, p->with, value, p->with_app) &&
		(count_app(m, p->with, -1, p->with_app) || p->with_app != p->app))
		return false;
	value = p->anti != BY_NONE ? value_of(m, node, p->anti) : -1;
	if (value >= 0 && count_app(m, p->anti, value, p->anti_app))
		return false;
	return !others_mind(m, p, node);
}

static bool fits(const struct model *m, const struct model_pod *p, int node)
{
	const struct model_node *n = &m->nodes[node];
	int cpu = 0, pods = 0;
	if (n->cordoned || (n->tainted && !p->tolerates) || !selected(m, p, node))
		return false;
	for (int k = 0; k < PODS; k++) {
		if (!m->pods[k].there || m->pods[k].node != node)
			continue;
		cpu += m->pods[k].cpu;
		pods++;
		if (p->port && m->pods[k].port == p->port)
			return false;
	}
	return pods < n->pods && (!p->cpu || cpu + p->cpu <= n->cpu) &&
	       (p->spread == BY_NONE || spread_fits(m, p, node)) && affinity_fits(m, p, node);
}

/* ---- comparison ---- */

static void rebuild(const struct model *m, struct cluster *c)
{
	core_init(&c->core);
	c->kinds = m->c.kinds;
	for (int n = NODES; n-- > 0;)
		if (m->nodes[n].alive)
			put_node(c, &m->nodes[n], n);
	for (int n = 0; n < PODS; n++) {
		char node[8];
		if (!m->pods[n].there)
			continue;
		struct workload *w = make_pod(c, &m->pods[n], n);
		snprintf(node, sizeof(node), "n%d", m->pods[n].node);
		core_assign(&c->core, w, node);
		workload_unref(w);
	}
}

static void compare_scores(struct model *m, struct pass *p, struct cluster *anew,
	const struct workload *w, const uint32_t *slots, size_t count)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pass q;
	uint32_t other[NODES];
	int64_t scores[NODES], again[NODES];
	pass_begin(&q, &anew->core.snapshot, &anew->core.volumes, w, &a);
	for (size_t n = 0; n < count; n++) {
		const char *name = p->s->info[slots[n]]->name;
		other[n] = ((struct node_info *)table_get(&q.s->by_name, name))->slot;
		assert_int_equal(pass_check(&q, other[n]), FITS);
	}
	pass_scores(p, slots, count, scores);
	pass_scores(&q, other, count, again);
	for (size_t n = 0; n < count; n++)
		assert_int_equal(scores[n], again[n]);
}

static void compare(struct model *m, struct cluster *anew, const struct model_pod *pod, int seed)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct workload *w = make_pod(&m->c, pod, PODS);
	struct pass p;
	uint32_t slots[NODES];
	size_t count = 0;
	pass_begin(&p, &m->c.core.snapshot, &m->c.core.volumes, w, &a);
	for (int n = 0; n < NODES; n++) {
		char name[8];
		snprintf(name, sizeof(name), "n%d", n);
		const struct node_info *i = table_get(&m->c.core.snapshot.by_name, name);
		if (!m->nodes[n].alive) {
			assert_true(!i || !m->c.core.snapshot.rows[i->slot].alive);
			continue;
		}
		uint32_t refusal = pass_check(&p, i->slot);
		if (fits(m, pod, n) != !refusal)
			fail_msg("seed %d: %s: refused by %u", seed, name, refusal);
		if (!refusal)
			slots[count++] = i->slot;
	}
	if (count && anew)
		compare_scores(m, &p, anew, w, slots, count);
	workload_unref(w);
}

static struct model_pod any_pod(struct model *m)
{
	return (struct model_pod){
		.app = below(m, APPS),
		.cpu = below(m, 3),
		.port = below(m, 4) ? 0 : 80 + below(m, 2),
		.tolerates = below(m, 2),
		.anti = below(m, 3) ? BY_NONE : 1 + below(m, 2),
		.with = below(m, 4) ? BY_NONE : 1 + below(m, 2),
		.spread = below(m, 3) ? BY_NONE : 1 + below(m, 2),
		.anti_app = below(m, APPS),
		.with_app = below(m, APPS),
		.skew = 1 + below(m, 2),
		.zone_wanted = below(m, 3) ? ZONES : below(m, ZONES),
		.preferred_app = below(m, APPS),
	};
}

static void change_node(struct model *m, int at)
{
	struct model_node *n = &m->nodes[at];
	if (n->alive && !below(m, 4)) {
		char name[8];
		snprintf(name, sizeof(name), "n%d", at);
		n->alive = false;
		snapshot_node_remove(&m->c.core.snapshot, name);
		return;
	}
	*n = (struct model_node){true, !below(m, 3), !below(m, 6), below(m, ZONES + 1),
		4 + below(m, 12), 3 + below(m, 8)};
	put_node(&m->c, n, at);
}

static void change_pod(struct model *m, int at)
{
	struct model_pod *p = &m->pods[at];
	char name[8];
	if (p->there) {
		snprintf(name, sizeof(name), "p%d", at);
		p->there = false;
		assert_true(core_unassign(&m->c.core, name));
		return;
	}
	*p = any_pod(m);
	struct workload *w = make_pod(&m->c, p, at);
	struct placement where = core_place(&m->c.core, w, &m->c.random, &m->c.arena);
	if (where.node || !below(m, 4)) {
		/* By chance also where nobody asked, even on a node that is not known. */
		snprintf(name, sizeof(name), "n%d", below(m, NODES));
		if (where.node)
			snprintf(name, sizeof(name), "%s", where.node);
		p->node = atoi(name + 1);
		if (where.node)
			assert_true(fits(m, p, p->node));
		p->there = true;
		core_assign(&m->c.core, w, name);
	}
	workload_unref(w);
	arena_reset(&m->c.arena);
}

static void test_random_events(void **state)
{
	for (int seed = 1; seed <= 4; seed++) {
		struct model *m = xcalloc(1, sizeof(*m));
		cluster_begin(&m->c);
		m->random = random_seeded((uint64_t)seed);
		for (int step = 0; step < STEPS; step++) {
			if (below(m, 3))
				change_pod(m, below(m, PODS));
			else
				change_node(m, below(m, NODES));
			struct cluster anew = {0};
			bool again = step % 25 == 0;
			if (again)
				rebuild(m, &anew);
			struct model_pod p = any_pod(m);
			compare(m, again ? &anew : NULL, &p, seed);
			if (again)
				core_finish(&anew.core);
		}
		cluster_end(&m->c);
		free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_events)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
