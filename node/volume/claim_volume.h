/* claim_volume.h - volumes of a pod that a PersistentVolumeClaim stands for. What the claim is
 * bound to (a directory of this host: `local` or `hostPath`) is remembered as a symbolic link in
 * the pod's directory; nothing is mounted there, so that taking the pod down can't reach into it.
 */
#pragma once

#include "node/volume/volume.h"

/* The claim's name that a volume of the pod means ("" = it means none): persistentVolumeClaim, or
 * ephemeral, whose claim is called POD-VOLUME. In the arena. */
const char *claim_volume_name(struct arena *a, const struct json *pod, const struct json *volume);
/* Links `path` to what the claim's volume is. */
int claim_volume_setup(struct arena *a, const struct json *pod, const struct json *volume,
	const char *path, const struct volume_source *source, struct err *err) _must_check_;
/* Where `path` leads to. */
int claim_volume_target(
	struct arena *a, const char *path, const char **ret, struct err *err) _must_check_;
