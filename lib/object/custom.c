#include "lib/object/custom.h"

#include <stdio.h>

#include "lib/object/check_internal.h"
#include "lib/object/kind_internal.h"

/* What the kinds of a definition say at present. */
struct revision {
	struct arena arena;
	schema_regexes regexes;
	bool has_rules, embeds;
};

struct custom {
	char *plural;		   /* "things" */
	const char *group;	   /* behind it, in the same allocation */
	struct revision *revision; /* NULL while there is no such definition */
	VEC(struct kind *) kinds;  /* of every version that it ever had */
	struct kind *storage;
};

static const struct schema no_schema = {
	.type = SCHEMA_ANY,
	.preserve_unknown = true,
	.max_length = -1,
	.min_length = -1,
	.min_items = -1,
	.max_items = -1,
};

/* ---- revisions ---- */

static void revision_free(struct revision *v)
{
	if (!v)
		return;
	schema_regexes_finish(&v->regexes);
	arena_finish(&v->arena);
	free(v);
}

static void customs_finish(struct kind_registry *r)
{
	struct table_iter it = table_iterate(&r->customs);

	while (table_next(&it)) {
		struct custom *c = it.value;

		for (size_t i = 0; i < c->kinds.count; i++)
			free(c->kinds.items[i]);
		VEC_FINISH(&c->kinds);
		revision_free(c->revision);
		free(c->plural);
		free(c);
	}
}

/* ---- conversion: the other version's name, and what its schema leaves of the document ---- */

/* Prunes and defaults by the kind's schema; a document that can't be (too large with its defaults)
 * stays as it is. */
static void reshape(const struct kind *k, struct arena *a, struct json *doc)
{
	static const struct decode_options options = {
		.field_validation = FIELD_VALIDATION_IGNORE, .skip_validation = true};
	struct field_errors none = {.arena = a};
	struct status st = {0};

	if (object_check(k, a, doc, &options, &none, &st) < 0)
		return;
}

static struct json *from_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	reshape(k, a, doc);
	return doc;
}

static struct json *to_storage(const struct kind *k, struct arena *a, struct json *doc)
{
	reshape(k->storage, a, doc);
	return doc;
}

static const struct kind_conversion rename_version = {from_storage, to_storage};

/* ---- from a version of a definition to a kind file ---- */

static void push_text(struct arena *a, struct json *list, const char *text)
{
	json_push(a, list, json_new_string(a, text));
}

static struct json *texts(struct arena *a, const char *const *all, size_t count)
{
	struct json *list = json_new_array(a);

	for (size_t i = 0; i < count; i++)
		push_text(a, list, all[i]);
	return list;
}

static void add_subresource(struct arena *a, struct json *list, const char *name, bool scale)
{
	static const char *const verbs[] = {"get", "patch", "update"};
	struct json *s = json_new_object(a);

	json_set_str(a, s, "name", name);
	json_set(a, s, "verbs", texts(a, verbs, ARRAY_LEN(verbs)));
	if (scale) {
		json_set_str(a, s, "kind", "Scale");
		json_set_str(a, s, "apiVersion", "autoscaling/v1");
	}
	json_push(a, list, s);
}

static void add_columns(struct arena *a, struct json *file, const struct json *version)
{
	const struct json *given = json_get(version, "additionalPrinterColumns");
	struct json *list = json_array_at(a, file, "columns"), *c = json_new_object(a);

	json_set_str(a, c, "name", "Name");
	json_set_str(a, c, "type", "string");
	json_set_str(a, c, "format", "name");
	json_set_str(a, c, "jsonPath", ".metadata.name");
	json_push(a, list, c);
	JSON_FOR_EACH_ITEM(it, given)
		json_push(a, list, it);
	if (json_is(given, JSON_ARRAY) && json_count(given) > 0)
		return;
	c = json_new_object(a);
	json_set_str(a, c, "name", "Age");
	json_set_str(a, c, "type", "date");
	json_set_str(a, c, "jsonPath", ".metadata.creationTimestamp");
	json_push(a, list, c);
}

static bool lists_path(const struct json *fields, const char *path)
{
	JSON_FOR_EACH_ITEM(it, fields)
		if (streq(json_str(json_get(it, "path")), path))
			return true;
	return false;
}

static void add_field(struct arena *a, struct json *list, const struct json *field)
{
	const char *path = json_str_or(json_get(field, "jsonPath"), "");
	struct json *f;

	path += path[0] == '.';
	if (lists_path(list, path))
		return;
	f = json_new_object(a);
	json_set_str(a, f, "name", path);
	json_set_str(a, f, "path", path);
	json_push(a, list, f);
}

/* Its own fields first; the storage also has those of the other versions. */
static size_t add_fields(
	struct arena *a, struct json *file, const struct json *versions, const struct json *version)
{
	struct json *list = json_array_at(a, file, "selectableFields");
	size_t own;

	JSON_FOR_EACH_ITEM(f, json_get(version, "selectableFields"))
		add_field(a, list, f);
	own = json_count(list);
	if (!json_bool_or(json_get(version, "storage"), false))
		return own;
	JSON_FOR_EACH_ITEM(v, versions)
		JSON_FOR_EACH_ITEM(f, json_get(v, "selectableFields"))
			add_field(a, list, f);
	return own;
}

static struct json *kind_file(struct arena *a, const struct json *definition,
	const struct json *version, size_t *ret_own_fields)
{
	static const char *const verbs[] = {
		"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"};
	static const char *const names[] = {
		"kind", "listKind", "plural", "singular", "shortNames", "categories"};
	const struct json *spec = json_get(definition, "spec");
	const struct json *accepted = json_path(definition, "status.acceptedNames");
	const struct json *sub = json_get(version, "subresources");
	struct json *file = json_new_object(a), *subs = json_array_at(a, file, "subresources");

	if (!*json_str_or(json_get(accepted, "plural"), ""))
		accepted = json_get(spec, "names");
	json_set(a, file, "group", json_get(spec, "group"));
	json_set(a, file, "version", json_get(version, "name"));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_get(accepted, names[i]))
			json_set(a, file, names[i], json_get(accepted, names[i]));
	json_set(a, file, "scope", json_get(spec, "scope"));
	json_set(a, file, "verbs", texts(a, verbs, ARRAY_LEN(verbs)));
	json_set(a, file, "served", json_get(version, "served"));
	json_set_bool(a, file, "generation", true);
	json_set_bool(a, file, "updateNeedsRevision", true);
	json_set_bool(a, file, "strategicPatch", false);
	if (json_is(json_get(sub, "status"), JSON_OBJECT))
		add_subresource(a, subs, "status", false);
	if (json_is(json_get(sub, "scale"), JSON_OBJECT)) {
		add_subresource(a, subs, "scale", true);
		json_set(a, file, "scale", json_get(sub, "scale"));
	}
	add_columns(a, file, version);
	*ret_own_fields = add_fields(a, file, json_get(spec, "versions"), version);
	return file;
}

/* "io.example.v1.Thing" of the group example.io. */
static char *definition_name(struct arena *a, const struct kind *k)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	const char *end = k->group + strlen(k->group);

	while (end > k->group) {
		const char *from = end;

		while (from > k->group && from[-1] != '.')
			from--;
		buf_add(&text, from, (size_t)(end - from));
		buf_add_char(&text, '.');
		end = from > k->group ? from - 1 : from;
	}
	buf_printf(&text, "%s.%s", k->version, k->kind);
	return arena_memdup(a, text.data, text.size);
}

static bool mentions(const struct json *schema, const char *key)
{
	if (json_count(json_get(schema, key)) || json_bool_or(json_get(schema, key), false))
		return true;
	JSON_FOR_EACH_ITEM(it, schema)
		if (mentions(it, key))
			return true;
	JSON_FOR_EACH_MEMBER(m, schema)
		if (!streq(m->name, "default") && !streq(m->name, "enum") &&
			!streq(m->name, "example") && mentions(m->value, key))
			return true;
	return false;
}

static void builder_init(
	struct schema_builder *b, const struct kind_registry *r, struct revision *v)
{
	schema_builder_init(b, &v->arena, (struct table *)&r->definitions, &v->regexes);
	b->custom = true;
	b->room = CUSTOM_SCHEMAS_MAX;
}

static int build_version(struct schema_builder *b, struct revision *v,
	const struct json *definition, const struct json *version, struct kind *k, struct err *err)
{
	const struct json *schema = json_path(version, "schema.openAPIV3Schema");
	const char *strategy = json_str(json_path(definition, "spec.conversion.strategy"));
	size_t own_fields;
	struct json *file = kind_file(&b->scratch, definition, version, &own_fields);
	int r;

	k->custom = true;
	r = schema_build_resource(b, schema, &k->schema, err);
	if (r == 0)
		r = kind_load(b, file, k, err);
	if (r < 0)
		return err_context(
			err, r, "version %s", json_str_or(json_get(version, "name"), ""));
	((struct schema *)k->schema)->name = definition_name(b->arena, k);
	k->selectable_offered = own_fields;
	/* Without a status subresource its field is as any other. */
	k->status_dropped_on_create = k->has_status;
	k->deprecated = json_bool_or(json_get(version, "deprecated"), false);
	k->deprecation_warning =
		schema_intern(b, json_str(json_get(version, "deprecationWarning")));
	if (k->deprecated && !k->deprecation_warning)
		k->deprecation_warning =
			arena_printf(b->arena, "%s %s is deprecated", k->gv, k->kind);
	k->has_rules = mentions(schema, "x-kubernetes-validations");
	k->custom_embeds = mentions(schema, "x-kubernetes-embedded-resource");
	k->needs_webhook = streq(strategy, "Webhook");
	return 0;
}

/* ---- the registry ---- */

static struct custom *custom_get(struct kind_registry *r, const char *name)
{
	struct custom *c = table_get(&r->customs, name);
	char *dot;

	if (c)
		return c;
	c = xcalloc(1, sizeof(*c));
	c->plural = xstrdup(name);
	dot = strchr(c->plural, '.');
	c->group = dot ? dot + 1 : "";
	if (dot)
		*dot = '\0';
	table_set(&r->customs, name, c);
	r->customs_finish = customs_finish;
	return c;
}

static struct kind *version_get(struct kind_registry *r, struct custom *c, const char *version)
{
	struct kind *k;

	for (size_t i = 0; i < c->kinds.count; i++)
		if (streq(strrchr(c->kinds.items[i]->gv, '/') + 1, version))
			return c->kinds.items[i];
	k = xcalloc(1, sizeof(*k));
	k->index = (unsigned)r->kinds.count;
	k->slot = c->kinds.count > 0 ? c->kinds.items[0]->slot : k->index;
	VEC_PUSH(&r->kinds, k);
	VEC_PUSH(&c->kinds, k);
	return k;
}

static void take_out(struct kind_registry *r, struct custom *c)
{
	for (size_t i = 0; i < c->kinds.count; i++) {
		struct kind *k = c->kinds.items[i];
		char key[512];

		if (!k->version)
			continue;
		kind_table_key(key, k->group, k->version, k->kind);
		if (table_get(&r->by_name, key) == k)
			table_remove(&r->by_name, key);
		kind_table_key(key, k->group, k->version, k->plural);
		if (table_get(&r->by_resource, key) == k)
			table_remove(&r->by_resource, key);
	}
}

static void put_in(struct kind_registry *r, struct kind *k)
{
	char key[512];

	kind_table_key(key, k->group, k->version, k->kind);
	table_set(&r->by_name, key, k);
	kind_table_key(key, k->group, k->version, k->plural);
	table_set(&r->by_resource, key, k);
}

/* A kind that no definition speaks of at present. */
static void make_empty(const struct custom *c, struct kind *k)
{
	struct kind empty = {
		.group = c->group,
		.version = strrchr(k->gv, '/') + 1,
		.kind = "",
		.list_kind = "",
		.plural = c->plural,
		.singular = "",
		.namespaced = k->namespaced,
		.name_rule = "dns-subdomain",
		.schema = &no_schema,
		.custom = true,
		.index = k->index,
		.slot = k->slot,
		.storage = k->storage,
		.checked_as = k,
		.conversion = &rename_version,
		.revision = k->revision + 1,
	};

	memcpy(empty.gv, k->gv, sizeof(empty.gv));
	memcpy(empty.resource, k->resource, sizeof(empty.resource));
	*k = empty;
}

static void make_all_empty(struct custom *c)
{
	for (size_t i = 0; i < c->kinds.count; i++)
		make_empty(c, c->kinds.items[i]);
}

int kind_registry_set_custom(
	struct kind_registry *r, const struct json *definition, struct kind **ret, struct err *err)
{
	const char *name = json_str_or(json_path(definition, "metadata.name"), "");
	const struct json *versions = json_path(definition, "spec.versions");
	size_t count = json_count(versions), n = 0;
	struct kind *built = xcalloc(MAX(count, 1), sizeof(*built));
	struct revision *v = xcalloc(1, sizeof(*v));
	struct schema_builder b;
	struct custom *c;
	int result = 0;

	builder_init(&b, r, v);
	JSON_FOR_EACH_ITEM(version, versions)
		if (result == 0)
			result = build_version(&b, v, definition, version, &built[n++], err);
	schema_builder_finish(&b);
	if (result < 0) {
		revision_free(v);
		free(built);
		return err_context(err, result, "CustomResourceDefinition '%s'", name);
	}
	c = custom_get(r, name);
	take_out(r, c);
	make_all_empty(c);
	for (size_t i = 0; i < count; i++) {
		const struct json *version = json_at(versions, i);
		struct kind *k = version_get(r, c, built[i].version);

		built[i].index = k->index;
		built[i].slot = k->slot;
		built[i].revision = k->revision + 1;
		built[i].conversion = &rename_version;
		built[i].checked_as = k;
		built[i].terminating = json_path(definition, "metadata.deletionTimestamp") != NULL;
		*k = built[i];
		if (json_bool_or(json_get(version, "storage"), false))
			c->storage = k;
		put_in(r, k);
	}
	for (size_t i = 0; i < c->kinds.count; i++)
		c->kinds.items[i]->storage = c->storage;
	free(built);
	revision_free(c->revision);
	c->revision = v;
	r->generation++;
	*ret = c->storage;
	return 0;
}

struct kind *kind_registry_remove_custom(struct kind_registry *r, const char *name)
{
	struct custom *c = table_get(&r->customs, name);

	if (!c || !c->revision)
		return NULL;
	take_out(r, c);
	make_all_empty(c);
	revision_free(TAKE_PTR(c->revision));
	r->generation++;
	return c->storage;
}

void kind_registry_set_terminating(struct kind_registry *r, const char *name, bool terminating)
{
	struct custom *c = table_get(&r->customs, name);

	for (size_t i = 0; c && i < c->kinds.count; i++)
		c->kinds.items[i]->terminating = terminating;
}

struct kind *kind_registry_custom(const struct kind_registry *r, const char *name)
{
	const struct custom *c = table_get(&r->customs, name);

	return c && c->revision ? c->storage : NULL;
}

uint64_t kind_registry_generation(const struct kind_registry *r)
{
	return r->generation;
}

void kind_registry_observe(struct kind_registry *r, struct kind_observer *o)
{
	list_append(&r->observers, &o->in);
}

void kind_registry_unobserve(struct kind_observer *o)
{
	list_remove(&o->in);
}

void kind_registry_notify(struct kind_registry *r, const struct kind *storage)
{
	LIST_FOR_EACH(o, &r->observers, struct kind_observer, in)
		o->changed(o, storage);
}

/* ---- for the checks of definitions ---- */

/* What checking defaults may put into memory: they may have defaults in them, over and over. */
#define DEFAULTS_BYTES_MAX (64u << 20)
#define DEFAULT_PATH_BYTES_MAX 1024 /* what is told of where one stands */

struct defaults {
	struct arena scratch;
	struct field_errors *errors;
};

/* path grows by the names on the way, and shrinks again. */
static void check_defaults(struct defaults *d, const struct schema *s, struct buf *path)
{
	static const struct decode_options options = {.field_validation = FIELD_VALIDATION_WARN};
	size_t size = path->size;

	if (d->scratch.used_bytes > DEFAULTS_BYTES_MAX)
		return;
	if (s->default_value) {
		buf_add_str(path, ".default");
		check_custom_value(s, &d->scratch, json_copy(&d->scratch, s->default_value),
			&options,
			arena_memdup(
				&d->scratch, path->data, MIN(path->size, DEFAULT_PATH_BYTES_MAX)),
			d->errors);
		path->size = size;
	}
	for (size_t i = 0; i < s->property_count; i++) {
		const struct schema *p = s->properties[i].schema;

		if (p->embedded_meta)
			continue;
		buf_printf(path, ".properties[%s]", s->properties[i].name);
		check_defaults(d, p, path);
		path->size = size;
	}
	if (s->additional) {
		buf_add_str(path, ".additionalProperties");
		check_defaults(d, s->additional, path);
		path->size = size;
	}
	if (s->items) {
		buf_add_str(path, ".items");
		check_defaults(d, s->items, path);
		path->size = size;
	}
}

void custom_schema_check(const struct kind_registry *r, const struct json *schema, const char *path,
	struct field_errors *errors)
{
	struct revision *v = xcalloc(1, sizeof(*v));
	struct defaults d = {.errors = errors};
	struct buf text = BUF_INIT;
	struct schema_builder b;
	const struct schema *s;
	struct err err = ERR_INIT;

	builder_init(&b, r, v);
	if (schema_build_resource(&b, schema, &s, &err) < 0) {
		field_error(errors, FIELD_INVALID, path, json_new_string(errors->arena, ""), "%s",
			err.msg);
	} else {
		buf_add_str(&text, path);
		check_defaults(&d, s, &text);
		if (d.scratch.used_bytes > DEFAULTS_BYTES_MAX)
			field_error(errors, FIELD_INVALID, path, json_new_string(errors->arena, ""),
				"has too many defaults");
	}
	buf_finish(&text);
	arena_finish(&d.scratch);
	schema_builder_finish(&b);
	revision_free(v);
}

/* ---- stored objects ---- */

int object_adopt(const struct kind *k, const char *text, size_t size, uint64_t revision,
	struct object **ret, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json_limits limits = {.depth = 512, .size_bytes = 64u << 20};
	struct json *doc;
	int r;

	r = json_parse(&a, text, size, &limits, &doc, err);
	if (r == 0 && !json_is(json_get(doc, "metadata"), JSON_OBJECT))
		r = err_set(err, -EBADMSG, "it has no metadata");
	if (r < 0)
		return err_context(err, -EBADMSG, "stored %s", k->kind);
	reshape(k, &a, doc);
	*ret = object_new(k, &a, doc, revision);
	return 0;
}
