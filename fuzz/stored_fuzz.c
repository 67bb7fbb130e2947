/* Rows of a store as damage could leave them: refused, or an object that reads the same again. The
 * first byte chooses whether the row begins as one, since few mutations get that far by themselves.
 */
#include "lib/object/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kind_registry *registry;

static void check_same(const struct kind *k, const struct object *o, const struct object *again)
{
	if (!streq(o->name, again->name) || !streq(o->namespace, again->namespace) ||
		!streq(o->uid, again->uid) || o->label_count != again->label_count ||
		o->owner_count != again->owner_count || o->deleting != again->deleting)
		abort();
	for (size_t i = 0; i < k->selectable_field_count; i++)
		if (!streq(o->fields[i], again->fields[i]))
			abort();
	for (size_t i = 0; i < o->label_count; i++)
		if (!streq(o->labels[i].key, again->labels[i].key))
			abort();
	for (size_t i = 0; i < o->owner_count; i++)
		if (!streq(o->owners[i].uid, again->owners[i].uid) ||
			o->owners[i].controller != again->owners[i].controller)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char head[] =
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"\"";
	_cleanup_(buf_finish) struct buf row = BUF_INIT;
	struct arena a = ARENA_INIT;
	struct object *o, *again;
	const struct kind *k;

	if (!registry) {
		registry = kind_registry_create();
		if (kind_registry_load_builtin(registry, NULL) < 0)
			abort();
	}
	if (size < 1)
		return 0;
	k = kind_by_name(registry, "", "v1", "Pod");
	if (data[0] & 1)
		buf_add_str(&row, head);
	buf_add(&row, data + 1, size - 1);
	if (object_from_stored(k, row.data, row.size, 42, &o, NULL) < 0) {
		/* Nobody calls this with such bytes; it must live through them all the same. */
		if (object_from_written(k, row.data, row.size, 42, &o, NULL) == 0)
			object_unref(o);
		return 0;
	}
	if (o->revision != 42 || !json_is(object_doc(o, &a), JSON_OBJECT))
		abort();
	/* As they came they may have members twice, which nothing that we write has. */
	if (object_from_written(k, row.data, row.size, 42, &again, NULL) == 0)
		object_unref(again);
	struct blob *made = object_stored_form(k, &a, object_doc(o, &a));
	if (object_from_written(k, made->data, made->size, 42, &again, NULL) < 0)
		abort();
	check_same(k, o, again);
	object_unref(again);
	blob_unref(made);
	if (object_from_bytes(k, o->bytes->data, o->bytes->size, &again, NULL) < 0)
		abort();
	check_same(k, o, again);
	object_unref(o);
	object_unref(again);
	arena_finish(&a);
	return 0;
}
