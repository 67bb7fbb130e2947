/* TARGET NUL PATCH, both JSON. Each form of patch must leave target and patch alone, give a
 * document that can be written and read, and, for merges, give the same when applied again. */
#include "lib/object/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct schema *schema;

static int apply(int form, struct arena *a, const struct json *target, const struct json *patch,
	struct json **ret)
{
	struct status st = {0};
	int r;

	if (form == 0)
		r = patch_json(a, target, patch, ret, &st);
	else if (form == 1)
		r = patch_merge(a, target, patch, ret, &st);
	else
		r = patch_strategic(a, schema, target, patch, ret, &st);
	if (r < 0 && (r != -EREMOTEIO || st.code < 400 || !st.doc))
		abort();
	return r;
}

static void check(int form, struct arena *a, const struct json *target, const struct json *patch)
{
	const char *target_before = json_text(a, target), *patch_before = json_text(a, patch),
		   *text;
	struct json_limits limits = {.depth = 512, .size_bytes = SIZE_MAX};
	struct json *result, *again;

	if (apply(form, a, target, patch, &result) < 0)
		return;
	text = json_text(a, result);
	if (!streq(json_text(a, target), target_before) ||
		!streq(json_text(a, patch), patch_before))
		abort();
	if (json_parse(a, text, strlen(text), &limits, &again, NULL) < 0)
		abort();
	if (form == 1 && (apply(form, a, result, patch, &again) < 0 || !json_equal(result, again)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kind_registry *registry;
	struct arena a = ARENA_INIT;
	const uint8_t *nul = memchr(data, 0, size);
	struct json *target, *patch;

	if (!registry) {
		registry = kind_registry_create();
		if (kind_registry_load_builtin(registry, NULL) < 0)
			abort();
		schema = kind_by_name(registry, "", "v1", "Pod")->schema;
	}
	if (!nul)
		return 0;
	if (json_parse(&a, (const char *)data, (size_t)(nul - data), NULL, &target, NULL) == 0 &&
		json_parse(&a, (const char *)nul + 1, size - (size_t)(nul - data) - 1, NULL, &patch,
			NULL) == 0)
		for (int form = 0; form < 3; form++)
			check(form, &a, target, patch);
	arena_finish(&a);
	return 0;
}
