/* volume_binding.c - workloads whose node is chosen but whose volumes are not bound yet: says which
 * volume or node a claim is to have, and waits until whoever binds and makes volumes has done so.
 *
 *            place                       all claims are bound
 *   TRYING ---------> volumes are asked for ----------------> bind
 *                           |  refused, gone, other node, ten minutes passed
 *                           '----------------> back-off, the node's room is given back
 */
#include "lib/base/log.h"
#include "server/scheduler/scheduler_impl.h"

#define WAIT_NS (600 * NS_PER_S)

struct volume_wait {
	struct list link;
	struct scheduler *s;
	struct workload *workload;
	char *node;
	int64_t deadline_ns;
	bool *asked; /* for each claim: it has shown our choice of node */
};

static void wait_free(struct volume_wait *w)
{
	list_remove(&w->link);
	workload_unref(w->workload);
	free(w->node);
	free(w->asked);
	free(w);
}

/* What was decided about its volumes is void; those that say so themselves stay as they are. */
static void release_volumes(struct scheduler *s, const struct workload *w)
{
	for (size_t n = 0; n < w->claim_count; n++) {
		/* By name: the claim itself may be gone. */
		_cleanup_(free_p) char *key = xasprintf("%s/%s", w->ns, w->claims[n].name);
		struct table_iter it = table_iterate(&s->core.volumes.volumes);
		while (table_next(&it)) {
			struct volume *v = it.value;
			if (!streq(v->assumed_claim, key))
				continue;
			free(v->assumed_claim);
			v->assumed_claim = NULL;
		}
	}
}

void scheduler_drop_volume_wait(struct scheduler *s, const char *uid)
{
	LIST_FOR_EACH(w, &s->volume_waits, struct volume_wait, link) {
		if (uid && !streq(w->workload->uid, uid))
			continue;
		release_volumes(s, w->workload);
		wait_free(w);
	}
}

static struct volume_wait *find_wait(struct scheduler *s, const char *uid)
{
	LIST_FOR_EACH(w, &s->volume_waits, struct volume_wait, link) {
		if (streq(w->workload->uid, uid))
			return w;
	}
	return NULL;
}

static void give_up(struct volume_wait *w, const char *why)
{
	struct scheduler *s = w->s;
	struct queued *q = queue_find(s->queue, w->workload->uid);
	client_event_as(s->client, DEFAULT_SCHEDULER, w->workload->object, NULL, "Warning",
		"FailedScheduling", "running PreBind plugin \"VolumeBinding\": %s", why);
	release_volumes(s, w->workload);
	core_unassign(&s->core, w->workload->uid);
	s->metrics.attempts[ATTEMPT_ERROR]++;
	if (q && q->sm.state == QUEUE_TRYING)
		queue_retry(s->queue, q, scheduler_now(s));
	wait_free(w);
	scheduler_arm(s);
}

/* False when it has given up. */
static bool look(struct volume_wait *w, bool *ret_all_bound)
{
	struct scheduler *s = w->s;
	*ret_all_bound = true;
	for (size_t n = 0; n < w->workload->claim_count; n++) {
		const struct claim *c = volumes_claim(
			&s->core.volumes, w->workload->ns, w->workload->claims[n].name);
		if (!c) {
			give_up(w, "binding volumes: a claim is gone");
			return false;
		}
		if (c->bound)
			continue;
		*ret_all_bound = false;
		if (streq(c->selected_node, w->node)) {
			w->asked[n] = true;
		} else if (c->selected_node[0] || w->asked[n]) {
			/* Whoever makes the volume can't make it there. */
			give_up(w, "binding volumes: provisioning failed for the selected node");
			return false;
		}
	}
	return true;
}

void scheduler_check_volume_waits(struct scheduler *s)
{
	LIST_FOR_EACH(w, &s->volume_waits, struct volume_wait, link) {
		bool all_bound;
		struct queued *q = queue_find(s->queue, w->workload->uid);
		if (!look(w, &all_bound))
			continue;
		if (all_bound && q) {
			scheduler_bind(s, q, w->node);
			wait_free(w);
		} else if (w->deadline_ns <= scheduler_now(s)) {
			give_up(w, "binding volumes: timed out waiting for the condition");
		}
	}
}

int64_t scheduler_volume_deadline(const struct scheduler *s)
{
	return list_empty(&s->volume_waits)
		       ? INT64_MAX
		       : CONTAINER_OF(s->volume_waits.next, struct volume_wait, link)->deadline_ns;
}

static void on_asked(void *user, const struct client_result *r)
{
	struct call *call = user;
	struct volume_wait *w = find_wait(call->s, call->workload->uid);
	if (!client_ok(r) && w)
		give_up(w, r->message);
	scheduler_call_free(call);
}

static void ask(struct scheduler *s, struct workload *w, const struct object *o, struct json *patch)
{
	struct call *call = scheduler_call(s);
	call->workload = workload_ref(w);
	call->client_call = client_patch(s->client, o->kind, o->namespace, o->name, NULL,
		"application/merge-patch+json", patch, on_asked, call);
}

static struct json *annotation(
	struct arena *a, struct json *patch, const char *key, const char *value)
{
	struct json *notes = json_object_at(a, json_object_at(a, patch, "metadata"), "annotations");
	json_set_str(a, notes, key, value);
	return patch;
}

static void ask_for_volume(struct scheduler *s, struct workload *w, const struct volume_choice *c)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *claim = c->claim->object;
	struct json *patch = scheduler_patch_of(&a, c->volume->object), *ref = json_new_object(&a);
	free(c->volume->assumed_claim);
	c->volume->assumed_claim = xstrdup(c->claim->key);
	json_set_str(&a, ref, "kind", "PersistentVolumeClaim");
	json_set_str(&a, ref, "apiVersion", "v1");
	json_set_str(&a, ref, "namespace", claim->namespace);
	json_set_str(&a, ref, "name", claim->name);
	json_set_str(&a, ref, "uid", claim->uid);
	json_path_set(&a, patch, "spec.claimRef", ref);
	ask(s, w, c->volume->object,
		annotation(&a, patch, "pv.kubernetes.io/bound-by-controller", "yes"));
}

void scheduler_bind_volumes(struct scheduler *s, const struct queued *q, const char *node,
	const struct volume_choice *choices, size_t count)
{
	struct volume_wait *w = xcalloc(1, sizeof(*w));
	w->s = s;
	w->workload = workload_ref(q->workload);
	w->node = xstrdup(node);
	w->asked = xcalloc(w->workload->claim_count, sizeof(*w->asked));
	w->deadline_ns = scheduler_now(s) + WAIT_NS;
	list_append(&s->volume_waits, &w->link);
	for (size_t n = 0; n < count; n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct volume_choice *c = &choices[n];
		if (c->volume)
			ask_for_volume(s, q->workload, c);
		else if (!c->claim->selected_node[0])
			ask(s, q->workload, c->claim->object,
				annotation(&a, scheduler_patch_of(&a, c->claim->object),
					VOLUME_SELECTED_NODE, node));
	}
}
