/* instancetype.h - named sizes and preferences of virtual machines (instancetype.kubevirt.io):
 * which ones a VirtualMachine means, and what becomes of its template with them. Pure: objects come
 * by `instancetype_source`. Used by the API (checks, expand-spec) and by the machines' loop. */
#pragma once

#include "lib/json/json.h"

/* Where objects come from. */
struct instancetype_source {
	/* The document in the arena, NULL = there is none. namespace "" for cluster scope. Groups
	 * and kinds: instancetype.kubevirt.io, apps ControllerRevision, PersistentVolumeClaim,
	 * cdi.kubevirt.io DataVolume and DataSource. */
	const struct json *(*get)(void *user, struct arena *a, const char *group, const char *kind,
		const char *namespace, const char *name);
	void *user;
};

/* What a machine can name. */
enum instancetype_role { ROLE_INSTANCETYPE, ROLE_PREFERENCE };

/* spec.instancetype or spec.preference; NULL = the machine names none. */
struct json *instancetype_matcher(const struct json *vm, enum instancetype_role role);
/* The kind in a matcher's `kind`, which is any of "", Kind, singular and plural: "" is the
 * cluster's one. NULL = no such kind. */
const char *instancetype_kind(const char *kind, enum instancetype_role role);
bool instancetype_is_cluster(const char *kind);

/* The object that the machine means now: a revision it was bound to (revisionName, or what
 * status.instancetypeRef says of this name), else the object of that name. *ret is NULL when the
 * machine names none; *ret_revision is the name of the revision that it is bound to, or NULL (also
 * when that is what is missing). -ENOENT with upstream's words
 * when there is no such object. */
int instancetype_find(const struct instancetype_source *source, struct arena *a,
	const struct json *vm, const char *namespace, enum instancetype_role role,
	const struct json **ret, const char **ret_revision, struct err *err) _must_check_;

/* inferFromVolume: puts in name and kind, which the labels of the volume's claim, data volume or
 * data source say; takes the matcher away where the machine says that failures are to be ignored.
 * Does nothing when nothing is to be inferred. */
int instancetype_infer(const struct instancetype_source *source, struct arena *a, struct json *vm,
	const char *namespace, enum instancetype_role role, struct err *err) _must_check_;

/* Puts both (either may be NULL: the objects, not their spec) into a template {metadata, spec}.
 * Returns NULL, or an array of the paths below `at` that say what the instancetype says, too; the
 * template is then half done. */
const struct json *instancetype_apply(struct arena *a, const struct json *instancetype,
	const struct json *preference, struct json *template, const char *at);
/* preference_apply.c; only what stands in the template's spec. */
void preference_apply(struct arena *a, const struct json *preference, struct json *template);

/* Whether CPUs can be spread as the preference wants, and whether the machine has what the
 * preference requires. NULL = yes; else why not, in upstream's words, and the field. `template` is
 * the machine's own, before anything was applied. */
const char *preference_check(struct arena *a, const struct json *instancetype,
	const struct json *preference, const struct json *template, const char **ret_field);
/* "sockets", "cores", "threads", "spread" or "any". */
const char *preference_topology(const struct json *preference);
void preference_spread(const struct json *preference, int64_t *ret_ratio, const char **ret_across);
