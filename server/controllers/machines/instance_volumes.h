/* instance_volumes.h - how the data volumes and claims of a VirtualMachineInstance stand, as
 * KubeVirt's conditions say it: DataVolumesReady (of all that it names), Provisioning (while it is
 * not running yet and some are not filled), and Synchronized with the reason FailedPvcNotFound
 * while no node has it and a claim is not there. What else Synchronized says is the node agent's.
 */
#pragma once

#include "server/controllers/controller.h"

struct instance_volumes;

/* A change of a data volume or claim wakes the instances of `loop` that name it. */
struct instance_volumes *instance_volumes_create(struct shared *sh, struct loop *loop);
void instance_volumes_destroy(struct instance_volumes *v); /* NULL allowed */

/* status.conditions as they should be, JSON null = none; the list that is there when it agrees.
 * *ret_lost: the claim that is not there and that the conditions did not name before; NULL = no. */
const struct json *instance_volumes_conditions(struct instance_volumes *v, struct arena *a,
	const struct object *vmi, const struct json *doc, int64_t now_ns, const char **ret_lost);
