/* fields.h - which fields a document has, and in which two documents differ, by a schema: what
 * managedFields is made of. The schema says where a list is associative (its items are fields of
 * their own), where a structure or list is one leaf (atomic), and where nothing is said objects are
 * structures and lists are leaves.
 *
 * The root's apiVersion and kind, and what of metadata only the server sets, are never fields. */
#pragma once

#include "lib/object/field_set.h"
#include "lib/object/kind.h"

/* What an applied configuration asks for: its leaves, the items of associative lists, the entries
 * of maps; not the structures that hold them. The document has been checked by merge_check(). */
const struct json *fields_applied(
	struct arena *a, const struct schema *schema, const struct json *doc);

struct field_changes {
	const struct json *written; /* added or modified */
	const struct json *removed;
};
/* From `old` to `doc`. Of what is there in one of them only, the structures count, too. `old` NULL:
 * an object of that kind without any content. */
struct field_changes fields_compare(struct arena *a, const struct schema *schema,
	const struct json *old, const struct json *doc);

/* ---- for other walks over documents ---- */

enum field_form {
	FIELD_LEAF,
	FIELD_STRUCTURE, /* an object whose members are fields */
	FIELD_LIST,	 /* an array whose items are fields */
};
/* How the value counts; `s` NULL: nothing is known of it. */
enum field_form field_form(const struct schema *s, const struct json *v);
/* The schema of a member, and the property it is; NULL both when nothing is known. */
const struct schema *field_member_schema(const struct schema *s, const char *name, size_t size,
	const struct schema_property **ret_property);
/* The step to an item of an associative list. -EINVAL with upstream's words for an item that has
 * none. */
int field_item_step(struct arena *a, const struct schema *list, const struct json *item,
	struct str *ret, struct err *err) _must_check_;
/* The step to a member. */
struct str field_member_step(
	struct arena *a, const struct schema_property *p, const struct json_member *m);
