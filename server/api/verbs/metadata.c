/* metadata.c - checks of metadata that the schema can't make: the name's rule, finalizers, what may
 * not change. */
#include "lib/json/json_seen.h"
#include "lib/object/managed_fields.h"
#include "server/api/api_internal.h"

void metadata_drop_empty(struct json *meta)
{
	static const char *const names[] = {
		"labels", "annotations", "finalizers", "ownerReferences"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *v = json_get(meta, names[i]);
		if ((json_is(v, JSON_OBJECT) || json_is(v, JSON_ARRAY)) && !json_count(v))
			json_remove(meta, names[i]);
	}
}

void metadata_validate(struct field_errors *e, const struct kind *k, const struct json *doc)
{
	const struct json *meta = json_get(doc, "metadata");
	const struct json *given = json_get(meta, "name");
	const char *name = json_str_or(given, "");
	enum rule rule;
	if (!*name) {
		field_error(e, FIELD_REQUIRED, "metadata.name", NULL,
			"name or generateName is required");
	} else if (rule_from_name(k->name_rule ? k->name_rule : "dns-subdomain", &rule) == 0) {
		const char *messages[RULE_MESSAGES_MAX];
		/* All of it: what stands behind a NUL is stored, too. */
		size_t n = rule_check(rule, name, given->count, messages);
		for (size_t i = 0; i < n; i++)
			field_error(e, FIELD_INVALID, "metadata.name", given, "%s", messages[i]);
	}
	size_t i = 0;
	JSON_FOR_EACH_ITEM(f, json_get(meta, "finalizers")) {
		const char *text = json_str_or(f, "");
		const char *messages[RULE_MESSAGES_MAX];
		char *field = arena_printf(e->arena, "metadata.finalizers[%zu]", i++);
		if (rule_check(RULE_QUALIFIED_NAME, text, json_is(f, JSON_STRING) ? f->count : 0,
			    messages))
			field_error(e, FIELD_INVALID, field, f, "%s", messages[0]);
	}
	i = 0;
	size_t controllers = 0;
	JSON_FOR_EACH_ITEM(o, json_get(meta, "ownerReferences")) {
		static const char *const needed[] = {"apiVersion", "kind", "name", "uid"};
		for (size_t n = 0; n < ARRAY_LEN(needed); n++) {
			const struct json *v = json_get(o, needed[n]);
			if (v && !*json_str_or(v, "")) /* absent ones are the schema's */
				field_error(e, FIELD_INVALID,
					arena_printf(e->arena, "metadata.ownerReferences[%zu].%s",
						i, needed[n]),
					v, "must not be empty");
		}
		if (json_bool_or(json_get(o, "controller"), false))
			controllers++;
		i++;
	}
	if (controllers > 1)
		field_error(e, FIELD_INVALID, "metadata.ownerReferences",
			json_get(meta, "ownerReferences"),
			"Only one reference can have Controller set to true. Found %zu of them",
			controllers);
	size_t annotation_bytes = 0;
	JSON_FOR_EACH_MEMBER(m, json_get(meta, "annotations"))
		annotation_bytes += m->name_size + m->value->count;
	if (annotation_bytes > ANNOTATIONS_MAX)
		field_error(e, FIELD_TOO_LONG, "metadata.annotations", NULL,
			"may not be more than 262144 bytes");
}

void metadata_validate_update(struct field_errors *e, const struct kind *k, const struct json *doc,
	const struct json *old)
{
	const struct json *meta = json_get(doc, "metadata"), *was = json_get(old, "metadata");
	if (!json_get(was, "deletionTimestamp"))
		return;
	struct json *added = json_new_array(e->arena);
	struct json_seen had = json_seen_of(e->arena, json_get(was, "finalizers"), NULL);
	JSON_FOR_EACH_ITEM(f, json_get(meta, "finalizers"))
		if (!json_seen_find(&had, f))
			json_push(e->arena, added, f);
	if (json_count(added))
		field_error(e, FIELD_FORBIDDEN, "metadata.finalizers", NULL,
			"no new finalizers can be added if the object is being deleted, found new "
			"finalizers "
			"[]string%s",
			arena_printf(e->arena, "{%.*s}",
				(int)(strlen(json_text(e->arena, added)) - 2),
				json_text(e->arena, added) + 1));
}
