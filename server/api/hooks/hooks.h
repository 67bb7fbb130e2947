/* hooks.h - what a built-in kind does that its data can't say. Every member may be NULL. Documents
 * have passed the kind's schema (types, required, enum, defaults) before a hook sees them. */
#pragma once

#include "lib/object/object.h"
#include "lib/object/selector.h"

struct api;
struct api_request;
struct claim;

struct hook {
	struct api *api;
	struct api_request *req; /* NULL in tests */
	struct arena *arena;
	struct field_errors *errors; /* for validate_* and allocations that fail */
	struct status *st;	     /* for failures that are no field errors */
	const char *part;	     /* "" or the subresource that is written */
	int64_t now_ns;
	const struct json *old; /* for validate: what is stored; NULL on a creation */
};

struct table_row {
	struct arena *arena;
	const struct json *doc;
	int64_t now_ns;
};

/* For kinds whose objects are not stored but made when they are asked for (verbs get and list),
 * each of an object of another kind that has its name. */
struct compute {
	struct api *api;
	struct arena *arena;
	const struct kind *kind;
};

struct kind_hooks {
	const char *group, *kind;
	/* Puts in defaults that the kind's schema can't say, before it is noted whose fields those
	 * of the document are: defaults are the client's as if it had sent them. For creations and
	 * updates; what is there already stays. */
	void (*set_defaults)(struct hook *h, struct json *doc);
	/* Complete the document before the checks, with what the server allots: nobody's fields.
	 * Failing with a negative errno and st filled ends the request; field errors may be added
	 * too. */
	int (*prepare_create)(struct hook *h, struct json *doc);
	int (*prepare_update)(struct hook *h, struct json *doc, const struct json *old);
	/* A subresource other than status changes its own part only: puts back all else. */
	void (*keep_part)(
		struct arena *a, const char *part, struct json *doc, const struct json *old);
	/* Checks over several fields. */
	void (*validate)(struct hook *h, const struct json *doc);
	void (*validate_update)(struct hook *h, const struct json *doc, const struct json *old);
	/* After the checks passed: what must only be taken then (addresses, ports). */
	int (*allocate)(struct hook *h, struct json *doc, const struct json *old);
	/* May it go? Negative with st filled refuses. */
	int (*check_delete)(struct hook *h, const struct json *doc);
	/* Before it is marked as being deleted (doc is changed). */
	void (*prepare_delete)(struct hook *h, struct json *doc);
	/* True while something beside metadata.finalizers keeps it. */
	bool (*kept)(const struct json *doc);
	/* Gone (or loaded, with taken true): give back what allocate took. */
	void (*occupy)(struct api *api, const struct json *doc, bool taken);
	/* A table's computed cell; NULL = the column's jsonPath decides. */
	struct json *(*cell)(const struct table_row *row, const char *column);
	struct json *(*row_conditions)(const struct table_row *row);
	/* Of which kind, and how; NULL = there is none of this one now. */
	struct {
		const char *group, *version, *kind;
	} made_of;
	struct json *(*make)(const struct compute *c, const struct object *of);
	bool delete_returns_object; /* DELETE answers the last state instead of a Status */
	bool orphan_by_default;	    /* dependents stay when the client names no policy */
};

const struct kind_hooks *hooks_find(const struct kind *k); /* never NULL: an empty one */
