/* pod_mounts.h - what is mounted into one container: its volumeMounts and volumeDevices,
 * /etc/hosts, and the file for its termination message. Planned on the loop, made on a thread. */
#pragma once

#include "node/pod/pod_config.h"
#include "node/volume/volume.h"

struct pod_mounts_input {
	const struct json *pod, *container;
	const char *pod_dir;
	unsigned attempt;
	const struct env_vars *env; /* for subPathExpr */
	bool recursive_read_only;   /* the runtime can do it */
};

struct pod_mounts {
	struct config_mount *mounts;
	struct config_device *devices;
	size_t mount_count, device_count;
	/* Those of the pod's volumes: of the first `volume_count` mounts, then of the devices. */
	struct volume_mount *volumes;
	size_t volume_count;
	const char *log_dir, *message_dir, *message; /* to be made; message_dir NULL = no message */
	unsigned attempt;
	struct err err; /* of pod_mounts_make() */
};

/* A failure is a CreateContainerConfigError. Texts live in the arena. */
int pod_mounts_plan(struct arena *a, const struct pod_mounts_input *in, struct pod_mounts *ret,
	struct err *err) _must_check_;
/* Fills the host paths; blocks. */
void pod_mounts_make(struct arena *a, struct pod_mounts *m);
