/* query.h - the decoded parameters of a URL's query. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/str.h"

struct query_parameter {
	const char *name, *value;
};

struct query {
	const struct query_parameter *items;
	size_t count;
};

/* Parameters with bad escapes or text that is not UTF-8 are left out. text may be NULL. */
struct query query_parse(struct arena *a, const char *text);
const char *query_get(const struct query *q, const char *name); /* first; NULL when absent */
bool query_bool(const struct query *q, const char *name);	/* "true", "1" and an empty value */
