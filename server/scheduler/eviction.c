/* eviction.c - makes room for a workload that fits nowhere: sends those away whom preemption chose.
 */
#include <inttypes.h>

#include "lib/base/log.h"
#include "server/scheduler/preemption.h"
#include "server/scheduler/scheduler_impl.h"

#define TRIES_MAX 3 /* to say why a victim goes, when others write at the same time */

static struct budget read_budget(struct arena *a, const struct object *o)
{
	struct err err = ERR_INIT;
	const struct json *doc = object_doc(o, a);
	const struct json *disrupted = json_path(doc, "status.disruptedPods");
	struct budget b = {
		.ns = o->namespace, .allowed = json_path_int(doc, "status.disruptionsAllowed", 0)};
	if (selector_from_label_selector(a, json_path(doc, "spec.selector"), &b.pods, &err) < 0)
		b.pods = (struct selector){.nothing = true};
	b.disrupted = arena_alloc(a, (json_count(disrupted) + 1) * sizeof(*b.disrupted));
	JSON_FOR_EACH_MEMBER(m, disrupted)
		b.disrupted[b.disrupted_count++] = m->name;
	return b;
}

static size_t read_budgets(struct scheduler *s, struct arena *a, struct budget **ret)
{
	struct object **all;
	size_t count = informer_list(s->budgets, NULL, a, &all);
	*ret = arena_alloc(a, (count + 1) * sizeof(**ret));
	for (size_t n = 0; n < count; n++)
		(*ret)[n] = read_budget(a, all[n]);
	return count;
}

/* ---- victims ---- */

static void on_deleted(void *user, const struct client_result *r)
{
	struct call *call = user;
	if (!client_ok(r) && r->code != 404 && r->code != 409)
		log_warn("cannot preempt", "namespace", call->workload->ns, "name",
			call->workload->name, "message", r->message, NULL);
	scheduler_call_free(call);
}

static void delete_victim(struct call *call)
{
	const struct workload *w = call->workload;
	call->client_call = client_delete(call->s->client, w->object->kind, w->ns, w->name, w->uid,
		-1, NULL, on_deleted, call);
}

static void on_told(void *user, const struct client_result *r);

/* Why it goes is said before it goes. */
static void tell_victim(struct call *call, const struct object *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *patch = scheduler_patch_of(&a, o);
	const struct scheduler_condition c = {"DisruptionTarget", "True", "PreemptionByScheduler",
		DEFAULT_SCHEDULER ": preempting to accommodate a higher priority pod"};
	json_path_set(&a, patch, "status.conditions",
		scheduler_with_condition(
			call->s, &a, json_path(object_doc(o, &a), "status.conditions"), &c));
	call->client_call = client_patch(call->s->client, o->kind, o->namespace, o->name, "status",
		"application/merge-patch+json", patch, on_told, call);
}

static void on_read(void *user, const struct client_result *r)
{
	struct call *call = user;
	const struct object *known = call->workload->object;
	_cleanup_(object_unref_p) struct object *o = NULL;
	struct err err = ERR_INIT;
	if (client_ok(r) && object_from_bytes(known->kind, r->body, r->body_size, &o, &err) == 0 &&
		streq(o->uid, known->uid))
		tell_victim(call, o);
	else
		delete_victim(call);
}

/* Somebody else has written meanwhile: once more, on what it is now. When it can't be written, the
 * victim goes all the same. */
static void on_told(void *user, const struct client_result *r)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct call *call = user;
	const struct workload *w = call->workload;
	if (r->code != 409 || call->tries++ >= TRIES_MAX) {
		delete_victim(call);
		return;
	}
	struct client_request req = {
		.method = "GET", .path = client_path(&a, w->object->kind, w->ns, w->name, NULL)};
	call->client_call = client_request(call->s->client, &req, on_read, call);
}

static void evict(
	struct scheduler *s, struct workload *victim, const struct workload *w, const char *node)
{
	const struct object *o = victim->object;
	if (victim->terminating)
		return;
	s->metrics.victims++;
	client_event_as(s->client, DEFAULT_SCHEDULER, o, NULL, "Normal", "Preempted",
		"Preempted by pod %s on node %s", w->uid, node);
	struct call *call = scheduler_call(s);
	call->workload = workload_ref(victim);
	if (!workload_is_pod(victim)) {
		delete_victim(call);
		return;
	}
	tell_victim(call, o);
}

/* Those of lower priority that were promised this node have to look anew. */
static void withdraw_promises(struct scheduler *s, const struct workload *w, const char *node)
{
	struct node_info *i = table_get(&s->core.snapshot.by_name, node);
	for (size_t n = 0; i && n < i->nominated.count;) {
		struct workload *other = i->nominated.items[n];
		if (other->priority >= w->priority) {
			n++;
			continue;
		}
		workload_ref(other);
		snapshot_nominate(&s->core.snapshot, other, NULL);
		scheduler_write_nomination(s, other, NULL);
		queue_move_one(s->queue, other->uid, scheduler_now(s));
		workload_unref(other);
	}
}

const char *scheduler_preempt(
	struct scheduler *s, struct workload *w, struct arena *a, const char **ret_node)
{
	struct budget *budgets = NULL;
	/* With nobody to send away there is no need to know whom they protect. */
	size_t count = snapshot_has_lower(&s->core.snapshot, w->priority)
			       ? read_budgets(s, a, &budgets)
			       : 0;
	s->metrics.preemptions++;
	struct preemption p = preempt(&s->core, w, budgets, count, &s->random, a);
	*ret_node = NULL;
	if (!p.node)
		return p.message;
	*ret_node = arena_strdup(a, p.node);
	for (size_t n = 0; n < p.count; n++)
		evict(s, p.victims[n]->workload, w, p.node);
	withdraw_promises(s, w, *ret_node);
	snapshot_nominate(&s->core.snapshot, w, *ret_node);
	return NULL;
}
