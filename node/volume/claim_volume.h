/* claim_volume.h - volumes of a pod that a PersistentVolumeClaim stands for. What the claim is
 * bound to (a directory or a block device of this host: `local` or `hostPath`) is remembered as a
 * symbolic link in the pod's directory; nothing is mounted there, so that taking the pod down can't
 * reach into it. */
#pragma once

#include "node/volume/volume.h"

/* The claim's name that a volume of the pod means ("" = it means none): persistentVolumeClaim, or
 * ephemeral, whose claim is called POD-VOLUME. In the arena. */
const char *claim_volume_name(struct arena *a, const struct json *pod, const struct json *volume);
/* Fills target, check, group, and on failure err. */
void claim_volume_plan(struct arena *a, const struct json *pod, const struct json *volume,
	const struct volume_source *source, struct volume_step *step);
/* Links step->path to what the claim's volume is, once that belongs to the pod's group; blocks. */
int claim_volume_make(const struct volume_step *step, struct err *err) _must_check_;
/* Where `path` leads to. */
int claim_volume_target(
	struct arena *a, const char *path, const char **ret, struct err *err) _must_check_;
