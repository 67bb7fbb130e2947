#include "server/controllers/meta.h"

int64_t meta_time_ns(const struct json *time)
{
	int64_t ns = 0;
	const char *text = json_str(time);
	if (!text || time_parse_rfc3339(text, &ns) < 0)
		return 0;
	return ns;
}

struct json *meta_time(struct arena *a, int64_t wall_ns)
{
	char text[TIME_RFC3339_ROOM];
	time_format_rfc3339(wall_ns, text);
	return json_new_string(a, text);
}

struct json *condition_find(const struct json *conditions, const char *type)
{
	JSON_FOR_EACH_ITEM(it, conditions)
		if (streq(json_str(json_get(it, "type")), type))
			return it;
	return NULL;
}

bool condition_is(const struct json *conditions, const char *type, const char *status)
{
	return streq(json_str(json_get(condition_find(conditions, type), "status")), status);
}

struct json *condition_drop(struct arena *a, const struct json *conditions, const char *type)
{
	struct json *rest = json_new_array(a);
	JSON_FOR_EACH_ITEM(it, conditions)
		if (!streq(json_str(json_get(it, "type")), type))
			json_push(a, rest, it);
	return rest;
}

/* Without what meta_is_news() does not look at. */
static struct json *news_of(struct arena *a, const struct object *o)
{
	struct json *doc = object_doc(o, a), *meta = json_get(doc, "metadata");
	json_remove(meta, "resourceVersion");
	json_remove(meta, "managedFields");
	JSON_FOR_EACH_ITEM(it, json_path(doc, "status.conditions")) {
		json_remove(it, "message");
		json_remove(it, "lastUpdateTime");
		json_remove(it, "lastTransitionTime");
	}
	return doc;
}

bool meta_is_news(const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return !old || !new || !streq(old->uid, new->uid) ||
	       !json_equal(news_of(&a, old), news_of(&a, new));
}

static bool same_text(const struct json *object, const char *name, const char *text)
{
	return streq(json_str_or(json_get(object, name), ""), text ? text : "");
}

struct json *condition_set(
	struct arena *a, const struct json *conditions, const struct condition *c, int64_t now_ns)
{
	struct json *old = condition_find(conditions, c->type);
	bool same_status = old && same_text(old, "status", c->status);
	if (same_status && same_text(old, "reason", c->reason) &&
		same_text(old, "message", c->message))
		return (struct json *)conditions;
	struct json *new = json_new_object(a), *now = meta_time(a, now_ns);
	json_set_str(a, new, "type", c->type);
	json_set_str(a, new, "status", c->status);
	if (c->with_update_time)
		json_set(a, new, "lastUpdateTime", now);
	struct json *since = same_status ? json_get(old, "lastTransitionTime") : NULL;
	json_set(a, new, "lastTransitionTime", since ? since : now);
	if (c->reason && c->reason[0])
		json_set_str(a, new, "reason", c->reason);
	if (c->message && c->message[0])
		json_set_str(a, new, "message", c->message);

	struct json *all = json_new_array(a);
	JSON_FOR_EACH_ITEM(it, conditions)
		json_push(a, all, it == old ? new : it);
	if (!old)
		json_push(a, all, new);
	return all;
}

struct json *owner_reference(struct arena *a, const struct object *owner)
{
	struct json *ref = json_new_object(a);
	json_set_str(a, ref, "apiVersion", owner->kind->gv);
	json_set_str(a, ref, "kind", owner->kind->kind);
	json_set_str(a, ref, "name", owner->name);
	json_set_str(a, ref, "uid", owner->uid);
	json_set_bool(a, ref, "controller", true);
	json_set_bool(a, ref, "blockOwnerDeletion", true);
	return ref;
}

bool meta_has_finalizer(const struct json *doc, const char *finalizer)
{
	JSON_FOR_EACH_ITEM(it, json_path(doc, "metadata.finalizers"))
		if (streq(json_str(it), finalizer))
			return true;
	return false;
}

struct json *count_or_null(struct arena *a, int64_t n)
{
	return n ? json_new_int(a, n) : json_new_null(a);
}

int64_t percent_of(int64_t percent, int64_t whole, bool round_up)
{
	return (whole * percent + (round_up ? 99 : 0)) / 100;
}

int64_t count_or_part(const struct json *v, int64_t whole, bool round_up)
{
	const char *text = json_str(v);
	if (!text)
		return MAX(json_int_or(v, 0), 0);
	size_t size = strlen(text);
	int64_t percent;
	if (!size || text[size - 1] != '%' ||
		parse_i64((struct str){text, size - 1}, &percent) < 0 || percent < 0 ||
		percent > 1000000)
		return 0;
	return percent_of(percent, whole, round_up);
}
