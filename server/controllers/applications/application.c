/* Application: decides where it belongs, keeps the objects that it is made of there, and moves it
 * when the decision changes. What is known of a move is in the objects and in the status: any pass
 * may be the first. */
#include <inttypes.h>

#include "server/controllers/applications/application_parts.h"
#include "server/controllers/applications/application_status.h"
#include "server/controllers/meta.h"

#define COMPONENT "application-controller"
#define NAME_TAKEN_MS 30000  /* the event of what goes away may name somebody else */
#define MACHINES_AT_ONCE 100 /* made in one pass */
#define WEIGHTS_NAMESPACE "kube-system"
#define WEIGHTS_NAME "hanok-placement"

struct applications {
	struct loop *loop;
	struct client *client;
	struct informer *applications, *config_maps;
	struct informer *deployments, *autoscalers, *budgets, *services, *slices;
	struct informer *machines, *instances, *replica_sets, *pods;
};

struct pass {
	struct applications *c;
	struct object *object;
	struct json *doc;
	struct placement_decision decision;
	struct application_view view;
	struct application_plan plan;
	struct application_findings findings;
	struct object **machines; /* ours */
	size_t machine_count;
	bool adopting; /* orphans are asked for: their event runs the key again */
	const char *failure_reason, *failure_message;
};

/* Whose is it? */

static bool is_ours(const struct pass *p, const struct object *o)
{
	const struct object_owner *owner = o ? object_controller(o) : NULL;
	return owner && streq(owner->uid, p->object->uid);
}

static struct object *find_ours(const struct pass *p, const struct informer *i, const char *name)
{
	struct object *o = informer_get(i, p->object->namespace, name);
	return is_ours(p, o) ? o : NULL;
}

struct adoption {
	struct object *orphan;
};

static void on_owner(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct adoption *ad = user;
	struct arena *a = &s->arena;
	struct json *live = NULL;
	if (!client_ok(r) || json_parse(a, r->body, r->body_size, NULL, &live, NULL) < 0) {
		if (r->code != 404)
			sync_check(s, r);
		return;
	}
	if (!streq(json_path_str(live, "metadata.uid"), p->object->uid) ||
		json_path(live, "metadata.deletionTimestamp"))
		return;
	struct json *patch = json_new_object(a), *refs = json_new_array(a);
	JSON_FOR_EACH_ITEM(ref, json_path(object_doc(ad->orphan, a), "metadata.ownerReferences"))
		json_push(a, refs, ref);
	json_push(a, refs, owner_reference(a, p->object));
	json_path_set(a, patch, "metadata.ownerReferences", refs);
	sync_patch(s, ad->orphan, NULL, patch, NULL, NULL);
}

/* A part that lost its owner is taken back; the cache may not know yet that the application goes.
 */
static void adopt(struct sync *s, struct object *orphan)
{
	struct pass *p = s->state;
	struct adoption *ad = ARENA_NEW(&s->arena, struct adoption);
	ad->orphan = sync_hold(s, orphan);
	p->adopting = true;
	sync_get(s, p->object->kind, s->ns, s->name, on_owner, ad);
}

/* Making and mending parts. */

static void on_written(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const struct json *part = user;
	if (client_ok(r) || sync_namespace_terminating(r))
		return;
	s->failed = true;
	/* The cache was behind: not worth telling. */
	if (r->code == 409 || r->code == 404)
		return;
	p->failure_reason = "FailedWrite";
	p->failure_message = arena_printf(&s->arena, "%s '%s' could not be written: %s",
		json_str_or(json_get(part, "kind"), ""),
		json_str_or(json_path(part, "metadata.name"), ""), r->message);
	client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning", "FailedWrite", "%s",
		p->failure_message);
}

static bool labels_as_wanted(const struct json *live, const struct json *wanted)
{
	return part_is_as_wanted(
		json_path(live, "metadata.labels"), json_path(wanted, "metadata.labels"));
}

/* A part of this application that nobody owns. */
static bool is_orphan(const struct sync *s, const struct object *o)
{
	return !object_controller(o) && !o->deleting &&
	       streq(object_label(o, LABEL_APPLICATION), s->name);
}

static void ensure(struct sync *s, struct informer *i, struct json *wanted)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *name = json_path_str(wanted, "metadata.name");
	const char *kind = json_str(json_get(wanted, "kind"));
	struct object *live = informer_get(i, s->ns, name);
	if (!live) {
		sync_create(s, informer_kind(i), s->ns, wanted, on_written, wanted);
		return;
	}
	if (!is_ours(p, live)) {
		if (is_orphan(s, live)) {
			adopt(s, live);
			return;
		}
		p->failure_reason = "NameTaken";
		p->failure_message = arena_printf(a,
			"there is a %s '%s' that does not belong to this application: delete or "
			"rename one of them",
			kind, name);
		sync_again(s, NAME_TAKEN_MS);
		return;
	}
	if (live->deleting)
		return;
	struct json *doc = object_doc(live, a);
	const char *was =
		json_str(json_get(json_path(doc, "metadata.annotations"), ANNOTATION_MADE_FROM));
	const char *is =
		json_str(json_get(json_path(wanted, "metadata.annotations"), ANNOTATION_MADE_FROM));
	if (streq(was, is) && labels_as_wanted(doc, wanted) &&
		part_is_as_wanted(json_get(doc, "spec"), json_get(wanted, "spec")))
		return;
	sync_update(s, informer_kind(i), s->ns, name, NULL, part_renewed(a, doc, wanted),
		on_written, wanted);
}

static void ensure_or_remove(struct sync *s, struct informer *i, struct json *wanted)
{
	struct object *live = informer_get(i, s->ns, s->name);
	if (wanted)
		ensure(s, i, wanted);
	else if (live && is_orphan(s, live))
		adopt(s, live);
	else if (is_ours(s->state, live) && !live->deleting)
		sync_delete(s, live, -1, "Background", NULL, NULL);
}

static void keep_containers(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *deployment = application_deployment(a, p->object, p->doc);
	/* An autoscaler finds a side that bears the least load from its first moment. */
	if (!informer_get(p->c->deployments, s->ns, s->name))
		json_path_set(a, deployment, "spec.replicas",
			json_new_int(a, application_replicas(p->doc)));
	ensure(s, p->c->deployments, deployment);
	ensure_or_remove(s, p->c->autoscalers, application_autoscaler(a, p->object, p->doc));
	ensure_or_remove(s, p->c->budgets, application_budget(a, p->object, p->doc));
}

static void remove_containers(struct sync *s)
{
	struct pass *p = s->state;
	ensure_or_remove(s, p->c->autoscalers, NULL);
	ensure_or_remove(s, p->c->budgets, NULL);
	ensure_or_remove(s, p->c->deployments, NULL);
}

/* Machines whose guests are older than their templates are started again, one at a time, while
 * another one answers. A single one is left to its owner: the condition RestartRequired says so. */
static void restart_stale_machine(struct sync *s)
{
	struct pass *p = s->state;
	struct object *stale = NULL;
	bool found = false;
	if (p->machine_count < 2)
		return;
	for (size_t n = 0; n < p->machine_count; n++) {
		struct json *status = json_get(object_doc(p->machines[n], &s->arena), "status");
		if (!json_path_bool(status, "ready", false))
			return;
		/* The first that asks for it, even when its guest has just gone: that its
		 * machine still seems to answer is old news, and no other may go meanwhile. */
		if (found ||
			!condition_is(json_get(status, "conditions"), "RestartRequired", "True"))
			continue;
		found = true;
		stale = informer_get(p->c->instances, s->ns, p->machines[n]->name);
	}
	if (stale && !stale->deleting)
		sync_delete(s, stale, -1, NULL, NULL, NULL);
}

static void keep_machines(struct sync *s)
{
	struct pass *p = s->state;
	int64_t wanted = application_replicas(p->doc);
	size_t missing = 0;
	/* The events of those that were made bring the next. */
	for (int64_t n = 0; n < wanted && missing < MACHINES_AT_ONCE; n++) {
		struct json *machine = application_machine(&s->arena, p->object, p->doc, n);
		missing += !informer_get(
			p->c->machines, s->ns, json_path_str(machine, "metadata.name"));
		ensure(s, p->c->machines, machine);
	}
	for (size_t n = 0; n < p->machine_count; n++) {
		int64_t number = application_machine_number(p->object, p->machines[n]->name);
		if ((number < 0 || number >= wanted) && !p->machines[n]->deleting)
			sync_delete(s, p->machines[n], -1, "Background", NULL, NULL);
	}
	if (!p->failure_reason)
		restart_stale_machine(s);
}

static void remove_machines(struct sync *s)
{
	struct pass *p = s->state;
	for (size_t n = 0; n < p->machine_count; n++)
		if (!p->machines[n]->deleting)
			sync_delete(s, p->machines[n], -1, "Background", NULL, NULL);
}

/* Looking. */

/* Why a pod is not ready; NULL = nothing that would not pass by itself. */
static const char *pod_says(struct arena *a, const struct object *pod)
{
	static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
	struct json *status = json_get(object_doc(pod, a), "status");
	const struct json *scheduled =
		condition_find(json_get(status, "conditions"), "PodScheduled");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(status, lists[i])) {
			const char *reason = json_path_str(c, "state.waiting.reason"),
				   *message = json_path_str(c, "state.waiting.message");
			if (reason && !streq(reason, "ContainerCreating") &&
				!streq(reason, "PodInitializing"))
				return arena_printf(a, "pod %s: %s%s%.200s", pod->name, reason,
					message ? ": " : "", message ? message : "");
		}
	if (!streq(json_str(json_get(scheduled, "status")), "False"))
		return NULL;
	return arena_printf(a, "pod %s: %s: %.200s", pod->name,
		json_str_or(json_get(scheduled, "reason"), ""),
		json_str_or(json_get(scheduled, "message"), ""));
}

static const char *pods_say(struct sync *s, const struct object *deployment)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct object **sets, **pods;
	const char *text = NULL;
	size_t set_count =
		informer_by_index(p->c->replica_sets, "owner", deployment->uid, a, &sets);
	for (size_t i = 0; i < set_count && !text; i++) {
		size_t count = informer_by_index(p->c->pods, "owner", sets[i]->uid, a, &pods);
		for (size_t n = 0; n < count && !text; n++)
			text = pod_says(a, sync_hold(s, pods[n]));
	}
	return text;
}

static void look_at_containers(struct sync *s, const struct json *wanted)
{
	struct pass *p = s->state;
	struct application_side *side = &p->view.sides[PLACEMENT_CONTAINER];
	struct object *o = find_ours(p, p->c->deployments, s->name);
	side->wanted = application_replicas(p->doc);
	side->exists = o || find_ours(p, p->c->autoscalers, s->name) ||
		       find_ours(p, p->c->budgets, s->name);
	if (!o)
		return;
	struct json *doc = object_doc(o, &s->arena), *status = json_get(doc, "status");
	side->replicas = json_path_int(status, "replicas", 0);
	side->ready = json_path_int(status, "readyReplicas", 0);
	side->current = part_is_as_wanted(json_get(doc, "spec"), json_get(wanted, "spec")) &&
			json_path_int(status, "observedGeneration", 0) >=
				json_path_int(doc, "metadata.generation", 0) &&
			json_path_int(status, "updatedReplicas", 0) >= side->wanted;
	const struct json *available =
		condition_find(json_get(status, "conditions"), "ReplicaFailure");
	if (streq(json_str(json_get(available, "status")), "True") &&
		p->view.target == PLACEMENT_CONTAINER)
		p->findings.waits_for = json_str(json_get(available, "message"));
	if (p->view.target == PLACEMENT_CONTAINER && !p->findings.waits_for &&
		side->ready < side->wanted)
		p->findings.waits_for = pods_say(s, o);
}

/* Machines are gone at once, their guests when they have shut down. */
static void look_at_guests(struct sync *s)
{
	struct pass *p = s->state;
	struct object **all;
	size_t count = informer_list(p->c->instances, s->ns, &s->arena, &all);
	for (size_t n = 0; n < count; n++) {
		const struct object_owner *owner = object_controller(all[n]);
		if (!owner || !streq(owner->kind, "VirtualMachine") ||
			!streq(object_label(all[n], LABEL_APPLICATION), s->name) ||
			application_machine_number(p->object, all[n]->name) < 0 ||
			informer_get(p->c->machines, s->ns, all[n]->name))
			continue;
		p->view.sides[PLACEMENT_VIRTUAL_MACHINE].exists = true;
		if (!p->findings.waits_for && p->view.target == PLACEMENT_CONTAINER)
			p->findings.waits_for = arena_printf(&s->arena,
				"the virtual machine instance '%s' has not ended yet",
				all[n]->name);
	}
}

static void look_at_machines(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct application_side *side = &p->view.sides[PLACEMENT_VIRTUAL_MACHINE];
	size_t count = informer_by_index(p->c->machines, "owner", p->object->uid, a, &p->machines);
	side->wanted = application_replicas(p->doc);
	side->exists = count > 0;
	side->current = true;
	p->machine_count = count;
	for (size_t n = 0; n < count; n++) {
		struct object *o = sync_hold(s, p->machines[n]);
		struct json *doc = object_doc(o, a), *status = json_get(doc, "status");
		int64_t number = application_machine_number(p->object, o->name);
		bool ready = json_path_bool(status, "ready", false) && !o->deleting;
		side->replicas += json_path_bool(status, "created", false);
		side->ready += ready;
		if (number < 0 || number >= side->wanted)
			continue;
		side->current &=
			!condition_is(json_get(status, "conditions"), "RestartRequired", "True");
		const struct json *failure =
			condition_find(json_get(status, "conditions"), "Failure");
		const char *state = json_str_or(json_get(status, "printableStatus"), "Starting");
		state = json_str_or(json_get(failure, "message"), state);
		if (!ready && !p->findings.waits_for && p->view.target == PLACEMENT_VIRTUAL_MACHINE)
			p->findings.waits_for = arena_printf(a, "%s: %s", o->name, state);
	}
}

static void look_at_service(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct object *service = find_ours(p, p->c->services, s->name), **slices;
	p->view.has_service = json_count(json_path(p->doc, "spec.ports")) > 0;
	if (!service)
		return;
	p->view.selects = application_service_selects(object_doc(service, a));
	size_t count = informer_by_index(p->c->slices, "owner", service->uid, a, &slices);
	for (size_t n = 0; n < count; n++)
		JSON_FOR_EACH_ITEM(e, json_get(object_doc(slices[n], a), "endpoints")) {
			bool machine =
				streq(json_path_str(e, "targetRef.kind"), "VirtualMachineInstance");
			if (json_path_bool(e, "conditions.ready", true))
				p->view.sides[machine ? PLACEMENT_VIRTUAL_MACHINE
						      : PLACEMENT_CONTAINER]
					.published++;
		}
}

/* Where it runs: as the status says; if that was lost, as the parts say. */
static enum placement_isolation where_it_runs(struct sync *s)
{
	struct pass *p = s->state;
	struct object **machines;
	enum placement_isolation side =
		placement_isolation_from_name(json_path_str(p->doc, "status.isolation"));
	if (side != PLACEMENT_NEITHER)
		return side;
	if (find_ours(p, p->c->deployments, s->name))
		return PLACEMENT_CONTAINER;
	return informer_by_index(p->c->machines, "owner", p->object->uid, &s->arena, &machines)
		       ? PLACEMENT_VIRTUAL_MACHINE
		       : PLACEMENT_NEITHER;
}

/* Deciding. */

static struct json *weights_config(struct applications *c, struct arena *a)
{
	struct object *o = informer_get(c->config_maps, WEIGHTS_NAMESPACE, WEIGHTS_NAME);
	return o ? json_get(object_doc(o, a), "data") : NULL;
}

static enum placement_isolation choose(struct pass *p, enum placement_isolation serving)
{
	const char *policy = json_str_or(json_path(p->doc, "spec.placement.policy"), "Auto");
	enum placement_isolation fixed =
		placement_isolation_from_name(json_path_str(p->doc, "spec.placement.isolation"));
	enum placement_isolation side = serving;
	if (streq(policy, "Fixed")) {
		p->findings.stays = "Fixed";
		if (fixed != PLACEMENT_NEITHER)
			side = fixed;
	} else if (streq(policy, "Recommend")) {
		p->findings.stays = "Recommended";
	} else if (p->findings.weight_problems) {
		p->findings.stays = "WeightsInvalid";
	} else {
		side = PLACEMENT_NEITHER;
	}
	if (side == PLACEMENT_NEITHER)
		side = p->decision.isolation;
	else if ((p->findings.excluded = placement_excluded(&p->decision, side)))
		side = PLACEMENT_NEITHER;
	return side;
}

static void decide(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *problems = NULL;
	struct placement_facts facts = placement_facts_of_application(a, json_get(p->doc, "spec"));
	struct placement_weights weights =
		placement_weights_of_config(a, weights_config(p->c, a), &problems);
	p->decision = placement_decide(a, &facts, &weights);
	p->findings.weight_problems = problems;
	p->view.serving = where_it_runs(s);
	p->view.target = choose(p, p->view.serving);
}

/* Telling. */

static const char *reason_text(const struct pass *p)
{
	return json_str_or(json_at(p->decision.reasons, 0), "");
}

static bool has_text(const struct json *texts, const char *text)
{
	JSON_FOR_EACH_ITEM(t, texts)
		if (streq(json_str(t), text))
			return true;
	return false;
}

static void tell_decision(struct pass *p, const char *is)
{
	const struct placement_decision *d = &p->decision;
	struct client *client = p->c->client;
	const struct placement_constraint *forced =
		placement_excluded(d, placement_other(d->isolation));
	bool higher = d->isolation == d->preferred;
	int64_t most = MAX(d->machine_score, d->container_score),
		least = MIN(d->machine_score, d->container_score);
	if (!is[0])
		client_event_as(client, COMPONENT, p->object, NULL, "Warning", "NeitherFits",
			"Neither virtual machines nor containers can run it: %s",
			json_str_or(json_at(d->contradictions, 0), ""));
	else if (forced)
		client_event_as(client, COMPONENT, p->object, NULL, "Normal", "Placed",
			"Belongs in a %s: %s rules out %s", is, forced->name,
			d->isolation == PLACEMENT_CONTAINER ? "virtual machines" : "containers");
	else
		client_event_as(client, COMPONENT, p->object, NULL, "Normal", "Placed",
			"Belongs in a %s (%" PRId64 " points to %" PRId64 "): %s", is,
			higher ? most : least, higher ? least : most, reason_text(p));
}

static void tell_changes(struct pass *p, const struct json *status)
{
	struct client *client = p->c->client;
	const char *was = json_path_str(p->doc, "status.decision.isolation"),
		   *is = placement_isolation_name(p->decision.isolation),
		   *moved_to = json_path_str(p->doc, "status.move.to"),
		   *moves_to = json_path_str(status, "move.to");
	if (!was || !streq(was, is))
		tell_decision(p, is);
	bool told = p->decision.isolation == PLACEMENT_NEITHER; /* the first, by NeitherFits */
	JSON_FOR_EACH_ITEM(odd, p->decision.contradictions) {
		if (!told && !has_text(json_path(p->doc, "status.decision.contradictions"),
				     json_str(odd)))
			client_event_as(client, COMPONENT, p->object, NULL, "Warning",
				"Contradiction", "%s", json_str(odd));
		told = false;
	}
	const char *progress = "ProgressDeadlineExceeded";
	const struct json *now = condition_find(json_get(status, "conditions"), "Progressing"),
			  *before = condition_find(
				  json_path(p->doc, "status.conditions"), "Progressing");
	if (streq(json_str(json_get(now, "reason")), progress) &&
		!streq(json_str(json_get(before, "reason")), progress))
		client_event_as(client, COMPONENT, p->object, NULL, "Warning", progress, "%s",
			json_str_or(json_get(now, "message"), ""));
	if (moves_to && !streq(moved_to, moves_to))
		client_event_as(client, COMPONENT, p->object, NULL, "Normal", "Moving",
			"Moving to %s: %s", moves_to, reason_text(p));
	if (moved_to && !moves_to)
		client_event_as(client, COMPONENT, p->object, NULL, "Normal", "Moved",
			"Runs as %s, and only there", placement_isolation_name(p->plan.serving));
	if (p->failure_reason && streq(p->failure_reason, "NameTaken"))
		client_event_as(client, COMPONENT, p->object, NULL, "Warning", "NameTaken", "%s",
			p->failure_message);
}

static void on_status(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r))
		tell_changes(p, user);
	else if (r->code != 404)
		sync_check(s, r);
}

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	int64_t again_ms;
	p->findings.failure_reason = p->failure_reason;
	p->findings.failure_message = p->failure_message;
	struct json *status =
		application_status(&s->arena, &p->findings, loop_wall_ns(s->loop), &again_ms);
	if (again_ms >= 0)
		sync_again(s, again_ms);
	if (p->plan.again_ms >= 0)
		sync_again(s, p->plan.again_ms);
	sync_status(s, p->object, p->doc, status, on_status, status);
}

/* One pass. */

static void act(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	if (p->view.target == PLACEMENT_NEITHER)
		return;
	ensure_or_remove(
		s, p->c->services, application_service(a, p->object, p->doc, p->plan.selects));
	if (p->plan.keep[PLACEMENT_CONTAINER])
		keep_containers(s);
	if (p->plan.keep[PLACEMENT_VIRTUAL_MACHINE])
		keep_machines(s);
	if (p->plan.remove[PLACEMENT_CONTAINER])
		remove_containers(s);
	if (p->plan.remove[PLACEMENT_VIRTUAL_MACHINE])
		remove_machines(s);
}

static void reconcile(struct sync *s)
{
	struct applications *c = s->self;
	struct arena *a = &s->arena;
	struct object *o = informer_get(c->applications, s->ns, s->name);
	if (!o || o->deleting)
		return; /* its parts are collected with it */
	struct pass *p = ARENA_NEW(a, struct pass);
	s->state = p;
	p->c = c;
	p->object = sync_hold(s, o);
	p->doc = object_doc(o, a);
	p->findings = (struct application_findings){.object = p->object,
		.doc = p->doc,
		.decision = &p->decision,
		.view = &p->view,
		.plan = &p->plan};
	decide(s);
	look_at_containers(s, application_deployment(a, p->object, p->doc));
	look_at_machines(s);
	look_at_guests(s);
	look_at_service(s);
	const struct json *move = json_path(p->doc, "status.move");
	bool same_move =
		streq(json_str(json_get(move, "to")), placement_isolation_name(p->view.target));
	p->view.now_ns = loop_wall_ns(s->loop);
	p->view.drain_ms = json_path_int(p->doc, "spec.placement.drainSeconds", 10) * 1000;
	p->view.both_since_ns = same_move ? meta_time_ns(json_get(move, "servingTime")) : 0;
	p->view.drained_since_ns = same_move ? meta_time_ns(json_get(move, "drainTime")) : 0;
	p->plan = application_plan(&p->view);
	s->next = write_status;
	act(s);
}

/* Events. */

static void on_application(void *user, const struct object *old, const struct object *new)
{
	struct applications *c = user;
	if (meta_is_news(old, new))
		loop_add_object(c->loop, new ? new : old);
}

static void on_part(void *user, const struct object *old, const struct object *new)
{
	struct applications *c = user;
	const char *was = old ? object_label(old, LABEL_APPLICATION) : NULL,
		   *is = new ? object_label(new, LABEL_APPLICATION) : NULL;
	if (was && was[0])
		loop_add(c->loop, old->namespace, was);
	if (is && is[0] && !streq(is, was))
		loop_add(c->loop, new->namespace, is);
	/* One that bears the name of a part, and stood in its way. */
	const struct object *o = new ? new : old;
	if (!was && !is && informer_get(c->applications, o->namespace, o->name))
		loop_add(c->loop, o->namespace, o->name);
}

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct applications *c = user;
	const struct object *o = new ? new : old;
	const char *name = object_label(o, LABEL_APPLICATION);
	if (name && name[0])
		loop_add(c->loop, o->namespace, name);
}

static void on_config(void *user, const struct object *old, const struct object *new)
{
	struct applications *c = user;
	const struct object *o = new ? new : old;
	if (!streq(o->name, WEIGHTS_NAME) || !streq(o->namespace, WEIGHTS_NAMESPACE))
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *problems = NULL;
	struct object **all;
	if (new)
		placement_weights_of_config(&a, json_get(object_doc(new, &a), "data"), &problems);
	JSON_FOR_EACH_ITEM(problem, problems)
		client_event_as(c->client, COMPONENT, new, NULL, "Warning", "InvalidWeight", "%s",
			json_str(problem));
	size_t count = informer_list(c->applications, NULL, &a, &all);
	for (size_t n = 0; n < count; n++)
		loop_add_object(c->loop, all[n]);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_application},
					     part_handler = {.changed = on_part},
					     pod_handler = {.changed = on_pod},
					     config_handler = {.changed = on_config};
	struct applications *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 5, reconcile, c);
	c->applications = shared_informer(sh, "hanok.io", "v1", "Application");
	c->config_maps = shared_informer(sh, "", "v1", "ConfigMap");
	c->deployments = shared_informer(sh, "apps", "v1", "Deployment");
	c->autoscalers = shared_informer(sh, "autoscaling", "v2", "HorizontalPodAutoscaler");
	c->budgets = shared_informer(sh, "policy", "v1", "PodDisruptionBudget");
	c->services = shared_informer(sh, "", "v1", "Service");
	c->slices = shared_informer(sh, "discovery.k8s.io", "v1", "EndpointSlice");
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->replica_sets = shared_informer(sh, "apps", "v1", "ReplicaSet");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	informer_add_index(c->machines, "owner");
	informer_add_index(c->instances, "namespace");
	informer_add_index(c->replica_sets, "owner");
	informer_add_index(c->pods, "owner");
	informer_add_index(c->slices, "owner");
	informer_add_handler(c->applications, &handler, c);
	informer_add_handler(c->config_maps, &config_handler, c);
	informer_add_handler(c->pods, &pod_handler, c);
	informer_add_handler(c->instances, &pod_handler, c);
	struct informer *parts[] = {
		c->deployments, c->autoscalers, c->budgets, c->services, c->slices, c->machines};
	for (size_t n = 0; n < ARRAY_LEN(parts); n++)
		informer_add_handler(parts[n], &part_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct applications *)self)->loop);
}

static void destroy(void *self)
{
	struct applications *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class application_controller = {"application", create, start, destroy};
