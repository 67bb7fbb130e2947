#include "lib/object/kind_internal.h"

#include <stdio.h>

struct kind_registry *kind_registry_create(void)
{
	struct kind_registry *r = xcalloc(1, sizeof(*r));

	list_init(&r->observers);
	return r;
}

void kind_registry_destroy(struct kind_registry *r)
{
	if (!r)
		return;
	if (r->customs_finish)
		r->customs_finish(r);
	table_finish(&r->customs);
	table_finish(&r->definitions);
	table_finish(&r->by_resource);
	table_finish(&r->by_name);
	schema_regexes_finish(&r->regexes);
	VEC_FINISH(&r->kinds);
	arena_finish(&r->arena);
	free(r);
}

static const char **load_strings(
	struct schema_builder *b, const struct json *json, size_t *ret_count)
{
	size_t count = json_count(json);
	const char **items = arena_alloc(b->arena, MAX(count, 1) * sizeof(*items));

	for (size_t i = 0; i < count; i++)
		items[i] = schema_intern(b, json_str_or(json_at(json, i), ""));
	*ret_count = count;
	return items;
}

void gv_split(const char *gv, char group[128], char version[64])
{
	const char *slash = strchr(gv, '/');
	const char *v = slash ? slash + 1 : gv;

	snprintf(group, 128, "%.*s", slash ? (int)(slash - gv) : 0, gv);
	snprintf(version, 64, "%.63s", v);
}

/* ".spec.replicas" as CustomResourceDefinitions write it; paths here have no dot in front. */
static const char *load_path(struct schema_builder *b, const struct json *json)
{
	const char *path = json_str(json);

	return schema_intern(b, path && path[0] == '.' ? path + 1 : path);
}

static void load_subresources(struct schema_builder *b, const struct json *json, struct kind *k)
{
	size_t count = json_count(json);
	struct kind_subresource *items = arena_zalloc(b->arena, MAX(count, 1) * sizeof(*items));

	for (size_t i = 0; i < count; i++) {
		const struct json *j = json_at(json, i);
		const char *gv = json_str(json_get(j, "apiVersion"));
		struct kind_subresource *s = &items[i];
		char group[128], version[64];

		gv_split(gv ? gv : k->gv, group, version);
		s->name = schema_intern(b, json_str_or(json_get(j, "name"), ""));
		s->group = schema_intern(b, group);
		s->version = schema_intern(b, version);
		s->kind = schema_intern(b, json_str_or(json_get(j, "kind"), k->kind));
		s->verbs = load_strings(b, json_get(j, "verbs"), &s->verb_count);
		if (streq(s->name, "status"))
			k->has_status = true;
	}
	k->subresources = items;
	k->subresource_count = count;
}

static void load_columns(struct schema_builder *b, const struct json *json, struct kind *k)
{
	size_t count = json_count(json);
	struct kind_column *items = arena_zalloc(b->arena, MAX(count, 1) * sizeof(*items));

	for (size_t i = 0; i < count; i++) {
		const struct json *j = json_at(json, i);

		items[i] = (struct kind_column){
			.name = schema_intern(b, json_str_or(json_get(j, "name"), "")),
			.type = schema_intern(b, json_str_or(json_get(j, "type"), "string")),
			.format = schema_intern(b, json_str_or(json_get(j, "format"), "")),
			.description =
				schema_intern(b, json_str_or(json_get(j, "description"), "")),
			.priority = (int)json_int_or(json_get(j, "priority"), 0),
			.json_path = schema_intern(b, json_str(json_get(j, "jsonPath"))),
		};
	}
	k->columns = items;
	k->column_count = count;
}

/* What a field selector compares with when the field is absent: Go's zero value as text. */
static const char *absent_value(const struct schema *s, const char *path)
{
	struct str rest = str_from(path), part;

	while (s && str_split(&rest, '.', &part))
		s = schema_property(s, part.p, part.size);
	if (!s)
		return "";
	return s->type == SCHEMA_BOOLEAN ? "false" : s->type == SCHEMA_INTEGER ? "0" : "";
}

static void load_selectable(struct schema_builder *b, const struct json *json, struct kind *k)
{
	size_t count = json_count(json), bytes = MAX(count, 1) * sizeof(char *);

	k->selectable_fields = arena_alloc(b->arena, bytes);
	k->selectable_paths = arena_alloc(b->arena, bytes);
	k->selectable_absent = arena_alloc(b->arena, bytes);
	k->selectable_stored = arena_alloc(b->arena, bytes);
	k->selectable_field_count = k->selectable_offered = count;
	for (size_t i = 0; i < count; i++) {
		const struct json *j = json_at(json, i);
		const char *name = json_str(j), *path = name, *stored;

		if (!name) {
			name = json_str_or(json_get(j, "name"), "");
			path = json_str_or(json_get(j, "path"), name);
		}
		stored = json_str_or(json_get(j, "stored"), name);
		k->selectable_fields[i] = schema_intern(b, name);
		k->selectable_paths[i] = schema_intern(b, path);
		k->selectable_absent[i] = k->custom ? "" : absent_value(k->schema, path);
		k->selectable_stored[i] = schema_intern(b, stored);
	}
}

/* Both, with the separator between unless one is empty. The caller checked the sizes. */
static void join(char ret[128], const char *first, char separator, const char *second)
{
	size_t at = strlen(first), size = strlen(second);

	memcpy(ret, first, at);
	if (at > 0 && size > 0)
		ret[at++] = separator;
	memcpy(ret + at, second, size + 1);
}

int kind_load(struct schema_builder *b, const struct json *j, struct kind *k, struct err *err)
{
	const char *name_rule = json_str_or(json_get(j, "nameRule"), "dns-subdomain");
	const struct json *scale = json_get(j, "scale");
	const char *kind = json_str(json_get(j, "kind"));
	const char *group = json_str_or(json_get(j, "group"), "");
	const char *definition = json_str(json_get(j, "definition"));
	enum rule rule;

	k->group = schema_intern(b, group);
	k->version = schema_intern(b, json_str(json_get(j, "version")));
	k->kind = schema_intern(b, kind);
	if (!k->kind || !k->version)
		return err_set(err, -EINVAL, "needs kind and version");
	if (strlen(k->group) + strlen(k->version) + 2 > sizeof(k->gv))
		return err_set(err, -EINVAL, "group and version are too long");
	join(k->gv, k->group, '/', k->version);
	if (!json_bool_or(json_get(j, "described"), true))
		k->schema = &schema_anything;
	if (!k->schema)
		k->schema = definition ? table_get(b->definitions, definition) : NULL;
	if (!k->schema)
		return err_set(
			err, -EINVAL, "definition '%s' is missing", definition ? definition : "");
	k->list_kind = schema_intern(b, json_str_or(json_get(j, "listKind"), ""));
	k->plural = schema_intern(b, json_str_or(json_get(j, "plural"), ""));
	k->singular = schema_intern(b, json_str_or(json_get(j, "singular"), ""));
	if (strlen(k->group) + strlen(k->plural) + 2 > sizeof(k->resource))
		return err_set(err, -EINVAL, "group and plural name are too long");
	join(k->resource, k->plural, '.', k->group);
	k->short_names = load_strings(b, json_get(j, "shortNames"), &k->short_name_count);
	k->categories = load_strings(b, json_get(j, "categories"), &k->category_count);
	k->namespaced = !streq(json_str(json_get(j, "scope")), "Cluster");
	k->served = json_bool_or(json_get(j, "served"), true);
	k->verbs = load_strings(b, json_get(j, "verbs"), &k->verb_count);
	k->scale_spec_path = load_path(b, json_get(scale, "specReplicasPath"));
	k->scale_status_path = load_path(b, json_get(scale, "statusReplicasPath"));
	k->scale_selector_path = load_path(b, json_get(scale, "labelSelectorPath"));
	k->has_generation = json_bool_or(json_get(j, "generation"), false);
	k->create_on_update = json_bool_or(json_get(j, "createOnUpdate"), false);
	k->update_needs_revision = json_bool_or(json_get(j, "updateNeedsRevision"), false);
	k->graceful_deletion = json_bool_or(json_get(j, "gracefulDeletion"), false);
	k->strategic_patch = json_bool_or(json_get(j, "strategicPatch"), true);
	k->deprecation_warning = schema_intern(b, json_str(json_get(j, "deprecationWarning")));
	k->deprecated = k->deprecation_warning != NULL;
	k->name_rule = schema_intern(b, name_rule);
	if (rule_from_name(name_rule, &rule) < 0)
		return err_set(err, -EINVAL, "unknown nameRule '%s'", name_rule);
	load_subresources(b, json_get(j, "subresources"), k);
	k->status_dropped_on_create =
		json_bool_or(json_get(j, "statusDroppedOnCreate"), k->has_status);
	load_columns(b, json_get(j, "columns"), k);
	load_selectable(b, json_get(j, "selectableFields"), k);
	return 0;
}

void kind_table_key(char key[512], const char *group, const char *version, const char *name)
{
	snprintf(key, 512, "%s/%s/%s", group, version, name);
}

static int registry_add(struct kind_registry *r, struct kind *k, struct err *err)
{
	char key[512];

	kind_table_key(key, k->group, k->version, k->kind);
	if (table_get(&r->by_name, key))
		return err_set(err, -EEXIST, "the kind exists already");
	table_set(&r->by_name, key, k);
	if (k->plural[0]) {
		kind_table_key(key, k->group, k->version, k->plural);
		table_set(&r->by_resource, key, k);
	}
	k->index = (unsigned)r->kinds.count;
	k->slot = k->index;
	k->storage = k->checked_as = k;
	VEC_PUSH(&r->kinds, k);
	return 0;
}

/* Kinds that are kept as another one, once all of them are there. */
static int load_storage(
	struct kind_registry *reg, const struct json *j, struct kind *k, struct err *err)
{
	const struct json *of = json_get(j, "storage");
	const char *gv = json_str_or(json_get(of, "apiVersion"), "");
	const char *kind = json_str_or(json_get(of, "kind"), "");
	char group[128], version[64];
	const struct kind *storage;

	if (!of)
		return 0;
	gv_split(gv, group, version);
	storage = kind_by_name(reg, group, version, kind);
	if (!storage)
		return err_set(err, -EINVAL, "storage '%s %s' is missing", gv, kind);
	if (json_get(j, "columns"))
		return err_set(err, -EINVAL, "columns are those of its storage");
	k->storage = k->checked_as = storage;
	k->slot = storage->slot;
	return 0;
}

static int load_bundle(struct kind_registry *reg, struct schema_builder *b,
	const struct json *bundle, struct err *err)
{
	int r;

	r = schema_build_definitions(b, json_get(bundle, "definitions"), err);
	if (r < 0)
		return r;
	r = schema_build_overlays(b, err);
	if (r < 0)
		return r;
	JSON_FOR_EACH_ITEM(j, json_get(bundle, "kinds")) {
		struct kind *k = ARENA_NEW(b->arena, struct kind);

		r = kind_load(b, j, k, err);
		if (r >= 0)
			r = registry_add(reg, k, err);
		if (r < 0)
			return err_context(err, r, "kind %s",
				json_str_or(json_get(j, "kind"), "without a name"));
	}
	JSON_FOR_EACH_ITEM(j, json_get(bundle, "kinds")) {
		char group[128], version[64];
		struct kind *k;

		snprintf(group, sizeof(group), "%s", json_str_or(json_get(j, "group"), ""));
		snprintf(version, sizeof(version), "%s", json_str_or(json_get(j, "version"), ""));
		k = kind_by_name(reg, group, version, json_str_or(json_get(j, "kind"), ""));
		r = load_storage(reg, j, k, err);
		if (r < 0)
			return err_context(err, r, "kind %s", k->kind);
	}
	return 0;
}

int kind_registry_load(struct kind_registry *reg, const char *text, size_t size, struct err *err)
{
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	struct schema_builder b;
	struct json *bundle;
	int r;

	schema_builder_init(&b, &reg->arena, &reg->definitions, &reg->regexes);
	limits.size_bytes = 64u << 20;
	r = json_parse(&b.scratch, text, size, &limits, &bundle, err);
	if (r >= 0)
		r = load_bundle(reg, &b, bundle, err);
	schema_builder_finish(&b);
	return r < 0 ? err_context(err, r, "load kinds") : 0;
}

size_t kind_count(const struct kind_registry *r)
{
	return r->kinds.count;
}

struct kind *kind_at(const struct kind_registry *r, size_t i)
{
	return i < r->kinds.count ? r->kinds.items[i] : NULL;
}

struct kind *kind_by_resource(
	const struct kind_registry *r, const char *group, const char *version, const char *plural)
{
	char key[512];

	kind_table_key(key, group, version, plural);
	return table_get(&r->by_resource, key);
}

struct kind *kind_by_name(
	const struct kind_registry *r, const char *group, const char *version, const char *kind)
{
	char key[512];

	kind_table_key(key, group, version, kind);
	return table_get(&r->by_name, key);
}

const struct schema *kind_definition(const struct kind_registry *r, const char *name)
{
	return table_get(&r->definitions, name);
}

struct json *kind_convert(
	struct arena *a, const struct kind *from, const struct kind *to, struct json *doc)
{
	if (from == to)
		return doc;
	if (!kind_is_storage(from))
		doc = from->conversion->to_storage(from, a, doc);
	if (!kind_is_storage(to))
		doc = to->conversion->from_storage(to, a, doc);
	json_set_str(a, doc, "kind", to->kind);
	json_set_str(a, doc, "apiVersion", to->gv);
	return doc;
}

const struct kind_subresource *kind_subresource(const struct kind *k, const char *name)
{
	for (size_t i = 0; i < k->subresource_count; i++)
		if (streq(k->subresources[i].name, name))
			return &k->subresources[i];
	return NULL;
}

bool kind_has_verb(const struct kind *k, const char *verb)
{
	for (size_t i = 0; i < k->verb_count; i++)
		if (streq(k->verbs[i], verb))
			return true;
	return false;
}
