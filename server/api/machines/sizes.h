/* sizes.h - instancetypes and preferences of a VirtualMachine, as the API sees them. */
#pragma once

#include "server/api/hooks/hooks.h"
#include "server/instancetype/instancetype.h"

/* Objects of the API's cache. `api` must outlive it. */
struct instancetype_source machine_sizes_source(struct api *api);

/* The cluster's kinds where none is named, and what is to be inferred of volumes. Negative with
 * h->st filled when that fails. */
int machine_sizes_complete(struct hook *h, struct json *vm, const struct json *old) _must_check_;

/* The template with both in it, in the arena; errors, in upstream's words, go to h->errors, and
 * then it is NULL. The machine's own template when it names neither. */
const struct json *machine_sizes_template(struct hook *h, const struct json *vm);
