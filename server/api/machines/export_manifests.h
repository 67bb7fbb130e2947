/* export_manifests.h - what a VirtualMachineExport gives beside disks: manifests with which another
 * cluster (or namespace) makes the machine anew, its disks imported from the export. Names and
 * forms are those of KubeVirt's export server, which clients hand to `kubectl create -f -`. */
#pragma once

#include "lib/json/json.h"

/* All pointers are into the arena or the arguments. */
struct export_of {
	const char *name;	 /* of the export */
	const struct json *link; /* status.links.external or .internal */
	/* The machine, or what a snapshot has written down of it, its instancetype written out; it
	 * has a spec. */
	const struct json *machine;
	/* The claim of that name, or what a snapshot has written down of it; NULL = unknown. */
	const struct json *(*claim)(void *user, const char *name);
	void *user;
};

/* An array: a ConfigMap with the CA, the VirtualMachine, and a DataVolume for each of its disks
 * that none of its dataVolumeTemplates makes. */
struct json *export_manifests_all(struct arena *a, const struct export_of *e);
/* An array: a Secret with the header that imports send. */
struct json *export_manifests_secret(struct arena *a, const char *name, const char *token);

/* The array as one List in JSON, or as documents in YAML. */
void export_manifests_write(struct buf *out, struct arena *a, struct json *all, bool yaml);
