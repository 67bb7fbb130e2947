/* slice.h - control groups where systemd owns the tree: each is a slice unit, made and changed
 * through systemd's D-Bus interface by busctl(1). Pure: names and arguments. */
#pragma once

#include "node/resources/cgroup.h"

/* "/kubepods/burstable/podA-B" -> "kubepods-burstable-podA_B.slice": a dash separates levels. */
char *slice_name(struct arena *a, const char *path);
/* The same as the path that systemd makes of it:
 * "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podA_B.slice". */
char *slice_path(struct arena *a, const char *path);
/* busctl's arguments, NULL at the end: makes the slice with its values, or changes them. version:
 * of the control groups, whose words differ. */
const char *const *slice_start_args(
	struct arena *a, const char *path, int version, const struct cgroup_values *values);
const char *const *slice_change_args(
	struct arena *a, const char *path, int version, const struct cgroup_values *values);
const char *const *slice_stop_args(struct arena *a, const char *path);
