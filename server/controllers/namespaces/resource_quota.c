/* The status of ResourceQuotas: what their bounds are and what of it is used. Accounts are kept by
 * events, object by object, so a change costs what it changes; the kinds that some quota counts are
 * watched from then on that one does. */
#include "lib/base/table.h"
#include "server/controllers/controller.h"
#include "server/quota/quota.h"

#define RESYNC_MS (5 * 60 * 1000)

struct quotas {
	struct loop *loop;
	struct client *client;
	struct informer *quotas;
	struct table accounts; /* "NAMESPACE/NAME" -> struct quota */
	struct list trackers;
};

struct tracker {
	struct list link;
	struct quotas *owner;
	struct informer *informer;
};

static struct quota *account(struct quotas *c, const struct object *o)
{
	struct arena a = ARENA_INIT;
	struct quota *q = table_get(&c->accounts, arena_printf(&a, "%s/%s", o->namespace, o->name));
	arena_finish(&a);
	return q;
}

static void on_counted(void *user, const struct object *old, const struct object *new)
{
	struct tracker *t = user;
	struct quotas *c = t->owner;
	const struct object *o = new ? new : old;
	struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(c->quotas, o->namespace, &a, &list);
	const struct json *doc = count && new ? object_doc(new, &a) : NULL;
	for (size_t i = 0; i < count; i++) {
		struct quota *q = account(c, list[i]);
		if (!q || !quota_covers(q, o->kind))
			continue;
		quota_observe(q, o->kind, o->name, doc);
		loop_add_object(c->loop, list[i]);
	}
	arena_finish(&a);
}

static void add_all(struct quotas *c)
{
	struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(c->quotas, NULL, &a, &list);
	for (size_t i = 0; i < count; i++)
		loop_add_object(c->loop, list[i]);
	arena_finish(&a);
}

static void on_tracked(void *user)
{
	add_all(((struct tracker *)user)->owner);
}

static struct tracker *tracker_of(struct quotas *c, const struct kind *k)
{
	LIST_FOR_EACH(t, &c->trackers, struct tracker, link)
		if (informer_kind(t->informer) == k)
			return t;
	return NULL;
}

static struct tracker *track(struct quotas *c, const struct kind *k)
{
	static const struct informer_handler handler = {
		.changed = on_counted, .synced = on_tracked};
	struct tracker *t = xcalloc(1, sizeof(*t));
	t->owner = c;
	t->informer = informer_create(c->client, k, NULL, NULL, NULL);
	list_append(&c->trackers, &t->link);
	informer_add_handler(t->informer, &handler, t);
	informer_start(t->informer);
	return t;
}

/* True when all that the quota counts is known. */
static bool track_all(struct quotas *c, const struct quota *q)
{
	bool known = true;
	for (size_t i = 0; i < kind_count(c->client->kinds); i++) {
		const struct kind *k = kind_at(c->client->kinds, i);
		if (!k->served || !k->namespaced || !kind_is_storage(k) ||
			!kind_has_verb(k, "watch") || !quota_covers(q, k))
			continue;
		struct tracker *t = tracker_of(c, k);
		if (!t)
			t = track(c, k);
		known &= informer_synced(t->informer);
	}
	return known;
}

/* What is known already of the objects that a new account counts. */
static void fill(struct quotas *c, struct quota *q, const char *namespace)
{
	LIST_FOR_EACH(t, &c->trackers, struct tracker, link) {
		const struct kind *k = informer_kind(t->informer);
		struct arena a = ARENA_INIT;
		struct object **list;
		size_t count =
			quota_covers(q, k) ? informer_list(t->informer, namespace, &a, &list) : 0;
		for (size_t i = 0; i < count; i++) {
			struct arena scratch = ARENA_INIT;
			quota_observe(q, k, list[i]->name, object_doc(list[i], &scratch));
			arena_finish(&scratch);
		}
		arena_finish(&a);
	}
}

static void on_quota(void *user, const struct object *old, const struct object *new)
{
	struct quotas *c = user;
	struct arena a = ARENA_INIT;
	const struct object *o = new ? new : old;
	const char *key = arena_printf(&a, "%s/%s", o->namespace, o->name);
	struct quota *have = table_get(&c->accounts, key);
	if (!new) {
		quota_destroy(table_remove(&c->accounts, key));
	} else {
		const struct json *doc = object_doc(new, &a);
		if (!have || quota_differs(have, doc)) {
			struct quota *q = quota_create(doc);
			quota_destroy(table_set(&c->accounts, key, q));
			fill(c, q, new->namespace);
		}
		loop_add_object(c->loop, new);
	}
	arena_finish(&a);
}

static void reconcile(struct sync *s)
{
	struct quotas *c = s->self;
	struct arena *a = &s->arena;
	struct object *o = informer_get(c->quotas, s->ns, s->name);
	struct quota *q = o ? account(c, o) : NULL;
	if (!q)
		return;
	/* Kinds may come later. */
	sync_again(s, RESYNC_MS);
	if (!track_all(c, q))
		return; /* on_tracked comes back to it */
	struct json *doc = object_doc(o, a);
	struct json *hard = quota_hard(q, a), *used = quota_used(q, a);
	const struct json *status = json_get(doc, "status");
	const struct json *was_hard = json_get(status, "hard"),
			  *was_used = json_get(status, "used");
	if (was_hard && was_used && json_equal(hard, was_hard) && json_equal(used, was_used))
		return;
	struct json *wanted = json_new_object(a);
	json_set(a, wanted, "hard", hard);
	json_set(a, wanted, "used", used);
	json_set(a, doc, "status", wanted);
	sync_update(s, informer_kind(c->quotas), s->ns, s->name, "status", doc, NULL, NULL);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_quota};
	struct quotas *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	list_init(&c->trackers);
	c->loop = loop_create(sh->client, "resourcequota-controller", 1, reconcile, c);
	c->quotas = shared_informer(sh, "", "v1", "ResourceQuota");
	informer_add_handler(c->quotas, &handler, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct quotas *)self)->loop);
}

static void destroy(void *self)
{
	struct quotas *c = self;
	loop_destroy(c->loop);
	LIST_FOR_EACH(t, &c->trackers, struct tracker, link) {
		informer_destroy(t->informer);
		list_remove(&t->link);
		free(t);
	}
	for (struct table_iter it = table_iterate(&c->accounts); table_next(&it);)
		quota_destroy(it.value);
	table_finish(&c->accounts);
	free(c);
}

const struct controller_class resource_quota_controller = {"resourcequota", create, start, destroy};
