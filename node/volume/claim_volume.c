#include "node/volume/claim_volume.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const char *claim_volume_name(struct arena *a, const struct json *pod, const struct json *volume)
{
	const char *name = json_path_str(volume, "persistentVolumeClaim.claimName");

	if (name)
		return name;
	if (!json_get(volume, "ephemeral"))
		return "";
	return arena_printf(a, "%s-%s", json_str_or(json_path(pod, "metadata.name"), ""),
		json_str_or(json_get(volume, "name"), ""));
}

/* For the group that the pod names, as an emptyDir is made for it. */
static int give_to_group(const struct json *pod, const char *path, struct err *err)
{
	int64_t gid = json_path_int(pod, "spec.securityContext.fsGroup", -1);
	struct stat st;

	if (gid < 0 || stat(path, &st) < 0 || st.st_gid == (gid_t)gid)
		return 0;
	if (chown(path, (uid_t)-1, (gid_t)gid) < 0 || chmod(path, (st.st_mode & 07777) | 02070) < 0)
		return err_errno(err, -errno, "give '%s' to group %lld", path, (long long)gid);
	return 0;
}

static int link_to(struct arena *a, const char *path, const char *target, struct err *err)
{
	char there[PATH_MAX];
	ssize_t size = readlink(path, there, sizeof(there) - 1);

	if (size > 0) {
		there[size] = '\0';
		if (streq(there, target))
			return 0;
	}
	const char *slash = strrchr(path, '/');
	int r = volume_make_dirs(arena_memdup(a, path, (size_t)(slash - path)), 0755, err);
	if (r < 0)
		return r;
	const char *fresh = arena_printf(a, "%s.new", path);
	(void)unlink(fresh);
	if (symlink(target, fresh) < 0 || rename(fresh, path) < 0)
		return err_errno(err, -errno, "link '%s' to '%s'", path, target);
	return 0;
}

int claim_volume_setup(struct arena *a, const struct json *pod, const struct json *volume,
	const char *path, const struct volume_source *source, struct err *err)
{
	const char *claim = claim_volume_name(a, pod, volume);
	const struct json *pv = NULL;
	/* Of an ephemeral volume: another's claim may have the same name. */
	bool own = !json_get(volume, "persistentVolumeClaim");
	int r = source->claim ? source->claim(source->user, claim, own, &pv, err)
			      : err_set(err, -ENOTSUP, "this node has no support for claims");
	struct stat st;

	if (r < 0)
		return r;
	const char *name = json_str_or(json_path(pv, "metadata.name"), "");
	const char *local = json_path_str(pv, "spec.local.path");
	const struct json *host = json_path(pv, "spec.hostPath");
	const char *target = local ? local : json_str_or(json_get(host, "path"), "");
	if (streq(json_path_str(pv, "spec.volumeMode"), "Block"))
		return err_set(err, -ENOTSUP,
			"volume \"%s\" is a block device: this node offers file systems only",
			name);
	if (*target != '/')
		return err_set(err, -ENOTSUP,
			"this node can use PersistentVolumes of type local and hostPath, not the "
			"one of volume \"%s\"",
			name);
	if (host) {
		r = volume_check_host_path(host, err);
		if (r < 0)
			return r;
	} else if (stat(target, &st) < 0 || !S_ISDIR(st.st_mode)) {
		return err_set(err, -ENOENT, "path \"%s\" of volume \"%s\" is no directory here",
			target, name);
	}
	r = local ? give_to_group(pod, target, err) : 0;
	return r < 0 ? r : link_to(a, path, target, err);
}

int claim_volume_target(struct arena *a, const char *path, const char **ret, struct err *err)
{
	char target[PATH_MAX];
	ssize_t size = readlink(path, target, sizeof(target) - 1);

	if (size <= 0)
		return err_errno(err, size < 0 ? -errno : -ENOENT, "what '%s' stands for", path);
	*ret = arena_memdup(a, target, (size_t)size);
	return 0;
}
