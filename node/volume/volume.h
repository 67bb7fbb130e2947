/* volume.h - the volumes of a pod on this host: emptyDir, hostPath, configMap, secret, downwardAPI,
 * projected, and claims (claim_volume.h). Everything of a pod lives under one directory:
 *
 *   POD_DIR/volumes/NAME                what is mounted into containers (tmpfs for secrets and
 *                                       emptyDir with medium Memory)
 *   POD_DIR/subpaths/NAME/CONTAINER/N   bind mounts of subPath
 *
 * Planning reads documents and touches no file; making touches files and nothing else, and may take
 * as long as the file systems like, so that it belongs on a thread (file_work.h). What is planned
 * lives in an arena that both share. All is idempotent: a new agent just repeats it. */
#pragma once

#include "node/volume/atomic_writer.h"

#include "lib/json/json.h"

/* Where contents come from. Functions return NULL / fail when something is not there. */
struct volume_source {
	void *user;
	int64_t memory_bytes; /* of the node for pods: what is in memory takes no more; 0 = unknown
			       */
	/* *ret NULL = there is none; a failure says why that is not known */
	int (*config_map)(void *user, const char *name, const struct json **ret, struct err *err);
	int (*secret)(void *user, const char *name, const struct json **ret, struct err *err);
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
	/* True when the volume may be used on this node. */
	bool (*reaches)(void *user, const struct json *volume);
	/* projected serviceAccountToken */
	int (*token)(void *user, struct arena *a, const struct json *source, const char **ret,
		struct err *err);
};

enum volume_type {
	VOLUME_EMPTY_DIR,
	VOLUME_HOST_PATH,
	VOLUME_FILES, /* configMap, secret, downwardAPI, projected */
	VOLUME_CLAIM,
};

/* One volume of the pod. Strings are the arena's. */
struct volume_step {
	enum volume_type type;
	const char *name, *path;
	const char *title;		  /* of events: the PersistentVolume's name, else `name` */
	struct err err;			  /* the whole message of its event, when it failed */
	const char *filesystem, *options; /* mounted there: "tmpfs"; NULL = nothing is */
	struct payload payload;		  /* VOLUME_FILES */
	bool sticky;			  /* the same: its top; Kubernetes has these on a tmpfs */
	const char *target, *check;	  /* a path of this host, and its hostPath type */
	bool is_local, is_block;	  /* VOLUME_CLAIM */
	int64_t group;			  /* fsGroup, -1 = none */
	bool on_root_mismatch;
};

struct volume_plan {
	const char *pod_dir;
	struct volume_step *steps;
	size_t count;
	struct err err; /* of the whole: POD_DIR could not be made */
};

/* Never fails: what can't be is told by the steps. contents_only: without what stays as it was
 * made. `pod`, and what `source` gave, must live as long as the plan. */
struct volume_plan *volumes_plan(struct arena *a, const char *pod_dir, const struct json *pod,
	const struct volume_source *source, bool contents_only);
/* Makes and fills all that is planned; blocks. Steps are tried one after another, each whatever
 * became of the others. */
void volumes_make(struct volume_plan *p);
/* The first failure, NULL when there is none. */
const struct err *volumes_failure(const struct volume_plan *p);
/* True when the contents of some volume may change while the pod runs. */
bool volumes_need_refresh(const struct json *pod);

/* What one volumeMount or volumeDevice of a container leads to. */
struct volume_mount {
	const char *volume, *container;
	const char *base, *sub_path; /* "" = the whole volume */
	const char *target;	     /* of the bind mount for sub_path */
	bool is_claim, is_device, read_only;
	enum { MOUNT_PRIVATE, MOUNT_SLAVE, MOUNT_SHARED } propagation;
	const char *host_path; /* result, in the arena */
};
/* n: the index of the mount in the container's list. */
int volume_mount_plan(struct arena *a, const char *pod_dir, const struct json *pod,
	const char *container, size_t n, const struct json *volume_mount, const char *sub_path,
	struct volume_mount *ret, struct err *err) _must_check_;
int volume_device_plan(struct arena *a, const char *pod_dir, const struct json *pod,
	const char *container, const struct json *volume_device, struct volume_mount *ret,
	struct err *err) _must_check_;
/* Finds and binds; blocks. */
int volume_mount_make(struct arena *a, struct volume_mount *m, struct err *err) _must_check_;

/* Unmounts everything below the directory and removes it; blocks. Files on hostPaths are never
 * touched. */
int volumes_remove(const char *pod_dir, struct err *err) _must_check_;
/* The type of a hostPath source is what it says; what it says to create is created. */
int volume_check_host_path(const char *path, const char *type, struct err *err) _must_check_;
/* Removes a directory with all that is in it, never crossing into another mount; nothing
 * there is success. */
int volume_remove_tree(const char *path, struct err *err) _must_check_;
/* mkdir -p with mode for the last part. */
int volume_make_dirs(const char *path, unsigned mode, struct err *err) _must_check_;
/* Gives a volume to a group as fsGroup wants it: group, rw for it, setgid on directories; the top
 * last, so that on_root_mismatch can tell a finished one. Symbolic links and other mounts are left
 * alone. */
int volume_give_to_group(
	const char *path, uint32_t gid, bool on_root_mismatch, struct err *err) _must_check_;
