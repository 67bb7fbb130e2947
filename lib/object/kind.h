/* kind.h - a kind is data: what a kind file (api/kinds/GROUP/VERSION/Kind.yaml) or, later, a
 * CustomResourceDefinition says, decoded once into these structs. The registry holds all kinds of
 * the process. Nothing here knows a kind by name.
 *
 * Kinds live as long as the registry. Built-in ones and their schemas are immutable once
 * registered; what a custom one says may change between two turns of the loop
 * (lib/object/custom.h). */
#pragma once

#include "lib/object/rule.h"

enum schema_type {
	SCHEMA_ANY, /* x-kubernetes-preserve-unknown-fields without properties: anything goes */
	SCHEMA_OBJECT,
	SCHEMA_ARRAY,
	SCHEMA_STRING,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_BOOLEAN,
	SCHEMA_INT_OR_STRING,
};

struct schema_property {
	const char *name;
	const char *step; /* "f:" and the name, as sets of fields have it (field_set.h) */
	uint32_t name_size;
	uint16_t order;	  /* place in the kind file: the order in which errors are told */
	int16_t expected; /* place in schema.expected, -1 = nothing happens when it is absent */
	const struct schema *schema;
	bool required;
	/* Upstream's type holds it by value or always writes it, so that an object without it
	 * counts as having an empty one when it is asked who set the field. */
	bool always_there;
};

/* What only custom resources say of values, and rarely: kept apart so that schemas stay small. */
struct schema_values {
	bool exclusive_minimum, exclusive_maximum;
	double multiple_of;			/* 0 = none */
	int64_t min_properties, max_properties; /* -1 = none */
	const struct schema **all_of, **any_of, **one_of, *not_;
	size_t all_of_count, any_of_count, one_of_count;
	const char **required_only; /* names that must be there though nothing describes them */
	size_t required_only_count;
};

/* Structural schema of one field (apiextensions.k8s.io/v1 JSONSchemaProps, the part in use). */
struct schema {
	enum schema_type type;
	const char
		*name; /* definition name ("io.k8s.api.core.v1.PodSpec") when shared, else NULL */
	const char *format; /* int32, int64, date-time, byte, quantity, ip, duration, ... or NULL */
	const char *description; /* for explain; may be NULL */
	bool nullable;
	bool preserve_unknown;
	bool embedded_meta; /* this is an ObjectMeta: of the object, or as in pod templates */

	/* objects */
	struct schema_property *properties; /* sorted by name (size, then bytes) */
	size_t property_count;
	const uint16_t *expected; /* properties that are required or have a default */
	size_t expected_count;
	const struct schema *additional; /* maps: schema of the values, else NULL */
	bool map_atomic; /* x-kubernetes-map-type: owned, merged and replaced as a whole */

	/* arrays */
	const struct schema *items;
	enum { LIST_ATOMIC, LIST_SET, LIST_MAP } list_type; /* x-kubernetes-list-type */
	const char **list_map_keys;
	size_t list_map_key_count;
	bool patch_merge, patch_retain_keys; /* x-kubernetes-patch-strategy */
	bool patch_replace;		     /* the same, of objects: not merged */
	const char *patch_merge_key;	     /* NULL for primitive lists */
	const char *unique_key;		     /* x-hanok-unique: items must differ in this member */

	/* values */
	const struct json *default_value; /* NULL = none */
	const struct json *enum_values;	  /* JSON array of strings or NULL */
	const char *pattern;		  /* anchored by its author (RE2/PCRE2 syntax) or NULL */
	bool has_minimum, has_maximum;
	double minimum, maximum;
	int64_t min_length, max_length; /* code points of strings; -1 = none */
	int64_t min_items, max_items;	/* arrays; -1 = none */
	enum rule rule;			/* x-hanok-rule: a check that has words of its own */
	bool zero_is_unset;		/* "" or 0 counts as absent, so that the default applies */
	const struct schema_regex *regex;   /* the compiled pattern */
	const struct schema_values *values; /* NULL = none of these */
	bool or_bool;		/* x-hanok-or-bool: an object, or true or false in its place */
	bool embedded_resource; /* x-kubernetes-embedded-resource */
	bool list_typed;	/* x-kubernetes-list-type stands there */
};

struct kind_subresource {
	const char *name;		    /* "status", "scale", "log", ... */
	const char *group, *version, *kind; /* of what it speaks: "autoscaling","v1","Scale" */
	const char **verbs;
	size_t verb_count;
};

struct kind_column {
	const char *name, *type, *format, *description;
	int priority;
	const char *json_path; /* ".spec.replicas"; NULL = computed by the kind's hook */
};

/* Several kinds over one stored kind: versions of a resource (autoscaling/v1 and v2), or one
 * resource under two groups (events). The store, the cache and its indexes hold objects of the
 * kind's `storage` only; what a client sends and gets is converted at the edge of the request, so a
 * kind without conversion pays nothing. Rules:
 *  - cache calls take any kind and mean its storage; the objects they give are of the storage
 *    (object_doc_as() shows them as the requested kind);
 *  - field selectors are parsed in the requested kind's words and come out in the storage's;
 *  - defaults, checks and hooks run on the document as `checked_as` has it: the storage for
 * built-in kinds, the kind itself for custom ones (whose versions each have a schema of their own);
 *  - a loop over all objects visits kinds with kind_is_storage() and leaves out the others. */
struct kind;
struct kind_conversion {
	/* The document as the other kind has it. `doc` may be changed and taken apart. apiVersion
	 * and kind are the caller's to set. Must not fail: what has no place in the other form goes
	 * into an annotation or is dropped, as upstream has it. */
	struct json *(*from_storage)(const struct kind *k, struct arena *a, struct json *doc);
	struct json *(*to_storage)(const struct kind *k, struct arena *a, struct json *doc);
};

struct kind {
	const char *group; /* "" for core */
	const char *version;
	const char *kind, *list_kind;
	const char *plural, *singular;
	const char **short_names;
	size_t short_name_count;
	const char **categories;
	size_t category_count;
	bool namespaced;
	bool served; /* false: only described (Scale, Binding, DeleteOptions, ...), no resource */
	const char **verbs;
	size_t verb_count;
	const struct kind_subresource *subresources;
	size_t subresource_count;
	const char *scale_spec_path, *scale_status_path,
		*scale_selector_path; /* dotted, NULL = none */
	const struct kind_column *columns;
	size_t column_count;
	const char **selectable_fields; /* names besides metadata.name and metadata.namespace */
	const char **selectable_paths;	/* same order: dotted path of the value, usually the name
					   itself */
	const char *
		*selectable_absent; /* same order: what an absent value equals ("", "false", "0") */
	const char **selectable_stored; /* same order: its name among the storage's fields */
	size_t selectable_field_count;
	size_t selectable_offered; /* of these, the rest are of other versions stored as this one */
	bool has_status;       /* status subresource: writes of spec and status are kept apart */
	bool has_generation;   /* metadata.generation counts changes of spec */
	bool create_on_update; /* PUT to a missing name creates */
	bool update_needs_revision;	 /* PUT without resourceVersion is refused */
	bool graceful_deletion;		 /* pods */
	bool deprecated;		 /* requests are answered with a warning */
	const char *deprecation_warning; /* its text */
	bool terminating;		 /* its definition is being deleted: nothing new */
	bool has_rules;			 /* x-kubernetes-validations, which are not enforced */
	bool needs_webhook;		 /* of several versions that only a webhook could convert */
	uint32_t revision;		 /* changes with what a custom kind says */
	bool custom_embeds;		 /* its schema has an x-kubernetes-embedded-resource */
	bool custom;			 /* of a CustomResourceDefinition (lib/object/custom.h) */
	bool strategic_patch; /* strategic merge patches are taken (built-in kinds, not custom ones)
			       */
	bool status_dropped_on_create; /* usual */
	const char *name_rule; /* of metadata.name, as in rule.h; "dns-subdomain" unless the file
				  says more */
	const struct schema *schema;
	const void *hooks; /* set by the API server: const struct kind_hooks * */
	unsigned index;	   /* dense number of the kind in its registry */
	unsigned slot;	   /* of the resource: the same for all kinds over one storage, for good */
	const struct kind *storage;    /* what the store holds; itself for most */
	const struct kind *checked_as; /* whose schema and hooks complete and check its objects */
	const struct kind_conversion *conversion; /* NULL when it is its own storage */
	char gv[128];				  /* "v1" or "apps/v1" */
	char resource[128]; /* "pods" or "deployments.apps", as messages name it */
};

struct kind_registry;
struct kind_registry *kind_registry_create(void);
void kind_registry_destroy(struct kind_registry *r);
/* Adds the definitions and kinds of one bundle: JSON made from the kind files at build time
 * ({"definitions": {NAME: schema}, "kinds": [...]}); a kind with "described": false takes any
 * object. Bad data is refused with the kind and path. */
int kind_registry_load(
	struct kind_registry *r, const char *text, size_t size, struct err *err) _must_check_;
/* The bundle compiled into the binary (api/). */
int kind_registry_load_builtin(struct kind_registry *r, struct err *err) _must_check_;
/* The same kinds for programs that only are clients, in a fifth of the memory: without columns, and
 * of the schemas only a Pod's. Objects of the other kinds are taken as they come. */
int kind_registry_load_client(struct kind_registry *r, struct err *err) _must_check_;

size_t kind_count(const struct kind_registry *r);
struct kind *kind_at(const struct kind_registry *r, size_t i); /* in priority order of discovery */
struct kind *kind_by_resource(
	const struct kind_registry *r, const char *group, const char *version, const char *plural);
struct kind *kind_by_name(
	const struct kind_registry *r, const char *group, const char *version, const char *kind);
const struct schema *kind_definition(const struct kind_registry *r, const char *name);
const struct kind_subresource *kind_subresource(const struct kind *k, const char *name);
bool kind_has_verb(const struct kind *k, const char *verb);
static inline bool kind_is_storage(const struct kind *k)
{
	return k->storage == k;
}
/* The document, which may be changed, as `to` has it; both kinds have the same storage. The same
 * document when the kinds are the same. */
struct json *kind_convert(
	struct arena *a, const struct kind *from, const struct kind *to, struct json *doc);
/* Splits "apps/v1" or "v1". */
void gv_split(const char *gv, char group[128], char version[64]);
const struct schema *schema_property(const struct schema *s, const char *name, size_t size);
const struct schema_property *schema_find(const struct schema *s, const char *name, size_t size);
