/* yaml_internal.h - scalar meaning, shared by the YAML reader and writer. */
#pragma once

#include "lib/json/json.h"

enum yaml_scalar_type {
	YAML_SCALAR_STRING,
	YAML_SCALAR_NULL,
	YAML_SCALAR_BOOL,
	YAML_SCALAR_INT,
	YAML_SCALAR_FLOAT,
	YAML_SCALAR_TIMESTAMP, /* kept as its text */
};

struct yaml_scalar {
	enum yaml_scalar_type type;
	union {
		bool b;
		int64_t i;
		double d;
	};
};

/* What a plain scalar means. */
struct yaml_scalar yaml_resolve(struct str s);
/* True when the string, written plain, would be read as something else. */
bool yaml_needs_quotes(struct str s);
