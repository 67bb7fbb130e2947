#include "server/controllers/applications/application_status.h"

#include <inttypes.h>

#include "server/controllers/applications/application_parts.h"
#include "server/controllers/meta.h"

/* Statuses are written as merge patches: what is gone must be said. */
static struct json *replacing(struct arena *a, const struct json *old, struct json *new)
{
	JSON_FOR_EACH_MEMBER(m, old)
		if (!json_is(m->value, JSON_NULL) && !json_get(new, m->name))
			json_set(a, new, m->name, json_new_null(a));
	return new;
}

static struct json *decision_doc(
	struct arena *a, const struct application_findings *f, int64_t now_ns)
{
	const struct json *old = json_path(f->doc, "status.decision");
	struct json *new = placement_decision_doc(a, f->decision), *was = json_copy(a, old);
	struct json *time = json_get(was, "time");
	if (was)
		json_remove(was, "time");
	json_set(a, new, "time", time && json_equal(was, new) ? time : meta_time(a, now_ns));
	return replacing(a, old, new);
}

static struct json *move_doc(struct arena *a, const struct application_findings *f, int64_t now_ns)
{
	const struct json *old = json_path(f->doc, "status.move");
	const struct application_plan *p = f->plan;
	enum placement_isolation to = f->view->target;
	struct json *new = json_new_object(a);
	if (!p->phase)
		return json_new_null(a);
	const char *name = placement_isolation_name(to);
	bool same = streq(json_str(json_get(old, "to")), name);
	struct json *start = same ? json_get(old, "startTime") : NULL;
	json_set_str(a, new, "from", placement_isolation_name(placement_other(to)));
	json_set_str(a, new, "to", name);
	json_set_str(a, new, "phase", p->phase);
	json_set(a, new, "startTime", start ? start : meta_time(a, now_ns));
	if (p->both_since_ns)
		json_set(a, new, "servingTime", meta_time(a, p->both_since_ns));
	if (p->drained_since_ns)
		json_set(a, new, "drainTime", meta_time(a, p->drained_since_ns));
	return replacing(a, old, new);
}

/* Conditions. */

static const char *first_reason(const struct placement_decision *d)
{
	return json_str_or(json_at(d->reasons, 0), "");
}

static const char *plural(enum placement_isolation side)
{
	return side == PLACEMENT_CONTAINER ? "containers" : "virtual machines";
}

static struct condition placed(struct arena *a, const struct application_findings *f)
{
	const struct placement_decision *d = f->decision;
	enum placement_isolation side = f->view->target;
	struct condition c = {"Placed", "True", "Decided", NULL, false};
	if (f->excluded) {
		c.status = "False";
		c.reason = "SideExcluded";
		c.message = arena_printf(a,
			"it stays in %s, which can't run it as it is now (%s: %s): what runs is "
			"left alone",
			plural(f->view->serving), f->excluded->name, f->excluded->reason);
	} else if (side == PLACEMENT_NEITHER) {
		c.status = "False";
		c.reason = "NeitherFits";
		c.message = json_str_or(json_at(d->contradictions, 0), "neither side fits");
	} else if (f->stays && (side != d->isolation || streq(f->stays, "Fixed"))) {
		c.reason = f->stays;
		c.message = arena_printf(a, "it stays in %s", plural(side));
	} else {
		c.message = arena_printf(a, "in %s because of %s", plural(side), first_reason(d));
	}
	return c;
}

static struct json *recommendation(struct arena *a, const struct application_findings *f,
	struct json *conditions, int64_t now_ns)
{
	const struct placement_decision *d = f->decision;
	if (!f->stays || d->isolation == PLACEMENT_NEITHER || d->isolation == f->view->serving ||
		f->view->serving == PLACEMENT_NEITHER)
		return condition_find(conditions, "MoveRecommended")
			       ? condition_drop(a, conditions, "MoveRecommended")
			       : conditions;
	struct condition c = {"MoveRecommended", "True", "DecisionChanged",
		arena_printf(a,
			"it belongs in %s because of %s; to move it, set "
			"spec.placement.policy to Auto",
			plural(d->isolation), first_reason(d)),
		false};
	if (streq(f->stays, "WeightsInvalid"))
		c.message = arena_printf(a,
			"it would move to %s because of %s, but the weights in the ConfigMap "
			"kube-system/hanok-placement are wrong",
			plural(d->isolation), first_reason(d));
	return condition_set(a, conditions, &c, now_ns);
}

static const char *joined(struct arena *a, const struct json *texts)
{
	const char *all = "";
	JSON_FOR_EACH_ITEM(t, texts)
		all = arena_printf(a, "%s%s%s", all, *all ? "; " : "", json_str_or(t, ""));
	return all;
}

/* A condition that is there only while something is wrong. */
static struct json *wrong(struct arena *a, struct json *conditions, const char *type,
	const char *reason, const struct json *texts, int64_t now_ns)
{
	if (!json_count(texts))
		return condition_find(conditions, type) ? condition_drop(a, conditions, type)
							: conditions;
	struct condition c = {type, "False", reason, joined(a, texts), false};
	return condition_set(a, conditions, &c, now_ns);
}

static struct condition progressing(struct arena *a, const struct application_findings *f,
	int64_t since_ns, int64_t now_ns, int64_t *again_ms)
{
	const struct application_side *side = &f->view->sides[f->view->target];
	bool complete = side->current && side->ready >= side->wanted && !f->plan->phase;
	const char *detail = f->waits_for ? arena_printf(a, " (%s)", f->waits_for) : "";
	struct condition c = {
		"Progressing", "True", "Complete", "all replicas are as wanted", false};
	if (f->failure_reason) {
		c.status = "False";
		c.reason = f->failure_reason;
		c.message = f->failure_message;
		return c;
	}
	if (f->view->target == PLACEMENT_NEITHER) {
		c.status = "False";
		c.reason = "NotPlaced";
		c.message = "nothing is made or changed until it can be placed";
		return c;
	}
	if (complete)
		return c;
	int64_t deadline_s = json_path_int(f->doc, "spec.progressDeadlineSeconds", 600);
	int64_t left_ms = deadline_s * 1000 - (now_ns - since_ns) / NS_PER_MS;
	const char *counts = arena_printf(
		a, "%" PRId64 " of %" PRId64 " replicas are ready", side->ready, side->wanted);
	c.reason = f->plan->phase ? "Moving" : "Starting";
	c.message = f->plan->phase ? arena_printf(a, "%s in %s: %s%s", f->plan->phase,
					     plural(f->view->target), counts, detail)
				   : arena_printf(a, "%s%s", counts, detail);
	if (left_ms > 0) {
		if (*again_ms < 0 || left_ms < *again_ms)
			*again_ms = left_ms;
		return c;
	}
	c.status = "False";
	c.reason = "ProgressDeadlineExceeded";
	c.message = arena_printf(a, "after %" PRId64 " s %s%s%s", deadline_s, counts, detail,
		f->plan->phase ? "; the side that it is to leave goes on" : "");
	return c;
}

/* Since when there is no progress: the start of the move, or since replicas are missing. */
static int64_t progress_since_ns(const struct json *old, const struct json *move, int64_t now_ns)
{
	const struct json *ready = condition_find(old, "Ready");
	int64_t since_ns = meta_time_ns(json_get(move, "startTime"));
	if (!since_ns && streq(json_str(json_get(ready, "status")), "False"))
		since_ns = meta_time_ns(json_get(ready, "lastTransitionTime"));
	return since_ns ? since_ns : now_ns;
}

struct json *application_status(struct arena *a, const struct application_findings *f,
	int64_t now_ns, int64_t *ret_again_ms)
{
	const struct application_view *v = f->view;
	const struct json *old = json_path(f->doc, "status.conditions");
	struct json *status = json_new_object(a),
		    *conditions = json_path(f->doc, "status.conditions");
	int64_t again_ms = -1, ready = 0, wanted = application_replicas(f->doc);
	for (size_t i = PLACEMENT_VIRTUAL_MACHINE; i <= PLACEMENT_CONTAINER; i++)
		ready += v->sides[i].ready;
	struct json *move = move_doc(a, f, now_ns);
	struct condition c = placed(a, f);
	conditions = condition_set(a, conditions, &c, now_ns);
	c = progressing(a, f, progress_since_ns(old, move, now_ns), now_ns, &again_ms);
	conditions = condition_set(a, conditions, &c, now_ns);
	c = (struct condition){"Ready", ready >= wanted ? "True" : "False",
		ready >= wanted ? "ReplicasReady" : "ReplicasNotReady",
		arena_printf(a, "%" PRId64 " of %" PRId64 " replicas are ready", ready, wanted),
		false};
	conditions = condition_set(a, conditions, &c, now_ns);
	conditions = recommendation(a, f, conditions, now_ns);
	conditions = wrong(a, conditions, "ProfileConsistent", "Contradiction",
		f->decision->contradictions, now_ns);
	conditions =
		wrong(a, conditions, "WeightsValid", "InvalidWeights", f->weight_problems, now_ns);

	const char *serving = placement_isolation_name(f->plan->serving);
	json_set_int(
		a, status, "observedGeneration", json_path_int(f->doc, "metadata.generation", 0));
	json_set(a, status, "isolation",
		serving[0] ? json_new_string(a, serving) : json_new_null(a));
	json_set(a, status, "decision", decision_doc(a, f, now_ns));
	json_set(a, status, "move", move);
	json_set_int(a, status, "replicas",
		MAX(v->sides[PLACEMENT_CONTAINER].replicas,
			v->sides[PLACEMENT_VIRTUAL_MACHINE].replicas));
	json_set_int(a, status, "readyReplicas", ready);
	json_set_int(a, status, "wantedReplicas", wanted);
	json_set(a, status, "selector",
		json_new_printf(a, "%s=%s", LABEL_APPLICATION, f->object->name));
	json_set(a, status, "conditions", conditions);
	*ret_again_ms = again_ms;
	return status;
}
