/* The first two bytes choose kind and form of the body. What is accepted must pass again unchanged,
 * and must survive being stored. */
#include "lib/object/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kind_registry *registry;

static void check_stored(struct arena *a, const struct kind *k, struct json *doc)
{
	struct blob *stored = object_stored_form(k, a, doc);
	struct object *o, *again;

	if (object_from_stored(k, stored->data, stored->size, 7, &o, NULL) < 0)
		abort();
	again = object_new(k, a, doc, 7);
	if (o->bytes->size != again->bytes->size ||
		memcmp(o->bytes->data, again->bytes->data, o->bytes->size) != 0)
		abort();
	if (!json_equal(object_doc(o, a), doc) || !streq(o->name, again->name))
		abort();
	for (size_t i = 0; i < o->label_count; i++)
		if (!object_label(o, o->labels[i].key))
			abort();
	object_unref(o);
	object_unref(again);
	blob_unref(stored);
}

static void check_accepted(struct arena *a, const struct kind *k, struct json *doc)
{
	struct json *before = json_copy(a, doc), *warnings = NULL;
	struct decode_options options = {.ret_warnings = &warnings};
	struct field_errors errors = {.arena = a};
	struct status st = {0};

	if (object_check(k, a, doc, &options, &errors, &st) < 0 || warnings ||
		field_error_count(&errors))
		abort();
	if (!json_equal(before, doc))
		abort();
	if (json_is(json_get(doc, "metadata"), JSON_OBJECT) || !json_get(doc, "metadata"))
		check_stored(a, k, doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {
		"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"};
	struct arena a = ARENA_INIT;
	struct json *doc = NULL, *warnings = NULL;
	struct decode_options options = {.ret_warnings = &warnings};
	struct status st = {0};
	const struct kind *k;

	if (!registry) {
		registry = kind_registry_create();
		if (kind_registry_load_builtin(registry, NULL) < 0)
			abort();
	}
	if (size < 2)
		return 0;
	k = kind_at(registry, data[0] % kind_count(registry));
	options.field_validation = (enum field_validation)(data[1] / 3 % 3);
	if (object_decode(registry, k, &a, types[data[1] % 3], (const char *)data + 2, size - 2,
		    &options, &doc, &st) == 0)
		check_accepted(&a, k, doc);
	else if (st.code < 400 || !st.doc)
		abort();
	arena_finish(&a);
	return 0;
}
