#include "server/quota/quota.h"

#include "lib/base/table.h"

struct bound {
	const char *name;
	struct amount hard, used;
};

struct entry {
	const struct kind *kind;
	bool counted, reserved, seen;
	__int128 amounts[]; /* of each bound: as observed, then as reserved */
};

struct quota {
	struct arena arena; /* the document and what is made of it */
	const char *name;
	const struct json *spec;
	struct bound *bounds;
	size_t bound_count;
	struct usage_scope *scopes;
	size_t scope_count;
	struct table entries; /* "pods/NAME", "deployments.apps/NAME" -> struct entry */
};

static int compare_bounds(const void *a, const void *b)
{
	return strcmp(((const struct bound *)a)->name, ((const struct bound *)b)->name);
}

static void read_scopes(struct quota *q)
{
	const struct json *list = json_get(q->spec, "scopes");
	const struct json *matches = json_path(q->spec, "scopeSelector.matchExpressions");
	q->scopes = arena_zalloc(
		&q->arena, (json_count(list) + json_count(matches) + 1) * sizeof(*q->scopes));
	JSON_FOR_EACH_ITEM(s, list)
		q->scopes[q->scope_count++] =
			(struct usage_scope){json_str_or(s, ""), "Exists", NULL};
	JSON_FOR_EACH_ITEM(m, matches)
		q->scopes[q->scope_count++] =
			(struct usage_scope){json_str_or(json_get(m, "scopeName"), ""),
				json_str_or(json_get(m, "operator"), ""), json_get(m, "values")};
}

struct quota *quota_create(const struct json *doc)
{
	struct quota *q = xcalloc(1, sizeof(*q));
	const struct json *copy = json_copy(&q->arena, doc);
	q->name = json_str_or(json_path(copy, "metadata.name"), "");
	q->spec = json_get(copy, "spec");
	const struct json *hard = json_get(q->spec, "hard");
	q->bounds = arena_zalloc(&q->arena, (json_count(hard) + 1) * sizeof(*q->bounds));
	JSON_FOR_EACH_MEMBER(m, hard) {
		struct bound *b = &q->bounds[q->bound_count];
		if (!amount_of(m->name, m->value, &b->hard))
			continue;
		b->name = b->used.name = m->name;
		q->bound_count++;
	}
	/* Messages tell them in this order. */
	if (q->bound_count)
		qsort(q->bounds, q->bound_count, sizeof(*q->bounds), compare_bounds);
	read_scopes(q);
	return q;
}

void quota_destroy(struct quota *q)
{
	if (!q)
		return;
	for (struct table_iter it = table_iterate(&q->entries); table_next(&it);)
		free(it.value);
	table_finish(&q->entries);
	arena_finish(&q->arena);
	free(q);
}

const char *quota_name(const struct quota *q)
{
	return q->name;
}

bool quota_differs(const struct quota *q, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	return q->spec && spec ? !json_equal(q->spec, spec) : q->spec != spec;
}

static bool is_pods(const struct kind *k)
{
	return !*k->group && streq(k->plural, "pods");
}

bool quota_covers(const struct quota *q, const struct kind *k)
{
	/* Scopes are about pods. */
	if (q->scope_count && !is_pods(k))
		return false;
	for (size_t i = 0; i < q->bound_count; i++)
		if (usage_covers(k, q->bounds[i].name))
			return true;
	return false;
}

static bool matches(const struct quota *q, const struct kind *k, const struct json *doc)
{
	if (!quota_covers(q, k))
		return false;
	for (size_t i = 0; i < q->scope_count; i++)
		if (!usage_scope_matches(&q->scopes[i], doc))
			return false;
	return true;
}

static char *key_of(struct arena *a, const struct kind *k, const char *name)
{
	return arena_printf(a, "%s/%s", k->resource, name);
}

static __int128 counted_of(const struct quota *q, const struct entry *e, size_t i)
{
	__int128 observed = e->counted ? e->amounts[i] : 0;
	__int128 reserved = e->reserved ? e->amounts[q->bound_count + i] : 0;
	return MAX(observed, reserved);
}

/* Changes an entry, and the sums by what that comes to. `part` 0: as observed, 1: as reserved;
 * usage NULL = no longer. */
static void change(struct quota *q, struct entry *e, unsigned part, const struct amounts *usage)
{
	for (size_t i = 0; i < q->bound_count; i++)
		q->bounds[i].used.value.nano -= counted_of(q, e, i);
	*(part ? &e->reserved : &e->counted) = usage != NULL;
	for (size_t i = 0; i < q->bound_count; i++) {
		struct bound *b = &q->bounds[i];
		const struct amount *amount = usage ? amounts_find(usage, b->name) : NULL;
		e->amounts[part * q->bound_count + i] = amount ? amount->value.nano : 0;
		/* A sum is shown as its first part that is not zero. */
		if (b->used.value.nano == 0 && amount)
			b->used.binary = amount->binary;
		b->used.value.nano += counted_of(q, e, i);
	}
}

static struct entry *entry_for(struct quota *q, const char *key, const struct kind *k)
{
	struct entry *e = table_get(&q->entries, key);
	if (e)
		return e;
	e = xcalloc(1, sizeof(*e) + 2 * q->bound_count * sizeof(e->amounts[0]));
	e->kind = k->storage;
	table_set(&q->entries, key, e);
	return e;
}

static void drop_unused(struct quota *q, const char *key, const struct entry *e)
{
	if (!e->counted && !e->reserved)
		free(table_remove(&q->entries, key));
}

void quota_observe(struct quota *q, const struct kind *k, const char *name, const struct json *doc)
{
	struct arena a = ARENA_INIT;
	const char *key = key_of(&a, k, name);
	if (doc && matches(q, k, doc)) {
		struct amounts usage = usage_of(&a, k, doc);
		struct entry *e = entry_for(q, key, k);
		e->seen = true;
		change(q, e, 0, &usage);
	} else {
		struct entry *e = table_get(&q->entries, key);
		if (e && e->counted)
			change(q, e, 0, NULL);
		if (e)
			drop_unused(q, key, e);
	}
	arena_finish(&a);
}

void quota_scan_begin(struct quota *q, const struct kind *k)
{
	for (struct table_iter it = table_iterate(&q->entries); table_next(&it);) {
		struct entry *e = it.value;
		if (e->kind == k->storage)
			e->seen = false;
	}
}

void quota_scan_end(struct quota *q, const struct kind *k)
{
	for (struct table_iter it = table_iterate(&q->entries); table_next(&it);) {
		struct entry *e = it.value;
		if (e->kind != k->storage || e->seen || !e->counted)
			continue;
		change(q, e, 0, NULL);
		drop_unused(q, it.key, e);
	}
}

/* "cpu=1,pods=2" of the bounds that are marked. */
static const char *list_text(const struct quota *q, struct arena *a, const bool *marked,
	struct amount (*of)(const struct quota *q, size_t i, void *user), void *user)
{
	const char *text = "";
	for (size_t i = 0; i < q->bound_count; i++) {
		if (!marked[i])
			continue;
		struct amount amount = of(q, i, user);
		text = arena_printf(a, "%s%s%s=%s", text, *text ? "," : "", q->bounds[i].name,
			amount_text(a, &amount));
	}
	return text;
}

static struct amount requested(const struct quota *q, size_t i, void *user)
{
	return ((const struct amount *)user)[i];
}

static struct amount used(const struct quota *q, size_t i, void *user)
{
	return q->bounds[i].used;
}

static struct amount limited(const struct quota *q, size_t i, void *user)
{
	return q->bounds[i].hard;
}

static const char *missing(
	const struct quota *q, struct arena *a, const struct kind *k, const struct json *doc)
{
	if (!is_pods(k))
		return NULL;
	const char **names = arena_alloc(a, (q->bound_count + 1) * sizeof(*names));
	for (size_t i = 0; i < q->bound_count; i++)
		names[i] = q->bounds[i].name;
	return usage_missing(a, doc, names, q->bound_count);
}

const char *quota_refuses(const struct quota *q, struct arena *a, const struct kind *k,
	const char *name, const struct json *doc)
{
	if (!matches(q, k, doc))
		return NULL;
	const char *silent = missing(q, a, k, doc);
	if (silent)
		return arena_printf(a, "failed quota: %s: must specify %s", q->name, silent);
	const struct entry *e = table_get(&q->entries, key_of(a, k, name));
	struct amounts usage = usage_of(a, k, doc);
	struct amount *deltas = arena_zalloc(a, (q->bound_count + 1) * sizeof(*deltas));
	bool *over = arena_zalloc(a, q->bound_count + 1), any = false;
	for (size_t i = 0; i < q->bound_count; i++) {
		const struct amount *amount = amounts_find(&usage, q->bounds[i].name);
		if (!amount)
			continue;
		deltas[i] = *amount;
		deltas[i].value.nano -= e ? counted_of(q, e, i) : 0;
		over[i] = deltas[i].value.nano > 0 &&
			  q->bounds[i].used.value.nano + deltas[i].value.nano >
				  q->bounds[i].hard.value.nano;
		any |= over[i];
	}
	if (!any)
		return NULL;
	return arena_printf(a, "exceeded quota: %s, requested: %s, used: %s, limited: %s", q->name,
		list_text(q, a, over, requested, deltas), list_text(q, a, over, used, NULL),
		list_text(q, a, over, limited, NULL));
}

void quota_reserve(struct quota *q, const struct kind *k, const char *name, const struct json *doc)
{
	struct arena a = ARENA_INIT;
	if (matches(q, k, doc)) {
		struct amounts usage = usage_of(&a, k, doc);
		change(q, entry_for(q, key_of(&a, k, name), k), 1, &usage);
	}
	arena_finish(&a);
}

void quota_release(struct quota *q, const struct kind *k, const char *name)
{
	struct arena a = ARENA_INIT;
	const char *key = key_of(&a, k, name);
	struct entry *e = table_get(&q->entries, key);
	if (e && e->reserved) {
		change(q, e, 1, NULL);
		drop_unused(q, key, e);
	}
	arena_finish(&a);
}

static struct json *map_of(const struct quota *q, struct arena *a, bool hard)
{
	struct json *map = json_new_object(a);
	for (size_t i = 0; i < q->bound_count; i++) {
		const struct bound *b = &q->bounds[i];
		json_set_str(a, map, b->name, amount_text(a, hard ? &b->hard : &b->used));
	}
	return map;
}

struct json *quota_hard(const struct quota *q, struct arena *a)
{
	return map_of(q, a, true);
}

struct json *quota_used(const struct quota *q, struct arena *a)
{
	return map_of(q, a, false);
}
