#include "lib/object/fields.h"

#define KEYS_MAX 16 /* of one list; more are not looked at */

/* Where the walk is: some names of the first two levels are never fields. */
enum level { ROOT, METADATA, BELOW };

struct walk {
	struct arena *arena;
	bool applied; /* structures are no members of the set */
};

static const struct json empty = {.type = JSON_OBJECT};
static const struct json null = {.type = JSON_NULL};

/* ---- forms ---- */

enum field_form field_form(const struct schema *s, const struct json *v)
{
	if (!s || s->type == SCHEMA_ANY)
		return v->type == JSON_OBJECT ? FIELD_STRUCTURE : FIELD_LEAF;
	if (s->type == SCHEMA_OBJECT && v->type == JSON_OBJECT && !s->map_atomic)
		return FIELD_STRUCTURE;
	if (s->type == SCHEMA_ARRAY && v->type == JSON_ARRAY && s->list_type != LIST_ATOMIC)
		return FIELD_LIST;
	return FIELD_LEAF;
}

const struct schema *field_member_schema(const struct schema *s, const char *name, size_t size,
	const struct schema_property **ret_property)
{
	const struct schema_property *p = schema_find(s, name, size);

	*ret_property = p;
	if (p)
		return p->schema;
	return s ? s->additional : NULL;
}

struct str field_member_step(
	struct arena *a, const struct schema_property *p, const struct json_member *m)
{
	char *step;

	if (p)
		return (struct str){p->step, (size_t)p->name_size + 2};
	step = arena_alloc(a, (size_t)m->name_size + 3);
	memcpy(step, "f:", 2);
	memcpy(step + 2, m->name, (size_t)m->name_size + 1);
	return (struct str){step, (size_t)m->name_size + 2};
}

static int key_compare(const void *x, const void *y)
{
	const struct json_member *m = x, *n = y;

	return strcmp(m->name, n->name);
}

static int item_keys_step(struct arena *a, const struct schema *list, const struct json *item,
	struct buf *out, struct err *err)
{
	struct json_member keys[KEYS_MAX];
	size_t count = MIN(list->list_map_key_count, (size_t)KEYS_MAX);
	bool sorted = true;

	if (item->type != JSON_OBJECT)
		return err_set(err, -EINVAL,
			item->type == JSON_NULL
				? "associative list with keys may not have a null element"
				: "associative list with keys may not have non-map elements");
	for (size_t i = 0; i < count; i++) {
		const char *name = list->list_map_keys[i];
		struct json *v = json_get(item, name);

		if (!v) {
			const struct schema *s = schema_property(list->items, name, strlen(name));

			v = s ? (struct json *)s->default_value : NULL;
		}
		if (!v)
			return err_set(err, -EINVAL,
				"associative list with keys has an element that omits key field "
				"\"%s\" (and doesn't have default value)",
				name);
		keys[i] = (struct json_member){.name = name, .value = v};
		sorted = sorted && (i == 0 || key_compare(&keys[i - 1], &keys[i]) < 0);
	}
	if (!sorted)
		qsort(keys, count, sizeof(*keys), key_compare);
	buf_add(out, "k:", 2);
	for (size_t i = 0; i < count; i++) {
		buf_add_char(out, i ? ',' : '{');
		json_write_string(out, keys[i].name, strlen(keys[i].name));
		buf_add_char(out, ':');
		json_write(out, keys[i].value);
	}
	buf_add_char(out, '}');
	return 0;
}

int field_item_step(struct arena *a, const struct schema *list, const struct json *item,
	struct str *ret, struct err *err)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	int r;

	if (list->list_type == LIST_MAP && list->list_map_key_count > 0) {
		r = item_keys_step(a, list, item, &out, err);
		if (r < 0)
			return r;
	} else {
		static const char *const refused[] = {
			[JSON_OBJECT] = "associative list without keys has an element that's a map "
					"type",
			[JSON_ARRAY] = "not supported: associative list with lists as elements",
			[JSON_NULL] = "associative list without keys has an element that's an "
				      "explicit null",
		};

		if (item->type == JSON_OBJECT || item->type == JSON_ARRAY ||
			item->type == JSON_NULL)
			return err_set(err, -EINVAL, "%s", refused[item->type]);
		buf_add(&out, "v:", 2);
		json_write(&out, item);
	}
	*ret = (struct str){arena_memdup(a, out.data, out.size), out.size};
	return 0;
}

static bool is_one_of(const struct json_member *m, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (streq(m->name, names[i]))
			return true;
	return false;
}

/* Kubernetes: the fields that server-side apply strips from every set. */
static bool is_never_a_field(enum level level, const struct json_member *m)
{
	static const char *const of_root[] = {"apiVersion", "kind"};
	static const char *const of_metadata[] = {"name", "namespace", "creationTimestamp",
		"selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"};

	if (level == ROOT)
		return is_one_of(m, of_root, ARRAY_LEN(of_root));
	return level == METADATA && is_one_of(m, of_metadata, ARRAY_LEN(of_metadata));
}

static enum level level_below(enum level level, const struct json_member *m)
{
	return level == ROOT && streq(m->name, "metadata") ? METADATA : BELOW;
}

static void add(struct walk *w, struct json *node, struct str step, const struct json *below)
{
	if (below)
		json_add_n(w->arena, node, step.p, step.size, (struct json *)below);
}

/* ---- all of a value ---- */

static const struct json *whole(struct walk *w, const struct schema *s, const struct json *v,
	enum level level, bool member);

static const struct json *whole_structure(
	struct walk *w, const struct schema *s, const struct json *v, enum level level, bool member)
{
	struct json *node = field_node_begin(w->arena, v->count, member);

	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema_property *p;
		const struct schema *of;
		const struct json *below;
		enum level next = level_below(level, m);

		if (level != BELOW && is_never_a_field(level, m))
			continue;
		of = field_member_schema(s, m->name, m->name_size, &p);
		below = whole(w, of, m->value, next, next != METADATA && (!w->applied || !p));
		if (below)
			add(w, node, field_member_step(w->arena, p, m), below);
	}
	return field_node_end(node);
}

static const struct json *whole_list(
	struct walk *w, const struct schema *s, const struct json *v, bool member)
{
	struct json *node = field_node_begin(w->arena, v->count, member);

	JSON_FOR_EACH_ITEM(item, v) {
		struct str step;

		if (field_item_step(w->arena, s, item, &step, NULL) == 0)
			add(w, node, step, whole(w, s->items, item, BELOW, true));
	}
	return field_node_end_list(node);
}

/* The node of a value that is there in whole. */
static const struct json *whole(
	struct walk *w, const struct schema *s, const struct json *v, enum level level, bool member)
{
	switch (field_form(s, v)) {
	case FIELD_STRUCTURE:
		/* Empty ones are leaves, so that it is known who made them. */
		return v->count ? whole_structure(w, s, v, level, member) : field_node_leaf();
	case FIELD_LIST:
		if (v->count == 0)
			return member ? field_node_leaf() : NULL;
		return whole_list(w, s, v, member);
	case FIELD_LEAF:
		break;
	}
	return field_node_leaf();
}

const struct json *fields_applied(
	struct arena *a, const struct schema *schema, const struct json *doc)
{
	struct walk w = {.arena = a, .applied = true};

	return doc->count ? whole_structure(&w, schema, doc, ROOT, false) : NULL;
}

/* ---- two documents ---- */

static struct field_changes compare(struct walk *w, const struct schema *s, const struct json *old,
	const struct json *new, enum level level);

/* Nodes that are begun when the first step comes. */
struct found {
	struct json *written, *removed;
	size_t room;
};

static void found_add(struct walk *w, struct found *f, struct str step, struct field_changes c)
{
	if (c.written && !f->written)
		f->written = field_node_begin(w->arena, f->room, false);
	if (c.removed && !f->removed)
		f->removed = field_node_begin(w->arena, f->room, false);
	if (c.written)
		add(w, f->written, step, c.written);
	if (c.removed)
		add(w, f->removed, step, c.removed);
}

static struct field_changes found_end(const struct found *f)
{
	return (struct field_changes){
		.written = f->written ? field_node_end(f->written) : NULL,
		.removed = f->removed ? field_node_end(f->removed) : NULL,
	};
}

/* What stands for a member that is not there. */
static const struct json *absent(const struct schema_property *p)
{
	if (!p || !p->always_there)
		return NULL;
	return p->schema->type == SCHEMA_OBJECT ? &empty : &null;
}

/* The member of the same name; most documents are in the same order as what they came from. */
static const struct json *twin(const struct json *v, uint32_t hint, const struct json_member *m)
{
	if (hint < v->count && v->members[hint].name_size == m->name_size &&
		memcmp(v->members[hint].name, m->name, m->name_size) == 0)
		return v->members[hint].value;
	return json_get_n(v, m->name, m->name_size);
}

static struct field_changes compare_structures(struct walk *w, const struct schema *s,
	const struct json *old, const struct json *new, enum level level)
{
	struct found found = {.room = (size_t)old->count + new->count};
	uint32_t matched = 0;

	for (uint32_t i = 0; i < new->count; i++) {
		const struct json_member *m = &new->members[i];
		const struct json *was = twin(old, i, m);
		const struct schema_property *p;
		const struct schema *of;
		struct field_changes c;

		matched += was != NULL;
		if (was == m->value || (level != BELOW && is_never_a_field(level, m)))
			continue;
		of = field_member_schema(s, m->name, m->name_size, &p);
		c = compare(w, of, was ? was : absent(p), m->value, level_below(level, m));
		if (c.written || c.removed)
			found_add(w, &found, field_member_step(w->arena, p, m), c);
	}
	for (uint32_t i = 0; i < old->count && matched < old->count; i++) {
		const struct json_member *m = &old->members[i];
		const struct schema_property *p;
		const struct schema *of;
		struct field_changes c;

		if (twin(new, i, m) || (level != BELOW && is_never_a_field(level, m)))
			continue;
		of = field_member_schema(s, m->name, m->name_size, &p);
		c = compare(w, of, m->value, absent(p), level_below(level, m));
		if (c.written || c.removed)
			found_add(w, &found, field_member_step(w->arena, p, m), c);
	}
	return found_end(&found);
}

struct entry {
	struct str step;
	const struct json *item;
};

static int entry_compare(const void *x, const void *y)
{
	const struct entry *e = x, *f = y;

	return field_step_compare(e->step.p, e->step.size, f->step.p, f->step.size);
}

/* The items with their steps, in order. Items that have none are no fields. */
static struct entry *entries_of(
	struct walk *w, const struct schema *s, const struct json *v, size_t *ret_count)
{
	struct entry *entries = arena_alloc(w->arena, MAX(v->count, 1u) * sizeof(*entries));
	size_t count = 0;

	JSON_FOR_EACH_ITEM(item, v) {
		entries[count].item = item;
		if (field_item_step(w->arena, s, item, &entries[count].step, NULL) == 0)
			count++;
	}
	if (count > 1)
		qsort(entries, count, sizeof(*entries), entry_compare);
	*ret_count = count;
	return entries;
}

static size_t same_steps(const struct entry *e, size_t count)
{
	size_t n = 1;

	while (n < count && entry_compare(e, e + n) == 0)
		n++;
	return n;
}

static bool same_items(const struct entry *x, const struct entry *y, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!json_equal(x[i].item, y[i].item))
			return false;
	return true;
}

/* Items of one step; several of the same are a leaf. */
static struct field_changes compare_items(struct walk *w, const struct schema *s,
	const struct entry *old, size_t old_count, const struct entry *new, size_t new_count)
{
	struct field_changes c = {0};

	if (old_count <= 1 && new_count <= 1)
		return compare(w, s->items, old_count ? old->item : NULL,
			new_count ? new->item : NULL, BELOW);
	if (old_count >= 2 && new_count >= 2) {
		if (old_count != new_count || !same_items(old, new, old_count))
			c.written = field_node_leaf();
	} else if (old_count >= 2) {
		c.removed = field_node_leaf();
		if (new_count)
			c.written = whole(w, s->items, new->item, BELOW, true);
	} else {
		c.written = field_node_leaf();
		if (old_count)
			c.removed = whole(w, s->items, old->item, BELOW, false);
	}
	return c;
}

static struct field_changes compare_lists(
	struct walk *w, const struct schema *s, const struct json *old, const struct json *new)
{
	struct found found = {.room = (size_t)old->count + new->count};
	struct entry *x, *y;
	size_t x_count, y_count, i = 0, j = 0;

	if (json_equal(old, new))
		return (struct field_changes){0};
	x = entries_of(w, s, old, &x_count);
	y = entries_of(w, s, new, &y_count);
	while (i < x_count || j < y_count) {
		int c = i == x_count ? 1 : j == y_count ? -1 : entry_compare(&x[i], &y[j]);
		size_t m = c <= 0 ? same_steps(&x[i], x_count - i) : 0;
		size_t n = c >= 0 ? same_steps(&y[j], y_count - j) : 0;

		found_add(w, &found, m ? x[i].step : y[j].step,
			compare_items(w, s, x + i, m, y + j, n));
		i += m;
		j += n;
	}
	return found_end(&found);
}

static bool is_empty(const struct json *v)
{
	return v->type == JSON_NULL ||
	       ((v->type == JSON_OBJECT || v->type == JSON_ARRAY) && v->count == 0);
}

static const struct json *nothing_of(const struct json *v)
{
	static const struct json no_items = {.type = JSON_ARRAY};

	return v->type == JSON_OBJECT ? &empty : &no_items;
}

static struct field_changes compare(struct walk *w, const struct schema *s, const struct json *old,
	const struct json *new, enum level level)
{
	struct field_changes c = {0};
	enum field_form was, is;

	if (!old || !new) {
		if (new)
			c.written = whole(w, s, new, level, true);
		else
			c.removed = whole(w, s, old, level, true);
		return c;
	}
	was = field_form(s, old);
	is = field_form(s, new);
	/* null is an empty structure or list, except beside another empty one. */
	if (was != is && !(is_empty(old) && is_empty(new))) {
		if (old->type == JSON_NULL) {
			old = nothing_of(new);
			was = is;
		} else if (new->type == JSON_NULL) {
			new = nothing_of(old);
			is = was;
		}
	}
	if (was == FIELD_STRUCTURE && is == FIELD_STRUCTURE)
		return compare_structures(w, s, old, new, level);
	if (was == FIELD_LIST && is == FIELD_LIST)
		return compare_lists(w, s, old, new);
	if (was != is) {
		c.written = whole(w, s, new, level, true);
		c.removed = was == FIELD_LEAF ? NULL : whole(w, s, old, level, false);
	} else if (!json_equal(old, new)) {
		c.written = field_node_leaf();
	}
	return c;
}

struct field_changes fields_compare(struct arena *a, const struct schema *schema,
	const struct json *old, const struct json *doc)
{
	static struct json_member metadata = {"metadata", 8, (struct json *)&empty};
	static const struct json nothing = {.type = JSON_OBJECT, .count = 1, .members = &metadata};
	struct walk w = {.arena = a};

	return compare_structures(&w, schema, old ? old : &nothing, doc, ROOT);
}
