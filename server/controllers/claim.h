/* claim.h - which children belong to an owner by its selector, adopting orphans and releasing those
 * that no longer match (Kubernetes: "Owners and Dependents", controllerRef). */
#pragma once

#include "lib/object/selector.h"
#include "server/controllers/loop.h"

struct claim {
	struct object **mine; /* in the sync's arena; borrowed */
	size_t count;
	bool changing; /* adoptions are on their way: what is missing from `mine` may soon be there,
			  so nothing should be created on this count. Their events run the key
			  again. */
};
/* `children` of the owner's namespace. Adoption asks the server first whether the owner is still
 * there and not being deleted; the patches are conditional on the child's revision. */
struct claim claim_children(struct sync *s, const struct object *owner,
	const struct selector *selector, struct informer *children);
/* The same where the selector is not all: owned children that do not fit are released, too. */
typedef bool claim_fits(const struct object *owner, const struct object *child);
struct claim claim_children_that(struct sync *s, const struct object *owner,
	const struct selector *selector, struct informer *children, claim_fits *fits);
/* The same for children that are tracked by a finalizer: adoption adds it. */
struct claim claim_children_with_finalizer(struct sync *s, const struct object *owner,
	const struct selector *selector, struct informer *children, const char *finalizer);

/* The object among `owners` that is the child's controller; NULL = none of them is. */
struct object *claim_owner(struct informer *owners, const struct object *child);
/* The owner's spec.selector: a map for kinds of the core group, else a LabelSelector. False when it
 * selects nothing or everything: no owner should have such a one. */
bool claim_selector(struct arena *a, const struct object *owner, struct selector *ret);
/* For a child's event: runs its owner's key, before and after the change. An orphan tells every
 * owner that might adopt it; needs the index "namespace" of `owners`. */
void claim_tell(struct loop *l, struct informer *owners, const struct object *old,
	const struct object *new);
