#include "lib/object/patch.h"

/* What a patch adds where the target has nothing: the same without nulls (RFC 7386, section 2). */
static struct json *without_nulls(struct arena *a, const struct json *v)
{
	struct json *out;

	if (v->type != JSON_OBJECT)
		return (struct json *)v;
	out = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, v)
		if (m->value->type != JSON_NULL)
			json_set_n(a, out, m->name, m->name_size, without_nulls(a, m->value));
	return out;
}

static struct json *merge(struct arena *a, const struct json *target, const struct json *patch)
{
	struct json *out;

	if (patch->type != JSON_OBJECT)
		return (struct json *)patch;
	if (!json_is(target, JSON_OBJECT))
		return without_nulls(a, patch);
	out = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, target) {
		const struct json *change = json_get_n(patch, m->name, m->name_size);

		if (!change)
			json_set_n(a, out, m->name, m->name_size, m->value);
		else if (change->type != JSON_NULL)
			json_set_n(a, out, m->name, m->name_size, merge(a, m->value, change));
	}
	JSON_FOR_EACH_MEMBER(m, patch)
		if (m->value->type != JSON_NULL && !json_get_n(target, m->name, m->name_size))
			json_set_n(a, out, m->name, m->name_size, without_nulls(a, m->value));
	return out;
}

int patch_merge(struct arena *a, const struct json *target, const struct json *patch,
	struct json **ret, struct status *st)
{
	if (!json_is(patch, JSON_OBJECT))
		return status_bad_request(
			a, st, "error decoding patch: a merge patch must be an object");
	*ret = merge(a, target, patch);
	return 0;
}
