#include "lib/object/managed_fields.h"

#include "lib/object/merge.h"

#define UPDATERS_MAX 10
#define GIVEN_MAX 256 /* entries that a client may write; more are passed over */
/* What of the conflicts is told: enough for any person. */
#define CONFLICTS_MAX 500
#define CONFLICT_BYTES_MAX (1u << 20)
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

struct entry {
	const char *manager, *operation, *api_version, *subresource;
	const char *time;	   /* NULL when it has none */
	const struct json *fields; /* NULL = empty: the entry goes */
	struct json *doc;	   /* as it was read; NULL when it has to be written anew */
};

struct entries {
	struct entry *items;
	size_t count, room;
};

static struct entry *add_entry(struct arena *a, struct entries *all, struct entry e)
{
	if (all->count == all->room) {
		size_t room = all->room ? all->room * 2 : 8;

		all->items = arena_grow(
			a, all->items, all->room * sizeof(*all->items), room * sizeof(*all->items));
		all->room = room;
	}
	all->items[all->count] = e;
	return &all->items[all->count++];
}

static bool is_update(const struct entry *e)
{
	return e->operation[0] == 'U';
}

/* An applier is the same whatever version it applies. */
static bool is_of(const struct entry *e, const struct field_writer *w, const char *operation)
{
	return streq(e->manager, w->manager) && streq(e->operation, operation) &&
	       streq(e->subresource, w->subresource) &&
	       (!is_update(e) || streq(e->api_version, w->kind->gv));
}

/* ---- reading ---- */

static struct json *managed_of(const struct json *doc)
{
	return json_get(json_get(doc, "metadata"), "managedFields");
}

static struct entry entry_of(struct json *doc)
{
	const struct json *fields = json_get(doc, "fieldsV1");

	return (struct entry){
		.manager = json_str_or(json_get(doc, "manager"), ""),
		.operation = json_str_or(json_get(doc, "operation"), ""),
		.api_version = json_str_or(json_get(doc, "apiVersion"), ""),
		.subresource = json_str_or(json_get(doc, "subresource"), ""),
		.time = json_str(json_get(doc, "time")),
		.fields = json_is(fields, JSON_OBJECT) && fields->count ? fields : NULL,
		.doc = doc,
	};
}

static void read_trusted(struct arena *a, const struct json *list, struct entries *ret)
{
	JSON_FOR_EACH_ITEM(doc, list)
		add_entry(a, ret, entry_of(doc));
}

static bool same_manager(const struct entry *x, const struct entry *y)
{
	return streq(x->manager, y->manager) && streq(x->operation, y->operation) &&
	       streq(x->subresource, y->subresource) &&
	       (!is_update(x) || streq(x->api_version, y->api_version));
}

/* Upstream passes over a list with anything in it that it can't read. */
static bool read_given(struct arena *a, const struct json *list, struct entries *ret)
{
	if (json_count(list) > GIVEN_MAX)
		return false;
	JSON_FOR_EACH_ITEM(doc, list) {
		struct entry e = entry_of(doc);
		struct entry *twin = NULL;

		if ((!streq(e.operation, "Apply") && !streq(e.operation, "Update")) ||
			!e.api_version[0] ||
			!streq(json_str(json_get(doc, "fieldsType")), "FieldsV1") ||
			(json_get(doc, "fieldsV1") &&
				field_set_read(a, json_get(doc, "fieldsV1"), &e.fields, NULL) < 0))
			return false;
		e.doc = NULL;
		/* Of two entries of one manager the last one counts. */
		for (size_t i = 0; i < ret->count; i++)
			if (same_manager(&ret->items[i], &e))
				twin = &ret->items[i];
		if (twin)
			*twin = e;
		else
			add_entry(a, ret, e);
	}
	return true;
}

static bool is_reset(const struct json *list)
{
	return json_count(list) == 1 && json_is(json_at(list, 0), JSON_OBJECT) &&
	       json_count(json_at(list, 0)) == 0;
}

/* The entries to begin with. ret_same: they are the present ones. */
static struct entries begin(struct arena *a, const struct field_writer *w,
	const struct json *present, const struct json *doc, bool *ret_same)
{
	const struct json *given = w->subresource[0] ? NULL : managed_of(doc);
	const struct json *had = managed_of(present);
	struct entries e = {0};

	*ret_same = false;
	if (is_reset(given))
		return e;
	if (json_count(given) > 0 && !json_equal(given, had)) {
		if (read_given(a, given, &e) && e.count > 0)
			return e;
		e = (struct entries){0};
	}
	*ret_same = true;
	read_trusted(a, had, &e);
	return e;
}

/* ---- writing ---- */

static int entry_compare(const void *x, const void *y)
{
	const struct entry *e = x, *f = y;
	int c = strcmp(e->operation, f->operation);

	c = c ? c : strcmp(e->time ? e->time : "", f->time ? f->time : "");
	c = c ? c : strcmp(e->manager, f->manager);
	c = c ? c : strcmp(e->api_version, f->api_version);
	return c ? c : strcmp(e->subresource, f->subresource);
}

static void drop_empty(struct entries *all)
{
	size_t kept = 0;

	for (size_t i = 0; i < all->count; i++)
		if (all->items[i].fields)
			all->items[kept++] = all->items[i];
	all->count = kept;
}

static void add_text(struct arena *a, struct json *to, const char *name, const char *text)
{
	json_add_n(a, to, name, strlen(name), json_new_string(a, text));
}

static struct json *entry_doc(struct arena *a, const struct entry *e)
{
	struct json *doc = json_new_object_room(a, 7);

	add_text(a, doc, "manager", e->manager);
	add_text(a, doc, "operation", e->operation);
	add_text(a, doc, "apiVersion", e->api_version);
	if (e->time)
		add_text(a, doc, "time", e->time);
	add_text(a, doc, "fieldsType", "FieldsV1");
	json_add_n(a, doc, "fieldsV1", 8, (struct json *)e->fields);
	if (e->subresource[0])
		add_text(a, doc, "subresource", e->subresource);
	return doc;
}

static void write_entries(struct arena *a, struct json *doc, struct entries *all)
{
	struct json *meta = json_object_at(a, doc, "metadata"), *list;

	drop_empty(all);
	if (all->count == 0) {
		json_remove(meta, "managedFields");
		return;
	}
	if (all->count > 1)
		qsort(all->items, all->count, sizeof(*all->items), entry_compare);
	list = json_new_array(a);
	for (size_t i = 0; i < all->count; i++) {
		struct entry *e = &all->items[i];

		json_push(a, list, e->doc ? e->doc : entry_doc(a, e));
	}
	json_set(a, meta, "managedFields", list);
}

/* The oldest updaters beyond the first ten become one for each version. */
static void cap_updaters(struct arena *a, struct entries *all)
{
	const struct json **sets;
	size_t updaters = 0;

	for (size_t i = 0; i < all->count; i++)
		updaters += all->items[i].fields && is_update(&all->items[i]);
	if (updaters <= UPDATERS_MAX)
		return;
	drop_empty(all);
	qsort(all->items, all->count, sizeof(*all->items), entry_compare);
	sets = arena_alloc(a, all->count * sizeof(*sets));
	for (size_t i = 0; i < all->count && updaters > UPDATERS_MAX; i++) {
		struct entry *into = &all->items[i];
		size_t count = 1;

		if (!is_update(into) || !into->fields)
			continue;
		sets[0] = into->fields;
		for (size_t j = i + 1; j < all->count && updaters > UPDATERS_MAX; j++) {
			struct entry *e = &all->items[j];

			if (!is_update(e) || !e->fields ||
				!streq(e->api_version, into->api_version))
				continue;
			sets[count++] = e->fields;
			into->time = e->time;
			e->fields = NULL;
			updaters--;
		}
		if (count == 1)
			continue;
		into->fields = field_set_union_all(a, sets, count);
		into->manager = "ancient-changes";
		into->subresource = "";
		into->doc = NULL;
	}
}

static void set_fields(struct entry *e, const struct json *fields)
{
	if (fields == e->fields)
		return;
	e->fields = fields;
	e->doc = NULL;
}

static bool is_served(const struct field_writer *w, const struct entry *e)
{
	char group[128], version[64];

	if (!w->kinds || streq(e->api_version, w->kind->gv))
		return true;
	gv_split(e->api_version, group, version);
	return kind_by_name(w->kinds, group, version, w->kind->kind) != NULL;
}

/* ---- update ---- */

void managed_fields_update(struct arena *a, const struct field_writer *given,
	const struct json *present, struct json *doc)
{
	struct field_writer named = *given, *w = &named;
	bool same, found = false;
	struct entries all;
	struct field_changes c;

	if (!w->manager[0])
		w->manager = "unknown";
	all = begin(a, w, present, doc, &same);
	c = fields_compare(a, w->kind->schema, present, doc);
	if (same && !c.written && !c.removed) {
		struct json *had = managed_of(present);

		if (had)
			json_set(a, json_object_at(a, doc, "metadata"), "managedFields", had);
		else
			json_remove(json_get(doc, "metadata"), "managedFields");
		return;
	}
	for (size_t i = 0; i < all.count; i++) {
		struct entry *e = &all.items[i];
		const struct json *left = field_set_difference(a, e->fields, c.removed);

		if (!is_served(w, e)) {
			e->fields = NULL;
			continue;
		}
		if (c.written && is_of(e, w, "Update")) {
			set_fields(e, field_set_union(a, left, c.written));
			if (!streq(e->time, w->now))
				e->doc = NULL;
			e->time = w->now;
			found = true;
			continue;
		}
		set_fields(e, field_set_difference(a, left, c.written));
	}
	if (c.written && !found)
		add_entry(a, &all,
			(struct entry){w->manager, "Update", w->kind->gv, w->subresource, w->now,
				c.written, NULL});
	cap_updaters(a, &all);
	write_entries(a, doc, &all);
}

/* Members of both are equal, but for one. */
static bool same_members(const struct json *x, const struct json *y, const char *but)
{
	size_t missing = json_get(x, but) ? 0 : 1, missing_too = json_get(y, but) ? 0 : 1;

	if (json_count(x) + missing != json_count(y) + missing_too)
		return false;
	JSON_FOR_EACH_MEMBER(m, x)
		if (!streq(m->name, but) &&
			!json_equal(m->value, json_get_n(y, m->name, m->name_size)))
			return false;
	return true;
}

bool managed_fields_same_document(const struct json *x, const struct json *y)
{
	const struct json *mx = json_get(x, "metadata"), *my = json_get(y, "metadata");
	const struct json *ex = managed_of(x), *ey = managed_of(y);

	if (!same_members(x, y, "metadata") || !same_members(mx, my, "managedFields") ||
		json_count(ex) != json_count(ey))
		return false;
	for (size_t i = 0; i < json_count(ex); i++)
		if (json_at(ex, i) != json_at(ey, i) &&
			!same_members(json_at(ex, i), json_at(ey, i), "time"))
			return false;
	return true;
}

const char *manager_of_user_agent(struct arena *a, const char *user_agent)
{
	size_t size = user_agent ? strcspn(user_agent, "/") : 0, kept = 0;
	char *out = arena_alloc(a, size + 1);

	if (!utf8_valid(user_agent ? user_agent : "", size))
		size = 0;
	for (size_t i = 0; i < size;) {
		unsigned char c = (unsigned char)user_agent[i];
		size_t width = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

		if (kept + width > FIELD_MANAGER_MAX)
			break;
		if (c >= 0x20 && c != 0x7f) {
			memcpy(out + kept, user_agent + i, width);
			kept += width;
		}
		i += width;
	}
	out[kept] = '\0';
	return out;
}

/* ---- apply ---- */

struct conflict {
	const struct entry *entry;
	const struct json *fields;
};

struct conflicts {
	struct conflict *items;
	size_t count;
};

static char *manager_text(struct arena *a, const struct entry *e)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	json_write_string(&out, e->manager, strlen(e->manager));
	if (e->subresource[0]) {
		buf_add_str(&out, " with subresource ");
		json_write_string(&out, e->subresource, strlen(e->subresource));
	}
	if (is_update(e))
		buf_printf(&out, " using %s", e->api_version);
	return arena_memdup(a, out.data, out.size);
}

struct conflict_text {
	struct arena *arena;
	const char *manager;
	struct json *causes; /* the first CONFLICTS_MAX */
	struct buf message;  /* "conflicts with "m":\n- .path\n..." of those */
	size_t count;	     /* of all */
};

static void add_conflict(void *user, const char *path)
{
	struct conflict_text *t = user;
	struct json *cause;

	t->count++;
	if (json_count(t->causes) == CONFLICTS_MAX || t->message.size > CONFLICT_BYTES_MAX)
		return;
	cause = json_new_object(t->arena);
	json_set_str(t->arena, cause, "reason", "FieldManagerConflict");
	json_set(t->arena, cause, "message",
		json_new_printf(t->arena, "conflict with %s", t->manager));
	json_set_str(t->arena, cause, "field", path);
	json_push(t->arena, t->causes, cause);
	buf_printf(&t->message, "\n- %s", path);
}

static int fail_conflicts(struct arena *a, const struct conflicts *all, struct status *st)
{
	struct conflict_text t = {.arena = a, .causes = json_new_array(a)};
	const struct json *first;

	for (size_t i = 0; i < all->count; i++) {
		t.manager = manager_text(a, all->items[i].entry);
		buf_printf(&t.message, "%sconflicts with %s:", i ? "\n" : "", t.manager);
		field_set_each(all->items[i].fields, add_conflict, &t);
	}
	first = json_at(t.causes, 0);
	if (t.count > json_count(t.causes))
		buf_printf(&t.message, "\n- and %zu more", t.count - json_count(t.causes));
	if (t.count == 1)
		status_set(a, st, 409, "Conflict", "Apply failed with 1 conflict: %s: %s",
			json_str(json_get(first, "message")), json_str(json_get(first, "field")));
	else
		status_set(a, st, 409, "Conflict", "Apply failed with %zu conflicts: %s", t.count,
			t.message.data);
	status_detail(a, st, "causes", t.causes);
	buf_finish(&t.message);
	return -EREMOTEIO;
}

static const char *name_of(const struct json *doc, const char *path)
{
	const char *text = json_path_str(doc, path);

	return text && *text ? text : "";
}

/* "NAMESPACE/NAME; GROUP/VERSION, Kind=KIND", as upstream says which object it means. */
static const char *object_text(
	struct arena *a, const struct field_writer *w, const struct json *config)
{
	return arena_printf(a, "%s/%s; %s/%s, Kind=%s", name_of(config, "metadata.namespace"),
		name_of(config, "metadata.name"), w->kind->group, w->kind->version, w->kind->kind);
}

/* What client-side apply has set and nobody changed since: kubectl may take it over. */
static const struct json *allowed_by_last_applied(
	struct arena *a, const struct field_writer *w, const struct json *present)
{
	const char *text =
		json_str(json_get(json_path(present, "metadata.annotations"), LAST_APPLIED));
	_cleanup_(buf_finish) struct buf errors = BUF_INIT;
	struct field_changes c;
	const struct json *set;
	struct json *last;

	if (!text || !*text || json_parse(a, text, strlen(text), NULL, &last, NULL) < 0 ||
		!json_is(last, JSON_OBJECT) ||
		!streq(json_str(json_get(last, "apiVersion")), w->kind->gv) ||
		merge_check(w->kind->schema, last, &errors) < 0)
		return NULL;
	set = fields_applied(a, w->kind->schema, last);
	c = fields_compare(a, w->kind->schema, last, present);
	set = field_set_difference(a, set, c.written);
	return field_set_difference(a, set, c.removed);
}

/* Which fields of others the change writes. */
static struct conflicts find_conflicts(struct arena *a, const struct entries *all,
	const struct entry *self, const struct field_changes *c, const struct json *allowed)
{
	struct conflicts ret = {.items = arena_alloc(a, (all->count + 1) * sizeof(*ret.items))};

	for (size_t i = 0; i < all->count; i++) {
		const struct entry *e = &all->items[i];
		const struct json *both;

		if (e == self)
			continue;
		both = field_set_intersection(a, e->fields, c->written);
		both = field_set_difference(a, both, allowed);
		if (both)
			ret.items[ret.count++] = (struct conflict){e, both};
	}
	return ret;
}

static int conflict_compare(const void *x, const void *y)
{
	const struct entry *e = ((const struct conflict *)x)->entry;
	const struct entry *f = ((const struct conflict *)y)->entry;
	int c = strcmp(e->manager, f->manager);

	c = c ? c : strcmp(e->operation, f->operation);
	c = c ? c : strcmp(e->api_version, f->api_version);
	return c ? c : strcmp(e->subresource, f->subresource);
}

/* kubectl keeps the annotation of client-side apply in step with what it applies, so that one may
 * go back. */
static void update_last_applied(struct arena *a, struct json *doc, const struct json *config)
{
	struct json *annotations = json_path(doc, "metadata.annotations"), *copy, *theirs;
	const char *text = json_str(json_get(annotations, LAST_APPLIED));
	size_t size = 0;

	if (!text || !*text)
		return;
	copy = json_copy(a, config);
	theirs = json_path(copy, "metadata.annotations");
	if (theirs && json_remove(theirs, LAST_APPLIED) && json_count(theirs) == 0)
		json_remove(json_get(copy, "metadata"), "annotations");
	json_set(a, annotations, LAST_APPLIED, json_new_printf(a, "%s\n", json_text(a, copy)));
	JSON_FOR_EACH_MEMBER(m, annotations)
		size += m->name_size + m->value->count;
	if (size > ANNOTATIONS_MAX)
		json_remove(annotations, LAST_APPLIED);
}

int managed_fields_apply(struct arena *a, const struct field_writer *w, bool force,
	const struct json *present, const struct json *config, struct json **ret, struct status *st)
{
	_cleanup_(buf_finish) struct buf errors = BUF_INIT;
	const struct json *owned, *last = NULL, *set, *doc = config, *allowed = NULL, **sets;
	struct entries all = {0};
	struct conflicts conflicts;
	struct entry *self = NULL;
	struct field_changes c;

	if (merge_check(w->kind->schema, config, &errors) < 0)
		return status_set(a, st, 500, "", "failed to create typed patch object (%s): %s",
			object_text(a, w, config), errors.data);
	read_trusted(a, managed_of(present), &all);
	sets = arena_alloc(a, (all.count + 1) * sizeof(*sets));
	for (size_t i = 0; i < all.count; i++) {
		struct entry *e = &all.items[i];

		sets[i] = NULL;
		if (is_of(e, w, "Apply"))
			self = e;
		else if (!is_served(w, e))
			e->fields = NULL;
		else
			sets[i] = e->fields;
	}
	set = fields_applied(a, w->kind->schema, config);
	sets[all.count] = set;
	owned = field_set_union_all(a, sets, all.count + 1);
	if (present) {
		last = self ? self->fields : NULL;
		doc = merge_apply(a, w->kind->schema, present, config);
		doc = merge_prune(a, w->kind->schema, doc, last, owned);
		/* What lost its last member is gone, unless it is wanted without any. */
		if (last)
			doc = merge_apply(a, w->kind->schema, doc, config);
	}
	c = fields_compare(a, w->kind->schema, present, doc);
	conflicts = find_conflicts(a, &all, self, &c, NULL);
	if (!force && conflicts.count && streq(w->manager, "kubectl")) {
		allowed = allowed_by_last_applied(a, w, present);
		conflicts = find_conflicts(a, &all, self, &c, allowed);
	}
	if (!force && conflicts.count) {
		qsort(conflicts.items, conflicts.count, sizeof(*conflicts.items), conflict_compare);
		return fail_conflicts(a, &conflicts, st);
	}
	for (size_t i = 0; i < all.count; i++) {
		struct entry *e = &all.items[i];
		const struct json *left;

		if (e == self)
			continue;
		left = field_set_difference(a, e->fields, c.written);
		set_fields(e, field_set_difference(a, left, c.removed));
	}
	if (!self)
		self = add_entry(a, &all,
			(struct entry){.manager = w->manager,
				.operation = "Apply",
				.subresource = w->subresource});
	if (!field_set_equal(self->fields, set) || c.written || c.removed ||
		!streq(self->api_version, w->kind->gv)) {
		self->api_version = w->kind->gv;
		self->time = w->now;
		self->fields = set;
		self->doc = NULL;
	}
	/* The result must not share what the checks to come may change. */
	*ret = json_copy_beside(a, doc, managed_of(doc));
	if (streq(w->manager, "kubectl"))
		update_last_applied(a, *ret, config);
	write_entries(a, *ret, &all);
	return 0;
}
