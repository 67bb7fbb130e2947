/* object.h - an object as the whole house holds it: immutable, reference-counted compact JSON with
 * a small decoded header for indexes and selectors.
 *
 * Stored form and served form differ in one place: the store's value has metadata.resourceVersion
 * "" (a backend may learn the revision only by committing), the served bytes have it filled in. */
#pragma once

#include "lib/base/blob.h"
#include "lib/object/kind.h"
#include "lib/object/status.h"

struct object_label {
	const char *key, *value;
};

struct object_owner {
	const char *uid, *kind, *api_version, *name;
	bool controller, block_owner_deletion;
};

struct object {
	uint32_t refs; /* one thread (the loop) only */
	const struct kind *kind;
	uint32_t kind_revision; /* kind->revision when `fields` were filled */
	uint64_t revision;	/* metadata.resourceVersion; 0 when not stored */
	struct blob *bytes;
	const char *namespace; /* "" when cluster-scoped */
	const char *name;
	const char *uid;
	bool deleting;			   /* metadata.deletionTimestamp is set */
	const struct object_label *labels; /* sorted by key */
	size_t label_count;
	const struct object_owner *owners;
	size_t owner_count;
	/* Values of kind->selectable_fields, same order, "" when absent. The header's text lives
	 * behind the struct in the same allocation. */
	const char **fields;
};

/* From a document: sets apiVersion, kind and metadata.resourceVersion in the bytes. The document is
 * not kept (but metadata.resourceVersion in it is set). revision 0 leaves resourceVersion out. */
struct object *object_new(
	const struct kind *k, struct arena *a, struct json *doc, uint64_t revision);
/* The stored form of a document. */
struct blob *object_stored_form(const struct kind *k, struct arena *a, struct json *doc);
/* From the stored form and the revision it was committed at. -EBADMSG when it can't be read. */
int object_from_stored(const struct kind *k, const char *value, size_t size, uint64_t revision,
	struct object **ret, struct err *err) _must_check_;
/* The same for bytes that are known to be those that object_stored_form made (just now, or by a
 * sum): the header is picked out of them, nothing is checked. */
int object_from_written(const struct kind *k, const char *value, size_t size, uint64_t revision,
	struct object **ret, struct err *err) _must_check_;
/* From served bytes (client side). */
int object_from_bytes(const struct kind *k, const char *text, size_t size, struct object **ret,
	struct err *err) _must_check_;
struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL allowed */
void object_unref_p(struct object **o);
/* Parses the bytes into the arena. Bytes that were accepted once always parse: aborts otherwise. */
struct json *object_doc(const struct object *o, struct arena *a);
/* The same, as another kind over the same storage has it. */
struct json *object_doc_as(const struct object *o, const struct kind *k, struct arena *a);
const char *object_label(const struct object *o, const char *key); /* NULL when absent */
/* The same labels with the same values; both sorted by key. */
bool object_labels_equal(
	const struct object_label *a, size_t a_count, const struct object_label *b, size_t b_count);
const struct object_owner *object_controller(const struct object *o); /* NULL when none */
const char *object_field(const struct object *o,
	const char *path); /* indexed fields and metadata.name/namespace; NULL = unknown */

/* Decode, check, default, prune: one walk over the document against the schema. */
enum field_validation { FIELD_VALIDATION_WARN, FIELD_VALIDATION_IGNORE, FIELD_VALIDATION_STRICT };
struct decode_options {
	enum field_validation field_validation;
	bool skip_defaults;   /* leave defaults out (patch bodies, tests) */
	bool skip_validation; /* types and pruning only (stored objects) */
	/* Collects texts such as `unknown field "spec.foo"`: JSON array of strings in the arena. */
	struct json **ret_warnings;
};
/* A field error makes it a 422 here; callers that have errors of their own to add decode with
 * skip_validation and call object_check later.
 *
 * Text (content_type: application/json, application/yaml, application/vnd.kubernetes.protobuf) to a
 * document. kind/apiVersion absent are filled in; other ones are refused, in upstream's words. */
int object_decode(const struct kind_registry *r, const struct kind *k, struct arena *a,
	const char *content_type, const char *body, size_t size,
	const struct decode_options *options, struct json **ret, struct status *st) _must_check_;
/* Of metadata this checks types, labels, annotation keys and generateName: the name and who may set
 * what is the server's business.
 *
 * The same checks on a document that is already parsed (after a patch). Field errors go to
 * `errors`; the caller adds cross-field ones and makes the Status. Returns -EREMOTEIO with st
 * filled for type errors and strict decoding errors (400), 0 otherwise. */
int object_check(const struct kind *k, struct arena *a, struct json *doc,
	const struct decode_options *options, struct field_errors *errors,
	struct status *st) _must_check_;
