/* ref_watch.c - see ref_watch.h.
 *
 *   WATCHED --ended--> (wakeup, backing off) --> WATCHED
 *   POLLED  --answer--> (the poll of all) --> POLLED
 *   POLLED  --there is room for a watch--> WATCHED
 *   either --immutable--> STILL */
#include "node/pod/ref_watch.h"

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"

enum { RETRY_MAX_S = 60, HEALTHY_S = 30 };

struct watched {
	struct ref_watches *all;
	char *key; /* RESOURCE/NAMESPACE/NAME */
	const struct kind *kind;
	char *ns, *name;
	struct list subscriptions;
	struct client_watch *watch;
	struct client_call *poll;
	struct wakeup *retry;
	int64_t opened_ns; /* monotonic */
	unsigned failures;
	uint64_t revision; /* the newest known; 0 = none yet */
	bool has_watch;	   /* one of REF_WATCHES_MAX */
	bool immutable, deleted;
};

struct subscription {
	struct list of_object, of_pod;
	struct watched *watched;
	const char *uid; /* the pod's */
	uint64_t seen;
};

struct subscriber {
	char *uid;
	struct list subscriptions;
};

struct ref_watches {
	struct node *n;
	void (*changed)(void *user, const char *uid);
	void *user;
	struct table objects; /* key -> struct watched */
	struct table pods;    /* uid -> struct subscriber */
	struct wakeup *poll;
	size_t watch_count;
};

static int64_t mono(const struct watched *o)
{
	return o->all->n->clock->mono_ns(o->all->n->clock);
}

/* ---- what is new ---- */

static void stop(struct watched *o)
{
	struct client *c = o->all->n->client;

	if (o->watch)
		c->ops->watch_close(c, TAKE_PTR(o->watch));
	if (o->poll)
		client_cancel(c, TAKE_PTR(o->poll));
	wakeup_cancel(o->retry);
	/* One of those that are polled may have it. */
	if (o->has_watch) {
		o->all->watch_count--;
		if (wakeup_armed(o->all->poll))
			wakeup_in(o->all->poll, 0);
	}
	o->has_watch = false;
}

/* The callback may drop the pod, and with it this object: nothing is touched after it. */
static void note(struct watched *o, uint64_t revision)
{
	struct ref_watches *all = o->all;
	VEC(char *) uids = {0};

	if (revision <= o->revision)
		return;
	o->revision = revision;
	LIST_FOR_EACH(s, &o->subscriptions, struct subscription, of_object)
		if (s->seen < revision)
			VEC_PUSH(&uids, xstrdup(s->uid));
	for (size_t i = 0; i < uids.count; i++) {
		all->changed(all->user, uids.items[i]);
		free(uids.items[i]);
	}
	VEC_FINISH(&uids);
}

/* ---- watch ---- */

static void open_watch(void *user);

static void on_event(void *user, const struct client_event *e)
{
	struct watched *o = user;

	if (e->type != CLIENT_ADDED && e->type != CLIENT_MODIFIED && e->type != CLIENT_DELETED)
		return;
	if (!streq(e->object->name, o->name))
		return;
	o->deleted = e->type == CLIENT_DELETED;
	note(o, o->deleted ? e->revision : e->object->revision);
}

static void on_ended(void *user)
{
	struct watched *o = user;

	o->watch = NULL;
	if (mono(o) - o->opened_ns > HEALTHY_S * NS_PER_S)
		o->failures = 0;
	int64_t wait_ms = MIN(INT64_C(1000) << MIN(o->failures, 6u), (int64_t)RETRY_MAX_S * 1000);
	o->failures++;
	/* Not all at once when a server comes back. */
	struct random *random = client_random(o->all->n->client);
	wakeup_in(o->retry, wait_ms / 2 + (int64_t)random_below(random, (uint64_t)wait_ms));
}

static void open_watch(void *user)
{
	static const struct client_watch_handler handler = {.event = on_event, .ended = on_ended};
	struct watched *o = user;
	struct client *c = o->all->n->client;
	_cleanup_(free_p) char *selector = xasprintf("metadata.name=%s", o->name);
	/* From the beginning: what is there now comes as the first event. */
	struct client_watch_options options = {
		.kind = o->kind,
		.namespace = o->ns,
		.field_selector = selector,
	};

	o->opened_ns = mono(o);
	o->watch = c->ops->watch(c, &options, &handler, o);
}

/* ---- poll ---- */

static void on_polled(void *user, const struct client_result *r)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct watched *o = user;
	struct json *doc;
	int64_t revision;

	o->poll = NULL;
	if (!client_ok(r) || json_parse(&a, r->body, r->body_size, NULL, &doc, NULL) < 0)
		return;
	const char *text = json_path_str(doc, "metadata.resourceVersion");
	if (text && parse_i64(str_from(text), &revision) == 0 && revision > 0)
		note(o, (uint64_t)revision);
}

static void poll_one(struct watched *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct client_request request = {
		.method = "GET",
		.path = client_path(&a, o->kind, o->ns, o->name, NULL),
		.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
	};

	o->poll = client_request(o->all->n->client, &request, on_polled, o);
}

static void on_poll(void *user)
{
	struct ref_watches *all = user;
	bool any = false;

	for (struct table_iter it = table_iterate(&all->objects); table_next(&it);) {
		struct watched *o = it.value;
		if (o->immutable || o->has_watch)
			continue;
		if (all->watch_count < REF_WATCHES_MAX) {
			if (o->poll)
				client_cancel(all->n->client, TAKE_PTR(o->poll));
			o->has_watch = true;
			all->watch_count++;
			open_watch(o);
			continue;
		}
		any = true;
		if (!o->poll)
			poll_one(o);
	}
	if (any)
		wakeup_in(all->poll, REF_POLL_MS);
}

/* ---- objects ---- */

static struct watched *object_get(
	struct ref_watches *all, const char *resource, const char *ns, const char *name)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s/%s", resource, ns, name);
	const struct kind *kind = kind_by_resource(all->n->kinds, "", "v1", resource);
	struct watched *o = table_get(&all->objects, key);

	if (o || !kind)
		return o;
	o = xcalloc(1, sizeof(*o));
	o->all = all;
	o->key = TAKE_PTR(key);
	o->kind = kind;
	o->ns = xstrdup(ns);
	o->name = xstrdup(name);
	list_init(&o->subscriptions);
	o->retry = wakeup_create(all->n->loop, all->n->clock, open_watch, o);
	table_set(&all->objects, o->key, o);
	o->has_watch = all->watch_count < REF_WATCHES_MAX;
	if (o->has_watch) {
		all->watch_count++;
		open_watch(o);
	} else if (!wakeup_armed(all->poll)) {
		wakeup_in(all->poll, REF_POLL_MS);
	}
	return o;
}

static void object_free(struct watched *o)
{
	stop(o);
	table_remove(&o->all->objects, o->key);
	wakeup_destroy(o->retry);
	free(o->key);
	free(o->ns);
	free(o->name);
	free(o);
}

/* ---- pods ---- */

struct adding {
	struct ref_watches *all;
	struct subscriber *pod;
	const char *ns;
	unsigned parts;
};

static void add_one(void *user, const char *resource, const char *name)
{
	struct adding *add = user;

	if (streq(resource, "tokens") ||
		(streq(resource, "persistentvolumeclaims") && !(add->parts & POD_REFS_CLAIMS)))
		return;
	struct watched *o = object_get(add->all, resource, add->ns, name);
	if (!o)
		return;
	LIST_FOR_EACH(s, &add->pod->subscriptions, struct subscription, of_pod)
		if (s->watched == o)
			return;
	struct subscription *s = xcalloc(1, sizeof(*s));
	s->watched = o;
	s->uid = add->pod->uid;
	list_append(&o->subscriptions, &s->of_object);
	list_append(&add->pod->subscriptions, &s->of_pod);
}

void ref_watches_add(struct ref_watches *w, const char *uid, const struct json *pod, unsigned parts)
{
	struct subscriber *p = table_get(&w->pods, uid);

	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->uid = xstrdup(uid);
		list_init(&p->subscriptions);
		table_set(&w->pods, uid, p);
	}
	struct adding add = {
		.all = w,
		.pod = p,
		.ns = json_str_or(json_path(pod, "metadata.namespace"), ""),
		.parts = parts,
	};
	pod_refs_each(pod, parts, add_one, &add);
}

bool ref_watches_saw(struct ref_watches *w, const char *uid, const struct pod_refs *refs)
{
	struct subscriber *p = table_get(&w->pods, uid);
	bool newer = false;

	if (!p)
		return false;
	LIST_FOR_EACH(s, &p->subscriptions, struct subscription, of_pod) {
		struct watched *o = s->watched;
		bool immutable = false;
		uint64_t seen = pod_refs_revision(refs, o->kind->plural, o->name, &immutable);
		s->seen = MAX(s->seen, seen);
		newer = newer || (s->seen < o->revision && !(o->deleted && !seen));
		/* What is not there may have come after the answer, so that one more look is due;
		 * after that one it is gone. */
		if (!seen)
			s->seen = MAX(s->seen, o->revision);
		if (immutable && !o->immutable) {
			o->immutable = true;
			stop(o);
		}
	}
	return newer;
}

static void subscriber_free(struct ref_watches *w, struct subscriber *p)
{
	LIST_FOR_EACH(s, &p->subscriptions, struct subscription, of_pod) {
		struct watched *o = s->watched;
		list_remove(&s->of_object);
		list_remove(&s->of_pod);
		free(s);
		if (list_empty(&o->subscriptions))
			object_free(o);
	}
	table_remove(&w->pods, p->uid);
	free(p->uid);
	free(p);
}

void ref_watches_drop(struct ref_watches *w, const char *uid)
{
	struct subscriber *p = table_get(&w->pods, uid);

	if (p)
		subscriber_free(w, p);
}

struct ref_watches *ref_watches_create(
	struct node *n, void (*changed)(void *user, const char *uid), void *user)
{
	struct ref_watches *w = xcalloc(1, sizeof(*w));

	w->n = n;
	w->changed = changed;
	w->user = user;
	w->poll = wakeup_create(n->loop, n->clock, on_poll, w);
	return w;
}

void ref_watches_destroy(struct ref_watches *w)
{
	if (!w)
		return;
	for (struct table_iter it = table_iterate(&w->pods); table_next(&it);)
		subscriber_free(w, it.value);
	table_finish(&w->pods);
	table_finish(&w->objects);
	wakeup_destroy(w->poll);
	free(w);
}
