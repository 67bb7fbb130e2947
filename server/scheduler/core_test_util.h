/* core_test_util.h - a small cluster in memory for tests of the scheduler's core. Texts have ' for
 * ".
 */
#pragma once

/* cmocka.h needs these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/scheduler/scheduler_core.h"

struct cluster {
	struct kind_registry *kinds;
	struct scheduler_core core;
	struct random random;
	struct arena arena;
};

static inline void cluster_begin(struct cluster *c)
{
	struct err err = ERR_INIT;
	*c = (struct cluster){.kinds = kind_registry_create(), .random = random_seeded(1)};
	if (kind_registry_load_builtin(c->kinds, &err) < 0)
		fail_msg("%s", err.msg);
	core_init(&c->core);
}

static inline void cluster_end(struct cluster *c)
{
	core_finish(&c->core);
	arena_finish(&c->arena);
	kind_registry_destroy(c->kinds);
}

/* The caller has a reference. */
static inline struct object *cluster_object(
	struct cluster *c, const char *group, const char *version, const char *kind, char *text)
{
	struct err err = ERR_INIT;
	struct object *o;
	for (char *at = text; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	if (object_from_bytes(
		    kind_by_name(c->kinds, group, version, kind), text, strlen(text), &o, &err) < 0)
		fail_msg("%s: %s", err.msg, text);
	return o;
}

/* labels "'a':'b'", spec "'unschedulable':true", allocatable "'cpu':'4'" */
static inline unsigned cluster_node(struct cluster *c, const char *name, const char *labels,
	const char *spec, const char *allocatable)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct node_state n;
	uint32_t slot;
	struct object *o = cluster_object(c, "", "v1", "Node",
		arena_printf(&a,
			"{'metadata':{'name':'%s','uid':'%s','labels':{%s}},'spec':{%s},'status':"
			"{'allocatable':{'pods':'110'%s%s}}}",
			name, name, labels, spec, allocatable[0] ? "," : "", allocatable));
	node_state_read(&a, o, &n);
	unsigned what = snapshot_node_set(&c->core.snapshot, &n, &slot);
	object_unref(o);
	return what;
}

/* The caller has a reference. labels "'a':'b'"; spec beside the containers, with a comma behind. */
static inline struct workload *cluster_pod(struct cluster *c, const char *name, const char *labels,
	const char *spec, const char *container)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = cluster_object(c, "", "v1", "Pod",
		arena_printf(&a,
			"{'metadata':{'name':'%s','namespace':'default','uid':'%s','labels':{%s}},"
			"'spec':{%s'containers':[{'name':'c','image':'web:1'%s%s}]}}",
			name, name, labels, spec, container[0] ? "," : "", container));
	struct workload *w = workload_create(o);
	object_unref(o);
	return w;
}

/* Where it would go, or why nowhere. In the cluster's arena. */
static inline const char *cluster_try(struct cluster *c, struct workload *w)
{
	struct placement p = core_place(&c->core, w, &c->random, &c->arena);
	return p.node ? p.node : p.message;
}

static inline void cluster_put(struct cluster *c, const char *name, const char *labels,
	const char *spec, const char *container, const char *node)
{
	struct workload *w = cluster_pod(c, name, labels, spec, container);
	core_assign(&c->core, w, node);
	workload_unref(w);
}
