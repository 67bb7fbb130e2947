#include "server/controllers/loop.h"

#include <inttypes.h>

#include "lib/base/log.h"

struct loop {
	struct client *client;
	const char *name;
	sync_step *reconcile;
	void *self;
	struct workqueue *queue;
	struct list syncs;
};

struct call {
	struct list link; /* in sync->calls */
	struct sync *sync;
	struct client_call *client_call;
	sync_done *done;
	void *user;
	bool absent_is_fine;
};

/* A key whose reconcile is long (a service of thousands of pods) rests for many times as long
 * before the next, so that the events that come meanwhile are one reconcile, and it takes no more
 * than this share of the process. */
#define LONG_NS (2 * NS_PER_MS)
#define REST_TIMES 9
#define REST_MAX_MS 1000

static void sync_free(struct sync *s)
{
	list_remove(&s->link);
	for (size_t n = 0; n < s->held.count; n++)
		object_unref(s->held.items[n]);
	VEC_FINISH(&s->held);
	arena_finish(&s->arena);
	free(s);
}

static void settle(struct sync *s)
{
	while (!s->pending && s->next) {
		sync_step *step = s->next;
		int64_t from_ns = loop_mono_ns(s->loop);
		s->next = NULL;
		step(s);
		s->busy_ns += loop_mono_ns(s->loop) - from_ns;
	}
	if (s->pending)
		return;
	struct workqueue *q = s->loop->queue;
	if (s->busy_ns >= LONG_NS)
		workqueue_rest(q, s->key, MIN(s->busy_ns * REST_TIMES / NS_PER_MS, REST_MAX_MS));
	/* What failed is tried again more and more seldom, however urgent it was. */
	if (s->again_ms >= 0 && !(s->failed && s->again_ms == 0))
		workqueue_add_after(q, s->key, s->again_ms);
	/* The key is in the arena: the queue must be told before the sync goes. */
	list_remove(&s->link);
	workqueue_done(q, s->key, s->failed);
	sync_free(s);
}

static void on_key(void *user, const char *key)
{
	struct loop *l = user;
	struct sync *s = xcalloc(1, sizeof(*s));
	arena_init(&s->arena);
	s->loop = l;
	s->self = l->self;
	s->key = arena_strdup(&s->arena, key);
	const char *slash = strchr(s->key, '/');
	s->ns = slash ? arena_memdup(&s->arena, s->key, (size_t)(slash - s->key)) : "";
	s->name = slash ? slash + 1 : s->key;
	s->again_ms = -1;
	s->next = l->reconcile;
	list_init(&s->calls);
	list_append(&l->syncs, &s->link);
	settle(s);
}

struct loop *loop_create(
	struct client *c, const char *name, unsigned workers, sync_step *reconcile, void *self)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	l->client = c;
	l->name = name;
	l->reconcile = reconcile;
	l->self = self;
	l->queue = workqueue_create(c->loop, c->clock, name, workers, on_key, l);
	list_init(&l->syncs);
	return l;
}

void loop_start(struct loop *l)
{
	workqueue_start(l->queue);
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	LIST_FOR_EACH(s, &l->syncs, struct sync, link) {
		LIST_FOR_EACH(call, &s->calls, struct call, link) {
			client_cancel(l->client, call->client_call);
			free(call);
		}
		sync_free(s);
	}
	workqueue_destroy(l->queue);
	free(l);
}

struct client *loop_client(struct loop *l)
{
	return l->client;
}

const char *loop_name(const struct loop *l)
{
	return l->name;
}

int64_t loop_wall_ns(struct loop *l)
{
	return l->client->clock->wall_ns(l->client->clock);
}

int64_t loop_mono_ns(struct loop *l)
{
	return l->client->clock->mono_ns(l->client->clock);
}

void loop_add_after(struct loop *l, const char *ns, const char *name, int64_t delay_ms)
{
	if (!ns[0]) {
		workqueue_add_after(l->queue, name, delay_ms);
		return;
	}
	_cleanup_(free_p) char *key = xasprintf("%s/%s", ns, name);
	workqueue_add_after(l->queue, key, delay_ms);
}

void loop_add(struct loop *l, const char *ns, const char *name)
{
	loop_add_after(l, ns, name, 0);
}

void loop_add_object(struct loop *l, const struct object *o)
{
	loop_add(l, o->namespace, o->name);
}

struct object *sync_hold(struct sync *s, const struct object *o)
{
	struct object *kept = object_ref((struct object *)o);
	VEC_PUSH(&s->held, kept);
	return kept;
}

bool sync_namespace_terminating(const struct client_result *r)
{
	return r->code == 403 && strstr(r->message, "because it is being terminated");
}

void sync_again(struct sync *s, int64_t delay_ms)
{
	if (s->again_ms < 0 || delay_ms < s->again_ms)
		s->again_ms = delay_ms;
}

void sync_check(struct sync *s, const struct client_result *r)
{
	if (client_ok(r) || sync_namespace_terminating(r))
		return;
	s->failed = true;
	/* A conflict only says that the cache was behind: the next run sees more. */
	if (r->code != 409)
		log_info("will try again", "controller", s->loop->name, "key", s->key, "message",
			r->message, NULL);
}

static void on_answer(void *user, const struct client_result *r)
{
	struct call *call = user;
	struct sync *s = call->sync;
	list_remove(&call->link);
	if (call->done)
		call->done(s, r, call->user);
	else if (!(r->code == 404 && call->absent_is_fine))
		sync_check(s, r);
	free(call);
	s->pending--;
	settle(s);
}

static struct call *call_new(struct sync *s, sync_done *done, void *user, bool absent_is_fine)
{
	struct call *call = xcalloc(1, sizeof(*call));
	call->sync = s;
	call->done = done;
	call->user = user;
	call->absent_is_fine = absent_is_fine;
	list_append(&s->calls, &call->link);
	s->pending++;
	return call;
}

void sync_request(struct sync *s, const struct client_request *req, sync_done *done, void *user)
{
	struct call *call = call_new(s, done, user, false);
	call->client_call = client_request(s->loop->client, req, on_answer, call);
}

void sync_get(struct sync *s, const struct kind *k, const char *ns, const char *name,
	sync_done *done, void *user)
{
	struct client_request req = {
		.method = "GET", .path = client_path(&s->arena, k, ns, name, NULL)};
	sync_request(s, &req, done, user);
}

void sync_create(struct sync *s, const struct kind *k, const char *ns, const struct json *doc,
	sync_done *done, void *user)
{
	struct call *call = call_new(s, done, user, false);
	call->client_call = client_create(s->loop->client, k, ns, doc, on_answer, call);
}

void sync_update(struct sync *s, const struct kind *k, const char *ns, const char *name,
	const char *sub, const struct json *doc, sync_done *done, void *user)
{
	struct call *call = call_new(s, done, user, true);
	call->client_call = client_update(s->loop->client, k, ns, name, sub, doc, on_answer, call);
}

void sync_patch(struct sync *s, const struct object *o, const char *sub, struct json *patch,
	sync_done *done, void *user)
{
	struct json *meta = json_object_at(&s->arena, patch, "metadata");
	json_set(&s->arena, meta, "resourceVersion",
		json_new_printf(&s->arena, "%" PRIu64, o->revision));
	json_set_str(&s->arena, meta, "uid", o->uid);
	struct call *call = call_new(s, done, user, true);
	call->client_call = client_patch(s->loop->client, o->kind, o->namespace, o->name, sub,
		"application/merge-patch+json", patch, on_answer, call);
}

bool sync_status(struct sync *s, const struct object *o, const struct json *doc,
	const struct json *wanted, sync_done *done, void *user)
{
	const struct json *is = json_get(doc, "status");
	struct json *patch = json_new_object(&s->arena), *status = NULL;
	JSON_FOR_EACH_MEMBER(m, wanted) {
		const struct json *old = json_get(is, m->name);
		bool absent = !old || json_is(old, JSON_NULL);
		if (json_is(m->value, JSON_NULL) ? absent : json_equal(old, m->value))
			continue;
		if (!status)
			status = json_object_at(&s->arena, patch, "status");
		json_set(&s->arena, status, m->name, m->value);
	}
	if (!status)
		return false;
	sync_patch(s, o, "status", patch, done, user);
	return true;
}

void sync_delete(struct sync *s, const struct object *o, int grace_s, const char *policy,
	sync_done *done, void *user)
{
	struct call *call = call_new(s, done, user, true);
	call->client_call = client_delete(s->loop->client, o->kind, o->namespace, o->name, o->uid,
		grace_s, policy, on_answer, call);
}
