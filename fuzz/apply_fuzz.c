/* LIVE NUL CONFIG NUL SET, all JSON. A configuration applied to a Pod: never a crash, the same
 * result when it is applied again, sets that read back as they were written, and arithmetic of sets
 * that holds. */
#include "lib/object/managed_fields.h"
#include "lib/object/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct kind *kind;

static void check_round_trip(struct arena *a, const struct json *set)
{
	const struct json *again;
	struct json *v;
	const char *text;

	if (!set)
		return;
	text = json_text(a, set);
	if (json_parse(a, text, strlen(text),
		    &(struct json_limits){.depth = 4096, .size_bytes = SIZE_MAX}, &v, NULL) < 0 ||
		field_set_read(a, v, &again, NULL) < 0 || !field_set_equal(set, again))
		abort();
}

static void check_arithmetic(struct arena *a, const struct json *x, const struct json *y)
{
	const struct json *both = field_set_intersection(a, x, y);
	const struct json *left = field_set_difference(a, x, y), *all = field_set_union(a, x, y);

	check_round_trip(a, x);
	check_round_trip(a, all);
	if (!field_set_equal(both, field_set_intersection(a, y, x)) ||
		!field_set_equal(all, field_set_union(a, y, x)) ||
		!field_set_equal(field_set_union(a, left, both), x) ||
		field_set_intersection(a, left, y) || field_set_difference(a, both, x) ||
		field_set_difference(a, x, all))
		abort();
}

/* True when it was applied: what is not of the kind's types has no set. */
static bool check_apply(struct arena *a, const struct json *live, const struct json *config)
{
	struct field_writer w = {.manager = "kubectl",
		.subresource = "",
		.now = "2026-01-01T00:00:00Z",
		.kind = kind};
	struct field_writer other = w;
	struct json *result, *again, *changed;
	struct status st = {0};
	int r;

	other.manager = "other";
	other.now = "2026-01-02T00:00:00Z";
	r = managed_fields_apply(a, &w, true, live, config, &result, &st);
	if (r < 0) {
		if (r != -EREMOTEIO || st.code < 400)
			abort();
		return false;
	}
	if (managed_fields_apply(a, &w, false, result, config, &again, &st) < 0 ||
		!managed_fields_same_document(result, again))
		abort();
	/* Somebody else writes what was there, and the configuration wins again by force. */
	changed = json_copy(a, live ? live : config);
	if (!json_is(json_get(changed, "metadata"), JSON_OBJECT))
		return false;
	json_remove(json_get(changed, "metadata"), "managedFields");
	managed_fields_update(a, &other, result, changed);
	if (managed_fields_apply(a, &w, false, changed, config, &again, &st) < 0 && st.code != 409)
		abort();
	if (managed_fields_apply(a, &w, true, changed, config, &again, &st) < 0)
		abort();
	return true;
}

static struct json *read_part(struct arena *a, const char **at, const char *end)
{
	const char *nul = memchr(*at, 0, (size_t)(end - *at));
	size_t size = (size_t)((nul ? nul : end) - *at);
	struct json *v;

	if (json_parse(a, *at, size, NULL, &v, NULL) < 0 || !json_is(v, JSON_OBJECT))
		v = NULL;
	*at = nul ? nul + 1 : end;
	return v;
}

/* As the server has it in the store: checked, with sets in their one form. */
static struct json *as_stored(struct arena *a, struct json *doc)
{
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	struct field_writer w = {
		.manager = "maker", .subresource = "", .now = "2025-01-01T00:00:00Z", .kind = kind};
	struct field_errors errors = {.arena = a};
	struct status st = {0};

	json_set_str(a, doc, "kind", "Pod");
	json_set_str(a, doc, "apiVersion", "v1");
	json_object_at(a, doc, "metadata");
	if (object_check(kind, a, doc, &options, &errors, &st) < 0)
		return NULL;
	managed_fields_update(a, &w, NULL, doc);
	return doc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kind_registry *registry;
	const char *at = (const char *)data, *end = at + size;
	struct json *live, *config, *set;
	const struct json *x = NULL, *y;
	struct arena a = ARENA_INIT;

	if (!registry) {
		registry = kind_registry_create();
		if (kind_registry_load_builtin(registry, NULL) < 0)
			abort();
		kind = kind_by_name(registry, "", "v1", "Pod");
	}
	live = read_part(&a, &at, end);
	config = read_part(&a, &at, end);
	set = read_part(&a, &at, end);
	if (live)
		live = as_stored(&a, live);
	if (config) {
		json_set_str(&a, config, "kind", "Pod");
		json_set_str(&a, config, "apiVersion", "v1");
		if (!check_apply(&a, live, config))
			config = NULL;
	}
	if (set && field_set_read(&a, set, &x, NULL) < 0)
		x = NULL;
	y = config ? fields_applied(&a, kind->schema, config) : NULL;
	check_arithmetic(&a, x, y);
	if (live) {
		struct field_changes c = fields_compare(&a, kind->schema, NULL, live);

		check_arithmetic(&a, c.written, x);
		check_arithmetic(&a, c.written, y);
	}
	arena_finish(&a);
	return 0;
}
