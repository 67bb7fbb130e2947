/* virtual_machine_sizes.h - the instancetype and preference of a VirtualMachine in its loop: which
 * objects it means, and revisions of them (apps ControllerRevision), so that a later change of an
 * instancetype does not change machines that use it. */
#pragma once

#include "server/controllers/controller.h"
#include "server/instancetype/instancetype.h"

#define SIZE_ROLES 2

struct machine_sizes;

/* Machines of `loop` that name what is not there are woken when it comes. */
struct machine_sizes *machine_sizes_create(struct shared *sh, struct loop *loop);
void machine_sizes_destroy(struct machine_sizes *v); /* NULL allowed */

/* What a machine means, by enum instancetype_role; documents are in the arena. */
struct sizes_state {
	const struct json *found[SIZE_ROLES]; /* NULL = names none */
	struct json *refs[SIZE_ROLES];	      /* status.instancetypeRef and preferenceRef */
	struct json *missing[SIZE_ROLES];     /* revision to be made first; NULL = none */
	/* Why the machine can't be started; NULL = it can. */
	const char *reason, *message;
	const char *lost_revision; /* not in the cache: ask the server before it is believed */
};
struct sizes_state machine_sizes_look(
	struct machine_sizes *v, struct arena *a, const struct object *vm, const struct json *doc);
const struct kind *machine_sizes_kind(const struct machine_sizes *v); /* ControllerRevision */

/* Names of the instancetype and preference, as annotations of an instance. */
void machine_sizes_annotate(struct arena *a, const struct json *vm, struct json *annotations);
