#include <inttypes.h>

#include "lib/base/log.h"
#include "server/controllers/claim.h"
#include "server/controllers/controller.h"
#include "server/controllers/workloads/deployment_status.h"
#include "server/controllers/meta.h"

#define COMPONENT "deployment-controller"

struct deployments {
	struct loop *loop;
	struct client *client;
	struct informer *deployments, *sets, *pods;
	struct pod_views *views;
};

/* One sync: it takes one step of the rollout (create the new set, or resize sets, or clean up),
 * writes the status, and ends; the events of what it wrote bring the next. */
struct pass {
	struct deployments *c;
	struct object *object;
	struct json *doc;
	struct rollout_limits limits;
	bool recreate, paused;
	struct deployment_set *sets; /* all that are ours, oldest first */
	size_t count;
	struct deployment_set *new_set; /* NULL = must be created */
	int64_t revision;		/* that the new set must have */
	int64_t collisions;
	const char *progress_status, *progress_reason, *progress_message;
};

/* Status and the deployment's own annotation, at the end of every pass. */

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct deployment_view view = {
		.object = p->object,
		.doc = p->doc,
		.limits = &p->limits,
		.new_set = p->new_set,
		.sets = p->sets,
		.count = p->count,
		.collisions = p->collisions,
		.progress_status = p->progress_status,
		.progress_reason = p->progress_reason,
		.progress_message = p->progress_message,
		.paused = p->paused,
	};
	int64_t check_ms;
	struct json *status = deployment_status(&s->arena, &view, loop_wall_ns(s->loop), &check_ms);
	if (check_ms >= 0)
		sync_again(s, check_ms);
	sync_status(s, p->object, p->doc, status, NULL, NULL);
}

static void on_annotated(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct object *now;
	if (!client_ok(r)) {
		sync_check(s, r);
		return;
	}
	/* The status is written next, on the revision that this made. */
	if (object_from_bytes(p->object->kind, r->body, r->body_size, &now, NULL) < 0)
		return;
	p->object = sync_hold(s, now);
	object_unref(now);
	s->next = write_status;
}

static void finish(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *has = json_get(json_path(p->doc, "metadata.annotations"), REVISION);
	char *revision = arena_printf(a, "%" PRId64, p->revision);
	if (!p->new_set || p->paused || streq(json_str(has), revision)) {
		write_status(s);
		return;
	}
	struct json *patch = json_new_object(a), *annotations = json_new_object(a);
	json_set_str(a, annotations, REVISION, revision);
	json_path_set(a, patch, "metadata.annotations", annotations);
	sync_patch(s, p->object, NULL, patch, on_annotated, NULL);
}

/* Resizing. */

struct resize {
	struct deployment_set *set;
	int64_t from, to;
};

static void on_resized(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const struct resize *z = user;
	if (!client_ok(r)) {
		sync_check(s, r);
		return;
	}
	if (z->from != z->to)
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Normal",
			"ScalingReplicaSet",
			"Scaled %s replica set %s from %" PRId64 " to %" PRId64,
			z->to > z->from ? "up" : "down", z->set->object->name, z->from, z->to);
}

/* Sets the size and the annotations that proportional scaling reads. True when something was
 * written. */
static bool resize(struct sync *s, struct deployment_set *set, int64_t to)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a);
	int64_t max_replicas = p->limits.replicas + (p->recreate ? 0 : p->limits.surge);
	struct json *annotations = deployment_set_annotations(
		a, p->doc, set, set == p->new_set ? p->revision : 0, max_replicas);
	/* An old set's annotations are its history: only the sizes are kept up to date. */
	if (annotations && set != p->new_set) {
		struct json *sizes = json_new_object(a);
		if (json_get(annotations, DESIRED_REPLICAS))
			json_set(a, sizes, DESIRED_REPLICAS,
				json_get(annotations, DESIRED_REPLICAS));
		if (json_get(annotations, MAX_REPLICAS))
			json_set(a, sizes, MAX_REPLICAS, json_get(annotations, MAX_REPLICAS));
		annotations = json_count(sizes) && (set->size.replicas || to) ? sizes : NULL;
	}
	int64_t min_ready_s = json_path_int(p->doc, "spec.minReadySeconds", 0);
	bool other_min_ready = set == p->new_set &&
			       min_ready_s != json_path_int(set->doc, "spec.minReadySeconds", 0);
	if (!annotations && !other_min_ready && to == set->size.replicas)
		return false;
	if (annotations)
		json_path_set(a, patch, "metadata.annotations", annotations);
	if (to != set->size.replicas)
		json_path_set(a, patch, "spec.replicas", json_new_int(a, to));
	if (other_min_ready)
		json_path_set(a, patch, "spec.minReadySeconds", json_new_int(a, min_ready_s));
	struct resize *z = ARENA_NEW(a, struct resize);
	*z = (struct resize){set, set->size.replicas, to};
	set->size.replicas = to;
	sync_patch(s, sync_hold(s, set->object), NULL, patch, on_resized, z);
	return true;
}

static size_t active_sets(struct sync *s, bool with_new, struct rollout_set ***ret)
{
	struct pass *p = s->state;
	*ret = arena_alloc(&s->arena, (p->count + 1) * sizeof(**ret));
	size_t count = 0;
	for (size_t n = 0; n < p->count; n++)
		if (p->sets[n].size.replicas > 0 && (with_new || &p->sets[n] != p->new_set))
			(*ret)[count++] = &p->sets[n].size;
	return count;
}

static struct deployment_set *whole(struct rollout_set *size)
{
	return CONTAINER_OF(size, struct deployment_set, size);
}

static bool apply_targets(struct sync *s, struct rollout_set **sizes, size_t count)
{
	bool changed = false;
	for (size_t n = 0; n < count; n++)
		changed |= resize(s, whole(sizes[n]), sizes[n]->target);
	return changed;
}

static int64_t specified(const struct pass *p)
{
	int64_t total = 0;
	for (size_t n = 0; n < p->count; n++)
		total += p->sets[n].size.replicas;
	return total;
}

/* The size was changed, or the deployment is paused: sizes follow, the rollout itself does not
 * move. */
static void scale_only(struct sync *s)
{
	struct pass *p = s->state;
	struct rollout_set **active;
	size_t count = active_sets(s, true, &active);
	if (count <= 1) {
		struct deployment_set *one = count	  ? whole(active[0])
					     : p->new_set ? p->new_set
					     : p->count	  ? &p->sets[p->count - 1]
							  : NULL;
		if (one)
			resize(s, one, p->limits.replicas);
	} else if (p->new_set && p->new_set->size.replicas == p->limits.replicas &&
		   p->new_set->desired == p->limits.replicas &&
		   p->new_set->size.available == p->limits.replicas) {
		for (size_t n = 0; n < count; n++)
			if (whole(active[n]) != p->new_set)
				resize(s, whole(active[n]), 0);
	} else if (!p->recreate) {
		rollout_spread(
			&p->limits, json_path_int(p->doc, "status.replicas", 0), active, count);
		apply_targets(s, active, count);
	}
}

/* The new ReplicaSet. */

static void on_existing(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct object *found = NULL;
	if (!client_ok(r) || object_from_bytes(informer_kind(p->c->sets), r->body, r->body_size,
				     &found, NULL) < 0) {
		sync_check(s, r);
		return;
	}
	const struct object_owner *owner = object_controller(found);
	bool ours = owner && streq(owner->uid, p->object->uid) &&
		    deployment_template_equal(&s->arena, p->doc, object_doc(found, &s->arena));
	object_unref(found);
	/* Ours: the cache has not seen it yet. Else another template has the same hash: with the
	 * collision counted, the next one differs. */
	s->failed = true;
	if (ours)
		return;
	struct json *status = json_new_object(&s->arena);
	json_set_int(&s->arena, status, "collisionCount", p->collisions + 1);
	sync_status(s, p->object, p->doc, status, NULL, NULL);
}

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct json *set = user;
	const char *name = json_path_str(set, "metadata.name");
	if (client_ok(r)) {
		int64_t replicas = json_path_int(set, "spec.replicas", 0);
		p->progress_status = "True";
		p->progress_reason = "NewReplicaSetCreated";
		p->progress_message =
			arena_printf(&s->arena, "Created new replica set \"%s\"", name);
		if (replicas > 0)
			client_event_as(p->c->client, COMPONENT, p->object, NULL, "Normal",
				"ScalingReplicaSet", "Scaled up replica set %s from 0 to %" PRId64,
				name, replicas);
		struct object *o;
		if (object_from_bytes(informer_kind(p->c->sets), r->body, r->body_size, &o, NULL) ==
			0) {
			p->sets[p->count] = deployment_set_read(&s->arena, sync_hold(s, o));
			p->new_set = &p->sets[p->count++];
			object_unref(o);
		}
		s->next = finish;
	} else if (r->code == 409 && streq(r->reason, "AlreadyExists")) {
		sync_get(s, informer_kind(p->c->sets), p->object->namespace, name, on_existing,
			NULL);
	} else if (!sync_namespace_terminating(r)) {
		s->failed = true;
		p->progress_status = "False";
		p->progress_reason = "ReplicaSetCreateError";
		p->progress_message = arena_printf(
			&s->arena, "Failed to create new replica set \"%s\": %s", name, r->message);
		client_event_as(p->c->client, COMPONENT, p->object, NULL, "Warning",
			"ReplicaSetCreateError", "%s", p->progress_message);
		s->next = write_status;
	}
}

static void create_new_set(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	char *hash = deployment_template_hash(a, json_path(p->doc, "spec.template"), p->collisions);
	int64_t replicas =
		p->recreate ? p->limits.replicas : rollout_grow_new(&p->limits, 0, specified(p));
	struct json *set = deployment_new_set(a, p->object, p->doc, hash, replicas, p->revision,
		p->limits.replicas + (p->recreate ? 0 : p->limits.surge));
	sync_create(s, informer_kind(p->c->sets), p->object->namespace, set, on_created, set);
}

/* History. */

static int older_first(const void *pa, const void *pb)
{
	const struct deployment_set *a = pa, *b = pb;
	if (a->size.created_ns != b->size.created_ns)
		return a->size.created_ns < b->size.created_ns ? -1 : 1;
	return strcmp(a->size.name, b->size.name);
}

static int lower_revision_first(const void *pa, const void *pb)
{
	const struct deployment_set *a = *(struct deployment_set *const *)pa,
				    *b = *(struct deployment_set *const *)pb;
	if (a->revision != b->revision)
		return a->revision < b->revision ? -1 : 1;
	return older_first(a, b);
}

static void clean_up(struct sync *s)
{
	struct pass *p = s->state;
	int64_t limit = json_path_int(p->doc, "spec.revisionHistoryLimit", 10);
	struct deployment_set **olds = arena_alloc(&s->arena, (p->count + 1) * sizeof(*olds));
	size_t count = 0;
	for (size_t n = 0; n < p->count; n++)
		if (&p->sets[n] != p->new_set && !p->sets[n].object->deleting)
			olds[count++] = &p->sets[n];
	if ((int64_t)count <= limit)
		return;
	qsort(olds, count, sizeof(*olds), lower_revision_first);
	for (size_t n = 0; n < count - (size_t)limit; n++) {
		const struct deployment_set *set = olds[n];
		bool empty = !set->size.replicas && !set->status_replicas &&
			     json_path_int(set->doc, "status.observedGeneration", 0) >=
				     json_path_int(set->doc, "metadata.generation", 0);
		if (empty)
			sync_delete(s, set->object, -1, "Background", NULL, NULL);
	}
}

/* Strategies. */

static void roll(struct sync *s)
{
	struct pass *p = s->state;
	if (!p->new_set) {
		create_new_set(s);
		return;
	}
	s->next = finish;
	int64_t to = rollout_grow_new(&p->limits, p->new_set->size.replicas, specified(p));
	bool resized = to != p->new_set->size.replicas;
	if (resize(s, p->new_set, to) && resized)
		return;
	struct rollout_set **olds;
	size_t count = active_sets(s, false, &olds);
	rollout_shrink_old(&p->limits, &p->new_set->size, olds, count);
	if (apply_targets(s, olds, count))
		return;
	if (deployment_complete(p->doc, json_get(p->doc, "status")))
		clean_up(s);
}

static bool old_pods_run(struct sync *s)
{
	struct pass *p = s->state;
	for (size_t n = 0; n < p->count; n++) {
		if (&p->sets[n] == p->new_set)
			continue;
		struct object **pods;
		size_t count = informer_by_index(
			p->c->pods, "owner", p->sets[n].object->uid, &s->arena, &pods);
		for (size_t m = 0; m < count; m++)
			if (!pod_view(p->c->views, pods[m])->terminal)
				return true;
	}
	return false;
}

static void recreate(struct sync *s)
{
	struct pass *p = s->state;
	struct rollout_set **olds;
	size_t count = active_sets(s, false, &olds);
	s->next = finish;
	for (size_t n = 0; n < count; n++)
		olds[n]->target = 0;
	if (apply_targets(s, olds, count) || old_pods_run(s))
		return;
	if (!p->new_set) {
		s->next = NULL;
		create_new_set(s);
		return;
	}
	if (!resize(s, p->new_set, p->limits.replicas) &&
		deployment_complete(p->doc, json_get(p->doc, "status")))
		clean_up(s);
}

/* Pausing and resuming are written down, so that a pause does not run into the progress deadline.
 */
static void note_pause(struct pass *p)
{
	const char *reason = json_str_or(
		json_get(condition_find(json_path(p->doc, "status.conditions"), "Progressing"),
			"reason"),
		"");
	bool noted = streq(reason, "DeploymentPaused");
	if (streq(reason, "ProgressDeadlineExceeded") || p->paused == noted)
		return;
	p->progress_status = "Unknown";
	p->progress_reason = p->paused ? "DeploymentPaused" : "DeploymentResumed";
	p->progress_message = p->paused ? "Deployment is paused" : "Deployment is resumed";
}

static bool size_changed(const struct pass *p)
{
	for (size_t n = 0; n < p->count; n++)
		if (p->sets[n].size.replicas > 0 && p->sets[n].desired >= 0 &&
			p->sets[n].desired != p->limits.replicas)
			return true;
	return false;
}

static void read_sets(struct sync *s, struct pass *p, const struct claim *claim)
{
	struct arena *a = &s->arena;
	/* One more: the set that this pass may create. */
	p->sets = arena_alloc(a, (claim->count + 1) * sizeof(*p->sets));
	p->count = claim->count;
	for (size_t n = 0; n < claim->count; n++)
		p->sets[n] = deployment_set_read(a, sync_hold(s, claim->mine[n]));
	if (p->count > 1)
		qsort(p->sets, p->count, sizeof(*p->sets), older_first);
	for (size_t n = 0; n < p->count && !p->new_set; n++)
		if (!p->sets[n].object->deleting &&
			deployment_template_equal(a, p->doc, p->sets[n].doc))
			p->new_set = &p->sets[n];
	int64_t newest_old = 0;
	for (size_t n = 0; n < p->count; n++)
		if (&p->sets[n] != p->new_set)
			newest_old = MAX(newest_old, p->sets[n].revision);
	p->revision = newest_old + 1;
	if (p->new_set)
		p->revision = MAX(p->revision, p->new_set->revision);
}

static void reconcile(struct sync *s)
{
	struct deployments *c = s->self;
	struct arena *a = &s->arena;
	struct object *o = informer_get(c->deployments, s->ns, s->name);
	if (!o)
		return;
	struct pass *p = ARENA_NEW(a, struct pass);
	s->state = p;
	p->c = c;
	p->object = sync_hold(s, o);
	p->doc = object_doc(o, a);
	struct selector selector;
	if (selector_from_label_selector(a, json_path(p->doc, "spec.selector"), &selector, NULL) <
		0)
		return;
	if (!selector.count) {
		client_event_as(c->client, COMPONENT, o, NULL, "Warning", "SelectingAll",
			"This deployment is selecting all pods. A non-empty selector is required.");
		return;
	}
	p->recreate = streq(json_path_str(p->doc, "spec.strategy.type"), "Recreate");
	p->paused = json_path_bool(p->doc, "spec.paused", false);
	p->limits = rollout_limits(json_path_int(p->doc, "spec.replicas", 1),
		json_path(p->doc, "spec.strategy.rollingUpdate.maxSurge"),
		json_path(p->doc, "spec.strategy.rollingUpdate.maxUnavailable"));
	if (p->recreate)
		p->limits.surge = p->limits.unavailable = 0;
	p->collisions = json_path_int(p->doc, "status.collisionCount", 0);

	struct claim claim = claim_children(s, o, &selector, c->sets);
	if (claim.changing)
		return;
	read_sets(s, p, &claim);
	if (o->deleting) {
		write_status(s);
		return;
	}
	note_pause(p);
	if (p->new_set && !p->progress_reason &&
		!condition_find(json_path(p->doc, "status.conditions"), "Progressing") &&
		json_path_int(p->doc, "spec.progressDeadlineSeconds", 600) != INT32_MAX) {
		p->progress_status = "True";
		p->progress_reason = "FoundNewReplicaSet";
		p->progress_message =
			arena_printf(a, "Found new replica set \"%s\"", p->new_set->object->name);
	}
	if (p->paused || size_changed(p)) {
		scale_only(s);
		if (p->paused)
			clean_up(s);
		s->next = finish;
	} else if (p->recreate) {
		recreate(s);
	} else {
		roll(s);
	}
}

/* Events. */

static void on_deployment(void *user, const struct object *old, const struct object *new)
{
	struct deployments *c = user;
	if (meta_is_news(old, new))
		loop_add_object(c->loop, new ? new : old);
}

static void on_set(void *user, const struct object *old, const struct object *new)
{
	struct deployments *c = user;
	claim_tell(c->loop, c->deployments, old, new);
}

/* Recreate waits for the last old pod to go. */
static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct deployments *c = user;
	if (!old || (new && !pod_view(c->views, new)->terminal))
		return;
	struct object *set = claim_owner(c->sets, old);
	struct object *d = set ? claim_owner(c->deployments, set) : NULL;
	if (d)
		loop_add_object(c->loop, d);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler deployment_handler = {.changed = on_deployment},
					     set_handler = {.changed = on_set},
					     pod_handler = {.changed = on_pod};
	struct deployments *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 5, reconcile, c);
	c->deployments = shared_informer(sh, "apps", "v1", "Deployment");
	c->sets = shared_informer(sh, "apps", "v1", "ReplicaSet");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	c->views = shared_pod_views(sh);
	informer_add_index(c->sets, "namespace");
	informer_add_index(c->deployments, "namespace");
	informer_add_index(c->pods, "owner");
	informer_add_handler(c->deployments, &deployment_handler, c);
	informer_add_handler(c->sets, &set_handler, c);
	informer_add_handler(c->pods, &pod_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct deployments *)self)->loop);
}

static void destroy(void *self)
{
	struct deployments *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class deployment_controller = {"deployment", create, start, destroy};
