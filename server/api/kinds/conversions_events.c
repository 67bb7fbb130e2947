/* conversions_events.c - events as events.k8s.io has them: the same members under newer names. */
#include "server/api/kinds/conversions_impl.h"

static const struct {
	const char *core, *events;
} names[] = {
	{"involvedObject", "regarding"},
	{"message", "note"},
	{"reportingComponent", "reportingController"},
	{"source", "deprecatedSource"},
	{"firstTimestamp", "deprecatedFirstTimestamp"},
	{"lastTimestamp", "deprecatedLastTimestamp"},
	{"count", "deprecatedCount"},
};

/* A new object, so that no member of one form is taken for one of the other. */
static struct json *rename_members(struct arena *a, const struct json *doc, bool to_core)
{
	struct json *out = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, doc) {
		const char *name = m->name;
		bool foreign = false;
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			const char *from = to_core ? names[i].events : names[i].core;
			const char *to = to_core ? names[i].core : names[i].events;
			foreign |= streq(m->name, to);
			if (streq(m->name, from))
				name = to;
		}
		if (!foreign)
			json_set(a, out, name, m->value);
	}
	return out;
}

static struct json *from_core(const struct kind *unused, struct arena *a, struct json *doc)
{
	static const char *const left_out[] = {"reportingController", "reportingInstance"};
	struct json *out = rename_members(a, doc, false);
	/* The time is always told; empty texts are not. */
	if (!json_get(out, "eventTime"))
		json_set(a, out, "eventTime", json_new_null(a));
	for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
		if (!*json_str_or(json_get(out, left_out[i]), ""))
			json_remove(out, left_out[i]);
	return out;
}

static struct json *to_core(const struct kind *unused, struct arena *a, struct json *doc)
{
	return rename_members(a, doc, true);
}

const struct kind_conversion conversion_event = {
	.from_storage = from_core,
	.to_storage = to_core,
};
