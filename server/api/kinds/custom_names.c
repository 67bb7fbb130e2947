#include "server/api/kinds/custom_names.h"

#include "server/api/api_internal.h"

static const char conflict_none[] = "NoConflicts";

struct taken {
	struct table resources; /* plural, singular and short names: one space of names */
	struct table kinds;	/* and lists of kinds */
};

static void take(struct table *t, const char *name)
{
	if (name && *name)
		table_set(t, name, t);
}

static void take_names(struct taken *t, const struct json *names)
{
	take(&t->resources, json_str(json_get(names, "plural")));
	take(&t->resources, json_str(json_get(names, "singular")));
	JSON_FOR_EACH_ITEM(n, json_get(names, "shortNames"))
		take(&t->resources, json_str(n));
	take(&t->kinds, json_str(json_get(names, "kind")));
	take(&t->kinds, json_str(json_get(names, "listKind")));
}

static void take_builtin(struct taken *t, const struct kind *k)
{
	take(&t->resources, k->plural);
	take(&t->resources, k->singular);
	for (size_t i = 0; i < k->short_name_count; i++)
		take(&t->resources, k->short_names[i]);
	take(&t->kinds, k->kind);
	take(&t->kinds, k->list_kind);
}

/* What the other resources of the group are called. */
static void collect(
	struct api *api, struct arena *a, const struct json *definition, struct taken *t)
{
	const char *group = json_str_or(json_path(definition, "spec.group"), "");
	const char *name = json_str_or(json_path(definition, "metadata.name"), "");
	struct cache_page page;
	for (size_t i = 0; i < kind_count(api->kinds); i++) {
		const struct kind *k = kind_at(api->kinds, i);
		if (!k->custom && streq(k->group, group))
			take_builtin(t, k);
	}
	cache_list(api->cache, &(struct cache_query){.kind = api->definitions}, a, &page);
	for (size_t i = 0; i < page.count; i++) {
		const char *dot = strchr(page.items[i]->name, '.');
		if (streq(page.items[i]->name, name) || !dot || !streq(dot + 1, group))
			continue;
		struct arena scratch = ARENA_INIT;
		struct json *other = object_doc(page.items[i], &scratch);
		take_names(t, json_path(other, "status.acceptedNames"));
		arena_finish(&scratch);
	}
}

struct verdict {
	const char *reason;
	const char *message;
	size_t conflicts;
};

static bool is_free(struct arena *a, struct verdict *v, const struct table *taken, const char *name,
	const char *reason)
{
	if (!table_get(taken, name))
		return true;
	v->reason = v->conflicts++ ? "MultipleConflicts" : reason;
	v->message = arena_printf(
		a, "%s%s\"%s\" is already in use", v->message, *v->message ? ", " : "", name);
	return false;
}

static void accept_text(struct arena *a, struct json *to, struct verdict *v,
	const struct table *taken, const struct json *names, const char *which, const char *reason)
{
	struct json *name = json_get(names, which);
	if (!*json_str_or(name, "")) {
		json_remove(to, which);
		return;
	}
	if (is_free(a, v, taken, json_str(name), reason))
		json_set(a, to, which, json_copy(a, name));
}

void definition_set_condition(struct api *api, struct arena *a, struct json *definition,
	const char *type, bool status, const char *reason, const char *message)
{
	struct json *list = json_array_at(a, json_object_at(a, definition, "status"), "conditions");
	struct json *c = NULL;
	char time[TIME_RFC3339_ROOM];
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "type")), type))
			c = it;
	if (!c) {
		c = json_new_object(a);
		json_push(a, list, c);
	}
	if (!streq(json_str(json_get(c, "status")), status ? "True" : "False")) {
		time_format_rfc3339(api->clock->wall_ns(api->clock), time);
		json_set_str(a, c, "lastTransitionTime", time);
	}
	json_set_str(a, c, "message", message);
	json_set_str(a, c, "reason", reason);
	json_set_str(a, c, "status", status ? "True" : "False");
	json_set_str(a, c, "type", type);
}

bool definition_has_condition(const struct json *definition, const char *type)
{
	JSON_FOR_EACH_ITEM(c, json_path(definition, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), type))
			return streq(json_str(json_get(c, "status")), "True");
	return false;
}

static void accept_lists(struct arena *a, struct json *to, struct verdict *v,
	const struct table *taken, const struct json *names)
{
	struct json *short_names = json_get(names, "shortNames");
	struct json *categories = json_get(names, "categories");
	bool all_free = true;
	JSON_FOR_EACH_ITEM(n, short_names)
		all_free &= is_free(a, v, taken, json_str_or(n, ""), "ShortNamesConflict");
	if (!json_count(short_names))
		json_remove(to, "shortNames");
	else if (all_free)
		json_set(a, to, "shortNames", json_copy(a, short_names));
	if (json_count(categories))
		json_set(a, to, "categories", json_copy(a, categories));
	else
		json_remove(to, "categories");
}

void custom_names_settle(struct api *api, struct arena *a, struct json *definition)
{
	struct taken taken = {TABLE_INIT, TABLE_INIT};
	struct verdict v = {conflict_none, "", 0};
	const struct json *names = json_path(definition, "spec.names");
	struct json *status = json_object_at(a, definition, "status");
	struct json *to = json_object_at(a, status, "acceptedNames");
	collect(api, a, definition, &taken);
	accept_lists(a, to, &v, &taken.resources, names);
	accept_text(a, to, &v, &taken.resources, names, "plural", "PluralConflict");
	accept_text(a, to, &v, &taken.resources, names, "singular", "SingularConflict");
	accept_text(a, to, &v, &taken.kinds, names, "kind", "KindConflict");
	accept_text(a, to, &v, &taken.kinds, names, "listKind", "ListKindConflict");
	table_finish(&taken.resources);
	table_finish(&taken.kinds);
	bool accepted = v.conflicts == 0;
	definition_set_condition(api, a, definition, "NamesAccepted", accepted, v.reason,
		accepted ? "no conflicts found" : v.message);
	if (definition_has_condition(definition, "Established"))
		return; /* once established, always served */
	if (accepted)
		definition_set_condition(api, a, definition, "Established", true,
			"InitialNamesAccepted", "the initial names have been accepted");
	else
		definition_set_condition(api, a, definition, "Established", false, "NotAccepted",
			"not all names are accepted");
}
