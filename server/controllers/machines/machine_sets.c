/* VirtualMachineInstanceReplicaSet and VirtualMachinePool: one core, two kinds. A replica set keeps
 * instances without identity; a pool keeps machines POOL-N, and brings a changed template to them.
 */
#include <inttypes.h>

#include "server/controllers/claim.h"
#include "server/controllers/controller.h"
#include "server/controllers/expectations.h"
#include "server/controllers/machines/pool_template.h"
#include "server/controllers/machines/virtual_machine_plan.h"
#include "server/controllers/meta.h"

#define BURST 100 /* created or deleted in one sync */

struct sets {
	struct loop *loop;
	struct client *client;
	struct informer *sets, *children;
	struct informer *instances, *revisions; /* of pools */
	struct expectations *expectations;
	bool pools;
};

struct child {
	struct object *object;
	const struct json *doc;
	bool active; /* neither ended nor to go */
	bool ready;
	int64_t index; /* of a pool's machine */
};

struct pass {
	struct sets *c;
	struct object *set;
	struct json *doc;
	struct child *children;
	size_t child_count;
	int64_t active, ready, replicas;
	int64_t to_create;
	const char *revision; /* of a pool */
	const char *failure_reason, *failure_message;
};

/* ---- status ---- */

static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	int64_t now_ns = loop_wall_ns(s->loop);
	struct json *status = json_new_object(a);
	struct json *conditions = json_path(p->doc, "status.conditions");
	struct condition failure = {
		"ReplicaFailure", "True", p->failure_reason, p->failure_message, false};
	struct condition paused = {
		"ReplicaPaused", "True", "Paused", "Controller got paused", false};
	struct selector selector;
	/* Messages name the instance, and its name is another at each try: the first one stays,
	 * else each try would change the set and so be followed by the next one at once. */
	const struct json *had = condition_find(conditions, failure.type);
	if (p->failure_reason && streq(json_str(json_get(had, "reason")), p->failure_reason))
		failure.message = json_str_or(json_get(had, "message"), "");
	if (p->failure_reason)
		conditions = condition_set(a, conditions, &failure, now_ns);
	else if (had && p->active == p->replicas)
		conditions = condition_drop(a, conditions, failure.type);
	if (json_path_bool(p->doc, "spec.paused", false))
		conditions = condition_set(a, conditions, &paused, now_ns);
	else if (condition_find(conditions, paused.type))
		conditions = condition_drop(a, conditions, paused.type);
	json_set(a, status, "replicas", count_or_null(a, p->active));
	json_set(a, status, "readyReplicas", count_or_null(a, p->ready));
	if (claim_selector(a, p->set, &selector))
		json_set_str(a, status, "labelSelector", selector_text(a, &selector));
	json_set(a, status, "conditions", json_count(conditions) ? conditions : json_new_null(a));
	sync_status(s, p->set, p->doc, status, NULL, NULL);
}

static void fail(
	struct sync *s, const char *reason, const struct client_result *r, const char *what)
{
	struct pass *p = s->state;
	s->failed = true;
	p->failure_reason = reason;
	p->failure_message = arena_strdup(&s->arena, r->message);
	client_event_as(p->c->client, loop_name(s->loop), p->set, NULL, "Warning", reason,
		"Error %s virtual machine: %s", what, r->message);
}

static void tell(struct sync *s, const char *reason, const char *verb, const char *name)
{
	struct pass *p = s->state;
	if (p->c->pools)
		client_event_as(p->c->client, loop_name(s->loop), p->set, NULL, "Normal", reason,
			"%s VM %s/%s", verb, p->set->namespace, name);
	else
		client_event_as(p->c->client, loop_name(s->loop), p->set, NULL, "Normal", reason,
			"%s virtual machine: %s", verb, name);
}

/* ---- creating ---- */

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r)) {
		const struct json *doc =
			expectations_created_by(p->c->expectations, s->key, &s->arena, r);
		const char *name = json_path_str(doc, "metadata.name");
		tell(s, "SuccessfulCreate", "Created", name ? name : "");
	} else if (r->code == 409 && p->c->pools) {
		s->failed = true; /* a machine of that name that the cache has not seen yet */
	} else if (!sync_namespace_terminating(r)) {
		fail(s, "FailedCreate", r, "creating");
	}
}

static struct json *new_instance(struct arena *a, const struct pass *p)
{
	struct json *from = json_copy(a, json_path(p->doc, "spec.template"));
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	json_set_str(a, doc, "apiVersion", "kubevirt.io/v1");
	json_set_str(a, doc, "kind", "VirtualMachineInstance");
	json_set_str(a, meta, "generateName", p->set->name);
	json_set_str(a, meta, "namespace", p->set->namespace);
	if (json_path(from, "metadata.labels"))
		json_set(a, meta, "labels", json_path(from, "metadata.labels"));
	if (json_path(from, "metadata.annotations"))
		json_set(a, meta, "annotations", json_path(from, "metadata.annotations"));
	json_set(a, doc, "spec", from ? json_object_at(a, from, "spec") : json_new_object(a));
	return doc;
}

/* The least number that no machine of the namespace has, from `from` on. */
static int64_t free_index(const struct pass *p, int64_t from)
{
	for (;; from++) {
		char name[256];
		snprintf(name, sizeof(name), "%s-%" PRId64, p->set->name, from);
		if (!informer_get(p->c->children, p->set->namespace, name))
			return from;
	}
}

static void create_children(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	int64_t index = 0;
	if (s->failed) {
		write_status(s);
		return;
	}
	for (; p->to_create > 0; p->to_create--) {
		struct json *doc;
		if (p->c->pools) {
			index = free_index(p, index);
			doc = pool_machine(a, p->set, p->doc, p->revision, index++);
		} else {
			doc = new_instance(a, p);
		}
		struct json *meta = json_get(doc, "metadata");
		json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, p->set));
		sync_create(
			s, informer_kind(p->c->children), p->set->namespace, doc, on_created, NULL);
	}
	s->next = write_status;
}

/* ---- deleting ---- */

static void on_deleted(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct object *o = user;
	if (client_ok(r) || r->code == 404)
		expectations_deleted(p->c->expectations, s->key, o);
	if (client_ok(r))
		tell(s, "SuccessfulDelete", "Deleted", o->name);
	else if (r->code != 404)
		fail(s, "FailedDelete", r, "deleting");
}

static void delete_child(struct sync *s, const struct object *o)
{
	sync_delete(s, o, -1, NULL, on_deleted, sync_hold(s, o));
}

static int by_age(const struct child *a, const struct child *b)
{
	int64_t x = meta_time_ns(json_path(a->doc, "metadata.creationTimestamp"));
	int64_t y = meta_time_ns(json_path(b->doc, "metadata.creationTimestamp"));
	return x < y ? -1 : x > y;
}

/* The first is missed least: who is not ready, then by the pool's policy; of no policy the highest
 * number, or the youngest instance. */
static int order(const void *left, const void *right, void *user)
{
	const struct child *a = left, *b = right;
	const char *policy = user;
	int r = a->ready - b->ready;
	if (r)
		return r;
	if (streq(policy, "Oldest"))
		r = by_age(a, b);
	else if (streq(policy, "Newest"))
		r = by_age(b, a);
	if (r)
		return r;
	if (a->index != b->index)
		return (a->index < b->index) == streq(policy, "AscendingOrder") ? -1 : 1;
	r = by_age(b, a);
	return r ? r : strcmp(b->object->name, a->object->name);
}

static bool scales_in(const struct pass *p)
{
	const struct json *strategy = json_path(p->doc, "spec.scaleInStrategy");
	return !json_get(strategy, "unmanaged") && !json_get(strategy, "opportunistic");
}

static void delete_surplus(struct sync *s, int64_t surplus)
{
	struct pass *p = s->state;
	const char *policy =
		json_path_str(p->doc, "spec.scaleInStrategy.proactive.selectionPolicy.sortPolicy");
	struct child *all = arena_alloc(&s->arena, (p->child_count + 1) * sizeof(*all));
	size_t count = 0;
	for (size_t i = 0; i < p->child_count; i++)
		if (p->children[i].active)
			all[count++] = p->children[i];
	qsort_r(all, count, sizeof(*all), order, (void *)(policy ? policy : ""));
	for (size_t i = 0; i < count && (int64_t)i < MIN(surplus, BURST); i++)
		delete_child(s, all[i].object);
	s->next = write_status;
}

/* ---- what is there ---- */

static void look(struct sync *s, const struct claim *claim)
{
	struct pass *p = s->state;
	p->children = arena_alloc(&s->arena, (claim->count + 1) * sizeof(*p->children));
	for (size_t i = 0; i < claim->count; i++) {
		struct object *o = sync_hold(s, claim->mine[i]);
		struct child *c = &p->children[p->child_count++];
		*c = (struct child){.object = o, .doc = object_doc(o, &s->arena)};
		const char *phase = json_str_or(json_path(c->doc, "status.phase"), "");
		c->active = !o->deleting && !(!p->c->pools && vm_phase_final(phase));
		c->ready = c->active &&
			   condition_is(json_path(c->doc, "status.conditions"), "Ready", "True");
		c->index = p->c->pools ? pool_index(p->set->name, o->name) : 0;
		p->active += c->active;
		p->ready += c->ready;
	}
}

/* ---- a changed template of a pool ---- */

static const char *revision_of(const struct json *doc)
{
	return json_str_or(json_get(json_path(doc, "metadata.labels"), POOL_REVISION_LABEL), "");
}

static struct json *new_revision(struct arena *a, const struct pass *p)
{
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	json_set_str(a, doc, "apiVersion", "apps/v1");
	json_set_str(a, doc, "kind", "ControllerRevision");
	json_set_str(a, meta, "name", p->revision);
	json_set_str(a, meta, "namespace", p->set->namespace);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, p->set));
	json_set(a, doc, "data", json_copy(a, json_get(p->doc, "spec")));
	json_set_int(a, doc, "revision", json_path_int(p->doc, "metadata.generation", 1));
	return doc;
}

static void on_revision(struct sync *s, const struct client_result *r, void *user)
{
	if (!client_ok(r) && r->code != 409 && !sync_namespace_terminating(r))
		fail(s, "FailedRevisionPruning", r, "keeping the revision of");
}

static bool in_use(const struct pass *p, const char *revision)
{
	for (size_t i = 0; i < p->child_count; i++) {
		const struct child *c = &p->children[i];
		struct object *vmi =
			informer_get(p->c->instances, p->set->namespace, c->object->name);
		if (streq(revision_of(c->doc), revision))
			return true;
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		if (vmi && streq(revision_of(object_doc(vmi, &a)), revision))
			return true;
	}
	return false;
}

static void on_pruned(struct sync *s, const struct client_result *r, void *user)
{
	if (!client_ok(r) && r->code != 404)
		fail(s, "FailedRevisionPruning", r, "pruning the revisions of");
}

/* Templates of before that no machine and no instance has any more. */
static void prune_revisions(struct sync *s)
{
	struct pass *p = s->state;
	struct object **all;
	size_t count = informer_by_index(p->c->revisions, "owner", p->set->uid, &s->arena, &all);
	for (size_t i = 0; i < count; i++)
		if (!all[i]->deleting && !streq(all[i]->name, p->revision) &&
			!in_use(p, all[i]->name))
			sync_delete(s, all[i], -1, NULL, on_pruned, NULL);
}

/* The machine's template was an earlier one of the pool: replaced, but for what is only its own. */
static void update_machine(struct sync *s, const struct child *c)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *wanted = pool_machine(a, p->set, p->doc, p->revision, c->index);
	struct json *doc = json_copy(a, c->doc), *spec = json_get(wanted, "spec");
	/* Who stopped or started it wants it so. */
	static const char *const kept[] = {"runStrategy", "running"};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_remove(spec, kept[i]);
		if (json_path(doc, "spec") && json_get(json_get(doc, "spec"), kept[i]))
			json_set(a, spec, kept[i],
				json_copy(a, json_get(json_get(doc, "spec"), kept[i])));
	}
	json_set(a, doc, "spec", spec);
	struct json *labels = json_object_at(a, json_get(doc, "metadata"), "labels");
	JSON_FOR_EACH_MEMBER(m, json_path(wanted, "metadata.labels"))
		json_set_n(a, labels, m->name, m->name_size, m->value);
	sync_update(s, informer_kind(p->c->children), p->set->namespace, c->object->name, NULL, doc,
		NULL, NULL);
}

/* An instance that runs an older template is stopped, as many at once as may be unavailable; its
 * machine makes it anew. */
static void restart_outdated(struct sync *s)
{
	struct pass *p = s->state;
	int64_t unavailable = p->replicas - p->ready;
	const struct json *limit = json_path(p->doc, "spec.maxUnavailable");
	int64_t most = limit ? MAX(1, count_or_part(limit, p->replicas, false)) : p->replicas;
	for (size_t i = 0; i < p->child_count; i++) {
		const struct child *c = &p->children[i];
		struct object *vmi = informer_get(p->c->instances, s->ns, c->object->name);
		if (!c->active || !vmi || vmi->deleting || !streq(revision_of(c->doc), p->revision))
			continue;
		const struct json *doc = object_doc(vmi, &s->arena);
		const char *had = revision_of(doc);
		if (!*had || streq(had, p->revision) || (c->ready && unavailable >= most))
			continue;
		unavailable += c->ready;
		delete_child(s, vmi);
	}
}

static void bring_template(struct sync *s)
{
	struct pass *p = s->state;
	const struct json *strategy = json_path(p->doc, "spec.updateStrategy");
	if (json_get(strategy, "unmanaged"))
		return;
	for (size_t i = 0; i < p->child_count; i++)
		if (p->children[i].active && p->children[i].index >= 0 &&
			!streq(revision_of(p->children[i].doc), p->revision))
			update_machine(s, &p->children[i]);
	if (!json_get(strategy, "opportunistic"))
		restart_outdated(s);
}

/* ---- one look ---- */

static void scale(struct sync *s)
{
	struct pass *p = s->state;
	if (s->failed) {
		write_status(s);
		return;
	}
	if (p->c->pools) {
		bring_template(s);
		prune_revisions(s);
	}
	if (p->active > p->replicas && scales_in(p)) {
		delete_surplus(s, p->active - p->replicas);
		return;
	}
	p->to_create = MIN(p->replicas - p->active, BURST);
	create_children(s);
}

static void clean_finished(struct sync *s)
{
	struct pass *p = s->state;
	for (size_t i = 0; i < p->child_count; i++)
		if (!p->children[i].active && !p->children[i].object->deleting)
			delete_child(s, p->children[i].object);
}

static void reconcile(struct sync *s)
{
	struct sets *c = s->self;
	struct object *set = informer_get(c->sets, s->ns, s->name);
	struct selector selector;
	if (!set) {
		expectations_forget(c->expectations, s->key);
		return;
	}
	struct pass *p = ARENA_NEW(&s->arena, struct pass);
	s->state = p;
	p->c = c;
	p->set = sync_hold(s, set);
	p->doc = object_doc(set, &s->arena);
	p->replicas = json_path_int(p->doc, "spec.replicas", 1);
	if (!claim_selector(&s->arena, set, &selector))
		return; /* validation keeps such selectors out */
	bool met = expectations_met(c->expectations, s->key);
	struct claim claim = claim_children(s, set, &selector, c->children);
	look(s, &claim);
	if (!met || claim.changing || set->deleting ||
		json_path_bool(p->doc, "spec.paused", false)) {
		write_status(s);
		return;
	}
	if (!c->pools) {
		clean_finished(s);
		scale(s);
		return;
	}
	p->revision = pool_revision(&s->arena, set, p->doc);
	if (!informer_get(c->revisions, s->ns, p->revision))
		sync_create(s, informer_kind(c->revisions), s->ns, new_revision(&s->arena, p),
			on_revision, NULL);
	s->next = scale;
}

/* ---- events ---- */

static void on_set(void *user, const struct object *old, const struct object *new)
{
	loop_add_object(((struct sets *)user)->loop, new ? new : old);
}

static void on_child(void *user, const struct object *old, const struct object *new)
{
	struct sets *c = user;
	claim_tell(c->loop, c->sets, old, new);
}

/* An instance of a pool's machine has its name. */
static void on_instance(void *user, const struct object *old, const struct object *new)
{
	struct sets *c = user;
	const struct object *o = new ? new : old;
	struct object *vm = informer_get(c->children, o->namespace, o->name);
	struct object *pool = vm ? claim_owner(c->sets, vm) : NULL;
	if (pool)
		loop_add_object(c->loop, pool);
}

static struct sets *create(struct shared *sh, const char *group, const char *version,
	const char *kind, const char *child, const char *name)
{
	static const struct informer_handler set_handler = {.changed = on_set},
					     child_handler = {.changed = on_child};
	struct sets *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, name, 5, reconcile, c);
	c->sets = shared_informer(sh, group, version, kind);
	c->children = shared_informer(sh, "kubevirt.io", "v1", child);
	c->expectations = expectations_create(c->children, sh->client->clock);
	informer_add_index(c->sets, "namespace");
	informer_add_index(c->children, "namespace");
	informer_add_index(c->children, "owner");
	informer_add_handler(c->sets, &set_handler, c);
	informer_add_handler(c->children, &child_handler, c);
	return c;
}

static void *create_sets(struct shared *sh)
{
	return create(sh, "kubevirt.io", "v1", "VirtualMachineInstanceReplicaSet",
		"VirtualMachineInstance", "virtualmachinereplicaset-controller");
}

static void *create_pools(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_instance};
	struct sets *c = create(sh, "pool.kubevirt.io", "v1beta1", "VirtualMachinePool",
		"VirtualMachine", "virtualmachinepool-controller");
	c->pools = true;
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->revisions = shared_informer(sh, "apps", "v1", "ControllerRevision");
	informer_add_index(c->revisions, "owner");
	informer_add_handler(c->instances, &handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct sets *)self)->loop);
}

static void destroy(void *self)
{
	struct sets *c = self;
	loop_destroy(c->loop);
	expectations_destroy(c->expectations);
	free(c);
}

const struct controller_class virtual_machine_replica_set_controller = {
	"virtualmachineinstancereplicaset", create_sets, start, destroy};
const struct controller_class virtual_machine_pool_controller = {
	"virtualmachinepool", create_pools, start, destroy};
