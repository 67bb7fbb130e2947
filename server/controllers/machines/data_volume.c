/* DataVolume (CDI): makes the claim of the same name, and says how far that is; once the claim is
 * bound the agent of the volume's node fills it and tells the rest (node/disk/populate.c). On the
 * claim it notes what clients look for there. */
#include "server/controllers/controller.h"
#include "server/controllers/machines/cdi_settings.h"
#include "server/controllers/machines/data_volume_plan.h"
#include "server/controllers/meta.h"

#define COMPONENT "datavolume-controller"

#define SOURCE_RETRY_MS 5000

struct data_volumes {
	struct loop *loop;
	struct client *client;
	struct informer *data_volumes, *claims, *classes, *nodes, *sources, *profiles;
};

struct pass {
	struct data_volumes *c;
	struct object *dv, *claim; /* claim NULL = none */
	struct json *doc, *claim_doc;
};

static void warn(struct pass *p, const char *reason, const char *message)
{
	client_event_as(p->c->client, COMPONENT, p->dv, NULL, "Warning", reason, "%s", message);
}

static void write_status(struct sync *s, const struct dv_state *state)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = data_volume_status(a, p->doc, state, loop_wall_ns(s->loop));
	const char *was = json_str_or(json_path(p->doc, "status.phase"), "");

	if (sync_status(s, p->dv, p->doc, status, NULL, NULL) && !streq(was, state->phase) &&
		state->event)
		client_event_as(p->c->client, COMPONENT, p->dv, NULL, state->event_type,
			state->event, "%s", state->message);
}

static void on_claim_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	struct dv_state state;

	if (r->code == 409) {
		s->failed = true; /* the cache is behind */
		return;
	}
	if (!client_ok(r)) {
		sync_check(s, r);
		warn(p, "ErrClaimNotValid", r->message);
		return;
	}
	data_volume_no_claim(&state);
	write_status(s, &state);
}

/* Where a claim that nobody runs with yet is to be: on the first node that takes new work. */
static const char *choose_node(struct data_volumes *c, struct arena *a)
{
	struct object **nodes;
	size_t count = informer_list(c->nodes, NULL, a, &nodes);

	for (size_t i = 0; i < count; i++) {
		const struct json *doc = object_doc(nodes[i], a);

		if (!nodes[i]->deleting && !json_path_bool(doc, "spec.unschedulable", false) &&
			condition_is(json_path(doc, "status.conditions"), "Ready", "True"))
			return nodes[i]->name;
	}
	return NULL;
}

static bool waits_for_consumer(struct pass *p, struct arena *a)
{
	const char *name = json_str_or(json_path(p->claim_doc, "spec.storageClassName"), "");
	struct object *class = *name ? informer_get(p->c->classes, "", name) : NULL;

	return class && streq(json_path_str(object_doc(class, a), "volumeBindingMode"),
				"WaitForFirstConsumer");
}

/* The sets of its class, or of the default one. */
static const struct json *property_sets(struct pass *p, struct arena *a)
{
	const char *name = json_path_str(p->doc, "spec.storage.storageClassName");
	struct object *profile;

	if (!name)
		name = storage_class_default(p->c->classes, a);
	profile = name ? informer_get(p->c->profiles, "", name) : NULL;
	return profile ? json_path(object_doc(profile, a), "status.claimPropertySets") : NULL;
}

static void make_claim(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct err err = ERR_INIT;
	struct json *claim;
	const char *source = data_volume_source_claim(p->doc);
	const char *home = data_volume_source_namespace(p->doc, s->ns);
	struct object *o = source ? informer_get(p->c->claims, home, source) : NULL;
	data_volume_fit(a, p->doc, property_sets(p, a));
	int r = data_volume_claim(a, p->dv, p->doc, &claim, &err);

	if (r == 0)
		r = data_volume_clone(a, p->dv, p->doc, o ? object_doc(o, a) : NULL, claim, &err);
	if (r == -ENOENT)
		sync_again(s, SOURCE_RETRY_MS);
	if (r < 0) {
		struct dv_state state;

		data_volume_no_claim(&state);
		state.bound_reason = r == -ENOENT ? "CloneSourceDoesNotExist" : "ErrClaimNotValid";
		state.bound_message = err.msg;
		warn(p, state.bound_reason, err.msg);
		write_status(s, &state);
		return;
	}
	sync_create(s, informer_kind(p->c->claims), s->ns, claim, on_claim_created, NULL);
}

/* What virtctl and others look for on the claim. */
static void note_on_claim(struct sync *s, bool waits)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a);
	bool changed = data_volume_claim_notes(a, p->doc, p->claim_doc, patch);
	const struct json *notes = json_path(p->claim_doc, "metadata.annotations");
	const char *node = NULL;

	if (waits && data_volume_binds_at_once(p->doc) && !json_get(notes, DV_SELECTED_NODE) &&
		(node = choose_node(p->c, a))) {
		json_set_str(a,
			json_object_at(a, json_object_at(a, patch, "metadata"), "annotations"),
			DV_SELECTED_NODE, node);
		changed = true;
	}
	if (changed)
		sync_patch(s, p->claim, NULL, patch, NULL, NULL);
}

static void set_source_namespace(struct arena *a, struct json *source, const char *home)
{
	static const char *const kinds[] = {"pvc", "snapshot"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct json *one = json_get(source, kinds[i]);

		if (json_is(one, JSON_OBJECT) && !*json_str_or(json_get(one, "namespace"), ""))
			json_set_str(a, one, "namespace", home);
	}
}

/* Puts what the DataSource means in the place of its name: it stays so when the DataSource changes.
 */
static void resolve_source(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const struct json *ref = json_path(p->doc, "spec.sourceRef");
	const char *ns = json_str_or(json_get(ref, "namespace"), ""), *name;
	struct json *patch = json_new_object(a);
	struct object *o;
	const struct json *source;

	name = json_str_or(json_get(ref, "name"), "");
	o = informer_get(p->c->sources, *ns ? ns : s->ns, name);
	source = o ? json_path(object_doc(o, a), "spec.source") : NULL;
	if (!json_count(source)) {
		struct dv_state state;

		data_volume_no_claim(&state);
		state.bound_message =
			arena_printf(a, "DataSource %s/%s does not exist", *ns ? ns : s->ns, name);
		write_status(s, &state);
		return;
	}
	/* Its maker was asked for his rights in the namespace that he named, no other. */
	ns = *ns ? ns : s->ns;
	if (json_get(source, "pvc") || json_get(source, "snapshot")) {
		struct json *as = json_new_object(a);

		json_set(a, json_object_at(a, as, "spec"), "source", json_copy(a, source));
		const char *from = data_volume_source_namespace(as, ns);
		if (!streq(from, ns) && !streq(from, s->ns)) {
			struct dv_state state;

			data_volume_no_claim(&state);
			state.bound_message = arena_printf(a,
				"DataSource %s/%s means a source in namespace %s by now: make the "
				"DataVolume anew",
				ns, name, from);
			write_status(s, &state);
			return;
		}
	}
	json_path_set(a, patch, "spec.source", json_copy(a, source));
	set_source_namespace(a, json_path(patch, "spec.source"), ns);
	json_path_set(a, patch, "spec.sourceRef", json_new_null(a));
	sync_patch(s, p->dv, NULL, patch, NULL, NULL);
}

static void on_source(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct data_volumes *c = user;
	struct object **all;
	size_t count = new ? informer_list(c->data_volumes, NULL, &a, &all) : 0;

	for (size_t i = 0; i < count; i++) {
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;

		if (json_path(object_doc(all[i], &scratch), "spec.sourceRef"))
			loop_add_object(c->loop, all[i]);
	}
}

static bool is_owner(const struct object *dv, const struct object *claim)
{
	const struct object_owner *o = object_controller(claim);

	return o && streq(o->uid, dv->uid);
}

/* A claim that was filled for this DataVolume goes with it. */
static void adopt(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a), *owners = json_new_array(a);

	json_push(a, owners, owner_reference(a, p->dv));
	json_set(a, json_object_at(a, patch, "metadata"), "ownerReferences", owners);
	sync_patch(s, p->claim, NULL, patch, NULL, NULL);
}

static void reconcile(struct sync *s)
{
	struct data_volumes *c = s->self;
	struct object *o = informer_get(c->data_volumes, s->ns, s->name);
	struct pass *p;
	struct dv_state state;

	if (!o || o->deleting)
		return;
	p = ARENA_NEW(&s->arena, struct pass);
	s->state = p;
	p->c = c;
	p->dv = sync_hold(s, o);
	p->doc = object_doc(o, &s->arena);
	if (json_path(p->doc, "spec.sourceRef")) {
		resolve_source(s);
		return; /* the object is about to change */
	}
	o = informer_get(c->claims, s->ns, s->name);
	if (!o) {
		/* One that was filled stays so; its claim was removed by somebody. */
		if (data_volume_is_over(p->doc))
			return;
		if (data_volume_is_prepopulated(p->doc)) {
			data_volume_no_claim(&state);
			write_status(s, &state);
		} else {
			make_claim(s);
		}
		return;
	}
	p->claim = sync_hold(s, o);
	p->claim_doc = object_doc(o, &s->arena);
	if (!is_owner(p->dv, p->claim) && !data_volume_is_of_claim(p->doc, p->claim)) {
		if (data_volume_may_adopt(p->doc, p->claim_doc))
			adopt(s);
		data_volume_foreign_claim(&s->arena, p->doc, p->claim_doc, &state);
		write_status(s, &state);
		return;
	}
	bool waits = waits_for_consumer(p, &s->arena);
	note_on_claim(s, waits);
	if (data_volume_with_claim(&s->arena, p->doc, p->claim_doc, waits, &state))
		write_status(s, &state);
}

static void on_data_volume(void *user, const struct object *old, const struct object *new)
{
	struct data_volumes *c = user;

	if (new)
		loop_add_object(c->loop, new);
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct data_volumes *c = user;
	const struct object *o = new ? new : old;

	if (informer_get(c->data_volumes, o->namespace, o->name))
		loop_add_object(c->loop, o);
}

/* A node came: claims that are to be bound at once may have waited for one. */
static void on_node(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct data_volumes *c = user;
	struct object **all;
	size_t count;

	if (old && new && !meta_is_news(old, new))
		return;
	count = informer_list(c->data_volumes, NULL, &a, &all);
	for (size_t i = 0; i < count; i++) {
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;

		if (!data_volume_is_over(object_doc(all[i], &scratch)))
			loop_add_object(c->loop, all[i]);
	}
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_data_volume},
					     claim_handler = {.changed = on_claim},
					     node_handler = {.changed = on_node},
					     source_handler = {.changed = on_source};
	struct data_volumes *c = xcalloc(1, sizeof(*c));

	c->client = sh->client;
	c->loop = loop_create(sh->client, "datavolume-controller", 2, reconcile, c);
	c->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->classes = shared_informer(sh, "storage.k8s.io", "v1", "StorageClass");
	c->nodes = shared_informer(sh, "", "v1", "Node");
	c->sources = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataSource");
	c->profiles = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "StorageProfile");
	informer_add_handler(c->data_volumes, &handler, c);
	informer_add_handler(c->claims, &claim_handler, c);
	informer_add_handler(c->nodes, &node_handler, c);
	informer_add_handler(c->sources, &source_handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct data_volumes *)self)->loop);
}

static void destroy(void *self)
{
	struct data_volumes *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class data_volume_controller = {"datavolume", create, start, destroy};
