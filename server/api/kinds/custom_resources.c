#include "server/api/kinds/custom_resources.h"

#include <malloc.h>

#include "lib/base/log.h"
#include "lib/object/custom.h"
#include "server/api/api_internal.h"
#include "server/api/kinds/custom_names.h"
#include "server/api/verbs/delete.h"
#include "server/api/verbs/sliced_list.h"
#include "server/api/verbs/watch.h"

#define DELETE_BATCH 100
#define RETRY_MS 1000

/* A definition as it was last put into the registry. */
struct definition {
	struct custom_resources *owner;
	char *name;
	uint64_t hash; /* of what its kinds are made of; 0 = not in the registry */
	bool writing;  /* its status is on the way to the store */
	bool again;    /* something happened meanwhile */
	bool deleting; /* a batch of its objects */
	/* While it is terminating: tells when objects go. */
	struct cache_watcher *objects;
};

struct custom_resources {
	struct api *api;
	struct cache_watcher *watcher;
	struct table definitions; /* name -> struct definition * */
	uv_timer_t *retry;	  /* own memory: it outlives us for its close */
	bool stopped;
};

static void look_at(struct definition *d);
static void look_at_all(struct custom_resources *c);

static struct definition *definition_get(struct custom_resources *c, const char *name)
{
	struct definition *d = table_get(&c->definitions, name);
	if (d)
		return d;
	d = xcalloc(1, sizeof(*d));
	d->owner = c;
	d->name = xstrdup(name);
	table_set(&c->definitions, name, d);
	return d;
}

/* ---- the registry ---- */

/* What the kinds are made of. */
static uint64_t hash_of(struct arena *a, const struct json *doc)
{
	const char *spec = json_text(a, json_get(doc, "spec"));
	const struct json *names = json_path(doc, "status.acceptedNames");
	const char *accepted = names ? json_text(a, names) : "";
	uint64_t h = fnv1a_64(spec, strlen(spec)) * 31 + fnv1a_64(accepted, strlen(accepted));
	return h ? h : 1;
}

static void put_in(struct definition *d, const struct json *doc, uint64_t hash)
{
	struct api *api = d->owner->api;
	struct kind *storage;
	struct err err = ERR_INIT;
	/* First: watches hold on to nothing of the kind, but their pages do. */
	struct kind *was = kind_registry_custom(api->kinds, d->name);
	if (was) {
		watches_end_kind(api, was);
		sliced_lists_end_kind(api, was);
	}
	if (kind_registry_set_custom(api->kinds, doc, &storage, &err) < 0) {
		log_error("a CustomResourceDefinition can't be served", "reason", err.msg, NULL);
		return;
	}
	d->hash = hash;
	cache_kind_changed(api->cache, storage);
	kind_registry_notify(api->kinds, storage);
	malloc_trim(0); /* schemas may be large, and the former ones are gone */
}

static void take_out(struct definition *d)
{
	struct api *api = d->owner->api;
	struct kind *was = kind_registry_custom(api->kinds, d->name);
	cache_watch_close(TAKE_PTR(d->objects));
	if (was) {
		watches_end_kind(api, was);
		sliced_lists_end_kind(api, was);
		cache_kind_removed(api->cache, was);
		kind_registry_remove_custom(api->kinds, d->name);
		kind_registry_notify(api->kinds, was);
		malloc_trim(0);
	}
	d->hash = 0;
}

/* ---- writing a definition ---- */

struct change {
	struct definition *definition;
	struct arena arena;
	void (*make)(struct definition *d, struct arena *a, struct json *doc);
};

static struct cache_change decide(void *user, const struct object *present)
{
	struct change *w = user;
	struct api *api = w->definition->owner->api;
	struct cache_change nothing = {.verdict = CACHE_NOTHING};
	if (!present)
		return nothing;
	struct json *was = object_doc(present, &w->arena), *doc = json_copy(&w->arena, was);
	w->make(w->definition, &w->arena, doc);
	if (json_equal(was, doc))
		return nothing;
	bool vanish = write_may_vanish(api->definitions, doc);
	return (struct cache_change){
		.verdict = vanish ? CACHE_REMOVE : CACHE_PUT,
		.stored = object_stored_form(api->definitions, &w->arena, doc),
	};
}

static void on_retry(uv_timer_t *timer)
{
	look_at_all(timer->data);
}

/* For what no event tells of: a write that has failed. */
static void retry(struct custom_resources *c)
{
	uv_timer_start(c->retry, on_retry, RETRY_MS, 0);
}

static void done(void *user, int r, struct object *result, const struct err *err)
{
	struct change *w = user;
	struct definition *d = w->definition;
	struct custom_resources *c = d->owner;
	arena_finish(&w->arena);
	free(w);
	d->writing = false;
	bool again = d->again;
	d->again = false;
	if (c->stopped)
		return;
	if (r < 0) {
		log_warn("the status of a CustomResourceDefinition was not written", "name",
			d->name, "reason", err->msg, NULL);
		retry(c);
		return;
	}
	if (again)
		look_at(d);
}

static void write_definition(
	struct definition *d, void (*make)(struct definition *d, struct arena *a, struct json *doc))
{
	struct api *api = d->owner->api;
	struct change *w = xcalloc(1, sizeof(*w));
	w->definition = d;
	w->make = make;
	d->writing = true;
	cache_write(api->cache, api->definitions, "", d->name, decide, done, w);
}

/* ---- deletion ---- */

struct batch {
	struct definition *definition;
	struct arena arena;
	struct api_request req;
	size_t pending;
	bool failed; /* one of them: the next try waits */
};

static void batch_step(struct batch *b)
{
	if (--b->pending > 0)
		return;
	struct definition *d = b->definition;
	bool failed = b->failed;
	arena_finish(&b->arena);
	free(b);
	d->deleting = false;
	if (d->owner->stopped)
		return;
	if (failed)
		retry(d->owner);
	else
		look_at(d);
}

static void object_deleted(struct deletion *deletion, struct object *result)
{
	struct batch *b = deletion->user;
	if (deletion->st.doc && deletion->st.code != 404) {
		b->failed = true;
		log_warn("an object of a CustomResourceDefinition that is being deleted stays",
			"definition", b->definition->name, "object", deletion->name, "reason",
			json_str_or(json_get(deletion->st.doc, "message"), ""), NULL);
	}
	batch_step(b);
}

/* Deletes objects that are not being deleted already; false when there are none. */
static bool delete_batch(struct definition *d, const struct kind *storage)
{
	struct api *api = d->owner->api;
	struct batch *b = xcalloc(1, sizeof(*b));
	struct cache_page page;
	size_t count = 0;
	b->definition = d;
	b->pending = 1;
	b->req = (struct api_request){.api = api,
		.arena = &b->arena,
		.method = "DELETE",
		.path = "",
		.user = {.name = "system:apiserver"},
		.kind = storage};
	cache_list(api->cache, &(struct cache_query){.kind = storage}, &b->arena, &page);
	struct deletion *all = arena_zalloc(&b->arena, DELETE_BATCH * sizeof(*all));
	for (size_t i = 0; i < page.count && count < DELETE_BATCH; i++) {
		if (page.items[i]->deleting)
			continue;
		all[count++] = (struct deletion){
			.req = &b->req,
			.kind = storage,
			.namespace = arena_strdup(&b->arena, page.items[i]->namespace),
			.name = arena_strdup(&b->arena, page.items[i]->name),
			.done = object_deleted,
			.user = b,
		};
	}
	if (count == 0) {
		arena_finish(&b->arena);
		free(b);
		return false;
	}
	d->deleting = true;
	b->pending += count;
	for (size_t i = 0; i < count; i++)
		deletion_run(&all[i]);
	batch_step(b);
	return true;
}

static void make_finished(struct definition *d, struct arena *a, struct json *doc)
{
	struct json *meta = json_get(doc, "metadata"), *kept = json_new_array(a);
	JSON_FOR_EACH_ITEM(f, json_get(meta, "finalizers"))
		if (!streq(json_str(f), CUSTOM_RESOURCE_FINALIZER))
			json_push(a, kept, f);
	if (json_count(kept))
		json_set(a, meta, "finalizers", kept);
	else
		json_remove(meta, "finalizers");
	definition_set_condition(d->owner->api, a, doc, "Terminating", false,
		"InstanceDeletionCompleted", "removed all instances");
}

static bool has_finalizer(const struct json *doc)
{
	JSON_FOR_EACH_ITEM(f, json_path(doc, "metadata.finalizers"))
		if (streq(json_str(f), CUSTOM_RESOURCE_FINALIZER))
			return true;
	return false;
}

static void on_objects(void *user)
{
	struct definition *d = user;
	struct cache_event e;
	int r = 0;
	while (d->objects && (r = cache_watch_next(d->objects, &e)) > 0)
		;
	if (r < 0)
		cache_watch_close(TAKE_PTR(d->objects));
	look_at(d);
}

static void terminate(struct definition *d, const struct json *doc)
{
	struct api *api = d->owner->api;
	const struct kind *storage = kind_registry_custom(api->kinds, d->name);
	if (!has_finalizer(doc) || d->deleting)
		return;
	if (!storage ||
		(cache_count(api->cache, storage) == 0 && !cache_kind_busy(api->cache, storage))) {
		write_definition(d, make_finished);
		return;
	}
	if (!d->objects && cache_watch(api->cache,
				   &(struct cache_watch_options){
					   .kind = storage, .since = cache_revision(api->cache)},
				   on_objects, d, &d->objects) < 0)
		d->objects = NULL;
	/* Objects that are being deleted tell of their end; a creation under way may come to
	 * nothing. */
	if (!delete_batch(d, storage) && (!d->objects || cache_kind_busy(api->cache, storage)))
		retry(d->owner);
}

/* ---- one definition as it is now ---- */

static void make_named(struct definition *d, struct arena *a, struct json *doc)
{
	custom_names_settle(d->owner->api, a, doc);
}

static void look_at(struct definition *d)
{
	struct custom_resources *c = d->owner;
	const struct object *o = cache_get(c->api->cache, c->api->definitions, "", d->name);
	if (d->writing) {
		d->again = true;
		return;
	}
	if (!o) {
		bool served = d->hash != 0;
		take_out(d);
		if (served)
			look_at_all(c); /* its names are free */
		return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = object_doc(o, &a), *named = json_copy(&a, doc);
	bool deleting = json_path(doc, "metadata.deletionTimestamp") != NULL;
	if (!deleting) {
		custom_names_settle(c->api, &a, named);
		if (!json_equal(doc, named)) {
			write_definition(d, make_named);
			return;
		}
	}
	uint64_t hash = hash_of(&a, doc);
	if (definition_has_condition(doc, "Established") && hash != d->hash)
		put_in(d, doc, hash);
	kind_registry_set_terminating(c->api->kinds, d->name, deleting);
	if (deleting)
		terminate(d, doc);
}

static void look_at_all(struct custom_resources *c)
{
	struct cache_page page;
	struct arena a = ARENA_INIT;
	cache_list(c->api->cache, &(struct cache_query){.kind = c->api->definitions}, &a, &page);
	const char **names = arena_alloc(&a, (page.count + 1) * sizeof(*names));
	for (size_t i = 0; i < page.count; i++)
		names[i] = arena_strdup(&a, page.items[i]->name);
	for (size_t i = 0; i < page.count; i++)
		look_at(definition_get(c, names[i]));
	arena_finish(&a);
}

static int follow(struct custom_resources *c);

static void on_definitions(void *user)
{
	struct custom_resources *c = user;
	struct cache_event e;
	int r;
	while ((r = cache_watch_next(c->watcher, &e)) > 0)
		look_at(definition_get(c, e.object->name));
	if (r == 0)
		return;
	/* Fell off: begin anew. */
	cache_watch_close(TAKE_PTR(c->watcher));
	if (follow(c) < 0)
		abort(); /* from now on, nothing can have been dropped */
	look_at_all(c);
}

static int follow(struct custom_resources *c)
{
	return cache_watch(c->api->cache,
		&(struct cache_watch_options){
			.kind = c->api->definitions, .since = cache_revision(c->api->cache)},
		on_definitions, c, &c->watcher);
}

/* ---- life ---- */

/* The kinds first, so that all objects are there before anyone looks; then what is left to do. */
static void put_in_all(struct custom_resources *c)
{
	struct cache_page page;
	struct arena a = ARENA_INIT;
	cache_list(c->api->cache, &(struct cache_query){.kind = c->api->definitions}, &a, &page);
	for (size_t i = 0; i < page.count; i++) {
		struct arena scratch = ARENA_INIT;
		struct json *doc = object_doc(page.items[i], &scratch);
		if (definition_has_condition(doc, "Established"))
			put_in(definition_get(c, page.items[i]->name), doc, hash_of(&scratch, doc));
		arena_finish(&scratch);
	}
	arena_finish(&a);
}

int custom_resources_create(struct api *api, struct custom_resources **ret, struct err *err)
{
	struct custom_resources *c = xcalloc(1, sizeof(*c));
	c->api = api;
	c->retry = xcalloc(1, sizeof(*c->retry));
	uv_timer_init(api->loop, c->retry);
	c->retry->data = c;
	*ret = c;
	put_in_all(c);
	size_t unknown = cache_unknown_count(api->cache);
	if (unknown > 0) {
		char count[24];
		log_warn(
			"the store holds objects of kinds that this server does not know; they are "
			"kept",
			"count", log_i64(count, (int64_t)unknown), NULL);
	}
	int r = follow(c);
	if (r < 0)
		return err_set(err, r, "CustomResourceDefinitions can't be watched");
	look_at_all(c);
	return 0;
}

static void retry_closed(uv_handle_t *h)
{
	free(h);
}

void custom_resources_stop(struct custom_resources *c)
{
	if (!c || c->stopped)
		return;
	c->stopped = true;
	cache_watch_close(TAKE_PTR(c->watcher));
	struct table_iter it = table_iterate(&c->definitions);
	while (table_next(&it)) {
		struct definition *d = it.value;
		cache_watch_close(TAKE_PTR(d->objects));
	}
	uv_timer_stop(c->retry);
	uv_close((uv_handle_t *)c->retry, retry_closed);
}

void custom_resources_destroy(struct custom_resources *c)
{
	if (!c)
		return;
	custom_resources_stop(c);
	struct table_iter it = table_iterate(&c->definitions);
	while (table_next(&it)) {
		struct definition *d = it.value;
		free(d->name);
		free(d);
	}
	table_finish(&c->definitions);
	free(c);
}

int custom_resource_check_create(struct api_request *req)
{
	const struct kind *k = req->kind;
	if (!k->custom)
		return 0;
	if (k->terminating)
		return status_set(req->arena, &req->st, 405, "MethodNotAllowed",
			"create not allowed while custom resource definition is terminating");
	if (!*k->kind) /* the definition is gone, or the version out of it */
		return status_set(req->arena, &req->st, 404, "NotFound",
			"the server could not find the requested resource");
	return 0;
}

int custom_resource_request(struct api_request *req)
{
	const struct kind *k = req->kind;
	bool post = streq(req->method, "POST");
	if (k->needs_webhook && !kind_is_storage(k))
		return status_set(req->arena, &req->st, 500, "InternalError",
			"Internal error occurred: conversion webhook for %s, Kind=%s failed: this "
			"server does not call conversion webhooks; use version %s, as which the "
			"objects are stored",
			k->gv, k->kind, k->storage->version);
	if (post && custom_resource_check_create(req) < 0)
		return -EREMOTEIO;
	if (post && k->has_rules)
		api_warn(req, arena_printf(req->arena,
				      "x-kubernetes-validations of %s %s are not enforced by this "
				      "server",
				      k->gv, k->kind));
	return 0;
}
