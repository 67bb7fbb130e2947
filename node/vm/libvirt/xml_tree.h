/* xml_tree.h - XML that libvirt writes, as a tree in an arena: elements, attributes, text. No DTD,
 * no namespaces, no processing instructions but the first line; comments are passed over. Bounded:
 * depth, elements and size. Pure. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"

struct xml_attribute {
	const char *name, *value;
	struct xml_attribute *next;
};

struct xml_node {
	const char *name;
	const char *text; /* all text directly in it, without blanks at both ends; never NULL */
	struct xml_attribute *attributes;
	struct xml_node *child, *next; /* the first in it; the one after it */
};

/* -EINVAL with the offset, -E2BIG over a bound. */
int xml_tree_parse(struct arena *a, const char *text, size_t size, struct xml_node **ret,
	struct err *err) _must_check_;

/* Everything takes NULL, so that calls can be chained. */
const char *xml_attr(const struct xml_node *n, const char *name); /* NULL when absent */
/* By names with slashes below n: "devices/video". The first; NULL. */
const struct xml_node *xml_find(const struct xml_node *n, const char *path);
/* The next brother of that name, of a node that xml_find gave. */
const struct xml_node *xml_next(const struct xml_node *n);
const char *xml_text(const struct xml_node *n); /* "" when absent */
