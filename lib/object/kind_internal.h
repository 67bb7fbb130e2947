/* kind_internal.h - the registry itself, for kind.c and custom.c. */
#pragma once

#include "lib/base/list.h"
#include "lib/object/schema_build.h"

struct kind_registry {
	struct arena arena;
	struct table definitions; /* name -> struct schema * */
	struct table by_resource; /* "group/version/plural" -> struct kind * */
	struct table by_name;	  /* "group/version/Kind" -> struct kind * */
	schema_regexes regexes;
	VEC(struct kind *) kinds;
	struct table customs; /* "plural.group" -> struct custom * (custom.c) */
	void (*customs_finish)(struct kind_registry *r);
	struct list observers; /* struct kind_observer */
	uint64_t generation;
};

/* One kind as a kind file describes it. k->schema may be set already. */
int kind_load(struct schema_builder *b, const struct json *j, struct kind *k,
	struct err *err) _must_check_;
void kind_table_key(char key[512], const char *group, const char *version, const char *name);
