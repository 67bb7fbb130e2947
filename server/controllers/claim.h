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
