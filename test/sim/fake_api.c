#include "test/sim/fake_api.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/list.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "lib/object/patch.h"
#include "test/sim/fake_scale.h"

/* Time. */

static int64_t sim_mono(struct clock *c)
{
	return CONTAINER_OF(c, struct sim_clock, clock)->now_ns;
}

static int64_t sim_wall(struct clock *c)
{
	struct sim_clock *s = CONTAINER_OF(c, struct sim_clock, clock);
	return s->epoch_ns + s->now_ns;
}

void sim_clock_init(struct sim_clock *c)
{
	*c = (struct sim_clock){
		.clock = {sim_wall, sim_mono}, .epoch_ns = INT64_C(1800000000) * NS_PER_S};
}

struct fake_api {
	const struct kind_registry *kinds;
	struct clock *clock;
	struct random *random;
	struct fake_faults faults;
	uint64_t revision;
	size_t writes;
	VEC(struct object *) objects; /* by kind, namespace, name */
	VEC(struct past) past;
	struct list watches;
	void (*changed)(void *user, const struct object *old, const struct object *new);
	void *changed_user;
};

/* What happened, for watches that begin in the past. */
struct past {
	int type; /* CLIENT_ADDED ... */
	struct object *object;
	uint64_t revision;
};

struct fake_client {
	struct client base;
	struct fake_api *api;
	struct list calls;
};

struct client_watch {
	struct fake_client *client;
	struct list link; /* in api->watches */
	const struct kind *kind;
	char *namespace;
	const struct client_watch_handler *handler;
	void *user;
	struct list deliveries;
	struct wakeup *end; /* of a stream that lost something */
	int64_t last_ns;    /* due time of the newest delivery: keeps the order */
	bool broken;	    /* nothing more is sent, only the end comes */
};

struct delivery {
	struct list link;
	struct client_watch *watch;
	struct wakeup *wakeup;
	struct past event;
};

static bool chance(struct fake_api *f, unsigned percent)
{
	return percent && random_below(f->random, 100) < percent;
}

static int64_t some_delay_ms(struct fake_api *f)
{
	return f->faults.delay_max_ms ? 1 + (int64_t)random_below(f->random, f->faults.delay_max_ms)
				      : 1;
}

/* Store. */

static int compare(const struct object *o, const struct kind *k, const char *ns, const char *name)
{
	if (o->kind->index != k->index)
		return o->kind->index < k->index ? -1 : 1;
	int r = strcmp(o->namespace, ns);
	return r ? r : strcmp(o->name, name);
}

/* Where it is, or would be. */
static size_t place(
	struct fake_api *f, const struct kind *k, const char *ns, const char *name, bool *ret_found)
{
	size_t low = 0, high = f->objects.count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int r = compare(f->objects.items[mid], k, ns, name);
		if (r == 0) {
			*ret_found = true;
			return mid;
		}
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = false;
	return low;
}

static struct object *find(
	struct fake_api *f, const struct kind *k, const char *ns, const char *name)
{
	bool found;
	size_t at = place(f, k, ns ? ns : "", name, &found);
	return found ? f->objects.items[at] : NULL;
}

static const struct kind *kind_named(struct fake_api *f, const char *name)
{
	for (size_t n = 0; n < kind_count(f->kinds); n++) {
		const struct kind *k = kind_at((struct kind_registry *)f->kinds, n);
		if (k->served && streq(k->kind, name))
			return k;
	}
	fprintf(stderr, "no kind %s\n", name);
	abort();
}

/* Watches. */

static void watch_free(struct client_watch *w)
{
	LIST_FOR_EACH(d, &w->deliveries, struct delivery, link) {
		wakeup_destroy(d->wakeup);
		object_unref(d->event.object);
		free(d);
	}
	wakeup_destroy(w->end);
	list_remove(&w->link);
	free(w->namespace);
	free(w);
}

static void on_end(void *user)
{
	struct client_watch *w = user;
	const struct client_watch_handler *h = w->handler;
	void *h_user = w->user;
	if (w->broken) {
		struct client_event e = {.type = CLIENT_ERROR, .code = 410, .message = "too old"};
		h->event(h_user, &e);
	}
	watch_free(w);
	h->ended(h_user);
}

static void on_delivery(void *user)
{
	struct delivery *d = user;
	struct client_watch *w = d->watch;
	struct client_event e = {.type = (int)d->event.type,
		.object = d->event.object,
		.revision = d->event.revision};
	list_remove(&d->link);
	wakeup_destroy(d->wakeup);
	free(d);
	w->handler->event(w->user, &e);
	object_unref(e.object);
	if (!w->broken && !wakeup_armed(w->end) &&
		chance(w->client->api, w->client->api->faults.break_watch))
		wakeup_in(w->end, 0);
}

static void deliver(struct client_watch *w, const struct past *e, int64_t due_ns)
{
	struct fake_api *f = w->client->api;
	struct delivery *d = xcalloc(1, sizeof(*d));
	d->watch = w;
	d->event = *e;
	object_ref(d->event.object);
	d->wakeup = wakeup_create(NULL, f->clock, on_delivery, d);
	list_append(&w->deliveries, &d->link);
	wakeup_at(d->wakeup, due_ns);
}

static void send_event(struct client_watch *w, const struct past *e)
{
	struct fake_api *f = w->client->api;
	if (e->object->kind != w->kind ||
		(w->namespace && !streq(w->namespace, e->object->namespace)))
		return;
	int64_t due_ns = f->clock->mono_ns(f->clock) + some_delay_ms(f) * NS_PER_MS;
	if (chance(f, f->faults.lose_event)) {
		if (!w->broken) {
			w->broken = true;
			wakeup_in(w->end, 1000 + (int64_t)random_below(f->random, 20000));
		}
		return;
	}
	if (chance(f, f->faults.late_event)) {
		/* Others overtake it. No server does that; loops must not rely on it. */
		if (!w->broken) {
			w->broken = true;
			wakeup_in(w->end, 1000 + (int64_t)random_below(f->random, 20000));
		}
		deliver(w, e, due_ns + 300 * NS_PER_MS);
		return;
	}
	w->last_ns = MAX(w->last_ns, due_ns);
	deliver(w, e, w->last_ns);
	if (chance(f, f->faults.repeat_event))
		deliver(w, e, w->last_ns);
}

static void publish(struct fake_api *f, int type, struct object *old, struct object *new)
{
	struct past e = {type, object_ref(new ? new : old), f->revision};
	VEC_PUSH(&f->past, e);
	f->writes++;
	LIST_FOR_EACH(w, &f->watches, struct client_watch, link)
		send_event(w, &e);
	if (f->changed)
		f->changed(f->changed_user, old, type == CLIENT_DELETED ? NULL : new);
}

/* Puts a document in place of what is there. `old` may be NULL. Returns the stored object. */
static struct object *put(struct fake_api *f, const struct kind *k, struct arena *a,
	struct json *doc, struct object *old)
{
	struct object *new = object_new(k, a, doc, ++f->revision);
	bool found;
	size_t at = place(f, k, new->namespace, new->name, &found);
	if (found) {
		f->objects.items[at] = new;
	} else {
		VEC_PUSH(&f->objects, new);
		memmove(&f->objects.items[at + 1], &f->objects.items[at],
			(f->objects.count - 1 - at) * sizeof(struct object *));
		f->objects.items[at] = new;
	}
	publish(f, old ? CLIENT_MODIFIED : CLIENT_ADDED, old, new);
	object_unref(old);
	return new;
}

static void drop(struct fake_api *f, struct object *o)
{
	bool found;
	size_t at = place(f, o->kind, o->namespace, o->name, &found);
	VEC_REMOVE(&f->objects, at);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *last = object_new(o->kind, &a, object_doc(o, &a), ++f->revision);
	publish(f, CLIENT_DELETED, last, NULL);
	object_unref(last);
	object_unref(o);
}

/* Requests. */

struct answer {
	int code;
	const char *reason, *message;
	char *body; /* in the arena */
};

static struct answer refuse(int code, const char *reason, const char *message)
{
	return (struct answer){code, reason, message, ""};
}

static struct answer answer_object(struct arena *a, int code, const struct object *o)
{
	return (struct answer){code, "", "", arena_memdup(a, o->bytes->data, o->bytes->size)};
}

struct target {
	const struct kind *kind;
	const char *ns, *name, *sub;
};

static bool read_path(struct fake_api *f, struct arena *a, const char *path, struct target *ret)
{
	char *part[10] = {0};
	size_t count = 0;
	for (char *p = strtok(arena_strdup(a, path), "/"); p && count < ARRAY_LEN(part);
		p = strtok(NULL, "/"))
		part[count++] = p;
	bool core = count && streq(part[0], "api");
	size_t n = core ? 2 : 3;
	if (count <= n)
		return false;
	const char *group = core ? "" : part[1], *version = core ? part[1] : part[2];
	if (streq(part[n], "namespaces") && count > n + 2) {
		struct kind *k = kind_by_resource(f->kinds, group, version, part[n + 2]);
		if (k && k->namespaced) {
			*ret = (struct target){k, part[n + 1], count > n + 3 ? part[n + 3] : NULL,
				count > n + 4 ? part[n + 4] : NULL};
			return true;
		}
	}
	struct kind *k = kind_by_resource(f->kinds, group, version, part[n]);
	*ret = (struct target){
		k, "", count > n + 1 ? part[n + 1] : NULL, count > n + 2 ? part[n + 2] : NULL};
	return k != NULL;
}

static void stamp(
	struct fake_api *f, struct arena *a, struct json *meta, const char *name, int64_t grace_s)
{
	char now[TIME_RFC3339_ROOM];
	time_format_rfc3339(f->clock->wall_ns(f->clock) + grace_s * NS_PER_S, now);
	json_set_str(a, meta, name, now);
}

static bool namespace_going(struct fake_api *f, const char *ns)
{
	const struct object *o = ns[0] ? find(f, kind_named(f, "Namespace"), "", ns) : NULL;
	return o && o->deleting;
}

/* Decoding rules of lib/object. Returns NULL when the document is good. */
static const char *check(const struct kind *k, struct arena *a, struct json *doc)
{
	struct field_errors errors = {.arena = a};
	struct status st = {0};
	struct decode_options o = {.field_validation = FIELD_VALIDATION_STRICT};
	if (object_check(k, a, doc, &o, &errors, &st) < 0)
		return json_str_or(json_get(st.doc, "message"), "bad document");
	return errors.causes && json_count(errors.causes) ? json_text(a, errors.causes) : NULL;
}

static struct answer create(struct fake_api *f, struct arena *a, const struct target *t,
	struct json *doc, bool keep_status)
{
	struct json *meta = json_object_at(a, doc, "metadata");
	if (namespace_going(f, t->ns))
		return refuse(403, "Forbidden",
			"forbidden: unable to create new content in namespace because it is being "
			"terminated");
	if (t->ns[0])
		json_set_str(a, meta, "namespace", t->ns);
	if (!json_str(json_get(meta, "name"))) {
		char suffix[6];
		random_name_suffix(f->random, suffix, 5);
		json_set(a, meta, "name",
			json_new_printf(a, "%s%s", json_str_or(json_get(meta, "generateName"), ""),
				suffix));
	}
	if (find(f, t->kind, t->ns, json_str(json_get(meta, "name"))))
		return refuse(409, "AlreadyExists", "already exists");
	char uid[37];
	random_uuid(f->random, uid);
	json_set_str(a, meta, "uid", uid);
	stamp(f, a, meta, "creationTimestamp", 0);
	if (t->kind->has_generation)
		json_set_int(a, meta, "generation", 1);
	json_remove(meta, "deletionTimestamp");
	if (t->kind->has_status && !keep_status)
		json_remove(doc, "status");
	if (streq(t->kind->kind, "Namespace"))
		json_push(a, json_array_at(a, json_object_at(a, doc, "spec"), "finalizers"),
			json_new_string(a, "kubernetes"));
	const char *bad = check(t->kind, a, doc);
	if (bad)
		return refuse(422, "Invalid", bad);
	return answer_object(a, 201, put(f, t->kind, a, doc, NULL));
}

static bool may_vanish(const struct json *doc, const struct kind *k)
{
	if (!json_path(doc, "metadata.deletionTimestamp") ||
		json_count(json_path(doc, "metadata.finalizers")))
		return false;
	if (streq(k->kind, "Namespace"))
		return !json_count(json_path(doc, "spec.finalizers"));
	return json_path_int(doc, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

/* Keeps apart what a path may not change, counts the generation, and stores. */
static struct answer replace(struct fake_api *f, struct arena *a, const struct target *t,
	struct object *old, struct json *doc, bool everything)
{
	struct json *was = object_doc(old, a), *meta = json_object_at(a, doc, "metadata");
	static const char *const fixed[] = {"uid", "creationTimestamp", "generation",
		"deletionTimestamp", "deletionGracePeriodSeconds", "namespace", "name",
		"generateName"};
	for (size_t n = 0; n < ARRAY_LEN(fixed); n++) {
		struct json *v = json_get(json_get(was, "metadata"), fixed[n]);
		json_remove(meta, fixed[n]);
		if (v)
			json_set(a, meta, fixed[n], v);
	}
	if (!everything && t->sub && streq(t->sub, "status")) {
		struct json *status = json_get(doc, "status"), *base = json_copy(a, was);
		if (status)
			json_set(a, base, "status", status);
		else
			json_remove(base, "status");
		doc = base;
	} else if (!everything && t->kind->has_status) {
		json_remove(doc, "status");
		if (json_get(was, "status"))
			json_set(a, doc, "status", json_get(was, "status"));
	}
	if (t->kind->has_generation && !json_equal(json_get(was, "spec"), json_get(doc, "spec")))
		json_path_set(a, doc, "metadata.generation",
			json_new_int(a, json_path_int(was, "metadata.generation", 1) + 1));
	const char *bad = check(t->kind, a, doc);
	if (bad)
		return refuse(422, "Invalid", bad);
	json_remove(json_get(doc, "metadata"), "resourceVersion");
	json_remove(json_get(was, "metadata"), "resourceVersion");
	if (may_vanish(doc, t->kind)) {
		struct object *last = object_new(t->kind, a, doc, f->revision);
		struct answer ans = answer_object(a, 200, last);
		object_unref(last);
		drop(f, old);
		return ans;
	}
	if (json_equal(was, doc))
		return answer_object(a, 200, old);
	return answer_object(a, 200, put(f, t->kind, a, doc, old));
}

static const char *precondition(struct arena *a, const struct object *old, const struct json *doc)
{
	const char *revision = json_path_str(doc, "metadata.resourceVersion");
	const char *uid = json_path_str(doc, "metadata.uid");
	if (revision && revision[0] && !streq(revision, arena_printf(a, "%" PRIu64, old->revision)))
		return "the object has been modified";
	if (uid && !streq(uid, old->uid))
		return "the UID does not match";
	return NULL;
}

static struct answer patch(struct fake_api *f, struct arena *a, const struct target *t,
	struct object *old, struct json *body, bool everything)
{
	const char *conflict = precondition(a, old, body);
	struct status st = {0};
	struct json *doc;
	if (conflict)
		return refuse(409, "Conflict", conflict);
	if (patch_merge(a, object_doc(old, a), body, &doc, &st) < 0)
		return refuse(422, "Invalid", "the patch does not apply");
	return replace(f, a, t, old, json_copy(a, doc), everything);
}

static struct answer delete_one(
	struct fake_api *f, struct arena *a, struct object *old, const struct json *options)
{
	const struct kind *k = old->kind;
	const char *uid = json_path_str(options, "preconditions.uid");
	const char *policy = json_str_or(json_get(options, "propagationPolicy"), "");
	if (uid && !streq(uid, old->uid))
		return refuse(409, "Conflict", "the UID in the precondition does not match");
	struct json *doc = object_doc(old, a), *meta = json_get(doc, "metadata");
	struct json *finalizers = json_new_array(a);
	JSON_FOR_EACH_ITEM(it, json_get(meta, "finalizers"))
		json_push(a, finalizers, it);
	const char *add = streq(policy, "Orphan")	? "orphan"
			  : streq(policy, "Foreground") ? "foregroundDeletion"
							: NULL;
	bool has = false;
	JSON_FOR_EACH_ITEM(it, finalizers)
		has |= streq(json_str(it), add);
	if (add && !has)
		json_push(a, finalizers, json_new_string(a, add));
	if (json_count(finalizers))
		json_set(a, meta, "finalizers", finalizers);
	int64_t grace_s = 0;
	if (k->graceful_deletion && json_str_or(json_path(doc, "spec.nodeName"), "")[0])
		grace_s = json_int_or(json_get(options, "gracePeriodSeconds"),
			json_path_int(doc, "spec.terminationGracePeriodSeconds", 30));
	if (!old->deleting ||
		grace_s < json_path_int(doc, "metadata.deletionGracePeriodSeconds", 0)) {
		stamp(f, a, meta, "deletionTimestamp", grace_s);
		json_set_int(a, meta, "deletionGracePeriodSeconds", grace_s);
		if (streq(k->kind, "Namespace"))
			json_path_set(a, doc, "status.phase", json_new_string(a, "Terminating"));
	} else if (!add || has) {
		return answer_object(a, 200, old);
	}
	if (may_vanish(doc, k)) {
		drop(f, old);
		return (struct answer){200, "", "", "{\"kind\":\"Status\",\"status\":\"Success\"}"};
	}
	return answer_object(a, 200, put(f, k, a, doc, old));
}

static struct answer bind_pod(struct fake_api *f, struct arena *a, const struct target *t,
	struct object *old, const struct json *binding)
{
	struct json *doc = object_doc(old, a);
	if (old->deleting || json_str_or(json_path(doc, "spec.nodeName"), "")[0])
		return refuse(409, "Conflict", "pod is already assigned to a node");
	if (json_path_str(binding, "metadata.uid") &&
		!streq(json_path_str(binding, "metadata.uid"), old->uid))
		return refuse(409, "Conflict", "the UID in the binding is not the pod's");
	json_path_set(
		a, doc, "spec.nodeName", json_new_string(a, json_path_str(binding, "target.name")));
	struct answer ans = answer_object(a, 201, put(f, t->kind, a, doc, old));
	return ans;
}

static struct answer list_answer(struct fake_api *f, struct arena *a, const struct target *t)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	buf_printf(&b,
		"{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"},\"items\":[",
		f->revision);
	bool first = true;
	for (size_t n = 0; n < f->objects.count; n++) {
		const struct object *o = f->objects.items[n];
		if (o->kind != t->kind || (t->ns[0] && !streq(o->namespace, t->ns)))
			continue;
		buf_printf(&b, "%s%s", first ? "" : ",", o->bytes->data);
		first = false;
	}
	buf_add_str(&b, "]}");
	return (struct answer){200, "", "", arena_memdup(a, b.data, b.size)};
}

static struct answer handle(struct fake_api *f, struct arena *a, const struct client_request *req)
{
	struct target t;
	struct json *body = NULL;
	if (!read_path(f, a, req->path, &t))
		return refuse(404, "NotFound", "the server could not find the requested resource");
	if (req->body_size && json_parse(a, req->body, req->body_size, NULL, &body, NULL) < 0)
		return refuse(400, "BadRequest", "bad JSON");
	if (!t.name)
		return streq(req->method, "GET") ? list_answer(f, a, &t)
						 : create(f, a, &t, body, false);
	struct object *old = find(f, t.kind, t.ns, t.name);
	if (!old)
		return refuse(404, "NotFound", "not found");
	bool scale = t.sub && streq(t.sub, "scale");
	if (scale && !t.kind->scale_spec_path)
		return refuse(404, "NotFound", "there is no scale");
	if (scale && streq(req->method, "GET"))
		return (struct answer){200, "", "", json_text(a, fake_scale_of(a, old))};
	if (streq(req->method, "GET"))
		return answer_object(a, 200, old);
	if (streq(req->method, "POST"))
		return bind_pod(f, a, &t, old, body);
	if (streq(req->method, "DELETE"))
		return delete_one(f, a, old, body);
	if (streq(req->method, "PATCH"))
		return patch(f, a, &t, old, body, false);
	const char *conflict = precondition(a, old, body);
	if (conflict)
		return refuse(409, "Conflict", conflict);
	return replace(f, a, &t, old, scale ? fake_scale_set(a, old, body) : body, false);
}

/* The transport. */

struct client_call {
	struct list link;
	struct fake_client *client;
	struct wakeup *wakeup;
	struct arena arena;
	/* one of the two */
	struct client_request req;
	client_done *done;
	struct client_list_options list;
	client_list_done *list_done;
	void *user;
	bool handled, lost;
	struct answer answer;
};

static void call_free(struct client_call *call)
{
	list_remove(&call->link);
	wakeup_destroy(call->wakeup);
	arena_finish(&call->arena);
	free(call);
}

static void finish_list(struct client_call *call)
{
	struct fake_api *f = call->client->api;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct client_list_result r = {.code = 200, .message = "", .revision = f->revision};
	client_list_done *done = call->list_done;
	void *user = call->user;
	if (chance(f, f->faults.refuse)) {
		r = (struct client_list_result){.code = 0, .message = "unreachable"};
	} else {
		r.items = arena_alloc(&a, (f->objects.count + 1) * sizeof(*r.items));
		for (size_t n = 0; n < f->objects.count; n++)
			if (f->objects.items[n]->kind == call->list.kind)
				r.items[r.count++] = f->objects.items[n];
	}
	call_free(call);
	done(user, &r);
}

static void on_call(void *user)
{
	struct client_call *call = user;
	struct fake_api *f = call->client->api;
	if (call->list_done) {
		finish_list(call);
		return;
	}
	if (!call->handled) {
		call->handled = true;
		if (chance(f, f->faults.refuse))
			call->answer = random_below(f->random, 2)
					       ? refuse(0, "", "unreachable")
					       : refuse(500, "InternalError", "broken");
		else
			call->answer = handle(f, &call->arena, &call->req);
		if (chance(f, f->faults.lose_answer))
			call->answer = refuse(0, "", "connection lost");
		wakeup_in(call->wakeup, some_delay_ms(f));
		return;
	}
	struct client_result r = {call->answer.code, call->answer.body, strlen(call->answer.body),
		call->answer.reason, call->answer.message};
	struct arena arena = call->arena;
	call->arena = ARENA_INIT;
	client_done *done = call->done;
	void *done_user = call->user;
	call_free(call);
	done(done_user, &r);
	arena_finish(&arena);
}

static struct client_call *call_new(struct client *c, void *user)
{
	struct fake_client *fc = CONTAINER_OF(c, struct fake_client, base);
	struct client_call *call = xcalloc(1, sizeof(*call));
	call->client = fc;
	call->user = user;
	call->wakeup = wakeup_create(NULL, c->clock, on_call, call);
	list_append(&fc->calls, &call->link);
	wakeup_in(call->wakeup, some_delay_ms(fc->api));
	return call;
}

static struct client_call *fake_request(
	struct client *c, const struct client_request *req, client_done *done, void *user)
{
	struct client_call *call = call_new(c, user);
	call->req = *req;
	call->req.method = arena_strdup(&call->arena, req->method);
	call->req.path = arena_strdup(&call->arena, req->path);
	call->req.body =
		req->body_size ? arena_memdup(&call->arena, req->body, req->body_size) : NULL;
	call->done = done;
	return call;
}

static void fake_cancel(struct client *c, struct client_call *call)
{
	call_free(call);
}

static struct client_call *fake_list(
	struct client *c, const struct client_list_options *o, client_list_done *done, void *user)
{
	struct client_call *call = call_new(c, user);
	call->list = *o;
	call->list_done = done;
	return call;
}

static struct client_watch *fake_watch(struct client *c, const struct client_watch_options *o,
	const struct client_watch_handler *h, void *user)
{
	struct fake_client *fc = CONTAINER_OF(c, struct fake_client, base);
	struct client_watch *w = xcalloc(1, sizeof(*w));
	w->client = fc;
	w->kind = o->kind;
	w->namespace = o->namespace ? xstrdup(o->namespace) : NULL;
	w->handler = h;
	w->user = user;
	w->end = wakeup_create(NULL, c->clock, on_end, w);
	list_init(&w->deliveries);
	list_append(&fc->api->watches, &w->link);
	for (size_t n = 0; n < fc->api->past.count; n++)
		if (fc->api->past.items[n].revision > o->since)
			send_event(w, &fc->api->past.items[n]);
	return w;
}

static void fake_watch_close(struct client *c, struct client_watch *w)
{
	watch_free(w);
}

static void fake_destroy(struct client *c)
{
	struct fake_client *fc = CONTAINER_OF(c, struct fake_client, base);
	LIST_FOR_EACH(call, &fc->calls, struct client_call, link)
		call_free(call);
	LIST_FOR_EACH(w, &fc->api->watches, struct client_watch, link)
		if (w->client == fc)
			watch_free(w);
	free(fc);
}

static const struct client_ops fake_ops = {
	fake_request, fake_cancel, fake_list, fake_watch, fake_watch_close, fake_destroy};

struct client *fake_api_client(struct fake_api *f, const char *user_agent)
{
	struct fake_client *c = xcalloc(1, sizeof(*c));
	c->base = (struct client){.ops = &fake_ops,
		.kinds = f->kinds,
		.clock = f->clock,
		.user_agent = user_agent,
		.random = f->random};
	c->api = f;
	list_init(&c->calls);
	return &c->base;
}

struct fake_api *fake_api_create(
	const struct kind_registry *kinds, struct clock *clock, struct random *random)
{
	struct fake_api *f = xcalloc(1, sizeof(*f));
	f->kinds = kinds;
	f->clock = clock;
	f->random = random;
	f->revision = 1;
	list_init(&f->watches);
	return f;
}

void fake_api_destroy(struct fake_api *f)
{
	for (size_t n = 0; n < f->objects.count; n++)
		object_unref(f->objects.items[n]);
	for (size_t n = 0; n < f->past.count; n++)
		object_unref(f->past.items[n].object);
	VEC_FINISH(&f->objects);
	VEC_FINISH(&f->past);
	free(f);
}

void fake_api_set_faults(struct fake_api *f, const struct fake_faults *faults)
{
	f->faults = *faults;
}

void fake_api_on_change(struct fake_api *f,
	void (*changed)(void *user, const struct object *old, const struct object *new), void *user)
{
	f->changed = changed;
	f->changed_user = user;
}

/* Straight to the store. */

uint64_t fake_api_revision(const struct fake_api *f)
{
	return f->revision;
}

size_t fake_api_write_count(const struct fake_api *f)
{
	return f->writes;
}

struct object *fake_api_get(struct fake_api *f, const char *kind, const char *ns, const char *name)
{
	return find(f, kind_named(f, kind), ns, name);
}

size_t fake_api_list(
	struct fake_api *f, const char *kind, const char *ns, struct arena *a, struct object ***ret)
{
	const struct kind *k = kind_named(f, kind);
	struct object **all = arena_alloc(a, (f->objects.count + 1) * sizeof(*all));
	size_t count = 0;
	for (size_t n = 0; n < f->objects.count; n++)
		if (f->objects.items[n]->kind == k &&
			(!ns || streq(ns, f->objects.items[n]->namespace)))
			all[count++] = f->objects.items[n];
	*ret = all;
	return count;
}

static struct json *parse_text(struct arena *a, const char *fmt, va_list ap) _printf_(2, 0);
static struct json *parse_text(struct arena *a, const char *fmt, va_list ap)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct json *doc;
	struct err err = ERR_INIT;
	buf_vprintf(&b, fmt, ap);
	for (size_t n = 0; n < b.size; n++)
		if (b.data[n] == '\'')
			b.data[n] = '"';
	if (json_parse(a, b.data, b.size, NULL, &doc, &err) < 0) {
		fprintf(stderr, "test document: %s\n%s\n", err.msg, b.data);
		abort();
	}
	return doc;
}

static void must(const struct answer *ans)
{
	if (ans->code >= 200 && ans->code < 300)
		return;
	fprintf(stderr, "refused: %d %s\n", ans->code, ans->message);
	abort();
}

struct object *fake_api_create_text(struct fake_api *f, const char *text, ...)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	va_list ap;
	va_start(ap, text);
	struct json *doc = parse_text(&a, text, ap);
	va_end(ap);
	const struct kind *k = kind_named(f, json_path_str(doc, "kind"));
	const char *ns =
		k->namespaced ? json_str_or(json_path(doc, "metadata.namespace"), "default") : "";
	struct target t = {k, ns, NULL, NULL};
	struct answer ans = create(f, &a, &t, doc, true);
	must(&ans);
	return find(f, k, ns, json_path_str(doc, "metadata.name"));
}

void fake_api_patch_text(struct fake_api *f, const char *kind, const char *ns, const char *name,
	const char *text, ...)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	va_list ap;
	va_start(ap, text);
	struct json *doc = parse_text(&a, text, ap);
	va_end(ap);
	struct target t = {kind_named(f, kind), ns, name, NULL};
	struct answer ans = patch(f, &a, &t, find(f, t.kind, ns, name), doc, true);
	must(&ans);
}

void fake_api_delete(struct fake_api *f, const char *kind, const char *ns, const char *name,
	int grace_s, const char *policy)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *options = json_new_object(&a);
	if (grace_s >= 0)
		json_set_int(&a, options, "gracePeriodSeconds", grace_s);
	if (policy)
		json_set_str(&a, options, "propagationPolicy", policy);
	struct answer ans = delete_one(f, &a, find(f, kind_named(f, kind), ns, name), options);
	must(&ans);
}
