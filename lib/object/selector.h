/* selector.h - label and field selectors (Kubernetes: "Labels and Selectors", "Field Selectors").
 */
#pragma once

#include "lib/object/object.h"

enum selector_op { SEL_EQ, SEL_NE, SEL_IN, SEL_NOT_IN, SEL_EXISTS, SEL_NOT_EXISTS, SEL_GT, SEL_LT };

struct requirement {
	const char *key;
	enum selector_op op;
	const char **values;
	size_t value_count;
};

/* All requirements must hold. Zero requirements match everything. */
struct selector {
	const struct requirement *items;
	size_t count;
	bool nothing; /* matches nothing (nil LabelSelector in a document) */
};

/* Query strings. Errors in upstream's words: "unable to parse requirement: ...", "\"data.x\" is not
 * a known field selector: only ...". */
int selector_parse_labels(
	struct arena *a, const char *text, struct selector *ret, struct status *st) _must_check_;
/* Fields in k's words come out as its storage calls them: they are matched with stored objects. */
int selector_parse_fields(struct arena *a, const struct kind *k, const char *text,
	struct selector *ret, struct status *st) _must_check_;
/* metav1.LabelSelector {matchLabels, matchExpressions} or a plain map (RC, Service). NULL or absent
 * matches nothing; {} matches everything. */
int selector_from_label_selector(struct arena *a, const struct json *doc, struct selector *ret,
	struct err *err) _must_check_;
/* A node selector term's matchExpressions or matchFields: Gt and Lt, too. An operator that there is
 * not makes it match nothing. Texts are the document's. */
struct selector selector_from_node_requirements(struct arena *a, const struct json *list);
/* Is the node one of a required node affinity's? One of the terms must hold, an empty one does not;
 * terms NULL: any node is. */
bool selector_node_terms_hold(struct arena *a, const struct json *terms, const struct object *node);
void selector_from_map(struct arena *a, const struct json *map, struct selector *ret);
bool selector_matches_labels(
	const struct selector *s, const struct object_label *labels, size_t count);
bool selector_matches_label_map(const struct selector *s, const struct json *map);
bool selector_matches_fields(const struct selector *s, const struct object *o);
struct selector selector_copy(struct arena *a, const struct selector *s); /* deep */
char *selector_text(struct arena *a, const struct selector *s);		  /* "a=b,c in (d,e)" */
