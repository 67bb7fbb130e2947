/* field_set.h - sets of fields, as metadata.managedFields tells who set what (Kubernetes:
 * "Server-Side Apply"; meta/v1 FieldsV1).
 *
 * A set is kept in the form in which it travels, FieldsV1: an object whose member names are the
 * steps of paths, in order:
 *
 *     f:NAME      the field NAME
 *     k:{...}     the item of an associative list with these keys (JSON, keys in order)
 *     v:VALUE     the item of a set that is this value (JSON)
 *     i:N         the item at N
 *
 * The value of a step is {} when the path that ends there is in the set and none below it is;
 * else an object of the steps below, with a member "." when the path itself is in the set, too.
 * So reading a set is reading JSON, and writing it is writing JSON.
 *
 * Sets are immutable, may share parts, and have one form only: members in order, no step that leads
 * nowhere. NULL is the empty set. Results live in the arena or are (parts of) what was given. */
#pragma once

#include "lib/json/json.h"

/* A set that came from outside: checks it and brings it into the one form. -EINVAL with what is
 * wrong. An empty set gives NULL. */
int field_set_read(struct arena *a, const struct json *fields, const struct json **ret,
	struct err *err) _must_check_;

/* Where nothing changes they give `x` itself, so that the caller can tell by the pointer. */
const struct json *field_set_union(struct arena *a, const struct json *x, const struct json *y);
const struct json *field_set_difference(
	struct arena *a, const struct json *x, const struct json *y);
const struct json *field_set_intersection(
	struct arena *a, const struct json *x, const struct json *y);
/* Of many sets, in time that grows with their size, not with its square. The array is used up. */
const struct json *field_set_union_all(struct arena *a, const struct json **sets, size_t count);
bool field_set_equal(const struct json *x, const struct json *y);
/* The set of one path of fields: "spec.replicas". */
const struct json *field_set_path(struct arena *a, const char *dotted);

/* Calls back for each path of the set, in upstream's words and order:
 * `.spec.containers[name="a"].image`. */
void field_set_each(const struct json *set, void (*each)(void *user, const char *path), void *user);

/* ---- for those who build sets ----
 *
 * A node is what stands for one step: a set that says of itself whether it is a member. */
const struct json *field_node_leaf(void);
bool field_node_is_member(const struct json *node);
/* Position of the first step, behind ".". */
static inline uint32_t field_node_first(const struct json *node)
{
	return node->count > 0 && node->members[0].name_size == 1 ? 1 : 0;
}
/* Order of steps: fields by name, keys, values, indexes. */
int field_step_compare(const char *x, size_t x_size, const char *y, size_t y_size);
/* Begins a node with room for `count` steps; steps are added with json_add_n in any order, then
 * field_node_end puts them in order. It gives NULL for a node that holds nothing. */
struct json *field_node_begin(struct arena *a, size_t count, bool member);
const struct json *field_node_end(struct json *node);
/* As field_node_end; steps that were added more than once (items of a list that should differ)
 * become leaves. */
const struct json *field_node_end_list(struct json *node);
/* One step of a path in words: ".name", `[name="a"]`, `[="x"]`, "[3]". */
void field_step_text(struct buf *out, const char *step, size_t size);
