#include "lib/object/patch.h"

#include "lib/base/table.h"
#include "lib/base/vec.h"

/* Kubernetes' strategic merge: as a merge patch, but lists that the schema marks are merged item by
 * item, by a key member or, for plain values, as sets; and directives say what merging can't.
 *
 *   $patch: replace | delete | merge     in a map, or in an item of a merged list
 *   $retainKeys: [NAME...]               members of this map that may stay
 *   $deleteFromPrimitiveList/F: [...]    values to take out of list F
 *   $setElementOrder/F: [...]            order of the items of list F
 */

#define ORDER_PREFIX "$setElementOrder/"
#define DELETE_PREFIX "$deleteFromPrimitiveList/"

struct merger {
	struct arena *arena;
	struct status *st;
};

static int merge_map(struct merger *m, const struct schema *s, const struct json *target,
	const struct json *patch, struct json **ret);

static int bad_patch(struct merger *m, const char *what, const char *of)
{
	return status_bad_request(m->arena, m->st, "error decoding patch: %s %s", what, of);
}

static bool is_directive(const char *name)
{
	return name[0] == '$' &&
	       (streq(name, "$patch") || streq(name, "$retainKeys") ||
		       str_has_prefix(name, ORDER_PREFIX) || str_has_prefix(name, DELETE_PREFIX));
}

/* What the patch adds where the target has nothing: no nulls, no directives. NULL when a directive
 * deletes it. */
static struct json *plain(struct merger *m, const struct json *v)
{
	const char *directive = json_str(json_get(v, "$patch"));
	struct json *out, *value;

	if (v->type == JSON_ARRAY) {
		out = json_new_array(m->arena);
		JSON_FOR_EACH_ITEM(it, v) {
			/* {"$patch": "replace"} alone is a word to the list, no item of it. */
			if (json_count(it) == 1 && json_get(it, "$patch"))
				continue;
			value = plain(m, it);
			if (value)
				json_push(m->arena, out, value);
		}
		return out;
	}
	if (v->type != JSON_OBJECT)
		return (struct json *)v;
	if (streq(directive, "delete"))
		return NULL;
	out = json_new_object(m->arena);
	JSON_FOR_EACH_MEMBER(member, v) {
		if (member->value->type == JSON_NULL || is_directive(member->name))
			continue;
		value = plain(m, member->value);
		if (value)
			json_set_n(m->arena, out, member->name, member->name_size, value);
	}
	return out;
}

/* ---- lists ---- */

/* What tells the item from others: the text of its key, or of itself. NULL without key. */
static const char *item_key(struct merger *m, const char *key, const struct json *item)
{
	const struct json *v = key ? json_get(item, key) : item;

	return v ? json_text(m->arena, v) : NULL;
}

/* Positions by key; the first of equal ones counts. Values are index + 1 to tell 0 from absent. */
static void index_items(
	struct merger *m, const char *key, const struct json *list, struct table *ret)
{
	uintptr_t i = 1;

	JSON_FOR_EACH_ITEM(it, list) {
		const char *text = item_key(m, key, it);

		if (text && !table_get(ret, text))
			table_set(ret, text, (void *)i);
		i++;
	}
}

struct sorted {
	struct json *item;
	uintptr_t wanted; /* place in the order asked for, 0 = not named there */
	uintptr_t had;	  /* place in the target, 0 = new */
	size_t at;	  /* keeps the sort stable */
};

static int wanted_compare(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;

	if (x->wanted != y->wanted)
		return x->wanted < y->wanted ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

static int had_compare(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;

	if (x->had != y->had)
		return x->had < y->had ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

/* Items that the patch names take its order; the others keep theirs and stand before a named item
 * only if they stood before it in the target. */
static struct json *order_list(struct merger *m, const char *key, const struct json *merged,
	const struct json *wanted, const struct json *target)
{
	_cleanup_(table_finish) struct table wanted_at = TABLE_INIT, target_at = TABLE_INIT;
	size_t count = json_count(merged), named = 0, others = 0, i = 0, j = 0;
	struct sorted *left = arena_alloc(m->arena, MAX(count, 1) * sizeof(*left));
	struct sorted *right = arena_alloc(m->arena, MAX(count, 1) * sizeof(*right));
	struct json *out = json_new_array(m->arena);

	index_items(m, key, wanted, &wanted_at);
	index_items(m, key, target, &target_at);
	JSON_FOR_EACH_ITEM(it, merged) {
		const char *text = item_key(m, key, it);
		struct sorted s = {.item = it};

		if (text) {
			s.wanted = (uintptr_t)table_get(&wanted_at, text);
			s.had = (uintptr_t)table_get(&target_at, text);
		}
		s.at = named + others;
		if (s.wanted)
			right[named++] = s;
		else
			left[others++] = s;
	}
	qsort(right, named, sizeof(*right), wanted_compare);
	qsort(left, others, sizeof(*left), had_compare);
	while (i < others || j < named) {
		bool take_left = j >= named || (i < others && left[i].had && right[j].had &&
						       left[i].had < right[j].had);

		json_push(m->arena, out, take_left ? left[i++].item : right[j++].item);
	}
	return out;
}

static struct json *without_items(
	struct merger *m, const char *key, const struct json *list, const struct table *dropped)
{
	struct json *out = json_new_array(m->arena);

	JSON_FOR_EACH_ITEM(it, list) {
		const char *text = item_key(m, key, it);

		if (!text || !table_get(dropped, text))
			json_push(m->arena, out, it);
	}
	return out;
}

/* Carries out $patch directives in items. *patch becomes the items without one; *target the list
 * they are merged into. */
static int special_items(
	struct merger *m, const char *key, const struct json **target, const struct json **patch)
{
	_cleanup_(table_finish) struct table dropped = TABLE_INIT;
	struct json *rest = json_new_array(m->arena);
	bool replace = false;

	JSON_FOR_EACH_ITEM(it, *patch) {
		const struct json *directive = json_get(it, "$patch");
		const char *word = json_str_or(directive, ""), *text;

		if (it->type != JSON_OBJECT)
			return bad_patch(
				m, "list of maps has an item that is none, merge key", key);
		if (!directive || streq(word, "merge")) {
			json_push(m->arena, rest, it);
		} else if (streq(word, "replace")) {
			replace = true;
			if (json_count(it) > 1)
				json_push(m->arena, rest, it);
		} else if (streq(word, "delete")) {
			text = item_key(m, key, it);
			if (!text)
				return bad_patch(
					m, "map does not contain declared merge key:", key);
			table_set(&dropped, text, it);
		} else {
			return bad_patch(m, "unknown patch type found in map:", word);
		}
	}
	if (replace)
		*target = json_new_array(m->arena);
	else if (dropped.count > 0)
		*target = without_items(m, key, *target, &dropped);
	*patch = rest;
	return 0;
}

static int merge_maps_in_list(struct merger *m, const struct schema *s, const struct json *target,
	const struct json *patch, struct json **ret)
{
	_cleanup_(table_finish) struct table at = TABLE_INIT;
	const char *key = s->patch_merge_key;
	struct json *out = json_new_array(m->arena);
	int r;

	JSON_FOR_EACH_ITEM(it, target)
		json_push(m->arena, out, it);
	index_items(m, key, target, &at);
	JSON_FOR_EACH_ITEM(it, patch) {
		const char *text = item_key(m, key, it);
		uintptr_t place;
		struct json *value;

		if (!text)
			return bad_patch(m, "map does not contain declared merge key:", key);
		place = (uintptr_t)table_get(&at, text);
		if (place) {
			r = merge_map(m, s->items, json_at(out, place - 1), it, &value);
			if (r < 0)
				return r;
			out->items[place - 1] = value;
		} else if ((value = plain(m, it))) {
			json_push(m->arena, out, value);
			table_set(&at, text, (void *)(uintptr_t)json_count(out));
		}
	}
	*ret = out;
	return 0;
}

static struct json *merge_values_in_list(
	struct merger *m, const struct json *target, const struct json *patch)
{
	_cleanup_(table_finish) struct table seen = TABLE_INIT;
	struct json *out = json_new_array(m->arena);
	const struct json *parts[] = {target, patch};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		JSON_FOR_EACH_ITEM(it, parts[i])
			if (!table_set(&seen, json_text(m->arena, it), it))
				json_push(m->arena, out, it);
	return out;
}

/* `patch`, `order` and `deleted` may be NULL; target may be. */
static int merge_list(struct merger *m, const struct schema *s, const struct json *target,
	const struct json *patch, const struct json *order, const struct json *deleted,
	struct json **ret)
{
	const char *key = s ? s->patch_merge_key : NULL;
	struct json *merged = (struct json *)target;
	int r;

	if (!s || !s->patch_merge) {
		*ret = patch ? plain(m, patch) : (struct json *)target;
		return 0;
	}
	if (patch && key) {
		r = special_items(m, key, &target, &patch);
		if (r >= 0)
			r = merge_maps_in_list(m, s, target, patch, &merged);
		if (r < 0)
			return r;
	} else if (patch) {
		merged = merge_values_in_list(m, target, patch);
	}
	if (deleted) {
		_cleanup_(table_finish) struct table dropped = TABLE_INIT;

		index_items(m, NULL, deleted, &dropped);
		merged = without_items(m, NULL, merged, &dropped);
	}
	if (order || patch)
		merged = order_list(m, key, merged, order ? order : patch, target);
	*ret = merged;
	return 0;
}

/* ---- maps ---- */

static const struct json *directive_for(
	struct merger *m, const struct json *patch, const char *prefix, const char *name)
{
	const struct json *v = json_get(patch, arena_printf(m->arena, "%s%s", prefix, name));

	return json_is(v, JSON_ARRAY) ? v : NULL;
}

struct map_patch {
	const struct json *patch;
	bool has_directives;
	const struct json *retain; /* array or NULL */
	struct table retained;
};

static int merge_member(struct merger *m, const struct schema *s, const struct map_patch *p,
	const char *name, const struct json *target, const struct json *change, struct json **ret)
{
	const struct json *order = NULL, *deleted = NULL;

	if (p->has_directives) {
		order = directive_for(m, p->patch, ORDER_PREFIX, name);
		deleted = directive_for(m, p->patch, DELETE_PREFIX, name);
	}
	if (!change && !order && !deleted) {
		*ret = (struct json *)target;
		return 0;
	}
	if (json_is(target, JSON_ARRAY) && (!change || change->type == JSON_ARRAY))
		return merge_list(m, s, target, change, order, deleted, ret);
	if (!change) {
		*ret = (struct json *)target;
		return 0;
	}
	if (json_is(target, JSON_OBJECT) && change->type == JSON_OBJECT && !(s && s->patch_replace))
		return merge_map(m, s, target, change, ret);
	*ret = plain(m, change);
	if (*ret && order && change->type == JSON_ARRAY && s && s->patch_merge)
		*ret = order_list(m, s->patch_merge_key, *ret, order, NULL);
	return 0;
}

static int read_directives(struct merger *m, const struct json *patch, struct map_patch *ret)
{
	*ret = (struct map_patch){.patch = patch};
	JSON_FOR_EACH_MEMBER(member, patch)
		if (is_directive(member->name))
			ret->has_directives = true;
	if (!ret->has_directives)
		return 0;
	ret->retain = json_get(patch, "$retainKeys");
	if (!ret->retain)
		return 0;
	if (ret->retain->type != JSON_ARRAY)
		return bad_patch(m, "invalid patch format of", "retainKeys");
	JSON_FOR_EACH_ITEM(it, ret->retain)
		if (it->type == JSON_STRING)
			table_set(&ret->retained, it->s, it);
	JSON_FOR_EACH_MEMBER(member, patch)
		if (member->value->type != JSON_NULL && !is_directive(member->name) &&
			!table_get(&ret->retained, member->name))
			return bad_patch(m,
				"$retainKeys must name every field in the patch, and lacks",
				member->name);
	return 0;
}

static int merge_members(struct merger *m, const struct schema *s, const struct map_patch *p,
	const struct json *target, struct json *out)
{
	struct json *value;
	int r;

	JSON_FOR_EACH_MEMBER(member, target) {
		const struct json *change = json_get_n(p->patch, member->name, member->name_size);
		const struct schema *sub;

		if ((change && change->type == JSON_NULL) ||
			(p->retain && !table_get_n(&p->retained, member->name, member->name_size)))
			continue;
		sub = schema_property(s, member->name, member->name_size);
		r = merge_member(m,
			sub ? sub
			: s ? s->additional
			    : NULL,
			p, member->name, member->value, change, &value);
		if (r < 0)
			return r;
		if (value)
			json_set_n(m->arena, out, member->name, member->name_size, value);
	}
	JSON_FOR_EACH_MEMBER(member, p->patch) {
		if (member->value->type == JSON_NULL || is_directive(member->name) ||
			json_get_n(target, member->name, member->name_size))
			continue;
		r = merge_member(m, schema_property(s, member->name, member->name_size), p,
			member->name, NULL, member->value, &value);
		if (r < 0)
			return r;
		if (value)
			json_set_n(m->arena, out, member->name, member->name_size, value);
	}
	return 0;
}

static int merge_map(struct merger *m, const struct schema *s, const struct json *target,
	const struct json *patch, struct json **ret)
{
	const struct json *directive = json_get(patch, "$patch");
	const char *word = json_str_or(directive, "");
	struct json *out = json_new_object(m->arena);
	struct map_patch p;
	int r;

	if (directive && streq(word, "delete")) {
		*ret = out;
		return 0;
	}
	if (directive && streq(word, "replace")) {
		*ret = plain(m, patch);
		return 0;
	}
	if (directive && !streq(word, "merge"))
		return bad_patch(m, "unknown patch type found in map:", word);
	r = read_directives(m, patch, &p);
	if (r >= 0)
		r = merge_members(m, s, &p, target, out);
	table_finish(&p.retained);
	if (r < 0)
		return r;
	*ret = out;
	return 0;
}

int patch_strategic(struct arena *a, const struct schema *schema, const struct json *target,
	const struct json *patch, struct json **ret, struct status *st)
{
	struct merger m = {a, st};

	if (!json_is(patch, JSON_OBJECT))
		return status_bad_request(a, st,
			"error decoding patch: a strategic merge patch must be an "
			"object");
	return merge_map(&m, schema, target, patch, ret);
}
