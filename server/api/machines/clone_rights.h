/* clone_rights.h - a disk may be copied out of another namespace by who may create
 * cdi.kubevirt.io datavolumes/source there, or pods (which could read it; of a snapshot: and
 * claims). Asked of the user who makes the DataVolume, or the machine or pool whose
 * dataVolumeTemplates make it: the loops that do it then have rights of their own. Words and rule
 * are CDI's. */
#pragma once

#include "server/api/hooks/hooks.h"

/* spec: of a DataVolume (source or sourceRef), to be made in `namespace`. NULL = it may be; else
 * why not, in the arena. */
const char *clone_rights_refusal(struct hook *h, const struct json *spec, const char *namespace);
/* Of a list of dataVolumeTemplates at that field; what is in `old` (NULL = nothing) already was
 * asked before. */
void clone_rights_check_templates(struct hook *h, const struct json *templates,
	const struct json *old, const char *namespace, const char *field);
/* The source that spec.sourceRef means now, with its namespace said; NULL = it is not there yet. */
struct json *clone_rights_resolve(struct hook *h, const struct json *ref, const char *namespace);
