/* claim_volume.c - see claim_volume.h. */
#include "node/volume/claim_volume.h"

#include <fcntl.h>
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

static const char *source_type(const struct json *volume)
{
	static const char *const others[] = {"capacity", "accessModes", "claimRef", "mountOptions",
		"nodeAffinity", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode",
		"volumeAttributesClassName"};

	JSON_FOR_EACH_MEMBER(m, json_get(volume, "spec")) {
		bool other = false;
		for (size_t i = 0; i < ARRAY_LEN(others); i++)
			other = other || streq(m->name, others[i]);
		if (!other)
			return m->name;
	}
	return "none";
}

static bool is_device_of(const struct json *pod, const char *list, const char *volume)
{
	static const char *const kinds[] = {"spec.initContainers", "spec.containers"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		JSON_FOR_EACH_ITEM(c, json_path(pod, kinds[i])) {
			JSON_FOR_EACH_ITEM(m, json_get(c, list)) {
				if (streq(json_str(json_get(m, "name")), volume))
					return true;
			}
		}
	}
	return false;
}

/* What Kubernetes says of volumes that it can't even begin with. */
static void not_processed(
	struct volume_step *step, const struct json *pod, const char *claim, const struct err *why)
{
	err_set(&step->err, why->code,
		"Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], "
		"failed to process volumes=[%s]: error processing PVC %s/%s: %s",
		step->name, step->name, json_str_or(json_path(pod, "metadata.namespace"), ""),
		claim, why->msg);
}

void claim_volume_plan(struct arena *a, const struct json *pod, const struct json *volume,
	const struct volume_source *source, struct volume_step *step)
{
	const char *claim = claim_volume_name(a, pod, volume);
	const struct json *pv = NULL;
	struct err why = ERR_INIT;
	/* Of an ephemeral volume: another's claim may have the same name. */
	bool own = !json_get(volume, "persistentVolumeClaim");
	int r = source->claim ? source->claim(source->user, claim, own, &pv, &why)
			      : err_set(&why, -ENOTSUP, "this node has no support for claims");

	step->is_block = streq(json_path_str(pv, "spec.volumeMode"), "Block");
	if (r >= 0 && step->is_block && is_device_of(pod, "volumeMounts", step->name))
		r = err_set(&why, -EINVAL,
			"volume %s has volumeMode Block, but is specified in volumeMounts",
			step->name);
	else if (r >= 0 && !step->is_block && is_device_of(pod, "volumeDevices", step->name))
		r = err_set(&why, -EINVAL,
			"volume %s has volumeMode Filesystem, but is specified in volumeDevices",
			step->name);
	if (r < 0) {
		not_processed(step, pod, claim, &why);
		return;
	}
	const char *verb = step->is_block ? "MapVolume" : "MountVolume";
	step->title = json_str_or(json_path(pv, "metadata.name"), "");
	if (source->reaches && !source->reaches(source->user, pv)) {
		err_set(&step->err, -EPERM,
			"%s.NodeAffinity check failed for volume \"%s\" : no matching "
			"NodeSelectorTerms",
			verb, step->title);
		return;
	}
	const char *local = json_path_str(pv, "spec.local.path");
	step->is_local = local != NULL;
	step->target = local ? local : json_str_or(json_path(pv, "spec.hostPath.path"), "");
	step->check = json_str_or(json_path(pv, "spec.hostPath.type"), "");
	if (*step->target != '/') {
		err_set(&step->err, -ENOTSUP,
			"%s.SetUp failed for volume \"%s\" : no volume plugin matched: this node "
			"has no support for PersistentVolumes of type %s, it has local and "
			"hostPath",
			verb, step->title, source_type(pv));
		return;
	}
	if (step->is_block && !local) {
		err_set(&step->err, -ENOTSUP,
			"MapVolume.SetUp failed for volume \"%s\" : hostPath volumes have no "
			"volumeMode Block: use a local volume whose path is the device",
			step->title);
		return;
	}
	/* Kubernetes leaves hostPath volumes as they are. */
	step->group = local && !step->is_block
			      ? json_path_int(pod, "spec.securityContext.fsGroup", -1)
			      : -1;
	step->on_root_mismatch = streq(
		json_path_str(pod, "spec.securityContext.fsGroupChangePolicy"), "OnRootMismatch");
}

static int link_to(const char *path, const char *target, struct err *err)
{
	_cleanup_(free_p) char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	_cleanup_(free_p) char *fresh = xasprintf("%s.new", path);

	int r = volume_make_dirs(parent, 0755, err);
	if (r < 0)
		return r;
	(void)unlink(fresh);
	if (symlink(target, fresh) < 0 || rename(fresh, path) < 0)
		return err_errno(err, -errno, "link '%s' to '%s'", path, target);
	return 0;
}

static bool is_linked(const char *path, const char *target)
{
	char there[PATH_MAX];
	ssize_t size = readlink(path, there, sizeof(there) - 1);

	if (size <= 0)
		return false;
	there[size] = '\0';
	return strcmp(there, target) == 0;
}

/* Layers of machines' disks (node/disk/disk_dir.h) may be other disks' and images' files, too: root
 * in a container could write them all. */
static int check_no_layers(const struct volume_step *step, struct err *err)
{
	_cleanup_(free_p) char *record = xasprintf("%s/disk.json", step->target);

	if (step->is_block || faccessat(AT_FDCWD, record, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return err_set(err, -EPERM,
		"MountVolume.SetUp failed for volume \"%s\" : it is the disk of a virtual machine, "
		"whose layers other disks may share: pods can't have it",
		step->title);
}

static int check_local(const struct volume_step *step, struct err *err)
{
	const char *title = step->title;
	struct stat st;

	if (stat(step->target, &st) < 0)
		return err_set(err, -ENOENT,
			"%s.NewM%s initialization failed for volume \"%s\" : path \"%s\" does not "
			"exist",
			step->is_block ? "MapVolume" : "MountVolume",
			step->is_block ? "apper" : "ounter", title, step->target);
	if (step->is_block && !S_ISBLK(st.st_mode))
		return err_set(err, -ENOTBLK,
			"MapVolume.SetUp failed for volume \"%s\" : path \"%s\" is not a block "
			"device",
			title, step->target);
	if (!step->is_block && !S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR,
			"MountVolume.SetUp failed for volume \"%s\" : path \"%s\" is not a "
			"directory: %s",
			title, step->target,
			S_ISBLK(st.st_mode) ? "this node does not make file systems on devices, "
					      "mount it and name the mount point"
					    : "local volumes are directories");
	return 0;
}

int claim_volume_make(const struct volume_step *step, struct err *err)
{
	struct err why = ERR_INIT;
	int r;

	if (step->is_local) {
		r = check_local(step, err);
		if (r < 0)
			return r;
	} else if (volume_check_host_path(step->target, step->check, &why) < 0) {
		return err_set(err, why.code, "MountVolume.SetUp failed for volume \"%s\" : %s",
			step->title, why.msg);
	}
	r = check_no_layers(step, err);
	if (r < 0)
		return r;
	/* The link comes last: who finds it has no files to look through again. */
	if (is_linked(step->path, step->target))
		return 0;
	r = step->group < 0 ? 0
			    : volume_give_to_group(step->target, (uint32_t)step->group,
				      step->on_root_mismatch, &why);
	if (r >= 0)
		r = link_to(step->path, step->target, &why);
	if (r < 0)
		return err_set(err, r, "MountVolume.SetUp failed for volume \"%s\" : %s",
			step->title, why.msg);
	return 0;
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
