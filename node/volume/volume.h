/* volume.h - the volumes of a pod on this host: emptyDir, hostPath, configMap, secret, downwardAPI,
 * projected, and claims (claim_volume.h). Everything of a pod lives under one directory:
 *
 *   POD_DIR/volumes/NAME                what is mounted into containers (tmpfs for secrets and
 *                                       emptyDir with medium Memory)
 *   POD_DIR/subpaths/NAME/CONTAINER/N   bind mounts of subPath
 *
 * Calls block for small file operations only. All are idempotent, so a new agent just repeats them.
 */
#pragma once

#include "lib/json/json.h"

/* Where contents come from. Functions return NULL / fail when something is not there. */
struct volume_source {
	void *user;
	const struct json *(*config_map)(void *user, const char *name);
	const struct json *(*secret)(void *user, const char *name);
	/* downward API, texts in the arena */
	int (*field)(
		void *user, struct arena *a, const char *path, const char **ret, struct err *err);
	int (*resource)(void *user, struct arena *a, const struct json *resource_field_ref,
		const char **ret, struct err *err);
	/* The PersistentVolume that a claim of the pod's namespace is bound to; says why there is
	 * none. own: the claim must be one that was made for the pod. NULL: claims are not known
	 * here. */
	int (*claim)(void *user, const char *name, bool own, const struct json **ret_volume,
		struct err *err);
	/* projected serviceAccountToken */
	int (*token)(void *user, struct arena *a, const struct json *source, const char **ret,
		struct err *err);
};

/* Makes and fills all volumes of the pod; called again it brings contents up to date. The error
 * names the volume: `MountVolume.SetUp failed for volume "data" : ...`. */
int volumes_setup(struct arena *a, const char *pod_dir, const struct json *pod,
	const struct volume_source *source, struct err *err) _must_check_;
/* True when the contents of some volume may change while the pod runs. */
bool volumes_need_refresh(const struct json *pod);
/* Host path for one volumeMount of a container (index n), subPath resolved; *ret_read_only when the
 * volume itself is. */
int volume_mount_path(struct arena *a, const char *pod_dir, const struct json *pod,
	const char *container, size_t n, const struct json *volume_mount, const char *sub_path,
	const char **ret, bool *ret_read_only, struct err *err) _must_check_;
/* Unmounts everything below the directory and removes it. Files on hostPaths are never touched. */
int volumes_remove(const char *pod_dir, struct err *err) _must_check_;
/* The type of a hostPath source is what it says; what it says to create is created. */
int volume_check_host_path(const struct json *source, struct err *err) _must_check_;
/* Removes a directory with all that is in it, never crossing into another mount; nothing
 * there is success. */
int volume_remove_tree(const char *path, struct err *err) _must_check_;
/* mkdir -p with mode for the last part. */
int volume_make_dirs(const char *path, unsigned mode, struct err *err) _must_check_;
