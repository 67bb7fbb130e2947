#include "server/controllers/expectations.h"

#include "lib/base/table.h"
#include "lib/base/vec.h"

#define GIVE_UP_NS (300 * NS_PER_S)

struct expectation {
	uint64_t revision; /* of the newest creation; 0 = none */
	VEC(struct object *) deleted, changed;
	int64_t since_ns; /* monotonic, of the newest write */
};

struct expectations {
	struct informer *children;
	struct clock *clock;
	struct table by_key;
};

struct expectations *expectations_create(struct informer *children, struct clock *clock)
{
	struct expectations *e = xcalloc(1, sizeof(*e));
	e->children = children;
	e->clock = clock;
	return e;
}

static void expectation_free(struct expectation *x)
{
	if (!x)
		return;
	for (size_t n = 0; n < x->deleted.count; n++)
		object_unref(x->deleted.items[n]);
	for (size_t n = 0; n < x->changed.count; n++)
		object_unref(x->changed.items[n]);
	VEC_FINISH(&x->deleted);
	VEC_FINISH(&x->changed);
	free(x);
}

void expectations_destroy(struct expectations *e)
{
	if (!e)
		return;
	struct table_iter it = table_iterate(&e->by_key);
	while (table_next(&it))
		expectation_free(it.value);
	table_finish(&e->by_key);
	free(e);
}

static struct expectation *of_key(struct expectations *e, const char *key)
{
	struct expectation *x = table_get(&e->by_key, key);
	if (!x) {
		x = xcalloc(1, sizeof(*x));
		table_set(&e->by_key, key, x);
	}
	x->since_ns = e->clock->mono_ns(e->clock);
	return x;
}

void expectations_created(struct expectations *e, const char *key, uint64_t revision)
{
	struct expectation *x = of_key(e, key);
	x->revision = MAX(x->revision, revision);
}

struct json *expectations_created_by(struct expectations *e, const char *key, struct arena *a,
	const struct client_result *answer)
{
	struct json *doc;
	uint64_t revision;
	if (json_parse(a, answer->body, answer->body_size, NULL, &doc, NULL) < 0)
		return NULL;
	const char *text = json_path_str(doc, "metadata.resourceVersion");
	if (text && parse_u64(str_from(text), &revision) == 0)
		expectations_created(e, key, revision);
	return doc;
}

void expectations_deleted(struct expectations *e, const char *key, const struct object *child)
{
	struct expectation *x = of_key(e, key);
	VEC_PUSH(&x->deleted, object_ref((struct object *)child));
}

void expectations_changed(struct expectations *e, const char *key, const struct object *was)
{
	struct expectation *x = of_key(e, key);
	VEC_PUSH(&x->changed, object_ref((struct object *)was));
}

/* What the cache has for an object, when it is the same one. */
static const struct object *cached(struct expectations *e, const struct object *was)
{
	const struct object *is = informer_get(e->children, was->namespace, was->name);
	return is && streq(is->uid, was->uid) ? is : NULL;
}

bool expectations_met(struct expectations *e, const char *key)
{
	struct expectation *x = table_get(&e->by_key, key);
	if (!x)
		return true;
	if (e->clock->mono_ns(e->clock) - x->since_ns < GIVE_UP_NS) {
		if (informer_revision(e->children) < x->revision)
			return false;
		for (size_t n = 0; n < x->deleted.count; n++) {
			const struct object *is = cached(e, x->deleted.items[n]);
			if (is && !is->deleting)
				return false;
		}
		for (size_t n = 0; n < x->changed.count; n++) {
			const struct object *was = x->changed.items[n], *is = cached(e, was);
			if (is && is->revision <= was->revision)
				return false;
		}
	}
	expectations_forget(e, key);
	return true;
}

void expectations_forget(struct expectations *e, const char *key)
{
	expectation_free(table_remove(&e->by_key, key));
}
