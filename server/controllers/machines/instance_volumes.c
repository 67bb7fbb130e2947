#include "server/controllers/machines/instance_volumes.h"

#include "server/controllers/machines/waiters.h"
#include "server/controllers/meta.h"

#define NOT_FOUND "FailedPvcNotFound"

struct instance_volumes {
	struct informer *data_volumes, *claims;
	struct waiters waiters; /* by "NAMESPACE/NAME" of a data volume or claim */
};

static void on_change(void *user, const struct object *old, const struct object *new)
{
	struct instance_volumes *v = user;
	const struct object *o = new ? new : old;
	_cleanup_(free_p) char *key = NULL;
	/* Progress of an import is no news. */
	if (old && new) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct json *was = object_doc(old, &a), *is = object_doc(new, &a);
		if (streq(json_path_str(was, "status.phase"), json_path_str(is, "status.phase")) &&
			json_equal(json_path(was, "status.conditions"),
				json_path(is, "status.conditions")))
			return;
	}
	key = xasprintf("%s/%s", o->namespace, o->name);
	waiters_wake(&v->waiters, key);
}

struct instance_volumes *instance_volumes_create(struct shared *sh, struct loop *loop)
{
	static const struct informer_handler handler = {.changed = on_change};
	struct instance_volumes *v = xcalloc(1, sizeof(*v));
	v->waiters.loop = loop;
	v->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	v->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	informer_add_handler(v->data_volumes, &handler, v);
	informer_add_handler(v->claims, &handler, v);
	return v;
}

void instance_volumes_destroy(struct instance_volumes *v)
{
	if (!v)
		return;
	waiters_finish(&v->waiters);
	free(v);
}

/* What all volumes together are like. */
struct stand {
	size_t data_volumes;
	bool ready, not_ready; /* all are True; one is False (else: Unknown) */
	bool provisioning;
	const char *lost;
};

static void look_at_data_volume(struct arena *a, const struct object *dv, struct stand *s)
{
	const struct json *status = json_get(object_doc(dv, a), "status");
	const struct json *conditions = json_get(status, "conditions");
	s->data_volumes++;
	s->ready &= condition_is(conditions, "Ready", "True");
	s->not_ready |= condition_is(conditions, "Ready", "False");
	const char *phase = json_str_or(json_get(status, "phase"), "");
	s->provisioning |= !streq(phase, "Succeeded") && !streq(phase, "Failed");
}

static struct stand look(struct instance_volumes *v, struct arena *a, const struct object *vmi,
	const struct json *doc)
{
	struct stand s = {.ready = true};
	JSON_FOR_EACH_ITEM(volume, json_path(doc, "spec.volumes")) {
		const struct json *dv = json_get(volume, "dataVolume"),
				  *pvc = json_get(volume, "persistentVolumeClaim");
		const char *name = json_str(dv ? json_get(dv, "name") : json_get(pvc, "claimName"));
		/* It comes later, and the node tells of it. */
		if (!name || json_bool_or(json_get(dv ? dv : pvc, "hotpluggable"), false))
			continue;
		const struct object *o = informer_get(v->data_volumes, vmi->namespace, name);
		waiters_add(&v->waiters, arena_printf(a, "%s/%s", vmi->namespace, name), vmi);
		if (o)
			look_at_data_volume(a, o, &s);
		else if (!informer_get(v->claims, vmi->namespace, name) && !s.lost)
			s.lost = arena_strdup(a, name);
	}
	return s;
}

static const struct json *put(struct arena *a, const struct json *conditions,
	const struct condition *c, bool wanted, int64_t now_ns)
{
	if (wanted)
		return condition_set(a, conditions, c, now_ns);
	return condition_find(conditions, c->type) ? condition_drop(a, conditions, c->type)
						   : conditions;
}

const struct json *instance_volumes_conditions(struct instance_volumes *v, struct arena *a,
	const struct object *vmi, const struct json *doc, int64_t now_ns, const char **ret_lost)
{
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	bool placed = *json_str_or(json_path(doc, "status.nodeName"), "") != '\0';
	struct stand s = look(v, a, vmi, doc);
	const struct json *all = json_path(doc, "status.conditions");
	const struct json *had = condition_find(all, "Synchronized");
	bool named = streq(json_str(json_get(had, "reason")), NOT_FOUND);
	struct condition ready = {"DataVolumesReady",
		s.not_ready ? "False"
		: s.ready   ? "True"
			    : "Unknown",
		s.ready ? "AllDVsReady" : "NotAllDVsReady",
		s.ready ? "All of the VMI's DVs are bound and not running"
			: "Not all of the VMI's DVs are ready",
		false};
	struct condition provisioning = {"Provisioning", "True", NULL, NULL, false};
	struct condition lost = {"Synchronized", "False", NOT_FOUND,
		s.lost ? arena_printf(a, "PVC %s/%s does not exist, waiting for it to appear",
				 vmi->namespace, s.lost)
		       : NULL,
		false};
	bool tell = s.lost && !placed;
	*ret_lost = tell && !(named && streq(json_str(json_get(had, "message")), lost.message))
			    ? s.lost
			    : NULL;
	all = put(a, all, &ready, s.data_volumes > 0, now_ns);
	all = put(a, all, &provisioning, s.provisioning && !streq(phase, "Running"), now_ns);
	if (tell || (named && !placed))
		all = put(a, all, &lost, tell, now_ns);
	return json_count(all) ? all : json_new_null(a);
}
