/* pod_mounts.c - see pod_mounts.h. */
#include "node/pod/pod_mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* As Kubernetes has it: what is not set, or empty, must not silently become another path. */
static int expand_sub_path(struct arena *a, const char *expr, const struct env_vars *env,
	const char **ret, struct err *err)
{
	const char *missing = env_missing(a, expr, env);
	size_t room = PATH_MAX;

	if (missing)
		return err_set(err, -ENOENT, "missing value for %s", missing);
	*ret = env_expand(a, expr, env, &room);
	return *ret ? 0
		    : err_set(err, -ENAMETOOLONG, "subPathExpr \"%s\" is too long when expanded",
			      expr);
}

static int read_only_depth(const struct json *vm, const struct pod_mounts_input *in,
	struct config_mount *m, struct err *err)
{
	const char *wanted = json_str_or(json_get(vm, "recursiveReadOnly"), "Disabled");
	const char *name = json_str_or(json_get(vm, "name"), "");
	const char *propagation = json_str_or(json_get(vm, "mountPropagation"), "None");

	if (streq(wanted, "Disabled"))
		return 0;
	if (!json_bool_or(json_get(vm, "readOnly"), false))
		return err_set(err, -EINVAL,
			"volume \"%s\" requested recursive read-only mode, but it is not read-only",
			name);
	if (!streq(propagation, "None"))
		return err_set(err, -EINVAL,
			"volume \"%s\" requested recursive read-only mode, but it is not "
			"compatible with propagation \"%s\"",
			name, propagation);
	if (streq(wanted, "Enabled") && !in->recursive_read_only)
		return err_set(err, -ENOTSUP,
			"volume \"%s\" requested recursive read-only mode, but it is not supported "
			"by the runtime",
			name);
	m->recursive_read_only = in->recursive_read_only;
	return 0;
}

static Cri__MountPropagation propagation_of(const struct volume_mount *v)
{
	static const Cri__MountPropagation of[] = {
		[MOUNT_PRIVATE] = CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE,
		[MOUNT_SLAVE] = CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER,
		[MOUNT_SHARED] = CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL,
	};

	return of[v->propagation];
}

static int plan_volume(struct arena *a, const struct pod_mounts_input *in, const struct json *vm,
	struct pod_mounts *ret, struct err *err)
{
	size_t n = ret->mount_count;
	struct config_mount *m = &ret->mounts[n];
	const char *sub = json_str(json_get(vm, "subPath"));
	const char *expr = json_str_or(json_get(vm, "subPathExpr"), "");
	int r = *expr ? expand_sub_path(a, expr, in->env, &sub, err) : 0;

	if (r >= 0)
		r = volume_mount_plan(a, in->pod_dir, in->pod,
			json_str_or(json_get(in->container, "name"), ""), n, vm, sub,
			&ret->volumes[n], err);
	if (r >= 0)
		r = read_only_depth(vm, in, m, err);
	if (r < 0)
		return r;
	m->container_path = json_str_or(json_get(vm, "mountPath"), "");
	m->read_only = ret->volumes[n].read_only;
	m->propagation = propagation_of(&ret->volumes[n]);
	ret->mount_count = ++ret->volume_count;
	return 0;
}

static int plan_device(struct arena *a, const struct pod_mounts_input *in, const struct json *vd,
	struct pod_mounts *ret, struct err *err)
{
	struct volume_mount *v = &ret->volumes[ret->volume_count + ret->device_count];
	int r = volume_device_plan(a, in->pod_dir, in->pod,
		json_str_or(json_get(in->container, "name"), ""), vd, v, err);

	if (r < 0)
		return r;
	ret->devices[ret->device_count++] = (struct config_device){
		.container_path = json_str_or(json_get(vd, "devicePath"), ""),
		.permissions = v->read_only ? "r" : "mrw",
	};
	return 0;
}

int pod_mounts_plan(
	struct arena *a, const struct pod_mounts_input *in, struct pod_mounts *ret, struct err *err)
{
	const struct json *mounts = json_get(in->container, "volumeMounts");
	const struct json *devices = json_get(in->container, "volumeDevices");
	const char *name = json_str_or(json_get(in->container, "name"), "");
	size_t count = json_count(mounts) + json_count(devices);
	bool own_hosts = false;
	int r;

	*ret = (struct pod_mounts){
		.mounts = arena_zalloc(a, (count + 3) * sizeof(*ret->mounts)),
		.devices = arena_zalloc(a, (count + 1) * sizeof(*ret->devices)),
		.volumes = arena_zalloc(a, (count + 1) * sizeof(*ret->volumes)),
		.log_dir = arena_printf(a, "%s/%s", pod_log_dir(a, in->pod), name),
		.attempt = in->attempt,
	};
	JSON_FOR_EACH_ITEM(vm, mounts) {
		r = plan_volume(a, in, vm, ret, err);
		if (r < 0)
			return r;
		own_hosts = own_hosts || streq(json_str(json_get(vm, "mountPath")), "/etc/hosts");
	}
	JSON_FOR_EACH_ITEM(vd, devices) {
		r = plan_device(a, in, vd, ret, err);
		if (r < 0)
			return r;
	}
	if (!own_hosts)
		ret->mounts[ret->mount_count++] = (struct config_mount){
			.container_path = "/etc/hosts",
			.host_path = arena_printf(a, "%s/etc-hosts", in->pod_dir),
		};
	const char *message = json_str_or(
		json_get(in->container, "terminationMessagePath"), "/dev/termination-log");
	if (*message) {
		ret->message_dir = arena_printf(a, "%s/containers/%s", in->pod_dir, name);
		ret->message = arena_printf(a, "%s/%u", ret->message_dir, in->attempt);
		ret->mounts[ret->mount_count++] = (struct config_mount){
			.container_path = message,
			.host_path = ret->message,
		};
	}
	return 0;
}

/* A container that ends again and again leaves one each time, as long as it likes. That of the last
 * one may still be read. */
static void drop_older_messages(const struct pod_mounts *m)
{
	DIR *d = opendir(m->message_dir);
	uint64_t number;

	for (struct dirent *e; d && (e = readdir(d));) {
		if (parse_u64(str_from(e->d_name), &number) == 0 && number + 1 < m->attempt)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

/* Any user of the container may write it. */
static int make_message(const struct pod_mounts *m, struct err *err)
{
	int r = volume_make_dirs(m->message_dir, 0755, err);

	if (r < 0)
		return r;
	drop_older_messages(m);
	_cleanup_(close_p) int fd =
		open(m->message, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0 || fchmod(fd, 0666) < 0)
		return err_errno(err, -errno, "create '%s'", m->message);
	return 0;
}

void pod_mounts_make(struct arena *a, struct pod_mounts *m)
{
	size_t count = m->volume_count + m->device_count;

	for (size_t i = 0; i < count; i++) {
		if (volume_mount_make(a, &m->volumes[i], &m->err) < 0)
			return;
		if (i < m->volume_count)
			m->mounts[i].host_path = m->volumes[i].host_path;
		else
			m->devices[i - m->volume_count].host_path = m->volumes[i].host_path;
	}
	if (volume_make_dirs(m->log_dir, 0755, &m->err) < 0)
		return;
	if (m->message_dir && make_message(m, &m->err) < 0)
		return;
}
