/* export_source.h - what a VirtualMachineExport is of: which claims, and whether they can be read
 * now. Reasons and messages are upstream's (KubeVirt: "Export API"). */
#pragma once

#include "server/controllers/snapshots/parts.h"

struct export_caches {
	struct informer *machines, *instances, *snapshots, *contents, *claims, *data_volumes, *pods;
};

struct export_source {
	const char *kind, *name;      /* of the source */
	const char *machine;	      /* that its disks are of; NULL = not known */
	struct json *volumes;	      /* names: those of claims, of a snapshot too */
	const char *reason, *message; /* of Ready False; NULL = it can be read */
	bool skipped;		      /* there is nothing to export, and never will be */
	struct condition parts;	      /* PVCReady or VolumesCreated; type NULL = neither */
};

/* Strings are in the arena, or those of the export. */
void export_source_look(struct arena *a, const struct export_caches *c, const char *ns,
	const struct json *export, struct export_source *ret);
