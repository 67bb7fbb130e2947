/* pool_template.h - the machines of a VirtualMachinePool: POOL-0, POOL-1, ... Pure. (KubeVirt user
 * guide: "Virtual Machine Pools".) */
#pragma once

#include "lib/json/json.h"
#include "lib/object/object.h"

/* Which revision of the pool's template a machine is of; in its labels and in its template's. */
#define POOL_REVISION_LABEL "kubevirt.io/vm-pool-revision-name"

/* Number of a machine of the pool, -1 when the name is none of the pool's. */
int64_t pool_index(const char *pool, const char *machine);
/* Name of the revision: it changes with what machines are made of, not with how many there are. */
const char *pool_revision(struct arena *a, const struct object *pool, const struct json *doc);
/* The machine with that number. Its data volumes (and, where the pool says so, ConfigMaps and
 * Secrets) have the number behind their names. Without owner references. */
struct json *pool_machine(struct arena *a, const struct object *pool, const struct json *doc,
	const char *revision, int64_t index);
